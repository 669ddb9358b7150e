/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The table of back ends, the hubs by number, and errors: see netdev.h.
 */
#include "emu/net/netdev.h"

#include <errno.h>
#include <gio/gio.h>

static const struct net_kind *const kinds[] = {
    &net_kind_user,  &net_kind_tap,    &net_kind_bridge,  &net_kind_socket, &net_kind_stream,
    &net_kind_dgram, &net_kind_l2tpv3, &net_kind_hubport, &net_kind_dump,
};

bool net_may_run(const struct net_env *env, const char *word, GError **error)
{
    return !env->no_programs ||
           net_fail(error, EPERM,
                    "%s is a program to be started later, and the machine is started with "
                    "-sandbox on,spawn=deny; say spawn=allow there, or leave it out",
                    word);
}

size_t net_kind_count(void)
{
    return G_N_ELEMENTS(kinds);
}

const struct net_kind *net_kind_at(size_t index)
{
    return index < G_N_ELEMENTS(kinds) ? kinds[index] : NULL;
}

const struct net_kind *net_kind_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (g_str_equal(kinds[i]->name, name))
            return kinds[i];
    return NULL;
}

bool net_fail(GError **error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, G_IO_ERROR, (gint)g_io_error_from_errno(code), message);
    return false;
}

/* ---- hubs by number ---- */

struct net_hubs {
    GHashTable *by_number; /* number → struct net_hub * */
};

static void free_hub(void *hub)
{
    net_hub_free(hub);
}

struct net_hubs *net_hubs_new(void)
{
    struct net_hubs *hubs = g_new0(struct net_hubs, 1);
    hubs->by_number = g_hash_table_new_full(NULL, NULL, NULL, free_hub);
    return hubs;
}

void net_hubs_free(struct net_hubs *hubs)
{
    if (!hubs)
        return;
    g_hash_table_unref(hubs->by_number);
    g_free(hubs);
}

struct net_port *net_hubs_port(struct net_hubs *hubs, unsigned number, const char *id)
{
    struct net_hub *hub = g_hash_table_lookup(hubs->by_number, GUINT_TO_POINTER(number));
    if (!hub) {
        g_autofree char *name = g_strdup_printf("hub%u", number);
        hub = net_hub_new(name);
        g_hash_table_insert(hubs->by_number, GUINT_TO_POINTER(number), hub);
    }
    return net_hub_port_named(hub, id);
}

/* ---- hubport ---- */

static const struct keyval_row hubport_rows[] = {
    {"hubid", KEYVAL_NUMBER, .help = "number of the hub", .max = 65535},
    {"netdev", KEYVAL_NAME, .help = "id of the -netdev that is plugged into this port of the hub"},
};

static bool hubport_check(const struct keyval *kv, GError **error)
{
    return keyval_require(kv, "hubid", error);
}

static struct net_port *hubport_open(const char *id, const struct keyval *kv, const struct net_env *env,
                                     GError **error)
{
    return net_hubs_port(env->hubs, (unsigned)keyval_number(kv, "hubid", 0), id);
}

const struct net_kind net_kind_hubport = {.name = "hubport",
                                          .help = "a port of a hub inside this machine",
                                          .rows = hubport_rows,
                                          .row_count = G_N_ELEMENTS(hubport_rows),
                                          .check = hubport_check,
                                          .open = hubport_open};
