/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * How late a sleeping guest's tick may come: see idle_tick.h.
 */
#include "emu/dev/idle_tick.h"

enum { STEADY = 16, MISSES = 64, REFUTED_MOST = 8, TOLERANCE = 32 /* part of a period */ };
enum { SHORTEST = 1000000, LONGEST = 20000000 };

void idle_tick_reset(struct idle_tick *tick)
{
    *tick = (struct idle_tick){0};
}

void idle_tick_disturbed(struct idle_tick *tick)
{
    tick->steady = 0;
    tick->allowed = 0;
}

void idle_tick_fired(struct idle_tick *tick, int64_t now, bool asleep)
{
    tick->late = now - tick->deadline;
    tick->fired = true;
    if (!asleep)
        tick->steady = 0;
}

/* Lateness from which a guest that starts each tick afresh would be seen to leave the grid. */
static bool telling(const struct idle_tick *tick)
{
    int64_t part = tick->late % tick->period;
    return part >= tick->period / 8 && part <= tick->period - tick->period / 8;
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
        bool moved = next && telling(tick);
        tick->steady = 0;
        if (moved && allowed && tick->refuted < REFUTED_MOST)
            tick->refuted++;
        if (moved || ++tick->missed == MISSES)
            tick->period = 0;
        return 0;
    }
    tick->missed = 0;
    tick->grid = deadline;
    if (next) {
        tick->steady++;
        if (telling(tick)) {
            tick->proven = true;
            tick->refuted = 0;
        }
    }
    if (tick->proven && tick->steady >= STEADY)
        tick->allowed = tick->period;
    else if (!tick->proven && tick->steady >= (unsigned)STEADY << 2 * tick->refuted)
        tick->allowed = tick->period / 4;
    return tick->allowed;
}
