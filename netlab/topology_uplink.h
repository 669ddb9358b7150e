/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The part of topologies about ways out: `uplink:`, `forward:`, `dns:` of networks.
 */
#pragma once

#include "netlab/topology.h"

enum { TOPOLOGY_FORWARDS_MOST = 256 }; /* of a network */

/* "tcp 8080 -> web:80", "udp 127.0.0.1:5353 -> dns:53", "*:8080 -> web". NULL with *why (static text) when it
 * is none of these. Owned by the caller. */
struct topology_forward *topology_forward_parse(const char *text, const char **why);
void topology_forward_free(void *forward);

/* Before addresses are given out: networks with a way out get a subnet and a gateway, what contradicts itself
 * is refused. */
void topology_check_uplinks(struct topology *topology, struct topology_report *report);
/* Afterwards: forwards find their nodes' addresses. */
void topology_check_forwards(struct topology *topology, struct topology_report *report);

/* The network by which a node without a default route of its own reaches the world; NULL: none. */
const struct topology_network *topology_way_out(const struct topology_node *node);
