/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/sql.h"
#include "sql/kind.h"
#include "sql/place.h"
#include "sql/psql_command.h"
#include "sql/token.h"

/* What is known of the statement that is being read. */
struct reading {
    const char *start, *last_end;   /* of its first, its last token */
    const char *open_paren, *begin; /* where the outermost of each stands */
    unsigned parens, begins;
    unsigned n_words;
    char words[4]; /* first letters of CREATE OR REPLACE FUNCTION|PROCEDURE at their places */
};

void sql_lexer_init(struct sql_lexer *lexer, const char *file, const char *text, size_t len)
{
    *lexer = (struct sql_lexer){.file = file, .text = text, .len = len, .line = 1, .column = 1};
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        lexer->at = lexer->counted = 3;
}

/* ---- statements ---- */

/*
 * psql knows the body of CREATE FUNCTION … BEGIN ATOMIC … END by counting BEGIN, CASE and END in statements
 * that begin CREATE [OR REPLACE] FUNCTION|PROCEDURE, outside of parentheses. So do we, with its mistakes: a
 * function of the name "begin" needs quotes.
 */
static void count_word(struct reading *r, const struct sql_token *word)
{
    static const char *const first[] = {"CREATE", "FUNCTION", "PROCEDURE", "OR", "REPLACE"};
    unsigned n = r->n_words++;
    for (size_t i = 0; n < sizeof r->words && i < sizeof first / sizeof *first; i++)
        if (sql_token_is(word, first[i]))
            r->words[n] = *first[i];
    const char *w = r->words;
    if (w[0] != 'C' || r->parens || word->len < 3 || word->len > 5)
        return;
    const char *object = w[1] == 'O' && w[2] == 'R' ? w + 3 : w + 1;
    if (*object != 'F' && *object != 'P')
        return;
    if (sql_token_is(word, "BEGIN") || (r->begins && sql_token_is(word, "CASE"))) {
        if (r->begins++ == 0)
            r->begin = word->text;
    } else if (r->begins && sql_token_is(word, "END")) {
        r->begins--;
    }
}

static void count_parens(struct reading *r, const struct sql_token *t)
{
    if (t->kind == SQL_TOKEN_OPEN && r->parens++ == 0)
        r->open_paren = t->text;
    if (t->kind == SQL_TOKEN_CLOSE && r->parens)
        r->parens--;
}

static int unterminated(struct sql_lexer *lexer, const struct sql_token *t, struct error *err)
{
    const char *what = "string";
    if (*t->text == '$')
        what = "dollar quote";
    else if (*t->text == '/')
        what = "comment";
    else if (*t->text == '"' || (t->len > 2 && t->text[1] == '&' && t->text[2] == '"'))
        what = "quoted name";
    return sql_fail(lexer, t->text, err, "this %s has no end", what);
}

/* Rows begin on the next line and end before a line \. or with the file. */
static int take_rows(struct sql_lexer *lexer, struct sql_statement *s, struct error *err)
{
    const char *end = lexer->text + lexer->len, *at = lexer->text + lexer->at;
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    struct sql_token t = sql_token_of_statement(at, newline ? newline : end);
    if (t.kind != SQL_TOKEN_END)
        return sql_fail(lexer, t.text, err,
                        "behind COPY … FROM STDIN; the line has to end: its rows begin on the next one");
    at = newline ? newline + 1 : end;
    s->data = at;
    s->data_line = sql_line_of(lexer, at);
    const char *line = at;
    for (size_t len; line < end; line += len) {
        newline = memchr(line, '\n', (size_t)(end - line));
        len = (size_t)((newline ? newline + 1 : end) - line);
        if (line[0] != '\\' || len < 2 || line[1] != '.')
            continue;
        if (len == 2 || line[2] == '\n' || (line[2] == '\r' && (len == 3 || line[3] == '\n'))) {
            s->data_len = (size_t)(line - at);
            lexer->at = (size_t)(line + len - lexer->text);
            return 1;
        }
    }
    s->data_len = (size_t)(end - at);
    lexer->at = lexer->len;
    return 1;
}

static int finish(struct sql_lexer *lexer, const struct reading *r, struct sql_statement *ret,
                  struct error *err)
{
    struct sql_statement s = {.text = r->start, .len = (size_t)(r->last_end - r->start)};
    sql_place(lexer, r->start, &s.line, &s.column);
    if (s.len > SQL_STATEMENT_MAX)
        return sql_fail(lexer, r->start, err, "this statement is larger than %u MiB",
                        SQL_STATEMENT_MAX >> 20);
    if (lexer->number == SQL_STATEMENTS_MAX)
        return sql_fail(lexer, r->start, err, "more than %u statements: split the file", SQL_STATEMENTS_MAX);
    s.number = ++lexer->number;
    sql_statement_classify(&s);
    if (s.kind == SQL_COPY_IN && take_rows(lexer, &s, err) < 0)
        return -1;
    *ret = s;
    return 1;
}

static int finish_at_end(struct sql_lexer *lexer, const struct reading *r, struct sql_statement *ret,
                         struct error *err)
{
    if (!r->start)
        return 0;
    if (r->parens)
        return sql_fail(lexer, r->open_paren, err, "this parenthesis is not closed");
    if (r->begins)
        return sql_fail(lexer, r->begin, err,
                        "BEGIN without END: psql, too, would take the rest of the file for this function; "
                        "quote the word if it is a name");
    return finish(lexer, r, ret, err);
}

int sql_next(struct sql_lexer *lexer, struct sql_statement *ret, struct error *err)
{
    const char *end = lexer->text + lexer->len, *at = lexer->text + lexer->at;
    struct reading r = {0};
    if (lexer->len > SQL_FILE_MAX)
        return error_set(err, ERR_INVALID, 0, "%s:1:1: larger than %u MiB: split it", lexer->file,
                         SQL_FILE_MAX >> 20);
    for (;;) {
        struct sql_token t = sql_token(at, end);
        at = sql_token_end(&t);
        lexer->at = (size_t)(at - lexer->text);
        switch (t.kind) {
        case SQL_TOKEN_COMMENT:
            continue;
        case SQL_TOKEN_END:
            return finish_at_end(lexer, &r, ret, err);
        case SQL_TOKEN_UNTERMINATED:
            return unterminated(lexer, &t, err);
        case SQL_TOKEN_BACKSLASH:
            if (sql_psql_command(lexer, t.text, r.start != NULL, &at, err) < 0)
                return -1;
            continue;
        case SQL_TOKEN_SEMICOLON:
            if (r.parens || r.begins)
                break;
            if (r.start)
                return finish(lexer, &r, ret, err);
            continue;
        case SQL_TOKEN_WORD:
            count_word(&r, &t);
            break;
        default:
            count_parens(&r, &t);
        }
        if (!r.start)
            r.start = t.text;
        r.last_end = at;
    }
}
