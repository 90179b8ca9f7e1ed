/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/pipeline.h"

#include <stdio.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/baseline.h"
#include "steps/gate.h"
#include "steps/hint.h"
#include "steps/lease.h"
#include "steps/persist.h"
#include "steps/speed.h"
#include "worker/putback.h"
#include "worker/work.h"

/* ---- ends ---- */

int pipeline_end(struct step_ctx *ctx, enum deployment_state state, const char *reason, struct error *err)
{
    /* an agent that has taken the stack over meanwhile says how it ends; an engine that cannot tell is not
     * waited for */
    struct error lost = {0};
    if (lease_confirm(ctx->lease, &lost) < 0 && lost.kind == ERR_CANCELLED) {
        *err = lost;
        return -1;
    }
    step_waiting(ctx, NULL);
    log_context_step(NULL);
    fault_point("end.state");
    if (PERSIST(journal_set_state(ctx->journal, ctx->deployment->id, state, reason, err), err) < 0)
        return -1;
    fault_point("end.said");
    /* agentd logs it, once */
    hint(json_pack("{s:s, s:o}", "end", deployment_state_name(state), "reason", hint_text(reason)));
    return 0;
}

/* The step that rolled the service; NULL: none did. */
static const struct step *roll_of(const struct step *steps, size_t n, const char *service)
{
    for (size_t i = 0; i < n; i++)
        if ((strcmp(steps[i].kind, STEP_ROLL) == 0 || strcmp(steps[i].kind, STEP_BEFORE) == 0) &&
            strcmp(steps[i].name, service) == 0)
            return &steps[i];
    return NULL;
}

/*
 * What this deployment left, also where somebody has changed it since: else that change would be taken for
 * what was deployed, and neither a rollback nor a look for drift would know better. New reference.
 */
static json_t *spec_left(const struct service_record *record, const struct step *roll, const json_t *live)
{
    char hash[SHA256_HEX_SIZE];
    cleanup_json json_t *progress = roll && roll->progress ? json_loads(roll->progress, 0, NULL) : NULL;
    const char *sent = json_path_string(progress, "sent", NULL);
    cleanup_json json_t *before = !roll && record->before ? json_loads(record->before, 0, NULL) : NULL;
    if (before)
        return TAKE(before);
    spec_hash(live, hash);
    if (!sent || strcmp(sent, hash) == 0)
        return json_incref((json_t *)(uintptr_t)live);
    cleanup_json json_t *params = json_loads(roll->params, 0, NULL);
    log_warning("service %s was changed by someone else after it was rolled", record->service);
    return json_incref(json_object_get(params, "spec"));
}

/* A later rollback goes back to it. */
static int record_services(struct step_ctx *ctx, struct error *err)
{
    struct step *steps;
    size_t n_steps;
    struct service_record *records;
    size_t n;
    fault_point("end.record");
    if (journal_services(ctx->journal, ctx->arena, ctx->deployment->id, &records, &n, err) < 0 ||
        journal_steps(ctx->journal, ctx->arena, ctx->deployment->id, &steps, &n_steps, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        cleanup_json json_t *live = NULL;
        if (strcmp(records[i].action, "remove") == 0)
            continue;
        if (docker_service(ctx->docker, records[i].name, &live, err) < 0)
            return error_wrap(err, "recording service %s", records[i].service);
        const struct step *roll = roll_of(steps, n_steps, records[i].service);
        cleanup_json json_t *left = spec_left(&records[i], roll, json_object_get(live, "Spec"));
        cleanup_free char *text = spec_text(left);
        if (PERSIST(journal_set_service(ctx->journal, ctx->deployment->id, records[i].service,
                                        records[i].state, records[i].note, NULL, text, err),
                    err) < 0)
            return -1;
    }
    return 0;
}

/* Without a backup although one was wanted: whoever reads the log is to know. */
static bool backup_failed(const struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(steps[i].kind, STEP_BACKUP) == 0 && steps[i].state == STEP_FAILED_ALLOWED)
            return true;
    return false;
}

/* Somebody was told that it would be stopped. */
static bool cancelled_too_late(struct step_ctx *ctx)
{
    struct deployment now;
    struct error ignored = {0};
    bool found = false;
    return journal_deployment(ctx->journal, ctx->arena, ctx->deployment->id, &now, &found, &ignored) == 0 &&
           found && now.cancel_requested;
}

enum { VERSIONS_SHOWN = 3 };

