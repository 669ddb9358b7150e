/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Finding a node; see node.h.
 */
#include "cli/node.h"

#include <string.h>

bool cli_node_find_lab(const struct cli_call *call, struct cli_node *node, GError **error)
{
    return cli_node_find_path(call, NULL, node, error);
}

bool cli_node_find_path(const struct cli_call *call, const char *path, struct cli_node *node, GError **error)
{
    *node = (struct cli_node){0};
    lab_place_find(&node->place);
    node->store = store_open(node->place.state, error);
    node->lab = node->store ? lab_select(node->store, cli_value(call, "lab"), path, error) : NULL;
    node->status = node->lab ? lab_status_read(&node->place, node->store, node->lab, error) : NULL;
    return node->status != NULL;
}

bool cli_node_find(const struct cli_call *call, const char *name, struct cli_node *node, GError **error)
{
    if (!cli_node_find_lab(call, node, error))
        return false;
    node->node = lab_status_find_node(node->status, name, error);
    return node->node != NULL;
}

bool cli_node_is_pattern(const char *words)
{
    return strpbrk(words, "*?,") != NULL;
}

static bool contains(const GPtrArray *list, const void *item)
{
    return g_ptr_array_find((GPtrArray *)list, item, NULL);
}

GPtrArray *cli_node_choose(const struct cli_node *node, const char *words, GError **error)
{
    g_autoptr(GPtrArray) meant = g_ptr_array_new();
    g_auto(GStrv) list = g_strsplit(words ? words : "*", ",", -1);
    for (guint w = 0; list[w]; w++) {
        bool any = false;
        for (guint i = 0; i < node->status->nodes->len; i++) {
            struct lab_node_status *each = node->status->nodes->pdata[i];
            if (!g_pattern_match_simple(list[w], each->name))
                continue;
            any = true;
            bool runs = each->state == LAB_NODE_RUNNING || each->state == LAB_NODE_STARTING;
            if (!contains(meant, each) && (words || runs))
                g_ptr_array_add(meant, each);
        }
        if (!any && strpbrk(list[w], "*?"))
            g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP,
                        "no node of lab %s is called like %s (see `netlab status`)", node->status->name,
                        list[w]);
        if (!any && (strpbrk(list[w], "*?") || !lab_status_find_node(node->status, list[w], error)))
            return NULL;
    }
    if (meant->len)
        return g_steal_pointer(&meant);
    g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "no node of lab %s runs; start them with `netlab up`",
                node->status->name);
    return NULL;
}

bool cli_node_find_nic(const struct cli_call *call, const char *text, struct cli_node *node, unsigned *index,
                       GError **error)
{
    const char *colon = strchr(text, ':');
    g_autofree char *name = colon ? g_strndup(text, (gsize)(colon - text)) : g_strdup(text);
    if (!cli_node_find(call, name, node, error) || !cli_node_require_running(node, error))
        return false;
    g_autoptr(GString) names = g_string_new(NULL);
    GPtrArray *nics = node->node->nics;
    for (guint i = 0; i < nics->len; i++) {
        const struct lab_nic_status *nic = nics->pdata[i];
        if ((colon && g_str_equal(nic->interface, colon + 1)) || (!colon && nics->len == 1)) {
            *index = i;
            return true;
        }
        g_string_append_printf(names, "%s%s:%s", names->len ? ", " : "", name, nic->interface);
    }
    g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "%s%s; there %s: %s",
                colon ? "there is no NIC " : "which NIC of ", text, nics->len == 1 ? "is" : "are",
                names->len ? names->str : "none");
    return false;
}

bool cli_node_require_running(const struct cli_node *node, GError **error)
{
    if (node->node->state == LAB_NODE_STOPPED) {
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "node %s is stopped; start it with `netlab up %s`",
                    node->node->name, node->node->name);
        return false;
    }
    if (node->node->state != LAB_NODE_ENDED)
        return true;
    g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP,
                "the machine of node %s has ended%s%s%s; start it with `netlab up`", node->node->name,
                *node->node->note ? " (" : "", node->node->note, *node->node->note ? ")" : "");
    return false;
}

void cli_node_clear(struct cli_node *node)
{
    lab_status_free(node->status);
    store_lab_free(node->lab);
    store_close(node->store);
    lab_place_clear(&node->place);
    *node = (struct cli_node){0};
}
