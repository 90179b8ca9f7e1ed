/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/kinds.h"
#include "steps/output.h"
#include "steps/send.h"

/*
 * A migration: a command in the service's new image, as a Swarm job. It is started once. After a crash it is
 * found by its name and our label, and waited for; one that is gone without a verdict is not started again.
 *
 * progress: {"phase": "command"|"check"|"done", "created": true once the engine has confirmed it}
 */

static const int64_t look_interval_us = 250000;
static const int64_t log_interval_us = US_PER_S;
/* After a removal the engine stops the task: TERM, the grace period, KILL. */
static const int64_t removal_patience_us = 120 * US_PER_S;

struct job {
    struct step_ctx *ctx;
    const struct step *step;
    const char *name, *id;
    int64_t timeout_us, deadline_us;
    struct output_position position;
    char last_line[512];
};

enum job_end { JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED };

static int save_phase(struct step_ctx *ctx, const struct step *step, const char *phase, bool created, struct error *err)
{
    cleanup_json json_t *progress = json_pack("{s:s, s:b}", "phase", phase, "created", created);
    cleanup_free char *text = json_dumps(progress, JSON_COMPACT);
    return journal_step_progress(ctx->journal, step->deployment, step->seq, text, err);
}

/* ---- the tasks of the job ---- */

static enum job_end job_state(const json_t *tasks, const json_t **ret_task)
{
    static const char *const ended[] = {"failed", "rejected", "shutdown", "orphaned", "remove"};
    size_t i;
    const json_t *task;
    *ret_task = json_array_get(tasks, 0);
    json_array_foreach(tasks, i, task)
    {
        const char *state = json_path_string(task, "Status", "State", NULL);
        *ret_task = task;
        if (str_eq(state, "complete"))
            return JOB_SUCCEEDED;
        for (size_t e = 0; e < ARRAY_SIZE(ended); e++)
            if (str_eq(state, ended[e]))
                return JOB_FAILED;
    }
    return JOB_RUNNING;
}

/* Removes the job's service and waits until its task has stopped: nothing may run on behind a verdict. */
static int remove_job(struct step_ctx *ctx, const char *id, struct error *err)
{
    int64_t until = mono_us() + removal_patience_us;
    while (docker_service_remove(ctx->docker, id, err) < 0 && err->kind != ERR_NOT_FOUND) {
        if (!send_is_transient(err) || mono_us() > until)
            return -1;
        step_pause(ctx, US_PER_S);
    }
    for (;;) {
        cleanup_json json_t *tasks = NULL;
        const json_t *task;
        if (docker_tasks(ctx->docker, id, false, &tasks, err) < 0) {
            if (err->kind == ERR_NOT_FOUND || err->kind == ERR_INVALID)
                return 0;
        } else if (json_array_size(tasks) == 0 || job_state(tasks, &task) != JOB_RUNNING) {
            return 0;
        }
        if (mono_us() > until)
            return error_set(err, ERR_TIMEOUT, 0, "its task did not stop within two minutes of its removal");
        sleep_us(look_interval_us);
    }
}

/* ---- starting ---- */

/* A job of that name from an earlier deployment of the same commit: kept after its failure until now. */
static int clear_earlier(struct job *job, const json_t *live, struct error *err)
{
    cleanup_json json_t *tasks = NULL;
    const json_t *task, *spec = json_object_get(live, "Spec");
    const char *id = json_path_string(live, "ID", NULL), *label = spec_label(spec, LABEL_DEPLOYMENT);
    if (!label)
        return error_set(err, ERR_CONFLICT, 0, "a service named %s exists and is not ours", job->name);
    if (send_read_tasks(job->ctx, id, &tasks, err) < 0)
        return -1;
    if (job_state(tasks, &task) == JOB_RUNNING)
        return error_set(err, ERR_CONFLICT, 0,
                         "the job %s of deployment %s still runs; a migration never runs twice at once. Wait for it, or remove "
                         "the service when you are sure",
                         job->name, label);
    return remove_job(job->ctx, id, err);
}

static int create(struct job *job, const json_t *spec, struct error *err)
{
    cleanup_json json_t *labelled = json_deep_copy(spec);
    json_t *labels = json_object();
    json_object_set_new(labels, LABEL_STACK, json_string(job->ctx->stack->name));
    json_object_set_new(labels, LABEL_STEP, json_string(job->step->name));
    json_object_set_new(labelled, "Labels", labels);
    fault_point("job.create");
    return send_create(job->ctx, labelled, &job->id, err);
}

