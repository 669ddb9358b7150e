/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Key=value lists: see keyval.h. Used while the command line is read, and by the monitor; nothing here is
 * hot.
 */
#include "emu/keyval.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

struct keyval {
    const struct keyval_table *table;
    char **values;     /* one a row; NULL: not given */
    GPtrArray **lists; /* of LIST rows, NULL-terminated; NULL: not given */
    uint64_t *numbers; /* of NUMBER, SIZE and BOOL rows */
};

enum { DISTANCE_MOST = 64 };

/* ---- nearest word ---- */

/* Damerau-Levenshtein (adjacent transpositions), case ignored: typing errors are mostly one of its four. */
static unsigned edit_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    if (la >= DISTANCE_MOST || lb >= DISTANCE_MOST)
        return UINT_MAX;
    unsigned row[3][DISTANCE_MOST + 1];
    unsigned *before = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= lb; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            char ca = g_ascii_tolower(a[i - 1]), cb = g_ascii_tolower(b[j - 1]);
            unsigned best = last[j - 1] + (ca != cb);
            best = MIN(best, last[j] + 1);
            best = MIN(best, now[j - 1] + 1);
            if (i > 1 && j > 1 && ca == g_ascii_tolower(b[j - 2]) && g_ascii_tolower(a[i - 2]) == cb)
                best = MIN(best, before[j - 2] + 1);
            now[j] = best;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[lb];
}

const char *keyval_nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)MAX(strlen(word) / 3, 1) + 1; /* further away is not what was meant */
    for (size_t i = 0; i < count; i++) {
        unsigned distance = edit_distance(word, words[i]);
        if (distance < best_distance) {
            best = words[i];
            best_distance = distance;
        }
    }
    return best;
}

char *keyval_suggestion(const char *word, const char *const *words, size_t count)
{
    const char *nearest = keyval_nearest(word, words, count);
    return nearest ? g_strdup_printf(" (did you mean '%s'?)", nearest) : g_strdup("");
}

/* ---- single values ---- */

G_GNUC_PRINTF(2, 3) static bool fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, text);
    return false;
}

