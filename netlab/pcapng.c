/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See pcapng.h. Blocks: type, length, body, length again; numbers in this computer's order (the emulator runs
 * here). Of options the reader knows those of a frame that it hands on: direction, and how many were lost.
 */
#include "netlab/pcapng.h"

#include <gio/gio.h>
#include <string.h>

enum block { SECTION = 0x0a0d0d0a, INTERFACE = 1, STATISTICS = 5, PACKET = 6 };
enum { MAGIC = 0x1a2b3c4d, ETHERNET = 1, BLOCK_LEAST = 12, BLOCK_MOST = PCAPNG_FRAME_MOST + 65536 };
enum { FLAGS_DIRECTION = 3, FLAGS_INBOUND = 1, FLAGS_OUTBOUND = 2 };
enum option {
    OPTION_END = 0,
    OPTION_COMMENT = 1,
    SHB_PROGRAM = 4,
    IF_NAME = 2,
    IF_DESCRIPTION = 3,
    IF_TSRESOL = 9,
    IF_FILTER = 11,
    EPB_FLAGS = 2,
    EPB_LOST = 4,
    ISB_START = 2,
    ISB_END = 3,
    ISB_RECEIVED = 4,
    ISB_LOST = 5,
    ISB_ACCEPTED = 6,
};

/* ---- reading ---- */

struct pcapng_reader {
    GByteArray *held; /* a block that is not whole yet */
    bool has_section, has_interface, is_broken;
};

struct pcapng_reader *pcapng_reader_new(void)
{
    struct pcapng_reader *reader = g_new0(struct pcapng_reader, 1);
    reader->held = g_byte_array_new();
    return reader;
}

void pcapng_reader_free(struct pcapng_reader *reader)
{
    if (!reader)
        return;
    g_byte_array_unref(reader->held);
    g_free(reader);
}

static uint32_t word(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static bool fail(struct pcapng_reader *reader, const char *why, GError **error)
{
    reader->is_broken = true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the machine's capture is not understood: %s",
                why);
    return false;
}

static void read_options(const uint8_t *at, size_t left, struct pcapng_frame *frame)
{
    while (left >= 4) {
        uint16_t code, length;
        memcpy(&code, at, 2);
        memcpy(&length, at + 2, 2);
        size_t padded = ((size_t)length + 3) & ~(size_t)3;
        if (code == OPTION_END || padded > left - 4)
            return;
        if (code == EPB_FLAGS && length == 4)
            frame->outbound = (word(at + 4) & FLAGS_DIRECTION) == FLAGS_OUTBOUND;
        if (code == EPB_LOST && length == 8)
            memcpy(&frame->lost, at + 4, 8);
        at += 4 + padded;
        left -= 4 + padded;
    }
}

static bool read_packet(struct pcapng_reader *reader, const uint8_t *body, size_t length, pcapng_take *take,
                        void *opaque, GError **error)
{
    if (!reader->has_interface || length < 20)
        return fail(reader, "a frame without an interface", error);
    struct pcapng_frame frame = {.time = (uint64_t)word(body + 4) << 32 | word(body + 8),
                                 .captured = word(body + 12),
                                 .length = word(body + 16),
                                 .data = body + 20};
    size_t padded = ((size_t)frame.captured + 3) & ~(size_t)3;
    if (word(body) != 0 || frame.captured > PCAPNG_FRAME_MOST || padded > length - 20 ||
        frame.captured > frame.length)
        return fail(reader, "a frame whose lengths are wrong", error);
    read_options(body + 20 + padded, length - 20 - padded, &frame);
    take(opaque, &frame);
    return true;
}

static bool read_interface(struct pcapng_reader *reader, const uint8_t *body, size_t length, GError **error)
{
    if (!reader->has_section || reader->has_interface || length < 8 || body[0] != ETHERNET || body[1] != 0)
        return fail(reader, "its interface is no Ethernet", error);
    reader->has_interface = true;
    return true;
}

static bool read_block(struct pcapng_reader *reader, const uint8_t *block, size_t total, pcapng_take *take,
                       void *opaque, GError **error)
{
    const uint8_t *body = block + 8;
    size_t length = total - BLOCK_LEAST;
    if (word(block + total - 4) != total)
        return fail(reader, "a block whose two lengths differ", error);
    switch (word(block)) {
    case SECTION:
        if (reader->has_section || length < 16 || word(body) != MAGIC)
            return fail(reader, "it does not begin as one", error);
        reader->has_section = true;
        return true;
    case INTERFACE:
        return read_interface(reader, body, length, error);
    case PACKET:
        return read_packet(reader, body, length, take, opaque, error);
    }
    return reader->has_section || fail(reader, "it does not begin as one", error);
}

