/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control.h"
#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "steps/hint.h"
#include "steps/lease.h"
#include "steps/persist.h"
#include "worker/doubt.h"
#include "worker/lease_end.h"
#include "worker/old_images.h"
#include "worker/pipeline.h"
#include "worker/prepare.h"
#include "worker/turn.h"
#include "worker/verbs.h"

/*
 * One deployment from `requested` to its end. Read from the top: open, wait for our turn, prepare, save the
 * plan, run the pipeline. A worker that dies is followed by one that takes up where the record says.
 */

enum { MAX_RESUMES = 3 };

/* For proc_on_alive(), which has nothing to hand on. */
static struct lease *kept_lease;
static struct step_ctx *kept_ctx;

struct run {
    struct work work;
    struct step_ctx ctx;
    struct deployment deployment;
    struct snapshot snapshot; /* when resumed, or rolling back */
    int lock_fd;
};

/* ---- opening ---- */

static int load_deployment(struct run *run, int64_t id, struct error *err)
{
    bool found;
    if (journal_deployment(run->work.journal, &run->work.arena, id, &run->deployment, &found, err) < 0)
        return -1;
    if (!found)
        return error_set(err, ERR_NOT_FOUND, 0, "no deployment #%" PRId64, id);
    return 0;
}

static void alive(void)
{
    hint_alive();
    lease_keep(kept_lease);
    if (kept_ctx)
        step_live_flush(kept_ctx);
}

static int confirm_lease(void *userdata, struct error *err)
{
    return lease_confirm(userdata, err);
}

/* Because the commit is there, and for no other reason. */
static bool is_by_itself(const struct deployment *deployment)
{
    return deployment->trigger == TRIGGER_POLL || deployment->trigger == TRIGGER_WEBHOOK ||
           deployment->trigger == TRIGGER_SYNC;
}

static int open_run(struct run *run, const char *config_path, int64_t id, struct error *err)
{
    struct work *w = &run->work;
    run->lock_fd = -1;
    if (work_open(w, config_path, err) < 0 || work_open_journal(w, JOURNAL_WRITE, err) < 0 ||
        load_deployment(run, id, err) < 0 || work_select_stack(w, run->deployment.stack, err) < 0)
        return -1;
    if (fs_lock(config_lock_path(&w->arena, &w->config, w->stack->name), &run->lock_fd, err) < 0)
        return -1;
    /* the worker that held the lock a moment ago may have ended it */
    if (load_deployment(run, id, err) < 0 || work_open_docker(w, err) < 0)
        return -1;
    const struct lease_options lease = {.engine = w->config.docker,
                                        .stack = w->stack->name,
                                        .host_id = w->host_id,
                                        .deployment = id,
                                        .commit =
                                            is_by_itself(&run->deployment) ? run->deployment.commit : NULL};
    if (lease_open(&lease, &kept_lease, err) < 0)
        return -1;
    docker_set_guard(w->docker, confirm_lease, kept_lease);
    log_context(w->stack->name, id, run->deployment.commit);
    run->ctx = (struct step_ctx){
        .arena = &w->arena,
        .config = &w->config,
        .stack = w->stack,
        .journal = w->journal,
        .docker = w->docker,
        .deployment = &run->deployment,
        .host_id = w->host_id,
        .salt = w->salt,
        .lease = kept_lease,
        .waiting = "", /* what a dead worker left is cleared by the first that waits for nothing */
    };
    kept_ctx = &run->ctx;
    return 0;
}

static void close_run(struct run *run)
{
    kept_ctx = NULL;
    relay_close(run->ctx.relay);
    json_decref(run->ctx.baselines);
    json_decref(run->ctx.regressed);
    snapshot_release(&run->snapshot);
    lease_close(TAKE(kept_lease));
    work_close(&run->work);
    if (run->lock_fd >= 0)
        close(run->lock_fd);
}

/* ---- before the first effect ---- */

/* A newer commit takes the place of one that has not touched anything. */
static int newer_requested(void *userdata, struct error *err)
{
    struct run *run = userdata;
    cleanup_arena struct arena arena = {0};
    struct deployment newer = {0};
    if (PERSIST(
            journal_last(run->work.journal, &arena, run->work.stack->name, DEPLOYMENT_REQUESTED, &newer, err),
            err) < 0)
        return -1;
    if (newer.id > run->deployment.id)
        return error_set(err, ERR_CONFLICT, 0, "by #%" PRId64 " (%.7s)", newer.id, newer.commit);
    return 0;
}

