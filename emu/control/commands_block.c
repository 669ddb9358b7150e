/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the control room has to say about drives: QMP commands as rows, and the text monitor's. "device" is
 * the old word for "id".
 */
#include "emu/block/backend.h"
#include "emu/control/control_internal.h"
#include "emu/keyval.h"

#include <gio/gio.h>
#include <string.h>

static bool optional_bool(JsonObject *arguments, const char *name)
{
    return arguments && json_object_has_member(arguments, name) &&
           json_object_get_boolean_member(arguments, name);
}

/* ---- limits ---- */

static const struct {
    const char *rate, *burst, *seconds;
} limit_names[BLOCK_LIMITS] = {
    [BLOCK_BPS] = {"bps", "bps_max", "bps_max_length"},
    [BLOCK_BPS_READ] = {"bps_rd", "bps_rd_max", "bps_rd_max_length"},
    [BLOCK_BPS_WRITE] = {"bps_wr", "bps_wr_max", "bps_wr_max_length"},
    [BLOCK_IOPS] = {"iops", "iops_max", "iops_max_length"},
    [BLOCK_IOPS_READ] = {"iops_rd", "iops_rd_max", "iops_rd_max_length"},
    [BLOCK_IOPS_WRITE] = {"iops_wr", "iops_wr_max", "iops_wr_max_length"},
};

static void tell_limits(const struct block_throttle *throttle, JsonObject *inserted)
{
    static const struct block_limits none;
    const struct block_limits *l = throttle ? block_throttle_limits(throttle) : &none;
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        json_object_set_int_member(inserted, limit_names[i].rate, (gint64)l->rate[i]);
        if (!l->burst[i])
            continue;
        json_object_set_int_member(inserted, limit_names[i].burst, (gint64)l->burst[i]);
        json_object_set_int_member(inserted, limit_names[i].seconds, MAX(l->seconds[i], 1u));
    }
    if (l->io_size)
        json_object_set_int_member(inserted, "iops_size", (gint64)l->io_size);
    if (throttle)
        json_object_set_string_member(inserted, "group", block_throttle_group(throttle));
}

/* ---- queries ---- */

static JsonObject *cache_of(const char *word)
{
    JsonObject *cache = json_object_new();
    bool through = g_str_equal(word, "writethrough"), both = g_str_equal(word, "directsync");
    json_object_set_boolean_member(cache, "writeback", !through && !both);
    json_object_set_boolean_member(cache, "direct", both || g_str_equal(word, "none"));
    json_object_set_boolean_member(cache, "no-flush", g_str_equal(word, "unsafe"));
    return cache;
}

static JsonObject *tell_image(const struct control_machine *m, const struct control_drive *drive,
                              const char *format)
{
    JsonObject *image = json_object_new();
    json_object_set_string_member(image, "filename", drive->file);
    json_object_set_string_member(image, "format", format);
    json_object_set_int_member(image, "virtual-size", (gint64)drive->size);
    JsonArray *snapshots = control_tell_snapshots(m, drive->id);
    if (snapshots)
        json_object_set_array_member(image, "snapshots", snapshots);
    return image;
}

/* A BlockDeviceInfo: what is in a drive, or a node by itself. */
static JsonObject *tell_node(const struct control_machine *m, const struct control_drive *drive,
                             const char *name, const char *format)
{
    JsonObject *inserted = json_object_new();
    if (name)
        json_object_set_string_member(inserted, "node-name", name);
    json_object_set_string_member(inserted, "file", drive->file);
    json_object_set_string_member(inserted, "drv", format);
    json_object_set_boolean_member(inserted, "ro", drive->read_only);
    json_object_set_int_member(inserted, "backing_file_depth", drive->backing ? 1 : 0);
    if (drive->backing)
        json_object_set_string_member(inserted, "backing_file", drive->backing);
    json_object_set_object_member(inserted, "image", tell_image(m, drive, format));
    json_object_set_boolean_member(inserted, "encrypted", FALSE);
    json_object_set_string_member(inserted, "detect_zeroes", drive->zeroes ? drive->zeroes : "off");
    json_object_set_int_member(inserted, "write_threshold", 0);
    json_object_set_object_member(inserted, "cache", cache_of(drive->cache ? drive->cache : ""));
    tell_limits(drive->throttle, inserted);
    return inserted;
}

