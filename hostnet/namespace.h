/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Namespaces: making unnamed ones, and going into them.
 *
 * A lab's namespace has no name in /run/netns: it is held by fds and processes only, so when those are gone,
 * however they died, the kernel has cleaned up. An open TAP fd holds it too.
 *
 * Without privilege a user namespace comes first. In it the invoking user is root (one id mapped, setgroups
 * denied) and has every capability over the network namespaces made there, and none outside.
 *
 * Threads: CLONE_NEWUSER and entering a user namespace work in single-threaded processes only (INVALID says
 * so otherwise): call hostnet_namespace_unshare() and hostnet_namespace_join() before the main loop's or
 * GLib's worker threads exist. hostnet_namespace_create_net() may be called from any thread at any time.
 *
 * PERMISSION and LIMIT errors name the switch that stands in the way: kernel.unprivileged_userns_clone,
 * kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces, user.max_net_namespaces.
 */
#pragma once

#include "hostnet/hostnet.h"

/* A new network namespace with its loopback up, held by the returned fd alone (close-on-exec); -1 on error.
 * The caller stays where it is. Needs CAP_SYS_ADMIN. */
int hostnet_namespace_create_net(GError **error);

/* A new user namespace (the caller's effective uid and gid appear as 0 in it) and a network namespace that
 * belongs to it, held by the two fds alone. The caller stays where it is; to work there a process has to
 * hostnet_namespace_join() both. Needs no privilege. Loopback is up. */
bool hostnet_namespace_create_rootless(int *user_fd, int *net_fd, GError **error);

enum hostnet_namespace_flags {
    HOSTNET_NAMESPACE_USER = 1,  /* the caller becomes root of a new user namespace, first */
    HOSTNET_NAMESPACE_NET = 2,   /* with its loopback up */
    HOSTNET_NAMESPACE_MOUNT = 4, /* mount propagation made private */
};
/* Moves the calling process (thread, without USER) into new namespaces. */
bool hostnet_namespace_unshare(unsigned flags, GError **error);

/* Moves the caller into existing ones: first `user_fd`, then `net_fd`; either may be -1. A user namespace the
 * caller is in already is skipped. */
bool hostnet_namespace_join(int user_fd, int net_fd, GError **error);

/* fds of a running process's namespaces (either pointer may be NULL). NOT_FOUND: no such process. PERMISSION:
 * of another user. */
bool hostnet_namespace_open_pid(pid_t pid, int *user_fd, int *net_fd, GError **error);

/* True when the caller is in a user namespace other than the machine's first. */
bool hostnet_namespace_is_rootless(void);

/* Sets the loopback of the handle's namespace up. */
bool hostnet_namespace_loopback_up(struct hostnet *net, GError **error);
