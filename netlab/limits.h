/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What a copy of a lab may use of this computer, and what there is of it.
 *
 * Where control groups of version 2 are ours to divide (root's, or delegated to the user), each copy gets a
 * group of its own with memory.max and cpu.max; its supervisor is born into it, whoever starts it (up, reset,
 * repair), and its machines with it. Elsewhere a
 * copy with a limit on its CPU runs at a lower priority, and the limit on its memory is kept by arithmetic:
 * a machine never takes more than it was given and LIMITS_OVERHEAD_MIB.
 * Source: Linux, Documentation/admin-guide/cgroup-v2.rst.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    LIMITS_OVERHEAD_MIB = 24, /* of a machine's emulator besides the guest's memory: docs/classroom.md */
    LIMITS_NICENESS = 10
};

/* The folder in which groups can be made, with controllers cpu and memory; NULL: *why says why there is none.
 * `prepare`: this process may be moved to a group below it, which the kernel asks for before controllers can
 * be handed down; without it nothing is changed. NETLAB_CGROUP names another folder. Both owned by the
 * caller. */
char *limits_find_group(bool prepare, char **why);
/* The copy's group, `group`/netlab-LAB, which is made and gets its limits: memory in MiB, cpu in hundredths
 * of a processor; 0: no limit. A descriptor for limits_join_group(); -1: *why (owned by the caller), and
 * nothing has changed. */
int limits_open_group(const char *group, const char *lab, unsigned memory, unsigned cpu, char **why);
/* Moves this process (and what it starts from now on) there. Between fork() and exec(), too. */
bool limits_join_group(int group_fd);
/* Removes the copy's group once its processes are gone (waits for them up to 2 s). Nothing when there is
 * none. */
void limits_remove_group(const char *group, const char *lab);
/* This process and what it starts yields to others. Between fork() and exec(), too. */
void limits_lower_priority(void);

/* MiB that can be used without swapping: /proc/meminfo, and the memory limits of our control groups. */
uint64_t limits_free_memory(void);
