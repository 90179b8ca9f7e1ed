/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/baseline.h"

#include <string.h>

#include "agent/log.h"
#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/kinds.h"
#include "steps/persist.h"
#include "steps/send.h"
#include "steps/speed.h"
#include "steps/watch.h"

/* ---- the record ---- */

/* {"baseline": progress, "known": params.known, "compare": progress, "earlier": speed_earlier()}; a member is
 * absent where the step was not planned, has not been taken yet, or asked nothing. */
static const json_t *record(struct step_ctx *ctx)
{
    struct step *steps;
    size_t n;
    struct error ignored = {0};
    if (ctx->baselines)
        return ctx->baselines;
    ctx->baselines = json_object();
    if (PERSIST(journal_steps(ctx->journal, ctx->arena, ctx->deployment->id, &steps, &n, &ignored),
                &ignored) < 0)
        return ctx->baselines;
    for (size_t i = 0; i < n; i++) {
        bool first = strcmp(steps[i].kind, STEP_BASELINE) == 0;
        if (!first && strcmp(steps[i].kind, STEP_COMPARE) != 0)
            continue;
        json_t *progress = steps[i].progress ? json_loads(steps[i].progress, 0, NULL) : NULL;
        cleanup_json json_t *params = steps[i].params ? json_loads(steps[i].params, 0, NULL) : NULL;
        if (progress)
            json_object_set_new(ctx->baselines, steps[i].kind, progress);
        if (!first)
            continue;
        json_object_set(ctx->baselines, "known", json_object_get(params, "known"));
        json_object_set_new(ctx->baselines, "earlier", speed_earlier(ctx, steps[i].fingerprint));
    }
    return ctx->baselines;
}

static struct probe_count count_of(const json_t *entry)
{
    return (struct probe_count){(unsigned)json_path_integer(entry, 0, "passed", NULL, NULL),
                                (unsigned)json_path_integer(entry, 0, "asked", NULL, NULL)};
}

/* A check that the last success did not have says nothing about what ran then: the new version has to pass.
 */
static bool is_known(struct step_ctx *ctx, const char *key)
{
    const json_t *known = json_object_get(record(ctx), "known");
    return str_starts(key, "healthcheck ") || json_is_true(json_object_get(known, key));
}

/* What the migrations did to it is this deployment's doing: samples after them are none of before. */
static void find_speed(struct step_ctx *ctx, struct probe *probe)
{
    latency_from_json(json_path(record(ctx), "earlier", probe->key, NULL), &probe->latency_before);
    latency_from_json(json_path(record(ctx), STEP_BASELINE, probe->key, "ms", NULL),
                      &probe->latency_just_before);
    latency_add(&probe->latency_before, &probe->latency_just_before);
}

void baseline_find(struct step_ctx *ctx, struct probe *probe)
{
    const json_t *first = json_path(record(ctx), STEP_BASELINE, probe->key, NULL),
                 *second = json_path(record(ctx), STEP_COMPARE, probe->key, NULL);
    struct probe_count a = count_of(first), b = count_of(second);
    enum probe_was was = probe_better(probe_was(a), probe_was(b));
    const json_t *better = a.asked && was == probe_was(a) ? first : second;
    probe->before = count_of(better);
    probe->last_before = arena_strdup(ctx->arena, json_path_string(better, "last", NULL));
    probe->was = is_known(ctx, probe->key) ? was : PROBE_UNKNOWN;
    find_speed(ctx, probe);
}

bool baseline_passed_last(struct step_ctx *ctx, const struct probe *probe, bool *ret_known)
{
    const json_t *first = json_path(record(ctx), STEP_BASELINE, probe->key, NULL),
                 *second = json_path(record(ctx), STEP_COMPARE, probe->key, NULL);
    struct probe_count count = count_of(second ? second : first);
    *ret_known = count.asked > 0;
    return probe_was(count) == PROBE_PASSED;
}

/* ---- asking ---- */

enum { UNASKED_MAX = 5 }; /* rounds without one probe that could be asked */

static bool wants_more(const struct watches *watches, unsigned samples)
{
    for (size_t i = 0; i < watches->n; i++)
        for (size_t k = 0; k < watches->items[i].prober->n; k++) {
            const struct probe_series *now = &watches->items[i].prober->items[k].now;
            if (now->unasked > 0 && now->unasked < UNASKED_MAX && now->asked < samples)
                return true;
        }
    return false;
}

/* For whoever looks on. A check that could not be asked is asked again: that is no further sample of all. */
static void tell(struct step_ctx *ctx, unsigned round, unsigned samples)
{
    step_live(ctx, &(struct progress){
                       .of = "samples", .done = round < samples ? round : samples, .total = samples});
}

static int sample(struct step_ctx *ctx, struct watches *watches, struct error *err)
{
    const struct gate_settings *settings = &ctx->manifest->release.gate;
    for (unsigned round = 0;
         round < settings->baseline_samples || wants_more(watches, settings->baseline_samples);) {
        const char *why;
        if (round > 0)
            step_pause(ctx, settings->probe_interval_us);
        if (step_should_stop(ctx, err) < 0)
            return -1;
        if (watches_round(watches, &why)) {
            step_waiting(ctx, NULL);
            round++;
            tell(ctx, round, settings->baseline_samples);
        } else {
            step_waiting(ctx, "asking the checks: %s", why);
            step_pause(ctx, US_PER_S);
        }
    }
    return 0;
}

