/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plan.h"

#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "core/plan_internal.h"

/* ---- images ---- */

static void plan_images(struct plan_builder *b)
{
    const struct plan_input *input = b->input;
    struct image_record *rows = arena_array(b->arena, input->n_images, sizeof *rows);
    for (size_t i = 0; i < input->n_images; i++) {
        const struct plan_image *image = &input->images[i];
        const char *at = strchr(image->reference, '@'); /* the stack file may name the digest itself */
        rows[i] = (struct image_record){arena_strdup(b->arena, image->service),
                                        arena_strdup(b->arena, image->reference),
                                        arena_strdup(b->arena, image->digest ? image->digest
                                                               : at          ? at + 1
                                                                             : NULL)};
    }
    b->plan->rows.images = rows;
    b->plan->rows.n_images = input->n_images;
}

static void pull(struct plan_builder *b, json_t *seen, const json_t *spec)
{
    const char *image = json_path_string(spec, "TaskTemplate", "ContainerSpec", "Image", NULL);
    if (!image || json_object_get(seen, image))
        return;
    json_object_set_new(seen, image, json_true());
    /* named by what the stack file calls it: a digest is no name to read */
    const char *reference = arena_strndup(b->arena, image, strcspn(image, "@"));
    builder_step(b, STEP_PULL, reference, json_pack("{s:s}", "image", image));
}

/* What is about to be started: of services that stay as they are nothing is needed. */
static void add_pulls(struct plan_builder *b, const struct planned_service *services,
                      const struct planned_step *steps)
{
    const struct manifest *m = b->input->manifest;
    cleanup_json json_t *seen = json_object();
    for (size_t i = 0; i < m->stack->n_services; i++)
        if (strcmp(services[i].action, "none") != 0)
            pull(b, seen, services[i].spec);
    for (size_t i = 0; i < m->release.n_steps; i++)
        if (m->release.steps[i].kind == RELEASE_RUN && !steps[i].skip)
            pull(b, seen, json_object_get(b->specs, m->release.steps[i].run.service));
}

/* ---- relay and database ---- */

/* Services that the relay has to reach: those with a check, and the database. */
static json_t *relay_services(const struct manifest *m)
{
    json_t *keys = json_object();
    for (size_t i = 0; i < m->release.n_checks; i++)
        if (check_asks_task(&m->release.checks[i]))
            json_object_set_new(keys, m->release.checks[i].service, json_true());
    if (m->release.database_url_from && m->release.database_service)
        json_object_set_new(keys, m->release.database_service, json_true());
    return keys;
}

static void add_relay(struct plan_builder *b)
{
    const struct manifest *m = b->input->manifest;
    cleanup_json json_t *services = relay_services(m), *names = json_object(), *list = json_array();
    const char *key;
    json_t *value;
    json_object_foreach (services, key, value) {
        const json_t *attachment, *spec = json_object_get(b->specs, key);
        size_t i;
        json_array_foreach (json_path(spec, "TaskTemplate", "Networks", NULL), i, attachment) {
            const char *target = json_path_string(attachment, "Target", NULL);
            if (target && strcmp(target, "host") != 0 && strcmp(target, "bridge") != 0 &&
                strcmp(target, "none") != 0)
                json_object_set_new(names, target, json_true());
        }
    }
    json_object_foreach (names, key, value) {
        json_array_append_new(list, json_string(key));
    }
    if (json_array_size(list))
        builder_step(b, STEP_RELAY, m->stack->name, json_pack("{s:O}", "networks", list));
}

/* A login: of the application's role where nothing else is said; of the admin's for the early steps. */
static void add_ready(struct plan_builder *b, const char *step, const char *url_from)
{
    const struct release *release = &b->input->manifest->release;
    const char *key = release->database_service;
    const char *name = key ? stack_service(b->input->manifest->stack, key)->name : NULL;
    builder_step(b, STEP_READY, step,
                 json_pack("{s:s?, s:s, s:I}", "name", name, "url_from", url_from, "timeout_us",
                           (json_int_t)release->database_ready_us));
}

/* Before anything that may change the database. */
static void add_backup(struct plan_builder *b, bool writes)
{
    const struct manifest *m = b->input->manifest;
    const struct release *release = &m->release;
    const struct backup_settings *settings = &release->backup;
    if (settings->when == BACKUP_NEVER || (settings->when == BACKUP_PENDING && !writes))
        return;
    const struct stack_service *service = stack_service(m->stack, release->database_service);
    builder_step(b, STEP_BACKUP, release->database_service,
                 backup_params(settings, release->database_service, service->name,
                               release_direct_url(release), stack_volume(m->stack, settings->volume)->mount));
}

