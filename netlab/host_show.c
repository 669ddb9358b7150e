/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab host show`: the links of this namespace, and whose they are. By owner marks, so that a user sees
 * what root has made; by rows of the store what marks cannot say (ports, leases, what was cut off). Takes no
 * lock and changes nothing.
 */
#include "hostnet/address.h"
#include "netlab/host_objects_internal.h"

#include <string.h>

static void link_free(void *data)
{
    struct host_link *shown = data;
    char *texts[] = {shown->bridge, shown->lab, shown->object, shown->uplink_of, shown->unfinished};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_ptr_array_unref(shown->ports);
    g_ptr_array_unref(shown->addresses);
    hostnet_link_free(shown->link);
    host_dhcp_lease_free(shown->lease);
    g_free(shown);
}

static struct host_link *find_shown(GPtrArray *all, uint32_t index)
{
    for (guint i = 0; i < all->len; i++) {
        struct host_link *shown = all->pdata[i];
        if (shown->link->index == index)
            return shown;
    }
    return NULL;
}

/* Links, and what their marks say. */
static GPtrArray *list_links(struct hostnet *net, GError **error)
{
    g_autoptr(GPtrArray) links = hostnet_link_list(net, error);
    g_autoptr(GArray) addresses = links ? hostnet_address_list(net, 0, error) : NULL;
    if (!addresses)
        return NULL;
    GPtrArray *all = g_ptr_array_new_with_free_func(link_free);
    for (guint i = 0; i < links->len; i++) {
        struct host_link *shown = g_new0(struct host_link, 1);
        shown->link = g_steal_pointer(&links->pdata[i]);
        shown->ports = g_ptr_array_new_with_free_func(g_free);
        shown->addresses = g_ptr_array_new_with_free_func(g_free);
        shown->is_ours = host_is_marked(shown->link, false) || host_is_marked(shown->link, true);
        if (!shown->is_ours && shown->link->mark)
            hostnet_mark_parse(shown->link->mark, &shown->lab, &shown->object);
        g_ptr_array_add(all, shown);
    }
    g_ptr_array_set_free_func(links, NULL); /* all of them have moved */
    for (guint i = 0; i < all->len; i++) {
        struct host_link *shown = all->pdata[i];
        struct host_link *bridge = shown->link->master ? find_shown(all, shown->link->master) : NULL;
        if (!bridge)
            continue;
        shown->bridge = g_strdup(bridge->link->name);
        g_ptr_array_add(bridge->ports, g_strdup(shown->link->name));
        if (host_is_marked(bridge->link, true) && !shown->link->mark && !bridge->uplink_of)
            bridge->uplink_of = g_strdup(shown->link->name);
    }
    for (guint i = 0; i < addresses->len; i++) {
        const struct hostnet_link_address *address =
            &g_array_index(addresses, struct hostnet_link_address, i);
        struct host_link *shown = find_shown(all, address->index);
        char text[HOSTNET_PREFIX_TEXT];
        if (shown)
            g_ptr_array_add(shown->addresses, g_strdup(hostnet_prefix_format(&address->local, text)));
    }
    return all;
}

static bool add_rows(GPtrArray *all, struct hostnet *net, struct store *store, GError **error)
{
    g_autoptr(GPtrArray) rows = store_list_host_objects(store, error);
    for (guint i = 0; rows && i < rows->len; i++) {
        const struct store_host_object *row = rows->pdata[i];
        struct hostnet_link_identity identity;
        if (!g_str_equal(row->boot_id, hostnet_get_boot_id(net)) ||
            row->netns != hostnet_get_netns_cookie(net) ||
            !hostnet_identity_parse(row->identity, &identity, NULL))
            continue;
        struct host_link *shown = find_shown(all, identity.index);
        if (!shown)
            continue;
        if (row->state != STORE_PRESENT && !shown->unfinished)
            shown->unfinished = g_strdup(row->state == STORE_MAKING ? "its making" : "its removal");
        if (g_str_equal(row->kind, host_kind_name(HOST_PORT)))
            shown->is_attached = shown->bridge != NULL;
        if (g_str_equal(row->kind, host_kind_name(HOST_UPLINK_BRIDGE))) {
            g_free(shown->uplink_of);
            shown->uplink_of = g_strdup(row->name);
        }
    }
    return rows != NULL;
}

static bool add_leases(GPtrArray *all, const struct lab_place *place, GError **error)
{
    g_autoptr(GPtrArray) leases = host_dhcp_list(place, error);
    for (guint i = 0; leases && i < leases->len; i++) {
        struct host_dhcp_lease *lease = leases->pdata[i];
        for (guint k = 0; k < all->len; k++) {
            struct host_link *shown = all->pdata[k];
            if (lease && !lease->is_stale && !shown->lease &&
                g_str_equal(shown->link->name, lease->interface)) {
                shown->lease = g_steal_pointer(&leases->pdata[i]);
                lease = NULL;
            }
        }
    }
    return leases != NULL;
}

GPtrArray *host_link_list(const struct lab_place *place, GError **error)
{
    g_autoptr(hostnet) net = hostnet_open(error);
    g_autoptr(store) store = net ? store_open(place->state, error) : NULL;
    g_autoptr(GPtrArray) all = store ? list_links(net, error) : NULL;
    return all && add_rows(all, net, store, error) && add_leases(all, place, error) ? g_steal_pointer(&all)
                                                                                    : NULL;
}
