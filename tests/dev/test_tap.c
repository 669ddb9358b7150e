/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The TAP back end against a real kernel, in a network namespace of the test's own: frames both ways, whole
 * bursts with IFF_VNET_HDR both ways, backpressure, an interface that is down or deleted, adopted
 * descriptors, and every error that tells a way out. The other side of the TAP is a packet socket. Skipped,
 * with the reason, where the machine gives no namespace or no /dev/net/tun.
 */
#include "emu/dev/e1000.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"
#include "emu/net/backend.h"
#include "tests/dev/e1000_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEST_TYPE = 0x88b5, DEADLINE_SECONDS = 10 };

static char *no_namespace; /* why tests are skipped, NULL: they are not */

struct bench {
    struct clock *clock;
    struct loop *loop;
    struct net_port *tap, *guest;
    GPtrArray *frames; /* GByteArray, test frames and TCP the guest got */
    struct net_offload last;
    int takes;
    unsigned rooms, downs;
    int packet; /* the packet socket on the other side */
};

static bool interesting(const uint8_t *frame, size_t length)
{
    unsigned type = rig_get16(frame + 12);
    return type == TEST_TYPE || (type == 0x0800 && length > 30 && rig_get32(frame + 26) == 0x0a000001);
}

static enum net_result guest_receive(void *opaque, const struct net_frame *frame)
{
    struct bench *bench = opaque;
    GByteArray *copy = g_byte_array_new();
    for (unsigned i = 0; i < frame->count; i++)
        g_byte_array_append(copy, frame->iov[i].iov_base, (guint)frame->iov[i].iov_len);
    if (!interesting(copy->data, copy->len)) { /* the host's own chatter: neighbour discovery and the like */
        g_byte_array_unref(copy);
        return NET_DROPPED;
    }
    if (bench->takes == 0) {
        g_byte_array_unref(copy);
        return NET_FULL;
    }
    bench->takes -= bench->takes > 0;
    bench->last = frame->offload;
    g_ptr_array_add(bench->frames, copy);
    return NET_SENT;
}

static void guest_room(void *opaque)
{
    ((struct bench *)opaque)->rooms++;
}

static void guest_link(void *opaque, bool up)
{
    ((struct bench *)opaque)->downs += !up;
}

static const struct net_ops guest_ops = {
    .kind = "guest", .receive = guest_receive, .room = guest_room, .link_changed = guest_link};

static void byte_array_unref(void *array)
{
    g_byte_array_unref(array);
}

static bool skipped(void)
{
    if (no_namespace)
        g_test_skip(no_namespace);
    return no_namespace != NULL;
}

static void interface_up(const char *name, bool up)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {0};
    g_strlcpy(ifr.ifr_name, name, sizeof ifr.ifr_name);
    g_assert_cmpint(ioctl(fd, SIOCGIFFLAGS, &ifr), ==, 0);
    ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
    g_assert_cmpint(ioctl(fd, SIOCSIFFLAGS, &ifr), ==, 0);
    close(fd);
}

static int packet_socket(const char *name, bool vnet)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
    g_assert_cmpint(fd, >=, 0);
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    g_assert_cmpint(bind(fd, (struct sockaddr *)&at, sizeof at), ==, 0);
    int on = 1;
    if (vnet)
        g_assert_cmpint(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on), ==, 0);
    return fd;
}

