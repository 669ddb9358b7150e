/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The control room from the inside: clients, and the two tables of commands.
 */
#pragma once

#include "emu/char/backend.h"
#include "emu/control/control.h"
#include "emu/trace.h"

#include <json-glib/json-glib.h>

enum {
    QMP_MESSAGE_MOST = 256 * 1024, /* bytes of one JSON document a client may send */
    QMP_DEPTH_MOST = 64,
    QMP_CLIENTS_MOST = 64,
    QEMU_MAJOR = 7, /* whose words these are: clients choose theirs by it. The package says who speaks */
    QEMU_MINOR = 2,
    QEMU_MICRO = 0,
    MONITOR_LINE_MOST = 4096,
    MONITOR_HISTORY_MOST = 100, /* lines */
};

struct control_server {
    struct control *control;
    struct char_listener listener;
    struct loop_fd *watch;
    bool waiting, pretty;
};

/* Cuts a byte stream into JSON documents by counting brackets outside of strings. */
struct qmp_framer {
    GString *text;
    unsigned depth;
    bool in_string, escaped, garbage;
};

struct qmp_session {
    struct control *control;
    struct char_port *port;
    bool owns_port;
    bool pretty, negotiated, dead;
    bool quitting, over; /* told to quit: nothing more is taken; SHUTDOWN was told */
    bool owes;           /* the answer to `quit`, with quit_id (NULL: none) */
    JsonNode *quit_id;
    unsigned buttons; /* of the mouse, held by input-send-event */
    struct qmp_framer framer;
};

enum monitor_escape { MONITOR_PLAIN, MONITOR_ESC, MONITOR_CSI };

struct monitor_session {
    struct control *control;
    struct char_port *port;
    GString *line;
    size_t at;                  /* where in it the cursor is, in bytes */
    GQueue *history;            /* lines, the oldest first; owned */
    unsigned back;              /* 0: the line being typed; n: the n-th last line of the history */
    char *typed;                /* what was being typed before the history was looked at, or NULL */
    enum monitor_escape escape; /* within an escape sequence of the terminal */
    unsigned number;            /* its parameter so far */
};

struct control {
    const struct control_machine *machine;
    struct loop *loop;
    GPtrArray *servers;  /* struct control_server * */
    GPtrArray *sessions; /* struct qmp_session * */
    GPtrArray *monitors; /* struct monitor_session * */
    struct gdbstub *debugger;
    GHashTable *named_fds;                /* getfd: descriptors by name, closed with it; NULL: none yet */
    unsigned clients;                     /* accepted so far, for their names */
    const struct monitor_session *typing; /* whose line is being run; NULL: nobody's */
    GString *saying; /* answer of the monitor's command that is being carried out; NULL: there is none */
    bool migration_events, dump_failed;
    GPtrArray *jobs; /* snapshots.c; NULL: none yet */
    bool job_waits;  /* until the loop comes to it */
    uint64_t dumped; /* bytes of the last core */
    bool sweeping;   /* a deferred clean-up of dead sessions is on its way */
};

/* qmp.c */
struct qmp_session *qmp_session_new(struct control *control, struct char_port *port, bool owns_port,
                                    bool pretty);
void qmp_session_free(struct qmp_session *session);
void qmp_session_event(struct qmp_session *session, const char *json);
/* After the event SHUTDOWN: who said `quit` is answered, as the last thing on the connection. */
void qmp_session_over(struct qmp_session *session);
/* Feeds bytes; calls `document` for each complete one (text NULL: `why` says what is wrong with it). False:
 * the stream is beyond repair. For qmp.c and its fuzzer. */
bool qmp_framer_feed(struct qmp_framer *framer, const uint8_t *data, size_t len,
                     bool (*document)(void *opaque, const char *text, size_t len, const char *why),
                     void *opaque);

/* control.c */
/* Out of S3; fails when the guest does not sleep. */
bool control_wake(struct control *control, GError **error);
void control_sweep_soon(struct control *control);
/* The ringbuf of this id; NULL with an error. */
struct char_port *control_ringbuf(struct control *control, const char *id, GError **error);

/* A row of the tables of commands: arguments and answer in the words of schema.h. */
struct qmp_command {
    const char *name;
    /* What is answered (a new node), or NULL with an error. `arguments` fit, and may be NULL. */
    JsonNode *(*run)(struct qmp_session *session, JsonObject *arguments, GError **error);
    const char *arguments; /* NULL: none */
    const char *returns;   /* NULL: {} */
};
struct qmp_commands {
    const struct qmp_command *rows;
    size_t count;
};
extern const struct qmp_commands qmp_query_commands, qmp_act_commands, qmp_plug_commands, qmp_block_commands,
    qmp_fd_commands, qmp_type_commands, qmp_saved_commands, qmp_snapshot_commands;

/* commands_fd.c: one that came with getfd, now the caller's; -1: there is none of this name. */
int control_take_named_fd(struct control *control, const char *name);

JsonNode *qmp_object(JsonObject *object); /* takes it */
JsonNode *qmp_array(JsonArray *array);
JsonNode *qmp_nothing(void);
/* A string argument, NULL when it was not given. */
const char *qmp_optional(JsonObject *arguments, const char *name);

