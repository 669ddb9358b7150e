/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * QMP commands that do something to the machine as it is. What adds to it or takes from it is in
 * commands_plug.c.
 */
#include "emu/control/control_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

static JsonNode *do_stop(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->control->machine->stop(session->control->machine->opaque);
    return qmp_nothing();
}

static JsonNode *do_cont(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return session->control->machine->cont(session->control->machine->opaque, error) ? qmp_nothing() : NULL;
}

static JsonNode *do_quit(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->quitting = true;
    session->control->machine->quit(session->control->machine->opaque);
    return qmp_nothing();
}

static JsonNode *do_reset(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->control->machine->reset(session->control->machine->opaque);
    return qmp_nothing();
}

static JsonNode *do_powerdown(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->control->machine->power_button(session->control->machine->opaque);
    return qmp_nothing();
}

static JsonNode *do_announce(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    enum { MS_MOST = 100000, ROUNDS_MOST = 1000, NICS_MOST = 64 };
    const struct control_machine *m = session->control->machine;
    static const char *const times[] = {"initial", "max", "step"};
    int64_t ms[G_N_ELEMENTS(times)], rounds = json_object_get_int_member(arguments, "rounds");
    for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
        ms[i] = json_object_get_int_member(arguments, times[i]);
        if (ms[i] >= 0 && ms[i] <= MS_MOST)
            continue;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Parameter '%s' expects 0 to %d ms",
                    times[i], MS_MOST);
        return NULL;
    }
    JsonArray *list = json_object_has_member(arguments, "interfaces")
                          ? json_object_get_array_member(arguments, "interfaces")
                          : NULL;
    guint count = list ? json_array_get_length(list) : 0;
    if (rounds < 0 || rounds > ROUNDS_MOST || count > NICS_MOST) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "Parameter 'rounds' expects 0 to %d, 'interfaces' at most %d names", ROUNDS_MOST,
                    NICS_MOST);
        return NULL;
    }
    const char *nics[NICS_MOST + 1] = {0};
    for (guint i = 0; i < count; i++)
        nics[i] = json_array_get_string_element(list, i);
    const char *id = qmp_optional(arguments, "id");
    const struct control_announce how = {.id = id ? id : "",
                                         .nics = list ? nics : NULL,
                                         .rounds = (unsigned)rounds,
                                         .initial = ms[0],
                                         .max = ms[1],
                                         .step = ms[2]};
    return m->announce(m->opaque, &how, error) ? qmp_nothing() : NULL;
}

/* There are no certificates to be read anew. */
static JsonNode *do_display_reload(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    struct control_vnc vnc;
    JsonNode *certificates = json_object_get_member(arguments, "tls-certs");
    if (json_object_get_size(arguments) != (certificates ? 2u : 1u) ||
        (certificates && (!JSON_NODE_HOLDS_VALUE(certificates) ||
                          json_node_get_value_type(certificates) != G_TYPE_BOOLEAN))) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "beside 'type' there is 'tls-certs' alone, true or false");
        return NULL;
    }
    if (!certificates || !json_node_get_boolean(certificates))
        return qmp_nothing();
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        m->vnc(m->opaque, 0, &vnc) ? "vnc tls is not enabled" : "Can not find vnc display");
    return NULL;
}

static JsonNode *do_watchdog_action(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *action = json_object_get_string_member(arguments, "action");
    return m->watchdog_action(m->opaque, action, error) ? qmp_nothing() : NULL;
}

static JsonNode *do_wakeup(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return control_wake(session->control, error) ? qmp_nothing() : NULL;
}

static JsonNode *do_nmi(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    session->control->machine->nmi(session->control->machine->opaque);
    return qmp_nothing();
}

static JsonNode *do_set_link(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->set_link(m->opaque, json_object_get_string_member(arguments, "name"),
                       json_object_get_boolean_member(arguments, "up"), error)
               ? qmp_nothing()
               : NULL;
}