/* ", schema 0116 → 0118" */
static void add_versions(struct step_ctx *ctx, struct str *text)
{
    struct schema_record *rows;
    size_t n;
    struct error ignored = {0};
    if (journal_schemas(ctx->journal, ctx->arena, ctx->deployment->id, &rows, &n, &ignored) < 0)
        return;
    size_t moved = 0;
    for (size_t i = 0; i < n; i++)
        if (!str_eq(rows[i].before, rows[i].after) && moved++ < VERSIONS_SHOWN)
            str_printf(text, ", %s%s%s%s%s → %s", rows[i].step, rows[i].schema ? " in " : "",
                       rows[i].schema ? rows[i].schema : "", *rows[i].before ? " " : "", rows[i].before,
                       rows[i].after);
    if (moved > VERSIONS_SHOWN)
        str_printf(text, ", %zu more schemas", moved - VERSIONS_SHOWN);
}

/* Only what was done: not what the stack file asks for, nor what the plan meant to do. */
static const char *success_reason(struct step_ctx *ctx, const struct step *steps, size_t n_steps)
{
    struct service_record *records;
    size_t n, changed = 0, removed = 0, kept = 0;
    struct error ignored = {0};
    cleanup_str struct str unverified = {0}, degraded = {0}, text = {0};
    bool soaked = false;
    for (size_t i = 0; i < n_steps; i++)
        soaked |= strcmp(steps[i].kind, STEP_SOAK) == 0 && steps[i].state == STEP_DONE;
    if (journal_services(ctx->journal, ctx->arena, ctx->deployment->id, &records, &n, &ignored) < 0)
        return "done";
    for (size_t i = 0; i < n; i++) {
        if (strcmp(records[i].state, "removed") == 0)
            removed++;
        else if (strcmp(records[i].action, "remove") == 0)
            kept++;
        else if (strcmp(records[i].action, "none") != 0)
            changed++;
        if (strcmp(records[i].state, "unverified") == 0)
            str_printf(&unverified, "%s%s", unverified.len ? ", " : "", records[i].service);
        if (strcmp(records[i].state, "degraded") == 0)
            str_printf(&degraded, "%s%s", degraded.len ? "; " : "", records[i].note);
    }
    if (ctx->deployment->trigger == TRIGGER_ROLLBACK)
        str_printf(&text, "back to #%lld, the database stays as it is; ",
                   (long long)ctx->deployment->target_id);
    if (changed)
        str_printf(&text, "%zu service%s rolled", changed, changed == 1 ? "" : "s");
    else
        str_append(&text, "no service had to change");
    if (removed)
        str_printf(&text, ", %zu removed", removed);
    if (kept)
        str_printf(&text, ", %zu not removed", kept);
    add_versions(ctx, &text);
    if (soaked && ctx->manifest)
        str_printf(&text, ", %llds stable", (long long)(ctx->manifest->release.gate.soak_us / US_PER_S));
    if (backup_failed(steps, n_steps))
        str_append(&text, "; no backup: it failed (not required)");
    const char *broken = baseline_broken(ctx);
    if (broken)
        str_printf(&text, "; the migration broke the old code until it was rolled: %s", broken);
    if (degraded.len)
        str_printf(&text, "; degraded as before: %s", str_text(&degraded));
    if (unverified.len)
        str_printf(&text, "; unverified: %s", str_text(&unverified));
    str_append(&text, speed_words(ctx));
    return arena_strdup(ctx->arena, str_text(&text));
}

static int succeed(struct step_ctx *ctx, const struct step *steps, size_t n, bool empty, struct error *err)
{
    while (record_services(ctx, err) < 0) {
        if (err->kind != ERR_UNAVAILABLE && err->kind != ERR_TIMEOUT)
            return pipeline_end(ctx, DEPLOYMENT_HALTED,
                                arena_printf(ctx->arena,
                                             "all steps are done, but what runs could not be read back: %s",
                                             err->text),
                                err);
        step_waiting(ctx, "reading back what runs: %s", err->text);
        step_sleep(US_PER_S);
        /* all is done: a cancel comes too late */
        enum stop_reason stop = step_stop_reason(ctx);
        if (stop == STOP_SHUTDOWN || stop == STOP_LEASE)
            return step_should_stop(ctx, err);
    }
    /* what was seen before is about an older record */
    bool news;
    if (PERSIST(journal_set_drift(ctx->journal, ctx->stack->name, NULL, &news, err), err) < 0)
        return -1;
    const char *reason = empty ? "no change" : success_reason(ctx, steps, n);
    if (cancelled_too_late(ctx))
        reason = arena_printf(ctx->arena, "%s; the cancel came too late", reason);
    return pipeline_end(ctx, DEPLOYMENT_SUCCEEDED, reason, err);
}

