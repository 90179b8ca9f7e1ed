/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/secret.h"
#include "base/str.h"

/* ---- errors ---- */

bool db_is_damage(int rc)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

/* The cause in words; NULL: none of those that the user can do something about. */
static const char *cause_of(const struct journal *j, int rc)
{
    bool reads = j->mode == JOURNAL_READ;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return "the disk is full; deployments go on once there is room";
    case SQLITE_IOERR:
        return "the disk reports an error (see dmesg); no deployment goes on until it can be written";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return reads ? "it cannot be read without its -wal and -shm files; start agentd, which makes them, "
                       "or ask root"
                     : "it cannot be written (file system read-only, or wrong owner); no deployment goes on "
                       "until it can";
    case SQLITE_BUSY:
        return "another process has kept it locked for 5 s";
    default:
        return NULL;
    }
}

/* Production runs on whatever happens to the record, and who reads this wants to know that first. */
int db_error(struct journal *j, int rc, struct error *err)
{
    static const char production[] = "What runs in production is not affected.";
    const char *cause = cause_of(j, rc);
    if ((rc & 0xff) == SQLITE_NOMEM)
        abort();
    if ((rc & 0xff) == SQLITE_IOERR)
        j->broken_io = true;
    if (db_is_damage(rc)) {
        lock_mark_damage(j);
        cause = "it is damaged; restart deploy-agent: it puts the damaged file aside and starts a new one";
    }
    if (cause)
        return error_set(err, ERR_UNAVAILABLE, rc, "the journal %s: %s (%s). %s", j->path, cause,
                         sqlite3_errstr(rc), production);
    return error_set(err, ERR_INTERNAL, rc, "the journal %s: %s", j->path,
                     j->db ? sqlite3_errmsg(j->db) : sqlite3_errstr(rc));
}

/* ---- statements ---- */

struct value value_text(const char *s)
{
    return s ? (struct value){VALUE_TEXT, 0, s, strlen(s)} : (struct value){0};
}

static int bind(sqlite3_stmt *stmt, int column, const struct value *v)
{
    switch (v->type) {
    case VALUE_INT:
        return sqlite3_bind_int64(stmt, column, v->integer);
    case VALUE_TEXT:
        return sqlite3_bind_text64(stmt, column, v->bytes, v->len, SQLITE_STATIC, SQLITE_UTF8);
    case VALUE_BLOB:
        return sqlite3_bind_blob64(stmt, column, v->bytes, v->len, SQLITE_STATIC);
    case VALUE_NULL:
        break;
    }
    return sqlite3_bind_null(stmt, column);
}

int db_reach(struct journal *j, struct error *err)
{
    return j->db ? 0 : db_connect(j, err);
}

static sqlite3_stmt *prepare(struct journal *j, const char *sql, struct error *err)
{
    for (size_t i = 0; i < j->n_statements; i++)
        if (j->statements[i].sql == sql)
            return j->statements[i].stmt;
    sqlite3_stmt *stmt = NULL;
    if (db_reach(j, err) < 0)
        return NULL;
    if (j->n_statements == MAX_STATEMENTS) {
        error_set(err, ERR_INTERNAL, 0, "the journal has more than %d statements", MAX_STATEMENTS);
        return NULL;
    }
    int rc = sqlite3_prepare_v3(j->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (rc != SQLITE_OK) {
        db_error(j, rc, err);
        return NULL;
    }
    j->statements[j->n_statements].sql = sql;
    j->statements[j->n_statements++].stmt = stmt;
    return stmt;
}

sqlite3_stmt *db_query_values(struct journal *j, struct error *err, const char *sql,
                              const struct value *values, size_t n)
{
    sqlite3_stmt *stmt = prepare(j, sql, err);
    if (!stmt)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        int rc = bind(stmt, (int)i + 1, &values[i]);
        if (rc != SQLITE_OK) {
            db_error(j, rc, err);
            return NULL;
        }
    }
    return stmt;
}

int db_next(struct journal *j, sqlite3_stmt *stmt, struct error *err)
{
    if (!stmt)
        return -1;
    int rc = fault_errno("journal.statement") ? SQLITE_IOERR : sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : db_error(j, rc, err);
}

void query_done(sqlite3_stmt **stmt)
{
    if (!*stmt)
        return;
    sqlite3_reset(*stmt);
    sqlite3_clear_bindings(*stmt);
}

int db_run_values(struct journal *j, struct error *err, const char *sql, const struct value *values, size_t n)
{
    cleanup_query sqlite3_stmt *stmt = db_query_values(j, err, sql, values, n);
    return db_next(j, stmt, err) < 0 ? -1 : 0;
}

int db_exec(struct journal *j, const char *sql, struct error *err)
{
    int rc = sqlite3_exec(j->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : db_error(j, rc, err);
}

int64_t db_changes(const struct journal *j)
{
    return sqlite3_changes64(j->db);
}

/* ---- transactions ---- */

static int inject(struct journal *j, const char *name, int code, struct error *err)
{
    if (code == 0)
        return 0;
    j->broken_io = code == EIO;
    return error_set(err, ERR_UNAVAILABLE, code,
                     "the journal %s: %s (fault %s). What runs in production is not affected.", j->path,
                     strerror(code), name);
}

int db_begin(struct journal *j, struct error *err)
{
    if (j->mode == JOURNAL_READ)
        return error_set(err, ERR_INTERNAL, 0, "the journal %s is open for reading only", j->path);
    if (inject(j, "journal.begin", fault_errno("journal.begin"), err) < 0)
        return -1;
    if (j->broken_io) {
        /* After a failed fsync nobody knows what the disk holds of the pages this connection believes
           written: only what a new one reads back counts. */
        db_disconnect(j);
        if (db_reach(j, err) < 0)
            return -1;
        j->broken_io = false;
    }
    return db_run(j, err, "BEGIN IMMEDIATE");
}

int db_rollback(struct journal *j)
{
    struct error ignored = {0}; /* SQLite has rolled back by itself after most errors */
    if (!sqlite3_get_autocommit(j->db) && db_run(j, &ignored, "ROLLBACK") < 0)
        j->broken_io = true;
    return -1;
}

int db_commit(struct journal *j, struct error *err)
{
    if (inject(j, "journal.commit", fault_errno("journal.commit"), err) < 0 || db_run(j, err, "COMMIT") < 0)
        return db_rollback(j);
    fault_point("journal.committed");
    return 0;
}

int db_write_one_values(struct journal *j, struct error *err, const char *what, const char *sql,
                        const struct value *values, size_t n)
{
    if (db_begin(j, err) < 0)
        return -1;
    if (db_run_values(j, err, sql, values, n) < 0)
        return db_rollback(j);
    if (db_changes(j) == 0) {
        error_set(err, ERR_NOT_FOUND, 0, "the journal has no %s", what);
        return db_rollback(j);
    }
    return db_commit(j, err);
}

/* ---- columns and texts ---- */

char *col_text(struct arena *arena, sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    return text ? arena_strndup(arena, text, (size_t)sqlite3_column_bytes(stmt, column)) : NULL;
}

char *text_line(struct arena *arena, const char *s, size_t max)
{
    if (!s)
        return NULL;
    const char *safe = secret_redact(arena, s);
    return str_clean(arena, safe, strlen(safe), true, max);
}

char *text_block(struct arena *arena, const char *s)
{
    if (!s)
        return NULL;
    const char *safe = secret_redact(arena, s);
    return str_clean(arena, safe, strlen(safe), false, TEXT_BLOCK_MAX);
}