static JsonNode *do_impair(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    g_autoptr(GString) answer = g_string_new(NULL);
    if (!m->impair(m->opaque, json_object_get_string_member(arguments, "name"),
                   json_object_get_string_member_with_default(arguments, "direction", NULL),
                   json_object_get_string_member_with_default(arguments, "settings", NULL), answer, error))
        return NULL;
    JsonNode *node = json_node_new(JSON_NODE_VALUE);
    json_node_set_string(node, answer->str);
    return node;
}

enum { RINGBUF_MOST = 1 << 20 }; /* bytes at once */

static bool wants_base64(JsonObject *arguments)
{
    const char *format = qmp_optional(arguments, "format");
    return format && g_str_equal(format, "base64");
}

static JsonNode *do_ringbuf_read(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    gint64 size = json_object_get_int_member(arguments, "size");
    struct char_port *port =
        control_ringbuf(session->control, json_object_get_string_member(arguments, "device"), error);
    bool base64 = wants_base64(arguments);
    if (!port)
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
    bool base64 = wants_base64(arguments);
    if (!port)
        return NULL;
    gsize len = strlen(data);
    g_autofree guchar *bytes = base64 ? g_base64_decode(data, &len) : NULL;
    char_ringbuf_write(port, base64 ? bytes : (const uint8_t *)data, len);
    return qmp_nothing();
}

/* {"type": "qcode", "data": "ctrl"} or {"type": "number", "data": 29} */
static bool key_of_value(JsonObject *object, unsigned *code)
{
    if (g_str_equal(json_object_get_string_member(object, "type"), "qcode"))
        return monitor_key_code(json_object_get_string_member(object, "data"), code);
    gint64 number = json_object_get_int_member(object, "data");
    *code = (unsigned)(number & 0x7f) | (number & 0x80 ? 0x100 : 0); /* QEMU's numbers have bit 7 for E0 */
    return number > 0 && number < 0x100;
}

static JsonNode *do_send_key(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_object_get_array_member(arguments, "keys");
    unsigned codes[CONTROL_KEYS_MOST], count = json_array_get_length(list);
    gint64 hold = json_object_get_int_member_with_default(arguments, "hold-time", CONTROL_KEY_HOLD_MS);
    if (count > CONTROL_KEYS_MOST || hold < 0 || hold > CONTROL_KEY_HOLD_MOST_MS) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "at most %d keys at once, held for at most %d ms", CONTROL_KEYS_MOST,
                    CONTROL_KEY_HOLD_MOST_MS);
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!key_of_value(json_array_get_object_element(list, i), &codes[i])) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "Parameter 'keys': number %u is no key; give {\"type\": \"qcode\", \"data\": \"a\"}",
                        i);
            return NULL;
        }
    }
    return m->keys(m->opaque, codes, count, (unsigned)hold, error) ? qmp_nothing() : NULL;
}

static JsonNode *do_screendump(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *format = json_object_has_member(arguments, "format")
                             ? json_object_get_string_member(arguments, "format")
                             : NULL;
    return m->screendump(m->opaque, json_object_get_string_member(arguments, "filename"), format, error)
               ? qmp_nothing()
               : NULL;
}

