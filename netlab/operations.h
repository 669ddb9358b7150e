/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Operations: for each kind of object how it is made, unmade and described; and the journal around them.
 *
 * operation_step() is the only way in which anything of a lab is made or unmade: intent on the disk, then the
 * deed, then the outcome on the disk. Every unmake is idempotent, works on what was only half made, and
 * touches nothing whose identity does not agree.
 */
#pragma once

#include "hostnet/hostnet.h"
#include "netlab/machine.h"
#include "netlab/objects.h"
#include "netlab/store.h"

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
};

/* One line for people: "create bridge lan (nlbxxxxxxxxxx)". Owned by the caller. */
char *operation_describe(bool make, enum object_kind kind, const char *key, const char *payload);

/* Journalled. On failure the step is marked failed and what was half made is still there, to be undone. *step
 * (may be NULL) gets the journal's number, 0 when not even the intent could be written. */
bool operation_step(struct operation_context *context, bool make, enum object_kind kind, const char *key,
                    const char *payload, int64_t *step, GError **error);

/* Unmakes what a failed or unwanted make step left, and marks that step undone. */
bool operation_undo_make(struct operation_context *context, int64_t step, enum object_kind kind,
                         const char *key, GError **error);
