/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/apply.h"

/*
 * Statements that refuse a transaction. Between one of them and the row that says so lies a crash, so the
 * intent is written before, and afterwards the server is asked. CREATE INDEX CONCURRENTLY that fails leaves
 * an invalid index, which IF NOT EXISTS takes for a good one: it is dropped first.
 * https://www.postgresql.org/docs/15/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
 */

struct index {
    const char *sql;      /* quoted, qualified; NULL: there is none */
    bool valid, building; /* by another session */
};

/* Behind a comment, which the lexer has seen to be closed. */
static const char *comment_end(const char *p, const char *end)
{
    unsigned depth = 0;
    if (*p == '-') {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        return newline ? newline : end;
    }
    do {
        bool opens = p[0] == '/' && p[1] == '*', closes = p[0] == '*' && p[1] == '/';
        depth += opens;
        depth -= closes;
        p += opens || closes ? 2 : 1;
    } while (depth && p + 1 < end);
    return p;
}

/* A name as to_regclass() reads it: comments may stand between its parts. */
static const char *written(struct arena *arena, const char *text, size_t len)
{
    cleanup_str struct str name = {0};
    bool quoted = false;
    if (!text)
        return NULL;
    for (const char *p = text, *end = text + len; p < end;) {
        bool comment =
            !quoted && p + 1 < end && ((p[0] == '/' && p[1] == '*') || (p[0] == '-' && p[1] == '-'));
        if (comment) {
            p = comment_end(p, end);
            continue;
        }
        quoted ^= *p == '"';
        str_append_char(&name, *p++);
    }
    return arena_strdup(arena, str_text(&name));
}

/* As the statement's session sees it: an index stands in its table's schema. */
static int find_index(struct apply *a, struct arena *arena, const struct sql_statement *st, struct index *ret,
                      struct error *err)
{
    cleanup_result PGresult *r = NULL;
    const char *index = written(arena, st->index, st->index_len);
    const char *table = written(arena, st->table, st->table_len);
    *ret = (struct index){0};
    if (!index || !table)
        return 0;
    if (PG_ASK(&a->s->conn, "looking for the index", &r, err,
               "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), i.indisvalid, EXISTS (SELECT FROM "
               "pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity b USING (pid) WHERE l.relation IN "
               "(c.oid, "
               "t.oid) AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted AND l.pid <> "
               "pg_catalog.pg_backend_pid() AND "
               "b.backend_type IS DISTINCT FROM 'autovacuum worker') FROM pg_catalog.pg_class t JOIN "
               "pg_catalog.pg_namespace n ON n.oid = t.relnamespace JOIN pg_catalog.pg_class c ON "
               "c.relnamespace "
               "= n.oid JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid WHERE t.oid = "
               "pg_catalog.to_regclass($2) AND c.relkind = 'i' AND c.relname = "
               "(pg_catalog.parse_ident($1))[1]::name",
               index, table) < 0)
        return apply_place(a, st, err);
    if (PQntuples(r) == 0)
        return 0;
    ret->sql = arena_strdup(arena, PQgetvalue(r, 0, 0));
    ret->valid = strcmp(PQgetvalue(r, 0, 1), "t") == 0;
    ret->building = strcmp(PQgetvalue(r, 0, 2), "t") == 0;
    return 0;
}

/*
 * CONCURRENTLY waits for every transaction that is open, and nobody waits for it meanwhile: our short
 * lock_timeout would only make it fail. One that the file set itself is left alone.
 */
static int be_patient(struct apply *a, bool *ret_changed, struct error *err)
{
    cleanup_result PGresult *r = NULL;
    if (PG_ASK(&a->s->conn, "setting lock_timeout", &r, err,
               "SELECT pg_catalog.set_config('lock_timeout', '0', false) FROM pg_catalog.pg_settings WHERE "
               "name = "
               "'lock_timeout' AND setting = reset_val AND setting <> '0'") < 0)
        return -1;
    *ret_changed = PQntuples(r) == 1;
    return 0;
}

