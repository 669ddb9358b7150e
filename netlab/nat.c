/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See nat.h and docs/uplinks.md.
 *
 * Forwarding is switched on link by link (net/ipv4/conf/LINK/forwarding), not for the whole host: on the
 * pair's end here, whose switch goes with it, and on the links that default routes lead out by, through which
 * the answers come. Writing net/ipv4/ip_forward instead would change every link of the host, and not be
 * undone by writing it back.
 */
#include "netlab/nat.h"
#include "hostnet/link.h"
#include "hostnet/nat.h"
#include "hostnet/route.h"
#include "hostnet/sysctl.h"
#include "netlab/fault.h"
#include "netlab/paths.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

#define GROUP "nat"
enum { SWITCHES_MOST = 256 };

/* ---- identities ---- */

struct nat_identity {
    struct hostnet_link_identity near_end, far_end; /* in the host's namespace, in the lab's */
    struct hostnet_nat_identity table;
    /* "KEY BEFORE", those that will be changed, in that order; NULL-terminated. What is written is told by
     * the key: 2 for accept_ra, 1 for the rest. */
    char **switches;
};

static void identity_clear(struct nat_identity *identity)
{
    g_strfreev(identity->switches);
}
#define identity_auto __attribute__((cleanup(identity_clear))) struct nat_identity

static char *identity_format(const struct nat_identity *identity)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *near_end = hostnet_identity_format(&identity->near_end),
                    *far_end = hostnet_identity_format(&identity->far_end),
                    *table = hostnet_nat_identity_format(&identity->table);
    g_key_file_set_string(file, GROUP, "near", near_end);
    g_key_file_set_string(file, GROUP, "far", far_end);
    g_key_file_set_string(file, GROUP, "table", table);
    g_key_file_set_string_list(file, GROUP, "switches", (const char *const *)identity->switches,
                               g_strv_length(identity->switches));
    return g_key_file_to_data(file, NULL, NULL);
}

static bool identity_parse(const char *text, struct nat_identity *identity, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    *identity = (struct nat_identity){.switches = NULL};
    bool good = g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL);
    g_autofree char *near_end = good ? g_key_file_get_string(file, GROUP, "near", NULL) : NULL,
                    *far_end = good ? g_key_file_get_string(file, GROUP, "far", NULL) : NULL,
                    *table = good ? g_key_file_get_string(file, GROUP, "table", NULL) : NULL;
    identity->switches = good ? g_key_file_get_string_list(file, GROUP, "switches", NULL, NULL) : NULL;
    if (!identity->switches)
        identity->switches = g_new0(char *, 1);
    if (near_end && far_end && table && hostnet_identity_parse(near_end, &identity->near_end, NULL) &&
        hostnet_identity_parse(far_end, &identity->far_end, NULL) &&
        hostnet_nat_identity_parse(table, &identity->table, NULL))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the store's record of a NAT network is damaged");
    return false;
}

/* ---- planning ---- */

/* ---- switches ---- */

#define ALL_SIX "net/ipv6/conf/all/forwarding"

static const char *value_of(const char *key)
{
    return g_str_has_suffix(key, "/accept_ra") ? "2" : "1";
}

/* Notes a switch that is there, once. Its value, owned by the caller; NULL: there is none such. */
static char *add_switch(struct hostnet *host, GPtrArray *found, const char *key)
{
    char *value = hostnet_sysctl_get(host, key, NULL);
    g_autofree char *line = value ? g_strdup_printf("%s %s", key, value) : NULL;
    if (line && found->len < SWITCHES_MOST &&
        !g_ptr_array_find_with_equal_func(found, line, g_str_equal, NULL))
        g_ptr_array_add(found, g_steal_pointer(&line));
    return value;
}

/* Kernels before 6.17 forward IPv6 for all links or for none, and a link that forwards takes no routes from
 * router advertisements, unless its accept_ra is 2: that first, then all links, whose own switches go along.
 * Those that were on before are noted to be on again in the end. */
