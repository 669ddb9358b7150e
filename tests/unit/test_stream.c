/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The stream of a saved machine: sections come back as they were put in, however the bytes are cut into
 * pieces; whatever is changed, left out, moved or cut off is refused.
 */
#include "emu/snapshot/stream.h"

#include <glib.h>
#include <string.h>

enum { SECTIONS = 4 };
static const uint32_t types[SECTIONS] = {STREAM_MACHINE, STREAM_DEVICE, STREAM_MEMORY, 77};
static const uint32_t lengths[SECTIONS] = {5, 0, 5000, 33};

struct seen {
    unsigned count;
    unsigned refuse; /* this one; 0: none */
    GByteArray *bytes;
};

static uint8_t byte_of(unsigned section, unsigned i)
{
    return (uint8_t)(section * 31 + i * 7 + (i >> 8));
}

static bool section(void *opaque, uint32_t type, const uint8_t *data, size_t len, GError **error)
{
    struct seen *seen = opaque;
    g_assert_cmpuint(seen->count, <, SECTIONS);
    g_assert_cmpuint(type, ==, types[seen->count]);
    g_assert_cmpuint(len, ==, lengths[seen->count]);
    for (unsigned i = 0; i < len; i++)
        g_assert_cmphex(data[i], ==, byte_of(seen->count, i));
    if (++seen->count != seen->refuse)
        return true;
    g_set_error_literal(error, g_quark_from_static_string("test"), 1, "not this one");
    return false;
}

static bool any_section(void *opaque, uint32_t type, const uint8_t *data, size_t len, GError **error)
{
    ((struct seen *)opaque)->count++;
    return true;
}

static GByteArray *stream(uint32_t *starts)
{
    GByteArray *out = g_byte_array_new();
    uint32_t number = 0;
    stream_put_start(out);
    for (unsigned s = 0; s < SECTIONS; s++) {
        g_autofree uint8_t *data = g_malloc(lengths[s] + 1);
        for (unsigned i = 0; i < lengths[s]; i++)
            data[i] = byte_of(s, i);
        uint32_t head = MIN(lengths[s], 3);
        if (starts)
            starts[s] = out->len;
        stream_put(out, (enum stream_type)types[s], &number, head ? data : NULL, head, data + head,
                   lengths[s] - head);
    }
    if (starts)
        starts[SECTIONS] = out->len;
    stream_put(out, STREAM_END, &number, NULL, 0, NULL, 0);
    g_assert_cmpuint(number, ==, SECTIONS + 1);
    return out;
}

/* Fed in pieces of `piece` bytes. True: it was read to its end. */
static bool read_all(const uint8_t *data, size_t len, size_t piece, struct seen *seen, GError **error)
{
    struct stream_reader *r = stream_reader_new(seen->bytes ? any_section : section, seen);
    bool good = true;
    for (size_t at = 0; good && at < len; at += piece)
        good = stream_reader_feed(r, data + at, MIN(piece, len - at), error);
    if (good)
        good = stream_reader_finish(r, error);
    else /* once refused, always refused */
        g_assert_false(stream_reader_feed(r, "x", 1, NULL) || stream_reader_finish(r, NULL));
    g_assert_true(!good || stream_reader_ended(r));
    stream_reader_free(r);
    return good;
}

