/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Flash chip for firmware, eight bits wide, with Intel's command set.
 */
#pragma once

#include "emu/block/backend.h"
#include "emu/dev/device.h"
#include "emu/mem/physmap.h"

enum { PFLASH_BLOCK = 4096, PFLASH_MOST = 8 << 20 };

struct pflash;

/* A chip of the image's size, a multiple of PFLASH_BLOCK, that ends at `end`. Its content is read here; fails
 * when it cannot be, or when the size is none of a chip. block: not owned. */
struct pflash *pflash_new(struct physmap *mem, const char *id, uint64_t end, struct block *block,
                          GError **error);
/* The image may have been written by another process meanwhile: its content is read again. Nothing of it has
 * been run or changed since the chip was made, or since it last was as the image is. */
bool pflash_read_again(struct pflash *flash, GError **error);
/* The array as the guest reads it, for as long as the chip is there, and its size. */
const uint8_t *pflash_data(const struct pflash *flash);
uint32_t pflash_size(const struct pflash *flash);
