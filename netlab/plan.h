/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The plan: the steps from what is there to what is wanted. Pure: it looks at the store's objects and the
 * wanted ones, asks a predicate what of the former is still alive, and changes nothing.
 */
#pragma once

#include "netlab/objects.h"
#include "netlab/store.h"

struct plan_step {
    bool make; /* false: unmake */
    enum object_kind kind;
    char *key, *payload;
};

struct plan {
    GPtrArray *steps; /* struct plan_step *: first what goes, last made first, then what comes */
    GPtrArray *wait;  /* char *: nodes that are started and have to become ready */
};

typedef bool plan_alive(const struct store_object *object, void *opaque);

/* `wanted`: struct object *, in the order of making; `existing`: struct store_object *, in the order they
 * were made. */
struct plan *plan_make(GPtrArray *wanted, GPtrArray *existing, plan_alive *alive, void *opaque);
void plan_free(struct plan *plan);
static inline void plan_cleanup(struct plan **plan)
{
    plan_free(*plan);
}
#define plan_auto __attribute__((cleanup(plan_cleanup)))
