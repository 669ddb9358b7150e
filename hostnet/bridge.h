/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Bridges, as the lab wants them: no spanning tree and no forward delay (a port forwards at once instead of
 * after 30 s), an explicit MAC (or the bridge would take on its lowest port's, and change it when ports come
 * and go), MTU said once.
 *
 * A bridge's settings live in struct hostnet_link (link.h). Thread and error rules: link.h.
 */
#pragma once

#include "hostnet/link.h"

struct hostnet_bridge_spec {
    struct hostnet_link_spec link; /* link.mac NULL: one is derived from the mark, the same every time */
    bool stp;                      /* default of the zero value: off */
    uint32_t forward_delay;        /* 1/100 s, used with stp (200…3000); without it 0 is what is set */
    uint32_t ageing;               /* seconds a learned MAC is kept; 0: the kernel's 300 */
    bool multicast_snooping;       /* off floods multicast to all ports, which a lab usually wants */
    bool vlan_filtering;           /* UNSUPPORTED where the kernel lacks it (hostnet_probe) */
    uint16_t group_forward_mask;   /* e.g. 1 << 14 lets LLDP through; STP, pause and LACP never */
};

/* Makes it. `identity` may be NULL. EXISTS when the name is taken. */
bool hostnet_bridge_create(struct hostnet *net, const struct hostnet_bridge_spec *spec,
                           struct hostnet_link_identity *identity, GError **error);

/* Changes the settings of an existing one (link fields other than mtu and mac are ignored). */
bool hostnet_bridge_set(struct hostnet *net, uint32_t bridge, const struct hostnet_bridge_spec *spec,
                        GError **error);

/* Ports. Adding a port that is in it already, and removing one that is not, succeed. BUSY when the port is in
 * another bridge: it is never taken from there silently. */
bool hostnet_bridge_add_port(struct hostnet *net, uint32_t bridge, uint32_t port, GError **error);
bool hostnet_bridge_remove_port(struct hostnet *net, uint32_t bridge, uint32_t port, GError **error);
/* GPtrArray of struct hostnet_link, lowest index first. */
GPtrArray *hostnet_bridge_list_ports(struct hostnet *net, uint32_t bridge, GError **error);

/* One learned or own MAC of the forwarding database. */
struct hostnet_bridge_entry {
    struct hostnet_mac mac;
    uint32_t port;     /* link index */
    bool is_permanent; /* the port's or bridge's own */
    uint32_t age;      /* seconds since it was last seen */
};
/* GArray of struct hostnet_bridge_entry, in port and MAC order. */
GArray *hostnet_bridge_list_entries(struct hostnet *net, uint32_t bridge, GError **error);

/* A locally administered unicast MAC that depends on `text` alone (SHA-256 of it). */
void hostnet_mac_derive(const char *text, struct hostnet_mac *mac);
