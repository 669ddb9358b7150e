/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The stream every character port is: output through a bounded ring, input by credit.
 *
 * Output. char_write() only puts bytes into the ring and asks the loop for a flush soon: a guest writes its
 * console a byte at a time, and by the time the doorbell has brought the machine's thread here there is a
 * handful to write in one call. When the fd takes no more, the watch asks for LOOP_WRITE; when the ring is
 * full the oldest bytes go.
 *
 * Input. Up to CHAR_IN_MOST bytes are read ahead, escapes are taken out as they are read (so that Ctrl-A x
 * works though the guest reads nothing), and the device gets as many as it accepts.
 *
 * Machine thread only.
 */
#include "emu/char/char_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void char_error_errno(GError **error, int why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, G_IO_ERROR, (gint)g_io_error_from_errno(why), text);
}

struct char_port *char_port_new(const char *id, const struct char_ops *ops, struct loop *loop)
{
    struct char_port *port = g_new0(struct char_port, 1);
    port->id = g_strdup(id);
    port->ops = ops;
    port->loop = loop;
    port->in_fd = port->out_fd = port->passed_fd = -1;
    port->escape_key = 1;
    return port;
}

/* ---- watches ---- */

static void stream_ready(void *opaque, unsigned events);

static void stream_watch(struct char_port *port)
{
    unsigned in = 0, out = 0;
    if (port->in_fd >= 0 && !port->in_ended) {
        in |= port->in_len < CHAR_IN_MOST ? LOOP_READ : 0;
        in |= port->watch_hangup ? LOOP_HANGUP : 0;
    }
    if (port->out_fd >= 0 && port->out_blocked)
        out |= LOOP_WRITE;
    if (port->in_fd == port->out_fd) {
        in |= out;
        out = 0;
    }
    if (in && !port->in_watch)
        port->in_watch = loop_add_fd(port->loop, port->in_fd, in, stream_ready, port);
    else if (port->in_watch)
        loop_set_events(port->in_watch, in);
    if (out && !port->out_watch)
        port->out_watch = loop_add_fd(port->loop, port->out_fd, out, stream_ready, port);
    else if (port->out_watch)
        loop_set_events(port->out_watch, out);
}

/* ---- output ---- */

static bool ring_reserve(struct char_port *port, size_t more)
{
    size_t need = port->out_len + more;
    if (need <= port->out_size)
        return true;
    size_t size = MAX(port->out_size, 1024);
    while (size < need && size < CHAR_OUT_MOST)
        size *= 2;
    if (size != port->out_size) {
        uint8_t *bigger = g_malloc(size);
        size_t first = MIN(port->out_len, port->out_size - port->out_start);
        if (port->out_len) {
            memcpy(bigger, port->out + port->out_start, first);
            memcpy(bigger + first, port->out, port->out_len - first);
        }
        g_free(port->out);
        port->out = bigger;
        port->out_size = size;
        port->out_start = 0;
    }
    return need <= port->out_size;
}

static void ring_append(struct char_port *port, const uint8_t *data, size_t len)
{
    if (len > CHAR_OUT_MOST) { /* only the end of it can be kept */
        port->dropped += len - CHAR_OUT_MOST;
        data += len - CHAR_OUT_MOST;
        len = CHAR_OUT_MOST;
    }
    if (!ring_reserve(port, len)) {
        size_t excess = port->out_len + len - port->out_size;
        port->out_start = (port->out_start + excess) & (port->out_size - 1);
        port->out_len -= excess;
        port->dropped += excess;
    }
    size_t end = (port->out_start + port->out_len) & (port->out_size - 1);
    size_t first = MIN(len, port->out_size - end);
    memcpy(port->out + end, data, first);
    memcpy(port->out, data + first, len - first);
    port->out_len += len;
}

