/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See nic.h. One connection a call: greeting, negotiation, the command; events in between are passed over.
 */
#include "netlab/nic.h"
#include "netlab/channel.h"
#include "netlab/paths.h"

#include <errno.h>
#include <gio/gio.h>

enum { ANSWER_TIMEOUT_MS = 5000 };

/* The next message that is no event. */
static JsonObject *next_answer(struct channel *channel, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + ANSWER_TIMEOUT_MS * 1000;
    for (;;) {
        int left = (int)((deadline - g_get_monotonic_time()) / 1000);
        JsonObject *message = channel_receive(channel, MAX(left, 0), error);
        if (!message || !json_object_has_member(message, "event"))
            return message;
        json_object_unref(message);
    }
}

/* Connects and negotiates. */
static bool open_control(const char *directory, struct channel *channel, GError **error)
{
    g_autofree char *path = g_build_filename(directory, "qmp.sock", NULL);
    int fd = paths_connect(path);
    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "the machine cannot be reached at %s: %s; is it yours, and does it run?", path,
                    g_strerror(errno));
        return false;
    }
    channel_init(channel, fd);
    g_autoptr(JsonObject) greeting = next_answer(channel, error);
    g_autoptr(JsonObject) agreed =
        greeting && channel_send_text(channel, "{\"execute\":\"qmp_capabilities\"}", error)
            ? next_answer(channel, error)
            : NULL;
    if (agreed)
        return true;
    channel_clear(channel);
    return false;
}

/* The member "return" of the answer, or NULL with the emulator's own words. `arguments` is taken over; fd
 * (-1: none) goes along. */
static JsonNode *ask(struct channel *channel, const char *command, JsonObject *arguments, int fd,
                     GError **error)
{
    g_autoptr(JsonObject) request = json_object_new();
    json_object_set_string_member(request, "execute", command);
    json_object_set_object_member(request, "arguments", arguments);
    g_autoptr(JsonObject) answer =
        channel_send(channel, request, fd, error) ? next_answer(channel, error) : NULL;
    if (answer && json_object_has_member(answer, "return"))
        return json_object_dup_member(answer, "return");
    if (answer && json_object_has_member(answer, "error") &&
        JSON_NODE_HOLDS_OBJECT(json_object_get_member(answer, "error")))
        g_set_error_literal(
            error, G_IO_ERROR, G_IO_ERROR_FAILED,
            channel_string(json_object_get_object_member(answer, "error"), "desc", "refused"));
    else if (answer)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the machine's answer is not understood");
    return NULL;
}

/* One command on a connection of its own. */
static JsonNode *execute(const char *directory, const char *command, JsonObject *arguments, GError **error)
{
    struct channel channel;
    if (!open_control(directory, &channel, error)) {
        json_object_unref(arguments);
        return NULL;
    }
    JsonNode *result = ask(&channel, command, arguments, -1, error);
    channel_clear(&channel);
    return result;
}

static char *nic_name(unsigned index)
{
    return g_strdup_printf("n%u", index); /* as machine.c calls its back end */
}

bool nic_set_link(const char *directory, unsigned index, bool up, GError **error)
{
    g_autofree char *name = nic_name(index);
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "name", name);
    json_object_set_boolean_member(arguments, "up", up);
    g_autoptr(JsonNode) answer = execute(directory, "set_link", arguments, error);
    return answer != NULL;
}

char *nic_impair(const char *directory, unsigned index, const char *words, GError **error)
{
    g_autofree char *name = nic_name(index);
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "name", name);
    json_object_set_string_member(arguments, "direction", "out");
    if (words)
        json_object_set_string_member(arguments, "settings", words);
    g_autoptr(JsonNode) answer = execute(directory, "x-netlab-impair", arguments, error);
    const char *text = answer && JSON_NODE_HOLDS_VALUE(answer) ? json_node_get_string(answer) : NULL;
    if (answer && !text)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the machine's answer is not understood");
    return g_strdup(text);
}

