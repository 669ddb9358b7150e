/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * -icount: guest time is the number of instructions executed, times 2^shift nanoseconds. Machine thread.
 */
#pragma once

#include "emu/cpu/cpu.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"

#include <glib.h>

struct icount;

enum { ICOUNT_SHIFT_AUTO = -1, ICOUNT_SHIFT_MOST = 10 };

struct icount_config {
    bool on;
    int shift;  /* 0…10, or ICOUNT_SHIFT_AUTO: so that guest time keeps up with the host's */
    bool sleep; /* a halted guest waits for its next deadline in host time; else it is there at once */
    bool align; /* a guest that is ahead of host time waits for it; one that is behind is warned of */
};

/* Takes over the clock, which stands still so far, and its notice of new deadlines. */
struct icount *icount_new(const struct icount_config *config, struct cpu *cpu, struct clock *clock,
                          struct loop *loop);
void icount_free(struct icount *icount);
/* Lets the CPU run up to the next deadline; false: one is due, or align=on has waited for the host's time, so
 * the loop has to be dispatched first. */
bool icount_begin(struct icount *icount);
/* The CPU came back: what shift=auto and align=on do from time to time. */
void icount_ran(struct icount *icount);
/* The machine goes on after it was stopped. */
void icount_resume(struct icount *icount);
/* The guest is halted: on to its next deadline, or until something else happens. */
void icount_halted(struct icount *icount);
void icount_describe(struct icount *icount, GString *out);
