/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Joints between wires: a splitter drives several lines from one, an OR gate one line from several.
 *
 * Both are plain structs that pc.c embeds; they keep no pointer to anything but their outputs. The OR gate
 * remembers its inputs; its users re-drive them after saved state is loaded. Machine thread only.
 */
#pragma once

#include "emu/dev/device.h"

#define IRQ_SPLITTER_OUTPUTS 4

struct irq_splitter {
    struct irq_line out[IRQ_SPLITTER_OUTPUTS]; /* those not used are zeroed: not connected */
};
/* The input of a splitter whose `out` is filled in. */
struct irq_line irq_splitter_input(struct irq_splitter *splitter);

struct irq_or {
    struct irq_line out;
    uint32_t inputs; /* level of each */
};
/* Input n, 0…31. The output is driven whenever the OR of all inputs changes. */
struct irq_line irq_or_input(struct irq_or *gate, unsigned n);
