/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The QMP commands as rows: name, what they do, arguments and answer in the words of schema.h. Checking of
 * arguments, query-commands and query-qmp-schema come from the rows. The rows themselves are in the files by
 * subject: commands_query.c, commands_act.c, commands_plug.c, commands_block.c. Commands of our own begin
 * with x-netlab-.
 */
#include "emu/control/control_internal.h"
#include "emu/control/schema.h"

#include <gio/gio.h>
#include <string.h>

static GQuark qmp_error_quark(void)
{
    return g_quark_from_static_string("netlab-qmp-error");
}

enum qmp_error { QMP_COMMAND_NOT_FOUND };

/* DeviceNotFound goes with one text only, in QEMU as well. */
const char *qmp_error_class(const GError *error)
{
    if (g_error_matches(error, qmp_error_quark(), QMP_COMMAND_NOT_FOUND))
        return "CommandNotFound";
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) &&
        g_str_has_prefix(error->message, "Device '") && g_str_has_suffix(error->message, "' not found"))
        return "DeviceNotFound";
    return "GenericError";
}

static const char *const status_names[CONTROL_STATUS_COUNT] = {
    [CONTROL_PRELAUNCH] = "prelaunch",
    [CONTROL_RUNNING] = "running",
    [CONTROL_PAUSED] = "paused",
    [CONTROL_SHUTDOWN] = "shutdown",
    [CONTROL_INTERNAL_ERROR] = "internal-error",
    [CONTROL_IO_ERROR] = "io-error",
    [CONTROL_WATCHDOG] = "watchdog",
    [CONTROL_SUSPENDED] = "suspended",
    [CONTROL_INMIGRATE] = "inmigrate",
    [CONTROL_FINISH_MIGRATE] = "finish-migrate",
    [CONTROL_POSTMIGRATE] = "postmigrate",
    [CONTROL_SAVE_VM] = "save-vm",
    [CONTROL_RESTORE_VM] = "restore-vm",
};
_Static_assert(G_N_ELEMENTS(status_names) == CONTROL_STATUS_COUNT, "a name for each status");

const char *control_status_name(enum control_status status)
{
    return status_names[status];
}

JsonNode *qmp_object(JsonObject *object)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}

JsonNode *qmp_array(JsonArray *array)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, array);
    return node;
}

JsonNode *qmp_nothing(void)
{
    return qmp_object(json_object_new());
}

const char *qmp_optional(JsonObject *arguments, const char *name)
{
    return arguments && json_object_has_member(arguments, name)
               ? json_object_get_string_member(arguments, name)
               : NULL;
}

/* ---- about the commands themselves ---- */

static JsonNode *do_capabilities(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *wanted = arguments && json_object_has_member(arguments, "enable")
                            ? json_object_get_array_member(arguments, "enable")
                            : NULL;
    if (wanted && json_array_get_length(wanted)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Capability %s not available",
                    json_array_get_string_element(wanted, 0));
        return NULL;
    }
    session->negotiated = true;
    return qmp_nothing();
}

static JsonNode *query_commands(struct qmp_session *session, JsonObject *arguments, GError **error);
static JsonNode *query_schema(struct qmp_session *session, JsonObject *arguments, GError **error);

static const struct qmp_command own_commands[] = {
    {"qmp_capabilities", do_capabilities, "*enable:[QMPCapability]"},
    {"query-commands", query_commands, .returns = "[CommandInfo]"},
    {"query-qmp-schema", query_schema, .returns = "[SchemaInfo]"},
};
static const struct qmp_commands own = {own_commands, G_N_ELEMENTS(own_commands)};

static const struct qmp_commands *const all[] = {&own,
                                                 &qmp_query_commands,
                                                 &qmp_act_commands,
                                                 &qmp_plug_commands,
                                                 &qmp_block_commands,
                                                 &qmp_fd_commands,
                                                 &qmp_type_commands, &qmp_saved_commands,
                                                 &qmp_snapshot_commands};

static const struct {
    const char *name, *members;
} events[] = {
    {"SHUTDOWN", "guest:bool reason:ShutdownCause"},
    {"POWERDOWN", NULL},
    {"RESET", "guest:bool reason:ShutdownCause"},
    {"STOP", NULL},
    {"RESUME", NULL},
    {"MIGRATION", "status:MigrationStatus"},
    {"SUSPEND", NULL},
    {"SUSPEND_DISK", NULL},
    {"WAKEUP", NULL},
    {"WATCHDOG", "action:WatchdogAction"},
    {"VNC_CONNECTED", "server:VncServerInfo client:VncBasicInfo"},
    {"VNC_INITIALIZED", "server:VncServerInfo client:VncClientInfo"},
    {"VNC_DISCONNECTED", "server:VncServerInfo client:VncClientInfo"},
    {"RTC_CHANGE", "offset:int qom-path:str"},
    {"DEVICE_DELETED", "*device:str path:str"},
    {"DEVICE_TRAY_MOVED", "device:str id:str tray-open:bool"},
    {"DUMP_COMPLETED", "result:DumpQueryResult *error:str"},
    {"BLOCK_IO_ERROR", "device:str *node-name:str operation:IoOperationType action:BlockErrorAction "
                       "*nospace:bool reason:str"},
    {"JOB_STATUS_CHANGE", "id:str status:JobStatus"},
    {"BLOCK_IMAGE_CORRUPTED", "device:str *node-name:str msg:str *offset:int *size:int fatal:bool"},
};

static JsonNode *query_commands(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *list = json_array_new();
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        for (size_t k = 0; k < all[i]->count; k++) {
            JsonObject *object = json_object_new();
            json_object_set_string_member(object, "name", all[i]->rows[k].name);
            json_array_add_object_element(list, object);
        }
    }
    return qmp_array(list);
}

static JsonNode *query_schema(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    struct schema *schema = schema_new();
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        for (size_t k = 0; k < all[i]->count; k++)
            schema_add_command(schema, all[i]->rows[k].name, all[i]->rows[k].arguments,
                               all[i]->rows[k].returns);
    for (size_t i = 0; i < G_N_ELEMENTS(events); i++)
        schema_add_event(schema, events[i].name, events[i].members);
    return qmp_array(schema_finish(schema));
}

JsonNode *qmp_execute(struct qmp_session *session, const char *name, JsonObject *arguments, GError **error)
{
    const struct qmp_command *command = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        for (size_t k = 0; k < all[i]->count && !command; k++)
            if (g_str_equal(all[i]->rows[k].name, name))
                command = &all[i]->rows[k];
    bool capabilities = command && command->run == do_capabilities;
    if (!session->negotiated && !capabilities) {
        g_set_error_literal(error, qmp_error_quark(), QMP_COMMAND_NOT_FOUND,
                            "Expecting capabilities negotiation with 'qmp_capabilities'");
        return NULL;
    }
    if (session->negotiated && capabilities) {
        g_set_error_literal(error, qmp_error_quark(), QMP_COMMAND_NOT_FOUND,
                            "Capabilities negotiation is already complete, command ignored");
        return NULL;
    }
    if (!command) {
        g_set_error(error, qmp_error_quark(), QMP_COMMAND_NOT_FOUND, "The command %.100s has not been found",
                    name);
        return NULL;
    }
    if (!schema_check(command->arguments, arguments, error))
        return NULL;
    return command->run(session, arguments, error);
}
