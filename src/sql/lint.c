/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/lint.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sql/lint_rules.h"
#include "sql/names.h"
#include "sql/token.h"

enum { BUCKETS = 1024 };

struct enum_value { /* added by a statement of the same transaction */
    const char *text;
    size_t len;
};

struct made { /* a table, type or role that an earlier statement of this file made */
    const char *name;
    struct made *next;
};

struct lints {
    struct arena *arena;
    struct sql_summary *summary;
    struct made *made[BUCKETS];
    struct enum_value *values;
    size_t n_values;
    size_t n_roles;
    const struct sql_statement *statement;
    unsigned update_line, ddl_line; /* of this transaction; 0: none */
};

static struct made **bucket_of(struct lints *l, const char *name)
{
    unsigned hash = 5381;
    for (const char *c = sql_name_last(name); *c; c++)
        hash = hash * 33 ^ (unsigned char)*c;
    return &l->made[hash % BUCKETS];
}

static bool is_made(struct lints *l, const char *name)
{
    for (const struct made *m = name ? *bucket_of(l, name) : NULL; m; m = m->next)
        if (sql_name_same(m->name, name))
            return true;
    return false;
}

static void made(struct lints *l, const char *name)
{
    if (!name)
        return;
    struct made **bucket = bucket_of(l, name), *m = arena_alloc(l->arena, sizeof *m);
    *m = (struct made){name, *bucket};
    *bucket = m;
}

static void report(struct lints *l, unsigned line, const char *rule, const char *text, const char *table,
                   const char *role)
{
    struct sql_summary *s = l->summary;
    s->lints = arena_grow(l->arena, s->lints, s->n_lints, sizeof *s->lints);
    s->lints[s->n_lints++] =
        (struct sql_lint){.rule = rule, .line = line, .text = text, .table = table, .role = role};
}

/* ---- the table's rows ---- */

static void apply(struct lints *l, const struct sql_lint_rule *rule, const struct sql_name *whole,
                  const struct sql_name *table)
{
    struct sql_name names[SQL_KEPT];
    if (!sql_match(whole->text, whole->len, rule->pattern, names) ||
        (rule->unless && sql_match(whole->text, whole->len, rule->unless, NULL)))
        return;
    if (!table && rule->table)
        table = &names[rule->table - 1];
    const char *folded = table ? sql_name_fold(l->arena, table) : NULL;
    const char *role = rule->role ? sql_name_fold(l->arena, &names[rule->role - 1]) : NULL;
    if (!is_made(l, folded) && !is_made(l, role))
        report(l, l->statement->line, rule->rule, rule->text, folded, role);
}

/* Up to the next comma outside of parentheses. */
static struct sql_name next_action(const char *at, const char *end)
{
    const char *start = at;
    unsigned depth = 0;
    for (;;) {
        struct sql_token t = sql_token_of_statement(at, end);
        if (t.kind == SQL_TOKEN_END || (depth == 0 && t.len == 1 && *t.text == ','))
            return (struct sql_name){start, (size_t)(t.text - start)};
        depth += t.kind == SQL_TOKEN_OPEN;
        depth -= depth && t.kind == SQL_TOKEN_CLOSE;
        at = sql_token_end(&t);
    }
}

static void apply_rules(struct lints *l)
{
    const struct sql_statement *s = l->statement;
    const struct sql_name whole = {s->text, s->len};
    struct sql_name names[SQL_KEPT];
    for (const struct sql_lint_rule *rule = sql_lint_statements; rule->rule; rule++)
        apply(l, rule, &whole, NULL);
    if (!sql_match(s->text, s->len, "ALTER TABLE ?IF ?EXISTS ?ONLY @ ?* &", names))
        return;
    const char *end = s->text + s->len;
    for (const char *at = names[1].text; at < end;) {
        struct sql_name action = next_action(at, end);
        for (const struct sql_lint_rule *rule = sql_lint_actions; rule->rule; rule++)
            apply(l, rule, &action, &names[0]);
        at = action.text + action.len + 1;
    }
}

/* ---- those that look at more than one place ---- */

static void unlocks(struct lints *l)
{
    static const char *const calls[] = {"pg_advisory_unlock_all", "PG_ADVISORY_UNLOCK_ALL"};
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        if (memmem(l->statement->text, l->statement->len, calls[i], strlen(calls[i])))
            report(l, l->statement->line, SQL_LINT_UNLOCK.rule, SQL_LINT_UNLOCK.text, NULL, NULL);
}

/* A value that ALTER TYPE added cannot be used in the same transaction, unless that made the type, too. */
static void enum_values(struct lints *l)
{
    const struct sql_statement *s = l->statement;
    struct sql_name names[SQL_KEPT];
    if (l->summary->mode == SQL_NO_TX)
        return;
    for (size_t i = 0; i < l->n_values; i++)
        if (memmem(s->text, s->len, l->values[i].text, l->values[i].len)) {
            report(l, s->line, SQL_LINT_ENUM.rule, SQL_LINT_ENUM.text, NULL, NULL);
            break;
        }
    if (!sql_match(s->text, s->len, "ALTER TYPE @ ADD VALUE ?IF ?NOT ?EXISTS #", names) ||
        is_made(l, sql_name_fold(l->arena, &names[0])))
        return;
    l->values = arena_grow(l->arena, l->values, l->n_values, sizeof *l->values);
    l->values[l->n_values++] = (struct enum_value){names[1].text, names[1].len};
}

