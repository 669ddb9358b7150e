/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab host bridge|tap|uplink|show`: single steps on this host's own network, outside of any lab.
 * docs/host.md tells the story.
 *
 * Each object has a row in the store (store.h) from before it is made until after it is gone; links carry the
 * owner mark "netlab:@host:NAME" besides ("netlab:@host:NAME uplink" for the bridge of a NIC; no lab can be
 * called @host), by which they are known when the store is lost. Every verb takes the lock of this namespace
 * and first takes back what a crash has left half done; rows of an earlier boot are forgotten. Making what is
 * there and removing what is not succeed and say so. Nothing here prints.
 */
#pragma once

#include "hostnet/link.h"
#include "netlab/host_dhcp.h"
#include "netlab/lab.h"

struct host_change {
    const struct lab_place *place;
    void (*tell)(void *opaque, const char *text); /* a line for people; may be NULL */
    void *opaque;
};

bool host_bridge_add(const struct host_change *change, const char *name, unsigned mtu, bool stp,
                     GError **error);
/* Its ports that `attach` has put there go first; refused while it has others, a lease, or a NIC's uplink. */
bool host_bridge_del(const struct host_change *change, const char *name, GError **error);
/* Refused for a port with addresses of its own: those would be lost. */
bool host_bridge_attach(const struct host_change *change, const char *bridge, const char *port,
                        GError **error);
/* Only what `attach` has put there. */
bool host_bridge_detach(const struct host_change *change, const char *bridge, const char *port,
                        GError **error);

/* `user`: a name or number; who may open it without privilege. NULL: nobody. */
bool host_tap_add(const struct host_change *change, const char *name, const char *user, unsigned mtu,
                  GError **error);
bool host_tap_del(const struct host_change *change, const char *name, GError **error);

/* The NIC becomes a port of a bridge that takes over its addresses and routes (hostnet/uplink.h), under a
 * watchdog. `bridge` NULL: the first free of br0, br1, …. `ask` (may be NULL) is asked in the end whether to
 * keep it, within so many seconds. On failure the NIC is as it was. */
bool host_uplink_bridge(const struct host_change *change, const char *nic, const char *bridge,
                        bool (*ask)(void *opaque, unsigned seconds, GError **error), GError **error);
/* By the NIC's or the bridge's name. */
bool host_uplink_restore(const struct host_change *change, const char *name, GError **error);

/* What a crash has left half done, and rows of an earlier boot: `find` is called for each, after it has been
 * taken back, unless it is a dry run. */
bool host_objects_repair(const struct lab_place *place, bool dry_run,
                         void (*find)(void *opaque, char *what, const GError *error), void *opaque,
                         GError **error);

/* ---- looking ---- */

struct host_link {
    struct hostnet_link *link;
    char *bridge;                  /* whose port it is; NULL: none */
    GPtrArray *ports, *addresses;  /* char * */
    char *lab, *object;            /* by its mark: the lab's, and what it is there; NULL: no lab's */
    bool is_ours;                  /* made by `netlab host` */
    bool is_attached;              /* put into its bridge by `netlab host bridge attach` */
    char *uplink_of;               /* a bridge made by `host uplink bridge`: its NIC */
    char *unfinished;              /* what a crash has left half done with it; NULL: nothing */
    struct host_dhcp_lease *lease; /* NULL: none of netlab's */
};
/* All links of this namespace: GPtrArray of struct host_link *, freeing its elements. */
GPtrArray *host_link_list(const struct lab_place *place, GError **error);
