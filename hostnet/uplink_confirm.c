/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Does a gateway answer through the bridge? See uplink.h.
 *
 * RTM_NEWNEIGH with NTF_USE makes the kernel resolve a gateway as for a packet of its own; the entry is
 * looked at until it is reachable. A new bridge has no old entries that could lie, but for permanent ones
 * that came with the NIC: somebody has set those, so that nobody has to answer.
 */
#include "hostnet/hostnet_internal.h"
#include "hostnet/request_internal.h"
#include "hostnet/route.h"
#include "hostnet/uplink.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

enum { POLL_US = 20000 };

static bool ask_neighbour(struct hostnet *net, uint32_t index, const struct hostnet_address *address,
                          GError **error)
{
    struct ndmsg header = {.ndm_family = address->family,
                           .ndm_ifindex = (int)index,
                           .ndm_state = NUD_NONE,
                           .ndm_flags = NTF_USE};
    hostnet_auto_batch batch = {};
    struct nl_msg *message = hostnet_batch_add(&batch, RTM_NEWNEIGH, NLM_F_CREATE, &header, sizeof header);
    hostnet_put(message, NDA_DST, address->bytes, address->family == AF_INET ? 4 : 16);
    return hostnet_batch_do(net, &batch, error, NULL, "asking a gateway");
}

struct look {
    const struct hostnet_address *address;
    uint32_t index;
    bool is_reachable;
};

static void look_at_neighbour(struct nlmsghdr *message, void *opaque)
{
    struct look *look = opaque;
    const struct ndmsg *header = nlmsg_data(message);
    struct nlattr *destination = nlmsg_find_attr(message, sizeof *header, NDA_DST);
    size_t length = look->address->family == AF_INET ? 4 : 16;
    if (message->nlmsg_type != RTM_NEWNEIGH || header->ndm_family != look->address->family ||
        (uint32_t)header->ndm_ifindex != look->index || !destination ||
        (size_t)nla_len(destination) != length ||
        memcmp(nla_data(destination), look->address->bytes, length) != 0)
        return;
    look->is_reachable = (header->ndm_state & (NUD_REACHABLE | NUD_PERMANENT)) != 0;
}

static void forget(void *opaque)
{
    ((struct look *)opaque)->is_reachable = false;
}

bool hostnet_uplink_confirm(struct hostnet *net, const struct hostnet_uplink *uplink, unsigned timeout_ms,
                            enum hostnet_uplink_answer *answer, GError **error)
{
    uint32_t index = uplink->bridge.index;
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000, ask_again = 0;
    for (;;) {
        unsigned gateways = 0;
        g_autoptr(GArray) routes = hostnet_route_list(net, 0, index, error);
        if (!routes)
            return false;
        bool is_due = g_get_monotonic_time() >= ask_again;
        for (unsigned i = 0; i < routes->len; i++) {
            const struct hostnet_route *route = &g_array_index(routes, struct hostnet_route, i);
            struct look look = {.address = &route->gateway, .index = index};
            struct ndmsg header = {.ndm_family = route->gateway.family};
            if (route->destination.length || !route->gateway.family)
                continue;
            gateways++;
            if (is_due && !ask_neighbour(net, index, &route->gateway, error))
                return false;
            if (!hostnet_request_dump(net, RTM_GETNEIGH, &header, sizeof header, look_at_neighbour, forget,
                                      &look, "listing neighbours", error))
                return false;
            if (look.is_reachable) {
                *answer = HOSTNET_UPLINK_ANSWERED;
                return true;
            }
        }
        if (is_due)
            ask_again = g_get_monotonic_time() + G_USEC_PER_SEC;
        if (g_get_monotonic_time() >= deadline) {
            *answer = gateways ? HOSTNET_UPLINK_SILENT : HOSTNET_UPLINK_NO_GATEWAY;
            return true;
        }
        /* Without a gateway there is nothing to wait for, unless a lease is still to bring one. */
        if (!gateways && !uplink->had_lease) {
            *answer = HOSTNET_UPLINK_NO_GATEWAY;
            return true;
        }
        g_usleep(POLL_US);
    }
}