/* r: how the statement ended, which stays the result unless it was good. */
static int end_patience(struct apply *a, bool changed, int r, struct error *err)
{
    const struct pg_failure failure = a->failure;
    struct error ignored = {0};
    if (changed && a->s->conn.pg &&
        PG_ASK(&a->s->conn, "setting lock_timeout back", NULL, r < 0 ? &ignored : err, "RESET lock_timeout") <
            0)
        r = -1;
    a->failure = failure;
    return r;
}

static int drop(struct apply *a, struct arena *arena, const char *index, struct error *err)
{
    bool changed;
    session_warn(a->s, "%s: the invalid index %s, left by an attempt that failed, was dropped",
                 a->migration->file, index);
    fault_point("sql.drop_invalid");
    const char *sql = arena_printf(arena, "DROP INDEX CONCURRENTLY IF EXISTS %s", index);
    if (be_patient(a, &changed, err) < 0)
        return -1;
    return end_patience(a, changed, apply_own(a, "dropping an invalid index", sql, false, NULL, err), err);
}

/* *ret_done: an earlier run has built it. */
static int prepare_index(struct apply *a, struct arena *arena, const struct sql_statement *st, bool *ret_done,
                         struct error *err)
{
    struct index index;
    for (;;) {
        if (find_index(a, arena, st, &index, err) < 0)
            return -1;
        if (!index.sql || index.valid || !index.building)
            break;
        session_waiting(a->s, arena_printf(arena, "another session builds the index %s", index.sql));
        if (pg_pause(&a->s->conn, US_PER_S, err) < 0)
            return error_wrap(err, "waiting for another session that builds the index %s", index.sql);
    }
    session_waiting(a->s, NULL);
    *ret_done = index.sql && index.valid && a->in_doubt;
    return index.sql && !index.valid ? drop(a, arena, index.sql, err) : 0;
}

/* What a REINDEX CONCURRENTLY that died leaves: invalid indexes named …_ccnew, …_ccold. */
static int prepare_reindex(struct apply *a, struct arena *arena, const struct sql_statement *st,
                           struct error *err)
{
    cleanup_result PGresult *r = NULL;
    const char *object = written(arena, st->table, st->table_len);
    if (!object)
        return 0;
    if (PG_ASK(&a->s->conn, "looking for leftovers of REINDEX CONCURRENTLY", &r, err,
               "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i JOIN "
               "pg_catalog.pg_class c "
               "ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT "
               "i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' AND i.indrelid IN (SELECT "
               "coalesce((SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = "
               "pg_catalog.to_regclass($1)), "
               "pg_catalog.to_regclass($1))) AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE "
               "l.relation = "
               "c.oid AND l.pid <> pg_catalog.pg_backend_pid())",
               object) < 0)
        return apply_place(a, st, err);
    for (int i = 0; i < PQntuples(r); i++)
        if (drop(a, arena, arena_strdup(arena, PQgetvalue(r, i, 0)), err) < 0)
            return -1;
    return 0;
}

static int intend(struct apply *a, const struct sql_statement *st, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *sql = arena_printf(&arena,
                                   SESSION_BEGIN SESSION_OURS ONE_ROW(
                                       "UPDATE %s SET stmt_index = %u WHERE id = %lld RETURNING 1") "COMMIT",
                                   a->s->books.log_sql, st->number, (long long)a->log_id);
    if (apply_own(a, "recording what comes next", sql, true, NULL, err) < 0)
        return -1;
    fault_point("sql.intent");
    return 0;
}

static int check_valid(struct apply *a, struct arena *arena, const struct sql_statement *st,
                       struct error *err)
{
    struct index index;
    if (find_index(a, arena, st, &index, err) < 0)
        return -1;
    if (index.sql && !index.valid)
        return apply_refuse(a, st, err, "the index %s is invalid after its creation", index.sql);
    return 0;
}

static int name_invalid(struct apply *a, struct arena *arena, const struct sql_statement *st,
                        struct error *err)
{
    struct index index;
    struct error ignored = {0};
    const char *said = arena_strdup(arena, err->text);
    if (a->failure.cause != PG_LOST && find_index(a, arena, st, &index, &ignored) == 0 && index.sql &&
        !index.valid)
        error_set(err, err->kind, 0, "%s; the invalid index %s stays until the next attempt, which drops it",
                  said, index.sql);
    return -1;
}

