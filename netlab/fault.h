/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Killing ourselves on purpose, for the tests that prove the journal (tests/e2e, docs/journal.md).
 *
 * NETLAB_CRASH_AT=N: at the N-th point of a run (counted over `up` and its supervisor together) the process
 * sends SIGKILL. NETLAB_CRASH_KILL says to whom: "self" (default: whoever comes to that point), "client" (the
 * `netlab up` that asked), "all" (both). Points stand before and after each transaction of the journal and
 * inside the longer operations. Without the variable a point costs one comparison.
 *
 * NETLAB_CRASH_RESTART_AT=N: the same for the supervisor when it starts a machine again by its policy.
 *
 * NETLAB_FULL_AT=N: from the N-th transaction of each process on, the store's disk is full.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* The counter goes on from here in the supervisor; client: the pid that asked (0: this process is it). */
void fault_arm(long at, long passed, const char *whom, pid_t client);
/* From the environment, in a command. */
void fault_arm_from_environment(void);
void fault_arm_for_restart(void);
void fault_point(void);
/* Called for each transaction: is the disk full from here on? */
bool fault_disk_is_full(void);
/* How many points were passed, for handing over and for reporting (NETLAB_CRASH_REPORT). */
long fault_passed(void);
long fault_at(void);
const char *fault_whom(void);
