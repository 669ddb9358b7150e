/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What happens in a namespace: link, address and route events on a fd, for a main loop.
 *
 * Open the monitor before taking the first list, and nothing is missed. When events come faster than they are
 * read, the kernel drops some and says so: the callback gets HOSTNET_EVENT_OVERRUN and must list anew.
 * (libmnl)
 *
 * Thread: the one that calls hostnet_monitor_dispatch() or runs the main context it was attached to.
 */
#pragma once

#include "hostnet/address.h"

enum hostnet_event_type {
    HOSTNET_EVENT_LINK, /* new or changed */
    HOSTNET_EVENT_LINK_GONE,
    HOSTNET_EVENT_ADDRESS,
    HOSTNET_EVENT_ADDRESS_GONE,
    HOSTNET_EVENT_ROUTE,
    HOSTNET_EVENT_ROUTE_GONE,
    HOSTNET_EVENT_OVERRUN,
    HOSTNET_EVENT_TYPE_COUNT
};

struct hostnet_event {
    enum hostnet_event_type type;
    uint32_t index;                  /* link; of routes the out link or 0 */
    char name[HOSTNET_NAME_MAX + 1]; /* links only */
    char mark[HOSTNET_MARK_MAX + 1]; /* links only */
    uint32_t flags;                  /* links: IFF_*; addresses: IFA_F_* */
    bool up, carrier;                /* links */
    uint32_t master;                 /* links */
    struct hostnet_prefix prefix;    /* addresses: local address; routes: destination */
};

enum hostnet_monitor_groups {
    HOSTNET_MONITOR_LINKS = 1,
    HOSTNET_MONITOR_ADDRESSES = 2,
    HOSTNET_MONITOR_ROUTES = 4
};

typedef void (*hostnet_monitor_function)(const struct hostnet_event *event, void *opaque);

typedef struct hostnet_monitor hostnet_monitor;

struct hostnet_monitor *hostnet_monitor_open(struct hostnet *net, unsigned groups,
                                             hostnet_monitor_function function, void *opaque, GError **error);
/* Also detaches it. Not from within the callback. */
void hostnet_monitor_close(struct hostnet_monitor *monitor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(hostnet_monitor, hostnet_monitor_close)

/* Readable when events wait. */
int hostnet_monitor_get_fd(const struct hostnet_monitor *monitor);

/* Calls the function for each waiting event (at most some hundreds a call), without blocking. False when the
 * socket is broken. */
bool hostnet_monitor_dispatch(struct hostnet_monitor *monitor, GError **error);

/* Dispatches from `context` (NULL: the default one) until the monitor is closed. */
void hostnet_monitor_attach(struct hostnet_monitor *monitor, GMainContext *context);
