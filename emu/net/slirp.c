/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * User-mode networking (-netdev user): a network with DHCP, DNS, TFTP and a way out that needs no privilege,
 * by libslirp. The only file that knows that library.
 *
 * Waiting. libslirp wants to be asked before each sleep which descriptors it waits for (slirp_pollfds_fill)
 * and to be told after it which are ready. Its descriptors are kept in an epoll set of this back end, which
 * is one watched descriptor of the machine's loop: `refresh` asks and brings the set up to date, changing
 * only what changed; `service` collects what is ready, tells libslirp, and refreshes. A frame from the guest
 * is followed by a refresh at once. libslirp's time-outs come as one timer, which is armed only while there
 * is a connection or a delayed acknowledgement: without any, nothing runs.
 *
 * Backpressure. libslirp cannot be told that the guest has no room. A frame that got NET_FULL is queued here,
 * and while the queue has anything, libslirp's descriptors are not looked at, so the host's sockets fill up
 * and TCP slows down by itself; what libslirp sends in answer to the guest meanwhile is queued too, bounded.
 *
 * libslirp 4.7 crashes when a packet's last fragment comes before its first, so it is given whole packets
 * only (reassemble.h), and no requests for named pipes, which it would wait for (tftp.h).
 *
 * Bursts. A TCP burst of the guest over IPv4 goes in as one segment of up to 64 KiB: the same cutter that
 * would make frames of it makes one piece. libslirp writes it to the host's socket and acknowledges it before
 * slirp_input() returns, so a burst costs the guest one acknowledgement and not forty. Over IPv6 libslirp
 * takes no packet above its MTU, so bursts are cut there. What else needs finishing is finished by
 * net_frame_finish(). All libslirp sends has right checksums, which is said on. Machine thread only.
 */
#include "emu/char/backend.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"
#include "emu/net/frame.h"
#include "emu/net/netdev.h"
#include "emu/net/reassemble.h"
#include "emu/net/tftp.h"
#include "emu/net/user.h"
#include "emu/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <libslirp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_PER_SERVICE = 64,
    QUEUE_MOST = 1 << 20,     /* bytes */
    BURST_MOST = 65535 - 120, /* payload that fits an IP packet with whatever headers */
    TIMEOUT_NONE_MS = 1000,   /* what libslirp says when it waits for nothing: look now and then */
    TIMEOUT_SLACK_NS = 20 * 1000 * 1000,
    NS_PER_MS = 1000000,
    STARVED_MS = 200,
};

struct user_net;

/* One descriptor of libslirp. */
struct user_fd {
    uint32_t registered; /* events in the epoll set; 0: not in it */
    uint32_t ready;
    unsigned turn; /* of the refresh that last asked for it */
    enum { KIND_UNKNOWN, KIND_LISTENS, KIND_OTHER } kind;
};

/* guestfwd= to a character port. */
struct user_pipe {
    struct user_net *net;
    struct char_port *port;
    struct in_addr server;
    uint16_t number;
};

struct user_timer {
    struct user_net *net;
    struct clock_timer *timer;
    SlirpTimerId id;
    void *opaque;
};

struct user_net {
    struct net_port *port;
    const struct net_env *env;
    Slirp *slirp;
    struct user_config config;
    struct user_share *share;
    int epoll;
    struct loop_fd *watch;
    struct clock_timer *timer;
    struct clock_timer *starved_timer;
    bool starved;  /* no descriptor is free: nobody new is let in, listening sockets are not looked at */
    GArray *fds;   /* struct user_fd by descriptor */
    GArray *asked; /* int: descriptors in the order libslirp asked, by its index */
    unsigned turn;
    GPtrArray *pipes; /* struct user_pipe */
    GQueue queue;     /* GBytes: frames the guest has no room for */
    size_t queued;
    bool busy; /* inside slirp_pollfds_poll */
    bool ping_checked;
    struct net_reassembly *reassembly;
    struct tftp_server tftp;
    uint8_t frame[NET_FRAME_MAX + 1];
};

/* ---- to the guest ---- */

