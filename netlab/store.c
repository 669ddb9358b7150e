/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The store, in SQLite; see store.h for the contract. Classes have a file of their own, store_class.c.
 *
 * Every statement is prepared where it is used and finalised there; those that a group of steps repeats are
 * prepared once for the group (struct repeated). Parameters are bound by a little format string (bind()),
 * columns copied out.
 *
 * Migrations: user_version says which version the file is of. migrations[] holds the step from each version
 * to the next; all that are missing run in one transaction. A file of a higher version is refused untouched.
 */
#include "netlab/store_internal.h"
#include "netlab/caller.h"
#include "netlab/fault.h"

#include <assert.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

G_DEFINE_QUARK(netlab - store - error - quark, store_error)

static const char schema_1[] = {
#include "netlab/schema_sql.h"
};

/* Leases of interfaces outside of labs; store.h says what the columns hold. */
static const char schema_2[] = "CREATE TABLE lease ("
                               " id         INTEGER PRIMARY KEY,"
                               " boot_id    TEXT    NOT NULL,"
                               " netns      INTEGER NOT NULL,"
                               " interface  TEXT    NOT NULL,"
                               " link       TEXT    NOT NULL,"
                               " runner     TEXT    NOT NULL,"
                               " settings   TEXT    NOT NULL,"
                               " lease      TEXT    NOT NULL,"
                               " applied    TEXT    NOT NULL,"
                               " state      TEXT    NOT NULL CHECK (state IN ('requesting', 'bound')),"
                               " changed_at INTEGER NOT NULL,"
                               " UNIQUE (boot_id, netns, interface)"
                               ") STRICT;";

/* What `netlab host` has made. */
static const char schema_3[] =
    "CREATE TABLE host_object ("
    " id       INTEGER PRIMARY KEY,"
    " boot_id  TEXT    NOT NULL,"
    " netns    INTEGER NOT NULL,"
    " kind     TEXT    NOT NULL,"
    " name     TEXT    NOT NULL,"
    " identity TEXT    NOT NULL,"
    " detail   TEXT    NOT NULL,"
    " state    TEXT    NOT NULL CHECK (state IN ('making', 'present', 'removing')),"
    " UNIQUE (boot_id, netns, kind, name)"
    ") STRICT;";

/* Classes: whose copies of a lab there are (store.h). */
static const char schema_4[] = "CREATE TABLE class ("
                               " id         INTEGER PRIMARY KEY,"
                               " lab        TEXT    NOT NULL,"
                               " file       TEXT    NOT NULL,"
                               " roster     TEXT    NOT NULL,"
                               " source     TEXT    NOT NULL,"
                               " memory     INTEGER NOT NULL,"
                               " cpu        INTEGER NOT NULL,"
                               " cgroup     TEXT    NOT NULL,"
                               " UNIQUE (lab, roster)"
                               ") STRICT;"
                               "CREATE TABLE member ("
                               " id       INTEGER PRIMARY KEY,"
                               " class_id INTEGER NOT NULL REFERENCES class (id) ON DELETE CASCADE,"
                               " student  TEXT    NOT NULL,"
                               " lab      TEXT    NOT NULL UNIQUE,"
                               " document TEXT    NOT NULL,"
                               " name     TEXT    NOT NULL,"
                               " email    TEXT    NOT NULL,"
                               " rank     INTEGER NOT NULL,"
                               " UNIQUE (class_id, student)"
                               ") STRICT;";

static const char *const migrations[] = {schema_1, schema_2, schema_3, schema_4};
static_assert(G_N_ELEMENTS(migrations) == STORE_VERSION, "one migration for each version");

static const char *const object_states[STORE_OBJECT_STATES] = {
    [STORE_MAKING] = "making", [STORE_PRESENT] = "present", [STORE_REMOVING] = "removing"};

enum { BUSY_TIMEOUT_MS = 10000 };

static void set_damaged(const struct store *store, const char *doing, const char *reason, GError **error)
{
    g_set_error(
        error, STORE_ERROR, STORE_ERROR_DAMAGED,
        "%s: %s is damaged (%s); `netlab repair` moves it away and takes down, by their marks, the labs it "
        "knew",
        doing, store->path, reason);
}

/* The errno of the call that failed; 0: not known. What the connection remembers is the errno of when it
 * looks, and of a COMMIT that failed none at all; the files remember their own: the log first, which is what
 * is written. */
static int system_error(const struct store *store)
{
    static const int files[] = {SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        sqlite3_file *file = NULL;
        int cause = 0;
        if (sqlite3_file_control(store->db, "main", files[i], &file) == SQLITE_OK && file && file->pMethods &&
            file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &cause) == SQLITE_OK && cause)
            return cause;
    }
    return sqlite3_system_errno(store->db);
}

