/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the rooms of src/journal share: the connection, transactions, statements, values. Private to
 * src/journal.
 *
 * A write is
 *     if (db_begin(j, err) < 0)
 *         return -1;
 *     if (db_run(j, err, "UPDATE … WHERE id = ?", V_INT(id)) < 0)
 *         return db_rollback(j);
 *     return db_commit(j, err);
 *
 * A read is
 *     cleanup_query sqlite3_stmt *q = db_query(j, err, "SELECT … WHERE id = ?", V_INT(id));
 *     int r;
 *     while ((r = db_next(j, q, err)) > 0)
 *         … col_text(arena, q, 0) …
 *     return r;
 *
 * SQL is a string literal: statements are prepared once and found again by its address.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "agent/journal.h"
#include "base/arena.h"

#define MAX_STATEMENTS 96

struct journal {
    sqlite3 *db;
    char *path;
    enum journal_mode mode;
    int lock_fd;       /* shared lock of a writer, see recover.c; -1: reader */
    int64_t opened;    /* when, for journal_mark() */
    bool broken_io;    /* an I/O error: the connection is opened anew before the next transaction */
    bool recovered;    /* the file was damaged, a new one was started, and that is not noted yet */
    bool private_copy; /* a reader that sees the file alone, without the log: it never changes */
    struct {
        const char *sql;
        sqlite3_stmt *stmt;
    } statements[MAX_STATEMENTS];
    size_t n_statements;
};

struct value {
    enum { VALUE_NULL, VALUE_INT, VALUE_TEXT, VALUE_BLOB } type;
    int64_t integer;
    const char *bytes; /* must live until the statement has run */
    size_t len;
};
#define V_INT(x)     ((struct value){VALUE_INT, (int64_t)(x), NULL, 0})
#define V_TIME(us)   ((us) ? V_INT(us) : (struct value){0}) /* 0, "not yet", is stored as NULL */
#define V_TEXT(s)    value_text(s)                          /* NULL is stored as NULL */
#define V_BLOB(p, n) ((struct value){VALUE_BLOB, 0, (p), (n)})
struct value value_text(const char *s);

/* ---- connection (open.c) ---- */
int db_connect(struct journal *j, struct error *err) MUST_CHECK;
void db_disconnect(struct journal *j);
/* Connects again when an earlier attempt at that has failed. */
int db_reach(struct journal *j, struct error *err) MUST_CHECK;

/* ---- errors ---- */
/* Sets err from SQLite's result code, in words for the user; remembers what the code means for the
 * connection. */
int db_error(struct journal *j, int rc, struct error *err);
bool db_is_damage(int rc);

/* ---- transactions: BEGIN IMMEDIATE, so that a writer that waits does so here and nowhere later ---- */
int db_begin(struct journal *j, struct error *err) MUST_CHECK;
int db_commit(struct journal *j, struct error *err) MUST_CHECK;
int db_rollback(struct journal *j); /* always -1; err of the failure is kept */

/* ---- statements ---- */
int db_exec(struct journal *j, const char *sql,
            struct error *err) MUST_CHECK; /* several statements, not kept */
int db_run_values(struct journal *j, struct error *err, const char *sql, const struct value *values,
                  size_t n) MUST_CHECK;
sqlite3_stmt *db_query_values(struct journal *j, struct error *err, const char *sql,
                              const struct value *values, size_t n); /* NULL: failed */
#define VALUES_(...)                                                                                         \
    ((const struct value[]){__VA_ARGS__}), sizeof((const struct value[]){__VA_ARGS__}) / sizeof(struct value)
#define db_run(j, err, sql, ...)   db_run_values(j, err, sql, VALUES_(__VA_ARGS__))
#define db_query(j, err, sql, ...) db_query_values(j, err, sql, VALUES_(__VA_ARGS__))
/* 1: a row; 0: the end; -1: failed, also for a NULL statement, whose error db_query() has set */
int db_next(struct journal *j, sqlite3_stmt *stmt, struct error *err) MUST_CHECK;
/* Rows changed by the last db_run(). */
int64_t db_changes(const struct journal *j);
/* One transaction of one statement that must change a row: 0 rows is ERR_NOT_FOUND "no WHAT". */
int db_write_one_values(struct journal *j, struct error *err, const char *what, const char *sql,
                        const struct value *values, size_t n) MUST_CHECK;
#define db_write_one(j, err, what, sql, ...) db_write_one_values(j, err, what, sql, VALUES_(__VA_ARGS__))

void query_done(sqlite3_stmt **stmt);
#define cleanup_query __attribute__((cleanup(query_done)))

/* ---- columns ---- */
char *col_text(struct arena *arena, sqlite3_stmt *stmt, int column); /* NULL gives NULL */
static inline int64_t col_int(sqlite3_stmt *stmt, int column)
{
    return sqlite3_column_int64(stmt, column);
}

/* ---- text from outside on its way in: cleaned, redacted, cut ---- */
enum { TEXT_NAME_MAX = 200, TEXT_LINE_MAX = 4096, TEXT_BLOCK_MAX = 16384 };
char *text_line(struct arena *arena, const char *s, size_t max); /* one line; NULL gives NULL */
char *text_block(struct arena *arena, const char *s);            /* newlines stay; NULL gives NULL */

/* ---- rows of stacks (stack.c) ---- */
/* Inside a transaction. */
int stack_set_hold_absolute(struct journal *j, const char *stack, bool absolute,
                            struct error *err) MUST_CHECK;

/* ---- damage (recover.c) ---- */
/* Opens path for writing, creating it 0640 with the owner of its folder: root, who runs a worker by hand,
   must not leave a file that the agent's user cannot write. SQLite gives -wal and -shm the owner and mode of
   the file. -1: failed. */
int file_create(const char *path, struct error *err) MUST_CHECK;
/* Takes the writers' lock. *ret_alone: no other writer has the file open; then the lock is held exclusively
   until lock_share(). *ret_check: the last writer did not close it, or has met damage: the file is to be
   checked. */
int lock_take(struct journal *j, bool *ret_alone, bool *ret_check, struct error *err) MUST_CHECK;
int lock_share(struct journal *j, struct error *err) MUST_CHECK; /* the file is whole: the mark is removed */
void lock_mark_damage(struct journal *j);                        /* the next writer that is alone checks */
int recover_check(struct journal *j, struct error *err) MUST_CHECK; /* ERR_FAILED: damaged */
int recover_move_away(struct journal *j, struct error *err) MUST_CHECK;
