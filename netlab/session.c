/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * One loop: an exchange is asked, and while its answer is waited for the other fds are watched. What is typed
 * meanwhile ends the waiting (an empty line is enough), so that it goes at once. An answer carries the places
 * of its bytes, so a lost one is simply asked for again, after synchronising.
 */
#include "netlab/session.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    INPUT_MOST = 24 * 1024, /* a request: its base64 fits the guest's line */
    WRITE_MOST = 4096,      /* what a pipe that is writable takes without waiting */
    WAIT_MS = 5000,         /* an exchange without news */
    FULL_MS = 20,           /* the program does not read its input */
    KEEP_MS = 20000,        /* output that nobody reads: the guest is told that we are still there */
    LOOK_MS = 25,           /* how often it is looked whether another command waits */
    ANSWER_MS = 10000,      /* longer than that an answer is lost */
    LOST_MOST = 6,          /* answers in a row */
    GRACE_MS = 2000,        /* between asking a program to end and ending it */
    OPEN_MS = 20000,
    LINE_MOST = 1 << 20, /* of what is no answer; an answer is far shorter */
};

struct stream {
    int fd; /* -1: thrown away */
    gint64 at;
    GByteArray *held; /* not written yet */
};

struct run {
    struct agent *agent;
    const struct session_io *io;
    gint64 session;
    struct stream out, err;
    char input[INPUT_MOST];
    gsize input_length;
    gint64 input_at; /* place of input[0] */
    bool input_open, input_stuck;
    bool is_asked, is_nudged; /* an exchange is under way; its waiting has been cut short */
    bool is_digest;
    gint64 asked_at, spoken_at; /* µs */
    unsigned lost;
    enum session_end end; /* why the program is being ended */
    gint64 kill_at;       /* µs, 0: it is not */
    bool is_killed;
    GChecksum *input_sum, *output_sum;
};

void session_result_clear(struct session_result *result)
{
    g_clear_pointer(&result->input_sum, g_free);
    g_clear_pointer(&result->output_sum, g_free);
}

static JsonObject *arguments_of(const struct run *run)
{
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "session", run->session);
    return arguments;
}

/* ---- starting and ending ---- */

static bool open_session(struct run *run, const struct session_spec *spec, GError **error)
{
    JsonObject *arguments = json_object_new();
    JsonArray *list = json_array_new();
    json_object_set_string_member(arguments, "path", spec->argv[0]);
    for (int i = 1; spec->argv[i]; i++)
        json_array_add_string_element(list, spec->argv[i]);
    json_object_set_array_member(arguments, "arg", list);
    if (spec->terminal)
        json_object_set_boolean_member(arguments, "terminal", TRUE);
    if (spec->digest)
        json_object_set_boolean_member(arguments, "digest", TRUE);
    json_object_set_int_member(arguments, "rows", spec->rows);
    json_object_set_int_member(arguments, "columns", spec->columns);
    if (!agent_check_request(arguments, json_array_get_length(list), error)) {
        json_object_unref(arguments);
        return false;
    }
    g_autoptr(JsonNode) answer = agent_call(run->agent, "netlab-open", arguments, OPEN_MS, error);
    if (!answer)
        return false;
    run->session =
        channel_number(JSON_NODE_HOLDS_OBJECT(answer) ? json_node_get_object(answer) : NULL, "session", -1);
    if (run->session > 0)
        return true;
    g_set_error(error, AGENT_ERROR, AGENT_ERROR_UNKNOWN, "the guest's agent knows no sessions");
    return false;
}

/* Only while no exchange is under way. What the guest answers is of no interest: it may have ended. */
static void tell(struct run *run, const char *command, JsonObject *arguments)
{
    g_autoptr(GError) ignored = NULL;
    g_autoptr(JsonNode) answer = agent_call(run->agent, command, arguments, ANSWER_MS, &ignored);
    if (!answer)
        g_debug("%s: %s", command, ignored->message);
}

static void send_signal(struct run *run, int number)
{
    JsonObject *arguments = arguments_of(run);
    json_object_set_int_member(arguments, "signal", number);
    tell(run, "netlab-signal", arguments);
}

/* The program is to end. Its terminal's shell takes no SIGTERM, but a hang-up. */
static void begin_end(struct run *run, enum session_end why)
{
    run->end = why;
    run->input_open = false;
    run->kill_at = g_get_monotonic_time() + GRACE_MS * 1000;
    send_signal(run, why == SESSION_CANCELLED                       ? SIGINT
                     : why == SESSION_LEFT || why == SESSION_UNREAD ? SIGHUP
                                                                    : SIGTERM);
}

/* ---- exchanges ---- */

