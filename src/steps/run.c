/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/log.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/guard.h"
#include "steps/job.h"
#include "steps/kinds.h"
#include "steps/persist.h"
#include "steps/send.h"

/*
 * A migration: a command in the service's new image, as a job (agent/plan.h); then its check, as another.
 *
 * progress: {"phase": "command"|"check"|"done"|"failed", and what job_run() keeps}
 */

static int run_job(struct step_ctx *ctx, const struct step *step, const json_t *params, json_t *progress,
                   struct error *err)
{
    bool check = str_eq(json_path_string(progress, "phase", NULL), "check");
    const struct job_request request = {
        .step = step,
        .progress = progress,
        .spec = json_object_get(params, check ? "check" : "job"),
        .timeout_us = (int64_t)json_path_integer(params, 900 * US_PER_S, "timeout_us", NULL, NULL),
        .word = "migration",
        .title = check ? arena_printf(ctx->arena, "check of %s", step->name) : step->name,
        .look_at = "the database",
        .inherited = true,
        .last_cancel = !check,
        .next_phase = check || json_is_null(json_object_get(params, "check")) ? "done" : "check",
    };
    return job_run(ctx, &request, err);
}

/* What a worker that died has left after it had recorded an outcome. */
static int tidy_up(struct step_ctx *ctx, const json_t *params, struct error *err)
{
    if (job_remove_leftover(ctx, json_object_get(params, "job"), err) == 0 &&
        job_remove_leftover(ctx, json_object_get(params, "check"), err) == 0)
        return 0;
    if (err->kind == ERR_CANCELLED)
        return -1;
    log_warning("a finished job could not be removed: %s", err->text);
    return 0;
}

static int run_phases(struct step_ctx *ctx, const struct step *step, const json_t *params, json_t *progress,
                      struct error *err)
{
    const char *phase = json_path_string(progress, "phase", NULL);
    if (!phase && job_save_phase(ctx, step, progress, "command", err) < 0)
        return -1;
    if (str_eq(phase, "check") && job_remove_leftover(ctx, json_object_get(params, "job"), err) < 0 &&
        err->kind == ERR_CANCELLED)
        return -1;
    if ((str_eq(phase, "done") || str_eq(phase, "failed")) && tidy_up(ctx, params, err) < 0)
        return -1;
    for (;;) {
        phase = json_path_string(progress, "phase", NULL);
        if (str_eq(phase, "done"))
            return 0;
        if (str_eq(phase, "failed"))
            return error_set(err, ERR_FAILED, 0, "%s", json_path_string(progress, "error", NULL));
        if (run_job(ctx, step, params, progress, err) < 0)
            return -1;
    }
}

/* A job that has ended has nothing left to be guarded. */
static int run_guarded(struct step_ctx *ctx, const struct step *step, const json_t *params, json_t *progress,
                       struct error *err)
{
    const char *phase = json_path_string(progress, "phase", NULL);
    bool ended = str_eq(phase, "done") || str_eq(phase, "failed");
    struct guard_lock lock = {.held = NULL};
    struct error lost = {0};
    if (!ended && guard_lock_open(ctx, step, &lock, err) < 0)
        return -1;
    /* from here on a cancel waits for the migration; it is looked at once more before the job is made */
    ctx->ignore_cancel = true;
    int r = run_phases(ctx, step, params, progress, err);
    ctx->ignore_cancel = false;
    if (r < 0 && !step_is_shutdown(err))
        guard_lock_end_sessions(ctx, step, &lock);
    if (guard_lock_close(&lock, &lost) < 0 && r == 0) {
        *err = lost;
        return -1;
    }
    return r;
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *progress = resumed && step->progress ? json_loads(step->progress, 0, NULL) : NULL;
    const char *version = arena_printf(&arena, "%.12s", ctx->deployment->commit), *state = "applied";
    struct error journal_err = {0};
    if (!progress)
        progress = json_object();
    if (PERSIST(journal_set_migration(ctx->journal, step->deployment, step->name, version, "running", err),
                err) < 0)
        return -1;
    int r = run_guarded(ctx, step, params, progress, err);
    if (r < 0 && step_is_shutdown(err))
        return -1;
    if (r < 0 && err->kind == ERR_CANCELLED) {
        state = "not run";
    } else if (r < 0) {
        *ret_allowed = json_is_true(json_object_get(params, "allow_failure"));
        state = *ret_allowed ? "failed (allowed)" : "failed";
    }
    if (PERSIST(
            journal_set_migration(ctx->journal, step->deployment, step->name, version, state, &journal_err),
            &journal_err) < 0) {
        *err = journal_err;
        return -1;
    }
    return r;
}

/* Command and check, each with its removals. */
static int64_t deadline(struct step_ctx *ctx, const json_t *params)
{
    (void)ctx;
    return guard_lock_patience_us + 2 * ((int64_t)json_path_integer(params, 0, "timeout_us", NULL, NULL) +
                                         JOB_STARTS_MAX * job_removal_patience_us + send_patience_us);
}

const struct step_kind step_kind_run = {
    .name = "run",
    .sentence = "running migration %s",
    .on_resume = RESUME_PROBE,
    .deadline_us = deadline,
    .run = run,
};
