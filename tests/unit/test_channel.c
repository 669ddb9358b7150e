/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * JSON lines and the guest agent's client against peers that answer late, in pieces, wrongly, too much, or
 * not at all.
 */
#include "netlab/agent.h"
#include "netlab/paths.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void pair_new(struct channel *near_end, int *far_end)
{
    int fds[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    channel_init(near_end, fds[0]);
    *far_end = fds[1];
}

static void put(int fd, const char *text)
{
    g_assert_cmpint(write(fd, text, strlen(text)), ==, (gssize)strlen(text));
}

static void test_lines(void)
{
    struct channel channel;
    int peer;
    pair_new(&channel, &peer);
    g_autoptr(GError) error = NULL;
    JsonObject *object = NULL;
    g_assert_true(channel_try(&channel, &object, &error));
    g_assert_null(object);
    put(peer, "{\"a\":");
    g_assert_true(channel_try(&channel, &object, &error));
    g_assert_null(object);
    put(peer, "1}\n\n{\"b\":\"x\"}\nrubbish\n\xff{\"c\":true}\n[1]\n");
    object = channel_receive(&channel, 1000, &error);
    g_assert_no_error(error);
    g_assert_cmpint(channel_number(object, "a", 0), ==, 1);
    g_assert_cmpint(channel_number(object, "b", 7), ==, 7);
    json_object_unref(object);
    object = channel_receive(&channel, 1000, &error);
    g_assert_cmpstr(channel_string(object, "b", ""), ==, "x");
    g_assert_cmpstr(channel_string(object, "a", "none"), ==, "none");
    json_object_unref(object);
    g_assert_null(channel_receive(&channel, 1000, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    g_clear_error(&error);
    object = channel_receive(&channel, 1000, &error); /* what came before the 0xff is left out */
    g_assert_true(channel_flag(object, "c"));
    json_object_unref(object);
    g_assert_null(channel_receive(&channel, 1000, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    g_clear_error(&error);
    g_assert_null(channel_receive(&channel, 20, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    g_clear_error(&error);
    close(peer);
    g_assert_null(channel_receive(&channel, 1000, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CLOSED);
    channel_clear(&channel);
}

static void test_cancel(void)
{
    struct channel channel;
    int peer, cancel[2];
    pair_new(&channel, &peer);
    g_assert_cmpint(pipe2(cancel, O_CLOEXEC), ==, 0);
    channel.cancel_fd = cancel[0];
    put(cancel[1], "x");
    g_autoptr(GError) error = NULL;
    g_assert_null(channel_receive(&channel, -1, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    close(peer);
    close(cancel[0]);
    close(cancel[1]);
    channel_clear(&channel);
}

static void test_passed_fd(void)
{
    struct channel channel, other;
    int peer;
    pair_new(&channel, &peer);
    channel_init(&other, peer);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    g_autoptr(JsonObject) object = json_object_new();
    g_autoptr(GError) error = NULL;
    g_assert_true(channel_send(&channel, object, fd, &error));
    g_autoptr(JsonObject) received = channel_receive(&other, 1000, &error);
    g_assert_no_error(error);
    g_assert_cmpint(other.received_fd, >=, 0);
    g_assert_cmpint(other.received_fd, !=, fd);
    close(fd);
    channel_clear(&channel);
    channel_clear(&other);
}

static void test_line_without_end(void)
{
    struct channel channel;
    int peer;
    pair_new(&channel, &peer);
    pid_t child = fork();
    if (child == 0) {
        close(channel.fd);
        g_autofree char *data = g_strnfill(1 << 20, 'x');
        for (int i = 0; i < 64; i++) {
            if (send(peer, data, 1 << 20, MSG_NOSIGNAL) < 0)
                _exit(0);
        }
        _exit(1);
    }
    close(peer);
    g_autoptr(GError) error = NULL;
    g_assert_null(channel_receive(&channel, 60000, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    channel_clear(&channel);
    int status;
    waitpid(child, &status, 0);
    g_assert_cmpint(status, ==, 0);
}

/* ---- the agent: a child plays the guest ---- */

struct guest {
    char *folder;
    pid_t pid;
};

typedef void guest_answer(int fd, const char *line);

static void guest_start(struct guest *guest, const char *greeting, guest_answer *answer)
{
    guest->folder = g_dir_make_tmp("netlab-agent.XXXXXX", NULL);
    g_autofree char *path = g_build_filename(guest->folder, "agent.sock", NULL);
    int listener = paths_listen(path);
    g_assert_cmpint(listener, >=, 0);
    guest->pid = fork();
    if (guest->pid == 0) {
        for (;;) {
            int fd = accept(listener, NULL, NULL);
            FILE *file = fdopen(fd, "r");
            char line[4096];
            if (greeting && write(fd, greeting, strlen(greeting)) < 0)
                _exit(1);
            while (fgets(line, sizeof line, file))
                answer(fd, line);
            fclose(file);
        }
    }
    close(listener);
}

static void guest_end(struct guest *guest)
{
    g_autofree char *path = g_build_filename(guest->folder, "agent.sock", NULL);
    kill(guest->pid, SIGKILL);
    waitpid(guest->pid, NULL, 0);
    g_unlink(path);
    g_rmdir(guest->folder);
    g_free(guest->folder);
}

static void send_text(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) < 0)
        _exit(1);
}

static void answer_well(int fd, const char *line)
{
    const char *id = strstr(line, "\"id\":");
    if (strstr(line, "guest-sync-delimited")) {
        g_autofree char *text =
            g_strdup_printf("{\"return\":99}\n\xff{\"return\":%lld}\n", id ? atoll(id + 5) : 0);
        send_text(fd, text);
    } else if (strstr(line, "guest-exec-status")) {
        send_text(fd, "{\"event\":\"NETLAB_READY\"}\n{\"return\":{\"exited\":true,\"exitcode\":4,\"out-"
                      "data\":\"aGFsbG8K\"}}\n");
    } else if (strstr(line, "guest-exec")) {
        send_text(fd, "{\"return\":{\"pid\":12}}\n");
    } else if (strstr(line, "guest-info")) {
        send_text(fd, "{\"return\":{\"version\":\"1\",\"ready\":true}}\n");
    } else if (strstr(line, "execute")) {
        send_text(fd, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"no such command\"}}\n");
    }
}

static void answer_nothing(int fd, const char *line)
{
}

static void answer_not_ready(int fd, const char *line)
{
    if (strstr(line, "guest-info"))
        send_text(fd, "{\"return\":{\"version\":\"1\",\"ready\":false}}\n");
}

static void test_agent(void)
{
    struct guest guest;
    struct agent agent, second;
    struct agent_result result = {0};
    g_autoptr(GError) error = NULL;
    /* An earlier client's answer still stands in the line. */
    guest_start(&guest, "{\"return\":{\"left\":\"over\"}}\nhalf a li", answer_well);
    g_assert_true(agent_open(&agent, guest.folder, 5000, -1, &error));
    g_assert_no_error(error);
    g_assert_false(agent_open(&second, guest.folder, 50, -1, &error));
    g_assert_error(error, AGENT_ERROR, AGENT_ERROR_BUSY);
    g_clear_error(&error);
    static const char *const argv[] = {"/bin/echo", "hallo", NULL};
    g_assert_true(agent_exec(&agent, argv, 5000, &result, &error));
    g_assert_no_error(error);
    g_assert_cmpint(result.status, ==, 4);
    gsize length;
    const char *out = g_bytes_get_data(result.out, &length);
    g_assert_cmpmem(out, length, "hallo\n", 6);
    agent_result_clear(&result);
    g_assert_null(agent_call(&agent, "guest-frob", NULL, 1000, &error));
    g_assert_error(error, AGENT_ERROR, AGENT_ERROR_UNKNOWN);
    g_assert_cmpstr(error->message, ==, "the guest says: no such command");
    agent_close(&agent);
    guest_end(&guest);
}

/* ---- sessions ---- */

/* What the guest says to each netlab-exchange in turn; the last one again and again. */
static const char *const *exchanges;

static void answer_session(int fd, const char *line)
{
    static unsigned count;
    if (strstr(line, "netlab-open")) {
        send_text(fd, "{\"return\":{\"session\":5,\"pid\":7}}\n");
    } else if (strstr(line, "netlab-exchange")) {
        send_text(fd, exchanges[count]);
        count += exchanges[count + 1] != NULL;
    } else if (strstr(line, "netlab-")) {
        send_text(fd, "{\"return\":{}}\n");
    } else {
        answer_well(fd, line);
    }
}

static void run_session(const char *const *answers, struct agent_result *result, GError **error)
{
    struct guest guest;
    struct agent agent;
    static const char *const argv[] = {"/bin/true", NULL};
    exchanges = answers;
    guest_start(&guest, NULL, answer_session);
    g_assert_true(agent_open(&agent, guest.folder, 5000, -1, error));
    agent_exec(&agent, argv, 5000, result, error);
    agent_close(&agent);
    guest_end(&guest);
}

/* Answers that come twice, overlap, and are mixed with noise and events. */
static void test_session(void)
{
    static const char *const answers[] = {
        "{\"event\":\"NETLAB_READY\"}\nnoise\n{\"return\":{\"input-taken\":0,\"out-at\":0,\"out-data\":"
        "\"aGFs\"}}\n",
        "{\"return\":{\"input-taken\":0,\"out-at\":0,\"out-data\":\"aGFs\"}}\n",
        "{\"return\":{\"input-taken\":-7,\"out-at\":1,\"out-data\":\"YWxsbwo=\",\"err-at\":0,\"err-data\":"
        "\"eA==\"}}\n",
        "{\"return\":{\"input-taken\":1e300,\"out-data\":4,\"err-at\":\"x\",\"exitcode\":4}}\n", NULL};
    struct agent_result result = {0};
    g_autoptr(GError) error = NULL;
    gsize length;
    run_session(answers, &result, &error);
    g_assert_no_error(error);
    g_assert_cmpint(result.status, ==, 4);
    const char *out = g_bytes_get_data(result.out, &length);
    g_assert_cmpmem(out, length, "hallo\n", 6);
    out = g_bytes_get_data(result.err, &length);
    g_assert_cmpmem(out, length, "x", 1);
    agent_result_clear(&result);
}

static void test_session_hostile(void)
{
    g_autofree char *flood = g_strnfill(3 << 20, 'x');
    const struct {
        const char *answer, *says;
    } cases[] = {
        {"{\"return\":{\"out-at\":100,\"out-data\":\"aGFs\"}}\n", "lost a part"},
        {"{\"return\":{\"out-at\":9223372036854775807,\"out-data\":\"aGFs\"}}\n", "lost a part"},
        {"{\"return\":{\"err-at\":-1,\"err-data\":\"aGFs\"}}\n", "lost a part"},
        {"{\"error\":{\"class\":\"GenericError\",\"desc\":\"no such session\"}}\n", "session is lost"},
        {flood, "sent a line of more"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *const answers[] = {cases[i].answer, NULL};
        struct agent_result result = {0};
        g_autoptr(GError) error = NULL;
        run_session(answers, &result, &error);
        g_assert_nonnull(error);
        if (!strstr(error->message, cases[i].says) && cases[i].answer != flood)
            g_error("%s instead of: %s", error->message, cases[i].says);
    }
}

/* A command that never ends is told to, then forgotten. */
static void test_session_endless(void)
{
    static const char *const answers[] = {"{\"return\":{\"input-taken\":0}}\n", NULL};
    struct agent_result result = {0};
    g_autoptr(GError) error = NULL;
    gint64 began = g_get_monotonic_time();
    run_session(answers, &result, &error);
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, "cannot be ended"));
    g_assert_cmpint(g_get_monotonic_time() - began, <, 60 * G_USEC_PER_SEC);
}

/* A guest that restarts under a command: the question is lost, and afterwards nobody knows the command. */
static void answer_restarting(int fd, const char *line)
{
    static bool has_restarted;
    if (!strstr(line, "guest-exec-status"))
        answer_well(fd, line);
    else if (has_restarted)
        send_text(fd, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no such command\"}}\n");
    has_restarted = has_restarted || strstr(line, "guest-exec-status");
}

static void test_restarting_guest(void)
{
    struct guest guest;
    struct agent agent;
    struct agent_result result = {0};
    g_autoptr(GError) error = NULL;
    static const char *const argv[] = {"/bin/true", NULL};
    guest_start(&guest, NULL, answer_restarting);
    g_assert_true(agent_open(&agent, guest.folder, 5000, -1, &error));
    g_assert_false(agent_exec(&agent, argv, 60000, &result, &error));
    g_assert_error(error, AGENT_ERROR, AGENT_ERROR_REFUSED);
    g_assert_true(g_str_has_prefix(error->message, "the guest has lost the command (did it restart?)"));
    agent_close(&agent);
    guest_end(&guest);
}

static void test_silent_agent(void)
{
    struct guest guest;
    struct agent agent;
    g_autoptr(GError) error = NULL;
    guest_start(&guest, NULL, answer_nothing);
    g_assert_false(agent_open(&agent, guest.folder, 100, -1, &error));
    g_assert_error(error, AGENT_ERROR, AGENT_ERROR_SILENT);
    g_clear_error(&error);
    guest_end(&guest);
    g_assert_false(agent_open(&agent, "/nowhere", 100, -1, &error));
    g_assert_error(error, AGENT_ERROR, AGENT_ERROR_ABSENT);
}

static bool becomes_ready(struct guest *guest, unsigned ms)
{
    struct agent_probe probe;
    agent_probe_init(&probe, guest->folder);
    gint64 deadline = g_get_monotonic_time() + (gint64)ms * 1000;
    bool ready = false;
    while (!ready && g_get_monotonic_time() < deadline) {
        ready = agent_probe_step(&probe);
        GPollFD fd = {.fd = probe.channel.fd, .events = G_IO_IN};
        if (!ready)
            g_poll(&fd, probe.channel.fd >= 0, 20);
    }
    agent_probe_clear(&probe);
    return ready;
}

static void test_probe(void)
{
    struct guest guest;
    guest_start(&guest, "\r\n[    0.1] boot noise {\n", answer_well);
    g_assert_true(becomes_ready(&guest, 5000));
    guest_end(&guest);
    guest_start(&guest, "{\"event\":\"NETLAB_READY\"}\n", answer_nothing);
    g_assert_true(becomes_ready(&guest, 5000));
    guest_end(&guest);
    guest_start(&guest, "{\"event\":\"SOMETHING\"}\n", answer_not_ready);
    g_assert_false(becomes_ready(&guest, 600));
    guest_end(&guest);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    g_test_add_func("/channel/lines", test_lines);
    g_test_add_func("/channel/cancel", test_cancel);
    g_test_add_func("/channel/passed-fd", test_passed_fd);
    g_test_add_func("/channel/line-without-end", test_line_without_end);
    g_test_add_func("/agent/exec", test_agent);
    g_test_add_func("/agent/restarting", test_restarting_guest);
    g_test_add_func("/agent/session", test_session);
    g_test_add_func("/agent/session-hostile", test_session_hostile);
    if (g_test_slow() || g_getenv("NETLAB_TEST_FULL"))
        g_test_add_func("/agent/session-endless", test_session_endless);
    g_test_add_func("/agent/silent", test_silent_agent);
    g_test_add_func("/agent/probe", test_probe);
    return g_test_run();
}
