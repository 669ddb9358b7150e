/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * -sandbox: what the process may never again ask of the kernel (seccomp), once all is open.
 *
 * Calls are refused that a machine has no use for, however long it runs and whatever is plugged into it, and
 * that would serve somebody who got out of the guest. A group that nothing honest calls ends the process
 * (SIGSYS); one that a library may try, and do without, gets EPERM.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

struct sandbox {
    bool on;
    bool obsolete;         /* may make calls that no program of this age makes */
    bool elevate;          /* may change users, groups and capabilities */
    bool spawn;            /* may start programs */
    bool resource_control; /* may change priorities, limits and processors */
};

/* For all threads, and for good. */
bool sandbox_enter(const struct sandbox *sandbox, GError **error);