static bool ask(struct run *run, GError **error)
{
    JsonObject *arguments = arguments_of(run);
    json_object_set_int_member(arguments, "out-acknowledged", run->out.at);
    json_object_set_int_member(arguments, "err-acknowledged", run->err.at);
    json_object_set_int_member(arguments, "input-at", run->input_at);
    int wait = run->kill_at ? LOOK_MS : WAIT_MS;
    if (run->input_length) {
        g_autofree char *text = g_base64_encode((guchar *)run->input, run->input_length);
        json_object_set_string_member(arguments, "input-data", text);
        wait = run->input_stuck ? FULL_MS : 0;
    }
    if (!run->input_open)
        json_object_set_boolean_member(arguments, "input-end", TRUE);
    json_object_set_int_member(arguments, "wait", wait);
    run->is_asked = true;
    run->is_nudged = false;
    run->asked_at = run->spoken_at = g_get_monotonic_time();
    return agent_send(run->agent, "netlab-exchange", arguments, error);
}

static bool nudge(struct run *run, GError **error)
{
    if (!run->is_asked || run->is_nudged)
        return true;
    run->is_nudged = true;
    return channel_send_text(&run->agent->channel, "", error);
}

/* The part of the answer that is new. */
static bool take_stream(struct run *run, struct stream *stream, JsonObject *answer, const char *at_name,
                        const char *data_name, GError **error)
{
    const char *text = channel_string(answer, data_name, NULL);
    gint64 at = channel_number(answer, at_name, -1);
    gsize length = 0;
    if (!text)
        return true;
    g_autofree guchar *data = g_base64_decode(text, &length);
    gint64 known = stream->at - at;
    if (at < 0 || known < 0) {
        g_set_error(error, AGENT_ERROR, AGENT_ERROR_REFUSED,
                    "the guest's agent has lost a part of the output; it is not to be trusted");
        return false;
    }
    if (!data || (guint64)known >= length)
        return true;
    gsize fresh = length - (gsize)known;
    if (run->output_sum && stream == &run->out)
        g_checksum_update(run->output_sum, data + known, (gssize)fresh);
    guint64 most = run->io->output_most;
    if (stream->fd >= 0 && (!most || (guint64)stream->at <= most))
        g_byte_array_append(stream->held, data + known, (guint)fresh);
    stream->at = at + (gint64)length;
    return true;
}

/* *over: it has ended. */
static bool take_answer(struct run *run, JsonObject *answer, bool *over, struct session_result *result,
                        GError **error)
{
    if (!take_stream(run, &run->out, answer, "out-at", "out-data", error) ||
        !take_stream(run, &run->err, answer, "err-at", "err-data", error))
        return false;
    gint64 taken = channel_number(answer, "input-taken", 0) - run->input_at;
    gsize count = (gsize)CLAMP(taken, 0, (gint64)run->input_length);
    if (run->input_sum)
        g_checksum_update(run->input_sum, (guchar *)run->input, (gssize)count);
    run->input_stuck = run->input_length && !count;
    run->input_length -= count;
    memmove(run->input, run->input + count, run->input_length);
    run->input_at += (gint64)count;
    if (channel_flag(answer, "input-closed")) {
        run->input_open = false;
        run->input_length = 0;
    }
    if (!json_object_has_member(answer, "exitcode") && !json_object_has_member(answer, "signal"))
        return true;
    gint64 number = channel_number(answer, "signal", 0);
    *over = true;
    result->end = run->end;
    result->status = number ? (int)(128 + number) : (int)channel_number(answer, "exitcode", 0);
    result->input_sum = g_strdup(channel_string(answer, "input-sha256", NULL));
    result->output_sum = g_strdup(channel_string(answer, "out-sha256", NULL));
    return true;
}

/* Answers that have come. */
static bool receive(struct run *run, bool *over, struct session_result *result, GError **error)
{
    for (;;) {
        g_autoptr(JsonObject) object = NULL;
        g_autoptr(JsonObject) answer = NULL;
        g_autoptr(GError) cause = NULL;
        if (!channel_try(&run->agent->channel, &object, &cause)) {
            if (g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_INVALID_DATA) &&
                run->agent->channel.in->len < LINE_MOST)
                continue;
            g_propagate_prefixed_error(error, g_steal_pointer(&cause), "the machine has ended: ");
            return false;
        }
        if (!object)
            return true;
        if (!agent_is_answer(object, &answer, &cause))
            continue; /* an event */
        run->is_asked = false;
        run->lost = 0;
        if (cause) {
            g_propagate_prefixed_error(error, g_steal_pointer(&cause),
                                       "the command's session is lost (did the guest restart?): ");
            return false;
        }
        if (!take_answer(run, answer, over, result, error))
            return false;
        if (*over)
            return true;
    }
}