bool pcapng_reader_feed(struct pcapng_reader *reader, const uint8_t *data, size_t length, pcapng_take *take,
                        void *opaque, GError **error)
{
    if (reader->is_broken)
        return fail(reader, "it was wrong before", error);
    g_byte_array_append(reader->held, data, (guint)length);
    size_t at = 0, left = reader->held->len;
    bool good = true;
    while (good && left >= 8) {
        const uint8_t *block = reader->held->data + at;
        uint32_t total = word(block + 4);
        if (total < BLOCK_LEAST || total % 4 || total > BLOCK_MOST) {
            good = fail(reader, "a block's length is wrong", error);
            break;
        }
        if (left < total)
            break;
        good = read_block(reader, block, total, take, opaque, error);
        at += total;
        left -= total;
    }
    if (at)
        g_byte_array_remove_range(reader->held, 0, (guint)at);
    return good;
}

/* ---- writing ---- */

static guint begin(GByteArray *out, enum block type)
{
    const uint32_t front[] = {(uint32_t)type, 0};
    guint at = out->len;
    g_byte_array_append(out, (const uint8_t *)front, sizeof front);
    return at;
}

static void add_option(GByteArray *out, enum option code, const void *value, size_t length)
{
    static const uint8_t zeros[4];
    const uint16_t front[] = {(uint16_t)code, (uint16_t)length};
    g_byte_array_append(out, (const uint8_t *)front, sizeof front);
    if (length)
        g_byte_array_append(out, value, (guint)length);
    g_byte_array_append(out, zeros, (guint)(-length & 3));
}

static void add_string(GByteArray *out, enum option code, const char *text)
{
    if (text && *text)
        add_option(out, code, text, MIN(strlen(text), (size_t)G_MAXUINT16));
}

static void end(GByteArray *out, guint at)
{
    add_option(out, OPTION_END, NULL, 0);
    uint32_t total = out->len - at + 4;
    g_byte_array_append(out, (const uint8_t *)&total, sizeof total);
    memcpy(out->data + at + 4, &total, sizeof total);
}

void pcapng_add_section(GByteArray *out, const char *program, const char *comment)
{
    const struct {
        uint32_t magic;
        uint16_t major, minor;
        int64_t length;
    } body = {MAGIC, 1, 0, -1};
    guint at = begin(out, SECTION);
    g_byte_array_append(out, (const uint8_t *)&body, sizeof body);
    add_string(out, OPTION_COMMENT, comment);
    add_string(out, SHB_PROGRAM, program);
    end(out, at);
}

void pcapng_add_interface(GByteArray *out, const struct pcapng_interface *interface)
{
    static const uint8_t nanoseconds = 9;
    const struct {
        uint16_t link, reserved;
        uint32_t most;
    } body = {ETHERNET, 0, interface->most};
    guint at = begin(out, INTERFACE);
    g_byte_array_append(out, (const uint8_t *)&body, sizeof body);
    add_string(out, OPTION_COMMENT, interface->comment);
    add_string(out, IF_NAME, interface->name);
    add_string(out, IF_DESCRIPTION, interface->description);
    add_option(out, IF_TSRESOL, &nanoseconds, 1);
    if (interface->filter) { /* a kind (0: libpcap's words) before the text */
        g_autofree char *text = g_strdup_printf("%c%s", 'x', interface->filter);
        size_t length = MIN(strlen(text), (size_t)G_MAXUINT16);
        text[0] = '\0';
        add_option(out, IF_FILTER, text, length);
    }
    end(out, at);
}

void pcapng_add_frame(GByteArray *out, uint32_t interface, const struct pcapng_frame *frame)
{
    static const uint8_t zeros[4];
    const uint32_t body[] = {interface, (uint32_t)(frame->time >> 32), (uint32_t)frame->time, frame->captured,
                             frame->length};
    const uint32_t flags = frame->outbound ? FLAGS_OUTBOUND : FLAGS_INBOUND;
    guint at = begin(out, PACKET);
    g_byte_array_append(out, (const uint8_t *)body, sizeof body);
    g_byte_array_append(out, frame->data, frame->captured);
    g_byte_array_append(out, zeros, -frame->captured & 3);
    add_option(out, EPB_FLAGS, &flags, sizeof flags);
    if (frame->lost)
        add_option(out, EPB_LOST, &frame->lost, sizeof frame->lost);
    end(out, at);
}

void pcapng_add_statistics(GByteArray *out, uint32_t interface, const struct pcapng_statistics *statistics)
{
    const uint32_t body[] = {interface, (uint32_t)(statistics->ended >> 32), (uint32_t)statistics->ended};
    const uint32_t began[] = {(uint32_t)(statistics->began >> 32), (uint32_t)statistics->began};
    guint at = begin(out, STATISTICS);
    g_byte_array_append(out, (const uint8_t *)body, sizeof body);
    add_option(out, ISB_START, began, sizeof began);
    add_option(out, ISB_END, body + 1, 8);
    add_option(out, ISB_RECEIVED, &statistics->received, 8);
    add_option(out, ISB_LOST, &statistics->lost, 8);
    add_option(out, ISB_ACCEPTED, &statistics->accepted, 8);
    end(out, at);
}
