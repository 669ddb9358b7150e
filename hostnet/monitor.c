/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The event monitor: a netlink socket that joined groups, read without blocking. See monitor.h. (libmnl)
 *
 * ENOBUFS on reading means that the kernel dropped events: said once as HOSTNET_EVENT_OVERRUN, and what is
 * left in the queue is thrown away, since the listener has to list anew in any case.
 */
#include "hostnet/monitor.h"
#include "hostnet/dump_internal.h"
#include "hostnet/hostnet_internal.h"

#include <errno.h>
#include <glib-unix.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

enum { RECEIVE_SIZE = 64 << 10, DATAGRAMS_PER_CALL = 256, QUEUE_SIZE = 1 << 20 };

struct hostnet_monitor {
    struct mnl_socket *socket;
    hostnet_monitor_function function;
    void *opaque;
    GSource *source; /* NULL until attached */
    char *buffer;    /* RECEIVE_SIZE */
};

static void copy_text(const struct nlattr *attribute, char *text, size_t size)
{
    if (attribute)
        g_strlcpy(text, mnl_attr_get_payload(attribute),
                  MIN(size, (size_t)mnl_attr_get_payload_len(attribute) + 1));
}

static void copy_address(const struct nlattr *attribute, uint8_t family, struct hostnet_address *address)
{
    size_t size = family == AF_INET ? 4 : 16;
    address->family = family;
    if (attribute && mnl_attr_get_payload_len(attribute) == size)
        memcpy(address->bytes, mnl_attr_get_payload(attribute), size);
}

static bool read_link(const struct nlmsghdr *message, struct hostnet_event *event)
{
    const struct nlattr *rows[IFLA_IFALIAS + 1];
    if (!hostnet_dump_parse(message, sizeof(struct ifinfomsg), rows, IFLA_IFALIAS) || !rows[IFLA_IFNAME])
        return false;
    const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
    /* Bridges also tell of their ports in family AF_BRIDGE, without most of the attributes. */
    if (header->ifi_family != AF_UNSPEC)
        return false;
    event->type = message->nlmsg_type == RTM_NEWLINK ? HOSTNET_EVENT_LINK : HOSTNET_EVENT_LINK_GONE;
    event->index = (uint32_t)header->ifi_index;
    event->flags = header->ifi_flags;
    event->up = (header->ifi_flags & IFF_UP) != 0;
    event->carrier = (header->ifi_flags & IFF_LOWER_UP) != 0;
    event->master = rows[IFLA_MASTER] ? mnl_attr_get_u32(rows[IFLA_MASTER]) : 0;
    copy_text(rows[IFLA_IFNAME], event->name, sizeof event->name);
    copy_text(rows[IFLA_IFALIAS], event->mark, sizeof event->mark);
    return true;
}

static bool read_address(const struct nlmsghdr *message, struct hostnet_event *event)
{
    const struct nlattr *rows[IFA_FLAGS + 1];
    if (!hostnet_dump_parse(message, sizeof(struct ifaddrmsg), rows, IFA_FLAGS))
        return false;
    const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
    if (header->ifa_family != AF_INET && header->ifa_family != AF_INET6)
        return false;
    event->type = message->nlmsg_type == RTM_NEWADDR ? HOSTNET_EVENT_ADDRESS : HOSTNET_EVENT_ADDRESS_GONE;
    event->index = header->ifa_index;
    event->flags = rows[IFA_FLAGS] ? mnl_attr_get_u32(rows[IFA_FLAGS]) : header->ifa_flags;
    event->prefix.length = header->ifa_prefixlen;
    copy_address(rows[IFA_LOCAL] ? rows[IFA_LOCAL] : rows[IFA_ADDRESS], header->ifa_family,
                 &event->prefix.address);
    return true;
}

static bool read_route(const struct nlmsghdr *message, struct hostnet_event *event)
{
    const struct nlattr *rows[RTA_MAX + 1];
    if (!hostnet_dump_parse(message, sizeof(struct rtmsg), rows, RTA_MAX))
        return false;
    const struct rtmsg *header = mnl_nlmsg_get_payload(message);
    if ((header->rtm_family != AF_INET && header->rtm_family != AF_INET6) ||
        (header->rtm_flags & RTM_F_CLONED))
        return false;
    event->type = message->nlmsg_type == RTM_NEWROUTE ? HOSTNET_EVENT_ROUTE : HOSTNET_EVENT_ROUTE_GONE;
    event->index = rows[RTA_OIF] ? mnl_attr_get_u32(rows[RTA_OIF]) : 0;
    event->prefix.length = header->rtm_dst_len;
    copy_address(rows[RTA_DST], header->rtm_family, &event->prefix.address);
    return true;
}

