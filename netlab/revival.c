/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Starting again; see revival.h.
 *
 * A restart is a run of the journal like any other, under the lab's lock: when that is held, somebody is
 * changing the lab, perhaps taking it away, and we try again a little later. Its steps make the node's TAPs
 * and machine `again`: their rows stay (so the node never vanishes from `status`), and of the old ones
 * nothing is left: the process has ended, and its TAPs went with the fds that it held. Whatever fails or is
 * cut off on the way leaves rows that are not `present`, which the next try begins anew, `up` mends and
 * `down` removes.
 *
 * Times are monotonic: a clock that is set does not hasten or delay anything.
 */
#include "netlab/revival.h"
#include "netlab/fault.h"
#include "netlab/lock.h"
#include "netlab/paths.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    FIRST_DELAY_MS = 100,
    LONGEST_DELAY_MS = 30000,
    RAN_WELL_MS = 60000,
    LOCKED_DELAY_MS = 200,
    END_MS = 1000,   /* for a machine to end, before SIGKILL */
    KEPT_LINES = 40, /* of what the last one said */
};

#define RESTART_WORD   "; restart "
#define RESTARTED_WORD "restarted "

struct patient {
    char *node, *why;
    unsigned restarts; /* in a row */
    gint64 started;    /* monotonic ms; 0: not by us */
    gint64 due;        /* 0: not waiting */
};

struct revival {
    GHashTable *patients; /* node → struct patient * */
};

static gint64 now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static void patient_free(void *data)
{
    struct patient *patient = data;
    g_free(patient->node);
    g_free(patient->why);
    g_free(patient);
}

struct revival *revival_new(void)
{
    struct revival *revival = g_new0(struct revival, 1);
    revival->patients = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, patient_free);
    return revival;
}

void revival_free(struct revival *revival)
{
    if (!revival)
        return;
    g_hash_table_unref(revival->patients);
    g_free(revival);
}

static struct patient *get_patient(struct revival *revival, const char *node)
{
    struct patient *patient = g_hash_table_lookup(revival->patients, node);
    if (patient)
        return patient;
    patient = g_new0(struct patient, 1);
    patient->node = g_strdup(node);
    g_hash_table_insert(revival->patients, patient->node, patient);
    return patient;
}

static gint64 delay_of(unsigned restarts)
{
    return restarts < 9 ? MIN((gint64)FIRST_DELAY_MS << restarts, LONGEST_DELAY_MS) : LONGEST_DELAY_MS;
}

char *revival_plan(struct revival *revival, struct operation_context *context, const char *node,
                   const char *why, bool failed)
{
    g_autoptr(store_object) policy =
        store_find_object(context->store, context->lab_id, object_kind_name(OBJECT_POLICY), node, NULL);
    g_autofree char *restart = policy ? payload_string(policy->payload, "restart") : NULL;
    if (!restart || (!failed && !g_str_equal(restart, "always")))
        return g_strdup(why);
    gint64 most = payload_number(policy->payload, "most");
    struct patient *patient = get_patient(revival, node);
    if (patient->started && now_ms() - patient->started >= RAN_WELL_MS)
        patient->restarts = 0;
    if (patient->restarts >= most) {
        char *note =
            g_strdup_printf("%s; not started again after %u restarts in a row", why, patient->restarts);
        patient->restarts = 0; /* whoever starts it by hand gives it another chance */
        return note;
    }
    gint64 delay = delay_of(patient->restarts);
    patient->due = now_ms() + delay;
    g_free(patient->why);
    patient->why = g_strdup(why);
    return g_strdup_printf("%s" RESTART_WORD "%u of %" G_GINT64_FORMAT " in %.1f s", why,
                           patient->restarts + 1, most, (double)delay / 1000);
}

char *revival_read_note(const char *note)
{
    const char *plan = strstr(note, RESTART_WORD);
    return plan ? g_strndup(note, (gsize)(plan - note)) : NULL;
}

bool revival_is_running_note(const char *note)
{
    return !*note || g_str_has_prefix(note, RESTARTED_WORD);
}

int revival_timeout(const struct revival *revival)
{
    GHashTableIter iter;
    gpointer value;
    gint64 soonest = -1, now = now_ms();
    g_hash_table_iter_init(&iter, revival->patients);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct patient *patient = value;
        if (!patient->due)
            continue;
        gint64 left = MAX(patient->due - now, 0);
        soonest = soonest < 0 ? left : MIN(soonest, left);
    }
    return (int)soonest;
}

/* The end of what the last one said, for the new one's folder: its own is emptied. Owned by the caller. */
static char *keep_words(const char *directory)
{
    g_autofree char *log = machine_log_tail(directory, "machine.log", KEPT_LINES);
    g_autofree char *console = machine_log_tail(directory, "console.log", KEPT_LINES);
    return g_strdup_printf("%s%s%s%s", log, *log ? "\n" : "", console, *console ? "\n" : "");
}

