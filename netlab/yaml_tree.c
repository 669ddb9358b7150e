/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See yaml_tree.h. libyaml composes the document, where aliases are shared nodes and may form circles; we
 * copy it out with a budget of nodes, bytes and depth. Its composer takes time with the square of the depth,
 * so depth is looked at in the events first.
 */
#include "netlab/yaml_tree.h"

#include <string.h>
#include <yaml.h>

struct copier {
    yaml_document_t *document;
    const char *shown;
    unsigned nodes;
    size_t bytes;
    GError **error;
};

void yaml_tree_free(struct yaml_tree *tree)
{
    if (!tree)
        return;
    g_free(tree->text);
    if (tree->keys)
        g_ptr_array_unref(tree->keys);
    if (tree->marks)
        g_array_unref(tree->marks);
    if (tree->items)
        g_ptr_array_unref(tree->items);
    g_free(tree);
}

static void *fail(const char *shown, struct topology_mark mark, GError **error, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
static void *fail(const char *shown, struct topology_mark mark, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (error && !*error)
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID, "%s:%u:%u: %s", shown, mark.line,
                    mark.column, text);
    return NULL;
}

static struct topology_mark mark_of(yaml_mark_t mark)
{
    return (struct topology_mark){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static struct yaml_tree *tree_new(enum yaml_tree_kind kind, struct topology_mark mark)
{
    struct yaml_tree *tree = g_new0(struct yaml_tree, 1);
    tree->kind = kind;
    tree->mark = mark;
    if (kind != YAML_TREE_TEXT)
        tree->items = g_ptr_array_new_with_free_func((GDestroyNotify)yaml_tree_free);
    if (kind == YAML_TREE_MAP) {
        tree->keys = g_ptr_array_new_with_free_func(g_free);
        tree->marks = g_array_new(FALSE, FALSE, sizeof(struct topology_mark));
    }
    return tree;
}

static struct yaml_tree *copy_node(struct copier *c, const yaml_node_t *node, unsigned depth);

static struct yaml_tree *copy_text(struct copier *c, const yaml_node_t *node)
{
    struct topology_mark mark = mark_of(node->start_mark);
    const char *text = (const char *)node->data.scalar.value;
    size_t length = node->data.scalar.length;
    c->bytes += length;
    if (c->bytes > YAML_TREE_BYTES_MOST)
        return fail(c->shown, mark, c->error, "aliases make more than %d MiB of this file; write it out",
                    YAML_TREE_BYTES_MOST >> 20);
    if (strlen(text) != length)
        return fail(c->shown, mark, c->error, "a NUL character; remove it");
    struct yaml_tree *tree = tree_new(YAML_TREE_TEXT, mark);
    tree->text = g_strdup(text);
    tree->is_plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return tree;
}

static int find_key(const struct yaml_tree *map, const char *key)
{
    for (guint i = 0; i < map->keys->len; i++)
        if (g_str_equal(map->keys->pdata[i], key))
            return (int)i;
    return -1;
}

/* What a merge key brings: all that the map does not say itself. */
static void merge(struct yaml_tree *map, struct yaml_tree *from)
{
    if (from->kind == YAML_TREE_LIST) {
        for (guint i = 0; i < from->items->len; i++)
            merge(map, from->items->pdata[i]);
        return;
    }
    while (from->kind == YAML_TREE_MAP && from->keys->len) {
        char *key = g_ptr_array_steal_index(from->keys, 0);
        struct yaml_tree *value = g_ptr_array_steal_index(from->items, 0);
        struct topology_mark mark = g_array_index(from->marks, struct topology_mark, 0);
        g_array_remove_index(from->marks, 0);
        if (find_key(map, key) < 0) {
            g_ptr_array_add(map->keys, key);
            g_ptr_array_add(map->items, value);
            g_array_append_val(map->marks, mark);
        } else {
            g_free(key);
            yaml_tree_free(value);
        }
    }
}

static bool copy_pair(struct copier *c, struct yaml_tree *map, const yaml_node_pair_t *pair, unsigned depth,
                      GPtrArray *merges, GHashTable *seen)
{
    const yaml_node_t *key = yaml_document_get_node(c->document, pair->key),
                      *value = yaml_document_get_node(c->document, pair->value);
    struct topology_mark mark = mark_of(key->start_mark);
    if (key->type != YAML_SCALAR_NODE)
        return fail(c->shown, mark, c->error, "a key must be a plain name");
    const char *name = (const char *)key->data.scalar.value;
    c->bytes += key->data.scalar.length;
    struct yaml_tree *copy = copy_node(c, value, depth + 1);
    if (!copy)
        return false;
    if (g_str_equal(name, "<<") && copy->kind != YAML_TREE_TEXT) {
        g_ptr_array_add(merges, copy);
        return true;
    }
    if (!g_hash_table_add(seen, (gpointer)name)) {
        yaml_tree_free(copy);
        return fail(c->shown, mark, c->error, "\"%s\" is given twice; keep one of them", name);
    }
    g_ptr_array_add(map->keys, g_strdup(name));
    g_array_append_val(map->marks, mark);
    g_ptr_array_add(map->items, copy);
    return true;
}

static struct yaml_tree *copy_map(struct copier *c, const yaml_node_t *node, unsigned depth)
{
    struct yaml_tree *map = tree_new(YAML_TREE_MAP, mark_of(node->start_mark));
    g_autoptr(GPtrArray) merges = g_ptr_array_new_with_free_func((GDestroyNotify)yaml_tree_free);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        if (!copy_pair(c, map, pair, depth, merges, seen)) {
            yaml_tree_free(map);
            return NULL;
        }
    }
    for (guint i = 0; i < merges->len; i++)
        merge(map, merges->pdata[i]);
    return map;
}

static struct yaml_tree *copy_node(struct copier *c, const yaml_node_t *node, unsigned depth)
{
    struct topology_mark mark = mark_of(node->start_mark);
    if (++c->nodes > YAML_TREE_NODES_MOST)
        return fail(c->shown, mark, c->error,
                    "more than %d values (aliases count each time); make it smaller", YAML_TREE_NODES_MOST);
    if (depth > YAML_TREE_DEPTH_MOST)
        return fail(c->shown, mark, c->error,
                    "nested more than %d levels deep, or an alias within itself; remove brackets",
                    YAML_TREE_DEPTH_MOST);
    if (node->type == YAML_SCALAR_NODE)
        return copy_text(c, node);
    if (node->type == YAML_MAPPING_NODE)
        return copy_map(c, node, depth);
    struct yaml_tree *list = tree_new(YAML_TREE_LIST, mark);
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++) {
        struct yaml_tree *copy = copy_node(c, yaml_document_get_node(c->document, *item), depth + 1);
        if (!copy) {
            yaml_tree_free(list);
            return NULL;
        }
        g_ptr_array_add(list->items, copy);
    }
    return list;
}

