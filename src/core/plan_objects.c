/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/str.h"
#include "core/plan_internal.h"

/*
 * Configs and secrets are immutable in Swarm. The plain name is kept while its content matches; changed
 * content gets a new object NAME_<12 hex of sha256>. Secrets cannot be read back, so a label carries a salted
 * hash.
 */

static void add_object(struct plan_builder *b, const char *kind, const char *name, const char *action,
                       json_t *params)
{
    b->objects = arena_grow(b->arena, b->objects, b->n_objects, sizeof *b->objects);
    b->objects[b->n_objects++] =
        (struct planned_object){kind, arena_strdup(b->arena, name), builder_keep(b, params)};
    json_array_append_new(b->json_objects,
                          json_pack("{s:s, s:s, s:s}", "kind", kind, "name", name, "action", action));
}

/* at: NULL for what the file does not name, such as the network `default` */
static int __attribute__((format(printf, 4, 5)))
refuse(struct error *err, const struct node *at, const char *path, const char *format, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return at ? node_error(err, at, path, "%s", text) : error_set(err, ERR_INVALID, 0, "%s: %s", path, text);
}

/* ---- networks ---- */

/* Local networks may bear the same name as one of the swarm, which is the one that counts. */
static const json_t *find_network(const json_t *networks, const char *name)
{
    const json_t *found = NULL, *network;
    size_t i;
    json_array_foreach (networks, i, network) {
        if (!str_eq(json_path_string(network, "Name", NULL), name))
            continue;
        if (!found || str_eq(json_path_string(network, "Scope", NULL), "swarm"))
            found = network;
    }
    return found;
}

static bool is_predefined(const char *name)
{
    static const char *const names[] = {"bridge", "host", "none", "default"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return str_starts(name, "container:");
}

static int check_external(const struct stack_network *network, const json_t *live, struct error *err)
{
    const char *scope = json_path_string(live, "Scope", NULL);
    if (is_predefined(network->name))
        return 0;
    if (!live)
        return refuse(err, network->at, "networks",
                      "network \"%s\" is declared as external, but could not be found. You need to create a "
                      "swarm-scoped network before the stack is deployed",
                      network->name);
    if (!str_eq(scope, "swarm"))
        return refuse(err, network->at, "networks",
                      "network \"%s\" is declared as external, but it is not in the right scope: \"%s\" "
                      "instead of \"swarm\"",
                      network->name, scope ? scope : "");
    return 0;
}

static int plan_network(struct plan_builder *b, const struct stack_network *network, struct error *err)
{
    const json_t *live = find_network(b->observed->networks, network->name);
    if (network->external)
        return check_external(network, live, err);
    if (!live) {
        add_object(b, STEP_NETWORK, network->name, "create",
                   json_pack("{s:s, s:O}", "name", network->name, "body", network->body));
        return 0;
    }
    if (!str_eq(json_path_string(live, "Labels", LABEL_NAMESPACE, NULL), b->input->manifest->stack->name))
        return refuse(
            err, network->at, "networks",
            "a network named %s exists and does not belong to this stack; rename one of the two, or "
            "declare it external",
            network->name);
    return 0;
}

/* ---- configs and secrets ---- */

struct blob_kind {
    const char *kind;   /* of the step, and the word for it */
    const json_t *live; /* by name */
    bool readable;      /* configs come back with their data */
};

enum same { SAME, DIFFERENT, UNKNOWN /* a secret that only the engine can compare */ };

/* What makes the content: the data, and how the engine fills it in or gets it. */
static const char *salted_hash(struct plan_builder *b, const struct stack_blob *blob)
{
    char hex[SHA256_HEX_SIZE];
    cleanup_str struct str content = {0};
    cleanup_json json_t *made = json_object();
    static const char *const members[] = {"Templating", "Driver"};
    if (blob->len)
        str_append_n(&content, blob->data, blob->len);
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (json_is_object(json_object_get(blob->body, members[i])))
            json_object_set(made, members[i], json_object_get(blob->body, members[i]));
    if (json_object_size(made)) {
        cleanup_free char *text = spec_text(made);
        str_append_n(&content, "", 1);
        str_append(&content, text);
    }
    sha256_salted_hex(b->input->salt, str_text(&content), content.len, hex);
    return arena_strdup(b->arena, hex);
}

static bool same_config(const json_t *spec, const struct stack_blob *blob)
{
    const char *have = json_path_string(spec, "Data", NULL),
               *want = json_path_string(blob->body, "Data", NULL);
    return str_eq(have ? have : "", want ? want : "") &&
           str_eq(json_path_string(spec, "Templating", "Name", NULL),
                  json_path_string(blob->body, "Templating", "Name", NULL));
}

/* named_by_content: the name says what it holds, whatever the label of another installation's salt does. */
static enum same compare_content(const struct blob_kind *kind, const json_t *live,
                                 const struct stack_blob *blob, const char *salted, bool named_by_content)
{
    const json_t *spec = json_object_get(live, "Spec");
    const char *label = spec_label(spec, LABEL_CONTENT);
    if (kind->readable)
        return same_config(spec, blob) ? SAME : DIFFERENT;
    if (str_eq(label, salted))
        return SAME;
    return label && !named_by_content ? DIFFERENT : UNKNOWN;
}

/* The stack file's labels, whatever of our own the engine has besides them. */
static bool same_labels(const json_t *live, const struct stack_blob *blob)
{
    const json_t *have = json_path(live, "Spec", "Labels", NULL),
                 *want = json_object_get(blob->body, "Labels");
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)have, key, value) {
        if (!str_starts(key, LABEL_PREFIX) && !json_equal(json_object_get(want, key), value))
            return false;
    }
    json_object_foreach ((json_t *)(uintptr_t)want, key, value) {
        if (!json_equal(json_object_get(have, key), value))
            return false;
    }
    return true;
}

