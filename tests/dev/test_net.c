/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The cable and what lives on it: ports, room and its absence, link, drops, watching and capturing, the hub;
 * checksums, header layout and cutting of frames on random and impossible input.
 */
#include "emu/net/frame.h"
#include "emu/net/netdev.h"
#include "emu/net/reassemble.h"
#include "tests/dev/e1000_rig.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <sys/resource.h>

/* ---- two ends ---- */

struct end {
    struct net_port *port;
    unsigned frames, rooms, ups, downs, freed;
    size_t bytes;
    int takes;            /* frames before it is full; negative: all */
    unsigned answers;     /* frames to send back from inside receive() */
    bool room_in_receive; /* says it has room while it takes a frame */
    enum net_result answered;
};

static enum net_result send_plain(struct net_port *port, size_t length)
{
    static uint8_t data[70000];
    struct iovec iov = {.iov_base = data, .iov_len = length};
    return net_send(port, &(struct net_frame){.iov = &iov, .count = 1, .length = length});
}

static enum net_result end_receive(void *opaque, const struct net_frame *frame)
{
    struct end *end = opaque;
    if (end->room_in_receive)
        net_room(end->port);
    if (end->takes == 0)
        return NET_FULL;
    if (end->takes > 0)
        end->takes--;
    end->frames++;
    end->bytes += frame->length;
    if (end->answers) {
        end->answers--;
        end->answered = send_plain(end->port, 60);
    }
    return NET_SENT;
}

static void end_room(void *opaque)
{
    ((struct end *)opaque)->rooms++;
}

static void end_link(void *opaque, bool up)
{
    struct end *end = opaque;
    end->ups += up;
    end->downs += !up;
}

static void end_free(void *opaque)
{
    ((struct end *)opaque)->freed++;
}

static const struct net_ops end_ops = {
    .kind = "end", .receive = end_receive, .room = end_room, .link_changed = end_link, .free = end_free};

static void end_init(struct end *end, const char *id)
{
    *end = (struct end){.takes = -1, .port = net_port_new(id, &end_ops, end, 0)};
}

static void test_cable(void)
{
    struct end a, b;
    end_init(&a, "a");
    end_init(&b, "b");
    g_assert_false(net_link(a.port));
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_DROPPED);
    g_assert_cmpuint(net_port_counters(a.port)->dropped[NET_DROP_NO_PEER], ==, 1);
    net_join(a.port, b.port);
    g_assert_true(net_peer(a.port) == b.port);
    g_assert_cmpuint(a.ups + b.ups, ==, 2);
    g_assert_cmpint(send_plain(a.port, 100), ==, NET_SENT);
    g_assert_cmpuint(b.frames, ==, 1);
    g_assert_cmpuint(net_port_counters(a.port)->tx_bytes, ==, 100);
    g_assert_cmpuint(net_port_counters(b.port)->rx_bytes, ==, 100);
    g_assert_cmpint(send_plain(a.port, 13), ==, NET_DROPPED);
    g_assert_cmpint(send_plain(a.port, NET_FRAME_MAX + 1), ==, NET_DROPPED);
    g_assert_cmpint(send_plain(a.port, NET_FRAME_MAX), ==, NET_SENT);
    g_assert_cmpuint(net_port_counters(a.port)->dropped[NET_DROP_TOO_SHORT], ==, 1);
    g_assert_cmpuint(net_port_counters(a.port)->dropped[NET_DROP_TOO_LONG], ==, 1);
    /* pulled at either end */
    net_set_link(b.port, false);
    g_assert_cmpuint(a.downs + b.downs, ==, 2);
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_DROPPED);
    net_set_link(a.port, false);
    net_set_link(b.port, true);
    g_assert_false(net_link(b.port));
    g_assert_cmpuint(a.ups + b.ups, ==, 2);
    net_set_link(a.port, true);
    g_assert_cmpuint(a.ups + b.ups, ==, 4);
    g_assert_cmpint(send_plain(b.port, 60), ==, NET_SENT);
    g_assert_cmpstr(net_drop_name(NET_DROP_LINK_DOWN), ==, "link-down");
    /* one end goes: the other hears of it */
    net_port_free(b.port);
    g_assert_cmpuint(b.freed, ==, 1);
    g_assert_cmpuint(a.downs, ==, 3 - 1);
    g_assert_null(net_peer(a.port));
    net_port_free(a.port);
    net_port_free(NULL);
}

