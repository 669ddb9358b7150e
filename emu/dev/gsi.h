/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The board's interrupt wires ("global system interrupts"): which chip input each interrupt reaches.
 *
 *   ISA IRQ n (0…15)  → 8259 input n, and I/O APIC input n (IRQ 0 → input 2, as MADT and MP table say)
 *   GSI n (16…23)     → I/O APIC input n only; PCI INTA#–D# stand on 16–19
 *
 * Several chips may share a wire: each asks for an input of its own and the wire is the OR of them.
 */
#pragma once

#include "emu/dev/device.h"

enum { GSI_ISA_COUNT = 16, GSI_COUNT = 24, GSI_PCI_FIRST = 16, GSI_INPUTS = 8 };

struct gsi;

/* pic: 16 inputs of the 8259 pair; ioapic: 24 inputs of the I/O APIC (NULL: a machine without one). */
struct gsi *gsi_new(const struct irq_line pic[GSI_ISA_COUNT], const struct irq_line *ioapic);
/* A new input of wire `gsi`; at most GSI_INPUTS for each, one more is a programming error. */
struct irq_line gsi_input(struct gsi *router, unsigned gsi);
