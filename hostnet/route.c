/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Routes of all tables, and policy rules. See route.h. Source: linux/rtnetlink.h, linux/fib_rules.h,
 * rtnetlink(7).
 *
 * A gateway of the other family than the destination's (RFC 5549) goes as RTA_VIA, as the kernel has it.
 */
#include "hostnet/route.h"
#include "hostnet/request_internal.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>

static size_t address_size(uint8_t family)
{
    return family == AF_INET ? 4 : 16;
}

static char *describe(struct hostnet *net, const struct hostnet_route *route, const char *verb)
{
    char destination[HOSTNET_PREFIX_TEXT], gateway[HOSTNET_ADDRESS_TEXT];
    g_autoptr(GString) text = g_string_new(verb);
    g_string_append(text, " route ");
    if (route->destination.length)
        g_string_append(text, hostnet_prefix_format(&route->destination, destination));
    else
        g_string_append(text, route->destination.address.family == AF_INET6 ? "default (IPv6)" : "default");
    if (route->gateway.family)
        g_string_append_printf(text, " via %s", hostnet_address_format(&route->gateway, gateway));
    if (route->index) {
        g_autoptr(hostnet_link) link = hostnet_link_get(net, route->index, NULL);
        g_autofree char *name =
            link ? hostnet_describe_link(link->mark, link->name) : g_strdup_printf("link %u", route->index);
        g_string_append_printf(text, " out of %s", name);
    }
    if (route->table)
        g_string_append_printf(text, " in table %u", route->table);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static bool check_route(const struct hostnet_route *route, GError **error)
{
    uint8_t family = route->destination.address.family;
    if (family != AF_INET && family != AF_INET6)
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "a route needs an IPv4 or IPv6 destination (0.0.0.0/0 or ::/0 for the default)");
    char text[HOSTNET_PREFIX_TEXT];
    if (route->destination.length > 8 * address_size(family) ||
        !hostnet_prefix_is_network(&route->destination))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "the destination %s of a route has host bits set; clear them",
                                 hostnet_prefix_format(&route->destination, text));
    if (route->source.family && route->source.family != family)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "the preferred source of a route must be of its destination's family");
    return true;
}

static void put_gateway(struct nl_msg *message, uint8_t family, const struct hostnet_address *gateway)
{
    if (gateway->family == family) {
        hostnet_put(message, RTA_GATEWAY, gateway->bytes, address_size(family));
        return;
    }
    struct {
        uint16_t family;
        uint8_t bytes[16];
    } via = {.family = gateway->family};
    memcpy(via.bytes, gateway->bytes, address_size(gateway->family));
    hostnet_put(message, RTA_VIA, &via, sizeof via.family + address_size(gateway->family));
}

/* The message for adding or removing. For removing, unset fields are wildcards. */
static void build(struct hostnet_batch *batch, const struct hostnet_route *route, int type, int flags)
{
    bool is_new = type == RTM_NEWROUTE;
    uint8_t family = route->destination.address.family;
    uint32_t table = route->table ? route->table : RT_TABLE_MAIN;
    struct rtmsg header = {
        .rtm_family = family,
        .rtm_dst_len = route->destination.length,
        .rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC,
        .rtm_protocol = route->protocol ? route->protocol
                        : is_new        ? RTPROT_STATIC
                                        : RTPROT_UNSPEC,
        .rtm_scope = route->scope                             ? route->scope
                     : !is_new                                ? RT_SCOPE_NOWHERE
                     : !route->gateway.family && route->index ? RT_SCOPE_LINK
                                                              : RT_SCOPE_UNIVERSE,
        .rtm_type = route->type ? route->type
                    : is_new    ? RTN_UNICAST
                                : RTN_UNSPEC,
        .rtm_flags = route->flags & RTNH_F_ONLINK,
    };
    /* Routes that lead nowhere have no scope of a link. */
    if (is_new && !route->scope && route->type == RTN_LOCAL)
        header.rtm_scope = RT_SCOPE_HOST;
    struct nl_msg *message = hostnet_batch_add(batch, type, flags, &header, sizeof header);
    if (route->destination.length)
        hostnet_put(message, RTA_DST, route->destination.address.bytes, address_size(family));
    if (route->gateway.family)
        put_gateway(message, family, &route->gateway);
    if (route->index)
        hostnet_put_u32(message, RTA_OIF, route->index);
    if (route->source.family)
        hostnet_put(message, RTA_PREFSRC, route->source.bytes, address_size(family));
    if (route->metric)
        hostnet_put_u32(message, RTA_PRIORITY, route->metric);
    hostnet_put_u32(message, RTA_TABLE, table);
    if (route->mtu && is_new) {
        struct nlattr *metrics = hostnet_nest_begin(message, RTA_METRICS | NLA_F_NESTED);
        hostnet_put_u32(message, RTAX_MTU, route->mtu);
        hostnet_nest_end(message, metrics);
    }
}

