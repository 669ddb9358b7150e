/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Character back ends: where a serial port's bytes go (stdio, file, unix socket, null, pty…).
 *
 * The device end calls char_write() (never blocks: what a slow reader does not take is kept, bounded, then
 * dropped oldest first and counted) and char_accept() to say how many bytes it can take; input arrives by its
 * `input` callback. Machine thread only.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct char_port;
struct loop;

struct char_events {
    void (*input)(void *opaque, const uint8_t *data, size_t len); /* never more than char_accept() allowed */
    void (*opened)(void *opaque);                                /* a peer connected (sockets); may be NULL */
    void (*closed)(void *opaque);
    void (*broke)(void *opaque); /* line break; may be NULL */
};

/* Parses QEMU's words: "stdio", "null", "none", "file:PATH", "pty", "unix:PATH[,server=on|,server][,nowait|,wait=off]",
 * "tcp:HOST:PORT[,server,nowait]", "pipe:PATH", "fd:N", "mon:stdio" (Ctrl-A x quits, Ctrl-A c is the monitor,
 * Ctrl-A h helps, Ctrl-A b breaks). What is QEMU's and not ours yet is an error that says so. Sockets are made
 * with mode 0600; a stale socket file is replaced, a live one is an error. */
struct char_port *char_open(const char *id, const char *spec, struct loop *loop, GError **error);
void char_free(struct char_port *port); /* flushes what can be flushed; restores the terminal */
void char_connect(struct char_port *port, const struct char_events *events, void *opaque);
void char_write(struct char_port *port, const uint8_t *data, size_t len);
void char_accept(struct char_port *port, size_t bytes);
bool char_is_open(const struct char_port *port);
uint64_t char_dropped(const struct char_port *port);
const char *char_spec(const struct char_port *port);
/* Escape commands of mon:/stdio -nographic ask for these. */
struct char_escape {
    void (*quit)(void *opaque);
    void (*monitor)(void *opaque);
};
void char_set_escape(struct char_port *port, const struct char_escape *escape, void *opaque);
