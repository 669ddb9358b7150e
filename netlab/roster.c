/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Class lists; see roster.h.
 *
 * One pass: next_field() takes a field and says what ended it; rows are put together from that, the first
 * one names the columns. Line and column of a complaint are those of the field, in characters.
 */
#include "netlab/roster.h"
#include "netlab/topology_parse.h"

#include <stdlib.h>
#include <string.h>

enum { SEED_MOST = G_MAXINT32 };

struct field {
    char *text;
    struct topology_mark mark;
    bool is_quoted;
};

struct reader {
    const char *at, *end;
    unsigned line, column; /* of `at` */
    char separator;
    struct topology_report *report;
    bool is_broken; /* the rest cannot be told apart */
};

static void field_free(void *data)
{
    struct field *field = data;
    g_free(field->text);
    g_free(field);
}

static struct topology_mark here(const struct reader *r)
{
    return (struct topology_mark){r->line, r->column};
}

/* One character on; what ends a line counts as one. */
static void step(struct reader *r)
{
    if (*r->at == '\r' && r->at + 1 < r->end && r->at[1] == '\n')
        r->at++;
    bool ends_line = *r->at == '\n' || *r->at == '\r';
    r->at = g_utf8_next_char(r->at);
    r->column = ends_line ? 1 : r->column + 1;
    r->line += ends_line;
}

static bool at_line_end(const struct reader *r)
{
    return r->at >= r->end || *r->at == '\n' || *r->at == '\r';
}

static bool at_field_end(const struct reader *r)
{
    return at_line_end(r) || *r->at == r->separator;
}

static void read_quoted(struct reader *r, struct field *field, GString *text)
{
    field->is_quoted = true;
    for (step(r); r->at < r->end; step(r)) {
        if (*r->at == '"' && r->at + 1 < r->end && r->at[1] == '"')
            step(r);
        else if (*r->at == '"')
            break;
        g_string_append_len(text, r->at, g_utf8_next_char(r->at) - r->at);
    }
    if (r->at >= r->end) {
        topology_complain(r->report, field->mark,
                          "this quotation mark is never closed; put another at the end of the field, and "
                          "write one that belongs to the text twice");
        r->is_broken = true;
        return;
    }
    step(r);
    while (!at_field_end(r) && *r->at == ' ')
        step(r);
    if (at_field_end(r))
        return;
    topology_complain(
        r->report, here(r),
        "text goes on behind the closing quotation mark; write one that belongs to the text twice");
    while (!at_field_end(r))
        step(r);
}

static struct field *next_field(struct reader *r)
{
    struct field *field = g_new0(struct field, 1);
    GString *text = g_string_new(NULL);
    while (!at_field_end(r) && *r->at == ' ')
        step(r);
    field->mark = here(r);
    if (!at_field_end(r) && *r->at == '"')
        read_quoted(r, field, text);
    else
        for (; !at_field_end(r); step(r))
            g_string_append_len(text, r->at, g_utf8_next_char(r->at) - r->at);
    field->text = g_strstrip(g_string_free(text, FALSE));
    return field;
}

/* GPtrArray of struct field *; at least one. */
static GPtrArray *next_row(struct reader *r)
{
    GPtrArray *row = g_ptr_array_new_with_free_func(field_free);
    for (;;) {
        g_ptr_array_add(row, next_field(r));
        if (at_line_end(r) || r->is_broken)
            break;
        step(r); /* the separator */
    }
    if (r->at < r->end && !r->is_broken)
        step(r);
    return row;
}

static bool is_empty(const GPtrArray *row)
{
    for (guint i = 0; i < row->len; i++)
        if (*((struct field *)row->pdata[i])->text)
            return false;
    return true;
}

/* ---- the bytes ---- */

/* Comma unless the header has none outside of quotation marks and semicolons or tabs instead; Excel's first
 * line "sep=;" says it. */
static void choose_separator(struct reader *r)
{
    size_t left = (size_t)(r->end - r->at);
    if (left >= 5 && strncmp(r->at, "sep=", 4) == 0 && strchr(",;\t", r->at[4]) &&
        (left == 5 || r->at[5] == '\r' || r->at[5] == '\n')) {
        r->separator = r->at[4];
        while (!at_line_end(r))
            step(r);
        if (r->at < r->end)
            step(r);
        return;
    }
    unsigned commas = 0, semicolons = 0, tabs = 0;
    bool quoted = false;
    for (const char *c = r->at; c < r->end && (quoted || (*c != '\n' && *c != '\r')); c++) {
        quoted ^= *c == '"';
        commas += !quoted && *c == ',';
        semicolons += !quoted && *c == ';';
        tabs += !quoted && *c == '\t';
    }
    r->separator = commas ? ',' : semicolons ? ';' : tabs ? '\t' : ',';
}