/* commands.c: what a command returns (a new node), or NULL with an error. */
JsonNode *qmp_execute(struct qmp_session *session, const char *name, JsonObject *arguments, GError **error);
/* The `class` of a QMP error. */
const char *qmp_error_class(const GError *error);
const char *control_status_name(enum control_status status);

/* commands_block.c: the text monitor's words about drives */
void monitor_block_resize(struct control *control, char **words, GString *out);
void monitor_block_commit(struct control *control, char **words, GString *out);
void monitor_block_limit(struct control *control, char **words, GString *out);
void monitor_block_change(struct control *control, char **words, GString *out);
void monitor_block_eject(struct control *control, char **words, GString *out);

/* monitor_memory.c: its words about memory, ports and values */
void monitor_x(struct control *control, char **words, GString *out);
void monitor_xp(struct control *control, char **words, GString *out);
void monitor_print(struct control *control, char **words, GString *out);
void monitor_memsave(struct control *control, char **words, GString *out);
void monitor_pmemsave(struct control *control, char **words, GString *out);
void monitor_port_in(struct control *control, char **words, GString *out);
void monitor_port_out(struct control *control, char **words, GString *out);

/* commands_act.c: to a new file; one that could not be written whole is removed unless it was there before.
 */
bool control_save_memory(struct control *control, bool physical, uint64_t addr, uint64_t size,
                         const char *path, GError **error);
bool control_dump(struct control *control, const char *path, GError **error);

/* monitor_more.c */
void monitor_chardev_add(struct control *control, char **words, GString *out);
void monitor_chardev_change(struct control *control, char **words, GString *out);
void monitor_chardev_remove(struct control *control, char **words, GString *out);
void monitor_chardev_break(struct control *control, char **words, GString *out);
void monitor_announce(struct control *control, char **words, GString *out);
void monitor_closefd(struct control *control, char **words, GString *out);
void monitor_logfile(struct control *control, char **words, GString *out);
void monitor_trace_event(struct control *control, char **words, GString *out);
void monitor_gdbserver(struct control *control, char **words, GString *out);
void monitor_boot_set(struct control *control, char **words, GString *out);
void monitor_cpu(struct control *control, char **words, GString *out);
void monitor_mouse_set(struct control *control, char **words, GString *out);
void monitor_expire_password(struct control *control, char **words, GString *out);
void monitor_dump(struct control *control, char **words, GString *out);
void monitor_qom_list(struct control *control, char **words, GString *out);
void monitor_qom_get(struct control *control, char **words, GString *out);
void monitor_sum(struct control *control, char **words, GString *out);
void monitor_gpa2hva(struct control *control, char **words, GString *out);
void monitor_gva2gpa(struct control *control, char **words, GString *out);
void monitor_info_mem(struct control *control, char **words, GString *out);
void monitor_info_tlb(struct control *control, char **words, GString *out);
void monitor_info_qom_tree(struct control *control, char **words, GString *out);
void monitor_info_trace_events(struct control *control, char **words, GString *out);
bool control_expire_password(struct control *control, const char *when, GError **error);

/* monitor_info.c: false: it is not one of these. */
bool monitor_own_info(struct control *control, char **words, GString *out);
const char *monitor_own_info_name(unsigned index, const char **help); /* NULL: no more */
/* commands_saved.c */
void monitor_migrate(struct control *control, char **words, GString *out);
void monitor_migrate_incoming(struct control *control, char **words, GString *out);
void monitor_migrate_cancel(struct control *control, char **words, GString *out);
void monitor_info_migrate(struct control *control, char **words, GString *out);

/* snapshots.c: its words about snapshots; a snapshot, and those of a drive (NULL: none), as QMP tells them */
void monitor_savevm(struct control *control, char **words, GString *out);
void monitor_loadvm(struct control *control, char **words, GString *out);
void monitor_delvm(struct control *control, char **words, GString *out);
void monitor_info_snapshots(struct control *control, char **words, GString *out);
void monitor_snapshot_disk(struct control *control, char **words, GString *out);
void monitor_snapshot_disk_delete(struct control *control, char **words, GString *out);
JsonObject *control_tell_snapshot(const struct block_snapshot *snapshot);
JsonArray *control_tell_snapshots(const struct control_machine *machine, const char *drive);
/* commands_query.c */
char *control_uuid(const struct control *control);
/* monitor_absent.c: why there is no such command, or nothing to look at; NULL: it is not QEMU's. */
const char *monitor_absent(const char *word, bool info);
/* monitor_memory.c: an expression's value; false with a word in `out`. */
bool monitor_value(struct control *control, const char *text, uint64_t *value, GString *out);

/* monitor_line.c */
void monitor_history(const struct monitor_session *session, GString *out);
struct monitor_session *monitor_session_new(struct control *control, struct char_port *port);
void monitor_session_free(struct monitor_session *session);
void monitor_prompt(struct monitor_session *session);

/* monitor.c */
/* The words that may stand where `line` ends; they are the table's own. */
void monitor_complete(const char *line, GPtrArray *words);
/* The set 1 code (0x100: behind E0) of a key by QEMU's name for it. */
bool monitor_key_code(const char *name, unsigned *code);
/* Runs one line and appends what it says to `out`. */
void monitor_execute(struct control *control, const char *line, GString *out);
