/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Guest time and timers. Guest time is host CLOCK_MONOTONIC less the time the machine was stopped (-S, QMP
 * `stop`); it starts at 0 and never goes back. Devices derive everything from it: PIT, RTC, PM timer, LAPIC,
 * TSC. Timers fire on the machine's thread, from clock_run(). With -icount something else than the host's
 * clock is the source (machine/icount.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct clock;
struct clock_timer;

#define CLOCK_NEVER INT64_MAX
#define NANOSECONDS 1000000000ll

struct clock *clock_new(void);
void clock_free(struct clock *clock);
/* A clock that only moves when told, for tests and replay. */
struct clock *clock_new_manual(void);
void clock_manual_advance(struct clock *clock, int64_t ns); /* fires timers on the way, in order */

/* What guest time is derived from instead of the host's clock; NULL: that again. While the clock is stopped.
 */
void clock_set_source(struct clock *clock, int64_t (*source)(void *opaque), void *opaque);

bool clock_is_derived(const struct clock *clock); /* such a source is set */

int64_t clock_now(struct clock *clock); /* ns of guest time; cheap (vDSO) */
void clock_stop(struct clock *clock);
void clock_continue(struct clock *clock);
bool clock_is_stopped(const struct clock *clock);
/* Host time less guest time while running: what changes when guest time is moved. */
int64_t clock_offset(const struct clock *clock);
void clock_set(struct clock *clock, int64_t ns); /* after loading saved state */

struct clock_timer *clock_timer_new(struct clock *clock, void (*fire)(void *opaque), void *opaque);
void clock_timer_free(struct clock_timer *timer);
void clock_timer_set(struct clock_timer *timer, int64_t deadline_ns); /* CLOCK_NEVER cancels */
void clock_timer_cancel(struct clock_timer *timer);
/* Allows a thread that sleeps until this deadline to sleep up to `ns` longer; whoever is awake fires it in
 * time. Until the timer is set, cancelled or fires. */
void clock_timer_set_slack(struct clock_timer *timer, int64_t ns);
/* For good: this timer only holds something back to spare a busy guest. While the guest runs it may fire up
 * to `ns` late, so that its thread need not be rung for; when the guest halts it fires at once
 * (clock_is_idle). */
void clock_timer_relax(struct clock_timer *timer, int64_t ns);
int64_t clock_timer_deadline(const struct clock_timer *timer); /* CLOCK_NEVER when not armed */

int64_t clock_next_deadline(struct clock *clock);
/* When a sleeper has to wake: the earliest deadline, slack added. */
int64_t clock_next_wake(struct clock *clock);
/* When a busy thread has to be rung: the earliest deadline, what may be late added. */
int64_t clock_next_alarm(struct clock *clock);
/* Fires what is due; each timer at most once a call. Returns the next deadline. */
int64_t clock_run(struct clock *clock);
/* The guest has halted: fires relaxed timers, due or not. Returns whether there were any. */
bool clock_run_idle(struct clock *clock);
bool clock_is_idle(const struct clock *clock); /* in their callbacks: true */
/* Called when the earliest deadline moves forward in time, so that a sleeping loop can be re-armed. */
void clock_set_rearm(struct clock *clock, void (*rearm)(void *opaque), void *opaque);

/* a*b/c in 128 bits: for converting ns to ticks without overflow. */
static inline uint64_t clock_muldiv(uint64_t a, uint64_t b, uint64_t c)
{
    return (uint64_t)((unsigned __int128)a * b / c);
}
