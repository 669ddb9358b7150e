/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A DHCP client at work; see dhcp_runner.h.
 *
 * The fd is an epoll of the packet and ARP sockets, the link monitor and a timerfd that is set to the
 * client's deadline after each dispatch.
 *
 * A RELEASE goes out as a frame to the router's or server's own hardware address: the kernel would queue it
 * behind an ARP request of its own, and drop it when the address is taken off the interface in the next
 * moment.
 */
#include "hostnet/dhcp_runner.h"
#include "hostnet/dhcp_socket.h"
#include "hostnet/hostnet_internal.h"
#include "hostnet/monitor.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>

enum {
    PACKETS_PER_DISPATCH = 64,
    APPLY_TRIES = 3, /* the rest waits, so that a flood does not keep the timers from running */
    RESOLVE_MS = 1000,
    RESOLVE_TRIES = 3,
};

struct dhcp_runner {
    struct hostnet *net;
    struct dhcp_applied *applied;
    struct dhcp_apply_options apply;
    struct dhcp_runner_hooks hooks;
    void *opaque;
    struct dhcp_settings settings;
    struct dhcp_client *client;
    struct dhcp_sockets sockets;
    struct hostnet_monitor *monitor;
    int epoll, timer;
    bool has_carrier, is_gone, has_overrun;
    GError *failure; /* what a callback of the client could not say */
    uint8_t *buffer; /* DHCP_FRAME_MAX */
};

int64_t dhcp_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint32_t draw_random(void *opaque)
{
    uint32_t value;
    while (getrandom(&value, sizeof value, 0) != sizeof value)
        ;
    return value;
}

static int64_t wall(void *opaque)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

/* ---- what the client wants ---- */

static bool on_send(void *opaque, const struct dhcp_message *message, uint32_t destination)
{
    struct dhcp_runner *runner = opaque;
    if (dhcp_message_type(message) == DHCP_RELEASE) {
        const struct dhcp_lease *lease = dhcp_client_lease(runner->client);
        return lease && dhcp_release_send(runner->net, runner->sockets.index, &runner->settings, lease, NULL);
    }
    g_autoptr(GByteArray) bytes = dhcp_message_encode(message);
    if (destination == DHCP_BROADCAST)
        return dhcp_sockets_send(&runner->sockets, message->client, destination, NULL, bytes->data,
                                 bytes->len);
    return dhcp_sockets_send_udp(&runner->sockets, message->client, destination, bytes->data, bytes->len);
}

static bool on_send_arp(void *opaque, const struct dhcp_arp *arp)
{
    struct dhcp_runner *runner = opaque;
    return dhcp_sockets_send_arp(&runner->sockets, arp);
}

static void say_notes(struct dhcp_runner *runner, const GPtrArray *notes)
{
    for (guint i = 0; runner->hooks.note && i < notes->len; i++)
        runner->hooks.note(runner->opaque, notes->pdata[i]);
}

static void apply(struct dhcp_runner *runner, const struct dhcp_lease *lease)
{
    if (runner->failure || runner->is_gone)
        return;
    dhcp_apply(runner->net, runner->applied, lease, &runner->apply, dhcp_clock_ms(), runner->hooks.record,
               runner->opaque, &runner->failure);
    say_notes(runner, runner->applied->notes);
}

/* A lease that goes on: what cannot be done this time is said and left to the next renewal, which comes
 * before the address ends. */
static void apply_again(struct dhcp_runner *runner, const struct dhcp_lease *lease)
{
    g_autoptr(GError) cause = NULL;
    for (unsigned try = 0; try < APPLY_TRIES && !runner->failure && !runner->is_gone; try++) {
        apply(runner, lease);
        g_clear_error(&cause);
        cause = g_steal_pointer(&runner->failure);
        if (!cause)
            return;
    }
    if (!cause)
        return;
    g_autofree char *text = g_strdup_printf("%s; the next renewal tries again", cause->message);
    if (runner->hooks.note)
        runner->hooks.note(runner->opaque, text);
}

static void on_tell(void *opaque, const struct dhcp_event *event)
{
    struct dhcp_runner *runner = opaque;
    switch (event->type) {
    case DHCP_EVENT_BOUND:
        say_notes(runner, event->lease->notes);
        apply(runner, event->lease);
        break;
    case DHCP_EVENT_RENEWED:
        apply_again(runner, event->lease);
        break;
    case DHCP_EVENT_LOST:
        apply(runner, NULL);
        break;
    case DHCP_EVENT_SENT:
    case DHCP_EVENT_RECEIVED:
    case DHCP_EVENT_IGNORED:
    case DHCP_EVENT_CONFLICT:
    case DHCP_EVENT_COUNT:
        break;
    }
    if (runner->hooks.tell && !runner->failure)
        runner->hooks.tell(runner->opaque, event);
}

/* ---- the link ---- */