static void set_sqlite_error(const struct store *store, int rc, const char *doing, GError **error)
{
    const char *reason = sqlite3_errmsg(store->db);
    int cause;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        g_set_error(error, STORE_ERROR, STORE_ERROR_FULL,
                    "%s: the disk that holds %s is full; make room there and try again", doing, store->path);
        return;
    case SQLITE_IOERR:
        cause = system_error(store);
        g_set_error(error, STORE_ERROR, STORE_ERROR_FULL,
                    "%s: writing %s failed (%s%s%s); check the disk and its free space", doing, store->path,
                    reason, cause ? ", " : "", cause ? g_strerror(cause) : "");
        return;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        g_set_error(error, STORE_ERROR, STORE_ERROR_BUSY,
                    "%s: another netlab has kept %s locked for %d s; try again when it has finished", doing,
                    store->path, BUSY_TIMEOUT_MS / 1000);
        return;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        g_set_error(
            error, STORE_ERROR, STORE_ERROR_ACCESS,
            "%s: %s cannot be opened for writing (%s); check its owner and mode, or set NETLAB_STATE_DIR",
            doing, store->path, reason);
        return;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        set_damaged(store, doing, reason, error);
        return;
    default:
        g_set_error(error, STORE_ERROR, STORE_ERROR_FAILED, "%s: %s: %s", doing, store->path, reason);
        return;
    }
}

/* Format: i int64_t, s const char * (NULL is NULL). */
static void bind(sqlite3_stmt *statement, const char *format, va_list arguments)
{
    for (int i = 0; format[i]; i++) {
        if (format[i] == 'i')
            sqlite3_bind_int64(statement, i + 1, va_arg(arguments, int64_t));
        else
            sqlite3_bind_text(statement, i + 1, va_arg(arguments, const char *), -1, SQLITE_TRANSIENT);
    }
}

static sqlite3_stmt *prepare(struct store *store, const char *doing, GError **error, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    if (rc != SQLITE_OK)
        set_sqlite_error(store, rc, doing, error);
    return statement;
}

/* Runs a statement that returns no rows. */
bool store_run_sql(struct store *store, const char *doing, GError **error, const char *sql,
                   const char *format, ...)
{
    sqlite3_stmt *statement = prepare(store, doing, error, sql);
    if (!statement)
        return false;
    va_list arguments;
    va_start(arguments, format);
    bind(statement, format, arguments);
    va_end(arguments);
    /* Outside of a transaction each statement is one of its own. */
    int rc =
        sqlite3_get_autocommit(store->db) && fault_disk_is_full() ? SQLITE_FULL : sqlite3_step(statement);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        set_sqlite_error(store, rc, doing, error);
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE || rc == SQLITE_ROW;
}

/* A statement that returns rows, bound and ready for sqlite3_step(). */
sqlite3_stmt *store_query(struct store *store, const char *doing, GError **error, const char *sql,
                          const char *format, ...)
{
    sqlite3_stmt *statement = prepare(store, doing, error, sql);
    if (!statement)
        return NULL;
    va_list arguments;
    va_start(arguments, format);
    bind(statement, format, arguments);
    va_end(arguments);
    return statement;
}

bool store_begin(struct store *store, const char *doing, GError **error)
{
    return store_run_sql(store, doing, error, "BEGIN IMMEDIATE", "");
}

