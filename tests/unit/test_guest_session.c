/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The guest program's sessions, run here: answers that were lost and are asked for again, input that comes
 * twice, streams longer than all buffers, ends, signals and terminals; and its SHA-256 against GLib's.
 */
#include "netlab/guest/guest.h"

#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

void guest_log(const char *format, ...)
{
}

/* As main.c does it, without the console. */
pid_t guest_spawn(char *const argv[], const char *tty, int in, int out, int err)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    setsid();
    if (tty) {
        in = out = err = open(tty, O_RDWR);
        ioctl(in, TIOCSCTTY, 1);
    }
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    execvp(argv[0], argv);
    _exit(127);
}

static long long open_shell(const char *command, bool terminal)
{
    struct text reply = {0};
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)command, NULL};
    struct session_start start = {
        .argv = argv, .terminal = terminal, .digest = true, .rows = 7, .columns = 77};
    const char *wrong = session_open(&start, &reply);
    g_assert_cmpstr(wrong, ==, NULL);
    const char *at = strstr(reply.at, "\"session\":");
    long long number = g_ascii_strtoll(at + strlen("\"session\":"), NULL, 10);
    text_free(&reply);
    return number;
}

static void reap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        session_child_ended(pid, status);
}

/* One round of the guest's loop. */
static void turn(void)
{
    struct pollfd fds[SESSIONS * 3];
    unsigned count = session_fds(fds);
    poll(fds, count, 5);
    reap();
    session_poll();
}

struct answer {
    GByteArray *out;
    long long out_at, err_at, taken;
    bool over;
    int exit_code;
    char *sum;
};

static long long number(const char *text, const char *name)
{
    g_autofree char *key = g_strdup_printf("\"%s\":", name);
    const char *at = strstr(text, key);
    return at ? g_ascii_strtoll(at + strlen(key), NULL, 10) : -1;
}

/* The new bytes of a stream; false: there are none. */
static GBytes *stream_of(const char *text, const char *name)
{
    g_autofree char *key = g_strdup_printf("\"%s-data\":\"", name);
    const char *at = strstr(text, key);
    if (!at)
        return NULL;
    at += strlen(key);
    g_autofree char *coded = g_strndup(at, strcspn(at, "\""));
    gsize length;
    guchar *data = g_base64_decode(coded, &length);
    return g_bytes_new_take(data, length);
}

/* Exchanges until the end; of each three answers one is lost. */
static void converse(long long session, const char *input, gsize input_length, struct answer *answer)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    *answer = (struct answer){.out = g_byte_array_new()};
    for (unsigned round = 0; !answer->over; round++) {
        struct text reply = {0};
        gsize rest = input_length - (gsize)answer->taken, n = MIN(rest, 20000);
        g_autofree char *part = n ? g_memdup2(input + answer->taken, n) : NULL;
        struct session_exchange exchange = {.session = session,
                                            .out_acknowledged = answer->out_at,
                                            .err_acknowledged = answer->err_at,
                                            .input_at = answer->taken,
                                            .wait = 1000,
                                            .input = part,
                                            .input_length = n,
                                            .input_end = n == rest};
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        const char *wrong = session_exchange(&exchange, &reply);
        g_assert_cmpstr(wrong, ==, NULL);
        turn();
        if (!reply.length)
            session_pending(true, &reply);
        g_assert_cmpint(reply.length, >, 0);
        g_assert_cmpint(reply.length, <, 80000);
        if (round % 3 == 1) { /* lost */
            text_free(&reply);
            continue;
        }
        g_autoptr(GBytes) out = stream_of(reply.at, "out"), err = stream_of(reply.at, "err");
        if (out) {
            g_assert_cmpint(number(reply.at, "out-at"), ==, answer->out_at);
            g_byte_array_append(answer->out, g_bytes_get_data(out, NULL), (guint)g_bytes_get_size(out));
            answer->out_at += (long long)g_bytes_get_size(out);
        }
        answer->err_at += err ? (long long)g_bytes_get_size(err) : 0;
        answer->taken = number(reply.at, "input-taken");
        answer->over = strstr(reply.at, "exitcode") || strstr(reply.at, "signal");
        answer->exit_code = (int)number(reply.at, "exitcode");
        const char *sum = strstr(reply.at, "\"out-sha256\":\"");
        if (sum)
            answer->sum = g_strndup(sum + strlen("\"out-sha256\":\""), 64);
        text_free(&reply);
    }
    g_assert_cmpstr(session_close(session), ==, NULL);
    g_assert_nonnull(session_close(session));
}

