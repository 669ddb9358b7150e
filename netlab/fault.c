/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fault injection; see fault.h. The counters are the one exception to "no mutable globals": they stand for
 * the environment of this process, and threading them through every call would change the code that is to be
 * tested.
 */
#include "netlab/fault.h"

#include <glib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long armed_at, points_passed;
static pid_t client_pid;
static char whom[8] = "self";

void fault_arm(long at, long passed, const char *who, pid_t client)
{
    armed_at = at;
    points_passed = passed;
    client_pid = client;
    g_strlcpy(whom, who && *who ? who : "self", sizeof whom);
}

void fault_arm_from_environment(void)
{
    const char *at = g_getenv("NETLAB_CRASH_AT");
    fault_arm(at ? atol(at) : 0, 0, g_getenv("NETLAB_CRASH_KILL"), 0);
}

void fault_arm_for_restart(void)
{
    const char *at = g_getenv("NETLAB_CRASH_RESTART_AT");
    fault_arm(at ? atol(at) : 0, 0, "self", 0);
}

void fault_point(void)
{
    points_passed++;
    if (!armed_at || points_passed != armed_at)
        return;
    bool is_client = client_pid == 0;
    if (!is_client && strcmp(whom, "self") != 0)
        kill(client_pid, SIGKILL);
    if (is_client || strcmp(whom, "client") != 0)
        kill(getpid(), SIGKILL);
}

long fault_passed(void)
{
    return points_passed;
}

long fault_at(void)
{
    return armed_at;
}

const char *fault_whom(void)
{
    return whom;
}

bool fault_disk_is_full(void)
{
    static long transactions;
    const char *at = g_getenv("NETLAB_FULL_AT");
    return at && ++transactions >= atol(at);
}