/* A freeze that begins while it waits (for an image, its turn) is before its beginning: it comes after it. */
static int check_freeze(struct run *run, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct work *w = &run->work;
    struct stack_state state;
    int64_t until = freeze_until(&w->stack->freeze, wall_us());
    struct error unknown = {0}; /* agentd will find out who asked for it */
    if (until == 0 || (journal_stack(w->journal, &arena, w->stack->name, &state, &unknown) == 0 &&
                       deployment_is_asked_for(&run->deployment, &state)))
        return 0;
    log_notice("begun anew after the freeze, which is until %s", local_minute(&arena, until));
    return error_set(err, ERR_CANCELLED, STOP_SHUTDOWN, "the stack is frozen");
}

/* Asked while nothing was touched yet and something is waited for. */
static int give_up(void *userdata, struct error *err)
{
    return check_freeze(userdata, err) < 0 ? -1 : newer_requested(userdata, err);
}

static int save_plan(struct run *run, const struct plan *plan, struct error *err)
{
    fault_point("plan.save");
    if (PERSIST(journal_save_plan(run->work.journal, run->deployment.id, &plan->rows, err), err) < 0)
        return -1;
    fault_point("plan.saved");
    return PERSIST(load_deployment(run, run->deployment.id, err), err);
}

static void log_warnings(const json_t *plan)
{
    size_t i;
    const json_t *item;
    json_array_foreach (json_object_get(plan, "warnings"), i, item)
        log_warning("%s", json_string_value(item));
}

static void use_snapshot(struct run *run)
{
    run->ctx.manifest = &run->snapshot.manifest;
    run->ctx.repo = run->work.repo;
    run->ctx.database_url = run->snapshot.database_url;
    run->ctx.migrate_url = run->snapshot.migrate_url;
    run->ctx.admin_url = run->snapshot.admin_url;
}

static int plan_commit(struct run *run, bool *ret_empty, struct error *err)
{
    struct prepared prepared;
    struct prepare_request request = {.work = &run->work,
                                      .commit = run->deployment.commit,
                                      .keep_images = run->deployment.trigger == TRIGGER_DRIFT,
                                      .ctx = &run->ctx,
                                      .give_up = give_up,
                                      .userdata = run};
    if (prepare(&request, &prepared, err) < 0)
        return -1;
    log_warnings(prepared.plan.json);
    *ret_empty = prepared.plan.empty;
    int r = check_freeze(run, err) < 0 ? -1 : save_plan(run, &prepared.plan, err);
    /* the manifest lives on for checks and contents */
    run->snapshot = TAKE(prepared.snapshot);
    use_snapshot(run);
    prepared_release(&prepared);
    return r;
}

static int plan_rollback(struct run *run, bool *ret_empty, struct error *err)
{
    struct work *w = &run->work;
    struct observed observed = {0};
    struct rollback_input input = {.stack = w->stack->name,
                                   .observed = &observed,
                                   .commit = run->deployment.commit,
                                   .target_id = run->deployment.target_id,
                                   .prune = w->stack->prune};
    struct service_record *services;
    struct image_record *images;
    struct plan plan;
    if (PERSIST(journal_services(w->journal, &w->arena, input.target_id, &services, &input.n_services, err),
                err) < 0 ||
        PERSIST(journal_images(w->journal, &w->arena, input.target_id, &images, &input.n_images, err), err) <
            0)
        return -1;
    input.services = services;
    input.images = images;
    if (input.n_services == 0)
        return error_set(err, ERR_NOT_FOUND, 0,
                         "deployment #%" PRId64 " has no services on record to go back to", input.target_id);
    if (observe(w->docker, w->stack->name, NULL, &observed, err) < 0)
        return -1;
    int r = doubt_services(w, &run->ctx, &observed, err);
    if (r == 0)
        r = plan_make_rollback(&input, &plan, err);
    observed_release(&observed);
    if (r < 0)
        return -1;
    *ret_empty = plan.empty;
    struct deployment base = {0};
    r = PERSIST(journal_last(w->journal, &w->arena, w->stack->name, DEPLOYMENT_SUCCEEDED, &base, err), err);
    plan.rows.base_id = base.id;
    if (r == 0)
        r = save_plan(run, &plan, err);
    plan_release(&plan);
    return r;
}

/* Checks and contents come from the commit again. A rollback waits for no repository, and goes on without
 * them. */
static int load_manifest(struct run *run, struct error *err)
{
    bool rollback = run->deployment.trigger == TRIGGER_ROLLBACK;
    struct prepare_request request = {
        .work = &run->work, .commit = run->deployment.commit, .ctx = rollback ? NULL : &run->ctx};
    if (run->ctx.manifest)
        return 0;
    if (prepare_snapshot(&request, &run->snapshot, err) < 0) {
        if (err->kind == ERR_CANCELLED)
            return -1;
        if (!rollback)
            return error_wrap(err, "reading commit %.12s again", run->deployment.commit);
        log_warning("health is judged by tasks alone, without the checks of the stack file: %s", err->text);
        return 0;
    }
    use_snapshot(run);
    return 0;
}