static void answer_clear(struct answer *answer)
{
    g_byte_array_unref(answer->out);
    g_free(answer->sum);
}

static void test_long_streams(void)
{
    gsize length = 300000;
    g_autofree char *input = g_malloc(length);
    struct answer answer;
    for (gsize i = 0; i < length; i++)
        input[i] = (char)(i * 31 >> 3);
    converse(open_shell("cat; echo x >&2; exit 3", false), input, length, &answer);
    g_assert_cmpint(answer.exit_code, ==, 3);
    g_assert_cmpint(answer.err_at, ==, 2);
    g_assert_cmpmem(answer.out->data, answer.out->len, input, length);
    g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)input, length);
    g_assert_cmpstr(answer.sum, ==, sum);
    answer_clear(&answer);
}

/* What ended has its output; what it left in the background is not waited for, nor what that prints. */
static void test_background(void)
{
    struct answer answer;
    converse(open_shell("head -c 100000 /dev/zero; (sleep 30; echo late) & exit 0", false), "", 0, &answer);
    g_assert_cmpint(answer.out->len, ==, 100000);
    answer_clear(&answer);
}

static void test_terminal(void)
{
    struct answer answer;
    converse(open_shell("stty size", true), "", 0, &answer);
    g_byte_array_append(answer.out, (const guint8 *)"", 1);
    g_assert_nonnull(strstr((char *)answer.out->data, "7 77"));
    answer_clear(&answer);
}

static void test_signal(void)
{
    long long session = open_shell("exec sleep 100", false);
    struct answer answer;
    g_assert_nonnull(session_signal(session, 0));
    g_assert_nonnull(session_signal(session, 65));
    g_assert_nonnull(session_signal(session + 1, SIGTERM));
    g_assert_nonnull(session_resize(session, 1, 1));
    g_assert_cmpstr(session_signal(session, SIGTERM), ==, NULL);
    converse(session, "", 0, &answer);
    g_assert_cmpint(answer.exit_code, ==, -1); /* by a signal */
    answer_clear(&answer);
}

/* What no good host says is refused, and nothing changes. */
static void test_refused(void)
{
    long long session = open_shell("cat", false), more[SESSIONS];
    struct text reply = {0};
    const struct session_exchange wrong[] = {{.session = session + 5},
                                             {.session = session, .out_acknowledged = 1},
                                             {.session = session, .err_acknowledged = -1},
                                             {.session = session, .input_at = 10},
                                             {.session = session, .input_at = -1}};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_nonnull(session_exchange(&wrong[i], &reply));
    for (unsigned i = 1; i < SESSIONS; i++)
        more[i] = open_shell("sleep 100", false);
    char *argv[] = {(char *)"/bin/true", NULL};
    struct session_start start = {.argv = argv};
    g_assert_nonnull(session_open(&start, &reply));
    for (unsigned i = 1; i < SESSIONS; i++)
        g_assert_cmpstr(session_close(more[i]), ==, NULL);
    struct answer answer;
    converse(session, "still", 5, &answer);
    g_assert_cmpmem(answer.out->data, answer.out->len, "still", 5);
    answer_clear(&answer);
    text_free(&reply);
}

static void test_sha256(void)
{
    uint8_t data[300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i);
    for (size_t length = 0; length < sizeof data; length++) {
        struct sha256 sum;
        char text[65];
        g_autofree char *wanted = g_compute_checksum_for_data(G_CHECKSUM_SHA256, data, length);
        sha256_begin(&sum);
        sha256_add(&sum, data, length / 3);
        sha256_add(&sum, data + length / 3, length - length / 3);
        sha256_end(&sum, text);
        g_assert_cmpstr(text, ==, wanted);
    }
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/sha256", test_sha256);
    g_test_add_func("/guest/long-streams", test_long_streams);
    g_test_add_func("/guest/background", test_background);
    g_test_add_func("/guest/terminal", test_terminal);
    g_test_add_func("/guest/signal", test_signal);
    g_test_add_func("/guest/refused", test_refused);
    return g_test_run();
}
