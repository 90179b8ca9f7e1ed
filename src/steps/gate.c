/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/baseline.h"
#include "steps/persist.h"
#include "steps/probe.h"

/* How often the engine is asked. Swarm itself reports task states about once a second. */
static const int64_t look_interval_us = 250000;
/* Tasks that end within this after the engine came back were ended by its absence, not by the new version. */
static const int64_t outage_grace_us = 15 * US_PER_S;

/* An engine that needs longer than this for an answer was away. */
static const int64_t slow_answer_us = 3 * US_PER_S;

/* A verdict against the new version is looked at twice: an engine that is being stopped ends tasks, and goes
 * away. */
static const int64_t confirm_us = 1500000;

struct gate {
    struct step_ctx *ctx;
    struct arena arena;
    const char *service, *name, *id, *sent;
    json_t *excused;
    struct prober *prober;
    bool going_back; /* only what passed before has to pass */
    unsigned failures_before;
    const struct gate_settings *settings;
    int64_t deadline_us;
    int64_t stable_since_us; /* all desired tasks run without a break since; 0: they do not */
    int64_t next_probe_us;
    int64_t unreachable_since_us; /* the engine did not answer; 0: it does */
    int64_t excuse_until_us;
    int64_t recovering_until_us; /* what the engine's absence ended may take so long to be well again */
    bool late;                   /* healthy_deadline is over: the last look */
    bool was_away;               /* nobody watched for a while: the next look excuses what it finds */
    int64_t bad_since_us;        /* enough tasks failed since then for a verdict; 0: they did not */
    unsigned failures_seen;
    const char *unverified; /* as of the last look: why nothing but "it runs" was seen; NULL: more was */
    char state[512];        /* what is still missing, for the deadline's message */
};

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
    gate->name = arena_strdup(&gate->arena, options->name);
    gate->id = arena_strdup(&gate->arena, options->service_id);
    gate->sent = arena_strdup(&gate->arena, options->sent);
    gate->failures_before = options->failures_before;
    gate->excused = options->excused ? json_deep_copy(options->excused) : json_array();
    gate->settings = ctx->manifest ? &ctx->manifest->release.gate : &without_manifest;
    if (prober_open(ctx, options->service, &gate->prober, err) < 0) {
        gate_close(gate);
        return -1;
    }
    if (options->going_back)
        drop_failed_before(gate, options->was_well);
    gate->excuse_until_us = options->resumed ? mono_us() + outage_grace_us : 0;
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

