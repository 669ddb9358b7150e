/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * User networking with libslirp itself: a guest that is a few lines of TCP here, and a socket of the host on
 * the loopback interface. Bursts of every size, with odd MSS and options, over IPv4 and IPv6; offloads that
 * cannot be; data into the guest with and without room; what is compared is what arrives, byte for byte.
 */
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"
#include "emu/net/frame.h"
#include "emu/net/netdev.h"
#include "emu/net/user.h"
#include "tests/dev/e1000_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DEADLINE_SECONDS = 30,
    LINK_FRAME = 1514,
    TCP_FIN = 1,
    TCP_SYN = 2,
    TCP_PSH = 8,
    TCP_ACK = 16,
    GUEST_PORT = 40000,
    GUEST_WINDOW = 65535,
};
static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
static const uint8_t host_mac[6] = {0x52, 0x55, 10, 0, 2, 2};

struct bench {
    struct clock *clock;
    struct loop *loop;
    struct keyval *words;
    struct net_env env;
    struct net_port *user, *guest;
    int listener, host; /* host: the accepted connection */
    unsigned port;
    bool v6;
    /* the guest's end of the connection */
    uint32_t next, acked, expected; /* sequence numbers: to send, acknowledged by the host; to come */
    uint32_t window;
    unsigned mss, option_bytes;
    bool established, owes, finished;
    GByteArray *got;
    unsigned frames, acks; /* that came to the guest; those without data */
    int takes;             /* frames before the guest has no room; negative: all */
};

/* ---- the guest ---- */

static size_t ip_length(const struct bench *bench)
{
    return bench->v6 ? 40 : 20;
}

static void take_tcp(struct bench *bench, const uint8_t *tcp, size_t length)
{
    size_t header = 4u * (tcp[12] >> 4), payload = length - header;
    uint32_t sequence = rig_get32(tcp + 4);
    if (rig_get16(tcp + 2) != GUEST_PORT)
        return;
    g_assert_cmpuint(tcp[13] & 4, ==, 0); /* RST */
    bench->window = rig_get16(tcp + 14);
    bench->acked = rig_get32(tcp + 8);
    if (tcp[13] & TCP_SYN) {
        bench->established = true;
        bench->expected = sequence + 1;
        bench->owes = true;
        return;
    }
    bench->acks += payload == 0;
    if (sequence != bench->expected)
        return;
    g_byte_array_append(bench->got, tcp + header, (guint)payload);
    bench->expected += (uint32_t)payload;
    if (tcp[13] & TCP_FIN && !bench->finished) {
        bench->expected++;
        bench->finished = true;
    }
    bench->owes |= payload || tcp[13] & TCP_FIN;
}

static enum net_result guest_receive(void *opaque, const struct net_frame *frame)
{
    struct bench *bench = opaque;
    static uint8_t data[NET_FRAME_MAX];
    net_iov_copy(frame->iov, frame->count, 0, data, sizeof data);
    if (bench->takes == 0)
        return NET_FULL;
    bench->takes -= bench->takes > 0;
    bench->frames++;
    g_assert_cmpuint(frame->length, <=, LINK_FRAME);
    g_assert_false(frame->offload.needs_checksum);
    unsigned type = rig_get16(data + 12);
    if (type == 0x0800 || type == 0x86dd)
        g_assert_true(rig_sums_right(data, frame->length));
    if (type == 0x0800 && data[23] == 6)
        take_tcp(bench, data + 34, rig_get16(data + 16) - 20u);
    else if (type == 0x86dd && data[20] == 6)
        take_tcp(bench, data + 54, rig_get16(data + 18));
    return NET_SENT;
}

static const struct net_ops guest_ops = {.kind = "guest", .receive = guest_receive};

