/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A lease on its interface; see dhcp_apply.h.
 *
 * Order of putting on: address, on-link routes, routes through gateways, MTU; of taking off: the reverse. A
 * gateway that neither the lease's network nor one of its on-link routes covers is said to be on link (as /32
 * leases of providers need it).
 */
#include "hostnet/dhcp_apply.h"
#include "hostnet/hostnet_internal.h"

#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#ifndef RTPROT_DHCP
#define RTPROT_DHCP 16
#endif

struct dhcp_applied *dhcp_applied_new(const struct hostnet_link_identity *link)
{
    struct dhcp_applied *applied = g_new0(struct dhcp_applied, 1);
    applied->link = *link;
    applied->addresses = g_array_new(FALSE, TRUE, sizeof(struct hostnet_prefix));
    applied->routes = g_array_new(FALSE, TRUE, sizeof(struct hostnet_route));
    applied->notes = g_ptr_array_new_with_free_func(g_free);
    return applied;
}

void dhcp_applied_free(struct dhcp_applied *applied)
{
    if (!applied)
        return;
    g_array_unref(applied->addresses);
    g_array_unref(applied->routes);
    g_ptr_array_unref(applied->notes);
    g_free(applied);
}

bool dhcp_applied_is_empty(const struct dhcp_applied *applied)
{
    return !applied->addresses->len && !applied->routes->len && !applied->mtu_applied && !applied->was_down;
}

/* ---- text ---- */

static const char group[] = "applied";

char *dhcp_applied_format(const struct dhcp_applied *applied)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *link = hostnet_identity_format(&applied->link);
    g_key_file_set_string(file, group, "link", link);
    g_autoptr(GString) addresses = g_string_new(NULL);
    char text[HOSTNET_PREFIX_TEXT], gateway[HOSTNET_ADDRESS_TEXT], source[HOSTNET_ADDRESS_TEXT];
    for (guint i = 0; i < applied->addresses->len; i++)
        g_string_append_printf(
            addresses, "%s%s", i ? " " : "",
            hostnet_prefix_format(&g_array_index(applied->addresses, struct hostnet_prefix, i), text));
    g_key_file_set_string(file, group, "addresses", addresses->str);
    g_autoptr(GString) routes = g_string_new(NULL);
    for (guint i = 0; i < applied->routes->len; i++) {
        const struct hostnet_route *route = &g_array_index(applied->routes, struct hostnet_route, i);
        g_string_append_printf(routes, "%s%s>%s>%s>%u", i ? " " : "",
                               hostnet_prefix_format(&route->destination, text),
                               hostnet_address_format(&route->gateway, gateway),
                               hostnet_address_format(&route->source, source), route->metric);
    }
    g_key_file_set_string(file, group, "routes", routes->str);
    g_key_file_set_uint64(file, group, "mtu-before", applied->mtu_before);
    g_key_file_set_uint64(file, group, "mtu", applied->mtu_applied);
    g_key_file_set_boolean(file, group, "was-down", applied->was_down);
    return g_key_file_to_data(file, NULL, NULL);
}

static bool parse_addresses(const char *text, GArray *into)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    for (char **word = words; *word; word++) {
        struct hostnet_prefix prefix;
        if (!**word)
            continue;
        if (!hostnet_prefix_parse(*word, false, &prefix, NULL))
            return false;
        g_array_append_val(into, prefix);
    }
    return true;
}

static struct hostnet_route route_new(const struct dhcp_applied *applied)
{
    return (struct hostnet_route){
        .index = applied->link.index, .table = RT_TABLE_MAIN, .protocol = RTPROT_DHCP, .type = RTN_UNICAST};
}

static bool parse_routes(const char *text, const struct dhcp_applied *applied)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    for (char **word = words; *word; word++) {
        struct hostnet_route route = route_new(applied);
        guint64 metric;
        if (!**word)
            continue;
        g_auto(GStrv) parts = g_strsplit(*word, ">", 5);
        if (g_strv_length(parts) != 4 || !hostnet_prefix_parse(parts[0], false, &route.destination, NULL) ||
            (*parts[1] && !hostnet_address_parse(parts[1], &route.gateway, NULL)) ||
            (*parts[2] && !hostnet_address_parse(parts[2], &route.source, NULL)) ||
            !g_ascii_string_to_unsigned(parts[3], 10, 0, UINT32_MAX, &metric, NULL))
            return false;
        route.metric = (uint32_t)metric;
        g_array_append_val(applied->routes, route);
    }
    return true;
}

