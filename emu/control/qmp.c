/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * QMP sessions: JSON documents in, answers out (QEMU's docs/interop/qmp-spec.txt; no out-of-band commands).
 *
 * The framer finds where a document ends before any parser sees it: that bounds size and nesting, and lets
 * the stream go on after a document that is not JSON. A document of the right form is parsed by json-glib.
 */
#include "emu/control/control_internal.h"

#include <gio/gio.h>
#include <string.h>

bool qmp_framer_feed(struct qmp_framer *framer, const uint8_t *data, size_t len,
                     bool (*document)(void *opaque, const char *text, size_t len, const char *why),
                     void *opaque)
{
    if (!framer->text)
        framer->text = g_string_new(NULL);
    for (size_t i = 0; i < len; i++) {
        char c = (char)data[i];
        bool complete = false;
        if (framer->garbage) { /* up to the end of its line */
            if (c != '\n' && c != '\r')
                continue;
            framer->garbage = false;
            if (!document(opaque, NULL, 0, "JSON parse error, expecting an object"))
                return false;
            continue;
        }
        if (!framer->depth) {
            if (g_ascii_isspace(c))
                continue;
            if (c != '{' && c != '[') {
                framer->garbage = true;
                continue;
            }
        }
        if (framer->text->len >= QMP_MESSAGE_MOST) {
            document(opaque, NULL, 0, "JSON parse error, the message is too long");
            return false;
        }
        g_string_append_c(framer->text, c);
        if (framer->in_string) {
            if (framer->escaped)
                framer->escaped = false;
            else if (c == '\\')
                framer->escaped = true;
            else if (c == '"')
                framer->in_string = false;
        } else if (c == '"') {
            framer->in_string = true;
        } else if (c == '{' || c == '[') {
            if (++framer->depth > QMP_DEPTH_MOST) {
                document(opaque, NULL, 0, "JSON parse error, nested too deeply");
                return false;
            }
        } else if (c == '}' || c == ']') {
            complete = --framer->depth == 0;
        }
        if (complete) {
            bool go_on = document(opaque, framer->text->str, framer->text->len, NULL);
            g_string_truncate(framer->text, 0);
            if (!go_on)
                return false;
        }
    }
    return true;
}

/* ---- output ---- */

static void session_end(struct qmp_session *session)
{
    if (session->dead)
        return;
    session->dead = true;
    control_sweep_soon(session->control);
}

static void session_send(struct qmp_session *session, JsonNode *node)
{
    if (session->dead)
        return;
    g_autofree char *text = json_to_string(node, session->pretty);
    trace(QMP, "%s > %s", char_id(session->port), text);
    char_write(session->port, (const uint8_t *)text, strlen(text));
    char_write(session->port, (const uint8_t *)"\r\n", 2);
    if (char_dropped(session->port) && session->owns_port) {
        trace(QMP, "%s does not read its answers: disconnected", char_id(session->port));
        session_end(session);
    }
}

static void session_send_text(struct qmp_session *session, const char *json)
{
    g_autoptr(JsonNode) node = json_from_string(json, NULL);
    if (node)
        session_send(session, node);
}

void qmp_session_event(struct qmp_session *session, const char *json)
{
    if (session->negotiated && char_is_open(session->port))
        session_send_text(session, json);
}

static void session_greet(struct qmp_session *session)
{
    g_autofree char *json =
        g_strdup_printf("{\"QMP\": {\"version\": {\"qemu\": {\"micro\": %d, \"minor\": %d, \"major\": %d}, "
                        "\"package\": \"netlab-emu %s\"}, \"capabilities\": []}}",
                        QEMU_MICRO, QEMU_MINOR, QEMU_MAJOR, NETLAB_VERSION);
    session_send_text(session, json);
}

static void session_answer(struct qmp_session *session, const char *member, JsonNode *value, JsonNode *id)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();
    json_object_set_member(object, member, value);
    if (id)
        json_object_set_member(object, "id", json_node_copy(id));
    json_node_take_object(root, object);
    session_send(session, root);
}

static void session_refuse(struct qmp_session *session, const char *class, const char *text, JsonNode *id)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "class", class);
    json_object_set_string_member(object, "desc", text);
    json_node_take_object(node, object);
    session_answer(session, "error", node, id);
}

/* QEMU's order, which its own clients count on: SHUTDOWN, the answer to `quit`, the end. */
void qmp_session_over(struct qmp_session *session)
{
    if (!session->quitting || session->over)
        return;
    session->over = true;
    if (session->owes)
        session_answer(session, "return", qmp_nothing(), session->quit_id);
}

/* ---- input ---- */