static JsonNode *query_block(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_drive drive;
    for (unsigned i = 0; m->drive && m->drive(m->opaque, i, &drive); i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "device", drive.node ? "" : drive.id);
        json_object_set_string_member(object, "qdev", drive.qdev ? drive.qdev : drive.id);
        json_object_set_string_member(object, "type", "unknown");
        json_object_set_boolean_member(object, "removable", drive.removable);
        json_object_set_boolean_member(object, "locked", drive.locked);
        if (drive.has_tray)
            json_object_set_boolean_member(object, "tray_open", drive.tray_open);
        if (drive.file)
            json_object_set_object_member(object, "inserted",
                                          tell_node(m, &drive, drive.node_name, drive.format));
        json_array_add_object_element(list, object);
    }
    return qmp_array(list);
}

/* Every drive's image, and the nodes that are in none. */
static JsonNode *query_nodes(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_drive drive;
    for (unsigned i = 0; m->drive && m->drive(m->opaque, i, &drive); i++) {
        if (drive.file && !drive.node_name)
            json_array_add_object_element(list, tell_node(m, &drive, drive.id, drive.format));
    }
    for (unsigned i = 0; m->node && m->node(m->opaque, i, &drive); i++)
        json_array_add_object_element(list, tell_node(m, &drive, drive.node_name, drive.format));
    return qmp_array(list);
}

static JsonNode *query_stats(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    static const struct {
        enum block_op op;
        const char *bytes, *requests, *ns, *failed;
    } columns[] = {
        {BLOCK_READ, "rd_bytes", "rd_operations", "rd_total_time_ns", "failed_rd_operations"},
        {BLOCK_WRITE, "wr_bytes", "wr_operations", "wr_total_time_ns", "failed_wr_operations"},
        {BLOCK_FLUSH, NULL, "flush_operations", "flush_total_time_ns", "failed_flush_operations"},
        {BLOCK_DISCARD, "unmap_bytes", "unmap_operations", "unmap_total_time_ns", "failed_unmap_operations"},
    };
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_drive drive;
    for (unsigned i = 0; m->drive && m->drive(m->opaque, i, &drive); i++) {
        static const struct block_counters none;
        const struct block_counters *n = drive.counters ? drive.counters : &none;
        JsonObject *object = json_object_new(), *stats = json_object_new();
        for (size_t k = 0; k < G_N_ELEMENTS(columns); k++) {
            if (columns[k].bytes)
                json_object_set_int_member(stats, columns[k].bytes, (gint64)n->bytes[columns[k].op]);
            json_object_set_int_member(stats, columns[k].requests, (gint64)n->requests[columns[k].op]);
            json_object_set_int_member(stats, columns[k].ns, (gint64)n->ns[columns[k].op]);
            json_object_set_int_member(stats, columns[k].failed, (gint64)n->errors[columns[k].op]);
        }
        static const char *const never[] = {
            "rd_merged",
            "wr_merged",
            "unmap_merged",
            "invalid_rd_operations",
            "invalid_wr_operations",
            "invalid_flush_operations",
            "invalid_unmap_operations",
        };
        for (size_t k = 0; k < G_N_ELEMENTS(never); k++)
            json_object_set_int_member(stats, never[k], 0);
        json_object_set_boolean_member(stats, "account_invalid", FALSE);
        json_object_set_boolean_member(stats, "account_failed", TRUE);
        json_object_set_array_member(stats, "timed_stats", json_array_new());
        json_object_set_int_member(stats, "wr_highest_offset", (gint64)n->highest);
        if (n->last)
            json_object_set_int_member(stats, "idle_time_ns", g_get_monotonic_time() * 1000 - n->last);
        json_object_set_string_member(object, "device", drive.node ? "" : drive.id);
        json_object_set_string_member(object, "qdev", drive.qdev ? drive.qdev : drive.id);
        if (drive.node_name || (arguments && optional_bool(arguments, "query-nodes")))
            json_object_set_string_member(object, "node-name", drive.node_name ? drive.node_name : drive.id);
        json_object_set_object_member(object, "stats", stats);
        json_array_add_object_element(list, object);
    }
    return qmp_array(list);
}

