/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * QMP commands that add to the machine or take from it: NICs and their back ends, captures.
 *
 * Their arguments become the words of the option of the same name, which are read by the table that the
 * command line is read by: a member is key=value, a list the key several times, a member of an inner object
 * outer.inner.
 */
#include "emu/control/control_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { WORDS_MOST = 65536 };

static void append_word(GString *words, const char *key, const char *value)
{
    if (words->len)
        g_string_append_c(words, ',');
    g_string_append_printf(words, "%s=", key);
    for (; *value; value++) { /* a comma is written twice */
        if (*value == ',')
            g_string_append_c(words, ',');
        g_string_append_c(words, *value);
    }
}

static bool append_value(GString *words, const char *key, JsonNode *node, GError **error);

static bool append_object(GString *words, const char *prefix, JsonObject *object, GError **error)
{
    g_autoptr(GList) members = json_object_get_members(object);
    for (GList *at = members; at; at = at->next) {
        g_autofree char *key = g_strdup_printf("%s%s", prefix, (const char *)at->data);
        if (strpbrk(key, ",= ")) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Parameter '%.100s' is unexpected",
                        key);
            return false;
        }
        if (!append_value(words, key, json_object_get_member(object, at->data), error))
            return false;
    }
    return true;
}

/* {"str": "…"}: QEMU's wrapper around the strings of a list. */
static JsonNode *unwrap(JsonNode *node)
{
    if (!JSON_NODE_HOLDS_OBJECT(node))
        return node;
    JsonObject *object = json_node_get_object(node);
    JsonNode *inner = json_object_get_size(object) == 1 ? json_object_get_member(object, "str") : NULL;
    return inner ? inner : node;
}

static bool append_value(GString *words, const char *key, JsonNode *node, GError **error)
{
    if (JSON_NODE_HOLDS_NULL(node) && g_str_equal(key, "backing")) { /* of blockdev-add: no image below */
        append_word(words, key, "");
        return true;
    }
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        g_autofree char *prefix = g_strconcat(key, ".", NULL);
        return append_object(words, prefix, json_node_get_object(node), error);
    }
    if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);
        for (guint i = 0; i < json_array_get_length(array); i++)
            if (!append_value(words, key, unwrap(json_array_get_element(array, i)), error))
                return false;
        return true;
    }
    GType type = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_INVALID;
    g_autofree char *number = NULL;
    if (type == G_TYPE_STRING) {
        append_word(words, key, json_node_get_string(node));
    } else if (type == G_TYPE_BOOLEAN) {
        append_word(words, key, json_node_get_boolean(node) ? "on" : "off");
    } else if (type == G_TYPE_INT64) {
        number = g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node));
        append_word(words, key, number);
    } else {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "Invalid parameter type for '%.100s', expected: string, boolean or integer", key);
        return false;
    }
    if (words->len <= WORDS_MOST)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "more than %d bytes of parameters",
                WORDS_MOST);
    return false;
}

/* The words of the option, beginning with the value of `first`; NULL with an error. */
static char *words_of(JsonObject *arguments, const char *first, GError **error)
{
    g_autoptr(GString) words = g_string_new(NULL);
    g_autoptr(GList) members = json_object_get_members(arguments);
    append_word(words, first, json_object_get_string_member(arguments, first));
    for (GList *at = members; at; at = at->next) {
        const char *key = at->data;
        if (g_str_equal(key, first))
            continue;
        if (strpbrk(key, ",= ")) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Parameter '%.100s' is unexpected",
                        key);
            return NULL;
        }
        if (!append_value(words, key, json_object_get_member(arguments, key), error))
            return NULL;
    }
    return g_strdup(words->str);
}

typedef bool add_fn(void *opaque, const char *words, GError **error);

static JsonNode *add(struct qmp_session *session, JsonObject *arguments, const char *first, add_fn *how,
                     GError **error)
{
    g_autofree char *words = words_of(arguments, first, error);
    return words && how(session->control->machine->opaque, words, error) ? qmp_nothing() : NULL;
}

/* fd= may be the name of a descriptor that came with getfd, which is then no longer known by it. */
static JsonNode *do_netdev_add(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonNode *fd = json_object_get_member(arguments, "fd");
    const char *name = fd && JSON_NODE_HOLDS_VALUE(fd) && json_node_get_value_type(fd) == G_TYPE_STRING
                           ? json_node_get_string(fd)
                           : NULL;
    if (!name || g_ascii_isdigit(*name))
        return add(session, arguments, "type", session->control->machine->netdev_add, error);
    int number = control_take_named_fd(session->control, name);
    if (number < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "File descriptor named '%.100s' has not been found (getfd gives it the name)", name);
        return NULL;
    }
    g_autoptr(GList) members = json_object_get_members(arguments);
    JsonObject *numbered = json_object_new();
    for (GList *at = members; at; at = at->next)
        if (!g_str_equal(at->data, "fd"))
            json_object_set_member(numbered, at->data,
                                   json_node_copy(json_object_get_member(arguments, at->data)));
    json_object_set_int_member(numbered, "fd", number);
    JsonNode *answer = add(session, numbered, "type", session->control->machine->netdev_add, error);
    json_object_unref(numbered);
    return answer;
}