static void refer_to(struct plan_builder *b, const struct blob_kind *kind, const struct stack_blob *blob,
                     const char *name)
{
    if (strcmp(name, blob->name) != 0)
        json_object_set_new(b->renamed, arena_printf(b->arena, "%s %s", kind->kind, blob->name),
                            json_string(name));
}

static void make_blob(struct plan_builder *b, const struct blob_kind *kind, const struct stack_blob *blob,
                      const char *name, const char *action, const char *salted)
{
    refer_to(b, kind, blob, name);
    add_object(b, kind->kind, name, action,
               json_pack("{s:s, s:s, s:s, s:s}", "key", blob->key, "name", name, "action", action, "content",
                         salted));
}

/* Swarm's names have at most 64 bytes. */
static const char *name_by_content(struct plan_builder *b, const struct stack_blob *blob)
{
    char hash[SHA256_HEX_SIZE];
    sha256_hex(blob->data ? blob->data : "", blob->len, hash);
    return arena_printf(b->arena, "%.51s_%.12s", blob->name, hash);
}

static int plan_blob(struct plan_builder *b, const struct blob_kind *kind, const struct stack_blob *blob,
                     struct error *err)
{
    const char *names[] = {blob->name, name_by_content(b, blob)}, *missing = NULL;
    if (blob->external) {
        if (json_object_get(kind->live, blob->name))
            return 0;
        return refuse(err, blob->at, kind->kind,
                      "%s not found: %s (it is declared as external and must exist)", kind->kind, blob->name);
    }
    const char *salted = salted_hash(b, blob);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const json_t *live = json_object_get(kind->live, names[i]);
        enum same same = live ? compare_content(kind, live, blob, salted, i == 1) : DIFFERENT;
        if (same == SAME && !same_labels(live, blob)) {
            make_blob(b, kind, blob, names[i], "label", salted);
            return 0;
        }
        if (same == SAME) {
            refer_to(b, kind, blob, names[i]);
            return 0;
        }
        if (same == UNKNOWN) {
            /* the engine compares for us: it accepts new labels only when the data is the same */
            builder_warn(
                b,
                "%s %s was made by someone else; its content is compared by the engine when its label is set",
                kind->kind, names[i]);
            make_blob(b, kind, blob, names[i], "adopt", salted);
            return 0;
        }
        if (!live && !missing)
            missing = names[i];
    }
    if (!missing)
        return refuse(err, blob->at, kind->kind,
                      "both %s and %s exist and hold other content; give the %s another name", names[0],
                      names[1], kind->kind);
    make_blob(b, kind, blob, missing, "create", salted);
    return 0;
}