static enum net_result hand_over(struct user_net *net, const void *data, size_t length)
{
    struct iovec iov = {.iov_base = (void *)data, .iov_len = length};
    struct net_frame frame = {.iov = &iov, .count = 1, .length = length, .offload = {.checksum_good = true}};
    return net_send(net->port, &frame);
}

static void watch_hosts(struct user_net *net)
{
    if (net->watch)
        loop_set_events(net->watch, net->queue.length ? 0 : LOOP_READ);
}

static ssize_t slirp_sends(const void *data, size_t length, void *opaque)
{
    struct user_net *net = opaque;
    if (length < NET_FRAME_MIN || length > NET_FRAME_MAX)
        return (ssize_t)length;
    if (!net->queue.length && hand_over(net, data, length) != NET_FULL)
        return (ssize_t)length;
    if (net->queued + length > QUEUE_MOST) {
        net_drop(net->port, NET_DROP_ERROR);
        return (ssize_t)length;
    }
    g_queue_push_tail(&net->queue, g_bytes_new(data, length));
    net->queued += length;
    watch_hosts(net);
    return (ssize_t)length;
}

static void service(struct user_net *net);

static void user_room(void *opaque)
{
    struct user_net *net = opaque;
    while (net->queue.length) {
        gsize length;
        GBytes *bytes = g_queue_peek_head(&net->queue);
        const void *data = g_bytes_get_data(bytes, &length);
        if (hand_over(net, data, length) == NET_FULL)
            return;
        g_queue_pop_head(&net->queue);
        net->queued -= length;
        g_bytes_unref(bytes);
    }
    watch_hosts(net);
    if (!net->busy)
        service(net);
}

/* ---- descriptors and time ---- */

static struct user_fd *fd_slot(struct user_net *net, int fd)
{
    if ((guint)fd >= net->fds->len)
        g_array_set_size(net->fds, (guint)fd + 1);
    return &g_array_index(net->fds, struct user_fd, fd);
}

static void fd_watch(struct user_net *net, int fd, uint32_t events)
{
    struct user_fd *slot = fd_slot(net, fd);
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (slot->registered == events)
        return;
    if (!events) {
        epoll_ctl(net->epoll, EPOLL_CTL_DEL, fd, NULL);
    } else if (epoll_ctl(net->epoll, slot->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0) {
        if (errno == ENOENT)
            epoll_ctl(net->epoll, EPOLL_CTL_ADD, fd, &event);
        else if (errno == EEXIST)
            epoll_ctl(net->epoll, EPOLL_CTL_MOD, fd, &event);
        else
            trace(NET, "%s: descriptor %d cannot be watched: %s", net_port_id(net->port), fd,
                  g_strerror(errno));
    }
    slot->registered = events;
}

static const struct {
    int slirp;
    uint32_t epoll;
} event_names[] = {
    {SLIRP_POLL_IN, EPOLLIN},   {SLIRP_POLL_OUT, EPOLLOUT}, {SLIRP_POLL_PRI, EPOLLPRI},
    {SLIRP_POLL_ERR, EPOLLERR}, {SLIRP_POLL_HUP, EPOLLHUP},
};

static bool listens(struct user_net *net, int fd)
{
    struct user_fd *slot = fd_slot(net, fd);
    int listening = 0;
    socklen_t size = sizeof listening;
    if (slot->kind == KIND_UNKNOWN)
        slot->kind = getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening
                         ? KIND_LISTENS
                         : KIND_OTHER;
    return slot->kind == KIND_LISTENS;
}

/* Whether a connection cannot be taken now, for want of a descriptor. libslirp would leave it where it is and
 * be told of it again at once, for ever. */
static bool starve(struct user_net *net)
{
    int fd = fcntl(net->epoll, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0) {
        close(fd);
        return false;
    }
    if (!net->starved)
        trace(NET, "%s: no descriptor is free (ulimit -n), new connections wait", net_port_id(net->port));
    net->starved = true;
    clock_timer_set(net->starved_timer, clock_now(net->env->clock) + (int64_t)STARVED_MS * NS_PER_MS);
    return true;
}

static int slirp_asks(int fd, int events, void *opaque)
{
    struct user_net *net = opaque;
    uint32_t wanted = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(event_names); i++)
        if (events & event_names[i].slirp)
            wanted |= event_names[i].epoll;
    if (fd < 0 || !wanted || (net->starved && listens(net, fd)))
        return -1;
    fd_slot(net, fd)->turn = net->turn;
    fd_watch(net, fd, wanted);
    g_array_append_val(net->asked, fd);
    return (int)net->asked->len - 1;
}

