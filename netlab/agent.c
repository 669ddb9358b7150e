/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The guest agent's client; see agent.h.
 */
#include "netlab/agent.h"
#include "netlab/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

G_DEFINE_QUARK(netlab - agent - error - quark, agent_error)

enum {
    PROBE_EVERY_MS = 250,
    STATUS_EVERY_MS = 20,
    STATUS_EVERY_MOST_MS = 500,
    START_MS = 20000, /* for the answer to guest-exec */
    ANSWER_MS = 5000, /* for each guest-exec-status */
};

static int take_agent_lock(const char *node_directory, int timeout_ms, GError **error)
{
    /* The folder itself is locked, so that no file is left behind. */
    int fd = open(node_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        g_set_error(error, AGENT_ERROR, AGENT_ERROR_ABSENT,
                    "%s: %s; is the machine running? (see `netlab status`)", node_directory,
                    g_strerror(errno));
        return -1;
    }
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (g_get_monotonic_time() >= deadline) {
            g_set_error(error, AGENT_ERROR, AGENT_ERROR_BUSY,
                        "another command is talking to this node; wait until it has finished");
            close(fd);
            return -1;
        }
        g_usleep(10000);
    }
    return fd;
}

static JsonObject *sync_arguments(gint64 id)
{
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "id", id);
    return arguments;
}

static bool send_command(struct channel *channel, const char *command, JsonObject *arguments, GError **error)
{
    g_autoptr(JsonObject) request = json_object_new();
    json_object_set_string_member(request, "execute", command);
    if (arguments)
        json_object_set_object_member(request, "arguments", arguments);
    return channel_send(channel, request, -1, error);
}

static int remaining(gint64 deadline)
{
    gint64 left = (deadline - g_get_monotonic_time()) / 1000;
    return left > 0 ? (int)left : 0;
}

static bool synchronise(struct agent *agent, int timeout_ms, GError **error)
{
    gint64 id = g_random_int_range(1, G_MAXINT32);
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    /* An unfinished line of an earlier client ends here. */
    if (!channel_send_text(&agent->channel, "", error) ||
        !send_command(&agent->channel, "guest-sync-delimited", sync_arguments(id), error))
        return false;
    for (;;) {
        g_autoptr(GError) cause = NULL;
        g_autoptr(JsonObject) answer = channel_receive(&agent->channel, remaining(deadline), &cause);
        if (answer && channel_number(answer, "return", -1) == id)
            return true;
        if (answer || g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_INVALID_DATA))
            continue; /* left over from before */
        if (g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
            g_set_error(error, AGENT_ERROR, AGENT_ERROR_SILENT,
                        "nothing in the guest answers on the agent port; it may still be starting, or know "
                        "no agent (try `netlab console`)");
            return false;
        }
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
}

bool agent_open(struct agent *agent, const char *node_directory, int timeout_ms, int cancel_fd,
                GError **error)
{
    g_autofree char *path = g_build_filename(node_directory, "agent.sock", NULL);
    *agent = (struct agent){.lock = take_agent_lock(node_directory, timeout_ms, error)};
    if (agent->lock < 0)
        return false;
    int fd = paths_connect(path);
    if (fd < 0) {
        g_set_error(error, AGENT_ERROR, AGENT_ERROR_ABSENT,
                    "%s: %s; is the machine running? (see `netlab status`)", path, g_strerror(errno));
        agent_close(agent);
        return false;
    }
    channel_init(&agent->channel, fd);
    agent->channel.cancel_fd = cancel_fd;
    if (synchronise(agent, timeout_ms, error))
        return true;
    agent_close(agent);
    return false;
}

void agent_close(struct agent *agent)
{
    channel_clear(&agent->channel);
    if (agent->lock >= 0)
        close(agent->lock);
    agent->lock = -1;
}

