/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The choice of nodes; see choice.h.
 *
 * A node is its TAPs, their lines, its machine and its policy, or one row that says that it is kept stopped.
 * `up` without names takes the file's objects and leaves stopped what is stopped. `up NODE…` on a running lab
 * takes what exists, and of the file only the named nodes and networks that are missing: a change elsewhere
 * in the file waits for an `up` without names. Nodes of the file that have never been started count as
 * stopped then.
 */
#include "netlab/choice.h"
#include "netlab/lab.h"

#include <string.h>

static bool is_node_kind(enum object_kind kind)
{
    return kind == OBJECT_TAP || kind == OBJECT_LINE || kind == OBJECT_MACHINE || kind == OBJECT_STOPPED ||
           kind == OBJECT_POLICY;
}

/* The node that an object belongs to; NULL: none. Owned by the caller. */
static char *node_of(enum object_kind kind, const char *key)
{
    /* A network's own machine goes with the network. */
    if (!is_node_kind(kind) || key[0] == OBJECT_GATEWAY_SIGN)
        return NULL;
    /* "node:interface"; names of nodes have no colon. */
    return kind == OBJECT_TAP || kind == OBJECT_LINE ? g_strndup(key, strcspn(key, ":")) : g_strdup(key);
}

static bool is_named(const struct choice *choice, const char *node)
{
    for (unsigned i = 0; node && i < choice->node_count; i++)
        if (g_str_equal(choice->nodes[i], node))
            return true;
    return false;
}

static GHashTable *names_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

/* Which nodes there are: of the kinds `machine` and `stopped`, in either list. */
static void collect_existing(GPtrArray *existing, enum object_kind wanted, GHashTable *names)
{
    for (guint i = 0; i < existing->len; i++) {
        const struct store_object *object = existing->pdata[i];
        enum object_kind kind;
        if (object_kind_parse(object->kind, &kind) && kind == wanted)
            g_hash_table_add(names, g_strdup(object->key));
    }
}

static void collect_file(GPtrArray *file, GHashTable *names)
{
    for (guint i = 0; file && i < file->len; i++) {
        const struct object *object = file->pdata[i];
        if (object->kind == OBJECT_MACHINE)
            g_hash_table_add(names, g_strdup(object->key));
    }
}

static bool fail_unknown(const char *node, GHashTable *known, GError **error)
{
    guint count = 0;
    g_autofree const char **names = (const char **)g_hash_table_get_keys_as_array(known, &count);
    const char *nearest = topology_nearest(node, names, count);
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    if (nearest)
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "the lab has no node \"%s\"; did you mean \"%s\"?",
                    node, nearest);
    else
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "the lab has no node \"%s\"; it has: %s", node, all);
    return false;
}

static bool check_names(const struct choice *choice, GPtrArray *file, GPtrArray *existing, GError **error)
{
    g_autoptr(GHashTable) known = names_new(), stopped = names_new();
    collect_existing(existing, OBJECT_STOPPED, stopped);
    if (choice->action != LAB_START) {
        collect_existing(existing, OBJECT_MACHINE, known);
        collect_existing(existing, OBJECT_STOPPED, known);
    }
    collect_file(file, known);
    for (unsigned i = 0; i < choice->node_count; i++) {
        const char *node = choice->nodes[i];
        if (!g_hash_table_contains(known, node))
            return fail_unknown(node, known, error);
        if (choice->action != LAB_RESTART && node[0] == OBJECT_GATEWAY_SIGN) {
            g_set_error(
                error, LAB_ERROR, LAB_ERROR_NOT_UP,
                "%s belongs to network %s and comes and goes with it; `netlab restart %s` starts it anew",
                node, node + 1, node);
            return false;
        }
        if (choice->action == LAB_RESTART && g_hash_table_contains(stopped, node)) {
            g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP,
                        "node %s is stopped, so there is nothing to restart; start it with `netlab up %s`",
                        node, node);
            return false;
        }
    }
    return true;
}

static void want(GPtrArray *wanted, enum object_kind kind, const char *key, const char *payload)
{
    g_ptr_array_add(wanted, object_new(kind, key, payload));
}

static void stay_stopped(GPtrArray *wanted, const char *node, const char *payload, GString *stopped)
{
    want(wanted, OBJECT_STOPPED, node, payload);
    g_string_append_printf(stopped, "%s%s", stopped->len ? ", " : "", node);
}

