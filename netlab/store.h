/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The store: what is up, and the journal. One SQLite file per user, <state directory>/netlab.db.
 *
 * The contract that everything else stands on: an intent is on the disk before the machine is touched, and
 * the outcome after (synchronous=FULL; each function below that changes something is one transaction, BEGIN
 * IMMEDIATE). So whatever dies whenever, each object that may exist has a row here that says what it is and
 * how to tell it from somebody else's. docs/journal.md tells the story.
 *
 * Several processes use the file at once (the supervisors of all labs, any command); SQLite's lock and a busy
 * timeout of 10 s order them. One handle belongs to one thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define STORE_ERROR store_error_quark()
GQuark store_error_quark(void);
enum store_error {
    STORE_ERROR_NEWER, /* written by a newer version */
    STORE_ERROR_FULL,  /* no room on the disk */
    STORE_ERROR_BUSY,  /* another process kept it locked */
    STORE_ERROR_ACCESS,
    STORE_ERROR_DAMAGED,
    STORE_ERROR_GIVEN_UP, /* store_complete_run() */
    STORE_ERROR_FAILED
};

enum { STORE_VERSION = 4 };

struct store;
typedef struct store store; /* for g_autoptr(store); written `struct store` everywhere else */

/* Opens, creates or migrates the store in `directory` (made with mode 0700 if need be). */
struct store *store_open(const char *directory, GError **error);
void store_close(struct store *store);
/* Reads all of it: DAMAGED when pages or indexes do not agree. */
bool store_check(struct store *store, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(store, store_close)

struct store_lab {
    int64_t id;
    char *name, *file, *directory, *source, *boot_id;
    bool is_rootless, is_own_namespace;
    uint64_t netns;
    int64_t created_at, changed_at;
};
void store_lab_free(struct store_lab *lab);
typedef struct store_lab store_lab;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(store_lab, store_lab_free)

/* By name; NULL without error when there is none. */
struct store_lab *store_find_lab(struct store *store, const char *name, GError **error);
/* All of them by name: GPtrArray of struct store_lab *, freeing its elements. */
GPtrArray *store_list_labs(struct store *store, GError **error);
/* Inserts (lab->id is set). */
bool store_add_lab(struct store *store, struct store_lab *lab, GError **error);
/* Its namespace is this one now. `is_new`: it has just been made, so what the lab had in another one went
 * with that: its objects, but for the folder, the supervisor and what is only known of nodes, count as being
 * made. */
bool store_set_lab_netns(struct store *store, int64_t lab, uint64_t netns, bool is_new, GError **error);
/* The lab with all its objects, runs and steps. */
bool store_delete_lab(struct store *store, int64_t lab, GError **error);

enum store_object_state { STORE_MAKING, STORE_PRESENT, STORE_REMOVING, STORE_OBJECT_STATES };

struct store_object {
    int64_t id, lab;
    char *kind, *key, *payload, *identity, *note;
    enum store_object_state state;
    int64_t made_by;
};
void store_object_free(struct store_object *object);
typedef struct store_object store_object;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(store_object, store_object_free)

/* In the order in which they were made: GPtrArray of struct store_object *, freeing its elements. */
GPtrArray *store_list_objects(struct store *store, int64_t lab, GError **error);
/* NULL without error when there is none. */
struct store_object *store_find_object(struct store *store, int64_t lab, const char *kind, const char *key,
                                       GError **error);
/* While it is being made: what exactly it is. Returns only when that is on the disk. */
bool store_set_identity(struct store *store, int64_t lab, const char *kind, const char *key,
                        const char *identity, GError **error);
bool store_set_note(struct store *store, int64_t lab, const char *kind, const char *key, const char *note,
                    GError **error);

/* ---- the journal ---- */

bool store_begin_run(struct store *store, int64_t lab, const char *verb, int64_t *run, GError **error);
bool store_end_run(struct store *store, int64_t run, const char *outcome, GError **error);
/* All that the run was to do is done: one transaction says so and, unless `file` is NULL, that the lab is now
 * what `source` (a topology's text, from that file) says. After it the run stands, whoever dies. False with
 * STORE_ERROR_GIVEN_UP, and nothing written, when whoever asked for the run has given it up. */
bool store_complete_run(struct store *store, int64_t lab, int64_t run, const char *file, const char *source,
                        GError **error);
/* Whoever asked for the run will not hear how it ends. *is_complete: it stands already; otherwise it can be
 * completed no more, and counts as cut off until it is rolled back. */
bool store_give_up_run(struct store *store, int64_t run, bool *is_complete, GError **error);

/* Steps go through the journal in groups: the intents of a group are committed together, before the first of
 * them is begun, and so are the outcomes. A group is one fsync, however many steps it has. */
enum store_outcome {
    STORE_DONE,    /* make: the object is present; unmake: its row goes */
    STORE_FAILED,  /* the object's row stays, for whatever there is of it has still to be unmade */
    STORE_UNDONE,  /* make: what was made, wholly or half, is gone again, and so is its row */
    STORE_SKIPPED, /* never begun: all is as it was before the intent */
    STORE_OUTCOMES
};
struct store_intent {
    bool make;
    const char *kind, *key, *payload;
    const char *identity; /* make: what exactly it will be; NULL: not known yet */
    bool again;           /* make: the row may be there already; what it stood for is known to be gone */
    int64_t step;         /* set by store_intend() */
    bool was_present;     /* unmake: set by store_intend() */
    enum store_outcome outcome;
    const char *why; /* FAILED: the reason */
};
/* Writes the steps, and their objects on the way (`make`: inserted as making, `unmake`: marked as removing).
 */
bool store_intend(struct store *store, int64_t lab, int64_t run, struct store_intent *intents, unsigned count,
                  GError **error);
/* While they are being made: what exactly they are, for those that have an identity now. Returns only when
 * that is on the disk. */
bool store_identify(struct store *store, int64_t lab, const struct store_intent *intents, unsigned count,
                    GError **error);
bool store_settle(struct store *store, int64_t lab, const struct store_intent *intents, unsigned count,
                  GError **error);

/* Was the last change of this lab cut off: its run has no outcome or was given up, or an object is neither
 * there nor gone? */
bool store_is_cut_off(struct store *store, int64_t lab, bool *is_cut_off, GError **error);
/* Has any `up` of this lab ever come to its end? */
bool store_was_up(struct store *store, int64_t lab, bool *was_up, GError **error);

struct store_step {
    int64_t id, run;
    bool make;
    char *verb; /* the run's: "up", "down" */
    char *kind, *key, *state, *error;
    int64_t at; /* ms */
};
void store_step_free(struct store_step *step);
/* The journal of a lab, oldest first: GPtrArray of struct store_step *. */
GPtrArray *store_list_steps(struct store *store, int64_t lab, GError **error);

/* ---- DHCP leases of `netlab host dhcp` ---- */

enum store_lease_state {
    STORE_LEASE_REQUESTING, /* a process asks for it; nothing but the link's flags may have been touched */
    STORE_LEASE_BOUND,      /* `applied` is, or was about to be, on the link */
    STORE_LEASE_STATES
};

/* One interface's. `applied` is on the disk before the kernel is asked for any of it. */
struct store_lease {
    int64_t id;
    char *boot_id;
    uint64_t netns;  /* hostnet_get_netns_cookie() */
    char *interface; /* name */
    char *link;      /* hostnet_identity_format() */
    char *runner;    /* process_format() of the process that renews it; "": none */
    char *settings;  /* dhcp_settings_format(): how it was asked for */
    char *lease;     /* dhcp_lease_format(); "": none yet */
    char *applied;   /* dhcp_applied_format(); "": nothing */
    enum store_lease_state state;
    int64_t changed_at; /* seconds since 1970 */
};
void store_lease_free(struct store_lease *lease);
typedef struct store_lease store_lease;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(store_lease, store_lease_free)

/* All, of every namespace and boot: GPtrArray of struct store_lease *, freeing its elements. */
GPtrArray *store_list_leases(struct store *store, GError **error);
/* Inserts (id 0, or one that is not there any more: it is set) or writes the row anew. Returns only when that
 * is on the disk. */
bool store_put_lease(struct store *store, struct store_lease *lease, GError **error);
bool store_delete_lease(struct store *store, int64_t id, GError **error);

/* ---- what `netlab host bridge|tap|uplink` has made on this host ---- */

/* A link, a port's place in a bridge, or a NIC's in its uplink bridge. The row is there, as MAKING with all
 * that it takes to undo it, before anything is touched. */
struct store_host_object {
    int64_t id;
    char *boot_id;
    uint64_t netns;
    char *kind, *name;
    char *identity; /* hostnet_identity_format() of the link; uplink: of its bridge */
    char *detail;   /* what else it takes to undo it; "" */
    enum store_object_state state;
};
void store_host_object_free(struct store_host_object *object);
typedef struct store_host_object store_host_object;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(store_host_object, store_host_object_free)

/* All, of every namespace and boot, in the order they were made: GPtrArray of struct store_host_object *. */
GPtrArray *store_list_host_objects(struct store *store, GError **error);
/* Inserts (id 0: it is set) or sets the state. Returns only when that is on the disk. */
bool store_put_host_object(struct store *store, struct store_host_object *object, GError **error);
bool store_delete_host_object(struct store *store, int64_t id, GError **error);

/* ---- classes: the copies of a lab, one for each student (class.h) ---- */

struct store_class {
    int64_t id;
    char *lab;       /* the lab's own name, with which the names of its copies begin */
    char *file;      /* absolute path of the topology */
    char *roster;    /* absolute path of the class list */
    char *source;    /* the topology's text, as it was last brought up */
    unsigned memory; /* MiB a copy may use; 0: no limit */
    unsigned cpu;    /* hundredths of a processor a copy may use; 0: no limit */
    char *cgroup;    /* folder in which each copy has a control group; "": none (limits.h) */
};
void store_class_free(struct store_class *class);
typedef struct store_class store_class;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(store_class, store_class_free)

struct store_member {
    int64_t id, class_id;
    char *student, *lab; /* its id, and the name of its copy */
    char *document;      /* what makes the topology its copy (topology_student.h) */
    char *name, *email;  /* "": not known */
    unsigned rank;       /* place in the class list */
};
void store_member_free(struct store_member *member);
typedef struct store_member store_member;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(store_member, store_member_free)

/* All: GPtrArray of struct store_class *, freeing its elements. */
GPtrArray *store_list_classes(struct store *store, GError **error);
/* In the order of the list; class 0: of all. GPtrArray of struct store_member *, freeing its elements. */
GPtrArray *store_list_members(struct store *store, int64_t class, GError **error);
/* The class whose copy is called this; NULL without an error: it is no copy. Owned by the caller. */
struct store_class *store_find_class_of(struct store *store, const char *lab, GError **error);
/* The class (inserted with id 0: it is set; else written anew) and those members, inserted or written anew,
 * in one transaction. A member's row is there before its copy is, and goes after it. */
bool store_put_class(struct store *store, struct store_class *class, GPtrArray *members, GError **error);
/* The member whose copy has this name; with the last one goes the class. Nothing when there is none. */
bool store_delete_member(struct store *store, const char *lab, GError **error);
