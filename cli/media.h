/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* Disks and CDs of a node, for `status` and `inspect`. */
#pragma once

#include "cli/cli.h"
#include "netlab/lab.h"

/* [{"drive": "ide0-hd0", "kind": "disk", "file": …, "format": "qcow2", "size": bytes of an empty one,
 *   "persistent": false, "from": "image"}, …]; owned by the caller. */
JsonArray *cli_media_json(const struct lab_node_status *node);
/* "ide0-hd0  disk /labs/a/disk.qcow2 (qcow2, writes go with the machine)"; owned by the caller. */
char *cli_medium_text(JsonObject *medium);
