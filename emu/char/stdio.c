/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The terminal netlab-emu was started from.
 *
 * A terminal is switched to raw input (output processing stays, so that our own messages look right) and put
 * back by char_free(), by main()'s atexit and by its handlers of fatal signals: hence the one global of this
 * room, which those handlers read. O_NONBLOCK is never set: the open file description is shared with the
 * shell. A program in the background does not touch the terminal before it is brought to the front.
 */
#include "emu/char/char_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

static struct {
    volatile sig_atomic_t open;    /* a stdio port exists */
    volatile sig_atomic_t changed; /* `before` is to be put back */
    struct termios before, raw;
} terminal;

void char_terminal_restore(void)
{
    if (!terminal.changed)
        return;
    int saved = errno;
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal.before);
    errno = saved;
}

void char_terminal_lend(bool changed)
{
    terminal.changed = !tcgetattr(STDIN_FILENO, changed ? &terminal.raw : &terminal.before) && changed;
}

void char_terminal_resume(void)
{
    if (terminal.changed && tcgetpgrp(STDIN_FILENO) == getpgrp())
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.raw);
}

static void stdio_ended(struct char_port *port)
{
    /* Input is over (end of file, terminal gone); what the guest writes is still shown if it can be. */
    port->in_ended = true;
}

static void stdio_free(struct char_port *port)
{
    char_terminal_restore();
    terminal.changed = false;
    terminal.open = false;
}

static const struct char_ops stdio_ops = {.kind = "stdio", .ended = stdio_ended, .free = stdio_free};

struct char_port *char_stdio_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                  GError **error)
{
    if (terminal.open) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "stdio is in use by another port already (mon:stdio shares it with the monitor)");
        return NULL;
    }
    struct char_port *port = char_port_new(id, &stdio_ops, loop);
    terminal.open = true;
    port->text = g_strdup(spec->mux ? "mon:stdio" : "stdio");
    port->has_escapes = spec->mux;
    port->keep_fds = true;
    if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &terminal.before) == 0) {
        terminal.raw = terminal.before;
        terminal.raw.c_iflag &=
            ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXOFF);
        terminal.raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
        if (!spec->signal)
            terminal.raw.c_lflag &= ~(tcflag_t)ISIG;
        terminal.raw.c_cflag = (terminal.raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
        terminal.raw.c_cc[VMIN] = 1;
        terminal.raw.c_cc[VTIME] = 0;
        terminal.changed = true;
        char_terminal_resume();
    }
    char_port_attach(port, STDIN_FILENO, STDOUT_FILENO, CHAR_WRITE_POLLED);
    return port;
}