/* Bytes written, 0 when the fd takes none now, -1 when it never will again. */
static ssize_t stream_write(struct char_port *port, const uint8_t *data, size_t len)
{
    ssize_t put;
    switch (port->write_mode) {
    case CHAR_WRITE_SEND:
        put = send(port->out_fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case CHAR_WRITE_POLLED: {
        struct pollfd ready = {.fd = port->out_fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) < 1)
            return 0;
        if (!(ready.revents & POLLOUT))
            return -1;
        /* A writable terminal or pipe takes this much without blocking (WAKEUP_CHARS, PIPE_BUF). */
        put = write(port->out_fd, data, MIN(len, 256));
        break;
    }
    case CHAR_WRITE_DIRECT:
        put = write(port->out_fd, data, len);
        break;
    default:
        return -1;
    }
    if (put < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return put;
}

static void stream_lost(struct char_port *port)
{
    trace(CHAR, "%s: the other end is gone, %zu bytes unwritten", port->id, port->out_len);
    port->dropped += port->out_len;
    port->out_len = 0;
    port->out_blocked = false;
    if (port->ops->ended)
        port->ops->ended(port);
}

void char_flush(struct char_port *port)
{
    port = char_behind(port);
    while (port->out_len && port->out_fd >= 0) {
        size_t len = MIN(port->out_len, port->out_size - port->out_start);
        ssize_t put = stream_write(port, port->out + port->out_start, len);
        if (put < 0) {
            stream_lost(port);
            return;
        }
        if (!put)
            break;
        port->out_start = (port->out_start + (size_t)put) & (port->out_size - 1);
        port->out_len -= (size_t)put;
    }
    port->out_blocked = port->out_len && port->out_fd >= 0;
    stream_watch(port);
}

static void stream_flush_deferred(void *opaque)
{
    struct char_port *port = opaque;
    port->out_deferred = false;
    char_flush(port);
}

/* For telnet: a 255 is sent as two. */
static void append_doubled(struct char_port *port, const uint8_t *data, size_t len)
{
    static const uint8_t iac[] = {0xff};
    for (const uint8_t *end = data + len; data < end;) {
        const uint8_t *found = memchr(data, 0xff, (size_t)(end - data));
        size_t run = found ? (size_t)(found - data) + 1 : (size_t)(end - data);
        ring_append(port, data, run);
        if (found)
            ring_append(port, iac, 1);
        data += run;
    }
}

/* Puts bytes into the ring, as the port's protocol wants them. */
static void append(struct char_port *port, const uint8_t *data, size_t len)
{
    if (port->telnet)
        append_doubled(port, data, len);
    else
        ring_append(port, data, len);
}

/* Each line with the time since they were asked for before it. */
static void append_stamped(struct char_port *port, const uint8_t *data, size_t len)
{
    for (const uint8_t *end = data + len; data < end;) {
        const uint8_t *found = memchr(data, '\n', (size_t)(end - data));
        size_t run = found ? (size_t)(found - data) + 1 : (size_t)(end - data);
        if (!port->line_begun) {
            char stamp[32];
            int64_t ms = (g_get_monotonic_time() - port->timestamps_from) / 1000;
            g_snprintf(stamp, sizeof stamp, "[%02d:%02d:%02d.%03d] ", (int)(ms / 3600000),
                       (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
            append(port, (const uint8_t *)stamp, strlen(stamp));
        }
        append(port, data, run);
        port->line_begun = !found;
        data += run;
    }
}

void char_write(struct char_port *port, const uint8_t *data, size_t len)
{
    if (port->log)
        char_log_write(port->log, data, len);
    if (port->ops->write) {
        port->ops->write(port, data, len);
        return;
    }
    if (!len)
        return;
    if (port->out_fd < 0) {
        port->dropped += len;
        return;
    }
    if (port->timestamps)
        append_stamped(port, data, len);
    else
        append(port, data, len);
    if (port->out_deferred || port->out_blocked)
        return;
    port->out_deferred = true;
    loop_defer(port->loop, stream_flush_deferred, port);
}

/* ---- input ---- */

static const char escape_help[] = "\r\nCtrl-A h   this help\r\n"
                                  "Ctrl-A x   end the emulator\r\n"
                                  "Ctrl-A b   send a break\r\n"
                                  "Ctrl-A c   the next one of console and monitor\r\n"
                                  "Ctrl-A t   the time before each line, or not\r\n"
                                  "Ctrl-A Ctrl-A   send Ctrl-A\r\n";

void char_broken(struct char_port *port)
{
    if (port->events && port->events->broke)
        port->events->broke(port->opaque);
}

static void escape_command(struct char_port *port, uint8_t key)
{
    switch (key) {
    case 'x':
        if (port->escape && port->escape->quit)
            port->escape->quit(port->escape_opaque);
        break;
    case 'c':
        if (port->escape && port->escape->monitor)
            port->escape->monitor(port->escape_opaque);
        break;
    case 't':
        port->timestamps = !port->timestamps;
        port->timestamps_from = g_get_monotonic_time();
        port->line_begun = false;
        break;
    case 'b':
        char_broken(port);
        break;
    case 'h':
    case '?':
        char_write(port, (const uint8_t *)escape_help, sizeof escape_help - 1);
        break;
    default: /* not an escape: swallowed, as people expect of a prefix key */
        break;
    }
}

static void stream_take(struct char_port *port, const uint8_t *data, size_t len)
{
    if (!port->in)
        port->in = g_malloc(CHAR_IN_MOST);
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = data[i];
        if (port->has_escapes && port->escape_key) {
            if (port->escape_seen) {
                port->escape_seen = false;
                if (byte != port->escape_key) {
                    escape_command(port, byte);
                    continue;
                }
            } else if (byte == port->escape_key) {
                port->escape_seen = true;
                continue;
            }
        }
        if (port->in_len < CHAR_IN_MOST)
            port->in[port->in_len++] = byte;
        else
            port->dropped++;
    }
}

/* Hands over what the device accepts. The callback may accept more, or write. */
static void stream_deliver(struct char_port *port)
{
    if (port->delivering)
        return;
    port->delivering = true;
    while (port->in_len && port->credit && port->events && port->events->input) {
        uint8_t chunk[256];
        size_t len = MIN(MIN(port->in_len, port->credit), sizeof chunk);
        memcpy(chunk, port->in, len);
        memmove(port->in, port->in + len, port->in_len - len);
        port->in_len -= len;
        port->credit -= len;
        port->events->input(port->opaque, chunk, len);
    }
    port->delivering = false;
}

void char_port_deliver(struct char_port *port, const uint8_t *data, size_t len)
{
    stream_take(port, data, len);
    stream_deliver(port);
}

void char_accept(struct char_port *port, size_t bytes)
{
    port->credit = bytes;
    if (port->ops->accept) {
        port->ops->accept(port);
        return;
    }
    if (!port->in_len || port->delivering)
        return;
    stream_deliver(port);
    stream_watch(port);
}

static void stream_arrived(struct char_port *port, uint8_t *data, size_t len)
{
    bool broke = false;
    if (port->telnet)
        len = char_telnet_filter(port->telnet, data, len, &broke);
    if (port->marked)
        len = char_tty_filter(port, data, len, &broke);
    if (broke && port->events && port->events->broke)
        port->events->broke(port->opaque);
    char_port_deliver(port, data, len);
}

void char_keep_fds(struct char_port *port)
{
    port->takes_fds = true;
}

int char_take_fd(struct char_port *port)
{
    int fd = port->passed_fd;
    port->passed_fd = -1;
    return fd;
}

static void forget_passed(struct char_port *port)
{
    if (port->passed_fd >= 0)
        close(port->passed_fd);
    port->passed_fd = -1;
}

/* read(), and of descriptors that come along the first of the last message is kept. */
static ssize_t stream_receive(struct char_port *port, uint8_t *buffer, size_t len)
{
    enum { FDS_MOST = 16 };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS_MOST * sizeof(int))];
    } room;
    struct iovec iov = {buffer, len};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    if (!port->takes_fds || port->write_mode != CHAR_WRITE_SEND)
        return read(port->in_fd, buffer, len);
    ssize_t got = recvmsg(port->in_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0)
        return got;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(sizeof(int)))
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        forget_passed(port);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (i == 0)
                port->passed_fd = fd;
            else
                close(fd);
        }
    }
    return got;
}

