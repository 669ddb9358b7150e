/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Lists of key=value words, the grammar inside most options: "tap,id=n0,ifname=tap0,script=no".
 *
 * A table of rows says which keys there are and what their values look like; keyval_parse() checks every word
 * against it, so that the caller only ever sees values of the right form. A comma inside a value is written
 * twice. A key without a value means "on", with "no" before its name "off"; the first word may stand without
 * its key when the table has an implied one. Errors name the word and suggest the nearest key or value.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum keyval_type {
    KEYVAL_STRING, /* anything, the empty string too */
    KEYVAL_NAME,   /* an id: letters, digits, '-', '.', '_', beginning with a letter, at most 63 long */
    KEYVAL_PATH,   /* not empty */
    KEYVAL_BOOL,   /* on, off, yes, no, true, false */
    KEYVAL_NUMBER, /* unsigned, decimal or 0x…, in [min, max] of the row (max 0: no limit) */
    KEYVAL_SIZE,   /* bytes with K, M, G or T; without a suffix in units of the row's `min` (0: bytes) */
    KEYVAL_CHOICE, /* one of `choices`, separated by '|' */
    KEYVAL_MAC,    /* 52:54:00:12:34:56, not a multicast one */
    KEYVAL_LIST,   /* not empty, and may be given several times: all count, in order */
    KEYVAL_LATER,  /* QEMU's, and not ours yet: an error that says so; `help` says what to do instead */
};

struct keyval_row {
    const char *key;
    enum keyval_type type;
    const char *choices; /* KEYVAL_CHOICE only */
    const char *help;    /* NULL: accepted for QEMU's sake and has no effect here */
    uint64_t min, max;
};

struct keyval_table {
    const char *what; /* how errors call the whole: "-netdev tap" */
    const struct keyval_row *rows;
    size_t count;
    const char *implied; /* key of a first word that has none, or NULL */
};

struct keyval; /* parsed words */

/* Parses `text`. NULL with an error of one line when a word does not fit. */
struct keyval *keyval_parse(const struct keyval_table *table, const char *text, GError **error);
void keyval_free(struct keyval *kv);
static inline void keyval_free_at(struct keyval **kv)
{
    keyval_free(*kv);
}
/* KEYVAL_AUTO struct keyval *kv = …: freed at the end of the block. */
#define KEYVAL_AUTO __attribute__((cleanup(keyval_free_at)))

/* The words between single commas, ",," being one comma; at most KEYVAL_WORDS_MOST and one more. Of char *,
 * the caller's. */
enum { KEYVAL_WORDS_MOST = 1 << 16 }; /* a forward for each port */
GPtrArray *keyval_split(const char *text);
/* Appends ",key=value", or "key=value" to an empty list, commas doubled. */
void keyval_append(GString *list, const char *key, const char *value);

bool keyval_has(const struct keyval *kv, const char *key);
/* The value, or `fallback` when the key was not given. Strings stay the keyval's. `key` must be in the table.
 */
const char *keyval_string(const struct keyval *kv, const char *key, const char *fallback);
uint64_t keyval_number(const struct keyval *kv, const char *key, uint64_t fallback); /* NUMBER and SIZE */
bool keyval_bool(const struct keyval *kv, const char *key, bool fallback);
bool keyval_mac(const struct keyval *kv, const char *key, uint8_t mac[6]); /* false: not given */
/* Every value of a LIST row, NULL-terminated; empty when the key was not given. */
const char *const *keyval_list(const struct keyval *kv, const char *key);
/* Fails, naming it, when `key` is missing. */
bool keyval_require(const struct keyval *kv, const char *key, GError **error);

/* One line a key, for `-device e1000,help`. */
void keyval_describe(const struct keyval_table *table, GString *out);

/* Single values by the same rules; `what` begins the error. */
bool keyval_parse_size(const char *what, const char *text, uint64_t unit, uint64_t *bytes, GError **error);
bool keyval_parse_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value,
                         GError **error);
bool keyval_parse_mac(const char *text, uint8_t mac[6]);

/* The word nearest to `word` by edit distance, or NULL when none is near enough to be what was meant. */
const char *keyval_nearest(const char *word, const char *const *words, size_t count);
/* " (did you mean 'x'?)" or "". */
char *keyval_suggestion(const char *word, const char *const *words, size_t count);