static bool put(struct hostnet *net, const struct hostnet_route *route, int flags, const char *verb,
                GError **error)
{
    if (!check_route(route, error))
        return false;
    hostnet_auto_batch batch = {};
    build(&batch, route, RTM_NEWROUTE, NLM_F_CREATE | flags);
    int failed = hostnet_batch_send(net, &batch, error);
    if (failed == (int)batch.count)
        return true;
    g_autofree char *what = describe(net, route, verb);
    if (failed < 0) {
        g_prefix_error(error, "%s: ", what);
        return false;
    }
    int reason = batch.requests[failed].error_number;
    const char *hint =
        reason == ENETUNREACH || reason == EHOSTUNREACH
            ? "the gateway must be reached over an address of this host; add that address first"
        : reason == ENETDOWN ? "set the link up first"
        : reason == EEXIST   ? "the very same route is there"
                             : NULL;
    enum hostnet_error code = reason == ENETDOWN ? HOSTNET_ERROR_INVALID : hostnet_error_from_errno(reason);
    return hostnet_error_set_code(error, code, reason, batch.requests[failed].kernel_text, hint, "%s", what);
}

bool hostnet_route_add(struct hostnet *net, const struct hostnet_route *route, GError **error)
{
    return put(net, route, NLM_F_EXCL, "adding", error);
}

bool hostnet_route_replace(struct hostnet *net, const struct hostnet_route *route, GError **error)
{
    return put(net, route, NLM_F_REPLACE, "setting", error);
}

bool hostnet_route_remove(struct hostnet *net, const struct hostnet_route *route, GError **error)
{
    if (!check_route(route, error))
        return false;
    hostnet_auto_batch batch = {};
    build(&batch, route, RTM_DELROUTE, 0);
    hostnet_batch_tolerate(&batch, ESRCH);
    hostnet_batch_tolerate(&batch, ENODEV); /* its link is gone, and the route with it */
    g_autofree char *what = describe(net, route, "removing");
    return hostnet_batch_do(net, &batch, error, NULL, "%s", what);
}

/* ---- listing ---- */

struct route_search {
    uint32_t table, index;
    GArray *routes;
};

static void get_address(const struct nlattr *attribute, uint8_t family, struct hostnet_address *address)
{
    if (!attribute || (size_t)nla_len(attribute) != address_size(family))
        return;
    address->family = family;
    memcpy(address->bytes, nla_data(attribute), address_size(family));
}

static void get_via(const struct nlattr *attribute, struct hostnet_address *address)
{
    uint16_t family;
    if (!attribute || (size_t)nla_len(attribute) < sizeof family)
        return;
    memcpy(&family, nla_data(attribute), sizeof family);
    if ((family != AF_INET && family != AF_INET6) ||
        (size_t)nla_len(attribute) < sizeof family + address_size((uint8_t)family))
        return;
    address->family = (uint8_t)family;
    memcpy(address->bytes, (const char *)nla_data(attribute) + sizeof family, address_size((uint8_t)family));
}

static uint32_t get_u32(const struct nlattr *attribute, uint32_t otherwise)
{
    return attribute && nla_len(attribute) >= 4 ? nla_get_u32(attribute) : otherwise;
}

/* Counts the next hops; true when one goes out of `index`. */
static bool read_hops(const struct nlattr *multipath, uint32_t index, uint32_t *hops)
{
    bool found = false;
    int left = nla_len(multipath);
    for (const struct rtnexthop *hop = nla_data(multipath); RTNH_OK(hop, left);) {
        found |= (uint32_t)hop->rtnh_ifindex == index;
        ++*hops;
        left -= (int)RTNH_ALIGN(hop->rtnh_len);
        hop = RTNH_NEXT(hop);
    }
    return found;
}

static void collect_route(struct nlmsghdr *message, void *opaque)
{
    struct route_search *search = opaque;
    struct nlattr *rows[RTA_MAX + 1];
    if (message->nlmsg_type != RTM_NEWROUTE ||
        nlmsg_parse(message, sizeof(struct rtmsg), rows, RTA_MAX, NULL) < 0)
        return;
    const struct rtmsg *header = nlmsg_data(message);
    uint8_t family = header->rtm_family;
    if ((family != AF_INET && family != AF_INET6) || (header->rtm_flags & RTM_F_CLONED))
        return;
    struct hostnet_route route = {
        .destination = {.address.family = family, .length = header->rtm_dst_len},
        .index = get_u32(rows[RTA_OIF], 0),
        .metric = get_u32(rows[RTA_PRIORITY], 0),
        .table = get_u32(rows[RTA_TABLE], header->rtm_table),
        .protocol = header->rtm_protocol,
        .scope = header->rtm_scope,
        .type = header->rtm_type,
        .flags = header->rtm_flags,
        .hops = rows[RTA_OIF] || rows[RTA_GATEWAY] ? 1 : 0,
    };
    get_address(rows[RTA_DST], family, &route.destination.address);
    get_address(rows[RTA_GATEWAY], family, &route.gateway);
    get_via(rows[RTA_VIA], &route.gateway);
    get_address(rows[RTA_PREFSRC], family, &route.source);
    struct nlattr *metrics[RTAX_MAX + 1];
    if (rows[RTA_METRICS] && nla_parse_nested(metrics, RTAX_MAX, rows[RTA_METRICS], NULL) == 0)
        route.mtu = get_u32(metrics[RTAX_MTU], 0);
    bool is_wanted = !search->index || route.index == search->index;
    if (rows[RTA_MULTIPATH])
        is_wanted |= read_hops(rows[RTA_MULTIPATH], search->index, &route.hops);
    if (is_wanted && (!search->table || route.table == search->table))
        g_array_append_val(search->routes, route);
}