/* Where a byte of the text stands. */
static struct topology_mark mark_at(const char *text, size_t offset)
{
    struct topology_mark mark = {1, 1};
    for (size_t i = 0; i < offset; i++) {
        mark.line += text[i] == '\n';
        mark.column = text[i] == '\n' ? 1 : mark.column + 1;
    }
    return mark;
}

/* False: not YAML (said), or nested too deep. */
static bool check_events(const char *text, size_t length, const char *shown, GError **error)
{
    yaml_parser_t yaml;
    if (!yaml_parser_initialize(&yaml))
        return fail(shown, (struct topology_mark){1, 1}, error, "out of memory") != NULL;
    yaml_parser_set_input_string(&yaml, (const unsigned char *)text, length);
    bool good = true, more = true;
    unsigned depth = 0, events = 0;
    while (good && more) {
        yaml_event_t event;
        if (!yaml_parser_parse(&yaml, &event)) {
            bool is_reader = yaml.error == YAML_READER_ERROR;
            fail(shown,
                 is_reader ? mark_at(text, MIN(yaml.problem_offset, length)) : mark_of(yaml.problem_mark),
                 error, "not valid YAML: %s; %s", yaml.problem ? yaml.problem : "unreadable",
                 is_reader ? "save it as UTF-8" : "check the indentation here");
            good = false;
            break;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        if (event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT)
            depth++;
        else if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT)
            depth--;
        if (depth > YAML_TREE_DEPTH_MOST || ++events > 4 * YAML_TREE_NODES_MOST) {
            fail(shown, mark_of(event.start_mark), error,
                 "nested more than %d levels deep, or too long; remove brackets", YAML_TREE_DEPTH_MOST);
            good = false;
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&yaml);
    return good;
}

struct yaml_tree *yaml_tree_load(const char *text, size_t length, const char *shown, GError **error)
{
    struct topology_mark start = {1, 1};
    yaml_parser_t yaml;
    yaml_document_t document;
    if (length > YAML_TREE_FILE_MOST)
        return fail(shown, start, error, "larger than %d MiB; this is hardly a topology",
                    YAML_TREE_FILE_MOST >> 20);
    if (!check_events(text, length, shown, error))
        return NULL;
    if (!yaml_parser_initialize(&yaml))
        return fail(shown, start, error, "out of memory");
    yaml_parser_set_input_string(&yaml, (const unsigned char *)text, length);
    struct yaml_tree *tree = NULL;
    if (!yaml_parser_load(&yaml, &document)) {
        fail(shown, mark_of(yaml.problem_mark), error, "not valid YAML: %s",
             yaml.problem ? yaml.problem : "unreadable");
    } else {
        struct copier c = {.document = &document, .shown = shown, .error = error};
        const yaml_node_t *root = yaml_document_get_root_node(&document);
        if (root)
            tree = copy_node(&c, root, 0);
        else
            fail(shown, start, error, "the file is empty");
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&yaml);
    return tree;
}

struct yaml_tree *yaml_tree_get(const struct yaml_tree *tree, const char *key, struct topology_mark *mark)
{
    int at = tree && tree->kind == YAML_TREE_MAP ? find_key(tree, key) : -1;
    if (at < 0)
        return NULL;
    if (mark)
        *mark = g_array_index(tree->marks, struct topology_mark, (guint)at);
    return tree->items->pdata[at];
}

bool yaml_tree_is_null(const struct yaml_tree *tree)
{
    return !tree || (tree->kind == YAML_TREE_TEXT && tree->is_plain &&
                     (!*tree->text || g_str_equal(tree->text, "~") || g_str_equal(tree->text, "null")));
}

const char *yaml_tree_text(const struct yaml_tree *tree)
{
    return !tree || tree->kind != YAML_TREE_TEXT || yaml_tree_is_null(tree) ? NULL : tree->text;
}

guint yaml_tree_count(const struct yaml_tree *tree)
{
    return tree && tree->items ? tree->items->len : 0;
}

struct yaml_tree *yaml_tree_item(const struct yaml_tree *tree, guint index)
{
    return index < yaml_tree_count(tree) ? tree->items->pdata[index] : NULL;
}

const char *yaml_tree_key(const struct yaml_tree *tree, guint index)
{
    return tree && tree->keys && index < tree->keys->len ? tree->keys->pdata[index] : NULL;
}

struct topology_mark yaml_tree_key_mark(const struct yaml_tree *tree, guint index)
{
    return tree && tree->marks && index < tree->marks->len
               ? g_array_index(tree->marks, struct topology_mark, index)
               : (struct topology_mark){1, 1};
}
