/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Routes of all tables, and policy rules (to look at).
 *
 * struct hostnet_route says what labs set and what matters when an uplink is moved. What it cannot say
 * (multipath next hops, encapsulations, metrics other than the MTU) is kept verbatim by dump.h. Thread and
 * error rules: link.h.
 */
#pragma once

#include "hostnet/address.h"

struct hostnet_route {
    struct hostnet_prefix destination; /* length 0: the default route; the family is always set */
    struct hostnet_address gateway;    /* AF_UNSPEC: on link */
    uint32_t index;                    /* out link; 0: by the gateway, or none (blackhole, multipath) */
    struct hostnet_address source;     /* preferred source; AF_UNSPEC: the kernel's choice */
    uint32_t metric;                   /* priority; adding: 0 means 0 (IPv4) or 1024 (IPv6) */
    uint32_t table;                    /* adding: 0 means main */
    uint8_t protocol;                  /* RTPROT_*; adding: 0 means RTPROT_STATIC */
    uint8_t scope;                     /* RT_SCOPE_*; adding: link when there is no gateway, else universe */
    uint8_t type;                      /* RTN_*; adding: 0 means RTN_UNICAST */
    uint32_t flags;                    /* RTNH_F_ONLINK, … */
    uint32_t mtu;                      /* 0: none set */
    uint32_t hops;                     /* listing only: next hops of a multipath route, else 0 or 1 */
};

/* EXISTS when the very same is there. The kernel's reason is in the text (e.g. "Nexthop has invalid
 * gateway"). */
bool hostnet_route_add(struct hostnet *net, const struct hostnet_route *route, GError **error);
/* Adds it, or replaces the one with the same destination, metric and table. */
bool hostnet_route_replace(struct hostnet *net, const struct hostnet_route *route, GError **error);
/* Every field that is set must agree. True also when there is none such. */
bool hostnet_route_remove(struct hostnet *net, const struct hostnet_route *route, GError **error);
/* GArray of struct hostnet_route, IPv4 before IPv6; table 0: all tables; index 0: all links. Cached clones
 * are left out. */
GArray *hostnet_route_list(struct hostnet *net, uint32_t table, uint32_t index, GError **error);

struct hostnet_rule {
    uint8_t family;
    uint32_t priority;
    struct hostnet_prefix source, destination; /* family AF_UNSPEC: any */
    char input[HOSTNET_NAME_MAX + 1], output[HOSTNET_NAME_MAX + 1];
    uint32_t mark, mask;
    uint32_t table;
    uint8_t action; /* FR_ACT_* */
};
/* GArray of struct hostnet_rule, by family and priority. */
GArray *hostnet_rule_list(struct hostnet *net, GError **error);
