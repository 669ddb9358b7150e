/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The queue of a bad line. See impair.h for what a frame meets in which order.
 *
 * The queue is sorted by due time; a frame's due time is never before that of the one in front of it, so it
 * is a plain FIFO, and one timer stands on its head. A frame that overtakes is sent at once from send() and
 * never queued. When the peer has no room the head stays, and net_room() goes on with it; what is due
 * meanwhile follows at once then.
 *
 * A frame's bytes are copied when it comes in: its memory is the sender's. Frames of a hostile guest are
 * bounded by the queue's limit times NET_FRAME_MAX, and by QUEUE_BYTES_MOST in all.
 */
#include "emu/net/impair.h"
#include "emu/machine/clock.h"
#include "emu/net/frame.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <math.h>
#include <string.h>

enum {
    LINE_OVERHEAD = 24, /* preamble, start, FCS, gap */
    QUEUE_BYTES_MOST = 64 << 20,
    PARETO_SHAPE = 3, /* as netem's table */
};
#define NS_PER_SECOND 1000000000ull

struct queued {
    struct queued *next;
    int64_t due;
    size_t length;
    struct net_offload offload;
    uint8_t bytes[];
};

struct net_impair {
    struct net_port *port;
    struct clock *clock;
    struct clock_timer *timer;
    struct net_impairment settings;
    struct net_impair_counters counters;
    struct queued *head, *tail;
    size_t bytes;
    int64_t line_free, last_due; /* when the line is free again; due time of the last frame */
    bool is_bad;                 /* Gilbert's bad state */
    bool is_blocked;             /* the peer has no room */
    uint64_t random;
};

/* ---- chance ---- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(struct net_impair *impair)
{
    uint64_t z = impair->random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static double draw_unit(struct net_impair *impair)
{
    return (double)(draw(impair) >> 11) * 0x1p-53;
}

/* Draws even when the share is zero, so that a change of one setting does not shift the others' fates. */
static bool happens(struct net_impair *impair, double share)
{
    return draw_unit(impair) < share;
}

static bool is_lost(struct net_impair *impair)
{
    const struct net_impairment *s = &impair->settings;
    double chance = draw_unit(impair);
    if (s->loss <= 0)
        return false;
    if (s->loss_burst <= 1 || s->loss >= 1)
        return chance < s->loss;
    /* Good → bad with p, bad → good with r; all is lost in the bad state: loss = p / (p + r), burst = 1 / r.
     */
    double r = 1 / s->loss_burst, p = MIN(r * s->loss / (1 - s->loss), 1);
    impair->is_bad = impair->is_bad ? chance >= r : chance < p;
    return impair->is_bad;
}

static int64_t draw_delay(struct net_impair *impair)
{
    const struct net_impairment *s = &impair->settings;
    double u = draw_unit(impair), v = draw_unit(impair), offset = 0;
    switch (s->distribution) {
    case NET_JITTER_UNIFORM:
        offset = (2 * u - 1) * (double)s->jitter_ns;
        break;
    case NET_JITTER_NORMAL:
        offset = sqrt(-2 * log(1 - u)) * cos(2 * G_PI * v) * (double)s->jitter_ns;
        break;
    case NET_JITTER_PARETO:
        offset = (pow(1 - u, -1.0 / PARETO_SHAPE) - 1) * (PARETO_SHAPE - 1) * (double)s->jitter_ns;
        break;
    case NET_JITTER_COUNT:
        break;
    }
    double delay = (double)s->delay_ns + offset;
    return delay > 0 ? (int64_t)MIN(delay, 3600e9) : 0;
}

/* ---- the queue ---- */

static void set_timer(struct net_impair *impair)
{
    clock_timer_set(impair->timer, impair->head && !impair->is_blocked ? impair->head->due : CLOCK_NEVER);
}

static bool is_idle(const struct net_impairment *s)
{
    return !s->delay_ns && !s->jitter_ns && s->loss <= 0 && s->duplicate <= 0 && s->corrupt <= 0 &&
           s->reorder <= 0 && !s->rate;
}

/* Sends what is due. */
static void flush(struct net_impair *impair)
{
    int64_t now = clock_now(impair->clock);
    while (impair->head && impair->head->due <= now) {
        struct queued *head = impair->head;
        struct iovec iov = {.iov_base = head->bytes, .iov_len = head->length};
        struct net_frame frame = {.iov = &iov, .count = 1, .length = head->length, .offload = head->offload};
        if (net_deliver(impair->port, &frame) == NET_FULL) {
            impair->is_blocked = true;
            break;
        }
        impair->head = head->next;
        if (!impair->head)
            impair->tail = NULL;
        impair->bytes -= head->length;
        impair->counters.queued--;
        g_free(head);
    }
    set_timer(impair);
}

static void fire(void *opaque)
{
    struct net_impair *impair = opaque;
    flush(impair);
}

void net_impair_room(struct net_impair *impair)
{
    impair->is_blocked = false;
    flush(impair);
}