/* DETACH PARTITION … CONCURRENTLY that was cut off between its two transactions cannot be sent again. */
static const char *pending_detach(struct apply *a, struct arena *arena, const struct sql_statement *st)
{
    cleanup_result PGresult *r = NULL;
    struct error ignored = {0};
    const char *partition = written(arena, st->table, st->table_len);
    if (st->kind != SQL_ONCE || !partition || !a->s->conn.pg)
        return "";
    if (PG_ASK(&a->s->conn, "looking for a pending partition", &r, &ignored,
               "SELECT pg_catalog.format('ALTER TABLE %I.%I DETACH PARTITION %I.%I FINALIZE', pn.nspname, "
               "p.relname, "
               "cn.nspname, c.relname) FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = "
               "i.inhparent JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace JOIN "
               "pg_catalog.pg_class c ON c.oid = i.inhrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = "
               "c.relnamespace WHERE i.inhrelid = pg_catalog.to_regclass($1) AND i.inhdetachpending",
               partition) < 0 ||
        PQntuples(r) == 0)
        return "";
    return arena_printf(arena, "; the partition is left pending: write %s in its place", PQgetvalue(r, 0, 0));
}

static int name_pending(struct apply *a, struct arena *arena, const struct sql_statement *st,
                        struct error *err)
{
    const char *said = arena_strdup(arena, err->text);
    return error_set(err, err->kind, 0, "%s%s", said, pending_detach(a, arena, st));
}

static int concurrently(struct apply *a, struct arena *arena, const struct sql_statement *st,
                        struct error *err)
{
    bool changed;
    if (be_patient(a, &changed, err) < 0)
        return -1;
    int r = end_patience(a, changed, apply_statement(a, st, err), err);
    if (st->kind == SQL_CREATE_INDEX_CONCURRENTLY)
        return r < 0 ? name_invalid(a, arena, st, err) : check_valid(a, arena, st, err);
    return r < 0 ? name_pending(a, arena, st, err) : 0;
}

static int ask_a_person(struct apply *a, struct arena *arena, const struct sql_statement *st,
                        struct error *err)
{
    return apply_refuse(a, st, err,
                        "an earlier run was cut off while this statement ran, and whether it took effect "
                        "cannot be told. Look, then: "
                        "agentctl migrate resolve STACK %s --statement %u done|again%s",
                        a->migration->version, st->number, pending_detach(a, arena, st));
}

/* U&"d\0061t" is a name that only the server can read, in a statement and not in a question. */
static bool is_escaped(struct arena *arena, const char *name, size_t len)
{
    const char *text = written(arena, name, len);
    return text && strcasestr(text, "u&\"");
}

static int go_alone(struct apply *a, struct arena *arena, const struct sql_statement *st, struct error *err)
{
    bool is_index = st->kind == SQL_CREATE_INDEX_CONCURRENTLY,
         is_reindex = st->kind == SQL_REINDEX_CONCURRENTLY;
    bool done = false;
    if (is_escaped(arena, st->index, st->index_len) || is_escaped(arena, st->table, st->table_len))
        return apply_refuse(
            a, st, err,
            "what becomes of a name written as U&\"…\" cannot be looked up: write the name itself");
    if (a->in_doubt && !is_reindex && st->kind != SQL_AGAIN && !(is_index && st->index))
        return ask_a_person(a, arena, st, err);
    if ((is_index && prepare_index(a, arena, st, &done, err) < 0) ||
        (is_reindex && prepare_reindex(a, arena, st, err) < 0))
        return -1;
    if (done)
        return 0;
    if (intend(a, st, err) < 0)
        return -1;
    a->alone = st->number;
    return st->concurrently ? concurrently(a, arena, st, err) : apply_statement(a, st, err);
}

int apply_alone(struct apply *a, const struct sql_statement *st, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    if (go_alone(a, &arena, st, err) < 0)
        return -1;
    fault_point("sql.alone");
    if (apply_state(a) != PQTRANS_IDLE)
        return apply_refuse(a, st, err, "the statement left a transaction open");
    if (apply_progress(a, st, "COMMIT", err) < 0)
        return -1;
    a->alone = 0;
    return 0;
}
