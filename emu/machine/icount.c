/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * -icount: see icount.h. The CPU counts (cpu/icount.h); this makes time of it.
 *
 *   guest time = base_time + (instructions - base_count) * 2^shift
 *
 * A run ends exactly at the next deadline, so timers fire at the same instruction each time. While the guest
 * is halted nothing is counted, and time is moved by hand: with sleep=on as host time passes, and to the
 * deadline itself at its end, so that how well the host slept is not to be seen; with sleep=off at once. What
 * comes from outside (frames, keys, QMP) comes when it comes; disks are told to answer at fixed guest times
 * (pc.c).
 *
 * shift=auto compares guest time with host time every 100 ms and moves shift by one towards it.
 */
#include "emu/machine/icount.h"

#include "emu/trace.h"

enum {
    RUN_MOST = 1 << 24, /* instructions; then what is pending outside is looked at, if nothing else did */
    AUTO_FIRST = 3,
    AUTO_PERIOD = 100000000, /* ns */
    AUTO_WOBBLE = 20000000,  /* ns: this far from host time is near enough */
    ALIGN_AHEAD = 3000000,   /* ns ahead of host time before it waits */
    ALIGN_PERIOD = 10000000, /* ns of guest time between two looks at host time */
    WARN_LATE = 500000000,   /* ns behind it before it is said */
    WARN_MOST = 100,
};

struct icount {
    struct icount_config config;
    struct cpu *cpu;
    struct clock *clock;
    struct loop *loop;
    unsigned shift;
    int64_t base_time;
    uint64_t base_count;
    int64_t host_offset; /* host time less guest time at the start, or after the machine was stopped */
    bool running;        /* since then */
    int64_t looked, lead_before;
    int64_t said;    /* how late the guest was when it was last said */
    int64_t said_at; /* host time then */
    unsigned warnings;
};

static int64_t host_now(void)
{
    return g_get_monotonic_time() * 1000;
}

static int64_t now(void *opaque)
{
    struct icount *ic = opaque;
    return ic->base_time + (int64_t)((cpu_icount(ic->cpu) - ic->base_count) << ic->shift);
}

/* Time moves though nothing is executed. */
static void move(struct icount *ic, int64_t by)
{
    ic->base_time = now(ic) + by;
    ic->base_count = cpu_icount(ic->cpu);
}

/* Instructions until the next deadline, at least `least`. */
static uint64_t until_deadline(struct icount *ic, uint64_t least)
{
    int64_t deadline = clock_next_deadline(ic->clock);
    uint64_t most = ic->config.align ? CLAMP((uint64_t)ALIGN_PERIOD >> ic->shift, 1, RUN_MOST) : RUN_MOST;
    if (deadline == CLOCK_NEVER)
        return most;
    int64_t left = deadline - clock_now(ic->clock);
    if (left <= 0)
        return least;
    uint64_t run = ((uint64_t)left + (UINT64_C(1) << ic->shift) - 1) >> ic->shift;
    return CLAMP(run, least, most);
}

/* A new earliest deadline, perhaps from the middle of an instruction. */
static void rearm(void *opaque)
{
    struct icount *ic = opaque;
    cpu_icount_until(ic->cpu, cpu_icount(ic->cpu) + until_deadline(ic, 1));
}

struct icount *icount_new(const struct icount_config *config, struct cpu *cpu, struct clock *clock,
                          struct loop *loop)
{
    struct icount *ic = g_new0(struct icount, 1);
    *ic = (struct icount){.config = *config, .cpu = cpu, .clock = clock, .loop = loop};
    ic->shift = config->shift == ICOUNT_SHIFT_AUTO ? AUTO_FIRST : (unsigned)config->shift;
    cpu_set_icount(cpu);
    clock_set_source(clock, now, ic);
    clock_set_rearm(clock, rearm, ic);
    return ic;
}

void icount_free(struct icount *ic)
{
    if (!ic)
        return;
    clock_set_source(ic->clock, NULL, NULL);
    clock_set_rearm(ic->clock, NULL, NULL);
    g_free(ic);
}

void icount_resume(struct icount *ic)
{
    ic->running = false;
}

/* How far guest time is ahead of host time since the machine was started. */
static int64_t lead(struct icount *ic)
{
    int64_t time = clock_now(ic->clock), host = host_now();
    if (!ic->running) {
        ic->host_offset = host - time;
        ic->running = true;
    }
    ic->looked = host;
    return time - (host - ic->host_offset);
}

bool icount_begin(struct icount *ic)
{
    int64_t ahead = !ic->running || ic->config.align ? lead(ic) : 0; /* both clocks start here */
    if (ic->config.align && ahead > ALIGN_AHEAD) {
        loop_wait(ic->loop,
                  ahead); /* an event may end that early: the guest runs only when it is no longer ahead */
        return false;
    }
    uint64_t run = until_deadline(ic, 0);
    if (run)
        cpu_icount_until(ic->cpu, cpu_icount(ic->cpu) + run);
    return run != 0;
}

static void adapt(struct icount *ic)
{
    int64_t ahead = lead(ic);
    unsigned shift = ic->shift;
    if (ahead > AUTO_WOBBLE && ahead >= ic->lead_before && shift > 0)
        shift--;
    else if (ahead < -AUTO_WOBBLE && ahead <= ic->lead_before && shift < ICOUNT_SHIFT_MOST)
        shift++;
    ic->lead_before = ahead;
    if (shift == ic->shift)
        return;
    trace(LOOP, "icount: %.3f s ahead of the host, shift %u instead of %u", (double)ahead / 1e9, shift,
          ic->shift);
    move(ic, 0);
    ic->shift = shift;
}

static void warn_late(struct icount *ic)
{
    int64_t ahead = lead(ic);
    if (-ahead < WARN_LATE || (-ahead < ic->said + WARN_LATE && ic->said < -ahead + WARN_LATE) ||
        host_now() < ic->said_at + 2 * NANOSECONDS || ic->warnings >= WARN_MOST)
        return;
    ic->warnings++;
    ic->said = -ahead;
    ic->said_at = host_now();
    g_printerr(
        "netlab-emu: warning: -icount align=on: the guest is %.1f s late; this host does not execute an "
        "instruction in %u ns (a larger shift= asks less of it)\n",
        (double)-ahead / 1e9, 1u << ic->shift);
}

void icount_ran(struct icount *ic)
{
    if (ic->config.align)
        warn_late(ic);
    else if (ic->config.shift == ICOUNT_SHIFT_AUTO && host_now() - ic->looked >= AUTO_PERIOD)
        adapt(ic);
}

void icount_halted(struct icount *ic)
{
    int64_t time = clock_now(ic->clock), start = host_now(), deadline = clock_next_deadline(ic->clock);
    if (ic->config.sleep || deadline == CLOCK_NEVER)
        loop_wait(ic->loop, -1);
    if (ic->config.sleep) {
        int64_t passed = host_now() - start;
        deadline = clock_next_deadline(ic->clock); /* what woke it may have changed that */
        if (deadline - time > passed) {
            move(ic, passed);
            return;
        }
    }
    if (deadline == CLOCK_NEVER)
        return;
    move(ic, MAX(deadline - time, 0));
    loop_dispatch(ic->loop);
}

void icount_describe(struct icount *ic, GString *out)
{
    g_string_append_printf(out, "icount          %" G_GUINT64_FORMAT " instructions, shift %u%s\n",
                           cpu_icount(ic->cpu), ic->shift,
                           ic->config.shift == ICOUNT_SHIFT_AUTO ? " (auto)" : "");
}
