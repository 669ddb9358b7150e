/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Guest time and timers: see clock.h.
 *
 * Timers are kept in a doubly linked list sorted by deadline. A PC has about ten of them and most changes are
 * near the front, so the list beats a heap and needs no memory when a timer is set.
 */
#include "emu/machine/clock.h"

#include <glib.h>
#include <time.h>

struct clock_timer {
    struct clock *clock;
    struct clock_timer *next, *previous; /* both NULL and not first: not armed */
    int64_t deadline, slack, late;
    bool armed;
    void (*fire)(void *opaque);
    void *opaque;
};

struct clock {
    int64_t offset;     /* guest time = host time - offset, while running */
    int64_t stopped_at; /* guest time, while stopped */
    bool stopped, manual;
    bool some_relaxed; /* a timer that is not the first may be the next to be rung for */
    bool idle;         /* in clock_run_idle */
    struct clock_timer *first;
    int64_t (*source)(void *opaque); /* NULL: the host's clock */
    void *source_opaque;
    void (*rearm)(void *opaque);
    void *rearm_opaque;
};

static int64_t host_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NANOSECONDS + ts.tv_nsec;
}

static inline int64_t source_now(const struct clock *clock)
{
    return G_UNLIKELY(clock->source) ? clock->source(clock->source_opaque) : host_now();
}

void clock_set_source(struct clock *clock, int64_t (*source)(void *opaque), void *opaque)
{
    clock->source = source;
    clock->source_opaque = opaque;
}

bool clock_is_derived(const struct clock *clock)
{
    return clock->source != NULL;
}

struct clock *clock_new(void)
{
    struct clock *clock = g_new0(struct clock, 1);
    clock->offset = host_now();
    return clock;
}

struct clock *clock_new_manual(void)
{
    struct clock *clock = g_new0(struct clock, 1);
    clock->stopped = clock->manual = true;
    return clock;
}

void clock_free(struct clock *clock)
{
    g_free(clock);
}

int64_t clock_now(struct clock *clock)
{
    return clock->stopped ? clock->stopped_at : source_now(clock) - clock->offset;
}

void clock_stop(struct clock *clock)
{
    if (clock->stopped)
        return;
    clock->stopped_at = clock_now(clock);
    clock->stopped = true;
}

void clock_continue(struct clock *clock)
{
    if (!clock->stopped || clock->manual)
        return;
    clock->offset = source_now(clock) - clock->stopped_at;
    clock->stopped = false;
    if (clock->rearm)
        clock->rearm(clock->rearm_opaque);
}

bool clock_is_stopped(const struct clock *clock)
{
    return clock->stopped;
}

int64_t clock_offset(const struct clock *clock)
{
    return clock->offset;
}

void clock_set(struct clock *clock, int64_t ns)
{
    clock->stopped_at = ns;
    if (!clock->stopped)
        clock->offset = source_now(clock) - ns;
    if (clock->rearm)
        clock->rearm(clock->rearm_opaque);
}

void clock_set_rearm(struct clock *clock, void (*rearm)(void *opaque), void *opaque)
{
    clock->rearm = rearm;
    clock->rearm_opaque = opaque;
}

struct clock_timer *clock_timer_new(struct clock *clock, void (*fire)(void *opaque), void *opaque)
{
    struct clock_timer *timer = g_new0(struct clock_timer, 1);
    timer->clock = clock;
    timer->fire = fire;
    timer->opaque = opaque;
    timer->deadline = CLOCK_NEVER;
    return timer;
}

void clock_timer_free(struct clock_timer *timer)
{
    if (!timer)
        return;
    clock_timer_cancel(timer);
    g_free(timer);
}

void clock_timer_cancel(struct clock_timer *timer)
{
    if (!timer->armed)
        return;
    if (timer->previous)
        timer->previous->next = timer->next;
    else
        timer->clock->first = timer->next;
    if (timer->next)
        timer->next->previous = timer->previous;
    timer->next = timer->previous = NULL;
    timer->armed = false;
    timer->deadline = CLOCK_NEVER;
    timer->slack = 0;
}

