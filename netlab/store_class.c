/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Classes and their members in the store; store.h has the contract.
 */
#include "netlab/fault.h"
#include "netlab/store_internal.h"

static const char reading[] = "reading the classes", writing[] = "writing the class";

void store_class_free(struct store_class *class)
{
    if (!class)
        return;
    g_free(class->lab);
    g_free(class->file);
    g_free(class->roster);
    g_free(class->source);
    g_free(class->cgroup);
    g_free(class);
}

void store_member_free(struct store_member *member)
{
    if (!member)
        return;
    g_free(member->student);
    g_free(member->lab);
    g_free(member->document);
    g_free(member->name);
    g_free(member->email);
    g_free(member);
}

#define CLASS_COLUMNS                                                                                        \
    "class.id, class.lab, class.file, class.roster, class.source, class.memory, class.cpu, class.cgroup"

static struct store_class *read_class(sqlite3_stmt *row)
{
    struct store_class *class = g_new0(struct store_class, 1);
    *class = (struct store_class){.id = sqlite3_column_int64(row, 0),
                                  .lab = store_column_text(row, 1),
                                  .file = store_column_text(row, 2),
                                  .roster = store_column_text(row, 3),
                                  .source = store_column_text(row, 4),
                                  .memory = (unsigned)sqlite3_column_int64(row, 5),
                                  .cpu = (unsigned)sqlite3_column_int64(row, 6),
                                  .cgroup = store_column_text(row, 7)};
    return class;
}

GPtrArray *store_list_classes(struct store *store, GError **error)
{
    sqlite3_stmt *row =
        store_query(store, reading, error, "SELECT " CLASS_COLUMNS " FROM class ORDER BY lab, roster", "");
    if (!row)
        return NULL;
    g_autoptr(GPtrArray) classes = g_ptr_array_new_with_free_func((GDestroyNotify)store_class_free);
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW)
        g_ptr_array_add(classes, read_class(row));
    return store_finish(store, row, rc, reading, error) ? g_steal_pointer(&classes) : NULL;
}

struct store_class *store_find_class_of(struct store *store, const char *lab, GError **error)
{
    sqlite3_stmt *row = store_query(
        store, reading, error,
        "SELECT " CLASS_COLUMNS " FROM class JOIN member ON member.class_id = class.id WHERE member.lab = ?",
        "s", lab);
    if (!row)
        return NULL;
    int rc = sqlite3_step(row);
    g_autoptr(store_class) class = rc == SQLITE_ROW ? read_class(row) : NULL;
    bool good = store_finish(store, row, rc == SQLITE_ROW ? SQLITE_DONE : rc, reading, error);
    return good ? g_steal_pointer(&class) : NULL;
}

GPtrArray *store_list_members(struct store *store, int64_t class, GError **error)
{
    sqlite3_stmt *row =
        store_query(store, reading, error,
                    "SELECT id, class_id, student, lab, document, name, email, rank FROM member "
                    "WHERE ? IN (0, class_id) ORDER BY class_id, rank, id",
                    "i", class);
    if (!row)
        return NULL;
    g_autoptr(GPtrArray) members = g_ptr_array_new_with_free_func((GDestroyNotify)store_member_free);
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        struct store_member *member = g_new0(struct store_member, 1);
        *member = (struct store_member){.id = sqlite3_column_int64(row, 0),
                                        .class_id = sqlite3_column_int64(row, 1),
                                        .student = store_column_text(row, 2),
                                        .lab = store_column_text(row, 3),
                                        .document = store_column_text(row, 4),
                                        .name = store_column_text(row, 5),
                                        .email = store_column_text(row, 6),
                                        .rank = (unsigned)sqlite3_column_int64(row, 7)};
        g_ptr_array_add(members, member);
    }
    return store_finish(store, row, rc, reading, error) ? g_steal_pointer(&members) : NULL;
}

static bool put_member(struct store *store, int64_t class, const struct store_member *member, GError **error)
{
    return store_run_sql(
        store, writing, error,
        "INSERT INTO member (class_id, student, lab, document, name, email, rank) VALUES (?, ?, ?, ?, ?, "
        "?, ?) ON CONFLICT (class_id, student) DO UPDATE SET document = excluded.document, name = "
        "excluded.name, email = excluded.email, rank = excluded.rank",
        "isssssi", class, member->student, member->lab, member->document, member->name, member->email,
        (int64_t)member->rank);
}

bool store_put_class(struct store *store, struct store_class *class, GPtrArray *members, GError **error)
{
    fault_point();
    bool good =
        store_begin(store, writing, error) &&
        store_run_sql(store, writing, error,
                      "INSERT INTO class (lab, file, roster, source, memory, cpu, cgroup) VALUES (?, ?, ?, "
                      "?, ?, ?, ?) ON "
                      "CONFLICT (lab, roster) DO UPDATE SET file = excluded.file, source = excluded.source, "
                      "memory = excluded.memory, cpu = excluded.cpu, cgroup = excluded.cgroup",
                      "ssssiis", class->lab, class->file, class->roster, class->source,
                      (int64_t) class->memory, (int64_t) class->cpu, class->cgroup);
    sqlite3_stmt *row =
        good ? store_query(store, writing, error, "SELECT id FROM class WHERE lab = ? AND roster = ?", "ss",
                           class->lab, class->roster)
             : NULL;
    good = row != NULL;
    if (row) {
        if (sqlite3_step(row) == SQLITE_ROW)
            class->id = sqlite3_column_int64(row, 0);
        sqlite3_finalize(row);
    }
    for (guint i = 0; good && i < members->len; i++)
        good = put_member(store, class->id, members->pdata[i], error);
    good = store_end(store, good, writing, error);
    fault_point();
    return good;
}

bool store_delete_member(struct store *store, const char *lab, GError **error)
{
    fault_point();
    bool good = store_begin(store, writing, error) &&
                store_run_sql(store, writing, error, "DELETE FROM member WHERE lab = ?", "s", lab) &&
                store_run_sql(store, writing, error,
                              "DELETE FROM class WHERE id NOT IN (SELECT class_id FROM member)", "");
    good = store_end(store, good, writing, error);
    fault_point();
    return good;
}
