/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_lists.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/*
 * Indexed lists: base and override in one row, the last of each index stays, sorted by index. This happens
 * to the base's list even when the override does not mention it.
 */

typedef int (*compare_fn)(const void *, const void *);

struct list {
    const void *items;
    size_t n, size;
};

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static int by_published(const void *x, const void *y)
{
    uint32_t a = ((const struct port *)x)->published, b = ((const struct port *)y)->published;
    return (a > b) - (a < b);
}

static int by_target(const void *x, const void *y)
{
    return strcmp(or_empty(((const struct mount *)x)->target), or_empty(((const struct mount *)y)->target));
}

static int by_source(const void *x, const void *y)
{
    return strcmp(((const struct file_reference *)x)->source, ((const struct file_reference *)y)->source);
}

struct ranked {
    const void *item;
    size_t order;
};

static int by_index_then_order(const void *x, const void *y, void *compare)
{
    const struct ranked *a = x, *b = y;
    int c = (*(compare_fn *)compare)(a->item, b->item);
    return c ? c : (a->order > b->order) - (a->order < b->order);
}

static void *merge_indexed(struct arena *arena, struct list base, struct list override, compare_fn compare,
                           size_t *ret_count)
{
    size_t n = base.n + override.n, kept = 0;
    struct ranked *ranked = arena_array(arena, n, sizeof *ranked);
    char *out = arena_array(arena, n, base.size);
    for (size_t i = 0; i < n; i++) {
        const char *items = i < base.n ? base.items : override.items;
        ranked[i] = (struct ranked){items + (i < base.n ? i : i - base.n) * base.size, i};
    }
    qsort_r(ranked, n, sizeof *ranked, by_index_then_order, &compare);
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || compare(ranked[i].item, ranked[i + 1].item) != 0)
            memcpy(out + base.size * kept++, ranked[i].item, base.size);
    *ret_count = kept;
    return out;
}

#define MERGE_INDEXED(field, compare)                                                                        \
    do {                                                                                                     \
        if (base->field##_given) {                                                                           \
            struct list a = {base->field, base->n_##field, sizeof *base->field};                             \
            struct list b = {override->field, override->n_##field, sizeof *base->field};                     \
            base->field = merge_indexed(arena, a, b, compare, &base->n_##field);                             \
        } else {                                                                                             \
            base->field = override->field;                                                                   \
            base->n_##field = override->n_##field;                                                           \
            base->field##_given = override->n_##field > 0; /* an empty list leaves no trace */               \
        }                                                                                                    \
    } while (0)

/* ---- by name ---- */

static int by_network_name(const void *x, const void *y)
{
    return strcmp((*(struct network_use *const *)x)->name, (*(struct network_use *const *)y)->name);
}

static void merge_network(struct network_use *base, const struct network_use *override)
{
    if (!base->settings) {
        *base = *override;
    } else if (override->settings) {
        base->aliases = override->aliases; /* driver_opts stay the base's */
        base->ipv4 = override->ipv4 ? override->ipv4 : base->ipv4;
        base->ipv6 = override->ipv6 ? override->ipv6 : base->ipv6;
    }
}

static void merge_networks(struct arena *arena, struct service *base, const struct service *override)
{
    size_t n = base->n_networks;
    struct network_use *all = arena_array(arena, n + override->n_networks, sizeof *all);
    struct network_use **known = arena_array(arena, n, sizeof *known);
    for (size_t i = 0; i < n; i++) {
        all[i] = base->networks[i];
        known[i] = &all[i];
    }
    qsort(known, n, sizeof *known, by_network_name);
    for (size_t i = 0; i < override->n_networks; i++) {
        const struct network_use *use = &override->networks[i];
        struct network_use **found = bsearch(&use, known, base->n_networks, sizeof *known, by_network_name);
        if (found)
            merge_network(*found, use);
        else
            all[n++] = *use;
    }
    base->networks = all;
    base->n_networks = n;
}

/* Both are sorted by name. */
static void merge_ulimits(struct arena *arena, struct service *base, const struct service *override)
{
    struct ulimit *all = arena_array(arena, base->n_ulimits + override->n_ulimits, sizeof *all);
    size_t a = 0, b = 0, n = 0;
    while (a < base->n_ulimits || b < override->n_ulimits) {
        int c = a == base->n_ulimits       ? 1
                : b == override->n_ulimits ? -1
                                           : strcmp(base->ulimits[a].name, override->ulimits[b].name);
        all[n++] = c < 0 ? base->ulimits[a] : override->ulimits[b];
        a += c <= 0;
        b += c >= 0;
    }
    base->ulimits = all;
    base->n_ulimits = n;
}

void merge_lists(struct arena *arena, struct service *base, const struct service *override)
{
    MERGE_INDEXED(ports, by_published);
    MERGE_INDEXED(mounts, by_target);
    MERGE_INDEXED(configs, by_source);
    MERGE_INDEXED(secrets, by_source);
    merge_networks(arena, base, override);
    merge_ulimits(arena, base, override);
}
