/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The cable: see backend.h for the contract.
 *
 * Delivery is a call. `depth` counts the calls in progress on a cable and is kept at both of its ends; it
 * bounds answers that are sent from inside receive(), and it holds back room(): a sender is not resumed while
 * one of its frames is still on the way. `waiting` remembers that this port was answered NET_FULL; `room_due`
 * that its peer has said there is room since. Both ends, or the port itself, may be freed between deliveries,
 * not during one.
 */
#include "emu/net/frame.h"
#include "emu/net/impair.h"
#include "emu/trace.h"

#include <assert.h>
#include <string.h>

enum { DEEPEST = 2 /* a frame and one answer to it */, AGAIN_BYTES = 64 };

struct watch {
    unsigned id;
    void (*see)(void *opaque, bool out, const struct net_frame *frame);
    void *opaque;
};

struct net_port {
    char *id;
    const struct net_ops *ops;
    void *opaque;
    unsigned can;
    struct net_port *peer;
    bool pulled;
    bool up;      /* as link_changed() was last told */
    bool waiting; /* was answered NET_FULL and has not been resumed */
    bool room_due;
    bool held_back; /* the peer was answered NET_FULL for that */
    bool held;      /* neither takes frames nor is told of room */
    unsigned depth;
    GArray *watches; /* struct watch, NULL when there never was one */
    unsigned last_watch;
    /* The beginning of a frame that was shown and then answered NET_FULL: it comes again. */
    size_t again_length; /* 0: none */
    uint8_t again[AGAIN_BYTES];
    struct net_counters counters;
    struct net_impair *impair; /* NULL: a good line */
};

static const char *const drop_names[] = {
    [NET_DROP_NO_PEER] = "no-peer",     [NET_DROP_LINK_DOWN] = "link-down", [NET_DROP_TOO_LONG] = "too-long",
    [NET_DROP_TOO_SHORT] = "too-short", [NET_DROP_FILTERED] = "filtered",   [NET_DROP_DISABLED] = "disabled",
    [NET_DROP_ERROR] = "error",         [NET_DROP_IMPAIRED] = "impaired",   [NET_DROP_QUEUE] = "queue-full",
};
static_assert(G_N_ELEMENTS(drop_names) == NET_DROP_COUNT, "every reason has a name");

const char *net_drop_name(enum net_drop why)
{
    return (unsigned)why < NET_DROP_COUNT ? drop_names[why] : "unknown";
}

struct net_port *net_port_new(const char *id, const struct net_ops *ops, void *opaque, unsigned can)
{
    struct net_port *port = g_new0(struct net_port, 1);
    port->id = g_strdup(id);
    port->ops = ops;
    port->opaque = opaque;
    port->can = can;
    return port;
}

const char *net_port_id(const struct net_port *port)
{
    return port->id;
}

const char *net_port_kind(const struct net_port *port)
{
    return port->ops->kind;
}

void net_port_describe(const struct net_port *port, GString *out)
{
    g_string_append(out, port->ops->kind);
    if (port->ops->describe)
        port->ops->describe(port->opaque, out);
}

void *net_port_opaque(const struct net_port *port, const struct net_ops *ops)
{
    return port->ops == ops ? port->opaque : NULL;
}

struct net_port *net_peer(const struct net_port *port)
{
    return port->peer;
}

unsigned net_peer_can(const struct net_port *port)
{
    /* On a bad line each frame has a fate of its own. */
    return port->peer && !port->impair ? port->peer->can : 0;
}

const struct net_counters *net_port_counters(const struct net_port *port)
{
    return &port->counters;
}

void net_drop(struct net_port *port, enum net_drop why)
{
    if ((unsigned)why >= NET_DROP_COUNT)
        return;
    port->counters.dropped[why]++;
    trace(NET, "%s: dropped, %s", port->id, net_drop_name(why));
}

/* ---- link ---- */

bool net_link(const struct net_port *port)
{
    return port->peer && !port->pulled && !port->peer->pulled;
}

static void tell_link(struct net_port *port)
{
    bool up = net_link(port);
    if (up == port->up)
        return;
    port->up = up;
    trace(NET, "%s: link %s", port->id, up ? "up" : "down");
    if (port->ops->link_changed)
        port->ops->link_changed(port->opaque, up);
}

void net_set_link(struct net_port *port, bool up)
{
    if (port->pulled == !up)
        return;
    port->pulled = !up;
    struct net_port *peer = port->peer;
    tell_link(port);
    if (peer)
        tell_link(peer);
}

static void resume(struct net_port *port)
{
    if (port->held) {
        port->room_due = true;
        return;
    }
    port->waiting = port->room_due = false;
    if (port->impair)
        net_impair_room(port->impair);
    else if (port->ops->room)
        port->ops->room(port->opaque);
}

static void part(struct net_port *port)
{
    struct net_port *peer = port->peer;
    if (!peer)
        return;
    port->peer = peer->peer = NULL;
    port->depth = peer->depth = 0;
    port->waiting = port->room_due = false;
    tell_link(peer);
    if (peer->waiting)
        resume(peer); /* what it holds is dropped now instead of waiting for ever */
}

void net_join(struct net_port *a, struct net_port *b)
{
    g_return_if_fail(a != b && a->depth == 0 && b->depth == 0);
    part(a);
    part(b);
    a->peer = b;
    b->peer = a;
    tell_link(a);
    tell_link(b);
}

void net_port_free(struct net_port *port)
{
    if (!port)
        return;
    part(port);
    net_impair_free(port->impair);
    port->impair = NULL;
    if (port->ops->free)
        port->ops->free(port->opaque);
    if (port->watches)
        g_array_unref(port->watches);
    g_free(port->id);
    g_free(port);
}

