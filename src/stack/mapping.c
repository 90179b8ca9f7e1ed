/* SPDX-License-Identifier: Apache-2.0 */
#include "mapping.h"

#include <stdlib.h>
#include <string.h>

/* ---- the same key twice ---- */

struct key_order {
    const char *key;
    size_t i;
};

static int by_key_then_order(const void *x, const void *y)
{
    const struct key_order *a = x, *b = y;
    int c = strcmp(a->key, b->key);
    return c ? c : (a->i > b->i) - (a->i < b->i);
}

/* Marks each pair whose key stands further ahead already. Sorting keeps this cheap for any input. */
static bool *find_repeated(struct arena *arena, const struct node_pair *pairs, size_t n, size_t *first)
{
    struct key_order *order = arena_array(arena, n, sizeof *order);
    bool *repeated = arena_array(arena, n, sizeof *repeated);
    for (size_t i = 0; i < n; i++)
        order[i] = (struct key_order){pairs[i].key, i};
    qsort(order, n, sizeof *order, by_key_then_order);
    size_t head = 0;
    for (size_t i = 1; i < n; i++) {
        if (strcmp(order[i].key, order[head].key) != 0) {
            head = i;
            continue;
        }
        repeated[order[i].i] = true;
        if (first)
            first[order[i].i] = order[head].i;
    }
    return repeated;
}

/* ---- merge keys ---- */

struct pair_list {
    struct node_pair *items;
    size_t n;
};

static void add_pairs(struct arena *arena, struct pair_list *list, const struct node *map)
{
    for (size_t i = 0; i < map->map.n; i++) {
        list->items = arena_grow(arena, list->items, list->n, sizeof *list->items);
        list->items[list->n++] = map->map.pairs[i];
    }
}

static bool add_merged(struct arena *arena, struct pair_list *list, const struct raw_pair *merge)
{
    const struct node *value = merge->pair.value;
    if (value->type == NODE_MAP) {
        add_pairs(arena, list, value);
        return true;
    }
    if (value->type != NODE_LIST || merge->alias)
        return false;
    for (size_t i = 0; i < value->list.n; i++) {
        if (value->list.items[i]->type != NODE_MAP)
            return false;
        add_pairs(arena, list, value->list.items[i]);
    }
    return true;
}

/* The mapping's own keys win wherever they stand, then earlier merged mappings; nothing is combined. */
static void take_merges(struct report *report, const struct path *path, const struct raw_pair *raw, size_t n,
                        struct node *map)
{
    struct pair_list all = {map->map.pairs, map->map.n};
    for (size_t i = 0; i < n; i++)
        if (raw[i].merge && !add_merged(report->arena, &all, &raw[i]))
            report_node(report, raw[i].pair.value, path,
                        "map merge requires map or sequence of maps as the value");
    bool *repeated = find_repeated(report->arena, all.items, all.n, NULL);
    size_t kept = 0;
    for (size_t i = 0; i < all.n; i++)
        if (!repeated[i])
            all.items[kept++] = all.items[i];
    map->map.pairs = all.items;
    map->map.n = kept;
}

/* ---- both ---- */

void mapping_finish(struct report *report, const struct path *path, const struct raw_pair *raw, size_t n,
                    struct node *map)
{
    struct node_pair *written = arena_array(report->arena, n, sizeof *written);
    size_t *first = arena_array(report->arena, n, sizeof *first);
    for (size_t i = 0; i < n; i++)
        written[i] = raw[i].pair;
    bool *repeated = find_repeated(report->arena, written, n, first);
    struct pair_list own = {0};
    bool merges = false;
    for (size_t i = 0; i < n; i++) {
        if (repeated[i]) {
            struct place place = {map->file, written[i].line, written[i].column};
            report_place(report, place, path, "mapping key \"%s\" already defined at line %u", written[i].key,
                         written[first[i]].line);
            continue;
        }
        merges |= raw[i].merge;
        if (raw[i].merge)
            continue;
        own.items = arena_grow(report->arena, own.items, own.n, sizeof *own.items);
        own.items[own.n++] = written[i];
    }
    map->map.pairs = own.items;
    map->map.n = own.n;
    if (merges)
        take_merges(report, path, raw, n, map);
}
