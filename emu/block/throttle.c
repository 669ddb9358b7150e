/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Limits of the rate: leaky buckets, for one drive or for several of a group. Guest time, machine's thread.
 *
 * A bucket is filled by what requests move (bytes, or requests; `io_size` makes a large request count as
 * several) and leaks at its rate. A request may begin while no bucket that it fills is over its brim; it then
 * fills them, even above it, so that a request of any size gets its turn. The brim is a tenth of a second's
 * worth; with a burst rate it is `seconds` of the burst, and a second, small bucket that leaks at the burst
 * rate keeps the rest to that.
 *
 * Who has to wait asks again after the time it was told; drives of a group share the buckets, so that may be
 * too early once more.
 */
#include "emu/block/throttle.h"

#include "emu/machine/clock.h"

#include <gio/gio.h>
#include <math.h>

enum { LEVEL_SCALE = 1000, OVER_BRIM_MOST = 64 << 20 }; /* a request is not larger than that */

struct bucket {
    double level, burst_level;
};

struct block_throttle {
    unsigned references;
    char *group;
    struct clock *clock;
    struct block_limits limits;
    struct bucket buckets[BLOCK_LIMITS];
    int64_t leaked; /* when the levels were right */
};

static const bool counts_bytes[BLOCK_LIMITS] = {
    [BLOCK_BPS] = true, [BLOCK_BPS_READ] = true, [BLOCK_BPS_WRITE] = true};

struct block_throttle *block_throttle_new(const char *group, struct clock *clock)
{
    struct block_throttle *t = g_new0(struct block_throttle, 1);
    t->references = 1;
    t->group = g_strdup(group);
    t->clock = clock;
    t->leaked = clock_now(clock);
    return t;
}

struct block_throttle *block_throttle_ref(struct block_throttle *t)
{
    t->references++;
    return t;
}

void block_throttle_unref(struct block_throttle *t)
{
    if (!t || --t->references)
        return;
    g_free(t->group);
    g_free(t);
}

const char *block_throttle_group(const struct block_throttle *t)
{
    return t->group;
}

struct clock *block_throttle_clock(struct block_throttle *t)
{
    return t->clock;
}

const struct block_limits *block_throttle_limits(const struct block_throttle *t)
{
    return &t->limits;
}

static bool refuse(GError **error, const char *text)
{
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, text);
    return false;
}

bool block_limits_check(const struct block_limits *l, GError **error)
{
    if ((l->rate[BLOCK_BPS] && (l->rate[BLOCK_BPS_READ] || l->rate[BLOCK_BPS_WRITE])) ||
        (l->rate[BLOCK_IOPS] && (l->rate[BLOCK_IOPS_READ] || l->rate[BLOCK_IOPS_WRITE])) ||
        (l->burst[BLOCK_BPS] && (l->burst[BLOCK_BPS_READ] || l->burst[BLOCK_BPS_WRITE])) ||
        (l->burst[BLOCK_IOPS] && (l->burst[BLOCK_IOPS_READ] || l->burst[BLOCK_IOPS_WRITE])))
        return refuse(error,
                      "a total and one of reads or writes cannot be limited at the same time: bps or bps_rd "
                      "and bps_wr, iops or iops_rd and iops_wr");
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        if (l->rate[i] > BLOCK_RATE_MOST || l->burst[i] > BLOCK_RATE_MOST)
            return refuse(error, "bps and iops values must be at most 1e15");
        if (l->burst[i] && !l->rate[i])
            return refuse(error, "bps_max and iops_max need the matching bps or iops");
        if (l->burst[i] && l->burst[i] < l->rate[i])
            return refuse(error, "bps_max and iops_max cannot be lower than bps and iops");
        if (l->seconds[i] > 1 && !l->burst[i])
            return refuse(error, "a burst's length needs the matching bps_max or iops_max");
        if (l->seconds[i] > BLOCK_BURST_SECONDS_MOST)
            return refuse(error, "a burst's length must be at most 1000000 seconds");
    }
    if (l->io_size && !l->rate[BLOCK_IOPS] && !l->rate[BLOCK_IOPS_READ] && !l->rate[BLOCK_IOPS_WRITE])
        return refuse(error, "iops_size needs iops, iops_rd or iops_wr");
    return true;
}