struct dhcp_applied *dhcp_applied_parse(const char *text, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    struct hostnet_link_identity link;
    g_autofree char *identity = NULL, *addresses = NULL, *routes = NULL;
    if (g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL)) {
        identity = g_key_file_get_string(file, group, "link", NULL);
        addresses = g_key_file_get_string(file, group, "addresses", NULL);
        routes = g_key_file_get_string(file, group, "routes", NULL);
    }
    if (identity && addresses && routes && hostnet_identity_parse(identity, &link, NULL)) {
        g_autoptr(dhcp_applied) applied = dhcp_applied_new(&link);
        if (parse_addresses(addresses, applied->addresses) && parse_routes(routes, applied)) {
            applied->mtu_before =
                (uint32_t)MIN(g_key_file_get_uint64(file, group, "mtu-before", NULL), UINT32_MAX);
            applied->mtu_applied = (uint32_t)MIN(g_key_file_get_uint64(file, group, "mtu", NULL), UINT32_MAX);
            applied->was_down = g_key_file_get_boolean(file, group, "was-down", NULL);
            return g_steal_pointer(&applied);
        }
    }
    hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                      "the record of what a lease has put on its interface is damaged");
    return NULL;
}

/* ---- what is wanted ---- */

static struct hostnet_address address_of(uint32_t address)
{
    struct hostnet_address result = {.family = AF_INET};
    dhcp_write32(result.bytes, address);
    return result;
}

static bool same_prefix(const struct hostnet_prefix *a, const struct hostnet_prefix *b)
{
    return a->length == b->length && hostnet_address_equal(&a->address, &b->address);
}

/* Where it leads, not how it is marked. */
static bool same_route(const struct hostnet_route *a, const struct hostnet_route *b)
{
    return same_prefix(&a->destination, &b->destination) && hostnet_address_equal(&a->gateway, &b->gateway) &&
           a->metric == b->metric && a->table == b->table && a->index == b->index;
}

static bool has_prefix(const GArray *prefixes, const struct hostnet_prefix *prefix)
{
    for (guint i = 0; i < prefixes->len; i++)
        if (same_prefix(&g_array_index(prefixes, struct hostnet_prefix, i), prefix))
            return true;
    return false;
}

static bool has_route(const GArray *routes, const struct hostnet_route *route, bool with_source)
{
    for (guint i = 0; i < routes->len; i++) {
        const struct hostnet_route *other = &g_array_index(routes, struct hostnet_route, i);
        if (same_route(other, route) &&
            (!with_source || hostnet_address_equal(&other->source, &route->source)))
            return true;
    }
    return false;
}

static bool is_covered(const struct dhcp_lease *lease, uint32_t gateway)
{
    if (dhcp_lease_is_on_link(lease, gateway) && lease->length < 32)
        return true;
    struct hostnet_address address = address_of(gateway);
    for (guint i = 0; i < lease->routes->len; i++) {
        const struct dhcp_route *route = &g_array_index(lease->routes, struct dhcp_route, i);
        struct hostnet_prefix prefix = {.address = address_of(route->destination), .length = route->length};
        if (!route->gateway && hostnet_prefix_contains(&prefix, &address))
            return true;
    }
    return false;
}

/* On-link routes first. */
static GArray *wanted_routes(const struct dhcp_applied *applied, const struct dhcp_lease *lease,
                             const struct dhcp_apply_options *options)
{
    GArray *routes = g_array_new(FALSE, TRUE, sizeof(struct hostnet_route));
    for (unsigned pass = 0; lease && !options->no_routes && pass < 2; pass++) {
        for (guint i = 0; i < lease->routes->len; i++) {
            const struct dhcp_route *given = &g_array_index(lease->routes, struct dhcp_route, i);
            if ((given->gateway != 0) != (pass == 1))
                continue;
            struct hostnet_route route = route_new(applied);
            route.destination =
                (struct hostnet_prefix){.address = address_of(given->destination), .length = given->length};
            route.source = address_of(lease->address);
            route.metric = options->metric ? options->metric : DHCP_METRIC;
            if (given->gateway) {
                route.gateway = address_of(given->gateway);
                route.flags = is_covered(lease, given->gateway) ? 0 : RTNH_F_ONLINK;
            }
            g_array_append_val(routes, route);
        }
    }
    return routes;
}

/* ---- taking off ---- */

static bool remove_route(struct hostnet *net, const struct hostnet_route *route, GError **error)
{
    struct hostnet_route exact = *route;
    exact.flags = 0;
    return hostnet_route_remove(net, &exact, error);
}

static bool remove_address(struct hostnet *net, const struct dhcp_applied *applied,
                           const struct hostnet_prefix *prefix, GError **error)
{
    struct hostnet_link_address address = {.index = applied->link.index, .local = *prefix};
    return hostnet_address_remove(net, &address, error);
}

