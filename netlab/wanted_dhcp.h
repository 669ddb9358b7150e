/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* What a network with `dhcp:` wants besides its bridge: the server's process, and that it is started again.
 */
#pragma once

#include "netlab/objects.h"
#include "netlab/topology.h"

enum { OWN_MEMORY_MIB = 4 }; /* shown of such processes */
/* Of a network's own process: started again whenever it ends. Owned by the caller. */
struct object *own_policy(const char *name);

void want_dhcp(GPtrArray *objects, const struct topology *topology, const struct topology_network *network);
