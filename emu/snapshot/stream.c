/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Sections of a saved machine, written and read: see stream.h.
 *
 * The reader collects in `have` until `want` bytes are there: the start, then a section's head, then with its
 * payload. Memory grows with what has really come, not with the length a head names.
 */
#include "emu/snapshot/stream.h"

#include <gio/gio.h>
#include <string.h>

enum { START = 16, HEAD = 16 };
static const char magic[8] = "netlabVM";

struct stream_reader {
    bool (*section)(void *opaque, uint32_t type, const uint8_t *data, size_t len, GError **error);
    void *opaque;
    GByteArray *have;
    size_t want;
    uint32_t number;
    bool started, ended, failed;
};

static void put_u32(uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void stream_put_start(GByteArray *out)
{
    uint8_t start[START];
    memcpy(start, magic, sizeof magic);
    put_u32(start + 8, STREAM_VERSION);
    put_u32(start + 12, stream_crc(0, start, 12));
    g_byte_array_append(out, start, sizeof start);
}

void stream_put(GByteArray *out, enum stream_type type, uint32_t *number, const void *head, size_t head_len,
                const void *data, size_t len)
{
    uint8_t section[HEAD];
    put_u32(section, type);
    put_u32(section + 4, (uint32_t)(head_len + len));
    put_u32(section + 8, (*number)++);
    uint32_t crc = stream_crc(0, section, 12);
    crc = stream_crc(stream_crc(crc, head, head_len), data, len);
    put_u32(section + 12, crc);
    g_byte_array_append(out, section, sizeof section);
    if (head_len)
        g_byte_array_append(out, head, (guint)head_len);
    if (len)
        g_byte_array_append(out, data, (guint)len);
}

struct stream_reader *stream_reader_new(bool (*section)(void *opaque, uint32_t type, const uint8_t *data,
                                                        size_t len, GError **error),
                                        void *opaque)
{
    struct stream_reader *r = g_new0(struct stream_reader, 1);
    r->section = section;
    r->opaque = opaque;
    r->have = g_byte_array_new();
    r->want = START;
    return r;
}

void stream_reader_free(struct stream_reader *r)
{
    if (!r)
        return;
    g_byte_array_unref(r->have);
    g_free(r);
}

static bool damaged(GError **error, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "the saved machine is damaged: %s; nothing can be made of it: save it again", what);
    return false;
}

static bool take_start(struct stream_reader *r, GError **error)
{
    const uint8_t *p = r->have->data;
    if (memcmp(p, magic, sizeof magic) != 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s; give what netlab-emu's migrate has written",
                    memcmp(p, "QEVM", 4) == 0 ? "this is a machine saved by QEMU, whose format is another one"
                                              : "this is no saved machine");
        return false;
    }
    if (get_u32(p + 12) != stream_crc(0, p, 12))
        return damaged(error, "the checksum of its beginning is wrong");
    if (get_u32(p + 8) != STREAM_VERSION) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the saved machine is of version %u of the format, and this netlab-emu reads version %d; "
                    "load it with the netlab-emu that has saved it",
                    get_u32(p + 8), STREAM_VERSION);
        return false;
    }
    r->started = true;
    r->want = HEAD;
    return true;
}

static bool take_section(struct stream_reader *r, GError **error)
{
    const uint8_t *p = r->have->data;
    uint32_t type = get_u32(p), len = get_u32(p + 4);
    if (r->want == HEAD) {
        if (len > STREAM_SECTION_MOST || get_u32(p + 8) != r->number)
            return damaged(error, "a section has an impossible length, or is missing");
        r->want = HEAD + (size_t)len;
        if (len)
            return true;
    }
    if (stream_crc(stream_crc(0, p, 12), p + HEAD, len) != get_u32(p + 12))
        return damaged(error, "a checksum is wrong");
    r->number++;
    r->want = HEAD;
    if (type == STREAM_END) {
        if (len)
            return damaged(error, "its end is none");
        r->ended = true;
    } else if (!r->section(r->opaque, type, p + HEAD, len, error)) {
        return false;
    }
    g_byte_array_set_size(r->have, 0);
    return true;
}

bool stream_reader_feed(struct stream_reader *r, const void *data, size_t len, GError **error)
{
    const uint8_t *at = data;
    if (r->failed)
        return damaged(error, "it was refused before");
    while (len && !r->ended) {
        size_t n = MIN(len, r->want - r->have->len);
        g_byte_array_append(r->have, at, (guint)n);
        at += n;
        len -= n;
        if (r->have->len < r->want)
            break;
        bool start = !r->started;
        if (!(start ? take_start(r, error) : take_section(r, error))) {
            r->failed = true;
            return false;
        }
        if (start)
            g_byte_array_set_size(r->have, 0);
    }
    return true;
}

bool stream_reader_ended(const struct stream_reader *r)
{
    return r->ended;
}

bool stream_reader_finish(const struct stream_reader *r, GError **error)
{
    if (r->ended)
        return true;
    if (!r->failed)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            r->started || r->have->len
                                ? "the saved machine ends too early: it was cut short; save it again"
                                : "there is no saved machine: nothing came");
    else
        damaged(error, "it was refused before");
    return false;
}
