/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* Starting a lab's supervisor as a detached process: the parent's side. The child's is supervisor.h. */
#pragma once

#include "netlab/machine.h"

struct spawn_supervisor {
    const char *lab;
    int64_t lab_id;
    const char *state, *runtime;
    bool is_rootless, is_own_namespace;
    unsigned owner;
    pid_t join;  /* enter this process's namespaces instead of making new ones; 0: make them */
    int group;   /* of limits_open_group(); -1: none. Not owned */
    bool yields; /* runs at a lower priority */
};

/* Called with the child's identity while it waits at the gate; false: it is not to run. */
typedef bool spawn_recorder(const struct process_identity *identity, void *opaque, GError **error);
/* Returns when it listens on <runtime>/LAB/supervisor.sock, or with its own words for why it does not. */
bool spawn_supervisor(const struct spawn_supervisor *spec, spawn_recorder *record, void *opaque,
                      GError **error);