static bool check_bytes(struct topology_report *report, const char *text, size_t length)
{
    if (length >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
        topology_complain(report, (struct topology_mark){1, 1},
                          "this is UTF-16; save it from the spreadsheet as \"CSV UTF-8\"");
        return false;
    }
    const char *bad;
    if (g_utf8_validate(text, (gssize)length, &bad))
        return true;
    struct topology_mark mark = {1, 1};
    for (const char *c = text; c < bad; c = g_utf8_next_char(c)) {
        mark.column = *c == '\n' ? 1 : mark.column + 1;
        mark.line += *c == '\n';
    }
    report->show_source = false; /* it could not be shown */
    topology_complain(report, mark, "the byte 0x%02x is no UTF-8; save the file as \"CSV UTF-8\"",
                      (unsigned char)*bad);
    return false;
}

/* ---- header and rows ---- */

/* As variables are called: small letters, digits, and _ for all else. */
static char *variable_name(const char *text)
{
    GString *name = g_string_new(NULL);
    for (const char *c = text; *c; c = g_utf8_next_char(c))
        g_string_append_c(name, g_ascii_isalnum(*c) ? g_ascii_tolower(*c) : '_');
    return g_string_free(name, FALSE);
}

static bool has_column(const GPtrArray *columns, const char *name)
{
    for (guint i = 0; i < columns->len; i++)
        if (g_str_equal(columns->pdata[i], name))
            return true;
    return false;
}

/* False: rows cannot be read by it. */
static bool read_header(struct reader *r, GPtrArray *row, struct roster *roster)
{
    g_autoptr(GString) all = g_string_new(NULL);
    if (row->len > ROSTER_COLUMNS_MOST) {
        topology_complain(r->report, ((struct field *)row->pdata[ROSTER_COLUMNS_MOST])->mark,
                          "more than %d columns; leave out those that the lab does not need",
                          ROSTER_COLUMNS_MOST);
        return false;
    }
    bool good = true;
    for (guint i = 0; i < row->len; i++) {
        const struct field *field = row->pdata[i];
        char *name = variable_name(field->text);
        if (*name && has_column(roster->columns, name)) {
            topology_complain(r->report, field->mark,
                              "there are two columns \"%s\"; call one of them something else", name);
            good = false;
        } else if (*name) {
            g_string_append_printf(all, "%s%s", all->len ? ", " : "", name);
        }
        g_ptr_array_add(roster->columns, name);
    }
    if (has_column(roster->columns, "student"))
        return good;
    const char *nearest =
        topology_nearest("student", (const char *const *)roster->columns->pdata, roster->columns->len);
    topology_complain(
        r->report, ((struct field *)row->pdata[0])->mark,
        "the first line names the columns, and \"student\" (the ids) must be one; there %s %s%s%s",
        roster->columns->len == 1 ? "is" : "are", all->len ? all->str : "none", nearest ? "; rename " : "",
        nearest ? nearest : "");
    return false;
}

static bool is_id(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!g_ascii_isalnum(*c) && (c == text || !strchr("-_", *c)))
            return false;
    return *text && strlen(text) <= ROSTER_ID_MOST;
}

static void check_id(struct reader *r, const struct roster *roster, const struct field *field)
{
    if (!*field->text) {
        topology_complain(r->report, field->mark, "the student's id is missing");
        return;
    }
    if (!is_id(field->text)) {
        topology_complain(
            r->report, field->mark,
            "\"%s\" is no id: letters, digits, - and _, at most %d, the first a letter or digit "
            "(put names into a column of their own)",
            field->text, ROSTER_ID_MOST);
        return;
    }
    for (guint i = 0; i < roster->students->len; i++) {
        const struct roster_student *other = roster->students->pdata[i];
        if (other->id && g_ascii_strcasecmp(other->id, field->text) == 0) {
            topology_complain(r->report, field->mark, "student %s is there already, in line %u%s",
                              field->text, other->mark.line,
                              g_str_equal(other->id, field->text) ? "" : " (ids differ in more than case)");
            return;
        }
    }
}

