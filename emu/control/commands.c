/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The QMP commands as rows: name, arguments, what they do. query-commands and the checks of arguments come
 * from the same table. Commands of our own begin with x-netlab-.
 */
#include "emu/control/control_internal.h"

#include <gio/gio.h>
#include <string.h>

enum argument_type { ARGUMENT_STRING, ARGUMENT_BOOL, ARGUMENT_NUMBER, ARGUMENT_LIST };

struct qmp_argument {
    const char *name;
    enum argument_type type;
    bool optional;
};

enum { ARGUMENTS_MOST = 4 };

static bool argument_fits(JsonNode *node, enum argument_type type);

struct qmp_command {
    const char *name;
    /* A new node; JSON null for "return": {}. */
    JsonNode *(*run)(struct qmp_session *session, JsonObject *arguments, GError **error);
    struct qmp_argument arguments[ARGUMENTS_MOST];
};

static GQuark qmp_error_quark(void)
{
    return g_quark_from_static_string("netlab-qmp-error");
}

enum qmp_error { QMP_COMMAND_NOT_FOUND, QMP_DEVICE_NOT_FOUND };

const char *qmp_error_class(const GError *error)
{
    if (g_error_matches(error, qmp_error_quark(), QMP_COMMAND_NOT_FOUND))
        return "CommandNotFound";
    if (g_error_matches(error, qmp_error_quark(), QMP_DEVICE_NOT_FOUND) ||
        g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
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
    [CONTROL_SUSPENDED] = "suspended",
};
_Static_assert(G_N_ELEMENTS(status_names) == CONTROL_STATUS_COUNT, "a name for each status");

const char *control_status_name(enum control_status status)
{
    return status_names[status];
}

static JsonNode *node_of_object(JsonObject *object)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}

static JsonNode *node_of_array(JsonArray *array)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, array);
    return node;
}

static JsonNode *nothing(void)
{
    return node_of_object(json_object_new());
}

/* ---- queries ---- */

static JsonNode *query_status(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonObject *object = json_object_new();
    enum control_status status = m->status(m->opaque);
    json_object_set_string_member(object, "status", status_names[status]);
    json_object_set_boolean_member(object, "singlestep", FALSE);
    json_object_set_boolean_member(object, "running", status == CONTROL_RUNNING);
    return node_of_object(object);
}

static JsonNode *query_version(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    int number[3] = {0};
    g_auto(GStrv) words = g_strsplit(NETLAB_VERSION, ".", 3);
    for (unsigned i = 0; words[i] && i < G_N_ELEMENTS(number); i++)
        number[i] = (int)g_ascii_strtoll(words[i], NULL, 10);
    JsonObject *version = json_object_new(), *object = json_object_new();
    json_object_set_int_member(version, "major", number[0]);
    json_object_set_int_member(version, "minor", number[1]);
    json_object_set_int_member(version, "micro", number[2]);
    json_object_set_object_member(object, "qemu", version);
    json_object_set_string_member(object, "package", "netlab-emu " NETLAB_VERSION);
    return node_of_object(object);
}

static JsonNode *query_name(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonObject *object = json_object_new();
    if (session->control->machine->name)
        json_object_set_string_member(object, "name", session->control->machine->name);
    return node_of_object(object);
}

static JsonNode *query_kvm(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonObject *object = json_object_new();
    json_object_set_boolean_member(object, "enabled", FALSE);
    json_object_set_boolean_member(object, "present", FALSE);
    return node_of_object(object);
}

static JsonNode *query_chardev(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_char port;
    for (unsigned i = 0; m->chardev(m->opaque, i, &port); i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "label", port.id);
        json_object_set_string_member(object, "filename", port.spec);
        json_object_set_boolean_member(object, "frontend-open", port.open);
        json_object_set_int_member(object, "x-netlab-dropped", (gint64)port.dropped);
        json_array_add_object_element(list, object);
    }
    return node_of_array(list);
}

