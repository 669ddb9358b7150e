/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A hub: each frame goes out of every port but the one it came in at. See backend.h.
 *
 * It takes finished frames only (no NET_CAN_…), since its ports' peers differ in what they can take. Hubs may
 * be joined in a ring by mistake: `busy` drops a frame that comes back while it is still being handed round.
 */
#include "emu/net/backend.h"
#include "emu/trace.h"

struct hub_port {
    struct net_hub *hub; /* NULL once the hub is freed */
    struct net_port *port;
};

struct net_hub {
    char *id;
    GPtrArray *ports; /* struct hub_port */
    unsigned made;
    bool busy;
};

static enum net_result hub_receive(void *opaque, const struct net_frame *frame)
{
    struct hub_port *from = opaque;
    struct net_hub *hub = from->hub;
    if (!hub || hub->busy) {
        net_drop(from->port, NET_DROP_ERROR);
        return NET_DROPPED;
    }
    hub->busy = true;
    for (unsigned i = 0; i < hub->ports->len; i++) {
        struct hub_port *to = hub->ports->pdata[i];
        if (to != from && net_link(to->port))
            net_send(to->port, frame); /* a full one has missed it, and its counters say so */
    }
    hub->busy = false;
    return NET_SENT;
}

static void hub_port_free(void *opaque)
{
    struct hub_port *port = opaque;
    if (port->hub)
        g_ptr_array_remove_fast(port->hub->ports, port);
    g_free(port);
}

static const struct net_ops hub_ops = {.kind = "hub", .receive = hub_receive, .free = hub_port_free};

struct net_hub *net_hub_new(const char *id)
{
    struct net_hub *hub = g_new0(struct net_hub, 1);
    hub->id = g_strdup(id);
    hub->ports = g_ptr_array_new();
    return hub;
}

struct net_port *net_hub_port(struct net_hub *hub)
{
    struct hub_port *port = g_new0(struct hub_port, 1);
    g_autofree char *id = g_strdup_printf("%s.%u", hub->id, hub->made++);
    port->hub = hub;
    port->port = net_port_new(id, &hub_ops, port, 0);
    g_ptr_array_add(hub->ports, port);
    return port->port;
}

void net_hub_free(struct net_hub *hub)
{
    if (!hub)
        return;
    while (hub->ports->len) {
        struct hub_port *port = hub->ports->pdata[hub->ports->len - 1];
        net_port_free(port->port);
    }
    g_ptr_array_unref(hub->ports);
    g_free(hub->id);
    g_free(hub);
}
