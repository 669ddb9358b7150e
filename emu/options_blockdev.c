/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * -blockdev: nodes, which a -device plugs in by their name. QEMU's docs/system/qemu-block-drivers and its
 * manual page have the words; here a node ends in a file, a block device of the host, or nothing at all
 * (null-co), with raw or qcow2 above it.
 *
 *   -blockdev driver=qcow2,node-name=d,file.driver=file,file.filename=a.qcow2
 *   -blockdev driver=file,node-name=f,filename=a.qcow2 -blockdev driver=qcow2,node-name=d,file=f
 *   -blockdev '{"driver": "qcow2", "node-name": "d", "file": {"driver": "file", "filename": "a.qcow2"}}'
 *
 * JSON becomes the dotted words it stands for and is then read like these. A node is a drive that stands
 * aside, as one of -drive if=none does; a node that is below another one is nobody else's.
 */
#include "emu/options_internal.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <string.h>

enum { JSON_DEPTH_MOST = 8, JSON_WORDS_MOST = 64, BACKING_DEPTH_MOST = 16 };

#define FILE_DRIVERS "file|host_device|host_cdrom|null-co|null-aio"
#define NODE_ROWS(prefix)                                                                                    \
    {prefix "filename", KEYVAL_STRING, .help = "of driver file and host_device"},                            \
        {prefix "aio", KEYVAL_CHOICE, "threads|native|io_uring"},                                            \
        {prefix "locking", KEYVAL_CHOICE, "auto|on"},                                                        \
        {prefix "read-only", KEYVAL_BOOL, .help = "the guest must not write"},                               \
        {prefix "auto-read-only", KEYVAL_BOOL},                                                              \
        {prefix "cache.direct", KEYVAL_BOOL, .help = "past the host's page cache"},                          \
        {prefix "cache.no-flush", KEYVAL_BOOL, .help = "flushes are ignored"},                               \
        {prefix "discard", KEYVAL_CHOICE, "ignore|off|unmap|on", "what becomes of a guest's discards"},      \
        {prefix "detect-zeroes", KEYVAL_CHOICE, "off|on|unmap", "as of -drive"},                             \
    {                                                                                                        \
        prefix "node-name", KEYVAL_NAME, .help = "its name"                                                  \
    }

static const struct keyval_row rows[] = {
    {"driver", KEYVAL_CHOICE, "raw|qcow2|" FILE_DRIVERS, "what it is"},
    {"file", KEYVAL_NAME, .help = "name of the node below a raw or qcow2 one"},
    {"backing", KEYVAL_STRING, .help = "name of the node with the image below; empty: none"},
    {"file.driver", KEYVAL_CHOICE, FILE_DRIVERS, "of the node below"},
    NODE_ROWS(""),
    NODE_ROWS("file."),
};
static const struct keyval_table table = {"", rows, G_N_ELEMENTS(rows), "driver"};

/* ---- JSON ---- */

static bool flatten(JsonObject *object, const char *prefix, unsigned depth, GString *out, unsigned *words,
                    GError **error)
{
    g_autoptr(GList) names = json_object_get_members(object);
    if (depth > JSON_DEPTH_MOST)
        return option_fail(error, "JSON deeper than %d", JSON_DEPTH_MOST);
    for (GList *at = names; at; at = at->next) {
        JsonNode *node = json_object_get_member(object, at->data);
        g_autofree char *key = g_strconcat(prefix, at->data, NULL);
        if (JSON_NODE_HOLDS_NULL(node) && g_str_equal(key, "backing")) { /* no image below */
            g_string_append(out, out->len ? ",backing=" : "backing=");
            continue;
        }
        if (strpbrk(key, ",="))
            return option_fail(error, "JSON: '%s' is no key", key);
        if (JSON_NODE_HOLDS_OBJECT(node)) {
            g_autofree char *below = g_strconcat(key, ".", NULL);
            if (!flatten(json_node_get_object(node), below, depth + 1, out, words, error))
                return false;
            continue;
        }
        if (!JSON_NODE_HOLDS_VALUE(node) || ++*words > JSON_WORDS_MOST)
            return option_fail(error, "JSON: %s: a word, a number, true, false or an object is wanted", key);
        g_string_append_printf(out, "%s%s=", out->len ? "," : "", key);
        GType type = json_node_get_value_type(node);
        if (type == G_TYPE_STRING)
            for (const char *c = json_node_get_string(node); *c; c++)
                g_string_append_printf(out, *c == ',' ? "%c," : "%c", *c);
        else if (type == G_TYPE_BOOLEAN)
            g_string_append(out, json_node_get_boolean(node) ? "on" : "off");
        else
            g_string_append_printf(out, "%" G_GINT64_FORMAT, json_node_get_int(node));
    }
    return true;
}