/* Commits when `good`, rolls back otherwise; true when all went well. */
bool store_end(struct store *store, bool good, const char *doing, GError **error)
{
    if (good && store_run_sql(store, doing, error, "COMMIT", ""))
        return true;
    if (!sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return false;
}

bool store_finish(struct store *store, sqlite3_stmt *row, int rc, const char *doing, GError **error)
{
    if (rc != SQLITE_DONE)
        set_sqlite_error(store, rc, doing, error);
    sqlite3_finalize(row);
    return rc == SQLITE_DONE;
}

char *store_column_text(sqlite3_stmt *row, int column)
{
    return g_strdup((const char *)sqlite3_column_text(row, column));
}

static int64_t now_seconds(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

static int64_t now_milliseconds(void)
{
    return g_get_real_time() / 1000;
}

/* ---- opening ---- */

static bool read_version(struct store *store, int64_t *version, GError **error)
{
    sqlite3_stmt *row = store_query(store, "opening the store", error, "PRAGMA user_version", "");
    if (!row)
        return false;
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW)
        *version = sqlite3_column_int64(row, 0);
    else
        set_sqlite_error(store, rc, "opening the store", error);
    sqlite3_finalize(row);
    return rc == SQLITE_ROW;
}

static bool check_version(struct store *store, int64_t *version, GError **error)
{
    if (!read_version(store, version, error))
        return false;
    if (*version <= STORE_VERSION)
        return true;
    g_set_error(error, STORE_ERROR, STORE_ERROR_NEWER,
                "%s was written by a newer netlab (its version is %" G_GINT64_FORMAT
                ", this netlab %s knows up to %d); use that one, or set NETLAB_STATE_DIR to "
                "another directory. Nothing was changed",
                store->path, *version, NETLAB_VERSION, STORE_VERSION);
    return false;
}

static bool migrate(struct store *store, GError **error)
{
    static const char doing[] = "preparing the store";
    int64_t version = 0;
    if (!check_version(store, &version, error))
        return false;
    if (version == STORE_VERSION)
        return true;
    if (!store_begin(store, doing, error))
        return false;
    /* Another process may have done it while we waited for the lock. */
    bool good = check_version(store, &version, error);
    for (; good && version < STORE_VERSION; version++) {
        int rc = sqlite3_exec(store->db, migrations[version], NULL, NULL, NULL);
        good = rc == SQLITE_OK;
        if (!good)
            set_sqlite_error(store, rc, doing, error);
    }
    g_autofree char *set = g_strdup_printf("PRAGMA user_version = %d", STORE_VERSION);
    good = good && store_run_sql(store, doing, error, set, "");
    return store_end(store, good, doing, error);
}

static bool make_directory(const char *directory, GError **error)
{
    if (g_mkdir_with_parents(directory, 0700) == 0)
        return true;
    int cause = errno;
    g_set_error(error, STORE_ERROR,
                cause == ENOSPC || cause == EDQUOT ? STORE_ERROR_FULL : STORE_ERROR_ACCESS,
                "cannot make the state directory %s: %s; %s", directory, g_strerror(cause),
                cause == ENOSPC || cause == EDQUOT ? "make room there"
                                                   : "check the permissions, or set NETLAB_STATE_DIR");
    return false;
}

static bool trust_directory(const char *directory, GError **error)
{
    g_autoptr(GError) cause = NULL;
    if (caller_trust_folder(directory, true, "NETLAB_STATE_DIR", &cause))
        return true;
    g_set_error_literal(error, STORE_ERROR, STORE_ERROR_ACCESS, cause->message);
    return false;
}

struct store *store_open(const char *directory, GError **error)
{
    if (!make_directory(directory, error) || !trust_directory(directory, error))
        return NULL;
    struct store *store = g_new0(struct store, 1);
    store->path = g_build_filename(directory, "netlab.db", NULL);
    mode_t mask = umask(0077);
    int rc = sqlite3_open_v2(store->path, &store->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    umask(mask);
    if (!store->db) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_FAILED, "opening the store: out of memory");
        store_close(store);
        return NULL;
    }
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
    static const char settings[] =
        "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;";
    /* A store of a newer version is looked at before anything could change it: even switching to WAL would.
     */
    int64_t version = 0;
    bool good = rc == SQLITE_OK;
    if (!good)
        set_sqlite_error(store, rc, "opening the store", error);
    good = good && check_version(store, &version, error);
    if (good) {
        rc = sqlite3_exec(store->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        rc = rc == SQLITE_OK ? sqlite3_exec(store->db, settings, NULL, NULL, NULL) : rc;
        good = rc == SQLITE_OK;
        if (!good)
            set_sqlite_error(store, rc, "opening the store", error);
    }
    if (!good || !migrate(store, error)) {
        store_close(store);
        return NULL;
    }
    return store;
}

bool store_check(struct store *store, GError **error)
{
    static const char doing[] = "checking the store";
    sqlite3_stmt *row = store_query(store, doing, error, "PRAGMA quick_check(1)", "");
    if (!row)
        return false;
    int rc = sqlite3_step(row);
    const char *verdict = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(row, 0) : NULL;
    bool good = g_strcmp0(verdict, "ok") == 0;
    if (rc != SQLITE_ROW)
        set_sqlite_error(store, rc, doing, error);
    else if (!good)
        set_damaged(store, doing, verdict, error);
    sqlite3_finalize(row);
    return good;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    if (store->db)
        sqlite3_close(store->db);
    g_free(store->path);
    g_free(store);
}

/* ---- labs ---- */

void store_lab_free(struct store_lab *lab)
{
    if (!lab)
        return;
    g_free(lab->name);
    g_free(lab->file);
    g_free(lab->directory);
    g_free(lab->source);
    g_free(lab->boot_id);
    g_free(lab);
}

#define LAB_COLUMNS                                                                                          \
    "id, name, file, directory, source, boot_id, is_rootless, is_own_namespace, netns, created_at, "         \
    "changed_at"

static struct store_lab *read_lab(sqlite3_stmt *row)
{
    struct store_lab *lab = g_new0(struct store_lab, 1);
    lab->id = sqlite3_column_int64(row, 0);
    lab->name = store_column_text(row, 1);
    lab->file = store_column_text(row, 2);
    lab->directory = store_column_text(row, 3);
    lab->source = store_column_text(row, 4);
    lab->boot_id = store_column_text(row, 5);
    lab->is_rootless = sqlite3_column_int64(row, 6) != 0;
    lab->is_own_namespace = sqlite3_column_int64(row, 7) != 0;
    lab->netns = (uint64_t)sqlite3_column_int64(row, 8);
    lab->created_at = sqlite3_column_int64(row, 9);
    lab->changed_at = sqlite3_column_int64(row, 10);
    return lab;
}

static void free_lab(void *lab)
{
    store_lab_free(lab);
}

GPtrArray *store_list_labs(struct store *store, GError **error)
{
    static const char doing[] = "listing the labs";
    sqlite3_stmt *row = store_query(store, doing, error, "SELECT " LAB_COLUMNS " FROM lab ORDER BY name", "");
    if (!row)
        return NULL;
    GPtrArray *labs = g_ptr_array_new_with_free_func(free_lab);
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW)
        g_ptr_array_add(labs, read_lab(row));
    sqlite3_finalize(row);
    if (rc == SQLITE_DONE)
        return labs;
    set_sqlite_error(store, rc, doing, error);
    g_ptr_array_unref(labs);
    return NULL;
}

