/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Machines: one unprivileged netlab-emu process a node.
 *
 * The emulator is started in the node's folder, so that its sockets have short relative names, as a user who
 * is nobody on this computer (see machine_user_choose), without any capability, with no_new_privs, and with
 * no file descriptors but its log, its TAPs and its kernel. Its command line is QEMU's, so
 * NETLAB_EMU=qemu-system-i386 works too.
 *
 * A machine never runs unrecorded: the child waits at a gate (a pipe) until the parent has committed its pid
 * and start time, and when the parent dies before that, the pipe's end tells the child to go away without
 * having run anything.
 */
#pragma once

#include "netlab/process.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

struct machine_user {
    bool change; /* false: runs as who we are */
    uid_t uid;
    gid_t gid;
};

/* Who machines of this lab run as. Not root: ourselves. Root by sudo: who called sudo. Root otherwise: a uid
 * of the lab's own that no account has (from 2^30, by hash), or ourselves without capabilities where the user
 * namespace we are in does not know that uid. */
struct machine_user machine_user_choose(const char *lab);
/* Is this one of the uids that no account has, which root's machines run as? */
bool machine_is_our_user(uid_t uid);

/* In a child: becomes that user, without capabilities (but for those of a network's server) and without ways
 * to new ones. Compare the ids afterwards. */
void machine_drop_privileges(const struct machine_user *user, bool is_server);

struct machine_spec {
    const char *node;
    const char *payload;    /* of its object */
    const char *directory;  /* <runtime>/LAB/NODE; made by machine_prepare */
    const char *emulator;   /* absolute path */
    const char *owner_mark; /* goes into its environment: process_mark_format(); NULL: none */
    struct machine_user user;
    const char *interface; /* of a network's own process: its bridge; NULL: this is a machine */
    const int *taps;       /* fds in the order of the payload's NICs */
};

/* Makes the node's folder and what it has to find there. */
bool machine_prepare(const struct machine_spec *spec, GError **error);
/* Forks it, up to its gate, and says who it is. Then, when that is on the disk, finish() opens the gate: when
 * it returns true the emulator has been executed; what it then says about its command line stands in
 * machine.log. Or cancel(): it goes away without having run anything. Both free `start`. Several may wait at
 * once. */
struct machine_start;
struct machine_start *machine_start_begin(const struct machine_spec *spec, struct process_identity *identity,
                                          GError **error);
bool machine_start_finish(struct machine_start *start, GError **error);
void machine_start_cancel(struct machine_start *start);

/* Removes the node's folder with the files that machine_prepare and the emulator made. True also when it is
 * gone. */
bool machine_remove_directory(const char *directory, GError **error);

/* The command line as a person would type it, for --dry-run and debugging. */
char *machine_command_line(const struct machine_spec *spec);

/* The last lines (at most `most`) of a log in the node's folder, without control characters; "" when there
 * are none. */
char *machine_log_tail(const char *directory, const char *file, unsigned most);

/* What the emulator said with the names of fds that we passed (/proc/self/fd/10) turned back into the files'
 * own. */
char *machine_restore_paths(const char *payload, const char *text);

/* A child that waits before it runs. */
struct gate {
    pid_t pid;
    int fd;
};
/* Called in the child: `prepare` (may be NULL) at once, with the fd that it must leave open; `run`, which
 * must not return, when the gate is opened. The child goes away when it is cancelled or its parent dies
 * before that. */
struct gate_child {
    void (*prepare)(void *opaque, int keep);
    void (*run)(void *opaque);
    void *opaque;
};
bool gate_begin(struct gate *gate, const struct gate_child *child, struct process_identity *identity,
                GError **error);
/* False: the child has ended already. It is reaped then. */
bool gate_open(struct gate *gate, GError **error);
void gate_cancel(struct gate *gate);
