/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "core/release_internal.h"

/* x-release.steps: the kinds `sql` and `expect`. */

static const int64_t sql_timeout_us = 900 * US_PER_S, lock_timeout_us = 5 * US_PER_S;

enum { IDENTIFIER_MAX = 63 }; /* NAMEDATALEN - 1 */

/* ---- sql ---- */

static int read_as(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    static const char *const words[] = {"admin"};
    unsigned word;
    if (release_choice(d, node, words, ARRAY_SIZE(words), &word, err) < 0)
        return -1;
    *(bool *)target = true;
    return 0;
}

static int read_on_error(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    static const char *const words[] = {"stop", "continue"};
    unsigned word;
    if (release_choice(d, node, words, ARRAY_SIZE(words), &word, err) < 0)
        return -1;
    *(bool *)target = word == 1;
    return 0;
}

static int read_on_edited(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    static const char *const words[] = {
        [EDITED_ERROR] = "error", [EDITED_WARN] = "warn", [EDITED_IGNORE] = "ignore"};
    unsigned word;
    if (release_choice(d, node, words, ARRAY_SIZE(words), &word, err) < 0)
        return -1;
    *(enum on_edited *)target = (enum on_edited)word;
    return 0;
}

/* Versions as files have them: "040", quoted, since YAML would read 040 as a number in base eight. */
static int read_versions(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    const char **versions;
    if (decode_strings(d, node, &versions, err) < 0)
        return -1;
    for (size_t i = 0; versions[i]; i++)
        if (!*versions[i] || versions[i][strspn(versions[i], "0123456789")])
            return node_error(err, node->list.items[i], d->path, "'%s' is no version (\"040\")", versions[i]);
    *(const char *const **)target = versions;
    return 0;
}

/* {rule: error}: which dangers refuse the plan. The others warn. */
static int read_lint(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    static const char *const words[] = {"warn", "error"};
    size_t n = 0;
    if (node->type != NODE_MAP)
        return node_error(err, node, d->path, "must be a mapping of rules to error or warn");
    const char **rules = arena_array(d->arena, node->map.n + 1, sizeof *rules);
    for (size_t i = 0; i < node->map.n; i++) {
        const struct node_pair *pair = &node->map.pairs[i];
        struct decode below = decode_below(d, pair->key);
        unsigned word;
        const struct node at = {.file = node->file, .line = pair->line, .column = pair->column};
        if (!sql_lint_is_rule(pair->key))
            return node_error(err, &at, d->path, "no rule '%s'; docs/database.md lists them", pair->key);
        if (release_choice(&below, pair->value, words, ARRAY_SIZE(words), &word, err) < 0)
            return -1;
        if (word == 1)
            rules[n++] = arena_strdup(d->arena, pair->key);
    }
    *(const char *const **)target = rules;
    return 0;
}

/* NAME or SCHEMA.NAME, quoted by us: so a quote is part of a name, and surely not meant. */
static bool is_table(const char *text)
{
    size_t parts = 1, len = 0;
    for (; *text; text++) {
        if (*text == '.') {
            if (len == 0 || ++parts > 2)
                return false;
            len = 0;
        } else if (isspace((unsigned char)*text) || (unsigned char)*text < 0x20 || *text == '"' ||
                   ++len > IDENTIFIER_MAX) {
            return false;
        }
    }
    return len > 0;
}

static int refuse_key(const struct decode *d, const struct node *node, const char *key, const char *why,
                      struct error *err)
{
    return node_get(node, key) ? node_error(err, node_get(node, key), d->path, "%s %s", key, why) : 0;
}

/* Keys that would be ignored beside others. */
static int check_combinations(const struct decode *d, const struct node *node, const struct sql_step *sql,
                              struct error *err)
{
    static const char *const of_versions[] = {"table", "on_edited", "accept_duplicates"};
    for (size_t i = 0; !sql->versioned && i < ARRAY_SIZE(of_versions); i++)
        if (refuse_key(d, node, of_versions[i], "has no meaning with versioned: false", err) < 0)
            return -1;
    return sql->for_each_schema ? 0 : refuse_key(d, node, "on_error", "belongs to for_each_schema", err);
}

