/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The pair of Intel 8237A DMA controllers (0x00–0x0f, 0xc0–0xdf) with page registers (0x80–0x8f). The
 * floppy controller is the one device that asks for DMA (channel 2); a transfer is carried out at once when
 * it asks.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"

struct dma8237;

struct dma8237 *dma8237_new(struct portio *io);
/* Bytes that channel 0…3 would move now; 0 when it is masked or the controller is off. */
uint32_t dma8237_pending(const struct dma8237 *dma, unsigned channel);
/* A device on channel 0…3 moves `len` bytes, or fewer when the count ends before; how many. `*ended`: the
 * count has ended (TC). A channel programmed the other way, or to verify, moves nothing and counts all the
 * same. */
size_t dma8237_run(struct dma8237 *dma, struct physmap *mem, unsigned channel, uint8_t *buf, size_t len,
                   bool to_memory, bool *ended);