/* ---- one step ---- */

static void announce(struct step_ctx *ctx, const struct step_kind *kind, const struct step *step,
                     const json_t *params)
{
    const char *mark = strstr(kind->sentence, "%s");
    const char *sentence = mark ? arena_printf(ctx->arena, "%.*s%s%s", (int)(mark - kind->sentence),
                                               kind->sentence, step->name, mark + 2)
                                : kind->sentence;
    const char *title = arena_printf(ctx->arena, "%s %s", kind->name, step->name);
    int64_t deadline_us = kind->deadline_us ? kind->deadline_us(ctx, params) : 0;
    log_context_step(title);
    log_info("%s", sentence);
    hint(json_pack("{s:s, s:I}", "step", title, "deadline_s", (json_int_t)(deadline_us / US_PER_S)));
}

/* Before what the engine does not see, too: SQL. */
static int confirm(struct step_ctx *ctx, struct error *err)
{
    while (lease_confirm(ctx->lease, err) < 0) {
        if (err->kind == ERR_CANCELLED)
            return -1;
        step_waiting(ctx, "the stack's lease cannot be confirmed: %s", err->text);
        step_sleep(US_PER_S);
        enum stop_reason stop = step_stop_reason(ctx);
        if (stop == STOP_SHUTDOWN || stop == STOP_LEASE)
            return step_should_stop(ctx, err);
    }
    step_waiting(ctx, NULL);
    return 0;
}

