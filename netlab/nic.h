/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A running node's NIC: its cable and its line, through the machine's QMP socket.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

/* In these, `directory` is the node's and `index` the NIC's place in it (0 …). */
bool nic_set_link(const char *directory, unsigned index, bool up, GError **error);
/* Words of emu/net/impair.h for what the node sends, "off", or NULL: only look. How the line is then, a text
 * of a few lines. Owned by the caller. */
char *nic_impair(const char *directory, unsigned index, const char *words, GError **error);
/* Is its link up? */
bool nic_get_link(const char *directory, unsigned index, bool *up, GError **error);

/* Link, MAC, counters and drops of all of them, as x-netlab-query-network gives it (docs/control.md); NULL
 * with an error. Unref it. */
JsonArray *nic_query(const char *directory, GError **error);
/* One of these, or NULL. Not owned. */
JsonObject *nic_find(JsonArray *nics, unsigned index);

/* A capture named `id` (letters, digits, '-') of the NIC's frames as a pcapng stream into `fd` (a socket;
 * stays the caller's), each cut to `most` bytes (0: whole). It ends with nic_capture_end(), with the machine,
 * or when the other end of the socket is closed. */
bool nic_capture_begin(const char *directory, unsigned index, const char *id, unsigned most, int fd,
                       GError **error);
void nic_capture_end(const char *directory, const char *id);

/* The events of a machine, as its QMP sends them (docs/control.md). */
struct nic_events;
struct nic_events *nic_events_new(const char *directory, GError **error);
void nic_events_free(struct nic_events *events);
int nic_events_fd(const struct nic_events *events); /* readable: nic_events_next() */
/* True: *event is one, owned by the caller, or NULL: none now. False: the machine has ended. */
bool nic_events_next(struct nic_events *events, JsonObject **event);
