/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Bad lines in topologies: `delay:`, `loss:`, … of networks, links and NICs.
 */
#pragma once

#include "netlab/topology.h"

/* NULL when `text` is a value of that word; else an example of one. */
const char *topology_line_word_wrong(enum topology_impairment word, const char *text);
/* The line of a NIC with what its own words leave open taken from its network, as the emulator takes it:
 * "delay=20ms,loss=1%"; NULL: a good line. `number` makes the seeds of NICs on one line differ. Owned by the
 * caller. */
char *topology_line_format(const struct topology_nic *nic, unsigned number);
