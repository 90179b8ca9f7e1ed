/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>

#include "base/str.h"
#include "decode.h"
#include "syntax.h"

static void decode_update(struct decoder *d, const struct node *node, const struct path *path,
                          struct update_config *ret)
{
    if (!node || node->type != NODE_MAP)
        return;
    const struct node *ratio = node_get(node, "max_failure_ratio");
    *ret = (struct update_config){
        .given = true,
        .parallelism = get_uint(d, node, "parallelism", path),
        .delay = get_duration(d, node, "delay", path).value,
        .monitor = get_duration(d, node, "monitor", path).value,
        .failure_action = get_text(node, "failure_action"),
        .order = get_text(node, "order"),
    };
    double value = 0;
    if (ratio && ratio->type == NODE_FLOAT)
        value = ratio->real;
    else if (ratio && ratio->type == NODE_INT)
        value = (double)ratio->integer;
    else if (ratio && ratio->type == NODE_UINT)
        value = (double)ratio->uinteger;
    if (value > (double)FLT_MAX || value < -(double)FLT_MAX)
        report_node(d->report, ratio, PATH_KEY(path, "max_failure_ratio"), "number is too large");
    else
        ret->max_failure_ratio = (float)value;
}

/* ---- resources ---- */

static int64_t get_memory(struct decoder *d, const struct node *map, const struct path *path)
{
    const struct node *node = node_get(map, "memory");
    int64_t bytes = 0;
    const char *problem;
    if (node && node->type == NODE_STRING && !memory_parse(d->arena, node->string.text, &bytes, &problem))
        report_node(d->report, node, PATH_KEY(path, "memory"), "%s (such as 256M or 1.5G)", problem);
    return bytes;
}

static void decode_generic(struct decoder *d, const struct node *list, const struct path *path,
                           struct resource *ret)
{
    for (size_t i = 0; list && list->type == NODE_LIST && i < list->list.n; i++) {
        const struct node *spec = node_get(list->list.items[i], "discrete_resource_spec");
        const struct path item = {path, NULL, i}, here = {&item, "discrete_resource_spec", 0};
        struct generic_resource generic = {0};
        if (spec && spec->type == NODE_MAP)
            generic = (struct generic_resource){true, get_text(spec, "kind"),
                                                get_int(d, spec, "value", &here).value};
        ret->generic = arena_grow(d->arena, ret->generic, ret->n_generic, sizeof generic);
        ret->generic[ret->n_generic++] = generic;
    }
}

static void decode_resource(struct decoder *d, const struct node *node, const struct path *path,
                            struct resource *ret)
{
    if (!node || node->type != NODE_MAP)
        return;
    *ret = (struct resource){
        .given = true,
        .cpus_at = node_get(node, "cpus"),
        .cpus = get_text(node, "cpus"),
        .memory = get_memory(d, node, path),
        .pids = get_int(d, node, "pids", path).value,
    };
    decode_generic(d, node_get(node, "generic_resources"), PATH_KEY(path, "generic_resources"), ret);
}

/* ---- placement and restart ---- */

static void decode_placement(struct decoder *d, const struct node *node, const struct path *path,
                             struct placement *ret)
{
    const struct node *preferences = node_get(node, "preferences");
    ret->constraints = get_texts(d, node, "constraints");
    ret->max_replicas = get_uint(d, node, "max_replicas_per_node", path).value;
    ret->preferences.given = preferences != NULL;
    for (size_t i = 0; preferences && preferences->type == NODE_LIST && i < preferences->list.n; i++) {
        const char *spread = get_text(preferences->list.items[i], "spread");
        texts_add(d->arena, &ret->preferences, spread ? spread : "");
    }
}

/* All 64 bits set mean "without end" here, and only here is the number let through (see stack.h). */
static struct maybe_uint get_attempts(struct decoder *d, const struct node *map, const struct path *path)
{
    const struct node *node = node_get(map, "max_attempts");
    if (node && node->type == NODE_UINT && node->uinteger == UINT64_MAX)
        return (struct maybe_uint){true, UINT64_MAX};
    return get_uint(d, map, "max_attempts", path);
}

static void decode_restart(struct decoder *d, const struct node *node, const struct path *path,
                           struct restart_policy *ret)
{
    if (!node || node->type != NODE_MAP)
        return;
    *ret = (struct restart_policy){
        .given = true,
        .condition = get_text(node, "condition"),
        .delay = get_duration(d, node, "delay", path),
        .max_attempts = get_attempts(d, node, path),
        .window = get_duration(d, node, "window", path),
    };
}

void decode_deploy(struct decoder *d, const struct node *node, const struct path *path, struct deploy *ret)
{
    if (!node || node->type != NODE_MAP)
        return;
    const struct node *resources = node_get(node, "resources");
    const struct path resources_path = {path, "resources", 0};
    ret->at = node;
    ret->mode_at = node_get(node, "mode");
    ret->mode = get_text(node, "mode");
    ret->endpoint_mode = get_text(node, "endpoint_mode");
    ret->replicas = get_uint(d, node, "replicas", path);
    ret->labels = get_pairs(d, node, "labels", false);
    decode_update(d, node_get(node, "update_config"), PATH_KEY(path, "update_config"), &ret->update);
    decode_update(d, node_get(node, "rollback_config"), PATH_KEY(path, "rollback_config"), &ret->rollback);
    decode_resource(d, node_get(resources, "limits"), PATH_KEY(&resources_path, "limits"), &ret->limits);
    decode_resource(d, node_get(resources, "reservations"), PATH_KEY(&resources_path, "reservations"),
                    &ret->reservations);
    decode_restart(d, node_get(node, "restart_policy"), PATH_KEY(path, "restart_policy"), &ret->restart);
    decode_placement(d, node_get(node, "placement"), PATH_KEY(path, "placement"), &ret->placement);
}
