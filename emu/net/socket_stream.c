/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A cable over a connection (-netdev socket,listen=|connect=, -netdev stream), as QEMU speaks it: each frame
 * behind its length, 4 bytes, big-endian.
 *
 * A server takes one peer at a time and waits for the next when that one has gone; a client tries again after
 * a while. The link is up while there is a peer. Peers are hostile: a length that no frame has ends the
 * connection, for what follows cannot be found any more.
 *
 * Out: a frame is written at once when nothing waits; what the socket does not take is kept, and beyond
 * OUT_MOST the guest is told NET_FULL until it is gone. In: bytes are gathered in one buffer; a frame the
 * guest has no room for stays there, and the socket is not read meanwhile. Machine thread only.
 */
#include "emu/char/backend.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"
#include "emu/net/frame.h"
#include "emu/net/socket.h"
#include "emu/trace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

enum {
    LENGTH_SIZE = 4,
    OUT_MOST = 256 * 1024,
    IN_SIZE = LENGTH_SIZE + NET_FRAME_MAX + 1,
    READS_PER_WAKE = 16,
    STARVED_NS = 200000000,
    KEEP_IDLE_S = 30,
    KEEP_INTERVAL_S = 10,
    KEEP_TRIES = 3,
};

struct net_stream {
    struct net_port *port;
    const struct net_env *env;
    struct stream_config config;
    char *name;
    int listener, fd;          /* -1: none */
    struct char_listener file; /* has `listener`, when that is a UNIX socket made here */
    struct loop_fd *listen_watch, *watch;
    struct clock_timer *retry;
    bool connecting, full;
    bool held; /* the buffer begins with a frame the guest has no room for */
    GByteArray *out;
    size_t have;
    uint8_t in[IN_SIZE];
};

static void stream_connect(struct net_stream *s);

static void set_events(struct net_stream *s)
{
    if (s->watch)
        loop_set_events(s->watch, (s->held || s->connecting ? 0 : LOOP_READ) |
                                      (s->out->len || s->connecting ? LOOP_WRITE : 0));
}

static void hang_up(struct net_stream *s, const char *why)
{
    if (s->fd < 0)
        return;
    trace(NET, "%s: connection ends: %s", net_port_id(s->port), why);
    loop_remove_fd(g_steal_pointer(&s->watch));
    close(s->fd);
    s->fd = -1;
    s->have = 0;
    s->held = false;
    s->connecting = false;
    g_byte_array_set_size(s->out, 0);
    net_set_link(s->port, false);
    if (s->full) {
        s->full = false;
        net_room(s->port);
    }
    if (s->listen_watch)
        loop_set_events(s->listen_watch, LOOP_READ);
    else if (s->retry && s->config.retry_ms)
        clock_timer_set(s->retry, clock_now(s->env->clock) + (int64_t)s->config.retry_ms * 1000000);
}

/* ---- out ---- */

static enum net_result stream_write(void *opaque, const struct net_frame *frame)
{
    struct net_stream *s = opaque;
    uint32_t length = htonl((uint32_t)frame->length);
    struct iovec iov[NET_IOV_MAX + 2];
    size_t total = LENGTH_SIZE + frame->length, done = 0;
    iov[0] = (struct iovec){.iov_base = &length, .iov_len = LENGTH_SIZE};
    memcpy(iov + 1, frame->iov, frame->count * sizeof *iov);
    if (!s->out->len) {
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = frame->count + 1};
        ssize_t n = sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            /* The end is heard of by the reader; here nothing may be torn down while a frame is under way. */
            net_drop(s->port, NET_DROP_LINK_DOWN);
            return NET_DROPPED;
        }
        done = n > 0 ? (size_t)n : 0;
    }
    if (done < total) {
        guint at = s->out->len;
        g_byte_array_set_size(s->out, at + (guint)(total - done));
        net_iov_copy(iov, frame->count + 1, done, s->out->data + at, total - done);
        set_events(s);
    }
    return NET_SENT;
}

static enum net_result stream_receive(void *opaque, const struct net_frame *frame)
{
    struct net_stream *s = opaque;
    if (s->fd < 0 || s->connecting) {
        net_drop(s->port, NET_DROP_LINK_DOWN);
        return NET_DROPPED;
    }
    if (s->out->len >= OUT_MOST) {
        s->full = true;
        return NET_FULL;
    }
    return net_frame_finish(frame, 0, stream_write, s);
}