static JsonNode *query_network(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_nic nic;
    for (unsigned i = 0; m->nic(m->opaque, i, &nic); i++) {
        JsonObject *object = json_object_new();
        g_autofree char *mac = g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", nic.mac[0], nic.mac[1],
                                               nic.mac[2], nic.mac[3], nic.mac[4], nic.mac[5]);
        json_object_set_string_member(object, "name", nic.id);
        json_object_set_string_member(object, "model", nic.model);
        json_object_set_string_member(object, "mac", mac);
        json_object_set_boolean_member(object, "link", nic.link);
        if (nic.backend)
            json_object_set_string_member(object, "netdev", nic.backend);
        if (nic.ifname)
            json_object_set_string_member(object, "ifname", nic.ifname);
        const struct {
            const char *name;
            uint64_t value;
        } counters[] = {
            {"tx-frames", nic.tx_frames}, {"tx-bytes", nic.tx_bytes},     {"rx-frames", nic.rx_frames},
            {"rx-bytes", nic.rx_bytes},   {"tx-dropped", nic.dropped_tx}, {"rx-dropped", nic.dropped_rx},
            {"times-full", nic.full},
        };
        for (size_t k = 0; k < G_N_ELEMENTS(counters); k++)
            json_object_set_int_member(object, counters[k].name, (gint64)counters[k].value);
        json_array_add_object_element(list, object);
    }
    return node_of_array(list);
}

static JsonNode *query_block(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_drive drive;
    for (unsigned i = 0; m->drive && m->drive(m->opaque, i, &drive); i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "device", drive.id);
        json_object_set_string_member(object, "qdev", drive.id);
        json_object_set_string_member(object, "type", "unknown");
        json_object_set_boolean_member(object, "removable", drive.removable);
        json_object_set_boolean_member(object, "locked", drive.locked);
        if (drive.removable)
            json_object_set_boolean_member(object, "tray_open", drive.tray_open);
        if (drive.file) {
            JsonObject *inserted = json_object_new(), *image = json_object_new();
            json_object_set_string_member(image, "filename", drive.file);
            json_object_set_string_member(image, "format", drive.format);
            json_object_set_int_member(image, "virtual-size", (gint64)drive.size);
            json_object_set_string_member(inserted, "file", drive.file);
            json_object_set_string_member(inserted, "drv", drive.format);
            json_object_set_boolean_member(inserted, "ro", drive.read_only);
            json_object_set_int_member(inserted, "backing_file_depth", drive.backing ? 1 : 0);
            if (drive.backing)
                json_object_set_string_member(inserted, "backing_file", drive.backing);
            json_object_set_object_member(inserted, "image", image);
            json_object_set_object_member(object, "inserted", inserted);
        }
        json_array_add_object_element(list, object);
    }
    return node_of_array(list);
}

static JsonNode *query_cpus(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *list = json_array_new();
    JsonObject *object = json_object_new();
    json_object_set_int_member(object, "cpu-index", 0);
    json_object_set_string_member(object, "qom-path", "/machine/unattached/device[0]");
    json_object_set_string_member(object, "target", "i386");
    json_object_set_int_member(object, "thread-id", getpid());
    json_array_add_object_element(list, object);
    return node_of_array(list);
}

/* ---- doing something ---- */

static JsonNode *do_capabilities(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->negotiated = true;
    return nothing();
}

static JsonNode *do_stop(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->control->machine->stop(session->control->machine->opaque);
    return nothing();
}

static JsonNode *do_cont(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return session->control->machine->cont(session->control->machine->opaque, error) ? nothing() : NULL;
}

static JsonNode *do_quit(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->control->machine->quit(session->control->machine->opaque);
    return nothing();
}

static JsonNode *do_reset(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->control->machine->reset(session->control->machine->opaque);
    return nothing();
}

static JsonNode *do_powerdown(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->control->machine->power_button(session->control->machine->opaque);
    return nothing();
}

static JsonNode *do_wakeup(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return control_wake(session->control, error) ? nothing() : NULL;
}

static JsonNode *query_current_machine(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonObject *object = json_object_new();
    json_object_set_boolean_member(object, "wakeup-suspend-support", session->control->machine->can_suspend);
    return node_of_object(object);
}

static JsonNode *do_nmi(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->control->machine->nmi(session->control->machine->opaque);
    return nothing();
}

static JsonNode *do_set_link(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->set_link(m->opaque, json_object_get_string_member(arguments, "name"),
                       json_object_get_boolean_member(arguments, "up"), error)
               ? nothing()
               : NULL;
}

enum { RINGBUF_MOST = 1 << 20 }; /* bytes at once */

