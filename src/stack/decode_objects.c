/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "decode.h"
#include "syntax.h"

const char *object_kind_name(enum object_kind kind)
{
    static const char *const names[] = {"network", "volume", "config", "secret"};
    return names[kind];
}

/* ---- external ---- */

static void check_external_volume(struct decoder *d, const struct object *o, const struct path *path)
{
    const char *other = o->driver          ? "driver"
                        : o->driver_opts.n ? "driver_opts"
                        : o->labels.n      ? "labels"
                                           : NULL;
    if (other)
        report_node(d->report, o->at, path,
                    "conflicting parameters \"external\" and \"%s\" specified for volume \"%s\"", other,
                    o->key);
}

static void decode_external(struct decoder *d, enum object_kind kind, const struct path *path,
                            struct object *o)
{
    const struct node *external = node_get(o->at, "external");
    const char *word = object_kind_name(kind);
    if (!external || (external->type == NODE_BOOL && !external->boolean))
        return;
    o->external = true;
    const char *old_name = get_text(external, "name");
    if (old_name && o->name)
        report_node(d->report, external, PATH_KEY(path, "external"),
                    "%s %s: %s.external.name and %s.name conflict; only use %s.name", word, o->key, word,
                    word, word);
    else if (old_name && d->minor >= (kind == OBJECT_VOLUME ? 4 : 5))
        report_warning(d->report, "%s %s: %s.external.name is deprecated in favor of %s.name", word, o->key,
                       word, word);
    if (!o->name)
        o->name = old_name ? old_name : o->key;
    if (kind == OBJECT_VOLUME)
        check_external_volume(d, o, path);
}

/* ---- the rest ---- */

static void decode_ipam(struct decoder *d, const struct node *node, struct object *o)
{
    const struct node *list = node_get(node, "config");
    o->ipam_driver = get_text(node, "driver");
    for (size_t i = 0; list && list->type == NODE_LIST && i < list->list.n; i++) {
        const char *subnet = get_text(list->list.items[i], "subnet");
        texts_add(d->arena, &o->subnets, subnet ? subnet : "");
    }
    o->ipam_given = o->ipam_driver || o->subnets.n;
}

/* Nothing is made of a cluster volume's options, but the oracle reads its sizes. */
static void check_capacity(struct decoder *d, const struct node *volume, const struct path *path)
{
    static const char *const keys[] = {"required_bytes", "limit_bytes"};
    const struct path spec = {path, "x-cluster-spec", 0}, range_path = {&spec, "capacity_range", 0};
    const struct node *range = node_get(node_get(volume, "x-cluster-spec"), "capacity_range");
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const struct node *size = node_get(range, keys[i]);
        int64_t bytes;
        const char *problem;
        if (size && size->type == NODE_STRING && !memory_parse(d->arena, size->string.text, &bytes, &problem))
            report_node(d->report, size, PATH_KEY(&range_path, keys[i]), "%s (such as 256M or 1.5G)",
                        problem);
    }
}

static struct object decode_object(struct decoder *d, enum object_kind kind, const struct node *node,
                                   const struct path *path)
{
    struct object o = {
        .key = path->key,
        .at = node,
        .name = get_text(node, "name"),
        .driver = get_text(node, "driver"),
        .file = get_text(node, "file"),
        .file_at = node_get(node, "file"),
        .template_driver = get_text(node, "template_driver"),
        .driver_opts = get_pairs(d, node, "driver_opts", false),
        .labels = get_pairs(d, node, "labels", false),
        .internal = get_bool(node, "internal"),
        .attachable = get_bool(node, "attachable"),
    };
    if (node->type != NODE_MAP)
        return o;
    decode_external(d, kind, path, &o);
    decode_ipam(d, node_get(node, "ipam"), &o);
    check_capacity(d, node, path);
    if (kind == OBJECT_SECRET && o.driver && o.file && !o.external)
        report_node(d->report, node, path,
                    "secret %s: secret.driver and secret.file conflict; only use secret.driver", o.key);
    return o;
}

static int by_key(const void *x, const void *y)
{
    return strcmp(((const struct object *)x)->key, ((const struct object *)y)->key);
}

void decode_objects(struct decoder *d, enum object_kind kind, const struct node *node,
                    const struct path *path, struct objects *ret)
{
    *ret = (struct objects){0};
    if (!node || node->type != NODE_MAP)
        return;
    ret->items = arena_array(d->arena, node->map.n, sizeof *ret->items);
    for (size_t i = 0; i < node->map.n; i++)
        ret->items[ret->n++] =
            decode_object(d, kind, node->map.pairs[i].value, PATH_KEY(path, node->map.pairs[i].key));
    if (ret->n)
        qsort(ret->items, ret->n, sizeof *ret->items, by_key);
}

/* ---- the file ---- */

void decode_project(struct decoder *d, const struct node *root, struct project *ret)
{
    const struct node *services = node_get(root, "services");
    const struct path path = {.key = "services"};
    struct project p = {0};
    if (services && services->type == NODE_MAP) {
        p.services = arena_array(d->arena, services->map.n, sizeof *p.services);
        for (size_t i = 0; i < services->map.n; i++)
            if (services->map.pairs[i].value->type == NODE_MAP)
                decode_service(d, services->map.pairs[i].value, PATH_KEY(&path, services->map.pairs[i].key),
                               &p.services[p.n_services++]);
    }
    decode_objects(d, OBJECT_NETWORK, node_get(root, "networks"), PATH_KEY(NULL, "networks"), &p.networks);
    decode_objects(d, OBJECT_VOLUME, node_get(root, "volumes"), PATH_KEY(NULL, "volumes"), &p.volumes);
    decode_objects(d, OBJECT_CONFIG, node_get(root, "configs"), PATH_KEY(NULL, "configs"), &p.configs);
    decode_objects(d, OBJECT_SECRET, node_get(root, "secrets"), PATH_KEY(NULL, "secrets"), &p.secrets);
    *ret = p;
}
