/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/putback.h"

#include <string.h>

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/plan.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "steps/baseline.h"
#include "steps/hint.h"
#include "steps/persist.h"
#include "steps/sql_record.h"
#include "worker/pipeline.h"

/* The database and `before` services stay once their own gate passed: migrations may have relied on them. */
static bool goes_back(const struct step *step)
{
    if (strcmp(step->kind, STEP_ROLL) == 0)
        return step->state == STEP_DONE || step->state == STEP_FAILED || step->state == STEP_UNDONE;
    return strcmp(step->kind, STEP_BEFORE) == 0 && step->state == STEP_FAILED;
}

struct outcome {
    unsigned touched;    /* services that had been changed */
    struct str failures; /* "web: …", for those that could not be put back */
};

static int put_back_one(struct step_ctx *ctx, struct step *step, struct outcome *outcome, struct error *err)
{
    cleanup_json json_t *params = json_loads(step->params, 0, NULL);
    bool touched = false;
    log_info("putting service %s back", step->name);
    step_live_begin(ctx, step->seq);
    int r = step_put_back(ctx, step, params, &touched, err);
    step_live_end(ctx);
    outcome->touched += touched || step->state == STEP_UNDONE;
    if (r < 0 && err->kind == ERR_CANCELLED)
        return -1;
    if (r < 0) {
        const char *why = arena_strdup(ctx->arena, err->text);
        str_printf(&outcome->failures, "%s%s: %s", outcome->failures.len ? "; " : "", step->name, why);
        return PERSIST(
            journal_set_service(ctx->journal, step->deployment, step->name, "halted", why, NULL, NULL, err),
            err);
    }
    /* the failed step keeps its outcome: it is the reason */
    if (step->state == STEP_DONE)
        return PERSIST(journal_step_end(ctx->journal, step->deployment, step->seq, STEP_UNDONE, NULL, err),
                       err);
    return 0;
}

/* A step that ran when the deployment was given up: the reason becomes its own, so that no later worker goes
 * on with it. */
static int fail_running(struct step_ctx *ctx, struct step *steps, size_t n, const char *why,
                        struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (steps[i].state != STEP_RUNNING)
            continue;
        if (PERSIST(journal_step_end(ctx->journal, steps[i].deployment, steps[i].seq, STEP_FAILED, why, err),
                    err) < 0)
            return -1;
        steps[i].state = STEP_FAILED;
    }
    return 0;
}

/* Services that this deployment would have changed but never came to. */
static void mark_untouched(struct step_ctx *ctx)
{
    struct service_record *records;
    size_t n;
    struct error ignored = {0};
    if (journal_services(ctx->journal, ctx->arena, ctx->deployment->id, &records, &n, &ignored) < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (strcmp(records[i].state, "pending") == 0 &&
            journal_set_service(ctx->journal, ctx->deployment->id, records[i].service, "untouched", NULL,
                                NULL, NULL, &ignored) < 0)
            log_debug("%s", ignored.text);
}

/* Migrations that the deployment never came to. */
static void mark_not_run(struct step_ctx *ctx)
{
    struct error ignored = {0};
    if (journal_settle_migrations(ctx->journal, ctx->deployment->id, NULL, "not run", &ignored) < 0)
        log_debug("%s", ignored.text);
}

static bool any_done(const struct step *steps, size_t n, const char *kind)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(steps[i].kind, kind) == 0 && steps[i].state == STEP_DONE)
            return true;
    return false;
}

static const char *untouched(const struct step *steps, size_t n)
{
    return any_done(steps, n, STEP_BEFORE) ? "no application service was touched" : "no service was touched";
}

enum { VERSIONS_SHOWN = 3 };

/* "database stays at 0118": the versions that this deployment has moved; NULL: it moved none. */
static const char *moved_versions(struct step_ctx *ctx)
{
    struct schema_record *rows;
    size_t n;
    struct error ignored = {0};
    cleanup_str struct str text = {0};
    if (journal_schemas(ctx->journal, ctx->arena, ctx->deployment->id, &rows, &n, &ignored) < 0)
        return NULL;
    bool alone = n == 1;
    size_t moved = 0;
    for (size_t i = 0; i < n; i++) {
        if (str_eq(rows[i].before, rows[i].after) || moved++ >= VERSIONS_SHOWN)
            continue;
        str_printf(&text, "%s%s", text.len ? ", " : "database stays at ", rows[i].after);
        if (!alone)
            str_printf(&text, " (%s%s%s)", rows[i].step, rows[i].schema ? " in " : "",
                       rows[i].schema ? rows[i].schema : "");
    }
    if (moved > VERSIONS_SHOWN)
        str_printf(&text, " and %zu more", moved - VERSIONS_SHOWN);
    return text.len ? arena_strdup(ctx->arena, str_text(&text)) : NULL;
}