static void forget_routes(void *opaque)
{
    g_array_set_size(((struct route_search *)opaque)->routes, 0);
}

GArray *hostnet_route_list(struct hostnet *net, uint32_t table, uint32_t index, GError **error)
{
    g_autoptr(GArray) all = g_array_new(FALSE, TRUE, sizeof(struct hostnet_route));
    static const uint8_t families[] = {AF_INET, AF_INET6};
    for (unsigned i = 0; i < G_N_ELEMENTS(families); i++) {
        g_autoptr(GArray) routes = g_array_new(FALSE, TRUE, sizeof(struct hostnet_route));
        struct route_search search = {.table = table, .index = index, .routes = routes};
        struct rtmsg header = {.rtm_family = families[i]};
        g_autoptr(GError) refusal = NULL;
        if (!hostnet_request_dump(net, RTM_GETROUTE, &header, sizeof header, collect_route, forget_routes,
                                  &search, "listing routes", &refusal)) {
            /* A kernel without IPv6 has no IPv6 routes. */
            if (families[i] == AF_INET6 && g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_UNSUPPORTED))
                continue;
            g_propagate_error(error, g_steal_pointer(&refusal));
            return NULL;
        }
        g_array_append_vals(all, routes->data, routes->len);
    }
    return g_steal_pointer(&all);
}

/* ---- rules ---- */

static void collect_rule(struct nlmsghdr *message, void *opaque)
{
    struct nlattr *rows[FRA_MAX + 1];
    if (message->nlmsg_type != RTM_NEWRULE ||
        nlmsg_parse(message, sizeof(struct fib_rule_hdr), rows, FRA_MAX, NULL) < 0)
        return;
    const struct fib_rule_hdr *header = nlmsg_data(message);
    if (header->family != AF_INET && header->family != AF_INET6)
        return;
    struct hostnet_rule rule = {
        .family = header->family,
        .priority = get_u32(rows[FRA_PRIORITY], 0),
        .source.length = header->src_len,
        .destination.length = header->dst_len,
        .mark = get_u32(rows[FRA_FWMARK], 0),
        .mask = get_u32(rows[FRA_FWMASK], 0),
        .table = get_u32(rows[FRA_TABLE], header->table),
        .action = header->action,
    };
    get_address(rows[FRA_SRC], header->family, &rule.source.address);
    get_address(rows[FRA_DST], header->family, &rule.destination.address);
    if (rows[FRA_IIFNAME])
        nla_strlcpy(rule.input, rows[FRA_IIFNAME], sizeof rule.input);
    if (rows[FRA_OIFNAME])
        nla_strlcpy(rule.output, rows[FRA_OIFNAME], sizeof rule.output);
    g_array_append_val((GArray *)opaque, rule);
}

static void forget_rules(void *opaque)
{
    g_array_set_size(opaque, 0);
}

static int compare_rules(const void *a, const void *b)
{
    const struct hostnet_rule *left = a, *right = b;
    if (left->family != right->family)
        return left->family < right->family ? -1 : 1;
    return (left->priority > right->priority) - (left->priority < right->priority);
}

GArray *hostnet_rule_list(struct hostnet *net, GError **error)
{
    g_autoptr(GArray) rules = g_array_new(FALSE, TRUE, sizeof(struct hostnet_rule));
    struct fib_rule_hdr header = {.family = AF_UNSPEC};
    g_autoptr(GError) refusal = NULL;
    if (!hostnet_request_dump(net, RTM_GETRULE, &header, sizeof header, collect_rule, forget_rules, rules,
                              "listing rules", &refusal)) {
        /* A kernel without policy routing has none. */
        if (!g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_UNSUPPORTED)) {
            g_propagate_error(error, g_steal_pointer(&refusal));
            return NULL;
        }
    }
    g_array_sort(rules, compare_rules);
    return g_steal_pointer(&rules);
}
