/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What a node has inside besides its NICs: files and a loopback address.
 */
#pragma once

#include "netlab/topology.h"

/* Loopback addresses given and from the pool; files' sources become absolute, and a folder that is called
 * like a node is among them. Part of topology_check(), after addresses are known. */
void topology_check_insides(struct topology *topology, struct topology_report *report);

/* All files of a node as one archive (netlab/guest/files.c has its form), base64; NULL when it has none.
 * Complaints when one cannot be read, or all are more than TOPOLOGY_FILES_MOST bytes; *good then becomes
 * false. Owned by the caller. */
enum { TOPOLOGY_FILES_MOST = 4 << 20, TOPOLOGY_FILES_COUNT = 4096 };
char *topology_pack_files(const struct topology_node *node, struct topology_report *report, bool *good);

/* The lines of /etc/hosts for all nodes of the lab: each address, and the node's names. Owned by the caller.
 */
char *topology_hosts(const struct topology *topology);
