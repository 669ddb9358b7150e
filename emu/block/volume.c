/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * How much a disc says it holds: the volume space size of an ISO 9660 file system (ECMA-119, ISO 9660:1988),
 * to tell an image that was cut short.
 *
 * Volume descriptors are 2048 bytes each and begin with the sector 16 (6.3, 6.7.1); the primary one is mostly
 * the first. Numbers stand in it twice, in either byte order (7.2.3, 7.3.3), which tells a descriptor from
 * what looks like one. Everything in it is hostile: what does not fit together is no descriptor, and says
 * nothing.
 */
#include "emu/block/image.h"

#include <string.h>

enum { SECTOR = 2048, FIRST = 16, DESCRIPTORS_MOST = 16 };
enum { TYPE_PRIMARY = 1, TYPE_END = 255 };
/* Offsets within the primary volume descriptor (8.4), and within its root directory's record (9.1). */
enum { VOLUME_BLOCKS = 80, BLOCK_BYTES = 128, ROOT_RECORD = 156, ROOT_EXTENT = 2, ROOT_RECORD_LEN = 34 };
/* The largest disc there is holds 128 GB; what says that it is far larger says nonsense. */
static const uint64_t VOLUME_MOST = (uint64_t)1 << 39;

static bool both_orders_32(const uint8_t *p, uint32_t *out)
{
    uint32_t little = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    uint32_t big = p[7] | (uint32_t)p[6] << 8 | (uint32_t)p[5] << 16 | (uint32_t)p[4] << 24;
    *out = little;
    return little == big;
}

static bool both_orders_16(const uint8_t *p, uint32_t *out)
{
    *out = p[0] | (uint32_t)p[1] << 8;
    return *out == (p[3] | (uint32_t)p[2] << 8);
}

uint64_t volume_bytes(const uint8_t descriptor[VOLUME_DESCRIPTOR])
{
    uint32_t blocks, bytes, root;
    if (descriptor[0] != TYPE_PRIMARY || memcmp(descriptor + 1, "CD001\1", 6) ||
        !both_orders_32(descriptor + VOLUME_BLOCKS, &blocks) ||
        !both_orders_16(descriptor + BLOCK_BYTES, &bytes) ||
        !both_orders_32(descriptor + ROOT_RECORD + ROOT_EXTENT, &root))
        return 0;
    if ((bytes != 512 && bytes != 1024 && bytes != SECTOR) || descriptor[ROOT_RECORD] < ROOT_RECORD_LEN ||
        root >= blocks)
        return 0;
    uint64_t size = (uint64_t)blocks * bytes;
    return size <= FIRST * SECTOR || size > VOLUME_MOST ? 0 : size & ~(uint64_t)(BLOCK_SECTOR - 1);
}

uint64_t volume_size_of(struct image *image)
{
    uint8_t descriptor[VOLUME_DESCRIPTOR];
    for (uint64_t i = 0; i < DESCRIPTORS_MOST; i++) {
        uint64_t at = (FIRST + i) * SECTOR;
        if (at + SECTOR > image->size || image->ops->read(image, at, descriptor, sizeof descriptor) ||
            memcmp(descriptor + 1, "CD001", 5) || descriptor[0] == TYPE_END)
            return 0;
        if (descriptor[0] == TYPE_PRIMARY)
            return volume_bytes(descriptor);
    }
    return 0;
}
