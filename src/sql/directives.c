/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/directives.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sql/place.h"
#include "sql/token.h"

enum { SHOWN_WORD = 40 };

static bool *known(struct sql_directives *d, const char *word)
{
    return str_eq(word, "no-transaction") ? &d->no_transaction
           : str_eq(word, "breaking")     ? &d->breaking
           : str_eq(word, "out-of-order") ? &d->out_of_order
                                          : NULL;
}

static int read_words(struct sql_lexer *places, const char *at, char *text, bool first,
                      struct sql_directives *directives, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    size_t n;
    for (char *c = text; *c; c++)
        if (*c == ',')
            *c = ' ';
    char **words = words_split(&arena, text, &n);
    if (!first) {
        if (n && known(directives, words[0]))
            return sql_fail(places, at, err,
                            "-- deploy: %s stands before the first statement, or it does not count",
                            words[0]);
        return 0;
    }
    for (size_t i = 0; i < n || n == 0; i++) {
        bool *directive = n ? known(directives, words[i]) : NULL;
        if (!directive)
            return sql_fail(places, at, err,
                            "unknown directive '%s': there are no-transaction, breaking, out-of-order",
                            n ? str_clean(&arena, words[i], strlen(words[i]), true, SHOWN_WORD) : "");
        *directive = true;
    }
    return 0;
}

/*
 * Where other runners' files begin with what undoes them. They split the file there; we run a file whole, and
 * it would drop what it has just made.
 */
static int refuse_way_back(struct sql_lexer *places, const char *comment, const char *at, const char *end,
                           struct error *err)
{
    static const struct {
        const char *marker, *runner;
    } rows[] = {
        {"migrate:down", "dbmate"}, {"+goose Down", "goose"}, {"+migrate Down", "sql-migrate"},
        {"//@UNDO", "MyBatis"},     {"@UNDO", "MyBatis"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t len = strlen(rows[i].marker);
        if ((size_t)(end - at) >= len && strncasecmp(at, rows[i].marker, len) == 0)
            return sql_fail(places, comment, err,
                            "'%s' begins the way back in files of %s; files run whole here, so that it would "
                            "undo the file at once: keep it in a file beside, under rollback/",
                            rows[i].marker, rows[i].runner);
    }
    return 0;
}

static int read_comment(struct sql_lexer *places, const struct sql_token *comment, bool first,
                        struct sql_directives *directives, struct error *err)
{
    static const char prefix[] = "deploy:";
    const char *at = comment->text + 2, *end = sql_token_end(comment);
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (*comment->text != '-')
        return 0;
    if (refuse_way_back(places, comment->text, at, end, err) < 0)
        return -1;
    if ((size_t)(end - at) < strlen(prefix) || memcmp(at, prefix, strlen(prefix)) != 0)
        return 0;
    at += strlen(prefix);
    cleanup_arena struct arena arena = {0};
    return read_words(places, comment->text, arena_strndup(&arena, at, (size_t)(end - at)), first, directives,
                      err);
}

int sql_directives(struct sql_lexer *places, const char *at, const char *end, bool first,
                   struct sql_directives *directives, struct error *err)
{
    struct sql_token t = sql_token(at, end);
    for (; t.kind != SQL_TOKEN_END; t = sql_token(at, end)) {
        at = sql_token_end(&t);
        if (t.kind == SQL_TOKEN_BACKSLASH) { /* psql's, up to the line's end */
            const char *newline = memchr(at, '\n', (size_t)(end - at));
            at = newline ? newline : end;
        } else if (t.kind == SQL_TOKEN_COMMENT && read_comment(places, &t, first, directives, err) < 0) {
            return -1;
        }
    }
    return 0;
}
