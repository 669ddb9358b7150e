/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Words about machines that are saved and loaded, of QMP and of the text monitor.
 */
#include "emu/control/control_internal.h"

#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[CONTROL_MIGRATION_COUNT] = {
    [CONTROL_MIGRATION_NONE] = "none",     [CONTROL_MIGRATION_SETUP] = "setup",
    [CONTROL_MIGRATION_ACTIVE] = "active", [CONTROL_MIGRATION_COMPLETED] = "completed",
    [CONTROL_MIGRATION_FAILED] = "failed", [CONTROL_MIGRATION_CANCELLED] = "cancelled",
};

const char *control_migration_name(enum control_migration_status status)
{
    return names[status];
}

void control_migration_event(struct control *control, const char *data)
{
    if (control->migration_events)
        control_event(control, "MIGRATION", data);
}

/* "fd:NAME" takes the descriptor of that name. */
static bool go(struct control *control, const char *uri, bool incoming, GError **error)
{
    const struct control_machine *m = control->machine;
    if (!m->migrate) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "this machine cannot be saved");
        return false;
    }
    const char *name = g_str_has_prefix(uri, "fd:") ? uri + strlen("fd:") : NULL;
    int fd = name && !g_ascii_isdigit(*name) ? control_take_named_fd(control, name) : -1;
    bool good =
        incoming ? m->migrate_incoming(m->opaque, uri, fd, error) : m->migrate(m->opaque, uri, fd, error);
    if (!good && fd >= 0)
        close(fd);
    return good;
}

static JsonNode *do_migrate(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return go(session->control, json_object_get_string_member(arguments, "uri"), false, error) ? qmp_nothing()
                                                                                               : NULL;
}

static JsonNode *do_incoming(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return go(session->control, json_object_get_string_member(arguments, "uri"), true, error) ? qmp_nothing()
                                                                                              : NULL;
}

static JsonNode *do_cancel(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    if (m->migrate_cancel)
        m->migrate_cancel(m->opaque);
    return qmp_nothing();
}

static JsonNode *query_migrate(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    struct control_migration g;
    JsonObject *object = json_object_new();
    if (!m->migration || !m->migration(m->opaque, &g))
        return qmp_object(object);
    json_object_set_string_member(object, "status", names[g.status]);
    json_object_set_int_member(object, "total-time", g.total_ms);
    if (g.why)
        json_object_set_string_member(object, "error-desc", g.why);
    if (!g.incoming) {
        JsonObject *ram = json_object_new();
        json_object_set_int_member(object, "downtime", g.down_ms);
        json_object_set_int_member(ram, "transferred", (gint64)g.bytes);
        json_object_set_int_member(ram, "remaining", (gint64)(g.memory - g.memory_done));
        json_object_set_int_member(ram, "total", (gint64)g.memory);
        json_object_set_int_member(ram, "duplicate", (gint64)(g.memory_zeros / 4096));
        json_object_set_object_member(object, "ram", ram);
    }
    return qmp_object(object);
}

static const struct qmp_command rows[] = {
    {"migrate", do_migrate, "uri:str *detach:bool *resume:bool *blk:bool *inc:bool"},
    {"migrate-incoming", do_incoming, "uri:str"},
    {"migrate_cancel", do_cancel},
    {"query-migrate", query_migrate, .returns = "MigrationInfo"},
};
const struct qmp_commands qmp_saved_commands = {rows, G_N_ELEMENTS(rows)};

/* ---- the text monitor ---- */

static void say(GString *out, const GError *error)
{
    if (error)
        g_string_append_printf(out, "Error: %s\n", error->message);
}

void monitor_migrate(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    const char *uri = g_str_equal(words[0], "-d") && words[1] ? words[1] : words[0];
    go(control, uri, false, &error);
    say(out, error);
}

void monitor_migrate_incoming(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    go(control, words[0], true, &error);
    say(out, error);
}

void monitor_migrate_cancel(struct control *control, char **words, GString *out)
{
    if (control->machine->migrate_cancel)
        control->machine->migrate_cancel(control->machine->opaque);
}

void monitor_info_migrate(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    struct control_migration g;
    if (!m->migration || !m->migration(m->opaque, &g))
        return;
    g_string_append_printf(out, "Migration status: %s%s%s%s\n", names[g.status], g.why ? " (" : "",
                           g.why ? g.why : "", g.why ? ")" : "");
    g_string_append_printf(out, "total time: %" G_GINT64_FORMAT " ms\n", g.total_ms);
    if (!g.incoming)
        g_string_append_printf(out,
                               "downtime: %" G_GINT64_FORMAT " ms\ntransferred ram: %" G_GUINT64_FORMAT
                               " kbytes\nremaining ram: %" G_GUINT64_FORMAT
                               " kbytes\ntotal ram: %" G_GUINT64_FORMAT " kbytes\n",
                               g.down_ms, g.bytes >> 10, (g.memory - g.memory_done) >> 10, g.memory >> 10);
}
