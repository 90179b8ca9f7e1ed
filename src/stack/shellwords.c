/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "syntax.h"

/*
 * google/shlex, which the oracle uses: POSIX-like quoting, no expansion, comments. One difference to a
 * shell: a backslash inside double quotes makes any next character literal.
 */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One quoted piece that starts at *s; false when it does not end. */
static bool read_quoted(const char **s, struct str *word, const char **ret_problem)
{
    char quote = *(*s)++;
    for (; **s != quote; (*s)++) {
        if (quote == '"' && **s == '\\' && !*++(*s)) {
            *ret_problem = "EOF found after escape character";
            return false;
        }
        if (!**s) {
            *ret_problem = "EOF found when expecting closing quote";
            return false;
        }
        str_append_char(word, **s);
    }
    (*s)++;
    return true;
}

static bool read_word(const char **s, struct str *word, const char **ret_problem)
{
    while (**s && !is_blank(**s)) {
        if (**s == '"' || **s == '\'') {
            if (!read_quoted(s, word, ret_problem))
                return false;
            continue;
        }
        if (**s == '\\' && !*++(*s)) {
            *ret_problem = "EOF found after escape character";
            return false;
        }
        str_append_char(word, *(*s)++);
    }
    return true;
}

bool shell_split(struct arena *arena, const char *text, struct texts *ret, const char **ret_problem)
{
    struct texts words = {.given = true};
    for (const char *s = text;;) {
        while (is_blank(*s))
            s++;
        if (*s == '#') {
            s += strcspn(s, "\n");
            continue;
        }
        if (!*s)
            break;
        cleanup_str struct str word = {0};
        if (!read_word(&s, &word, ret_problem))
            return false;
        words.items = arena_grow(arena, words.items, words.n, sizeof *words.items);
        words.items[words.n++] = arena_strdup(arena, str_text(&word));
    }
    *ret = words;
    return true;
}
