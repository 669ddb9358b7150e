/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* What a node's seed of cloud-init needs besides its configuration: the person's files. */
#pragma once

#include "netlab/topology.h"

#include <json-glib/json-glib.h>

/* {"user": base64, "keys": […], "password": …}: members that are not said are missing. False after
 * complaints; *out is the caller's otherwise. */
bool wanted_cloud_init(const struct topology *topology, const struct topology_node *node, JsonObject **out,
                       struct topology_report *report);
