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

/* How often the engine is asked. Swarm itself reports task states about once a second. */
static const int64_t look_interval_us = 250000;
/* Tasks that end within this after the engine came back were ended by its absence, not by the new version. */
static const int64_t outage_grace_us = 15 * US_PER_S;

/* An engine that needs longer than this for an answer was away. */
static const int64_t slow_answer_us = 3 * US_PER_S;

/* A verdict against the new version is looked at twice: an engine that is being stopped ends tasks, and goes
 * away. */
static const int64_t confirm_us = 1500000;

struct check_state {
    const struct health_check *check;
    unsigned passes, failures; /* in a row; one round asks every running task */
    unsigned asked, failed;    /* in all, since the update */
    char last[256];
};

struct gate {
    struct step_ctx *ctx;
    struct arena arena;
    const char *service, *name, *id, *sent, *baseline;
    json_t *excused;
    struct checker *checker;
    struct check_state *checks;
    size_t n_checks;
    const struct gate_settings *settings;
    int64_t deadline_us;
    int64_t stable_since_us; /* all desired tasks run without a break since; 0: they do not */
    int64_t next_probe_us;
    int64_t unreachable_since_us; /* the engine did not answer; 0: it does */
    int64_t excuse_until_us;
    int64_t recovering_until_us; /* what the engine's absence ended may take so long to be well again */
    bool inconclusive;           /* the last round could not be asked */
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

static void add_checks(struct gate *gate, const struct manifest *manifest)
{
    const struct release *release = &manifest->release;
    for (size_t i = 0; i < release->n_checks; i++) {
        if (strcmp(release->checks[i].service, gate->service) != 0)
            continue;
        gate->checks = arena_grow(&gate->arena, gate->checks, gate->n_checks, sizeof *gate->checks);
        gate->checks[gate->n_checks++] = (struct check_state){.check = &release->checks[i]};
    }
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
    gate->baseline = arena_strdup(&gate->arena, options->baseline);
    gate->excused = options->excused ? json_deep_copy(options->excused) : json_array();
    gate->settings = ctx->manifest ? &ctx->manifest->release.gate : &without_manifest;
    if (options->with_checks && ctx->manifest)
        add_checks(gate, ctx->manifest);
    if (gate->n_checks && checker_open(&gate->checker, err) < 0) {
        gate_close(gate);
        return -1;
    }
    gate->excuse_until_us = options->resumed ? mono_us() + outage_grace_us : 0;
    gate->was_away = options->resumed;
    *ret = gate;
    return 0;
}

void gate_close(struct gate *gate)
{
    if (!gate)
        return;
    checker_close(gate->checker);
    json_decref(gate->excused);
    arena_release(&gate->arena);
    free(gate);
}

const char *gate_service(const struct gate *gate)
{
    return gate->service;
}

const char *gate_unverified(const struct gate *gate)
{
    return gate->unverified;
}

/* ---- checks ---- */

static void ask(struct step_ctx *ctx, struct checker *checker, const struct health_check *check,
                const json_t *task, struct check_result *ret)
{
    struct relay *relay;
    struct error err = {0};
    const char *socket;
    *ret = (struct check_result){0};
    int r = task ? step_task_socket(ctx, task, check->port, &socket, &err) : step_relay(ctx, &relay, &err);
    if (r == 0 && !task)
        r = relay_target(relay, check->host, check->port, &socket, &err);
    if (r < 0) {
        snprintf(ret->text, sizeof ret->text, "%.250s", err.text);
        return;
    }
    checker_ask(checker, check, socket, ret);
    /* no answer: the relay knows better than the closed socket why */
    const char *why = ret->passed || ret->status || !ctx->relay ? NULL : relay_failure(ctx->relay, socket);
    /* an engine that goes down first drops what it carries, then does not answer */
    ret->inconclusive = why && (str_starts(why, "the engine does not answer") ||
                                str_starts(why, "the engine closed the connection"));
    if (why)
        snprintf(ret->text, sizeof ret->text, "no answer: %.230s", why);
}

static void note(struct gate *gate, struct check_state *state, const struct check_result *result)
{
    if (result->inconclusive) {
        gate->inconclusive = true;
        snprintf(gate->state, sizeof gate->state, "%s", result->text);
        return;
    }
    state->asked++;
    state->failed += !result->passed;
    if (!result->passed) /* of several tasks, the one that fails is the news */
        snprintf(state->last, sizeof state->last, "%s", result->text);
}

/* One round: each check asks each running task by its own address; old ones may still run beside them. */
static void probe(struct gate *gate, const struct tasks_judgement *tasks)
{
    static const struct check_result nobody = {.text = "no task runs that could be asked"};
    gate->inconclusive = false;
    for (size_t i = 0; i < gate->n_checks; i++) {
        struct check_state *state = &gate->checks[i];
        bool by_task = strcmp(state->check->host, gate->service) == 0, passed = true;
        if (by_task && tasks->n_active == 0) { /* all have ended, as their restart policy lets them */
            note(gate, state, &nobody);
            passed = false;
        }
        for (size_t t = 0; t < (by_task ? tasks->n_active : 1); t++) {
            struct check_result result;
            ask(gate->ctx, gate->checker, state->check, by_task ? tasks->active[t].task : NULL, &result);
            note(gate, state, &result);
            passed &= result.passed;
        }
        state->passes = passed ? state->passes + 1 : 0;
        state->failures = passed ? 0 : state->failures + !gate->inconclusive;
    }
}

static const struct check_state *failing_check(const struct gate *gate, unsigned threshold)
{
    for (size_t i = 0; i < gate->n_checks; i++)
        if (gate->checks[i].failures >= threshold)
            return &gate->checks[i];
    return NULL;
}

static bool checks_pass(const struct gate *gate)
{
    for (size_t i = 0; i < gate->n_checks; i++)
        if (gate->checks[i].passes < gate->settings->success_threshold)
            return false;
    return true;
}

static int check_failed(const struct gate *gate, const struct check_state *state, struct error *err)
{
    return error_set(err, ERR_FAILED, 0, "%s: %s%s%s now (%u of %u)", state->check->label,
                     gate->baseline ? gate->baseline : "", gate->baseline ? ", " : "", state->last,
                     state->failed, state->asked);
}

/* ---- one look ---- */

static void forget_stability(struct gate *gate)
{
    gate->stable_since_us = 0;
    for (size_t i = 0; i < gate->n_checks; i++)
        gate->checks[i].passes = 0;
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
    step_waiting(gate->ctx, "%s: the engine does not answer", gate->service);
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
    if (gate->n_checks > 0 || (healthcheck && t->n_active > 0))
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
    bool to_ask = gate->n_checks > 0 && t.desired > 0; /* turned off on purpose: there is nobody to ask */
    if (to_ask && mono_us() >= gate->next_probe_us) {
        probe(gate, &t);
        gate->next_probe_us = mono_us() + gate->settings->probe_interval_us;
        if (gate->inconclusive) {
            struct error away = {.kind = ERR_UNAVAILABLE};
            snprintf(away.text, sizeof away.text, "%s", gate->state);
            unreachable(gate, asked_us, &away);
            return 0;
        }
    }
    bool updating =
        update_in_progress(service) ||
        (!gate->sent && str_eq(json_path_string(service, "UpdateStatus", "State", NULL), "rollback_started"));
    bool checks = !to_ask || checks_pass(gate);
    const struct check_state *failing = failing_check(gate, 1);
    snprintf(gate->state, sizeof gate->state, "%s",
             failing    ? failing->last
             : updating ? "Swarm is still updating it"
                        : "not stable long enough");
    *ret_well = checks && !updating && mono_us() - gate->stable_since_us >= gate->settings->min_healthy_us;
    return 0;
}

int gate_wait(struct gate *gate, struct error *err)
{
    gate->deadline_us = mono_us() + gate->settings->healthy_deadline_us;
    for (;;) {
        bool well;
        if (look(gate, &well, err) < 0)
            return -1;
        if (well)
            return 0;
        if (step_should_stop(gate->ctx, err) < 0)
            return -1;
        step_pause(gate->ctx, look_interval_us);
        int64_t now = mono_us(), total = gate->ctx->deadline_us;
        if (gate->unreachable_since_us)
            continue;
        if (now >= gate->deadline_us) {
            const struct check_state *failing = failing_check(gate, 1);
            if (failing)
                return check_failed(gate, failing, err);
            cleanup_arena struct arena arena = {0};
            return error_set(err, ERR_FAILED, 0, "%s: not healthy after %s: %s", gate->service,
                             duration_text(&arena, gate->settings->healthy_deadline_us), gate->state);
        }
        if (total && now >= total)
            return error_set(err, ERR_FAILED, 0, "%s: the rollout took longer than total_deadline: %s",
                             gate->service, gate->state);
    }
}

int gate_watch(struct gate *gate, struct error *err)
{
    bool well;
    if (look(gate, &well, err) < 0)
        return -1;
    if (well)
        gate->recovering_until_us = 0;
    const struct check_state *failing = failing_check(gate, gate->settings->failure_threshold);
    return failing && mono_us() >= gate->recovering_until_us ? check_failed(gate, failing, err) : 0;
}

/* ---- before it is touched ---- */

const char *gate_baseline(struct step_ctx *ctx, const char *service, const char *service_id, bool *ret_passed)
{
    *ret_passed = false;
    cleanup_json json_t *live = NULL, *tasks = NULL;
    struct error ignored = {0};
    struct checker *checker = NULL;
    struct tasks_judgement t = {0};
    struct check_result result = {0};
    const struct health_check *check = NULL;
    for (size_t i = 0; ctx->manifest && i < ctx->manifest->release.n_checks && !check; i++)
        if (strcmp(ctx->manifest->release.checks[i].service, service) == 0)
            check = &ctx->manifest->release.checks[i];
    if (!check || docker_service(ctx->docker, service_id, &live, &ignored) < 0 ||
        docker_tasks(ctx->docker, service_id, true, &tasks, &ignored) < 0)
        return NULL;
    tasks_judge(ctx->arena, live, tasks, NULL, &t);
    if (t.n_active == 0 || checker_open(&checker, &ignored) < 0)
        return NULL;
    ask(ctx, checker, check, strcmp(check->host, service) == 0 ? t.active[0].task : NULL, &result);
    checker_close(checker);
    *ret_passed = result.passed;
    return arena_printf(ctx->arena, "%s before", result.text);
}