struct store_lab *store_find_lab(struct store *store, const char *name, GError **error)
{
    static const char doing[] = "looking up the lab";
    sqlite3_stmt *row =
        store_query(store, doing, error, "SELECT " LAB_COLUMNS " FROM lab WHERE name = ?", "s", name);
    if (!row)
        return NULL;
    int rc = sqlite3_step(row);
    struct store_lab *lab = rc == SQLITE_ROW ? read_lab(row) : NULL;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        set_sqlite_error(store, rc, doing, error);
    sqlite3_finalize(row);
    return lab;
}

bool store_add_lab(struct store *store, struct store_lab *lab, GError **error)
{
    static const char doing[] = "writing the lab into the store";
    int64_t now = now_seconds();
    bool good = store_begin(store, doing, error) &&
                store_run_sql(
                    store, doing, error,
                    "INSERT INTO lab (name, file, directory, source, boot_id, is_rootless, is_own_namespace, "
                    "netns, created_at, changed_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    "sssssiiiii", lab->name, lab->file, lab->directory, lab->source, lab->boot_id,
                    (int64_t)lab->is_rootless, (int64_t)lab->is_own_namespace, (int64_t)lab->netns, now, now);
    int64_t id = sqlite3_last_insert_rowid(store->db);
    if (!store_end(store, good, doing, error))
        return false;
    lab->id = id;
    lab->created_at = lab->changed_at = now;
    return true;
}

bool store_set_lab_netns(struct store *store, int64_t lab, uint64_t netns, bool is_new, GError **error)
{
    static const char doing[] = "writing the lab into the store";
    if (!store_begin(store, doing, error))
        return false;
    bool good =
        store_run_sql(store, doing, error, "UPDATE lab SET netns = ? WHERE id = ?", "ii", (int64_t)netns,
                      lab) &&
        (!is_new ||
         store_run_sql(store, doing, error,
                       "UPDATE object SET state = 'making' WHERE lab_id = ? AND state = "
                       "'present' AND kind NOT IN ('runtime', 'supervisor', 'policy', 'line', 'hosts', "
                       "'stopped', 'unmanaged')",
                       "i", lab));
    return store_end(store, good, doing, error);
}

bool store_delete_lab(struct store *store, int64_t lab, GError **error)
{
    return store_run_sql(store, "removing the lab from the store", error, "DELETE FROM lab WHERE id = ?", "i",
                         lab);
}

/* ---- objects ---- */

void store_object_free(struct store_object *object)
{
    if (!object)
        return;
    g_free(object->kind);
    g_free(object->key);
    g_free(object->payload);
    g_free(object->identity);
    g_free(object->note);
    g_free(object);
}

static void free_object(void *object)
{
    store_object_free(object);
}

#define OBJECT_COLUMNS "id, lab_id, kind, key, payload, state, identity, note, made_by"

static struct store_object *read_object(sqlite3_stmt *row)
{
    struct store_object *object = g_new0(struct store_object, 1);
    object->id = sqlite3_column_int64(row, 0);
    object->lab = sqlite3_column_int64(row, 1);
    object->kind = store_column_text(row, 2);
    object->key = store_column_text(row, 3);
    object->payload = store_column_text(row, 4);
    const char *state = (const char *)sqlite3_column_text(row, 5);
    for (int i = 0; i < STORE_OBJECT_STATES; i++) {
        if (g_strcmp0(state, object_states[i]) == 0)
            object->state = (enum store_object_state)i;
    }
    object->identity = store_column_text(row, 6);
    object->note = store_column_text(row, 7);
    object->made_by = sqlite3_column_int64(row, 8);
    return object;
}

