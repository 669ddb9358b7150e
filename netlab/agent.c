/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The guest agent's client; see agent.h.
 */
#include "netlab/agent.h"
#include "netlab/paths.h"
#include "netlab/session.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

G_DEFINE_QUARK(netlab - agent - error - quark, agent_error)

enum {
    PROBE_EVERY_MS = 250,
    STATUS_EVERY_MS = 20,
    STATUS_EVERY_MOST_MS = 500,
    START_MS = 20000, /* for the answer to guest-exec */
    ANSWER_MS = 5000, /* for each guest-exec-status */
    LOCK_EVERY_MS = 10,
    TURN_MS = 60, /* for the one that waits to take the turn that it is given */
    YIELD_MS = 600000,
    OUTPUT_MOST = 16 << 20,
};

static int open_queue(const char *node_directory)
{
    g_autofree char *path = g_build_filename(node_directory, "config", NULL);
    return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

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
    int queue = -1;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (g_get_monotonic_time() >= deadline) {
            g_set_error(error, AGENT_ERROR, AGENT_ERROR_BUSY,
                        "another command is talking to this node; wait until it has finished");
            close(fd);
            fd = -1;
            break;
        }
        struct flock waiting = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
        if (queue < 0 && (queue = open_queue(node_directory)) >= 0)
            fcntl(queue, F_OFD_SETLK, &waiting);
        g_usleep(LOCK_EVERY_MS * 1000);
    }
    if (queue >= 0)
        close(queue);
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

bool agent_synchronise(struct agent *agent, int timeout_ms, GError **error)
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
    *agent = (struct agent){.lock = take_agent_lock(node_directory, timeout_ms, error),
                            .queue = -1,
                            .channel = {.fd = -1, .cancel_fd = -1, .received_fd = -1}};
    if (agent->lock < 0)
        return false;
    agent->queue = open_queue(node_directory);
    agent->directory = g_strdup(node_directory);
    int fd = paths_connect(path);
    if (fd < 0) {
        g_set_error(error, AGENT_ERROR, AGENT_ERROR_ABSENT,
                    "%s: %s; is the machine running? (see `netlab status`)", path, g_strerror(errno));
        agent_close(agent);
        return false;
    }
    channel_init(&agent->channel, fd);
    agent->channel.cancel_fd = cancel_fd;
    if (agent_synchronise(agent, timeout_ms, error))
        return true;
    agent_close(agent);
    return false;
}

void agent_close(struct agent *agent)
{
    channel_clear(&agent->channel);
    if (agent->lock >= 0)
        close(agent->lock);
    if (agent->queue >= 0)
        close(agent->queue);
    agent->lock = agent->queue = -1;
    g_clear_pointer(&agent->directory, g_free);
}

bool agent_is_wanted(struct agent *agent)
{
    struct flock other = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    return agent->queue >= 0 && fcntl(agent->queue, F_OFD_GETLK, &other) == 0 && other.l_type != F_UNLCK;
}

bool agent_yield(struct agent *agent, GError **error)
{
    g_autofree char *directory = g_strdup(agent->directory);
    int cancel_fd = agent->channel.cancel_fd;
    agent_close(agent);
    g_usleep(TURN_MS * 1000); /* it looks every LOCK_EVERY_MS; if it does not come, we are back */
    return agent_open(agent, directory, YIELD_MS, cancel_fd, error);
}

bool agent_send(struct agent *agent, const char *command, JsonObject *arguments, GError **error)
{
    return send_command(&agent->channel, command, arguments, error);
}

/* Sets error when the line is a refusal. */
static bool is_refusal(JsonObject *line, GError **error)
{
    if (!json_object_has_member(line, "error"))
        return false;
    JsonNode *node = json_object_get_member(line, "error");
    JsonObject *why = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    bool is_unknown = g_str_equal(channel_string(why, "class", ""), "CommandNotFound");
    g_set_error(error, AGENT_ERROR, is_unknown ? AGENT_ERROR_UNKNOWN : AGENT_ERROR_REFUSED,
                "the guest says: %s", channel_string(why, "desc", "error without description"));
    return true;
}