static JsonNode *do_change_vnc_password(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->vnc_password(m->opaque, json_object_get_string_member(arguments, "password"), error)
               ? qmp_nothing()
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

static JsonNode *do_expire_password(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return control_expire_password(session->control, json_object_get_string_member(arguments, "time"), error)
               ? qmp_nothing()
               : NULL;
}

static JsonNode *do_set_action(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const char *action = qmp_optional(arguments, "watchdog");
    const struct control_machine *m = session->control->machine;
    return !action || m->watchdog_action(m->opaque, action, error) ? qmp_nothing() : NULL;
}

/* No interrupts of the clock are ever kept back to be made up for. */
static JsonNode *do_nothing(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return qmp_nothing();
}

/* ---- traces: a category is an event; '*' at the end stands for any ---- */

static bool trace_matches(const char *pattern, const char *name)
{
    size_t len = strlen(pattern);
    return len && pattern[len - 1] == '*' ? !strncmp(pattern, name, len - 1) : g_str_equal(pattern, name);
}

static JsonNode *do_trace_get(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const char *pattern = json_object_get_string_member(arguments, "name");
    JsonArray *list = json_array_new();
    for (unsigned i = 0; i < TRACE_COUNT; i++) {
        if (!trace_matches(pattern, trace_name((enum trace_category)i)))
            continue;
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "name", trace_name((enum trace_category)i));
        json_object_set_string_member(object, "state", trace_mask >> i & 1 ? "enabled" : "disabled");
        json_object_set_boolean_member(object, "vcpu", FALSE);
        json_array_add_object_element(list, object);
    }
    if (json_array_get_length(list) || strchr(pattern, '*'))
        return qmp_array(list);
    json_array_unref(list);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "unknown event \"%.100s\"", pattern);
    return NULL;
}

static JsonNode *do_trace_set(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const char *pattern = json_object_get_string_member(arguments, "name");
    uint64_t mask = 0;
    for (unsigned i = 0; i < TRACE_COUNT; i++)
        if (trace_matches(pattern, trace_name((enum trace_category)i)))
            mask |= UINT64_C(1) << i;
    if (!mask && !strchr(pattern, '*')) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "unknown event \"%.100s\"", pattern);
        return NULL;
    }
    trace_mask = json_object_get_boolean_member(arguments, "enable") ? trace_mask | mask : trace_mask & ~mask;
    return qmp_nothing();
}

/* ---- the monitor's words ---- */

static JsonNode *text_of(struct qmp_session *session, const char *line)
{
    g_autoptr(GString) out = g_string_new(NULL);
    JsonObject *object = json_object_new();
    monitor_execute(session->control, line, out);
    json_object_set_string_member(object, "human-readable-text", out->str);
    return qmp_object(object);
}

static JsonNode *do_text_jit(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return text_of(session, "info jit");
}

static JsonNode *do_text_numa(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return text_of(session, "info numa");
}

static JsonNode *do_text_ramblock(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return text_of(session, "info ramblock");
}

static JsonNode *do_text_roms(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return text_of(session, "info roms");
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

/* ---- memory to a file ---- */

bool control_save_memory(struct control *control, bool physical, uint64_t addr, uint64_t size,
                         const char *path, GError **error)
{
    const struct control_machine *m = control->machine;
    uint8_t buffer[65536];
    bool ours = access(path, F_OK) != 0;
    if (!physical && (addr > UINT32_MAX || size > UINT64_C(1) + UINT32_MAX - addr)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "linear addresses end at 0xffffffff");
        return false;
    }
    int fd = m->create(m->opaque, path, error);
    if (fd < 0)
        return false;
    bool good = true;
    while (good && size) {
        size_t want = (size_t)MIN(size, (uint64_t)sizeof buffer);
        ssize_t done;
        if (m->read_memory(m->opaque, physical, addr, buffer, want) < want) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "Invalid addr 0x%016" G_GINT64_MODIFIER "x/size %" G_GUINT64_FORMAT
                        " specified: not all of that is memory (see info %s)",
                        addr, size, physical ? "mtree" : "mem");
            good = false;
        } else if ((done = write(fd, buffer, want)) != (ssize_t)want) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "writing '%s': %s", path,
                        done < 0 ? g_strerror(errno) : "it takes no more");
            good = false;
        }
        addr += want;
        size -= want;
    }
    if (close(fd) && good) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "writing '%s': %s", path, g_strerror(errno));
        good = false;
    }
    if (!good && ours)
        unlink(path);
    return good;
}

