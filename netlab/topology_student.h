/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `${student.NAME}` in a topology: what differs between the copies of a lab (class.h). Pure text.
 *
 * Values come from the class list, else from `student:` in the topology itself. Between the braces may stand
 * whole-number arithmetic: `${student.seed % 200 + 10}`, with + - * / % and ( ), as in C. Only what begins
 * with `${student.` is ours, so that shell variables stay as they are; `$${student.` is that text itself.
 *
 * A copy's text is the file's, and behind it a second YAML document with the tag `!copy`, which holds the
 * copy's name and the values. So the text that the store keeps of a copy is whole, and lines and columns are
 * those of the file.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* The text with its variables replaced, owned by the caller. NULL: *why (owned by the caller) says what is
 * wrong. `values`: name → text. */
char *topology_expand(const char *text, GHashTable *values, char **why);

/* The second document: `name` (NULL: none) and the values. Owned by the caller. */
char *topology_copy_document(const char *name, GHashTable *values);
/* Where the second document begins in a copy's text; NULL: it is no copy's. Points into `source`. */
const char *topology_find_copy_document(const char *source);