static bool wants_base64(JsonObject *arguments, bool *base64, GError **error)
{
    const char *format = json_object_get_string_member_with_default(arguments, "format", "utf8");
    *base64 = g_str_equal(format, "base64");
    if (!*base64 && !g_str_equal(format, "utf8")) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "Parameter 'format' does not accept value '%s'", format);
        return false;
    }
    return true;
}

static JsonNode *do_ringbuf_read(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    gint64 size = json_object_get_int_member(arguments, "size");
    struct char_port *port =
        control_ringbuf(session->control, json_object_get_string_member(arguments, "device"), error);
    bool base64;
    if (!port || !wants_base64(arguments, &base64, error))
        return NULL;
    if (size <= 0 || size > RINGBUF_MOST) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "size must be greater than zero, and at most %d", RINGBUF_MOST);
        return NULL;
    }
    g_autofree uint8_t *bytes = g_malloc((gsize)size);
    size_t got = char_ringbuf_read(port, bytes, (size_t)size);
    g_autofree char *text =
        base64 ? g_base64_encode(bytes, got) : g_utf8_make_valid((const char *)bytes, (gssize)got);
    JsonNode *node = json_node_new(JSON_NODE_VALUE);
    json_node_set_string(node, text);
    return node;
}

static JsonNode *do_ringbuf_write(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const char *data = json_object_get_string_member(arguments, "data");
    struct char_port *port =
        control_ringbuf(session->control, json_object_get_string_member(arguments, "device"), error);
    bool base64;
    if (!port || !wants_base64(arguments, &base64, error))
        return NULL;
    gsize len = strlen(data);
    g_autofree guchar *bytes = base64 ? g_base64_decode(data, &len) : NULL;
    char_ringbuf_write(port, base64 ? bytes : (const uint8_t *)data, len);
    return nothing();
}

/* {"type": "qcode", "data": "ctrl"} or {"type": "number", "data": 29} */
static bool key_of_value(JsonNode *node, unsigned *code)
{
    JsonObject *object = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    JsonNode *type = object ? json_object_get_member(object, "type") : NULL;
    JsonNode *data = object ? json_object_get_member(object, "data") : NULL;
    if (!type || !data || !argument_fits(type, ARGUMENT_STRING))
        return false;
    if (g_str_equal(json_node_get_string(type), "qcode"))
        return argument_fits(data, ARGUMENT_STRING) && monitor_key_code(json_node_get_string(data), code);
    if (!g_str_equal(json_node_get_string(type), "number") || !argument_fits(data, ARGUMENT_NUMBER))
        return false;
    gint64 number = json_node_get_int(data);
    *code = (unsigned)(number & 0x7f) | (number & 0x80 ? 0x100 : 0); /* QEMU's numbers have bit 7 for E0 */
    return number > 0 && number < 0x100;
}

static JsonNode *do_send_key(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    enum { KEYS_AT_ONCE = 16 };
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_object_get_array_member(arguments, "keys");
    unsigned codes[KEYS_AT_ONCE], count = json_array_get_length(list);
    if (count > KEYS_AT_ONCE) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "at most %d keys at once", KEYS_AT_ONCE);
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!key_of_value(json_array_get_element(list, i), &codes[i])) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "Parameter 'keys': number %u is no key; give {\"type\": \"qcode\", \"data\": \"a\"}",
                        i);
            return NULL;
        }
    }
    for (unsigned i = 0; i < count; i++)
        m->key(m->opaque, codes[i], true);
    while (count-- > 0)
        m->key(m->opaque, codes[count], false);
    return nothing();
}

static JsonNode *do_screendump(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *format = json_object_has_member(arguments, "format")
                             ? json_object_get_string_member(arguments, "format")
                             : NULL;
    return m->screendump(m->opaque, json_object_get_string_member(arguments, "filename"), format, error)
               ? nothing()
               : NULL;
}

static const char *optional_string(JsonObject *arguments, const char *name)
{
    return json_object_has_member(arguments, name) ? json_object_get_string_member(arguments, name) : NULL;
}

/* "device" is the old word for "id". */
static const char *drive_name(JsonObject *arguments, GError **error)
{
    const char *name = arguments ? optional_string(arguments, "id") : NULL;
    if (!name && arguments)
        name = optional_string(arguments, "device");
    if (!name)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Parameter 'id' is missing");
    return name;
}