static int slirp_hears(int index, void *opaque)
{
    struct user_net *net = opaque;
    if (index < 0 || (guint)index >= net->asked->len)
        return 0;
    uint32_t ready = fd_slot(net, g_array_index(net->asked, int, index))->ready;
    int events = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(event_names); i++)
        if (ready & event_names[i].epoll)
            events |= event_names[i].slirp;
    return events;
}

static void pipes_accept(struct user_net *net)
{
    for (guint i = 0; i < net->pipes->len; i++) {
        struct user_pipe *pipe = net->pipes->pdata[i];
        char_accept(pipe->port, slirp_socket_can_recv(net->slirp, pipe->server, pipe->number));
    }
}

/* Asks libslirp what it waits for now. */
static void refresh(struct user_net *net)
{
    uint32_t timeout_ms = UINT32_MAX;
    g_autoptr(GArray) before = g_steal_pointer(&net->asked);
    net->asked = g_array_sized_new(FALSE, FALSE, sizeof(int), before->len + 4);
    net->turn++;
    slirp_pollfds_fill(net->slirp, &timeout_ms, slirp_asks, net);
    for (guint i = 0; i < before->len; i++) {
        int fd = g_array_index(before, int, i);
        if (fd_slot(net, fd)->turn != net->turn)
            fd_watch(net, fd, 0);
    }
    if (timeout_ms >= TIMEOUT_NONE_MS) {
        clock_timer_cancel(net->timer);
    } else {
        /* One that is armed is not put off, or a guest that never pauses would keep it from firing. */
        int64_t deadline = clock_now(net->env->clock) + (int64_t)MAX(timeout_ms, 1) * NS_PER_MS;
        if (clock_timer_deadline(net->timer) > deadline) {
            clock_timer_set(net->timer, deadline);
            clock_timer_set_slack(net->timer, timeout_ms > 100 ? TIMEOUT_SLACK_NS : 0);
        }
    }
    pipes_accept(net);
}

/* Tells libslirp what is ready and that time has passed. */
static void service(struct user_net *net)
{
    struct epoll_event events[EVENTS_PER_SERVICE];
    int count = epoll_wait(net->epoll, events, EVENTS_PER_SERVICE, 0);
    for (int i = 0; i < count; i++)
        if (!listens(net, events[i].data.fd) || !starve(net))
            fd_slot(net, events[i].data.fd)->ready = events[i].events;
    net->busy = true;
    slirp_pollfds_poll(net->slirp, 0, slirp_hears, net);
    net->busy = false;
    for (int i = 0; i < count; i++)
        fd_slot(net, events[i].data.fd)->ready = 0;
    refresh(net);
}

static void hosts_ready(void *opaque, unsigned events)
{
    service(opaque);
}

/* The guest is at work on its NIC: what has come meanwhile it takes now, without being rung. */
static void user_poll(void *opaque)
{
    struct user_net *net = opaque;
    if (net->busy || net->queue.length)
        return;
    loop_looked(net->env->loop);
    if (net->asked->len)
        service(net);
}

static void time_passed(void *opaque)
{
    service(opaque);
}

static void try_again(void *opaque)
{
    struct user_net *net = opaque;
    net->starved = false;
    refresh(net);
}

/* ---- from the guest ---- */

