/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * IPv6 in topologies: the values, and what a file leaves open. Everything is optional: a network without
 * `subnet6:` has no IPv6 addresses but those that its nodes give themselves.
 */
#pragma once

#include "netlab/topology.h"

/* "fd00:1::7/64" or "fd00:1::7". False: not an IPv6 address; *out untouched. */
bool ipv6_parse(const char *text, struct ipv6_prefix *out);
/* "fd00:1::7/64"; without the length when it has none. Owned by the caller. */
char *ipv6_format(const struct ipv6_prefix *prefix);
/* The address alone. Owned by the caller. */
char *ipv6_format_plain(const struct ipv6_prefix *prefix);
bool ipv6_contains(const struct ipv6_prefix *subnet, const struct ipv6_prefix *address);
bool ipv6_is_same(const struct ipv6_prefix *a, const struct ipv6_prefix *b);
/* No host bit is set. */
bool ipv6_is_network(const struct ipv6_prefix *prefix);

/* After the IPv4 addresses are given: subnets, gateways, addresses of NICs, routes. */
void topology_check_six(struct topology *topology, struct topology_report *report);

/* The network by which a node without an IPv6 default route of its own reaches the world; NULL: none. */
const struct topology_network *topology_way_out_six(const struct topology_node *node);
