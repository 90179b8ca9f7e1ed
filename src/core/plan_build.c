/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>

#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "core/plan_internal.h"
#include "core/spec_compare.h"

/* Rows of a plan as they are added, and the JSON of them. */

const struct reference_kind plan_references[] = {
    {"Secrets", "SecretName", STEP_SECRET}, {"Configs", "ConfigName", STEP_CONFIG}, {NULL, NULL, NULL}};

json_t *builder_keep(struct plan_builder *b, json_t *value)
{
    json_array_append_new(b->plan->owned, value);
    return value;
}

/* Looked up once for each service: lists of a thousand are not searched a thousand times. */
static void index_observed(struct plan_builder *b)
{
    json_t *item;
    size_t i;
    json_array_foreach (b->observed->services, i, item) {
        const char *name = json_path_string(item, "Spec", "Name", NULL);
        if (name)
            json_object_set(b->live, name, item);
    }
    json_array_foreach (b->observed->tasks, i, item) {
        const char *id = json_path_string(item, "ServiceID", NULL);
        json_t *list = id ? json_object_get(b->tasks, id) : NULL;
        if (id && !list)
            json_object_set_new(b->tasks, id, list = json_array());
        json_array_append(list, item);
    }
    json_array_foreach (b->observed->networks, i, item) {
        const char *id = json_path_string(item, "Id", NULL);
        if (id)
            json_object_set(b->network_names, id, json_object_get(item, "Name"));
    }
}

void builder_init(struct plan_builder *b, const struct observed *observed, struct plan *plan)
{
    *plan = (struct plan){.owned = json_array()};
    *b = (struct plan_builder){.observed = observed, .plan = plan, .arena = &plan->arena};
    b->json_services = builder_keep(b, json_array());
    b->json_objects = builder_keep(b, json_array());
    b->json_migrations = builder_keep(b, json_array());
    b->json_sql = builder_keep(b, json_array());
    b->live = builder_keep(b, json_object());
    b->tasks = builder_keep(b, json_object());
    b->network_names = builder_keep(b, json_object());
    b->renamed = builder_keep(b, json_object());
    b->specs = builder_keep(b, json_object());
    index_observed(b);
}

static const char *keep_text(struct plan_builder *b, const json_t *value)
{
    cleanup_free char *text = spec_text(value);
    return arena_strdup(b->arena, text);
}

/* ---- rows ---- */

struct step *builder_step(struct plan_builder *b, const char *kind, const char *name, json_t *params)
{
    b->steps = arena_grow(b->arena, b->steps, b->n_steps, sizeof *b->steps);
    b->steps[b->n_steps] = (struct step){
        .seq = (unsigned)b->n_steps + 1,
        .kind = kind,
        .name = arena_strdup(b->arena, name),
        .state = STEP_PENDING,
        .params = keep_text(b, params),
    };
    json_decref(params);
    return &b->steps[b->n_steps++];
}

void builder_warn(struct plan_builder *b, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(b->arena, format, ap);
    va_end(ap);
    b->warnings = arena_grow(b->arena, b->warnings, b->n_warnings, sizeof *b->warnings);
    b->warnings[b->n_warnings++] = text;
}

void builder_service(struct plan_builder *b, const char *key, const char *name, const char *action,
                     const char **changes, bool restarts, const json_t *before)
{
    b->services = arena_grow(b->arena, b->services, b->n_services, sizeof *b->services);
    b->services[b->n_services++] = (struct service_record){
        .service = arena_strdup(b->arena, key),
        .name = arena_strdup(b->arena, name),
        .action = action,
        .state = strcmp(action, "none") == 0 ? "unchanged" : "pending",
        .before = before ? keep_text(b, before) : NULL,
    };
    json_array_append_new(b->json_services,
                          json_pack("{s:s, s:s, s:s, s:o, s:b}", "service", key, "name", name, "action",
                                    action, "changes", json_strings(changes), "restarts", restarts));
}

/* Of a service as it was before: context for a verdict on its successor. */
static unsigned failures_before(const struct plan_builder *b, const json_t *live)
{
    const char *id = json_path_string(live, "ID", NULL);
    const json_t *tasks = id ? json_object_get(b->tasks, id) : NULL;
    int64_t since_us = b->observed->at_us - (int64_t)TASKS_BEFORE_MIN * 60 * US_PER_S;
    return tasks ? tasks_failed_since(live, tasks, rfc3339_utc(b->arena, since_us)) : 0;
}

/* Left by a deployment that did not see it work. */
static bool is_doubtful(const struct plan_builder *b, const json_t *live_spec)
{
    const char *label = spec_label(live_spec, LABEL_DEPLOYMENT);
    return label && json_object_get(b->observed->doubtful, label);
}

/*
 * What to put back. Where the new spec runs already, that is what it took the place of, by the record of the
 * deployment that sent it: the one that the engine keeps is, after a second try, the first one's. It counts
 * where there is no record.
 */
