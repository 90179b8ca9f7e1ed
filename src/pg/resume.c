/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/apply.h"

/*
 * Going on where an earlier run, or a connection, ended. The lock is ours, so nobody else is at it; what was
 * committed is what the row of the log says, for it was committed with it.
 */

/* Two columns of the log's row. */
static void read_settings(struct apply *a, PGresult *r, int column)
{
    a->settings = PQgetisnull(r, 0, column) ? NULL : arena_strdup(a->s->arena, PQgetvalue(r, 0, column));
    a->settings_at = (unsigned)strtoul(PQgetvalue(r, 0, column + 1), NULL, 10);
    a->settings_seen = false;
}

/* A file of the session's lock may have given it away: is its process still there? */
static int check_gone(struct apply *a, const struct migration_log *log, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_result PGresult *r = NULL;
    const char *sql = arena_printf(
        &arena,
        "SELECT l.stmt_index, a.pid, l.settings, l.settings_at FROM %s l LEFT JOIN "
        "pg_catalog.pg_stat_activity a ON "
        "a.pid = l.backend_pid AND a.application_name LIKE 'deploy-agent%%' AND "
        "a.backend_start <= l.started_at AND a.pid <> pg_catalog.pg_backend_pid() WHERE l.id = %lld",
        a->s->books.log_sql, (long long)log->id);
    if (pg_ask(&a->s->conn, "looking for an earlier run", &r, err, sql, 0, NULL) < 0)
        return -1;
    if (PQntuples(r) == 0)
        return 0;
    if (!PQgetisnull(r, 0, 1))
        return error_set(err, ERR_CONFLICT, 0, "%s: an earlier run of it is still at work (pid %s)",
                         a->migration->file, PQgetvalue(r, 0, 1));
    read_settings(a, r, 2);
    if (log->state == MIGRATION_RUNNING && !PQgetisnull(r, 0, 0))
        a->in_doubt = strtoul(PQgetvalue(r, 0, 0), NULL, 10) == log->done + 1;
    return 0;
}

int resume_prefix(const char *file, const char *text, size_t len, unsigned n, char ret[SQL_HASH_SIZE],
                  struct error *err)
{
    struct sql_lexer lexer;
    struct sql_statement st;
    int r = 1;
    sql_lexer_init(&lexer, file, text, len);
    ret[0] = '\0';
    for (unsigned i = 0; i < n && (r = sql_next(&lexer, &st, err)) > 0; i++)
        apply_prefix(ret, &st);
    return r < 0 ? -1 : 0;
}

int resume_from(struct apply *a, const struct migration_log *log, struct error *err)
{
    if (check_gone(a, log, err) < 0 ||
        resume_prefix(a->migration->file, a->text, a->len, log->done, a->prefix, err) < 0)
        return -1;
    a->done = log->done;
    return 0;
}

int resume_begin(struct apply *a, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_result PGresult *r = NULL;
    const struct log_entry e = {.migration = a->migration,
                                .mode = sql_mode_name(a->migration->summary.mode),
                                .state = "running",
                                .total = a->migration->summary.n_statements,
                                .done = a->done,
                                .prefix_hash = a->done ? a->prefix : NULL,
                                .settings = a->settings,
                                .settings_at = a->settings_at,
                                .statement = a->in_doubt ? a->done + 1 : 0,
                                .started_us = a->started_us};
    const char *insert = record_log_sql(a->s, &arena, &e);
    const char *sql = arena_printf(&arena, "%.*s RETURNING id", (int)(strrchr(insert, ';') - insert), insert);
    if (apply_own(a, "recording its begin", sql, false, &r, err) < 0)
        return -1;
    a->log_id = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    fault_point("sql.begun");
    return 0;
}

/* Files without versions have only their rows, which bear the process that wrote them. */
static int reconcile_unversioned(struct apply *a, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_result PGresult *r = NULL;
    const char *sql =
        arena_printf(&arena,
                     "SELECT id, state, stmts_done, prefix_sha256, stmt_index, settings, settings_at FROM %s "
                     "WHERE file = $1 "
                     "AND run_id IS NOT DISTINCT FROM $2 AND backend_pid = $3::int AND (id = $4::bigint "
                     "OR state = 'applied') ORDER BY id DESC LIMIT 1",
                     a->s->books.log_sql);
    const char *const params[] = {a->migration->file, a->s->step->run_id,
                                  arena_printf(&arena, "%d", a->s->stale_pid),
                                  arena_printf(&arena, "%lld", (long long)a->log_id)};
    if (pg_ask(&a->s->conn, "reading what became of the file", &r, err, sql, ARRAY_SIZE(params), params) < 0)
        return -1;
    if (PQntuples(r) == 0)
        return 0;
    a->recorded = str_eq(PQgetvalue(r, 0, 1), "applied");
    a->done = (unsigned)strtoul(PQgetvalue(r, 0, 2), NULL, 10);
    snprintf(a->prefix, sizeof a->prefix, "%s", PQgetvalue(r, 0, 3));
    a->in_doubt = strtoul(PQgetvalue(r, 0, 4), NULL, 10) == a->done + 1;
    read_settings(a, r, 5);
    return 0;
}

/* Between the two connections another agent may have had the lock: what counts is what the tables say now. */
int resume_reconcile(struct apply *a, struct error *err)
{
    struct session *s = a->s;
    if (!s->step->versioned)
        return reconcile_unversioned(a, err);
    if (books_look(s, err) < 0 || history_read(s, err) < 0)
        return -1;
    const struct migration_log *log = books_log(&s->books, a->migration->number);
    a->recorded = (books_has_version(&s->books, a->migration->number) && !(log && migration_is_begun(log))) ||
                  (log && (log->state == MIGRATION_APPLIED || log->state == MIGRATION_RESOLVED));
    if (a->recorded)
        return 0;
    a->done = 0;
    a->prefix[0] = '\0';
    a->in_doubt = false;
    a->settings = NULL;
    a->settings_at = 0;
    if (!log || log->id != a->log_id || log->state != MIGRATION_RUNNING)
        a->log_id = 0;
    return log ? resume_from(a, log, err) : 0;
}
