/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The IDE function on a bench: a disk and a CD on the first channel, nothing on the second. Images are files
 * of a temporary folder; there is no loop, so the host's part of a request is done before a port access
 * returns.
 */
#pragma once

#include "emu/dev/ide_internal.h"
#include "tests/dev/chip_bench.h"

enum { IRQ14 = 14, IRQ15 = 15 };
enum { RIG_SECTORS = 4096, RIG_CD_SECTORS = 64, RIG_MASTER = 0xc000 };

struct ide_rig {
    struct bench *b;
    struct pci_bus *bus;
    struct block *disk, *cd;
    struct ide *ide;
    char *folder;
    bool steady; /* requests are answered at times of the bench's clock; set before ide_rig_set_up() */
};

void ide_rig_set_up(struct ide_rig *r);
void ide_rig_tear_down(struct ide_rig *r);
/* A file of the rig's folder: sector n is filled with bytes that say n. */
char *ide_rig_image(struct ide_rig *r, const char *name, unsigned sectors);