static void stream_ready(void *opaque, unsigned events)
{
    struct char_port *port = opaque;
    bool ended = false;
    if ((events & LOOP_READ) || port->datagrams) { /* whose errors are read, and forgotten */
        uint8_t buffer[CHAR_IN_MOST];
        ssize_t got = stream_receive(port, buffer, CHAR_IN_MOST - port->in_len);
        if (got > 0)
            stream_arrived(port, buffer, (size_t)got);
        else if (!port->datagrams && (got == 0 || (errno != EAGAIN && errno != EINTR)))
            ended = true;
    } else if (events & LOOP_HANGUP) {
        ended = true;
    }
    if ((events & LOOP_WRITE) && port->out_fd >= 0) {
        port->out_blocked = false;
        char_flush(port);
    }
    if (ended && port->in_fd >= 0) {
        port->in_ended = true;
        if (port->ops->ended)
            port->ops->ended(port);
    }
    stream_watch(port);
}

/* ---- life ---- */

void char_port_attach(struct char_port *port, int in_fd, int out_fd, enum char_write_mode mode)
{
    port->in_fd = in_fd;
    port->out_fd = out_fd;
    port->write_mode = mode;
    port->in_ended = port->out_blocked = port->escape_seen = false;
    port->out_len = port->in_len = 0;
    port->open = true;
    port->waiting = false;
    stream_watch(port);
    trace(CHAR, "%s: open", port->id);
    if (port->telnet && port->telnet_hello) {
        const uint8_t *hello;
        size_t len;
        char_telnet_begin(port->telnet, &hello, &len);
        ring_append(port, hello, len);
        char_flush(port);
    }
    if (port->events && port->events->opened)
        port->events->opened(port->opaque);
}