/* ---- character ports ---- */

/* "host" and "port", or "path", of a SocketAddressLegacy. */
static void append_address(GString *words, JsonObject *address)
{
    JsonObject *data = json_object_get_object_member(address, "data");
    if (g_str_equal(json_object_get_string_member(address, "type"), "unix")) {
        append_word(words, "path", json_object_get_string_member(data, "path"));
    } else {
        append_word(words, "host", json_object_get_string_member(data, "host"));
        append_word(words, "port", json_object_get_string_member(data, "port"));
    }
}

static void append_flag(GString *words, JsonObject *data, const char *key, const char *word, bool fallback)
{
    append_word(words, word, json_object_get_boolean_member_with_default(data, key, fallback) ? "on" : "off");
}

static char *chardev_words(JsonObject *arguments)
{
    JsonObject *backend = json_object_get_object_member(arguments, "backend");
    JsonObject *data = json_object_get_object_member(backend, "data");
    const char *type = json_object_get_string_member(backend, "type");
    GString *words = g_string_new(type);
    append_word(words, "id", json_object_get_string_member(arguments, "id"));
    if (g_str_equal(type, "file")) {
        append_word(words, "path", json_object_get_string_member(data, "out"));
        append_flag(words, data, "append", "append", false);
    } else if (g_str_equal(type, "pipe")) {
        append_word(words, "path", json_object_get_string_member(data, "device"));
    } else if (g_str_equal(type, "socket")) {
        bool server = json_object_get_boolean_member_with_default(data, "server", TRUE);
        append_address(words, json_object_get_object_member(data, "addr"));
        append_word(words, "server", server ? "on" : "off");
        if (server)
            append_flag(words, data, "wait", "wait", false);
        if (json_object_get_boolean_member_with_default(data, "telnet", FALSE))
            append_word(words, "telnet", "on");
    } else if (g_str_equal(type, "udp")) {
        append_address(words, json_object_get_object_member(data, "remote"));
    } else if (g_str_equal(type, "ringbuf") && json_object_has_member(data, "size")) {
        g_autofree char *size =
            g_strdup_printf("%" G_GINT64_FORMAT, json_object_get_int_member(data, "size"));
        append_word(words, "size", size);
    }
    const char *log = qmp_optional(data, "logfile");
    if (log) {
        append_word(words, "logfile", log);
        append_flag(words, data, "logappend", "logappend", false);
    }
    return g_string_free(words, FALSE);
}

static JsonNode *pty_of(const struct control_machine *m, const char *id)
{
    JsonObject *answer = json_object_new();
    struct control_char port;
    for (unsigned i = 0; m->chardev(m->opaque, i, &port); i++)
        if (g_str_equal(port.id, id) && g_str_has_prefix(port.spec, "pty:"))
            json_object_set_string_member(answer, "pty", port.spec + strlen("pty:"));
    return qmp_object(answer);
}

static JsonNode *do_chardev_add(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *id = json_object_get_string_member(arguments, "id");
    g_autofree char *words = chardev_words(arguments);
    return m->chardev_add(m->opaque, words, error) ? pty_of(m, id) : NULL;
}

static JsonNode *do_chardev_remove(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->chardev_remove(m->opaque, json_object_get_string_member(arguments, "id"), error) ? qmp_nothing()
                                                                                               : NULL;
}

static JsonNode *do_chardev_change(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *id = json_object_get_string_member(arguments, "id");
    g_autofree char *words = chardev_words(arguments);
    return m->chardev_change(m->opaque, id, words, error) ? pty_of(m, id) : NULL;
}

static JsonNode *do_chardev_break(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->chardev_break(m->opaque, json_object_get_string_member(arguments, "id"), error) ? qmp_nothing()
                                                                                              : NULL;
}

static JsonNode *do_netdev_del(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->netdev_del(m->opaque, json_object_get_string_member(arguments, "id"), error) ? qmp_nothing()
                                                                                           : NULL;
}

static JsonNode *do_device_add(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return add(session, arguments, "driver", session->control->machine->device_add, error);
}