/*
 * Finds our job, or makes it when it cannot have existed. created: the record says that the engine had
 * confirmed it, so a missing one was removed by somebody and its outcome is unknown.
 */
static int start(struct job *job, const json_t *spec, bool created, struct error *err)
{
    cleanup_json json_t *live = NULL;
    if (send_read_service(job->ctx, job->name, &live, err) == 0) {
        if (str_eq(spec_label(json_object_get(live, "Spec"), LABEL_DEPLOYMENT), send_label(job->ctx))) {
            job->id = arena_strdup(job->ctx->arena, json_path_string(live, "ID", NULL));
            log_info("the job %s runs already; waiting for it", job->name);
            return 0;
        }
        if (clear_earlier(job, live, err) < 0)
            return -1;
    } else if (err->kind != ERR_NOT_FOUND) {
        return -1;
    }
    if (created)
        return error_set(err, ERR_CONFLICT, 0,
                         "the job %s was removed while the agent was away; whether it ended well is not known, so it was not run "
                         "again. Look at the database, then: agentctl retry %s",
                         job->name, job->ctx->stack->name);
    return create(job, spec, err);
}

/* ---- waiting ---- */

static void follow_output(struct job *job)
{
    struct error ignored = {0};
    /* an engine that is away costs lines only for now: the position stays where it is */
    if (output_follow(job->ctx, job->step, job->id, &job->position, job->last_line, sizeof job->last_line, &ignored) < 0)
        log_debug("log of %s: %s", job->name, ignored.text);
}

static int describe_failure(const struct job *job, const json_t *task, struct error *err)
{
    json_int_t code = json_path_integer(task, 0, "Status", "ContainerStatus", "ExitCode");
    const char *state = json_path_string(task, "Status", "State", NULL), *text = json_path_string(task, "Status", "Err", NULL);
    cleanup_arena struct arena arena = {0};
    const char *why = text && *text ? str_clean(&arena, text, strlen(text), true, 400) : "";
    if (code)
        return error_set(err, ERR_FAILED, (int)code, "exit %lld: %s", (long long)code, *job->last_line ? job->last_line : why);
    return error_set(err, ERR_FAILED, 0, "%s: %s", state ? state : "ended", *why ? why : job->last_line);
}

static int timed_out(struct job *job, const json_t *task, struct error *err)
{
    const char *state = json_path_string(task, "Status", "State", NULL), *why = json_path_string(task, "Status", "Err", NULL);
    cleanup_arena struct arena arena = {0};
    const char *took = duration_text(&arena, job->timeout_us);
    struct error removal = {0};
    bool ran = str_eq(state, "running");
    if (remove_job(job->ctx, job->id, &removal) < 0)
        return error_set(err, ERR_TIMEOUT, 0, "timed out after %s, and could not be stopped: %s", took, removal.text);
    if (!ran)
        return error_set(err, ERR_TIMEOUT, 0, "did not start within %s: %s: %s", took, state ? state : "no task", why ? why : "");
    return error_set(err, ERR_TIMEOUT, 0, "timed out after %s and was stopped%s%s", took, *job->last_line ? "; last line: " : "",
                     job->last_line);
}

/* Only a shutdown interrupts the wait: a cancelled deployment stops after the migration, not in its middle. */
static int wait_for(struct job *job, struct error *err)
{
    for (int64_t next_log = 0;;) {
        cleanup_json json_t *tasks = NULL;
        const json_t *task = NULL;
        enum job_end end = JOB_RUNNING;
        if (docker_tasks(job->ctx->docker, job->id, false, &tasks, err) == 0)
            end = job_state(tasks, &task);
        else if (err->kind == ERR_NOT_FOUND)
            return error_set(err, ERR_CONFLICT, 0, "the job %s was removed by someone else; its outcome is not known", job->name);
        else if (!send_is_transient(err))
            return -1;
        if (end != JOB_RUNNING || mono_us() >= next_log) {
            follow_output(job);
            next_log = mono_us() + log_interval_us;
        }
        if (end == JOB_SUCCEEDED)
            return 0;
        if (end == JOB_FAILED)
            return describe_failure(job, task, err);
        if (step_stop_reason(job->ctx) == STOP_SHUTDOWN)
            return step_should_stop(job->ctx, err);
        if (mono_us() >= job->deadline_us)
            return timed_out(job, task, err);
        sleep_us(look_interval_us);
    }
}