/* NULL after an error; belongs to the parser. */
static JsonObject *parse_object(JsonParser *parser, const char *text, GError **error)
{
    g_autoptr(GError) inner = NULL;
    JsonNode *root =
        json_parser_load_from_data(parser, text, -1, &inner) ? json_parser_get_root(parser) : NULL;
    if (root && JSON_NODE_HOLDS_OBJECT(root))
        return json_node_get_object(root);
    option_fail(error, "JSON: %s",
                inner ? inner->message : "an object is wanted: {\"driver\": \"qcow2\", …}");
    return NULL;
}

bool option_flatten_json(const char *text, GString *out, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    unsigned words = 0;
    JsonObject *object = parse_object(parser, text, error);
    return object && flatten(object, "", 1, out, &words, error);
}

char *option_json_words(const char *text, const char *first, GError **error)
{
    g_autoptr(GString) flat = g_string_new(NULL);
    g_autoptr(GString) words = g_string_new(NULL);
    g_autofree char *begin = g_strconcat(first, "=", NULL);
    if (!option_flatten_json(text, flat, error))
        return NULL;
    g_autoptr(GPtrArray) list = keyval_split(flat->str);
    for (int rest = 0; rest < 2; rest++)
        for (guint i = 0; i < list->len; i++) {
            const char *word = list->pdata[i], *value = strchr(word, '=');
            if (g_str_has_prefix(word, begin) == rest || !value)
                continue;
            g_autofree char *key = g_strndup(word, (gsize)(value - word));
            keyval_append(words, key, value + 1);
        }
    if (g_str_has_prefix(words->str, begin))
        return g_strdup(words->str);
    option_fail(error, "JSON: \"%s\" is missing", first);
    return NULL;
}

/* ---- nodes ---- */

static struct machine_drive *find_node(const struct options *o, const char *name)
{
    GPtrArray *drives = o->config->drives;
    for (guint i = 0; i < drives->len; i++) {
        struct machine_drive *drive = drives->pdata[i];
        if (drive->id && g_str_equal(drive->id, name))
            return drive;
    }
    return NULL;
}

static bool is_format(const char *driver)
{
    return g_str_equal(driver, "raw") || g_str_equal(driver, "qcow2");
}

/* What says which file it is, and how that is to be treated. */
static bool set_file(struct machine_drive *node, const struct keyval *kv, const char *prefix,
                     const char *driver, GError **error)
{
    g_autofree char *key = g_strconcat(prefix, "filename", NULL);
    g_autofree char *direct = g_strconcat(prefix, "cache.direct", NULL);
    g_autofree char *no_flush = g_strconcat(prefix, "cache.no-flush", NULL);
    g_autofree char *read_only = g_strconcat(prefix, "read-only", NULL);
    const char *name = keyval_string(kv, key, "");
    bool nothing = g_str_has_prefix(driver, "null-");
    if (nothing == (*name != 0))
        return option_fail(error,
                           nothing ? "%s= does not go with driver=%s; leave it out"
                                   : "%s= is missing: driver=%s needs a file",
                           key, driver);
    if (nothing || *name) {
        g_free(node->file);
        node->file = nothing ? g_strconcat(driver, "://", NULL) : g_strdup(name);
    }
    node->block.read_only |= keyval_bool(kv, read_only, false) || g_str_equal(driver, "host_cdrom");
    if (keyval_bool(kv, no_flush, false))
        node->block.cache = BLOCK_CACHE_UNSAFE;
    else if (keyval_bool(kv, direct, false))
        node->block.cache = BLOCK_CACHE_NONE;
    return true;
}

