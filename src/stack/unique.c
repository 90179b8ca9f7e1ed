/* SPDX-License-Identifier: Apache-2.0 */
#include "unique.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "scalar.h"

struct item {
    const char *text;
    size_t i;
};

static int by_text_then_order(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    int c = strcmp(a->text, b->text);
    return c ? c : (a->i > b->i) - (a->i < b->i);
}

static int by_key(const void *x, const void *y)
{
    return strcmp(((const struct node_pair *)x)->key, ((const struct node_pair *)y)->key);
}

/* Equal values give equal texts; 80 and 80.0 are equal, "80" is another. */
static void append_value(struct arena *arena, struct str *s, const struct node *node)
{
    switch (node->type) {
    case NODE_LIST:
        str_append_char(s, '[');
        for (size_t i = 0; i < node->list.n; i++)
            append_value(arena, s, node->list.items[i]);
        str_append_char(s, ']');
        break;
    case NODE_MAP: {
        struct node_pair *pairs = arena_array(arena, node->map.n, sizeof *pairs);
        if (node->map.n)
            memcpy(pairs, node->map.pairs, node->map.n * sizeof *pairs);
        qsort(pairs, node->map.n, sizeof *pairs, by_key);
        str_append_char(s, '{');
        for (size_t i = 0; i < node->map.n; i++) {
            str_printf(s, "%zu:%s=", strlen(pairs[i].key), pairs[i].key);
            append_value(arena, s, pairs[i].value);
        }
        str_append_char(s, '}');
        break;
    }
    case NODE_NULL:
        str_append(s, "null;");
        break;
    case NODE_BOOL:
        str_append(s, node->boolean ? "true;" : "false;");
        break;
    case NODE_STRING:
    case NODE_TIME:
        str_printf(s, "\"%zu:%s\"", node->string.len, node->string.text);
        break;
    default:
        str_printf(s, "%s;", scalar_text(arena, node));
    }
}

void unique_check(struct report *report, const struct node *list, const struct path *path)
{
    if (list->list.n < 2)
        return;
    cleanup_arena struct arena scratch = {0};
    struct item *items = arena_array(&scratch, list->list.n, sizeof *items);
    for (size_t i = 0; i < list->list.n; i++) {
        cleanup_str struct str s = {0};
        append_value(&scratch, &s, list->list.items[i]);
        items[i] = (struct item){arena_strdup(&scratch, str_text(&s)), i};
    }
    qsort(items, list->list.n, sizeof *items, by_text_then_order);
    for (size_t i = 1; i < list->list.n; i++)
        if (strcmp(items[i - 1].text, items[i].text) == 0)
            report_node(report, list->list.items[items[i].i], path,
                        "array items[%zu,%zu] must be unique (the same twice)", items[i - 1].i, items[i].i);
}
