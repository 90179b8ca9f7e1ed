/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/placement.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "core/plan_internal.h"

/* Services: the specs to send, compared with what runs. */

/* Lists that are searched once for each service, by key. */
struct lookup {
    struct plan_builder *b;
    json_t *services; /* key → index in stack->services */
    json_t *images;   /* key → index in input->images */
    json_t *checked;  /* keys of services with a check */
};

static void lookup_init(struct lookup *l, struct plan_builder *b)
{
    const struct plan_input *input = b->input;
    const struct manifest *m = input->manifest;
    *l = (struct lookup){b, builder_keep(b, json_object()), builder_keep(b, json_object()),
                         builder_keep(b, json_object())};
    for (size_t i = 0; i < m->stack->n_services; i++)
        json_object_set_new(l->services, m->stack->services[i].key, json_integer((json_int_t)i));
    for (size_t i = 0; i < input->n_images; i++)
        json_object_set_new(l->images, input->images[i].service, json_integer((json_int_t)i));
    for (size_t i = 0; i < m->release.n_checks; i++)
        json_object_set_new(l->checked, m->release.checks[i].service, json_true());
}

/* ---- the spec to send ---- */

static void set_image(const struct lookup *l, const struct stack_service *service, json_t *task)
{
    const json_t *index = json_object_get(l->images, service->key);
    const struct plan_image *image = index ? &l->b->input->images[json_integer_value(index)] : NULL;
    if (!image || !image->digest)
        return;
    json_object_set_new(json_object_get(task, "ContainerSpec"), "Image",
                        json_sprintf("%s@%s", image->reference, image->digest));
    if (image->platforms)
        json_object_set(json_object_get(task, "Placement"), "Platforms", image->platforms);
}

/* Configs and secrets by the names they have now. */
static void set_names(const struct plan_builder *b, json_t *container)
{
    for (const struct reference_kind *r = plan_references; r->list; r++) {
        json_t *item;
        size_t i;
        json_array_foreach (json_object_get(container, r->list), i, item) {
            const char *name = json_path_string(item, r->member, NULL);
            const char *key = name ? arena_printf(b->arena, "%s %s", r->kind, name) : "";
            json_t *now = json_object_get(b->renamed, key);
            if (now)
                json_object_set(item, r->member, now);
        }
    }
}

static bool is_older(const char *api_version, unsigned minor)
{
    unsigned have;
    return api_version && sscanf(api_version, "1.%u", &have) == 1 && have < minor;
}

/*
 * What an older engine forgets is not sent, and said: it would look like a difference for ever. Source: the
 * version history of the Engine API, https://docs.docker.com/engine/api/version-history/
 */
static void drop_unsupported(struct plan_builder *b, const char *key, json_t *container)
{
    const char *version = b->observed->api_version;
    json_t *healthcheck = json_object_get(container, "Healthcheck"), *mount;
    size_t i;
    if (is_older(version, 44) && json_object_del(healthcheck, "StartInterval") == 0)
        builder_warn(b, "service %s: healthcheck.start_interval needs engine 25 and is left out", key);
    json_array_foreach (json_object_get(container, "Mounts"), i, mount) {
        json_t *volume = json_object_get(mount, "VolumeOptions");
        if (is_older(version, 45) && json_object_del(volume, "Subpath") == 0)
            builder_warn(b,
                         "service %s: volume.subpath needs engine 26.1 and is left out: the whole volume is "
                         "mounted at %s",
                         key, json_path_string(mount, "Target", NULL));
    }
}

static json_t *desired_spec(const struct lookup *l, const struct stack_service *service)
{
    json_t *spec = json_deep_copy(service->spec), *task = json_object_get(spec, "TaskTemplate");
    json_t *container = json_object_get(task, "ContainerSpec");
    set_image(l, service, task);
    set_names(l->b, container);
    drop_unsupported(l->b, service->key, container);
    return spec;
}

/* ---- against what runs ---- */

static const char *mode_of(const json_t *spec)
{
    static const char *const modes[][2] = {
        {"Global", "global"}, {"ReplicatedJob", "replicated-job"}, {"GlobalJob", "global-job"}};
    const json_t *mode = json_object_get(spec, "Mode");
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (json_object_get(mode, modes[i][0]))
            return modes[i][1];
    return "replicated";
}

/* Swarm would refuse it ("name conflicts with an existing object") when the migrations have run already. */
static int check_name(const struct plan_builder *b, const struct planned_service *s, struct error *err)
{
    size_t i;
    const json_t *stranger;
    json_array_foreach (b->observed->strangers, i, stranger) {
        if (str_eq(json_path_string(stranger, "Spec", "Name", NULL), s->service->name))
            return node_error(
                err, s->service->at, arena_printf(b->arena, "services.%s", s->service->key),
                "a service named %s exists and does not belong to this stack; rename one of the "
                "two, or remove it (docker service rm %s)",
                s->service->name, s->service->name);
    }
    return 0;
}

