/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Planning: keep what is right, unmake what is not, make what is missing.
 *
 * An object is kept when it is wanted with the very same payload, its making was finished, and it is alive.
 * What is made of others goes with them: addresses and TAPs with their bridge, a machine with each of its
 * TAPs, and, since a TAP lives as long as the machine that holds its fd, the TAPs with their machine.
 * spread() follows these until nothing changes; the depth is three (bridge → TAP → machine → its other TAPs).
 */
#include "netlab/plan.h"

#include <string.h>

struct planner {
    GPtrArray *existing;
    bool *keep; /* one for each existing object */
};

static bool is_kind(const struct store_object *object, enum object_kind kind)
{
    return g_str_equal(object->kind, object_kind_name(kind));
}

static const struct object *find_wanted(GPtrArray *wanted, const struct store_object *object)
{
    for (guint i = 0; i < wanted->len; i++) {
        const struct object *candidate = wanted->pdata[i];
        if (is_kind(object, candidate->kind) && g_str_equal(candidate->key, object->key))
            return candidate;
    }
    return NULL;
}

static bool is_kept(const struct planner *p, enum object_kind kind, const char *key)
{
    for (guint i = 0; i < p->existing->len; i++) {
        const struct store_object *object = p->existing->pdata[i];
        if (is_kind(object, kind) && g_str_equal(object->key, key))
            return p->keep[i];
    }
    return false;
}

/* Does this object lose what it stands on? */
static bool is_dragged(const struct planner *p, const struct store_object *object)
{
    if (is_kind(object, OBJECT_ADDRESS))
        return !is_kept(p, OBJECT_BRIDGE, object->key);
    if (is_kind(object, OBJECT_TAP)) {
        g_autofree char *network = payload_string(object->payload, "network");
        g_autofree char *node = payload_string(object->payload, "node");
        return !network || !node || !is_kept(p, OBJECT_BRIDGE, network) || !is_kept(p, OBJECT_MACHINE, node);
    }
    if (!is_kind(object, OBJECT_MACHINE))
        return false;
    g_autofree char *prefix = g_strconcat(object->key, ":", NULL);
    for (guint i = 0; i < p->existing->len; i++) {
        const struct store_object *tap = p->existing->pdata[i];
        if (is_kind(tap, OBJECT_TAP) && g_str_has_prefix(tap->key, prefix) && !p->keep[i])
            return true;
    }
    return false;
}

static void spread(struct planner *p)
{
    bool changed = true;
    while (
        changed) { /* each round drops at least one object, so there are at most as many rounds as objects */
        changed = false;
        for (guint i = 0; i < p->existing->len; i++) {
            if (p->keep[i] && is_dragged(p, p->existing->pdata[i])) {
                p->keep[i] = false;
                changed = true;
            }
        }
    }
}

static void step_free(void *data)
{
    struct plan_step *step = data;
    g_free(step->key);
    g_free(step->payload);
    g_free(step);
}

static void add_step(struct plan *plan, bool make, enum object_kind kind, const char *key,
                     const char *payload)
{
    struct plan_step *step = g_new0(struct plan_step, 1);
    step->make = make;
    step->kind = kind;
    step->key = g_strdup(key);
    step->payload = g_strdup(payload);
    g_ptr_array_add(plan->steps, step);
    if (make && kind == OBJECT_MACHINE)
        g_ptr_array_add(plan->wait, g_strdup(key));
}

struct plan *plan_make(GPtrArray *wanted, GPtrArray *existing, plan_alive *alive, void *opaque)
{
    g_autofree bool *keep = g_new0(bool, existing->len + 1);
    struct planner p = {.existing = existing, .keep = keep};
    for (guint i = 0; i < existing->len; i++) {
        const struct store_object *object = existing->pdata[i];
        const struct object *same = find_wanted(wanted, object);
        keep[i] = same && object->state == STORE_PRESENT && g_str_equal(same->payload, object->payload) &&
                  alive(object, opaque);
    }
    spread(&p);

    struct plan *plan = g_new0(struct plan, 1);
    plan->steps = g_ptr_array_new_with_free_func(step_free);
    plan->wait = g_ptr_array_new_with_free_func(g_free);
    for (guint i = existing->len; i-- > 0;) {
        const struct store_object *object = existing->pdata[i];
        enum object_kind kind;
        if (!keep[i] && object_kind_parse(object->kind, &kind))
            add_step(plan, false, kind, object->key, object->payload);
    }
    for (guint i = 0; i < wanted->len; i++) {
        const struct object *object = wanted->pdata[i];
        if (!is_kept(&p, object->kind, object->key))
            add_step(plan, true, object->kind, object->key, object->payload);
    }
    return plan;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    g_ptr_array_unref(plan->steps);
    g_ptr_array_unref(plan->wait);
    g_free(plan);
}