static bool find_all_links(struct hostnet *host, GPtrArray *found, GError **error)
{
    g_autofree char *all = hostnet_sysctl_get(host, ALL_SIX, NULL);
    g_autoptr(GPtrArray) links = hostnet_link_list(host, error);
    g_autoptr(GPtrArray) on = g_ptr_array_new_with_free_func(g_free);
    if (!links)
        return false;
    for (guint i = 0; i < links->len && g_strcmp0(all, "0") == 0; i++) {
        const struct hostnet_link *link = links->pdata[i];
        g_autofree char *forwarding = g_strdup_printf("net/ipv6/conf/%s/forwarding", link->name),
                        *accept = g_strdup_printf("net/ipv6/conf/%s/accept_ra", link->name);
        g_autofree char *forwards = hostnet_sysctl_get(host, forwarding, NULL),
                        *accepts = hostnet_sysctl_get(host, accept, NULL);
        if (g_strcmp0(forwards, "1") == 0)
            g_ptr_array_add(on, g_steal_pointer(&forwarding));
        else if (g_strcmp0(accepts, "1") == 0)
            g_free(add_switch(host, found, accept));
    }
    g_free(add_switch(host, found, ALL_SIX));
    for (guint i = 0; i < on->len; i++)
        g_free(add_switch(host, found, on->pdata[i]));
    return true;
}

/* Does this kernel forward IPv6 link by link? (NETLAB_FORWARD_ALL: tests say no.) */
static bool has_own_switch(struct hostnet *host)
{
    g_autofree char *value = hostnet_sysctl_get(host, "net/ipv6/conf/all/force_forwarding", NULL);
    return value && !g_getenv("NETLAB_FORWARD_ALL");
}

/* Forwarding of the links that default routes lead out by. */
static char **find_switches(struct hostnet *host, bool has_six, GError **error)
{
    g_autoptr(GArray) routes = hostnet_route_list(host, RT_TABLE_MAIN, 0, error);
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    if (!routes)
        return NULL;
    for (unsigned i = 0; i < routes->len; i++) {
        const struct hostnet_route *route = &g_array_index(routes, struct hostnet_route, i);
        bool is_six = route->destination.address.family == AF_INET6;
        if (route->destination.length || !route->index || (is_six && !(has_six && has_own_switch(host))))
            continue;
        g_autoptr(hostnet_link) link = hostnet_link_get(host, route->index, NULL);
        if (!link || link->kind == HOSTNET_LINK_LOOPBACK)
            continue;
        g_autofree char *key = g_strdup_printf("net/ipv%d/conf/%s/%sforwarding", is_six ? 6 : 4, link->name,
                                               is_six ? "force_" : "");
        g_free(add_switch(host, found, key));
    }
    if (has_six && !has_own_switch(host) && !find_all_links(host, found, error))
        return NULL;
    g_ptr_array_add(found, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&found), FALSE);
}

static bool is_six_switch(const char *line)
{
    return g_str_has_prefix(line, "net/ipv6/");
}

static void fill_spec(struct hostnet_nat_spec *spec, const struct nat_identity *identity,
                      struct hostnet_prefix *inside, unsigned inside_count)
{
    *spec = (struct hostnet_nat_spec){.table = identity->table.table,
                                      .mark = identity->table.mark,
                                      .link = identity->near_end.name,
                                      .inside = inside,
                                      .inside_count = inside_count};
}