GPtrArray *store_list_objects(struct store *store, int64_t lab, GError **error)
{
    static const char doing[] = "reading the lab from the store";
    sqlite3_stmt *row =
        store_query(store, doing, error,
                    "SELECT " OBJECT_COLUMNS " FROM object WHERE lab_id = ? ORDER BY made_by, id", "i", lab);
    if (!row)
        return NULL;
    GPtrArray *objects = g_ptr_array_new_with_free_func(free_object);
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW)
        g_ptr_array_add(objects, read_object(row));
    sqlite3_finalize(row);
    if (rc == SQLITE_DONE)
        return objects;
    set_sqlite_error(store, rc, doing, error);
    g_ptr_array_unref(objects);
    return NULL;
}

struct store_object *store_find_object(struct store *store, int64_t lab, const char *kind, const char *key,
                                       GError **error)
{
    static const char doing[] = "reading the lab from the store";
    sqlite3_stmt *row =
        store_query(store, doing, error,
                    "SELECT " OBJECT_COLUMNS " FROM object WHERE lab_id = ? AND kind = ? AND key = ?", "iss",
                    lab, kind, key);
    if (!row)
        return NULL;
    int rc = sqlite3_step(row);
    struct store_object *object = rc == SQLITE_ROW ? read_object(row) : NULL;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        set_sqlite_error(store, rc, doing, error);
    sqlite3_finalize(row);
    return object;
}

bool store_set_note(struct store *store, int64_t lab, const char *kind, const char *key, const char *note,
                    GError **error)
{
    return store_run_sql(store, "writing the journal", error,
                         "UPDATE object SET note = ? WHERE lab_id = ? AND kind = ? AND key = ?", "siss", note,
                         lab, kind, key);
}

/* ---- the journal ---- */

static const char journal[] = "writing the journal";

bool store_begin_run(struct store *store, int64_t lab, const char *verb, int64_t *run, GError **error)
{
    if (!store_run_sql(store, journal, error,
                       "INSERT INTO run (lab_id, verb, pid, started_at) VALUES (?, ?, ?, ?)", "isii", lab,
                       verb, (int64_t)getpid(), now_seconds()))
        return false;
    *run = sqlite3_last_insert_rowid(store->db);
    return true;
}

bool store_end_run(struct store *store, int64_t run, const char *outcome, GError **error)
{
    return store_run_sql(store, journal, error, "UPDATE run SET finished_at = ?, outcome = ? WHERE id = ?",
                         "isi", now_seconds(), outcome, run);
}

/* Only one of these two can end a run: both ask for one that has not ended, and the store decides who was
 * first. */
static bool end_open_run(struct store *store, int64_t run, const char *outcome, bool *was_open,
                         GError **error)
{
    bool good = store_run_sql(store, journal, error,
                              "UPDATE run SET finished_at = ?, outcome = ? WHERE id = ? AND outcome IS NULL",
                              "isi", now_seconds(), outcome, run);
    *was_open = good && sqlite3_changes(store->db) == 1;
    return good;
}

bool store_complete_run(struct store *store, int64_t lab, int64_t run, const char *file, const char *source,
                        GError **error)
{
    bool was_open = false;
    if (!store_begin(store, journal, error))
        return false;
    bool good = end_open_run(store, run, "done", &was_open, error);
    if (good && !was_open) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_GIVEN_UP, "the command that asked for it is gone");
        good = false;
    }
    g_autofree char *directory = file ? g_path_get_dirname(file) : NULL;
    good = good &&
           (!file ||
            store_run_sql(store, journal, error,
                          "UPDATE lab SET file = ?, directory = ?, source = ?, changed_at = ? WHERE id = ?",
                          "sssii", file, directory, source, now_seconds(), lab));
    return store_end(store, good, journal, error);
}

bool store_give_up_run(struct store *store, int64_t run, bool *is_complete, GError **error)
{
    bool was_open = false;
    *is_complete = false;
    if (!end_open_run(store, run, "given up", &was_open, error))
        return false;
    sqlite3_stmt *row =
        store_query(store, journal, error, "SELECT outcome = 'done' FROM run WHERE id = ?", "i", run);
    if (!row)
        return false;
    int rc = sqlite3_step(row);
    *is_complete = rc == SQLITE_ROW && sqlite3_column_int(row, 0) != 0;
    return store_finish(store, row, rc == SQLITE_ROW ? SQLITE_DONE : rc, journal, error);
}

/* A statement that a group of steps runs again and again. */
struct repeated {
    struct store *store;
    sqlite3_stmt *statement; /* NULL: not prepared yet */
    const char *sql;
};

static bool repeat(struct repeated *r, GError **error, const char *format, ...)
{
    if (!r->statement && !(r->statement = prepare(r->store, journal, error, r->sql)))
        return false;
    sqlite3_reset(r->statement);
    va_list arguments;
    va_start(arguments, format);
    bind(r->statement, format, arguments);
    va_end(arguments);
    int rc = sqlite3_step(r->statement);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        set_sqlite_error(r->store, rc, journal, error);
    return rc == SQLITE_DONE || rc == SQLITE_ROW;
}

