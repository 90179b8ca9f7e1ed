/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/prepare.h"

#include <string.h>

#include "agent/log.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/persist.h"
#include "worker/doubt.h"
#include "worker/prepare_sql.h"

static bool is_listed(const json_t *networks, const char *id)
{
    size_t i;
    const json_t *network;
    json_array_foreach (networks, i, network) {
        if (str_eq(json_path_string(network, "Id", NULL), id))
            return true;
    }
    return false;
}

/* The swarm's twins of `host` and `bridge` are in no list, but services refer to them by ID. */
static int add_unlisted_networks(struct docker *docker, struct observed *o, struct error *err)
{
    size_t i, j;
    const json_t *service, *attachment;
    json_array_foreach (o->services, i, service) {
        json_array_foreach (json_path(service, "Spec", "TaskTemplate", "Networks", NULL), j, attachment) {
            const char *target = json_path_string(attachment, "Target", NULL);
            json_t *network = NULL;
            if (!target || is_listed(o->networks, target))
                continue;
            if (docker_network(docker, target, &network, err) == 0)
                json_array_append_new(o->networks, network);
            else if (err->kind != ERR_NOT_FOUND)
                return error_wrap(err, "looking at network %s", target);
        }
    }
    return 0;
}

/* One that was made since the services were listed, by another agent: it is the stack's. */
static json_t *whose(struct observed *o, const struct stack *stack, const json_t *service)
{
    const char *namespace = spec_label(json_object_get(service, "Spec"), LABEL_NAMESPACE);
    return str_eq(namespace, stack->name) ? o->services : o->strangers;
}

/* Services of others whose names the stack file wants: only they are asked for one by one. */
static int add_strangers(struct docker *docker, const struct stack *stack, struct observed *o,
                         struct error *err)
{
    cleanup_json json_t *known = json_object();
    size_t i;
    const json_t *service;
    json_array_foreach (o->services, i, service) {
        const char *name = json_path_string(service, "Spec", "Name", NULL);
        if (name)
            json_object_set_new(known, name, json_true());
    }
    o->strangers = json_array();
    for (i = 0; i < stack->n_services; i++) {
        json_t *found = NULL;
        if (json_object_get(known, stack->services[i].name))
            continue;
        if (docker_service(docker, stack->services[i].name, &found, err) == 0)
            json_array_append_new(whose(o, stack, found), found);
        else if (err->kind != ERR_NOT_FOUND)
            return error_wrap(err, "looking for service %s", stack->services[i].name);
    }
    return 0;
}

static bool wants_nodes(const struct stack *stack)
{
    for (size_t i = 0; i < stack->n_services; i++)
        if (json_array_size(
                json_path(stack->services[i].spec, "TaskTemplate", "Placement", "Constraints", NULL)) > 0)
            return true;
    return false;
}

int observe(struct docker *docker, const char *name, const struct stack *stack, struct observed *ret,
            struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *label = arena_printf(&arena, "%s=%s", LABEL_NAMESPACE, name);
    struct observed o = {.at_us = wall_us()};
    /* secrets and configs are looked up by name, whoever made them: without a label */
    if (docker_services(docker, label, &o.services, err) < 0 ||
        docker_networks(docker, NULL, &o.networks, err) < 0 ||
        docker_secrets(docker, NULL, &o.secrets, err) < 0 ||
        docker_configs(docker, NULL, &o.configs, err) < 0 ||
        docker_tasks_labelled(docker, label, &o.tasks, err) < 0 ||
        (stack && wants_nodes(stack) && docker_nodes(docker, &o.nodes, err) < 0)) {
        observed_release(&o);
        return error_wrap(err, "looking at what runs");
    }
    if (add_unlisted_networks(docker, &o, err) < 0 || (stack && add_strangers(docker, stack, &o, err) < 0)) {
        observed_release(&o);
        return -1;
    }
    o.api_version = docker_api_version(docker);
    *ret = o;
    return 0;
}

/* ---- the record of the last success ---- */

