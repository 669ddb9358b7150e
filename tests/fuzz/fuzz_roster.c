/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes class lists and variables of students: whatever the bytes, there is a list whose ids are fit for
 * names, or complaints with their places, never both; and what is expanded is text or a reason.
 */
#include "netlab/roster.h"
#include "netlab/topology_student.h"

#include <string.h>

#include "tests/fuzz/fuzz_main.h"

static void check_student(const struct roster *roster, guint index)
{
    const struct roster_student *student = roster->students->pdata[index];
    size_t length = student->id ? strlen(student->id) : 0;
    if (!length || length > ROSTER_ID_MOST || !g_ascii_isalnum(student->id[0]) || !student->mark.line)
        __builtin_trap();
    if (strspn(student->id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != length)
        __builtin_trap();
    if (roster_find(roster, student->id) != student)
        __builtin_trap();
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, student->values);
    while (g_hash_table_iter_next(&iter, &key, &value))
        if (!*(char *)key || !*(char *)value || strpbrk(value, "\r\n") || !g_utf8_validate(value, -1, NULL))
            __builtin_trap();
    g_autofree char *document = topology_copy_document("x", student->values);
    if (topology_find_copy_document(document) != document)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    roster_auto struct roster *roster = roster_parse("/x/c.csv", "c.csv", (const char *)data, size, &error);
    if ((roster != NULL) == (error != NULL))
        __builtin_trap();
    if (error && !g_str_has_prefix(error->message, "c.csv:"))
        __builtin_trap();
    if (roster && (!roster->students->len || roster->students->len > ROSTER_STUDENTS_MOST))
        __builtin_trap();
    for (guint i = 0; roster && i < roster->students->len; i++)
        check_student(roster, i);
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GHashTable) values = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(values, "seed", "12345");
    g_autofree char *why = NULL;
    g_autofree char *expanded = topology_expand(text, values, &why);
    if ((expanded != NULL) == (why != NULL))
        __builtin_trap();
    return 0;
}

FUZZ_MAIN(500, 200)
