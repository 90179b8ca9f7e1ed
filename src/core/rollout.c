/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/release.h"
#include "base/cleanup.h"

/* Depth-first over depends_on; a service is placed after all it depends on. */
struct ordering {
    const struct stack *stack;
    const char **keys;
    size_t n;
    unsigned char *mark; /* 0 not seen, 1 on the way, 2 placed; by index in stack->services */
};

static size_t index_of(const struct stack *stack, const char *key)
{
    for (size_t i = 0; i < stack->n_services; i++)
        if (strcmp(stack->services[i].key, key) == 0)
            return i;
    return stack->n_services;
}

static int place(struct ordering *o, size_t i, bool with_dependencies, struct error *err)
{
    const struct stack_service *service = &o->stack->services[i];
    if (o->mark[i] == 2)
        return 0;
    if (o->mark[i] == 1)
        return node_error(err, service->at, "depends_on", "service '%s' depends on itself in a circle",
                          service->key);
    o->mark[i] = 1;
    for (size_t d = 0; with_dependencies && d < service->n_depends_on; d++) {
        size_t j = index_of(o->stack, service->depends_on[d]);
        if (j < o->stack->n_services && place(o, j, true, err) < 0)
            return -1;
    }
    o->mark[i] = 2;
    o->keys[o->n++] = service->key;
    return 0;
}

static int place_named(struct ordering *o, const char *const *names, struct error *err)
{
    for (size_t i = 0; names[i]; i++) {
        size_t service = index_of(o->stack, names[i]);
        if (service == o->stack->n_services)
            return error_set(err, ERR_INVALID, 0, "x-release.rollout: no service '%s' in this stack",
                             names[i]);
        if (place(o, service, false, err) < 0)
            return -1;
    }
    return 0;
}

int release_rollout_order(struct arena *arena, const struct release *release, const struct stack *stack,
                          const char ***ret, size_t *ret_n_before, struct error *err)
{
    struct ordering o = {
        .stack = stack,
        .keys = arena_array(arena, stack->n_services + 1, sizeof *o.keys),
        .mark = arena_array(arena, stack->n_services + 1, 1),
    };
    const char *database[] = {release->database_service, NULL};
    if (place_named(&o, database, err) < 0 || place_named(&o, release->before, err) < 0)
        return -1;
    size_t n_before = o.n;
    if (place_named(&o, release->order, err) < 0)
        return -1;
    for (size_t i = 0; i < stack->n_services; i++)
        if (place(&o, i, true, err) < 0)
            return -1;
    *ret = o.keys;
    *ret_n_before = n_before;
    return 0;
}