/* A deployment waits for its record; who only asks what a plan would be is told. */
#define READ(request, call, err) ((request)->ctx ? PERSIST(call, err) : (call))

static int last_success(struct work *work, struct prepared *p, struct error *err)
{
    return journal_last(work->journal, &p->arena, work->stack->name, DEPLOYMENT_SUCCEEDED, &p->base, err);
}

static int last_fingerprints(struct work *work, struct prepared *p, struct plan_input *input,
                             struct error *err)
{
    struct step *steps;
    size_t n;
    if (p->base.id == 0)
        return 0;
    if (journal_steps(work->journal, &p->arena, p->base.id, &steps, &n, err) < 0)
        return -1;
    struct plan_fingerprint *prints = arena_array(&p->arena, n + 1, sizeof *prints);
    for (size_t i = 0; i < n; i++)
        if (steps[i].fingerprint)
            prints[input->n_fingerprints++] = (struct plan_fingerprint){steps[i].name, steps[i].fingerprint};
    input->fingerprints = prints;
    return 0;
}

static int last_images(const struct prepare_request *request, struct prepared *p,
                       struct images_request *images, struct error *err)
{
    struct image_record *kept;
    struct service_record *records;
    if (!request->keep_images || p->base.id == 0 || !str_eq(p->base.commit, request->commit))
        return 0;
    if (journal_images(request->work->journal, &p->arena, p->base.id, &kept, &images->n_kept, err) < 0 ||
        journal_services(request->work->journal, &p->arena, p->base.id, &records, &images->n_records, err) <
            0)
        return -1;
    images->kept = kept;
    images->records = records;
    return 0;
}

