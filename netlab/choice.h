/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Which nodes an `up`, `down NODE…` or `restart` is about, and what that makes of the objects that are
 * wanted. Pure: lists in, list out.
 */
#pragma once

#include "netlab/objects.h"
#include "netlab/store.h"

enum lab_action {
    LAB_START,   /* `up`: what the file says; with nodes named: those, and everything else as it is */
    LAB_STOP,    /* `down NODE…`: these go and are kept stopped */
    LAB_RESTART, /* the machines anew, as they are */
    LAB_MEND,    /* what exists, whole again */
};

struct choice {
    enum lab_action action;
    const char *const *nodes; /* the ones named */
    unsigned node_count;      /* 0: none was */
    bool all;                 /* LAB_START: those that are kept stopped too */
    bool spares;              /* machines that have ended are left as they are */
};

/* What is wanted, in the order of making. `file`: the objects that the topology asks for (START only, else
 * NULL); `existing`: the store's; `is_new`: the lab is not up. The names of nodes that stay stopped are
 * appended to *stopped. An error when a named node is none of the lab's. GPtrArray of struct object *,
 * freeing its elements. */
GPtrArray *choice_wanted(const struct choice *choice, GPtrArray *file, GPtrArray *existing, bool is_new,
                         GString *stopped, GError **error);

/* Is this object left as it is although its process has ended? */
bool choice_spares(const struct choice *choice, const struct store_object *object);
/* Is this object's machine to be made anew although nothing about it has changed? */
bool choice_renews(const struct choice *choice, const struct store_object *object);
