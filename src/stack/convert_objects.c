/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base64.h"
#include "convert.h"

/* ---- names ---- */

const char *scoped(const struct converter *c, const char *key)
{
    return arena_printf(c->arena, "%s_%s", c->stack, key);
}

static int by_key(const void *x, const void *y)
{
    const char *key = x;
    const struct object *object = y;
    return strcmp(key, object->key);
}

const struct object *find_object(const struct objects *objects, const char *key)
{
    return objects->n ? bsearch(key, objects->items, objects->n, sizeof *objects->items, by_key) : NULL;
}

const char *object_name(const struct converter *c, const struct object *object, const char *key)
{
    return object->name ? object->name : scoped(c, key);
}

/* ---- two keys with one name ---- */

struct identity {
    const char *key, *name;
    bool external;
    const json_t *body;
    const struct node *at;
};

/* Fine if both say the same of the object; else it would be chance, in the oracle, which one counts. */
static bool same_object(struct converter *c, enum object_kind kind, struct identity a, struct identity b)
{
    const char *word = object_kind_name(kind);
    const struct path section = {.key = arena_printf(c->arena, "%ss", word)};
    if (!str_eq(a.name, b.name))
        return false;
    if (a.external != b.external || (a.body && !json_equal(a.body, b.body)))
        report_node(c->report, b.at, PATH_KEY(&section, b.key),
                    "the %ss %s and %s have one name, %s, but are not the same", word, a.key, b.key, a.name);
    return true;
}

#define IDENTITY(x) ((struct identity){(x).key, (x).name, (x).external, (x).body, (x).at})

/* ---- networks: those that some service uses ---- */

static json_t *ipam_json(const struct object *o)
{
    if (!o->ipam_given)
        return json_null();
    json_t *ipam = json_object();
    put_new(ipam, "Driver", json_string_nocheck(o->ipam_driver ? o->ipam_driver : ""));
    put_new(ipam, "Options", json_null());
    json_t *config = o->subnets.n ? json_array() : json_null();
    for (size_t i = 0; i < o->subnets.n; i++) {
        json_t *subnet = json_object();
        put_text(subnet, "Subnet", o->subnets.items[i]);
        json_array_append_new(config, subnet);
    }
    put_new(ipam, "Config", config);
    return ipam;
}

static json_t *network_json(const struct converter *c, const struct object *o, const char *name)
{
    json_t *body = json_object();
    put_new(body, "Name", json_string_nocheck(name));
    put_new(body, "Driver", json_string_nocheck(o->driver ? o->driver : "overlay"));
    put_new(body, "Scope", json_string_nocheck(""));
    put_new(body, "IPAM", ipam_json(o));
    put_new(body, "Internal", json_boolean(o->internal));
    put_new(body, "Attachable", json_boolean(o->attachable));
    put_new(body, "Ingress", json_false());
    put_new(body, "ConfigOnly", json_false());
    put_new(body, "ConfigFrom", json_null());
    put_new(body, "Options", o->driver_opts.given ? pairs_json(&o->driver_opts) : json_null());
    put_new(body, "Labels", labels_json(c, &o->labels));
    put_new(body, "CheckDuplicate", json_true());
    return body;
}

static int by_network_name(const void *x, const void *y)
{
    const struct stack_network *a = x, *b = y;
    int c = strcmp(a->name, b->name);
    return c ? c : strcmp(a->key, b->key);
}

static void add_network(struct converter *c, struct stack *ret, const struct object *o)
{
    struct stack_network network = {
        .key = o->key, .name = object_name(c, o, o->key), .external = o->external, .at = o->at};
    if (!o->external)
        network.body = network_json(c, o, network.name);
    ret->networks[ret->n_networks++] = network;
}

static void drop_same_networks(struct converter *c, struct stack *ret)
{
    size_t kept = 0;
    for (size_t i = 0; i < ret->n_networks; i++) {
        if (kept &&
            same_object(c, OBJECT_NETWORK, IDENTITY(ret->networks[kept - 1]), IDENTITY(ret->networks[i])))
            json_decref(ret->networks[i].body);
        else
            ret->networks[kept++] = ret->networks[i];
    }
    ret->n_networks = kept;
}

