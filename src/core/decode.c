/* SPDX-License-Identifier: Apache-2.0 */
#include "core/decode.h"

#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

struct decode decode_below(const struct decode *d, const char *key)
{
    return (struct decode){d->arena,
                           d->path && *d->path ? arena_printf(d->arena, "%s.%s", d->path, key) : key};
}

struct decode decode_item(const struct decode *d, size_t index)
{
    return (struct decode){d->arena, arena_printf(d->arena, "%s.%zu", d->path, index)};
}

static int unknown_key(const struct decode *d, const struct node *node, const struct node_pair *pair,
                       const struct decode_key *keys, size_t n_keys, struct error *err)
{
    cleanup_str struct str known = {0};
    for (size_t i = 0; i < n_keys; i++)
        if (keys[i].read)
            str_printf(&known, "%s%s", known.len ? ", " : "", keys[i].key);
    struct node at = {.file = node->file, .line = pair->line, .column = pair->column};
    return node_error(err, &at, d->path, "unknown key '%s' (known: %s)", pair->key, str_text(&known));
}

int decode_map(const struct decode *d, const struct node *node, const struct decode_key *keys, size_t n_keys,
               void *target, struct error *err)
{
    if (node->type != NODE_MAP)
        return node_error(err, node, d->path, "must be a mapping");
    for (size_t i = 0; i < node->map.n; i++) {
        const struct node_pair *pair = &node->map.pairs[i];
        const struct decode_key *key = NULL;
        for (size_t k = 0; k < n_keys && !key; k++)
            if (strcmp(keys[k].key, pair->key) == 0)
                key = &keys[k];
        if (!key)
            return unknown_key(d, node, pair, keys, n_keys, err);
        struct decode below = decode_below(d, pair->key);
        struct node at = {.file = node->file, .line = pair->line, .column = pair->column};
        if (!key->read)
            return node_error(err, &at, below.path, "not supported by this version yet; remove it");
        if (key->read(&below, pair->value, (char *)target + key->offset, err) < 0)
            return -1;
    }
    return 0;
}

int decode_string(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    if (node->type != NODE_STRING)
        return node_error(err, node, d->path, "must be a string");
    if (node->string.len == 0 || strlen(node->string.text) != node->string.len)
        return node_error(err, node, d->path, "must be a non-empty string");
    *(const char **)target = arena_strdup(d->arena, node->string.text);
    return 0;
}

static const int64_t duration_max_us = 30 * 86400 * US_PER_S;

int decode_duration(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    struct error inner = {0};
    const char *text = node->type == NODE_STRING ? node->string.text : NULL;
    if (node->type == NODE_INT && node->integer == 0)
        text = "0";
    if (!text)
        return node_error(err, node, d->path, "must be a duration such as 30s, 5m or 1h30m");
    int64_t us;
    if (duration_parse(text, &us, &inner) < 0)
        return node_error(err, node, d->path, "%s", inner.text);
    if (us > duration_max_us) /* and sums with it stay far from overflowing */
        return node_error(err, node, d->path, "must be at most 30d");
    *(int64_t *)target = us;
    return 0;
}

int decode_bool(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    if (node->type != NODE_BOOL)
        return node_error(err, node, d->path, "must be true or false");
    *(bool *)target = node->boolean;
    return 0;
}

int decode_unsigned(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    if (node->type != NODE_INT || node->integer < 0 || node->integer > INT_MAX)
        return node_error(err, node, d->path, "must be a whole number from 0 to 2147483647");
    *(unsigned *)target = (unsigned)node->integer;
    return 0;
}

int decode_strings(const struct decode *d, const struct node *node, void *target, struct error *err)
{
    if (node->type != NODE_LIST)
        return node_error(err, node, d->path, "must be a list of strings");
    const char **items = arena_array(d->arena, node->list.n + 1, sizeof *items);
    for (size_t i = 0; i < node->list.n; i++) {
        const struct node *item = node->list.items[i];
        if (item->type != NODE_STRING)
            return node_error(err, item, d->path, "must be a list of strings: quote numbers and booleans");
        if (strlen(item->string.text) != item->string.len)
            return node_error(err, item, d->path, "must not hold a NUL character");
        items[i] = arena_strdup(d->arena, item->string.text);
    }
    *(const char ***)target = items;
    return 0;
}
