/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Character back ends: where a serial port's bytes go (stdio, file, unix socket, null, pty…).
 *
 * The device end calls char_write() (never blocks: what a slow reader does not take is kept, bounded, then
 * dropped oldest first and counted) and char_accept() to say how many bytes it can take; input arrives by its
 * `input` callback. Machine thread only.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct char_port;
struct loop;

struct char_events {
    void (*input)(void *opaque, const uint8_t *data, size_t len); /* never more than char_accept() allowed */
    void (*opened)(void *opaque); /* a peer connected (sockets); may be NULL */
    void (*closed)(void *opaque);
    void (*broke)(void *opaque); /* line break; may be NULL */
    bool may_change; /* who uses it does not mind another back end in its place: see char_replace() */
};

enum char_kind {
    CHAR_NULL,
    CHAR_STDIO,
    CHAR_FILE,
    CHAR_PTY,
    CHAR_UNIX,
    CHAR_TCP,
    CHAR_PIPE,
    CHAR_FD,
    CHAR_UDP,
    CHAR_RINGBUF,
    CHAR_VC,        /* a text console of the display */
    CHAR_TTY,       /* a serial port of the host */
    CHAR_PARPORT,   /* a parallel port of the host */
    CHAR_MSMOUSE,   /* a serial mouse */
    CHAR_REFERENCE, /* "chardev:ID": a -chardev, looked up by the board */
    CHAR_KINDS
};

/* One back end as the user wants it: the parsed form of the words below. Strings are owned. */
struct char_spec {
    enum char_kind kind;
    bool mux;             /* escapes by Ctrl-A, and a monitor behind Ctrl-A c */
    bool server;          /* sockets: listen instead of connect */
    bool wait;            /* server: the machine does not start before somebody connects */
    bool append;          /* file */
    bool signal;          /* stdio: Ctrl-C ends the program instead of reaching the guest */
    unsigned reconnect_s; /* client: try again after this many seconds; 0: never */
    bool telnet;          /* TCP: the telnet protocol is taken out, and spoken */
    bool delay;           /* TCP: small pieces may wait for others (Nagle) */
    bool ipv4, ipv6;      /* TCP, UDP: only this one; both or none: either */
    unsigned port_to;     /* TCP server: the last port to try when others are taken; 0: none */
    char *path, *host, *service, *input_path;
    char *local_host, *local_service; /* UDP: where to send from; NULL: anywhere */
    uint32_t size;                    /* ringbuf, bytes; 0: as usual */
    unsigned columns, rows;           /* vc; 0: as usual */
    int fd;
    char *log_path;  /* a copy of all output goes there too; NULL: none */
    bool log_append; /* keep what is in it */
};

/* Parses QEMU's words: "stdio", "null", "none", "file:PATH", "pty",
 * "unix:PATH[,server=on|,server][,nowait|,wait=off]", "tcp:HOST:PORT[,server,nowait]", "pipe:PATH", "fd:N",
 * "chardev:ID", "mon:stdio" (Ctrl-A x quits, Ctrl-A c is the monitor, Ctrl-A h helps, Ctrl-A b breaks). What
 * is QEMU's and not ours yet is an error that says so. Creates nothing. */
bool char_spec_parse(const char *text, struct char_spec *out, GError **error);
/* The -chardev form: "socket,id=c0,path=/run/s,server=on,wait=off". `id` is the caller's to free. */
bool char_spec_parse_chardev(const char *text, struct char_spec *out, char **id, GError **error);
void char_spec_clear(struct char_spec *spec);
/* One line a back end, for `-chardev help`. */
void char_spec_describe_all(GString *out);

/* Opens what was parsed. Sockets are made with mode 0600; a stale socket file is replaced, a live one is an
 * error. `id` is copied. */
struct char_port *char_open_spec(const char *id, const struct char_spec *spec, struct loop *loop,
                                 GError **error);
/* Both steps in one. */
struct char_port *char_open(const char *id, const char *spec, struct loop *loop, GError **error);
void char_free(
    struct char_port *port); /* flushes what can be flushed; restores the terminal; NULL is allowed */
void char_connect(struct char_port *port, const struct char_events *events, void *opaque);
void char_write(struct char_port *port, const uint8_t *data, size_t len);
/* From now on the device takes this many bytes: replaces the last figure, and each delivery is subtracted. */
void char_accept(struct char_port *port, size_t bytes);
/* Whether somebody is connected to this side of it (char_connect). */
bool char_is_used(const struct char_port *port);
/* Nobody uses it, or somebody who takes char_replace(). */
bool char_may_change(const struct char_port *port);
/* `with` in the place of what was behind the port until now, which is closed. The port takes it over; id,
 * user and what that one has set and accepts stay. Not from within what the port calls. */
