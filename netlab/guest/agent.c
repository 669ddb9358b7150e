/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The QEMU guest agent's protocol (QEMU documentation, "QEMU Guest Agent Protocol Reference"): one JSON
 * object a line on the second serial port, {"execute": NAME, "arguments": {…}} → {"return": …} or {"error":
 * …}.
 *
 * guest-exec children run under init like everything else; their output is collected through pipes, bounded,
 * and fetched by guest-exec-status; what flows while it runs is a session (session.c). Besides answers one
 * line is sent unasked: {"event": "NETLAB_READY"} once the node is configured; a host that connects later
 * asks with guest-ping.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JSMN_STATIC
#include <jsmn.h>

enum { LINE_MOST = 65536, TOKENS = 512, JOBS = 16, OUTPUT_MOST = 1 << 20, ARGUMENTS_MOST = 64 };

struct stream {
    int fd; /* -1: closed */
    struct text data;
    bool truncated;
};

struct job {
    pid_t pid; /* 0: free */
    bool ended;
    int status;
    struct stream out, err;
    unsigned age;
};

static struct {
    int fd;
    char line[LINE_MOST];
    size_t length;
    bool overlong; /* the present line is too long: skip to its end */
    bool is_ready;
    struct job job[JOBS];
    unsigned age;
} agent = {.fd = -1};

struct arguments {
    const char *json;
    const jsmntok_t *token;
    int count;  /* tokens in all */
    int object; /* token of the arguments object, -1 without */
};

/* ---- JSON in ---- */

static int skip(const struct arguments *a, int i)
{
    int end = a->token[i].end;
    while (i < a->count && a->token[i].start < end)
        i++;
    return i;
}

/* Token of a member's value, or -1. */
static int member(const struct arguments *a, int object, const char *key)
{
    if (object < 0 || a->token[object].type != JSMN_OBJECT)
        return -1;
    int i = object + 1;
    for (int n = 0; n < a->token[object].size && i + 1 < a->count; n++) {
        const jsmntok_t *k = &a->token[i];
        if ((size_t)(k->end - k->start) == strlen(key) && memcmp(a->json + k->start, key, strlen(key)) == 0)
            return i + 1;
        i = skip(a, i + 1);
    }
    return -1;
}

static unsigned hex4(const char *s)
{
    char copy[5] = {s[0], s[1], s[2], s[3], 0};
    return (unsigned)strtoul(copy, NULL, 16);
}

/* A string value, unescaped, allocated; *length may be NULL. */
static char *string_value(const struct arguments *a, int i, size_t *length)
{
    if (i < 0 || a->token[i].type != JSMN_STRING)
        return NULL;
    const char *s = a->json + a->token[i].start, *end = a->json + a->token[i].end;
    char *out = malloc((size_t)(end - s) + 1), *to = out;
    if (!out)
        return NULL;
    while (s < end) {
        if (*s != '\\' || s + 1 >= end) {
            *to++ = *s++;
            continue;
        }
        s++;
        switch (*s++) {
        case 'n':
            *to++ = '\n';
            break;
        case 't':
            *to++ = '\t';
            break;
        case 'r':
            *to++ = '\r';
            break;
        case 'b':
            *to++ = '\b';
            break;
        case 'f':
            *to++ = '\f';
            break;
        case 'u': {
            if (end - s < 4)
                break;
            unsigned c = hex4(s);
            s += 4;
            if (c < 0x80) {
                *to++ = (char)c;
            } else if (c < 0x800) {
                *to++ = (char)(0xc0 | c >> 6);
                *to++ = (char)(0x80 | (c & 63));
            } else {
                *to++ = (char)(0xe0 | c >> 12);
                *to++ = (char)(0x80 | (c >> 6 & 63));
                *to++ = (char)(0x80 | (c & 63));
            }
            break;
        }
        default:
            *to++ = s[-1];
        }
    }
    *to = 0;
    if (length)
        *length = (size_t)(to - out);
    return out;
}

static bool number_value(const struct arguments *a, int i, long long *out)
{
    if (i < 0 || a->token[i].type != JSMN_PRIMITIVE)
        return false;
    char *end;
    *out = strtoll(a->json + a->token[i].start, &end, 10);
    return end == a->json + a->token[i].end;
}

