/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/stack.h"

static json_t *blobs(const struct stack_blob *list, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        if (list[i].body)
            json_array_append(array, list[i].body);
    return array;
}

static int by_name(const void *x, const void *y)
{
    const struct stack_service *const *a = x, *const *b = y;
    return strcmp((*a)->name, (*b)->name);
}

static json_t *services(const struct stack *stack)
{
    const struct stack_service **sorted = calloc(stack->n_services + 1, sizeof *sorted);
    if (!sorted)
        abort();
    for (size_t i = 0; i < stack->n_services; i++)
        sorted[i] = &stack->services[i];
    qsort(sorted, stack->n_services, sizeof *sorted, by_name);
    json_t *array = json_array();
    for (size_t i = 0; i < stack->n_services; i++)
        json_array_append(array, sorted[i]->spec);
    free(sorted);
    return array;
}

json_t *stack_render(const struct stack *stack)
{
    json_t *networks = json_array(), *object = json_object();
    for (size_t i = 0; i < stack->n_networks; i++)
        if (stack->networks[i].body)
            json_array_append(networks, stack->networks[i].body);
    json_object_set_new(object, "networks", networks);
    json_object_set_new(object, "secrets", blobs(stack->secrets, stack->n_secrets));
    json_object_set_new(object, "configs", blobs(stack->configs, stack->n_configs));
    json_object_set_new(object, "services", services(stack));
    return object;
}
