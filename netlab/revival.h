/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Machines that ended by themselves and are started again, as `restart:` in the topology says: the first time
 * after a tenth of a second, then after twice as long each time, up to 30 s, and not more often in a row than
 * the policy allows. A machine that ran for a minute begins anew. Part of the supervisor, and of its thread.
 */
#pragma once

#include "netlab/operations.h"

struct revival;
struct revival *revival_new(void);
void revival_free(struct revival *revival);

/* The machine of `node` has ended, `why` in words. Looks at its policy; what the person is told, owned by the
 * caller: `why`, and whether and when it is started again. */
char *revival_plan(struct revival *revival, struct operation_context *context, const char *node,
                   const char *why, bool failed);
/* Why it ended, out of such a text, when that says that it is going to be started again; else NULL. Owned by
 * the caller. */
char *revival_read_note(const char *note);
/* Is such a text of a machine that runs, and not of its end? */
bool revival_is_running_note(const char *note);
/* For poll(): milliseconds until one is due; -1: none is. */
int revival_timeout(const struct revival *revival);
/* Starts those that are due; true when any was. */
bool revival_run(struct revival *revival, struct operation_context *context);
