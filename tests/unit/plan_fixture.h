/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A swarm in memory, for tests of plans: it holds the engine's lists, takes the steps of a plan as the step
 * kinds would send them, and gives specs back changed as the engine does. Include after cmocka.h.
 */

#include "agent/plan.h"
#include "agent/spec.h"
#include "core_fixture.h"

#define COMMIT_1 "1111111111111111111111111111111111111111"
#define COMMIT_2 "2222222222222222222222222222222222222222"

struct world {
    struct observed observed;
    json_t *fingerprints; /* step → fingerprint of the last success */
    json_t *retained;     /* specs of the last success */
    unsigned ids;
    bool deployed;
    bool no_prune; /* of a rollback */
};

static inline void world_init(struct world *w)
{
    *w = (struct world){.observed = {.services = json_array(),
                                     .networks = json_array(),
                                     .secrets = json_array(),
                                     .configs = json_array()},
                        .fingerprints = json_object(),
                        .retained = json_array()};
}

static inline void world_release(struct world *w)
{
    observed_release(&w->observed);
    json_decref(w->fingerprints);
    json_decref(w->retained);
}

/* Swarm's IDs have 25 of these. */
static inline json_t *world_id(struct world *w)
{
    return json_sprintf("id%023u", ++w->ids);
}

static inline json_t *world_find(const json_t *list, const char *name)
{
    json_t *item;
    size_t i;
    json_array_foreach (list, i, item) {
        if (str_eq(json_path_string(item, "Spec", "Name", NULL), name) ||
            str_eq(json_path_string(item, "Name", NULL), name))
            return item;
    }
    return NULL;
}

static inline void world_remove(json_t *list, const char *name)
{
    for (size_t i = json_array_size(list); i-- > 0;)
        if (str_eq(json_path_string(json_array_get(list, i), "Spec", "Name", NULL), name))
            json_array_remove(list, i);
}

static inline void world_refer(json_t *references, const json_t *objects, const char *name, const char *id)
{
    json_t *reference;
    size_t i;
    json_array_foreach (references, i, reference) {
        json_t *object = world_find(objects, json_path_string(reference, name, NULL));
        if (!object)
            fail_msg("no object %s", json_path_string(reference, name, NULL));
        json_object_set(reference, id, json_object_get(object, "ID"));
    }
}

/* What GET /services would say of it. */
static inline json_t *world_store(struct world *w, const json_t *spec)
{
    json_t *copy = json_deep_copy(spec), *task = json_object_get(copy, "TaskTemplate"), *attachment;
    json_t *container = json_object_get(task, "ContainerSpec"), *labels = json_object_get(copy, "Labels");
    size_t i;
    json_array_foreach (json_object_get(task, "Networks"), i, attachment) {
        json_t *network = world_find(w->observed.networks, json_path_string(attachment, "Target", NULL));
        json_object_set_new(attachment, "Target",
                            network ? json_incref(json_object_get(network, "Id")) : world_id(w));
    }
    world_refer(json_object_get(container, "Secrets"), w->observed.secrets, "SecretName", "SecretID");
    world_refer(json_object_get(container, "Configs"), w->observed.configs, "ConfigName", "ConfigID");
    json_object_set_new(task, "Runtime", json_string("container"));
    json_object_set_new(container, "Isolation", json_string("default"));
    json_object_set_new(labels, LABEL_DEPLOYMENT, json_string("h/1"));
    if (!json_path(copy, "EndpointSpec", "Mode", NULL))
        json_object_set_new(json_object_get(copy, "EndpointSpec"), "Mode", json_string("vip"));
    return copy;
}

static inline void world_put_service(struct world *w, const json_t *spec)
{
    json_t *live = world_find(w->observed.services, json_path_string(spec, "Name", NULL));
    if (!live) {
        live = json_pack("{s:o, s:{s:i}}", "ID", world_id(w), "Version", "Index", 1);
        json_array_append_new(w->observed.services, live);
    }
    json_object_set_new(live, "Spec", world_store(w, spec));
    json_t *version = json_object_get(live, "Version");
    json_object_set_new(version, "Index",
                        json_integer(json_path_integer(version, 0, "Index", NULL, NULL) + 1));
}

static inline void world_put_network(struct world *w, const char *name, const char *scope, const char *owner)
{
    json_t *labels = owner ? json_pack("{s:s}", LABEL_NAMESPACE, owner) : json_object();
    json_array_append_new(w->observed.networks, json_pack("{s:s, s:o, s:s, s:o}", "Name", name, "Id",
                                                          world_id(w), "Scope", scope, "Labels", labels));
}

/* owner, content: labels; NULL: without. data: NULL for secrets, which do not come back with it */
static inline void world_put_blob(struct world *w, json_t *list, const char *name, const char *data,
                                  const char *owner, const char *content)
{
    json_t *labels = json_object();
    if (owner)
        json_object_set_new(labels, LABEL_NAMESPACE, json_string(owner));
    if (content)
        json_object_set_new(labels, LABEL_CONTENT, json_string(content));
    json_array_append_new(list, json_pack("{s:o, s:{s:s, s:s*, s:o}}", "ID", world_id(w), "Spec", "Name",
                                          name, "Data", data, "Labels", labels));
}