static const json_t *before_of(const struct plan_builder *b, const json_t *live, bool again)
{
    const json_t *spec = json_object_get(live, "Spec"), *previous = json_object_get(live, "PreviousSpec");
    if (!again)
        return spec;
    const json_t *taken = json_path(b->observed->doubtful, spec_label(spec, LABEL_DEPLOYMENT),
                                    json_path_string(spec, "Name", NULL), NULL);
    return taken ? taken : previous && !is_doubtful(b, previous) ? previous : spec;
}

bool builder_compare(struct plan_builder *b, const char *key, const char *name, const json_t *spec,
                     const json_t *live, const char **ret_action)
{
    const json_t *live_spec = json_object_get(live, "Spec");
    static const char *unseen[] = {"not yet seen to work", NULL};
    struct spec_comparison comparison = {0};
    if (live)
        spec_compare(b->arena, spec, live_spec, b->network_names, &comparison);
    bool same = comparison.same, again = same && is_doubtful(b, live_spec);
    if (same)
        comparison = (struct spec_comparison){.changes = again ? unseen : NULL};
    *ret_action = !live ? "create" : same && !again ? "none" : "update";
    builder_service(b, key, name, *ret_action, comparison.changes, comparison.restarts,
                    before_of(b, live, again));
    if (live && b->observed->tasks)
        json_object_set_new(json_array_get(b->json_services, json_array_size(b->json_services) - 1),
                            "failures_before", json_integer(failures_before(b, live)));
    return again;
}

void builder_roll(struct plan_builder *b, const char *kind, const char *key, const char *action, json_t *spec,
                  const json_t *live, bool again)
{
    const json_t *now = json_object_get(live, "Spec");
    bool moved = before_of(b, live, again) != now;
    unsigned failures = failures_before(b, live);
    json_t *params = json_pack(
        "{s:s, s:s, s:s, s:O, s:s?, s:I, s:O*}", "service", key, "name", json_path_string(spec, "Name", NULL),
        "action", action, "spec", spec, "id", json_path_string(live, "ID", NULL), "version",
        json_path_integer(live, 0, "Version", "Index", NULL), "over", moved ? now : NULL);
    if (failures)
        json_object_set_new(params, "failures_before", json_integer(failures));
    builder_step(b, kind, key, params);
}

void builder_remove(struct plan_builder *b, const char *stack, const json_t *live, json_t *list)
{
    const json_t *spec = json_object_get(live, "Spec");
    const char *name = json_path_string(spec, "Name", NULL), *key = name;
    size_t prefix = strlen(stack);
    if (strncmp(name, stack, prefix) == 0 && name[prefix] == '_' && name[prefix + 1])
        key = name + prefix + 1;
    builder_service(b, key, name, "remove", NULL, false, spec);
    json_array_append_new(list, json_pack("{s:s, s:s, s:s?}", "service", key, "name", name, "id",
                                          json_path_string(live, "ID", NULL)));
}

/* ---- the end ---- */

static json_t *steps_json(const struct plan_builder *b)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < b->n_steps && !b->plan->empty; i++)
        json_array_append_new(steps, json_pack("{s:i, s:s, s:s}", "seq", (int)b->steps[i].seq, "kind",
                                               b->steps[i].kind, "name", b->steps[i].name));
    return steps;
}

static json_t *images_json(const struct plan_rows *rows)
{
    json_t *images = json_array();
    for (size_t i = 0; i < rows->n_images; i++)
        json_array_append_new(images,
                              json_pack("{s:s, s:s, s:s?}", "service", rows->images[i].service, "reference",
                                        rows->images[i].reference, "digest", rows->images[i].digest));
    return images;
}

static json_t *warnings_json(const struct plan_builder *b)
{
    json_t *warnings = json_array();
    for (size_t i = 0; i < b->n_warnings; i++)
        json_array_append_new(warnings, json_string(b->warnings[i]));
    return warnings;
}

void builder_finish(struct plan_builder *b, const char *stack, const char *commit)
{
    struct plan *plan = b->plan;
    json_t *warnings = builder_keep(b, warnings_json(b));
    plan->json = json_pack("{s:s, s:s, s:b, s:O, s:O, s:O, s:O, s:o, s:o, s:O}", "stack", stack, "commit",
                           commit, "empty", plan->empty, "services", b->json_services, "objects",
                           b->json_objects, "migrations", b->json_migrations, "sql", b->json_sql, "images",
                           images_json(&plan->rows), "steps", steps_json(b), "warnings", warnings);
    plan->rows.plan = keep_text(b, plan->json);
    plan->rows.warnings = keep_text(b, warnings);
    plan->rows.steps = b->steps;
    plan->rows.n_steps = b->n_steps;
    plan->rows.services = b->services;
    plan->rows.n_services = b->n_services;
    plan->rows.migrations = b->migrations;
    plan->rows.n_migrations = b->n_migrations;
}

void observed_release(struct observed *observed)
{
    json_decref(observed->services);
    json_decref(observed->strangers);
    json_decref(observed->networks);
    json_decref(observed->secrets);
    json_decref(observed->configs);
    json_decref(observed->tasks);
    json_decref(observed->nodes);
    json_decref(observed->doubtful);
    *observed = (struct observed){0};
}

void plan_release(struct plan *plan)
{
    json_decref(plan->json);
    json_decref(plan->owned);
    arena_release(&plan->arena);
    *plan = (struct plan){0};
}
