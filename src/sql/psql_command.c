/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/psql_command.h"

#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sql/place.h"

enum { SHOWN_NAME = 40 };

struct words { /* of a command's line */
    const char *text;
    size_t len;
};

static bool is_word(struct words w, const char *const *allowed)
{
    if (w.len >= 2 && (*w.text == '\'' || *w.text == '"') && w.text[w.len - 1] == *w.text)
        w = (struct words){w.text + 1, w.len - 2};
    for (; *allowed; allowed++)
        if (strlen(*allowed) == w.len && strncasecmp(w.text, *allowed, w.len) == 0)
            return true;
    return false;
}

/* Variables that only change what psql prints, or ask for what is always so here: an error stops a file.
   Others would be filled in later as :name, which we do not. */
static const char *const harmless_variables[] = {
    "ON_ERROR_STOP", "ECHO",         "ECHO_ERRORS", "ECHO_HIDDEN",      "QUIET",
    "VERBOSITY",     "SHOW_CONTEXT", "FETCH_COUNT", "SHOW_ALL_RESULTS", NULL};
static const char *const utf8_names[] = {"UTF8", "UTF-8", "UTF_8", "UNICODE", NULL};

static const struct {
    const char *name;
    const char *const *first_words; /* NULL: any */
    const char *advice;             /* for other first words */
} ignored[] = {
    {"set", harmless_variables, "variables are not filled in: write the values themselves"},
    {"encoding", utf8_names, "save the file as UTF-8"},
    {"timing", NULL, NULL},
    {"echo", NULL, NULL},
    {"pset", NULL, NULL},
    {"restrict", NULL, NULL},
    {"unrestrict", NULL, NULL},
};

static const struct {
    const char *names[5];
    const char *advice;
} refused[] = {
    {{"c", "connect"}, "the agent chooses the database: one step for each"},
    {{"i", "include", "ir", "include_relative"}, "a file stands alone: put the statements into it"},
    {{"copy"}, "write COPY … FROM STDIN; with the rows behind it and \\. after them"},
    {{"!", "setenv", "cd"}, "programs are not run: use a run step"},
    {{"g", "gx", "gexec", "gset", "crosstabview"}, "end the statement with a semicolon"},
    {{"if", "elif", "else", "endif"}, "write DO $$ BEGIN IF … END $$;"},
    {{";", ":"}, "leave the backslash out"},
    {{"."}, "no COPY … FROM STDIN stands before it"},
};

static const char *advice_for(struct words name)
{
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        for (size_t j = 0; j < ARRAY_SIZE(refused[i].names) && refused[i].names[j]; j++)
            if (strlen(refused[i].names[j]) == name.len &&
                memcmp(refused[i].names[j], name.text, name.len) == 0)
                return refused[i].advice;
    return "it works in psql alone: leave it out";
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct words next_word(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    const char *start = at;
    while (at < end && !is_blank(*at))
        at++;
    return (struct words){start, (size_t)(at - start)};
}

/* Up to the next blank or backslash; \; and \: and \! need no blank behind them. */
static struct words command_name(const char *at, const char *end)
{
    struct words w = next_word(at, end);
    if (at == end || is_blank(*at))
        return (struct words){at, 0};
    const char *backslash = memchr(w.text, '\\', w.len);
    if (backslash)
        w.len = (size_t)(backslash - w.text);
    if (w.len > 1 && strchr(";:!", *w.text))
        w.len = 1;
    return w;
}

/* What would be another command, or a program that psql runs to fill it in; NULL: nothing. */
static const char *more_than_words(const char *at, const char *end)
{
    for (char quote = '\0'; at < end; at++) {
        if (*at == '`' || (*at == '\\' && !quote))
            return at;
        if (*at == '\\')
            at++;
        else if (*at == quote)
            quote = '\0';
        else if (!quote && (*at == '\'' || *at == '"'))
            quote = *at;
    }
    return NULL;
}

static int refuse(struct sql_lexer *lexer, const char *at, struct words name, const char *advice,
                  struct error *err)
{
    cleanup_arena struct arena arena = {0};
    return sql_fail(lexer, at, err, "\\%s is a command of psql: %s",
                    str_clean(&arena, name.text, name.len, true, SHOWN_NAME), advice);
}

int sql_psql_command(struct sql_lexer *lexer, const char *at, bool in_statement, const char **ret_at,
                     struct error *err)
{
    const char *end = lexer->text + lexer->len;
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    end = newline ? newline : end;
    struct words name = command_name(at + 1, end);
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
        if (strlen(ignored[i].name) != name.len || memcmp(ignored[i].name, name.text, name.len) != 0)
            continue;
        const char *behind = name.text + name.len, *more = more_than_words(behind, end);
        struct words first = next_word(behind, end);
        if (in_statement)
            return refuse(lexer, at, name, "it cannot stand inside of a statement", err);
        if (more)
            return sql_fail(lexer, more, err, "only plain words may follow \\%s", ignored[i].name);
        if (first.len && ignored[i].first_words && !is_word(first, ignored[i].first_words))
            return refuse(lexer, at, name, ignored[i].advice, err);
        *ret_at = end;
        return 0;
    }
    return refuse(lexer, at, name, advice_for(name), err);
}
