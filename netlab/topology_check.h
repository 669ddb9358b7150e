/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* Gives every open question of a parsed topology its one answer and refuses contradictions. See topology.h.
 */
#pragma once

#include "netlab/topology.h"

/* What one lab and one machine have room for: PCI slots, and the tables of the guest's start-up program
 * (netlab/guest/guest.h), which reads 64 KiB of configuration. */
enum {
    TOPOLOGY_NODES_MOST = 1024,
    TOPOLOGY_NICS_MOST = 16,
    TOPOLOGY_ROUTES_MOST = 64,
    TOPOLOGY_COMMANDS_MOST = 64,
    TOPOLOGY_COMMANDS_BYTES = 48 << 10
};

/* Bytes that a command takes up in a guest's configuration, where it is one line. */
gsize topology_command_bytes(const char *command);

/* Completes the topology in place: defaults into nodes, links into networks and NICs, names, MACs, addresses.
 * Asks nothing of the machine it runs on; images and files are looked up when machines are planned.
 * Complaints go to the report. */
void topology_check(struct topology *topology, struct topology_report *report);
/* The checks from the `from`th on. */
void topology_check_tests(struct topology *topology, guint from, struct topology_report *report);