bool nat_plan(struct operation_context *context, const char *key, const char *payload, char **text,
              GError **error)
{
    identity_auto identity = {.switches = NULL};
    g_autoptr(hostnet) host = operation_open_host(context, error);
    g_autofree char *human = g_strdup_printf("%s uplink", key);
    /* Names go by the mark alone, so that `repair` knows them without the store. */
    g_autofree char *subnet6 = payload_string(payload, "subnet6");
    g_autofree char *near_name = names_interface('v', context->owner, context->lab, human),
                    *far_name = names_interface('w', context->owner, context->lab, human),
                    *table_name = names_interface('n', context->owner, context->lab, human),
                    *mark = hostnet_mark_format(context->lab, human, error);
    if (!host || !mark || !context->net ||
        !hostnet_identity_plan(host, near_name, mark, &identity.near_end, error) ||
        !hostnet_identity_plan(context->net, far_name, mark, &identity.far_end, error) ||
        !(identity.switches = find_switches(host, subnet6 != NULL, error)))
        return false;
    g_strlcpy(identity.table.table, table_name, sizeof identity.table.table);
    g_strlcpy(identity.table.mark, mark, sizeof identity.table.mark);
    g_strlcpy(identity.table.boot_id, hostnet_get_boot_id(host), sizeof identity.table.boot_id);
    identity.table.netns = hostnet_get_netns_cookie(host);
    *text = identity_format(&identity);
    return true;
}

/* ---- making ---- */

static bool read_forwards(const char *payload, GArray *forwards, GError **error)
{
    g_autoptr(JsonNode) root = json_from_string(payload, error);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return false;
    JsonObject *object = json_node_get_object(root);
    JsonArray *list =
        json_object_has_member(object, "forwards") ? json_object_get_array_member(object, "forwards") : NULL;
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *item = json_array_get_object_element(list, i);
        const char *host = json_object_get_string_member_with_default(item, "host", NULL);
        struct hostnet_nat_forward forward = {
            .protocol = json_object_get_boolean_member(item, "udp") ? IPPROTO_UDP : IPPROTO_TCP,
            .host_port = (uint16_t)json_object_get_int_member(item, "port"),
            .guest_port = (uint16_t)json_object_get_int_member(item, "node_port")};
        if ((host && !hostnet_address_parse(host, &forward.host, error)) ||
            !hostnet_address_parse(json_object_get_string_member(item, "address"), &forward.guest, error))
            return false;
        g_array_append_val(forwards, forward);
    }
    return true;
}

static bool set_switches(struct hostnet *host, const struct nat_identity *identity, bool has_six,
                         GError **error)
{
    /* The host's end of the pair: its switches go with it. */
    g_autofree char *own = g_strdup_printf("net/ipv4/conf/%s/forwarding", identity->near_end.name),
                    *own_six = g_strdup_printf("net/ipv6/conf/%s/force_forwarding", identity->near_end.name);
    if (!hostnet_sysctl_set(host, own, "1", NULL, error) ||
        (has_six && has_own_switch(host) && !hostnet_sysctl_set(host, own_six, "1", NULL, error)))
        return false;
    for (char **line = identity->switches; *line; line++) {
        g_auto(GStrv) parts = g_strsplit(*line, " ", 2);
        if (!hostnet_sysctl_set(host, parts[0], value_of(parts[0]), NULL, error))
            return false;
        fault_point();
    }
    return true;
}

