/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The processor's local APIC (SDM vol. 3, chapter 11) at 0xfee00000; without TSC-deadline and x2APIC.
 *
 * Stands between the 8259's INT output and the CPU's INTR pin: hardware-disabled it passes INT through;
 * enabled it decides by LVT LINT0 and its own priorities.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/machine/clock.h"
#include "emu/mem/physmap.h"

enum { LAPIC_ADDRESS = 0xfee00000 };
#define LAPIC_BUS_HZ 1000000000 /* the timer's clock before its divider */

struct lapic;

struct lapic_wiring {
    struct irq_line intr;                  /* the CPU's INTR pin */
    struct irq_line nmi;                   /* raised and lowered: one NMI */
    struct irq_line init;                  /* raised and lowered: INIT# */
    uint8_t (*pic_acknowledge)(void *pic); /* INTA cycle to the 8259s */
    void *pic;
    void (*eoi)(void *ioapic, uint8_t vector); /* broadcast of a level EOI; may be NULL */
    void *ioapic;
    bool (*asleep)(void *cpu);    /* the CPU is halted; NULL: ticks are never let be late (idle_tick.h) */
    uint64_t (*stirs)(void *cpu); /* counts what a guest does that has been woken; with asleep */
    void *cpu;
};

/* msr_base: IA32_APIC_BASE as the CPU has it after reset (0xfee00900). */
struct lapic *lapic_new(struct physmap *mem, struct clock *clock, const struct lapic_wiring *wiring);
/* Call with the CPU's IA32_APIC_BASE whenever it is written or reset: bit 11 enables, bits 12… place it. */
void lapic_set_base(struct lapic *lapic, uint64_t msr);
/* LINT0 (the 8259's INT) and LINT1 (NMI sources). */
struct irq_line lapic_lint(struct lapic *lapic, unsigned n);
/* For cpu_board.acknowledge: the vector, or -1 when nothing is pending any more. */
int lapic_acknowledge(struct lapic *lapic);
/* An interrupt message from the I/O APIC: see struct ioapic_bus. */
bool lapic_deliver(void *lapic, uint8_t destination, bool logical, unsigned mode, uint8_t vector, bool level);
void lapic_describe(struct lapic *lapic, GString *out);
