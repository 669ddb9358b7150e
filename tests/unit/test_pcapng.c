/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * pcapng streams written, read back whole, in pieces and broken; filters; frames in words.
 */
#include "netlab/capture_filter.h"
#include "netlab/frame_text.h"
#include "netlab/pcapng.h"

#include <string.h>

struct seen {
    guint count;
    guint64 bytes, lost, last_time;
    guint outbound;
};

static void take(void *opaque, const struct pcapng_frame *frame)
{
    struct seen *seen = opaque;
    seen->count++;
    seen->bytes += frame->captured;
    seen->lost += frame->lost;
    seen->outbound += frame->outbound;
    seen->last_time = frame->time;
    for (uint32_t i = 0; i < frame->captured; i++)
        g_assert_cmpint(frame->data[i], ==, (uint8_t)(i * 7));
}

static GByteArray *make_stream(void)
{
    GByteArray *out = g_byte_array_new();
    static uint8_t data[1600];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    pcapng_add_section(out, "test", "a comment");
    pcapng_add_interface(out,
                         &(struct pcapng_interface){
                             .name = "h1:eth0", .description = "mac", .filter = "icmp", .most = 1 << 18});
    for (uint32_t i = 0; i < 5; i++)
        pcapng_add_frame(out, 0,
                         &(struct pcapng_frame){.time = G_GUINT64_CONSTANT(1700000000123456789) + i,
                                                .length = 1000 + i,
                                                .captured = 60 + i,
                                                .outbound = i & 1,
                                                .lost = i == 3 ? 9 : 0,
                                                .data = data});
    pcapng_add_statistics(out, 0, &(struct pcapng_statistics){.began = 1, .ended = 2, .received = 5});
    return out;
}

static void check_seen(const struct seen *seen)
{
    g_assert_cmpint(seen->count, ==, 5);
    g_assert_cmpint(seen->bytes, ==, 60 + 61 + 62 + 63 + 64);
    g_assert_cmpint(seen->lost, ==, 9);
    g_assert_cmpint(seen->outbound, ==, 2);
    g_assert_cmpint(seen->last_time, ==, G_GUINT64_CONSTANT(1700000000123456789) + 4);
}

static void test_round_trip(void)
{
    g_autoptr(GByteArray) stream = make_stream();
    for (guint piece = 1; piece <= stream->len; piece += piece < 40 ? 1 : stream->len / 3) {
        struct pcapng_reader *reader = pcapng_reader_new();
        struct seen seen = {0};
        g_autoptr(GError) error = NULL;
        for (guint at = 0; at < stream->len; at += piece)
            g_assert_true(pcapng_reader_feed(reader, stream->data + at, MIN(piece, stream->len - at), take,
                                             &seen, &error));
        check_seen(&seen);
        pcapng_reader_free(reader);
    }
}

/* Each byte wrong in turn: an error or fewer frames, never a crash; and after an error no more. */
static void take_any(void *opaque, const struct pcapng_frame *frame)
{
    guint *count = opaque;
    g_assert_cmpint(frame->captured, <=, PCAPNG_FRAME_MOST);
    g_assert_cmpint(frame->captured, <=, frame->length);
    *count += frame->captured ? frame->data[frame->captured - 1] | 1 : 1;
}

static void test_broken(void)
{
    g_autoptr(GByteArray) stream = make_stream();
    guint refused = 0;
    for (guint at = 0; at < stream->len; at++) {
        for (unsigned flip = 1; flip < 256; flip <<= 1) {
            struct pcapng_reader *reader = pcapng_reader_new();
            guint count = 0;
            g_autoptr(GError) error = NULL;
            stream->data[at] ^= (uint8_t)flip;
            if (!pcapng_reader_feed(reader, stream->data, stream->len, take_any, &count, &error)) {
                g_autoptr(GError) again = NULL;
                refused++;
                g_assert_false(pcapng_reader_feed(reader, stream->data, 4, take_any, &count, &again));
            }
            stream->data[at] ^= (uint8_t)flip;
            pcapng_reader_free(reader);
        }
    }
    g_assert_cmpint(refused, >, 200);
}