/* Beside what the step keeps for itself: for whoever reads the record. */
static int save_regressed(struct step_ctx *ctx, const struct step *step, struct error *err)
{
    struct step *steps;
    size_t n;
    if (!ctx->regressed)
        return 0;
    if (PERSIST(journal_steps(ctx->journal, ctx->arena, step->deployment, &steps, &n, err), err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (steps[i].seq != step->seq)
            continue;
        cleanup_json json_t *kept = steps[i].progress ? json_loads(steps[i].progress, 0, NULL) : NULL;
        cleanup_json json_t *progress = kept ? json_incref(kept) : json_object();
        json_object_set(progress, "regressed", ctx->regressed);
        return step_save_progress(ctx, step, progress, err);
    }
    return 0;
}

/* *ret_failed: the step failed, and the deployment with it; err says why. -1: stop working (see
 * pipeline_run). */
static int execute(struct step_ctx *ctx, struct step *step, bool *ret_failed, struct error *err)
{
    const struct step_kind *kind = step_kind_find(step->kind);
    bool begun = step->state == STEP_RUNNING, allowed = false;
    cleanup_json json_t *params = step->params ? json_loads(step->params, 0, NULL) : NULL;
    if (!kind || !params) {
        *ret_failed = true;
        (void)error_set(err, ERR_INTERNAL, 0, "this version does not know the step '%s' of the record",
                        step->kind);
        return 0;
    }
    announce(ctx, kind, step, params);
    if (confirm(ctx, err) < 0)
        return -1;
    fault_point("step.begin");
    if (PERSIST(journal_step_begin(ctx->journal, step->deployment, step->seq, NULL, err), err) < 0)
        return -1;
    step->state = STEP_RUNNING;
    step_live_begin(ctx, step->seq);
    int r = kind->run(ctx, step, params, begun && kind->on_resume == RESUME_PROBE, &allowed, err);
    fault_point("step.ran");
    ctx->live.seq = 0; /* its end forgets what it told, and so does its next beginning */
    if (r < 0 && step_is_shutdown(err))
        return -1;
    enum step_state state = r == 0 ? STEP_DONE : allowed ? STEP_FAILED_ALLOWED : STEP_FAILED;
    struct error outcome = *err, journal_err = {0};
    if (state == STEP_FAILED_ALLOWED)
        log_warning("%s (allowed to fail)", outcome.text);
    if ((state == STEP_FAILED && save_regressed(ctx, step, &journal_err) < 0) ||
        PERSIST(journal_step_end(ctx->journal, step->deployment, step->seq, state,
                                 r < 0 ? outcome.text : NULL, &journal_err),
                &journal_err) < 0) {
        *err = journal_err;
        return -1;
    }
    step->state = state;
    *ret_failed = state == STEP_FAILED;
    return 0;
}

/* ---- all of them ---- */

/* Steps that ran before a crash: services rolled then are watched again. */
static int take_up(struct step_ctx *ctx, const struct step *step, struct error *err)
{
    const struct step_kind *kind = step_kind_find(step->kind);
    if (!kind || !kind->touches_service)
        return 0;
    cleanup_json json_t *params = json_loads(step->params, 0, NULL);
    return step_watch(ctx, step, params, err);
}

static void start_total_deadline(struct step_ctx *ctx, const struct step *step)
{
    if (ctx->deadline_us == 0 && ctx->manifest && strcmp(step->kind, STEP_ROLL) == 0)
        ctx->deadline_us = mono_us() + ctx->manifest->release.gate.total_deadline_us;
}

/*
 * Did an earlier worker die while services were put back? Then that goes on, for the same reason: of the step
 * that failed. What was put back already is `undone`.
 */
static bool was_failing(const struct step_ctx *ctx, const struct step *steps, size_t n, struct error *err)
{
    bool undone = false;
    for (size_t i = 0; i < n; i++) {
        const char *why = steps[i].error ? steps[i].error : "failed";
        undone |= steps[i].state == STEP_UNDONE;
        if (steps[i].state != STEP_FAILED)
            continue;
        if (str_ends(why, STEP_CANCELLED_TEXT))
            (void)error_set(err, ERR_CANCELLED, STOP_CANCEL, "%s", why);
        else
            (void)error_set(err, ERR_FAILED, 0, "%s", why);
        return true;
    }
    if (undone && ctx->deployment->cancel_requested)
        (void)error_set(err, ERR_CANCELLED, STOP_CANCEL, STEP_CANCELLED_TEXT);
    else if (undone)
        (void)error_set(err, ERR_FAILED, 0, "services were being put back");
    return undone;
}

/* 0: all done. 1: one failed, err is the reason. -1: stop. */
static int forward(struct step_ctx *ctx, struct step *steps, size_t n, struct error *err)
{
    if (was_failing(ctx, steps, n, err))
        return 1;
    for (size_t i = 0; i < n; i++) {
        bool failed = false;
        switch (steps[i].state) {
        case STEP_DONE:
            if (take_up(ctx, &steps[i], err) < 0)
                return step_is_shutdown(err) ? -1 : 1;
            continue;
        case STEP_SKIPPED:
        case STEP_FAILED_ALLOWED:
        case STEP_FAILED:
        case STEP_UNDONE:
            continue;
        case STEP_PENDING:
        case STEP_RUNNING:
            break;
        }
        /* between two steps is a safe point for both kinds of stop */
        if (steps[i].state == STEP_PENDING && step_should_stop(ctx, err) < 0)
            return err->code == STOP_CANCEL ? 1 : -1;
        start_total_deadline(ctx, &steps[i]);
        if (execute(ctx, &steps[i], &failed, err) < 0)
            return -1;
        if (failed)
            return 1;
    }
    return 0;
}

static void close_gates(struct step_ctx *ctx)
{
    for (size_t i = 0; i < ctx->n_gates; i++)
        gate_close(ctx->gates[i]);
    ctx->n_gates = 0;
    ctx->gates = NULL;
}

int pipeline_give_up(struct step_ctx *ctx, struct error *err)
{
    struct step *steps;
    size_t n;
    struct error reading = {0};
    /* as they are now on record: what putting back needs was noted while they ran */
    if (PERSIST(journal_steps(ctx->journal, ctx->arena, ctx->deployment->id, &steps, &n, &reading),
                &reading) < 0) {
        *err = reading;
        return -1;
    }
    return put_back_and_end(ctx, steps, n, err);
}

int pipeline_run(struct step_ctx *ctx, bool empty, struct error *err)
{
    struct step *steps;
    size_t n;
    if (PERSIST(journal_steps(ctx->journal, ctx->arena, ctx->deployment->id, &steps, &n, err), err) < 0)
        return -1;
    if (ctx->deployment->state != DEPLOYMENT_RUNNING &&
        PERSIST(journal_set_state(ctx->journal, ctx->deployment->id, DEPLOYMENT_RUNNING, NULL, err), err) < 0)
        return -1;
    if (!empty)
        step_sweep_jobs(ctx);
    int r = forward(ctx, steps, n, err);
    if (r == 0)
        r = succeed(ctx, steps, n, empty, err);
    else if (r > 0)
        r = pipeline_give_up(ctx, err);
    close_gates(ctx);
    return r;
}
