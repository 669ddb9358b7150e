/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * How late a sleeping guest's tick may come: see idle_tick.h.
 */
#include "emu/dev/idle_tick.h"

#include <sys/param.h>

enum { STEADY = 16, MISSES = 64, REFUTED_MOST = 8, TOLERANCE = 32 /* part of a period */ };
enum { SHORTEST = 1000000, LONGEST = 20000000 };

/* ns: how long the guest has to be quiet, and how late it may be then. */
static const struct {
    int64_t quiet, late;
} depths[] = {{5000000000, 60000000}, {3000000000, 28000000}, {1200000000, 12000000}};

#define ALONE 2500000000 /* from the last deadline beside the grid */

void idle_tick_reset(struct idle_tick *tick)
{
    *tick = (struct idle_tick){0};
}

void idle_tick_disturbed(struct idle_tick *tick)
{
    tick->steady = 0;
    tick->allowed = 0;
    tick->stirred = true;
}

void idle_tick_fired(struct idle_tick *tick, int64_t now, bool asleep, uint64_t stirs)
{
    tick->late = now - tick->deadline;
    tick->fired = true;
    if (!asleep)
        tick->steady = 0;
    if (!asleep || stirs != tick->stirs)
        tick->stirred = true;
    tick->stirs = stirs;
}

/* Lateness from which a guest that starts each tick afresh would be seen to leave the grid. */
static bool telling(const struct idle_tick *tick)
{
    int64_t part = tick->late % tick->period;
    return part >= tick->period / 8 && part <= tick->period - tick->period / 8;
}

/* The deadline is `away` from the grid: by about as much as the last expiry was late? */
static bool follows(const struct idle_tick *tick, int64_t away)
{
    int64_t rest = (away - tick->late) % tick->period, near = tick->period / 8;

    return (rest >= -near && rest <= near) || rest <= near - tick->period || rest >= tick->period - near;
}

/* How late a guest that has a clock of its own may be. */
static int64_t lateness(const struct idle_tick *tick)
{
    int64_t most = 0;

    for (unsigned i = 0; i < sizeof(depths) / sizeof(*depths) && !most; i++)
        if (tick->deadline - tick->quiet >= depths[i].quiet)
            most = depths[i].late;
    return MAX(most / tick->period, 1) * tick->period;
}

int64_t idle_tick_armed(struct idle_tick *tick, int64_t deadline)
{
    bool next = tick->fired;
    int64_t before = tick->deadline, allowed = tick->allowed;
    tick->deadline = deadline;
    tick->allowed = 0;
    tick->fired = false;
    if (!tick->period) {
        int64_t step = deadline - before;
        tick->grid = deadline;
        tick->steady = tick->missed = 0;
        tick->stirred = true;
        tick->proven = false;
        if (next && step >= SHORTEST && step <= LONGEST)
            tick->period = step;
        return 0;
    }
    int64_t away = (deadline - tick->grid) % tick->period;
    if (away > tick->period / 2)
        away -= tick->period;
    else if (away < -tick->period / 2)
        away += tick->period;
    if (away > tick->period / TOLERANCE || away < -tick->period / TOLERANCE) {
        bool moved = next && telling(tick) && follows(tick, away), often = deadline - tick->beside < ALONE;
        tick->beside = deadline;
        if (moved || often) {
            tick->steady = 0;
            tick->stirred = true;
        }
        if (moved && allowed && tick->refuted < REFUTED_MOST)
            tick->refuted++;
        if (moved || ++tick->missed == MISSES)
            tick->period = 0;
        return 0;
    }
    tick->missed = 0;
    tick->grid = deadline;
    if (tick->stirred)
        tick->quiet = deadline;
    tick->stirred = false;
    if (next) {
        tick->steady++;
        if (telling(tick)) {
            tick->proven = true;
            tick->refuted = 0;
        }
    }
    if (tick->proven && tick->steady >= STEADY)
        tick->allowed = lateness(tick);
    else if (!tick->proven && tick->steady >= (unsigned)STEADY << 2 * tick->refuted)
        tick->allowed = tick->period / 4;
    return tick->allowed;
}
