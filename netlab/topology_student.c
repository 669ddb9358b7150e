/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Variables of students in topologies; see topology_student.h.
 *
 * Arithmetic is a descent of three levels (sum, product, atom) over 64-bit numbers; what overflows is an
 * error. Depth is bounded by PARENTHESES_MOST.
 */
#include "netlab/topology_student.h"
#include "netlab/topology.h"

#include <json-glib/json-glib.h>
#include <inttypes.h>
#include <string.h>

#define BEGINNING     "${student."
#define VARIABLE      "student."
#define COPY_DOCUMENT "\n--- !copy\n"

enum { PARENTHESES_MOST = 16, TEXT_MOST = 1 << 20 };

struct expression {
    const char *at;
    GHashTable *values;
    char *why; /* NULL: all is well */
    unsigned depth;
};

G_GNUC_PRINTF(2, 3) static int64_t fail(struct expression *e, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!e->why)
        e->why = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return 0;
}

static void skip_blanks(struct expression *e)
{
    while (*e->at == ' ')
        e->at++;
}

/* Behind "student.". NULL after a complaint. Belongs to the values. */
static const char *read_variable(struct expression *e)
{
    size_t length = 0;
    while (g_ascii_isalnum(e->at[length]) || e->at[length] == '_')
        length++;
    g_autofree char *name = g_strndup(e->at, length);
    const char *value = e->values ? g_hash_table_lookup(e->values, name) : NULL;
    e->at += length;
    if (value)
        return value;
    guint count = 0;
    g_autofree const char **names =
        e->values ? (const char **)g_hash_table_get_keys_as_array(e->values, &count) : NULL;
    const char *nearest = count ? topology_nearest(name, names, count) : NULL;
    if (!length)
        fail(e, "behind \"student.\" comes the name of a column of the class list, like ${student.name}");
    else if (nearest)
        fail(e, "\"student.%s\" has no value; did you mean \"student.%s\"?", name, nearest);
    else
        fail(
            e,
            "\"student.%s\" has no value; it comes from the column \"%s\" of the class list (netlab up --for "
            "FILE), else from \"student: {%s: …}\" in the topology",
            name, name, name);
    return NULL;
}

static int64_t read_number(struct expression *e, const char *text, const char *what)
{
    gint64 number;
    if (g_ascii_string_to_signed(text, 10, -G_MAXINT64, G_MAXINT64, &number, NULL))
        return number;
    return fail(e, "%s is \"%s\", which is no number to reckon with", what, text);
}

static int64_t read_sum(struct expression *e);

static int64_t read_atom(struct expression *e)
{
    skip_blanks(e);
    if (*e->at == '(') {
        if (++e->depth > PARENTHESES_MOST)
            return fail(e, "more than %d parentheses within each other", PARENTHESES_MOST);
        e->at++;
        int64_t value = read_sum(e);
        skip_blanks(e);
        if (*e->at != ')')
            return fail(e, "a \")\" is missing");
        e->at++;
        e->depth--;
        return value;
    }
    if (g_str_has_prefix(e->at, VARIABLE)) {
        const char *name = e->at;
        e->at += strlen(VARIABLE);
        const char *value = read_variable(e);
        g_autofree char *what = g_strndup(name, (gsize)(e->at - name));
        return value ? read_number(e, value, what) : 0;
    }
    size_t length = strspn(e->at, "0123456789");
    if (!length)
        return fail(e, "a number or student.NAME belongs where \"%.10s\" stands", e->at);
    g_autofree char *digits = g_strndup(e->at, length);
    e->at += length;
    return read_number(e, digits, "it");
}

/* C's division; never by zero, and never what overflows. */
static int64_t reckon(struct expression *e, int64_t left, char sign, int64_t right)
{
    int64_t value = 0;
    bool overflows = false;
    if (e->why)
        return 0;
    if ((sign == '/' || sign == '%') && right == 0)
        return fail(e, "division by zero");
    if (sign == '+')
        overflows = __builtin_add_overflow(left, right, &value);
    else if (sign == '-')
        overflows = __builtin_sub_overflow(left, right, &value);
    else if (sign == '*')
        overflows = __builtin_mul_overflow(left, right, &value);
    else if (right == -1)
        overflows = sign == '/' && __builtin_sub_overflow((int64_t)0, left, &value);
    else
        value = sign == '/' ? left / right : left % right;
    return overflows ? fail(e, "the number becomes too large") : value;
}

static int64_t read_product(struct expression *e)
{
    int64_t value = read_atom(e);
    for (;;) {
        skip_blanks(e);
        if (e->why || !*e->at || !strchr("*/%", *e->at))
            return value;
        char sign = *e->at++;
        value = reckon(e, value, sign, read_atom(e));
    }
}

static int64_t read_sum(struct expression *e)
{
    int64_t value = read_product(e);
    for (;;) {
        skip_blanks(e);
        if (e->why || !*e->at || !strchr("+-", *e->at))
            return value;
        char sign = *e->at++;
        value = reckon(e, value, sign, read_product(e));
    }
}

/* From behind "${" on; leaves e->at behind the "}". */
static void expand_one(struct expression *e, GString *out)
{
    const char *begin = e->at;
    e->at += strlen(VARIABLE);
    const char *value = read_variable(e);
    if (!value)
        return;
    skip_blanks(e);
    if (*e->at == '}') {
        g_string_append(out, value);
    } else {
        e->at = begin;
        int64_t number = read_sum(e);
        if (!e->why && *e->at != '}')
            fail(e, "\"}\" is missing behind \"${%.*s\"", (int)MIN(e->at - begin, 40), begin);
        g_string_append_printf(out, "%" PRId64, number);
    }
    e->at += !e->why;
    if (out->len > TEXT_MOST)
        fail(e, "longer than 1 MiB when its variables are replaced");
}

char *topology_expand(const char *text, GHashTable *values, char **why)
{
    GString *out = g_string_new(NULL);
    struct expression e = {.at = text, .values = values};
    *why = NULL;
    while (*e.at && !e.why) {
        if (g_str_has_prefix(e.at, "$" BEGINNING)) {
            g_string_append(out, BEGINNING);
            e.at += strlen("$" BEGINNING);
        } else if (g_str_has_prefix(e.at, BEGINNING)) {
            e.at += 2;
            e.depth = 0;
            expand_one(&e, out);
        } else {
            g_string_append_c(out, *e.at++);
        }
    }
    *why = e.why;
    return g_string_free(out, e.why != NULL);
}

char *topology_copy_document(const char *name, GHashTable *values)
{
    g_autoptr(JsonObject) object = json_object_new();
    JsonObject *student = json_object_new();
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(values), (GCompareFunc)g_strcmp0);
    if (name)
        json_object_set_string_member(object, "name", name);
    for (GList *key = keys; key; key = key->next)
        json_object_set_string_member(student, key->data, g_hash_table_lookup(values, key->data));
    json_object_set_object_member(object, "student", student);
    g_autoptr(JsonNode) root = json_node_init_object(json_node_alloc(), object);
    g_autofree char *text = json_to_string(root, FALSE);
    return g_strconcat(COPY_DOCUMENT, text, "\n", NULL);
}

const char *topology_find_copy_document(const char *source)
{
    const char *found = NULL;
    for (const char *at = source; (at = strstr(at, COPY_DOCUMENT)); at++)
        found = at;
    return found;
}