static void enqueue(struct net_impair *impair, const struct net_frame *frame, int64_t due, bool is_corrupt)
{
    if (impair->counters.queued >= impair->settings.limit ||
        impair->bytes + frame->length > QUEUE_BYTES_MOST) {
        impair->counters.overflow++;
        net_drop(impair->port, NET_DROP_QUEUE);
        return;
    }
    struct queued *item = g_malloc(sizeof *item + frame->length);
    *item = (struct queued){
        .due = MAX(due, impair->last_due), .length = frame->length, .offload = frame->offload};
    net_iov_copy(frame->iov, frame->count, 0, item->bytes, frame->length);
    if (is_corrupt) {
        uint64_t bit = draw(impair) % (frame->length * 8);
        item->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        item->offload = (struct net_offload){0}; /* nobody vouches for it any more */
        impair->counters.corrupted++;
    }
    impair->last_due = item->due;
    if (impair->tail)
        impair->tail->next = item;
    else
        impair->head = item;
    impair->tail = item;
    impair->bytes += item->length;
    impair->counters.queued++;
    impair->counters.most_queued = MAX(impair->counters.most_queued, impair->counters.queued);
}

/* One complete frame. */
static enum net_result take(void *opaque, const struct net_frame *frame)
{
    struct net_impair *impair = opaque;
    const struct net_impairment *s = &impair->settings;
    int64_t now = clock_now(impair->clock), due = now;
    impair->counters.frames++;
    bool lost = is_lost(impair), doubled = happens(impair, s->duplicate),
         corrupt = happens(impair, s->corrupt), overtakes = happens(impair, s->reorder);
    int64_t delay = draw_delay(impair);
    if (lost) {
        impair->counters.lost++;
        net_drop(impair->port, NET_DROP_IMPAIRED);
        return NET_SENT;
    }
    if (overtakes && !corrupt && impair->head && !impair->is_blocked) {
        impair->counters.reordered++;
        if (net_deliver(impair->port, frame) == NET_FULL)
            net_drop(impair->port, NET_DROP_QUEUE);
        return NET_SENT;
    }
    if (s->rate) {
        uint64_t bits = 8 * ((uint64_t)frame->length + LINE_OVERHEAD);
        impair->line_free = MAX(impair->line_free, now) + (int64_t)clock_muldiv(bits, NS_PER_SECOND, s->rate);
        due = impair->line_free;
    }
    uint64_t before = impair->counters.overflow;
    enqueue(impair, frame, due + delay, corrupt);
    if (s->rate && impair->counters.overflow != before)
        impair->line_free -= (int64_t)clock_muldiv(8 * ((uint64_t)frame->length + LINE_OVERHEAD),
                                                   NS_PER_SECOND, s->rate); /* it never took the line */
    if (doubled) {
        impair->counters.duplicated++;
        enqueue(impair, frame, due + delay, false);
    }
    return NET_SENT;
}

enum net_result net_impair_send(struct net_impair *impair, const struct net_frame *frame)
{
    struct net_port *port = impair->port;
    /* What the cable refuses is refused here, so that the sender hears of it. */
    if (!net_peer(port) || !net_link(port) || frame->length < NET_FRAME_MIN ||
        frame->length > NET_FRAME_MAX || frame->count == 0 || frame->count > NET_IOV_MAX + 1)
        return net_deliver(port, frame);
    enum net_result result =
        net_frame_unfinished(frame, 0) ? net_frame_finish(frame, 0, take, impair) : take(impair, frame);
    if (result == NET_DROPPED)
        net_drop(port, NET_DROP_ERROR);
    flush(impair);
    return result;
}

/* ---- coming, changing, going ---- */

void net_impair_free(struct net_impair *impair)
{
    if (!impair)
        return;
    for (struct queued *item = impair->head; item;) {
        struct queued *next = item->next;
        g_free(item);
        item = next;
    }
    clock_timer_free(impair->timer);
    g_free(impair);
}

void net_port_impair(struct net_port *port, struct clock *clock, const struct net_impairment *impairment)
{
    struct net_impair **slot = net_port_impair_slot(port), *impair = *slot;
    if (!impair && is_idle(impairment))
        return;
    if (!impair) {
        impair = *slot = g_new0(struct net_impair, 1);
        impair->port = port;
        impair->clock = clock;
        impair->timer = clock_timer_new(clock, fire, impair);
    }
    impair->settings = *impairment;
    if (!impair->settings.limit)
        impair->settings.limit = NET_IMPAIR_LIMIT;
    if (!impair->settings.has_seed)
        impair->settings.seed = (uint64_t)g_random_int() << 32 | g_random_int();
    impair->random = impair->settings.seed;
    impair->is_bad = false;
    impair->line_free = 0;
    if (is_idle(impairment) && !impair->head) {
        *slot = NULL;
        net_impair_free(impair);
    }
    trace(NET, "%s: impaired anew, seed %" G_GUINT64_FORMAT, net_port_id(port), impairment->seed);
}

bool net_port_impairment(const struct net_port *port, struct net_impairment *impairment,
                         struct net_impair_counters *counters)
{
    const struct net_impair *impair = *net_port_impair_slot((struct net_port *)port);
    if (!impair || (is_idle(&impair->settings) && !impair->head))
        return false;
    if (impairment)
        *impairment = impair->settings;
    if (counters)
        *counters = impair->counters;
    return true;
}
