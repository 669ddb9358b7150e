/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* Waiting until machines are ready: their start-up program says so, or, for those that have none, the
 * emulator runs. */
#pragma once

#include "netlab/store.h"

struct ready_options {
    const char *runtime, *lab;
    unsigned timeout_s;
    int cancel_fd; /* readable: give up; -1: none */
    void (*became_ready)(void *opaque, const char *node, double seconds, guint left);
    void *opaque;
};

/* Waits for all `nodes` (char *) of the lab. The error of a machine that ended or is late quotes its last
 * words. */
bool ready_wait(struct store *store, int64_t lab, GPtrArray *nodes, const struct ready_options *options,
                GError **error);