static int plan_blobs(struct plan_builder *b, const char *kind, const json_t *live,
                      const struct stack_blob *blobs, size_t n, struct error *err)
{
    cleanup_json json_t *by_name = json_object();
    const struct blob_kind k = {kind, by_name, strcmp(kind, STEP_CONFIG) == 0};
    json_t *item;
    size_t i;
    json_array_foreach (live, i, item) {
        const char *name = json_path_string(item, "Spec", "Name", NULL);
        if (name)
            json_object_set(by_name, name, item);
    }
    for (i = 0; i < n; i++)
        if (plan_blob(b, &k, &blobs[i], err) < 0)
            return -1;
    return 0;
}

int plan_objects(struct plan_builder *b, struct error *err)
{
    const struct stack *stack = b->input->manifest->stack;
    for (size_t i = 0; i < stack->n_networks; i++)
        if (plan_network(b, &stack->networks[i], err) < 0)
            return -1;
    if (plan_blobs(b, STEP_SECRET, b->observed->secrets, stack->secrets, stack->n_secrets, err) < 0)
        return -1;
    return plan_blobs(b, STEP_CONFIG, b->observed->configs, stack->configs, stack->n_configs, err);
}

/* ---- what nothing needs any more ---- */

static void note_references(const struct plan_builder *b, json_t *needed, const json_t *spec)
{
    for (const struct reference_kind *r = plan_references; r->list; r++) {
        const json_t *item, *list = json_path(spec, "TaskTemplate", "ContainerSpec", r->list, NULL);
        size_t i;
        json_array_foreach (list, i, item) {
            const char *name = json_path_string(item, r->member, NULL);
            if (name)
                json_object_set_new(needed, arena_printf(b->arena, "%s %s", r->kind, name), json_true());
        }
    }
}

static void note_declared(const struct plan_builder *b, json_t *needed, const char *kind,
                          const struct stack_blob *blobs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_object_set_new(needed, arena_printf(b->arena, "%s %s", kind, blobs[i].name), json_true());
    }
}

/* Names that the new specs, services that are left running and rollback targets refer to. */
static json_t *needed_names(const struct plan_builder *b)
{
    const struct stack *stack = b->input->manifest->stack;
    json_t *needed = json_object(), *spec, *live;
    const char *key;
    size_t i;
    note_declared(b, needed, STEP_SECRET, stack->secrets, stack->n_secrets);
    note_declared(b, needed, STEP_CONFIG, stack->configs, stack->n_configs);
    json_object_foreach (b->specs, key, spec) {
        note_references(b, needed, spec);
    }
    json_array_foreach ((json_t *)(uintptr_t)b->input->retained, i, spec) {
        note_references(b, needed, spec);
    }
    json_array_foreach (b->observed->services, i, live) {
        const json_t *live_spec = json_object_get(live, "Spec");
        if (!spec_label(live_spec, LABEL_DEPLOYMENT))
            note_references(b, needed, live_spec);
    }
    return needed;
}

/* Ours are those of this stack that carry our own label. */
static json_t *unused(const struct plan_builder *b, const json_t *live_list, const char *kind,
                      const json_t *needed)
{
    json_t *list = json_array();
    const json_t *live;
    size_t i;
    json_array_foreach (live_list, i, live) {
        const json_t *spec = json_object_get(live, "Spec");
        const char *name = json_path_string(spec, "Name", NULL);
        bool ours = spec_label(spec, LABEL_CONTENT) &&
                    str_eq(spec_label(spec, LABEL_NAMESPACE), b->input->manifest->stack->name);
        if (name && ours && !json_object_get(needed, arena_printf(b->arena, "%s %s", kind, name)))
            json_array_append_new(
                list, json_pack("{s:s, s:s?}", "name", name, "id", json_path_string(live, "ID", NULL)));
    }
    return list;
}

void plan_prune(struct plan_builder *b, json_t *removed)
{
    cleanup_json json_t *needed = needed_names(b), *services = removed;
    if (!b->input->prune)
        return;
    cleanup_json json_t *secrets = unused(b, b->observed->secrets, STEP_SECRET, needed);
    cleanup_json json_t *configs = unused(b, b->observed->configs, STEP_CONFIG, needed);
    if (json_array_size(services) + json_array_size(secrets) + json_array_size(configs) > 0)
        builder_step(
            b, STEP_PRUNE, b->input->manifest->stack->name,
            json_pack("{s:O, s:O, s:O}", "services", services, "secrets", secrets, "configs", configs));
}
