/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Taking a lab away: everything that the store says exists, in the reverse order of its making. One way for
 * `down`, for an `up` that failed, and for a supervisor whose `up` was killed; it needs neither the topology
 * file nor living machines nor a supervisor.
 */
#pragma once

#include "netlab/operations.h"

typedef void cleanup_progress(void *opaque, const char *text);

/* Unmakes all objects of context->lab and then removes the lab from the store. Goes on past what cannot be
 * unmade and reports it all at the end; then the lab stays in the store. `spare_self`: the caller is the
 * supervisor. */
bool cleanup_lab(struct operation_context *context, bool spare_self, cleanup_progress *progress, void *opaque,
                 GError **error);

/* Processes of other origin in a network namespace (a shell that entered it): "bash (pid 4711), …", or NULL.
 */
char *cleanup_describe_strangers(uint64_t netns);
