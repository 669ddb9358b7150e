/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * JSON lines over a socket: one object a line, both ways. What the supervisor, the guest's agent and the
 * emulator's QMP have in common. What a peer sends is never trusted: lines are bounded, what is no JSON
 * object is an error.
 *
 * The fd is set non-blocking; sending and receiving wait with poll() up to a deadline. One thread at a time.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

struct channel {
    int fd;          /* -1: closed; owned */
    int cancel_fd;   /* readable: give up (CANCELLED); -1: none; not owned */
    GByteArray *in;  /* received, not handed out yet */
    int received_fd; /* last fd that came along; -1: none; owned */
};

/* Takes over the fd. */
void channel_init(struct channel *channel, int fd);
void channel_clear(struct channel *channel);

/* Sends one object (or, with fd ≥ 0, the object and the fd). Errors: G_IO_ERROR. */
bool channel_send(struct channel *channel, JsonObject *object, int fd, GError **error);
/* Convenience: text that is JSON already, without newline. */
bool channel_send_text(struct channel *channel, const char *json, GError **error);

/* The next object, or NULL: TIMED_OUT after timeout_ms (-1: for ever), CLOSED at the end, CANCELLED,
 * INVALID_DATA. Bytes before a 0xff (guest-sync-delimited) are thrown away. Owned by the caller. */
JsonObject *channel_receive(struct channel *channel, int timeout_ms, GError **error);
/* Without waiting: true and *object NULL when no whole line is there yet. False: closed or broken. */
bool channel_try(struct channel *channel, JsonObject **object, GError **error);

/* Members with a fallback: a peer may leave them out or give them another type. */
const char *channel_string(JsonObject *object, const char *member, const char *fallback);
gint64 channel_number(JsonObject *object, const char *member, gint64 fallback);
bool channel_flag(JsonObject *object, const char *member);