bool agent_is_answer(JsonObject *line, JsonObject **answer, GError **error)
{
    if (is_refusal(line, error))
        return true;
    if (!json_object_has_member(line, "return"))
        return false;
    JsonNode *node = json_object_get_member(line, "return");
    *answer = JSON_NODE_HOLDS_OBJECT(node) ? json_object_ref(json_node_get_object(node)) : json_object_new();
    return true;
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
        if (is_refusal(answer, error))
            return NULL;
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
bool agent_check_request(JsonObject *arguments, guint count, GError **error)
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
    if (!agent_check_request(arguments, json_array_get_length(list), error)) {
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
        agent_synchronise(agent, ANSWER_MS, NULL);
        return NULL;
    }
    if (g_error_matches(cause, AGENT_ERROR, AGENT_ERROR_REFUSED))
        g_prefix_error(&cause, "the guest has lost the command (did it restart?): ");
    g_propagate_error(error, g_steal_pointer(&cause));
    return NULL;
}

static void set_timed_out(int timeout_ms, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                "the command has not ended within %d s and was ended in the guest (give a longer --timeout)",
                timeout_ms / 1000);
}

/* By guest-exec, which all agents know: what it prints comes when it has ended. */
static bool exec_plainly(struct agent *agent, const char *const *argv, int timeout_ms,
                         struct agent_result *result, GError **error)
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
            g_autofree char *kill =
                g_strdup_printf("kill -TERM -%" G_GINT64_FORMAT " || kill -TERM %" G_GINT64_FORMAT, pid, pid);
            const char *const words[] = {"/bin/sh", "-c", kill, NULL};
            gint64 killer;
            start(agent, words, ANSWER_MS, &killer, NULL);
            set_timed_out(timeout_ms, error);
            return false;
        }
        g_usleep(pause * 1000); /* the protocol has no other way than asking again; deadline above */
    }
}

/* The content of a file in memory, at most OUTPUT_MOST of it. */
static GBytes *read_back(int fd, bool *truncated)
{
    off_t size = lseek(fd, 0, SEEK_END);
    gsize length = size > 0 ? (gsize)size : 0, done = 0;
    *truncated |= length > OUTPUT_MOST;
    length = MIN(length, OUTPUT_MOST);
    char *data = g_malloc(length + 1);
    for (ssize_t got; done < length && (got = pread(fd, data + done, length - done, (off_t)done)) > 0;)
        done += (gsize)got;
    return g_bytes_new_take(data, done);
}

bool agent_exec(struct agent *agent, const char *const *argv, int timeout_ms, struct agent_result *result,
                GError **error)
{
    struct session_spec spec = {.argv = argv};
    struct session_io io = {.input = -1,
                            .output = memfd_create("out", MFD_CLOEXEC),
                            .error = memfd_create("err", MFD_CLOEXEC),
                            .cancel_fd = -1,
                            .resize_fd = -1,
                            .output_most = OUTPUT_MOST,
                            .deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000};
    struct session_result outcome = {0};
    g_autoptr(GError) cause = NULL;
    bool good = io.output >= 0 && io.error >= 0 && session_run(agent, &spec, &io, &outcome, &cause);
    if (good && outcome.end == SESSION_TIMED_OUT) {
        set_timed_out(timeout_ms, error);
        good = false;
    } else if (good) {
        result->status = outcome.status;
        result->truncated = false;
        result->out = read_back(io.output, &result->truncated);
        result->err = read_back(io.error, &result->truncated);
    } else if (!cause || g_error_matches(cause, AGENT_ERROR, AGENT_ERROR_UNKNOWN)) {
        good = exec_plainly(agent, argv, timeout_ms, result, error);
    } else {
        g_propagate_error(error, g_steal_pointer(&cause));
    }
    session_result_clear(&outcome);
    if (io.output >= 0)
        close(io.output);
    if (io.error >= 0)
        close(io.error);
    return good;
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
