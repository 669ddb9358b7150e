/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Sessions: programs in a guest whose input and output flow while they run, on pipes or on a terminal of
 * their own, through the agent's channel. What the agent of our guests is asked for is in
 * netlab/guest/session.c; an agent of another make knows none of it (AGENT_ERROR_UNKNOWN).
 *
 * The channel is shared: while a session waits, or between two parts of a long stream, whoever else wants to
 * talk to the node is let in (agent_yield()), so a shell that is open keeps nobody out.
 */
#pragma once

#include "netlab/agent.h"

struct session_spec {
    const char *const *argv; /* argv[0] is a path */
    bool terminal;
    unsigned rows, columns; /* of the terminal; 0: unknown */
    bool digest;            /* SHA-256 of both streams, as the guest saw them */
};

struct session_io {
    int input;         /* read from here for the program; -1: its input is at its end */
    int output, error; /* what it prints is written there; -1: thrown away. Not owned, as `input` */
    int leave_key;     /* this character in the input ends the session; 0: none */
    int cancel_fd;     /* readable: SIGINT for the program; -1: none */
    int resize_fd;     /* readable (and then read): *rows and *columns are looked at again; -1: none */
    void (*size)(unsigned *rows, unsigned *columns);
    guint64 output_most; /* of each stream; what is beyond is thrown away; 0: no limit */
    gint64 deadline;     /* monotonic µs; 0: none. Then the program is ended */
};

enum session_end {
    SESSION_EXITED,
    SESSION_LEFT,      /* by the key */
    SESSION_TIMED_OUT, /* and ended in the guest */
    SESSION_CANCELLED, /* and ended in the guest */
    SESSION_UNREAD,    /* nobody reads its output any more; ended in the guest */
};
struct session_result {
    enum session_end end;
    int status;                   /* of EXITED: exit status; 128 + signal when it was killed */
    char *input_sum, *output_sum; /* hexadecimal; with `digest` */
    guint64 input_bytes, output_bytes;
};
void session_result_clear(struct session_result *result);

/* Runs it to its end. False: it could not be started, or the guest or the machine was lost. */
bool session_run(struct agent *agent, const struct session_spec *spec, const struct session_io *io,
                 struct session_result *result, GError **error);