static void repeated_clear(struct repeated *r)
{
    sqlite3_finalize(r->statement);
}
#define repeated_auto __attribute__((cleanup(repeated_clear))) struct repeated

bool store_intend(struct store *store, int64_t lab, int64_t run, struct store_intent *intents, unsigned count,
                  GError **error)
{
    repeated_auto
        step = {store, NULL,
                "INSERT INTO step (run_id, verb, kind, key, payload, state, at) "
                "VALUES (?, ?, ?, ?, ?, 'intent', ?)"},
        object = {store, NULL,
                  "INSERT INTO object (lab_id, kind, key, payload, state, identity, made_by) "
                  "VALUES (?, ?, ?, ?, 'making', ?, ?)"},
        again = {store, NULL,
                 "INSERT INTO object (lab_id, kind, key, payload, state, identity, made_by) "
                 "VALUES (?, ?, ?, ?, 'making', ?, ?) ON CONFLICT (lab_id, kind, key) DO UPDATE SET "
                 "payload = excluded.payload, state = 'making', identity = excluded.identity, "
                 "made_by = excluded.made_by"},
        state = {store, NULL,
                 "SELECT state = 'present' FROM object WHERE lab_id = ? AND kind = ? AND key = ?"},
        removing = {store, NULL,
                    "UPDATE object SET state = 'removing' WHERE lab_id = ? AND kind = ? AND key = ?"};
    bool good = store_begin(store, journal, error);
    for (unsigned i = 0; good && i < count; i++) {
        struct store_intent *intent = &intents[i];
        good = repeat(&step, error, "issssi", run, intent->make ? "make" : "unmake", intent->kind,
                      intent->key, intent->payload, now_milliseconds());
        intent->step = sqlite3_last_insert_rowid(store->db);
        if (intent->make) {
            good = good &&
                   repeat(intent->again ? &again : &object, error, "issssi", lab, intent->kind, intent->key,
                          intent->payload, intent->identity ? intent->identity : "", intent->step);
            continue;
        }
        good = good && repeat(&state, error, "iss", lab, intent->kind, intent->key);
        intent->was_present = good && sqlite3_column_int(state.statement, 0) != 0;
        good = good && repeat(&removing, error, "iss", lab, intent->kind, intent->key);
    }
    /* An open reader would keep the transaction from ending. */
    sqlite3_reset(state.statement);
    good = store_end(store, good, journal, error);
    for (unsigned i = 0; !good && i < count; i++)
        intents[i].step = 0;
    return good;
}

bool store_identify(struct store *store, int64_t lab, const struct store_intent *intents, unsigned count,
                    GError **error)
{
    repeated_auto update = {
        store, NULL, "UPDATE object SET identity = ?, note = '' WHERE lab_id = ? AND kind = ? AND key = ?"};
    bool good = store_begin(store, journal, error);
    for (unsigned i = 0; good && i < count; i++)
        good = !intents[i].identity ||
               repeat(&update, error, "siss", intents[i].identity, lab, intents[i].kind, intents[i].key);
    return store_end(store, good, journal, error);
}

bool store_set_identity(struct store *store, int64_t lab, const char *kind, const char *key,
                        const char *identity, GError **error)
{
    const struct store_intent intent = {.kind = kind, .key = key, .identity = identity};
    return store_identify(store, lab, &intent, 1, error);
}

bool store_settle(struct store *store, int64_t lab, const struct store_intent *intents, unsigned count,
                  GError **error)
{
    static const char *const states[STORE_OUTCOMES] = {[STORE_DONE] = "done",
                                                       [STORE_FAILED] = "failed",
                                                       [STORE_UNDONE] = "undone",
                                                       [STORE_SKIPPED] = "undone"};
    repeated_auto step = {store, NULL, "UPDATE step SET state = ?, error = ?, at = ? WHERE id = ?"},
                  present = {store, NULL,
                             "UPDATE object SET state = 'present' WHERE lab_id = ? AND kind = ? AND key = ?"},
                  gone = {store, NULL, "DELETE FROM object WHERE lab_id = ? AND kind = ? AND key = ?"};
    bool good = store_begin(store, journal, error);
    for (unsigned i = 0; good && i < count; i++) {
        const struct store_intent *intent = &intents[i];
        bool done = intent->outcome == STORE_DONE, skipped = intent->outcome == STORE_SKIPPED;
        good = repeat(&step, error, "ssii", states[intent->outcome], intent->why, now_milliseconds(),
                      intent->step);
        /* What there is of it has still to be unmade; what was to be made again is still known. */
        if (intent->outcome == STORE_FAILED || (skipped && intent->make && intent->again))
            continue;
        if (intent->make ? done : skipped && intent->was_present)
            good = good && repeat(&present, error, "iss", lab, intent->kind, intent->key);
        else if (intent->make || done)
            good = good && repeat(&gone, error, "iss", lab, intent->kind, intent->key);
    }
    return store_end(store, good, journal, error);
}

