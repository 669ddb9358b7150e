/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * One lock a lab: whoever changes a lab holds it, from before the plan to after the last step.
 *
 * It is flock() on <state>/locks/LAB; the file says who holds it, for the message to the others. The lock
 * belongs to the open file description, so `up` hands its fd to the supervisor: when `up` is killed, the lab
 * stays locked until the supervisor has rolled back. The file is removed together with the last trace of the
 * lab; lock_take() therefore checks that what it locked is still what the path names.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define LOCK_ERROR lock_error_quark()
GQuark lock_error_quark(void);
enum lock_error { LOCK_ERROR_HELD, LOCK_ERROR_FAILED };

struct lock {
    int fd; /* -1: not held */
    char *path;
};

/* Takes the lock for `verb`. HELD says by whom it is held. When the command that took it is dead, its
 * supervisor is rolling back: that is waited for, up to wait_ms, and so is a supervisor that restarts a
 * machine. */
bool lock_take(struct lock *lock, const char *state_directory, const char *lab, const char *verb,
               unsigned wait_ms, GError **error);
/* Lets go, and removes the file: it means nothing by itself. Safe on one not held. */
void lock_release(struct lock *lock);