static void test_room(void)
{
    struct end a, b;
    end_init(&a, "a");
    end_init(&b, "b");
    net_join(a.port, b.port);
    net_room(b.port); /* nobody waits */
    g_assert_cmpuint(a.rooms, ==, 0);
    b.takes = 1;
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_SENT);
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_FULL);
    g_assert_cmpuint(net_port_counters(a.port)->full, ==, 1);
    b.takes = -1;
    net_room(b.port);
    net_room(b.port); /* once a refusal */
    g_assert_cmpuint(a.rooms, ==, 1);
    /* what is said during the refusing call itself is older than the refusal */
    b.takes = 0;
    b.room_in_receive = true;
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_FULL);
    g_assert_cmpuint(a.rooms, ==, 1);
    b.room_in_receive = false;
    /* said while the other direction is being delivered: heard after that */
    a.room_in_receive = true;
    b.takes = -1;
    a.takes = 0;
    g_assert_cmpint(send_plain(b.port, 60), ==, NET_FULL); /* now both wait */
    a.takes = -1;
    b.room_in_receive = true;
    b.answers = 1;
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_SENT);
    g_assert_cmpuint(a.rooms, ==, 2);
    g_assert_cmpuint(b.rooms, ==, 1);
    /* a peer that goes away does not leave one waiting */
    b.takes = 0;
    b.room_in_receive = false;
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_FULL);
    net_port_free(b.port);
    g_assert_cmpuint(a.rooms, ==, 3);
    net_port_free(a.port);
}

/* A port that is held takes nothing and is told of no room; nothing is lost, and all goes on afterwards. */
static void test_hold(void)
{
    struct end a, b;
    end_init(&a, "a");
    end_init(&b, "b");
    net_join(a.port, b.port);
    net_port_hold(b.port, true);
    net_port_hold(b.port, true);
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_FULL);
    g_assert_cmpuint(b.frames, ==, 0);
    net_room(b.port); /* what the device itself says does not count now either, or the sender tries in vain */
    unsigned rooms = a.rooms;
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_FULL);
    net_port_hold(b.port, false);
    g_assert_cmpuint(a.rooms, ==, rooms + 1);
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_SENT);
    g_assert_cmpuint(b.frames, ==, 1);
    net_port_hold(b.port, false);
    g_assert_cmpuint(a.rooms, ==, rooms + 1);
    /* it waits for its peer itself: told when it is let go, not before */
    a.takes = 0;
    g_assert_cmpint(send_plain(b.port, 60), ==, NET_FULL);
    net_port_hold(b.port, true);
    a.takes = -1;
    net_room(a.port);
    g_assert_cmpuint(b.rooms, ==, 0);
    net_port_hold(b.port, false);
    g_assert_cmpuint(b.rooms, ==, 1);
    /* held and let go without anything between */
    net_port_hold(b.port, true);
    net_port_hold(b.port, false);
    g_assert_cmpuint(a.rooms, ==, rooms + 1);
    g_assert_cmpuint(b.rooms, ==, 1);
    net_port_free(a.port);
    net_port_free(b.port);
}

/* An answer from inside receive() passes, the answer to it does not. */
static void test_answers(void)
{
    struct end a, b;
    end_init(&a, "a");
    end_init(&b, "b");
    net_join(a.port, b.port);
    a.answers = b.answers = 100;
    g_assert_cmpint(send_plain(a.port, 60), ==, NET_SENT);
    g_assert_cmpuint(b.frames, ==, 1);
    g_assert_cmpuint(a.frames, ==, 1);
    g_assert_cmpint(b.answered, ==, NET_SENT);
    g_assert_cmpint(a.answered, ==, NET_DROPPED);
    g_assert_cmpuint(net_port_counters(a.port)->dropped[NET_DROP_ERROR], ==, 1);
    net_port_free(a.port);
    net_port_free(b.port);
}