static json_t *result_of(const struct watches *watches, unsigned samples)
{
    json_t *all = json_object();
    for (size_t i = 0; i < watches->n; i++) {
        const struct watch *watch = &watches->items[i];
        for (size_t k = 0; k < watch->prober->n; k++) {
            const struct probe *probe = &watch->prober->items[k];
            struct probe_count count = probe_window(&probe->now, samples);
            if (count.asked == 0)
                continue;
            json_t *entry =
                json_pack("{s:s, s:s, s:i, s:i, s:s}", "check", probe->label, "service", watch->service->key,
                          "passed", count.passed, "asked", count.asked, "last", probe->last);
            if (latency_samples(&probe->latency) > 0)
                json_object_set_new(entry, "ms", latency_json(&probe->latency));
            json_object_set_new(all, probe->key, entry);
        }
    }
    return all;
}

static int measure(struct step_ctx *ctx, const struct step *step, json_t **ret, struct error *err)
{
    struct watches watches;
    cleanup_json json_t *result = NULL;
    if (watches_open(ctx, NULL, &watches, err) < 0)
        return -1;
    int r = watches.n ? sample(ctx, &watches, err) : 0;
    if (r == 0)
        result = result_of(&watches, ctx->manifest->release.gate.baseline_samples);
    watches_close(&watches);
    if (r < 0)
        return -1;
    (void)record(ctx);
    json_object_set(ctx->baselines, step->kind, result);
    *ret = TAKE(result);
    return step_save_progress(ctx, step, *ret, err);
}

/* ---- before anything ---- */

static int refuse_failing(struct step_ctx *ctx, json_t *result, struct error *err)
{
    const char *key;
    json_t *entry;
    json_object_foreach (result, key, entry) {
        struct probe_count count = count_of(entry);
        if (probe_was(count) == PROBE_FAILED && is_known(ctx, key))
            return error_set(
                err, ERR_FAILED, 0,
                "%s: %u of %u before this deployment (%s), and baseline_failing is block: mend it, or "
                "set allow for the deployment that does",
                json_path_string(entry, "check", NULL), count.passed, count.asked,
                json_path_string(entry, "last", NULL));
    }
    return 0;
}

static int run_baseline(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
                        bool *ret_allowed, struct error *err)
{
    cleanup_json json_t *result = NULL;
    (void)params;
    (void)resumed;
    (void)ret_allowed;
    if (measure(ctx, step, &result, err) < 0)
        return -1;
    return ctx->manifest->release.gate.block_on_failing ? refuse_failing(ctx, result, err) : 0;
}

const struct step_kind step_kind_baseline = {
    .name = "baseline",
    .sentence = "asking the checks of %s before anything is touched",
    .on_resume = RESUME_RERUN,
    .run = run_baseline,
};

/* ---- after the migrations ---- */

static int anything_ran(struct step_ctx *ctx, bool *ret, struct error *err)
{
    struct migration_record *rows;
    size_t n;
    if (PERSIST(journal_migrations(ctx->journal, ctx->arena, ctx->deployment->id, &rows, &n, err), err) < 0)
        return -1;
    *ret = false;
    for (size_t i = 0; i < n; i++)
        *ret |= strcmp(rows[i].state, "applied") == 0 || strcmp(rows[i].state, "failed (allowed)") == 0;
    return 0;
}

static bool will_roll(const struct step *steps, size_t n, const char *service)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(steps[i].kind, STEP_ROLL) == 0 && str_eq(steps[i].name, service))
            return true;
    return false;
}

/* steps: those that roll are left out; NULL: none are. */
static const char *broken(struct step_ctx *ctx, const struct step *steps, size_t n)
{
    cleanup_str struct str text = {0};
    json_t *after = json_object_get(record(ctx), STEP_COMPARE), *entry;
    const char *key;
    json_object_foreach (after, key, entry) {
        const json_t *before = json_path(record(ctx), STEP_BASELINE, key, NULL);
        struct probe_count a = count_of(before), b = count_of(entry);
        if (probe_was(a) != PROBE_PASSED || probe_was(b) != PROBE_FAILED ||
            will_roll(steps, n, json_path_string(entry, "service", NULL)))
            continue;
        str_printf(&text, "%s%s: %u of %u before, %u of %u on the new schema (%s)", text.len ? "; " : "",
                   json_path_string(entry, "check", NULL), a.passed, a.asked, b.passed, b.asked,
                   json_path_string(entry, "last", NULL));
    }
    return text.len ? arena_printf(ctx->arena, "%.1500s", str_text(&text)) : NULL;
}

const char *baseline_broken(struct step_ctx *ctx)
{
    return broken(ctx, NULL, 0);
}

/*
 * Putting services back cannot help: they are the old code still. What is about to be rolled is what the
 * schema was made for; what is not stays broken.
 */
static int judge_migration(struct step_ctx *ctx, struct error *err)
{
    struct step *steps;
    size_t n;
    const char *all = baseline_broken(ctx);
    if (!all)
        return 0;
    if (PERSIST(journal_steps(ctx->journal, ctx->arena, ctx->deployment->id, &steps, &n, err), err) < 0)
        return -1;
    const char *stays = broken(ctx, steps, n);
    if (stays)
        return error_set(
            err, ERR_FAILED, 0,
            "the migration broke what is not rolled: %s; the schema is ahead, needs a forward fix; %s", stays,
            STEP_HALT_TEXT);
    log_warning("the migration broke the old code, which is about to be rolled: %s", all);
    return 0;
}

static int run_compare(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
                       bool *ret_allowed, struct error *err)
{
    cleanup_json json_t *result = NULL;
    bool ran;
    (void)params;
    (void)resumed;
    (void)ret_allowed;
    if (anything_ran(ctx, &ran, err) < 0)
        return -1;
    if (!ran)
        return 0;
    return measure(ctx, step, &result, err) < 0 ? -1 : judge_migration(ctx, err);
}

const struct step_kind step_kind_compare = {
    .name = "compare",
    .sentence = "asking the checks of %s again, on the migrated database",
    .on_resume = RESUME_RERUN,
    .run = run_compare,
};
