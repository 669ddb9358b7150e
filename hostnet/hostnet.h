/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The handle: one network namespace, seen through netlink.
 *
 * A netlink socket belongs for life to the namespace in which it was opened, whatever its process does later.
 * So a handle is opened once (hostnet_open: the calling thread's namespace; hostnet_open_fd: that of an fd)
 * and a process may hold several and act in each without switching. Nothing done through a handle can touch
 * another namespace than its own, except hostnet_link_move() and the far end of hostnet_veth_create(), which
 * are told the other one by fd.
 *
 * A few things go by the thread and not by the socket: opening /dev/net/tun and reading or writing /proc/sys.
 * For those the library enters the handle's namespace with setns() and returns before the call ends (the
 * thread is never left elsewhere: if it cannot return, the process is aborted, for everything it did
 * afterwards would hit the wrong namespace). A thread that is in the namespace already is not moved, and then
 * no CAP_SYS_ADMIN is needed.
 *
 * Threads: a handle is used by one thread at a time. Different handles may be used by different threads. Over
 * a fork() both sides may go on with their handles: the child's gets a socket of its own at its first use.
 * Files that use libnl (request, link, bridge, veth, tap, address, route, probe) never see libmnl, and those
 * that use libmnl (dump, snapshot, monitor) never see libnl.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "hostnet/error.h"

typedef struct hostnet hostnet; /* for g_autoptr(hostnet); written `struct hostnet` everywhere else */

/* Opens the calling thread's network namespace. The handle keeps that namespace alive. NULL and an error when
 * netlink is not to be had (UNSUPPORTED, LIMIT). Needs no privilege. */
struct hostnet *hostnet_open(GError **error);

/* The same for the namespace behind `netns_fd` (/proc/PID/ns/net or hostnet_namespace_create). The fd stays
 * the caller's. PERMISSION when the thread may not enter it (needs CAP_SYS_ADMIN here and there). */
struct hostnet *hostnet_open_fd(int netns_fd, GError **error);

/* Closes it; NULL is fine. Objects made through it stay. */
void hostnet_close(struct hostnet *net);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(hostnet, hostnet_close)

/* The namespace's fd (for setns, hostnet_link_move, hostnet_veth_create). Stays the handle's. */
int hostnet_get_netns_fd(const struct hostnet *net);

/* The namespace's number, unique since boot and never used again (SO_NETNS_COOKIE, Linux 5.14); before that
 * the inode number of the namespace. */
uint64_t hostnet_get_netns_cookie(const struct hostnet *net);

/* True when both are handles of one and the same namespace. */
bool hostnet_same_namespace(const struct hostnet *a, const struct hostnet *b);

/* This boot's id (/proc/sys/kernel/random/boot_id, 36 characters). Never NULL: "unknown" without /proc.
 * Static storage of the handle. */
const char *hostnet_get_boot_id(const struct hostnet *net);
