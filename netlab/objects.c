/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Objects and their payloads; see objects.h.
 */
#include "netlab/objects.h"

#include <assert.h>
#include <json-glib/json-glib.h>

static const char *const names[] = {
    [OBJECT_RUNTIME] = "runtime",     [OBJECT_SUPERVISOR] = "supervisor",
    [OBJECT_UNMANAGED] = "unmanaged", [OBJECT_BRIDGE] = "bridge",
    [OBJECT_ADDRESS] = "address",     [OBJECT_NAT] = "nat",
    [OBJECT_UPLINK] = "uplink",       [OBJECT_TAP] = "tap",
    [OBJECT_LINE] = "line",           [OBJECT_HOSTS] = "hosts",
    [OBJECT_MACHINE] = "machine",     [OBJECT_POLICY] = "policy",
    [OBJECT_STOPPED] = "stopped",
};
static_assert(G_N_ELEMENTS(names) == OBJECT_KINDS, "every kind has a name");

const char *object_kind_name(enum object_kind kind)
{
    return names[kind];
}

bool object_kind_parse(const char *name, enum object_kind *kind)
{
    for (int i = 0; i < OBJECT_KINDS; i++) {
        if (g_strcmp0(names[i], name) == 0) {
            *kind = (enum object_kind)i;
            return true;
        }
    }
    return false;
}

struct object *object_new(enum object_kind kind, const char *key, const char *payload)
{
    struct object *object = g_new0(struct object, 1);
    object->kind = kind;
    object->key = g_strdup(key);
    object->payload = g_strdup(payload);
    return object;
}

void object_free(void *data)
{
    struct object *object = data;
    if (!object)
        return;
    g_free(object->key);
    g_free(object->payload);
    g_free(object);
}

static JsonNode *member(JsonParser *parser, const char *payload, const char *name)
{
    if (!json_parser_load_from_data(parser, payload, -1, NULL))
        return NULL;
    JsonNode *root = json_parser_get_root(parser);
    return root && JSON_NODE_HOLDS_OBJECT(root) ? json_object_get_member(json_node_get_object(root), name)
                                                : NULL;
}

char *payload_string(const char *payload, const char *name)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonNode *node = member(parser, payload, name);
    return node && JSON_NODE_HOLDS_VALUE(node) ? g_strdup(json_node_get_string(node)) : NULL;
}

gint64 payload_number(const char *payload, const char *name)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonNode *node = member(parser, payload, name);
    return node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_int(node) : 0;
}
