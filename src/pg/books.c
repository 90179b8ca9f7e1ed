/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "pg/session.h"

/*
 * Which table holds the versions, and which one our attempts. The names are found once, under the search_path
 * of the login, and qualified from then on: a file may set another path.
 *
 * The user's table is never altered. Ours is deploy_agent.migration_log; who may not create a schema, or may
 * not write to one that another role made, has _deploy_migration_log beside the user's table.
 */

#define LOG_SCHEMA   "deploy_agent"
#define LOG_NAME     "migration_log"
#define LOG_FALLBACK "_deploy_migration_log"
/* Beside a table of another tool whose shape is not ours to write. */
#define OWN_SUFFIX "_deploy_agent"

/* Tables of other tools, by the columns that they alone have, and the versions they hold. */
static const struct {
    const char *first, *second;
    enum migration_shape shape;
} others[] = {
    {"version", "dirty", MIGRATION_ONE_ROW},                   /* golang-migrate */
    {"installed_rank", "script", MIGRATION_FOREIGN},           /* Flyway */
    {"version_id", "is_applied", MIGRATION_FOREIGN},           /* goose */
    {"operator_version", "partial_hashes", MIGRATION_FOREIGN}, /* Atlas */
};

/* ---- the user's table ---- */

static int column(PGresult *r, const char *name)
{
    for (int i = 0; i < PQntuples(r); i++)
        if (strcmp(PQgetvalue(r, i, 0), name) == 0)
            return i;
    return -1;
}

static bool is_true(PGresult *r, int row, int col)
{
    return row >= 0 && strcmp(PQgetvalue(r, row, col), "t") == 0;
}

static void read_version_type(PGresult *r, int row, struct migration_history *h)
{
    static const struct {
        const char *type;
        int64_t max;
    } numbers[] = {{"smallint", INT16_MAX}, {"integer", INT32_MAX}, {"bigint", INT64_MAX}, {"numeric", 0}};
    long modifier = strtol(PQgetvalue(r, row, 2), NULL, 10);
    h->version_length = modifier > 4 ? (unsigned)modifier - 4 : 0;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (strcmp(PQgetvalue(r, row, 1), numbers[i].type) == 0) {
            h->version_is_number = true;
            h->version_max = numbers[i].max;
            h->version_length = 0;
        }
}

/* Columns that an INSERT of ours would have to know. */
static void read_required(struct session *s, PGresult *r)
{
    static const char *const stamps[] = {"applied_at", "inserted_at", "created_at", "executed_at"};
    struct books *b = &s->books;
    for (int i = 0; i < PQntuples(r); i++) {
        const char *name = PQgetvalue(r, i, 0);
        bool is_stamp = false;
        if (!is_true(r, i, 3) || is_true(r, i, 4) || str_eq(name, "version") || str_eq(name, "name"))
            continue;
        for (size_t k = 0; k < ARRAY_SIZE(stamps); k++)
            is_stamp |= str_eq(name, stamps[k]) && str_starts(PQgetvalue(r, i, 1), "timestamp");
        if (is_stamp && !b->stamp)
            b->stamp = arena_strdup(s->arena, name);
        else
            b->history.required = arena_strdup(s->arena, name);
    }
}