static void bench_init(struct bench *bench, int vnet_hdr, unsigned guest_can)
{
    g_autoptr(GError) error = NULL;
    *bench = (struct bench){.takes = -1};
    bench->clock = clock_new();
    bench->loop = loop_new(bench->clock, &error);
    g_assert_no_error(error);
    bench->frames = g_ptr_array_new_with_free_func(byte_array_unref);
    bench->tap =
        net_tap_new("net0", bench->loop,
                    &(struct net_tap_config){.ifname = "test0", .fd = -1, .vnet_hdr = vnet_hdr}, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(net_tap_ifname(bench->tap), ==, "test0");
    bench->guest = net_port_new("guest", &guest_ops, bench, guest_can);
    net_join(bench->guest, bench->tap);
    interface_up("test0", true);
    bench->packet = packet_socket("test0", vnet_hdr != 0);
}

static void bench_clear(struct bench *bench)
{
    close(bench->packet);
    net_port_free(bench->guest);
    net_port_free(bench->tap);
    loop_free(bench->loop);
    clock_free(bench->clock);
    g_ptr_array_unref(bench->frames);
}

/* Runs the loop until the guest has `count` frames. */
static void wait_frames(struct bench *bench, unsigned count)
{
    int64_t deadline = g_get_monotonic_time() + DEADLINE_SECONDS * G_USEC_PER_SEC;
    while (bench->frames->len < count && g_get_monotonic_time() < deadline)
        loop_wait(bench->loop, 10000000);
    g_assert_cmpuint(bench->frames->len, ==, count);
}

static enum net_result guest_send(struct bench *bench, const void *data, size_t length,
                                  const struct net_offload *offload)
{
    struct iovec iov[2] = {{(void *)data, 20}, {(uint8_t *)data + 20, length - 20}};
    struct net_frame frame = {.iov = iov, .count = 2, .length = length};
    if (offload)
        frame.offload = *offload;
    return net_send(bench->guest, &frame);
}

/* The next frame of ours the host's side of the TAP gets. Frames we put in ourselves are not shown again. */
static size_t host_receive(struct bench *bench, uint8_t *buffer, size_t size, struct virtio_net_hdr *header)
{
    int64_t deadline = g_get_monotonic_time() + DEADLINE_SECONDS * G_USEC_PER_SEC;
    while (g_get_monotonic_time() < deadline) {
        struct sockaddr_ll from;
        struct iovec iov[2] = {{header, header ? sizeof *header : 0}, {buffer, size}};
        struct msghdr message = {
            .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = iov, .msg_iovlen = 2};
        ssize_t n = recvmsg(bench->packet, &message, 0);
        size_t length = n < 0 ? 0 : (size_t)n - iov[0].iov_len;
        if (n > 0 && length >= 14 && from.sll_pkttype != PACKET_OUTGOING && interesting(buffer, length))
            return length;
    }
    g_test_fail_printf("no frame came out of the TAP");
    return 0;
}

static void test_frame(uint8_t *frame, size_t length, unsigned seed)
{
    memcpy(frame, "\x52\x54\x00\x12\x34\x56\x02\x00\x00\x00\x00\x01\x88\xb5", 14);
    for (size_t i = 14; i < length; i++)
        frame[i] = (uint8_t)(i + seed);
}

/* ---- tests ---- */

static void plain_frames(int vnet_hdr)
{
    struct bench bench;
    bench_init(&bench, vnet_hdr, 0);
    uint8_t frame[1514], back[2000];
    struct virtio_net_hdr header = {0};
    for (size_t length = 60; length <= 1514; length += 727) {
        test_frame(frame, length, (unsigned)length);
        g_assert_cmpint(guest_send(&bench, frame, length, NULL), ==, NET_SENT);
        size_t n = host_receive(&bench, back, sizeof back, vnet_hdr ? &header : NULL);
        g_assert_cmpmem(back, n, frame, length);
        g_ptr_array_set_size(bench.frames, 0);
        struct iovec iov[2] = {{&header, vnet_hdr ? sizeof header : 0}, {frame, length}};
        memset(&header, 0, sizeof header);
        g_assert_cmpint(writev(bench.packet, iov, 2), ==, (ssize_t)(length + iov[0].iov_len));
        wait_frames(&bench, 1);
        const GByteArray *got = bench.frames->pdata[0];
        g_assert_cmpmem(got->data, got->len, frame, length);
    }
    bench_clear(&bench);
}

static void test_plain(void)
{
    if (skipped())
        return;
    plain_frames(0);
    plain_frames(-1);
}

static size_t burst(uint8_t *frame, size_t payload, struct net_offload *offload)
{
    size_t length = rig_packet(frame, RIG_TCP4, payload);
    rig_put16(frame + 50, rig_pseudo(frame, RIG_TCP4, (uint32_t)length - 34));
    *offload = (struct net_offload){.needs_checksum = true,
                                    .checksum_start = 34,
                                    .checksum_offset = 16,
                                    .gso = NET_GSO_TCPV4,
                                    .gso_size = 1448,
                                    .header_length = 66};
    return length;
}

/* A burst of 60 KB goes out in one write and is one packet for the host. */
static void test_burst_out(void)
{
    if (skipped())
        return;
    static uint8_t frame[66000], back[70000];
    struct bench bench;
    struct net_offload offload;
    size_t length = burst(frame, 60000, &offload);
    bench_init(&bench, 1, NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6);
    g_assert_cmphex(net_peer_can(bench.guest), ==, NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6);
    g_assert_cmpint(guest_send(&bench, frame, length, &offload), ==, NET_SENT);
    struct virtio_net_hdr header;
    size_t n = host_receive(&bench, back, sizeof back, &header);
    g_assert_cmpmem(back, n, frame, length);
    g_assert_cmpuint(header.gso_type, ==, VIRTIO_NET_HDR_GSO_TCPV4);
    g_assert_cmpuint(header.gso_size, ==, 1448);
    g_assert_cmpuint(header.flags, ==, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    /* with CWR the kernel must know */
    frame[47] |= 0x80;
    g_assert_cmpint(guest_send(&bench, frame, length, &offload), ==, NET_SENT);
    n = host_receive(&bench, back, sizeof back, &header);
    g_assert_cmpuint(n, ==, length);
    g_assert_cmpuint(header.gso_type & VIRTIO_NET_HDR_GSO_ECN, ==, VIRTIO_NET_HDR_GSO_ECN);
    bench_clear(&bench);
}

/* The same without IFF_VNET_HDR: the back end cuts. */
static void test_burst_out_cut(void)
{
    if (skipped())
        return;
    static uint8_t frame[66000], back[70000];
    struct bench bench;
    struct net_offload offload;
    size_t length = burst(frame, 10000, &offload), payload = 0;
    bench_init(&bench, 0, 0);
    g_assert_cmphex(net_peer_can(bench.guest), ==, 0);
    g_assert_cmpint(guest_send(&bench, frame, length, &offload), ==, NET_SENT);
    while (payload < 10000) {
        size_t n = host_receive(&bench, back, sizeof back, NULL);
        g_assert_cmpuint(n, >, 66);
        g_assert_true(rig_sums_right(back, n));
        g_assert_cmpmem(back + 66, n - 66, frame + 66 + payload, n - 66);
        payload += n - 66;
    }
    g_assert_cmpuint(payload, ==, 10000);
    bench_clear(&bench);
}

/* What the host has as one burst comes as one frame to a peer that can take it, and in pieces to one that
 * cannot. */
static void burst_in(unsigned can)
{
    static uint8_t frame[66000];
    struct bench bench;
    struct net_offload offload;
    size_t length = burst(frame, 30000, &offload);
    bench_init(&bench, 1, can);
    struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                    .gso_size = 1448,
                                    .csum_start = 34,
                                    .csum_offset = 16,
                                    .hdr_len = 66};
    struct iovec iov[2] = {{&header, sizeof header}, {frame, length}};
    g_assert_cmpint(writev(bench.packet, iov, 2), ==, (ssize_t)(sizeof header + length));
    if (can) {
        wait_frames(&bench, 1);
        const GByteArray *got = bench.frames->pdata[0];
        g_assert_cmpmem(got->data, got->len, frame, length);
        g_assert_cmpint(bench.last.gso, ==, NET_GSO_TCPV4);
        g_assert_cmpuint(bench.last.gso_size, ==, 1448);
        g_assert_true(bench.last.needs_checksum);
    } else {
        wait_frames(&bench, 21);
        size_t at = 66;
        for (unsigned i = 0; i < 21; i++) {
            const GByteArray *got = bench.frames->pdata[i];
            g_assert_true(rig_sums_right(got->data, got->len));
            g_assert_cmpmem(got->data + 66, got->len - 66, frame + at, got->len - 66);
            at += got->len - 66;
        }
        g_assert_cmpuint(at, ==, length);
    }
    bench_clear(&bench);
}

static void test_burst_in(void)
{
    if (skipped())
        return;
    burst_in(NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6);
    burst_in(0);
}

/* A guest without room: the TAP is not read, nothing is lost, nothing is out of order. */
static void test_backpressure(void)
{
    if (skipped())
        return;
    struct bench bench;
    bench_init(&bench, 0, 0);
    uint8_t frame[100];
    bench.takes = 5;
    for (unsigned i = 0; i < 200; i++) {
        test_frame(frame, sizeof frame, i);
        g_assert_cmpint(write(bench.packet, frame, sizeof frame), ==, sizeof frame);
    }
    wait_frames(&bench, 5);
    for (unsigned i = 0; i < 20; i++)
        loop_wait(bench.loop, 1000000);
    g_assert_cmpuint(bench.frames->len, ==, 5);
    g_assert_cmpuint(net_port_counters(bench.tap)->full, ==, 1); /* asked once, then left in peace */
    bench.takes = 10;
    net_room(bench.guest);
    wait_frames(&bench, 15);
    bench.takes = -1;
    net_room(bench.guest);
    wait_frames(&bench, 200);
    for (unsigned i = 0; i < 200; i++) {
        const GByteArray *got = bench.frames->pdata[i];
        g_assert_cmpuint(got->data[50], ==, (50 + i) & 0xff);
    }
    bench_clear(&bench);
}

/* A guest at work on its ring gets what has come without a turn of the loop, and after having been full at
 * once. */
static void test_poll(void)
{
    if (skipped())
        return;
    struct bench bench;
    bench_init(&bench, 0, 0);
    uint8_t frame[100];
    for (unsigned i = 0; i < 10; i++) {
        test_frame(frame, sizeof frame, i);
        g_assert_cmpint(write(bench.packet, frame, sizeof frame), ==, sizeof frame);
    }
    int64_t until = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    while (bench.frames->len < 10 && g_get_monotonic_time() < until)
        net_poll(bench.guest);
    g_assert_cmpuint(bench.frames->len, ==, 10);
    bench.takes = 1;
    for (unsigned i = 0; i < 10; i++)
        g_assert_cmpint(write(bench.packet, frame, sizeof frame), ==, sizeof frame);
    while (!net_port_counters(bench.tap)->full && g_get_monotonic_time() < until)
        net_poll(bench.guest);
    g_assert_cmpuint(bench.frames->len, ==, 11);
    net_poll(bench.guest); /* it holds a frame: nothing overtakes it */
    g_assert_cmpuint(bench.frames->len, ==, 11);
    bench.takes = 5;
    net_room(bench.guest);
    g_assert_cmpuint(bench.frames->len, ==, 16);
    bench.takes = -1;
    net_room(bench.guest);
    wait_frames(&bench, 20);
    bench_clear(&bench);
}

static void test_down_and_gone(void)
{
    if (skipped())
        return;
    struct bench bench;
    bench_init(&bench, -1, 0);
    uint8_t frame[100];
    test_frame(frame, sizeof frame, 0);
    interface_up("test0", false);
    g_assert_cmpint(guest_send(&bench, frame, sizeof frame, NULL), ==, NET_DROPPED);
    g_assert_cmpuint(net_port_counters(bench.tap)->dropped[NET_DROP_LINK_DOWN], ==, 1);
    interface_up("test0", true);
    g_assert_cmpint(guest_send(&bench, frame, sizeof frame, NULL), ==, NET_SENT);
    /* deleted under us: link down, no spinning */
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    struct {
        struct {
            uint32_t length;
            uint16_t type, flags;
            uint32_t sequence, pid;
        } header;
        struct {
            uint8_t family, pad;
            uint16_t type;
            int index;
            unsigned flags, change;
        } link;
    } request = {.header = {.length = sizeof request, .type = 17 /* RTM_DELLINK */, .flags = 1},
                 .link = {.index = (int)if_nametoindex("test0")}};
    g_assert_cmpint(send(fd, &request, sizeof request, 0), ==, sizeof request);
    close(fd);
    int64_t deadline = g_get_monotonic_time() + DEADLINE_SECONDS * G_USEC_PER_SEC;
    while (net_link(bench.guest) && g_get_monotonic_time() < deadline)
        loop_wait(bench.loop, 10000000);
    g_assert_false(net_link(bench.guest));
    g_assert_cmpuint(bench.downs, ==, 1);
    g_assert_cmpint(guest_send(&bench, frame, sizeof frame, NULL), ==, NET_DROPPED);
    bench_clear(&bench);
}

static struct net_port *try(struct loop *loop, const char *ifname, int fd, int vnet_hdr, const char *expected)
{
    g_autoptr(GError) error = NULL;
    struct net_port *port = net_tap_new(
        "x", loop, &(struct net_tap_config){.ifname = ifname, .fd = fd, .vnet_hdr = vnet_hdr}, &error);
    if (!expected) {
        g_assert_no_error(error);
        g_assert_nonnull(port);
        return port;
    }
    g_assert_null(port);
    g_assert_nonnull(error);
    if (!strstr(error->message, expected))
        g_test_fail_printf("\"%s\" does not say \"%s\"", error->message, expected);
    return NULL;
}

static int raw_tap(const char *name, int flags)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct ifreq ifr = {.ifr_flags = (short)flags};
    g_strlcpy(ifr.ifr_name, name, sizeof ifr.ifr_name);
    g_assert_cmpint(ioctl(fd, TUNSETIFF, &ifr), ==, 0);
    return fd;
}