static void leave_words(const char *directory, const char *words)
{
    g_autofree char *path = g_build_filename(directory, "previous.log", NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return;
    if (write(fd, words, strlen(words)) < 0)
        g_debug("revival: %s cannot be written", path);
    close(fd);
}

/* Its TAPs in the order of their making, then the machine; the machine's row is *machine. */
static GArray *collect_steps(GPtrArray *objects, const char *node, const struct store_object **machine)
{
    GArray *steps = g_array_new(FALSE, TRUE, sizeof(struct operation_step));
    g_autofree char *prefix = g_strconcat(node, ":", NULL);
    *machine = NULL;
    for (guint i = 0; i < objects->len; i++) {
        const struct store_object *object = objects->pdata[i];
        struct operation_step step = {
            .make = true, .kind = OBJECT_TAP, .key = object->key, .payload = object->payload, .again = true};
        if (g_str_equal(object->kind, object_kind_name(OBJECT_TAP)) && g_str_has_prefix(object->key, prefix))
            g_array_append_val(steps, step);
        if (g_str_equal(object->kind, object_kind_name(OBJECT_MACHINE)) && g_str_equal(object->key, node))
            *machine = object;
    }
    if (*machine) {
        struct operation_step step = {.make = true,
                                      .kind = OBJECT_MACHINE,
                                      .key = (*machine)->key,
                                      .payload = (*machine)->payload,
                                      .again = true};
        g_array_append_val(steps, step);
    }
    return steps;
}

static void set_note(struct operation_context *context, const char *node, const char *note)
{
    g_autoptr(GError) error = NULL;
    g_message("machine %s: %s", node, note);
    if (!store_set_note(context->store, context->lab_id, object_kind_name(OBJECT_MACHINE), node, note,
                        &error))
        g_warning("%s", error->message);
}

static void restart(struct revival *revival, struct operation_context *context, struct patient *patient)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) objects = store_list_objects(context->store, context->lab_id, &error);
    const struct store_object *machine = NULL;
    g_autoptr(GArray) steps = objects ? collect_steps(objects, patient->node, &machine) : NULL;
    struct process_identity identity;
    bool is_alive = machine && process_parse(machine->identity, &identity) && process_is_alive(&identity);
    /* Gone meanwhile, or started by somebody else. */
    if (!machine || (is_alive && machine->state == STORE_PRESENT))
        return;
    g_autofree char *directory = paths_node_directory(context->runtime, context->lab, patient->node);
    g_autofree char *words = keep_words(directory);
    fault_point();
    /* One that runs and is not `present` is what an earlier try has left. */
    bool good = (!is_alive || process_end(&identity, END_MS, &error)) &&
                store_begin_run(context->store, context->lab_id, "restart", &context->run, &error) &&
                operation_run(context, (struct operation_step *)steps->data, steps->len, &error);
    /* The machine runs, whether the store hears of the run's end or not; it gets a second chance. */
    if (good && !store_end_run(context->store, context->run, "done", &error)) {
        g_warning("%s", error->message);
        store_end_run(context->store, context->run, "done", NULL);
    }
    patient->restarts++;
    patient->started = now_ms();
    if (good) {
        leave_words(directory, words);
        g_autofree char *note = g_strdup_printf(RESTARTED_WORD "%u time%s, last: %s", patient->restarts,
                                                patient->restarts == 1 ? "" : "s", patient->why);
        set_note(context, patient->node, note);
        return;
    }
    g_autofree char *why = g_strdup_printf("%s; could not be restarted: %s", patient->why, error->message);
    /* What was half made is in the journal; the next try or `up` or `down` finds it there. */
    for (guint i = 0; i < steps->len; i++) {
        struct operation_step *step = &g_array_index(steps, struct operation_step, i);
        gpointer fd;
        if (step->kind == OBJECT_TAP && g_hash_table_lookup_extended(context->taps, step->key, NULL, &fd)) {
            close(GPOINTER_TO_INT(fd));
            g_hash_table_remove(context->taps, step->key);
        }
    }
    store_end_run(context->store, context->run, "failed", NULL);
    g_autofree char *note = revival_plan(revival, context, patient->node, why, true);
    set_note(context, patient->node, note);
}

bool revival_run(struct revival *revival, struct operation_context *context)
{
    GHashTableIter iter;
    gpointer value;
    bool did_any = false;
    gint64 now = now_ms();
    g_hash_table_iter_init(&iter, revival->patients);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct patient *patient = value;
        struct lock lock;
        if (!patient->due || patient->due > now)
            continue;
        if (!lock_take(&lock, context->state, context->lab, "supervise", 0, NULL)) {
            patient->due = now + LOCKED_DELAY_MS;
            continue;
        }
        patient->due = 0;
        fault_arm_for_restart();
        restart(revival, context, patient);
        fault_point();
        fault_arm(0, 0, NULL, 0);
        lock_release(&lock);
        did_any = true;
    }
    return did_any;
}