/* Echo requests to beyond the host need a kind of socket that may be forbidden; the first one tells. */
static void check_ping(struct user_net *net, const uint8_t *frame, size_t length)
{
    if (length < 38 || frame[12] != 8 || frame[13] != 0 || frame[23] != IPPROTO_ICMP)
        return;
    struct in_addr to;
    memcpy(&to, frame + 30, sizeof to);
    if ((to.s_addr & net->config.mask.s_addr) == net->config.net.s_addr || net->config.restricted)
        return;
    net->ping_checked = true;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd < 0)
        fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd >= 0) {
        close(fd);
        return;
    }
    g_autofree char *text =
        g_strdup_printf("-netdev user,id=%1$s: the guest's pings cannot leave: this process may not open "
                        "ping sockets (%2$s); "
                        "allow it with: sysctl -w net.ipv4.ping_group_range=\"%3$u %3$u\"",
                        net_port_id(net->port), g_strerror(errno), (unsigned)getegid());
    net->env->warn(net->env->opaque, text);
}

static enum net_result user_take(void *opaque, const struct net_frame *frame)
{
    struct user_net *net = opaque;
    const uint8_t *data = frame->iov[0].iov_base;
    if (frame->count > 1) {
        net_iov_copy(frame->iov, frame->count, 0, net->frame, sizeof net->frame);
        data = net->frame;
    }
    if (!net->ping_checked)
        check_ping(net, data, frame->length);
    size_t length = frame->length;
    data = net_reassemble(net->reassembly, data, &length, clock_now(net->env->clock));
    if (!data)
        return NET_SENT;
    g_autofree uint8_t *refused = tftp_refuse(&net->tftp, data, length);
    slirp_input(net->slirp, refused ? refused : data, (int)length);
    return NET_SENT;
}

static enum net_result user_receive(void *opaque, const struct net_frame *frame)
{
    struct user_net *net = opaque;
    struct net_frame whole = *frame;
    if (frame->offload.gso == NET_GSO_TCPV4)
        whole.offload.gso_size = BURST_MOST;
    enum net_result result = net_frame_finish(&whole, 0, user_take, net);
    if (!net->busy)
        refresh(net);
    return result;
}

/* ---- what libslirp calls ---- */

static void slirp_complains(const char *message, void *opaque)
{
    struct user_net *net = opaque;
    trace(NET, "%s: %s", net_port_id(net->port), message);
}

/* libslirp says by GLib's log what guests did wrong, as often as they do it. */
static void slirp_logs(const char *domain, GLogLevelFlags level, const char *message, void *opaque)
{
    trace(NET, "libslirp: %s", message);
}

static int64_t slirp_clock(void *opaque)
{
    return clock_now(((struct user_net *)opaque)->env->clock);
}

static void timer_fires(void *opaque)
{
    struct user_timer *timer = opaque;
    slirp_handle_timer(timer->net->slirp, timer->id, timer->opaque);
    refresh(timer->net);
}

static void *timer_new(SlirpTimerId id, void *timer_opaque, void *opaque)
{
    struct user_timer *timer = g_new0(struct user_timer, 1);
    struct user_net *net = opaque;
    timer->net = net;
    timer->id = id;
    timer->opaque = timer_opaque;
    timer->timer = clock_timer_new(net->env->clock, timer_fires, timer);
    return timer;
}

static void timer_free(void *opaque_timer, void *opaque)
{
    struct user_timer *timer = opaque_timer;
    clock_timer_free(timer->timer);
    g_free(timer);
}

static void timer_set(void *opaque_timer, int64_t deadline_ms, void *opaque)
{
    struct user_timer *timer = opaque_timer;
    clock_timer_set(timer->timer, deadline_ms * NS_PER_MS);
}

/* A descriptor begins or ends: whatever was noted of its number is of another one. */
static void fd_begins(int fd, void *opaque)
{
    struct user_net *net = opaque;
    if (fd >= 0)
        *fd_slot(net, fd) = (struct user_fd){0};
}

static void fd_ends(int fd, void *opaque)
{
    struct user_net *net = opaque;
    if (fd < 0)
        return;
    fd_watch(net, fd, 0);
    *fd_slot(net, fd) = (struct user_fd){0};
}

static void slirp_notifies(void *opaque)
{
    struct user_net *net = opaque;
    if (net->slirp && !net->busy)
        pipes_accept(net);
}