JsonArray *nic_query(const char *directory, GError **error)
{
    g_autoptr(JsonNode) answer = execute(directory, "x-netlab-query-network", json_object_new(), error);
    if (!answer)
        return NULL;
    if (JSON_NODE_HOLDS_ARRAY(answer))
        return json_array_ref(json_node_get_array(answer));
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the machine does not name its NICs");
    return NULL;
}

JsonObject *nic_find(JsonArray *nics, unsigned index)
{
    bool is_there = nics && index < json_array_get_length(nics) &&
                    JSON_NODE_HOLDS_OBJECT(json_array_get_element(nics, index));
    return is_there ? json_array_get_object_element(nics, index) : NULL;
}

bool nic_get_link(const char *directory, unsigned index, bool *up, GError **error)
{
    g_autoptr(JsonArray) nics = nic_query(directory, error);
    if (!nics)
        return false;
    JsonObject *nic = nic_find(nics, index);
    if (!nic) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the machine does not name its NICs");
        return false;
    }
    *up = channel_flag(nic, "link");
    return true;
}

/* ---- captures ---- */

static JsonObject *words(const char *first, ...)
{
    JsonObject *object = json_object_new();
    va_list more;
    va_start(more, first);
    for (const char *name = first; name; name = va_arg(more, const char *))
        json_object_set_string_member(object, name, va_arg(more, const char *));
    va_end(more);
    return object;
}

bool nic_capture_begin(const char *directory, unsigned index, const char *id, unsigned most, int fd,
                       GError **error)
{
    struct channel channel;
    if (!open_control(directory, &channel, error))
        return false;
    g_autofree char *name = nic_name(index);
    g_autoptr(JsonNode) set = ask(&channel, "add-fd", json_object_new(), fd, error), made = NULL;
    gint64 number =
        set && JSON_NODE_HOLDS_OBJECT(set) ? channel_number(json_node_get_object(set), "fdset-id", -1) : -1;
    if (number >= 0) {
        g_autofree char *file = g_strdup_printf("/dev/fdset/%" G_GINT64_FORMAT, number);
        JsonObject *arguments = words("qom-type", "filter-dump", "id", id, "netdev", name, "file", file,
                                      "format", "pcapng", NULL);
        if (most)
            json_object_set_int_member(arguments, "maxlen", most);
        made = ask(&channel, "object-add", arguments, -1, error);
        JsonObject *done = json_object_new();
        json_object_set_int_member(done, "fdset-id", number);
        g_autoptr(JsonNode) removed = ask(&channel, "remove-fd", done, -1, NULL);
    } else if (error && !*error) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the machine's answer is not understood");
    }
    channel_clear(&channel);
    return made != NULL;
}

void nic_capture_end(const char *directory, const char *id)
{
    g_autoptr(JsonNode) answer = execute(directory, "object-del", words("id", id, NULL), NULL);
}

/* ---- events ---- */

struct nic_events {
    struct channel channel;
};

struct nic_events *nic_events_new(const char *directory, GError **error)
{
    struct channel channel;
    if (!open_control(directory, &channel, error))
        return NULL;
    struct nic_events *events = g_new0(struct nic_events, 1);
    events->channel = channel;
    return events;
}

void nic_events_free(struct nic_events *events)
{
    if (!events)
        return;
    channel_clear(&events->channel);
    g_free(events);
}

int nic_events_fd(const struct nic_events *events)
{
    return events->channel.fd;
}

bool nic_events_next(struct nic_events *events, JsonObject **event)
{
    for (;;) {
        JsonObject *line;
        *event = NULL;
        if (!channel_try(&events->channel, &line, NULL))
            return false;
        if (!line)
            return true;
        if (json_object_has_member(line, "event")) {
            *event = line;
            return true;
        }
        json_object_unref(line);
    }
}
