/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Bridging the host's own NIC, and putting it back: the recipe's `brctl addif br0 eth0; ip addr flush dev
 * eth0; dhclient br0`, without losing anything on the way.
 *
 *     capture ── what is there now, read only; complete before anything is touched: store its text
 *     bridge  ── a bridge with the NIC's MAC and MTU; the NIC becomes its port; addresses and routes move
 * there confirm ── does the gateway answer? restore ── the NIC alone again, with what was captured; from
 * every half-way state, twice is once
 *
 * What moves: IPv4 and IPv6 addresses with remaining lifetimes and flags, routes of all tables (multipath
 * next hops too), policy rules that name the NIC and permanent neighbours (copied for the bridge; the kernel
 * drops neighbours of a NIC with its last IPv4 address). The bridge takes over the NIC's
 * IPv6 and IPv4 switches (accept_ra, rp_filter, …). Temporary addresses (RFC 8981) are not moved: the kernel
 * makes new ones. Large receive offload, which the kernel switches off for ports, is switched on again at the
 * end.
 *
 * The connection is interrupted for the few milliseconds of the move. Whoever runs this over the NIC itself
 * should have a watchdog that calls restore; that is netlab's (uplink_watchdog.c), since a library cannot
 * outlive its caller. Restoring never touches a NIC that somebody else has put into another bridge meanwhile,
 * and tells what others have added to ours.
 *
 * Thread and error rules: link.h. Source: net/bridge, net/core/dev.c (dev_disable_lro) of the kernel.
 */
#pragma once

#include "hostnet/address.h"

struct hostnet_uplink {
    char nic[HOSTNET_NAME_MAX + 1];
    uint32_t index; /* of the NIC */
    struct hostnet_mac mac;
    uint32_t mtu;
    bool was_up, had_lro, had_lease; /* had_lease: an IPv4 address with a lifetime, so from DHCP */
    struct hostnet_link_identity bridge;
    GBytes *addresses, *routes, *rules, *neighbours; /* dump.h; of the NIC */
    char *accept_dad;                                /* net/ipv6/conf/NIC/accept_dad; NULL: no IPv6 */
    uint64_t taken_at;                               /* seconds since boot, sleep included */
};
typedef struct hostnet_uplink hostnet_uplink;
void hostnet_uplink_free(struct hostnet_uplink *uplink);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(hostnet_uplink, hostnet_uplink_free)

/* Can this link be bridged? INVALID with the reason and what to do instead: wireless stations, loopback,
 * what is no Ethernet, ports of bridges and bonds, bridges, our own links. `warnings` (may be NULL) gets
 * sentences (char *) about what will be different: firewall rules that name the NIC, STP peers, … */
bool hostnet_uplink_check(struct hostnet *net, const char *nic, GPtrArray *warnings, GError **error);

/* Reads everything and plans the bridge's identity; changes nothing. `bridge_name` is the bridge's interface
 * name, `mark` its owner mark. NULL on error. Owned by the caller. */
struct hostnet_uplink *hostnet_uplink_capture(struct hostnet *net, const char *nic, const char *bridge_name,
                                              const char *mark, GError **error);

/* All of it as text (ASCII, lines), and back. The text of a journal: INVALID for anything else. */
char *hostnet_uplink_format(const struct hostnet_uplink *uplink);
struct hostnet_uplink *hostnet_uplink_parse(const char *text, GError **error);

/* Does it. On failure call hostnet_uplink_restore(): what was done until then stays. `altname` may be NULL.
 */
bool hostnet_uplink_bridge(struct hostnet *net, const struct hostnet_uplink *uplink, const char *altname,
                           GError **error);

enum hostnet_uplink_answer {
    HOSTNET_UPLINK_ANSWERED,   /* a gateway is reachable through the bridge */
    HOSTNET_UPLINK_SILENT,     /* none has answered in time */
    HOSTNET_UPLINK_NO_GATEWAY, /* there is no default route: nobody to ask */
};
/* Asks the default gateways on the bridge by ARP and neighbour discovery, for at most `timeout_ms`. */
bool hostnet_uplink_confirm(struct hostnet *net, const struct hostnet_uplink *uplink, unsigned timeout_ms,
                            enum hostnet_uplink_answer *answer, GError **error);

/* Puts everything back. A lease that the bridge has now instead of the one that the NIC had goes to the NIC,
 * with its routes. `notes` (may be NULL) gets sentences (char *) about what is not as it was and why: an
 * address that has expired, something that others have put on the bridge or the NIC. Also true when the NIC
 * is gone, or the boot is another (then nothing is left to do). */
bool hostnet_uplink_restore(struct hostnet *net, const struct hostnet_uplink *uplink, GPtrArray *notes,
                            GError **error);

/* For when what was captured is lost: moves what the bridge has now to the NIC that is its port (the only one
 * without a mark of ours), and deletes the bridge. `nic` gets the NIC's name, "" when there is none. */
bool hostnet_uplink_rescue(struct hostnet *net, const struct hostnet_link_identity *bridge,
                           char nic[HOSTNET_NAME_MAX + 1], GError **error);

/* True when, once restored, an address that the NIC had before is not on it: its lifetime is over. */
bool hostnet_uplink_lacks_address(struct hostnet *net, const struct hostnet_uplink *uplink);

/* True when an IPv4 address other than link-local is on the NIC or, while it is bridged, on the bridge. */
bool hostnet_uplink_has_address(struct hostnet *net, const struct hostnet_uplink *uplink, GError **error);