static inline void world_make_blob(struct world *w, json_t *list, const struct stack_blob *blobs, size_t n,
                                   const json_t *params)
{
    const char *name = json_path_string(params, "name", NULL), *key = json_path_string(params, "key", NULL);
    bool create = str_eq(json_path_string(params, "action", NULL), "create");
    if (create == (world_find(list, name) != NULL))
        fail_msg("%s of %s", json_path_string(params, "action", NULL), name);
    world_remove(list, name);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(blobs[i].key, key) != 0)
            continue;
        json_t *spec = json_deep_copy(blobs[i].body);
        json_object_set(spec, "Name", json_object_get(params, "name"));
        json_object_set(json_object_get(spec, "Labels"), LABEL_CONTENT, json_object_get(params, "content"));
        if (list == w->observed.secrets)
            json_object_del(spec, "Data");
        json_array_append_new(list, json_pack("{s:o, s:o}", "ID", world_id(w), "Spec", spec));
    }
}

static inline void world_prune(struct world *w, const json_t *params)
{
    const json_t *item;
    size_t i;
    json_array_foreach (json_object_get(params, "services"), i, item) {
        world_remove(w->observed.services, json_path_string(item, "name", NULL));
    }
    json_array_foreach (json_object_get(params, "secrets"), i, item) {
        world_remove(w->observed.secrets, json_path_string(item, "name", NULL));
    }
    json_array_foreach (json_object_get(params, "configs"), i, item) {
        world_remove(w->observed.configs, json_path_string(item, "name", NULL));
    }
}

static inline void world_step(struct world *w, const struct manifest *m, const struct step *step)
{
    cleanup_json json_t *params = json_loads(step->params, 0, NULL);
    if (str_eq(step->kind, STEP_NETWORK))
        world_put_network(w, step->name, "swarm", "shop");
    else if (str_eq(step->kind, STEP_SECRET))
        world_make_blob(w, w->observed.secrets, m->stack->secrets, m->stack->n_secrets, params);
    else if (str_eq(step->kind, STEP_CONFIG))
        world_make_blob(w, w->observed.configs, m->stack->configs, m->stack->n_configs, params);
    else if (str_eq(step->kind, STEP_BEFORE) || str_eq(step->kind, STEP_ROLL))
        world_put_service(w, json_object_get(params, "spec"));
    else if (str_eq(step->kind, STEP_PRUNE))
        world_prune(w, params);
}

/* Everything in the plan happens, and it is recorded as a success. */
static inline void world_deploy(struct world *w, const struct manifest *m, const struct plan *plan)
{
    const json_t *live;
    size_t k;
    json_object_clear(w->fingerprints);
    json_array_clear(w->retained);
    for (size_t i = 0; i < plan->rows.n_steps; i++) {
        const struct step *step = &plan->rows.steps[i];
        if (!plan->empty)
            world_step(w, m, step);
        if (step->fingerprint)
            json_object_set_new(w->fingerprints, step->name, json_string(step->fingerprint));
    }
    json_array_foreach (w->observed.services, k, live) {
        json_array_append_new(w->retained, json_deep_copy(json_object_get(live, "Spec")));
    }
    w->deployed = true;
}

struct world_options {
    const char *commit; /* NULL: COMMIT_1 */
    const char *digest; /* of every image; NULL: sha256:1, "": not known */
    bool no_prune, paths_changed, no_platforms;
    const char *salt;           /* NULL: "salt" */
    const struct plan_sql *sql; /* NULL: folders without files */
};

/* The plan for m in this world. */
static inline int world_plan(struct world *w, const struct manifest *m, const struct world_options *o,
                             struct plan *ret, struct error *err)
{
    static const char *const warnings[] = {NULL};
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *platforms = fixture_json("[{'Architecture': 'amd64', 'OS': 'linux'}]");
    const struct stack *stack = m->stack;
    struct plan_image *images = arena_array(&arena, stack->n_services, sizeof *images);
    struct plan_fingerprint *prints = arena_array(&arena, json_object_size(w->fingerprints), sizeof *prints);
    bool *changed = arena_array(&arena, m->release.n_steps + 1, sizeof *changed);
    const char *step, *digest = o->digest ? o->digest : "sha256:1";
    json_t *print;
    size_t n = 0;
    json_object_foreach (w->fingerprints, step, print) {
        prints[n++] = (struct plan_fingerprint){step, json_string_value(print)};
    }
    for (size_t i = 0; i < stack->n_services; i++)
        images[i] = (struct plan_image){
            stack->services[i].key,
            json_path_string(stack->services[i].spec, "TaskTemplate", "ContainerSpec", "Image", NULL),
            *digest ? digest : NULL, *digest && !o->no_platforms ? platforms : NULL};
    memset(changed, o->paths_changed, m->release.n_steps);
    static const struct migration_set no_files = {0};
    struct plan_sql *folders = arena_array(&arena, m->release.n_steps + 1, sizeof *folders);
    for (size_t i = 0; i < m->release.n_steps; i++)
        folders[i] = (struct plan_sql){.url_hash = "", .set = &no_files};
    const struct plan_input input = {
        .manifest = m,
        .observed = &w->observed,
        .images = images,
        .n_images = stack->n_services,
        .fingerprints = prints,
        .n_fingerprints = n,
        .first_deploy = !w->deployed,
        .paths_changed = changed,
        .sql = o->sql ? o->sql : folders,
        .retained = w->retained,
        .commit = o->commit ? o->commit : COMMIT_1,
        .salt = o->salt ? o->salt : "salt",
        .prune = !o->no_prune,
        .extra_warnings = warnings,
    };
    return plan_make(&input, ret, err);
}