static bool is_true(const struct arguments *a, int i)
{
    return i >= 0 && a->token[i].type == JSMN_PRIMITIVE && a->json[a->token[i].start] == 't';
}

/* ---- JSON out ---- */

static void send_bytes(const char *at, size_t length)
{
    while (length) {
        ssize_t n = write(agent.fd, at, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = agent.fd, .events = POLLOUT};
            if (poll(&p, 1, 5000) <= 0)
                return; /* nobody drains the port */
            continue;
        }
        if (n <= 0)
            return;
        at += n;
        length -= (size_t)n;
    }
}

static void fail(struct text *reply, const char *class, const char *what)
{
    text_free(reply);
    text_addf(reply, "{\"error\":{\"class\":\"%s\",\"desc\":", class);
    text_add_json(reply, what, strlen(what));
    text_add(reply, "}}");
}

/* ---- commands: each fills reply with a whole answer ---- */

static void do_ping(const struct arguments *a, struct text *reply)
{
    (void)a;
    text_add(reply, "{\"return\":{}}");
}

static void do_sync(const struct arguments *a, struct text *reply)
{
    long long id;
    if (!number_value(a, member(a, a->object, "id"), &id)) {
        fail(reply, "GenericError", "guest-sync needs a number as its 'id'");
        return;
    }
    text_addf(reply, "{\"return\":%lld}", id);
}

static void do_host_name(const struct arguments *a, struct text *reply)
{
    (void)a;
    char name[NAME_MAX_LENGTH + 1] = "";
    gethostname(name, sizeof name - 1);
    text_add(reply, "{\"return\":{\"host-name\":");
    text_add_json(reply, name, strlen(name));
    text_add(reply, "}}");
}

