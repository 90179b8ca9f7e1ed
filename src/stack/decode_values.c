/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "decode.h"
#include "scalar.h"
#include "syntax.h"

/* ---- text ---- */

const char *get_text(const struct node *map, const char *key)
{
    const struct node *node = node_get(map, key);
    return node && node->type == NODE_STRING && *node->string.text ? node->string.text : NULL;
}

bool get_bool(const struct node *map, const char *key)
{
    const struct node *node = node_get(map, key);
    return node && node->type == NODE_BOOL && node->boolean;
}

void texts_add(struct arena *arena, struct texts *texts, const char *text)
{
    texts->items = arena_grow(arena, texts->items, texts->n, sizeof *texts->items);
    texts->items[texts->n++] = text;
}

struct ranked {
    const char *text;
    size_t order;
};

static int by_text_then_order(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    int c = strcmp(a->text, b->text);
    return c ? c : (a->order > b->order) - (a->order < b->order);
}

bool *texts_repeated(struct arena *arena, const struct texts *texts)
{
    bool *repeated = arena_array(arena, texts->n, sizeof *repeated);
    struct ranked *ranked = arena_array(arena, texts->n, sizeof *ranked);
    for (size_t i = 0; i < texts->n; i++)
        ranked[i] = (struct ranked){texts->items[i], i};
    qsort(ranked, texts->n, sizeof *ranked, by_text_then_order);
    for (size_t i = 1; i < texts->n; i++)
        repeated[ranked[i].order] = strcmp(ranked[i].text, ranked[i - 1].text) == 0;
    return repeated;
}

struct texts get_texts(struct decoder *d, const struct node *map, const char *key)
{
    struct texts texts = {0};
    const struct node *node = node_get(map, key);
    if (!node)
        return texts;
    texts.given = true;
    if (node->type == NODE_STRING)
        texts_add(d->arena, &texts, node->string.text);
    if (node->type == NODE_LIST)
        for (size_t i = 0; i < node->list.n; i++)
            if (node->list.items[i]->type == NODE_STRING)
                texts_add(d->arena, &texts, node->list.items[i]->string.text);
    return texts;
}

/* ---- numbers: fractions are cut off where the schema lets them through ---- */

struct maybe_uint get_uint(struct decoder *d, const struct node *map, const char *key,
                           const struct path *path)
{
    const struct node *node = node_get(map, key);
    struct maybe_uint ret = {0};
    if (!node)
        return ret;
    if (node->type == NODE_INT && node->integer >= 0)
        ret = (struct maybe_uint){true, (uint64_t)node->integer};
    else if (node->type == NODE_FLOAT && node->real >= 0 && node->real < 0x1p63)
        ret = (struct maybe_uint){true, (uint64_t)node->real};
    else if (node->type == NODE_UINT || (node->type == NODE_FLOAT && node->real > 0))
        report_node(d->report, node, PATH_KEY(path, key), "number is too large (below 2^63)");
    else if (node->type == NODE_INT || node->type == NODE_FLOAT)
        report_node(d->report, node, PATH_KEY(path, key), "cannot parse, %s overflows uint (0 or more)",
                    scalar_text(d->arena, node));
    return ret;
}

struct maybe_int get_int(struct decoder *d, const struct node *map, const char *key, const struct path *path)
{
    const struct node *node = node_get(map, key);
    struct maybe_int ret = {0};
    if (!node)
        return ret;
    if (node->type == NODE_INT)
        ret = (struct maybe_int){true, node->integer};
    else if (node->type == NODE_FLOAT && node->real >= -0x1p63 && node->real < 0x1p63)
        ret = (struct maybe_int){true, (int64_t)node->real};
    else if (node->type == NODE_UINT || node->type == NODE_FLOAT)
        report_node(d->report, node, PATH_KEY(path, key), "number is too large (below 2^63)");
    return ret;
}

struct maybe_int get_duration(struct decoder *d, const struct node *map, const char *key,
                              const struct path *path)
{
    const struct node *node = node_get(map, key);
    struct maybe_int ret = {0};
    if (!node || node->type != NODE_STRING)
        return ret;
    ret.given = true;
    if (!go_duration_parse(node->string.text, &ret.value))
        report_node(d->report, node, PATH_KEY(path, key),
                    "invalid duration \"%s\" (such as 30s or 1m30s; units ns, us, ms, s, m, h)",
                    node->string.text);
    return ret;
}

/* ---- string maps ---- */

struct entry {
    struct pair pair;
    size_t order;
};

static int by_key_then_order(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    int c = strcmp(a->pair.key, b->pair.key);
    return c ? c : (a->order > b->order) - (a->order < b->order);
}

void pairs_sort(struct arena *arena, struct pairs *pairs)
{
    if (pairs->n < 2)
        return;
    struct entry *entries = arena_array(arena, pairs->n, sizeof *entries);
    for (size_t i = 0; i < pairs->n; i++)
        entries[i] = (struct entry){pairs->items[i], i};
    qsort(entries, pairs->n, sizeof *entries, by_key_then_order);
    size_t kept = 0;
    for (size_t i = 0; i < pairs->n; i++)
        if (i + 1 == pairs->n || strcmp(entries[i].pair.key, entries[i + 1].pair.key) != 0)
            pairs->items[kept++] = entries[i].pair;
    pairs->n = kept;
}

void pairs_add(struct arena *arena, struct pairs *pairs, const char *key, const char *value)
{
    pairs->items = arena_grow(arena, pairs->items, pairs->n, sizeof *pairs->items);
    pairs->items[pairs->n++] = (struct pair){key, value};
}

static int by_key(const void *x, const void *y)
{
    const char *key = x;
    const struct pair *pair = y;
    return strcmp(key, pair->key);
}

const struct pair *pairs_find(const struct pairs *sorted, const char *key)
{
    return sorted->n ? bsearch(key, sorted->items, sorted->n, sizeof *sorted->items, by_key) : NULL;
}

/* A mapping, or a list of KEY=VALUE; a value that is missing is "", or NULL if `keep_null` */
struct pairs get_pairs(struct decoder *d, const struct node *map, const char *key, bool keep_null)
{
    struct pairs pairs = {0};
    const struct node *node = node_get(map, key);
    const char *missing = keep_null ? NULL : "";
    if (!node)
        return pairs;
    pairs.given = true;
    for (size_t i = 0; node->type == NODE_MAP && i < node->map.n; i++) {
        const char *value = scalar_text(d->arena, node->map.pairs[i].value);
        pairs_add(d->arena, &pairs, node->map.pairs[i].key, value ? value : missing);
    }
    for (size_t i = 0; node->type == NODE_LIST && i < node->list.n; i++) {
        if (node->list.items[i]->type != NODE_STRING)
            continue;
        const char *text = node->list.items[i]->string.text, *equals = strchr(text, '=');
        if (equals)
            pairs_add(d->arena, &pairs, arena_strndup(d->arena, text, (size_t)(equals - text)), equals + 1);
        else
            pairs_add(d->arena, &pairs, text, missing);
    }
    pairs_sort(d->arena, &pairs);
    return pairs;
}