static void slirp_is_ready(Slirp *slirp, void *opaque)
{
}

static const SlirpCb callbacks = {
    .send_packet = slirp_sends,
    .guest_error = slirp_complains,
    .clock_get_ns = slirp_clock,
    .timer_new_opaque = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_set,
    .register_poll_fd = fd_begins,
    .unregister_poll_fd = fd_ends,
    .notify = slirp_notifies,
    .init_completed = slirp_is_ready,
};

/* ---- guestfwd to a character port ---- */

static ssize_t pipe_write(const void *data, size_t length, void *opaque)
{
    struct user_pipe *pipe = opaque;
    char_write(pipe->port, data, length);
    return (ssize_t)length;
}

static void pipe_input(void *opaque, const uint8_t *data, size_t length)
{
    struct user_pipe *pipe = opaque;
    slirp_socket_recv(pipe->net->slirp, pipe->server, pipe->number, data, (int)length);
    if (!pipe->net->busy)
        refresh(pipe->net);
}

static void pipe_opened(void *opaque)
{
    struct user_pipe *pipe = opaque;
    pipes_accept(pipe->net);
}

static void pipe_closed(void *opaque)
{
}

static const struct char_events pipe_events = {
    .input = pipe_input, .opened = pipe_opened, .closed = pipe_closed};

static void pipe_free(void *data)
{
    struct user_pipe *pipe = data;
    char_connect(pipe->port, NULL, NULL);
    g_free(pipe);
}

/* ---- life ---- */

static bool add_forward(struct user_net *net, const struct user_forward *forward, GError **error)
{
    static const socklen_t sizes[] = {sizeof(struct sockaddr_in), sizeof(struct sockaddr_in6)};
    socklen_t host = sizes[forward->host.any.sa_family == AF_INET6];
    socklen_t guest = sizes[forward->guest.any.sa_family == AF_INET6];
    union user_address to = forward->guest;
    if (to.any.sa_family == AF_INET && !to.v4.sin_addr.s_addr)
        to.v4.sin_addr = net->config.dhcp_start;
    errno = 0;
    if (slirp_add_hostxfwd(net->slirp, &forward->host.any, host, &to.any, guest,
                           forward->udp ? SLIRP_HOSTFWD_UDP : 0) == 0)
        return true;
    int why = errno;
    unsigned port = ntohs(forward->host.v4.sin_port);
    const char *kind = forward->udp ? "udp" : "tcp";
    if (why == EADDRINUSE)
        return net_fail(error, why,
                        "the host's %s port %u is in use; choose another, or see who has it with: ss -l%cnp "
                        "sport = :%u",
                        kind, port, *kind, port);
    if (why == EACCES)
        return net_fail(error, why, "the host's %s port %u needs privileges; choose one from 1024 up", kind,
                        port);
    if (why == EADDRNOTAVAIL)
        return net_fail(error, why, "the host does not have that address; see: ip address");
    return net_fail(error, why ? why : EINVAL, "the host's %s port %u cannot be opened: %s", kind, port,
                    why == EMFILE ? "too many open files; raise the limit (ulimit -n) or forward fewer"
                    : why         ? g_strerror(why)
                                  : "libslirp refused it");
}

static bool add_service(struct user_net *net, const char *rule, GError **error)
{
    struct user_service service;
    if (!user_service_read(rule, &net->config, &service, error))
        return false;
    if (service.command && !net_may_run(net->env, "a command", error))
        return false;
    if (service.command) {
        if (slirp_add_exec(net->slirp, service.target, &service.server, service.port) == 0)
            return true;
    } else {
        g_autofree char *id = g_strdup_printf("%s.guestfwd%u", net_port_id(net->port), net->pipes->len);
        struct char_port *port = net->env->open_char(net->env->opaque, id, service.target, error);
        if (!port)
            return false;
        struct user_pipe *pipe = g_new0(struct user_pipe, 1);
        *pipe =
            (struct user_pipe){.net = net, .port = port, .server = service.server, .number = service.port};
        g_ptr_array_add(net->pipes, pipe);
        char_connect(port, &pipe_events, pipe);
        if (slirp_add_guestfwd(net->slirp, pipe_write, pipe, &pipe->server, (int)service.port) == 0)
            return true;
    }
    return net_fail(error, EINVAL, "libslirp refused it; is the server's address and port given twice?");
}