const char *gate_unverified(const struct gate *gate)
{
    return gate->unverified;
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

static bool checks_pass(const struct gate *gate, bool late)
{
    for (size_t i = 0; i < gate->prober->n; i++) {
        const struct probe *probe = &gate->prober->items[i];
        if (probe_converged(&probe->now, probe->was, gate->settings, late) != VERDICT_OK)
            return false;
    }
    return true;
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

bool gate_recovers(const struct gate *gate)
{
    return mono_us() < gate->recovering_until_us;
}

/* ---- one look ---- */

static void forget_stability(struct gate *gate)
{
    gate->stable_since_us = 0;
    prober_interrupt(gate->prober);
}

/*
 * An engine that restarts ends all its tasks, and may report that much later: those that were there when it
 * came back are not counted at all, and for a while none that end. What replaces them is judged.
 */
static void excuse(struct gate *gate, const json_t *tasks)
{
    size_t i;
    const json_t *task;
    if (!gate->was_away && mono_us() >= gate->excuse_until_us)
        return;
    json_array_foreach (tasks, i, task) {
        json_t *id = json_object_get(task, "ID");
        if ((gate->was_away || task_ended(task)) && !task_is_in(gate->excused, task))
            json_array_append(gate->excused, id);
    }
    gate->was_away = false;
}

static bool engine_trouble(const struct error *err)
{
    return err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT;
}

/* The engine cannot be asked: no verdict either way, and the clock of healthy_deadline stands still. */
static void unreachable(struct gate *gate, int64_t asked_us, const struct error *err)
{
    if (!gate->unreachable_since_us)
        gate->unreachable_since_us = asked_us;
    gate->bad_since_us = 0;
    forget_stability(gate);
    snprintf(gate->state, sizeof gate->state, "the engine does not answer: %.400s", err->text);
    step_waiting(gate->ctx, "%s: %s", gate->service, gate->state);
}

static void reachable_again(struct gate *gate)
{
    if (!gate->unreachable_since_us)
        return;
    int64_t away = mono_us() - gate->unreachable_since_us;
    gate->deadline_us += away;
    if (gate->ctx->deadline_us)
        gate->ctx->deadline_us += away;
    gate->excuse_until_us = mono_us() + outage_grace_us;
    gate->recovering_until_us = mono_us() + gate->settings->healthy_deadline_us;
    gate->was_away = true;
    gate->unreachable_since_us = 0;
    step_waiting(gate->ctx, NULL);
}

static bool swarm_rolls_back(const json_t *service)
{
    const char *state = json_path_string(service, "UpdateStatus", "State", NULL);
    return str_eq(state, "rollback_started") || str_eq(state, "rollback_completed");
}

static int check_ownership(struct gate *gate, const json_t *service, const char *died, struct error *err)
{
    const char *trouble = update_trouble(&gate->arena, service);
    char live[SHA256_HEX_SIZE];
    /* a rollback by Swarm is what putting back wants, too */
    if (trouble && (gate->sent || !swarm_rolls_back(service)))
        return error_set(err, ERR_FAILED, 0, "%s: %s%s%s", gate->service, trouble, died ? "; " : "",
                         died ? died : "");
    spec_hash(json_object_get(service, "Spec"), live);
    if (gate->sent && strcmp(gate->sent, live) != 0)
        return error_set(err, ERR_CONFLICT, 0,
                         "%s: the service was changed by someone else during the rollout", gate->service);
    return 0;
}

static int judge(struct gate *gate, const json_t *service, const struct tasks_judgement *t, struct error *err)
{
    bool job = json_path(service, "Spec", "Mode", "ReplicatedJob", NULL) ||
               json_path(service, "Spec", "Mode", "GlobalJob", NULL);
    bool bad = t->rejected || t->failed >= (job ? 1U : 2U);
    if (bad && !gate->bad_since_us)
        gate->bad_since_us = mono_us();
    if (!bad)
        gate->bad_since_us = 0;
    if (bad && mono_us() - gate->bad_since_us >= confirm_us)
        return error_set(err, ERR_FAILED, 0, "%s: %s%s", gate->service, t->trouble,
                         t->failed > 1 ? arena_printf(&gate->arena, " (%u tasks failed)", t->failed) : "");
    if (t->failed != gate->failures_seen) {
        gate->failures_seen = t->failed;
        forget_stability(gate);
    }
    unsigned good = job ? t->completed : t->running + t->completed;
    if (good < t->desired) {
        forget_stability(gate);
        snprintf(gate->state, sizeof gate->state, "%u of %u tasks %s%s%s", good, t->desired,
                 job ? "completed" : "running",
                 t->pending   ? "; "
                 : t->trouble ? "; "
                              : "",
                 t->pending   ? t->pending
                 : t->trouble ? t->trouble
                              : "");
    } else if (!gate->stable_since_us) {
        gate->stable_since_us = mono_us();
        gate->next_probe_us = 0;
    }
    return 0;
}

/* Besides "the process runs": did anything tell that it works? */
static const char *find_unverified(const struct gate *gate, const json_t *service,
                                   const struct tasks_judgement *t)
{
    const json_t *test = json_array_get(
        json_path(service, "Spec", "TaskTemplate", "ContainerSpec", "Healthcheck", "Test", NULL), 0);
    bool healthcheck = test && !str_eq(json_string_value(test), "NONE");
    if (t->desired == 0)
        return "it has no replicas: nothing runs that could be seen to work";
    if (gate->prober->n > 0 || (healthcheck && t->n_active > 0))
        return NULL;
    return healthcheck ? "its tasks ended well, without having been seen healthy"
                       : "seen to run; it has no healthcheck and no check";
}

/* *ret_well: everything asked for was seen, for as long as asked for. */
static int look(struct gate *gate, bool *ret_well, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *service = NULL, *tasks = NULL;
    struct tasks_judgement t = {0};
    int64_t asked_us = mono_us();
    *ret_well = false;
    fault_point("gate.look");
    if (docker_service(gate->ctx->docker, gate->id, &service, err) < 0 ||
        docker_tasks(gate->ctx->docker, gate->id, true, &tasks, err) < 0) {
        if (engine_trouble(err)) {
            unreachable(gate, asked_us, err);
            return 0;
        }
        if (err->kind == ERR_NOT_FOUND)
            return error_set(err, ERR_CONFLICT, 0,
                             "%s: the service was removed by someone else during the rollout", gate->service);
        return error_wrap(err, "%s", gate->service);
    }
    if (!gate->unreachable_since_us && mono_us() - asked_us > slow_answer_us)
        gate->unreachable_since_us = asked_us;
    reachable_again(gate);
    excuse(gate, tasks);
    tasks_judge(&arena, service, tasks, gate->excused, &t);
    if (check_ownership(gate, service, t.trouble, err) < 0)
        return -1;
    gate->unverified = find_unverified(gate, service, &t);
    if (judge(gate, service, &t, err) < 0)
        return -1;
    if (!gate->stable_since_us)
        return 0;
    bool to_ask = gate->prober->n > 0 && t.desired > 0; /* turned off on purpose: there is nobody to ask */
    if (to_ask && mono_us() >= gate->next_probe_us) {
        const char *why = NULL;
        bool asked = prober_round(gate->prober, &t, &why);
        gate->next_probe_us = mono_us() + gate->settings->probe_interval_us;
        if (!asked) {
            struct error away = {.kind = ERR_UNAVAILABLE};
            snprintf(away.text, sizeof away.text, "%s", why);
            unreachable(gate, asked_us, &away);
            return 0;
        }
    }
    bool updating =
        update_in_progress(service) ||
        (!gate->sent && str_eq(json_path_string(service, "UpdateStatus", "State", NULL), "rollback_started"));
    bool checks = !to_ask || checks_pass(gate, gate->late);
    const struct probe *failing = to_ask ? prober_failing(gate->prober) : NULL;
    snprintf(gate->state, sizeof gate->state, "%s",
             failing    ? failing->last
             : updating ? "Swarm is still updating it"
                        : "not stable long enough");
    *ret_well = checks && !updating && mono_us() - gate->stable_since_us >= gate->settings->min_healthy_us;
    return 0;
}

/* healthy_deadline is over, and the last look did not find it well. */
static int late(struct gate *gate, struct error *err)
{
    for (size_t i = 0; i < gate->prober->n; i++) {
        const struct probe *probe = &gate->prober->items[i];
        /* one that passed, or never was asked, is not the reason; nor is one that may fail */
        if (probe->now.failures > 0 &&
            probe_converged(&probe->now, probe->was, gate->settings, true) == VERDICT_REGRESSED)
            return prober_regressed(gate->prober, probe, err);
    }
    const struct probe *unasked = not_asked(gate, true);
    if (unasked)
        return prober_inconclusive(unasked, err);
    cleanup_arena struct arena arena = {0};
    return error_set(err, ERR_FAILED, 0, "%s: not healthy after %s: %s", gate->service,
                     duration_text(&arena, gate->settings->healthy_deadline_us), gate->state);
}

static int converge(struct gate *gate, struct error *err)
{
    gate->deadline_us = mono_us() + gate->settings->healthy_deadline_us;
    gate->late = false;
    for (;;) {
        bool well;
        if (look(gate, &well, err) < 0)
            return -1;
        if (well)
            return 0;
        const struct probe *unasked = not_asked(gate, false);
        if (unasked)
            return prober_inconclusive(unasked, err);
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
    if (look(gate, &well, err) < 0)
        return -1;
    if (well)
        gate->recovering_until_us = 0;
    if (mono_us() < gate->recovering_until_us)
        return 0;
    for (size_t i = 0; i < gate->prober->n; i++) {
        const struct probe *probe = &gate->prober->items[i];
        enum verdict verdict = probe_watched(&probe->now, probe->was, gate->settings);
        if (verdict == VERDICT_INCONCLUSIVE)
            return prober_inconclusive(probe, err);
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
