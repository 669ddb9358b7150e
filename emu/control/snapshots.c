/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Words about snapshots in images, of the text monitor and of QMP (QEMU 7.2's qapi/migration.json,
 * qapi/block-core.json and qapi/job.json).
 *
 * QMP's snapshot-save, -load and -delete are jobs: created and running when the command is answered, carried
 * out right after that from the loop, and kept, concluded, until job-dismiss. JOB_STATUS_CHANGE tells each
 * step.
 */
#include "emu/block/backend.h"
#include "emu/control/control_internal.h"
#include "emu/machine/loop.h"

#include <gio/gio.h>
#include <math.h>
#include <string.h>

enum { JOBS_MOST = 256, DEVICES_MOST = 64 };

enum job_kind { JOB_SAVE, JOB_LOAD, JOB_DELETE };

struct job {
    char *id, *tag, *vmstate;
    char **devices;
    enum job_kind kind;
    const char *status;
    bool cancelled;
    char *error; /* NULL: none */
};

static void job_free(void *data)
{
    struct job *job = data;
    g_free(job->id);
    g_free(job->tag);
    g_free(job->vmstate);
    g_strfreev(job->devices);
    g_free(job->error);
    g_free(job);
}

static bool none(GError **error)
{
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "this machine has no snapshots");
    return false;
}

/* ---- what a snapshot is ---- */

/* Snapshots of a drive, as QMP tells them; NULL: it has none. */
JsonArray *control_tell_snapshots(const struct control_machine *m, const char *drive)
{
    const struct block_snapshot *s;
    JsonArray *list = NULL;
    bool whole;
    for (unsigned i = 0; m->snapshot && m->snapshot(m->opaque, drive, i, &s, &whole); i++) {
        list = list ? list : json_array_new();
        json_array_add_object_element(list, control_tell_snapshot(s));
    }
    return list;
}

JsonObject *control_tell_snapshot(const struct block_snapshot *s)
{
    JsonObject *object = json_object_new();
    g_autofree char *id = g_utf8_make_valid(s->id, -1), *name = g_utf8_make_valid(s->name, -1);
    json_object_set_string_member(object, "id", id);
    json_object_set_string_member(object, "name", name);
    json_object_set_int_member(object, "vm-state-size", (gint64)s->state_size);
    json_object_set_int_member(object, "date-sec", s->date);
    json_object_set_int_member(object, "date-nsec", s->date_ns);
    json_object_set_int_member(object, "vm-clock-sec", (gint64)(s->clock_ns / 1000000000));
    json_object_set_int_member(object, "vm-clock-nsec", (gint64)(s->clock_ns % 1000000000));
    if (s->icount != UINT64_MAX)
        json_object_set_int_member(object, "icount", (gint64)s->icount);
    return object;
}

/* Three digits and a unit: "1.23 MiB". */
static char *size_text(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    double value = (double)bytes;
    for (; value >= 999.5 && unit + 1 < G_N_ELEMENTS(units); unit++)
        value /= 1024;
    return g_strdup_printf("%.3g %s", value, units[unit]);
}

/* What a file says, made fit for a terminal. */
static char *shown(const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);
    for (char *at = valid; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    return valid;
}

static void heading(GString *out)
{
    g_string_append_printf(out, "%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK",
                           "ICOUNT");
}

static void row(GString *out, const struct block_snapshot *s, bool with_id)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_local(s->date);
    g_autofree char *date_text = date ? g_date_time_format(date, "%Y-%m-%d %H:%M:%S") : g_strdup("?");
    g_autofree char *size = size_text(s->state_size), *id = shown(s->id), *name = shown(s->name);
    uint64_t seconds = s->clock_ns / 1000000000;
    g_autofree char *clock =
        g_strdup_printf("%02u:%02u:%02u.%03u", (unsigned)(seconds / 3600), (unsigned)(seconds / 60 % 60),
                        (unsigned)(seconds % 60), (unsigned)(s->clock_ns / 1000000 % 1000));
    g_autofree char *icount =
        s->icount == UINT64_MAX ? g_strdup("") : g_strdup_printf("%" G_GUINT64_FORMAT, s->icount);
    g_string_append_printf(out, "%-9s %-16s %8s%20s%13s%11s\n", with_id ? id : "--", name, size, date_text,
                           clock, icount);
}

