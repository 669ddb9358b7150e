/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * How late a sleeping guest's tick may come.
 *
 * Kernels with a fixed tick wake 250 times a second to find nothing to do, and waking a thread costs the host
 * more than the tick does. A tick may come one period late, so that every other wake-up is saved, when
 *
 *   - it is one: sixteen expiries in a row lay on a grid of one period (1 to 20 ms), the guest was halted at
 *     each, and no other interrupt came between them; the first thing that happens ends this;
 *   - the guest reckons its deadlines from a clock of its own, not from the moment the tick came: after an
 *     expiry that was late by a broken part of a period (a quarter, made so once if the host does not do it)
 *     the next deadline still lies on the grid. A guest that counts ticks, or starts each one afresh, never
 *     gets there: its time would go wrong. (Each trial that fails makes the next one wait four times longer.)
 *
 * A guest that has been quiet for longer may be left alone for longer: up to 12 ms after 1.2 s, 28 ms after
 * 3 s, 60 ms after 5 s (whole periods; at 250 ticks a second it takes every 4th, 8th and 16th). Quiet is
 * stricter than asleep: no other interrupt, nothing that led to an exception or another address space, as it
 * would if a program was woken (such are counted as `stirs`), and no two deadlines beside the grid within two
 * and a half seconds. (A single one is no program's: Linux looks for stuck processors every four seconds.)
 *
 * Only the host thread's sleep is stretched: whatever else wakes the machine fires what is due first. So no
 * timer of the guest is later than that, and as soon as anything happens none is late at all. Deadlines that
 * are not on the grid (a program's high-resolution timer) are kept exactly, when they are the next; one that
 * is hidden behind a tick, as the guest has only one timer, is as late as that tick.
 *
 * For one-shot timers; pure reckoning, machine thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct idle_tick {
    int64_t period;   /* 0: being learnt */
    int64_t grid;     /* the last deadline that lay on it */
    int64_t deadline; /* the last one armed */
    int64_t late;     /* by how much that one was when it fired */
    unsigned steady;  /* expiries in a row at which the guest slept */
    int64_t allowed;  /* what was returned for it */
    unsigned missed;  /* deadlines in a row beside the grid */
    unsigned refuted; /* times that a lateness of our own making moved the grid */
    int64_t quiet;    /* the deadline from which on the guest has been quiet */
    uint64_t stirs;   /* as told last */
    int64_t beside;   /* the last deadline that did not lie on the grid */
    bool stirred;     /* it is quiet from the next deadline on */
    bool fired;       /* and nothing was armed since */
    bool proven;      /* the guest has a clock of its own */
};

void idle_tick_reset(struct idle_tick *tick);
/* The timer was started for `deadline`, ns of guest time. Returns by how many ns it may be late. */
int64_t idle_tick_armed(struct idle_tick *tick, int64_t deadline);
/* It fired at `now`; `asleep`: the guest was halted then; `stirs`: counts what only a guest at work does. */
void idle_tick_fired(struct idle_tick *tick, int64_t now, bool asleep, uint64_t stirs);
/* The guest has something else to do: take back what was allowed. */
void idle_tick_disturbed(struct idle_tick *tick);
