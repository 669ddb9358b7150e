/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Checks: from what a topology's `checks:` say to a command that runs in the guest, and from what it printed
 * to a verdict. The guest is a stranger: its output is text to look through, bounded by the agent.
 */
#pragma once

#include "netlab/topology.h"

/* The shell command of a check. Owned by the caller. */
char *check_command(const struct topology_test *test);
/* "ping h2", "route 10.2.0.0/24 via 10.1.0.254": for reports. Owned by the caller. */
char *check_describe(const struct topology_test *test);
/* NULL: passed; else why not, a line for a person. Owned by the caller. */
char *check_judge(const struct topology *topology, const struct topology_test *test, int status,
                  const char *out);