JsonNode *agent_call(struct agent *agent, const char *command, JsonObject *arguments, int timeout_ms,
                     GError **error)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    if (!send_command(&agent->channel, command, arguments, error))
        return NULL;
    for (;;) {
        g_autoptr(JsonObject) answer = channel_receive(&agent->channel, remaining(deadline), error);
        if (!answer) {
            g_prefix_error(error, "%s: ", command);
            return NULL;
        }
        if (json_object_has_member(answer, "return"))
            return json_node_copy(json_object_get_member(answer, "return"));
        if (json_object_has_member(answer, "error")) {
            JsonNode *node = json_object_get_member(answer, "error");
            JsonObject *why = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
            g_set_error(error, AGENT_ERROR, AGENT_ERROR_REFUSED, "the guest says: %s",
                        channel_string(why, "desc", "error without description"));
            return NULL;
        }
        /* Events (NETLAB_READY) are no answers. */
    }
}

void agent_result_clear(struct agent_result *result)
{
    g_clear_pointer(&result->out, g_bytes_unref);
    g_clear_pointer(&result->err, g_bytes_unref);
}

static GBytes *decode(JsonObject *object, const char *member)
{
    const char *text = channel_string(object, member, NULL);
    gsize length = 0;
    guchar *data = text ? g_base64_decode(text, &length) : NULL;
    return g_bytes_new_take(data, length);
}

enum { REQUEST_MOST = 65000, ARGUMENTS_MOST = 64 }; /* what a guest's agent takes: netlab/guest/agent.c */

/* A longer request would be dropped by the guest without a word. */
static bool check_request(JsonObject *arguments, guint count, GError **error)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    json_node_set_object(node, arguments);
    g_autofree char *text = json_to_string(node, FALSE);
    if (strlen(text) <= REQUEST_MOST && count <= ARGUMENTS_MOST)
        return true;
    g_set_error(error, AGENT_ERROR, AGENT_ERROR_REFUSED,
                "the command is too long for the guest's agent (%zu bytes of %d, %u arguments of %d); give "
                "several shorter ones, or one shell command in quotes",
                strlen(text), REQUEST_MOST, count, ARGUMENTS_MOST);
    return false;
}

static bool start(struct agent *agent, const char *const *argv, int timeout_ms, gint64 *pid, GError **error)
{
    JsonObject *arguments = json_object_new();
    JsonArray *list = json_array_new();
    json_object_set_string_member(arguments, "path", argv[0]);
    for (int i = 1; argv[i]; i++)
        json_array_add_string_element(list, argv[i]);
    json_object_set_array_member(arguments, "arg", list);
    json_object_set_boolean_member(arguments, "capture-output", TRUE);
    if (!check_request(arguments, json_array_get_length(list), error)) {
        json_object_unref(arguments);
        return false;
    }
    g_autoptr(JsonNode) answer = agent_call(agent, "guest-exec", arguments, timeout_ms, error);
    if (!answer)
        return false;
    *pid = channel_number(JSON_NODE_HOLDS_OBJECT(answer) ? json_node_get_object(answer) : NULL, "pid", -1);
    if (*pid > 0)
        return true;
    g_set_error(error, AGENT_ERROR, AGENT_ERROR_REFUSED, "the guest's answer to guest-exec has no pid");
    return false;
}

/* Asks how the command is. An answer that does not come may be lost for ever, in a guest that restarts:
 * synchronise then, and the next question tells (a new guest does not know the command). NULL without error:
 * ask again. */
static JsonNode *ask_status(struct agent *agent, gint64 pid, gint64 deadline, GError **error)
{
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "pid", pid);
    g_autoptr(GError) cause = NULL;
    JsonNode *answer = agent_call(agent, "guest-exec-status", arguments,
                                  CLAMP(remaining(deadline), 1000, ANSWER_MS), &cause);
    if (answer)
        return answer;
    if (g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) && remaining(deadline)) {
        synchronise(agent, ANSWER_MS, NULL);
        return NULL;
    }
    if (g_error_matches(cause, AGENT_ERROR, AGENT_ERROR_REFUSED))
        g_prefix_error(&cause, "the guest has lost the command (did it restart?): ");
    g_propagate_error(error, g_steal_pointer(&cause));
    return NULL;
}

