/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* Machines of a topology: what they have of `defaults:`, what they start from, their disks and CD. */
#pragma once

#include "netlab/topology.h"

/* A step of topology_check(). Afterwards each node has an image, a kernel, or `is_bare`; paths are absolute.
 * Looks at no file. */
void topology_check_machines(struct topology *topology, struct topology_report *report);
