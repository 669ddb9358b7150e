/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Sessions: programs whose input and output flow while they run, on pipes or on a terminal. Commands of our
 * own beside those of the QEMU guest agent's protocol:
 *
 *   netlab-open      path, arg, terminal, rows, columns, digest → session
 *   netlab-exchange  session, wait (ms), out-acknowledged, err-acknowledged, input-at, input-data, input-end
 *                    → out-at, out-data, err-at, err-data, input-taken, and at the end exitcode or signal
 *   netlab-signal    session, signal      netlab-resize  session, rows, columns
 *   netlab-close     session
 *
 * The host asks, the guest never speaks by itself; an exchange that has nothing to tell is answered when
 * something comes, when its time is over, or when the host sends anything else. Every byte has a place in its
 * stream. Output is kept until it is acknowledged, and input that was there already is passed over, so that
 * an answer that is lost (another client came in between) is asked for again. A program whose output nobody
 * fetches is not read further, so that it waits. Nothing is ever cut.
 *
 * A session nobody has asked about for IDLE_S is hung up, and killed if that does not end it: the host is
 * gone. What a program has left in the background keeps running, as with any shell.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 48 * 1024, ANSWER_MOST = 24 * 1024, INPUT_MOST = 64 * 1024, IDLE_S = 90, KILL_S = 5 };

struct output {
    int fd; /* -1: at its end */
    char *data;
    size_t length;
    long long at; /* place of data[0] */
    bool limited; /* the program has ended: of what is still to be read only the next `rest` bytes are its own
                   */
    size_t rest;
};

struct session {
    bool used;
    long long number;
    pid_t pid;
    bool ended;
    int status;
    bool terminal, digest;
    struct output out, err;
    int in; /* -1: closed; of a terminal the same as out.fd's file, an fd of its own */
    char *input;
    size_t input_length;
    long long input_taken; /* bytes taken from the host, some of them still in `input` */
    bool input_end;
    struct sha256 in_sum, out_sum;
    int64_t asked; /* ms */
    int64_t hung_up;
};

static struct {
    struct session session[SESSIONS];
    long long last_number;
    struct session *waiting; /* its exchange has not been answered */
    int64_t wait_until;
} all;

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

static struct session *find(long long number)
{
    for (unsigned i = 0; i < SESSIONS; i++)
        if (all.session[i].used && all.session[i].number == number)
            return &all.session[i];
    return NULL;
}

static const char no_session[] = "no such session: it was closed, or the host was silent for too long";

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void release(struct session *s)
{
    if (all.waiting == s)
        all.waiting = NULL;
    close_fd(&s->out.fd);
    close_fd(&s->err.fd);
    close_fd(&s->in);
    free(s->out.data);
    free(s->err.data);
    free(s->input);
    *s = (struct session){.out.fd = -1, .err.fd = -1, .in = -1};
}

/* ---- starting ---- */

static void set_size(int fd, unsigned rows, unsigned columns)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    ioctl(fd, TIOCSWINSZ, &size);
}

static bool start_on_terminal(struct session *s, const struct session_start *start)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), unlocked = 0;
    unsigned number;
    char path[32];
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) != 0 || ioctl(master, TIOCGPTN, &number) != 0) {
        close_fd(&master);
        return false;
    }
    if (start->rows && start->columns)
        set_size(master, start->rows, start->columns);
    snprintf(path, sizeof path, "/dev/pts/%u", number);
    /* Opened here first: without anyone on the other side reading says that it is at its end. */
    int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    s->pid = guest_spawn(start->argv, path, -1, -1, -1);
    s->out.fd = master;
    s->in = dup(master);
    if (s->in >= 0)
        fcntl(s->in, F_SETFD, FD_CLOEXEC);
    close_fd(&slave);
    return s->pid > 0;
}

static bool start_on_pipes(struct session *s, const struct session_start *start)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
    if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0)
        s->pid = guest_spawn(start->argv, NULL, in[0], out[1], err[1]);
    close_fd(&in[0]);
    close_fd(&out[1]);
    close_fd(&err[1]);
    s->in = in[1];
    s->out.fd = out[0];
    s->err.fd = err[0];
    for (const int *fd = (const int[]){s->in, s->out.fd, s->err.fd, -1}; *fd >= 0; fd++)
        fcntl(*fd, F_SETFL, O_NONBLOCK);
    return s->pid > 0;
}