/* The numbers of RFC 3720, appendix B.4. */
static void test_crc(void)
{
    uint8_t data[48] = {0};
    g_assert_cmphex(stream_crc(0, data, 32), ==, 0x8a9136aa);
    memset(data, 0xff, 32);
    g_assert_cmphex(stream_crc(0, data, 32), ==, 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        data[i] = (uint8_t)i;
    g_assert_cmphex(stream_crc(0, data, 32), ==, 0x46dd794e);
    for (unsigned cut = 0; cut <= 32; cut++)
        g_assert_cmphex(stream_crc(stream_crc(0, data, cut), data + cut, 32 - cut), ==, 0x46dd794e);
    g_assert_cmphex(stream_crc(0, "123456789", 9), ==, 0xe3069283);
}

static void test_pieces(void)
{
    g_autoptr(GByteArray) s = stream(NULL);
    static const size_t pieces[] = {1, 2, 15, 16, 17, 31, 32, 4096, 1 << 20};
    for (unsigned i = 0; i < G_N_ELEMENTS(pieces); i++) {
        struct seen seen = {0};
        g_autoptr(GError) error = NULL;
        g_assert_true(read_all(s->data, s->len, pieces[i], &seen, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(seen.count, ==, SECTIONS);
    }
    g_byte_array_append(s, (const uint8_t *)"and what follows", 16); /* is not read */
    struct seen seen = {0};
    g_assert_true(read_all(s->data, s->len, 1000, &seen, NULL));
}

static void test_cut(void)
{
    g_autoptr(GByteArray) s = stream(NULL);
    for (guint cut = 0; cut < s->len; cut++) {
        struct seen seen = {0};
        g_autoptr(GError) error = NULL;
        g_assert_false(read_all(s->data, cut, 64, &seen, &error));
        g_assert_nonnull(strstr(error->message, cut ? "cut short" : "nothing came"));
    }
}

static void test_bits(void)
{
    g_autoptr(GByteArray) s = stream(NULL);
    for (guint i = 0; i < s->len * 8; i++) {
        struct seen seen = {0};
        g_autoptr(GError) error = NULL;
        s->data[i / 8] ^= (uint8_t)(1u << i % 8);
        g_assert_false(read_all(s->data, s->len, 512, &seen, &error));
        g_assert_nonnull(error);
        s->data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

/* Sections that are whole, but not where they were. */
static void test_order(void)
{
    uint32_t starts[SECTIONS + 1];
    g_autoptr(GByteArray) s = stream(starts);
    for (unsigned left_out = 0; left_out < SECTIONS; left_out++) {
        g_autoptr(GByteArray) less = g_byte_array_new();
        struct seen seen = {.bytes = less};
        g_autoptr(GError) error = NULL;
        g_byte_array_append(less, s->data, starts[left_out]);
        g_byte_array_append(less, s->data + starts[left_out + 1], s->len - starts[left_out + 1]);
        g_assert_false(read_all(less->data, less->len, 512, &seen, &error));
        g_assert_nonnull(strstr(error->message, "missing"));
        g_assert_cmpuint(seen.count, ==, left_out);
        g_byte_array_set_size(less, 0); /* twice */
        g_byte_array_append(less, s->data, starts[left_out + 1]);
        g_byte_array_append(less, s->data + starts[left_out], s->len - starts[left_out]);
        g_assert_false(read_all(less->data, less->len, 512, &seen, NULL));
    }
}

/* A length is believed as far as bytes have come for it, and never beyond the most there can be. */
static void test_lengths(void)
{
    g_autoptr(GByteArray) s = g_byte_array_new();
    g_autofree uint8_t *most = g_malloc0(STREAM_SECTION_MOST + 1);
    uint32_t number = 0;
    struct seen seen = {.bytes = s};
    g_autoptr(GError) error = NULL;
    stream_put_start(s);
    stream_put(s, STREAM_MEMORY, &number, NULL, 0, most, STREAM_SECTION_MOST);
    stream_put(s, STREAM_END, &number, NULL, 0, NULL, 0);
    g_assert_true(read_all(s->data, s->len, 1 << 16, &seen, NULL));
    g_assert_cmpuint(seen.count, ==, 1);
    g_byte_array_set_size(s, 0);
    number = 0;
    stream_put_start(s);
    stream_put(s, STREAM_MEMORY, &number, NULL, 0, most, STREAM_SECTION_MOST + 1);
    g_assert_false(read_all(s->data, s->len, 1 << 16, &seen, &error));
    g_assert_nonnull(strstr(error->message, "impossible length"));
}

static void test_refusal(void)
{
    g_autoptr(GByteArray) s = stream(NULL);
    for (unsigned refuse = 1; refuse <= SECTIONS; refuse++) {
        struct seen seen = {.refuse = refuse};
        g_autoptr(GError) error = NULL;
        g_assert_false(read_all(s->data, s->len, 100, &seen, &error));
        g_assert_cmpstr(error->message, ==, "not this one");
        g_assert_cmpuint(seen.count, ==, refuse);
    }
}

/* What it says of files that are something else. */
static void test_foreign(void)
{
    static const struct {
        const char *bytes, *says;
    } rows[] = {
        {"QEVM\0\0\0\3xxxxxxxxxxxxxxxx", "saved by QEMU"},
        {"#!/bin/sh\nexit 0\nxxxxxxxx", "no saved machine"},
        {"netlabVM\1\0\0\0\1\2\3\4xxxxxxxx", "checksum"},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct seen seen = {0};
        g_autoptr(GError) error = NULL;
        g_assert_false(read_all((const uint8_t *)rows[i].bytes, 24, 24, &seen, &error));
        g_assert_nonnull(strstr(error->message, rows[i].says));
    }
    g_autoptr(GByteArray) s = stream(NULL);
    struct seen seen = {0};
    g_autoptr(GError) error = NULL;
    s->data[8] = 2;
    uint32_t crc = GUINT32_TO_LE(stream_crc(0, s->data, 12));
    memcpy(s->data + 12, &crc, 4);
    g_assert_false(read_all(s->data, s->len, 100, &seen, &error));
    g_assert_nonnull(strstr(error->message, "version 2 of the format"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stream/crc", test_crc);
    g_test_add_func("/stream/pieces", test_pieces);
    g_test_add_func("/stream/cut", test_cut);
    g_test_add_func("/stream/bits", test_bits);
    g_test_add_func("/stream/order", test_order);
    g_test_add_func("/stream/lengths", test_lengths);
    g_test_add_func("/stream/refusal", test_refusal);
    g_test_add_func("/stream/foreign", test_foreign);
    return g_test_run();
}