/* ---- the run ---- */

static enum deployment_state end_of(const struct error *err)
{
    if (err->kind == ERR_CANCELLED)
        return DEPLOYMENT_CANCELLED;
    return err->kind == ERR_CONFLICT && strncmp(err->text, "by #", 4) == 0 ? DEPLOYMENT_SUPERSEDED
                                                                           : DEPLOYMENT_FAILED;
}

/* Nothing was touched yet: whatever went wrong ends the deployment here. */
static int end_early(struct run *run, struct error *err)
{
    if (step_is_shutdown(err))
        return -1;
    /* whoever requested the newer one, or cancelled this, may have said so in the record already */
    struct error ignored = {0};
    if (load_deployment(run, run->deployment.id, &ignored) == 0 &&
        deployment_state_ended(run->deployment.state)) {
        step_waiting(&run->ctx, NULL);
        return 0;
    }
    enum deployment_state state = end_of(err);
    const char *reason = state == DEPLOYMENT_SUPERSEDED
                             ? arena_strdup(&run->work.arena, err->text)
                             : arena_printf(&run->work.arena, "%s; no service was touched", err->text);
    return pipeline_end(&run->ctx, state, reason, err);
}

/* Did workers die over it again and again? An orderly stop does not count. */
static int count_resume(struct run *run, unsigned *ret_resumes, struct error *err)
{
    *ret_resumes = 0;
    /* that it was orderly holds for one resume: from now on a death is a death again */
    if (run->deployment.state == DEPLOYMENT_INTERRUPTED && str_eq(run->deployment.reason, REASON_STOPPED))
        return PERSIST(journal_set_state(run->work.journal, run->deployment.id, DEPLOYMENT_RUNNING,
                                         REASON_TAKEN_UP, err),
                       err);
    return PERSIST(journal_count_resume(run->work.journal, run->deployment.id, ret_resumes, err), err);
}

static int end_stuck(struct run *run, unsigned resumes, struct error *err)
{
    /* once: it must not be what kills the worker again and again */
    const char *jobs = resumes == MAX_RESUMES + 1 ? step_settle_jobs(&run->ctx) : "";
    return pipeline_end(
        &run->ctx, DEPLOYMENT_STUCK,
        arena_printf(
            &run->work.arena,
            "its worker died again and again without progress; nothing more is done by itself%s. Look at: "
            "journalctl -u deploy-agent, agentctl show; then: agentctl retry",
            jobs),
        err);
}

/* What was tried elsewhere and did not do well is not tried again for the only reason that another node leads
 * now. */
static int check_hold(struct run *run, struct error *err)
{
    if (run->deployment.trigger != TRIGGER_POLL && run->deployment.trigger != TRIGGER_WEBHOOK)
        return 0;
    return lease_check_hold(run->ctx.lease, run->deployment.commit, err);
}

static void give_lease(struct run *run)
{
    struct error ignored = {0};
    (void)load_deployment(run, run->deployment.id, &ignored);
    lease_end(&run->work, &run->deployment, run->ctx.lease);
}

static int make_plan(struct run *run, bool *ret_empty, struct error *err)
{
    return run->deployment.trigger == TRIGGER_ROLLBACK ? plan_rollback(run, ret_empty, err)
                                                       : plan_commit(run, ret_empty, err);
}

static void drop_plan(struct run *run)
{
    snapshot_release(&run->snapshot);
    run->snapshot = (struct snapshot){0};
    run->ctx.manifest = NULL;
    run->ctx.repo = NULL;
    run->ctx.database_url = run->ctx.migrate_url = run->ctx.admin_url = NULL;
}

/* requested → planned. The plan is good only while no other agent has deployed since it was made. */
static int start(struct run *run, bool *ret_empty, struct error *err)
{
    const struct turn turn = {.ctx = &run->ctx, .give_up = give_up, .userdata = run};
    for (;;) {
        if (turn_wait(&turn, err) < 0 || check_hold(run, err) < 0 || make_plan(run, ret_empty, err) < 0)
            return -1;
        if (*ret_empty || turn_take(&turn, err) == 0)
            return load_manifest(run, err);
        if (err->kind != ERR_CONFLICT || err->code != LEASE_MOVED)
            return -1;
        log_notice("planning again: %s", err->text);
        drop_plan(run);
    }
}