void char_port_detach(struct char_port *port)
{
    bool was_open = port->open;
    forget_passed(port);
    if (port->out_len && port->out_fd >= 0) {
        size_t before;
        do { /* as much as goes at once */
            before = port->out_len;
            size_t len = MIN(port->out_len, port->out_size - port->out_start);
            ssize_t put = stream_write(port, port->out + port->out_start, len);
            if (put > 0) {
                port->out_start = (port->out_start + (size_t)put) & (port->out_size - 1);
                port->out_len -= (size_t)put;
            }
        } while (port->out_len && port->out_len != before);
    }
    port->dropped += port->out_len;
    port->out_len = 0;
    port->out_blocked = false;
    loop_remove_fd(port->in_watch);
    loop_remove_fd(port->out_watch);
    port->in_watch = port->out_watch = NULL;
    char_tty_restore(port);
    if (!port->keep_fds) {
        if (port->in_fd >= 0)
            close(port->in_fd);
        if (port->out_fd >= 0 && port->out_fd != port->in_fd)
            close(port->out_fd);
    }
    port->in_fd = port->out_fd = -1;
    port->open = false;
    if (was_open) {
        trace(CHAR, "%s: closed", port->id);
        if (port->events && port->events->closed)
            port->events->closed(port->opaque);
    }
}

void char_port_clear(struct char_port *port)
{
    char_port_detach(port);
    if (port->ops->free)
        port->ops->free(port);
    loop_cancel_deferred(port->loop, port);
    port->out_deferred = port->waiting = port->in_ended = port->datagrams = port->marked = false;
    port->keep_fds = port->watch_hangup = port->telnet_hello = port->has_escapes = port->timestamps = false;
    port->in_len = port->out_size = port->out_start = 0;
    port->kind = NULL;
    g_clear_pointer(&port->log, char_log_free);
    g_clear_pointer(&port->telnet, g_free);
    g_clear_pointer(&port->in, g_free);
    g_clear_pointer(&port->out, g_free);
    g_clear_pointer(&port->text, g_free);
}