static void test_hub(void)
{
    struct net_hub *hub = net_hub_new("hub0"), *second = net_hub_new("hub1");
    struct end ends[3];
    struct net_port *ports[3];
    for (unsigned i = 0; i < 3; i++) {
        end_init(&ends[i], "end");
        ports[i] = net_hub_port(hub);
        net_join(ends[i].port, ports[i]);
    }
    g_assert_cmpstr(net_port_id(ports[2]), ==, "hub0.2");
    g_assert_cmpint(send_plain(ends[0].port, 60), ==, NET_SENT);
    g_assert_cmpuint(ends[0].frames, ==, 0);
    g_assert_cmpuint(ends[1].frames, ==, 1);
    g_assert_cmpuint(ends[2].frames, ==, 1);
    ends[1].takes = 0; /* one that is full does not hold up the rest */
    g_assert_cmpint(send_plain(ends[0].port, 60), ==, NET_SENT);
    g_assert_cmpuint(ends[2].frames, ==, 2);
    g_assert_cmpuint(net_port_counters(ports[1])->full, ==, 1);
    /* two hubs, joined twice: no storm */
    for (unsigned i = 0; i < 2; i++)
        net_join(net_hub_port(hub), net_hub_port(second));
    g_assert_cmpint(send_plain(ends[0].port, 60), ==, NET_SENT);
    g_assert_cmpuint(ends[2].frames, ==, 3);
    for (unsigned i = 0; i < 3; i++)
        net_port_free(ends[i].port);
    net_hub_free(hub);
    net_hub_free(second);
    net_hub_free(NULL);
}

static void keep_text(void *opaque, const char *text)
{
    g_string_append_printf(opaque, "%s\n", text);
}

/* A disk that is full: the file ends with a whole frame, and it is said, once. */
static void test_dump_full(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) said = g_string_new(NULL);
    const struct net_env env = {.opaque = said, .warn = keep_text};
    g_autofree char *folder = g_dir_make_tmp("netlab-dump-XXXXXX", &error);
    g_autofree char *path = g_build_filename(folder, "full.pcap", NULL);
    g_autofree char *data = NULL;
    gsize length;
    struct rlimit before, small;
    struct end a, b;
    end_init(&a, "a");
    end_init(&b, "b");
    net_join(a.port, b.port);
    struct net_dump *dump = net_dump_new(a.port, &env, &(struct net_dump_config){.path = path}, &error);
    g_assert_no_error(error);
    send_plain(a.port, 60);
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
    small = (struct rlimit){.rlim_cur = 24 + 16 + 60 + 16 + 10, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
    g_assert_cmpint(send_plain(b.port, 1000), ==, NET_SENT);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
    g_assert_cmpint(send_plain(b.port, 1000), ==, NET_SENT);
    g_assert_nonnull(strstr(said->str, path));
    g_assert_nonnull(strstr(said->str, "after 1 frames, and the machine runs on"));
    g_assert_true(strchr(said->str, '\n') == said->str + said->len - 1);
    net_dump_free(dump);
    g_assert_true(g_file_get_contents(path, &data, &length, &error));
    g_assert_cmpuint(length, ==, 24 + 16 + 60);
    g_remove(path);
    g_rmdir(folder);
    net_port_free(a.port);
    net_port_free(b.port);
}

static void test_dump(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp("netlab-dump-XXXXXX", &error);
    g_assert_no_error(error);
    g_autofree char *path = g_build_filename(folder, "a.pcap", NULL);
    struct end a, b;
    end_init(&a, "a");
    end_init(&b, "b");
    net_join(a.port, b.port);
    struct net_dump *dump = net_dump_new(a.port, NULL, &(struct net_dump_config){.path = path}, &error);
    g_assert_no_error(error);
    send_plain(a.port, 60);
    send_plain(b.port, 1000);
    net_dump_free(dump);
    send_plain(a.port, 60);
    g_autofree char *data = NULL;
    gsize length;
    g_assert_true(g_file_get_contents(path, &data, &length, &error));
    g_assert_cmpuint(length, ==, 24 + 16 + 60 + 16 + 1000);
    const uint32_t *words = (const uint32_t *)(const void *)data;
    g_assert_cmphex(words[0], ==, 0xa1b23c4d);
    g_assert_cmpuint(words[5], ==, 1);
    g_assert_cmpuint(words[8], ==, 60);
    g_assert_cmpuint(words[6 + 4 + 15 + 3], ==, 1000);
    g_remove(path);
    g_rmdir(folder);
    g_assert_null(
        net_dump_new(a.port, NULL, &(struct net_dump_config){.path = "/nonexistent/x.pcap"}, &error));
    g_assert_nonnull(strstr(error->message, "file="));
    net_dump_free(NULL);
    net_port_free(a.port);
    net_port_free(b.port);
}

/* ---- fragments ---- */

