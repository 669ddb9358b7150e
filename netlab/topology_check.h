/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* Gives every open question of a parsed topology its one answer and refuses contradictions. See topology.h.
 */
#pragma once

#include "netlab/topology.h"

/* Completes the topology in place: defaults into nodes, links into networks and NICs, names, MACs, addresses.
 * Asks nothing of the machine it runs on; images and files are looked up when machines are planned.
 * Complaints go to the report. */
void topology_check(struct topology *topology, struct topology_report *report);
/* The checks from the `from`th on. */
void topology_check_tests(struct topology *topology, guint from, struct topology_report *report);