/* Admin steps at the head of the list make what the login needs; then login and backup, then the other steps.
 */
static void add_release_steps(struct plan_builder *b, const struct planned_step *steps)
{
    const struct release *release = &b->input->manifest->release;
    size_t i = 0;
    if (release->n_steps > 0 && release_step_is_early(release, 0))
        add_ready(b, "admin", release->admin_url_from);
    for (; i < release->n_steps && release_step_is_early(release, i); i++)
        plan_step_add(b, i, &steps[i]);
    if (release->database_url_from)
        add_ready(b, release->database_service ? release->database_service : "server",
                  release_direct_url(release));
    bool writes = false;
    for (size_t k = i; k < release->n_steps; k++)
        writes |= steps[k].writes;
    add_backup(b, writes);
    for (; i < release->n_steps; i++)
        plan_step_add(b, i, &steps[i]);
}

/* ---- the whole ---- */

static void roll(struct plan_builder *b, const char *kind, const struct planned_service *s)
{
    if (strcmp(s->action, "none") != 0)
        builder_roll(b, kind, s->service->key, s->action, s->spec, s->live, s->again);
}

/* In the order of steps/kinds.c. */
static void add_steps(struct plan_builder *b, const struct planned_service *services,
                      const struct planned_step *steps, json_t *removed)
{
    const struct manifest *m = b->input->manifest;
    bool rolled = false;
    add_pulls(b, services, steps);
    for (size_t i = 0; i < b->n_objects; i++)
        builder_step(b, b->objects[i].kind, b->objects[i].name, json_incref(b->objects[i].params));
    add_relay(b);
    plan_baseline(b, services, steps);
    for (size_t i = 0; i < m->n_before; i++)
        roll(b, STEP_BEFORE, &services[i]);
    add_release_steps(b, steps);
    plan_compare(b, services, steps);
    for (size_t i = m->n_before; i < m->stack->n_services; i++) {
        roll(b, STEP_ROLL, &services[i]);
        rolled |= strcmp(services[i].action, "none") != 0;
    }
    if (rolled && m->release.gate.soak_us > 0)
        builder_step(b, STEP_SOAK, m->stack->name, json_object());
    plan_prune(b, removed);
}

static void add_warnings(struct plan_builder *b)
{
    const struct plan_input *input = b->input;
    for (size_t i = 0; i < input->manifest->stack->n_warnings; i++)
        builder_warn(b, "%s", input->manifest->stack->warnings[i]);
    for (size_t i = 0; input->extra_warnings && input->extra_warnings[i]; i++)
        builder_warn(b, "%s", input->extra_warnings[i]);
}

static int make(struct plan_builder *b, struct error *err)
{
    const struct manifest *m = b->input->manifest;
    struct planned_service *services = arena_array(b->arena, m->stack->n_services, sizeof *services);
    struct planned_step *steps = arena_array(b->arena, m->release.n_steps, sizeof *steps);
    add_warnings(b);
    plan_images(b);
    if (plan_objects(b, err) < 0 || plan_services(b, services, err) < 0)
        return -1;
    bool differs = b->n_objects > 0;
    for (size_t i = 0; i < m->stack->n_services; i++)
        differs |= strcmp(services[i].action, "none") != 0;
    for (size_t i = 0; i < m->release.n_steps; i++) {
        plan_step(b, i, &steps[i]);
        differs |= steps[i].changed;
    }
    json_t *removed = plan_removals(b);
    differs |= json_array_size(removed) > 0;
    if (differs) {
        add_steps(b, services, steps, removed);
    } else {
        json_decref(removed);
        for (size_t i = 0; i < m->release.n_steps; i++)
            plan_step_remember(b, i, &steps[i]);
        plan_baseline_remember(b);
    }
    b->plan->empty = !differs;
    builder_finish(b, m->stack->name, b->input->commit);
    return 0;
}

int plan_make(const struct plan_input *input, struct plan *ret, struct error *err)
{
    struct plan_builder b;
    builder_init(&b, input->observed, ret);
    b.input = input;
    if (make(&b, err) < 0) {
        plan_release(ret);
        return -1;
    }
    return 0;
}