/* Runs `run` in a child with a network namespace of its own, until it has said that it is ready; the pipe's
 * write end, which ends the child when it is closed. */
static int beside(int (*run)(const char *ifname, int pid), const char *ifname, pid_t *child)
{
    int ready[2], end[2];
    char byte = 0;
    g_assert_cmpint(pipe(ready), ==, 0);
    g_assert_cmpint(pipe(end), ==, 0);
    *child = fork();
    g_assert_cmpint(*child, >=, 0);
    if (*child == 0) {
        close(end[1]);
        int status = run(ifname, (int)getpid());
        g_assert_cmpint(write(ready[1], "", 1), ==, 1);
        (void)!read(end[0], &byte, 1);
        _exit(status);
    }
    close(ready[1]);
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    close(ready[0]);
    close(end[0]);
    return end[1];
}

static int ended(int end, pid_t child)
{
    int status = 0;
    close(end);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The TAP of our namespace stays this child's when it goes to another. */
static int hold_and_leave(const char *ifname, int pid)
{
    (void)raw_tap(ifname, IFF_TAP | IFF_NO_PI);
    return unshare(CLONE_NEWNET);
}

/* A TAP of the same name in another namespace: the holder is who holds that one. */
static int hold_namesake(const char *ifname, int pid)
{
    if (unshare(CLONE_NEWNET))
        return 1;
    (void)raw_tap(ifname, IFF_TAP | IFF_NO_PI);
    g_autoptr(GError) error = NULL;
    struct clock *clock = clock_new();
    struct loop *loop = loop_new(clock, &error);
    struct net_port *port =
        net_tap_new("x", loop, &(struct net_tap_config){.ifname = ifname, .fd = -1, .vnet_hdr = -1}, &error);
    g_autofree char *me = g_strdup_printf("(pid %d)", pid);
    int status = port ? 2 : !strstr(error->message, me);
    loop_free(loop);
    clock_free(clock);
    return status;
}

static void test_holder(void)
{
    if (skipped())
        return;
    pid_t child;
    g_autoptr(GError) error = NULL;
    struct clock *clock = clock_new();
    struct loop *loop = loop_new(clock, &error);
    struct net_port *first = try(loop, "busy1", -1, -1, NULL);
    int end = beside(hold_namesake, "busy1", &child);
    g_assert_cmpint(ended(end, child), ==, 0);
    net_port_free(first);
    end = beside(hold_and_leave, "busy2", &child);
    g_autofree char *it = g_strdup_printf("(pid %d, which is in another network namespace)", (int)child);
    try(loop, "busy2", -1, -1, it);
    g_assert_cmpint(ended(end, child), ==, 0);
    loop_free(loop);
    clock_free(clock);
}

static void test_errors(void)
{
    if (skipped())
        return;
    g_autoptr(GError) error = NULL;
    struct clock *clock = clock_new();
    struct loop *loop = loop_new(clock, &error);
    struct net_port *first = try(loop, "busy0", -1, -1, NULL);
    g_autofree char *me = g_strdup_printf("pid %d", (int)getpid());
    try(loop, "busy0", -1, -1, me);
    try(loop, "busy0", -1, -1, "already in use");
    net_port_free(first);
    try(loop, "a-name-that-is-too-long", -1, -1, "shorter");
    try(loop, "lo", -1, -1, "not a TAP");
    struct net_port *chosen = try(loop, "", -1, 0, NULL); /* the kernel chooses a name */
    g_assert_true(g_str_has_prefix(net_tap_ifname(chosen), "tap"));
    net_port_free(chosen);

    /* adopted descriptors: right, and wrong in each way */
    int fd = raw_tap("fd0", IFF_TAP | IFF_NO_PI);
    try(loop, NULL, fd, 1, "IFF_VNET_HDR");
    struct net_port *adopted = try(loop, NULL, fd, -1, NULL);
    g_assert_cmpstr(net_tap_ifname(adopted), ==, "fd0");
    g_assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    net_port_free(adopted);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1); /* it was the port's */
    fd = raw_tap("fd2", IFF_TUN | IFF_NO_PI);
    try(loop, NULL, fd, -1, "a TUN");
    close(fd);
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    try(loop, NULL, fd, -1, "no interface");
    close(fd);
    try(loop, NULL, fd, -1, "not open");
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    try(loop, NULL, fd, -1, "not a TAP");
    close(fd);
    /* an interface made for several queues */
    fd = raw_tap("mq0", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE);
    net_port_free(try(loop, "mq0", -1, -1, NULL));
    close(fd);
    loop_free(loop);
    clock_free(clock);
}

