/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Links: list, look up, change, delete; and what all link-making functions have in common.
 *
 * Making a link is ONE sendmsg() on the netlink socket with several requests in it: RTM_NEWLINK with the
 * final name and an index of our choice, then by that index the mark (ifalias), the alternative name, and the
 * rest. (RTM_NEWLINK alone ignores IFLA_IFALIAS and IFLA_PROP_LIST, in every kernel so far.) The kernel works
 * the whole datagram off before the system call returns, and a kill waits for that: no crash of ours leaves
 * something unmarked. Because the later requests go by the chosen index and not by name, a link of the same
 * name that somebody else made in between is never touched.
 *
 * Functions that only look or change go by index (`uint32_t index`), which cannot be confused with another
 * link's; those that remove take an identity (identity.h). All return false/NULL with HOSTNET_ERROR set.
 */
#pragma once

#include <sys/types.h>

#include "hostnet/identity.h"

struct hostnet_mac {
    uint8_t octets[6];
};

/* "02:00:00:aa:bb:cc". False on anything else; INVALID names the fault. */
bool hostnet_mac_parse(const char *text, struct hostnet_mac *mac, GError **error);
#define HOSTNET_MAC_TEXT 18
/* Writes 17 characters and NUL; returns `text`. */
char *hostnet_mac_format(const struct hostnet_mac *mac, char text[HOSTNET_MAC_TEXT]);

enum hostnet_link_kind {
    HOSTNET_LINK_OTHER, /* see kind_name; physical NICs have none */
    HOSTNET_LINK_LOOPBACK,
    HOSTNET_LINK_BRIDGE,
    HOSTNET_LINK_TAP,
    HOSTNET_LINK_TUN,
    HOSTNET_LINK_VETH,
    HOSTNET_LINK_KIND_COUNT
};

struct hostnet_link_counters { /* since the link was made; see rtnl_link_stats64 */
    uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
    uint64_t rx_errors, tx_errors, rx_dropped, tx_dropped, multicast, collisions;
};

struct hostnet_bridge_settings {
    bool stp;
    uint32_t forward_delay; /* in 1/100 s */
    uint32_t ageing;        /* seconds */
    bool multicast_snooping;
    bool vlan_filtering;
    uint16_t group_forward_mask; /* which 01:80:c2:00:00:0X are forwarded, bit X */
};

struct hostnet_tap_settings {
    bool has_owner, has_group;
    uid_t owner;
    gid_t group;
    bool persistent, vnet_hdr, multi_queue;
    uint32_t queues; /* open fds on it, where the kernel says (multi_queue); else 0 */
};

/* A link as the kernel describes it now. All pointers belong to it; hostnet_link_free() frees everything. */
struct hostnet_link {
    uint32_t index;
    char name[HOSTNET_NAME_MAX + 1];
    enum hostnet_link_kind kind;
    char *kind_name;   /* "bridge", "tun", "veth", …; NULL when the kernel names none */
    char *mark;        /* the ifalias; NULL when it has none */
    char **altnames;   /* NULL-terminated; never NULL */
    uint32_t flags;    /* IFF_UP, IFF_RUNNING, IFF_LOWER_UP, … */
    bool up;           /* IFF_UP */
    bool carrier;      /* IFF_LOWER_UP */
    uint8_t operstate; /* RFC 2863, IF_OPER_* */
    uint16_t type;     /* ARPHRD_* */
    bool has_mac;
    struct hostnet_mac mac;
    uint32_t mtu;
    uint32_t master; /* index of the bridge it is a port of, or 0 */
    uint32_t group;  /* 0 unless somebody has set one */
    uint32_t peer;   /* veth: index of the far end in its own namespace, else 0 */
    struct hostnet_link_counters counters;
    struct hostnet_bridge_settings bridge; /* kind BRIDGE */
    struct hostnet_tap_settings tap;       /* kinds TAP and TUN */
    uint8_t port_state;                    /* of a bridge port: BR_STATE_*; else 0 */
};
typedef struct hostnet_link hostnet_link;
void hostnet_link_free(struct hostnet_link *link);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(hostnet_link, hostnet_link_free)

/* ---- looking ---- */

/* All links, lowest index first: GPtrArray of struct hostnet_link, owned by the caller, frees its elements.
 * A dump that changed under our feet is taken again. */
GPtrArray *hostnet_link_list(struct hostnet *net, GError **error);

/* All links that carry a mark of `lab` (NULL: of any lab). */
GPtrArray *hostnet_link_list_marked(struct hostnet *net, const char *lab, GError **error);

/* One link, owned by the caller. NULL with NOT_FOUND when there is none. */
struct hostnet_link *hostnet_link_get(struct hostnet *net, uint32_t index, GError **error);
/* By interface name or alternative name. */
struct hostnet_link *hostnet_link_find(struct hostnet *net, const char *name, GError **error);
/* By whole mark. BUSY when several carry it (the message lists them). */
struct hostnet_link *hostnet_link_find_mark(struct hostnet *net, const char *mark, GError **error);