/* ---- the other fds ---- */

static void read_input(struct run *run)
{
    ssize_t got = read(run->io->input, run->input + run->input_length, sizeof run->input - run->input_length);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got <= 0) {
        run->input_open = false;
        return;
    }
    char *key =
        run->io->leave_key ? memchr(run->input + run->input_length, run->io->leave_key, (size_t)got) : NULL;
    run->input_length = key ? (gsize)(key - run->input) : run->input_length + (gsize)got;
    if (key) {
        run->input_open = false;
        run->end = SESSION_LEFT;
    }
}

static bool may_read(const struct run *run)
{
    return run->input_open && run->input_length < sizeof run->input / 2 && !run->kill_at;
}

/* What is there already goes with the next exchange. */
static void read_what_is_there(struct run *run)
{
    struct pollfd ready = {.fd = may_read(run) ? run->io->input : -1, .events = POLLIN};
    if (poll(&ready, 1, 0) > 0)
        read_input(run);
}

/* False: nobody reads it. */
static bool write_held(struct stream *stream)
{
    while (stream->held->len) {
        struct pollfd ready = {.fd = stream->fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) <= 0)
            return true;
        ssize_t put = write(stream->fd, stream->held->data, MIN(stream->held->len, WRITE_MOST));
        if (put < 0 && (errno == EINTR || errno == EAGAIN))
            return true;
        if (put <= 0) {
            stream->fd = -1;
            g_byte_array_set_size(stream->held, 0);
            return false;
        }
        g_byte_array_remove_range(stream->held, 0, (guint)put);
    }
    return true;
}

static bool is_full(const struct run *run)
{
    return run->out.held->len || run->err.held->len;
}

/* Waits until something is to be done. */
static bool wait_for_news(struct run *run, bool *resized, bool *cancelled)
{
    const struct session_io *io = run->io;
    struct pollfd fds[] = {
        {.fd = run->agent->channel.fd, .events = POLLIN},
        {.fd = may_read(run) ? io->input : -1, .events = POLLIN},
        {.fd = run->end == SESSION_EXITED ? io->cancel_fd : -1, .events = POLLIN},
        {.fd = io->resize_fd, .events = POLLIN},
        {.fd = run->out.held->len ? run->out.fd : -1, .events = POLLOUT},
        {.fd = run->err.held->len ? run->err.fd : -1, .events = POLLOUT},
    };
    poll(fds, G_N_ELEMENTS(fds), LOOK_MS);
    if (fds[1].revents)
        read_input(run);
    *cancelled = fds[2].revents != 0;
    char bytes[256]; /* a signalfd tells 128 at a time */
    *resized = fds[3].revents && read(io->resize_fd, bytes, sizeof bytes) > 0;
    return fds[0].revents != 0;
}

static void resize(struct run *run)
{
    unsigned rows = 0, columns = 0;
    run->io->size(&rows, &columns);
    JsonObject *arguments = arguments_of(run);
    json_object_set_int_member(arguments, "rows", rows);
    json_object_set_int_member(arguments, "columns", columns);
    tell(run, "netlab-resize", arguments);
}

static bool is_kill_due(const struct run *run)
{
    return run->kill_at && g_get_monotonic_time() >= run->kill_at;
}

/* What wants the channel for itself, while it is silent. False: the guest is lost. */
static bool do_quietly(struct run *run, bool *resized, bool *cancelled, GError **error)
{
    gint64 now = g_get_monotonic_time();
    if (*resized) {
        *resized = false;
        resize(run);
    }
    if (is_kill_due(run)) {
        if (run->is_killed) {
            g_set_error(error, AGENT_ERROR, AGENT_ERROR_REFUSED,
                        "the command cannot be ended in the guest (see `netlab console`)");
            return false;
        }
        run->is_killed = true;
        run->kill_at = now + ANSWER_MS * 1000;
        send_signal(run, SIGKILL);
    } else if (run->kill_at) {
        return true;
    } else if (run->end == SESSION_LEFT) {
        begin_end(run, SESSION_LEFT);
    } else if (*cancelled) {
        *cancelled = false;
        begin_end(run, SESSION_CANCELLED);
    } else if (run->io->deadline && now >= run->io->deadline) {
        begin_end(run, SESSION_TIMED_OUT);
    } else if (agent_is_wanted(run->agent)) {
        return agent_yield(run->agent, error);
    }
    return true;
}

static bool is_quiet_wanted(const struct run *run, bool resized, bool cancelled)
{
    gint64 now = g_get_monotonic_time();
    return resized || is_kill_due(run) ||
           (!run->kill_at &&
            (run->end == SESSION_LEFT || cancelled || (run->io->deadline && now >= run->io->deadline) ||
             agent_is_wanted(run->agent)));
}

