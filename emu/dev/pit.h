/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Intel 8254 timer at 0x40–0x43 and system port B (0x61): gate and output of counter 2, the speaker bit, the
 * refresh toggle.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/machine/clock.h"
#include "emu/mem/portio.h"

#define PIT_HZ 1193182

struct pit;

struct pit *pit_new(struct portio *io, struct clock *clock, const struct irq_line *irq0);
/* Edges of IRQ 0 that were delivered late and those given up, for `info`. */
uint64_t pit_edges_reinjected(const struct pit *pit);
uint64_t pit_edges_dropped(const struct pit *pit);
