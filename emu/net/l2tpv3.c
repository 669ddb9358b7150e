/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * An Ethernet pseudowire over a static L2TPv3 tunnel (-netdev l2tpv3): RFC 3931 section 4.1, RFC 4719.
 *
 *   [UDP: 00 03 00 00]  session (4)  [cookie (4 or 8)]  [counter (4)]  [offset bytes]  frame
 *
 * Over IP (protocol 115) the first word is missing. Session and cookie are given by hand on both ends, as for
 * `ip l2tp`; the counter is Linux's default sublayer word. The socket is connected, so the kernel passes on
 * only what the peer sent; another session or cookie is dropped and counted. Like a wire it loses what does
 * not fit. Machine thread only.
 */
#include "emu/machine/loop.h"
#include "emu/net/frame.h"
#include "emu/net/netdev.h"
#include "emu/trace.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

enum {
    PROTOCOL_L2TP = 115,
    OFFSET_MOST = 256,
    HEADER_MOST = 4 + 4 + 8 + 4 + OFFSET_MOST,
    IP_HEADER_MOST = 60,
    FRAMES_PER_WAKE = 64,
};

static const struct keyval_row l2tpv3_rows[] = {
    {"src", KEYVAL_PATH, .help = "the host's address"},
    {"dst", KEYVAL_PATH, .help = "the peer's"},
    {"srcport", KEYVAL_STRING, .help = "udp: the host's port"},
    {"dstport", KEYVAL_STRING, .help = "udp: the peer's"},
    {"udp", KEYVAL_BOOL, .help = "over UDP instead of over IP, which needs privileges"},
    {"ipv6", KEYVAL_BOOL, .help = "addresses are IPv6"},
    {"txsession", KEYVAL_NUMBER, .help = "session number in what is sent", .max = UINT32_MAX},
    {"rxsession", KEYVAL_NUMBER, .help = "session number in what is received (txsession)", .max = UINT32_MAX},
    {"cookie64", KEYVAL_BOOL, .help = "cookies have 64 bits, not 32"},
    {"txcookie", KEYVAL_NUMBER, .help = "cookie in what is sent"},
    {"rxcookie", KEYVAL_NUMBER, .help = "cookie in what is received"},
    {"counter", KEYVAL_BOOL, .help = "a counter in each packet"},
    {"pincounter", KEYVAL_BOOL, .help = "one that is always 0, for peers that cannot take gaps"},
    {"offset", KEYVAL_NUMBER, .help = "bytes between header and frame", .max = OFFSET_MOST},
};

struct net_l2tpv3 {
    struct net_port *port;
    struct loop_fd *watch;
    int fd;
    bool udp, ip_header; /* raw IPv4 sockets give the IP header, too */
    bool counts, pinned, holding;
    uint32_t rx_session, counter;
    size_t cookie_at, cookie_size, counter_at, header_size;
    uint8_t rx_cookie[8];
    uint8_t header[HEADER_MOST]; /* as it is sent, but for the counter */
    size_t begin, length;        /* of the frame in the buffer */
    uint8_t buffer[IP_HEADER_MOST + HEADER_MOST + NET_FRAME_MAX + 1];
};

static void put32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 24);
    to[1] = (uint8_t)(value >> 16);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void put_cookie(uint8_t *to, size_t size, uint64_t cookie)
{
    if (size == 8)
        put32(to, (uint32_t)(cookie >> 32));
    if (size)
        put32(to + size - 4, (uint32_t)cookie);
}

