/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/token.h"

#include <string.h>
#include <strings.h>

enum class {
    OTHER,
    SPACE,
    LETTER,
    DIGIT,
    OP,
    QUOTE,
    DOUBLE_QUOTE,
    DOLLAR,
    DOT,
    COLON,
    PAREN_OPEN,
    PAREN_CLOSE,
    SEMICOLON,
    BACKSLASH,
};

static const unsigned char classes[256] = {
    [' '] = SPACE,
    ['\t'] = SPACE,
    ['\n'] = SPACE,
    ['\r'] = SPACE,
    ['\f'] = SPACE,
    ['a' ... 'z'] = LETTER,
    ['A' ... 'Z'] = LETTER,
    ['_'] = LETTER,
    [128 ... 255] = LETTER,
    ['0' ... '9'] = DIGIT,
    ['~'] = OP,
    ['!'] = OP,
    ['@'] = OP,
    ['#'] = OP,
    ['^'] = OP,
    ['&'] = OP,
    ['|'] = OP,
    ['`'] = OP,
    ['?'] = OP,
    ['+'] = OP,
    ['-'] = OP,
    ['*'] = OP,
    ['/'] = OP,
    ['%'] = OP,
    ['<'] = OP,
    ['>'] = OP,
    ['='] = OP,
    ['\''] = QUOTE,
    ['"'] = DOUBLE_QUOTE,
    ['$'] = DOLLAR,
    ['.'] = DOT,
    [':'] = COLON,
    ['('] = PAREN_OPEN,
    [')'] = PAREN_CLOSE,
    [';'] = SEMICOLON,
    ['\\'] = BACKSLASH,
};

static enum class class_of(char c) { return classes[(unsigned char)c]; }

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && class_of(*at) == DIGIT)
        at++;
    return at;
}

/* Letters and digits: what a dollar quote's tag has; names may have $ too. */
static const char *skip_name(const char *at, const char *end, bool dollars)
{
    for (; at < end; at++) {
        enum class c = class_of(*at);
        if (c != LETTER && c != DIGIT && !(dollars && c == DOLLAR))
            break;
    }
    return at;
}

/* Behind the closing quote; a doubled one is no end. NULL: there is none. */
static const char *skip_quoted(const char *at, const char *end, char quote)
{
    while (at < end && (at = memchr(at, quote, (size_t)(end - at))) != NULL) {
        if (at + 1 == end || at[1] != quote)
            return at + 1;
        at += 2;
    }
    return NULL;
}

static const char *skip_escaped(const char *at, const char *end)
{
    while (at < end) {
        bool quote = *at == '\'';
        if (quote && (at + 1 == end || at[1] != '\''))
            return at + 1;
        if ((quote || *at == '\\') && at + 1 < end)
            at++; /* the next one stands for itself */
        at++;
    }
    return NULL;
}

static const char *skip_line(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    end = newline ? newline : end;
    const char *cr = memchr(at, '\r', (size_t)(end - at));
    return cr ? cr : end;
}

/* Comments nest. at: behind the first slash and star. */
static const char *skip_comment(const char *at, const char *end)
{
    for (unsigned depth = 1; at + 1 < end; at++) {
        if (at[0] == '*' && at[1] == '/') {
            at++;
            if (--depth == 0)
                return at + 1;
        } else if (at[0] == '/' && at[1] == '*') {
            at++;
            depth++;
        }
    }
    return NULL;
}

/* at: the first dollar. NULL: the quote has no end; at itself: this is no dollar quote. */
static const char *skip_dollars(const char *at, const char *end)
{
    const char *tag_end = at + 1;
    if (tag_end < end && class_of(*tag_end) == LETTER)
        tag_end = skip_name(tag_end, end, false);
    if (tag_end == end || *tag_end != '$')
        return at;
    size_t len = (size_t)(++tag_end - at);
    const char *close = memmem(tag_end, (size_t)(end - tag_end), at, len);
    return close ? close + len : NULL;
}

/* Ends before a comment. For the standard's sake + and - end a longer operator only when it also has one of
   the characters that the standard's operators lack: a=-1 is a = -1. */
