/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The stream a saved machine is: sections behind each other, each with its length and checksum. What is in
 * them is machine/saved.c's.
 *
 *   stream   "netlabVM", u32 version, u32 CRC-32C of those 12 bytes, sections
 *   section  u32 type, u32 length, u32 number (0, 1, 2 …), u32 CRC-32C of those 12 bytes and the payload,
 *            payload
 *   end      a section of the type STREAM_END and no length; what follows is not read
 *
 * Integers are little-endian. The reader takes bytes as they come, in pieces of any size, and keeps one
 * section at most (STREAM_SECTION_MOST); a section is handed on when its checksum holds. Streams are hostile.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STREAM_VERSION = 1, STREAM_SECTION_MOST = 16 << 20 };

enum stream_type {
    STREAM_MACHINE = 1, /* what it was saved from, as lines of text */
    STREAM_DEVICE = 2,  /* snapshot/state.h */
    STREAM_MEMORY = 3,  /* u64 offset in guest RAM, bytes */
    STREAM_ZEROS = 4,   /* u64 offset, u64 bytes */
    STREAM_END = 5,
};

uint32_t stream_crc(uint32_t crc, const void *data, size_t len); /* 0 to begin with */

/* Appends the beginning of a stream; a section: `head` (may be NULL) and `data` are its payload. `number` is
 * counted up. */
void stream_put_start(GByteArray *out);
void stream_put(GByteArray *out, enum stream_type type, uint32_t *number, const void *head, size_t head_len,
                const void *data, size_t len);

struct stream_reader;
/* `section` is called for each one but the end; false with an error ends reading. */
struct stream_reader *stream_reader_new(bool (*section)(void *opaque, uint32_t type, const uint8_t *data,
                                                        size_t len, GError **error),
                                        void *opaque);
void stream_reader_free(struct stream_reader *reader); /* NULL is allowed */
/* Returns false for good when the stream is not what it should be. */
bool stream_reader_feed(struct stream_reader *reader, const void *data, size_t len, GError **error);
bool stream_reader_ended(const struct stream_reader *reader); /* the end was read */
/* There is no more: an error unless it has ended. */
bool stream_reader_finish(const struct stream_reader *reader, GError **error);