/* An answer that does not come: lost, or a guest that is slow or stopped. */
static bool ask_again(struct run *run, GError **error)
{
    if (++run->lost > LOST_MOST) {
        g_set_error(error, AGENT_ERROR, AGENT_ERROR_SILENT,
                    "the guest's agent does not answer any more (is the machine stopped, or overloaded?)");
        return false;
    }
    run->is_asked = false;
    agent_synchronise(run->agent, ANSWER_MS, NULL);
    return true;
}

static bool converse(struct run *run, struct session_result *result, GError **error)
{
    bool over = false, resized = false, cancelled = false;
    while (!over || is_full(run)) {
        gint64 now = g_get_monotonic_time();
        if (!over && !run->is_asked && is_quiet_wanted(run, resized, cancelled) &&
            !do_quietly(run, &resized, &cancelled, error))
            return false;
        if (!over && !run->is_asked && (!is_full(run) || now - run->spoken_at > KEEP_MS * 1000)) {
            read_what_is_there(run);
            if (!ask(run, error))
                return false;
        }
        gsize typed = run->input_length;
        bool was_open = run->input_open, more_size = false, more_cancel = false;
        bool readable = wait_for_news(run, &more_size, &more_cancel);
        resized |= more_size;
        cancelled |= more_cancel;
        if (over && cancelled)
            break;
        if (!write_held(&run->out) | !write_held(&run->err)) {
            if (run->end == SESSION_EXITED)
                run->end = SESSION_UNREAD;
        }
        if (over)
            continue;
        if (readable && !receive(run, &over, result, error))
            return false;
        if (over)
            continue;
        if (run->end == SESSION_UNREAD && !run->is_asked && !run->kill_at)
            begin_end(run, SESSION_UNREAD);
        bool news = run->input_length != typed || run->input_open != was_open || run->end == SESSION_UNREAD ||
                    is_quiet_wanted(run, resized, cancelled);
        if (run->is_asked && news && !nudge(run, error))
            return false;
        if (run->is_asked && g_get_monotonic_time() - run->asked_at > (WAIT_MS + ANSWER_MS) * 1000 &&
            !ask_again(run, error))
            return false;
    }
    return true;
}

/* What both sides counted must be the same. */
static bool compare_sums(const struct run *run, const struct session_result *result, GError **error)
{
    if (!run->is_digest || result->end != SESSION_EXITED)
        return true;
    if (g_strcmp0(result->output_sum, g_checksum_get_string(run->output_sum)) == 0)
        return true;
    g_set_error(error, AGENT_ERROR, AGENT_ERROR_REFUSED,
                "the checksum of what came is not the guest's: it was damaged on its way; try again");
    return false;
}

bool session_run(struct agent *agent, const struct session_spec *spec, const struct session_io *io,
                 struct session_result *result, GError **error)
{
    g_autofree struct run *run = g_new0(struct run, 1);
    *result = (struct session_result){0};
    run->agent = agent;
    run->io = io;
    run->input_open = io->input >= 0;
    run->is_digest = spec->digest;
    if (!open_session(run, spec, error))
        return false;
    if (io->cancel_fd >= 0) /* from here on the loop sees to it; the program is still to be told */
        agent->channel.cancel_fd = -1;
    run->out = (struct stream){.fd = io->output, .held = g_byte_array_new()};
    run->err = (struct stream){.fd = io->error, .held = g_byte_array_new()};
    if (spec->digest) {
        run->input_sum = g_checksum_new(G_CHECKSUM_SHA256);
        run->output_sum = g_checksum_new(G_CHECKSUM_SHA256);
    }
    GError *cause = NULL;
    bool good = converse(run, result, &cause) && compare_sums(run, result, &cause);
    if (good) {
        JsonObject *arguments = arguments_of(run);
        tell(run, "netlab-close", arguments);
        result->input_bytes = (guint64)run->input_at;
        result->output_bytes = (guint64)run->out.at;
        if (spec->digest && result->end == SESSION_EXITED && result->status == 0 &&
            g_strcmp0(result->input_sum, g_checksum_get_string(run->input_sum)) != 0) {
            g_set_error(&cause, AGENT_ERROR, AGENT_ERROR_REFUSED,
                        "the checksum of what arrived in the guest is not that of what was sent; try again");
            good = false;
        }
    }
    if (cause)
        g_propagate_error(error, cause);
    g_byte_array_unref(run->out.held);
    g_byte_array_unref(run->err.held);
    g_clear_pointer(&run->input_sum, g_checksum_free);
    g_clear_pointer(&run->output_sum, g_checksum_free);
    return good;
}