int release_read_sql(const struct decode *d, const struct node *node, const char **ret_name,
                     struct sql_step *ret, struct error *err)
{
    struct raw {
        const char *name;
        struct sql_step sql;
    } raw = {.sql = {.table = "schema_migrations",
                     .timeout_us = sql_timeout_us,
                     .lock_timeout_us = lock_timeout_us,
                     .versioned = true}};
    static const struct decode_key keys[] = {
        {"name", decode_string, offsetof(struct raw, name)},
        {"dir", decode_string, offsetof(struct raw, sql.dir)},
        {"table", decode_string, offsetof(struct raw, sql.table)},
        {"timeout", decode_duration, offsetof(struct raw, sql.timeout_us)},
        {"as", read_as, offsetof(struct raw, sql.admin)},
        {"versioned", decode_bool, offsetof(struct raw, sql.versioned)},
        {"for_each_schema", decode_string, offsetof(struct raw, sql.for_each_schema)},
        {"on_error", read_on_error, offsetof(struct raw, sql.continue_on_error)},
        {"lock_timeout", decode_duration, offsetof(struct raw, sql.lock_timeout_us)},
        {"on_edited", read_on_edited, offsetof(struct raw, sql.rules.on_edited)},
        {"accept_duplicates", read_versions, offsetof(struct raw, sql.rules.accept_duplicates)},
        {"lint", read_lint, offsetof(struct raw, sql.rules.lint_errors)},
    };
    struct sql_step *sql = &raw.sql;
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), &raw, err) < 0)
        return -1;
    if (!raw.name || !sql->dir)
        return node_error(err, node, d->path, "needs name and dir");
    if (!release_is_path(sql->dir))
        return node_error(err, node_get(node, "dir"), d->path,
                          "'%s' is no path from the repository's root (db/migrations, without ..)", sql->dir);
    if (!is_table(sql->table))
        return node_error(err, node_get(node, "table"), d->path, "'%s' is no table: NAME or SCHEMA.NAME",
                          sql->table);
    if (sql->timeout_us <= 0)
        return node_error(err, node_get(node, "timeout"), d->path, "timeout must be more than 0");
    if (sql->lock_timeout_us <= 0)
        return node_error(err, node_get(node, "lock_timeout"), d->path,
                          "lock_timeout must be more than 0: without one, users of a table stand behind a "
                          "migration that waits for it");
    if (check_combinations(d, node, sql, err) < 0)
        return -1;
    *ret_name = raw.name;
    *ret = *sql;
    return 0;
}

/* ---- expect ---- */

/* table, table.column: how many parts a name must have, a schema in front not counted. */
static int check_names(const struct decode *d, const struct node *node, const char *key,
                       const char *const *names, size_t parts, const char *form, struct error *err)
{
    const struct node *list = node_get(node, key);
    struct decode below = decode_below(d, key);
    for (size_t i = 0; names && names[i]; i++) {
        size_t dots = 0, end = strcspn(names[i], " ");
        for (size_t k = 0; k < end; k++)
            dots += names[i][k] == '.';
        if (end == 0 || names[i][0] == '.' || names[i][end - 1] == '.' || dots < parts - 1 || dots > parts)
            return node_error(err, list->list.items[i], below.path, "'%s' must be %s", names[i], form);
    }
    return 0;
}

int release_read_expect(const struct decode *d, const struct node *node, const char **ret_name,
                        struct expect_step *ret, struct error *err)
{
    static const char *none[] = {NULL};
    struct raw {
        const char *name;
        struct expect_step expect;
    } raw = {"expect", {none, none, none, none, NULL}};
    static const struct decode_key keys[] = {
        {"name", decode_string, offsetof(struct raw, name)},
        {"tables", decode_strings, offsetof(struct raw, expect.tables)},
        {"columns", decode_strings, offsetof(struct raw, expect.columns)},
        {"constraints", decode_strings, offsetof(struct raw, expect.constraints)},
        {"indexes", decode_strings, offsetof(struct raw, expect.indexes)},
        {"query", decode_string, offsetof(struct raw, expect.query)},
    };
    const struct expect_step *e = &raw.expect;
    if (decode_map(d, node, keys, ARRAY_SIZE(keys), &raw, err) < 0)
        return -1;
    if (!e->tables[0] && !e->columns[0] && !e->constraints[0] && !e->indexes[0] && !e->query)
        return node_error(err, node, d->path,
                          "expects nothing: needs tables, columns, constraints, indexes "
                          "or query");
    if (check_names(d, node, "tables", e->tables, 1, "TABLE or SCHEMA.TABLE", err) < 0 ||
        check_names(d, node, "columns", e->columns, 2, "TABLE.COLUMN, with or without a schema", err) < 0 ||
        check_names(d, node, "constraints", e->constraints, 2,
                    "TABLE.CONSTRAINT, with or without a schema, and perhaps: contains 'TEXT'", err) < 0 ||
        check_names(d, node, "indexes", e->indexes, 1, "INDEX or SCHEMA.INDEX", err) < 0)
        return -1;
    *ret_name = raw.name;
    *ret = *e;
    return 0;
}