static void user_free(void *opaque)
{
    struct user_net *net = opaque;
    if (net->pipes)
        g_ptr_array_unref(net->pipes);
    if (net->slirp)
        slirp_cleanup(net->slirp);
    loop_remove_fd(net->watch);
    if (net->epoll >= 0)
        close(net->epoll);
    if (net->timer)
        clock_timer_free(net->timer);
    if (net->starved_timer)
        clock_timer_free(net->starved_timer);
    g_queue_clear_full(&net->queue, (GDestroyNotify)g_bytes_unref);
    g_array_unref(net->fds);
    g_array_unref(net->asked);
    user_share_free(net->share);
    net_reassembly_free(net->reassembly);
    g_free(net);
}

static void user_describe(const void *opaque, GString *out)
{
    const struct user_net *net = opaque;
    char address[INET6_ADDRSTRLEN], mask[INET_ADDRSTRLEN];
    if (net->config.ipv4)
        g_string_append_printf(out, ", net=%s/%s",
                               inet_ntop(AF_INET, &net->config.net, address, sizeof address),
                               inet_ntop(AF_INET, &net->config.mask, mask, sizeof mask));
    if (net->config.ipv6)
        g_string_append_printf(out, ", ipv6-net=%s/%u",
                               inet_ntop(AF_INET6, &net->config.net6, address, sizeof address),
                               net->config.prefix_length);
    g_string_append_printf(out, ", restrict=%s", net->config.restricted ? "on" : "off");
}

static const struct net_ops user_ops = {
    .kind = "user",
    .receive = user_receive,
    .room = user_room,
    .poll = user_poll,
    .free = user_free,
    .describe = user_describe,
};

static bool start(struct user_net *net, GError **error)
{
    const struct user_config *c = &net->config;
    const SlirpConfig config = {
        .version = 4,
        .restricted = c->restricted,
        .in_enabled = c->ipv4,
        .vnetwork = c->net,
        .vnetmask = c->mask,
        .vhost = c->host,
        .vdhcp_start = c->dhcp_start,
        .vnameserver = c->dns,
        .in6_enabled = c->ipv6,
        .vprefix_addr6 = c->net6,
        .vprefix_len = c->prefix_length,
        .vhost6 = c->host6,
        .vnameserver6 = c->dns6,
        .vhostname = c->hostname,
        .vdomainname = c->domainname,
        .vdnssearch = *c->dnssearch ? (const char **)c->dnssearch : NULL,
        .tftp_path = c->tftp,
        .tftp_server_name = c->tftp_server_name,
        .bootfile = c->bootfile,
    };
    if (c->tftp && !g_file_test(c->tftp, G_FILE_TEST_IS_DIR))
        return net_fail(error, ENOTDIR, "tftp=%s: not a folder", c->tftp);
    if (!tftp_check_file(c->tftp, c->bootfile, error))
        return false;
    net->tftp = (struct tftp_server){.folder = c->tftp, .host = c->host, .host6 = c->host6};
    if (c->smb && !(net->share = user_share_new(c->smb, error)))
        return false;
    g_log_set_handler("Slirp", G_LOG_LEVEL_MASK & ~G_LOG_LEVEL_ERROR, slirp_logs, NULL);
    net->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (net->epoll < 0)
        return net_fail(error, errno, "an epoll set: %s (check `ulimit -n`)", g_strerror(errno));
    net->slirp = slirp_new(&config, &callbacks, net);
    if (!net->slirp)
        return net_fail(error, EINVAL, "libslirp %s did not take these words", slirp_version_string());
    net->timer = clock_timer_new(net->env->clock, time_passed, net);
    if (net->share && !net_may_run(net->env, "smb=", error))
        return false;
    net->starved_timer = clock_timer_new(net->env->clock, try_again, net);
    for (unsigned i = 0; net->share && i < 2; i++)
        if (slirp_add_exec(net->slirp, user_share_command(net->share), &net->config.smb_server,
                           i ? 445 : 139) < 0)
            return net_fail(error, EINVAL, "smbserver= is taken by the host or the name server; use another");
    struct user_forward forward;
    for (const char *const *rule = c->hostfwd; *rule; rule++)
        if (!user_forward_read(*rule, c, &forward, error) || !add_forward(net, &forward, error)) {
            g_prefix_error(error, "hostfwd=%s: ", *rule);
            return false;
        }
    for (const char *const *rule = c->guestfwd; *rule; rule++)
        if (!add_service(net, *rule, error)) {
            g_prefix_error(error, "guestfwd=%s: ", *rule);
            return false;
        }
    net->watch = loop_add_fd(net->env->loop, net->epoll, LOOP_READ, hosts_ready, net);
    refresh(net);
    return true;
}

