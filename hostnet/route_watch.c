/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Routes that come while something is done. See dump.h. The kernel's news about a route is the same message
 * as its answer in a dump, so what comes can be replayed. News that were lost because nobody read them are
 * lost.
 */
#include "hostnet/dump.h"
#include "hostnet/hostnet_internal.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

enum { RECEIVE_SIZE = 64 << 10, DATAGRAMS_MOST = 4096 };

int hostnet_route_watch_open(struct hostnet *net, GError **error)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    hostnet_autofd fd = hostnet_socket_open(net, NETLINK_ROUTE, error);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        hostnet_error_set(error, errno, NULL, NULL, "listening for changes of routes");
        return -1;
    }
    return hostnet_fd_steal(&fd);
}

GBytes *hostnet_route_watch_take(int fd, uint32_t index)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autofree guint8 *buffer = g_malloc(RECEIVE_SIZE);
    for (unsigned i = 0; fd >= 0 && i < DATAGRAMS_MOST; i++) {
        ssize_t got = recv(fd, buffer, RECEIVE_SIZE, MSG_DONTWAIT);
        if (got < 0 && errno != EINTR && errno != ENOBUFS)
            break;
        if (got > 0)
            g_byte_array_append(all, buffer, (guint)NLMSG_ALIGN((unsigned)got));
    }
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(g_steal_pointer(&all));
    return hostnet_dump_filter(bytes, index);
}
