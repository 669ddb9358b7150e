/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A bad line: delay, jitter, loss, doubles, damage, overtaking and a rate, for the frames that one port
 * sends.
 *
 * An impairment sits between a port and its cable (net_port_impair), so it can come, change and go while
 * frames are on their way, without the guest seeing a link go down. What is on its way waits in one queue of
 * at most `limit` frames; what finds it full is lost and counted, as on a router. Bursts are cut before (a
 * frame on the line is a frame), so it costs more than a bare cable.
 *
 * Order on the line: lost? → rate (frames go one after the other, each as long as its bytes take) → delay and
 * jitter. Jitter alone lets no frame overtake another, other than tc-netem's: overtaking is `reorder`, the
 * share of frames that skip delay and queue. Damage flips one bit; a double follows its original.
 *
 * Everything random comes from one generator with a seed, in the order of the frames: the same frames with
 * the same seed meet the same fate. Times are guest time: exact to the loop's timers, well below 1 ms.
 *
 * Sources: tc-netem(8) for the terms; E. N. Gilbert, "Capacity of a burst-noise channel", 1960.
 */
#pragma once

#include "emu/net/backend.h"

struct clock;

enum net_jitter { NET_JITTER_UNIFORM, NET_JITTER_NORMAL, NET_JITTER_PARETO, NET_JITTER_COUNT };

/* A plain value. All zero but for limit: nothing is impaired. */
struct net_impairment {
    uint64_t delay_ns;  /* one way */
    uint64_t jitter_ns; /* uniform: delay ± jitter; normal: its standard deviation; pareto: its mean, added */
    enum net_jitter distribution;
    double loss;       /* share, 0…1 */
    double loss_burst; /* mean number of frames that are lost in a row; 0 or 1: each by itself */
    double duplicate, corrupt, reorder; /* shares, 0…1 */
    uint64_t rate;  /* bit/s, with 24 bytes of preamble, FCS and gap a frame; 0: as fast as can be */
    unsigned limit; /* frames in the queue */
    bool has_seed;
    uint64_t seed;
};
enum { NET_IMPAIR_LIMIT = 1000, NET_IMPAIR_LIMIT_MOST = 100000 };

/* "delay=20ms,jitter=2ms,distribution=normal,loss=1%,burst=3,duplicate=0.1%,corrupt=0.01%,reorder=1%,rate=10M,
 * limit=100,seed=7", or "off". Times take s, ms, us, ns (ms unless said); shares % or a fraction; rates bit/s
 * with K, M, G (powers of 1000). Errors name the word and what is wanted. */
bool net_impairment_parse(const char *text, struct net_impairment *impairment, GError **error);
/* The same words, those that are not zero; "off". Owned by the caller. */
char *net_impairment_format(const struct net_impairment *impairment);

struct net_impair_counters {
    uint64_t frames; /* that came in, bursts cut */
    uint64_t lost, overflow, duplicated, corrupted, reordered;
    unsigned queued, most_queued;
};

/* Impairs what `port` sends from now on; frames on their way keep their times. `impairment` all zero takes it
 * away once the queue is empty. Machine thread. */
void net_port_impair(struct net_port *port, struct clock *clock, const struct net_impairment *impairment);
/* False: the port is not impaired. Either pointer may be NULL. */
bool net_port_impairment(const struct net_port *port, struct net_impairment *impairment,
                         struct net_impair_counters *counters);

/* ---- for port.c ---- */
struct net_impair;
enum net_result net_impair_send(struct net_impair *impair, const struct net_frame *frame);
void net_impair_room(struct net_impair *impair); /* the peer has room again */
void net_impair_free(struct net_impair *impair);
struct net_impair **net_port_impair_slot(struct net_port *port);
/* net_send() past the impairment. */
enum net_result net_deliver(struct net_port *port, const struct net_frame *frame);
