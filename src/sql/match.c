/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/match.h"

#include <string.h>
#include <strings.h>

#include "sql/token.h"

struct place {
    const char *at, *end;
    struct sql_name *names;
    unsigned n;
};

static struct sql_token look(const struct place *p)
{
    return sql_token_of_statement(p->at, p->end);
}

static void keep(struct place *p, const char *text, const char *end)
{
    if (p->names && p->n < SQL_KEPT)
        p->names[p->n++] = (struct sql_name){text, (size_t)(end - text)};
}

/* Behind the parenthesis that closes the one t is. */
static bool skip_group(const char **at, const char *end, struct sql_token t)
{
    for (unsigned depth = 0; t.kind != SQL_TOKEN_END; t = sql_token_of_statement(*at, end)) {
        *at = sql_token_end(&t);
        depth += t.kind == SQL_TOKEN_OPEN;
        if (t.kind == SQL_TOKEN_CLOSE && --depth == 0)
            return true;
    }
    return false;
}

static bool is_name(const struct sql_token *t)
{
    return t->kind == SQL_TOKEN_WORD || t->kind == SQL_TOKEN_QUOTED;
}

static bool name(struct place *p)
{
    struct sql_token t = look(p);
    const char *start = t.text;
    if (!is_name(&t))
        return false;
    for (;;) {
        p->at = sql_token_end(&t);
        struct sql_token dot = look(p);
        if (dot.kind != SQL_TOKEN_OPERATOR || dot.len != 1 || *dot.text != '.')
            break;
        t = sql_token_of_statement(dot.text + 1, p->end);
        if (!is_name(&t))
            break;
    }
    keep(p, start, p->at);
    return true;
}

/* Is t one of the words between bars? */
static bool one_of(const struct sql_token *t, const char *words, size_t len)
{
    for (const char *end = words + len; words < end;) {
        const char *bar = memchr(words, '|', (size_t)(end - words));
        size_t n = (size_t)((bar ? bar : end) - words);
        if (n == t->len && t->kind != SQL_TOKEN_QUOTED && strncasecmp(t->text, words, n) == 0)
            return true;
        words += n + 1;
    }
    return false;
}

static bool element(struct place *p, const char *what, size_t len)
{
    struct sql_token t = look(p);
    if (*what == '@')
        return name(p);
    if (*what == '&')
        keep(p, t.text, p->end);
    if (*what == '&')
        return true;
    if (*what == '$')
        return t.kind == SQL_TOKEN_END;
    if (len == 2 && memcmp(what, "()", 2) == 0)
        return t.kind == SQL_TOKEN_OPEN && skip_group(&p->at, p->end, t);
    if (*what == '#' ? t.kind != SQL_TOKEN_STRING : !one_of(&t, what, len))
        return false;
    p->at = sql_token_end(&t);
    if (*what == '#')
        keep(p, t.text, p->at);
    return true;
}

static bool match(struct place p, const char *pattern);

static bool match_further_on(struct place p, const char *pattern)
{
    for (;;) {
        if (match(p, pattern))
            return true;
        struct sql_token t = look(&p);
        if (t.kind == SQL_TOKEN_END || t.kind == SQL_TOKEN_CLOSE)
            return false;
        p.at = sql_token_end(&t);
        if (t.kind == SQL_TOKEN_OPEN) {
            p.at = t.text;
            if (!skip_group(&p.at, p.end, t))
                return false;
        }
    }
}

static bool match(struct place p, const char *pattern)
{
    while (*pattern) {
        size_t len = strcspn(pattern, " ");
        const char *next = pattern + len + (pattern[len] == ' ');
        if (len == 3 && memcmp(pattern, "...", 3) == 0)
            return match_further_on(p, next);
        if (*pattern == '?')
            element(&p, pattern + 1, len - 1);
        else if (!element(&p, pattern, len))
            return false;
        pattern = next;
    }
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Most patterns are refused by their first letter. */
static bool may_match(char c, const char *pattern)
{
    if (!is_letter(c) || !is_letter(*pattern))
        return true;
    for (const char *word = pattern;;) {
        if (*word == (c & ~0x20))
            return true;
        word += strcspn(word, "| ");
        if (*word++ != '|')
            return false;
    }
}

bool sql_match(const char *text, size_t len, const char *pattern, struct sql_name ret_names[SQL_KEPT])
{
    if (ret_names)
        memset(ret_names, 0, SQL_KEPT * sizeof *ret_names);
    if (!len || !may_match(*text, pattern))
        return false;
    return match((struct place){text, text + len, ret_names, 0}, pattern);
}
