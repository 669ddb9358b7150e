/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A serial or parallel port of the host.
 *
 * A serial port is a terminal in raw mode whose speed, parity, data and stop bits follow the guest's (its
 * divisor and LCR), and whose modem lines are the guest's both ways. Breaks are sent while LCR says so;
 * those received arrive as marks in the input (PARMRK: 0xff 0 0; a 0xff is 0xff 0xff), which
 * char_tty_filter() takes out again. Hardware flow control stays off on the host: RTS and CTS are the
 * guest's. How the port was is put back at the end. A pseudo-terminal has no modem lines and no breaks; the
 * UART then shows what it shows without.
 *
 * A parallel port is Linux's ppdev (Documentation/driver-api/parport-lowlevel.rst): it is opened, claimed
 * for us alone, and each byte goes out with a strobe. There is no interrupt: who prints polls the status.
 */
#include "emu/char/char_internal.h"
#include "emu/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/parport.h>
#include <linux/ppdev.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* ---- serial ---- */

struct tty {
    int fd;
    struct termios before;
    unsigned lines; /* CHAR_DTR, CHAR_RTS as they were set last */
};

static speed_t speed_of(unsigned bits)
{
    static const struct {
        unsigned bits;
        speed_t speed;
    } rows[] = {{50, B50},       {75, B75},        {110, B110},   {134, B134},     {150, B150},
                {200, B200},     {300, B300},      {600, B600},   {1200, B1200},   {1800, B1800},
                {2400, B2400},   {4800, B4800},    {9600, B9600}, {19200, B19200}, {38400, B38400},
                {57600, B57600}, {115200, B115200}};
    size_t best = 0;
    for (size_t i = 1; i < G_N_ELEMENTS(rows); i++)
        if (abs((int)rows[i].bits - (int)bits) < abs((int)rows[best].bits - (int)bits))
            best = i;
    return rows[best].speed;
}

static void set_termios(const struct tty *tty, const struct char_line *line)
{
    static const tcflag_t sizes[] = {CS5, CS6, CS7, CS8};
    struct termios t = tty->before;
    cfmakeraw(&t);
    t.c_iflag = PARMRK | INPCK;
    t.c_cflag &= ~(tcflag_t)(CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS | HUPCL);
    t.c_cflag |= CREAD | CLOCAL | sizes[(line->data_bits - 5) & 3];
    if (line->parity != 'N')
        t.c_cflag |= PARENB | (line->parity == 'O' ? PARODD : 0);
    if (line->stop_bits == 2)
        t.c_cflag |= CSTOPB;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    cfsetspeed(&t, speed_of(line->speed));
    if (tcsetattr(tty->fd, TCSANOW, &t))
        trace(CHAR, "setting the line: %s", g_strerror(errno));
}

static void tty_set_line(struct char_port *port, const struct char_line *line)
{
    trace(CHAR, "%s: %u bits a second, %u%c%u", port->id, line->speed, line->data_bits, line->parity,
          line->stop_bits);
    char_flush(port); /* what was written before is sent as it was meant */
    if (port->out_fd >= 0)
        set_termios(port->kind, line);
}

static void tty_set_break(struct char_port *port, bool on)
{
    const struct tty *tty = port->kind;
    if (port->out_fd >= 0 && ioctl(tty->fd, on ? TIOCSBRK : TIOCCBRK))
        trace(CHAR, "%s: break: %s", port->id, g_strerror(errno));
}

static void tty_set_modem(struct char_port *port, unsigned lines)
{
    struct tty *tty = port->kind;
    int bits = (lines & CHAR_DTR ? TIOCM_DTR : 0) | (lines & CHAR_RTS ? TIOCM_RTS : 0);
    int off = (TIOCM_DTR | TIOCM_RTS) & ~bits;
    tty->lines = lines;
    if (port->out_fd >= 0 && (ioctl(tty->fd, TIOCMBIS, &bits) || ioctl(tty->fd, TIOCMBIC, &off)))
        trace(CHAR, "%s: modem lines: %s", port->id, g_strerror(errno));
}

static bool tty_modem(struct char_port *port, unsigned *lines)
{
    const struct tty *tty = port->kind;
    int bits;
    if (port->out_fd < 0) { /* pulled out */
        *lines = 0;
        return true;
    }
    if (ioctl(tty->fd, TIOCMGET, &bits))
        return false;
    *lines = (bits & TIOCM_CTS ? CHAR_CTS : 0u) | (bits & TIOCM_DSR ? CHAR_DSR : 0u) |
             (bits & TIOCM_RI ? CHAR_RI : 0u) | (bits & TIOCM_CAR ? CHAR_DCD : 0u);
    return true;
}

size_t char_tty_filter(struct char_port *port, uint8_t *data, size_t len, bool *broke)
{
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = data[i];
        switch (port->mark) {
        case 0:
            if (byte == 0xff)
                port->mark = 1;
            else
                data[kept++] = byte;
            break;
        case 1: /* 0xff 0xff is 0xff; 0xff 0 X is X, badly received, or with X = 0 a break */
            port->mark = byte == 0 ? 2 : 0;
            if (byte)
                data[kept++] = byte;
            break;
        default:
            port->mark = 0;
            if (byte)
                data[kept++] = byte;
            else
                *broke = true;
            break;
        }
    }
    return kept;
}

