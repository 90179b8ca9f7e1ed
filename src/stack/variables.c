/* SPDX-License-Identifier: Apache-2.0 */
#include "variables.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct variable variable;
    size_t order;
};

static int by_name_then_order(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    int c = strcmp(a->variable.name, b->variable.name);
    return c ? c : (a->order > b->order) - (a->order < b->order);
}

struct variables variables_sort(struct arena *arena, const struct variable *items, size_t n)
{
    struct entry *entries = arena_array(arena, n, sizeof *entries);
    for (size_t i = 0; i < n; i++)
        entries[i] = (struct entry){items[i], i};
    qsort(entries, n, sizeof *entries, by_name_then_order);
    struct variable *sorted = arena_array(arena, n, sizeof *sorted);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || strcmp(entries[i].variable.name, entries[i + 1].variable.name) != 0)
            sorted[kept++] = entries[i].variable;
    return (struct variables){sorted, kept};
}

static int by_name(const void *x, const void *y)
{
    const char *name = x;
    const struct variable *variable = y;
    return strcmp(name, variable->name);
}

const char *variables_get(const struct variables *variables, const char *name)
{
    if (!variables->n)
        return NULL;
    const struct variable *found =
        bsearch(name, variables->items, variables->n, sizeof *variables->items, by_name);
    return found ? found->value : NULL;
}
