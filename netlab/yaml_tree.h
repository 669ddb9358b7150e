/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Any YAML file as a tree that remembers where everything stood: for files of other programs, whose grammar
 * is not ours (topology_parse.c reads our own by tables). Aliases and merge keys (`<<`) are resolved by
 * copying, within fixed bounds, so neither loops nor bombs of aliases get past yaml_tree_load().
 */
#pragma once

#include "netlab/topology.h"

enum yaml_tree_kind { YAML_TREE_TEXT, YAML_TREE_LIST, YAML_TREE_MAP };

struct yaml_tree {
    enum yaml_tree_kind kind;
    struct topology_mark mark;
    char *text;       /* of TEXT; "" when empty */
    bool is_plain;    /* of TEXT: written without quotes, so null, true and numbers may be meant */
    GPtrArray *keys;  /* of MAP: char *, in the order of the file */
    GArray *marks;    /* of MAP: struct topology_mark of each key */
    GPtrArray *items; /* of LIST and MAP: struct yaml_tree * */
};

enum {
    YAML_TREE_FILE_MOST = 1 << 20,  /* bytes of a file */
    YAML_TREE_NODES_MOST = 50000,   /* after aliases */
    YAML_TREE_BYTES_MOST = 8 << 20, /* of all texts, after aliases */
    YAML_TREE_DEPTH_MOST = 32,
};

/* The first document of `text` (length bytes). `shown` is the file's name in messages, which have line and
 * column. NULL with TOPOLOGY_ERROR_INVALID: no YAML, empty, or beyond the bounds. Owned by the caller. */
struct yaml_tree *yaml_tree_load(const char *text, size_t length, const char *shown, GError **error);
void yaml_tree_free(struct yaml_tree *tree);

/* A member of a map; NULL when `tree` is NULL or no map or has none of that name. *mark (may be NULL) becomes
 * the key's place. */
struct yaml_tree *yaml_tree_get(const struct yaml_tree *tree, const char *key, struct topology_mark *mark);
/* The text of a TEXT that is not null; NULL otherwise. */
const char *yaml_tree_text(const struct yaml_tree *tree);
bool yaml_tree_is_null(const struct yaml_tree *tree);
/* Members of a LIST or MAP; 0 of anything else. */
guint yaml_tree_count(const struct yaml_tree *tree);
struct yaml_tree *yaml_tree_item(const struct yaml_tree *tree, guint index);
const char *yaml_tree_key(const struct yaml_tree *tree, guint index);
struct topology_mark yaml_tree_key_mark(const struct yaml_tree *tree, guint index);
