/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A hub: each frame goes out of every port but the one it came in at. See backend.h.
 *
 * It takes finished frames only (no NET_CAN_…), since its ports' peers differ in what they can take.
 *
 * A back end may answer at once (user networking answers ARP that way), while the question is still being
 * handed round: the answer is put aside and handed round next. What comes in while that is done is dropped,
 * and so is what comes from another hub meanwhile, for hubs may be joined in a ring by mistake.
 */
#include "emu/net/frame.h"
#include "emu/trace.h"

enum { ANSWERS_MOST = 64 };

struct hub_port {
    struct net_hub *hub; /* NULL once the hub is freed */
    struct net_port *port;
};

struct net_hub {
    char *id;
    GPtrArray *ports; /* struct hub_port */
    unsigned made;
    bool busy, answering;
    GPtrArray *answers; /* struct hub_answer */
};

struct hub_answer {
    struct hub_port *from;
    size_t length;
    struct net_offload offload;
    uint8_t data[];
};

static const struct net_ops hub_ops;

static void hand_round(struct net_hub *hub, const struct hub_port *from, const struct net_frame *frame)
{
    for (unsigned i = 0; i < hub->ports->len; i++) {
        struct hub_port *to = hub->ports->pdata[i];
        if (to != from && net_link(to->port))
            net_send(to->port, frame); /* a full one has missed it, and its counters say so */
    }
}

static enum net_result put_aside(struct hub_port *from, const struct net_frame *frame)
{
    struct net_hub *hub = from->hub;
    const struct net_port *peer = net_peer(from->port);
    bool from_hub = peer && net_port_opaque(peer, &hub_ops);
    if (from_hub || hub->answering || hub->answers->len >= ANSWERS_MOST) {
        net_drop(from->port, NET_DROP_ERROR);
        return NET_DROPPED;
    }
    struct hub_answer *answer = g_malloc(sizeof *answer + frame->length);
    *answer = (struct hub_answer){.from = from, .length = frame->length, .offload = frame->offload};
    net_iov_copy(frame->iov, frame->count, 0, answer->data, frame->length);
    g_ptr_array_add(hub->answers, answer);
    return NET_SENT;
}

static enum net_result hub_receive(void *opaque, const struct net_frame *frame)
{
    struct hub_port *from = opaque;
    struct net_hub *hub = from->hub;
    if (!hub) {
        net_drop(from->port, NET_DROP_ERROR);
        return NET_DROPPED;
    }
    if (hub->busy)
        return put_aside(from, frame);
    hub->busy = true;
    hand_round(hub, from, frame);
    hub->answering = true;
    for (unsigned i = 0; i < hub->answers->len; i++) {
        struct hub_answer *answer = hub->answers->pdata[i];
        struct iovec iov = {.iov_base = answer->data, .iov_len = answer->length};
        struct net_frame copy = {
            .iov = &iov, .count = 1, .length = answer->length, .offload = answer->offload};
        hand_round(hub, answer->from, &copy);
    }
    g_ptr_array_set_size(hub->answers, 0);
    hub->busy = hub->answering = false;
    return NET_SENT;
}

static void hub_port_free(void *opaque)
{
    struct hub_port *port = opaque;
    if (port->hub)
        g_ptr_array_remove_fast(port->hub->ports, port);
    g_free(port);
}

static void hub_port_describe(const void *opaque, GString *out)
{
    const struct hub_port *port = opaque;
    if (port->hub)
        g_string_append_printf(out, ", %s of %u ports", port->hub->id, port->hub->ports->len);
}

static const struct net_ops hub_ops = {
    .kind = "hub", .receive = hub_receive, .free = hub_port_free, .describe = hub_port_describe};

struct net_hub *net_hub_new(const char *id)
{
    struct net_hub *hub = g_new0(struct net_hub, 1);
    hub->id = g_strdup(id);
    hub->ports = g_ptr_array_new();
    hub->answers = g_ptr_array_new_with_free_func(g_free);
    return hub;
}

struct net_port *net_hub_port(struct net_hub *hub)
{
    g_autofree char *id = g_strdup_printf("%s.%u", hub->id, hub->made++);
    return net_hub_port_named(hub, id);
}

struct net_port *net_hub_port_named(struct net_hub *hub, const char *id)
{
    struct hub_port *port = g_new0(struct hub_port, 1);
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
    g_ptr_array_unref(hub->answers);
    g_free(hub->id);
    g_free(hub);
}
