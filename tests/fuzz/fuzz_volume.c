/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes the look at a disc's volume descriptors. Of the input, the first byte says what is put right (names
 * of descriptors, numbers in both byte orders, so that more than the first comparison is reached), the rest
 * stands from sector 16 on. Whatever it says: no more is read than there is, and a size that is believed is
 * one a disc has.
 */
#include "emu/block/image.h"

#include "tests/fuzz/fuzz_main.h"

#include <string.h>

enum { FIRST = 16 * 2048 };

struct input {
    struct image image;
    const uint8_t *data;
    unsigned reads;
};

static int input_read(struct image *image, uint64_t offset, void *buf, size_t len)
{
    struct input *input = (struct input *)image;
    g_assert_cmpuint(++input->reads, <=, 16);
    g_assert_cmpuint(offset, >=, FIRST);
    g_assert_cmpuint(offset + len, <=, image->size);
    memcpy(buf, input->data + (offset - FIRST), len);
    return 0;
}

static void mirror(uint8_t *p, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        p[2 * width - 1 - i] = p[i];
}

static void put_right(uint8_t *sectors, size_t size, uint8_t how)
{
    for (size_t at = 0; at + VOLUME_DESCRIPTOR <= size; at += VOLUME_DESCRIPTOR) {
        uint8_t *d = sectors + at;
        if (how & 1)
            memcpy(d + 1, "CD001\1", 6);
        if (how & 2)
            d[0] = at / VOLUME_DESCRIPTOR == (how >> 5) ? 1 : 2;
        if (how & 4) {
            mirror(d + 80, 4);
            mirror(d + 128, 2);
            mirror(d + 158, 4);
        }
        if (how & 8)
            d[128] = d[131] = 0, d[129] = d[130] = 8;
        if (how & 16)
            memset(d + 158, 0, 8), d[158] = d[165] = 20;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    uint8_t how = *data++;
    g_autofree uint8_t *sectors = g_memdup2(data, --size);
    put_right(sectors, size, how);
    static const struct image_ops ops = {.format = "raw", .read = input_read};
    struct input input = {.image = {.ops = &ops, .size = FIRST + size}, .data = sectors};
    uint64_t claimed = volume_size_of(&input.image);
    g_assert_true(claimed % BLOCK_SECTOR == 0 && claimed <= (uint64_t)1 << 39);
    g_assert_true(!claimed || (claimed > FIRST && size >= 2048));
    return 0;
}

FUZZ_MAIN(4000, 8192)
