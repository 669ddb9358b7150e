/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * QMP commands about what there could be: options and their keys, devices and theirs, CPU models, the board.
 * Programs ask them once for an emulator (libvirt with -machine none) and choose their words by the answers.
 */
#include "emu/control/control_internal.h"

#include <gio/gio.h>
#include <string.h>

static const char cpu_suffix[] = "-i386-cpu";

/* ---- options ---- */

static JsonObject *tell_option(const struct control_machine *m, const char *name)
{
    JsonObject *object = json_object_new();
    JsonArray *parameters = json_array_new();
    struct control_key key;
    for (unsigned i = 0; m->option_key(m->opaque, name, i, &key); i++) {
        JsonObject *parameter = json_object_new();
        json_object_set_string_member(parameter, "name", key.name);
        json_object_set_string_member(parameter, "type", key.type);
        if (key.help)
            json_object_set_string_member(parameter, "help", key.help);
        json_array_add_object_element(parameters, parameter);
    }
    json_object_set_string_member(object, "option", name);
    json_object_set_array_member(object, "parameters", parameters);
    return object;
}

static JsonNode *query_options(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *wanted = qmp_optional(arguments, "option"), *name;
    JsonArray *list = json_array_new();
    for (unsigned i = 0; (name = m->option_name(m->opaque, i)); i++)
        if (!wanted || g_str_equal(wanted, name))
            json_array_add_object_element(list, tell_option(m, name));
    if (!wanted || json_array_get_length(list))
        return qmp_array(list);
    json_array_unref(list);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "invalid option name: %.100s", wanted);
    return NULL;
}

/* ---- types ---- */

static const char *const boards[] = {"pc", "none"};
static const char *const objects[] = {"filter-dump", "memory-backend-ram", "memory-backend-file", "secret"};

static void add_type(JsonArray *list, const char *name, const char *parent)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", name);
    json_object_set_string_member(object, "parent", parent);
    json_array_add_object_element(list, object);
}

static bool wanted_type(const char *implements, const char *parent)
{
    return !implements || g_str_equal(implements, "object") || g_str_equal(implements, parent);
}

static JsonNode *qom_list_types(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *implements = qmp_optional(arguments, "implements"), *name;
    JsonArray *list = json_array_new();
    for (unsigned i = 0; (name = m->device_type(m->opaque, i)); i++)
        if (wanted_type(implements, "device"))
            add_type(list, name, "device");
    for (unsigned i = 0; (name = m->cpu_model(m->opaque, i)); i++) {
        g_autofree char *type = g_strconcat(name, cpu_suffix, NULL);
        if (wanted_type(implements, "cpu"))
            add_type(list, type, "cpu");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(boards); i++) {
        g_autofree char *type = g_strconcat(boards[i], "-machine", NULL);
        if (wanted_type(implements, "machine"))
            add_type(list, type, "machine");
    }
    if (wanted_type(implements, "accel"))
        add_type(list, "tcg-accel", "accel"); /* by that name a program knows that -accel tcg is taken */
    for (size_t i = 0; i < G_N_ELEMENTS(objects); i++)
        if (wanted_type(implements, "object"))
            add_type(list, objects[i], "object");
    return qmp_array(list);
}