/* One fragment of `length` bytes at `offset` of packet `id`, each byte telling its place. */
static const uint8_t *fragment(struct net_reassembly *r, unsigned id, size_t offset, size_t length, bool more,
                               size_t *whole, int64_t now)
{
    static uint8_t frame[14 + 20 + 4096];
    uint8_t *ip = frame + 14;
    memset(frame, 0, 34);
    frame[12] = 8;
    ip[0] = 0x45;
    ip[2] = (uint8_t)((20 + length) >> 8);
    ip[3] = (uint8_t)(20 + length);
    ip[5] = (uint8_t)id;
    ip[6] = (uint8_t)(offset / 8 >> 8 | (more ? 0x20 : 0));
    ip[7] = (uint8_t)(offset / 8);
    ip[9] = 17;
    uint16_t sum = (uint16_t)~net_checksum_bytes(ip, 20, 0);
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    for (size_t i = 0; i < length; i++)
        ip[20 + i] = (uint8_t)((offset + i) * 7);
    *whole = 34 + length;
    return net_reassemble(r, frame, whole, now);
}

static void check_packet(const uint8_t *frame, const size_t *counted, size_t payload)
{
    size_t length = *counted;
    g_assert_nonnull(frame);
    g_assert_cmpuint(length, ==, 34 + payload);
    g_assert_cmpuint(frame[14 + 2] << 8 | frame[14 + 3], ==, 20 + payload);
    g_assert_cmpuint(frame[14 + 6] | frame[14 + 7], ==, 0);
    g_assert_cmphex(net_checksum_bytes(frame + 14, 20, 0), ==, 0xffff);
    for (size_t i = 0; i < payload; i++)
        g_assert_cmpuint(frame[34 + i], ==, (uint8_t)(i * 7));
}

static void test_reassembly(void)
{
    struct net_reassembly *r = net_reassembly_new();
    const int64_t second = 1000000000;
    size_t n;
    uint8_t plain[60] = {[12] = 8, [14] = 0x45};
    n = sizeof plain;
    g_assert_true(net_reassemble(r, plain, &n, 0) == plain && n == sizeof plain);
    plain[13] = 6; /* ARP: what would be flags is none */
    plain[20] = 0x20;
    g_assert_true(net_reassemble(r, plain, &n, 0) == plain);
    /* the last first, a piece twice, two packets at once */
    g_assert_null(fragment(r, 1, 3200, 13, false, &n, 0));
    g_assert_null(fragment(r, 2, 8, 3, false, &n, 0));
    g_assert_null(fragment(r, 1, 1600, 1600, true, &n, 0));
    g_assert_null(fragment(r, 1, 1600, 1600, true, &n, 0));
    check_packet(fragment(r, 1, 0, 1600, true, &n, 0), &n, 3213);
    check_packet(fragment(r, 2, 0, 8, true, &n, 0), &n, 11);
    /* what can be no part of a packet: nothing, odd lengths, beyond the end, beyond what a packet can be */
    g_assert_null(fragment(r, 3, 8, 0, false, &n, 0));
    g_assert_null(fragment(r, 3, 0, 0, true, &n, 0));
    g_assert_null(fragment(r, 3, 0, 9, true, &n, 0));
    g_assert_null(fragment(r, 3, 65528, 100, false, &n, 0));
    g_assert_null(fragment(r, 3, 8, 8, false, &n, 0));
    g_assert_null(fragment(r, 3, 16, 8, true, &n, 0));
    g_assert_null(fragment(r, 3, 0, 8, true, &n, 0)); /* it went with the contradiction */
    /* overlaps take their packet with them */
    g_assert_null(fragment(r, 4, 0, 16, true, &n, 0));
    g_assert_null(fragment(r, 4, 8, 16, true, &n, 0));
    g_assert_null(fragment(r, 4, 16, 8, false, &n, 0));
    /* time, and more packets than there is room for */
    g_assert_null(fragment(r, 5, 0, 8, true, &n, second));
    g_assert_null(fragment(r, 5, 8, 8, false, &n, 40 * second));
    for (unsigned i = 0; i < 4 * NET_REASSEMBLY_MOST; i++)
        g_assert_null(fragment(r, 100 + i, 0, 8, true, &n, 41 * second + i));
    g_assert_null(fragment(r, 100, 8, 8, false, &n, 42 * second));
    check_packet(fragment(r, 99 + 4 * NET_REASSEMBLY_MOST, 8, 8, false, &n, 42 * second), &n, 16);
    net_reassembly_free(r);
    net_reassembly_free(NULL);
}

/* ---- frames ---- */

