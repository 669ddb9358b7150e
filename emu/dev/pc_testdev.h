/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * pc-testdev: what CPU test suites written for emulators find at fixed places: four bytes of ports that keep
 * what was written (0xe0, and byte by byte at 0xe8), interrupt lines to pull (0x2000), a page of device
 * memory (0xff000000), and a port (0xe4) that says "forget what you know of this page".
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"

enum { PC_TESTDEV_LINES = 24 };

struct pc_testdev;

/* `line`: one for each interrupt, ISA's first. */
struct pc_testdev *pc_testdev_new(struct physmap *mem, struct portio *io, const char *id,
                                  const struct irq_line line[PC_TESTDEV_LINES]);
