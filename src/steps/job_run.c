/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "steps/job.h"
#include "steps/job_wait.h"
#include "steps/lease.h"
#include "steps/persist.h"
#include "steps/remove.h"
#include "steps/send.h"

static const int64_t retry_interval_us = US_PER_S;

/* ---- progress ---- */

int job_save_phase(struct step_ctx *ctx, const struct step *step, json_t *progress, const char *phase,
                   struct error *err)
{
    /* of the job that was; its last line stays, for who wants to know */
    static const char *const members[] = {"id", "spent_us", "log_ns", "log_err_ns", "starts", "discard"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        json_object_del(progress, members[i]);
    json_object_set_new(progress, "phase", json_string(phase));
    return step_save_progress(ctx, step, progress, err);
}

/* ---- removing ---- */

int job_remove_leftover(struct step_ctx *ctx, const json_t *spec, struct error *err)
{
    cleanup_json json_t *live = NULL;
    const char *name = json_path_string(spec, "Name", NULL);
    if (!name)
        return 0;
    if (send_read_service(ctx, name, &live, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (!str_eq(spec_label(json_object_get(live, "Spec"), LABEL_DEPLOYMENT), send_label(ctx)))
        return 0;
    return job_remove(ctx, json_path_string(live, "ID", NULL), err);
}

/* ---- starting ---- */

/* A job of that name from an earlier deployment of the same commit, which could not be removed then. */
static int clear_earlier(struct job *job, const json_t *live, struct error *err)
{
    cleanup_json json_t *tasks = NULL;
    const json_t *task, *spec = json_object_get(live, "Spec");
    const char *id = json_path_string(live, "ID", NULL), *label = spec_label(spec, LABEL_DEPLOYMENT);
    if (!label)
        return error_set(err, ERR_CONFLICT, 0, "a service named %s exists and is not ours", job->name);
    if (send_read_tasks(job->ctx, id, &tasks, err) < 0)
        return -1;
    /* of a deployment that was taken over: nobody will ask for the outcome */
    bool abandoned = lease_inherits(job->ctx->lease, label);
    if (job_state(tasks, &task) == JOB_RUNNING && !service_is_emptied(spec) && !abandoned)
        return error_set(err, ERR_CONFLICT, 0,
                         "the job %s of deployment %s still runs; a %s never runs twice at once. Wait "
                         "for it, or remove the service when you are sure",
                         job->name, label, job->request->word);
    return job_remove(job->ctx, id, err);
}

static int create(struct job *job, const json_t *spec, struct error *err)
{
    cleanup_json json_t *labelled = json_deep_copy(spec);
    json_t *labels = json_object();
    json_object_set_new(labels, LABEL_STACK, json_string(job->ctx->stack->name));
    json_object_set_new(labels, LABEL_STEP, json_string(job->step->name));
    json_object_set_new(labelled, "Labels", labels);
    return send_create(job->ctx, labelled, &job->id, err);
}

/* A cancel that is ignored from here on is looked for once more. */
static int look_for_cancel(struct step_ctx *ctx, struct error *err)
{
    bool ignored = ctx->ignore_cancel;
    ctx->ignore_cancel = false;
    int r = step_should_stop(ctx, err);
    ctx->ignore_cancel = ignored;
    return r;
}

/* Its name has the commit in it: of that commit it is this very step. */
static bool is_to_be_followed(const struct job *job, const char *label)
{
    return str_eq(label, send_label(job->ctx)) ||
           (job->request->inherited && lease_inherits(job->ctx->lease, label));
}

/* One whose container never ran, and that is to be made anew; but if somebody had it run since that was
 * written down, it is our job. */
static int discard(struct job *job, struct error *err)
{
    cleanup_json json_t *tasks = NULL;
    const char *id = json_path_string(job->progress, "discard", NULL);
    if (!id)
        return 0;
    int r = send_read_tasks(job->ctx, id, &tasks, err);
    if (r == 0 && tasks_never_ran(tasks))
        r = job_remove(job->ctx, id, err);
    else if (r == 0)
        job->id = arena_strdup(job->ctx->arena, id);
    if (r < 0 && err->kind != ERR_NOT_FOUND)
        return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, "removing a job whose container never ran");
    json_object_del(job->progress, "discard");
    return 0;
}

/* Finds our job, or makes it when it cannot have existed. job->id is known when the engine had confirmed it.
 * 1: there is nothing to follow, it has ended well elsewhere.
 */
static int start(struct job *job, struct error *err)
{
    cleanup_json json_t *live = NULL;
    if (discard(job, err) < 0)
        return -1;
    if (send_read_service(job->ctx, job->name, &live, err) == 0) {
        const char *label = spec_label(json_object_get(live, "Spec"), LABEL_DEPLOYMENT);
        if (is_to_be_followed(job, label)) {
            job->id = arena_strdup(job->ctx->arena, json_path_string(live, "ID", NULL));
            log_info("the job %s (of deployment %s) is there already; waiting for it", job->name, label);
            return 0;
        }
        if (!job->id && clear_earlier(job, live, err) < 0)
            return -1;
    } else if (err->kind != ERR_NOT_FOUND) {
        return -1;
    }
    if (job->id)
        return 0; /* removed meanwhile: its tasks may tell how it ended */
    if (job->request->inherited && lease_job_is_done(job->ctx->lease, job->name))
        return 1;
    if (job_none_runs(job->ctx, err) < 0)
        return -1;
    fault_point("job.create");
    if (job->request->last_cancel && look_for_cancel(job->ctx, err) < 0)
        return -1;
    return create(job, job->request->spec, err);
}

/* ---- once more ---- */

static json_int_t starts(const struct job *job)
{
    return json_path_integer(job->progress, 1, "starts", NULL, NULL);
}

/*
 * On record before the one that failed is removed: who finds it gone must know that this was us. err: before,
 * why it never ran.
 */
static int plan_another(struct job *job, struct error *err)
{
    json_int_t next = starts(job) + 1;
    job->noted_us = job->request->timeout_us - (job->deadline_us - mono_us());
    log_warning(
        "%s %s: the engine could not start its container, so that nothing ran; once more (%lld of %d): %s",
        job->request->word, job->step->name, (long long)next, JOB_STARTS_MAX, err->text);
    json_object_set_new(job->progress, "discard", json_string(job->id));
    json_object_set_new(job->progress, "starts", json_integer(next));
    json_object_set_new(job->progress, "spent_us", json_integer(job->noted_us));
    json_object_del(job->progress, "id");
    if (step_save_progress(job->ctx, job->step, job->progress, err) < 0)
        return -1;
    job->id = NULL;
    return 0;
}

/* ---- the whole ---- */

/* The failure is on record before its witness goes, too. */
static int fail(struct job *job, struct error *err)
{
    struct error removal = {0}, saving = {0};
    json_object_set(job->progress, "failed_in", json_object_get(job->progress, "phase"));
    json_object_set_new(job->progress, "phase", json_string("failed"));
    json_object_set_new(job->progress, "error", json_string(err->text));
    if (step_save_progress(job->ctx, job->step, job->progress, &saving) < 0) {
        *err = saving;
        return -1;
    }
    fault_point("job.failed");
    if (job_remove(job->ctx, job->id, &removal) == 0)
        return -1;
    if (removal.kind == ERR_CANCELLED)
        *err = removal;
    else
        error_set(err, err->kind, err->code, "%s; its job %s could not be removed: %s",
                  json_path_string(job->progress, "error", NULL), job->name, removal.text);
    return -1;
}

/* What was stopped on request leaves nothing to be resumed. */
static int give_up(struct job *job, struct error *err)
{
    struct error removal = {0};
    if (step_is_shutdown(err))
        return -1;
    if (job_remove(job->ctx, job->id, &removal) < 0 && removal.kind == ERR_CANCELLED)
        *err = removal;
    else if (removal.kind)
        log_warning("the job %s could not be removed: %s", job->name, removal.text);
    return -1;
}

/* Another agent's deployment had come this far before it was taken over. */
static int skip(const struct job *job, struct error *err)
{
    static const char note[] =
        "(it ended well in the deployment that was taken over, and is not run again)\n";
    log_notice("%s %s ended well in the deployment that was taken over: not run again", job->request->word,
               job->request->title);
    if (PERSIST(journal_step_append_output(job->ctx->journal, job->step->deployment, job->step->seq, note,
                                           strlen(note), err),
                err) < 0)
        return -1;
    return job_save_phase(job->ctx, job->step, job->progress, job->request->next_phase, err);
}

/* For whoever might take over: on the lease before it is on our record, for that one reads only there. */
static int note_success(const struct job *job, struct error *err)
{
    if (!job->request->inherited)
        return 0;
    while (lease_note_job(job->ctx->lease, job->name, err) < 0) {
        if (!send_is_transient(err))
            return -1;
        step_waiting(job->ctx, "%s %s: its end cannot be noted: %s", job->request->word, job->step->name,
                     err->text);
        step_sleep(retry_interval_us);
        if (step_stop_reason(job->ctx) != STOP_NONE)
            return step_should_stop(job->ctx, err);
    }
    step_waiting(job->ctx, NULL);
    return 0;
}

/* Started, and written down. As start(). */
static int begin(struct job *job, struct error *err)
{
    bool confirmed = job->id != NULL;
    int r = start(job, err);
    if (r < 0)
        return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, "%s", job->step->name);
    if (r > 0)
        return 1;
    json_object_set_new(job->progress, "id", json_string(job->id));
    if (!confirmed && step_save_progress(job->ctx, job->step, job->progress, err) < 0)
        return -1;
    fault_point("job.created");
    return 0;
}

static int end_badly(struct job *job, struct error *err)
{
    if (err->kind == ERR_CANCELLED)
        return give_up(job, err);
    (void)error_wrap(err, "%s", job->request->title);
    return fail(job, err);
}

static int end_well(struct job *job, struct error *err)
{
    fault_point("job.succeeded");
    if (note_success(job, err) < 0)
        return -1;
    /* the success is on record before its only other witness goes */
    json_object_set_new(job->progress, "last", json_string(job->last_line));
    if (job_save_phase(job->ctx, job->step, job->progress, job->request->next_phase, err) < 0)
        return -1;
    fault_point("job.recorded");
    if (job_remove(job->ctx, job->id, err) == 0)
        return 0;
    if (err->kind == ERR_CANCELLED)
        return -1;
    log_warning("the finished job %s could not be removed: %s", job->name, err->text);
    return 0;
}

int job_run(struct step_ctx *ctx, const struct job_request *request, struct error *err)
{
    json_t *progress = request->progress;
    const char *known = json_path_string(progress, "id", NULL),
               *last = known ? json_path_string(progress, "last", NULL) : NULL;
    struct job job = {
        .ctx = ctx,
        .request = request,
        .step = request->step,
        .progress = progress,
        .name = json_path_string(request->spec, "Name", NULL),
        .id = known ? arena_strdup(ctx->arena, known) : NULL,
        .noted_us = (int64_t)json_path_integer(progress, 0, "spent_us", NULL, NULL),
        .position = output_position(progress),
    };
    snprintf(job.last_line, sizeof job.last_line, "%s", last ? last : "");
    for (;;) {
        int r = begin(&job, err);
        if (r < 0)
            return -1;
        if (r > 0)
            return skip(&job, err);
        job.deadline_us = mono_us() + request->timeout_us - job.noted_us;
        job.last_start = starts(&job) >= JOB_STARTS_MAX;
        r = job_wait(&job, err);
        if (r == 0)
            return end_well(&job, err);
        if (r < 0 || plan_another(&job, err) < 0)
            return end_badly(&job, err);
    }
}