static void deliver(struct hostnet_monitor *monitor, const struct nlmsghdr *message)
{
    struct hostnet_event event = {};
    bool is_known = false;
    switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        is_known = read_link(message, &event);
        break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        is_known = read_address(message, &event);
        break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        is_known = read_route(message, &event);
        break;
    default: /* the kernel's types, not an enum of ours */
        break;
    }
    if (is_known)
        monitor->function(&event, monitor->opaque);
}

struct hostnet_monitor *hostnet_monitor_open(struct hostnet *net, unsigned groups,
                                             hostnet_monitor_function function, void *opaque, GError **error)
{
    static const struct {
        unsigned group;
        uint32_t joined;
    } joins[] = {
        {HOSTNET_MONITOR_LINKS, RTMGRP_LINK},
        {HOSTNET_MONITOR_ADDRESSES, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR},
        {HOSTNET_MONITOR_ROUTES, RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE},
    };
    unsigned joined = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(joins); i++)
        if (groups & joins[i].group)
            joined |= joins[i].joined;
    hostnet_autofd fd = hostnet_socket_open(net, NETLINK_ROUTE, error);
    if (fd < 0)
        return NULL;
    struct mnl_socket *socket = mnl_socket_fdopen(fd);
    if (!socket || mnl_socket_bind(socket, joined, MNL_SOCKET_AUTOPID) < 0) {
        hostnet_error_set(error, errno, NULL, NULL, "watching the namespace");
        if (socket) {
            hostnet_fd_steal(&fd); /* closed with the socket */
            mnl_socket_close(socket);
        }
        return NULL;
    }
    hostnet_fd_steal(&fd);
    int size = QUEUE_SIZE;
    (void)setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    struct hostnet_monitor *monitor = g_new0(struct hostnet_monitor, 1);
    monitor->socket = socket;
    monitor->function = function;
    monitor->opaque = opaque;
    monitor->buffer = g_malloc(RECEIVE_SIZE);
    return monitor;
}

void hostnet_monitor_close(struct hostnet_monitor *monitor)
{
    if (!monitor)
        return;
    if (monitor->source) {
        g_source_destroy(monitor->source);
        g_source_unref(monitor->source);
    }
    mnl_socket_close(monitor->socket);
    g_free(monitor->buffer);
    g_free(monitor);
}

int hostnet_monitor_get_fd(const struct hostnet_monitor *monitor)
{
    return mnl_socket_get_fd(monitor->socket);
}

bool hostnet_monitor_dispatch(struct hostnet_monitor *monitor, GError **error)
{
    int fd = mnl_socket_get_fd(monitor->socket);
    bool was_overrun = false;
    for (unsigned datagrams = 0; datagrams < DATAGRAMS_PER_CALL; datagrams++) {
        struct sockaddr_nl from;
        socklen_t from_length = sizeof from;
        ssize_t received =
            recvfrom(fd, monitor->buffer, RECEIVE_SIZE, MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0 && errno == ENOBUFS) {
            was_overrun = true;
            continue;
        }
        if (received < 0 && errno == EAGAIN)
            break;
        if (received < 0)
            return hostnet_error_set(error, errno, NULL, NULL, "watching the namespace");
        if (was_overrun || from_length != sizeof from || from.nl_pid != 0)
            continue;
        int left = (int)received;
        for (const struct nlmsghdr *message = (const struct nlmsghdr *)monitor->buffer;
             mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
            deliver(monitor, message);
    }
    if (was_overrun) {
        struct hostnet_event event = {.type = HOSTNET_EVENT_OVERRUN};
        monitor->function(&event, monitor->opaque);
    }
    return true;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer opaque)
{
    struct hostnet_monitor *monitor = opaque;
    g_autoptr(GError) refusal = NULL;
    if (hostnet_monitor_dispatch(monitor, &refusal))
        return G_SOURCE_CONTINUE;
    /* A dead socket would be readable for ever. What happened since is unknown, and that is what it says. */
    struct hostnet_event event = {.type = HOSTNET_EVENT_OVERRUN};
    monitor->function(&event, monitor->opaque);
    return G_SOURCE_REMOVE;
}

void hostnet_monitor_attach(struct hostnet_monitor *monitor, GMainContext *context)
{
    if (monitor->source)
        return;
    monitor->source = g_unix_fd_source_new(mnl_socket_get_fd(monitor->socket), G_IO_IN);
    g_source_set_callback(monitor->source, G_SOURCE_FUNC(on_readable), monitor, NULL);
    g_source_attach(monitor->source, context);
}
