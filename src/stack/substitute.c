/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "interpolate.h"

/*
 * The oracle matches with a regular expression and then looks *into* the matched text for operators, by
 * containment and not by position; both are rebuilt here as they are (3.1), odd corners included.
 */

static bool is_name_start(char c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_name(char c)
{
    return is_name_start(c) || (c >= '0' && c <= '9');
}

/* Length of NAME[[:](-|?)anything but '}'] at s; 0: no name. *ret_name: length of NAME alone. */
static size_t match_subst(const char *s, size_t *ret_name)
{
    if (!is_name_start(*s))
        return 0;
    size_t n = 1;
    while (is_name(s[n]))
        n++;
    *ret_name = n;
    size_t tail = n + (s[n] == ':');
    if (s[tail] == '-' || s[tail] == '?')
        return tail + strcspn(s + tail, "}");
    return n;
}

struct substitution {
    struct arena *arena;
    const struct variables *variables;
    const char *text;    /* the whole */
    const char *problem; /* the oracle's one slot: each later variable overwrites it */
};

static bool split(struct arena *arena, const char *subst, const char *operator, const char ** ret_name,
                  const char **ret_rest)
{
    const char *at = strstr(subst, operator);
    if (!at)
        return false;
    *ret_name = arena_strndup(arena, subst, (size_t)(at - subst));
    *ret_rest = at + strlen(operator);
    return true;
}

static const char *value_of(struct substitution *s, const char *subst)
{
    const char *name, *rest;
    s->problem = NULL;
    if (split(s->arena, subst, ":-", &name, &rest)) {
        const char *value = variables_get(s->variables, name);
        return value && *value ? value : rest;
    }
    if (split(s->arena, subst, "-", &name, &rest)) {
        const char *value = variables_get(s->variables, name);
        return value ? value : rest;
    }
    bool not_empty = split(s->arena, subst, ":?", &name, &rest);
    if (not_empty || split(s->arena, subst, "?", &name, &rest)) {
        const char *value = variables_get(s->variables, name);
        if (value && (*value || !not_empty))
            return value;
        s->problem = arena_printf(s->arena, "required variable %s is missing a value: %s", name, rest);
        return "";
    }
    const char *value = variables_get(s->variables, subst);
    return value ? value : "";
}

/* Appends what the `$` at text stands for; returns how many bytes it takes. */
static size_t replace(struct substitution *s, const char *text, struct str *out)
{
    size_t name, n;
    if (text[1] == '$') {
        str_append_char(out, '$');
        return 2;
    }
    if ((n = match_subst(text + 1, &name)) != 0) {
        str_append(out, value_of(s, arena_strndup(s->arena, text + 1, n)));
        return n + 1;
    }
    if (text[1] == '{' && (n = match_subst(text + 2, &name)) != 0 && text[2 + n] == '}') {
        str_append(out, value_of(s, arena_strndup(s->arena, text + 2, n)));
        return n + 3;
    }
    s->problem = s->text;
    return 1;
}

const char *substitute(struct arena *arena, const struct variables *variables, const char *text,
                       const char **ret_problem)
{
    *ret_problem = NULL;
    if (!strchr(text, '$'))
        return text;
    struct substitution s = {.arena = arena, .variables = variables, .text = text};
    cleanup_str struct str out = {0};
    for (const char *p = text; *p;) {
        if (*p == '$') {
            p += replace(&s, p, &out);
        } else {
            size_t n = strcspn(p, "$");
            str_append_n(&out, p, n);
            p += n;
        }
        if (out.len > INTERPOLATED_MAX)
            return NULL;
    }
    *ret_problem = s.problem;
    return arena_strdup(arena, str_text(&out));
}
