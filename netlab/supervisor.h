/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The supervisor: one detached process a lab. It makes (or enters) the lab's network namespace and holds it,
 * makes what is in it when `netlab up` asks, starts the machines, notes down when one of them ends, and
 * starts it again when its policy says so (revival.h).
 *
 * It speaks JSON lines on <runtime>/LAB/supervisor.sock, with its own user (and root) only:
 *   ← {"event":"hello","version":…}
 *   → {"request":"apply", "run":…, "new":…, "emulator":…,
 * "steps":[{"make":true,"kind":"bridge","key":…,"payload":…}…], "wait":[nodes], "timeout":s, "file":…,
 * "source":… (the topology, unless it stays the same), …} together with the fd of the lab's lock →
 * {"request":"cancel"} meanwhile; hanging up means the same ←
 * {"event":"step","index":1,"count":9,"text":…}  {"event":"ready","node":…,"seconds":…,"left":…}
 * {"event":"undo",…} ← {"event":"confirm","nic":…,"seconds":…} → {"request":"keep"} or {"request":"decline"}
 * ← {"event":"done"} or {"event":"failed","error":…,"cancelled":…} A failed or cancelled apply is rolled back
 * before the answer comes. Before "done" the store says so (store_complete_run()): whoever does not hear the
 * answer finds it there. When the asking process is gone and the run was the one that brought the lab up,
 * the supervisor takes the whole lab away and ends.
 *
 * Single-threaded, one poll loop. An apply runs to its end before anything else is served.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct supervisor_options {
    const char *lab;
    int64_t lab_id;
    const char *state, *runtime;
    bool is_rootless;
    bool here; /* in the namespace we are in, instead of one of its own */
    unsigned owner;
    pid_t join;
    int report_fd; /* gets "ok\n" or the reason for failing; closed then; -1: none */
};

/* Runs until it is told to end. */
bool supervisor_run(const struct supervisor_options *options, GError **error);