static bool flush(struct net_stream *s)
{
    while (s->out->len) {
        ssize_t n = send(s->fd, s->out->data, s->out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        g_byte_array_remove_range(s->out, 0, (guint)n);
    }
    return true;
}

/* ---- in ---- */

/* Hands over the frames in the buffer. False: the peer sent nonsense. */
static bool deliver(struct net_stream *s)
{
    size_t at = 0;
    bool good = true;
    s->held = false;
    while (s->have - at >= LENGTH_SIZE) {
        uint32_t length;
        memcpy(&length, s->in + at, LENGTH_SIZE);
        length = ntohl(length);
        if (length > NET_FRAME_MAX || length == 0) {
            good = false;
            break;
        }
        if (s->have - at < LENGTH_SIZE + length)
            break;
        struct iovec iov = {.iov_base = s->in + at + LENGTH_SIZE, .iov_len = length};
        struct net_frame frame = {.iov = &iov, .count = 1, .length = length};
        if (net_send(s->port, &frame) == NET_FULL) { /* too short ones are dropped there */
            s->held = true;
            break;
        }
        at += LENGTH_SIZE + length;
    }
    memmove(s->in, s->in + at, s->have - at);
    s->have -= at;
    return good;
}

static void read_peer(struct net_stream *s)
{
    for (unsigned i = 0; i < READS_PER_WAKE; i++) {
        ssize_t n = recv(s->fd, s->in + s->have, sizeof s->in - s->have, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            hang_up(s, n ? g_strerror(errno) : "the peer has gone");
            return;
        }
        s->have += (size_t)n;
        if (!deliver(s)) {
            hang_up(s, "the peer sends what is no frame");
            return;
        }
        if (s->held) {
            set_events(s);
            return;
        }
    }
}

static void stream_room(void *opaque)
{
    struct net_stream *s = opaque;
    if (s->fd < 0)
        return;
    if (!deliver(s))
        hang_up(s, "the peer sends what is no frame");
    else
        set_events(s);
}

static void stream_ready(void *opaque, unsigned events)
{
    struct net_stream *s = opaque;
    if (s->connecting) {
        int why = 0;
        socklen_t size = sizeof why;
        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &why, &size) < 0)
            why = errno;
        if (why) {
            hang_up(s, g_strerror(why));
            return;
        }
        if (!(events & LOOP_WRITE))
            return;
        s->connecting = false;
        trace(NET, "%s: connected", net_port_id(s->port));
        set_events(s);
        net_set_link(s->port, true);
        return;
    }
    if (events & LOOP_WRITE) {
        if (!flush(s)) {
            hang_up(s, g_strerror(errno));
            return;
        }
        set_events(s);
        if (s->full && s->out->len < OUT_MOST / 2) {
            s->full = false;
            net_room(s->port);
        }
    }
    if (s->fd >= 0 && events & (LOOP_READ | LOOP_HANGUP))
        read_peer(s);
}

/* ---- peers come and go ---- */

static void adopt(struct net_stream *s, int fd, bool connecting)
{
    int on = 1;
    /* These fail on UNIX sockets, which is no harm. A peer whose host has gone without a word must not keep
     * the cable from the next one. */
    const int idle = KEEP_IDLE_S, interval = KEEP_INTERVAL_S, tries = KEEP_TRIES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
    s->fd = fd;
    s->connecting = connecting;
    s->watch = loop_add_fd(s->env->loop, fd, connecting ? LOOP_WRITE : LOOP_READ, stream_ready, s);
    if (!connecting)
        net_set_link(s->port, true);
}

static void listener_ready(void *opaque, unsigned events)
{
    struct net_stream *s = opaque;
    int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR &&
            errno != ECONNABORTED) { /* no descriptor is free: it waits a moment */
            trace(NET, "%s: a peer cannot be let in: %s", net_port_id(s->port), g_strerror(errno));
            loop_set_events(s->listen_watch, 0);
            clock_timer_set(s->retry, clock_now(s->env->clock) + STARVED_NS);
        }
        return;
    }
    if (s->fd >= 0) {
        close(fd);
        return;
    }
    trace(NET, "%s: a peer has come", net_port_id(s->port));
    loop_set_events(s->listen_watch, 0); /* the next one waits */
    adopt(s, fd, false);
}

