/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Operations: for each kind of object how it is made, unmade and described; and the journal around them.
 *
 * operation_run() is the only way in which anything of a lab is made or unmade: intent on the disk, then the
 * deed, then the outcome on the disk. Steps of a kind that follow each other share one intent and one outcome
 * transaction (a group): 500 bridges are two fsyncs, not 1500. Every unmake is idempotent, works on what was
 * only half made, and touches nothing whose identity does not agree.
 */
#pragma once

#include "hostnet/identity.h"
#include "netlab/machine.h"
#include "netlab/objects.h"
#include "netlab/outside.h"
#include "netlab/store.h"

struct operation_step {
    bool make; /* false: unmake */
    enum object_kind kind;
    const char *key, *payload;
    int64_t number; /* set: in the journal; 0: not begun */
    bool
        again; /* make what has ended by itself: its row is there already, and of the thing nothing is left */
};

/* Where operations happen. Everything belongs to the creator of the context. */
struct operation_context {
    struct store *store;
    int64_t lab_id;
    const char *lab;             /* name */
    const char *state, *runtime; /* directories */
    bool is_rootless, is_own_namespace;
    unsigned owner;      /* uid of the person, for interface names */
    struct hostnet *net; /* the lab's namespace; NULL: not at hand, it goes with its processes */
    struct machine_user user;
    const char *emulator;
    GHashTable *taps; /* key → fd (GINT_TO_POINTER), between the making of a TAP and of its machine */
    int64_t run;      /* of the journal */
    pid_t join;       /* supervisors: the process whose namespaces the new one enters; 0: it makes its own */
    bool is_dying;    /* the whole lab goes: links in its own namespace need not be deleted one by one */
    GPtrArray *notes; /* char *: what was not as it had been left; NULL: not wanted. Not owned */
    struct hostnet *host_net; /* the host's namespace; NULL: where this process is. Not owned */
    struct outside *outside;  /* supervisors: who starts gateways; else NULL */
    bool is_supervisor;       /* this process is the lab's supervisor, which does not end itself */
    /* Before each step (may be NULL); false with an error: neither this nor a later step is begun. */
    bool (*before)(void *opaque, const struct operation_step *step, GError **error);
    void *before_opaque;
    /* A NIC of the host is bridged and its gateway answers: is it to stay so, says somebody within so many
     * seconds? False with an error: it goes back. NULL: nobody is asked. */
    bool (*confirm)(void *opaque, const char *nic, unsigned seconds, GError **error);
    void *confirm_opaque;
    /* Not NULL: unmaking goes on past what cannot be unmade, which is told here, a line each; and past a
     * journal that cannot be written, whose first error is then in journal_error (the caller's to free). */
    GString *problems;
    GError *journal_error;
};

/* A handle of the host's namespace: the supervisor's, or else of where this process is. Owned by the caller;
 * NULL with an error. */
struct hostnet *operation_open_host(const struct operation_context *context, GError **error);

/* To unmake what has one end in the host's namespace: that namespace, if `identity` (of the end there) is of
 * it. NULL without an error: of an earlier boot, so nothing is left. NULL with one: elsewhere; `what` names
 * it there ("the gateway of network lan"). Owned by the caller. */
struct hostnet *operation_open_host_of(const struct operation_context *context,
                                       const struct hostnet_link_identity *identity, const char *what,
                                       GError **error);
/* Deletes a link of ours. Somebody else's that stands there now stays: ours is gone. */
bool operation_delete_link(struct hostnet *net, const struct hostnet_link_identity *identity, GError **error);

/* One line for people: "create bridge lan (nlbxxxxxxxxxx)". Owned by the caller. */
char *operation_describe(bool make, enum object_kind kind, const char *key, const char *payload);

/* Journalled, in groups. On failure the steps that were done are marked so, the one that failed as failed
 * (what was half made is still there, to be undone), and the rest is as if never asked for; `number` of each
 * step tells. */
bool operation_run(struct operation_context *context, struct operation_step *steps, unsigned count,
                   GError **error);

/* Unmakes, last first, what the make steps among these left that were begun, and marks them undone. Problems
 * are appended; true when there were none. */
bool operation_undo(struct operation_context *context, struct operation_step *steps, unsigned count,
                    GString *problems);