/* A TCP segment of `length` bytes, header in its own piece. mss 0: finished, else a burst. */
static enum net_result send_segment(struct bench *bench, unsigned flags, const void *data, size_t length,
                                    unsigned mss)
{
    uint8_t head[14 + 40 + 60] = {0};
    size_t ip = ip_length(bench), options = flags & TCP_SYN ? 4 : bench->option_bytes, tcp = 20 + options,
           headers = 14 + ip + tcp;
    memcpy(head, host_mac, 6);
    memcpy(head + 6, guest_mac, 6);
    uint8_t *l3 = head + 14, *l4 = l3 + ip;
    uint32_t sum;
    if (bench->v6) {
        rig_put16(head + 12, 0x86dd);
        l3[0] = 0x60;
        rig_put16(l3 + 4, (unsigned)(tcp + length));
        l3[6] = 6;
        l3[7] = 64;
        g_assert_cmpint(inet_pton(AF_INET6, "fec0::15", l3 + 8), ==, 1);
        g_assert_cmpint(inet_pton(AF_INET6, "fec0::2", l3 + 24), ==, 1);
        sum = rig_sum(l3 + 8, 32, 6 + (uint32_t)(tcp + length));
    } else {
        rig_put16(head + 12, 0x0800);
        l3[0] = 0x45;
        rig_put16(l3 + 2, (unsigned)(20 + tcp + length));
        l3[8] = 64;
        l3[9] = 6;
        memcpy(l3 + 12, (const uint8_t[]){10, 0, 2, 15, 10, 0, 2, 2}, 8);
        rig_put16(l3 + 10, ~rig_sum(l3, 20, 0) & 0xffffu);
        sum = rig_sum(l3 + 12, 8, 6 + (uint32_t)(tcp + length));
    }
    rig_put16(l4, GUEST_PORT);
    rig_put16(l4 + 2, bench->port);
    rig_put32(l4 + 4, bench->next);
    rig_put32(l4 + 8, bench->expected);
    l4[12] = (uint8_t)(tcp / 4 << 4);
    l4[13] = (uint8_t)flags;
    rig_put16(l4 + 14, GUEST_WINDOW);
    memset(l4 + 20, 1, options); /* NOP */
    if (flags & TCP_SYN) {
        l4[20] = 2;
        l4[21] = 4;
        rig_put16(l4 + 22, bench->mss);
    }
    rig_put16(l4 + 16, sum);
    struct iovec iov[4] = {
        {head, headers}, {(void *)data, length / 3}, {(uint8_t *)data + length / 3, length - length / 3}};
    struct net_frame frame = {.iov = iov, .count = length ? 3 : 1, .length = headers + length};
    frame.offload = (struct net_offload){
        .needs_checksum = true, .checksum_start = (uint16_t)(14 + ip), .checksum_offset = 16};
    if (mss) {
        frame.offload.gso = bench->v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4;
        frame.offload.gso_size = (uint16_t)mss;
        frame.offload.header_length = (uint16_t)headers;
    }
    bench->next += (uint32_t)length + (flags & (TCP_SYN | TCP_FIN) ? 1 : 0);
    return net_send(bench->guest, &frame);
}

