/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See line.h. A line's row stands before its machine is started, which takes the words from it; from then on
 * QMP changes them (nic.h). Where no machine runs there is nothing to do but the row.
 */
#include "netlab/line.h"
#include "netlab/fault.h"
#include "netlab/nic.h"
#include "netlab/paths.h"
#include "netlab/process.h"

#include <json-glib/json-glib.h>
#include <string.h>

static JsonArray *list_nics(JsonNode *root)
{
    JsonObject *object = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
    return object && json_object_has_member(object, "nics") ? json_object_get_array_member(object, "nics")
                                                            : NULL;
}

/* The place of this NIC in its machine; -1: it has none such. */
static int find_nic(const char *payload, const char *interface)
{
    g_autoptr(JsonNode) root = json_from_string(payload, NULL);
    JsonArray *nics = list_nics(root);
    for (guint i = 0; nics && i < json_array_get_length(nics); i++) {
        const char *name = json_object_get_string_member_with_default(json_array_get_object_element(nics, i),
                                                                      "interface", "");
        if (g_str_equal(name, interface))
            return (int)i;
    }
    return -1;
}

/* Sets `words` in the machine, if it runs. */
static bool set(struct operation_context *context, const char *key, const char *words, GError **error)
{
    const char *colon = strchr(key, ':');
    g_autofree char *node = colon ? g_strndup(key, (gsize)(colon - key)) : NULL;
    struct process_identity identity;
    GError *cause = NULL;
    g_autoptr(store_object) machine = node ? store_find_object(context->store, context->lab_id,
                                                               object_kind_name(OBJECT_MACHINE), node, &cause)
                                           : NULL;
    if (cause) {
        g_propagate_error(error, cause);
        return false;
    }
    if (!machine || machine->state != STORE_PRESENT || !process_parse(machine->identity, &identity) ||
        !process_is_alive(&identity))
        return true;
    int index = find_nic(machine->payload, colon + 1);
    if (index < 0)
        return true; /* it goes, or is made anew */
    g_autofree char *directory = paths_node_directory(context->runtime, context->lab, node);
    fault_point();
    g_autofree char *line = nic_impair(directory, (unsigned)index, words, error);
    /* One that has ended meanwhile has its line when it is started again. */
    if (!line && !process_is_alive(&identity)) {
        g_clear_error(error);
        return true;
    }
    return line != NULL;
}

bool line_make(struct operation_context *context, const char *key, const char *payload, const char *identity,
               GError **error)
{
    g_autofree char *words = payload_string(payload, "line");
    return set(context, key, words ? words : "off", error);
}

bool line_unmake(struct operation_context *context, const struct store_object *object, GError **error)
{
    return context->is_dying || set(context, object->key, "off", error);
}

char *line_describe(bool make, const char *key, const char *payload)
{
    g_autofree char *words = payload_string(payload, "line");
    return make ? g_strdup_printf("set the line of %s: %s", key, words)
                : g_strdup_printf("make the line of %s good", key);
}

char *line_add_to_machine(struct operation_context *context, const char *node, const char *payload,
                          GError **error)
{
    g_autoptr(JsonNode) root = json_from_string(payload, error);
    JsonArray *nics = list_nics(root);
    if (!root)
        return NULL;
    for (guint i = 0; nics && i < json_array_get_length(nics); i++) {
        JsonObject *nic = json_array_get_object_element(nics, i);
        g_autofree char *key =
            g_strdup_printf("%s:%s", node, json_object_get_string_member_with_default(nic, "interface", ""));
        GError *cause = NULL;
        g_autoptr(store_object) line =
            store_find_object(context->store, context->lab_id, object_kind_name(OBJECT_LINE), key, &cause);
        g_autofree char *words = line ? payload_string(line->payload, "line") : NULL;
        if (cause) {
            g_propagate_error(error, cause);
            return NULL;
        }
        if (words)
            json_object_set_string_member(nic, "line", words);
    }
    return json_to_string(root, FALSE);
}