static JsonNode *do_eject(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *name = drive_name(arguments, error);
    bool force = name && json_object_has_member(arguments, "force") &&
                 json_object_get_boolean_member(arguments, "force");
    return name && m->eject(m->opaque, name, force, error) ? nothing() : NULL;
}

static JsonNode *do_change_medium(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *name = drive_name(arguments, error);
    return name && m->change(m->opaque, name, json_object_get_string_member(arguments, "filename"),
                             optional_string(arguments, "format"), error)
               ? nothing()
               : NULL;
}

static JsonNode *query_vnc(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonObject *object = json_object_new();
    struct control_vnc vnc;
    bool there = m->vnc(m->opaque, 0, &vnc);
    json_object_set_boolean_member(object, "enabled", there);
    if (there) {
        json_object_set_string_member(object, "host", vnc.host);
        json_object_set_string_member(object, "service", vnc.service);
        json_object_set_string_member(object, "family", vnc.family);
        json_object_set_string_member(object, "auth", vnc.password ? "vnc" : "none");
        json_object_set_array_member(object, "clients", json_array_new());
        json_object_set_int_member(object, "x-netlab-viewers", vnc.viewers);
    }
    return node_of_object(object);
}

static JsonNode *query_mice(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *list = json_array_new();
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", "PS/2 Mouse");
    json_object_set_int_member(object, "index", 0);
    json_object_set_boolean_member(object, "current", TRUE);
    json_object_set_boolean_member(object, "absolute", FALSE);
    json_array_add_object_element(list, object);
    return node_of_array(list);
}

static JsonNode *do_change_vnc_password(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->vnc_password(m->opaque, json_object_get_string_member(arguments, "password"), error) ? nothing()
                                                                                                   : NULL;
}

static JsonNode *do_set_password(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    if (!g_str_equal(json_object_get_string_member(arguments, "protocol"), "vnc")) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "Parameter 'protocol' expects 'vnc'");
        return NULL;
    }
    return do_change_vnc_password(session, arguments, error);
}

static JsonNode *do_monitor(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    g_autoptr(GString) out = g_string_new(NULL);
    monitor_execute(session->control, json_object_get_string_member(arguments, "command-line"), out);
    g_autofree char *text = g_utf8_make_valid(out->str, -1);
    JsonNode *node = json_node_new(JSON_NODE_VALUE);
    json_node_set_string(node, text);
    return node;
}

/* Groups are made as their first counter comes. */
static void take_counter(void *opaque, const char *group, const char *name, uint64_t value)
{
    JsonObject *groups = opaque;
    if (!json_object_has_member(groups, group))
        json_object_set_object_member(groups, group, json_object_new());
    json_object_set_int_member(json_object_get_object_member(groups, group), name,
                               (gint64)MIN(value, G_MAXINT64));
}

static JsonNode *query_statistics(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonObject *groups = json_object_new();
    m->counters(m->opaque, take_counter, groups);
    return node_of_object(groups);
}

static JsonNode *query_commands(struct qmp_session *session, JsonObject *arguments, GError **error);