/* ---- doing something ---- */

/* "device" is the old word for "id". */
static const char *drive_name(JsonObject *arguments, GError **error)
{
    const char *id = arguments ? qmp_optional(arguments, "id") : NULL;
    const char *device = arguments ? qmp_optional(arguments, "device") : NULL;
    if (!id == !device) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "Need exactly one of 'device' and 'id'");
        return NULL;
    }
    return id ? id : device;
}

static JsonNode *do_eject(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *name = drive_name(arguments, error);
    bool force = name && json_object_has_member(arguments, "force") &&
                 json_object_get_boolean_member(arguments, "force");
    return name && m->eject(m->opaque, name, force, error) ? qmp_nothing() : NULL;
}

static bool access_of(const char *word, enum control_access *access, GError **error)
{
    static const char *const names[] = {"retain", "read-only", "read-write"};
    *access = CONTROL_ACCESS_RETAIN;
    for (unsigned i = 0; word && i < G_N_ELEMENTS(names); i++) {
        if (!g_str_equal(word, names[i]))
            continue;
        *access = (enum control_access)i;
        return true;
    }
    if (!word)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "'%s': there are retain, read-only and read-write", word);
    return false;
}

static JsonNode *do_change_medium(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *name = drive_name(arguments, error);
    enum control_access access;
    return name && access_of(qmp_optional(arguments, "read-only-mode"), &access, error) &&
                   m->change(m->opaque, name, json_object_get_string_member(arguments, "filename"),
                             qmp_optional(arguments, "format"), access, optional_bool(arguments, "force"),
                             error)
               ? qmp_nothing()
               : NULL;
}

static JsonNode *move_tray(struct qmp_session *session, JsonObject *arguments, enum control_tray what,
                           GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *name = drive_name(arguments, error);
    return name && m->tray(m->opaque, name, what, optional_bool(arguments, "force"), error) ? qmp_nothing()
                                                                                            : NULL;
}

static JsonNode *do_open_tray(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return move_tray(session, arguments, CONTROL_TRAY_OPEN, error);
}

static JsonNode *do_close_tray(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return move_tray(session, arguments, CONTROL_TRAY_CLOSE, error);
}

static JsonNode *do_remove_medium(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return move_tray(session, arguments, CONTROL_TRAY_REMOVE, error);
}

static JsonNode *do_insert_medium(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->insert(m->opaque, json_object_get_string_member(arguments, "id"),
                     json_object_get_string_member(arguments, "node-name"), error)
               ? qmp_nothing()
               : NULL;
}

static JsonNode *do_blockdev_del(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    return m->blockdev_del(m->opaque, json_object_get_string_member(arguments, "node-name"), error)
               ? qmp_nothing()
               : NULL;
}

static JsonNode *do_resize(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *node = qmp_optional(arguments, "node-name");
    const char *name = node ? node : drive_name(arguments, error);
    gint64 size = name ? json_object_get_int_member(arguments, "size") : 0;
    if (name && size <= 0) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "Parameter 'size' expects a >0 size");
        return NULL;
    }
    return name && m->resize(m->opaque, name, (uint64_t)size, error) ? qmp_nothing() : NULL;
}

static bool limit_number(JsonObject *arguments, const char *name, uint64_t *value, GError **error)
{
    gint64 number = json_object_has_member(arguments, name) ? json_object_get_int_member(arguments, name) : 0;
    *value = (uint64_t)number;
    if (number >= 0)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Parameter '%s' expects a number from 0 on",
                name);
    return false;
}