bool keyval_parse_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value,
                         GError **error)
{
    char *end = NULL;
    bool hex = g_ascii_strncasecmp(text, "0x", 2) == 0;
    errno = 0;
    uint64_t got = g_ascii_isxdigit(*text) ? g_ascii_strtoull(text, &end, hex ? 16 : 10) : 0;
    if (!end || end == text || *end || errno || (hex && !g_ascii_isxdigit(text[2])))
        return fail(error, "%s: '%s' is not a number (decimal, or hexadecimal as 0x…)", what, text);
    if (got < min || (max && got > max)) {
        return max ? fail(error, "%s: %s is out of range, from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                          what, text, min, max)
                   : fail(error, "%s: %s is less than %" G_GUINT64_FORMAT, what, text, min);
    }
    *value = got;
    return true;
}

bool keyval_parse_size(const char *what, const char *text, uint64_t unit, uint64_t *bytes, GError **error)
{
    char *end = NULL;
    errno = 0;
    double fraction = 0;
    bool hex = g_ascii_strncasecmp(text, "0x", 2) == 0 && g_ascii_isxdigit(text[2]);
    uint64_t whole = g_ascii_isdigit(*text) ? g_ascii_strtoull(text, &end, hex ? 16 : 10) : 0;
    bool bad = !end || end == text || errno;
    if (!bad && *end == '.' && !hex) { /* "1.5G" */
        char *after;
        fraction = g_ascii_strtod(end, &after);
        bad = after == end || !g_ascii_isdigit(end[1]) || fraction >= 1;
        for (char *c = end + 1; c < after; c++)
            bad |= !g_ascii_isdigit(*c);
        end = after;
    }
    uint64_t scale = unit ? unit : 1;
    if (!bad && *end) {
        static const char suffixes[] = "bkmgt";
        const char *at = strchr(suffixes, g_ascii_tolower(*end));
        bad = !at || end[1];
        if (!bad)
            scale = UINT64_C(1) << (10 * (at - suffixes));
    }
    if (bad)
        return fail(error, "%s: '%s' is not a size (write 64M, 1G, 512K, or a plain number)", what, text);
    if (whole > (UINT64_MAX >> 1) / scale)
        return fail(error, "%s: %s is too large", what, text);
    *bytes = whole * scale + (uint64_t)(fraction * (double)scale);
    return true;
}

bool keyval_parse_mac(const char *text, uint8_t mac[6])
{
    if (strlen(text) != 17)
        return false;
    uint8_t got[6];
    for (unsigned i = 0; i < 6; i++) {
        const char *at = text + 3 * i;
        if (!g_ascii_isxdigit(at[0]) || !g_ascii_isxdigit(at[1]) || (i < 5 && at[2] != ':' && at[2] != '-'))
            return false;
        got[i] = (uint8_t)(g_ascii_xdigit_value(at[0]) << 4 | g_ascii_xdigit_value(at[1]));
    }
    memcpy(mac, got, 6);
    return true;
}

static bool name_is_good(const char *text)
{
    if (!g_ascii_isalpha(*text) || strlen(text) > 63)
        return false;
    for (; *text; text++)
        if (!g_ascii_isalnum(*text) && !strchr("-._", *text))
            return false;
    return true;
}

/* 1 or 0; -1 when it is neither. */
static int bool_value(const char *text)
{
    static const char *const on[] = {"on", "yes", "true", "y"}, *const off[] = {"off", "no", "false", "n"};
    for (unsigned i = 0; i < G_N_ELEMENTS(on); i++) {
        if (g_str_equal(text, on[i]))
            return 1;
        if (g_str_equal(text, off[i]))
            return 0;
    }
    return -1;
}

/* ---- lists ---- */

GPtrArray *keyval_split(const char *text)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) word = g_string_new(NULL);
    for (;; text++) {
        if (*text == ',' && text[1] == ',') {
            g_string_append_c(word, ',');
            text++;
        } else if (*text == ',' || !*text) {
            g_ptr_array_add(words, g_strdup(word->str));
            g_string_truncate(word, 0);
            if (!*text || words->len > KEYVAL_WORDS_MOST)
                return words;
        } else {
            g_string_append_c(word, *text);
        }
    }
}

void keyval_append(GString *list, const char *key, const char *value)
{
    g_string_append_printf(list, "%s%s=", list->len ? "," : "", key);
    for (; *value; value++)
        g_string_append(list, *value == ',' ? ",," : (char[]){*value, 0});
}

static size_t find_row(const struct keyval_table *table, const char *key)
{
    size_t i = 0;
    while (i < table->count && !g_str_equal(table->rows[i].key, key))
        i++;
    return i;
}

static bool unknown_key(const struct keyval_table *table, const char *key, GError **error)
{
    g_autofree const char **keys = g_new0(const char *, table->count);
    for (size_t i = 0; i < table->count; i++)
        keys[i] = table->rows[i].key;
    g_autofree char *suggestion = keyval_suggestion(key, keys, table->count);
    if (*suggestion)
        return fail(error, "unknown key '%s'%s", key, suggestion);
    g_autoptr(GString) known = g_string_new(NULL);
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].help && table->rows[i].type != KEYVAL_LATER)
            g_string_append_printf(known, "%s%s", known->len ? ", " : "", table->rows[i].key);
    return fail(error, "unknown key '%s' (there are: %s)", key, known->str);
}

static bool bad_choice(const struct keyval_row *row, const char *value, GError **error)
{
    g_auto(GStrv) choices = g_strsplit(row->choices, "|", -1);
    g_autofree char *suggestion =
        keyval_suggestion(value, (const char *const *)choices, g_strv_length(choices));
    g_autofree char *list = g_strjoinv(", ", choices);
    return fail(error, "%s=%s: must be one of: %s%s", row->key, value, list, suggestion);
}

