/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* What the files of the store share: statements and transactions. `doing` begins the messages of errors. */
#pragma once

#include "netlab/store.h"

#include <sqlite3.h>

struct store {
    sqlite3 *db;
    char *path;
};

/* Runs a statement that returns no rows. Format: i int64_t, s const char * (NULL is NULL). */
bool store_run_sql(struct store *store, const char *doing, GError **error, const char *sql,
                   const char *format, ...);
/* A statement that returns rows, bound and ready for sqlite3_step(); NULL with an error. */
sqlite3_stmt *store_query(struct store *store, const char *doing, GError **error, const char *sql,
                          const char *format, ...);
/* Finalises it after its last step's `rc`; false with an error unless that was the end of the rows. */
bool store_finish(struct store *store, sqlite3_stmt *row, int rc, const char *doing, GError **error);
bool store_begin(struct store *store, const char *doing, GError **error);
/* Commits when `good`, rolls back otherwise; true when all went well. */
bool store_end(struct store *store, bool good, const char *doing, GError **error);
char *store_column_text(sqlite3_stmt *row, int column); /* owned by the caller */
