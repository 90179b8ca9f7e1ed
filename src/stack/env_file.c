/* SPDX-License-Identifier: Apache-2.0 */
#include "env_file.h"

#include <string.h>

#include "base/str.h"
#include "syntax.h"

enum {
    LONGEST_LINE = 64 * 1024, /* the oracle's scanner takes no longer ones */
    MAX_SHOWN_NAME = 100,
};

size_t go_space(const char *s)
{
    static const char *const wide[] = {
        "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
        "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
        "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
        "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
    };
    if (*s == ' ' || (*s >= '\t' && *s <= '\r'))
        return 1;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (str_starts(s, wide[i]))
            return strlen(wide[i]);
    return 0;
}

/* Values may be secrets: messages name lines and variables, never what stands behind them. */
static int parse_line(struct arena *arena, const char *line, size_t number, const struct variables *variables,
                      struct pair *ret, bool *ret_any, struct error *err)
{
    *ret_any = false;
    for (size_t n; (n = go_space(line)) != 0;)
        line += n;
    if (!*line || *line == '#')
        return 0;
    const char *equals = strchr(line, '=');
    const char *key = equals ? arena_strndup(arena, line, (size_t)(equals - line)) : line;
    if (!*key)
        return error_set(err, ERR_INVALID, 0, "no variable name on line %zu", number);
    if (strpbrk(key, " \t"))
        return error_set(err, ERR_INVALID, 0, "variable '%s' contains whitespaces (line %zu)",
                         equals ? str_clean(arena, key, strlen(key), true, MAX_SHOWN_NAME) : "…", number);
    const char *value = equals ? equals + 1 : variables ? variables_get(variables, key) : NULL;
    if (!value)
        return 0;
    *ret = (struct pair){key, value};
    *ret_any = true;
    return 0;
}

int env_file_lines(struct arena *arena, const char *path, const char *text, size_t len,
                   const struct variables *variables, struct pair **ret, size_t *ret_count, struct error *err)
{
    struct pair *pairs = NULL;
    size_t n = 0, number = 1;
    const char *end = text + len;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    for (; text < end; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        const char *start = text;
        text += length + (newline != NULL);
        if (length >= LONGEST_LINE)
            return error_set(err, ERR_INVALID, 0,
                             "invalid env file (%s): line %zu: bufio.Scanner: token too long", path, number);
        if (!str_is_utf8(start, length))
            return error_set(err, ERR_INVALID, 0, "invalid env file (%s): invalid utf8 bytes at line %zu",
                             path, number);
        if (length && start[length - 1] == '\r')
            length--;
        struct pair pair;
        bool any;
        if (parse_line(arena, arena_strndup(arena, start, length), number, variables, &pair, &any, err) < 0)
            return error_wrap(err, "invalid env file (%s)", path);
        if (!any)
            continue;
        pairs = arena_grow(arena, pairs, n, sizeof *pairs);
        pairs[n++] = pair;
    }
    *ret = pairs;
    *ret_count = n;
    return 0;
}

int env_file_parse(struct arena *arena, const char *path, const char *text, size_t len, struct variable **ret,
                   size_t *ret_count, struct error *err)
{
    struct pair *pairs;
    size_t n;
    if (env_file_lines(arena, path, text, len, NULL, &pairs, &n, err) < 0)
        return -1;
    struct variable *variables = arena_array(arena, n, sizeof *variables);
    for (size_t i = 0; i < n; i++)
        variables[i] = (struct variable){pairs[i].key, pairs[i].value};
    *ret = variables;
    *ret_count = n;
    return 0;
}
