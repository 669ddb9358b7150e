/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Floppy controller (Intel 82077AA) at 0x3f0–0x3f5 and 0x3f7, IRQ 6, DMA channel 2, with two drives.
 */
#pragma once

#include "emu/block/backend.h"
#include "emu/dev/dma8237.h"
#include "emu/mem/physmap.h"

enum { FDC_DRIVES = 2 };

struct fdc;

struct fdc_wiring {
    struct irq_line irq;
    struct dma8237 *dma;
    struct physmap *mem;
    struct block *drive[FDC_DRIVES]; /* NULL: no drive; not owned */
};
struct fdc *fdc_new(struct portio *io, const struct fdc_wiring *wiring);
/* CMOS type of the drive an image wants: 1 360 K, 2 1.2 M, 4 1.44 M, 5 2.88 M. */
uint8_t fdc_drive_type(uint64_t image_size);
