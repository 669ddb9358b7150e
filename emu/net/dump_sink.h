/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Where a pcapng capture goes: whole blocks are put into a ring, and a thread writes them to a file or sends
 * them to a reader (a UNIX socket, a pipe). Used by net/dump.c alone.
 *
 * The machine's thread never waits for a reader: a block that finds no room is refused. A file loses nothing:
 * when the ring is full, whoever puts writes, too.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { DUMP_RING_LEAST = 1 << 18, DUMP_RING_USUAL = 1 << 22, DUMP_RING_MOST = 1 << 30 };

struct dump_sink;

/* Takes fd over, on success only. size: bytes of the ring, rounded up to a power of two. */
struct dump_sink *dump_sink_new(int fd, size_t size, GError **error);
/* Puts one block (a multiple of four bytes, its length at +4, as pcapng has it). False: no room, or ended. */
bool dump_sink_put(struct dump_sink *sink, const struct iovec *iov, unsigned count, size_t length);
/* Whether nothing can be put any more: 0, or the errno of why. */
int dump_sink_ended(struct dump_sink *sink);
bool dump_sink_is_file(const struct dump_sink *sink);
/* Frames that are in the file, or that the reader was sent. */
uint64_t dump_sink_frames(struct dump_sink *sink);
/* Writes what is left (to a slow reader: for a moment) and closes. NULL is allowed. */
void dump_sink_free(struct dump_sink *sink);
