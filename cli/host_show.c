/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab host show`: each link of this host with what it is, what is on it, and whose it is.
 */
#include "cli/host.h"
#include "netlab/host_objects.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, INDENT = 17 };

static const char *kind_of(const struct hostnet_link *link)
{
    static const char *const kinds[HOSTNET_LINK_KIND_COUNT] = {[HOSTNET_LINK_LOOPBACK] = "loopback",
                                                               [HOSTNET_LINK_BRIDGE] = "bridge",
                                                               [HOSTNET_LINK_TAP] = "tap",
                                                               [HOSTNET_LINK_TUN] = "tun",
                                                               [HOSTNET_LINK_VETH] = "veth"};
    return kinds[link->kind] ? kinds[link->kind] : link->kind_name ? link->kind_name : "nic";
}

static char *user_name(uid_t uid)
{
    const struct passwd *user = getpwuid(uid);
    return user ? g_strdup(user->pw_name) : g_strdup_printf("%u", uid);
}

/* ---- JSON ---- */

static JsonArray *texts(GPtrArray *list)
{
    JsonArray *array = json_array_new();
    for (guint i = 0; i < list->len; i++)
        json_array_add_string_element(array, list->pdata[i]);
    return array;
}

static JsonObject *link_json(const struct host_link *shown)
{
    const struct hostnet_link *link = shown->link;
    JsonObject *object = json_object_new();
    char mac[HOSTNET_MAC_TEXT];
    json_object_set_string_member(object, "name", link->name);
    json_object_set_int_member(object, "index", link->index);
    json_object_set_string_member(object, "kind", kind_of(link));
    json_object_set_boolean_member(object, "up", link->up);
    json_object_set_boolean_member(object, "carrier", link->carrier);
    json_object_set_string_member(object, "mac", link->has_mac ? hostnet_mac_format(&link->mac, mac) : NULL);
    json_object_set_int_member(object, "mtu", link->mtu);
    json_object_set_string_member(object, "mark", link->mark);
    json_object_set_string_member(object, "bridge", shown->bridge);
    json_object_set_boolean_member(object, "attached", shown->is_attached);
    json_object_set_array_member(object, "ports", texts(shown->ports));
    json_object_set_array_member(object, "addresses", texts(shown->addresses));
    json_object_set_string_member(object, "owner", shown->is_ours ? "host" : shown->lab ? "lab" : NULL);
    json_object_set_string_member(object, "lab", shown->lab);
    json_object_set_string_member(object, "object", shown->object);
    json_object_set_string_member(object, "uplink_of", shown->uplink_of);
    json_object_set_string_member(object, "unfinished", shown->unfinished);
    if (link->kind == HOSTNET_LINK_TAP || link->kind == HOSTNET_LINK_TUN) {
        g_autofree char *user = link->tap.has_owner ? user_name(link->tap.owner) : NULL;
        json_object_set_string_member(object, "user", user);
    }
    if (shown->lease && shown->lease->address) {
        JsonObject *lease = json_object_new();
        json_object_set_string_member(lease, "address", shown->lease->address);
        json_object_set_string_member(lease, "server", shown->lease->server);
        json_object_set_string_member(lease, "state", shown->lease->state);
        if (shown->lease->left < 0)
            json_object_set_null_member(lease, "left");
        else
            json_object_set_int_member(lease, "left", shown->lease->left);
        json_object_set_object_member(object, "lease", lease);
    }
    return object;
}

static void show_json(GPtrArray *all)
{
    JsonArray *list = json_array_new();
    for (guint i = 0; i < all->len; i++)
        json_array_add_object_element(list, link_json(all->pdata[i]));
    JsonObject *root = json_object_new();
    json_object_set_array_member(root, "links", list);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), root);
    cli_print_json(node);
}

/* ---- text ---- */

/* Parts with commas between them, in lines of at most WIDTH columns; `lead` stands before the first. */
static void print_parts(const char *lead, GPtrArray *parts)
{
    size_t column = INDENT;
    printf("%-*s", INDENT, lead);
    for (guint i = 0; i < parts->len; i++) {
        const char *part = parts->pdata[i];
        size_t length = (size_t)g_utf8_strlen(part, -1) + (i + 1 < parts->len ? 1 : 0);
        if (i && column + 1 + length > WIDTH) {
            printf("\n%*s", INDENT, "");
            column = INDENT;
        } else if (i) {
            printf(" ");
            column++;
        }
        printf("%s%s", part, i + 1 < parts->len ? "," : "");
        column += length;
    }
    printf("\n");
}

static void add(GPtrArray *parts, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void add(GPtrArray *parts, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_ptr_array_add(parts, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

static void print_link(const struct host_link *shown)
{
    const struct hostnet_link *link = shown->link;
    g_autoptr(GPtrArray) what = g_ptr_array_new_with_free_func(g_free),
                         place = g_ptr_array_new_with_free_func(g_free),
                         whose = g_ptr_array_new_with_free_func(g_free);
    char mac[HOSTNET_MAC_TEXT];
    add(what, "%s", kind_of(link));
    add(what, "%s", !link->up ? "down" : link->carrier ? "up" : "up without carrier");
    if (link->has_mac && link->kind != HOSTNET_LINK_LOOPBACK)
        add(what, "%s", hostnet_mac_format(&link->mac, mac));
    add(what, "MTU %u", link->mtu);
    if (link->kind == HOSTNET_LINK_TAP && link->tap.has_owner) {
        g_autofree char *user = user_name(link->tap.owner);
        add(what, "for user %s", user);
    }
    print_parts(link->name, what);
    if (shown->bridge)
        add(place, "port of %s%s", shown->bridge, shown->is_attached ? " (attached by netlab)" : "");
    if (link->kind == HOSTNET_LINK_BRIDGE)
        add(place, "%s", shown->ports->len ? "ports:" : "no ports");
    if (place->len && !shown->ports->len)
        print_parts("", place);
    if (shown->ports->len) {
        g_autofree char *first = g_strdup_printf("ports: %s", (char *)shown->ports->pdata[0]);
        g_autoptr(GPtrArray) ports = g_ptr_array_new();
        g_ptr_array_add(ports, first);
        for (guint i = 1; i < shown->ports->len; i++)
            g_ptr_array_add(ports, shown->ports->pdata[i]);
        print_parts("", ports);
    }
    if (shown->addresses->len)
        print_parts("", shown->addresses);
    if (shown->lease && shown->lease->address)
        add(whose, "%s by DHCP (%s)", shown->lease->address, shown->lease->state);
    if (shown->uplink_of)
        add(whose, "made by `netlab host` for the uplink %s", shown->uplink_of);
    else if (shown->is_ours)
        add(whose, "made by `netlab host`");
    if (shown->lab)
        add(whose, "of lab %s: %s", shown->lab, shown->object);
    if (shown->unfinished)
        add(whose, "%s was cut off (`netlab repair`)", shown->unfinished);
    if (whose->len)
        print_parts("", whose);
}

static int run_show(struct cli_call *call)
{
    struct lab_place place;
    g_autoptr(GError) error = NULL;
    lab_place_find(&place);
    g_autoptr(GPtrArray) all = host_link_list(&place, &error);
    lab_place_clear(&place);
    if (!all)
        return cli_fail(error);
    if (cli_flag(call, "json"))
        show_json(all);
    else
        for (guint i = 0; i < all->len; i++)
            print_link(all->pdata[i]);
    return CLI_OK;
}

static const struct cli_option show_options[] = {CLI_JSON_OPTION, CLI_HELP_OPTION};

const struct cli_verb verb_host_show = {
    .name = "host show",
    .arguments = "",
    .summary = "this host's links, what is on them and whose they are",
    .description =
        "What `brctl show; ip addr` shows, and which links are a lab's, which `netlab host` has made, "
        "whose address comes from a DHCP lease of netlab's, and what a crash has left half done.",
    .options = show_options,
    .option_count = G_N_ELEMENTS(show_options),
    .examples = CLI_EXAMPLES({"netlab host show", "all links of this host"}),
    .run = run_show,
};