static enum net_result l2tpv3_write(void *opaque, const struct net_frame *frame)
{
    struct net_l2tpv3 *l = opaque;
    struct iovec iov[NET_IOV_MAX + 2];
    if (l->counts)
        put32(l->header + l->counter_at, l->pinned ? 0 : l->counter++);
    iov[0] = (struct iovec){.iov_base = l->header, .iov_len = l->header_size};
    memcpy(iov + 1, frame->iov, frame->count * sizeof *iov);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = frame->count + 1};
    for (unsigned tries = 0; tries < 2; tries++) {
        if (sendmsg(l->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return NET_SENT;
        if (errno != ECONNREFUSED && errno != EINTR) /* that is the answer to an earlier one */
            break;
    }
    trace(NET, "%s: %zu bytes not sent: %s", net_port_id(l->port), frame->length, g_strerror(errno));
    net_drop(l->port, NET_DROP_ERROR);
    return NET_DROPPED;
}

static enum net_result l2tpv3_receive(void *opaque, const struct net_frame *frame)
{
    return net_frame_finish(frame, 0, l2tpv3_write, opaque);
}

/* Finds the frame in a packet of n bytes. */
static bool unwrap(struct net_l2tpv3 *l, size_t n)
{
    const uint8_t *packet = l->buffer;
    size_t at = l->ip_header && n ? (size_t)(packet[0] & 15) * 4 : 0;
    if (n < at + l->header_size)
        return false;
    packet += at;
    size_t session_at = l->udp ? 4 : 0;
    if (l->udp && (packet[0] & 0x80 || (packet[1] & 15) != 3)) /* a control message, or another version */
        return false;
    if (get32(packet + session_at) != l->rx_session ||
        memcmp(packet + l->cookie_at, l->rx_cookie, l->cookie_size) != 0)
        return false;
    l->begin = at + l->header_size;
    l->length = n - l->begin;
    return true;
}

static bool deliver(struct net_l2tpv3 *l)
{
    struct iovec iov = {.iov_base = l->buffer + l->begin, .iov_len = l->length};
    struct net_frame frame = {.iov = &iov, .count = 1, .length = l->length};
    return net_send(l->port, &frame) != NET_FULL;
}

static void l2tpv3_ready(void *opaque, unsigned events)
{
    struct net_l2tpv3 *l = opaque;
    for (unsigned i = 0; i < FRAMES_PER_WAKE && !l->holding; i++) {
        ssize_t n = recv(l->fd, l->buffer, sizeof l->buffer, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) /* a refusal of something sent; the next read goes on */
            continue;
        if (!unwrap(l, (size_t)n)) {
            net_drop(l->port, NET_DROP_FILTERED);
        } else if (!deliver(l)) {
            l->holding = true;
            loop_set_events(l->watch, 0);
        }
    }
}

static void l2tpv3_room(void *opaque)
{
    struct net_l2tpv3 *l = opaque;
    if (!l->holding || !deliver(l))
        return;
    l->holding = false;
    loop_set_events(l->watch, LOOP_READ);
}

static void l2tpv3_free(void *opaque)
{
    struct net_l2tpv3 *l = opaque;
    loop_remove_fd(l->watch);
    if (l->fd >= 0)
        close(l->fd);
    g_free(l);
}

static void l2tpv3_describe(const void *opaque, GString *out)
{
    const struct net_l2tpv3 *l = opaque;
    g_string_append_printf(out, ", over %s, rxsession=%u", l->udp ? "UDP" : "IP", l->rx_session);
}

static const struct net_ops l2tpv3_ops = {.kind = "l2tpv3",
                                          .receive = l2tpv3_receive,
                                          .room = l2tpv3_room,
                                          .free = l2tpv3_free,
                                          .describe = l2tpv3_describe};

static bool l2tpv3_check(const struct keyval *kv, GError **error)
{
    static const char *const ports[] = {"srcport", "dstport"};
    bool udp = keyval_bool(kv, "udp", false);
    if (!keyval_require(kv, "src", error) || !keyval_require(kv, "dst", error) ||
        !keyval_require(kv, "txsession", error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(ports); i++) {
        uint64_t number;
        if (udp != keyval_has(kv, ports[i]))
            return net_fail(error, EINVAL, udp ? "udp=on needs %s=" : "%s= is for udp=on", ports[i]);
        if (udp && !keyval_parse_number(ports[i], keyval_string(kv, ports[i], ""), 1, 65535, &number, error))
            return false;
    }
    if (keyval_has(kv, "txcookie") != keyval_has(kv, "rxcookie"))
        return net_fail(error, EINVAL, "give both of txcookie= and rxcookie=, or none");
    if (keyval_bool(kv, "cookie64", false) && !keyval_has(kv, "txcookie"))
        return net_fail(error, EINVAL, "cookie64=on without txcookie= and rxcookie=");
    if (!keyval_bool(kv, "cookie64", false) &&
        (keyval_number(kv, "txcookie", 0) > UINT32_MAX || keyval_number(kv, "rxcookie", 0) > UINT32_MAX))
        return net_fail(error, EINVAL, "a cookie of more than 32 bits needs cookie64=on");
    return true;
}

static struct addrinfo *look_up(const struct keyval *kv, const char *key, const char *port_key, bool ipv6,
                                bool udp, GError **error)
{
    struct addrinfo hints = {.ai_family = ipv6 ? AF_INET6 : AF_INET,
                             .ai_socktype = udp ? SOCK_DGRAM : SOCK_RAW,
                             .ai_flags = strcmp(key, "src") ? 0 : AI_PASSIVE};
    struct addrinfo *found = NULL;
    int why =
        getaddrinfo(keyval_string(kv, key, ""), udp ? keyval_string(kv, port_key, "") : NULL, &hints, &found);
    if (why)
        net_fail(error, EINVAL, "%s=%s: %s; write an IPv%d address", key, keyval_string(kv, key, ""),
                 gai_strerror(why), ipv6 ? 6 : 4);
    return found;
}

static int open_tunnel(const struct keyval *kv, bool udp, bool ipv6, GError **error)
{
    struct addrinfo *src = look_up(kv, "src", "srcport", ipv6, udp, error);
    struct addrinfo *dst = src ? look_up(kv, "dst", "dstport", ipv6, udp, error) : NULL;
    int fd = -1;
    if (dst) {
        fd = socket(ipv6 ? AF_INET6 : AF_INET, (udp ? SOCK_DGRAM : SOCK_RAW) | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    udp ? 0 : PROTOCOL_L2TP);
        if (fd < 0) {
            net_fail(error, errno, "an L2TP socket: %s%s", g_strerror(errno),
                     errno == EPERM ? "; run with CAP_NET_RAW, or say udp=on on both ends" : "");
        } else if (bind(fd, src->ai_addr, src->ai_addrlen) < 0 ||
                   connect(fd, dst->ai_addr, dst->ai_addrlen) < 0) {
            net_fail(error, errno,
                     "from %s to %s: %s; is the first an address of this host (ip address), with a "
                     "route to the second, and the port free (ss -lunp)?",
                     keyval_string(kv, "src", ""), keyval_string(kv, "dst", ""), g_strerror(errno));
            close(fd);
            fd = -1;
        }
    }
    if (src)
        freeaddrinfo(src);
    if (dst)
        freeaddrinfo(dst);
    return fd;
}

static struct net_port *l2tpv3_open(const char *id, const struct keyval *kv, const struct net_env *env,
                                    GError **error)
{
    bool udp = keyval_bool(kv, "udp", false), ipv6 = keyval_bool(kv, "ipv6", false);
    int fd = open_tunnel(kv, udp, ipv6, error);
    if (fd < 0)
        return NULL;
    struct net_l2tpv3 *l = g_new0(struct net_l2tpv3, 1);
    uint64_t tx_session = keyval_number(kv, "txsession", 0);
    l->fd = fd;
    l->udp = udp;
    l->ip_header = !udp && !ipv6;
    l->rx_session = (uint32_t)keyval_number(kv, "rxsession", tx_session);
    l->pinned = keyval_bool(kv, "pincounter", false);
    l->counts = l->pinned || keyval_bool(kv, "counter", false);
    size_t at = 0;
    if (udp) {
        put32(l->header, 0x00030000);
        at = 4;
    }
    put32(l->header + at, (uint32_t)tx_session);
    l->cookie_at = at += 4;
    l->cookie_size = !keyval_has(kv, "txcookie") ? 0 : keyval_bool(kv, "cookie64", false) ? 8 : 4;
    put_cookie(l->header + at, l->cookie_size, keyval_number(kv, "txcookie", 0));
    put_cookie(l->rx_cookie, l->cookie_size, keyval_number(kv, "rxcookie", 0));
    l->counter_at = at += l->cookie_size;
    l->header_size = at + (l->counts ? 4 : 0) + (size_t)keyval_number(kv, "offset", 0);
    l->port = net_port_new(id, &l2tpv3_ops, l, 0);
    l->watch = loop_add_fd(env->loop, fd, LOOP_READ, l2tpv3_ready, l);
    return l->port;
}

const struct net_kind net_kind_l2tpv3 = {.name = "l2tpv3",
                                         .help = "an Ethernet pseudowire over L2TPv3, UDP or IP",
                                         .rows = l2tpv3_rows,
                                         .row_count = G_N_ELEMENTS(l2tpv3_rows),
                                         .check = l2tpv3_check,
                                         .open = l2tpv3_open};
