/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Planning: keep what is right, unmake what is not, make what is missing.
 *
 * An object is kept when it is wanted with the very same payload, its making was finished, and it is alive.
 * What is made of others goes with them: addresses and TAPs with their bridge, a machine with each of its
 * TAPs, and, since a TAP lives as long as the machine that holds its fd, the TAPs with their machine.
 * drop() follows these; each object is dropped at most once, so planning takes time in proportion to their
 * number.
 */
#include "netlab/plan.h"

#include <string.h>

struct planner {
    GPtrArray *existing;
    bool *keep;           /* one for each existing object */
    GHashTable *index;    /* "kind key" → its number + 1 in existing */
    GHashTable *children; /* number + 1 → GArray of the numbers that go with it */
};

static char *name_of(const char *kind, const char *key)
{
    return g_strconcat(kind, " ", key, NULL);
}

/* Its number, or -1. */
static int find(const struct planner *p, enum object_kind kind, const char *key)
{
    g_autofree char *name = name_of(object_kind_name(kind), key);
    return GPOINTER_TO_INT(g_hash_table_lookup(p->index, name)) - 1;
}

static bool is_kept(const struct planner *p, enum object_kind kind, const char *key)
{
    int number = find(p, kind, key);
    return number >= 0 && p->keep[number];
}

static void drop(struct planner *p, guint number)
{
    if (!p->keep[number])
        return;
    p->keep[number] = false;
    GArray *children = g_hash_table_lookup(p->children, GINT_TO_POINTER((int)number + 1));
    for (guint i = 0; children && i < children->len; i++)
        drop(p, g_array_index(children, guint, i));
}

/* When `parent` goes, so does `child`. A parent that is not there is gone already. */
static void bind(struct planner *p, int parent, guint child)
{
    if (parent < 0) {
        p->keep[child] = false;
        return;
    }
    GArray *children = g_hash_table_lookup(p->children, GINT_TO_POINTER(parent + 1));
    if (!children) {
        children = g_array_new(FALSE, FALSE, sizeof(guint));
        g_hash_table_insert(p->children, GINT_TO_POINTER(parent + 1), children);
    }
    g_array_append_val(children, child);
}

static void bind_all(struct planner *p)
{
    for (guint i = 0; i < p->existing->len; i++) {
        const struct store_object *object = p->existing->pdata[i];
        enum object_kind kind;
        if (!object_kind_parse(object->kind, &kind))
            continue;
        if (kind == OBJECT_NAT || kind == OBJECT_UPLINK)
            bind(p, find(p, OBJECT_BRIDGE, object->key), i);
        if (kind == OBJECT_ADDRESS) {
            g_autofree char *on = payload_string(object->payload, "network");
            bind(p, find(p, OBJECT_BRIDGE, on ? on : object->key), i);
        }
        /* A server is bound to its bridge, and to the address that it had when it was started; who renews a
         * lease, to the NIC's bridge. */
        if (kind == OBJECT_MACHINE && object->key[0] == OBJECT_GATEWAY_SIGN) {
            g_autofree char *server = payload_string(object->payload, "server");
            g_autofree char *lease = payload_string(object->payload, "lease");
            if (server)
                bind(p, find(p, OBJECT_ADDRESS, server), i);
            if (lease)
                bind(p, find(p, OBJECT_UPLINK, lease), i);
        }
        if (kind != OBJECT_TAP)
            continue;
        g_autofree char *network = payload_string(object->payload, "network");
        g_autofree char *node = payload_string(object->payload, "node");
        int machine = node ? find(p, OBJECT_MACHINE, node) : -1;
        bind(p, network ? find(p, OBJECT_BRIDGE, network) : -1, i);
        bind(p, machine, i);
        if (machine >= 0)
            bind(p, (int)i, (guint)machine);
    }
}

static void free_children(void *children)
{
    g_array_unref(children);
}

/* Decides what is kept. */
static void decide(struct planner *p, GPtrArray *wanted, plan_alive *alive, void *opaque)
{
    g_autoptr(GHashTable) payloads = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < wanted->len; i++) {
        const struct object *object = wanted->pdata[i];
        g_hash_table_insert(payloads, name_of(object_kind_name(object->kind), object->key), object->payload);
    }
    g_autofree bool *is_right = g_new0(bool, p->existing->len + 1);
    for (guint i = 0; i < p->existing->len; i++) {
        const struct store_object *object = p->existing->pdata[i];
        g_autofree char *name = name_of(object->kind, object->key);
        const char *payload = g_hash_table_lookup(payloads, name);
        is_right[i] = payload && object->state == STORE_PRESENT && g_str_equal(payload, object->payload) &&
                      alive(object, opaque);
        p->keep[i] = true;
        g_hash_table_insert(p->index, g_steal_pointer(&name), GINT_TO_POINTER((int)i + 1));
    }
    bind_all(p);
    for (guint i = 0; i < p->existing->len; i++) {
        bool is_orphan = !p->keep[i];
        p->keep[i] = true;
        if (is_orphan || !is_right[i])
            drop(p, i);
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
    g_autoptr(GHashTable) index = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                          children = g_hash_table_new_full(NULL, NULL, NULL, free_children);
    struct planner p = {.existing = existing, .keep = keep, .index = index, .children = children};
    decide(&p, wanted, alive, opaque);

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