static bool set_format_node(const struct options *o, struct machine_drive *node, const struct keyval *kv,
                            const char *driver, GError **error)
{
    const char *below = keyval_string(kv, "file", NULL);
    node->block.format = g_str_equal(driver, "qcow2") ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
    if (!below == !keyval_has(kv, "file.driver"))
        return option_fail(error,
                           below ? "give file=, or file.driver= and its like, not both"
                                 : "file= is missing: driver=%s is above another node, as "
                                   "file.driver=file,file.filename=…",
                           driver);
    if (!below && node->node && keyval_has(kv, "file.node-name")) /* add_inner() has made it */
        below = keyval_string(kv, "file.node-name", "");
    if (!below)
        return set_file(node, kv, "file.", keyval_string(kv, "file.driver", "file"), error);
    struct machine_drive *other = find_node(o, below);
    if (!other || !other->node || other->claimed)
        return option_fail(error, "file=%s: there is no -blockdev with that node-name before it%s", below,
                           other ? " that is not in use" : "");
    if (other->block.format == BLOCK_FORMAT_QCOW2)
        return option_fail(error, "file=%s: a node above a qcow2 one sees its disk; plug that one in", below);
    other->carries = true;
    node->file = g_strdup(other->file);
    node->below = g_strdup(other->id);
    node->block.read_only = other->block.read_only;
    node->block.cache = other->block.cache;
    node->block.discard = other->block.discard;
    node->auto_read_only = other->auto_read_only;
    return true;
}

static struct machine_drive *new_node(const char *name)
{
    struct machine_drive *node = g_new0(struct machine_drive, 1);
    node->bus = MACHINE_BUS_NONE;
    node->index = node->bootindex = -1;
    node->translation = MACHINE_TRANSLATION_AUTO;
    node->block.on_write_error = BLOCK_ERROR_ENOSPC;
    node->block.format = BLOCK_FORMAT_RAW;
    node->id = g_strdup(name);
    node->node = true;
    return node;
}

static bool set_backing(const struct options *o, struct machine_drive *node, const struct keyval *kv,
                        const char *driver, GError **error)
{
    const char *name = keyval_string(kv, "backing", NULL);
    struct machine_drive *below = name && *name ? find_node(o, name) : NULL;
    if (!name)
        return true;
    if (!g_str_equal(driver, "qcow2"))
        return option_fail(error, "backing= is of driver=qcow2; a %s image has nothing below", driver);
    if (*name && (!below || !below->node || below->claimed))
        return option_fail(error, "backing=%s: there is no -blockdev with that node-name before it%s", name,
                           below ? " that is not in use" : "");
    if (below)
        below->carries = true;
    node->backing = g_strdup(name);
    return true;
}

void options_add_node(struct options *o, const struct machine_drive *from)
{
    struct machine_drive *node = new_node(from->id);
    node->file = g_strdup(from->file);
    node->below = g_strdup(from->below);
    node->driver = g_strdup(from->driver);
    node->block = from->block;
    node->auto_read_only = from->auto_read_only;
    g_ptr_array_add(o->config->drives, node);
}