static void test_checksum(void)
{
    GRand *random = g_rand_new_with_seed(1071);
    uint8_t data[600];
    for (unsigned round = 0; round < 3000; round++) {
        size_t length = (size_t)g_rand_int_range(random, 0, sizeof data);
        for (size_t i = 0; i < length; i++)
            data[i] = round % 3 ? (uint8_t)g_rand_int(random) : 0xff;
        struct iovec iov[8];
        size_t at = 0;
        for (unsigned i = 0; i < 8; i++) {
            size_t n = i == 7 ? length - at : (size_t)g_rand_int_range(random, 0, (gint32)(length - at) + 1);
            iov[i] = (struct iovec){.iov_base = data + at, .iov_len = n};
            at += n;
        }
        size_t from = (size_t)g_rand_int_range(random, 0, (gint32)length + 1);
        size_t n = (size_t)g_rand_int_range(random, 0, (gint32)(length - from) + 1);
        uint32_t start = g_rand_int(random);
        /* 0 and 0xffff are the same number in one's complement */
        unsigned wanted = rig_sum(data + from, n, (start & 0xffff) + (start >> 16)) % 0xffff;
        g_assert_cmphex(net_checksum(iov, 8, from, n, start) % 0xffff, ==, wanted);
        g_assert_cmphex(net_checksum_bytes(data + from, n, start) % 0xffff, ==, wanted);
        uint8_t copy[600];
        g_assert_cmpuint(net_iov_copy(iov, 8, from, copy, n), ==, n);
        g_assert_cmpmem(copy, n, data + from, n);
        struct iovec slice[8];
        unsigned count = net_iov_slice(iov, 8, from, n, slice, 8);
        g_assert_cmpuint(net_iov_copy(slice, count, 0, copy, sizeof copy), ==, n);
        g_assert_cmpmem(copy, n, data + from, n);
    }
    g_assert_cmpuint(net_checksum_bytes("", 0, 0), ==, 0);
    g_rand_free(random);
}

static void test_layout(void)
{
    uint8_t frame[600];
    struct net_layout layout;
    size_t length = rig_packet(frame, RIG_TCP4, 100);
    g_assert_true(net_layout_parse(frame, length, length, &layout));
    g_assert_cmpuint(layout.version, ==, 4);
    g_assert_cmpuint(layout.l3, ==, 14);
    g_assert_cmpuint(layout.l4, ==, 34);
    g_assert_cmpuint(layout.end, ==, length);
    g_assert_true(layout.l4_valid);
    for (size_t n = 0; n < 34; n++)
        g_assert_false(net_layout_parse(frame, n, length, &layout)); /* headers not all there */
    for (size_t n = 34; n < 54; n++) {
        g_assert_true(net_layout_parse(frame, n, length, &layout));
        g_assert_false(layout.l4_valid);
    }
    /* two tags; SNAP */
    uint8_t other[700];
    memcpy(other, frame, 12);
    memcpy(other + 12, "\x88\xa8\x00\x05\x81\x00\x00\x06", 8);
    memcpy(other + 20, frame + 12, length - 12);
    g_assert_true(net_layout_parse(other, length + 8, length + 8, &layout));
    g_assert_cmpuint(layout.l3, ==, 22);
    memcpy(other + 12, "\x00\x90\xaa\xaa\x03\x00\x00\x00", 8);
    g_assert_true(net_layout_parse(other, length + 8, length + 8, &layout));
    g_assert_cmpuint(layout.l4, ==, 42);
    /* random bytes after a plausible start: never beyond the frame */
    GRand *random = g_rand_new_with_seed(791);
    for (unsigned round = 0; round < 200000; round++) {
        size_t n = (size_t)g_rand_int_range(random, 0, sizeof other);
        g_autofree uint8_t *exact = g_malloc(n + 1);
        for (size_t i = 0; i < n; i += 4) {
            uint32_t word = g_rand_int(random);
            memcpy(exact + i, &word, MIN(4, n - i));
        }
        if (n > 20) {
            rig_put16(exact + 12, round & 1 ? 0x0800 : 0x86dd);
            exact[14] = round & 1 ? 0x40 | (exact[14] & 15) : 0x60;
            if (round & 2)
                rig_put16(exact + (round & 1 ? 16 : 18), (unsigned)n - 14 - (round & 1 ? 0 : 40));
            if (round & 4)
                exact[20] = (uint8_t[]){0, 43, 44, 60}[round >> 3 & 3];
        }
        if (net_layout_parse(exact, n, n, &layout)) {
            g_assert_cmpuint(layout.l3, <, layout.l4);
            g_assert_cmpuint(layout.l4, <=, n);
            g_assert_cmpuint(layout.end, <=, n);
            if (layout.l4_valid)
                g_assert_cmpuint(layout.l4 + 8, <=, layout.end);
        }
    }
    g_rand_free(random);
}