static bool plan_is_empty(const struct deployment *deployment)
{
    cleanup_json json_t *plan = json_loads(deployment->plan, 0, NULL);
    return json_is_true(json_object_get(plan, "empty"));
}

static bool is_passed(const struct error *err)
{
    return err->kind == ERR_CONFLICT && err->code == LEASE_PASSED;
}

/* Its plan was made before the other agent came: what is left to do, the next poll finds out. */
static int end_passed(struct run *run, struct error *err)
{
    const char *reason = arena_strdup(&run->work.arena, err->text);
    return pipeline_end(&run->ctx, DEPLOYMENT_SUPERSEDED, reason, err);
}

static int go_on(struct run *run, const struct turn *turn, struct error *err)
{
    bool empty = plan_is_empty(&run->deployment);
    log_notice("taking deployment #%" PRId64 " up again", run->deployment.id);
    while (!empty && turn_take(turn, err) < 0)
        if (err->kind != ERR_CONFLICT || turn_wait(turn, err) < 0)
            return is_passed(err) ? end_passed(run, err) : -1;
    if (load_manifest(run, err) < 0)
        return step_is_shutdown(err) ? -1 : pipeline_give_up(&run->ctx, err);
    return pipeline_run(&run->ctx, empty, err);
}

/* Worker and agentd died together, with the host: nobody could say so. It may be long until it is our turn.
 */
static int mark_interrupted(struct run *run, struct error *err)
{
    if (run->deployment.state != DEPLOYMENT_RUNNING)
        return 0;
    if (PERSIST(journal_set_state(run->work.journal, run->deployment.id, DEPLOYMENT_INTERRUPTED,
                                  "agentd and its worker ended in the middle of it", err),
                err) < 0)
        return -1;
    run->deployment.state = DEPLOYMENT_INTERRUPTED;
    return 0;
}

static int resume(struct run *run, struct error *err)
{
    const struct turn turn = {.ctx = &run->ctx, .begun = true};
    unsigned resumes;
    if (mark_interrupted(run, err) < 0)
        return -1;
    /* dying while it waits is no failed attempt */
    if (turn_wait(&turn, err) < 0)
        return is_passed(err) ? end_passed(run, err) : -1;
    if (count_resume(run, &resumes, err) < 0)
        return -1;
    return resumes > MAX_RESUMES ? end_stuck(run, resumes, err) : go_on(run, &turn, err);
}

static int run_deployment(struct run *run, struct error *err)
{
    bool empty = false;
    if (deployment_state_ended(run->deployment.state))
        return 0;
    if (run->deployment.plan)
        return resume(run, err);
    if (start(run, &empty, err) < 0)
        return end_early(run, err);
    return pipeline_run(&run->ctx, empty, err);
}

/* Tells the next worker, where the journal still can be written, that this was no crash. */
static int stopped(struct run *run)
{
    struct error err = {0}, lost = {0};
    const char *reason = REASON_STOPPED;
    if (lease_is_lost(run->ctx.lease, &lost)) {
        log_warning("stopped in the middle of it: %s", lost.text);
        reason = lost.text;
    }
    if (run->deployment.plan &&
        journal_set_state(run->work.journal, run->deployment.id, DEPLOYMENT_INTERRUPTED, reason, &err) < 0)
        log_warning("%s", err.text);
    return EXIT_STOPPED;
}

int cmd_run(const struct verb_context *context, int argc, char **argv)
{
    struct run run = {.lock_fd = -1};
    struct error err = {0};
    char *end = NULL;
    int64_t id = argc == 2 ? strtoll(argv[1], &end, 10) : 0;
    if (id <= 0 || *end) {
        fprintf(stderr, "usage: agent-worker run ID\n");
        return EXIT_BAD_USAGE;
    }
    proc_catch_stop();
    proc_on_alive(alive);
    proc_alive();
    int exit_code = EXIT_GOOD;
    if (open_run(&run, context->config_path, id, &err) < 0) {
        exit_code = err.kind == ERR_CONFLICT ? EXIT_LOCKED : EXIT_FAILED;
        log_error("deployment #%" PRId64 " cannot run: %s", id, err.text);
    } else if (run_deployment(&run, &err) < 0) {
        exit_code = err.kind == ERR_CANCELLED || proc_stop_requested() ? stopped(&run) : EXIT_FAILED;
        if (exit_code == EXIT_FAILED)
            log_error("deployment #%" PRId64 ": %s", id, err.text);
    } else {
        give_lease(&run);
        if (run.work.config.remove_images && run.deployment.state == DEPLOYMENT_SUCCEEDED)
            old_images_remove(&run.work);
    }
    close_run(&run);
    return exit_code;
}