static bool check_value(const struct keyval_row *row, const char *value, uint64_t *number, GError **error)
{
    uint8_t mac[6];
    switch (row->type) {
    case KEYVAL_STRING:
        return true;
    case KEYVAL_PATH:
    case KEYVAL_LIST:
        return *value ? true : fail(error, "%s= needs a value", row->key);
    case KEYVAL_NAME:
        return name_is_good(value)
                   ? true
                   : fail(error,
                          "%s=%s: an id begins with a letter and has letters, digits, '-', '.' and '_'",
                          row->key, value);
    case KEYVAL_BOOL: {
        int on = bool_value(value);
        *number = on > 0;
        return on >= 0 ? true : fail(error, "%s=%s: must be on or off", row->key, value);
    }
    case KEYVAL_NUMBER:
        return keyval_parse_number(row->key, value, row->min, row->max, number, error);
    case KEYVAL_SIZE:
        return keyval_parse_size(row->key, value, row->min, number, error);
    case KEYVAL_CHOICE: {
        g_auto(GStrv) choices = g_strsplit(row->choices, "|", -1);
        return g_strv_contains((const char *const *)choices, value) ? true : bad_choice(row, value, error);
    }
    case KEYVAL_MAC:
        if (!keyval_parse_mac(value, mac))
            return fail(error, "%s=%s: not a MAC address (six bytes as 52:54:00:12:34:56)", row->key, value);
        if (mac[0] & 1)
            return fail(error, "%s=%s: a multicast address; the first byte of a NIC's must be even", row->key,
                        value);
        return true;
    case KEYVAL_LATER:
        return fail(error, "%s= is QEMU's and not in netlab-emu yet%s%s", row->key, row->help ? "; " : "",
                    row->help ? row->help : "");
    }
    return false;
}

static bool take_word(struct keyval *kv, const char *word, bool first, GError **error)
{
    const struct keyval_table *table = kv->table;
    const char *equals = strchr(word, '=');
    g_autofree char *key = equals ? g_strndup(word, (gsize)(equals - word)) : g_strdup(word);
    g_autofree char *value = equals ? g_strdup(equals + 1) : NULL;
    if (!equals) {
        size_t i = find_row(table, key);
        if (first && table->implied && (i == table->count || table->rows[i].type != KEYVAL_BOOL)) {
            value = g_steal_pointer(&key);
            key = g_strdup(table->implied);
        } else if (i < table->count) {
            if (table->rows[i].type != KEYVAL_BOOL && table->rows[i].type != KEYVAL_LATER)
                return fail(error, "%s needs a value: %s=…", key, key);
            value = g_strdup("on");
        } else if (g_str_has_prefix(key, "no") && (i = find_row(table, key + 2)) < table->count &&
                   table->rows[i].type == KEYVAL_BOOL) {
            value = g_strdup("off");
            memmove(key, key + 2, strlen(key + 2) + 1);
        } else if (!*key) {
            return fail(error, "an empty word between two commas (a comma in a value is written twice)");
        }
    }
    size_t i = find_row(table, key);
    if (i == table->count)
        return unknown_key(table, key, error);
    if (!check_value(&table->rows[i], value, &kv->numbers[i], error))
        return false;
    if (table->rows[i].type == KEYVAL_LIST) {
        if (!kv->lists[i]) {
            kv->lists[i] = g_ptr_array_new_with_free_func(g_free);
            g_ptr_array_add(kv->lists[i], NULL);
        }
        g_ptr_array_insert(kv->lists[i], (int)kv->lists[i]->len - 1, g_strdup(value));
    }
    g_free(kv->values[i]); /* the last one counts, as with QEMU */
    kv->values[i] = g_steal_pointer(&value);
    return true;
}