static void send_address(struct bench *bench)
{
    uint8_t frame[86] = {0};
    memset(frame, 0xff, 6);
    memcpy(frame + 6, guest_mac, 6);
    size_t length = 60;
    if (bench->v6) { /* a neighbour solicitation with our own address in it */
        length = 86;
        memcpy(frame, (const uint8_t[]){0x33, 0x33, 0xff, 0, 0, 2}, 6);
        rig_put16(frame + 12, 0x86dd);
        frame[14] = 0x60;
        rig_put16(frame + 18, 32);
        frame[20] = 58;
        frame[21] = 255;
        inet_pton(AF_INET6, "fec0::15", frame + 22);
        inet_pton(AF_INET6, "ff02::1:ff00:2", frame + 38);
        frame[54] = 135;
        inet_pton(AF_INET6, "fec0::2", frame + 62);
        frame[78] = frame[79] = 1;
        memcpy(frame + 80, guest_mac, 6);
        rig_put16(frame + 56, ~rig_sum(frame + 54, 32, rig_sum(frame + 22, 32, 58 + 32)) & 0xffffu);
    } else {
        memcpy(frame + 12, (const uint8_t[]){8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, 10);
        memcpy(frame + 22, guest_mac, 6);
        memcpy(frame + 28, (const uint8_t[]){10, 0, 2, 15}, 4);
        memcpy(frame + 38, (const uint8_t[]){10, 0, 2, 2}, 4);
    }
    struct iovec iov = {frame, length};
    g_assert_cmpint(net_send(bench->guest, &(struct net_frame){.iov = &iov, .count = 1, .length = length}),
                    ==, NET_SENT);
}

/* ---- the bench ---- */

static void warned(void *opaque, const char *text)
{
}

static bool listen_at(struct bench *bench)
{
    union user_address at = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    if (bench->v6)
        at.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t size = bench->v6 ? sizeof at.v6 : sizeof at.v4;
    bench->listener = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bench->listener < 0 || bind(bench->listener, &at.any, size) < 0 || listen(bench->listener, 1) < 0)
        return false;
    g_assert_cmpint(getsockname(bench->listener, &at.any, &size), ==, 0);
    bench->port = ntohs(bench->v6 ? at.v6.sin6_port : at.v4.sin_port);
    return true;
}

/* A turn of the loop, and the acknowledgement the guest owes. */
static void turn(struct bench *bench)
{
    loop_wait(bench->loop, 1000000);
    if (bench->owes) {
        bench->owes = false;
        send_segment(bench, TCP_ACK, "", 0, 0);
    }
}

static bool late(int64_t began)
{
    return g_get_monotonic_time() - began > DEADLINE_SECONDS * G_USEC_PER_SEC;
}

