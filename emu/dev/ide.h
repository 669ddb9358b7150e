/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The PIIX3's IDE function, 00:01.1 (8086:7010): two channels at the legacy ports 0x1f0/0x3f6 and 0x170/0x376
 * with ISA interrupts 14 and 15, two drives on each, disks (ATA) or CD-ROMs (ATAPI), bus-master DMA.
 */
#pragma once

#include "emu/block/backend.h"
#include "emu/dev/pci.h"

enum { IDE_CHANNELS = 2, IDE_UNITS = 2, IDE_SERIAL_MOST = 20, IDE_MODEL_MOST = 40, IDE_VERSION_MOST = 8 };
enum ide_kind { IDE_NONE, IDE_DISK, IDE_CD };

struct clock;
struct ide;

/* What a drive says about itself; all zeros is a drive as every other. */
struct ide_identity {
    char serial[IDE_SERIAL_MOST + 1]; /* empty: made up */
    char model[IDE_MODEL_MOST + 1], version[IDE_VERSION_MOST + 1];
    uint64_t wwn;       /* world wide name; 0: none */
    uint16_t rotation;  /* turns a minute; 1: nothing turns; 0: not told */
    uint16_t cylinders; /* with heads and sectors; 0: by the size */
    uint8_t heads, sectors;
    uint8_t physical; /* sectors a physical one has, as a power of two */
    bool no_trim, no_write_cache;
};

struct ide_plug {
    enum ide_kind kind;
    struct block *block; /* not owned; must outlive the controller. A CD's may have no medium */
    struct ide_identity identity;
};

/* drives[channel][unit]; slot: the ISA bridge's, function 1. */
struct ide *ide_new(struct pci_bus *bus, struct portio *io, int slot, const struct irq_line irq[IDE_CHANNELS],
                    const struct ide_plug drives[IDE_CHANNELS][IDE_UNITS], GError **error);
/* -win2k-hack: the interrupt of every sixteenth piece written by PIO comes a millisecond late, for the disk
 * driver of Windows 2000's setup, which loses track when they come at once. */
void ide_slow_writes(struct ide *ide, struct clock *clock);
enum ide_kind ide_kind(const struct ide *ide, unsigned channel, unsigned unit);