const char *session_open(const struct session_start *start, struct text *reply)
{
    struct session *s = NULL;
    for (unsigned i = 0; i < SESSIONS && !s; i++)
        s = all.session[i].used ? NULL : &all.session[i];
    if (!s)
        return "too many sessions are open: wait for one to end";
    *s = (struct session){.out.fd = -1, .err.fd = -1, .in = -1, .pid = -1};
    s->out.data = malloc(BUFFER);
    s->err.data = malloc(BUFFER);
    s->input = malloc(INPUT_MOST);
    if (!s->out.data || !s->err.data || !s->input ||
        !(start->terminal ? start_on_terminal(s, start) : start_on_pipes(s, start))) {
        release(s);
        return start->terminal ? "no terminal could be made for the command"
                               : "the command could not be started";
    }
    s->used = true;
    s->number = ++all.last_number;
    s->terminal = start->terminal;
    s->digest = start->digest;
    s->asked = now_ms();
    sha256_begin(&s->in_sum);
    sha256_begin(&s->out_sum);
    text_addf(reply, "{\"return\":{\"session\":%lld,\"pid\":%d}}", s->number, (int)s->pid);
    return NULL;
}

/* ---- moving bytes ---- */

static void move_output(struct session *s, struct output *o)
{
    for (int rounds = 0; o->fd >= 0 && o->length < BUFFER && rounds < 256; rounds++) {
        size_t room = BUFFER - o->length;
        if (o->limited && !o->rest) { /* what else comes is of others, left in the background */
            close_fd(&o->fd);
            return;
        }
        ssize_t n = read(o->fd, o->data + o->length, o->limited && o->rest < room ? o->rest : room);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) { /* a terminal says EIO when its last user is gone */
            close_fd(&o->fd);
            return;
        }
        if (s->digest && o == &s->out)
            sha256_add(&s->out_sum, o->data + o->length, (size_t)n);
        o->length += (size_t)n;
        o->rest -= o->limited ? (size_t)n : 0;
    }
}

static void limit_output(struct output *o)
{
    int there = 0;
    if (o->fd >= 0 && ioctl(o->fd, FIONREAD, &there) != 0)
        there = 0;
    o->limited = true;
    o->rest = there > 0 ? (size_t)there : 0;
}

static void move_input(struct session *s)
{
    while (s->input_length && s->in >= 0) {
        ssize_t n = write(s->in, s->input, s->input_length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            close_fd(&s->in);
            break;
        }
        if (s->digest)
            sha256_add(&s->in_sum, s->input, (size_t)n);
        s->input_length -= (size_t)n;
        memmove(s->input, s->input + n, s->input_length);
    }
    if (s->in < 0)
        s->input_length = 0; /* nobody reads it */
    if (s->input_end && !s->input_length && s->in >= 0) {
        if (s->terminal) /* a terminal's end is a character */
            if (write(s->in, "\4", 1) < 0)
                return;
        close_fd(&s->in);
    }
}

/* To the program and what it has started; to itself alone while it is too young to lead a group. */
static int send_signal(const struct session *s, int number)
{
    return kill(-s->pid, number) == 0 ? 0 : kill(s->pid, number);
}

/* The host is gone: as when a terminal is closed. */
static void look_after(struct session *s, int64_t now)
{
    if (!s->hung_up && now - s->asked > IDLE_S * 1000ll) {
        s->hung_up = now;
        if (!s->ended) {
            send_signal(s, SIGHUP);
            send_signal(s, SIGCONT);
            send_signal(s, SIGTERM);
        }
    }
    if (s->hung_up && (s->ended || now - s->hung_up > KILL_S * 1000ll)) {
        if (!s->ended)
            send_signal(s, SIGKILL);
        release(s);
    }
}

void session_poll(void)
{
    int64_t now = now_ms();
    for (unsigned i = 0; i < SESSIONS; i++) {
        struct session *s = &all.session[i];
        if (!s->used)
            continue;
        move_output(s, &s->out);
        move_output(s, &s->err);
        move_input(s);
        look_after(s, now);
    }
}

/* ---- exchanges ---- */

static bool is_over(const struct session *s)
{
    return s->ended && (s->out.fd < 0 || !s->out.rest) && (s->err.fd < 0 || !s->err.rest);
}

static bool has_news(const struct session *s)
{
    return s->out.length || s->err.length || is_over(s);
}

static bool acknowledge(struct output *o, long long place)
{
    if (place < o->at || place > o->at + (long long)o->length)
        return false;
    size_t n = (size_t)(place - o->at);
    o->length -= n;
    memmove(o->data, o->data + n, o->length);
    o->at = place;
    return true;
}

static void add_output(struct text *reply, const char *name, const struct output *o)
{
    if (!o->length)
        return;
    size_t n = o->length < ANSWER_MOST ? o->length : ANSWER_MOST;
    text_addf(reply, ",\"%s-at\":%lld,\"%s-data\":\"", name, o->at, name);
    text_add_base64(reply, (const uint8_t *)o->data, n);
    text_add(reply, "\"");
}

