/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* What a network with `dhcp:` wants besides its bridge: the server's process, and that it is started again.
 */
#pragma once

#include "netlab/objects.h"
#include "netlab/topology.h"

void want_dhcp(GPtrArray *objects, const struct topology *topology, const struct topology_network *network);
