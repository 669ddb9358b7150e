/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * NAT by the kernel: one nftables table for each network that goes out through the host.
 *
 * A table is made by ONE nf_tables transaction and removed by one: it is there whole or not at all, whatever
 * dies when. It carries its owner mark as the comment that `nft list table inet NAME` shows, so it can be
 * found and told apart when every record of it is lost. What is in it:
 *
 *     chain out      nat postrouting: from inside, leaving by another link than the inside one: masquerade
 *     chain in       nat prerouting:  forwards, for packets to an address of this host
 *     chain own      nat output:      the same for this host's own packets (not to 127.0.0.1 and ::1: the
 *                                     kernel never routes those away)
 *     chain between  filter forward:  counts what passes in each direction; accepts nothing and drops nothing
 *
 * It does not change anybody else's rules: where another table drops forwarded packets (Docker's FORWARD
 * policy, firewalld), that still holds; hostnet_nat_find_obstacles() says so. Forwarding itself is a sysctl
 * (sysctl.h) and up to the caller. (libmnl)
 *
 * Thread and error rules: link.h. UNSUPPORTED: this kernel lacks nf_tables or one of the expressions nat,
 * masq, fib, ct. Source: linux/netfilter/nf_tables.h; nft(8).
 */
#pragma once

#include "hostnet/address.h"

/* "from: any address of this host, TCP port 8080; to: 10.1.0.2 port 80". */
struct hostnet_nat_forward {
    uint8_t protocol;             /* IPPROTO_TCP, IPPROTO_UDP */
    struct hostnet_address host;  /* AF_UNSPEC: any address of this host, of the guest address's family */
    uint16_t host_port;           /* 1…65535 */
    struct hostnet_address guest; /* required; on one of the inside networks */
    uint16_t guest_port;          /* 1…65535 */
};

#define HOSTNET_NAT_TABLE_MAX 31 /* characters of a table's name */
enum { HOSTNET_NAT_INSIDE_MAX = 8, HOSTNET_NAT_FORWARDS_MAX = 256 };

struct hostnet_nat_spec {
    const char *table; /* name of the table: letters, digits, '_', beginning with a letter */
    const char *mark;  /* from hostnet_mark_format() */
    const char *link;  /* name of the host's link to the inside */
    const struct hostnet_prefix *inside; /* networks behind it, IPv4 or IPv6 */
    unsigned inside_count;               /* 1…HOSTNET_NAT_INSIDE_MAX */
    const struct hostnet_nat_forward *forwards;
    unsigned forward_count; /* 0…HOSTNET_NAT_FORWARDS_MAX */
};

/* Which table: complete before the kernel is asked, so that a journal can hold it in the intent row. */
struct hostnet_nat_identity {
    char table[HOSTNET_NAT_TABLE_MAX + 1];
    char mark[HOSTNET_MARK_MAX + 1];
    char boot_id[HOSTNET_BOOT_ID_MAX + 1];
    uint64_t netns;
};

bool hostnet_nat_plan(struct hostnet *net, const struct hostnet_nat_spec *spec,
                      struct hostnet_nat_identity *identity, GError **error);

/* EXISTS when a table of that name is there, whoever made it; nothing is changed then. */
bool hostnet_nat_create(struct hostnet *net, const struct hostnet_nat_spec *spec, GError **error);

/* Removes exactly this table. True also when it is gone (no such table, or of an earlier boot). NOT_OURS when
 * the table of that name carries another mark. */
bool hostnet_nat_delete(struct hostnet *net, const struct hostnet_nat_identity *identity, GError **error);

bool hostnet_nat_check(struct hostnet *net, const struct hostnet_nat_identity *identity,
                       enum hostnet_presence *presence, GError **error);

/* All tables that carry a mark of `lab` (NULL: of any lab): GArray of struct hostnet_nat_identity. */
GArray *hostnet_nat_list_marked(struct hostnet *net, const char *lab, GError **error);

/* "BOOT/NETNS/TABLE/MARK", for a journal. Owned by the caller. */
char *hostnet_nat_identity_format(const struct hostnet_nat_identity *identity);
bool hostnet_nat_identity_parse(const char *text, struct hostnet_nat_identity *identity, GError **error);

/* What on this host may swallow packets that are to be forwarded: base chains of the forward hook with policy
 * drop, of nf_tables (iptables-nft's among them). GPtrArray of char *: one sentence each, with the remedy;
 * empty when nothing was found. (Rules inside chains are not judged; a legacy iptables without nf_tables is
 * not seen.) */
GPtrArray *hostnet_nat_find_obstacles(struct hostnet *net, GError **error);
