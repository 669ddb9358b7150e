/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab host dhcp`: leases of this host's own interfaces, outside of any lab. docs/dhcp.md tells the story.
 *
 * A row in the store (store.h) is what a lease is known by: which link, how it was asked for, the lease,
 * exactly what it has put on the link, and the process that renews it. The row is there before anything is
 * touched, and goes after everything is undone; so a lease whose process was killed is released, or taken on,
 * as any other. Nothing here prints.
 */
#pragma once

#include "netlab/lab.h"

struct host_dhcp_hooks {
    /* A line for people. `is_detail`: only for those who want to see each packet that was ignored. May be
     * NULL. */
    void (*tell)(void *opaque, const char *text, bool is_detail);
    void *opaque;
};

enum host_dhcp_probe { HOST_DHCP_PROBE_QUICK, HOST_DHCP_PROBE_FULL, HOST_DHCP_PROBE_OFF };

struct host_dhcp_request {
    const struct lab_place *place;
    const char *interface;
    const char *hostname, *client_id; /* NULL: none; by the MAC */
    const char *address, *server;     /* NULL: any */
    enum host_dhcp_probe probe;
    unsigned timeout_s;
    unsigned metric; /* of routes; 0: the usual */
    bool no_routes, no_mtu, broadcast;
    int cancel_fd; /* readable: give up; -1: none */
    struct host_dhcp_hooks hooks;
};

/* A lease as people and programs want to see it. */
struct host_dhcp_lease {
    char *interface, *state, *address, *server,
        *router; /* address with its prefix length; NULL: none (yet) */
    char *dns, *domain, *search, *ntp, *hostname, *routes; /* words; NULL: none */
    int64_t left, renew_in, lifetime;                      /* seconds; -1: for ever */
    unsigned mtu;                                          /* 0: none */
    int pid;                                               /* of the process that renews it; 0: none */
    bool is_stale;                                         /* of before a reboot, or of another namespace */
    char *log;                                             /* path */
};
void host_dhcp_lease_free(struct host_dhcp_lease *lease);
typedef struct host_dhcp_lease host_dhcp_lease;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(host_dhcp_lease, host_dhcp_lease_free)

/* Gets a lease and leaves a process that renews it. On failure, and when cancelled (LAB_ERROR_CANCELLED), the
 * interface is as it was. */
struct host_dhcp_lease *host_dhcp_request(const struct host_dhcp_request *request, GError **error);
/* The same in this process: returns when it was told to end (SIGTERM, SIGINT), with the lease given back.
 * `bound` is called at the first one. */
bool host_dhcp_foreground(const struct host_dhcp_request *request,
                          void (*bound)(void *opaque, const struct host_dhcp_lease *lease), GError **error);
/* Ends its process, tells the server, takes it off the interface. Notes through the hooks. */
bool host_dhcp_release(const struct lab_place *place, const char *interface,
                       const struct host_dhcp_hooks *hooks, GError **error);
/* All of this namespace, and what is left of those before a reboot: GPtrArray of struct host_dhcp_lease *,
 * freeing its elements. */
GPtrArray *host_dhcp_list(const struct lab_place *place, GError **error);

/* The process that host_dhcp_request() leaves: `netlab host dhcp run`. Says what it does on `report_fd`, a
 * line each
 * ("say TEXT", "detail TEXT", "bound", "fail CODE TEXT"). */
bool host_dhcp_run(const struct lab_place *place, int64_t row, unsigned timeout_s, int report_fd,
                   GError **error);
