/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/baseline.h"
#include "steps/gate_look.h"
#include "steps/persist.h"

/* How often the engine is asked. Swarm itself reports task states about once a second. */
static const int64_t look_interval_us = 250000;

static const struct gate_settings without_manifest = {
    .probe_interval_us = 2 * US_PER_S,
    .min_healthy_us = 10 * US_PER_S,
    .healthy_deadline_us = 300 * US_PER_S,
    .success_threshold = 3,
    .failure_threshold = 3,
};

/* On the way back: checks that the old code did not pass, on the schema that it goes back to, are not asked.
 */
static void drop_failed_before(struct gate *gate, bool was_well)
{
    struct prober *p = gate->prober;
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        bool known, passed = baseline_passed_last(gate->ctx, &p->items[i], &known);
        if (known ? !passed : !was_well)
            continue;
        p->items[n] = p->items[i];
        p->items[n++].was = PROBE_UNKNOWN;
    }
    p->n = n;
}

int gate_open(struct step_ctx *ctx, const struct gate_options *options, struct gate **ret, struct error *err)
{
    struct gate *gate = calloc(1, sizeof *gate);
    if (!gate)
        abort();
    gate->ctx = ctx;
    gate->service = arena_strdup(&gate->arena, options->service);
    gate->id = arena_strdup(&gate->arena, options->service_id);
    gate->sent = arena_strdup(&gate->arena, options->sent);
    gate->going_back = options->going_back;
    gate->failures_before = options->failures_before;
    gate->excused = options->excused ? json_deep_copy(options->excused) : json_array();
    gate->looks = json_object();
    gate->settings = ctx->manifest ? &ctx->manifest->release.gate : &without_manifest;
    if (prober_open(ctx, options->service, &gate->prober, err) < 0) {
        gate_close(gate);
        return -1;
    }
    if (options->going_back)
        drop_failed_before(gate, options->was_well);
    gate->excuse_until_us = options->resumed ? mono_us() + gate_outage_grace_us : 0;
    gate->was_away = options->resumed;
    *ret = gate;
    return 0;
}

void gate_close(struct gate *gate)
{
    if (!gate)
        return;
    prober_close(gate->prober);
    json_decref(gate->excused);
    json_decref(gate->looks);
    arena_release(&gate->arena);
    free(gate);
}

const char *gate_service(const struct gate *gate)
{
    return gate->service;
}

const struct prober *gate_prober(const struct gate *gate)
{
    return gate->prober;
}

/* ---- checks ---- */

static const struct probe *not_asked(const struct gate *gate, bool late)
{
    for (size_t i = 0; i < gate->prober->n; i++) {
        const struct probe *probe = &gate->prober->items[i];
        if (probe_converged(&probe->now, probe->was, gate->settings, late) == VERDICT_INCONCLUSIVE)
            return probe;
    }
    return NULL;
}

/* On the way back the old spec has been sent by now: nothing was left as it was. */
static int inconclusive(const struct gate *gate, const struct probe *probe, struct error *err)
{
    return prober_inconclusive(
        probe, gate->going_back ? "its old spec is back; whether it works is not known" : STEP_HALT_TEXT,
        err);
}

const char *gate_degraded(struct gate *gate)
{
    for (size_t i = 0; i < gate->prober->n; i++)
        if (probe_degraded(&gate->prober->items[i].now, gate->prober->items[i].was))
            return prober_words(gate->prober, &gate->prober->items[i]);
    return NULL;
}

int gate_save_state(struct gate *gate, struct error *err)
{
    const char *degraded = gate_degraded(gate), *note = degraded ? degraded : gate->unverified;
    const char *state = degraded ? "degraded" : note ? "unverified" : "healthy";
    struct step_ctx *ctx = gate->ctx;
    return PERSIST(
        journal_set_service(ctx->journal, ctx->deployment->id, gate->service, state, note, NULL, NULL, err),
        err);
}

bool gate_count(const struct gate *gate, unsigned *ret_good, unsigned *ret_desired)
{
    if (!gate->counted || gate->is_job)
        return false;
    *ret_good = gate->good;
    *ret_desired = gate->desired;
    return true;
}

bool gate_recovers(const struct gate *gate)
{
    return mono_us() < gate->recovering_until_us;
}

int64_t gate_take_away_us(struct gate *gate)
{
    int64_t now_away_us = gate->unreachable_since_us ? mono_us() - gate->unreachable_since_us : 0;
    int64_t all_us = gate->away_us + now_away_us, news_us = all_us - gate->away_taken_us;
    gate->away_taken_us = all_us;
    return news_us;
}

/* ---- until a verdict ---- */

