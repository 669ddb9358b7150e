/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A lease on its interface: address, routes, MTU; and a record of exactly that, so that it can be taken off
 * again by whoever has the record, after a crash too.
 *
 * dhcp_apply() makes the interface what the lease says, from whatever the record says is there. The record is
 * handed out (`record`) before the kernel is asked for anything new, and again when all of it is done; it is
 * text for a journal. What was there already and will not go by itself is somebody else's: it is used, not
 * recorded. The kernel gives the address the lease's lifetime, so even with everything lost it does not
 * outlive the lease; routes have it as their source and go with it.
 *
 * Resolvers, host name and time servers are not touched: they are the caller's to decide on, from the lease.
 */
#pragma once

#include "hostnet/dhcp_lease.h"
#include "hostnet/route.h"

struct dhcp_apply_options {
    uint32_t metric;        /* of routes; 0: DHCP_METRIC */
    bool no_routes, no_mtu; /* leave them as they are */
};
enum { DHCP_METRIC = 1024 };

struct dhcp_applied {
    struct hostnet_link_identity link;
    GArray *addresses;                /* struct hostnet_prefix */
    GArray *routes;                   /* struct hostnet_route */
    uint32_t mtu_before, mtu_applied; /* 0: not changed */
    bool was_down;                    /* the link was set up for it */
    GPtrArray *notes;                 /* char *: what could not be had, for people; not stored */
};
typedef struct dhcp_applied dhcp_applied;

struct dhcp_applied *dhcp_applied_new(const struct hostnet_link_identity *link);
void dhcp_applied_free(struct dhcp_applied *applied);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dhcp_applied, dhcp_applied_free)
/* Nothing of the interface is changed. */
bool dhcp_applied_is_empty(const struct dhcp_applied *applied);
char *dhcp_applied_format(const struct dhcp_applied *applied);
struct dhcp_applied *dhcp_applied_parse(const char *text, GError **error);

/* Returns only when `applied` is on the disk, or false. May be NULL. */
typedef bool (*dhcp_record_function)(void *opaque, const struct dhcp_applied *applied, GError **error);

/* Sets the link up if it is down, recorded. */
bool dhcp_apply_up(struct hostnet *net, struct dhcp_applied *applied, dhcp_record_function record,
                   void *opaque, GError **error);
/* `lease` NULL takes address, routes and MTU off. `now_ms` of CLOCK_BOOTTIME. */
bool dhcp_apply(struct hostnet *net, struct dhcp_applied *applied, const struct dhcp_lease *lease,
                const struct dhcp_apply_options *options, int64_t now_ms, dhcp_record_function record,
                void *opaque, GError **error);
/* All of it, and the link down if it was. True also when the link is gone; when it is another one by now,
 * nothing is touched and a note says so. */
bool dhcp_apply_undo(struct hostnet *net, struct dhcp_applied *applied, GError **error);