static JsonNode *do_device_del(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->device_del(m->opaque, json_object_get_string_member(arguments, "id"), error) ? qmp_nothing()
                                                                                           : NULL;
}

static bool has_node(const struct control_machine *m, const char *name)
{
    struct control_drive node;
    for (unsigned i = 0; m->node(m->opaque, i, &node); i++)
        if (g_str_equal(node.node_name, name))
            return true;
    return false;
}

/* A node that another one is to be above, if one is named; `again`: in the words of blockdev-reopen. */
static bool find_node(const struct control_machine *m, JsonObject *arguments, const char *key, bool again,
                      GError **error)
{
    JsonNode *value = json_object_get_member(arguments, key);
    if (!value || !JSON_NODE_HOLDS_VALUE(value) || json_node_get_value_type(value) != G_TYPE_STRING)
        return true;
    const char *name = json_node_get_string(value);
    if (!*name || has_node(m, name))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Cannot find device='%s' nor node-name='%s'",
                again ? "" : name, name);
    return false;
}

/* Words, or as JSON, which -blockdev takes as well, when an image below is written out. */
static char *node_words(JsonObject *options, GError **error)
{
    JsonNode *backing = json_object_get_member(options, "backing");
    if (!backing || !JSON_NODE_HOLDS_OBJECT(backing))
        return words_of(options, "driver", error);
    JsonNode *root = json_node_init_object(json_node_alloc(), options);
    char *text = json_to_string(root, FALSE);
    json_node_unref(root);
    return text;
}

static JsonNode *do_blockdev_add(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *name = qmp_optional(arguments, "node-name");
    if (!name) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "'node-name' must be specified for the root node");
        return NULL;
    }
    if (has_node(m, name)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "Duplicate nodes with node-name='%s'", name);
        return NULL;
    }
    if (!find_node(m, arguments, "file", false, error) || !find_node(m, arguments, "backing", false, error))
        return NULL;
    g_autofree char *words = node_words(arguments, error);
    return words && m->blockdev_add(m->opaque, words, error) ? qmp_nothing() : NULL;
}

static JsonNode *do_blockdev_reopen(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    enum { MOST = 64 };
    const struct control_machine *m = session->control->machine;
    JsonArray *options = json_object_get_array_member(arguments, "options");
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    guint count = json_array_get_length(options);
    if (count > MOST) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "more than %d nodes at a time", MOST);
        return NULL;
    }
    for (guint i = 0; i < count; i++) {
        JsonObject *one = json_array_get_object_element(options, i);
        const char *name = qmp_optional(one, "node-name");
        if (!name) {
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "node-name not specified");
            return NULL;
        }
        if (!has_node(m, name)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Failed to find node with node-name='%s'",
                        name);
            return NULL;
        }
        char *words = find_node(m, one, "file", true, error) && find_node(m, one, "backing", true, error)
                          ? node_words(one, error)
                          : NULL;
        if (!words)
            return NULL;
        g_ptr_array_add(list, words);
        g_ptr_array_add(names, (void *)name);
    }
    g_ptr_array_add(list, NULL);
    g_ptr_array_add(names, NULL);
    return m->blockdev_reopen(m->opaque, (const char *const *)names->pdata, (const char *const *)list->pdata,
                              error)
               ? qmp_nothing()
               : NULL;
}

static JsonNode *do_object_add(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return add(session, arguments, "qom-type", session->control->machine->object_add, error);
}

static JsonNode *do_object_del(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->object_del(m->opaque, json_object_get_string_member(arguments, "id"), error) ? qmp_nothing()
                                                                                           : NULL;
}

static const struct qmp_command rows[] = {
    {"netdev_add", do_netdev_add, "type:str id:str ..."},
    {"netdev_del", do_netdev_del, "id:str"},
    {"device_add", do_device_add, "driver:str *bus:str *id:str ..."},
    {"device_del", do_device_del, "id:str"},
    {"blockdev-add", do_blockdev_add, "driver:str *node-name:str ..."},
    {"blockdev-reopen", do_blockdev_reopen, "options:[BlockdevOptions]"},
    {"chardev-add", do_chardev_add, "id:str backend:ChardevBackend", "ChardevReturn"},
    {"chardev-change", do_chardev_change, "id:str backend:ChardevBackend", "ChardevReturn"},
    {"chardev-send-break", do_chardev_break, "id:str"},
    {"chardev-remove", do_chardev_remove, "id:str"},
    {"object-add", do_object_add, "qom-type:str id:str ..."},
    {"object-del", do_object_del, "id:str"},
};
const struct qmp_commands qmp_plug_commands = {rows, G_N_ELEMENTS(rows)};
