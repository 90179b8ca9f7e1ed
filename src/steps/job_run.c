/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
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
#include "steps/lease.h"
#include "steps/output.h"
#include "steps/persist.h"
#include "steps/remove.h"
#include "steps/send.h"

static const int64_t log_interval_us = US_PER_S;
/* Its log cannot be read though the engine answers. */
static const int64_t log_patience_us = 30 * US_PER_S;
static const int64_t noting_interval_us = 5 * US_PER_S;
/* Of one job, when the engine fails to start its container. */
enum { STARTS_MAX = 3 };

struct job {
    struct step_ctx *ctx;
    const struct job_request *request;
    const struct step *step;
    json_t *progress;
    const char *name, *id;
    int64_t deadline_us;
    int64_t noted_us;      /* of the timeout, spent as last written down */
    int64_t away_since_us; /* the engine does not answer; 0: it does */
    bool removed;          /* by somebody else; its task may run on */
    struct output_position position;
    char last_line[512];
};

/* ---- progress ---- */

int job_save_phase(struct step_ctx *ctx, const struct step *step, json_t *progress, const char *phase,
                   struct error *err)
{
    /* of the job that was; its last line stays, for who wants to know */
    static const char *const members[] = {"id", "spent_us", "log_ns", "starts", "discard"};
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

/* One whose container never ran, and that is to be made anew. */
static int discard(struct job *job, struct error *err)
{
    const char *id = json_path_string(job->progress, "discard", NULL);
    if (id && job_remove(job->ctx, id, err) < 0)
        return -1;
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

/* ---- waiting ---- */

static void follow_output(struct job *job)
{
    struct error ignored = {0};
    if (job->removed) /* the engine reads logs by the service */
        return;
    /* an engine that is away costs lines only for now: the position stays where it is */
    if (output_follow(job->ctx, job->step, job->id, &job->position, job->last_line, sizeof job->last_line,
                      &ignored) < 0)
        log_debug("log of %s: %s", job->name, ignored.text);
}

/* Without one there never was any output. */
static bool has_container(const json_t *task)
{
    const char *id = json_path_string(task, "Status", "ContainerStatus", "ContainerID", NULL);
    return id && *id;
}

/*
 * All of it, before the job goes, which is the only witness. A node that does not answer must not stand in
 * the way for ever. An engine that is away does: removing the job waits for it, too.
 */
static int finish_output(struct job *job, struct error *err)
{
    struct error why = {0};
    for (int64_t until = mono_us() + log_patience_us; !job->removed;) {
        cleanup_json json_t *tasks = NULL;
        struct error away = {0};
        if (output_follow(job->ctx, job->step, job->id, &job->position, job->last_line, sizeof job->last_line,
                          &why) == 0) {
            step_waiting(job->ctx, NULL);
            return 0;
        }
        /* was it the journal? Then this waits for it */
        int64_t before = mono_us();
        if (step_save_progress(job->ctx, job->step, job->progress, err) < 0)
            return -1;
        until += mono_us() - before;
        if (job_tasks(job->ctx, job->id, &tasks, &job->removed, &away) < 0 && send_is_transient(&away))
            until = mono_us() + log_patience_us;
        if (mono_us() >= until)
            break;
        if (step_stop_reason(job->ctx) != STOP_NONE)
            return step_should_stop(job->ctx, err);
        step_waiting(job->ctx, "%s %s: its log cannot be read: %s", job->request->word, job->step->name,
                     why.text);
        step_sleep(log_interval_us);
    }
    step_waiting(job->ctx, NULL);
    cleanup_arena struct arena arena = {0};
    const char *note = arena_printf(&arena, "(the rest of its log could not be read: %s)\n",
                                    job->removed ? "the job was removed by someone else" : why.text);
    return PERSIST(journal_step_append_output(job->ctx->journal, job->step->deployment, job->step->seq, note,
                                              strlen(note), err),
                   err);
}

/* For the next worker: not to write the same lines again, and not to give the job all of its time again. */
static void note_position(struct job *job)
{
    struct error ignored = {0};
    json_int_t before_ns = json_path_integer(job->progress, 0, "log_ns", NULL, NULL);
    int64_t spent_us = job->request->timeout_us - (job->deadline_us - mono_us());
    if (job->position.last_ns == before_ns && spent_us - job->noted_us < noting_interval_us)
        return;
    job->noted_us = spent_us;
    json_object_set_new(job->progress, "spent_us", json_integer(spent_us));
    json_object_set_new(job->progress, "log_ns", json_integer(job->position.last_ns));
    json_object_set_new(job->progress, "last", json_string(job->last_line));
    cleanup_free char *text = json_dumps(job->progress, JSON_COMPACT);
    if (journal_step_progress(job->ctx->journal, job->step->deployment, job->step->seq, text, &ignored) < 0)
        log_debug("position in the log of %s: %s", job->name, ignored.text);
}

/* For whoever looks on: why it does not run yet, or the last that it said. */
static void tell(const struct job *job, const json_t *task)
{
    cleanup_arena struct arena arena = {0};
    const char *state = json_path_string(task, "Status", "State", NULL),
               *why = json_path_string(task, "Status", "Err", NULL), *note = job->last_line;
    if (!job->removed && state && !str_eq(state, "running") && !task_ended(task))
        note = arena_printf(&arena, "%s%s%s", state, why && *why ? ": " : "", why && *why ? why : "");
    const char *title = job->request->title;
    step_live(job->ctx, &(struct progress){.doing = str_eq(title, job->step->name) ? NULL : title,
                                           .deadline_us = job->deadline_us,
                                           .note = note});
}

/* What the shell's way of counting says: 128 and the signal. */
static const char *killed_by(json_int_t code)
{
    if (code == 128 + SIGKILL)
        return " (killed: by the kernel when it needed more memory than its limit, or from outside)";
    return code == 128 + SIGSEGV ? " (it crashed: SIGSEGV)" : code == 128 + SIGABRT ? " (it aborted)" : "";
}

static int describe_failure(const struct job *job, const json_t *task, struct error *err)
{
    json_int_t code = json_path_integer(task, 0, "Status", "ContainerStatus", "ExitCode");
    const char *state = json_path_string(task, "Status", "State", NULL),
               *text = json_path_string(task, "Status", "Err", NULL);
    cleanup_arena struct arena arena = {0};
    const char *why = text && *text ? str_clean(&arena, text, strlen(text), true, 400) : "";
    if (job->removed)
        return error_set(err, ERR_FAILED, (int)code,
                         "the job was removed by someone else, and its task ended: exit %lld (%s)",
                         (long long)code, state ? state : "");
    if (code)
        return error_set(err, ERR_FAILED, (int)code, "exit %lld%s: %s", (long long)code, killed_by(code),
                         *job->last_line ? job->last_line : why);
    return error_set(err, ERR_FAILED, 0, "%s: %s", state ? state : "ended", *why ? why : job->last_line);
}

static int timed_out(struct job *job, const json_t *task, struct error *err)
{
    const char *state = json_path_string(task, "Status", "State", NULL),
               *why = json_path_string(task, "Status", "Err", NULL),
               *node = json_path_string(task, "NodeID", NULL);
    cleanup_arena struct arena arena = {0};
    const char *took = duration_text(&arena, job->request->timeout_us);
    if (!why || !*why)
        why = json_path_string(task, "Status", "Message", NULL);
    bool says_more = why && *why && !str_eq(why, state); /* "starting" has "starting" for its message */
    if (!str_eq(state, "running"))
        return error_set(err, ERR_TIMEOUT, 0, "did not start within %s: %s%s%s", took,
                         state ? state : "no task", says_more ? ": " : "", says_more ? why : "");
    if (job->removed)
        return error_set(
            err, ERR_TIMEOUT, 0,
            "timed out after %s; its job was removed by someone else, so it could not be stopped and "
            "still runs: docker rm -f on node %.12s",
            took, node ? node : "");
    return error_set(err, ERR_TIMEOUT, 0, "timed out after %s and was stopped%s%s", took,
                     *job->last_line ? "; last line: " : "", job->last_line);
}

/* While the engine does not answer, the clock of the timeout stands still. */
static void note_absence(struct job *job, const struct error *err)
{
    if (!job->away_since_us)
        job->away_since_us = mono_us();
    step_waiting(job->ctx, "%s %s: the engine does not answer: %s", job->request->word, job->step->name,
                 err->text);
}

static void note_presence(struct job *job)
{
    if (job->away_since_us)
        job->deadline_us += mono_us() - job->away_since_us;
    job->away_since_us = 0;
    step_waiting(job->ctx, NULL);
}

static bool may_start_again(const struct job *job)
{
    return json_path_integer(job->progress, 1, "starts", NULL, NULL) < STARTS_MAX;
}

/* On record before the one that failed is removed: who finds it gone must know that this was us. */
static int plan_another(struct job *job, const json_t *task, struct error *err)
{
    json_int_t starts = json_path_integer(job->progress, 1, "starts", NULL, NULL);
    log_warning(
        "%s %s: the engine could not start its container, so that nothing ran; once more (%lld of %d): "
        "%s",
        job->request->word, job->step->name, (long long)starts + 1, STARTS_MAX,
        json_path_string(task, "Status", "Err", NULL));
    json_object_set_new(job->progress, "discard", json_string(job->id));
    json_object_set_new(job->progress, "starts", json_integer(starts + 1));
    json_object_del(job->progress, "id");
    if (step_save_progress(job->ctx, job->step, job->progress, err) < 0)
        return -1;
    job->id = NULL;
    return 1;
}

/* Its end, which is awaited. 1: its container never ran. */
static int wait_for(struct job *job, struct error *err)
{
    for (int64_t next_log = 0;;) {
        cleanup_json json_t *tasks = NULL;
        const json_t *task = NULL;
        enum job_end end = JOB_RUNNING;
        if (job_tasks(job->ctx, job->id, &tasks, &job->removed, err) == 0) {
            note_presence(job);
            if (job->removed && json_array_size(tasks) == 0)
                return error_set(
                    err, ERR_CONFLICT, 0,
                    "the job %s was removed by someone else; whether it ended well is not known, so "
                    "it was not run again. Look at %s, then: agentctl retry %s",
                    job->name, job->request->look_at, job->ctx->stack->name);
            end = job_state(tasks, &task);
            if (end == JOB_FAILED && !job->removed && task_never_ran(task) && may_start_again(job))
                return plan_another(job, task, err);
        } else if (!send_is_transient(err)) {
            return -1;
        } else {
            note_absence(job, err);
        }
        bool late = mono_us() >= job->deadline_us, over = end != JOB_RUNNING || late;
        if (tasks && (over || mono_us() >= next_log)) {
            if (!over || !has_container(task))
                follow_output(job);
            else if (finish_output(job, err) < 0)
                return -1;
            note_position(job);
            tell(job, task);
            next_log = mono_us() + log_interval_us;
        }
        if (end == JOB_SUCCEEDED)
            return 0;
        if (end == JOB_FAILED)
            return describe_failure(job, task, err);
        if (step_stop_reason(job->ctx) != STOP_NONE)
            return step_should_stop(job->ctx, err);
        if (tasks && late)
            return timed_out(job, task, err);
        step_sleep(job_look_interval_us);
    }
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
        step_sleep(log_interval_us);
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
        .position.last_ns = (int64_t)json_path_integer(progress, 0, "log_ns", NULL, NULL),
    };
    snprintf(job.last_line, sizeof job.last_line, "%s", last ? last : "");
    int r;
    do {
        r = begin(&job, err);
        if (r < 0)
            return -1;
        if (r > 0)
            return skip(&job, err);
        if (!job.deadline_us)
            job.deadline_us = mono_us() + request->timeout_us - job.noted_us;
        r = wait_for(&job, err);
        if (r < 0)
            return end_badly(&job, err);
    } while (r > 0);
    return end_well(&job, err);
}