static JsonNode *list_properties(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    static const struct {
        const char *ours, *theirs;
    } types[] = {{"string", "str"}, {"boolean", "bool"}, {"number", "uint32"}, {"size", "size"}};
    const struct control_machine *m = session->control->machine;
    const char *type = json_object_get_string_member(arguments, "typename"), *name;
    JsonArray *list = json_array_new();
    struct control_key key;
    bool board = false, known = g_str_has_suffix(type, cpu_suffix);
    for (size_t i = 0; i < G_N_ELEMENTS(boards); i++)
        board |= g_str_has_prefix(type, boards[i]) && g_str_equal(type + strlen(boards[i]), "-machine");
    known |= board;
    for (size_t i = 0; i < G_N_ELEMENTS(objects); i++)
        known |= g_str_equal(type, objects[i]);
    for (unsigned i = 0; !known && (name = m->device_type(m->opaque, i)); i++)
        known = g_str_equal(name, type);
    for (unsigned i = 0; known && (board ? m->option_key(m->opaque, "machine", i, &key)
                                         : m->device_key(m->opaque, type, i, &key));
         i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "name", key.name);
        for (size_t k = 0; k < G_N_ELEMENTS(types); k++)
            if (g_str_equal(types[k].ours, key.type))
                json_object_set_string_member(object, "type", types[k].theirs);
        if (key.help)
            json_object_set_string_member(object, "description", key.help);
        json_array_add_object_element(list, object);
    }
    if (known)
        return qmp_array(list);
    json_array_unref(list);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "Device '%.100s' not found", type);
    return NULL;
}

/* ---- CPU models and the board ---- */

static JsonNode *query_cpu_definitions(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    const char *name;
    for (unsigned i = 0; (name = m->cpu_model(m->opaque, i)); i++) {
        JsonObject *object = json_object_new();
        g_autofree char *type = g_strconcat(name, cpu_suffix, NULL);
        json_object_set_string_member(object, "name", name);
        json_object_set_string_member(object, "typename", type);
        json_object_set_boolean_member(object, "static", FALSE);
        json_object_set_boolean_member(object, "migration-safe", TRUE);
        json_object_set_array_member(object, "unavailable-features", json_array_new());
        json_object_set_boolean_member(object, "deprecated", FALSE);
        json_array_add_object_element(list, object);
    }
    return qmp_array(list);
}

static JsonNode *query_hotpluggable_cpus(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *list = json_array_new();
    JsonObject *object = json_object_new(), *place = json_object_new();
    g_autofree char *type = g_strconcat(session->control->machine->cpu, cpu_suffix, NULL);
    json_object_set_string_member(object, "type", type);
    json_object_set_int_member(object, "vcpus-count", 1);
    json_object_set_int_member(place, "socket-id", 0);
    json_object_set_int_member(place, "core-id", 0);
    json_object_set_int_member(place, "thread-id", 0);
    json_object_set_object_member(object, "props", place);
    json_object_set_string_member(object, "qom-path", "/machine/unattached/device[0]");
    json_array_add_object_element(list, object);
    return qmp_array(list);
}

static JsonNode *query_machines(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    g_autofree char *type = g_strconcat(m->cpu_model(m->opaque, 0), cpu_suffix, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(boards); i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "name", boards[i]);
        if (!i) {
            json_object_set_boolean_member(object, "is-default", TRUE);
            json_object_set_string_member(object, "default-cpu-type", type);
        }
        json_object_set_int_member(object, "cpu-max", 1);
        json_object_set_boolean_member(object, "hotpluggable-cpus", FALSE);
        json_object_set_boolean_member(object, "numa-mem-supported", FALSE);
        json_object_set_boolean_member(object, "deprecated", FALSE);
        json_array_add_object_element(list, object);
    }
    return qmp_array(list);
}

static const struct qmp_command rows[] = {
    {"query-command-line-options", query_options, "*option:str", "[CommandLineOptionInfo]"},
    {"qom-list-types", qom_list_types, "*implements:str *abstract:bool", "[ObjectTypeInfo]"},
    {"qom-list-properties", list_properties, "typename:str", "[ObjectPropertyInfo]"},
    {"device-list-properties", list_properties, "typename:str", "[ObjectPropertyInfo]"},
    {"query-cpu-definitions", query_cpu_definitions, .returns = "[CpuDefinitionInfo]"},
    {"query-hotpluggable-cpus", query_hotpluggable_cpus, .returns = "[HotpluggableCPU]"},
    {"query-machines", query_machines, .returns = "[MachineInfo]"},
};
const struct qmp_commands qmp_type_commands = {rows, G_N_ELEMENTS(rows)};