static void tty_ended(struct char_port *port)
{
    char_port_detach(port);
}

static void tty_free(struct char_port *port)
{
    g_free(port->kind);
}

static const struct char_ops tty_ops = {.kind = "serial",
                                        .ended = tty_ended,
                                        .set_line = tty_set_line,
                                        .set_break = tty_set_break,
                                        .set_modem = tty_set_modem,
                                        .modem = tty_modem,
                                        .free = tty_free};

struct char_port *char_tty_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                GError **error)
{
    struct tty tty = {.fd = fdset_open(spec->path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0)};
    if (tty.fd < 0) {
        char_error_errno(error, errno, "opening the serial port %s: %s%s", spec->path, g_strerror(errno),
                         errno == EACCES ? " (join the group dialout)" : "");
        return NULL;
    }
    if (tcgetattr(tty.fd, &tty.before)) {
        close(tty.fd);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "%s is no serial port (name one like /dev/ttyS0; for a file say file:%s)", spec->path,
                    spec->path);
        return NULL;
    }
    struct char_port *port = char_port_new(id, &tty_ops, loop);
    port->kind = g_memdup2(&tty, sizeof tty);
    port->text = g_strdup_printf("serial:%s", spec->path);
    port->has_escapes = spec->mux;
    port->marked = true;
    port->restore = g_memdup2(&tty.before, sizeof tty.before);
    set_termios(port->kind,
                &(struct char_line){.speed = 115200, .data_bits = 8, .stop_bits = 1, .parity = 'N'});
    char_port_attach(port, tty.fd, tty.fd, CHAR_WRITE_POLLED);
    return port;
}

void char_tty_restore(struct char_port *port)
{
    if (port->restore && port->out_fd >= 0)
        tcsetattr(port->out_fd, TCSANOW, port->restore);
    g_clear_pointer(&port->restore, g_free);
}

/* ---- parallel ---- */

struct parport {
    int fd;
};

/* Bytes are latched, and taken by whoever listens at the falling edge of strobe. */
static void parport_write(struct char_port *port, const uint8_t *data, size_t len)
{
    const struct parport *p = port->kind;
    struct ppdev_frob_struct on = {.mask = PARPORT_CONTROL_STROBE, .val = PARPORT_CONTROL_STROBE};
    struct ppdev_frob_struct off = {.mask = PARPORT_CONTROL_STROBE};
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = data[i];
        if (ioctl(p->fd, PPWDATA, &byte) || ioctl(p->fd, PPFCONTROL, &on) || ioctl(p->fd, PPFCONTROL, &off)) {
            trace(CHAR, "%s: %s", port->id, g_strerror(errno));
            port->dropped += len - i;
            return;
        }
    }
}

static void parport_free(struct char_port *port)
{
    struct parport *p = port->kind;
    ioctl(p->fd, PPRELEASE);
    close(p->fd);
    g_free(p);
}

static const struct char_ops parport_ops = {.kind = "parallel", .write = parport_write, .free = parport_free};

struct char_port *char_parport_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                    GError **error)
{
    int fd = fdset_open(spec->path, O_RDWR | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0) {
        char_error_errno(error, errno, "opening the parallel port %s: %s%s", spec->path, g_strerror(errno),
                         errno == ENOENT || errno == ENXIO || errno == ENODEV
                             ? " (has the host one, and is its module ppdev loaded?)"
                         : errno == EACCES ? " (join the group lp)"
                                           : "");
        return NULL;
    }
    if (ioctl(fd, PPEXCL) || ioctl(fd, PPCLAIM)) {
        int why = errno;
        close(fd);
        char_error_errno(error, why, "claiming the parallel port %s: %s%s", spec->path, g_strerror(why),
                         why == ENOTTY ? " (it is no parallel port: name one like /dev/parport0)"
                                       : " (does another program, or lp, have it?)");
        return NULL;
    }
    struct char_port *port = char_port_new(id, &parport_ops, loop);
    struct parport *p = g_new0(struct parport, 1);
    p->fd = fd;
    port->kind = p;
    port->text = g_strdup_printf("parallel:%s", spec->path);
    port->open = true;
    return port;
}

bool char_is_parport(const struct char_port *port)
{
    return port->ops == &parport_ops;
}

bool char_parport_status(struct char_port *port, uint8_t *status)
{
    const struct parport *p = port->kind;
    return ioctl(p->fd, PPRSTATUS, status) == 0;
}

void char_parport_control(struct char_port *port, uint8_t control)
{
    const struct parport *p = port->kind;
    control &= (uint8_t)~PARPORT_CONTROL_STROBE; /* that comes with each byte */
    if (ioctl(p->fd, PPWCONTROL, &control))
        trace(CHAR, "%s: %s", port->id, g_strerror(errno));
}
