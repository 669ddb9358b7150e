/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* The node that a command line means: its lab's status, found and checked. */
#pragma once

#include "cli/cli.h"
#include "netlab/lab.h"

struct cli_node {
    struct lab_place place;
    struct store *store;
    struct store_lab *lab;
    struct lab_status *status;
    struct lab_node_status *node; /* of status */
};
/* Finds node `name` in the lab of --lab or of the current folder. Clear it in any case. */
bool cli_node_find(const struct cli_call *call, const char *name, struct cli_node *node, GError **error);
/* The lab brought up from `path` (a file or folder; NULL: as above). */
bool cli_node_find_path(const struct cli_call *call, const char *path, struct cli_node *node, GError **error);
/* The same lab without a node. */
bool cli_node_find_lab(const struct cli_call *call, struct cli_node *node, GError **error);
/* NOT_UP with the reason when its machine does not run. */
bool cli_node_require_running(const struct cli_node *node, GError **error);
/* The nodes that `words` means: names and patterns with * and ? between commas; NULL: all that run. Of one
 * lab and in its order. NOT_UP when one matches nothing. Elements are not owned. */
GPtrArray *cli_node_choose(const struct cli_node *node, const char *words, GError **error);
bool cli_node_is_pattern(const char *words); /* may mean several */
/* "NODE:NIC", or NODE with one NIC: the node, running, and the NIC's place in it. */
bool cli_node_find_nic(const struct cli_call *call, const char *text, struct cli_node *node, unsigned *index,
                       GError **error);
void cli_node_clear(struct cli_node *node);