/* False: the host has no IPv6. Connects: SYN, SYN and ACK, ACK. */
static bool bench_init(struct bench *bench, bool v6, unsigned mss)
{
    g_autoptr(GError) error = NULL;
    static const struct keyval_table table = {
        .what = "-netdev user", .rows = user_rows, .count = USER_ROW_COUNT};
    *bench = (struct bench){
        .v6 = v6, .mss = mss, .next = 4294900000u /* wraps on the way */, .takes = -1, .host = -1};
    if (!listen_at(bench)) {
        close(bench->listener);
        return false;
    }
    bench->clock = clock_new();
    bench->loop = loop_new(bench->clock, &error);
    g_assert_no_error(error);
    bench->words = keyval_parse(&table, "", &error);
    g_assert_no_error(error);
    bench->env = (struct net_env){.loop = bench->loop, .clock = bench->clock, .warn = warned};
    bench->user = net_kind_user.open("u", bench->words, &bench->env, &error);
    g_assert_no_error(error);
    bench->got = g_byte_array_new();
    bench->guest = net_port_new("guest", &guest_ops, bench, 0);
    net_join(bench->guest, bench->user);
    g_assert_cmpuint(net_peer_can(bench->guest), ==, NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6);
    int64_t began = g_get_monotonic_time();
    send_address(bench);
    g_assert_cmpint(send_segment(bench, TCP_SYN, "", 0, 0), ==, NET_SENT);
    while (bench->host < 0 || !bench->established || bench->owes) {
        g_assert_false(late(began));
        turn(bench);
        if (bench->host < 0)
            bench->host = accept4(bench->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    return true;
}

static void bench_clear(struct bench *bench)
{
    close(bench->listener);
    close(bench->host);
    net_port_free(bench->guest);
    net_port_free(bench->user);
    loop_free(bench->loop);
    clock_free(bench->clock);
    keyval_free(bench->words);
    g_byte_array_unref(bench->got);
}

static uint8_t *random_bytes(GRand *random, size_t length)
{
    uint8_t *bytes = g_malloc(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)g_rand_int(random);
    return bytes;
}

/* What the host has got so far is read; whether its end was seen. */
static bool host_reads(struct bench *bench, GByteArray *to)
{
    static uint8_t buffer[1 << 16];
    ssize_t n;
    while ((n = recv(bench->host, buffer, sizeof buffer, 0)) > 0)
        g_byte_array_append(to, buffer, (guint)n);
    return n == 0;
}

/* ---- out ---- */

/* All of `data` in bursts and single segments of chance, as far as the window goes; then FIN, in a burst when
 * the last piece is one. */
static void stream_out(struct bench *bench, GRand *random, const uint8_t *data, size_t length)
{
    GByteArray *arrived = g_byte_array_new();
    int64_t began = g_get_monotonic_time();
    size_t sent = 0;
    bool ended = false;
    while (!ended) {
        g_assert_false(late(began));
        uint32_t in_flight = bench->next - bench->acked;
        size_t room = bench->window > in_flight ? bench->window - in_flight : 0;
        size_t n = MIN(room, length - sent);
        if (n) {
            n = (size_t)g_rand_int_range(random, 1, (gint32)MIN(n, 65000) + 1);
            bench->option_bytes = 4 * (unsigned)g_rand_int_range(random, 0, 11);
            bool last = sent + n == length;
            unsigned flags = TCP_ACK | TCP_PSH | (last ? TCP_FIN : 0);
            g_assert_cmpint(send_segment(bench, flags, data + sent, n, n > bench->mss ? bench->mss : 0), ==,
                            NET_SENT);
            sent += n;
        } else {
            turn(bench);
        }
        ended = host_reads(bench, arrived);
    }
    bench->option_bytes = 0;
    g_assert_cmpuint(sent, ==, length);
    g_assert_cmpmem(arrived->data, arrived->len, data, length);
    g_byte_array_unref(arrived);
}

static void test_out(void)
{
    static const unsigned sizes[] = {8, 536, 999, 1460, 8960};
    GRand *random = g_rand_new_with_seed(17);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        struct bench bench;
        size_t length = 1500000 + i;
        g_autofree uint8_t *data = random_bytes(random, length);
        if (i == 3)
            memset(data, 0xff, length); /* the largest sums there are */
        g_assert_true(bench_init(&bench, false, sizes[i]));
        stream_out(&bench, random, data, length);
        bench_clear(&bench);
    }
    g_rand_free(random);
}

static void test_out_v6(void)
{
    struct bench bench;
    GRand *random = g_rand_new_with_seed(18);
    size_t length = 400000;
    g_autofree uint8_t *data = random_bytes(random, length);
    if (bench_init(&bench, true, 1220)) {
        stream_out(&bench, random, data, length);
        bench_clear(&bench);
    } else {
        g_test_skip("the host has no IPv6 on its loopback interface");
    }
    g_rand_free(random);
}

/* A burst is one segment to libslirp: one acknowledgement, at once. */
static void test_whole(void)
{
    struct bench bench;
    GByteArray *arrived = g_byte_array_new();
    GRand *random = g_rand_new_with_seed(19);
    g_autofree uint8_t *data = random_bytes(random, 65000);
    g_assert_true(bench_init(&bench, false, 1460));
    for (size_t length = 2000; length <= 64000; length += 31000) {
        unsigned before = bench.acks;
        g_assert_cmpint(send_segment(&bench, TCP_ACK, data, length, 1460), ==, NET_SENT);
        g_assert_cmpuint(bench.acks, ==, before + 1);
        g_assert_cmpuint(bench.acked, ==, bench.next);
        g_byte_array_set_size(arrived, 0);
        int64_t began = g_get_monotonic_time();
        while (arrived->len < length && !late(began))
            host_reads(&bench, arrived);
        g_assert_cmpmem(arrived->data, arrived->len, data, length);
    }
    bench_clear(&bench);
    g_byte_array_unref(arrived);
    g_rand_free(random);
}

/* Offloads of chance, and headers that do not fit: nothing of it arrives, and the connection lives on. */
static void test_impossible(void)
{
    struct bench bench;
    GRand *random = g_rand_new_with_seed(20);
    g_autofree uint8_t *data = random_bytes(random, 66000);
    g_assert_true(bench_init(&bench, false, 1460));
    for (unsigned round = 0; round < 20000; round++) {
        size_t length = (size_t)g_rand_int_range(random, 14, round & 1 ? 2000 : 65553);
        uint8_t head[80];
        memcpy(head, data, sizeof head);
        memcpy(head, host_mac, 6);
        rig_put16(head + 12, round & 2 ? 0x0800 : round & 4 ? 0x86dd : 0x8100);
        head[14] = round & 2 ? 0x45 : 0x60;
        head[23] = 6;
        for (unsigned i = 0; i < 8; i++)
            head[15 + g_rand_int(random) % 40] = (uint8_t)g_rand_int(random);
        struct iovec iov[2] = {{head, MIN(length, sizeof head)}, {data, length - MIN(length, sizeof head)}};
        struct net_frame frame = {.iov = iov, .count = 2, .length = length};
        frame.offload = (struct net_offload){
            .needs_checksum = g_rand_int(random) % 8,
            .checksum_start = round & 8 ? 34 : (uint16_t)g_rand_int_range(random, 0, 100),
            .checksum_offset = round & 16 ? 16 : (uint16_t)g_rand_int(random),
            .gso = (int)(g_rand_int(random) % 4),
            .gso_size = (uint16_t)g_rand_int(random),
            .header_length = (uint16_t)g_rand_int(random)};
        g_assert_cmpint(net_send(bench.guest, &frame), !=, NET_FULL);
    }
    bench.window = GUEST_WINDOW;
    bench.acked = bench.next;
    stream_out(&bench, random, data, 66000);
    bench_clear(&bench);
    g_rand_free(random);
}

/* ---- in ---- */

/* The host sends; the guest has room for `takes` frames at a time (0: always), and is told by the loop or
 * (poll) asks. */
static void stream_in(unsigned takes, bool poll)
{
    struct bench bench;
    GRand *random = g_rand_new_with_seed(21 + takes);
    size_t length = 3000001, sent = 0;
    g_autofree uint8_t *data = random_bytes(random, length);
    g_assert_true(bench_init(&bench, false, 1460));
    if (takes)
        bench.takes = (int)takes;
    int64_t began = g_get_monotonic_time();
    while (!bench.finished) {
        g_assert_false(late(began));
        ssize_t n = sent < length ? send(bench.host, data + sent, length - sent, MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        if (sent == length)
            shutdown(bench.host, SHUT_WR);
        if (poll) {
            net_poll(bench.guest);
            if (bench.owes) {
                bench.owes = false;
                send_segment(&bench, TCP_ACK, "", 0, 0);
            }
        } else {
            turn(&bench);
        }
        if (takes) {
            bench.takes = (int)takes;
            net_room(bench.guest);
        }
    }
    g_assert_cmpmem(bench.got->data, bench.got->len, data, length);
    bench_clear(&bench);
    g_rand_free(random);
}

static void test_in(void)
{
    stream_in(0, false);
}

static void test_in_little_room(void)
{
    stream_in(1, false);
    stream_in(7, false);
}

static void test_in_by_poll(void)
{
    stream_in(0, true);
    stream_in(3, true);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/user/out", test_out);
    g_test_add_func("/user/out-v6", test_out_v6);
    g_test_add_func("/user/whole", test_whole);
    g_test_add_func("/user/impossible", test_impossible);
    g_test_add_func("/user/in", test_in);
    g_test_add_func("/user/in-little-room", test_in_little_room);
    g_test_add_func("/user/in-by-poll", test_in_by_poll);
    return g_test_run();
}
