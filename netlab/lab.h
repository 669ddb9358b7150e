/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Labs as commands see them: bring one up, take one down, look at one. Nothing here prints; progress is told
 * through callbacks, errors through GError. docs/up-path.md follows lab_up() from the file to the running
 * machines.
 */
#pragma once

#include "netlab/choice.h"
#include "netlab/store.h"
#include "netlab/topology.h"

#define LAB_ERROR lab_error_quark()
GQuark lab_error_quark(void);
enum lab_error {
    LAB_ERROR_FAILED,    /* and rolled back */
    LAB_ERROR_CANCELLED, /* by the person, and rolled back */
    LAB_ERROR_ELSEWHERE, /* a lab of that name is up from another folder */
    LAB_ERROR_NOT_UP,    /* no such lab, or no such node in it */
    LAB_ERROR_PRIVILEGE,
    LAB_ERROR_LEFT /* something could not be taken away */
};

/* True when a capability or a device is missing, at whatever depth that was found. */
bool lab_error_is_privilege(const GError *error);

/* Where the store and the sockets are. */
struct lab_place {
    char *state, *runtime;
};
void lab_place_find(struct lab_place *place);
void lab_place_clear(struct lab_place *place);

enum lab_event {
    LAB_STEP,  /* index of count: text */
    LAB_WAIT,  /* text: what is waited for; count machines */
    LAB_READY, /* text: the node; seconds; count machines left */
    LAB_UNDO,  /* text: what is undone */
    LAB_NOTE,  /* text: something the person should know */
    LAB_EVENTS
};
struct lab_progress {
    void (*tell)(void *opaque, enum lab_event event, unsigned index, unsigned count, double seconds,
                 const char *text);
    void *opaque;
};

enum lab_answer {
    LAB_KEEP,
    LAB_DECLINE,
    LAB_NO_ANSWER,
    LAB_CANCEL /* the whole change, too */
};

struct lab_up_options {
    const struct lab_place *place;
    const struct topology *topology; /* LAB_START; else NULL, and `lab` is its name */
    const char *lab;
    const char *shown_file; /* as messages name the topology file */
    struct choice choice;
    bool dry_run;
    bool rootless;      /* in a user namespace even with the capabilities for more */
    bool here;          /* in the network namespace we are in, not one of the lab's own */
    unsigned timeout_s; /* for all machines to become ready */
    int cancel_fd;      /* readable: roll back; -1: none */
    unsigned *stopped;  /* may be NULL; gets how many nodes stay stopped */
    struct lab_progress progress;
    /* A NIC of the host that is bridged stays so only if this says KEEP within so many seconds; called with
     * progress.opaque. NULL: when its gateway answers. */
    enum lab_answer (*confirm)(void *opaque, const char *nic, unsigned seconds);
};
enum { LAB_WAIT_FOR_LOCK_MS = 15000 }; /* a rollback, or a restart of the supervisor's */
enum lab_up_result { LAB_UP_NOTHING_TO_DO, LAB_UP_PLANNED, LAB_UP_DONE };
/* On failure everything that this call did has been undone, or the error says what is left. With dry_run the
 * steps are told as LAB_STEP and nothing is touched. */
bool lab_up(const struct lab_up_options *options, enum lab_up_result *result, GError **error);

struct lab_down_options {
    const struct lab_place *place;
    const char *lab;
    /* First the guests are asked to power off, all at once, by their agent or else by the ACPI button; those
     * that have not within this many seconds are ended. 0: all are ended at once. */
    unsigned graceful_s;
    const char *const *nodes; /* graceful for these only (lab_power_off) */
    unsigned node_count;
    struct lab_progress progress;
};
/* Takes the lab away. NOT_UP when there is none of that name. */
bool lab_down(const struct lab_down_options *options, GError **error);
/* Only asks the guests, before a stop or restart, and waits for them. Told by LAB_NOTE: who had to be left
 * on. */
bool lab_power_off(const struct lab_down_options *options, GError **error);

/* False (ELSEWHERE) when processes of a lab of this name run that the store, where it has no row, knows nothing
 * of; those that are just ending are waited for (3 s at most). */
bool lab_check_unknown(const struct lab_place *place, const char *name, GError **error);
/* A sentence about labs that run and that the store knows nothing of, and what to do; NULL: there are none.
 * The caller's. Waits as above. */
char *lab_describe_unknown(const struct lab_place *place, struct store *store);

/* Removes lock files that a crash has left; never one that is held. */
void lab_sweep_locks(const struct lab_place *place);

enum lab_node_state {
    LAB_NODE_STARTING,
    LAB_NODE_RUNNING,
    LAB_NODE_ENDED,   /* by itself */
    LAB_NODE_STOPPED, /* by `down NODE`, or never started */
    LAB_NODE_STATES
};
const char *lab_node_state_name(enum lab_node_state state); /* "starting", "running", … */

struct lab_nic_status {
    char *interface, *mac, *network, *address, *address6; /* addresses NULL: none */
};
struct lab_medium_status {
    char *drive; /* "ide0-hd0", as the machine's monitor calls it */
    bool is_disk, is_persistent, is_image /* comes with the node's image */, is_seed /* of cloud-init */;
    char *file, *format; /* NULL: an empty disk or drive */
    uint64_t size;       /* bytes of an empty disk; 0: the file's */
};
struct lab_node_status {
    char *name;
    enum lab_node_state state;
    char *note;        /* why it ended, or ended before it was restarted; "" */
    char *restart;     /* its policy; NULL: never */
    char *last_words;  /* of one that ended: the end of its console, "" when it said nothing */
    char *image;       /* or its kernel's path, or that of the disk or CD that starts */
    unsigned memory;   /* MiB it has */
    pid_t pid;         /* 0: none */
    uint64_t resident; /* KiB it uses on the host */
    char *directory, *console; /* console NULL: it has none */
    GPtrArray *nics;  /* struct lab_nic_status * */
    GPtrArray *media; /* struct lab_medium_status * */
};
struct lab_status {
    char *name, *file, *directory;
    bool is_rootless, is_own_namespace, is_supervised, is_stale /* of an earlier boot */,
        is_complete /* an `up` has finished */;
    pid_t supervisor;
    int64_t created_at; /* by the clock of then */
    int64_t up_s;       /* how long it has been up, whatever became of the clock */
    GPtrArray *nodes;   /* struct lab_node_status * */
};
struct lab_status *lab_status_read(const struct lab_place *place, struct store *store,
                                   const struct store_lab *lab, GError **error);
void lab_status_free(struct lab_status *status);
struct lab_node_status *lab_status_find_node(struct lab_status *status, const char *name, GError **error);

/* Which lab a command means: the named one; else the one that was brought up from `path` (a file or folder);
 * else the one from the current folder; else the only one there is. NOT_UP with the list of labs otherwise.
 */
struct store_lab *lab_select(struct store *store, const char *name, const char *path, GError **error);
