/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/session.h"

/* What has to be in the database when the steps are done. Names are written as in SQL. */

struct check {
    struct session *s;
    struct str wrong; /* a line each */
};

static void miss(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void miss(struct check *c, const char *format, ...)
{
    cleanup_arena struct arena arena = {0};
    va_list ap;
    va_start(ap, format);
    str_printf(&c->wrong, "%s%s", c->wrong.len ? "\n" : "", arena_vprintf(&arena, format, ap));
    va_end(ap);
}

static int check_tables(struct check *c, const char *const *names, struct error *err)
{
    for (; names && *names; names++) {
        cleanup_result PGresult *r = NULL;
        if (PG_ASK(
                &c->s->conn, *names, &r, err,
                "SELECT FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1) AND relkind IN ('r', "
                "'p', 'v', 'm', 'f')",
                *names) < 0)
            return -1;
        if (PQntuples(r) == 0)
            miss(c, "table %s is missing", *names);
    }
    return 0;
}

/* "public.users.email" is column email of public.users. */
static const char *owner_of(struct arena *arena, const char *name, const char **ret_last)
{
    const char *dot = strrchr(name, '.');
    *ret_last = dot ? dot + 1 : name;
    return dot ? arena_strndup(arena, name, (size_t)(dot - name)) : NULL;
}

static int check_columns(struct check *c, const char *const *names, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    for (; names && *names; names++) {
        cleanup_result PGresult *r = NULL;
        const char *column, *table = owner_of(&arena, *names, &column);
        if (PG_ASK(&c->s->conn, *names, &r, err,
                   "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass($1) AND "
                   "attname = "
                   "(pg_catalog.parse_ident($2))[1] AND attnum > 0 AND NOT attisdropped",
                   table, column) < 0)
            return -1;
        if (PQntuples(r) == 0)
            miss(c, "column %s is missing", *names);
    }
    return 0;
}

/* "tasks.tasks_rule_type_check contains 'single'": the text is looked for in its definition. */
static const char *wanted_part(struct arena *arena, const char *text, const char **ret_name)
{
    static const char word[] = " contains ";
    const char *at = strstr(text, word);
    *ret_name = at ? arena_strndup(arena, text, (size_t)(at - text)) : text;
    if (!at)
        return NULL;
    const char *part = at + sizeof word - 1;
    size_t len = strlen(part);
    return len >= 2 && part[0] == '\'' && part[len - 1] == '\'' ? arena_strndup(arena, part + 1, len - 2)
                                                                : part;
}

static int check_constraints(struct check *c, const char *const *names, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    for (; names && *names; names++) {
        cleanup_result PGresult *r = NULL;
        const char *name, *part = wanted_part(&arena, *names, &name);
        const char *constraint, *table = owner_of(&arena, name, &constraint);
        if (PG_ASK(&c->s->conn, *names, &r, err,
                   "SELECT pg_catalog.pg_get_constraintdef(oid), convalidated FROM pg_catalog.pg_constraint "
                   "WHERE "
                   "conrelid = pg_catalog.to_regclass($1) AND conname = (pg_catalog.parse_ident($2))[1]",
                   table, constraint) < 0)
            return -1;
        if (PQntuples(r) == 0)
            miss(c, "constraint %s is missing", name);
        else if (part && !strstr(PQgetvalue(r, 0, 0), part))
            miss(c, "constraint %s does not contain '%s': it is %s", name, part, PQgetvalue(r, 0, 0));
    }
    return 0;
}

static int check_indexes(struct check *c, const char *const *names, struct error *err)
{
    for (; names && *names; names++) {
        cleanup_result PGresult *r = NULL;
        if (PG_ASK(&c->s->conn, *names, &r, err,
                   "SELECT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass($1)",
                   *names) < 0)
            return -1;
        if (PQntuples(r) == 0)
            miss(c, "index %s is missing", *names);
        else if (strcmp(PQgetvalue(r, 0, 0), "t") != 0)
            miss(c, "index %s is invalid: REINDEX INDEX CONCURRENTLY %s", *names, *names);
    }
    return 0;
}

static int check_query(struct check *c, const char *query, struct error *err)
{
    cleanup_result PGresult *r = NULL;
    struct pg_result result = {0};
    struct pg_failure failure;
    if (!query)
        return 0;
    if (pg_run(&c->s->conn, &(struct pg_call){.sql = query}, &result, &failure) < 0) {
        if (failure.cause != PG_SERVER)
            return pg_failure_error(&failure, err);
        miss(c, "the query failed: %s (%s)", failure.text, failure.sqlstate);
        return 0;
    }
    r = result.res;
    if (PQntuples(r) != 1 || PQnfields(r) != 1 || strcmp(PQgetvalue(r, 0, 0), "t") != 0)
        miss(c, "the query is to yield one row with true, and yields %d rows%s%s", PQntuples(r),
             PQntuples(r) == 1 ? ": " : "", PQntuples(r) == 1 ? PQgetvalue(r, 0, 0) : "");
    return 0;
}

int migrate_expect(struct arena *arena, const struct migrate_target *target,
                   const struct migrate_expectation *e, int64_t timeout_us, struct error *err)
{
    cleanup_session struct session s = {
        .target = target, .arena = arena, .deadline_us = mono_us() + timeout_us};
    struct check c = {.s = &s};
    if (session_open(&s, timeout_us / 2, err) < 0 ||
        PG_ASK(&s.conn, "expect", NULL, err, "BEGIN READ ONLY") < 0)
        return -1;
    int r = check_tables(&c, e->tables, err) < 0 || check_columns(&c, e->columns, err) < 0 ||
                    check_constraints(&c, e->constraints, err) < 0 ||
                    check_indexes(&c, e->indexes, err) < 0 || check_query(&c, e->query, err) < 0
                ? -1
                : 0;
    if (r == 0 && c.wrong.len)
        r = error_set(err, ERR_FAILED, 0, "%s", str_text(&c.wrong));
    str_release(&c.wrong);
    return r;
}
