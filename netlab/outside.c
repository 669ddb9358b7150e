/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See outside.h. The two speak JSON lines over a socket pair (channel.h):
 *   → {"node":…, "payload":…, "directory":…, "emulator":…, "mark":…, "interface":…, "change":…, "uid":…,
 * "gid":…} with the TAP ← {"identity":…} or {"error":…} → {"go":true}  ← {"done":true} or {"error":…}       →
 * {"go":false}: cancelled, no answer
 */
#include "netlab/outside.h"
#include "netlab/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_TIMEOUT_MS = 30000, REAP_MS = 2000 };

struct outside {
    pid_t pid;
    struct channel channel;
};

/* ---- the child ---- */

static bool say(struct channel *channel, const char *member, const char *text)
{
    g_autoptr(JsonObject) answer = json_object_new();
    json_object_set_string_member(answer, member, text);
    return channel_send(channel, answer, -1, NULL);
}

static void serve_one(struct channel *channel, JsonObject *request, int tap)
{
    g_autoptr(GError) error = NULL;
    struct process_identity identity;
    struct machine_spec spec = {.node = channel_string(request, "node", ""),
                                .payload = channel_string(request, "payload", ""),
                                .directory = channel_string(request, "directory", ""),
                                .emulator = channel_string(request, "emulator", ""),
                                .owner_mark = channel_string(request, "mark", NULL),
                                .interface = channel_string(request, "interface", NULL),
                                .user = {.change = channel_flag(request, "change"),
                                         .uid = (uid_t)channel_number(request, "uid", 0),
                                         .gid = (gid_t)channel_number(request, "gid", 0)},
                                .taps = &tap};
    struct machine_start *start = machine_start_begin(&spec, &identity, &error);
    if (!start) {
        say(channel, "error", error->message);
        return;
    }
    g_autofree char *text = process_format(&identity);
    g_autoptr(JsonObject) word = say(channel, "identity", text) ? channel_receive(channel, -1, NULL) : NULL;
    if (!word || !channel_flag(word, "go")) {
        machine_start_cancel(start);
        return;
    }
    if (machine_start_finish(start, &error))
        say(channel, "done", "");
    else
        say(channel, "error", error->message);
}

/* What it started and what has ended is nobody's business but its own. */
static void reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

/* How long may we wait? As long as we like when there is no child. */
static int reap_pause(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? REAP_MS : -1;
}

static void run(int fd, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    /* Whoever waits for the supervisor's report or holds its lock must not wait for us. */
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (kept != 3) {
        dup3(kept, 3, O_CLOEXEC);
    }
    close_range(4, ~0u, 0);
    struct channel channel;
    channel_init(&channel, 3);
    for (;;) {
        reap();
        /* Looked at again now and then, so that none that ended stays for long. */
        g_autoptr(GError) error = NULL;
        g_autoptr(JsonObject) request = channel_receive(&channel, reap_pause(), &error);
        if (!request && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
            continue;
        if (!request)
            _exit(0);
        int tap = channel.received_fd;
        channel.received_fd = -1;
        serve_one(&channel, request, tap);
        if (tap >= 0)
            close(tap);
    }
}

/* ---- the supervisor's side ---- */

struct outside *outside_new(GError **error)
{
    int pair[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "socketpair: %s", g_strerror(errno));
        return NULL;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        run(pair[1], parent);
    }
    int cause = errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "starting a process: %s",
                    g_strerror(cause));
        return NULL;
    }
    struct outside *outside = g_new0(struct outside, 1);
    outside->pid = pid;
    channel_init(&outside->channel, pair[0]);
    return outside;
}

void outside_free(struct outside *outside)
{
    if (!outside)
        return;
    channel_clear(&outside->channel);
    kill(outside->pid, SIGKILL);
    waitpid(outside->pid, NULL, 0);
    g_free(outside);
}

/* The next answer's member, or the error in it. Owned by the caller. */
static char *hear(struct outside *outside, const char *member, GError **error)
{
    g_autoptr(JsonObject) answer = channel_receive(&outside->channel, ANSWER_TIMEOUT_MS, error);
    if (!answer)
        return NULL;
    const char *text = channel_string(answer, member, NULL);
    if (!text)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            channel_string(answer, "error", "the helper outside the lab has not understood"));
    return g_strdup(text);
}

bool outside_begin(struct outside *outside, const struct machine_spec *spec, int tap,
                   struct process_identity *identity, GError **error)
{
    g_autoptr(JsonObject) request = json_object_new();
    json_object_set_string_member(request, "node", spec->node);
    json_object_set_string_member(request, "payload", spec->payload);
    json_object_set_string_member(request, "directory", spec->directory);
    json_object_set_string_member(request, "emulator", spec->emulator);
    if (spec->owner_mark)
        json_object_set_string_member(request, "mark", spec->owner_mark);
    if (spec->interface)
        json_object_set_string_member(request, "interface", spec->interface);
    json_object_set_boolean_member(request, "change", spec->user.change);
    json_object_set_int_member(request, "uid", spec->user.uid);
    json_object_set_int_member(request, "gid", spec->user.gid);
    g_autofree char *text =
        channel_send(&outside->channel, request, tap, error) ? hear(outside, "identity", error) : NULL;
    if (!text)
        return false;
    if (process_parse(text, identity))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "\"%s\" names no process", text);
    outside_cancel(outside);
    return false;
}

static bool send_word(struct outside *outside, bool go, GError **error)
{
    g_autoptr(JsonObject) word = json_object_new();
    json_object_set_boolean_member(word, "go", go);
    return channel_send(&outside->channel, word, -1, error);
}

bool outside_finish(struct outside *outside, GError **error)
{
    g_autofree char *done = send_word(outside, true, error) ? hear(outside, "done", error) : NULL;
    return done != NULL;
}

void outside_cancel(struct outside *outside)
{
    send_word(outside, false, NULL);
}