int retained_specs(struct work *work, struct arena *arena, const char *stack, json_t *ret, struct error *err)
{
    const char **specs;
    size_t n;
    if (journal_rollback_specs(work->journal, arena, stack, &specs, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        json_array_append_new(ret, json_loads(specs[i], 0, NULL));
    return 0;
}

static int changed_paths(struct work *work, struct prepared *p, bool **ret, struct error *err)
{
    const struct release *release = &p->snapshot.manifest.release;
    bool *changed = arena_array(&p->arena, release->n_steps + 1, sizeof *changed);
    for (size_t i = 0; i < release->n_steps; i++) {
        changed[i] = true;
        const struct release_step *step = &release->steps[i];
        if (step->kind == RELEASE_RUN && step->run.when == RUN_CHANGED && p->base.id &&
            repo_has_commit(work->repo, p->base.commit) &&
            repo_changed(work->repo, p->base.commit, p->snapshot.commit.id,
                         (const char *const *)step->run.paths, &changed[i], err) < 0)
            return -1;
    }
    *ret = changed;
    return 0;
}

/* Between two questions to a repository that cannot be asked. */
static const int64_t remote_pause_us = 5 * US_PER_S;

static bool may_pass(const struct error *err)
{
    return err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT;
}

/* *err: for what; then, why not any longer. */
static int wait_a_while(const struct prepare_request *request, int64_t pause_us, struct error *err)
{
    step_waiting(request->ctx, "%s", err->text);
    step_pause(request->ctx, pause_us);
    if (step_should_stop(request->ctx, err) < 0)
        return -1;
    return request->give_up ? request->give_up(request->userdata, err) : 0;
}

/* ---- the commit ---- */

static int open_commit(const struct prepare_request *request, struct error *err)
{
    struct work *work = request->work;
    char tip[COMMIT_HEX_SIZE];
    if (!work->repo && work_open_repo(work, err) < 0)
        return -1;
    if (repo_has_commit(work->repo, request->commit))
        return 0;
    log_warning("commit %.12s is not in the mirror any more; fetching again", request->commit);
    return repo_fetch(work->repo, tip, err);
}

int prepare_snapshot(const struct prepare_request *request, struct snapshot *ret, struct error *err)
{
    for (bool again = false;;) {
        if (open_commit(request, err) < 0) {
            if (!request->ctx || !(may_pass(err) || err->kind == ERR_CONFLICT))
                return -1;
            if (wait_a_while(request, remote_pause_us, err) < 0)
                return -1;
            continue;
        }
        if (snapshot_load(request->work, request->commit, ret, err) == 0)
            break;
        /* damage that is met while reading; else the fault is the commit's */
        if (again || err->kind == ERR_NOT_FOUND || repo_has_commit(request->work->repo, request->commit))
            return -1;
        log_warning("%s", err->text);
        again = true;
    }
    if (request->ctx)
        step_waiting(request->ctx, NULL);
    return 0;
}

/* ---- what runs ---- */

/* For a deployment an engine that went away is waited for. */
static int observe_for(const struct prepare_request *request, const struct stack *stack, struct observed *ret,
                       struct error *err)
{
    struct work *work = request->work;
    while (observe(work->docker, work->stack->name, stack, ret, err) < 0) {
        if (!request->ctx || !may_pass(err))
            return -1;
        if (wait_a_while(request, US_PER_S, err) < 0)
            return -1;
    }
    if (request->ctx)
        step_waiting(request->ctx, NULL);
    return 0;
}

/* ---- the whole ---- */

static int make_plan(const struct prepare_request *request, struct prepared *p, struct error *err)
{
    struct work *work = request->work;
    cleanup_json json_t *retained = json_array();
    bool *changed;
    struct plan_input input = {
        .manifest = &p->snapshot.manifest,
        .observed = &p->observed,
        .images = p->images.items,
        .n_images = p->images.n,
        .first_deploy = p->base.id == 0,
        .retained = retained,
        .commit = p->snapshot.commit.id,
        .salt = work->salt,
        .prune = work->stack->prune,
        .extra_warnings = p->images.warnings,
    };
    if (READ(request, last_fingerprints(work, p, &input, err), err) < 0 ||
        READ(request, retained_specs(work, &p->arena, work->stack->name, retained, err), err) < 0 ||
        changed_paths(work, p, &changed, err) < 0)
        return -1;
    input.paths_changed = changed;
    struct plan_sql *sql;
    if (prepare_sql(work, p, &input, &sql, err) < 0)
        return -1;
    input.sql = sql;
    if (plan_make(&input, &p->plan, err) < 0)
        return -1;
    p->plan.rows.env_hash = p->snapshot.env_hash;
    p->plan.rows.base_id = p->base.id;
    return 0;
}

int prepare(const struct prepare_request *request, struct prepared *ret, struct error *err)
{
    struct work *work = request->work;
    struct prepared p = {0};
    struct images_request images = {.work = work,
                                    .snapshot = &p.snapshot,
                                    .observed = &p.observed,
                                    .ctx = request->ctx,
                                    .give_up = request->give_up,
                                    .userdata = request->userdata};
    if (prepare_snapshot(request, &p.snapshot, err) < 0 ||
        READ(request, last_success(work, &p, err), err) < 0 ||
        READ(request, last_images(request, &p, &images, err), err) < 0 ||
        observe_for(request, p.snapshot.manifest.stack, &p.observed, err) < 0)
        goto failed;
    images.base_commit = p.base.id ? p.base.commit : NULL;
    if (images_resolve(&images, &p.arena, &p.images, err) < 0)
        goto failed;
    if (request->ctx) {
        /* resolving may have waited for long: look again */
        observed_release(&p.observed);
        if (observe_for(request, p.snapshot.manifest.stack, &p.observed, err) < 0)
            goto failed;
    }
    if (doubt_services(work, request->ctx, &p.observed, err) < 0 || make_plan(request, &p, err) < 0)
        goto failed;
    *ret = p;
    return 0;
failed:
    prepared_release(&p);
    return -1;
}

void prepared_release(struct prepared *prepared)
{
    plan_release(&prepared->plan);
    images_release(&prepared->images);
    observed_release(&prepared->observed);
    snapshot_release(&prepared->snapshot);
    arena_release(&prepared->arena);
    *prepared = (struct prepared){0};
}