static const char *database_of(struct step_ctx *ctx, const struct step *steps, size_t n)
{
    const char *moved = moved_versions(ctx), *broken = baseline_broken(ctx);
    const char *text = moved                          ? arena_printf(ctx->arena, ", %s", moved)
                       : any_done(steps, n, STEP_RUN) ? ", the database stays as migrated"
                                                      : "";
    return broken ? arena_printf(ctx->arena, "%s; the migration broke the old code (%s)", text, broken)
                  : text;
}

/* What was changed, and is not put back. */
static const char *what_stays(struct step_ctx *ctx, const struct step *steps, size_t n)
{
    const char *text = database_of(ctx, steps, n);
    for (size_t i = n; i-- > 0;)
        if (strcmp(steps[i].kind, STEP_BEFORE) == 0 && steps[i].state == STEP_DONE)
            text = arena_printf(ctx->arena, ", %s stays as rolled%s", steps[i].name, text);
    return text;
}

static bool same_spec(const char *a, const char *b)
{
    cleanup_json json_t *left = a ? json_loads(a, 0, NULL) : NULL, *right = b ? json_loads(b, 0, NULL) : NULL;
    return (!a && !b) || (left && json_equal(left, right));
}

/* Did the last success run when this deployment was planned? What halted since, or a hand, may have changed
 * it. */
static bool base_ran(struct step_ctx *ctx)
{
    struct service_record *now, *then;
    size_t n_now, n_then;
    struct error ignored = {0};
    if (journal_services(ctx->journal, ctx->arena, ctx->deployment->id, &now, &n_now, &ignored) < 0 ||
        journal_services(ctx->journal, ctx->arena, ctx->deployment->base_id, &then, &n_then, &ignored) < 0)
        return false;
    for (size_t i = 0; i < n_now; i++) {
        const char *after = NULL;
        for (size_t j = 0; j < n_then; j++)
            if (strcmp(now[i].service, then[j].service) == 0)
                after = then[j].after;
        if (!same_spec(now[i].before, after))
            return false;
    }
    return true;
}

static const char *reason_of(struct step_ctx *ctx, const struct step *steps, size_t n, const char *why,
                             const struct outcome *outcome)
{
    const char *stays = what_stays(ctx, steps, n);
    long long base = (long long)ctx->deployment->base_id;
    if (outcome->failures.len)
        return arena_printf(ctx->arena, "%s; putting back failed: %s%s", why, outcome->failures.data, stays);
    if (outcome->touched == 0)
        return arena_printf(ctx->arena, "%s; %s%s", why, untouched(steps, n), stays);
    if (!base)
        return arena_printf(ctx->arena, "%s; services were put back%s", why, stays);
    if (base_ran(ctx))
        return arena_printf(ctx->arena, "%s; back on #%lld%s", why, base, stays);
    return arena_printf(ctx->arena, "%s; back to what ran before, which was not #%lld as it was deployed%s",
                        why, base, stays);
}

/* The one that failed, and keeps what it was given, if it was given anything. */
static int mark_failed(struct step_ctx *ctx, const struct step *step, bool *ret_touched, struct error *err)
{
    cleanup_json json_t *progress = step->progress ? json_loads(step->progress, 0, NULL) : NULL;
    cleanup_json json_t *params = json_loads(step->params, 0, NULL);
    bool touched;
    if (step_had_effect(ctx, step, params, &touched, err) < 0) {
        if (err->kind == ERR_CANCELLED)
            return -1;
        touched = true; /* nobody can say */
    }
    *ret_touched |= touched;
    const char *note = !touched                            ? NULL
                       : json_object_get(progress, "sent") ? "runs the new version"
                                                           : "may run the new version";
    return PERSIST(journal_set_service(ctx->journal, step->deployment, step->name,
                                       touched ? "failed" : "untouched", note, NULL, NULL, err),
                   err);
}