/* Everything but its name; the keys are checked. */
static bool fill_node(const struct options *o, struct machine_drive *node, const struct keyval *kv,
                      GError **error)
{
    const char *driver = node->driver;
    const char *zeroes = keyval_string(kv, "detect-zeroes", "off");
    const char *discard = keyval_string(kv, "discard", keyval_string(kv, "file.discard", "ignore"));
    bool format = is_format(driver);
    if (!(format ? set_format_node(o, node, kv, driver, error) : set_file(node, kv, "", driver, error)))
        return false;
    node->auto_read_only |=
        keyval_bool(kv, "auto-read-only", false) || keyval_bool(kv, "file.auto-read-only", false);
    if (format && keyval_bool(kv, "read-only", false))
        node->block.read_only = true;
    if (format && keyval_bool(kv, "cache.no-flush", false))
        node->block.cache = BLOCK_CACHE_UNSAFE;
    else if (format && keyval_bool(kv, "cache.direct", false))
        node->block.cache = BLOCK_CACHE_NONE;
    node->block.discard |= g_str_equal(discard, "unmap") || g_str_equal(discard, "on");
    node->block.zeroes = g_str_equal(zeroes, "on")      ? BLOCK_ZEROES_DETECT
                         : g_str_equal(zeroes, "unmap") ? BLOCK_ZEROES_UNMAP
                                                        : BLOCK_ZEROES_WRITE;
    if (node->block.zeroes == BLOCK_ZEROES_UNMAP && !node->block.discard)
        return option_fail(error, "detect-zeroes=unmap needs discard=unmap");
    return set_backing(o, node, kv, driver, error);
}

static bool take_backing(JsonObject *object, struct block_below **out, unsigned depth, GError **error);

/* The node below that is written out within this one's words, with a name of its own. */
static struct machine_drive *add_inner(struct options *o, const struct keyval *kv, GError **error)
{
    const char *name = keyval_string(kv, "file.node-name", "");
    const char *driver = keyval_string(kv, "file.driver", "file"),
               *discard = keyval_string(kv, "file.discard", "ignore");
    if (find_node(o, name)) {
        option_fail(error, "file.node-name=%s: the name is taken by another drive", name);
        return NULL;
    }
    struct machine_drive *inner = new_node(name);
    inner->driver = g_strdup(driver);
    inner->implicit = inner->carries = true;
    inner->auto_read_only = keyval_bool(kv, "file.auto-read-only", false);
    inner->block.discard = g_str_equal(discard, "unmap") || g_str_equal(discard, "on");
    if (!set_file(inner, kv, "file.", driver, error)) {
        machine_drive_free(inner);
        return NULL;
    }
    g_ptr_array_add(o->config->drives, inner);
    return inner;
}

/* "backing" of a JSON object that is an object itself goes into *chain. The rest as words. */
static bool split_json(const char *text, GString *words, struct block_below **chain, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    unsigned count = 0;
    JsonObject *object = parse_object(parser, text, error);
    JsonNode *backing = object ? json_object_get_member(object, "backing") : NULL;
    if (backing && JSON_NODE_HOLDS_OBJECT(backing)) {
        if (!take_backing(object, chain, 0, error))
            return false;
        json_object_remove_member(object, "backing");
    }
    return object && flatten(object, "", 1, words, &count, error);
}

static bool add_node(struct options *o, const struct keyval *kv, struct block_below **chain, GError **error);

bool option_blockdev(struct options *o, const char *arg, GError **error)
{
    struct block_below *chain = NULL;
    g_autoptr(GString) words = g_string_new(NULL);
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        GString *text = g_string_new("Keys of -blockdev:\n");
        keyval_describe(&table, text);
        return option_print(o, text);
    }
    if (*arg == '{' && !split_json(arg, words, &chain, error))
        return false;
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&table, *arg == '{' ? words->str : arg, error);
    bool good = kv && keyval_require(kv, "driver", error) && keyval_require(kv, "node-name", error) &&
                add_node(o, kv, &chain, error);
    block_below_free(chain);
    return good;
}

/* Takes *chain when it is good. */
static bool add_node(struct options *o, const struct keyval *kv, struct block_below **chain, GError **error)
{
    const char *driver = keyval_string(kv, "driver", ""), *name = keyval_string(kv, "node-name", "");
    bool format = is_format(driver);
    if (find_node(o, name))
        return option_fail(error, "node-name=%s: the name is taken by another drive", name);
    if (format && keyval_has(kv, "filename"))
        return option_fail(error,
                           "filename= belongs to the node below: write file.driver=file,file.filename=…");
    if (!format && (keyval_has(kv, "file") || keyval_has(kv, "file.driver")))
        return option_fail(error, "driver=%s has no node below; leave file= out", driver);
    if (*chain && !g_str_equal(driver, "qcow2"))
        return option_fail(error, "backing= is of driver=qcow2; a %s image has nothing below", driver);
    bool has_inner = format && !keyval_has(kv, "file") && keyval_has(kv, "file.node-name");
    struct machine_drive *inner = has_inner ? add_inner(o, kv, error) : NULL;
    if (has_inner && !inner)
        return false;
    struct machine_drive *node = new_node(name);
    node->driver = g_strdup(driver);
    if (!fill_node(o, node, kv, error)) {
        machine_drive_free(node);
        if (inner)
            g_ptr_array_remove(o->config->drives, inner);
        return false;
    }
    node->block.below = node->chain = g_steal_pointer(chain);
    g_ptr_array_add(o->config->drives, node);
    return true;
}

