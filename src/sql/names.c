/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/names.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sql/token.h"

/* Only ASCII is folded: so does the server where a character has more than one byte. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static void append_part(struct str *out, const struct sql_token *t)
{
    if (t->kind != SQL_TOKEN_QUOTED) {
        for (size_t i = 0; i < t->len; i++)
            str_append_char(out, lower(t->text[i]));
        return;
    }
    const char *at = memchr(t->text, '"', t->len), *end = sql_token_end(t) - 1;
    for (at++; at < end; at++) {
        str_append_char(out, *at);
        at += *at == '"'; /* doubled */
    }
}

char *sql_name_fold(struct arena *arena, const struct sql_name *name)
{
    cleanup_str struct str out = {0};
    if (!name->text)
        return NULL;
    const char *end = name->text + name->len;
    struct sql_token t = sql_token_of_statement(name->text, end);
    for (; t.kind != SQL_TOKEN_END; t = sql_token_of_statement(sql_token_end(&t), end))
        append_part(&out, &t);
    return arena_strdup(arena, str_text(&out));
}

/* RENAME TO leaves a table in its schema. */
static char *renamed(struct arena *arena, const struct sql_name *from, const struct sql_name *to)
{
    char *old = sql_name_fold(arena, from), *new = sql_name_fold(arena, to), *dot = strrchr(old, '.');
    if (!dot)
        return new;
    *dot = '\0';
    return arena_printf(arena, "%s.%s", old, new);
}

char *sql_table_made(struct arena *arena, const struct sql_statement *s)
{
    static const char *const patterns[] = {
        "CREATE ?GLOBAL|LOCAL ?TEMP|TEMPORARY|UNLOGGED TABLE ?IF ?NOT ?EXISTS @",
        "CREATE FOREIGN TABLE ?IF ?NOT ?EXISTS @",
        "CREATE MATERIALIZED VIEW ?IF ?NOT ?EXISTS @",
    };
    struct sql_name names[SQL_KEPT];
    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
        if (sql_match(s->text, s->len, patterns[i], names))
            return sql_name_fold(arena, &names[0]);
    if (sql_match(s->text, s->len, "ALTER TABLE ?IF ?EXISTS ?ONLY @ ?* RENAME TO @", names))
        return renamed(arena, &names[0], &names[1]);
    return NULL;
}

const char *sql_name_last(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

bool sql_name_same(const char *a, const char *b)
{
    const char *last_a = sql_name_last(a), *last_b = sql_name_last(b);
    return a != last_a && b != last_b ? str_eq(a, b) : str_eq(last_a, last_b);
}