static JsonNode *do_limit(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *name = drive_name(arguments, error);
    struct block_limits limits = {0};
    if (!name)
        return NULL;
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        uint64_t seconds;
        if (!limit_number(arguments, limit_names[i].rate, &limits.rate[i], error) ||
            !limit_number(arguments, limit_names[i].burst, &limits.burst[i], error) ||
            !limit_number(arguments, limit_names[i].seconds, &seconds, error))
            return NULL;
        limits.seconds[i] = (uint32_t)MIN(seconds, G_MAXUINT32);
    }
    return limit_number(arguments, "iops_size", &limits.io_size, error) &&
                   m->limit(m->opaque, name, &limits, qmp_optional(arguments, "group"), error)
               ? qmp_nothing()
               : NULL;
}

#define DRIVE        "*device:str *id:str "
#define LIMIT(name)  name ":int *" name "_max:int *" name "_max_length:int "
#define LIMITS(name) LIMIT(name) LIMIT(name "_rd") LIMIT(name "_wr")

static const struct qmp_command rows[] = {
    {"query-block", query_block, .returns = "[BlockInfo]"},
    {"query-named-block-nodes", query_nodes, "*flat:bool", "[BlockDeviceInfo]"},
    {"query-blockstats", query_stats, "*query-nodes:bool", "[BlockStats]"},
    {"eject", do_eject, DRIVE "*force:bool"},
    {"blockdev-change-medium", do_change_medium,
     DRIVE "filename:str *format:str *force:bool *read-only-mode:BlockdevChangeReadOnlyMode"},
    {"blockdev-open-tray", do_open_tray, DRIVE "*force:bool"},
    {"blockdev-close-tray", do_close_tray, DRIVE},
    {"blockdev-remove-medium", do_remove_medium, "id:str"},
    {"blockdev-insert-medium", do_insert_medium, "id:str node-name:str"},
    {"blockdev-del", do_blockdev_del, "node-name:str"},
    {"block_resize", do_resize, "*device:str *node-name:str size:int"},
    {"block_set_io_throttle", do_limit, DRIVE LIMITS("bps") LIMITS("iops") "*iops_size:int *group:str"},
};
const struct qmp_commands qmp_block_commands = {rows, G_N_ELEMENTS(rows)};

/* ---- the text monitor ---- */

static void say(GString *out, const GError *error)
{
    if (error)
        g_string_append_printf(out, "%s\n", error->message);
}

void monitor_block_eject(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    bool force = g_str_equal(words[0], "-f");
    if (force && !words[1])
        g_string_append(out, "eject -f NAME\n");
    else
        m->eject(m->opaque, words[force], force, &error);
    say(out, error);
}

void monitor_block_change(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    enum control_access access;
    if (access_of(words[2] ? words[3] : NULL, &access, &error))
        m->change(m->opaque, words[0], words[1], words[2], access, false, &error);
    say(out, error);
}

void monitor_block_resize(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    uint64_t size;
    if (keyval_parse_size("size", words[1], 1 << 20, &size, &error))
        m->resize(m->opaque, words[0], size, &error);
    say(out, error);
}

void monitor_block_commit(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    m->commit(m->opaque, g_str_equal(words[0], "all") ? NULL : words[0], &error);
    say(out, error);
}

void monitor_block_limit(struct control *control, char **words, GString *out)
{
    /* The order of the words: totals first. */
    static const enum block_limit order[BLOCK_LIMITS] = {BLOCK_BPS,  BLOCK_BPS_READ,  BLOCK_BPS_WRITE,
                                                         BLOCK_IOPS, BLOCK_IOPS_READ, BLOCK_IOPS_WRITE};
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    struct block_limits limits = {0};
    for (unsigned i = 0; i < BLOCK_LIMITS && !error; i++)
        keyval_parse_number(limit_names[order[i]].rate, words[1 + i], 0, 0, &limits.rate[order[i]], &error);
    if (!error)
        m->limit(m->opaque, words[0], &limits, NULL, &error);
    say(out, error);
}
