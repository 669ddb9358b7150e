/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The supervisor's hand outside: a child that was forked before the supervisor went into the lab's
 * namespaces.
 *
 * A gateway has one foot on each side: its TAP is in the lab, its sockets are the host's. A rootless
 * supervisor cannot go back to the host's namespace, so this child, which never left it, starts such
 * processes for it; the TAP comes along as a file descriptor. They wait at the same gate as machines
 * (machine.h): first their identity is told and committed, then they run. The child dies with the supervisor
 * (PR_SET_PDEATHSIG), and what waits at a gate with it; what runs goes on, as machines do.
 *
 * One request at a time, from one thread.
 */
#pragma once

#include "netlab/machine.h"

struct outside;

/* Forks it. Before any thread exists, and before the namespaces are entered. */
struct outside *outside_new(GError **error);
/* Ends it. NULL is fine. */
void outside_free(struct outside *outside);

/* As machine_start_begin(), …_finish() and …_cancel(). `tap` stays the caller's. */
bool outside_begin(struct outside *outside, const struct machine_spec *spec, int tap,
                   struct process_identity *identity, GError **error);
bool outside_finish(struct outside *outside, GError **error);
void outside_cancel(struct outside *outside);
