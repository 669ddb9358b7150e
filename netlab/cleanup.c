/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Taking a lab away; see cleanup.h.
 */
#include "netlab/cleanup.h"
#include "netlab/fault.h"

#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>

struct follower {
    cleanup_progress *progress;
    void *opaque;
};

static bool tell_step(void *opaque, const struct operation_step *step, GError **error)
{
    const struct follower *follower = opaque;
    if (follower->progress) {
        g_autofree char *text = operation_describe(false, step->kind, step->key, step->payload);
        follower->progress(follower->opaque, text);
    }
    return true;
}

/* What the store has, last made first; what this version does not know is complained of. */
static GArray *collect_steps(GPtrArray *objects, GString *problems)
{
    GArray *steps = g_array_new(FALSE, TRUE, sizeof(struct operation_step));
    for (guint i = objects->len; i-- > 0;) {
        const struct store_object *object = objects->pdata[i];
        struct operation_step step = {.key = object->key, .payload = object->payload};
        if (object_kind_parse(object->kind, &step.kind))
            g_array_append_val(steps, step);
        else
            g_string_append_printf(
                problems,
                "%sthe store knows a \"%s\", which this version does not; use the version that made it",
                problems->len ? "\n" : "", object->kind);
    }
    return steps;
}

/* The store's last word. True when the lab is out of it. */
static bool forget_lab(struct operation_context *context, GError **error)
{
    GError *cause = NULL;
    fault_point();
    if (store_delete_lab(context->store, context->lab_id, &cause)) {
        g_clear_error(&context->journal_error);
        fault_point();
        return true;
    }
    g_propagate_prefixed_error(error, cause,
                               "all of the lab is gone, but the store still lists it; when that is mended, "
                               "`netlab down` again forgets it: ");
    return false;
}

bool cleanup_lab(struct operation_context *context, bool spare_self, cleanup_progress *progress, void *opaque,
                 GError **error)
{
    g_autoptr(GPtrArray) objects = store_list_objects(context->store, context->lab_id, error);
    if (!objects)
        return false;
    g_autoptr(GString) problems = g_string_new(NULL);
    g_autoptr(GArray) steps = collect_steps(objects, problems);
    struct follower follower = {progress, opaque};
    /* A store that can be read but not written (a full disk, a read-only one) is no reason to leave anything
     * standing. */
    if (!store_begin_run(context->store, context->lab_id, "down", &context->run, &context->journal_error))
        context->run = 0;
    context->is_dying = true;
    context->is_supervisor = spare_self;
    context->before = tell_step;
    context->before_opaque = &follower;
    context->problems = problems;
    fault_point();
    bool good = operation_run(context, (struct operation_step *)steps->data, steps->len, error);
    context->problems = NULL;
    context->before = NULL;
    if (good && problems->len) {
        store_end_run(context->store, context->run, "failed", NULL);
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, problems->str);
        good = false;
    }
    good = good && forget_lab(context, error);
    g_clear_error(&context->journal_error);
    return good;
}

char *cleanup_describe_strangers(uint64_t netns)
{
    GString *text = g_string_new(NULL);
    g_autoptr(GDir) proc = netns ? g_dir_open("/proc", 0, NULL) : NULL;
    for (const char *name; proc && (name = g_dir_read_name(proc));) {
        pid_t pid = g_ascii_isdigit(*name) ? atoi(name) : 0;
        if (pid <= 0 || process_netns(pid) != netns)
            continue;
        g_autofree char *path = g_strdup_printf("/proc/%d/comm", pid);
        g_autofree char *command = NULL;
        if (g_file_get_contents(path, &command, NULL, NULL))
            g_string_append_printf(text, "%s%s (pid %d)", text->len ? ", " : "", g_strchomp(command), pid);
    }
    return g_string_free(text, text->len == 0);
}