/* A value must fit into a line of a topology. */
static bool check_value(struct reader *r, const struct field *field, const char *column)
{
    if (strlen(field->text) > ROSTER_FIELD_MOST) {
        topology_complain(r->report, field->mark, "longer than %d bytes", ROSTER_FIELD_MOST);
        return false;
    }
    for (const char *c = field->text; *c; c = g_utf8_next_char(c)) {
        if (g_unichar_iscntrl(g_utf8_get_char(c))) {
            topology_complain(
                r->report, field->mark,
                "the field \"%s\" has a line break or another control character in it; remove it", column);
            return false;
        }
    }
    guint64 number;
    if (g_str_equal(column, "seed") && *field->text &&
        !g_ascii_string_to_unsigned(field->text, 10, 1, SEED_MOST, &number, NULL)) {
        topology_complain(r->report, field->mark,
                          "\"%s\" is no seed; give a number from 1 to %d, or leave the field empty",
                          field->text, SEED_MOST);
        return false;
    }
    return true;
}

static void student_free(void *data)
{
    struct roster_student *student = data;
    g_free(student->id);
    g_hash_table_unref(student->values);
    g_free(student);
}

static void read_student(struct reader *r, GPtrArray *row, struct roster *roster)
{
    guint filled = row->len;
    while (filled > roster->columns->len && !*((struct field *)row->pdata[filled - 1])->text)
        filled--;
    if (filled != roster->columns->len) {
        topology_complain(r->report, ((struct field *)row->pdata[0])->mark,
                          "%u field%s, and the header has %u; quote fields that contain a \"%s\"", filled,
                          filled == 1 ? "" : "s", roster->columns->len,
                          r->separator == '\t' ? "tab" : (char[]){r->separator, 0});
        return;
    }
    struct roster_student *student = g_new0(struct roster_student, 1);
    student->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (guint i = 0; i < roster->columns->len; i++) {
        const struct field *field = row->pdata[i];
        const char *column = roster->columns->pdata[i];
        if (!*column && *field->text)
            topology_complain(r->report, field->mark,
                              "this field's column has no name; give it one in the first line");
        if (!*column || !check_value(r, field, column))
            continue;
        if (g_str_equal(column, "student")) {
            check_id(r, roster, field);
            student->id = g_strdup(field->text);
            student->mark = field->mark;
        }
        if (*field->text)
            g_hash_table_insert(student->values, g_strdup(column), g_strdup(field->text));
    }
    g_ptr_array_add(roster->students, student);
}

static void read_rows(struct reader *r, struct roster *roster)
{
    bool has_header = false;
    while (r->at < r->end && !r->is_broken) {
        struct topology_mark begin = here(r);
        g_autoptr(GPtrArray) row = next_row(r);
        if (is_empty(row) || r->is_broken)
            continue;
        if (!has_header && !read_header(r, row, roster))
            return;
        if (has_header && roster->students->len == ROSTER_STUDENTS_MOST) {
            topology_complain(r->report, begin, "more than %d students; split the list",
                              ROSTER_STUDENTS_MOST);
            return;
        }
        if (has_header)
            read_student(r, row, roster);
        has_header = true;
    }
    if (!roster->students->len && !r->is_broken && !r->report->complaints->len)
        topology_complain(r->report, here(r),
                          "there is no student in it; below \"student,name\" put \"anna,Anna Berg\"");
}

struct roster *roster_parse(const char *file, const char *shown, const char *text, size_t length,
                            GError **error)
{
    bool has_nul = memchr(text, 0, length) != NULL;
    g_autofree char *copy = g_strndup(text, has_nul ? strlen(text) : length);
    topology_report_auto struct topology_report *report = topology_report_new(shown, copy);
    report->show_source = true;
    struct roster *roster = g_new0(struct roster, 1);
    roster->file = g_strdup(file);
    roster->columns = g_ptr_array_new_with_free_func(g_free);
    roster->students = g_ptr_array_new_with_free_func(student_free);
    struct reader r = {.at = text, .end = text + length, .line = 1, .column = 1, .report = report};
    if (check_bytes(report, text, length)) {
        if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
            r.at += 3;
        choose_separator(&r);
        read_rows(&r, roster);
    }
    if (topology_report_ok(report, error))
        return roster;
    roster_free(roster);
    return NULL;
}

struct roster *roster_load_file(const char *path, GError **error)
{
    g_autofree char *absolute = realpath(path, NULL), *text = NULL;
    size_t length;
    if (!topology_read_file(path, "class list", "name a CSV file with a column \"student\"", &text, &length,
                            error))
        return NULL;
    return roster_parse(absolute ? absolute : path, path, text, length, error);
}

void roster_free(struct roster *roster)
{
    if (!roster)
        return;
    g_free(roster->file);
    g_ptr_array_unref(roster->columns);
    g_ptr_array_unref(roster->students);
    g_free(roster);
}

struct roster_student *roster_find(const struct roster *roster, const char *id)
{
    for (guint i = 0; i < roster->students->len; i++) {
        struct roster_student *student = roster->students->pdata[i];
        if (g_str_equal(student->id, id))
            return student;
    }
    return NULL;
}