/* Without privileges: what a user sees who asks for a TAP that is not there, or not theirs. */
static void test_unprivileged(void)
{
    if (skipped())
        return;
    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0) {
        g_test_skip("needs a uid to give up");
        return;
    }
    int fd = raw_tap("root0", IFF_TAP | IFF_NO_PI);
    g_assert_cmpint(ioctl(fd, TUNSETOWNER, 12345), ==, 0);
    pid_t child = fork();
    if (child == 0) {
        g_autoptr(GError) error = NULL;
        struct clock *clock = clock_new();
        struct loop *loop = loop_new(clock, &error);
        if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
            _exit(3);
        struct net_port *port = net_tap_new(
            "x", loop, &(struct net_tap_config){.ifname = "none0", .fd = -1, .vnet_hdr = -1}, &error);
        bool said =
            !port && (strstr(error->message, "CAP_NET_ADMIN") || strstr(error->message, "chmod 0666"));
        loop_free(loop);
        clock_free(clock);
        g_clear_error(&error);
        _exit(said ? 0 : 1);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
    close(fd);
}

/* The whole way: a guest's TSO descriptors to one packet in the host, and a host's burst into the ring. */
static void test_with_nic(void)
{
    if (skipped())
        return;
    static uint8_t frame[66000], back[70000];
    static struct rig_received got;
    struct bench bench;
    bench_init(&bench, 1, 0);
    struct rig *rig = rig_new(0);
    net_join(rig->port, bench.tap);
    rig_start(rig);
    rig_write(rig, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);

    size_t length = rig_packet(frame, RIG_TCP4, 30000);
    rig_put16(frame + 16, 0);
    rig_put16(frame + 24, 0);
    rig_put16(frame + 50, rig_pseudo(frame, RIG_TCP4, 0));
    rig_tx_raw(rig, 14 | 24u << 8 | 33u << 16, 34 | 50u << 8,
               30000 | E1000_TXD_DEXT | E1000_TXD_TSE | E1000_TXC_IP | E1000_TXC_TCP, 66u << 8 | 1448u << 16);
    for (size_t from = 0; from < length; from += 4096) {
        size_t n = MIN(4096, length - from);
        rig_tx(rig, frame + from, n,
               E1000_TXD_DEXT | E1000_TXD_DTYP_DATA << 20 | E1000_TXD_TSE | E1000_TXD_IFCS | E1000_TXD_RS |
                   (from + n == length ? E1000_TXD_EOP : 0),
               E1000_TXD_IXSM | E1000_TXD_TXSM);
    }
    rig_kick(rig);
    struct virtio_net_hdr header;
    size_t n = host_receive(&bench, back, sizeof back, &header);
    g_assert_cmpuint(n, ==, length);
    g_assert_cmpuint(header.gso_size, ==, 1448);
    g_assert_cmpuint(net_port_counters(rig->port)->tx_frames, ==, 1);
    g_assert_cmpmem(back + 66, n - 66, frame + 66, length - 66);

    /* back in as the host would send it on */
    memcpy(back, "\x52\x54\x00\x12\x34\x56", 6);
    struct iovec iov[2] = {{&header, sizeof header}, {back, n}};
    g_assert_cmpint(writev(bench.packet, iov, 2), ==, (ssize_t)(sizeof header + n));
    int64_t deadline = g_get_monotonic_time() + DEADLINE_SECONDS * G_USEC_PER_SEC;
    unsigned pieces = 0;
    while (pieces < 21 && g_get_monotonic_time() < deadline) {
        loop_wait(bench.loop, 10000000);
        while (rig_received(rig, &got)) {
            rig_give(rig, 1);
            if (!interesting(got.data, got.length))
                continue;
            g_assert_true(rig_sums_right(got.data, got.length));
            g_assert_cmphex(got.status & E1000_RXD_TCPCS, ==, E1000_RXD_TCPCS);
            g_assert_cmpmem(got.data + 66, got.length - 66, frame + 66 + 1448 * pieces, got.length - 66);
            pieces++;
        }
    }
    g_assert_cmpuint(pieces, ==, 21);
    rig_free(rig);
    bench_clear(&bench);
}

