/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A cable of datagrams, one a frame: UDP to one peer, or a multicast group that is a hub of any number of
 * machines (-netdev socket,udp=|mcast=, -netdev dgram).
 *
 * A group hands back what one sends oneself. Frames go out by a socket of their own, whose address tells ours
 * from everybody else's. Like a wire, it loses what does not fit: a datagram the kernel does not take is
 * dropped and counted; when the guest has no room one frame is held and the socket is not read, and the
 * kernel drops behind it. Machine thread only.
 */
#include "emu/char/backend.h"
#include "emu/machine/loop.h"
#include "emu/net/frame.h"
#include "emu/net/socket.h"
#include "emu/trace.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { FRAMES_PER_WAKE = 64 };

struct net_dgram {
    struct net_port *port;
    struct loop_fd *watch;
    int fd, out;             /* the same unless it is a group */
    struct sockaddr_in self; /* of `out`, for a group */
    bool group, holding;
    struct char_listener file; /* has `fd`, when that is a UNIX socket with a name */
    struct socket_place local, remote;
    char *name;
    size_t length;
    uint8_t buffer[NET_FRAME_MAX + 1];
};

static enum net_result dgram_write(void *opaque, const struct net_frame *frame)
{
    struct net_dgram *d = opaque;
    struct iovec iov[NET_IOV_MAX + 1];
    memcpy(iov, frame->iov, frame->count * sizeof *iov);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = frame->count};
    if (d->remote.length) {
        message.msg_name = &d->remote.any;
        message.msg_namelen = d->remote.length;
    }
    for (unsigned tries = 0; tries < 2; tries++) {
        ssize_t n = sendmsg(d->out, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            return NET_SENT;
        if (errno != ECONNREFUSED && errno != EINTR) /* that is the answer to an earlier one */
            break;
    }
    trace(NET, "%s: %zu bytes not sent: %s", net_port_id(d->port), frame->length, g_strerror(errno));
    net_drop(d->port, NET_DROP_ERROR);
    return NET_DROPPED;
}

static enum net_result dgram_receive(void *opaque, const struct net_frame *frame)
{
    return net_frame_finish(frame, 0, dgram_write, opaque);
}

static bool deliver(struct net_dgram *d)
{
    struct iovec iov = {.iov_base = d->buffer, .iov_len = d->length};
    struct net_frame frame = {.iov = &iov, .count = 1, .length = d->length};
    return net_send(d->port, &frame) != NET_FULL;
}

static void dgram_ready(void *opaque, unsigned events)
{
    struct net_dgram *d = opaque;
    for (unsigned i = 0; i < FRAMES_PER_WAKE && !d->holding; i++) {
        union {
            struct sockaddr any;
            struct sockaddr_in v4;
            struct sockaddr_storage room;
        } from = {0};
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(d->fd, d->buffer, sizeof d->buffer, MSG_DONTWAIT, &from.any, &size);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) /* a refusal of something sent; the next read goes on */
            continue;
        if (d->group && from.v4.sin_port == d->self.sin_port &&
            from.v4.sin_addr.s_addr == d->self.sin_addr.s_addr)
            continue;
        d->length = (size_t)n;
        if (!deliver(d)) {
            d->holding = true;
            loop_set_events(d->watch, 0);
        }
    }
}

static void dgram_room(void *opaque)
{
    struct net_dgram *d = opaque;
    if (!d->holding || !deliver(d))
        return;
    d->holding = false;
    loop_set_events(d->watch, LOOP_READ);
}

static void dgram_free(void *opaque)
{
    struct net_dgram *d = opaque;
    loop_remove_fd(d->watch);
    if (d->out >= 0 && d->out != d->fd)
        close(d->out);
    if (d->file.fd >= 0)
        char_unlisten(&d->file);
    else if (d->fd >= 0)
        close(d->fd);
    g_free(d->name);
    g_free(d);
}

static void dgram_describe(const void *opaque, GString *out)
{
    const struct net_dgram *d = opaque;
    g_string_append_printf(out, ", %s ", d->name);
    socket_place_show(d->remote.length ? &d->remote : &d->local, out);
}

static const struct net_ops dgram_ops = {.kind = "socket",
                                         .receive = dgram_receive,
                                         .room = dgram_room,
                                         .free = dgram_free,
                                         .describe = dgram_describe};

static bool join_group(struct net_dgram *d, struct in_addr from, GError **error)
{
    struct ip_mreq group = {.imr_multiaddr = d->remote.v4.sin_addr, .imr_interface = from};
    socklen_t size = sizeof d->self;
    int on = 1;
    if (setsockopt(d->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) < 0)
        return net_fail(
            error, errno,
            "joining the multicast group: %s; give the host a route for it (ip route add 224.0.0.0/4 dev "
            "IF), or name one of its addresses with localaddr=",
            g_strerror(errno));
    d->out = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->out < 0 || setsockopt(d->out, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof on) < 0 ||
        (from.s_addr && setsockopt(d->out, IPPROTO_IP, IP_MULTICAST_IF, &from, sizeof from) < 0) ||
        connect(d->out, &d->remote.any, d->remote.length) < 0 ||
        getsockname(d->out, (struct sockaddr *)&d->self, &size) < 0)
        return net_fail(error, errno, "a socket to the multicast group: %s; is there a route to it?",
                        g_strerror(errno));
    d->remote.length = 0; /* connected */
    d->group = true;
    return true;
}

static bool dgram_bind(struct net_dgram *d, GError **error)
{
    int on = 1;
    int family = d->local.length ? d->local.any.sa_family : d->remote.any.sa_family;
    g_autoptr(GString) where = g_string_new(NULL);
    if (d->local.length && family == AF_UNIX) {
        bool good = char_receive_unix(&d->file, d->local.unix_path.sun_path, error);
        d->fd = d->file.fd;
        return good;
    }
    socket_place_show(&d->local, where);
    d->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fd >= 0 && socket_is_multicast(&d->local))
        setsockopt(d->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (d->fd < 0 || (d->local.length && bind(d->fd, &d->local.any, d->local.length) < 0)) {
        int why = errno;
        return net_fail(error, why, "receiving at %s: %s%s", where->str, g_strerror(why),
                        why == EADDRINUSE ? "; another program has it (see: ss -lunp), choose another" : "");
    }
    return true;
}

struct net_port *net_dgram_new(const char *id, const struct net_env *env, const struct dgram_config *config,
                               GError **error)
{
    struct net_dgram *d = g_new0(struct net_dgram, 1);
    bool multicast = socket_is_multicast(&config->remote);
    d->fd = d->out = d->file.fd = -1;
    d->local = config->local;
    d->remote = config->remote;
    d->name = g_strdup(config->name);
    d->port = net_port_new(id, &dgram_ops, d, 0);
    bool good = config->fd >= 0 ? socket_prepare(config->fd, error) : dgram_bind(d, error);
    if (good && config->fd >= 0)
        d->fd = config->fd;
    if (good && multicast)
        good = join_group(d, config->multicast_from, error);
    else if (good)
        d->out = d->fd;
    if (!good) {
        if (config->fd >= 0)
            d->fd = -1; /* still the caller's */
        net_port_free(d->port);
        return NULL;
    }
    d->watch = loop_add_fd(env->loop, d->fd, LOOP_READ, dgram_ready, d);
    return d->port;
}
