/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A class list: who gets a copy of a lab (`netlab up --for students.csv`).
 *
 * CSV as RFC 4180 has it, in UTF-8, with a header line; what spreadsheets make of it is read as well: a byte
 * order mark, either end of line, semicolons or tabs between the fields, Excel's "sep=;" line, empty rows.
 * The column `student` is required: the id of each student. All columns are variables in the topology
 * (`${student.name}`); `seed`, where there is one, must be a number. All mistakes of a file are collected,
 * each with file:line:column, as for topologies.
 *
 * Bounds: 1 MiB, ROSTER_STUDENTS_MOST rows, ROSTER_COLUMNS_MOST columns, ROSTER_FIELD_MOST bytes a field.
 */
#pragma once

#include "netlab/topology.h"

enum { ROSTER_STUDENTS_MOST = 1000, ROSTER_COLUMNS_MOST = 64, ROSTER_FIELD_MOST = 1000, ROSTER_ID_MOST = 30 };

struct roster_student {
    char *id; /* letters, digits, - and _; the first is a letter or digit */
    struct topology_mark mark;
    GHashTable *values; /* column → text (char *, char *); without empty ones */
};

struct roster {
    char *file;          /* absolute */
    GPtrArray *columns;  /* char *, in the order of the file, as variables are called: "first_name" */
    GPtrArray *students; /* struct roster_student *, in the order of the file */
};

/* `shown` names the file in messages, `file` is its absolute path. NULL with a TOPOLOGY_ERROR that has all
 * complaints. Owned by the caller. */
struct roster *roster_parse(const char *file, const char *shown, const char *text, size_t length,
                            GError **error);
/* The same from a file (at most 1 MiB), which is read with the rights of who called sudo. */
struct roster *roster_load_file(const char *path, GError **error);
void roster_free(struct roster *roster);
/* NULL: no such student. */
struct roster_student *roster_find(const struct roster *roster, const char *id);

static inline void roster_cleanup(struct roster **roster)
{
    roster_free(*roster);
}
#define roster_auto __attribute__((cleanup(roster_cleanup)))
