/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tokens of SQL as psql 15 sees them (psqlscan.l, standard_conforming_strings on), one at a time. psql reads
 * lines, so a string that goes on behind a line's end ('a' NEWLINE 'b') is two tokens here as there.
 */

#include <stdbool.h>
#include <stddef.h>

enum sql_token_kind {
    SQL_TOKEN_END,
    SQL_TOKEN_COMMENT,  /* without the line's end */
    SQL_TOKEN_WORD,     /* keyword or name, as written */
    SQL_TOKEN_QUOTED,   /* "name", U&"name" */
    SQL_TOKEN_STRING,   /* with its quotes: '', E'', U&'', B'', X'', N'', $$ */
    SQL_TOKEN_NUMBER,   /* also $1 */
    SQL_TOKEN_OPERATOR, /* one or more characters, or whatever else stands there */
    SQL_TOKEN_VARIABLE, /* :name, to psql one of its variables: to the server two tokens */
    SQL_TOKEN_OPEN,
    SQL_TOKEN_CLOSE,
    SQL_TOKEN_SEMICOLON,
    SQL_TOKEN_BACKSLASH,    /* a command of psql begins */
    SQL_TOKEN_UNTERMINATED, /* a quote or comment without its end; the first character tells which */
};

struct sql_token {
    enum sql_token_kind kind;
    const char *text;
    size_t len;
};

/* The first one at or behind at; blanks before it are skipped. */
struct sql_token sql_token(const char *at, const char *end);

/* The same without comments. */
struct sql_token sql_token_of_statement(const char *at, const char *end);

static inline const char *sql_token_end(const struct sql_token *t)
{
    return t->text + t->len;
}

/* Is it this keyword? Upper case, unquoted. */
bool sql_token_is(const struct sql_token *t, const char *word);