/* healthy_deadline is over, and the last look did not find it well. */
static int late(struct gate *gate, struct error *err)
{
    for (size_t i = 0; i < gate->prober->n; i++) {
        const struct probe *probe = &gate->prober->items[i];
        struct probe_count all = probe_now((struct probe_count){0}, &probe->now);
        /* one that always passed, or never was asked, is not the reason; nor is one that may fail */
        if (all.passed < all.asked &&
            probe_converged(&probe->now, probe->was, gate->settings, true) == VERDICT_REGRESSED)
            return prober_regressed(gate->prober, probe, err);
    }
    const struct probe *unasked = not_asked(gate, true);
    if (unasked)
        return inconclusive(gate, unasked, err);
    cleanup_arena struct arena arena = {0};
    return error_set(err, ERR_FAILED, 0, "%s: not healthy after %s: %s", gate->service,
                     duration_text(&arena, gate->settings->healthy_deadline_us), gate->state);
}

/* For whoever looks on. */
static void tell(const struct gate *gate)
{
    cleanup_arena struct arena arena = {0};
    const char *note = gate->note;
    if (gate->well)
        note = arena_printf(&arena, "well; has to stay so for %s",
                            duration_text(&arena, gate->settings->min_healthy_us));
    step_live(gate->ctx, &(struct progress){.doing = gate->going_back ? "putting it back" : NULL,
                                            .of = !gate->counted ? NULL
                                                  : gate->is_job ? "tasks"
                                                                 : "replicas",
                                            .done = gate->good,
                                            .total = gate->desired,
                                            .deadline_us = gate->deadline_us,
                                            .note = note});
}

static int converge(struct gate *gate, struct error *err)
{
    gate->deadline_us = mono_us() + gate->settings->healthy_deadline_us;
    gate->late = gate->seen_to_run = false;
    for (;;) {
        bool well;
        if (gate_look(gate, &well, err) < 0)
            return -1;
        if (well)
            return 0;
        tell(gate);
        const struct probe *unasked = not_asked(gate, false);
        if (unasked)
            return inconclusive(gate, unasked, err);
        if (step_should_stop(gate->ctx, err) < 0)
            return -1;
        step_pause(gate->ctx, look_interval_us);
        int64_t now = mono_us(), total = gate->ctx->deadline_us;
        if (gate->unreachable_since_us)
            continue;
        if (gate->late)
            return late(gate, err);
        gate->late = now >= gate->deadline_us;
        if (total && now >= total)
            return error_set(err, ERR_FAILED, 0, "%s: the rollout took longer than total_deadline: %s",
                             gate->service, gate->state);
    }
}

static int watch_once(struct gate *gate, struct error *err)
{
    bool well;
    if (gate_look(gate, &well, err) < 0)
        return -1;
    if (well)
        gate->recovering_until_us = 0;
    if (mono_us() < gate->recovering_until_us)
        return 0;
    for (size_t i = 0; i < gate->prober->n; i++) {
        const struct probe *probe = &gate->prober->items[i];
        enum verdict verdict = probe_watched(&probe->now, probe->was, gate->settings);
        if (verdict == VERDICT_INCONCLUSIVE)
            return inconclusive(gate, probe, err);
        if (verdict == VERDICT_REGRESSED)
            return prober_regressed(gate->prober, probe, err);
    }
    return 0;
}

/* Was it unstable before, too? That is said beside a verdict, and no part of it: only tasks of the new spec
 * are held against the new version. */
static int with_context(const struct gate *gate, int r, struct error *err)
{
    if (r == 0 || err->kind != ERR_FAILED || gate->failures_before == 0 ||
        str_ends(err->text, STEP_HALT_TEXT))
        return r;
    cleanup_arena struct arena arena = {0};
    const char *text = arena_strdup(&arena, err->text);
    return error_set(err, ERR_FAILED, 0, "%s; %s had %s", text, gate->service,
                     tasks_failed_words(&arena, gate->failures_before));
}

int gate_wait(struct gate *gate, struct error *err)
{
    return with_context(gate, converge(gate, err), err);
}

int gate_watch(struct gate *gate, struct error *err)
{
    return with_context(gate, watch_once(gate, err), err);
}

/* ---- before it is touched ---- */

bool gate_was_well(struct step_ctx *ctx, const char *service, const char *service_id)
{
    cleanup_json json_t *live = NULL, *tasks = NULL;
    cleanup_arena struct arena arena = {0};
    struct error ignored = {0};
    struct prober *prober = NULL;
    struct tasks_judgement t = {0};
    const char *why;
    if (docker_service(ctx->docker, service_id, &live, &ignored) < 0 ||
        docker_tasks(ctx->docker, service_id, true, &tasks, &ignored) < 0 ||
        prober_open(ctx, service, &prober, &ignored) < 0)
        return false;
    bool well = true, known = true;
    for (size_t i = 0; i < prober->n; i++) {
        bool this_known;
        well &= baseline_passed_last(ctx, &prober->items[i], &this_known);
        known &= this_known;
    }
    tasks_judge(&arena, live, tasks, NULL, &t);
    if (!known && t.n_active > 0 && prober_round(prober, &t, &why))
        well = !prober_failing(prober);
    well &= prober->n > 0;
    prober_close(prober);
    return well;
}