static const char *skip_operator(const char *start, const char *end)
{
    const char *at = start + 1;
    bool ours = strchr("~!@#^&|`?%", *start) != NULL;
    for (; at < end && class_of(*at) == OP; at++) {
        if (at + 1 < end && ((at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*')))
            break;
        ours |= strchr("~!@#^&|`?%", *at) != NULL;
    }
    while (!ours && at - start > 1 && (at[-1] == '+' || at[-1] == '-'))
        at--;
    return at;
}

/* What follows without a blank (1a, 0x1f) is junk to PostgreSQL 15 and part of the number to later ones. */
static const char *skip_junk(const char *at, const char *end)
{
    return at < end && class_of(*at) == LETTER ? skip_name(at, end, true) : at;
}

static const char *skip_number(const char *at, const char *end)
{
    at = skip_digits(at, end);
    if (at < end && *at == '.' && (at + 1 == end || at[1] != '.'))
        at = skip_digits(at + 1, end);
    const char *junk = skip_junk(at, end);
    if (at + 1 < end && (*at == 'e' || *at == 'E')) {
        const char *digits = at + 1 + (at[1] == '+' || at[1] == '-');
        if (digits < end && class_of(*digits) == DIGIT)
            at = skip_junk(skip_digits(digits, end), end);
    }
    return junk > at ? junk : at;
}

static struct sql_token token_to(enum sql_token_kind kind, const char *start, const char *at, const char *end)
{
    if (!at)
        return (struct sql_token){SQL_TOKEN_UNTERMINATED, start, (size_t)(end - start)};
    return (struct sql_token){kind, start, (size_t)(at - start)};
}

/* A letter is a word's beginning, or the prefix of a string. */
static struct sql_token word_or_string(const char *start, const char *end)
{
    char next = start + 1 < end ? start[1] : '\0';
    if (next == '\'' && strchr("eE", *start))
        return token_to(SQL_TOKEN_STRING, start, skip_escaped(start + 2, end), end);
    if (next == '\'' && strchr("bBxXnN", *start))
        return token_to(SQL_TOKEN_STRING, start, skip_quoted(start + 2, end, '\''), end);
    if (next == '&' && (*start == 'u' || *start == 'U') && start + 2 < end) {
        if (start[2] == '\'')
            return token_to(SQL_TOKEN_STRING, start, skip_quoted(start + 3, end, '\''), end);
        if (start[2] == '"')
            return token_to(SQL_TOKEN_QUOTED, start, skip_quoted(start + 3, end, '"'), end);
    }
    return token_to(SQL_TOKEN_WORD, start, skip_name(start + 1, end, true), end);
}

static struct sql_token operator_or_comment(const char *start, const char *end)
{
    char next = start + 1 < end ? start[1] : '\0';
    if (*start == '-' && next == '-')
        return token_to(SQL_TOKEN_COMMENT, start, skip_line(start, end), end);
    if (*start == '/' && next == '*')
        return token_to(SQL_TOKEN_COMMENT, start, skip_comment(start + 2, end), end);
    return token_to(SQL_TOKEN_OPERATOR, start, skip_operator(start, end), end);
}

static struct sql_token dollar(const char *start, const char *end)
{
    const char *behind = skip_dollars(start, end);
    if (behind != start)
        return token_to(SQL_TOKEN_STRING, start, behind, end);
    if (start + 1 < end && class_of(start[1]) == DIGIT)
        return token_to(SQL_TOKEN_NUMBER, start, skip_junk(skip_digits(start + 1, end), end), end);
    return token_to(SQL_TOKEN_OPERATOR, start, start + 1, end);
}

struct sql_token sql_token(const char *at, const char *end)
{
    while (at < end && class_of(*at) == SPACE)
        at++;
    if (at == end)
        return (struct sql_token){SQL_TOKEN_END, at, 0};
    char next = at + 1 < end ? at[1] : '\0';
    switch (class_of(*at)) {
    case LETTER:
        return word_or_string(at, end);
    case DIGIT:
        return token_to(SQL_TOKEN_NUMBER, at, skip_number(at, end), end);
    case QUOTE:
        return token_to(SQL_TOKEN_STRING, at, skip_quoted(at + 1, end, '\''), end);
    case DOUBLE_QUOTE:
        return token_to(SQL_TOKEN_QUOTED, at, skip_quoted(at + 1, end, '"'), end);
    case OP:
        return operator_or_comment(at, end);
    case DOLLAR:
        return dollar(at, end);
    case DOT:
        if (class_of(next) == DIGIT)
            return token_to(SQL_TOKEN_NUMBER, at, skip_number(at, end), end);
        return token_to(SQL_TOKEN_OPERATOR, at, at + 1 + (next == '.'), end);
    case COLON:
        if (class_of(next) == LETTER || class_of(next) == DIGIT)
            return token_to(SQL_TOKEN_VARIABLE, at, skip_name(at + 1, end, false), end);
        return token_to(SQL_TOKEN_OPERATOR, at, at + 1 + (next == ':' || next == '='), end);
    case PAREN_OPEN:
        return token_to(SQL_TOKEN_OPEN, at, at + 1, end);
    case PAREN_CLOSE:
        return token_to(SQL_TOKEN_CLOSE, at, at + 1, end);
    case SEMICOLON:
        return token_to(SQL_TOKEN_SEMICOLON, at, at + 1, end);
    case BACKSLASH:
        return token_to(SQL_TOKEN_BACKSLASH, at, at + 1, end);
    case OTHER:
    case SPACE:
        break;
    }
    return token_to(SQL_TOKEN_OPERATOR, at, at + 1, end);
}

struct sql_token sql_token_of_statement(const char *at, const char *end)
{
    struct sql_token t = sql_token(at, end);
    while (t.kind == SQL_TOKEN_COMMENT)
        t = sql_token(sql_token_end(&t), end);
    return t;
}

bool sql_token_is(const struct sql_token *t, const char *word)
{
    return t->kind == SQL_TOKEN_WORD && strncasecmp(t->text, word, t->len) == 0 && word[t->len] == '\0';
}
