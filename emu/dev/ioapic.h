/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Intel 82093AA I/O APIC at 0xfec00000: 24 inputs, a redirection entry each.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/mem/physmap.h"

enum { IOAPIC_PINS = 24, IOAPIC_ADDRESS = 0xfec00000, IOAPIC_ID_DEFAULT = 0 };

struct ioapic;

/* Where interrupt messages go: the local APIC's lapic_deliver(). */
struct ioapic_bus {
    /* mode: 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT, 7 ExtINT; level: an EOI is to be broadcast.
     * True when somebody took it. */
    bool (*deliver)(void *opaque, uint8_t destination, bool logical, unsigned mode, uint8_t vector,
                    bool level);
    void *opaque;
};

struct ioapic *ioapic_new(struct physmap *mem, const struct ioapic_bus *bus);
struct irq_line ioapic_input(struct ioapic *ioapic, unsigned pin);
/* A processor ended a level-triggered interrupt (broadcast on the APIC bus). */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);
void ioapic_describe(const struct ioapic *ioapic, GString *out);
