/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "pg/session.h"

int64_t version_number(const char *version)
{
    char *end;
    if (!*version || strspn(version, "0123456789") != strlen(version) || strlen(version) > 18)
        return -1;
    return strtoll(version, &end, 10);
}

static int by_number(const void *a, const void *b)
{
    const struct migration_version *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static int by_number_and_id(const void *a, const void *b)
{
    const struct migration_log *x = a, *y = b;
    return x->number != y->number ? (x->number > y->number) - (x->number < y->number)
                                  : (x->id > y->id) - (x->id < y->id);
}

static int log_by_number(const void *a, const void *b)
{
    const struct migration_log *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

/* With room for what this run will add. */
static void room_for_versions(struct session *s, size_t n)
{
    struct migration_history *h = &s->books.history;
    h->n_versions = n;
    h->versions = arena_array(s->arena, n + s->step->n_entries + 1, sizeof *h->versions);
}

static const char *value(struct arena *arena, PGresult *r, int row, int col)
{
    return PQgetisnull(r, row, col) ? NULL : arena_strdup(arena, PQgetvalue(r, row, col));
}

static int64_t integer(PGresult *r, int row, int col)
{
    return strtoll(PQgetvalue(r, row, col), NULL, 10);
}

/* Rows that a role may not see have to be an error that says how it may. */
static int read_table(struct session *s, const char *doing, PGresult **ret, struct error *err,
                      const char *sql, size_t n_params, const char *const *params)
{
    struct pg_failure failure;
    struct pg_result result;
    const struct pg_call call = {.sql = sql, .params = params, .n_params = n_params};
    if (pg_run(&s->conn, &call, &result, &failure) == 0) {
        *ret = result.res;
        return 0;
    }
    pg_failure_error(&failure, err);
    error_wrap(err, "%s", doing);
    if (!pg_failure_is(&failure, "42501"))
        return -1;
    cleanup_arena struct arena arena = {0};
    return error_set(
        err, err->kind, 0,
        "%s; the role %s needs GRANT SELECT on it, and has to own it where row level security is on",
        arena_strdup(&arena, err->text), s->user);
}

/* ---- the user's table ---- */

/* golang-migrate keeps the newest version only, a dirty one is of a file that failed. */
static int read_one_row(struct session *s, struct error *err)
{
    struct migration_history *h = &s->books.history;
    cleanup_result PGresult *r = NULL;
    if (read_table(s, "reading the table of versions", &r, err,
                   arena_printf(s->arena, "SELECT version::text, dirty FROM %s LIMIT 2", s->books.found_sql),
                   0, NULL) < 0)
        return -1;
    if (PQntuples(r) > 1)
        return error_set(err, ERR_INVALID, 0, "table %s has a column dirty, but more than one row",
                         s->books.found_sql);
    if (PQntuples(r) == 1) {
        h->up_to = version_number(PQgetvalue(r, 0, 0));
        h->dirty = strcmp(PQgetvalue(r, 0, 1), "t") == 0;
    }
    return 0;
}

/* What a table of another tool has as applied; NULL: cannot be told. */
static const char *foreign_query(struct session *s)
{
    static const struct {
        const char *column, *query;
    } queries[] = {
        {"installed_rank", "SELECT version::text, description::text FROM %s WHERE success AND version IS NOT "
                           "NULL AND type NOT LIKE 'UNDO%%' ORDER BY installed_rank"},
        {"version_id",
         "SELECT version_id::text, NULL FROM (SELECT DISTINCT ON (version_id) version_id, "
         "is_applied FROM %s ORDER BY version_id, id DESC) v WHERE is_applied AND version_id > 0"},
        {"operator_version", "SELECT version::text, description::text FROM %s WHERE error IS NULL OR error = "
                             "'' ORDER BY version"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
        cleanup_result PGresult *r = NULL;
        struct error ignored = {0};
        if (PG_ASK(
                &s->conn, "looking at a foreign table", &r, &ignored,
                "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = $1::regclass AND attname = $2 AND NOT "
                "attisdropped",
                s->books.found_sql, queries[i].column) == 0 &&
            PQntuples(r) == 1) {
            const char *at = strstr(queries[i].query, "%s");
            return arena_printf(s->arena, "%.*s%s%s", (int)(at - queries[i].query), queries[i].query,
                                s->books.found_sql, at + 2);
        }
    }
    return NULL;
}

static int read_rows(struct session *s, const char *sql, struct error *err)
{
    struct migration_history *h = &s->books.history;
    cleanup_result PGresult *r = NULL;
    if (read_table(s, "reading the table of versions", &r, err, sql, 0, NULL) < 0)
        return -1;
    room_for_versions(s, (size_t)PQntuples(r));
    for (int i = 0; i < PQntuples(r); i++) {
        struct migration_version *v = &h->versions[i];
        v->version = arena_strdup(s->arena, PQgetvalue(r, i, 0));
        v->number = version_number(v->version);
        v->name = value(s->arena, r, i, 1);
    }
    qsort(h->versions, h->n_versions, sizeof *h->versions, by_number);
    return 0;
}

static int read_versions(struct session *s, struct error *err)
{
    struct books *b = &s->books;
    room_for_versions(s, 0);
    b->history.dirty = false;
    b->history.up_to = -1;
    if (b->history.shape == MIGRATION_ONE_ROW && read_one_row(s, err) < 0)
        return -1;
    if (b->exists)
        return read_rows(s,
                         arena_printf(s->arena, "SELECT version::text, %s FROM %s WHERE version IS NOT NULL",
                                      b->has_name ? "name::text" : "NULL", b->table_sql),
                         err);
    const char *sql = b->history.shape == MIGRATION_FOREIGN ? foreign_query(s) : NULL;
    return sql ? read_rows(s, sql, err) : 0;
}

/* ---- our log ---- */

static enum migration_log_state log_state(const char *name)
{
    return str_eq(name, "running")    ? MIGRATION_RUNNING
           : str_eq(name, "applied")  ? MIGRATION_APPLIED
           : str_eq(name, "resolved") ? MIGRATION_RESOLVED
                                      : MIGRATION_FAILED;
}

static void read_log(struct arena *a, PGresult *r, int i, struct migration_log *log)
{
    *log = (struct migration_log){.id = integer(r, i, 0),
                                  .version = value(a, r, i, 1),
                                  .file = value(a, r, i, 2),
                                  .blob = value(a, r, i, 3),
                                  .hash = value(a, r, i, 4),
                                  .mode = value(a, r, i, 5),
                                  .state = log_state(PQgetvalue(r, i, 6)),
                                  .done = (unsigned)integer(r, i, 7),
                                  .total = (unsigned)integer(r, i, 8),
                                  .prefix_hash = value(a, r, i, 9),
                                  .started_us = integer(r, i, 10),
                                  .finished_us = integer(r, i, 11),
                                  .error = value(a, r, i, 12)};
    log->number = version_number(log->version);
}

/* "016" and "16" are one version. */
static size_t newest_of_each(struct migration_log *logs, size_t n)
{
    size_t kept = 0;
    qsort(logs, n, sizeof *logs, by_number_and_id);
    for (size_t i = 0; i < n; i++) {
        if (kept && logs[kept - 1].number == logs[i].number)
            kept--;
        logs[kept++] = logs[i];
    }
    return kept;
}

static int read_logs(struct session *s, struct error *err)
{
    struct books *b = &s->books;
    cleanup_result PGresult *r = NULL;
    b->history.logs = NULL;
    b->history.n_logs = 0;
    if (!b->log_exists || !b->table_sql)
        return 0;
    const char *sql = arena_printf(
        s->arena,
        "SELECT DISTINCT ON (version) id, version, file, blob_oid, norm_sha256, mode, state, stmts_done, "
        "stmts_total, prefix_sha256, (extract(epoch FROM started_at) * 1000000)::bigint, (extract(epoch FROM "
        "finished_at) * 1000000)::bigint, error FROM %s WHERE table_name = $1 AND version IS NOT NULL ORDER "
        "BY "
        "version, id DESC",
        b->log_sql);
    if (read_table(s, "reading the log of migrations", &r, err, sql, 1, &b->table_sql) < 0)
        return -1;
    b->history.logs = arena_array(s->arena, (size_t)PQntuples(r) + 1, sizeof *b->history.logs);
    for (int i = 0; i < PQntuples(r); i++)
        read_log(s->arena, r, i, &b->history.logs[i]);
    b->history.n_logs = newest_of_each(b->history.logs, (size_t)PQntuples(r));
    return 0;
}

/* A search_path that changed leads to another table, in which nothing is applied. */
static int refuse_moved(struct session *s, struct error *err)
{
    struct books *b = &s->books;
    cleanup_result PGresult *r = NULL;
    if (!b->log_exists || b->exists || b->history.n_logs || s->step->schema)
        return 0;
    const char *const params[] = {s->step->name, b->table_sql};
    const char *sql =
        arena_printf(s->arena,
                     "SELECT table_name FROM %s WHERE stage = $1 AND table_name <> $2 AND version IS "
                     "NOT NULL AND state IN ('applied', 'resolved') AND "
                     "pg_catalog.to_regclass(table_name) IS NOT NULL ORDER BY id DESC LIMIT 1",
                     b->log_sql);
    if (read_table(s, "reading the log of migrations", &r, err, sql, ARRAY_SIZE(params), params) < 0)
        return -1;
    if (PQntuples(r) == 0)
        return 0;
    return error_set(
        err, ERR_INVALID, 0,
        "the files of this step were recorded in %s, and now %s would be made: has the role's search_path "
        "changed? Name the table with its schema, `table: %s`",
        PQgetvalue(r, 0, 0), b->table_sql, PQgetvalue(r, 0, 0));
}

/* Policies would hide rows: with this, PostgreSQL says so instead. Files have what the login has. */
static int read_everything(struct session *s, struct error *err)
{
    if (pg_ask(&s->conn, "reading all rows", NULL, err, "SET row_security = off", 0, NULL) < 0 ||
        read_versions(s, err) < 0 || read_logs(s, err) < 0 || refuse_moved(s, err) < 0)
        return -1;
    return pg_ask(&s->conn, "reading all rows", NULL, err, "RESET row_security", 0, NULL);
}

int history_read(struct session *s, struct error *err)
{
    if (s->step->versioned && read_everything(s, err) < 0)
        return -1;
    s->books.history.tables = s->books.history.roles = NULL;
    return pg_invalid_indexes(&s->conn, s->arena, &s->books.history.invalid_indexes, err);
}

static int read_names(struct session *s, const char *sql, const char ***ret, struct error *err)
{
    cleanup_result PGresult *r = NULL;
    if (pg_ask(&s->conn, "reading the names in the catalogue", &r, err, sql, 0, NULL) < 0)
        return -1;
    *ret = pg_column(s->arena, r);
    return 0;
}

/* As a file may write them: alone where the search_path finds them, and with their schema. */
int history_read_names(struct session *s, struct error *err)
{
    if (read_names(
            s,
            "SELECT t COLLATE \"C\" FROM (SELECT CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN "
            "c.relname::text ELSE n.nspname || '.' || c.relname END AS t FROM pg_catalog.pg_class c JOIN "
            "pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')) x ORDER BY 1",
            &s->books.history.tables, err) < 0)
        return -1;
    return read_names(s, "SELECT rolname::text COLLATE \"C\" FROM pg_catalog.pg_roles ORDER BY 1",
                      &s->books.history.roles, err);
}

/* ---- looking up ---- */

bool books_has_version(const struct books *books, int64_t number)
{
    const struct migration_history *h = &books->history;
    const struct migration_version key = {.number = number};
    return h->n_versions && bsearch(&key, h->versions, h->n_versions, sizeof key, by_number);
}

void books_add_version(struct session *s, const char *version, int64_t number)
{
    struct migration_history *h = &s->books.history;
    size_t at = h->n_versions;
    for (; at > 0 && h->versions[at - 1].number > number; at--)
        h->versions[at] = h->versions[at - 1];
    h->versions[at] = (struct migration_version){.version = version, .number = number};
    h->n_versions++;
}

const struct migration_log *books_log(const struct books *books, int64_t number)
{
    const struct migration_history *h = &books->history;
    const struct migration_log key = {.number = number};
    return h->n_logs ? bsearch(&key, h->logs, h->n_logs, sizeof key, log_by_number) : NULL;
}
