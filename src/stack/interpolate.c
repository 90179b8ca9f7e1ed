/* SPDX-License-Identifier: Apache-2.0 */
#include "interpolate.h"

#include <string.h>

#include "base/str.h"
#include "cast.h"

struct interpolation {
    struct report *report;
    const struct variables *variables;
    size_t total; /* bytes made by substitution: one variable may stand in many places */
};

enum { MAX_TOTAL = 16 * 1024 * 1024 };

static const char *quoted(struct arena *arena, const char *text)
{
    cleanup_str struct str s = {0};
    str_append_char(&s, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            str_append_char(&s, '\\');
        if (*text == '\n')
            str_append(&s, "\\n");
        else if (*text == '\t')
            str_append(&s, "\\t");
        else
            str_append_char(&s, *text);
    }
    str_append_char(&s, '"');
    return arena_strdup(arena, str_text(&s));
}

static void interpolate_text(struct interpolation *in, struct node *node, const struct path *path)
{
    struct arena *arena = in->report->arena;
    const char *problem;
    if (in->total > MAX_TOTAL)
        return; /* said already */
    const char *text = substitute(arena, in->variables, node->string.text, &problem);
    if (!text || (in->total += text == node->string.text ? 0 : strlen(text)) > MAX_TOTAL) {
        report_node(in->report, node, path, "too long once variables are filled in (at most %d bytes)",
                    INTERPOLATED_MAX);
        return;
    }
    if (problem) {
        report_node(in->report, node, path,
                    "invalid interpolation format for %s: %s; you may need to escape any $ with another $",
                    path_text(arena, path, true), quoted(arena, problem));
        return;
    }
    if (str_eq(text, node->string.text))
        return;
    node->string.text = text;
    node->string.len = strlen(text);
    cast(in->report, path, node);
}

static void interpolate_node(struct interpolation *in, struct node *node, const struct path *path)
{
    switch (node->type) {
    case NODE_STRING:
        interpolate_text(in, node, path);
        break;
    case NODE_LIST:
        for (size_t i = 0; i < node->list.n; i++)
            interpolate_node(in, node->list.items[i], PATH_INDEX(path, i));
        break;
    case NODE_MAP:
        for (size_t i = 0; i < node->map.n; i++)
            interpolate_node(in, node->map.pairs[i].value, PATH_KEY(path, node->map.pairs[i].key));
        break;
    default:
        break;
    }
}

void interpolate(struct report *report, const struct variables *variables, struct node *root)
{
    struct interpolation in = {report, variables, 0};
    for (size_t i = 0; i < root->map.n; i++)
        if (!str_eq(root->map.pairs[i].key, "version")) /* read before, and never filled in */
            interpolate_node(&in, root->map.pairs[i].value, PATH_KEY(NULL, root->map.pairs[i].key));
}