bool nat_make(struct operation_context *context, const char *key, const char *payload, const char *text,
              uint32_t bridge, GError **error)
{
    identity_auto identity;
    struct hostnet_link_address address = {.default_broadcast = true}, address_six = {.flags = IFA_F_NODAD};
    struct hostnet_prefix inside[2];
    struct hostnet_nat_spec spec;
    g_autoptr(hostnet) host = operation_open_host(context, error);
    g_autoptr(GArray) forwards = g_array_new(FALSE, TRUE, sizeof(struct hostnet_nat_forward));
    g_autofree char *gateway = payload_string(payload, "address"),
                    *subnet = payload_string(payload, "subnet"),
                    *gateway6 = payload_string(payload, "address6"),
                    *subnet6 = payload_string(payload, "subnet6");
    if (!host || !identity_parse(text, &identity, error) ||
        !hostnet_prefix_parse(gateway ? gateway : "", false, &address.local, error) ||
        !hostnet_prefix_parse(subnet ? subnet : "", false, &inside[0], error) ||
        (subnet6 && (!hostnet_prefix_parse(subnet6, false, &inside[1], error) ||
                     !hostnet_prefix_parse(gateway6 ? gateway6 : "", false, &address_six.local, error))) ||
        !read_forwards(payload, forwards, error))
        return false;
    fill_spec(&spec, &identity, inside, subnet6 ? 2 : 1);
    spec.forwards = (struct hostnet_nat_forward *)forwards->data;
    spec.forward_count = forwards->len;
    g_autofree char *altname = g_strdup_printf("%s.%s", context->lab, key);
    uint32_t mtu = (uint32_t)payload_number(payload, "mtu");
    struct hostnet_link_spec near_spec = {.name = identity.near_end.name,
                                          .mark = identity.near_end.mark,
                                          .altname = strlen(altname) <= HOSTNET_ALTNAME_MAX ? altname : NULL,
                                          .index = identity.near_end.index,
                                          .mtu = mtu,
                                          .up = true},
                             far_spec = {.name = identity.far_end.name,
                                         .mark = identity.far_end.mark,
                                         .index = identity.far_end.index,
                                         .mtu = mtu,
                                         .master = bridge,
                                         .up = true,
                                         .no_ipv6_address = true};
    address.index = address_six.index = identity.near_end.index;
    fault_point();
    if (!hostnet_veth_create(host, &near_spec, context->net, &far_spec, NULL, NULL, error))
        return false;
    fault_point();
    if (!hostnet_address_add(host, &address, error) ||
        (subnet6 && !hostnet_address_add(host, &address_six, error)) ||
        !set_switches(host, &identity, subnet6 != NULL, error))
        return false;
    fault_point();
    return hostnet_nat_create(host, &spec, error);
}

/* ---- and away ---- */

/* The others of IPv6 mean something only together with the one for all links: they go where that goes. */
static void take_over_six(struct nat_identity *other, const struct nat_identity *ours)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    for (char **line = other->switches; *line; line++)
        g_ptr_array_add(all, *line);
    for (char **line = ours->switches; *line; line++)
        if (is_six_switch(*line) && !g_str_has_prefix(*line, ALL_SIX " "))
            g_ptr_array_add(all, g_strdup(*line));
    g_ptr_array_add(all, NULL);
    g_free(other->switches);
    other->switches = (char **)g_ptr_array_free(g_steal_pointer(&all), FALSE);
}

/* Another NAT network that has this switch in its record gets what it was before ours. True when there is
 * one: then it stays on. */
static bool hand_on(struct operation_context *context, const struct store_object *ours,
                    const struct nat_identity *identity, const char *key, const char *before)
{
    g_autoptr(GPtrArray) labs = store_list_labs(context->store, NULL);
    g_autofree char *prefix = g_strconcat(key, " ", NULL);
    for (guint i = 0; labs && i < labs->len; i++) {
        const struct store_lab *lab = labs->pdata[i];
        g_autoptr(GPtrArray) objects = store_list_objects(context->store, lab->id, NULL);
        for (guint k = 0; objects && k < objects->len; k++) {
            const struct store_object *object = objects->pdata[k];
            identity_auto other = {.switches = NULL};
            bool is_ours = lab->id == context->lab_id && g_str_equal(object->key, ours->key);
            if (is_ours || !g_str_equal(object->kind, object_kind_name(OBJECT_NAT)) ||
                !nat_is_there(object) || !identity_parse(object->identity, &other, NULL))
                continue;
            for (char **line = other.switches; *line; line++) {
                if (!g_str_has_prefix(*line, prefix))
                    continue;
                g_free(*line);
                *line = g_strconcat(prefix, before, NULL);
                if (g_str_equal(key, ALL_SIX))
                    take_over_six(&other, identity);
                g_autofree char *text = identity_format(&other);
                return store_set_identity(context->store, lab->id, object->kind, object->key, text, NULL);
            }
        }
    }
    return false;
}