bool block_throttle_set(struct block_throttle *t, const struct block_limits *limits, GError **error)
{
    if (!block_limits_check(limits, error))
        return false;
    t->limits = *limits;
    for (unsigned i = 0; i < BLOCK_LIMITS; i++)
        t->buckets[i] = (struct bucket){0};
    t->leaked = clock_now(t->clock);
    return true;
}

static void leak(struct block_throttle *t)
{
    int64_t now = clock_now(t->clock);
    double seconds = (double)MAX(now - t->leaked, 0) / NANOSECONDS;
    t->leaked = now;
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        struct bucket *b = &t->buckets[i];
        b->level = MAX(b->level - seconds * (double)t->limits.rate[i], 0);
        b->burst_level = MAX(b->burst_level - seconds * (double)t->limits.burst[i], 0);
    }
}

static bool fills(unsigned limit, bool write)
{
    switch ((enum block_limit)limit) {
    case BLOCK_BPS:
    case BLOCK_IOPS:
        return true;
    case BLOCK_BPS_READ:
    case BLOCK_IOPS_READ:
        return !write;
    case BLOCK_BPS_WRITE:
    case BLOCK_IOPS_WRITE:
        return write;
    case BLOCK_LIMITS:
        break;
    }
    return false;
}

static double brim_of(const struct block_limits *limits, unsigned i)
{
    double rate = (double)limits->rate[i], burst = (double)limits->burst[i];
    return burst > 0 ? burst * MAX(limits->seconds[i], 1u) : rate / 10;
}

void block_throttle_levels(struct block_throttle *t, uint64_t levels[BLOCK_LEVELS])
{
    leak(t);
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        levels[2 * i] = (uint64_t)MIN(t->buckets[i].level * LEVEL_SCALE, 1e19);
        levels[2 * i + 1] = (uint64_t)MIN(t->buckets[i].burst_level * LEVEL_SCALE, 1e19);
    }
}

void block_throttle_set_levels(struct block_throttle *t, const uint64_t levels[BLOCK_LEVELS])
{
    t->leaked = clock_now(t->clock);
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        double most = t->limits.rate[i] ? brim_of(&t->limits, i) + OVER_BRIM_MOST : 0;
        t->buckets[i].level = MIN((double)levels[2 * i] / LEVEL_SCALE, most);
        t->buckets[i].burst_level = MIN((double)levels[2 * i + 1] / LEVEL_SCALE, most);
    }
}

int64_t block_throttle_wait(struct block_throttle *t, bool write)
{
    double most = 0;
    leak(t);
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        double rate = (double)t->limits.rate[i], burst = (double)t->limits.burst[i];
        if (!fills(i, write) || rate <= 0)
            continue;
        most = MAX(most, (t->buckets[i].level - brim_of(&t->limits, i)) / rate);
        if (burst > 0 && t->limits.seconds[i] > 1)
            most = MAX(most, (t->buckets[i].burst_level - burst / 10) / burst);
    }
    return most > 0 ? (int64_t)MIN(ceil(most * NANOSECONDS), 1e18) : 0;
}

void block_throttle_take(struct block_throttle *t, bool write, uint64_t bytes)
{
    double requests = 1;
    if (t->limits.io_size && bytes > t->limits.io_size)
        requests = (double)bytes / (double)t->limits.io_size;
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        double units = counts_bytes[i] ? (double)bytes : requests;
        if (!fills(i, write) || !t->limits.rate[i])
            continue;
        t->buckets[i].level += units;
        t->buckets[i].burst_level += units;
    }
}