static JsonNode *save_memory(struct qmp_session *session, bool physical, JsonObject *arguments,
                             GError **error)
{
    gint64 size = json_object_get_int_member(arguments, "size");
    if (size < 0) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "Parameter 'size' expects a size");
        return NULL;
    }
    return control_save_memory(session->control, physical,
                               (uint64_t)json_object_get_int_member(arguments, "val"), (uint64_t)size,
                               json_object_get_string_member(arguments, "filename"), error)
               ? qmp_nothing()
               : NULL;
}

static JsonNode *do_memsave(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return save_memory(session, false, arguments, error);
}

static JsonNode *do_pmemsave(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return save_memory(session, true, arguments, error);
}

/* "fd:NAME": a descriptor that came with getfd. */
bool control_dump(struct control *control, const char *path, GError **error)
{
    bool named = g_str_has_prefix(path, "fd:");
    int fd = named ? control_take_named_fd(control, path + strlen("fd:"))
                   : control->machine->create(control->machine->opaque, path, error);
    if (named && fd < 0)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "File descriptor named '%.100s' has not been found (getfd gives it the name)",
                    path + strlen("fd:"));
    bool good = fd >= 0 && control->machine->dump(control->machine->opaque, fd, error);
    if (fd >= 0)
        close(fd);
    control->dump_failed = !good;
    control->dumped = good ? control->machine->ram_size : 0;
    g_autofree char *data =
        g_strdup_printf("\"result\": {\"status\": \"%s\", \"completed\": %" G_GUINT64_FORMAT
                        ", \"total\": %" G_GUINT64_FORMAT "}%s",
                        good ? "completed" : "failed", control->dumped, control->machine->ram_size,
                        good ? "" : ", \"error\": \"the core could not be written\"");
    control_event(control, "DUMP_COMPLETED", data);
    return good;
}

/* A core is written at once, however it is asked for. */
static JsonNode *query_dump(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control *control = session->control;
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "status",
                                  control->dump_failed ? "failed"
                                  : control->dumped    ? "completed"
                                                       : "none");
    json_object_set_int_member(object, "completed", (gint64)control->dumped);
    json_object_set_int_member(object, "total", control->dumped ? (gint64)control->machine->ram_size : 0);
    return qmp_object(object);
}

static JsonNode *do_dump(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const char *protocol = json_object_get_string_member(arguments, "protocol");
    bool file = g_str_has_prefix(protocol, "file:");
    if (json_object_get_boolean_member(arguments, "paging") ||
        (!file && !g_str_has_prefix(protocol, "fd:"))) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                            "a core goes to a file, by physical addresses: \"paging\": false, \"protocol\": "
                            "\"file:PATH\" or \"fd:NAME\"");
        return NULL;
    }
    return control_dump(session->control, file ? protocol + strlen("file:") : protocol, error) ? qmp_nothing()
                                                                                               : NULL;
}

/* ---- input ---- */

/* Of the buttons held by earlier events of this connection. */
static void press_button(const struct control_machine *m, struct qmp_session *session, const char *button,
                         bool down)
{
    static const char *const held[] = {"left", "right", "middle"};
    for (unsigned i = 0; i < G_N_ELEMENTS(held); i++)
        if (g_str_equal(button, held[i]))
            session->buttons = down ? session->buttons | 1u << i : session->buttons & ~(1u << i);
    int wheel = !down ? 0 : g_str_equal(button, "wheel-up") ? -1 : g_str_equal(button, "wheel-down") ? 1 : 0;
    m->mouse(m->opaque, 0, 0, wheel, (int)session->buttons);
}

