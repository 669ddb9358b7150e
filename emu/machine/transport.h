/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The ways a saved machine can take, by QEMU's words: "exec:COMMAND", "fd:N", "file:PATH", "unix:PATH",
 * "tcp:HOST:PORT". Descriptors are not blocking. Machine thread only.
 */
#pragma once

#include "emu/char/backend.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

struct transport {
    int fd;              /* to write to, or to read from; -1: nobody has connected to `listener` yet */
    bool two_ways;       /* a socket: the other side can answer */
    bool socket_pending; /* it is being connected: writable once that is decided (transport_connected) */
    pid_t child;         /* exec: its command, 0: none */
    char *made;          /* file: it was not there before; owned */
    struct char_listener listener;
};

/* Words that are wrong in themselves are refused without anything being done. */
bool transport_check(const char *uri, bool incoming, GError **error);
/* `fd`: the descriptor of "fd:NAME" when it has come by a name, adopted on success; -1: the number counts. */
bool transport_open(struct transport *t, const char *uri, bool incoming, int fd, GError **error);
/* Takes the one that connects, and nobody after that. False: nobody was there. */
bool transport_accept(struct transport *t);
bool transport_connected(struct transport *t, GError **error);
/* Ends it. discard: a file that it made goes, a command that it started is ended. */
void transport_close(struct transport *t, bool discard);
