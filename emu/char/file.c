/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Back ends that are a file descriptor and nothing more: null, file, pipe, fd, pty.
 *
 * A pty keeps its own slave end open, so that the master never reports a hang-up while nobody is attached:
 * what the guest writes then fills the kernel's buffer, after that our ring, and then the oldest goes.
 */
#include "emu/char/char_internal.h"
#include "emu/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static void null_write(struct char_port *port, const uint8_t *data, size_t len)
{
}

static void null_accept(struct char_port *port)
{
}

static const struct char_ops null_ops = {.kind = "null", .write = null_write, .accept = null_accept};

static void file_ended(struct char_port *port)
{
    port->in_ended = true;
    if (port->out_fd == port->in_fd && port->write_mode != CHAR_WRITE_DIRECT)
        char_port_detach(port);
}

static void pty_free(struct char_port *port)
{
    close(GPOINTER_TO_INT(port->kind));
}

static const struct char_ops file_ops = {.kind = "file", .ended = file_ended};
static const struct char_ops pipe_ops = {.kind = "pipe", .ended = file_ended};
static const struct char_ops fd_ops = {.kind = "fd", .ended = file_ended};
static const struct char_ops pty_ops = {.kind = "pty", .free = pty_free};

static struct char_port *open_file(const char *id, const struct char_spec *spec, struct loop *loop,
                                   GError **error)
{
    int in = -1;
    int out = fdset_open(
        spec->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (spec->append ? O_APPEND : O_TRUNC), 0666);
    if (out < 0) {
        char_error_errno(error, errno, "opening %s for writing: %s", spec->path, g_strerror(errno));
        return NULL;
    }
    if (spec->input_path) {
        in = fdset_open(spec->input_path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
        if (in < 0) {
            char_error_errno(error, errno, "opening %s for reading: %s", spec->input_path, g_strerror(errno));
            close(out);
            return NULL;
        }
    }
    struct stat st;
    bool regular = fstat(out, &st) == 0 && S_ISREG(st.st_mode);
    struct char_port *port = char_port_new(id, &file_ops, loop);
    port->text = g_strdup_printf("file:%s", spec->path);
    char_port_attach(port, in, out, regular ? CHAR_WRITE_DIRECT : CHAR_WRITE_POLLED);
    return port;
}

static struct char_port *open_pipe(const char *id, const struct char_spec *spec, struct loop *loop,
                                   GError **error)
{
    g_autofree char *in_path = g_strconcat(spec->path, ".in", NULL);
    g_autofree char *out_path = g_strconcat(spec->path, ".out", NULL);
    /* O_RDWR on a FIFO opens at once and never reports end of file, whoever comes and goes at its other end.
     */
    int in = open(in_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    int out = open(out_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (in < 0 || out < 0) {
        if (in >= 0)
            close(in);
        if (out >= 0)
            close(out);
        in = out = fdset_open(spec->path, O_RDWR | O_CLOEXEC | O_NONBLOCK, 0);
    }
    if (in < 0) {
        char_error_errno(error, errno, "opening %s.in and %s.out, or %s: %s (make them with mkfifo)",
                         spec->path, spec->path, spec->path, g_strerror(errno));
        return NULL;
    }
    struct char_port *port = char_port_new(id, &pipe_ops, loop);
    port->text = g_strdup_printf("pipe:%s", spec->path);
    char_port_attach(port, in, out, CHAR_WRITE_POLLED);
    return port;
}

static struct char_port *open_fd(const char *id, const struct char_spec *spec, struct loop *loop,
                                 GError **error)
{
    struct stat st;
    int flags = fcntl(spec->fd, F_GETFL);
    if (flags < 0 || fstat(spec->fd, &st)) {
        char_error_errno(error, errno, "fd:%d: %s (pass the descriptor open and without close-on-exec)",
                         spec->fd, g_strerror(errno));
        return NULL;
    }
    fcntl(spec->fd, F_SETFD, FD_CLOEXEC);
    enum char_write_mode mode = S_ISSOCK(st.st_mode)  ? CHAR_WRITE_SEND
                                : S_ISREG(st.st_mode) ? CHAR_WRITE_DIRECT
                                                      : CHAR_WRITE_POLLED;
    int access = flags & O_ACCMODE;
    struct char_port *port = char_port_new(id, &fd_ops, loop);
    port->text = g_strdup_printf("fd:%d", spec->fd);
    port->has_escapes = spec->mux;
    port->watch_hangup = S_ISSOCK(st.st_mode);
    /* A regular file opened for both would read back what it was given. */
    bool reads = access == O_RDONLY || (access == O_RDWR && !S_ISREG(st.st_mode));
    char_port_attach(port, reads ? spec->fd : -1, access == O_RDONLY ? -1 : spec->fd, mode);
    return port;
}

static struct char_port *open_pty(const char *id, const struct char_spec *spec, struct loop *loop,
                                  GError **error)
{
    int master, slave;
    char name[128];
    struct termios raw;
    if (openpty(&master, &slave, name, NULL, NULL)) {
        char_error_errno(error, errno, "opening a pseudo-terminal: %s (is /dev/pts mounted?)",
                         g_strerror(errno));
        return NULL;
    }
    fcntl(master, F_SETFD, FD_CLOEXEC);
    fcntl(slave, F_SETFD, FD_CLOEXEC);
    fcntl(master, F_SETFL, fcntl(master, F_GETFL) | O_NONBLOCK);
    if (tcgetattr(slave, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(slave, TCSANOW, &raw);
    }
    struct char_port *port = char_port_new(id, &pty_ops, loop);
    port->kind = GINT_TO_POINTER(slave);
    port->text = g_strdup_printf("pty:%s", name);
    port->has_escapes = spec->mux;
    char_port_attach(port, master, master, CHAR_WRITE_POLLED);
    return port;
}

struct char_port *char_file_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                 GError **error)
{
    struct char_port *port;
    switch (spec->kind) {
    case CHAR_NULL:
        port = char_port_new(id, &null_ops, loop);
        port->text = g_strdup("null");
        port->open = true;
        return port;
    case CHAR_FILE:
        return open_file(id, spec, loop, error);
    case CHAR_PIPE:
        return open_pipe(id, spec, loop, error);
    case CHAR_FD:
        return open_fd(id, spec, loop, error);
    case CHAR_PTY:
        return open_pty(id, spec, loop, error);
    case CHAR_STDIO:
    case CHAR_UNIX:
    case CHAR_TCP:
    case CHAR_UDP:
    case CHAR_RINGBUF:
    case CHAR_VC:
    case CHAR_TTY:
    case CHAR_PARPORT:
    case CHAR_MSMOUSE:
    case CHAR_REFERENCE:
    case CHAR_KINDS:
        break;
    }
    return NULL;
}