static bool fill_below(struct block_below *below, JsonObject *object, unsigned depth, GError **error);

/* "backing" of a format's object: what is below, inside out; null: nothing. *out is the caller's, and NULL
 * when nothing is said. */
static bool take_backing(JsonObject *object, struct block_below **out, unsigned depth, GError **error)
{
    JsonNode *node = json_object_get_member(object, "backing");
    *out = NULL;
    if (!node)
        return true;
    if (!JSON_NODE_HOLDS_OBJECT(node) && !JSON_NODE_HOLDS_NULL(node))
        return option_fail(error,
                           "a json: name has no nodes to refer to; write the object of \"backing\" out");
    if (depth == BACKING_DEPTH_MOST)
        return option_fail(error, "more than %d images below each other", BACKING_DEPTH_MOST);
    *out = g_new0(struct block_below, 1);
    if (JSON_NODE_HOLDS_NULL(node) || fill_below(*out, json_node_get_object(node), depth + 1, error))
        return true;
    g_clear_pointer(out, block_below_free);
    return false;
}

static bool fill_below(struct block_below *below, JsonObject *object, unsigned depth, GError **error)
{
    struct block_below *next = NULL;
    if (!take_backing(object, &next, depth, error))
        return false;
    below->below = next;
    json_object_remove_member(object, "backing");
    g_autoptr(GString) words = g_string_new(NULL);
    unsigned count = 0;
    if (!flatten(object, "", 1, words, &count, error))
        return false;
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&table, words->str, error);
    if (!kv || !keyval_require(kv, "driver", error))
        return false;
    const char *driver = keyval_string(kv, "driver", ""), *name = keyval_string(kv, "file.filename", "");
    bool is_qcow2 = g_str_equal(driver, "qcow2");
    if (!is_format(driver) || !*name || g_str_has_prefix(keyval_string(kv, "file.driver", "file"), "null-"))
        return option_fail(error, "\"backing\" is an image: {\"driver\": \"qcow2\", \"file\": {\"driver\": "
                                  "\"file\", \"filename\": …}}");
    if (next && !is_qcow2)
        return option_fail(error, "backing= is of driver=qcow2; a %s image has nothing below", driver);
    below->format = is_qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
    below->file = g_strdup(name);
    return true;
}

bool options_json_file(struct options *o, struct machine_drive *drive, const char *json, GError **error)
{
    g_autoptr(GString) words = g_string_new(NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    unsigned count = 0;
    JsonObject *object = parse_object(parser, json, error);
    if (!object || !take_backing(object, &drive->chain, 0, error))
        return false;
    json_object_remove_member(object, "backing");
    if (!flatten(object, "", 1, words, &count, error))
        return false;
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&table, words->str, error);
    if (!kv || !keyval_require(kv, "driver", error))
        return false;
    const char *driver = keyval_string(kv, "driver", "");
    if (keyval_has(kv, "file"))
        return option_fail(error, "a json: name has no nodes to refer to; write the object of \"file\" out");
    if (drive->chain && !g_str_equal(driver, "qcow2"))
        return option_fail(error, "backing= is of driver=qcow2; a %s image has nothing below", driver);
    drive->block.below = drive->chain;
    if (is_format(driver))
        return set_format_node(o, drive, kv, driver, error);
    return set_file(drive, kv, "", driver, error);
}
