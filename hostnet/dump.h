/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Raw messages: what must survive word for word.
 *
 * A dump is the kernel's answer to a GET request, message by message, every attribute as it came. Addresses,
 * routes and policy rules can be stored (GBytes: netlink messages one after the other, 4-byte aligned, host
 * byte order) and replayed later, in the same boot or on another link: the replay rewrites header, link index
 * and remaining lifetimes, and leaves every other attribute alone. (libmnl)
 */
#pragma once

#include "hostnet/hostnet.h"

enum hostnet_dump_kind {
    HOSTNET_DUMP_LINKS,
    HOSTNET_DUMP_ADDRESSES,
    HOSTNET_DUMP_ROUTES, /* all tables, IPv4 and IPv6 */
    HOSTNET_DUMP_RULES,
    HOSTNET_DUMP_QDISCS,
    HOSTNET_DUMP_NEIGHBOURS, /* those that this host answers for (NTF_PROXY) too */
    HOSTNET_DUMP_BRIDGE_ENTRIES,
    HOSTNET_DUMP_NFT_TABLES, /* nfnetlink: tables, chains, rules, sets; empty where there is no nf_tables */
    HOSTNET_DUMP_KIND_COUNT
};

/* All messages of one kind, in the kernel's order. A dump that was interrupted by a change is taken again. */
GBytes *hostnet_dump_take(struct hostnet *net, enum hostnet_dump_kind kind, GError **error);

/* Only those that speak of link `index`. For LINKS, ADDRESSES, QDISCS, ROUTES (as out link or a next hop),
 * NEIGHBOURS (permanent ones, and those that this host answers for). */
GBytes *hostnet_dump_filter(GBytes *dump, uint32_t index);

/* Of RULES, those whose input or output link has this name. */
GBytes *hostnet_dump_filter_rules(GBytes *dump, const char *name);

unsigned hostnet_dump_count(GBytes *dump);

/* The addresses of a dump as a set of texts ("10.1.0.7/24"), temporary ones left out. */
GHashTable *hostnet_dump_address_set(GBytes *dump);

/* The routes of a dump that somebody has set, as a set of texts ("10.9.0.0/16 via 192.0.2.9 metric 50")
 * without their link: not the kernel's own (of addresses, router advertisements, redirects) nor those of the
 * `local` table. */
GHashTable *hostnet_dump_route_set(GBytes *dump);

/* Those of its routes that somebody has set, and whose text is not in `ours`, another dump. */
GBytes *hostnet_dump_filter_foreign_routes(GBytes *dump, GBytes *ours);

/* From now on routes that come are noted: a fd (owned by the caller), -1 on error. Take: those that came by
 * link `index` until now, as a dump; -1 for the fd gives an empty one. */
int hostnet_route_watch_open(struct hostnet *net, GError **error);
GBytes *hostnet_route_watch_take(int fd, uint32_t index);

/* The queueing disciplines of a dump that a virtual link has not by itself, as a set of names ("tbf"). */
GHashTable *hostnet_dump_qdisc_set(GBytes *dump);

/* Puts stored addresses, routes, neighbours or rules back, those of link `from` onto link `to` (0, 0: as they
 * are).
 * `elapsed` seconds are taken off address lifetimes; those that ran out are left out. Routes go in dependency
 * order: on link first, then through gateways; ones that are there already are fine. Rules name links, so
 * those of `from`, which must be there still, get the name of `to`. Routes of the `local` table are the
 * kernel's own and skipped. Returns how many were put back; -1 with the first refusal, after trying all.
 */
int hostnet_dump_replay(struct hostnet *net, GBytes *dump, uint32_t from, uint32_t to, uint32_t elapsed,
                        GError **error);

/* Makes addresses that hostnet_dump_replay() has put back stand in the dump's order, which is the order in
 * which the kernel chooses a source: one that was refused at first stands behind the others. Those out of
 * order are removed and put back, and then the link's routes. A family in which others have an address on the
 * link is left as it is. Arguments as for hostnet_dump_replay(). */
bool hostnet_dump_order_addresses(struct hostnet *net, GBytes *addresses, uint32_t from, uint32_t to,
                                  uint32_t elapsed, GError **error);

/* hostnet_dump_replay() for routes that are there still by `from`: those by `to` come beside them. */
int hostnet_dump_replay_beside(struct hostnet *net, GBytes *routes, uint32_t from, uint32_t to,
                               GError **error);

/* Removes what a dump lists, where it is still there: routes (first those through gateways), addresses,
 * rules. In rules links called `from` are called `to` (NULL, NULL: as they are). Routes of the `local` table
 * are left alone. False with the first refusal, after trying all. */
bool hostnet_dump_remove(struct hostnet *net, GBytes *dump, const char *from, const char *to, GError **error);