/* An UPDATE of all rows keeps whatever lock the transaction's other statements took. */
static void updates(struct lints *l)
{
    const struct sql_statement *s = l->statement;
    struct sql_name names[SQL_KEPT];
    if (sql_match(s->text, s->len, "UPDATE ?ONLY @", names) &&
        !sql_match(s->text, s->len, "UPDATE ... WHERE", NULL) &&
        !is_made(l, sql_name_fold(l->arena, &names[0])))
        l->update_line = s->line;
    if ((sql_match(s->text, s->len, "ALTER|DROP TABLE ?IF ?EXISTS ?ONLY @", names) ||
         sql_match(s->text, s->len, "CREATE ?UNIQUE INDEX ... ON ?ONLY @", names)) &&
        !is_made(l, sql_name_fold(l->arena, &names[0])))
        l->ddl_line = s->line;
    if (l->summary->mode == SQL_NO_TX || !l->update_line || !l->ddl_line)
        return;
    report(l, l->update_line, SQL_LINT_UPDATE.rule, SQL_LINT_UPDATE.text, NULL, NULL);
    l->update_line = 0;
}

static void made_role(struct lints *l, const char *name)
{
    struct sql_summary *s = l->summary;
    made(l, name);
    s->roles = arena_grow(l->arena, s->roles, l->n_roles, sizeof *s->roles);
    s->roles[l->n_roles++] = name;
    s->roles = arena_grow(l->arena, s->roles, l->n_roles, sizeof *s->roles);
    s->roles[l->n_roles] = NULL;
}

static void remember(struct lints *l)
{
    const struct sql_statement *s = l->statement;
    struct sql_name names[SQL_KEPT];
    made(l, sql_table_made(l->arena, s));
    if (sql_match(s->text, s->len, "CREATE TYPE @ AS ENUM", names))
        made(l, sql_name_fold(l->arena, &names[0]));
    if (sql_match(s->text, s->len, "CREATE ROLE|USER|GROUP @", names) &&
        !sql_match(s->text, s->len, "CREATE USER MAPPING", NULL))
        made_role(l, sql_name_fold(l->arena, &names[0]));
    if (s->kind == SQL_COMMIT || s->kind == SQL_ROLLBACK) {
        l->n_values = 0;
        l->update_line = l->ddl_line = 0;
    }
}

/* ---- the version that a file writes down itself ---- */

/* The number of the column, from 0; the first one when there are no names. */
static unsigned version_column(const struct sql_name *columns)
{
    const char *end = columns->text + columns->len;
    struct sql_token t = sql_token_of_statement(columns->text, end);
    unsigned n = 0;
    if (t.kind != SQL_TOKEN_OPEN)
        return 0;
    for (;; t = sql_token_of_statement(sql_token_end(&t), end)) {
        if (sql_token_is(&t, "VERSION") || (t.len == 9 && memcmp(t.text, "\"version\"", 9) == 0))
            return n;
        if (t.kind == SQL_TOKEN_CLOSE || t.kind == SQL_TOKEN_END)
            return 0;
        n += *t.text == ',';
    }
}

static bool same_version(const char *a, const char *b)
{
    char *end_a, *end_b;
    unsigned long long x = strtoull(a, &end_a, 10), y = strtoull(b, &end_b, 10);
    return *end_a || *end_b ? str_eq(a, b) : x == y;
}

static void own_version(struct lints *l, const char *version)
{
    const struct sql_statement *s = l->statement;
    struct sql_name names[SQL_KEPT];
    if (!version || !sql_match(s->text, s->len, "INSERT INTO @ &", names))
        return;
    const char *table = sql_name_fold(l->arena, &names[0]);
    if (!str_eq(table, "schema_migrations") && !str_ends(table, ".schema_migrations"))
        return;
    const struct sql_name rest = names[1];
    unsigned column = version_column(&rest);
    if (!sql_match(rest.text, rest.len, "... VALUES ( &", names) &&
        !sql_match(rest.text, rest.len, "... SELECT &", names))
        return;
    const char *at = names[0].text, *end = at + names[0].len;
    while (column--) {
        struct sql_name value = next_action(at, end);
        at = value.text + value.len + 1;
        if (at >= end)
            return;
    }
    struct sql_token t = sql_token_of_statement(at, end);
    if (t.kind != SQL_TOKEN_NUMBER && (t.kind != SQL_TOKEN_STRING || *t.text != '\''))
        return;
    bool quoted = t.kind == SQL_TOKEN_STRING;
    if (!same_version(arena_strndup(l->arena, t.text + quoted, t.len - 2 * quoted), version))
        report(l, s->line, SQL_LINT_VERSION.rule, SQL_LINT_VERSION.text, NULL, NULL);
}

void sql_lint(struct arena *arena, const char *text, size_t len, const char *version,
              struct sql_summary *summary)
{
    struct lints l = {.arena = arena, .summary = summary};
    struct sql_lexer lexer;
    struct sql_statement s;
    struct error err;
    l.statement = &s;
    if (summary->n_statements == 0)
        report(&l, 1, SQL_LINT_EMPTY.rule, SQL_LINT_EMPTY.text, NULL, NULL);
    sql_lexer_init(&lexer, "", text, len);
    while (sql_next(&lexer, &s, &err) > 0) {
        apply_rules(&l);
        unlocks(&l);
        enum_values(&l);
        updates(&l);
        own_version(&l, version);
        remember(&l);
    }
}
