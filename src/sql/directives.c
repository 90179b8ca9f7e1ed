/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/directives.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sql/place.h"
#include "sql/token.h"

enum { SHOWN_WORD = 40 };

static const struct {
    const char *word;
    size_t at; /* in struct sql_directives */
} all[] = {
    {"no-transaction", offsetof(struct sql_directives, no_transaction)},
    {"breaking", offsetof(struct sql_directives, breaking)},
    {"out-of-order", offsetof(struct sql_directives, out_of_order)},
};

/* In whatever case; NULL: none of them. */
static const char *nearly(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (strcasecmp(word, all[i].word) == 0)
            return all[i].word;
    return NULL;
}

static bool *known(struct sql_directives *d, const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (strcmp(word, all[i].word) == 0)
            return (bool *)((char *)d + all[i].at);
    return NULL;
}

/* exact: the comment begins as directives do, and not only nearly so. */
static int read_words(struct sql_lexer *places, const char *at, char *text, bool first, bool exact,
                      struct sql_directives *directives, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    size_t n;
    for (char *c = text; *c; c++)
        if (*c == ',')
            *c = ' ';
    char **words = words_split(&arena, text, &n);
    const char *meant = n ? nearly(words[0]) : NULL;
    if (!first)
        return meant
                   ? sql_fail(places, at, err,
                              "-- deploy: %s stands before the first statement, or it does not count", meant)
                   : 0;
    if (!exact)
        return sql_fail(places, at, err,
                        "a directive is a line of its own, -- deploy: %s, in small letters and without a "
                        "blank before the colon; a comment that is none begins with another word",
                        meant ? meant : "WORD");
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

static const char *skip(const char *at, const char *end, const char *blanks)
{
    while (at < end && strchr(blanks, *at))
        at++;
    return at;
}

/*
 * What is behind "deploy:" in a comment that begins so; NULL: another comment. To take "-- Deploy: breaking"
 * or a block comment for no directive would put old code on the new schema: nobody would know before that.
 */
static const char *words_of(const struct sql_token *comment, bool *ret_exact)
{
    static const char word[] = "deploy";
    bool block = *comment->text == '/';
    const char *end = sql_token_end(comment) - (block ? strlen("*/") : 0);
    const char *at = skip(comment->text + 2, end, block ? " \t\r\n*" : " \t-");
    if ((size_t)(end - at) < strlen(word) || strncasecmp(at, word, strlen(word)) != 0)
        return NULL;
    const char *colon = skip(at + strlen(word), end, " \t");
    if (colon == end || *colon != ':')
        return NULL;
    *ret_exact = !block && at == skip(comment->text + 2, end, " \t") && str_starts(at, "deploy:");
    return colon + 1;
}

static int read_comment(struct sql_lexer *places, const struct sql_token *comment, bool first,
                        struct sql_directives *directives, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *end = sql_token_end(comment);
    bool exact;
    if (*comment->text == '-' &&
        refuse_way_back(places, comment->text, skip(comment->text + 2, end, " \t"), end, err) < 0)
        return -1;
    const char *words = words_of(comment, &exact);
    if (!words)
        return 0;
    if (*comment->text == '/')
        end -= strlen("*/");
    return read_words(places, comment->text, arena_strndup(&arena, words, (size_t)(end - words)), first,
                      exact, directives, err);
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
