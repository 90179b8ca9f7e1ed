/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/gate_look.h"

#include <stdio.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/gate_overlooked.h"
#include "steps/send.h"

const int64_t gate_outage_grace_us = 15 * US_PER_S;

/* An engine that needs longer than this for an answer was away. */
static const int64_t slow_answer_us = 3 * US_PER_S;

/* A verdict against the new version is looked at twice: an engine that is being stopped ends tasks, and goes
 * away. */
static const int64_t confirm_us = 1500000;

/* ---- the engine was away ---- */

static void forget_stability(struct gate *gate)
{
    gate->stable_since_us = 0;
    gate->seen_to_run = false;
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

/* The engine cannot be asked: no verdict either way, and the clock of healthy_deadline stands still. */
static void unreachable(struct gate *gate, int64_t asked_us, const char *why)
{
    if (!gate->unreachable_since_us)
        gate->unreachable_since_us = asked_us;
    gate->bad_since_us = 0;
    gate->counted = gate->well = false;
    forget_stability(gate);
    snprintf(gate->state, sizeof gate->state, "%.480s", why);
    snprintf(gate->note, sizeof gate->note, "%.240s", why);
    step_waiting(gate->ctx, "%s: %s", gate->service, gate->state);
}

/* The engine was as good as away since asked_us, if it needed so long. One that is always so slow must not
 * put the verdict off for ever. */
static void note_slow(struct gate *gate, int64_t asked_us)
{
    int64_t took_us = mono_us() - asked_us;
    bool slow = took_us > slow_answer_us && gate->slow_us + took_us <= gate->settings->healthy_deadline_us;
    if (!gate->unreachable_since_us && slow) {
        gate->unreachable_since_us = asked_us;
        gate->slow_us += took_us;
    }
}

static void reachable_again(struct gate *gate)
{
    if (!gate->unreachable_since_us)
        return;
    int64_t now = mono_us(), since = gate->unreachable_since_us;
    gate->away_us += now - since;
    gate->deadline_us += now - since;
    /* once, however many gates have seen it */
    since = since > gate->ctx->away_until_us ? since : gate->ctx->away_until_us;
    if (gate->ctx->deadline_us)
        gate->ctx->deadline_us += now - since;
    gate->ctx->away_until_us = now;
    gate->excuse_until_us = mono_us() + gate_outage_grace_us;
    gate->recovering_until_us = mono_us() + gate->settings->healthy_deadline_us;
    gate->was_away = true;
    gate->unreachable_since_us = 0;
    step_waiting(gate->ctx, NULL);
}

/* ---- what tasks tell ---- */

static bool swarm_rolls_back(const json_t *service)
{
    const char *state = json_path_string(service, "UpdateStatus", "State", NULL);
    return str_eq(state, "rollback_started") || str_eq(state, "rollback_completed");
}

static int check_ownership(struct gate *gate, const json_t *service, const char *died, struct error *err)
{
    const json_t *spec = json_object_get(service, "Spec");
    const char *trouble = update_trouble(&gate->arena, service);
    char live[SHA256_HEX_SIZE];
    spec_hash(spec, live);
    bool other = gate->sent && strcmp(gate->sent, live) != 0;
    /* a rollback by Swarm is what putting back wants, too, if it goes to what is put back: that of an old
     * version which fails by now goes to the new one */
    bool forth =
        gate->going_back && other && str_eq(spec_label(spec, LABEL_DEPLOYMENT), send_label(gate->ctx));
    if (trouble && (!gate->going_back || other || !swarm_rolls_back(service)))
        return error_set(err, ERR_FAILED, 0, "%s: %s%s%s%s", gate->service, trouble, died ? "; " : "",
                         died ? died : "", forth ? "; the new version runs again" : "");
    if (other)
        return error_set(err, ERR_CONFLICT, 0, "%s: the service was changed by someone else %s",
                         gate->service, gate->going_back ? "while it was put back" : "during the rollout");
    return 0;
}

/* "starting: starting" says it twice; "pending: pending task scheduling", too. */
static const char *said_once(const char *pending)
{
    const char *colon = strstr(pending, ": ");
    size_t len = colon ? (size_t)(colon - pending) : 0;
    return len && strncmp(colon + 2, pending, len) == 0 ? colon + 2 : pending;
}

/* overlooked: one failure is enough, since Swarm may not see it (gate_overlooked.h) */
static int judge(struct gate *gate, const json_t *service, const struct tasks_judgement *t, bool overlooked,
                 struct error *err)
{
    bool job = json_path(service, "Spec", "Mode", "ReplicatedJob", NULL) ||
               json_path(service, "Spec", "Mode", "GlobalJob", NULL);
    bool bad = t->rejected || t->failed >= (job || overlooked ? 1U : 2U);
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
    gate->good = good;
    gate->desired = t->desired;
    gate->is_job = job;
    gate->counted = true;
    gate->well = false;
    snprintf(gate->note, sizeof gate->note, "%.240s",
             t->pending   ? said_once(t->pending)
             : t->trouble ? t->trouble
                          : "");
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

/* ---- one look ---- */

/* *ret_answered: false, and no error, when it does not answer. */
static int ask_engine(struct gate *gate, json_t **ret_service, json_t **ret_tasks, bool *ret_answered,
                      struct error *err)
{
    cleanup_arena struct arena arena = {0};
    int64_t asked_us = mono_us();
    *ret_answered = false;
    if (docker_service(gate->ctx->docker, gate->id, ret_service, err) < 0 ||
        docker_tasks(gate->ctx->docker, gate->id, true, ret_tasks, err) < 0) {
        if (send_is_transient(err)) {
            unreachable(gate, asked_us, arena_printf(&arena, "the engine does not answer: %s", err->text));
            return 0;
        }
        if (err->kind == ERR_NOT_FOUND)
            return error_set(err, ERR_CONFLICT, 0,
                             "%s: the service was removed by someone else during the rollout", gate->service);
        return error_wrap(err, "%s", gate->service);
    }
    note_slow(gate, asked_us);
    reachable_again(gate);
    *ret_answered = true;
    return 0;
}

/* What was asked besides, at asked_us, has no answer, though the tasks had: whoever is away will be found so
 * by the next look. Only what it cost is not the service's. */
static bool no_answer(struct gate *gate, int64_t asked_us, const struct error *err)
{
    if (!send_is_transient(err))
        return false;
    note_slow(gate, asked_us);
    return true;
}

/* Without an answer Swarm's word has to do. */
static int ask_overlooked(struct gate *gate, const json_t *service, const json_t *tasks,
                          const struct tasks_judgement *t, bool *ret, struct error *err)
{
    int64_t asked_us = mono_us();
    int r = gate_overlooked(gate, service, tasks, t, ret, err);
    if (r == 0 || err->kind == ERR_FAILED)
        return r;
    *ret = false;
    return no_answer(gate, asked_us, err) ? 0 : error_wrap(err, "%s", gate->service);
}

/* The last thing before it is called well. What Swarm has not heard of is no failure yet: it will hear of it.
 * An engine that never answers this, and all else, is no reason against a version: then Swarm's word has to
 * do, too. */
static int ask_whether_they_run(struct gate *gate, const struct tasks_judgement *t, bool *ret_well,
                                struct error *err)
{
    cleanup_arena struct arena arena = {0};
    int64_t asked_us = mono_us();
    const json_t *ended;
    int r = gate_ended_unheard(gate, t, &ended, err);
    if (r < 0 && !no_answer(gate, asked_us, err))
        return error_wrap(err, "%s", gate->service);
    gate->seen_to_run = *ret_well = r < 0 ? gate->late : !ended;
    if (*ret_well)
        return 0;
    gate->well = false;
    snprintf(gate->state, sizeof gate->state, "%.480s",
             r < 0 ? err->text
                   : arena_printf(&arena, "%s is reported as running, but its container has ended",
                                  task_named(&arena, ended)));
    snprintf(gate->note, sizeof gate->note, "%.240s", gate->state);
    return 0;
}

/* When it is their time. False: the engine, which leads to the tasks, is away. */
static bool ask_checks(struct gate *gate, const struct tasks_judgement *t)
{
    int64_t asked_us = mono_us();
    const char *why = NULL;
    if (asked_us < gate->next_probe_us)
        return true;
    bool asked = prober_round(gate->prober, t, &why);
    gate->next_probe_us = mono_us() + gate->settings->probe_interval_us;
    if (!asked)
        unreachable(gate, asked_us, why);
    return asked;
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

int gate_look(struct gate *gate, bool *ret_well, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *service = NULL, *tasks = NULL;
    struct tasks_judgement t = {0};
    bool answered, overlooked;
    *ret_well = false;
    fault_point("gate.look");
    if (ask_engine(gate, &service, &tasks, &answered, err) < 0)
        return -1;
    if (!answered)
        return 0;
    excuse(gate, tasks);
    tasks_judge(&arena, service, tasks, gate->excused, &t);
    if (check_ownership(gate, service, t.trouble, err) < 0)
        return -1;
    gate->unverified = find_unverified(gate, service, &t);
    if (ask_overlooked(gate, service, tasks, &t, &overlooked, err) < 0 ||
        judge(gate, service, &t, overlooked, err) < 0)
        return -1;
    if (!gate->stable_since_us)
        return 0;
    bool to_ask = gate->prober->n > 0 && t.desired > 0; /* turned off on purpose: there is nobody to ask */
    if (to_ask && !ask_checks(gate, &t))
        return 0;
    bool updating = update_in_progress(service) ||
                    (gate->going_back &&
                     str_eq(json_path_string(service, "UpdateStatus", "State", NULL), "rollback_started"));
    const struct probe *failing = to_ask ? prober_failing(gate->prober) : NULL;
    snprintf(gate->state, sizeof gate->state, "%s",
             failing    ? failing->last
             : updating ? "Swarm is still updating it"
                        : "not stable long enough");
    if (failing)
        snprintf(gate->note, sizeof gate->note, "%.120s: %.110s", failing->label, failing->last);
    else
        snprintf(gate->note, sizeof gate->note, "%.240s", gate->state);
    gate->well = (!to_ask || checks_pass(gate, gate->late)) && !updating;
    *ret_well = gate->well && mono_us() - gate->stable_since_us >= gate->settings->min_healthy_us;
    return *ret_well && !gate->seen_to_run ? ask_whether_they_run(gate, &t, ret_well, err) : 0;
}