static void on_link(const struct hostnet_event *event, void *opaque)
{
    struct dhcp_runner *runner = opaque;
    if (event->type == HOSTNET_EVENT_OVERRUN)
        runner->has_overrun = true;
    if (event->index != runner->sockets.index)
        return;
    if (event->type == HOSTNET_EVENT_LINK_GONE)
        runner->is_gone = true;
    if (event->type != HOSTNET_EVENT_LINK)
        return;
    runner->has_carrier = event->up && event->carrier;
    dhcp_client_link(runner->client, runner->has_carrier, dhcp_clock_ms());
}

static bool look_at_link(struct dhcp_runner *runner, GError **error)
{
    g_autoptr(hostnet_link) link = hostnet_link_get(runner->net, runner->sockets.index, error);
    if (!link)
        return false;
    runner->has_carrier = link->up && link->carrier;
    dhcp_client_link(runner->client, runner->has_carrier, dhcp_clock_ms());
    return true;
}

/* ---- the runner ---- */

static bool watch(struct dhcp_runner *runner, int fd, GError **error)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(runner->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ||
           hostnet_error_set(error, errno, NULL, NULL, "watching a socket");
}

static bool set_timer(struct dhcp_runner *runner, GError **error)
{
    int64_t deadline = dhcp_client_deadline(runner->client);
    struct itimerspec at = {};
    if (deadline != DHCP_NEVER) {
        /* A time of 0 would stop the timer. */
        at.it_value.tv_sec = MAX(deadline, 1) / 1000;
        at.it_value.tv_nsec = MAX(deadline, 1) % 1000 * 1000000;
    }
    return timerfd_settime(runner->timer, TFD_TIMER_ABSTIME, &at, NULL) == 0 ||
           hostnet_error_set(error, errno, NULL, NULL, "setting a timer");
}

static bool check_kind(const struct hostnet_link *link, GError **error)
{
    if (link->type == ARPHRD_ETHER && link->has_mac)
        return true;
    return hostnet_error_say(error, HOSTNET_ERROR_UNSUPPORTED,
                             "%s is no Ethernet interface, and DHCP is for those; choose a NIC or a bridge",
                             link->name);
}

struct dhcp_runner *dhcp_runner_new(struct hostnet *net, struct dhcp_applied *applied,
                                    const struct dhcp_runner_options *options, GError **error)
{
    g_autoptr(hostnet_link) link = hostnet_link_get(net, applied->link.index, error);
    if (!link || !check_kind(link, error))
        return NULL;
    static const struct dhcp_io io = {
        .send = on_send, .send_arp = on_send_arp, .tell = on_tell, .random = draw_random, .wall = wall};
    g_autoptr(dhcp_runner) runner = g_new0(struct dhcp_runner, 1);
    runner->net = net;
    runner->applied = applied;
    runner->apply = options->apply;
    runner->hooks = options->hooks;
    runner->opaque = options->opaque;
    runner->settings = options->settings;
    runner->settings.mac = link->mac;
    runner->sockets = (struct dhcp_sockets){.packet = -1, .arp = -1, .udp = -1};
    runner->epoll = epoll_create1(EPOLL_CLOEXEC);
    runner->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    runner->buffer = g_malloc(DHCP_FRAME_MAX);
    runner->client = dhcp_client_new(&runner->settings, &io, runner);
    if (runner->epoll < 0 || runner->timer < 0) {
        hostnet_error_set(error, errno, NULL, NULL, "starting a DHCP client on %s", link->name);
        return NULL;
    }
    /* The monitor first: what the link does from here on is not missed. */
    runner->monitor = hostnet_monitor_open(net, HOSTNET_MONITOR_LINKS, on_link, runner, error);
    if (!runner->monitor || !dhcp_sockets_open(net, link, &runner->sockets, error) ||
        !watch(runner, runner->timer, error) || !watch(runner, runner->sockets.packet, error) ||
        !watch(runner, runner->sockets.arp, error) ||
        !watch(runner, hostnet_monitor_get_fd(runner->monitor), error) || !look_at_link(runner, error))
        return NULL;
    dhcp_client_start(runner->client, options->remembered, dhcp_clock_ms());
    return dhcp_runner_dispatch(runner, error) ? g_steal_pointer(&runner) : NULL;
}

void dhcp_runner_free(struct dhcp_runner *runner)
{
    if (!runner)
        return;
    if (runner->monitor)
        hostnet_monitor_close(runner->monitor);
    dhcp_sockets_close(&runner->sockets);
    hostnet_fd_clear(&runner->epoll);
    hostnet_fd_clear(&runner->timer);
    dhcp_client_free(runner->client);
    g_clear_error(&runner->failure);
    g_free(runner->buffer);
    g_free(runner);
}

int dhcp_runner_fd(const struct dhcp_runner *runner)
{
    return runner->epoll;
}