void net_port_hold(struct net_port *port, bool held)
{
    if (port->held == held)
        return;
    port->held = held;
    if (held)
        return;
    if (port->room_due && port->waiting)
        resume(port);
    if (port->held_back)
        net_room(port);
    port->held_back = false;
}

/* ---- frames ---- */

unsigned net_watch(struct net_port *port, void (*see)(void *opaque, bool out, const struct net_frame *frame),
                   void *opaque)
{
    if (!port->watches)
        port->watches = g_array_new(FALSE, FALSE, sizeof(struct watch));
    struct watch watch = {.id = ++port->last_watch, .see = see, .opaque = opaque};
    g_array_append_val(port->watches, watch);
    return watch.id;
}

void net_unwatch(struct net_port *port, unsigned id)
{
    for (unsigned i = 0; port->watches && i < port->watches->len; i++)
        if (g_array_index(port->watches, struct watch, i).id == id) {
            g_array_remove_index(port->watches, i);
            return;
        }
}

static void show(struct net_port *port, bool out, const struct net_frame *frame)
{
    if (G_LIKELY(!port->watches))
        return;
    for (unsigned i = 0; i < port->watches->len; i++) {
        const struct watch *watch = &g_array_index(port->watches, struct watch, i);
        watch->see(watch->opaque, out, frame);
    }
}

/* Whether this frame was shown before, and then found no room. */
static bool comes_again(struct net_port *port, const struct net_frame *frame)
{
    uint8_t head[AGAIN_BYTES];
    size_t length = port->again_length;
    port->again_length = 0;
    return length == frame->length &&
           memcmp(head, port->again, net_iov_copy(frame->iov, frame->count, 0, head, sizeof head)) == 0;
}

static void trace_frame(const struct net_port *port, const struct net_frame *frame)
{
    uint8_t head[14] = {0};
    size_t have = 0;
    for (unsigned i = 0; i < frame->count && have < sizeof head; i++) {
        size_t n = MIN(sizeof head - have, frame->iov[i].iov_len);
        memcpy(head + have, frame->iov[i].iov_base, n);
        have += n;
    }
    trace_write(
        TRACE_NET,
        "%s -> %s: %zu bytes %02x:%02x:%02x:%02x:%02x:%02x from %02x:%02x:%02x:%02x:%02x:%02x type %04x%s%s",
        port->id, port->peer ? port->peer->id : "nobody", frame->length, head[0], head[1], head[2], head[3],
        head[4], head[5], head[6], head[7], head[8], head[9], head[10], head[11], head[12] << 8 | head[13],
        frame->offload.needs_checksum ? " checksum to do" : "",
        frame->offload.gso != NET_GSO_NONE ? " burst" : "");
}

static enum net_result refuse(struct net_port *port, enum net_drop why)
{
    net_drop(port, why);
    return NET_DROPPED;
}

struct net_impair **net_port_impair_slot(struct net_port *port)
{
    return &port->impair;
}

enum net_result net_send(struct net_port *port, const struct net_frame *frame)
{
    return G_UNLIKELY(port->impair) ? net_impair_send(port->impair, frame) : net_deliver(port, frame);
}

enum net_result net_deliver(struct net_port *port, const struct net_frame *frame)
{
    struct net_port *peer = port->peer;
    if (trace_on(NET))
        trace_frame(port, frame);
    if (G_UNLIKELY(!peer))
        return refuse(port, NET_DROP_NO_PEER);
    if (G_UNLIKELY(!net_link(port)))
        return refuse(port, NET_DROP_LINK_DOWN);
    if (G_UNLIKELY(frame->length < NET_FRAME_MIN))
        return refuse(port, NET_DROP_TOO_SHORT);
    if (G_UNLIKELY(frame->length > NET_FRAME_MAX))
        return refuse(port, NET_DROP_TOO_LONG);
    if (G_UNLIKELY(frame->count == 0 || frame->count > NET_IOV_MAX + 1 || port->depth >= DEEPEST))
        return refuse(port, NET_DROP_ERROR);

    port->depth++;
    peer->depth++;
    bool watched = port->watches || peer->watches;
    if (G_UNLIKELY(watched) && !comes_again(port, frame)) {
        show(port, true, frame);
        show(peer, false, frame);
    }
    enum net_result result = peer->held ? NET_FULL : peer->ops->receive(peer->opaque, frame);
    peer->held_back |= peer->held;
    port->depth--;
    peer->depth--;

    switch (result) {
    case NET_SENT:
        port->counters.tx_frames++;
        port->counters.tx_bytes += frame->length;
        peer->counters.rx_frames++;
        peer->counters.rx_bytes += frame->length;
        break;
    case NET_FULL:
        port->counters.full++;
        if (G_UNLIKELY(watched)) {
            port->again_length = frame->length;
            net_iov_copy(frame->iov, frame->count, 0, port->again, AGAIN_BYTES);
        }
        port->waiting = true;
        port->room_due = false; /* whatever was said during the call is older than this answer */
        trace(NET, "%s: %s has no room", port->id, peer->id);
        break;
    case NET_DROPPED:
        break;
    }
    if (port->depth == 0) {
        if (port->room_due && port->waiting)
            resume(port);
        if (peer->room_due && peer->waiting)
            resume(peer);
    }
    return result;
}

void net_poll(struct net_port *port)
{
    struct net_port *peer = port->peer;
    if (peer && peer->ops->poll && !port->held && !port->depth && !peer->waiting && !peer->impair)
        peer->ops->poll(peer->opaque);
}

void net_room(struct net_port *port)
{
    struct net_port *peer = port->peer;
    if (!peer || !peer->waiting)
        return;
    if (port->depth)
        peer->room_due = true;
    else
        resume(peer);
}
