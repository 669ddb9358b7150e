/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Talking to a guest: the QEMU guest agent's protocol (QEMU documentation, "QEMU Guest Agent Protocol
 * Reference") over the machine's second serial port, which is the UNIX socket <node>/agent.sock.
 *
 * The port takes one client at a time, and keeps no connection state: each connection begins with
 * guest-sync-delimited, whose random id tells our answers from what an earlier client left in the line. A
 * lock on the node's folder keeps two commands from talking into each other. Who waits for it says so (a lock
 * that is shared, on its configuration file), so that who talks long can let others in between.
 */
#pragma once

#include "netlab/channel.h"

struct agent {
    struct channel channel;
    int lock;  /* fd */
    int queue; /* fd of the file on which waiting ones have a lock; -1: not known */
    char *directory;
};

#define AGENT_ERROR agent_error_quark()
GQuark agent_error_quark(void);
enum agent_error {
    AGENT_ERROR_ABSENT,  /* no such socket: the machine does not run */
    AGENT_ERROR_SILENT,  /* nobody answers: the guest is not up yet, or knows no agent */
    AGENT_ERROR_REFUSED, /* the guest answered with an error */
    AGENT_ERROR_BUSY,
    AGENT_ERROR_UNKNOWN /* the guest's agent has no such command */
};

/* Connects to the node's agent and synchronises, within timeout_ms. */
bool agent_open(struct agent *agent, const char *node_directory, int timeout_ms, int cancel_fd,
                GError **error);
void agent_close(struct agent *agent);

/* One command; `arguments` (may be NULL) is taken over. The "return" member, owned by the caller (NULL inside
 * a JSON null node never: always a node), or NULL with the guest's reason. */
JsonNode *agent_call(struct agent *agent, const char *command, JsonObject *arguments, int timeout_ms,
                     GError **error);

/* For who sends and receives by themselves (session.c). */
bool agent_send(struct agent *agent, const char *command, JsonObject *arguments, GError **error);
/* Is this line an answer? Then *answer is its "return" (may be NULL: no object), owned by the caller, or the
 * guest's reason is in error. */
bool agent_is_answer(JsonObject *line, JsonObject **answer, GError **error);
bool agent_synchronise(struct agent *agent, int timeout_ms, GError **error);
/* False: longer than a guest's agent takes. */
bool agent_check_request(JsonObject *arguments, guint count, GError **error);
/* Does another command wait for this node? While no answer is awaited, agent_yield() lets it in, and returns
 * when we are back. */
bool agent_is_wanted(struct agent *agent);
bool agent_yield(struct agent *agent, GError **error);

struct agent_result {
    int status; /* exit status; 128 + signal when it was killed */
    GBytes *out, *err;
    bool truncated;
};
void agent_result_clear(struct agent_result *result);
/* Runs a program in the guest and waits for its end, by a session, with other agents by guest-exec. argv[0]
 * is a path. A program that has not ended in time is ended in the guest (TIMED_OUT). What it prints is kept
 * up to 16 MiB a stream. */
bool agent_exec(struct agent *agent, const char *const *argv, int timeout_ms, struct agent_result *result,
                GError **error);

/* ---- waiting for readiness, without blocking: one probe for each machine, driven by a poll loop ---- */

struct agent_probe {
    char *path;
    struct channel channel; /* fd -1: not connected */
    gint64 next;            /* monotonic µs of the next question */
    bool is_ready;
};
void agent_probe_init(struct agent_probe *probe, const char *node_directory);
void agent_probe_clear(struct agent_probe *probe);
/* Does what can be done now; true when the guest has said that it is ready. Call when the fd is readable, or
 * each 100 ms. */
bool agent_probe_step(struct agent_probe *probe);