static void stream_connect(struct net_stream *s)
{
    int fd = socket(s->config.place.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, &s->config.place.any, s->config.place.length) == 0) {
        adopt(s, fd, false);
    } else if (fd >= 0 && errno == EINPROGRESS) {
        adopt(s, fd, true);
    } else {
        trace(NET, "%s: no connection: %s", net_port_id(s->port), g_strerror(errno));
        if (fd >= 0)
            close(fd);
        if (s->config.retry_ms)
            clock_timer_set(s->retry, clock_now(s->env->clock) + (int64_t)s->config.retry_ms * 1000000);
    }
}

static void try_again(void *opaque)
{
    struct net_stream *s = opaque;
    if (!s->listen_watch)
        stream_connect(s);
    else if (s->fd < 0)
        loop_set_events(s->listen_watch, LOOP_READ);
}

static bool stream_listen(struct net_stream *s, GError **error)
{
    const struct socket_place *place = &s->config.place;
    g_autoptr(GString) where = g_string_new(NULL);
    int on = 1;
    if (place->any.sa_family == AF_UNIX) {
        bool good = char_listen_unix(&s->file, place->unix_path.sun_path, error);
        s->listener = s->file.fd;
        return good;
    }
    socket_place_show(place, where);
    s->listener = socket(place->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listener >= 0)
        setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (s->listener < 0 || bind(s->listener, &place->any, place->length) < 0 || listen(s->listener, 1) < 0) {
        int why = errno;
        return net_fail(error, why, "listening at %s: %s%s", where->str, g_strerror(why),
                        why == EADDRINUSE      ? "; another program has it (see: ss -lnp), choose another"
                        : why == EADDRNOTAVAIL ? "; the host does not have that address (see: ip address)"
                        : why == EACCES        ? "; choose a port from 1024 up"
                                               : "");
    }
    return true;
}

static void stream_free(void *opaque)
{
    struct net_stream *s = opaque;
    loop_remove_fd(s->watch);
    loop_remove_fd(s->listen_watch);
    if (s->fd >= 0)
        close(s->fd);
    if (s->file.fd >= 0)
        char_unlisten(&s->file);
    else if (s->listener >= 0)
        close(s->listener);
    clock_timer_free(s->retry);
    g_byte_array_unref(s->out);
    g_free(s->name);
    g_free(s);
}

static void stream_describe(const void *opaque, GString *out)
{
    const struct net_stream *s = opaque;
    g_string_append_printf(out, ", %s ", s->name);
    socket_place_show(&s->config.place, out);
    g_string_append(out, s->fd >= 0 && !s->connecting ? ", connected" : ", not connected");
}

static const struct net_ops stream_ops = {.kind = "socket",
                                          .receive = stream_receive,
                                          .room = stream_room,
                                          .free = stream_free,
                                          .describe = stream_describe};

struct net_port *net_stream_new(const char *id, const struct net_env *env, const struct stream_config *config,
                                GError **error)
{
    struct net_stream *s = g_new0(struct net_stream, 1);
    int listening = config->server && config->fd < 0;
    socklen_t size = sizeof listening;
    s->env = env;
    s->config = *config;
    s->name = g_strdup(config->name);
    s->fd = s->listener = s->file.fd = -1;
    s->out = g_byte_array_new();
    s->retry = clock_timer_new(env->clock, try_again, s);
    s->port = net_port_new(id, &stream_ops, s, 0);
    net_set_link(s->port, false);
    bool good = true;
    if (config->fd >= 0) {
        good = socket_prepare(config->fd, error);
        if (good && getsockopt(config->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
            good = net_fail(error, errno, "fd=%d: %s", config->fd, g_strerror(errno));
        if (good && listening)
            s->listener = config->fd;
        else if (good)
            adopt(s, config->fd, false);
        s->config.retry_ms = 0;
    } else if (config->server) {
        good = stream_listen(s, error);
    }
    if (!good) {
        net_port_free(s->port);
        return NULL;
    }
    if (listening)
        s->listen_watch = loop_add_fd(env->loop, s->listener, LOOP_READ, listener_ready, s);
    else if (config->fd < 0)
        stream_connect(s);
    return s->port;
}