static void answer(struct session *s, struct text *reply)
{
    text_addf(reply, "{\"return\":{\"input-taken\":%lld,\"input-held\":%zu", s->input_taken, s->input_length);
    if (s->in < 0 && !s->input_end)
        text_add(reply, ",\"input-closed\":true");
    add_output(reply, "out", &s->out);
    add_output(reply, "err", &s->err);
    /* The end is told with the last of the output. */
    if (is_over(s) && s->out.length <= ANSWER_MOST && s->err.length <= ANSWER_MOST) {
        if (WIFEXITED(s->status))
            text_addf(reply, ",\"exitcode\":%d", WEXITSTATUS(s->status));
        else
            text_addf(reply, ",\"signal\":%d", WTERMSIG(s->status));
        if (s->digest) {
            struct sha256 in = s->in_sum, out = s->out_sum;
            char text[65];
            sha256_end(&in, text);
            text_addf(reply, ",\"input-sha256\":\"%s\"", text);
            sha256_end(&out, text);
            text_addf(reply, ",\"out-sha256\":\"%s\"", text);
        }
    }
    text_add(reply, "}}");
}

const char *session_exchange(const struct session_exchange *exchange, struct text *reply)
{
    struct session *s = find(exchange->session);
    if (!s)
        return no_session;
    if (!acknowledge(&s->out, exchange->out_acknowledged) ||
        !acknowledge(&s->err, exchange->err_acknowledged))
        return "what is acknowledged was never sent";
    s->asked = now_ms();
    s->hung_up = 0;
    long long known = s->input_taken - exchange->input_at; /* of this input there already */
    if (known < 0 || exchange->input_at < 0)
        return "input is missing before this";
    if ((size_t)known < exchange->input_length && !s->input_end) {
        size_t n = exchange->input_length - (size_t)known, room = INPUT_MOST - s->input_length;
        n = n < room ? n : room;
        memcpy(s->input + s->input_length, exchange->input + known, n);
        s->input_length += n;
        s->input_taken += (long long)n;
    }
    if (exchange->input_end && s->input_taken == exchange->input_at + (long long)exchange->input_length)
        s->input_end = true;
    move_input(s);
    move_output(s, &s->out);
    move_output(s, &s->err);
    if (has_news(s) || exchange->wait <= 0) {
        answer(s, reply);
    } else {
        all.waiting = s;
        all.wait_until = now_ms() + (exchange->wait < 30000 ? exchange->wait : 30000);
    }
    return NULL;
}

bool session_pending(bool now, struct text *reply)
{
    struct session *s = all.waiting;
    if (!s || !(now || has_news(s) || now_ms() >= all.wait_until))
        return false;
    all.waiting = NULL;
    answer(s, reply);
    return true;
}

/* ---- the rest ---- */

const char *session_signal(long long number, int signal_number)
{
    struct session *s = find(number);
    if (!s)
        return no_session;
    if (signal_number < 1 || signal_number > 64)
        return "no such signal";
    if (!s->ended && send_signal(s, signal_number) != 0 && errno != ESRCH)
        return "the signal could not be sent";
    return NULL;
}

const char *session_resize(long long number, unsigned rows, unsigned columns)
{
    struct session *s = find(number);
    if (!s)
        return no_session;
    if (!s->terminal || s->out.fd < 0)
        return "this session has no terminal";
    set_size(s->out.fd, rows, columns);
    return NULL;
}

const char *session_close(long long number)
{
    struct session *s = find(number);
    if (!s)
        return no_session;
    if (!s->ended) {
        send_signal(s, SIGHUP);
        send_signal(s, SIGCONT);
        send_signal(s, SIGKILL);
    }
    release(s);
    return NULL;
}

bool session_child_ended(pid_t pid, int status)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        struct session *s = &all.session[i];
        if (!s->used || s->pid != pid || s->ended)
            continue;
        s->ended = true;
        s->status = status;
        move_output(s, &s->out);
        move_output(s, &s->err);
        limit_output(&s->out);
        limit_output(&s->err);
        return true;
    }
    return false;
}

unsigned session_fds(struct pollfd *fds)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SESSIONS; i++) {
        const struct session *s = &all.session[i];
        if (!s->used)
            continue;
        if (s->out.fd >= 0 && s->out.length < BUFFER)
            fds[n++] = (struct pollfd){.fd = s->out.fd, .events = POLLIN};
        if (s->err.fd >= 0 && s->err.length < BUFFER)
            fds[n++] = (struct pollfd){.fd = s->err.fd, .events = POLLIN};
        if (s->in >= 0 && s->input_length)
            fds[n++] = (struct pollfd){.fd = s->in, .events = POLLOUT};
    }
    return n;
}

int session_timeout(void)
{
    int64_t now = now_ms(), next = -1;
    if (all.waiting)
        next = all.wait_until > now ? all.wait_until - now : 0;
    for (unsigned i = 0; i < SESSIONS; i++)
        if (all.session[i].used && (next < 0 || next > 1000))
            next = 1000;
    return (int)next;
}