struct keyval *keyval_parse(const struct keyval_table *table, const char *text, GError **error)
{
    g_autoptr(GPtrArray) words = keyval_split(text);
    if (words->len > KEYVAL_WORDS_MOST) {
        fail(error, "%s%smore than %d words between commas; leave some out", table->what,
             *table->what ? ": " : "", KEYVAL_WORDS_MOST);
        return NULL;
    }
    struct keyval *kv = g_new0(struct keyval, 1);
    kv->table = table;
    kv->values = g_new0(char *, table->count + 1);
    kv->numbers = g_new0(uint64_t, table->count + 1);
    kv->lists = g_new0(GPtrArray *, table->count + 1);
    bool good = true;
    for (guint i = 0; good && i < words->len; i++)
        if (*text)
            good = take_word(kv, words->pdata[i], i == 0, error);
    if (!good) {
        if (*table->what)
            g_prefix_error(error, "%s: ", table->what);
        keyval_free(kv);
        return NULL;
    }
    return kv;
}

void keyval_free(struct keyval *kv)
{
    if (!kv)
        return;
    for (size_t i = 0; i < kv->table->count; i++) {
        g_free(kv->values[i]);
        if (kv->lists[i])
            g_ptr_array_unref(kv->lists[i]);
    }
    g_free(kv->lists);
    g_free(kv->values);
    g_free(kv->numbers);
    g_free(kv);
}

static size_t known_row(const struct keyval *kv, const char *key)
{
    size_t i = find_row(kv->table, key);
    g_assert(i < kv->table->count); /* our own table and our own key: a programming error */
    return i;
}

bool keyval_has(const struct keyval *kv, const char *key)
{
    return kv->values[known_row(kv, key)] != NULL;
}

const char *keyval_string(const struct keyval *kv, const char *key, const char *fallback)
{
    const char *value = kv->values[known_row(kv, key)];
    return value ? value : fallback;
}

uint64_t keyval_number(const struct keyval *kv, const char *key, uint64_t fallback)
{
    size_t i = known_row(kv, key);
    return kv->values[i] ? kv->numbers[i] : fallback;
}

bool keyval_bool(const struct keyval *kv, const char *key, bool fallback)
{
    return keyval_number(kv, key, fallback) != 0;
}

bool keyval_mac(const struct keyval *kv, const char *key, uint8_t mac[6])
{
    const char *value = kv->values[known_row(kv, key)];
    return value && keyval_parse_mac(value, mac);
}

const char *const *keyval_list(const struct keyval *kv, const char *key)
{
    static const char *const none[] = {NULL};
    const GPtrArray *list = kv->lists[known_row(kv, key)];
    return list ? (const char *const *)list->pdata : none;
}

bool keyval_require(const struct keyval *kv, const char *key, GError **error)
{
    if (keyval_has(kv, key))
        return true;
    const char *what = kv->table->what;
    return fail(error, "%s%s%s= is missing", what, *what ? ": " : "", key);
}

static const char *type_form(const struct keyval_row *row)
{
    switch (row->type) {
    case KEYVAL_STRING:
        return "TEXT";
    case KEYVAL_NAME:
        return "ID";
    case KEYVAL_PATH:
        return "PATH";
    case KEYVAL_BOOL:
        return "on|off";
    case KEYVAL_NUMBER:
        return "N";
    case KEYVAL_SIZE:
        return "SIZE";
    case KEYVAL_CHOICE:
        return row->choices;
    case KEYVAL_MAC:
        return "MAC";
    case KEYVAL_LIST:
        return "TEXT (may be repeated)";
    case KEYVAL_LATER:
        return "…";
    }
    return "";
}

void keyval_describe(const struct keyval_table *table, GString *out)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct keyval_row *row = &table->rows[i];
        if (row->type == KEYVAL_LATER)
            continue;
        g_autofree char *word = g_strdup_printf("%s=%s", row->key, type_form(row));
        g_string_append_printf(out, "  %-28s %s\n", word, row->help ? row->help : "accepted, no effect here");
    }
}
