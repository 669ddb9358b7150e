/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A character port from the inside. port.c is the stream all kinds share: bounded output, input by credit,
 * escapes; a kind adds how it opens and what it does when the stream ends. Only emu/char includes this.
 */
#pragma once

#include "emu/char/backend.h"
#include "emu/machine/loop.h"
#include "emu/trace.h"

enum {
    CHAR_OUT_MOST = 1 << 20, /* bytes kept for a slow reader; `info state` with a NIC or two fits */
    CHAR_IN_MOST = 4096,     /* bytes read ahead of what the device accepts */
};

struct termios;

struct char_ops {
    const char *kind;
    /* Instead of the stream's own; NULL for kinds that are a stream. */
    void (*write)(struct char_port *port, const uint8_t *data, size_t len);
    void (*accept)(struct char_port *port);
    /* The other end is gone: end of file on input, or an error on either. */
    void (*ended)(struct char_port *port);
    /* A serial port's; NULL: nothing of it. See char_set_line() and its neighbours. */
    void (*set_line)(struct char_port *port, const struct char_line *line);
    void (*set_break)(struct char_port *port, bool on);
    void (*set_modem)(struct char_port *port, unsigned lines);
    bool (*modem)(struct char_port *port, unsigned *lines);
    void (*free)(struct char_port *port); /* what the kind added; the stream's fds are closed after it */
};

enum char_write_mode {
    CHAR_WRITE_DIRECT, /* regular files: write() takes it all */
    CHAR_WRITE_SEND,   /* sockets: send() with MSG_DONTWAIT */
    CHAR_WRITE_POLLED, /* terminals and pipes that others share: never set O_NONBLOCK on them, poll first */
};

struct char_port {
    char *id, *text;
    struct loop *loop;
    const struct char_ops *ops;
    const struct char_events *events;
    void *opaque;
    const struct char_escape *escape;
    void *escape_opaque;
    uint8_t escape_key;
    bool escape_seen;
    bool has_escapes;
    bool timestamps, line_begun; /* Ctrl-A t */
    int64_t timestamps_from;

    bool open, waiting;
    size_t credit;
    uint64_t dropped;

    int in_fd, out_fd; /* may be the same; -1: none. Owned unless keep_fds. */
    bool keep_fds, in_ended;
    bool takes_fds;             /* char_keep_fds() */
    int passed_fd;              /* what came last, or -1 */
    bool datagrams;             /* what fails is lost, and nothing ends */
    struct char_telnet *telnet; /* NULL: bytes are bytes */
    bool telnet_hello;          /* this side speaks first */
    bool marked;                /* a tty's: 0xff begins a mark (PARMRK) */
    unsigned mark;              /* bytes of one that were seen */
    struct termios *restore;    /* a tty's: how it was found */
    bool watch_hangup;          /* sockets: hear of a hang-up though nothing is read */
    enum char_write_mode write_mode;
    struct loop_fd *in_watch, *out_watch;

    uint8_t *in; /* CHAR_IN_MOST, read and not delivered yet */
    size_t in_len;
    bool delivering;

    uint8_t *out; /* ring of out_size, a power of two */
    size_t out_size, out_start, out_len;
    bool out_deferred, out_blocked;

    struct char_line line; /* as it was told last, if ever */
    unsigned modem_lines;
    bool told_line, told_modem, breaking;

    struct char_log *log; /* a copy of all output; NULL: none */
    void *kind;           /* the kind's own */
};

/* log.c: NULL with an error when the file cannot be opened. */
struct char_log;
struct char_log *char_log_open(const char *path, bool append, GError **error);
void char_log_write(struct char_log *log, const uint8_t *data, size_t len);
void char_log_free(struct char_log *log);

/* telnet.c. The first words to a client; takes the protocol out of what it sends, in place. */
struct char_telnet *char_telnet_new(void);
void char_telnet_begin(struct char_telnet *telnet, const uint8_t **hello, size_t *len);
size_t char_telnet_filter(struct char_telnet *telnet, uint8_t *data, size_t len, bool *broke);

struct char_port *char_port_new(const char *id, const struct char_ops *ops, struct loop *loop);
/* Starts the stream on these fds. */
void char_port_attach(struct char_port *port, int in_fd, int out_fd, enum char_write_mode mode);
/* Ends it: flushes if it can, closes the fds. */
void char_port_detach(struct char_port *port);
/* The same, and everything of its kind goes; its name, its user and the settings of the line stay. */
void char_port_clear(struct char_port *port);
/* relay.c: what answers for this port, itself mostly. */
struct char_port *char_behind(const struct char_port *port);
void char_port_deliver(struct char_port *port, const uint8_t *data, size_t len);

/* Each kind's way to open. */
struct char_port *char_stdio_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                  GError **error);
struct char_port *char_socket_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                   GError **error);
struct char_port *char_file_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                 GError **error);
struct char_port *char_udp_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                GError **error);
struct char_port *char_ringbuf_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                    GError **error);

struct char_port *char_vc_open(const char *id, const struct char_spec *spec, struct loop *loop);
struct char_port *char_mouse_open(const char *id, struct loop *loop);
struct char_port *char_tty_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                GError **error);
/* tty.c: takes marks out, in place. */
size_t char_tty_filter(struct char_port *port, uint8_t *data, size_t len, bool *broke);
void char_tty_restore(struct char_port *port); /* before its fd is closed */
struct char_port *char_parport_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                    GError **error);

G_GNUC_PRINTF(3, 4) void char_error_errno(GError **error, int why, const char *format, ...);