/* The identity of a link as it is now (mark "" when it has none). */
void hostnet_link_get_identity(struct hostnet *net, const struct hostnet_link *link,
                               struct hostnet_link_identity *identity);

enum hostnet_presence {
    HOSTNET_ABSENT,  /* gone, or of an earlier boot */
    HOSTNET_PRESENT, /* there, and the same: index, name and mark (or that it has none) agree */
    HOSTNET_FOREIGN  /* something with this index or this name is there that is not ours */
};
/* What became of it. `link` (may be NULL) gets the link when PRESENT. False only when the kernel cannot be
 * asked, or when the identity belongs to another namespace than the handle (INVALID). */
bool hostnet_link_check(struct hostnet *net, const struct hostnet_link_identity *identity,
                        enum hostnet_presence *presence, struct hostnet_link **link, GError **error);

/* ---- making: what all kinds have in common ---- */

struct hostnet_link_spec {
    const char *name;              /* final interface name, required */
    const char *mark;              /* from hostnet_mark_format(), required */
    const char *altname;           /* alternative name, or NULL. One that is taken already is left out, since
                                      the mark carries the human name anyway; any other fault is an error */
    uint32_t index;                /* from hostnet_identity_plan(), or 0: one is chosen */
    const struct hostnet_mac *mac; /* NULL: the kernel's choice (random, locally administered) */
    uint32_t mtu;                  /* 0: the kind's default */
    uint32_t master;               /* index of the bridge to join, or 0 */
    uint32_t group;                /* for hostnet_link_delete_group(), or 0 */
    bool up;                       /* set administratively up, as the last step */
    bool no_ipv6_address;          /* no link-local IPv6 address of its own (addrgenmode none): right for TAPs
                                      and for bridges without a host address */
};

/* ---- removing ---- */

/* Deletes exactly this link. True also when it is gone already (of an earlier boot, or the index is free).
 * NOT_OURS when the index is there but name or mark differ. A veth takes its far end with it. */
bool hostnet_link_delete(struct hostnet *net, const struct hostnet_link_identity *identity, GError **error);

/* Deletes all links of a group at once, if every one of them carries a mark of this lab. It is for taking
 * many away: the kernel waits once for all of them and not once for each, which is what deleting a link
 * costs. NOT_OURS, and nothing is deleted, when a link of another mark is in the group. True also when the
 * group is empty. */
bool hostnet_link_delete_group(struct hostnet *net, uint32_t group, const char *lab, GError **error);

/* ---- changing ---- */

bool hostnet_link_set_up(struct hostnet *net, uint32_t index, bool up, GError **error);
bool hostnet_link_set_mtu(struct hostnet *net, uint32_t index, uint32_t mtu, GError **error);
bool hostnet_link_set_mac(struct hostnet *net, uint32_t index, const struct hostnet_mac *mac, GError **error);
bool hostnet_link_set_promiscuous(struct hostnet *net, uint32_t index, bool on, GError **error);
/* master 0: take it out of whatever it is in. */
bool hostnet_link_set_master(struct hostnet *net, uint32_t index, uint32_t master, GError **error);
/* Sets the ifalias; "" removes it. Meant for marks of ours only. */
bool hostnet_link_set_mark(struct hostnet *net, uint32_t index, const char *mark, GError **error);
/* EXISTS when another link has it. Adding one that this link has, or removing one that it has not, succeeds.
 */
bool hostnet_link_add_altname(struct hostnet *net, uint32_t index, const char *altname, GError **error);
bool hostnet_link_remove_altname(struct hostnet *net, uint32_t index, const char *altname, GError **error);

/* These two change what an identity says, so they check it, and update it on success. */
bool hostnet_link_rename(struct hostnet *net, struct hostnet_link_identity *identity, const char *name,
                         GError **error);
/* Moves it into `target`'s namespace under the same name and index (or another index, when that one is taken
 * there). It arrives down, without master and addresses, as the kernel has it. EXISTS when the name is taken.
 */
bool hostnet_link_move(struct hostnet *net, struct hostnet_link_identity *identity, struct hostnet *target,
                       GError **error);

/* ---- veth ---- */

/* A pair in one request: the near end in the handle's namespace, the far end in that of `far_net` (which may
 * be the same handle). The mark and `up` of a far end in another namespace follow at once in a second
 * request; the near end's mark speaks for the pair meanwhile. Identities may be NULL. (veth.c) */
bool hostnet_veth_create(struct hostnet *net, const struct hostnet_link_spec *near_spec,
                         struct hostnet *far_net, const struct hostnet_link_spec *far_spec,
                         struct hostnet_link_identity *near_identity,
                         struct hostnet_link_identity *far_identity, GError **error);