/* `up`, and `up NODE…` of a lab that is not up: the file, less what is stopped. */
static void want_file(const struct choice *choice, GPtrArray *file, GPtrArray *existing, GPtrArray *wanted,
                      GString *stopped)
{
    g_autoptr(GHashTable) kept = names_new();
    if (!choice->all)
        collect_existing(existing, OBJECT_STOPPED, kept);
    for (guint i = 0; i < file->len; i++) {
        const struct object *object = file->pdata[i];
        g_autofree char *node = node_of(object->kind, object->key);
        bool stays =
            node && !is_named(choice, node) && (choice->node_count || g_hash_table_contains(kept, node));
        if (!stays)
            want(wanted, object->kind, object->key, object->payload);
        else if (object->kind == OBJECT_MACHINE)
            stay_stopped(wanted, node, object->payload, stopped);
    }
}

static char *name_of(enum object_kind kind, const char *key)
{
    return g_strdup_printf("%d %s", (int)kind, key);
}

/* What exists but for the named nodes: stopped, when they are to stop, else left out. */
static void want_existing(const struct choice *choice, GPtrArray *existing, GPtrArray *wanted,
                          GHashTable *have, GString *stopped)
{
    for (guint i = 0; i < existing->len; i++) {
        const struct store_object *object = existing->pdata[i];
        enum object_kind kind;
        if (!object_kind_parse(object->kind, &kind) || kind == OBJECT_RUNTIME || kind == OBJECT_SUPERVISOR)
            continue;
        if (choice->action == LAB_MEND && object->state == STORE_REMOVING)
            continue;
        g_autofree char *node = node_of(kind, object->key);
        if (choice->action == LAB_RESTART || !is_named(choice, node)) {
            want(wanted, kind, object->key, object->payload);
            g_hash_table_add(have, name_of(kind, object->key));
            continue;
        }
        if (choice->action == LAB_STOP && (kind == OBJECT_MACHINE || kind == OBJECT_STOPPED))
            stay_stopped(wanted, node, object->payload, stopped);
    }
}

/* And the named nodes as the file has them, with networks that are missing. */
static void want_named(const struct choice *choice, GPtrArray *file, GPtrArray *wanted, GHashTable *have,
                       GString *stopped)
{
    for (guint i = 0; i < file->len; i++) {
        const struct object *object = file->pdata[i];
        g_autofree char *node = node_of(object->kind, object->key);
        g_autofree char *name = name_of(object->kind, object->key),
                        *machine = node ? name_of(OBJECT_MACHINE, node) : NULL,
                        *parked = node ? name_of(OBJECT_STOPPED, node) : NULL;
        if (g_hash_table_contains(have, name))
            continue;
        if (!node || is_named(choice, node))
            want(wanted, object->kind, object->key, object->payload);
        else if (object->kind == OBJECT_MACHINE && !g_hash_table_contains(have, machine) &&
                 !g_hash_table_contains(have, parked))
            stay_stopped(wanted, node, object->payload, stopped);
    }
}

GPtrArray *choice_wanted(const struct choice *choice, GPtrArray *file, GPtrArray *existing, bool is_new,
                         GString *stopped, GError **error)
{
    if (!check_names(choice, file, existing, error))
        return NULL;
    GPtrArray *wanted = g_ptr_array_new_with_free_func(object_free);
    g_autoptr(GHashTable) have = names_new();
    want(wanted, OBJECT_RUNTIME, "", "{}");
    want(wanted, OBJECT_SUPERVISOR, "", "{}");
    if (choice->action == LAB_START && (is_new || !choice->node_count)) {
        want_file(choice, file, existing, wanted, stopped);
        return wanted;
    }
    want_existing(choice, existing, wanted, have, stopped);
    if (choice->action == LAB_START)
        want_named(choice, file, wanted, have, stopped);
    return wanted;
}

bool choice_renews(const struct choice *choice, const struct store_object *object)
{
    return choice->action == LAB_RESTART && g_str_equal(object->kind, object_kind_name(OBJECT_MACHINE)) &&
           (!choice->node_count || is_named(choice, object->key));
}

bool choice_spares(const struct choice *choice, const struct store_object *object)
{
    return choice->spares && g_str_equal(object->kind, object_kind_name(OBJECT_MACHINE));
}
