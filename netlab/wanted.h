/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* Topology → the objects it wants, in the order in which they are made. */
#pragma once

#include "netlab/objects.h"
#include "netlab/store.h"
#include "netlab/topology.h"

/* Looks up images and files, so it depends on the machine; complaints (unknown image, no such file, too
 * little memory) go to the report with their places. existing: struct store_object *, what there is of the
 * lab, whose machines may have files open that nobody else may write to; NULL: nothing. GPtrArray of struct
 * object
 * *, freeing its elements. */
GPtrArray *wanted_objects(const struct topology *topology, GPtrArray *existing,
                          struct topology_report *report);

/* Inserts at `at` what renews the DHCP lease of a bridged NIC. */
void wanted_renewal(GPtrArray *objects, guint at, const char *network, const char *nic);