/* ---- the step ---- */

static int run_job(struct step_ctx *ctx, const struct step *step, const json_t *params, const char *phase, bool created,
                   struct error *err)
{
    bool check = strcmp(phase, "check") == 0;
    const json_t *spec = json_object_get(params, check ? "check" : "job");
    struct job job = {
        .ctx = ctx,
        .step = step,
        .name = json_path_string(spec, "Name", NULL),
        .timeout_us = (int64_t)json_path_integer(params, 900 * US_PER_S, "timeout_us", NULL, NULL),
    };
    if (start(&job, spec, created, err) < 0)
        return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, "%s", step->name);
    if (!created && save_phase(ctx, step, phase, true, err) < 0)
        return -1;
    fault_point("job.created");
    job.deadline_us = mono_us() + job.timeout_us;
    if (wait_for(&job, err) < 0)
        return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, check ? "check of %s" : "%s", step->name);
    fault_point("job.succeeded");
    /* the success is on record before its only other witness goes */
    if (save_phase(ctx, step, check || json_is_null(json_object_get(params, "check")) ? "done" : "check", false, err) < 0)
        return -1;
    if (remove_job(ctx, job.id, err) < 0)
        log_warning("the finished job %s could not be removed: %s", job.name, err->text);
    return 0;
}

static int run_phases(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed, struct error *err)
{
    cleanup_json json_t *progress = resumed && step->progress ? json_loads(step->progress, 0, NULL) : NULL;
    const char *phase = json_path_string(progress, "phase", NULL);
    bool created = json_is_true(json_object_get(progress, "created"));
    if (!phase || strcmp(phase, "command") == 0) {
        if (!phase && save_phase(ctx, step, "command", false, err) < 0)
            return -1;
        if (run_job(ctx, step, params, "command", created, err) < 0)
            return -1;
        created = false;
        phase = json_is_null(json_object_get(params, "check")) ? "done" : "check";
    }
    if (strcmp(phase, "check") == 0)
        return run_job(ctx, step, params, "check", created, err);
    return 0;
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed, bool *ret_allowed,
               struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *version = arena_printf(&arena, "%.12s", ctx->deployment->commit), *state = "applied";
    struct error journal_err = {0};
    if (journal_set_migration(ctx->journal, step->deployment, step->name, version, "running", err) < 0)
        return -1;
    int r = run_phases(ctx, step, params, resumed, err);
    if (r < 0 && err->kind == ERR_CANCELLED)
        return -1;
    if (r < 0) {
        *ret_allowed = json_is_true(json_object_get(params, "allow_failure"));
        state = *ret_allowed ? "failed (allowed)" : "failed";
    }
    if (journal_set_migration(ctx->journal, step->deployment, step->name, version, state, &journal_err) < 0) {
        if (r == 0)
            *err = journal_err;
        return -1;
    }
    return r;
}

void step_sweep_jobs(struct step_ctx *ctx)
{
    cleanup_json json_t *jobs = NULL;
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    size_t i;
    const json_t *live;
    if (docker_services(ctx->docker, arena_printf(&arena, "%s=%s", LABEL_STACK, ctx->stack->name), &jobs, &err) < 0)
        return;
    json_array_foreach(jobs, i, live)
    {
        cleanup_json json_t *tasks = NULL;
        const json_t *task;
        const char *id = json_path_string(live, "ID", NULL);
        if (str_eq(spec_label(json_object_get(live, "Spec"), LABEL_DEPLOYMENT), send_label(ctx)) ||
            docker_tasks(ctx->docker, id, false, &tasks, &err) < 0 || job_state(tasks, &task) == JOB_RUNNING)
            continue;
        if (docker_service_remove(ctx->docker, id, &err) < 0)
            log_info("the finished job %s stays for now: %s", json_path_string(live, "Spec", "Name", NULL), err.text);
    }
}

/* Command and check, each with its removal. */
static int64_t deadline(struct step_ctx *ctx, const json_t *params)
{
    (void)ctx;
    return 2 * ((int64_t)json_path_integer(params, 0, "timeout_us", NULL, NULL) + removal_patience_us + send_patience_us);
}

const struct step_kind step_kind_run = {
    .name = "run",
    .sentence = "running migration %s",
    .on_resume = RESUME_PROBE,
    .deadline_us = deadline,
    .run = run,
};
