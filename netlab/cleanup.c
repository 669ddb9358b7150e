/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Taking a lab away; see cleanup.h.
 */
#include "netlab/cleanup.h"
#include "netlab/fault.h"

#include <gio/gio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* All machines are told at once, and then waited for one by one: a lab of a hundred goes as fast as the
 * slowest. */
static void warn_machines(GPtrArray *objects)
{
    for (guint i = 0; i < objects->len; i++) {
        const struct store_object *object = objects->pdata[i];
        struct process_identity identity;
        if (!g_str_equal(object->kind, object_kind_name(OBJECT_MACHINE)) ||
            !process_parse(object->identity, &identity))
            continue;
        int pidfd = process_open(&identity);
        if (pidfd < 0)
            continue;
        syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
        close(pidfd);
    }
}

static bool is_self(const struct store_object *object)
{
    struct process_identity identity;
    return process_parse(object->identity, &identity) && identity.pid == getpid();
}

/* One object; the supervisor's own goes without ending itself. */
static bool unmake_object(struct operation_context *context, const struct store_object *object,
                          bool spare_self, GError **error)
{
    enum object_kind kind;
    int64_t step = 0;
    if (!object_kind_parse(object->kind, &kind)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "the store knows a \"%s\", which this version does not; use the version that made it",
                    object->kind);
        return false;
    }
    if (kind != OBJECT_SUPERVISOR || !spare_self || !is_self(object))
        return operation_step(context, false, kind, object->key, object->payload, NULL, error);
    return store_intend(context->store, context->lab_id, context->run, false, object->kind, object->key,
                        object->payload, &step, error) &&
           store_done(context->store, step, error);
}

bool cleanup_lab(struct operation_context *context, bool spare_self, cleanup_progress *progress, void *opaque,
                 GError **error)
{
    if (!store_begin_run(context->store, context->lab_id, "down", &context->run, error))
        return false;
    g_autoptr(GPtrArray) objects = store_list_objects(context->store, context->lab_id, error);
    if (!objects)
        return false;
    g_autoptr(GString) problems = g_string_new(NULL);
    context->is_dying = true;
    warn_machines(objects);
    fault_point();
    for (guint i = objects->len; i-- > 0;) {
        const struct store_object *object = objects->pdata[i];
        g_autoptr(GError) cause = NULL;
        enum object_kind kind;
        if (progress && object_kind_parse(object->kind, &kind)) {
            g_autofree char *text = operation_describe(false, kind, object->key, object->payload);
            progress(opaque, text);
        }
        if (!unmake_object(context, object, spare_self, &cause))
            g_string_append_printf(problems, "%s%s", problems->len ? "\n" : "", cause->message);
    }
    if (problems->len) {
        store_end_run(context->store, context->run, "failed", NULL);
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, problems->str);
        return false;
    }
    fault_point();
    bool good = store_delete_lab(context->store, context->lab_id, error);
    fault_point();
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
