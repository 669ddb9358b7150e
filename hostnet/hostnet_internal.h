/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the files of hostnet share among themselves, whichever netlink library they use: the handle's inside,
 * the scoped visit to its namespace, and the one way to word an error.
 */
#pragma once

#include "hostnet/hostnet.h"
#include "hostnet/link.h"

#include <sys/types.h>
#include <unistd.h>

struct nl_sock;

struct hostnet {
    struct nl_sock *socket; /* NETLINK_ROUTE, for the libnl files; never NULL */
    pid_t owner;            /* the process that opened it */
    uint32_t sequence;      /* of the last request sent on it */
    int netns_fd;
    dev_t netns_device;
    ino_t netns_inode;
    uint64_t netns_cookie;
    char boot_id[HOSTNET_BOOT_ID_MAX + 1];
};

/* ---- errors (error.c) ---- */

/* Which code an errno of the kernel is. */
enum hostnet_error hostnet_error_from_errno(int error_number);

/* Sets "WHAT: REASON (KERNEL TEXT; HINT)". `kernel_text` may be NULL; `hint` NULL takes the usual one for the
 * code. `error_number` is positive. Always returns false. */
bool hostnet_error_set(GError **error, int error_number, const char *kernel_text, const char *hint,
                       const char *what, ...) G_GNUC_PRINTF(5, 6);
/* The same where the code is not what the errno would give. */
bool hostnet_error_set_code(GError **error, enum hostnet_error code, int error_number,
                            const char *kernel_text, const char *hint, const char *what, ...)
    G_GNUC_PRINTF(6, 7);
/* INVALID, NOT_OURS, … found by ourselves: the text as it is. Always returns false. */
bool hostnet_error_say(GError **error, enum hostnet_error code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* "lan (nlb3f2a1)" from mark and interface name; only the name when the mark is none of ours. Owned by the
 * caller. */
char *hostnet_describe_link(const char *mark, const char *name);

/* ---- the visit to the handle's namespace (hostnet.c) ---- */

struct hostnet_scope {
    int previous; /* fd of the namespace to return to; -1: the thread was there already */
};
/* What was entered is left by hostnet_scope_leave(), on every path. */
bool hostnet_scope_enter(const struct hostnet *net, struct hostnet_scope *scope, GError **error);
void hostnet_scope_leave(struct hostnet_scope *scope);

/* open() of `path` in the handle's namespace (for /dev/net/tun and /proc/sys/net): fd, or -1 with errno in
 * `*error_number`, or -1 with `error` set and `*error_number` 0 when the namespace could not be entered. */
int hostnet_scope_open(const struct hostnet *net, const char *path, int flags, int *error_number,
                       GError **error);

/* Gives a handle that came over a fork() a socket of its own: parent and child would take each other's
 * answers. */
bool hostnet_own_socket(struct hostnet *net, GError **error);

/* A netlink socket of the handle's namespace, unbound; -1 on error. */
int hostnet_socket_open(const struct hostnet *net, int protocol, GError **error);

/* ---- small things ---- */

/* A closed-when-out-of-scope file descriptor. Initialise it, with -1 if need be. */
static inline void hostnet_fd_clear(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}
#define hostnet_autofd __attribute__((cleanup(hostnet_fd_clear))) int
static inline int hostnet_fd_steal(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* An unused index from 2^20 up, at random; 0 with an error when none is found in a good many tries. */
uint32_t hostnet_index_choose(struct hostnet *net, GError **error);
/* 1: this index exists, 0: it does not, -1: error. */
int hostnet_index_exists(struct hostnet *net, uint32_t index, GError **error);

/* The value rules of a spec (name, mark, altname, MAC, MTU), said before the kernel is asked. */
bool hostnet_link_spec_check(const struct hostnet_link_spec *spec, const char *kind, GError **error);
bool hostnet_altname_check(const char *altname, GError **error);
bool hostnet_mark_check(const char *mark, GError **error);