static bool undo_switch(struct operation_context *context, struct hostnet *host,
                        const struct store_object *object, const struct nat_identity *identity,
                        const char *line, bool *was_handed_on, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(line, " ", 2);
    *was_handed_on = false;
    if (g_strv_length(parts) != 2)
        return true;
    char *after = (char *)value_of(parts[0]);
    if (g_str_equal(parts[1], after))
        return true;
    *was_handed_on = hand_on(context, object, identity, parts[0], parts[1]);
    struct hostnet_sysctl_change change = {.key = parts[0], .before = parts[1], .after = after};
    return *was_handed_on || hostnet_sysctl_undo(host, &change, NULL, error);
}

static bool undo_switches(struct operation_context *context, struct hostnet *host,
                          const struct store_object *object, const struct nat_identity *identity,
                          GError **error)
{
    bool was_handed_on = false, six_goes_on = false, has_all = false;
    /* The one for all IPv6 links first: it takes each link's along. */
    for (char **line = identity->switches; *line; line++) {
        if (!g_str_has_prefix(*line, ALL_SIX " "))
            continue;
        has_all = true;
        if (!undo_switch(context, host, object, identity, *line, &six_goes_on, error))
            return false;
    }
    for (char **line = identity->switches; *line; line++) {
        bool is_six = is_six_switch(*line);
        g_auto(GStrv) parts = g_strsplit(*line, " ", 2);
        if (g_str_equal(parts[0], ALL_SIX) || (is_six && six_goes_on))
            continue;
        /* Was on before, and off with the rest just now. */
        if (is_six && has_all && g_strcmp0(parts[1], "1") == 0 && g_str_has_suffix(parts[0], "/forwarding")) {
            (void)hostnet_sysctl_set(host, parts[0], "1", NULL, NULL);
            continue;
        }
        if (!undo_switch(context, host, object, identity, *line, &was_handed_on, error))
            return false;
    }
    return true;
}

bool nat_unmake(struct operation_context *context, const struct store_object *object, GError **error)
{
    identity_auto identity = {.switches = NULL};
    if (!*object->identity)
        return true;
    if (!identity_parse(object->identity, &identity, error))
        return false;
    g_autoptr(GError) cause = NULL;
    g_autofree char *what = g_strdup_printf("the gateway of network %s", object->key);
    g_autoptr(hostnet) host = operation_open_host_of(context, &identity.near_end, what, &cause);
    if (!host) {
        if (!cause)
            return true;
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    /* What is not ours any more stays. */
    if (!hostnet_nat_delete(host, &identity.table, &cause) &&
        !g_error_matches(cause, HOSTNET_ERROR, HOSTNET_ERROR_NOT_OURS)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    fault_point();
    if (!undo_switches(context, host, object, &identity, error))
        return false;
    fault_point();
    return operation_delete_link(host, &identity.near_end, error);
}

bool nat_is_there(const struct store_object *object)
{
    identity_auto identity = {.switches = NULL};
    enum hostnet_presence link = HOSTNET_ABSENT, table = HOSTNET_ABSENT;
    g_autoptr(hostnet) host = hostnet_open(NULL);
    return host && identity_parse(object->identity, &identity, NULL) &&
           identity.near_end.netns == hostnet_get_netns_cookie(host) &&
           hostnet_link_check(host, &identity.near_end, &link, NULL, NULL) && link == HOSTNET_PRESENT &&
           hostnet_nat_check(host, &identity.table, &table, NULL) && table == HOSTNET_PRESENT;
}

char *nat_describe(bool make, const char *key, const char *payload)
{
    g_autofree char *subnet = payload_string(payload, "subnet");
    return g_strdup_printf("%s NAT for network %s (%s)", make ? "make" : "remove", key, subnet);
}