bool agent_exec(struct agent *agent, const char *const *argv, int timeout_ms, struct agent_result *result,
                GError **error)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000, pid = 0;
    if (!start(agent, argv, MIN(timeout_ms, START_MS), &pid, error))
        return false;
    for (unsigned pause = STATUS_EVERY_MS;; pause = MIN(pause * 2, STATUS_EVERY_MOST_MS)) {
        GError *cause = NULL;
        g_autoptr(JsonNode) answer = ask_status(agent, pid, deadline, &cause);
        if (cause) {
            g_propagate_error(error, cause);
            return false;
        }
        JsonObject *status = answer && JSON_NODE_HOLDS_OBJECT(answer) ? json_node_get_object(answer) : NULL;
        if (channel_flag(status, "exited")) {
            gint64 signal = channel_number(status, "signal", 0);
            result->status = signal ? (int)(128 + signal) : (int)channel_number(status, "exitcode", 0);
            result->out = decode(status, "out-data");
            result->err = decode(status, "err-data");
            result->truncated =
                channel_flag(status, "out-truncated") || channel_flag(status, "err-truncated");
            return true;
        }
        if (!remaining(deadline)) {
            g_set_error(
                error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                "the command has not ended within %d s; it goes on in the guest (give a longer --timeout)",
                timeout_ms / 1000);
            return false;
        }
        g_usleep(pause * 1000); /* the protocol has no other way than asking again; deadline above */
    }
}

/* ---- readiness ---- */

void agent_probe_init(struct agent_probe *probe, const char *node_directory)
{
    *probe = (struct agent_probe){.path = g_build_filename(node_directory, "agent.sock", NULL)};
    probe->channel.fd = probe->channel.cancel_fd = probe->channel.received_fd = -1;
}

void agent_probe_clear(struct agent_probe *probe)
{
    channel_clear(&probe->channel);
    g_clear_pointer(&probe->path, g_free);
}

static bool says_ready(JsonObject *line)
{
    if (g_str_equal(channel_string(line, "event", ""), "NETLAB_READY"))
        return true;
    JsonNode *node = json_object_get_member(line, "return");
    if (!node || !JSON_NODE_HOLDS_OBJECT(node))
        return false;
    /* guest-info: ours tells whether the node is configured, QEMU's agent is there only when the guest is up.
     */
    JsonObject *info = json_node_get_object(node);
    return json_object_has_member(info, "version") &&
           (!json_object_has_member(info, "ready") || channel_flag(info, "ready"));
}

bool agent_probe_step(struct agent_probe *probe)
{
    gint64 now = g_get_monotonic_time();
    if (probe->is_ready)
        return true;
    if (probe->channel.fd < 0) {
        int fd = now >= probe->next ? paths_connect(probe->path) : -1;
        if (fd < 0)
            return false;
        channel_init(&probe->channel, fd);
    }
    if (now >= probe->next) {
        probe->next = now + PROBE_EVERY_MS * 1000;
        /* The first newline ends whatever stood in the line. */
        if (!channel_send_text(&probe->channel, "\n{\"execute\":\"guest-info\"}", NULL)) {
            channel_clear(&probe->channel);
            return false;
        }
    }
    for (;;) {
        g_autoptr(JsonObject) line = NULL;
        g_autoptr(GError) error = NULL;
        if (!channel_try(&probe->channel, &line, &error)) {
            if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA))
                continue; /* boot noise */
            channel_clear(&probe->channel);
            probe->next = now + PROBE_EVERY_MS * 1000;
            return false;
        }
        if (line && says_ready(line)) {
            probe->is_ready = true;
            channel_clear(&probe->channel);
            return true;
        }
        if (!line &&
            (!probe->channel.in->len || !memchr(probe->channel.in->data, '\n', probe->channel.in->len)))
            return false;
    }
}