struct collected {
    unsigned frames, stop_after;
    size_t bytes;
};

static enum net_result collect(void *opaque, const struct net_frame *frame)
{
    struct collected *all = opaque;
    uint8_t *copy = g_malloc(frame->length);
    g_assert_cmpuint(net_iov_copy(frame->iov, frame->count, 0, copy, frame->length), ==, frame->length);
    g_assert_true(rig_sums_right(copy, frame->length));
    all->bytes += frame->length;
    g_free(copy);
    return ++all->frames == all->stop_after ? NET_FULL : NET_SENT;
}

static void test_finish(void)
{
    static uint8_t frame[66000];
    size_t length = rig_packet(frame, RIG_TCP6, 60000);
    rig_put16(frame + 54 + 16, rig_pseudo(frame, RIG_TCP6, (uint32_t)length - 54));
    struct iovec iov[3] = {{frame, 55}, {frame + 55, 3001}, {frame + 3056, length - 3056}};
    struct net_frame burst = {.iov = iov,
                              .count = 3,
                              .length = length,
                              .offload = {.needs_checksum = true,
                                          .checksum_start = 54,
                                          .checksum_offset = 16,
                                          .gso = NET_GSO_TCPV6,
                                          .gso_size = 1001}};
    struct collected all = {0};
    g_assert_cmpint(net_frame_finish(&burst, NET_CAN_CHECKSUM | NET_CAN_TSO4, collect, &all), ==, NET_SENT);
    g_assert_cmpuint(all.frames, ==, 60);
    g_assert_cmpuint(all.bytes, ==, 60000 + 60 * 86);
    all = (struct collected){.stop_after = 7};
    g_assert_cmpint(net_frame_finish(&burst, 0, collect, &all), ==, NET_FULL);
    g_assert_cmpuint(all.frames, ==, 7);
    /* from the middle on, by hand */
    static struct net_cutter cutter;
    g_assert_true(net_cutter_init(&cutter, &burst, 59));
    g_assert_nonnull(net_cutter_next(&cutter));
    g_assert_null(net_cutter_next(&cutter));
    g_assert_true(net_cutter_init(&cutter, &burst, 4000000000u));
    g_assert_null(net_cutter_next(&cutter));
    /* random offloads on real frames: refused, or pieces that fit */
    GRand *random = g_rand_new_with_seed(5);
    unsigned accepted = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct net_frame odd = burst;
        odd.offload.gso = (int)(g_rand_int(random) % 4);
        odd.offload.needs_checksum = g_rand_boolean(random);
        odd.offload.checksum_start = (uint16_t)(g_rand_int(random) % (round & 1 ? 100 : 65536));
        odd.offload.checksum_offset = (uint16_t)(g_rand_int(random) % (round & 1 ? 30 : 65536));
        odd.offload.gso_size = (uint16_t)(g_rand_int(random) % (round & 2 ? 65536 : 2000));
        size_t cut = (size_t)g_rand_int_range(random, 0, (gint32)length);
        iov[2].iov_len = length - 3056;
        odd.length = length;
        if (round & 4 && cut > 3056) {
            iov[2].iov_len = cut - 3056;
            odd.length = cut;
        }
        if (!net_cutter_init(&cutter, &odd, 0))
            continue;
        accepted++;
        const struct net_frame *piece;
        unsigned pieces = 0;
        while ((piece = net_cutter_next(&cutter))) {
            size_t sum = 0;
            for (unsigned i = 0; i < piece->count; i++)
                sum += piece->iov[i].iov_len;
            g_assert_cmpuint(sum, ==, piece->length);
            g_assert_cmpuint(piece->length, <=, odd.length);
            g_assert_cmpuint(++pieces, <=, 65536);
        }
    }
    g_assert_cmpuint(accepted, >, 1000);
    g_rand_free(random);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/net/cable", test_cable);
    g_test_add_func("/net/room", test_room);
    g_test_add_func("/net/hold", test_hold);
    g_test_add_func("/net/answers", test_answers);
    g_test_add_func("/net/hub", test_hub);
    g_test_add_func("/net/dump", test_dump);
    g_test_add_func("/net/dump-full", test_dump_full);
    g_test_add_func("/net/reassembly", test_reassembly);
    g_test_add_func("/net/frame/checksum", test_checksum);
    g_test_add_func("/net/frame/layout", test_layout);
    g_test_add_func("/net/frame/finish", test_finish);
    return g_test_run();
}