void clock_timer_set(struct clock_timer *timer, int64_t deadline_ns)
{
    clock_timer_cancel(timer);
    if (deadline_ns == CLOCK_NEVER)
        return;
    struct clock *clock = timer->clock;
    timer->deadline = deadline_ns;
    timer->armed = true;
    struct clock_timer *after = NULL, *at = clock->first;
    while (at && at->deadline <= deadline_ns) {
        after = at;
        at = at->next;
    }
    timer->previous = after;
    timer->next = at;
    if (at)
        at->previous = timer;
    if (after)
        after->next = timer;
    else
        clock->first = timer;
    if (clock->rearm && (!after || clock->some_relaxed))
        clock->rearm(clock->rearm_opaque);
}

void clock_timer_set_slack(struct clock_timer *timer, int64_t ns)
{
    if (timer->armed)
        timer->slack = ns;
}

void clock_timer_relax(struct clock_timer *timer, int64_t ns)
{
    timer->late = ns;
    timer->clock->some_relaxed |= ns > 0;
}

int64_t clock_timer_deadline(const struct clock_timer *timer)
{
    return timer->deadline;
}

int64_t clock_next_deadline(struct clock *clock)
{
    return clock->first ? clock->first->deadline : CLOCK_NEVER;
}

int64_t clock_next_alarm(struct clock *clock)
{
    int64_t alarm = CLOCK_NEVER;
    for (struct clock_timer *t = clock->first; t && t->deadline < alarm; t = t->next)
        alarm = MIN(alarm, t->deadline + t->late);
    return alarm;
}

int64_t clock_next_wake(struct clock *clock)
{
    int64_t wake = CLOCK_NEVER;
    for (struct clock_timer *t = clock->first; t && t->deadline < wake; t = t->next)
        wake = MIN(wake, t->slack ? t->deadline + t->slack : t->deadline);
    return wake;
}

/* Fires timers due at `now`. One that re-arms itself for a moment that has passed waits for the next call, so
 * a timer with a tiny period cannot hold the machine up. */
static void fire_due(struct clock *clock, int64_t now)
{
    enum { MOST = 64 };
    struct clock_timer *due[MOST];
    unsigned count = 0;
    for (struct clock_timer *t = clock->first; t && t->deadline <= now && count < MOST; t = t->next)
        due[count++] = t;
    for (unsigned i = 0; i < count; i++) {
        /* An earlier one of this batch may have cancelled, moved or freed it: look for it again. */
        struct clock_timer *t = clock->first;
        while (t && t != due[i])
            t = t->next;
        if (!t || t->deadline > now)
            continue;
        clock_timer_cancel(t);
        t->fire(t->opaque);
    }
}

bool clock_run_idle(struct clock *clock)
{
    enum { MOST = 64 }; /* a callback may relax on and on */
    bool any = false;
    if (!clock->some_relaxed || clock->stopped)
        return false;
    clock->idle = true;
    struct clock_timer *t = clock->first;
    for (unsigned n = 0; t && n < MOST; n++) {
        struct clock_timer *next = t->next;
        if (t->late) {
            clock_timer_cancel(t);
            t->fire(t->opaque);
            any = true;
            next = clock->first; /* it may have changed the others */
        }
        t = next;
    }
    clock->idle = false;
    return any;
}

bool clock_is_idle(const struct clock *clock)
{
    return clock->idle;
}

int64_t clock_run(struct clock *clock)
{
    if (!clock->stopped && clock->first && clock->first->deadline <= clock_now(clock))
        fire_due(clock, clock_now(clock));
    return clock_next_deadline(clock);
}

void clock_manual_advance(struct clock *clock, int64_t ns)
{
    int64_t end = clock->stopped_at + ns;
    while (clock->first && clock->first->deadline <= end) {
        clock->stopped_at = MAX(clock->stopped_at, clock->first->deadline);
        fire_due(clock, clock->stopped_at);
    }
    clock->stopped_at = end;
}