static void test_filter(void)
{
    g_autoptr(GError) error = NULL;
    static const uint8_t arp[60] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6};
    struct capture_filter *filter = capture_filter_new("arp and not host 10.0.0.1", &error);
    g_assert_no_error(error);
    g_assert_true(capture_filter_matches(filter, arp, sizeof arp, sizeof arp));
    g_assert_false(capture_filter_matches(filter, arp, 13, sizeof arp));
    capture_filter_free(filter);
    g_assert_null(capture_filter_new("frobnicate the", &error));
    g_assert_nonnull(strstr(error->message, "frobnicate the"));
    g_assert_nonnull(strstr(error->message, "pcap-filter"));
}

/* Frames in hexadecimal, the same ones cut short at each byte, and their words. */
static const struct {
    const char *hex, *text;
} frames[] = {
    {"ffffffffffff02000000000108060001080006040001020000000001" /**/
     "0a0100010000000000000a010002",
     "ARP who has 10.1.0.2? tell 10.1.0.1"},
    {"02000000000202000000000108060001080006040002020000000001" /**/
     "0a0100010200000000020a010002",
     "ARP reply 10.1.0.1 is at 02:00:00:00:00:01"},
    {"0200000000020200000000010800450000540000400040010000"
     "0a0100010a0100020800000000030001",
     "10.1.0.1 > 10.1.0.2: ICMP echo request, id 3, seq 1"},
    {"02000000000202000000000108004500002800004000400600000a0100010a010002"
     "c0000050000000010000000250120400000000000000000000",
     "10.1.0.1.49152 > 10.1.0.2.80: TCP S. seq 1 ack 2 win 1024, 0 bytes (http)"},
    {"0200000000020200000000018100000a0800450000240000400040110000" /**/
     "0a0100010a010002c00000350010000000000000",
     "vlan 10 10.1.0.1.49152 > 10.1.0.2.53: UDP, 8 bytes (dns)"},
    {"01005e0000050200000000010800450000400000000001590000" /**/
     "0a010001e00000050201002c",
     "10.1.0.1 > 224.0.0.5: OSPFv2 hello"},
    {"33330000000102000000000186dd6000000000203afffe800000000000000000000000000001" /**/
     "ff0200000000000000000001ff0000028700000000000000fe800000000000000000000000000002",
     "fe80::1 > ff02::1:ff00:2: ICMPv6 neighbour solicitation fe80::2"},
    {"0180c200000002000000000100264242030000", "02:00:00:00:00:01: spanning tree"},
    {"0180c200000e02000000000188cc0207", "02:00:00:00:00:01 > 01:80:c2:00:00:0e: LLDP, 16 bytes"},
    {"02000000000202000000000108004500002800000007400600000a0100010a010002c0000050",
     "10.1.0.1 > 10.1.0.2: IP protocol 6, a later fragment, 20 bytes"},
};

static void test_text(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(frames); i++) {
        uint8_t data[256];
        size_t length = strlen(frames[i].hex) / 2;
        for (size_t k = 0; k < length; k++)
            data[k] = (uint8_t)(g_ascii_xdigit_value(frames[i].hex[2 * k]) << 4 |
                                g_ascii_xdigit_value(frames[i].hex[2 * k + 1]));
        g_autoptr(GString) text = g_string_new(NULL);
        frame_text_add(text, data, length, length);
        g_assert_cmpstr(text->str, ==, frames[i].text);
        for (size_t cut = 0; cut < length; cut++) {
            g_autofree uint8_t *copy = g_memdup2(data, cut ? cut : 1);
            g_string_truncate(text, 0);
            frame_text_add(text, copy, cut, length);
            g_assert_cmpint(text->len, >, 5);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pcapng/round-trip", test_round_trip);
    g_test_add_func("/pcapng/broken", test_broken);
    g_test_add_func("/pcapng/filter", test_filter);
    g_test_add_func("/pcapng/text", test_text);
    return g_test_run();
}