static const struct qmp_command commands[] = {
    {"qmp_capabilities", do_capabilities},
    {"query-status", query_status},
    {"query-version", query_version},
    {"query-commands", query_commands},
    {"query-name", query_name},
    {"query-kvm", query_kvm},
    {"query-chardev", query_chardev},
    {"query-block", query_block},
    {"query-cpus-fast", query_cpus},
    {"x-netlab-query-network", query_network},
    {"x-netlab-query-statistics", query_statistics},
    {"stop", do_stop},
    {"cont", do_cont},
    {"quit", do_quit},
    {"system_reset", do_reset},
    {"system_powerdown", do_powerdown},
    {"system_wakeup", do_wakeup},
    {"query-current-machine", query_current_machine},
    {"inject-nmi", do_nmi},
    {"set_link", do_set_link, {{"name", ARGUMENT_STRING, false}, {"up", ARGUMENT_BOOL, false}}},
    {"ringbuf-read",
     do_ringbuf_read,
     {{"device", ARGUMENT_STRING, false},
      {"size", ARGUMENT_NUMBER, false},
      {"format", ARGUMENT_STRING, true}}},
    {"ringbuf-write",
     do_ringbuf_write,
     {{"device", ARGUMENT_STRING, false},
      {"data", ARGUMENT_STRING, false},
      {"format", ARGUMENT_STRING, true}}},
    {"screendump",
     do_screendump,
     {{"filename", ARGUMENT_STRING, false},
      {"format", ARGUMENT_STRING, true},
      {"device", ARGUMENT_STRING, true}}},
    {"send-key", do_send_key, {{"keys", ARGUMENT_LIST, false}, {"hold-time", ARGUMENT_NUMBER, true}}},
    {"query-vnc", query_vnc},
    {"query-mice", query_mice},
    {"set_password",
     do_set_password,
     {{"protocol", ARGUMENT_STRING, false}, {"password", ARGUMENT_STRING, false}}},
    {"change-vnc-password", do_change_vnc_password, {{"password", ARGUMENT_STRING, false}}},
    {"eject",
     do_eject,
     {{"id", ARGUMENT_STRING, true}, {"device", ARGUMENT_STRING, true}, {"force", ARGUMENT_BOOL, true}}},
    {"blockdev-change-medium",
     do_change_medium,
     {{"id", ARGUMENT_STRING, true},
      {"device", ARGUMENT_STRING, true},
      {"filename", ARGUMENT_STRING, false},
      {"format", ARGUMENT_STRING, true}}},
    {"human-monitor-command",
     do_monitor,
     {{"command-line", ARGUMENT_STRING, false}, {"cpu-index", ARGUMENT_NUMBER, true}}},
};

static JsonNode *query_commands(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *list = json_array_new();
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "name", commands[i].name);
        json_array_add_object_element(list, object);
    }
    return node_of_array(list);
}

/* ---- arguments ---- */

static bool argument_fits(JsonNode *node, enum argument_type type)
{
    if (type == ARGUMENT_LIST)
        return JSON_NODE_HOLDS_ARRAY(node);
    if (!JSON_NODE_HOLDS_VALUE(node))
        return false;
    GType value = json_node_get_value_type(node);
    switch (type) {
    case ARGUMENT_STRING:
        return value == G_TYPE_STRING;
    case ARGUMENT_BOOL:
        return value == G_TYPE_BOOLEAN;
    case ARGUMENT_NUMBER:
        return value == G_TYPE_INT64;
    case ARGUMENT_LIST: /* above */
        break;
    }
    return false;
}

static const char *argument_type_name(enum argument_type type)
{
    switch (type) {
    case ARGUMENT_STRING:
        return "string";
    case ARGUMENT_BOOL:
        return "boolean";
    case ARGUMENT_NUMBER:
        return "integer";
    case ARGUMENT_LIST:
        return "array";
    }
    return "";
}

G_GNUC_PRINTF(2, 3) static bool refuse(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, text);
    return false;
}

static bool check_arguments(const struct qmp_command *command, JsonObject *arguments, GError **error)
{
    for (unsigned i = 0; i < ARGUMENTS_MOST && command->arguments[i].name; i++) {
        const struct qmp_argument *argument = &command->arguments[i];
        JsonNode *node = arguments ? json_object_get_member(arguments, argument->name) : NULL;
        if (!node && !argument->optional)
            return refuse(error, "Parameter '%s' is missing", argument->name);
        if (node && !argument_fits(node, argument->type))
            return refuse(error, "Invalid parameter type for '%s', expected: %s", argument->name,
                          argument_type_name(argument->type));
    }
    g_autoptr(GList) members = arguments ? json_object_get_members(arguments) : NULL;
    for (GList *at = members; at; at = at->next) {
        bool known = false;
        for (unsigned i = 0; i < ARGUMENTS_MOST && command->arguments[i].name; i++)
            known |= g_str_equal(command->arguments[i].name, at->data);
        if (!known && command->run != do_capabilities) /* "enable" has nothing to choose from */
            return refuse(error, "Parameter '%s' is unexpected", (const char *)at->data);
    }
    return true;
}

JsonNode *qmp_execute(struct qmp_session *session, const char *name, JsonObject *arguments, GError **error)
{
    const struct qmp_command *command = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(commands) && !command; i++)
        if (g_str_equal(commands[i].name, name))
            command = &commands[i];
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
    if (!check_arguments(command, arguments, error))
        return NULL;
    return command->run(session, arguments, error);
}