/* Swarm would refuse it, too. */
static int check_mode(const struct planned_service *s, struct error *err)
{
    const char *old = mode_of(json_object_get(s->live, "Spec")), *new = mode_of(s->spec);
    if (!s->live || strcmp(old, new) == 0)
        return 0;
    return node_error(err, s->service->at, "deploy.mode",
                      "service %s runs as %s, and Swarm cannot make it %s; remove it first (docker service "
                      "rm %s), or rename it",
                      s->service->key, old, new, s->service->name);
}

/* Swarm takes such a spec, ends the tasks that run, since they do not meet it either, and starts none. */
static int check_placement(const struct plan_builder *b, const struct planned_service *s, struct error *err)
{
    const json_t *constraints = json_path(s->spec, "TaskTemplate", "Placement", "Constraints", NULL);
    cleanup_str struct str all = {0};
    size_t i;
    const json_t *one;
    if (str_eq(s->action, "none") || placement_is_possible(constraints, b->observed->nodes))
        return 0;
    json_array_foreach (constraints, i, one)
        str_printf(&all, "%s%s", i ? ", " : "", json_string_value(one));
    return node_error(err, s->service->at, "deploy.placement.constraints",
                      "no node of the swarm meets the constraints of service %s (%s): Swarm would end its "
                      "tasks and start none",
                      s->service->key, str_text(&all));
}

static void warn_unverified(const struct lookup *l, const struct planned_service *s)
{
    if (strcmp(s->action, "none") != 0 && !s->service->has_healthcheck &&
        !json_object_get(l->checked, s->service->key))
        builder_warn(
            l->b,
            "service %s has no healthcheck and no check: its update can only be seen to run, not to work "
            "(unverified)",
            s->service->key);
}

/* That it is so is for the reader to know; what Swarm had done is no verdict about this deployment. */
static void warn_of_swarm(struct plan_builder *b, const struct planned_service *s)
{
    const char *trouble = update_trouble(b->arena, s->live);
    const char *state = json_path_string(s->live, "UpdateStatus", "State", NULL);
    /* a finished rollback that left what is wanted needs no word */
    if (trouble && (strcmp(s->action, "none") != 0 || str_ends(state, "paused")))
        builder_warn(b, "service %s, as it runs before this deployment: %s", s->service->key, trouble);
}

int plan_services(struct plan_builder *b, struct planned_service *ret, struct error *err)
{
    const struct manifest *m = b->input->manifest;
    struct lookup l;
    lookup_init(&l, b);
    for (size_t i = 0; i < m->stack->n_services; i++) {
        const json_t *index = json_object_get(l.services, m->order[i]);
        const struct stack_service *service = &m->stack->services[json_integer_value(index)];
        ret[i] =
            (struct planned_service){.service = service, .live = json_object_get(b->live, service->name)};
        ret[i].spec = desired_spec(&l, service);
        json_object_set_new(b->specs, service->key, ret[i].spec);
        if (check_name(b, &ret[i], err) < 0 || check_mode(&ret[i], err) < 0)
            return -1;
        ret[i].again =
            builder_compare(b, service->key, service->name, ret[i].spec, ret[i].live, &ret[i].action);
        if (check_placement(b, &ret[i], err) < 0)
            return -1;
        warn_of_swarm(b, &ret[i]);
        warn_unverified(&l, &ret[i]);
        plan_lint(b, &ret[i]);
    }
    return 0;
}

/* ---- those that are no longer wanted ---- */

json_t *plan_removals(struct plan_builder *b)
{
    const struct stack *stack = b->input->manifest->stack;
    json_t *list = json_array(), *live;
    cleanup_json json_t *wanted = json_object();
    size_t i;
    for (i = 0; i < stack->n_services; i++)
        json_object_set_new(wanted, stack->services[i].name, json_true());
    json_array_foreach (b->observed->services, i, live) {
        const json_t *spec = json_object_get(live, "Spec");
        const char *name = json_path_string(spec, "Name", NULL);
        if (!name || json_object_get(wanted, name))
            continue;
        if (spec_label(spec, LABEL_DEPLOYMENT) && b->input->prune)
            builder_remove(b, stack->name, live, list);
        else
            builder_warn(b, "service %s is not in the stack file and is left running%s", name,
                         b->input->prune ? ": the agent did not make it" : " (prune = no)");
    }
    return list;
}