static int read_shape(struct session *s, const char *oid, struct error *err)
{
    struct books *b = &s->books;
    cleanup_result PGresult *r = NULL;
    if (PG_ASK(
            &s->conn, "reading the columns of the table of versions", &r, err,
            "SELECT attname, pg_catalog.format_type(atttypid, NULL), atttypmod, attnotnull, atthasdef OR "
            "attidentity <> '' OR attgenerated <> '' FROM pg_catalog.pg_attribute WHERE attrelid = $1::oid "
            "AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            oid) < 0)
        return -1;
    b->exists = true;
    b->history.shape = MIGRATION_ROWS;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (column(r, others[i].first) >= 0 && column(r, others[i].second) >= 0)
            b->history.shape = others[i].shape;
    int version = column(r, "version");
    if (b->history.shape != MIGRATION_ROWS)
        return 0;
    if (version < 0)
        return error_set(err, ERR_INVALID, 0, "table %s has no column version: give another one as `table`",
                         b->table_sql);
    read_version_type(r, version, &b->history);
    b->has_name = column(r, "name") >= 0;
    read_required(s, r);
    return 0;
}

/* Finds step->table, a text of SQL as it is configured; with for_each_schema only in that schema. */
static int find_table(struct session *s, const char *suffix, const char **ret_oid, struct error *err)
{
    struct books *b = &s->books;
    cleanup_result PGresult *r = NULL;
    if (PG_ASK(
            &s->conn, "looking for the table of versions", &r, err,
            "WITH p AS (SELECT pg_catalog.parse_ident($1) AS i), "
            "q AS (SELECT i[pg_catalog.cardinality(i)] || $3 AS name, coalesce($2, "
            "i[pg_catalog.cardinality(i) - 1]) AS schema "
            "FROM "
            "p), "
            "r AS (SELECT name, schema, pg_catalog.to_regclass(CASE WHEN schema IS NULL THEN "
            "pg_catalog.quote_ident(name) ELSE pg_catalog.format('%I.%I', schema, name) END) AS oid FROM q) "
            "SELECT r.name, coalesce(n.nspname, r.schema, pg_catalog.current_schema()), c.oid, c.relkind, "
            "pg_catalog.quote_ident(coalesce(n.nspname, r.schema, pg_catalog.current_schema())) || '.' || "
            "pg_catalog.quote_ident(r.name), "
            "c.relpersistence = 't' FROM r "
            "LEFT JOIN pg_catalog.pg_class c ON c.oid = r.oid LEFT JOIN pg_catalog.pg_namespace n ON n.oid "
            "= c.relnamespace",
            s->step->table, s->step->schema, suffix) < 0)
        return -1;
    if (PQgetisnull(r, 0, 1))
        return error_set(err, ERR_NOT_FOUND, 0,
                         "no schema of the role's search_path exists: where should the table %s be?",
                         s->step->table);
    if (is_true(r, 0, 5))
        return error_set(err, ERR_INVALID, 0,
                         "%s is a temporary table, which ends with its session: it cannot hold versions",
                         s->step->table);
    if (!PQgetisnull(r, 0, 3) && !strchr("rp", PQgetvalue(r, 0, 3)[0]))
        return error_set(err, ERR_INVALID, 0, "%s is no table", s->step->table);
    b->name = arena_strdup(s->arena, PQgetvalue(r, 0, 0));
    b->schema = arena_strdup(s->arena, PQgetvalue(r, 0, 1));
    b->table_sql = arena_strdup(s->arena, PQgetvalue(r, 0, 4));
    *ret_oid = PQgetisnull(r, 0, 2) ? NULL : arena_strdup(s->arena, PQgetvalue(r, 0, 2));
    return 0;
}

int books_look(struct session *s, struct error *err)
{
    struct books *b = &s->books;
    const char *oid = NULL;
    b->exists = b->has_name = false;
    b->stamp = b->found_sql = b->history.required = NULL;
    b->history.shape = MIGRATION_NO_TABLE;
    b->history.version_length = 0;
    b->history.version_max = 0;
    b->history.version_is_number = false;
    if (find_table(s, "", &oid, err) < 0 || (oid && read_shape(s, oid, err) < 0))
        return -1;
    if (b->history.shape == MIGRATION_ONE_ROW || b->history.shape == MIGRATION_FOREIGN) {
        enum migration_shape shape = b->history.shape;
        const char *found = b->table_sql;
        b->exists = false;
        if (find_table(s, OWN_SUFFIX, &oid, err) < 0 || (oid && read_shape(s, oid, err) < 0))
            return -1;
        b->found_sql = found;
        b->history.shape = shape;
    }
    b->history.table = b->found_sql ? b->found_sql : b->table_sql;
    return 0;
}

/* ---- ours ---- */

static int find_log(struct session *s, struct error *err)
{
    struct books *b = &s->books;
    cleanup_result PGresult *r = NULL;
    if (PG_ASK(&s->conn, "looking for " LOG_NAME, &r, err,
               "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c JOIN "
               "pg_catalog.pg_namespace n ON "
               "n.oid = "
               "c.relnamespace WHERE c.relname IN ('" LOG_NAME "', '" LOG_FALLBACK
               "') AND (n.nspname, c.relname) IN (('" LOG_SCHEMA "', '" LOG_NAME "'), ($1, '" LOG_FALLBACK
               "')) AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND "
               "pg_catalog.has_table_privilege(c.oid, 'SELECT') AND "
               "pg_catalog.has_table_privilege(c.oid, 'INSERT') AND pg_catalog.has_table_privilege(c.oid, "
               "'UPDATE') "
               "ORDER BY c.relname = '" LOG_NAME "' LIMIT 1",
               b->schema) < 0)
        return -1;
    b->log_exists = PQntuples(r) == 1;
    if (b->log_exists)
        b->log_sql = arena_strdup(s->arena, PQgetvalue(r, 0, 0));
    return 0;
}

/* May we make deploy_agent.migration_log? *ret_schema_sql: what has to be made before. */
static int choose_log(struct session *s, const char **ret_schema_sql, struct error *err)
{
    struct books *b = &s->books;
    cleanup_result PGresult *r = NULL;
    if (PG_ASK(&s->conn, "looking for a place for " LOG_NAME, &r, err,
               "SELECT coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND "
               "pg_catalog.has_schema_privilege(n.oid, "
               "'CREATE') AND NOT "
               "EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = n.oid AND relname = '" LOG_NAME
               "'), pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')), n.oid IS "
               "NOT NULL, "
               "pg_catalog.format('%I." LOG_FALLBACK
               "', $1::text) FROM (SELECT) one LEFT JOIN pg_catalog.pg_namespace n ON nspname = '" LOG_SCHEMA
               "'",
               b->schema) < 0)
        return -1;
    bool ours = is_true(r, 0, 0);
    b->log_sql = ours ? LOG_SCHEMA "." LOG_NAME : arena_strdup(s->arena, PQgetvalue(r, 0, 2));
    *ret_schema_sql = ours && !is_true(r, 0, 1) ? "CREATE SCHEMA " LOG_SCHEMA "; " : "";
    return 0;
}

/* Two agents may make it at once, for two steps: the other's is as good. */
static bool made_by_another(const struct pg_failure *f)
{
    return pg_failure_is(f, "42P06") || pg_failure_is(f, "42P07") || pg_failure_is(f, "23505");
}

int books_make_log(struct session *s, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct books *b = &s->books;
    struct pg_failure failure;
    const char *schema_sql;
    if (b->log_exists)
        return 0;
    if (choose_log(s, &schema_sql, err) < 0)
        return -1;
    const char *sql = arena_printf(
        &arena,
        "BEGIN; %sCREATE TABLE %s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stage text NOT NULL, "
        "target_schema text, table_name text, version text, file text NOT NULL, blob_oid text, norm_sha256 "
        "text, "
        "commit_oid text, run_id text, mode text NOT NULL, state text NOT NULL CHECK (state IN ('running', "
        "'applied', 'failed', 'resolved')), stmts_total int, stmts_done int NOT NULL DEFAULT 0, "
        "prefix_sha256 "
        "text, started_at timestamptz NOT NULL, finished_at timestamptz, duration_ms bigint, backend_pid "
        "int, "
        "agent text, db_user text, sqlstate text, error text, error_line int, stmt_index int, settings "
        "json, settings_at int); "
        "CREATE UNIQUE INDEX ON %s (table_name, version) WHERE state IN ('running', 'applied', 'resolved'); "
        "CREATE INDEX ON %s (table_name, version, id); COMMIT",
        schema_sql, b->log_sql, b->log_sql, b->log_sql);
    if (pg_run(&s->conn, &(struct pg_call){.sql = sql}, NULL, &failure) == 0) {
        b->log_exists = true;
        return 0;
    }
    if (session_rollback(s, err) < 0)
        return -1;
    if (made_by_another(&failure) && (find_log(s, err) < 0 || b->log_exists))
        return b->log_exists ? 0 : -1;
    pg_failure_error(&failure, err);
    return error_wrap(err, "creating %s (the role %s may need GRANT CREATE ON DATABASE or ON SCHEMA %s)",
                      b->log_sql, s->user, b->schema);
}

int books_open(struct session *s, struct error *err)
{
    struct books *b = &s->books;
    if (s->step->versioned && books_look(s, err) < 0)
        return -1;
    if (!s->step->versioned) {
        b->schema = s->step->schema ? s->step->schema : s->schema ? s->schema : "public";
        b->history.shape = MIGRATION_NO_TABLE;
    }
    const char *subject =
        b->table_sql ? b->table_sql : arena_printf(s->arena, "%s/%s", s->step->name, b->schema);
    if (lock_key(s, subject, err) < 0 || find_log(s, err) < 0)
        return -1;
    return 0;
}