void convert_networks(struct converter *c, struct stack *ret)
{
    static const struct object undeclared = {.key = "default"};
    const struct objects *all = &c->project->networks;
    ret->networks = arena_array(c->arena, all->n + 1, sizeof *ret->networks);
    for (size_t i = 0; i < all->n; i++)
        if (c->network_used[i])
            add_network(c, ret, &all->items[i]);
    if (c->default_needed)
        add_network(c, ret, &undeclared);
    qsort(ret->networks, ret->n_networks, sizeof *ret->networks, by_network_name);
    drop_same_networks(c, ret);
}

/* ---- configs and secrets: all that are declared ---- */

enum {
    CONFIG_MAX = 1000 * 1024, /* the Engine's own limits */
    SECRET_MAX = 500 * 1024,
};

static void read_data(struct converter *c, enum object_kind kind, const struct object *o,
                      const struct path *path, struct stack_blob *blob)
{
    const char *inside, *word = object_kind_name(kind);
    size_t max = kind == OBJECT_SECRET ? SECRET_MAX : CONFIG_MAX;
    if (!o->file && (node_get(o->at, "content") || node_get(o->at, "environment")))
        return; /* the schema has refused these ways of giving the content */
    if (!o->file) {
        report_node(c->report, o->at, path, "%s %s: file is missing (or external: true)", word, o->key);
        return;
    }
    blob->data = read_file(c->decoder, o->file_at, PATH_KEY(path, "file"), o->file, &inside, &blob->len);
    if (blob->data && (blob->len == 0 || blob->len > max))
        report_node(c->report, o->file_at, PATH_KEY(path, "file"),
                    "%s: %s data must be larger than 0 and at most %zu bytes for the engine to take it",
                    inside, word, max);
}

static json_t *blob_json(struct converter *c, const struct object *o, const struct stack_blob *blob)
{
    json_t *body = json_object();
    put_new(body, "Name", json_string_nocheck(blob->name));
    put_new(body, "Labels", labels_json(c, &o->labels));
    if (blob->data)
        put_text(body, "Data", base64_encode(c->arena, blob->data, blob->len));
    if (o->driver) {
        json_t *driver = json_object();
        put_text(driver, "Name", o->driver);
        put_pairs(driver, "Options", &o->driver_opts);
        put_new(body, "Driver", driver);
    }
    if (o->template_driver) {
        json_t *templating = json_object();
        put_text(templating, "Name", o->template_driver);
        put_new(body, "Templating", templating);
    }
    return body;
}

static int by_blob_name(const void *x, const void *y)
{
    const struct stack_blob *a = x, *b = y;
    int c = strcmp(a->name, b->name);
    return c ? c : strcmp(a->key, b->key);
}

static size_t drop_same_blobs(struct converter *c, enum object_kind kind, struct stack_blob *blobs, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept && same_object(c, kind, IDENTITY(blobs[kept - 1]), IDENTITY(blobs[i])))
            json_decref(blobs[i].body);
        else
            blobs[kept++] = blobs[i];
    }
    return kept;
}

struct stack_blob *convert_blobs(struct converter *c, enum object_kind kind, size_t *ret_count)
{
    const struct objects *all = kind == OBJECT_SECRET ? &c->project->secrets : &c->project->configs;
    const struct path section = {.key = kind == OBJECT_SECRET ? "secrets" : "configs"};
    struct stack_blob *blobs = arena_array(c->arena, all->n, sizeof *blobs);
    for (size_t i = 0; i < all->n; i++) {
        const struct object *o = &all->items[i];
        struct stack_blob blob = {
            .key = o->key, .name = object_name(c, o, o->key), .external = o->external, .at = o->at};
        if (!o->external && !(kind == OBJECT_SECRET && o->driver))
            read_data(c, kind, o, PATH_KEY(&section, o->key), &blob);
        if (!o->external)
            blob.body = blob_json(c, o, &blob);
        blobs[i] = blob;
    }
    if (all->n)
        qsort(blobs, all->n, sizeof *blobs, by_blob_name);
    *ret_count = drop_same_blobs(c, kind, blobs, all->n);
    return blobs;
}
