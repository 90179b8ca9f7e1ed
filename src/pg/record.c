/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/session.h"

/*
 * What is written, as texts: they go out in one message with the COMMIT of a file, so parameters cannot be
 * used. Rows are only ever added to the user's table.
 */

const char *record_table_sql(const struct session *s, struct arena *arena)
{
    if (s->books.exists)
        return "";
    return arena_printf(arena,
                        "CREATE TABLE %s (version varchar(64) PRIMARY KEY, name varchar(255) NOT NULL, "
                        "applied_at timestamptz NOT NULL DEFAULT pg_catalog.now()); ",
                        s->books.table_sql);
}

const char *record_version_sql(const struct session *s, struct arena *arena, const struct migration *m)
{
    const struct books *b = &s->books;
    bool is_plain = !b->exists, has_name = is_plain || b->has_name;
    const char *stamp = is_plain ? NULL : b->stamp;
    const char *version = b->history.version_is_number ? arena_printf(arena, "%lld", (long long)m->number)
                                                       : pg_literal(arena, &s->conn, m->version);
    return arena_printf(arena,
                        "INSERT INTO %s (version%s%s%s) VALUES (%s%s%s%s) ON CONFLICT DO NOTHING; " ONE_ROW(
                            "SELECT FROM %s WHERE version%s OPERATOR(pg_catalog.=) %s"),
                        b->table_sql, has_name ? ", name" : "", stamp ? ", " : "", stamp ? stamp : "",
                        version, has_name ? ", " : "",
                        has_name ? pg_literal(arena, &s->conn, arena_strndup(arena, m->name, 255)) : "",
                        stamp ? ", pg_catalog.now()" : "", b->table_sql,
                        b->exists && b->history.version_is_number ? "" : "::text", version);
}

static const char *number_or_null(struct arena *arena, unsigned number)
{
    return number ? arena_printf(arena, "%u", number) : "NULL";
}

/* An attempt that died, or one of a database that was put back since: there is one current row at most. */
static const char *supersede_sql(const struct session *s, struct arena *arena, const struct log_entry *e)
{
    static const char crash[] = "crash: the agent or its connection ended here";
    const struct migration *m = e->migration;
    bool begins = str_eq(e->state, "running");
    const struct migration_log *old = *m->version ? books_log(&s->books, m->number) : NULL;
    if (!begins && (str_eq(e->state, "failed") || !old || old->state == MIGRATION_FAILED))
        return "";
    const char *which =
        *m->version
            ? arena_printf(arena, "table_name = %s AND version = %s AND state <> 'failed'",
                           pg_literal(arena, &s->conn, s->books.table_sql),
                           pg_literal(arena, &s->conn, old ? old->version : m->version))
            : arena_printf(arena, "stage = %s AND file = %s AND version IS NULL AND state = 'running'",
                           pg_literal(arena, &s->conn, s->step->name), pg_literal(arena, &s->conn, m->file));
    return arena_printf(
        arena,
        "UPDATE %s SET finished_at = coalesce(finished_at, pg_catalog.now()), error = coalesce(error, CASE "
        "state WHEN 'running' THEN '%s' ELSE 'the version was missing from its table, and was run "
        "again' END), state = 'failed' WHERE %s; ",
        s->books.log_sql, crash, which);
}

const char *record_log_sql(const struct session *s, struct arena *arena, const struct log_entry *e)
{
    const struct migration *m = e->migration;
    const struct migrate_step *step = s->step;
    const char *texts[][2] = {
        {"stage", step->name},
        {"target_schema", s->books.schema},
        {"table_name", s->books.table_sql},
        {"version", *m->version ? m->version : NULL},
        {"file", m->file},
        {"blob_oid", m->blob},
        {"norm_sha256", m->read ? m->summary.hash : NULL},
        {"commit_oid", step->commit},
        {"run_id", step->run_id},
        {"mode", e->mode},
        {"state", e->state},
        {"prefix_sha256", e->prefix_hash},
        {"settings", e->settings},
        {"agent", "deploy-agent " VERSION},
        {"sqlstate", e->sqlstate && *e->sqlstate ? e->sqlstate : NULL},
        {"error", e->error ? pg_mask(arena, e->error->text, 4096) : NULL},
    };
    cleanup_str struct str columns = {0}, values = {0};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        str_printf(&columns, "%s, ", texts[i][0]);
        str_printf(&values, "%s, ", pg_literal(arena, &s->conn, texts[i][1]));
    }
    int64_t took_ms = (wall_us() - e->started_us) / 1000;
    return arena_printf(
        arena,
        "%sINSERT INTO %s (%sstmts_total, stmts_done, started_at, finished_at, duration_ms, backend_pid, "
        "db_user, error_line, stmt_index, settings_at) VALUES (%s%u, %u, "
        "pg_catalog.to_timestamp(%lld.%06lld), %s, %s, "
        "pg_catalog.pg_backend_pid(), session_user, %s, %s, %u); ",
        supersede_sql(s, arena, e), s->books.log_sql, str_text(&columns), str_text(&values), e->total,
        e->done, (long long)(e->started_us / US_PER_S), (long long)(e->started_us % US_PER_S),
        e->finished ? "pg_catalog.clock_timestamp()" : "NULL",
        e->finished ? arena_printf(arena, "%lld", (long long)(took_ms > 0 ? took_ms : 0)) : "NULL",
        number_or_null(arena, e->error_line), number_or_null(arena, e->statement), e->settings_at);
}
