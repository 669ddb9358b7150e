/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* Saving nodes' configuration, for `netlab save` and for the processes that do it to copies of a class. */
#pragma once

#include "cli/node.h"

/* What became of a node: "node", "files" (a number), and "folder" or "error". */
typedef void cli_save_teller(void *opaque, JsonObject *result);

/* These nodes of `lab` (of its status; lab->node is set to each) into FOLDER/NODE, one after the other. One
 * that fails stops no other: false with the first error then, which begins with the node's name. */
bool cli_save_nodes(struct cli_node *lab, GPtrArray *nodes, const char *folder, int cancel_fd,
                    cli_save_teller *tell, void *opaque, GError **error);
/* A line of it, for people; `student`: "" outside classes. Errors go to standard error. */
void cli_save_print(const char *student, JsonObject *result);
