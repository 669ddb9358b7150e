/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Processes that are ours: told apart by pid, start time and boot, ended through a pidfd.
 *
 * A pid alone is never trusted: it is used again. With the start time (clock ticks since boot, /proc/PID/stat
 * field 22) and the boot's id it names one process for ever. A signal goes through a pidfd that was opened
 * before the start time was read, so it cannot hit a successor.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_identity {
    pid_t pid;
    uint64_t start; /* clock ticks since boot */
    char boot_id[37];
};

/* This boot's id (36 characters) into `text`; "unknown" without /proc. */
void process_boot_id(char text[37]);
bool process_identify(pid_t pid, struct process_identity *identity);
/* "BOOT/PID/START". Owned by the caller. */
char *process_format(const struct process_identity *identity);
/* False: `text` is none (empty, or damaged). */
bool process_parse(const char *text, struct process_identity *identity);
/* True while exactly that process runs (a zombie does not). */
bool process_is_alive(const struct process_identity *identity);
/* A pidfd of it, readable when it has ended; -1 when it has (errno ESRCH) or cannot be had. */
int process_open(const struct process_identity *identity);
/* SIGTERM, and SIGKILL after grace_ms; returns when it is gone. True also when it was. False when it may not
 * be signalled or outlives SIGKILL by 10 s. */
bool process_end(const struct process_identity *identity, unsigned grace_ms, GError **error);
/* The same for many at once: SIGTERM to all, and after grace_ms SIGKILL to those that are left. Waits no
 * longer than the slowest needs. Those that cannot be ended are for process_end() to say. */
void process_end_all(const struct process_identity *identities, unsigned count, unsigned grace_ms);
/* Resident memory in KiB, of what is shared its part; 0 when unknown. */
uint64_t process_resident(pid_t pid);
/* CPU time that it and its threads have used, in ms; 0 when unknown. */
uint64_t process_cpu_ms(pid_t pid);
/* How long it has run, in seconds, by the boot's clock and not by one that can be set. */
int64_t process_age(const struct process_identity *identity);
/* Inode of its network namespace, 0 when unknown. */
uint64_t process_netns(pid_t pid);

/* ---- owner marks ----
 * Every process of a lab carries in its environment whose it is, so that it is known without the store. */
#define PROCESS_MARK "NETLAB_OWNER"
/* "netlab:LAB:NODE:STATE DIRECTORY"; node NULL: the supervisor. Owned by the caller. */
char *process_mark_format(const char *state, const char *lab, const char *node);

struct process_marked {
    struct process_identity identity;
    char *lab, *node; /* node "": a supervisor */
    char *state;
    uid_t uid;
};
/* All living processes that carry a mark of this state directory (NULL: of any) and whose environment we may
 * read: GPtrArray of struct process_marked *, freeing its elements. */
GPtrArray *process_list_marked(const char *state);