static bool input_event(struct qmp_session *session, JsonObject *event, bool check, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *type = json_object_get_string_member(event, "type");
    JsonObject *data = json_object_get_object_member(event, "data");
    if (g_str_equal(type, "key")) {
        unsigned code;
        if (!key_of_value(json_object_get_object_member(data, "key"), &code)) {
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "no such key");
            return false;
        }
        if (!check)
            m->key(m->opaque, code, json_object_get_boolean_member(data, "down"));
    } else if (g_str_equal(type, "btn")) {
        if (!check)
            press_button(m, session, json_object_get_string_member(data, "button"),
                         json_object_get_boolean_member(data, "down"));
    } else if (g_str_equal(type, "rel")) {
        int by = (int)CLAMP(json_object_get_int_member(data, "value"), -10000, 10000);
        bool x = g_str_equal(json_object_get_string_member(data, "axis"), "x");
        if (!check)
            m->mouse(m->opaque, x ? by : 0, x ? 0 : by, 0, -1);
    } else {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                            "Input handler not found for event type abs: the mouse tells motion");
        return false;
    }
    return true;
}

static JsonNode *do_input(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *events = json_object_get_array_member(arguments, "events");
    for (unsigned check = 2; check-- > 0;) /* all or none */
        for (guint i = 0; i < json_array_get_length(events); i++)
            if (!input_event(session, json_array_get_object_element(events, i), check, error))
                return NULL;
    return qmp_nothing();
}

static const struct qmp_command rows[] = {
    {"stop", do_stop},
    {"cont", do_cont},
    {"quit", do_quit},
    {"system_reset", do_reset},
    {"system_powerdown", do_powerdown},
    {"system_wakeup", do_wakeup},
    {"watchdog-set-action", do_watchdog_action, "action:WatchdogAction"},
    {"inject-nmi", do_nmi},
    {"memsave", do_memsave, "val:int size:int filename:str *cpu-index:int"},
    {"pmemsave", do_pmemsave, "val:int size:int filename:str"},
    {"dump-guest-memory", do_dump, "paging:bool protocol:str *detach:bool *format:DumpGuestMemoryFormat"},
    {"query-dump", query_dump, .returns = "DumpQueryResult"},
    {"input-send-event", do_input, "*device:str *head:int events:[InputEvent]"},
    {"set_link", do_set_link, "name:str up:bool"},
    {"x-netlab-impair", do_impair, "name:str *direction:str *settings:str", "str"},
    {"ringbuf-read", do_ringbuf_read, "device:str size:int *format:DataFormat", "str"},
    {"ringbuf-write", do_ringbuf_write, "device:str data:str *format:DataFormat"},
    {"screendump", do_screendump, "filename:str *device:str *head:int *format:ImageFormat"},
    {"send-key", do_send_key, "keys:[KeyValue] *hold-time:int"},
    {"announce-self", do_announce, "initial:int max:int rounds:int step:int *interfaces:[str] *id:str"},
    {"display-reload", do_display_reload, "type:DisplayReloadType ..."},
    {"set_password", do_set_password, "protocol:DisplayProtocol password:str *connected:SetPasswordAction"},
    {"expire_password", do_expire_password, "protocol:DisplayProtocol time:str"},
    {"set-action", do_set_action, "*watchdog:WatchdogAction"},
    {"trace-event-get-state", do_trace_get, "name:str *vcpu:int", "[TraceEventInfo]"},
    {"trace-event-set-state", do_trace_set, "name:str enable:bool *ignore-unavailable:bool *vcpu:int"},
    {"rtc-reset-reinjection", do_nothing},
    {"x-query-jit", do_text_jit, .returns = "HumanReadableText"},
    {"x-query-numa", do_text_numa, .returns = "HumanReadableText"},
    {"x-query-ramblock", do_text_ramblock, .returns = "HumanReadableText"},
    {"x-query-roms", do_text_roms, .returns = "HumanReadableText"},
    {"change-vnc-password", do_change_vnc_password, "password:str"},
    {"human-monitor-command", do_monitor, "command-line:str *cpu-index:int", "str"},
};
const struct qmp_commands qmp_act_commands = {rows, G_N_ELEMENTS(rows)};
