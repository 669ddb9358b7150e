/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Intel 82371SB (PIIX3) ISA bridge, 00:01.0 (8086:7000): routes PIRQA–D to ISA interrupts and owns the reset
 * control register (0xcf9). The ELCR it has on silicon is in pic.c, which acts on it.
 */
#pragma once

#include "emu/dev/pci.h"

struct piix3;

struct piix3_wiring {
    struct irq_line isa[16];   /* this chip's inputs of the ISA wires */
    struct irq_line direct[4]; /* PIRQA–D as they reach the I/O APIC (GSI 16–19) */
    struct irq_line reset;     /* pulsed high: the machine is to be reset */
};
/* slot: usually 1, function 0 (multifunction). Becomes the bus's router. */
struct piix3 *piix3_new(struct pci_bus *bus, struct portio *io, int slot, const struct piix3_wiring *wiring,
                        GError **error);
/* ISA interrupt PIRQ `n` (0…3) is routed to, or -1 when routing is off. */
int piix3_route(const struct piix3 *piix3, unsigned n);
