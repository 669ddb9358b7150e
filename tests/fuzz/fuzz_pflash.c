/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A guest that means harm, against the flash chip: accesses of any width at any place, all commands in any
 * order, resets, saved state as it was and damaged, an image that gets shorter underneath. The array must
 * stay what the chip says it is: in the image, unless the host refused.
 */
#include "emu/dev/pflash.h"
#include "tests/dev/chip_bench.h"
#include "tests/fuzz/fuzz_main.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 8 * PFLASH_BLOCK, OPERATIONS_MOST = 400 };
#define BASE (UINT64_C(0x100000000) - SIZE)

static uint8_t take(const uint8_t **data, size_t *left)
{
    if (!*left)
        return 0;
    --*left;
    return *(*data)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t left)
{
    static const uint8_t commands[] = {0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0x90,
                                       0x98, 0xb0, 0xd0, 0xe8, 0xff, 0x01, 0x00};
    g_autofree char *path = NULL;
    bool shortened = false;
    int fd = g_file_open_tmp("netlab-fuzz-pflash-XXXXXX", &path, NULL);
    g_assert_cmpint(ftruncate(fd, SIZE), ==, 0);
    close(fd);
    struct bench *b = bench_new();
    struct block *block =
        block_new(&(struct block_config){.id = "f", .file = path, .format = BLOCK_FORMAT_RAW}, NULL, NULL);
    struct pflash *flash = pflash_new(b->mem, "f", BASE + SIZE, block, NULL);
    struct device *device = (struct device *)flash;
    for (unsigned i = 0; i < OPERATIONS_MOST && left; i++) {
        uint8_t what = take(&data, &left);
        unsigned size = 1u << what / 16 % 3;
        uint64_t at = BASE + ((uint32_t)take(&data, &left) << 8 | take(&data, &left)) % (SIZE - 3);
        uint32_t value = commands[take(&data, &left) % G_N_ELEMENTS(commands)];
        switch (what % 16) {
        case 0:
            phys_read(b->mem, at, &value, size);
            break;
        case 1: /* any value */
            value = take(&data, &left);
            value |= (uint32_t)take(&data, &left) << 8;
            phys_write(b->mem, at, &value, size);
            break;
        case 2:
            device_reset(device);
            break;
        case 3: {
            g_autoptr(GByteArray) state = g_byte_array_new();
            size_t pos = 0;
            state_save(device->class->state, "f", device, state);
            if (what & 0x80)
                state->data[(at - BASE) % state->len] ^= (uint8_t)(1 + take(&data, &left) % 255);
            state_load(device->class->state, "f", device, state->data, state->len, &pos, NULL);
            break;
        }
        case 4:
            if (what == 0xf4)
                shortened = block_resize(block, PFLASH_BLOCK, NULL);
            break;
        case 5: /* a whole buffer */
            value = 0xe8;
            phys_write(b->mem, at, &value, 1);
            value = 15;
            phys_write(b->mem, at, &value, 1);
            for (unsigned k = 0; k < 16; k++)
                phys_write(b->mem, MIN(at + k, BASE + SIZE - 1), &(uint8_t){(uint8_t)k}, 1);
            break;
        default:
            phys_write(b->mem, at, &value, what & 0x80 ? 1 : size);
            break;
        }
    }
    g_autofree uint8_t *kept = g_memdup2(pflash_data(flash), SIZE);
    g_autofree char *image = NULL;
    gsize len;
    device_free(device);
    block_free(block);
    g_assert_true(g_file_get_contents(path, &image, &len, NULL));
    if (!shortened)
        g_assert_cmpmem(image, len, kept, SIZE);
    bench_free(b);
    g_unlink(path);
    return 0;
}

FUZZ_MAIN(400, 1600)