/* A namespace, and in it a TAP for trying; the reason when there is none. */
static char *enter_namespace(void)
{
    uid_t uid = getuid();
    if (unshare(uid == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return g_strdup_printf("no network namespace: %s", g_strerror(errno));
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return g_strdup_printf("/dev/net/tun: %s", g_strerror(errno));
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int result = ioctl(fd, TUNSETIFF, &ifr), why = errno;
    close(fd);
    return result < 0 ? g_strdup_printf("no TAP in the namespace: %s", g_strerror(why)) : NULL;
}

int main(int argc, char **argv)
{
    no_namespace = enter_namespace();
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tap/plain", test_plain);
    g_test_add_func("/tap/burst-out", test_burst_out);
    g_test_add_func("/tap/burst-out-cut", test_burst_out_cut);
    g_test_add_func("/tap/burst-in", test_burst_in);
    g_test_add_func("/tap/backpressure", test_backpressure);
    g_test_add_func("/tap/poll", test_poll);
    g_test_add_func("/tap/down-and-gone", test_down_and_gone);
    g_test_add_func("/tap/errors", test_errors);
    g_test_add_func("/tap/holder", test_holder);
    g_test_add_func("/tap/unprivileged", test_unprivileged);
    g_test_add_func("/tap/with-nic", test_with_nic);
    int result = g_test_run();
    g_free(no_namespace);
    return result;
}