bool store_is_cut_off(struct store *store, int64_t lab, bool *is_cut_off, GError **error)
{
    sqlite3_stmt *row = store_query(
        store, "reading the journal", error,
        "SELECT EXISTS (SELECT 1 FROM object WHERE lab_id = ? AND state <> 'present') OR EXISTS (SELECT 1 "
        "FROM run WHERE id = (SELECT max(id) FROM run WHERE lab_id = ?) AND ifnull(outcome, '') IN ('', "
        "'given "
        "up'))",
        "ii", lab, lab);
    if (!row)
        return false;
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW)
        *is_cut_off = sqlite3_column_int(row, 0) != 0;
    else
        set_sqlite_error(store, rc, "reading the journal", error);
    sqlite3_finalize(row);
    return rc == SQLITE_ROW;
}

bool store_was_up(struct store *store, int64_t lab, bool *was_up, GError **error)
{
    sqlite3_stmt *row = store_query(
        store, "reading the journal", error,
        "SELECT EXISTS (SELECT 1 FROM run WHERE lab_id = ? AND verb = 'up' AND outcome = 'done')", "i", lab);
    if (!row)
        return false;
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW)
        *was_up = sqlite3_column_int(row, 0) != 0;
    else
        set_sqlite_error(store, rc, "reading the journal", error);
    sqlite3_finalize(row);
    return rc == SQLITE_ROW;
}

void store_step_free(struct store_step *step)
{
    if (!step)
        return;
    g_free(step->verb);
    g_free(step->kind);
    g_free(step->key);
    g_free(step->state);
    g_free(step->error);
    g_free(step);
}

static void free_step(void *step)
{
    store_step_free(step);
}

GPtrArray *store_list_steps(struct store *store, int64_t lab, GError **error)
{
    sqlite3_stmt *row = store_query(store, "reading the journal", error,
                                    "SELECT step.id, run_id, step.verb = 'make', run.verb, kind, key, state, "
                                    "error, at FROM step JOIN run ON run.id = step.run_id "
                                    "WHERE run.lab_id = ? ORDER BY step.id",
                                    "i", lab);
    if (!row)
        return NULL;
    GPtrArray *steps = g_ptr_array_new_with_free_func(free_step);
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        struct store_step *step = g_new0(struct store_step, 1);
        step->id = sqlite3_column_int64(row, 0);
        step->run = sqlite3_column_int64(row, 1);
        step->make = sqlite3_column_int(row, 2) != 0;
        step->verb = store_column_text(row, 3);
        step->kind = store_column_text(row, 4);
        step->key = store_column_text(row, 5);
        step->state = store_column_text(row, 6);
        step->error = store_column_text(row, 7);
        step->at = sqlite3_column_int64(row, 8);
        g_ptr_array_add(steps, step);
    }
    sqlite3_finalize(row);
    if (rc == SQLITE_DONE)
        return steps;
    set_sqlite_error(store, rc, "reading the journal", error);
    g_ptr_array_unref(steps);
    return NULL;
}

/* ---- leases ---- */

static const char *const lease_states[] = {
    [STORE_LEASE_REQUESTING] = "requesting",
    [STORE_LEASE_BOUND] = "bound",
};
static_assert(G_N_ELEMENTS(lease_states) == STORE_LEASE_STATES, "every state has a name");

void store_lease_free(struct store_lease *lease)
{
    if (!lease)
        return;
    g_free(lease->boot_id);
    g_free(lease->interface);
    g_free(lease->link);
    g_free(lease->runner);
    g_free(lease->settings);
    g_free(lease->lease);
    g_free(lease->applied);
    g_free(lease);
}

static void free_lease(void *lease)
{
    store_lease_free(lease);
}

GPtrArray *store_list_leases(struct store *store, GError **error)
{
    static const char doing[] = "listing the leases";
    sqlite3_stmt *row =
        store_query(store, doing, error,
                    "SELECT id, boot_id, netns, interface, link, runner, settings, lease, applied, "
                    "state, changed_at FROM lease ORDER BY interface, id",
                    "");
    if (!row)
        return NULL;
    GPtrArray *leases = g_ptr_array_new_with_free_func(free_lease);
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        struct store_lease *lease = g_new0(struct store_lease, 1);
        lease->id = sqlite3_column_int64(row, 0);
        lease->boot_id = store_column_text(row, 1);
        lease->netns = (uint64_t)sqlite3_column_int64(row, 2);
        lease->interface = store_column_text(row, 3);
        lease->link = store_column_text(row, 4);
        lease->runner = store_column_text(row, 5);
        lease->settings = store_column_text(row, 6);
        lease->lease = store_column_text(row, 7);
        lease->applied = store_column_text(row, 8);
        const char *state = (const char *)sqlite3_column_text(row, 9);
        lease->state = g_strcmp0(state, lease_states[STORE_LEASE_BOUND]) == 0 ? STORE_LEASE_BOUND
                                                                              : STORE_LEASE_REQUESTING;
        lease->changed_at = sqlite3_column_int64(row, 10);
        g_ptr_array_add(leases, lease);
    }
    sqlite3_finalize(row);
    if (rc == SQLITE_DONE)
        return leases;
    set_sqlite_error(store, rc, doing, error);
    g_ptr_array_unref(leases);
    return NULL;
}

