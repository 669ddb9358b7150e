/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * An empty qcow2 image made by hand: header, refcount table, one refcount block, L1 table, each a cluster
 * (L1 more, when it is large).
 */
#pragma once

#include <glib.h>
#include <stdint.h>
#include <string.h>

static inline void qcow2_put(uint8_t *p, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0) {
        p[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

enum { QCOW2_IMAGE_CLUSTERS = 4 };

/* version 2 or 3; backing: a name, or NULL. Free the result. */
static inline uint8_t *qcow2_image(unsigned version, unsigned cluster_bits, uint64_t size,
                                   const char *backing, size_t *len)
{
    uint64_t cluster = UINT64_C(1) << cluster_bits;
    uint64_t tables = (size + (cluster * cluster / 8) - 1) / (cluster * cluster / 8);
    uint64_t l1 = (tables * 8 + cluster - 1) / cluster;
    *len = (size_t)((QCOW2_IMAGE_CLUSTERS - 1 + l1) * cluster);
    uint8_t *image = g_malloc0(*len), *block = image + 2 * cluster;
    memcpy(image, "QFI\xfb", 4);
    qcow2_put(image + 4, version, 4);
    qcow2_put(image + 20, cluster_bits, 4);
    qcow2_put(image + 24, size, 8);
    qcow2_put(image + 36, tables, 4);
    qcow2_put(image + 40, 3 * cluster, 8); /* L1 */
    qcow2_put(image + 48, cluster, 8);     /* refcount table */
    qcow2_put(image + 56, 1, 4);
    if (version == 3) {
        qcow2_put(image + 96, 4, 4);
        qcow2_put(image + 100, 104, 4);
    }
    if (backing) {
        qcow2_put(image + 8, 256, 8);
        qcow2_put(image + 16, strlen(backing), 4);
        memcpy(image + 256, backing, strlen(backing));
    }
    qcow2_put(image + cluster, 2 * cluster, 8);
    for (unsigned i = 0; i < QCOW2_IMAGE_CLUSTERS - 1 + l1; i++)
        qcow2_put(block + 2 * i, 1, 2);
    return image;
}