void monitor_info_snapshots(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    struct control_drive drive;
    const struct block_snapshot *s;
    bool whole, any = false, first = true;
    g_autoptr(GString) all = g_string_new(NULL), parts = g_string_new(NULL);
    for (unsigned i = 0; m->snapshot && m->drive(m->opaque, i, &drive); i++) {
        bool has = false, had_any = false;
        for (unsigned k = 0; m->snapshot(m->opaque, drive.id, k, &s, &whole); k++) {
            any = had_any = true;
            if (whole && first)
                row(all, s, false);
            if (whole)
                continue;
            if (!has) {
                g_string_append_printf(parts, "\nList of partial (non-loadable) snapshots on '%s':\n",
                                       drive.id);
                heading(parts);
            }
            has = true;
            row(parts, s, true);
        }
        first = first && !had_any;
    }
    if (!any) {
        g_string_append(out, "There is no snapshot available.\n");
        return;
    }
    g_string_append(out, "List of snapshots present on all disks:\n");
    if (all->len)
        heading(out);
    g_string_append(out, all->len ? all->str : "None\n");
    g_string_append(out, parts->str);
}

/* ---- the text monitor ---- */

static void say(GString *out, const GError *error)
{
    if (error)
        g_string_append_printf(out, "Error: %s\n", error->message);
}

void monitor_savevm(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    if (m->snapshot_save ? !m->snapshot_save(m->opaque, words[0], NULL, NULL, true, &error) : !none(&error))
        say(out, error);
}

void monitor_loadvm(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    if (m->snapshot_load ? !m->snapshot_load(m->opaque, words[0], NULL, NULL, &error) : !none(&error))
        say(out, error);
}

void monitor_delvm(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    if (m->snapshot_delete ? !m->snapshot_delete(m->opaque, words[0], NULL, &error) : !none(&error))
        say(out, error);
}

void monitor_snapshot_disk(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    if (m->snapshot_disk ? !m->snapshot_disk(m->opaque, words[0], words[1], &error) : !none(&error))
        say(out, error);
}

static void nobody(void *opaque, const struct block_snapshot *s)
{
}

void monitor_snapshot_disk_delete(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    if (m->snapshot_disk_delete
            ? !m->snapshot_disk_delete(m->opaque, words[0], words[2], words[1], nobody, NULL, &error)
            : !none(&error))
        say(out, error);
}

/* ---- jobs ---- */

static const char *const kinds[] = {
    [JOB_SAVE] = "snapshot-save", [JOB_LOAD] = "snapshot-load", [JOB_DELETE] = "snapshot-delete"};

static void set_status(struct control *control, struct job *job, const char *status)
{
    g_autofree char *data = g_strdup_printf("\"id\": \"%s\", \"status\": \"%s\"", job->id, status);
    job->status = status;
    control_event(control, "JOB_STATUS_CHANGE", data);
}

static bool carry_out(const struct control_machine *m, const struct job *job, GError **error)
{
    const char *const *devices = (const char *const *)job->devices;
    switch (job->kind) {
    case JOB_SAVE:
        return m->snapshot_save(m->opaque, job->tag, job->vmstate, devices, false, error);
    case JOB_LOAD:
        return m->snapshot_load(m->opaque, job->tag, job->vmstate, devices, error);
    case JOB_DELETE:
        return m->snapshot_delete(m->opaque, job->tag, devices, error);
    }
    return false;
}