/* Nothing is put back. *ret_touched: an update of this deployment has reached a service. */
static int mark_as_left(struct step_ctx *ctx, const struct step *steps, size_t n, bool *ret_touched,
                        struct error *err)
{
    *ret_touched = false;
    mark_untouched(ctx);
    for (size_t i = 0; i < n; i++) {
        if (!goes_back(&steps[i]))
            continue;
        if (steps[i].state != STEP_FAILED)
            *ret_touched = true;
        else if (mark_failed(ctx, &steps[i], ret_touched, err) < 0)
            return -1;
    }
    return 0;
}

static int halt(struct step_ctx *ctx, const struct step *steps, size_t n, const char *why, struct error *err)
{
    bool touched;
    if (mark_as_left(ctx, steps, n, &touched, err) < 0)
        return -1;
    if (touched)
        return pipeline_end(
            ctx, DEPLOYMENT_HALTED,
            arena_printf(ctx->arena, "%s; services were left as they are (on_failure = halt)", why), err);
    return pipeline_end(
        ctx, DEPLOYMENT_FAILED,
        arena_printf(ctx->arena, "%s; %s%s", why, untouched(steps, n), what_stays(ctx, steps, n)), err);
}

/* Nothing speaks against the new version, or going back would not help: a person decides. */
static int halt_as_it_is(struct step_ctx *ctx, const struct step *steps, size_t n, const char *why,
                         struct error *err)
{
    bool touched;
    if (mark_as_left(ctx, steps, n, &touched, err) < 0)
        return -1;
    return pipeline_end(ctx, DEPLOYMENT_HALTED,
                        arena_printf(ctx->arena, "%s%s", why, database_of(ctx, steps, n)), err);
}

/* A file that is in the database, and that the old code does not work with; NULL: none. */
static const char *breaking_file(struct step_ctx *ctx, const struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *file = strcmp(steps[i].kind, STEP_SQL) == 0 ? sql_breaking(ctx->arena, &steps[i]) : NULL;
        if (file)
            return arena_printf(ctx->arena, "%s of %s", file, steps[i].name);
    }
    return NULL;
}

/* Going back would put code on a schema that it was declared not to work with. */
static int halt_on_breaking(struct step_ctx *ctx, const struct step *steps, size_t n, const char *why,
                            const char *file, struct error *err)
{
    bool touched;
    if (mark_as_left(ctx, steps, n, &touched, err) < 0)
        return -1;
    return pipeline_end(
        ctx, DEPLOYMENT_HALTED,
        arena_printf(
            ctx->arena,
            "%s; nothing was put back, since %s (-- deploy: breaking) is in the database and the old "
            "code does not work with it: deploy a fix forward%s",
            why, file, database_of(ctx, steps, n)),
        err);
}

int put_back_and_end(struct step_ctx *ctx, struct step *steps, size_t n_steps, struct error *err)
{
    bool cancelled = err->kind == ERR_CANCELLED;
    const char *why = arena_strdup(ctx->arena, err->text);
    struct outcome outcome = {0};
    int r = 0;
    ctx->ignore_cancel = true;
    ctx->deadline_us = 0;
    hint(json_pack("{s:n}", "step"));
    fault_point("putback.begin");
    if (fail_running(ctx, steps, n_steps, why, err) < 0)
        return -1;
    mark_not_run(ctx);
    const char *breaking = breaking_file(ctx, steps, n_steps);
    if (breaking)
        return halt_on_breaking(ctx, steps, n_steps, why, breaking, err);
    if (str_ends(why, STEP_HALT_TEXT))
        return halt_as_it_is(ctx, steps, n_steps, why, err);
    if (ctx->stack->on_failure == ON_FAILURE_HALT && !cancelled)
        return halt(ctx, steps, n_steps, why, err);
    for (size_t i = n_steps; i-- > 0 && r == 0;)
        if (goes_back(&steps[i]))
            r = put_back_one(ctx, &steps[i], &outcome, err);
    if (r == 0) {
        mark_untouched(ctx);
        enum deployment_state state = outcome.failures.len ? DEPLOYMENT_HALTED
                                      : cancelled          ? DEPLOYMENT_CANCELLED
                                      : outcome.touched    ? DEPLOYMENT_ROLLED_BACK
                                                           : DEPLOYMENT_FAILED;
        r = pipeline_end(ctx, state, reason_of(ctx, steps, n_steps, why, &outcome), err);
    }
    str_release(&outcome.failures);
    return r;
}