static bool user_check(const struct keyval *kv, GError **error)
{
    struct user_config config;
    if (!user_config_read(kv, &config, error))
        return false;
    g_autofree char *smbd = config.smb ? user_share_program(error) : NULL;
    return !config.smb || smbd;
}

static struct net_port *user_open(const char *id, const struct keyval *kv, const struct net_env *env,
                                  GError **error)
{
    struct user_config config;
    if (!user_config_read(kv, &config, error))
        return NULL;
    struct user_net *net = g_new0(struct user_net, 1);
    net->env = env;
    net->config = config;
    net->epoll = -1;
    net->reassembly = net_reassembly_new();
    net->fds = g_array_new(FALSE, TRUE, sizeof(struct user_fd));
    net->asked = g_array_new(FALSE, FALSE, sizeof(int));
    net->pipes = g_ptr_array_new_with_free_func(pipe_free);
    g_queue_init(&net->queue);
    net->port = net_port_new(id, &user_ops, net, NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6);
    if (start(net, error))
        return net->port;
    net_port_free(net->port);
    return NULL;
}

const struct net_kind net_kind_user = {.name = "user",
                                       .help = "a network with a way out, without privileges",
                                       .rows = user_rows,
                                       .row_count = USER_ROW_COUNT,
                                       .check = user_check,
                                       .open = user_open};

/* ---- while it runs ---- */

bool net_user_is(const struct net_port *port)
{
    return net_port_opaque(port, &user_ops) != NULL;
}

bool net_user_add_forward(struct net_port *port, const char *rule, GError **error)
{
    struct user_net *net = net_port_opaque(port, &user_ops);
    struct user_forward forward;
    if (!net)
        return net_fail(error, EINVAL, "%s is no user network", net_port_id(port));
    if (!user_forward_read(rule, &net->config, &forward, error) || !add_forward(net, &forward, error))
        return false;
    refresh(net);
    return true;
}

bool net_user_remove_forward(struct net_port *port, const char *rule, GError **error)
{
    struct user_net *net = net_port_opaque(port, &user_ops);
    struct user_forward forward;
    if (!net)
        return net_fail(error, EINVAL, "%s is no user network", net_port_id(port));
    if (!user_forward_read(rule, NULL, &forward, error))
        return false;
    socklen_t size = forward.host.any.sa_family == AF_INET6 ? sizeof forward.host.v6 : sizeof forward.host.v4;
    if (slirp_remove_hostxfwd(net->slirp, &forward.host.any, size, forward.udp ? SLIRP_HOSTFWD_UDP : 0) < 0)
        return net_fail(error, ENOENT, "host forwarding rule '%s' is not there (see info usernet)", rule);
    refresh(net);
    return true;
}

void net_user_describe(struct net_port *port, GString *out)
{
    struct user_net *net = net_port_opaque(port, &user_ops);
    if (!net)
        return;
    g_autofree char *text = slirp_connection_info(net->slirp);
    g_autofree char *neighbours = slirp_neighbor_info(net->slirp);
    g_string_append_printf(out, "%s:\n%s%s", net_port_id(port), text, neighbours);
}