static void receive(struct dhcp_runner *runner)
{
    for (unsigned i = 0; i < PACKETS_PER_DISPATCH && !runner->failure; i++) {
        struct dhcp_packet packet;
        enum dhcp_received received = dhcp_sockets_receive(&runner->sockets, runner->buffer, &packet);
        if (received == DHCP_RECEIVED_NOTHING)
            break;
        if (received == DHCP_RECEIVED_PACKET)
            dhcp_client_receive(runner->client, packet.payload, packet.length, packet.source,
                                dhcp_clock_ms());
    }
    for (unsigned i = 0; i < PACKETS_PER_DISPATCH && !runner->failure; i++) {
        struct dhcp_arp arp;
        enum dhcp_received received = dhcp_sockets_receive_arp(&runner->sockets, &arp);
        if (received == DHCP_RECEIVED_NOTHING)
            break;
        if (received == DHCP_RECEIVED_PACKET)
            dhcp_client_receive_arp(runner->client, &arp, dhcp_clock_ms());
    }
}

bool dhcp_runner_dispatch(struct dhcp_runner *runner, GError **error)
{
    uint64_t expirations;
    (void)!read(runner->timer, &expirations, sizeof expirations);
    if (!hostnet_monitor_dispatch(runner->monitor, error))
        return false;
    if (runner->has_overrun && !runner->is_gone) {
        runner->has_overrun = false;
        if (!look_at_link(runner, error))
            return false;
    }
    if (runner->is_gone)
        return hostnet_error_say(error, HOSTNET_ERROR_NOT_FOUND,
                                 "the interface %s is gone, and its lease with it",
                                 runner->applied->link.name);
    receive(runner);
    dhcp_client_tick(runner->client, dhcp_clock_ms());
    if (runner->failure) {
        g_propagate_error(error, g_steal_pointer(&runner->failure));
        return false;
    }
    return set_timer(runner, error);
}

bool dhcp_runner_release(struct dhcp_runner *runner, GError **error)
{
    dhcp_client_release(runner->client, dhcp_clock_ms());
    if (!runner->failure)
        return set_timer(runner, error);
    g_propagate_error(error, g_steal_pointer(&runner->failure));
    return false;
}

enum dhcp_state dhcp_runner_state(const struct dhcp_runner *runner)
{
    return dhcp_client_state(runner->client);
}

const struct dhcp_lease *dhcp_runner_lease(const struct dhcp_runner *runner)
{
    return dhcp_client_lease(runner->client);
}

bool dhcp_runner_has_carrier(const struct dhcp_runner *runner)
{
    return runner->has_carrier;
}

/* ---- releasing without a runner ---- */

/* Asks for the hardware address of `target`. False: nobody said. */
static bool resolve(const struct dhcp_sockets *sockets, const struct hostnet_mac *own, uint32_t source,
                    uint32_t target, struct hostnet_mac *mac)
{
    struct dhcp_arp question = {.operation = DHCP_ARP_REQUEST, .sender = source, .target = target}, answer;
    memcpy(question.sender_mac, own->octets, sizeof question.sender_mac);
    for (unsigned try = 0; try < RESOLVE_TRIES; try++) {
        dhcp_sockets_send_arp(sockets, &question);
        int64_t deadline = dhcp_clock_ms() + RESOLVE_MS / RESOLVE_TRIES;
        for (int64_t left; (left = deadline - dhcp_clock_ms()) > 0;) {
            struct pollfd ready = {.fd = sockets->arp, .events = POLLIN};
            if (poll(&ready, 1, (int)left) <= 0)
                continue;
            enum dhcp_received received = dhcp_sockets_receive_arp(sockets, &answer);
            if (received != DHCP_RECEIVED_PACKET || answer.sender != target)
                continue;
            memcpy(mac->octets, answer.sender_mac, sizeof mac->octets);
            return true;
        }
    }
    return false;
}

bool dhcp_release_send(struct hostnet *net, uint32_t index, const struct dhcp_settings *settings,
                       const struct dhcp_lease *lease, GError **error)
{
    g_autoptr(hostnet_link) link = hostnet_link_get(net, index, error);
    if (!link || !check_kind(link, error))
        return false;
    if (!link->up || !link->carrier)
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "%s has no carrier, so the server cannot be told; it keeps the lease until it ends", link->name);
    struct dhcp_sockets sockets;
    if (!dhcp_sockets_open_raw(net, link, &sockets, error))
        return false;
    struct dhcp_settings own = *settings;
    own.mac = link->mac;
    g_autoptr(dhcp_message) message = dhcp_release_new(&own, lease, draw_random(NULL));
    g_autoptr(GByteArray) bytes = dhcp_message_encode(message);
    uint32_t router = dhcp_lease_router(lease);
    uint32_t hop = dhcp_lease_is_on_link(lease, lease->server) || !router ? lease->server : router;
    struct hostnet_mac mac;
    bool is_known = resolve(&sockets, &own.mac, lease->address, hop, &mac);
    bool is_sent = dhcp_sockets_send(&sockets, lease->address, lease->server, is_known ? &mac : NULL,
                                     bytes->data, bytes->len) ||
                   hostnet_error_set(error, errno, NULL, NULL, "sending DHCPRELEASE on %s", link->name);
    dhcp_sockets_close(&sockets);
    return is_sent;
}