/* Removes routes and addresses that are recorded and not wanted. The record is made right behind. */
static bool remove_rest(struct hostnet *net, struct dhcp_applied *applied, const GArray *routes,
                        const struct hostnet_prefix *address, GError **error)
{
    for (guint i = applied->routes->len; i-- > 0;) {
        const struct hostnet_route *route = &g_array_index(applied->routes, struct hostnet_route, i);
        if (has_route(routes, route, true))
            continue;
        if (!remove_route(net, route, error))
            return false;
        g_array_remove_index(applied->routes, i);
    }
    for (guint i = applied->addresses->len; i-- > 0;) {
        const struct hostnet_prefix *prefix = &g_array_index(applied->addresses, struct hostnet_prefix, i);
        if (address && same_prefix(prefix, address))
            continue;
        if (!remove_address(net, applied, prefix, error))
            return false;
        g_array_remove_index(applied->addresses, i);
    }
    return true;
}

/* Back to what it was, unless somebody has changed it since. */
static bool restore_mtu(struct hostnet *net, struct dhcp_applied *applied, GError **error)
{
    if (!applied->mtu_applied)
        return true;
    g_autoptr(hostnet_link) link = hostnet_link_get(net, applied->link.index, error);
    if (!link)
        return false;
    if (link->mtu == applied->mtu_applied &&
        !hostnet_link_set_mtu(net, link->index, applied->mtu_before, error))
        return false;
    applied->mtu_before = applied->mtu_applied = 0;
    return true;
}

/* ---- putting on ---- */

static bool tell_record(struct dhcp_applied *applied, dhcp_record_function record, void *opaque,
                        GError **error)
{
    return !record || record(opaque, applied, error);
}

/* Which of the wanted things are there already without being ours: they are used and not recorded. An address
 * with a lifetime is of some DHCP client that went, and is taken over. */
static bool record_wanted(struct hostnet *net, struct dhcp_applied *applied, GArray *routes,
                          const struct hostnet_prefix *address, bool *is_foreign, GError **error)
{
    *is_foreign = false;
    g_autoptr(GArray) there = hostnet_address_list(net, applied->link.index, error);
    if (!there)
        return false;
    for (guint i = 0; i < there->len; i++) {
        const struct hostnet_link_address *other = &g_array_index(there, struct hostnet_link_address, i);
        *is_foreign |= same_prefix(&other->local, address) && other->valid == HOSTNET_FOREVER &&
                       !has_prefix(applied->addresses, address);
    }
    if (!*is_foreign && !has_prefix(applied->addresses, address))
        g_array_append_val(applied->addresses, *address);
    g_autoptr(GArray) existing = hostnet_route_list(net, RT_TABLE_MAIN, applied->link.index, error);
    if (!existing)
        return false;
    for (guint i = routes->len; i-- > 0;) {
        const struct hostnet_route *route = &g_array_index(routes, struct hostnet_route, i);
        if (has_route(applied->routes, route, true))
            continue;
        if (has_route(existing, route, false) && !has_route(applied->routes, route, false))
            g_array_remove_index(routes, i);
    }
    for (guint i = 0; i < routes->len; i++) {
        const struct hostnet_route *route = &g_array_index(routes, struct hostnet_route, i);
        if (!has_route(applied->routes, route, true))
            g_array_append_val(applied->routes, *route);
    }
    return true;
}

static bool put_address(struct hostnet *net, const struct dhcp_applied *applied,
                        const struct dhcp_lease *lease, const struct hostnet_prefix *prefix, int64_t now_ms,
                        GError **error)
{
    uint32_t left = dhcp_lease_left(lease, now_ms);
    struct hostnet_link_address address = {.index = applied->link.index, .local = *prefix};
    address.valid = address.preferred = left ? left : 1;
    if (lease->broadcast)
        address.broadcast = address_of(lease->broadcast);
    /* Who set it up first may have wanted another metric of its route, as systemd-networkd does. */
    g_autoptr(GArray) there = hostnet_address_list(net, applied->link.index, error);
    for (guint i = 0; there && i < there->len; i++) {
        const struct hostnet_link_address *other = &g_array_index(there, struct hostnet_link_address, i);
        if (same_prefix(&other->local, prefix))
            address.metric = other->metric;
    }
    return there && hostnet_address_replace(net, &address, error);
}

static void note_refusal(struct dhcp_applied *applied, const GError *refusal)
{
    g_ptr_array_add(applied->notes, g_strdup(refusal->message));
}

/* A route that the kernel does not take is no reason to do without the address. One of the same destination
 * and metric that leads elsewhere is somebody else's, and stays. */
