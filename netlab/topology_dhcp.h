/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `dhcp:` of networks: what the file leaves open, and what contradicts itself. Called by topology_check().
 */
#pragma once

#include "netlab/topology.h"

/* Before the subnets are checked: who may have a server, subnets taken from the nodes, the server's address.
 */
void topology_check_dhcp(struct topology *topology, struct topology_report *report);
/* After all addresses are given: ranges, routers, domains. */
void topology_check_dhcp_settings(struct topology *topology, struct topology_report *report);