static void do_time(const struct arguments *a, struct text *reply)
{
    (void)a;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    text_addf(reply, "{\"return\":%lld}", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
}

static void do_interfaces(const struct arguments *a, struct text *reply)
{
    (void)a;
    text_add(reply, "{\"return\":");
    network_describe(reply);
    text_add(reply, "}");
}

static void do_osinfo(const struct arguments *a, struct text *reply)
{
    (void)a;
    struct utsname u;
    uname(&u);
    text_addf(reply,
              "{\"return\":{\"id\":\"netlab\",\"name\":\"netlab "
              "guest\",\"kernel-release\":\"%s\",\"machine\":\"%s\"}}",
              u.release, u.machine);
}

static void do_shutdown(const struct arguments *a, struct text *reply)
{
    char *mode = string_value(a, member(a, a->object, "mode"), NULL);
    guest_power(mode ? mode : "powerdown");
    free(mode);
    (void)reply; /* QEMU's agent does not answer this one either when it succeeds */
}

static void free_job(struct job *job)
{
    if (job->out.fd >= 0)
        close(job->out.fd);
    if (job->err.fd >= 0)
        close(job->err.fd);
    text_free(&job->out.data);
    text_free(&job->err.data);
    *job = (struct job){.out.fd = -1, .err.fd = -1};
}

/* A free place, else the oldest that has ended and nobody asked for. */
static struct job *place_for_job(void)
{
    struct job *oldest = NULL;
    for (unsigned i = 0; i < JOBS; i++) {
        struct job *job = &agent.job[i];
        if (!job->pid)
            return job;
        if (job->ended && (!oldest || job->age < oldest->age))
            oldest = job;
    }
    if (oldest)
        free_job(oldest);
    return oldest;
}

static int make_pipe(int ends[2], bool wanted)
{
    ends[0] = ends[1] = -1;
    if (!wanted)
        return 0;
    return pipe2(ends, O_CLOEXEC);
}

static void close_end(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void start_job(const struct arguments *a, char *argv[], struct text *reply)
{
    int capture_token = member(a, a->object, "capture-output");
    bool capture = is_true(a, capture_token);
    char *capture_mode =
        string_value(a, capture_token, NULL); /* newer agents: "none", "stdout", "separated" … */
    if (capture_mode && strcmp(capture_mode, "none") != 0)
        capture = true;
    free(capture_mode);
    size_t input_length = 0;
    char *input = string_value(a, member(a, a->object, "input-data"), &input_length);
    struct job *job = place_for_job();
    if (!job) {
        free(input);
        fail(reply, "GenericError", "too many commands are running: wait for one to end");
        return;
    }
    int in[2], out[2], err[2];
    pid_t pid = -1;
    if (make_pipe(in, input != NULL) == 0 && make_pipe(out, capture) == 0 && make_pipe(err, capture) == 0)
        pid = guest_spawn(argv, NULL, in[0], out[1], err[1]);
    close_end(in[0]);
    close_end(out[1]);
    close_end(err[1]);
    if (pid > 0 && input) { /* at most a pipe's worth; more than 64 KiB does not fit a request */
        fcntl(in[1], F_SETFL, O_NONBLOCK);
        size_t n = base64_decode(input, input_length);
        if (write(in[1], input, n) < 0)
            guest_log("input of a command is lost: %s", strerror(errno));
    }
    close_end(in[1]);
    free(input);
    if (pid <= 0) {
        close_end(out[0]);
        close_end(err[0]);
        fail(reply, "GenericError", "the command could not be started");
        return;
    }
    *job = (struct job){.pid = pid, .out.fd = out[0], .err.fd = err[0], .age = ++agent.age};
    if (capture) {
        fcntl(out[0], F_SETFL, O_NONBLOCK);
        fcntl(err[0], F_SETFL, O_NONBLOCK);
    }
    text_addf(reply, "{\"return\":{\"pid\":%d}}", (int)pid);
}

/* A list of words after the first; how many there are then. */
static int add_words(const struct arguments *a, char **argv, int n)
{
    int list = member(a, a->object, "arg");
    if (list < 0 || a->token[list].type != JSMN_ARRAY)
        return n;
    for (int i = list + 1, k = 0; k < a->token[list].size && n <= ARGUMENTS_MOST; k++, i = skip(a, i)) {
        argv[n] = string_value(a, i, NULL);
        if (argv[n])
            n++;
    }
    return n;
}

static void do_exec(const struct arguments *a, struct text *reply)
{
    char *argv[ARGUMENTS_MOST + 2] = {string_value(a, member(a, a->object, "path"), NULL)};
    int n = add_words(a, argv, 1);
    if (argv[0])
        start_job(a, argv, reply);
    else
        fail(reply, "GenericError", "guest-exec needs a 'path'");
    for (int i = 0; i < n; i++)
        free(argv[i]);
}

static void add_stream(struct text *reply, const char *name, const struct stream *s)
{
    if (!s->data.length)
        return;
    text_addf(reply, ",\"%s-data\":\"", name);
    text_add_base64(reply, (const uint8_t *)s->data.at, s->data.length);
    text_addf(reply, "\"%s%s%s", s->truncated ? ",\"" : "", s->truncated ? name : "",
              s->truncated ? "-truncated\":true" : "");
}

static void do_exec_status(const struct arguments *a, struct text *reply)
{
    long long pid;
    struct job *job = NULL;
    if (number_value(a, member(a, a->object, "pid"), &pid) && pid > 0)
        for (unsigned i = 0; i < JOBS; i++)
            if (agent.job[i].pid == pid)
                job = &agent.job[i];
    if (!job) {
        fail(reply, "GenericError",
             "no such command: 'pid' must come from guest-exec, and is gone once its end was told");
        return;
    }
    agent_poll_outputs();
    /* Ended, and all output read (or its pipes kept open by a daemon that it left behind). */
    if (!job->ended) {
        text_add(reply, "{\"return\":{\"exited\":false}}");
        return;
    }
    text_add(reply, "{\"return\":{\"exited\":true");
    if (WIFEXITED(job->status))
        text_addf(reply, ",\"exitcode\":%d", WEXITSTATUS(job->status));
    else
        text_addf(reply, ",\"signal\":%d", WTERMSIG(job->status));
    add_stream(reply, "out", &job->out);
    add_stream(reply, "err", &job->err);
    text_add(reply, "}}");
    free_job(job);
}

/* ---- sessions ---- */

static long long number_of(const struct arguments *a, const char *name)
{
    long long value = 0;
    number_value(a, member(a, a->object, name), &value);
    return value;
}

static void finish(struct text *reply, const char *wrong)
{
    if (wrong)
        fail(reply, "GenericError", wrong);
    else if (!reply->length)
        text_add(reply, "{\"return\":{}}");
}

static void do_open(const struct arguments *a, struct text *reply)
{
    char *argv[ARGUMENTS_MOST + 2] = {string_value(a, member(a, a->object, "path"), NULL)};
    int n = add_words(a, argv, 1);
    struct session_start start = {.argv = argv,
                                  .terminal = is_true(a, member(a, a->object, "terminal")),
                                  .digest = is_true(a, member(a, a->object, "digest")),
                                  .rows = (unsigned)number_of(a, "rows"),
                                  .columns = (unsigned)number_of(a, "columns")};
    finish(reply, argv[0] ? session_open(&start, reply) : "netlab-open needs a 'path'");
    for (int i = 0; i < n; i++)
        free(argv[i]);
}

static void do_exchange(const struct arguments *a, struct text *reply)
{
    size_t length = 0;
    char *input = string_value(a, member(a, a->object, "input-data"), &length);
    long long wait = number_of(a, "wait");
    struct session_exchange exchange = {.session = number_of(a, "session"),
                                        .out_acknowledged = number_of(a, "out-acknowledged"),
                                        .err_acknowledged = number_of(a, "err-acknowledged"),
                                        .input_at = number_of(a, "input-at"),
                                        .wait = wait > 30000 ? 30000 : (int)wait,
                                        .input = input,
                                        .input_length = input ? base64_decode(input, length) : 0,
                                        .input_end = is_true(a, member(a, a->object, "input-end"))};
    const char *wrong = session_exchange(&exchange, reply);
    if (wrong)
        fail(reply, "GenericError", wrong);
    free(input);
}

static void do_signal(const struct arguments *a, struct text *reply)
{
    finish(reply, session_signal(number_of(a, "session"), (int)number_of(a, "signal")));
}

static void do_resize(const struct arguments *a, struct text *reply)
{
    finish(reply, session_resize(number_of(a, "session"), (unsigned)number_of(a, "rows"),
                                 (unsigned)number_of(a, "columns")));
}

static void do_close(const struct arguments *a, struct text *reply)
{
    finish(reply, session_close(number_of(a, "session")));
}

static void do_info(const struct arguments *a, struct text *reply);

static const struct command {
    const char *name;
    void (*run)(const struct arguments *a, struct text *reply);
} commands[] = {
    {"guest-ping", do_ping},
    {"guest-sync", do_sync},
    {"guest-sync-delimited", do_sync},
    {"guest-info", do_info},
    {"guest-get-host-name", do_host_name},
    {"guest-get-time", do_time},
    {"guest-get-osinfo", do_osinfo},
    {"guest-network-get-interfaces", do_interfaces},
    {"guest-exec", do_exec},
    {"guest-exec-status", do_exec_status},
    {"guest-shutdown", do_shutdown},
    {"netlab-open", do_open},
    {"netlab-exchange", do_exchange},
    {"netlab-signal", do_signal},
    {"netlab-resize", do_resize},
    {"netlab-close", do_close},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void do_info(const struct arguments *a, struct text *reply)
{
    (void)a;
    text_addf(reply,
              "{\"return\":{\"version\":\"netlab " NETLAB_VERSION "\",\"ready\":%s,\"supported_commands\":[",
              agent.is_ready ? "true" : "false");
    for (unsigned i = 0; i < COMMANDS; i++)
        text_addf(reply, "%s{\"name\":\"%s\",\"enabled\":true,\"success-response\":%s}", i ? "," : "",
                  commands[i].name, commands[i].run == do_shutdown ? "false" : "true");
    text_add(reply, "]}}");
}

/* ---- lines ---- */

static void handle_line(char *line, size_t length)
{
    jsmn_parser parser;
    static jsmntok_t token[TOKENS];
    struct text reply = {0};
    bool delimited = false;
    jsmn_init(&parser);
    int count = jsmn_parse(&parser, line, length, token, TOKENS);
    struct arguments a = {.json = line, .token = token, .count = count};
    char *name = NULL;
    if (count >= 1 && token[0].type == JSMN_OBJECT) {
        a.object = member(&a, 0, "arguments");
        name = string_value(&a, member(&a, 0, "execute"), NULL);
    }
    if (!name) {
        fail(&reply, "GenericError", "not a request: one JSON object a line, {\"execute\": NAME}");
    } else {
        unsigned i = 0;
        while (i < COMMANDS && strcmp(commands[i].name, name) != 0)
            i++;
        if (i < COMMANDS)
            commands[i].run(&a, &reply);
        else
            fail(&reply, "CommandNotFound", "no such command: guest-info lists them");
        delimited = strcmp(name, "guest-sync-delimited") == 0;
    }
    if (delimited)
        send_bytes("\xff", 1);
    if (reply.length) {
        text_add(&reply, "\n");
        send_bytes(reply.at, reply.length);
    }
    free(name);
    text_free(&reply);
}

/* The answer to an exchange that waits, if it is time. */
static void send_pending(bool now)
{
    struct text reply = {0};
    if (session_pending(now, &reply)) {
        text_add(&reply, "\n");
        send_bytes(reply.at, reply.length);
    }
    text_free(&reply);
}

int agent_timeout(void)
{
    return session_timeout();
}

void agent_tick(void)
{
    session_poll();
    send_pending(false);
}

void agent_start(int fd)
{
    agent.fd = fd;
    for (unsigned i = 0; i < JOBS; i++)
        agent.job[i].out.fd = agent.job[i].err.fd = -1;
}

int agent_fd(void)
{
    return agent.fd;
}

void agent_input(void)
{
    char chunk[4096];
    ssize_t n = read(agent.fd, chunk, sizeof chunk);
    for (ssize_t i = 0; i < n; i++) {
        char c = chunk[i];
        if ((unsigned char)c == 0xff) { /* flush sentinel: what came before is void */
            agent.length = 0;
            agent.overlong = false;
        } else if (c == '\n') {
            send_pending(
                true); /* answers come in the order of the questions; an empty line asks for this one */
            if (agent.length && !agent.overlong)
                handle_line(agent.line, agent.length);
            agent.length = 0;
            agent.overlong = false;
        } else if (agent.length < LINE_MOST - 1) {
            agent.line[agent.length++] = c;
            agent.line[agent.length] = 0;
        } else {
            agent.overlong = true;
        }
    }
}

static void drain(struct stream *s)
{
    char chunk[8192];
    for (int rounds = 0; s->fd >= 0 && rounds < 64; rounds++) {
        ssize_t n = read(s->fd, chunk, sizeof chunk);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            close(s->fd);
            s->fd = -1;
            return;
        }
        if (s->data.length + (size_t)n > OUTPUT_MOST) {
            s->truncated = true;
            continue;
        }
        text_add_bytes(&s->data, chunk, (size_t)n);
    }
}

void agent_poll_outputs(void)
{
    for (unsigned i = 0; i < JOBS; i++) {
        drain(&agent.job[i].out);
        drain(&agent.job[i].err);
    }
}

unsigned agent_fds(struct pollfd *fds)
{
    unsigned n = 0;
    if (agent.fd >= 0)
        fds[n++] = (struct pollfd){.fd = agent.fd, .events = POLLIN};
    for (unsigned i = 0; i < JOBS; i++) {
        const struct stream *both[2] = {&agent.job[i].out, &agent.job[i].err};
        for (unsigned k = 0; k < 2; k++)
            if (agent.job[i].pid && both[k]->fd >= 0)
                fds[n++] = (struct pollfd){.fd = both[k]->fd, .events = POLLIN};
    }
    return n + session_fds(fds + n);
}

void agent_ready(void)
{
    static const char line[] = "{\"event\":\"NETLAB_READY\"}\n";
    agent.is_ready = true;
    if (agent.fd >= 0)
        send_bytes(line, sizeof line - 1);
}

bool agent_child_ended(pid_t pid, int status)
{
    if (session_child_ended(pid, status))
        return true;
    for (unsigned i = 0; i < JOBS; i++)
        if (agent.job[i].pid == pid && !agent.job[i].ended) {
            agent.job[i].ended = true;
            agent.job[i].status = status;
            return true;
        }
    return false;
}
