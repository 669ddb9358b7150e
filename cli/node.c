/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Finding a node; see node.h.
 */
#include "cli/node.h"

bool cli_node_find_lab(const struct cli_call *call, struct cli_node *node, GError **error)
{
    *node = (struct cli_node){0};
    lab_place_find(&node->place);
    node->store = store_open(node->place.state, error);
    node->lab = node->store ? lab_select(node->store, cli_value(call, "lab"), NULL, error) : NULL;
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