static bool put_routes(struct hostnet *net, struct dhcp_applied *applied, const GArray *routes,
                       GError **error)
{
    g_autoptr(GArray) existing = hostnet_route_list(net, RT_TABLE_MAIN, applied->link.index, error);
    if (!existing)
        return false;
    for (guint i = 0; i < routes->len; i++) {
        const struct hostnet_route *route = &g_array_index(routes, struct hostnet_route, i);
        g_autoptr(GError) refusal = NULL;
        if (has_route(existing, route, true) || hostnet_route_add(net, route, &refusal))
            continue;
        note_refusal(applied, refusal);
        for (guint k = applied->routes->len; k-- > 0;)
            if (same_route(&g_array_index(applied->routes, struct hostnet_route, k), route))
                g_array_remove_index(applied->routes, k);
    }
    return true;
}

/* True when the MTU is to be changed; then it is recorded so. */
static bool plan_mtu(struct hostnet *net, struct dhcp_applied *applied, const struct dhcp_lease *lease,
                     const struct dhcp_apply_options *options)
{
    if (!lease->mtu || options->no_mtu)
        return false;
    g_autoptr(hostnet_link) link = hostnet_link_get(net, applied->link.index, NULL);
    if (!link || link->mtu == lease->mtu)
        return false;
    if (!applied->mtu_applied)
        applied->mtu_before = link->mtu;
    applied->mtu_applied = lease->mtu;
    return true;
}

static void put_mtu(struct hostnet *net, struct dhcp_applied *applied)
{
    g_autoptr(GError) refusal = NULL;
    if (hostnet_link_set_mtu(net, applied->link.index, applied->mtu_applied, &refusal))
        return;
    note_refusal(applied, refusal);
    applied->mtu_before = applied->mtu_applied = 0;
}

bool dhcp_apply_up(struct hostnet *net, struct dhcp_applied *applied, dhcp_record_function record,
                   void *opaque, GError **error)
{
    g_autoptr(hostnet_link) link = hostnet_link_get(net, applied->link.index, error);
    if (!link)
        return false;
    if (link->up)
        return true;
    applied->was_down = true;
    return tell_record(applied, record, opaque, error) && hostnet_link_set_up(net, link->index, true, error);
}

bool dhcp_apply(struct hostnet *net, struct dhcp_applied *applied, const struct dhcp_lease *lease,
                const struct dhcp_apply_options *options, int64_t now_ms, dhcp_record_function record,
                void *opaque, GError **error)
{
    g_autoptr(GArray) routes = wanted_routes(applied, lease, options);
    g_ptr_array_set_size(applied->notes, 0);
    if (!lease)
        return remove_rest(net, applied, routes, NULL, error) && restore_mtu(net, applied, error) &&
               tell_record(applied, record, opaque, error);
    struct hostnet_prefix address = {.address = address_of(lease->address), .length = lease->length};
    bool is_foreign;
    if (!record_wanted(net, applied, routes, &address, &is_foreign, error))
        return false;
    bool has_new_mtu = plan_mtu(net, applied, lease, options);
    if (!tell_record(applied, record, opaque, error) || !remove_rest(net, applied, routes, &address, error))
        return false;
    if (!is_foreign && !put_address(net, applied, lease, &address, now_ms, error))
        return false;
    if (!put_routes(net, applied, routes, error))
        return false;
    if (has_new_mtu)
        put_mtu(net, applied);
    else if (!lease->mtu && !restore_mtu(net, applied, error))
        return false;
    return tell_record(applied, record, opaque, error);
}

/* Does somebody else use it by now? Link-local addresses come by themselves. */
static bool is_used(struct hostnet *net, uint32_t index)
{
    g_autoptr(GArray) addresses = hostnet_address_list(net, index, NULL);
    for (guint i = 0; addresses && i < addresses->len; i++)
        if (!hostnet_address_is_link_local(
                &g_array_index(addresses, struct hostnet_link_address, i).local.address))
            return true;
    return false;
}

bool dhcp_apply_undo(struct hostnet *net, struct dhcp_applied *applied, GError **error)
{
    enum hostnet_presence presence;
    g_autoptr(hostnet_link) link = NULL;
    if (!hostnet_link_check(net, &applied->link, &presence, &link, error))
        return false;
    if (presence == HOSTNET_FOREIGN)
        g_ptr_array_add(
            applied->notes,
            g_strdup_printf("%s is another link than the one that got the lease, or was renamed or marked "
                            "since; nothing of it was changed, and the address runs out with its lease",
                            applied->link.name));
    if (presence != HOSTNET_PRESENT)
        return true;
    static const struct dhcp_apply_options none = {};
    if (!dhcp_apply(net, applied, NULL, &none, 0, NULL, NULL, error))
        return false;
    if (applied->was_down && !is_used(net, link->index) &&
        !hostnet_link_set_up(net, link->index, false, error))
        return false;
    applied->was_down = false;
    return true;
}