/* Checks the members of a request; returns the command's name, or NULL with *why. */
static const char *request_command(JsonObject *request, char **why)
{
    g_autoptr(GList) members = json_object_get_members(request);
    for (GList *at = members; at; at = at->next) {
        const char *name = at->data;
        if (g_str_equal(name, "exec-oob")) {
            *why = g_strdup("QMP input member 'exec-oob' needs the capability 'oob', which there is not");
            return NULL;
        }
        if (!g_str_equal(name, "execute") && !g_str_equal(name, "arguments") && !g_str_equal(name, "id")) {
            *why = g_strdup_printf("QMP input member '%s' is unexpected", name);
            return NULL;
        }
    }
    JsonNode *execute = json_object_get_member(request, "execute");
    if (!execute) {
        *why = g_strdup("QMP input lacks member 'execute'");
        return NULL;
    }
    if (!JSON_NODE_HOLDS_VALUE(execute) || json_node_get_value_type(execute) != G_TYPE_STRING) {
        *why = g_strdup("QMP input member 'execute' must be a string");
        return NULL;
    }
    JsonNode *arguments = json_object_get_member(request, "arguments");
    if (arguments && !JSON_NODE_HOLDS_OBJECT(arguments)) {
        *why = g_strdup("QMP input member 'arguments' must be an object");
        return NULL;
    }
    return json_node_get_string(execute);
}

static bool session_document(void *opaque, const char *text, size_t len, const char *why)
{
    struct qmp_session *session = opaque;
    g_autoptr(GError) error = NULL;
    if (session->quitting)
        return true;
    if (!text) {
        session_refuse(session, "GenericError", why, NULL);
        return !session->dead;
    }
    trace(QMP, "%s < %s", char_id(session->port), text);
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    JsonNode *root = NULL;
    if (json_parser_load_from_data(parser, text, (gssize)len, &error))
        root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_autofree char *desc = error ? g_strdup_printf("JSON parse error, %s", error->message)
                                      : g_strdup("QMP input must be a JSON object");
        session_refuse(session, "GenericError", desc, NULL);
        return !session->dead;
    }
    JsonObject *request = json_node_get_object(root);
    JsonNode *id = json_object_get_member(request, "id");
    g_autofree char *bad = NULL;
    const char *name = request_command(request, &bad);
    if (!name) {
        session_refuse(session, "GenericError", bad, id);
        return !session->dead;
    }
    JsonObject *arguments = json_object_has_member(request, "arguments")
                                ? json_object_get_object_member(request, "arguments")
                                : NULL;
    JsonNode *result = qmp_execute(session, name, arguments, &error);
    if (result && session->quitting && !session->over) {
        json_node_unref(result);
        session->owes = true;
        session->quit_id = id ? json_node_copy(id) : NULL;
    } else if (result) {
        session_answer(session, "return", result, id);
    } else {
        session_refuse(session, qmp_error_class(error), error->message, id);
    }
    return !session->dead;
}

static void session_input(void *opaque, const uint8_t *data, size_t len)
{
    struct qmp_session *session = opaque;
    if (session->dead)
        return;
    if (!qmp_framer_feed(&session->framer, data, len, session_document, session) && session->owns_port) {
        session_end(session);
        return;
    }
    char_accept(session->port, 4096);
}

static void framer_clear(struct qmp_framer *framer)
{
    if (framer->text)
        g_string_free(framer->text, TRUE);
    *framer = (struct qmp_framer){0};
}

static void session_opened(void *opaque)
{
    struct qmp_session *session = opaque;
    session->negotiated = false;
    framer_clear(&session->framer);
    session_greet(session);
    char_accept(session->port, 4096);
}

static void session_closed(void *opaque)
{
    struct qmp_session *session = opaque;
    session->negotiated = false;
    if (session->owns_port)
        session_end(session);
}

static const struct char_events session_events = {
    .input = session_input, .opened = session_opened, .closed = session_closed};

struct qmp_session *qmp_session_new(struct control *control, struct char_port *port, bool owns_port,
                                    bool pretty)
{
    struct qmp_session *session = g_new0(struct qmp_session, 1);
    session->control = control;
    session->port = port;
    session->owns_port = owns_port;
    session->pretty = pretty;
    char_connect(port, &session_events, session);
    char_keep_fds(port);
    return session;
}

void qmp_session_free(struct qmp_session *session)
{
    char_connect(session->port, NULL, NULL);
    if (session->owns_port)
        char_free(session->port);
    framer_clear(&session->framer);
    g_clear_pointer(&session->quit_id, json_node_unref);
    g_free(session);
}