/* From the loop: those that are under way, in order. */
static void run_jobs(void *opaque)
{
    struct control *control = opaque;
    control->job_waits = false;
    for (guint i = 0; i < control->jobs->len; i++) {
        struct job *job = control->jobs->pdata[i];
        g_autoptr(GError) error = NULL;
        if (!g_str_equal(job->status, "running"))
            continue;
        if (!job->cancelled && carry_out(control->machine, job, &error)) {
            set_status(control, job, "waiting");
            set_status(control, job, "pending");
        } else {
            job->error = g_strdup(error ? error->message : "Operation canceled");
            set_status(control, job, "aborting");
        }
        set_status(control, job, "concluded");
    }
}

static struct job *find_job(struct control *control, const char *id, GError **error)
{
    for (guint i = 0; control->jobs && i < control->jobs->len; i++)
        if (g_str_equal(((struct job *)control->jobs->pdata[i])->id, id))
            return control->jobs->pdata[i];
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "Job not found");
    return NULL;
}

/* As QEMU has it: a letter, then letters, digits, '-', '.' and '_'. */
static bool is_id(const char *id)
{
    if (!g_ascii_isalpha(*id))
        return false;
    for (; *id; id++)
        if (!g_ascii_isalnum(*id) && !strchr("-._", *id))
            return false;
    return true;
}

static bool refuse(GError **error, const char *format, const char *what)
{
    g_autofree char *text = g_strdup_printf("%s%s", format, what);
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, text);
    return false;
}

static bool job_begin(struct control *control, enum job_kind kind, JsonObject *arguments, GError **error)
{
    const char *id = json_object_get_string_member(arguments, "job-id"),
               *vmstate = qmp_optional(arguments, "vmstate");
    JsonArray *devices = json_object_get_array_member(arguments, "devices");
    if (!control->machine->snapshot_save)
        return none(error);
    if (!is_id(id))
        return refuse(error, "Invalid job ID: ", id);
    if (find_job(control, id, NULL))
        return refuse(error, "Job ID already in use: ", id);
    if (!json_array_get_length(devices) || json_array_get_length(devices) > DEVICES_MOST)
        return refuse(error, "'devices' has to name drives, at least one", "");
    if (control->jobs && control->jobs->len >= JOBS_MOST)
        return refuse(error, "there are too many jobs: job-dismiss those that are concluded", "");
    if (!control->jobs)
        control->jobs = g_ptr_array_new_with_free_func(job_free);
    struct job *job = g_new0(struct job, 1);
    job->id = g_strdup(id);
    job->kind = kind;
    job->tag = g_strdup(json_object_get_string_member(arguments, "tag"));
    job->vmstate = g_strdup(vmstate);
    job->devices = g_new0(char *, json_array_get_length(devices) + 1);
    for (guint i = 0; i < json_array_get_length(devices); i++)
        job->devices[i] = g_strdup(json_array_get_string_element(devices, i));
    g_ptr_array_add(control->jobs, job);
    set_status(control, job, "created");
    set_status(control, job, "running");
    if (!control->job_waits)
        loop_defer(control->loop, run_jobs, control);
    control->job_waits = true;
    return true;
}

static JsonNode *do_save(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return job_begin(session->control, JOB_SAVE, arguments, error) ? qmp_nothing() : NULL;
}

static JsonNode *do_load(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return job_begin(session->control, JOB_LOAD, arguments, error) ? qmp_nothing() : NULL;
}

static JsonNode *do_delete(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return job_begin(session->control, JOB_DELETE, arguments, error) ? qmp_nothing() : NULL;
}

static JsonNode *query_jobs(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const GPtrArray *jobs = session->control->jobs;
    JsonArray *list = json_array_new();
    for (guint i = 0; jobs && i < jobs->len; i++) {
        const struct job *job = jobs->pdata[i];
        JsonObject *object = json_object_new();
        bool over = g_str_equal(job->status, "concluded");
        json_object_set_string_member(object, "id", job->id);
        json_object_set_string_member(object, "type", kinds[job->kind]);
        json_object_set_string_member(object, "status", job->status);
        json_object_set_int_member(object, "current-progress", over);
        json_object_set_int_member(object, "total-progress", 1);
        if (job->error)
            json_object_set_string_member(object, "error", job->error);
        json_array_add_object_element(list, object);
    }
    return qmp_array(list);
}