void char_replace(struct char_port *port, struct char_port *with);
bool char_is_open(const struct char_port *port);
/* A server with wait=on that nobody has connected to so far. */
bool char_is_waiting(const struct char_port *port);
uint64_t char_dropped(const struct char_port *port);
const char *char_id(const struct char_port *port);
/* What it is, for people: "unix:/run/r1.sock,server=on", "pty:/dev/pts/4". */
const char *char_spec(const struct char_port *port);
/* Memory (ringbuf): what was written and not read yet, and input as if it came from outside. */
bool char_is_ringbuf(const struct char_port *port);
size_t char_ringbuf_read(struct char_port *port, uint8_t *out, size_t len);
void char_ringbuf_write(struct char_port *port, const uint8_t *data, size_t len);
/* A break on the line, as if it came from outside. */
void char_broken(struct char_port *port);
/* Writes out what is waiting, as far as that goes without blocking. */
void char_flush(struct char_port *port);

/* UNIX sockets: from now on a descriptor that comes with a message is kept, the last one. */
void char_keep_fds(struct char_port *port);
int char_take_fd(struct char_port *port); /* it is the caller's; -1: none came */

/* Escape commands of mon:/stdio -nographic ask for these. */
struct char_escape {
    void (*quit)(void *opaque);
    void (*monitor)(void *opaque); /* the next face */
};
void char_set_escape(struct char_port *port, const struct char_escape *escape, void *opaque);
/* ---- what a serial port's back end may be told and asked; most have nothing of it ---- */

struct char_line {
    unsigned speed;     /* bits a second */
    unsigned data_bits; /* 5 to 8 */
    unsigned stop_bits; /* 1 or 2 */
    char parity;        /* 'N', 'E', 'O' */
};
enum { CHAR_DTR = 1, CHAR_RTS = 2 };
enum { CHAR_CTS = 1, CHAR_DSR = 2, CHAR_RI = 4, CHAR_DCD = 8 };
void char_set_line(struct char_port *port, const struct char_line *line);
void char_set_break(struct char_port *port, bool on);
void char_set_modem(struct char_port *port, unsigned lines); /* CHAR_DTR, CHAR_RTS */
/* The lines of the other end; false: there are none to be known. */
bool char_modem(struct char_port *port, unsigned *lines);

/* ---- back ends whose other end is in the program ---- */

/* vc: what is written goes to `show` from now on. */
bool char_is_vc(const struct char_port *port);
void char_vc_attach(struct char_port *port, void (*show)(void *opaque, const uint8_t *data, size_t len),
                    void *opaque);
void char_vc_typed(struct char_port *port, const uint8_t *data, size_t len);
/* msmouse: the mouse was moved. False: the guest does not listen to it (the port has no power). */
bool char_is_mouse(const struct char_port *port);
bool char_mouse_move(struct char_port *port, int dx, int dy, int dz, unsigned buttons);

/* parport: bytes go out with strobe; what the printer's lines are. */
bool char_is_parport(const struct char_port *port);
bool char_parport_status(struct char_port *port, uint8_t *status); /* as the PC's status register has it */
void char_parport_control(struct char_port *port, uint8_t control);

/* The key itself, Ctrl-A (1) unless set; 0 switches escapes off. */
void char_set_escape_key(struct char_port *port, uint8_t key);

/* Up to CHAR_MUX_FACES ports that share one terminal: what is typed goes to the face in front, what any
 * writes is shown. The faces go with the mux, the mux before the terminal. */
struct char_mux;
enum { CHAR_MUX_FACES = 4 };
struct char_mux *char_mux_new(struct char_port *terminal);
void char_mux_free(struct char_mux *mux);
struct char_port *char_mux_face(struct char_mux *mux, unsigned face); /* made when it is asked for first */
unsigned char_mux_faces(const struct char_mux *mux);                  /* how many were */
void char_mux_switch(struct char_mux *mux, unsigned face);
unsigned char_mux_front(const struct char_mux *mux);
/* Whether the port is a face of a mux. */
bool char_is_shared(const struct char_port *port);

/* Puts the terminal back as it was found; async-signal-safe, for handlers of fatal signals. No effect when no
 * stdio port is open. */
void char_terminal_restore(void);
/* Another part of the program takes the terminal: call it before (false) and after (true) it changes the
 * mode. */
void char_terminal_lend(bool changed);
/* After SIGCONT: raw mode again. */
void char_terminal_resume(void);

/* A UNIX socket of mode 0600 that listens, or that datagrams come in at. A file of that name is replaced when
 * it is a socket of nobody's any more, and left alone otherwise. It is removed by char_unlisten() if it is
 * still ours. */
struct char_listener {
    int fd;
    char *path;
    uint64_t device, inode;
};
bool char_listen_unix(struct char_listener *listener, const char *path, GError **error);
bool char_receive_unix(struct char_listener *listener, const char *path, GError **error);
void char_unlisten(struct char_listener *listener);
