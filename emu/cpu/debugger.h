/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the engine asks about the debugger's breakpoints. Theory: debugger.c. cpu->debugger is NULL while
 * there is no debugger.
 */
#pragma once

#include "emu/cpu/cpu_internal.h"

#define DEBUGGER_POINTS_MOST 256

struct debugger {
    struct debugger_point {
        enum cpu_break kind;
        uint32_t linear, len;
    } points[DEBUGGER_POINTS_MOST];
    unsigned count;
    bool watches;                          /* some of them watch data */
    uint64_t offsets[PHYS_PAGE_SIZE / 64]; /* in a page, where one may stop */
    bool stopped;                          /* cpu_run() is to say so */
    struct cpu_break_hit hit;
    bool resuming; /* the breakpoint at resume_linear was had */
    uint32_t resume_linear;
    bool stepping; /* maskable interrupts wait */
};

/* Blocks end before such an address and none begins there. */
static inline bool debugger_splits(const struct debugger *debugger, uint32_t linear)
{
    unsigned offset = linear & PHYS_PAGE_MASK;

    return debugger->offsets[offset >> 6] >> (offset & 63) & 1;
}
/* The instruction at CS:EIP is about to be executed: whether that is not to be, for a breakpoint. */
bool debugger_stops(struct cpu *cpu);
/* Whether data on the page are watched; then its accesses go the slow way and say what they touch. */
bool debugger_watches_page(const struct cpu *cpu, uint32_t page);
void debugger_accessed(struct cpu *cpu, uint32_t linear, unsigned size, bool write);