static JsonNode *not_now(const struct job *job, const char *verb, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "Job '%s' in state '%s' cannot accept command verb '%s'", job->id, job->status, verb);
    return NULL;
}

static JsonNode *do_dismiss(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    struct control *control = session->control;
    struct job *job = find_job(control, json_object_get_string_member(arguments, "id"), error);
    if (!job)
        return NULL;
    if (!g_str_equal(job->status, "concluded"))
        return not_now(job, "dismiss", error);
    set_status(control, job, "null");
    g_ptr_array_remove(control->jobs, job);
    return qmp_nothing();
}

static JsonNode *do_cancel(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    struct job *job = find_job(session->control, json_object_get_string_member(arguments, "id"), error);
    if (!job)
        return NULL;
    if (!g_str_equal(job->status, "running"))
        return not_now(job, "cancel", error);
    job->cancelled = true;
    return qmp_nothing();
}

/* What these jobs never take. */
static JsonNode *never(struct qmp_session *session, JsonObject *arguments, const char *verb, GError **error)
{
    struct job *job = find_job(session->control, json_object_get_string_member(arguments, "id"), error);
    return job ? not_now(job, verb, error) : NULL;
}

static JsonNode *do_pause(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return never(session, arguments, "pause", error);
}

static JsonNode *do_resume(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return never(session, arguments, "resume", error);
}

static JsonNode *do_complete(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return never(session, arguments, "complete", error);
}

static JsonNode *do_finalize(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return never(session, arguments, "finalize", error);
}

/* ---- one drive ---- */

static JsonNode *do_disk(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    if (!m->snapshot_disk)
        return none(error) ? qmp_nothing() : NULL;
    return m->snapshot_disk(m->opaque, json_object_get_string_member(arguments, "device"),
                            json_object_get_string_member(arguments, "name"), error)
               ? qmp_nothing()
               : NULL;
}

static void keep_told(void *opaque, const struct block_snapshot *s)
{
    *(JsonObject **)opaque = control_tell_snapshot(s);
}

static JsonNode *do_disk_delete(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonObject *told = NULL;
    if (!m->snapshot_disk_delete)
        return none(error) ? qmp_nothing() : NULL;
    return m->snapshot_disk_delete(m->opaque, json_object_get_string_member(arguments, "device"),
                                   qmp_optional(arguments, "id"), qmp_optional(arguments, "name"), keep_told,
                                   &told, error)
               ? qmp_object(told)
               : NULL;
}

static const struct qmp_command rows[] = {
    {"snapshot-save", do_save, "job-id:str tag:str vmstate:str devices:[str]"},
    {"snapshot-load", do_load, "job-id:str tag:str vmstate:str devices:[str]"},
    {"snapshot-delete", do_delete, "job-id:str tag:str devices:[str]"},
    {"query-jobs", query_jobs, .returns = "[JobInfo]"},
    {"job-dismiss", do_dismiss, "id:str"},
    {"job-cancel", do_cancel, "id:str"},
    {"job-pause", do_pause, "id:str"},
    {"job-resume", do_resume, "id:str"},
    {"job-complete", do_complete, "id:str"},
    {"job-finalize", do_finalize, "id:str"},
    {"blockdev-snapshot-internal-sync", do_disk, "device:str name:str"},
    {"blockdev-snapshot-delete-internal-sync", do_disk_delete, "device:str *id:str *name:str",
     "SnapshotInfo"},
};
const struct qmp_commands qmp_snapshot_commands = {rows, G_N_ELEMENTS(rows)};