void char_free(struct char_port *port)
{
    if (!port)
        return;
    port->events = NULL;
    char_port_clear(port);
    g_free(port->id);
    g_free(port);
}

void char_connect(struct char_port *port, const struct char_events *events, void *opaque)
{
    port->events = events;
    port->opaque = opaque;
    if (port->open && events && events->opened)
        events->opened(opaque);
}

void char_set_escape(struct char_port *port, const struct char_escape *escape, void *opaque)
{
    port->escape = escape;
    port->escape_opaque = opaque;
}

void char_set_escape_key(struct char_port *port, uint8_t key)
{
    port->escape_key = key;
}

bool char_is_used(const struct char_port *port)
{
    return port->events != NULL;
}

bool char_is_open(const struct char_port *port)
{
    return port->open;
}

bool char_is_waiting(const struct char_port *port)
{
    return port->waiting;
}

uint64_t char_dropped(const struct char_port *port)
{
    const struct char_port *behind = char_behind(port);
    return port->dropped + (behind == port ? 0 : behind->dropped);
}

const char *char_id(const struct char_port *port)
{
    return port->id;
}

const char *char_spec(const struct char_port *port)
{
    return port->text;
}

/* ---- what serial ports say and ask ---- */

void char_set_line(struct char_port *port, const struct char_line *line)
{
    port->line = *line;
    port->told_line = true;
    if (port->ops->set_line)
        port->ops->set_line(port, line);
}

void char_set_break(struct char_port *port, bool on)
{
    port->breaking = on;
    if (port->ops->set_break)
        port->ops->set_break(port, on);
}

void char_set_modem(struct char_port *port, unsigned lines)
{
    port->modem_lines = lines;
    port->told_modem = true;
    if (port->ops->set_modem)
        port->ops->set_modem(port, lines);
}

bool char_modem(struct char_port *port, unsigned *lines)
{
    return port->ops->modem && port->ops->modem(port, lines);
}

static struct char_port *open_kind(const char *id, const struct char_spec *spec, struct loop *loop,
                                   GError **error)
{
    switch (spec->kind) {
    case CHAR_STDIO:
        return char_stdio_open(id, spec, loop, error);
    case CHAR_UNIX:
    case CHAR_TCP:
        return char_socket_open(id, spec, loop, error);
    case CHAR_UDP:
        return char_udp_open(id, spec, loop, error);
    case CHAR_RINGBUF:
        return char_ringbuf_open(id, spec, loop, error);
    case CHAR_VC:
        return char_vc_open(id, spec, loop);
    case CHAR_MSMOUSE:
        return char_mouse_open(id, loop);
    case CHAR_TTY:
        return char_tty_open(id, spec, loop, error);
    case CHAR_PARPORT:
        return char_parport_open(id, spec, loop, error);
    case CHAR_NULL:
    case CHAR_FILE:
    case CHAR_PTY:
    case CHAR_PIPE:
    case CHAR_FD:
        return char_file_open(id, spec, loop, error);
    case CHAR_REFERENCE:
    case CHAR_KINDS:
        break;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "chardev:%s stands for another back end",
                spec->path ? spec->path : "");
    return NULL;
}

struct char_port *char_open_spec(const char *id, const struct char_spec *spec, struct loop *loop,
                                 GError **error)
{
    struct char_log *log = NULL;
    if (spec->log_path) {
        log = char_log_open(spec->log_path, spec->log_append, error);
        if (!log)
            return NULL;
    }
    struct char_port *port = open_kind(id, spec, loop, error);
    if (port)
        port->log = log;
    else
        char_log_free(log);
    return port;
}

struct char_port *char_open(const char *id, const char *text, struct loop *loop, GError **error)
{
    struct char_spec spec;
    if (!char_spec_parse(text, &spec, error))
        return NULL;
    struct char_port *port = char_open_spec(id, &spec, loop, error);
    char_spec_clear(&spec);
    return port;
}