bool store_put_lease(struct store *store, struct store_lease *lease, GError **error)
{
    static const char doing[] = "writing the lease into the store";
    int64_t now = now_seconds();
    const char *state = lease_states[lease->state];
    if (lease->id &&
        !store_run_sql(store, doing, error,
                       "UPDATE lease SET link = ?, runner = ?, settings = ?, lease = ?, applied = ?, "
                       "state = ?, changed_at = ? WHERE id = ?",
                       "ssssssii", lease->link, lease->runner, lease->settings, lease->lease, lease->applied,
                       state, now, lease->id))
        return false;
    /* A store that was lost and made anew knows nothing of it. */
    if (!lease->id || !sqlite3_changes(store->db)) {
        if (!store_run_sql(
                store, doing, error,
                "INSERT INTO lease (boot_id, netns, interface, link, runner, settings, lease, applied, "
                "state, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                "sisssssssi", lease->boot_id, (int64_t)lease->netns, lease->interface, lease->link,
                lease->runner, lease->settings, lease->lease, lease->applied, state, now))
            return false;
        lease->id = sqlite3_last_insert_rowid(store->db);
    }
    lease->changed_at = now;
    return true;
}

bool store_delete_lease(struct store *store, int64_t id, GError **error)
{
    return store_run_sql(store, "removing the lease from the store", error, "DELETE FROM lease WHERE id = ?",
                         "i", id);
}

/* ---- what `netlab host` has made ---- */

void store_host_object_free(struct store_host_object *object)
{
    if (!object)
        return;
    char *texts[] = {object->boot_id, object->kind, object->name, object->identity, object->detail};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_free(object);
}

static void free_host_object(void *object)
{
    store_host_object_free(object);
}

GPtrArray *store_list_host_objects(struct store *store, GError **error)
{
    static const char doing[] = "listing what netlab has made on this host";
    sqlite3_stmt *row = store_query(
        store, doing, error,
        "SELECT id, boot_id, netns, kind, name, identity, detail, state FROM host_object ORDER BY id", "");
    if (!row)
        return NULL;
    GPtrArray *objects = g_ptr_array_new_with_free_func(free_host_object);
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        struct store_host_object *object = g_new0(struct store_host_object, 1);
        *object = (struct store_host_object){.id = sqlite3_column_int64(row, 0),
                                             .boot_id = store_column_text(row, 1),
                                             .netns = (uint64_t)sqlite3_column_int64(row, 2),
                                             .kind = store_column_text(row, 3),
                                             .name = store_column_text(row, 4),
                                             .identity = store_column_text(row, 5),
                                             .detail = store_column_text(row, 6)};
        const char *state = (const char *)sqlite3_column_text(row, 7);
        while (object->state < STORE_REMOVING && g_strcmp0(state, object_states[object->state]) != 0)
            object->state++;
        g_ptr_array_add(objects, object);
    }
    sqlite3_finalize(row);
    if (rc == SQLITE_DONE)
        return objects;
    set_sqlite_error(store, rc, doing, error);
    g_ptr_array_unref(objects);
    return NULL;
}

bool store_put_host_object(struct store *store, struct store_host_object *object, GError **error)
{
    static const char doing[] = "writing what is made on this host into the store";
    const char *state = object_states[object->state];
    if (object->id)
        return store_run_sql(store, doing, error, "UPDATE host_object SET state = ? WHERE id = ?", "si",
                             state, object->id);
    if (!store_run_sql(store, doing, error,
                       "INSERT INTO host_object (boot_id, netns, kind, name, identity, detail, state) "
                       "VALUES (?, ?, ?, ?, ?, ?, ?)",
                       "sisssss", object->boot_id, (int64_t)object->netns, object->kind, object->name,
                       object->identity, object->detail, state))
        return false;
    object->id = sqlite3_last_insert_rowid(store->db);
    return true;
}

bool store_delete_host_object(struct store *store, int64_t id, GError **error)
{
    return store_run_sql(store, "removing what was made on this host from the store", error,
                         "DELETE FROM host_object WHERE id = ?", "i", id);
}
