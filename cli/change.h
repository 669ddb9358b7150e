/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* What `up`, `down NODE…` and `restart` have in common: words that are a path or nodes, running a change, and
 * showing it. */
#pragma once

#include "cli/cli.h"
#include "netlab/lab.h"

/* True when this word means a file or folder with a topology: it has a slash, ends in .yml, or is there. A
 * folder without a topology.yml is none, for a node may be called like it. */
bool cli_is_path(const char *word);

/* SIGINT, SIGTERM and SIGHUP become readability of an fd. */
int cli_cancel_fd(void);

/* The person's word that a bridged NIC is to stay so, as `netplan try` asks for it, on the terminal. Whatever
 * else comes, or nothing: no. */
enum lab_answer cli_confirm(const char *nic, unsigned seconds, int cancel_fd);

/* Runs the change and prints what came of it; returns the exit status. `change`'s place, progress and
 * cancel_fd are set here, its dry_run from the call, and how it is shown from --quiet, --verbose and --json.
 */
int cli_change_run(const struct cli_call *call, struct lab_up_options *change);

/* The lab that --lab or the current folder means, from the store: its name (NULL with an error), and its file
 * and text when asked for. Owned by the caller. */
char *cli_change_find_lab(const struct cli_call *call, char **file, char **source, GError **error);
