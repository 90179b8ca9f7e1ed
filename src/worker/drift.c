/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/drift.h"

#include <string.h>

#include "agent/docker.h"
#include "agent/drift.h"
#include "agent/fault.h"
#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

/* ---- what the agent left ---- */

/* What a deployment sent to a service; NULL: it is not on record. */
static int sent_spec(struct work *w, int64_t deployment, const char *name, const char **ret,
                     struct error *err)
{
    struct step *steps;
    size_t n;
    *ret = NULL;
    if (journal_steps(w->journal, &w->arena, deployment, &steps, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n && !*ret; i++) {
        if (strcmp(steps[i].kind, STEP_ROLL) != 0 && strcmp(steps[i].kind, STEP_BEFORE) != 0)
            continue;
        cleanup_json json_t *params = steps[i].params ? json_loads(steps[i].params, 0, NULL) : NULL;
        if (!str_eq(json_path_string(params, "name", NULL), name))
            continue;
        cleanup_free char *text = spec_text(json_object_get(params, "spec"));
        *ret = arena_strdup(&w->arena, text);
    }
    return 0;
}

static struct service_record *find(struct drift_input *input, const char *name)
{
    struct service_record *records = (struct service_record *)(uintptr_t)input->expected;
    for (size_t i = 0; i < input->n_expected; i++)
        if (strcmp(records[i].name, name) == 0)
            return &records[i];
    return NULL;
}

/*
 * A deployment after the last success that was left half way (halted) has left what it sent: that is as
 * intended, until somebody changes it.
 */
static int add_half_way(struct work *w, int64_t success, const json_t *services, struct drift_input *input,
                        struct error *err)
{
    const json_t *service;
    size_t i;
    json_array_foreach (services, i, service) {
        const json_t *spec = json_object_get(service, "Spec");
        const char *name = json_path_string(spec, "Name", NULL), *sent;
        int64_t deployment = label_own_deployment(spec_label(spec, LABEL_DEPLOYMENT), w->host_id);
        if (!name || deployment <= success)
            continue;
        if (sent_spec(w, deployment, name, &sent, err) < 0)
            return -1;
        struct service_record *record = find(input, name);
        if (record && sent) {
            record->after = sent;
            record->action = "update";
        }
    }
    return 0;
}

/* ---- what runs ---- */

/* Mostly nothing differs, and then the networks' names are not needed. */
static int compare(struct work *w, struct drift_input *input, json_t **ret, struct error *err)
{
    cleanup_json json_t *entries = drift_find(&w->arena, input), *networks = NULL;
    if (json_array_size(entries) == 0) {
        *ret = TAKE(entries);
        return 0;
    }
    if (docker_networks(w->docker, NULL, &networks, err) < 0)
        return -1;
    input->networks = networks;
    *ret = drift_find(&w->arena, input);
    input->networks = NULL;
    return 0;
}

static int find_entries(struct work *w, const struct drift_look *look, json_t **ret, struct error *err)
{
    cleanup_json json_t *services = NULL;
    struct drift_input input = {.stack = w->stack->name, .host_id = w->host_id};
    struct service_record *records;
    const char *label = arena_printf(&w->arena, "%s=%s", LABEL_NAMESPACE, w->stack->name);
    if (journal_services(w->journal, &w->arena, look->success.id, &records, &input.n_expected, err) < 0 ||
        docker_services(w->docker, label, &services, err) < 0)
        return -1;
    input.expected = records;
    input.services = services;
    if (look->newest.id != look->success.id && add_half_way(w, look->success.id, services, &input, err) < 0)
        return -1;
    return compare(w, &input, ret, err);
}

/* What was seen of the engine is about the record only as long as nothing was deployed meanwhile. */
static int is_current(struct work *w, const struct drift_look *look, bool *ret, struct error *err)
{
    struct deployment *list;
    struct deployment_filter filter = {.stack = w->stack->name, .limit = 1};
    size_t n;
    if (journal_deployments(w->journal, &w->arena, &filter, &list, &n, err) < 0)
        return -1;
    *ret = n == 1 && list[0].id == look->newest.id;
    return 0;
}

/* ---- what follows ---- */

static int count_corrections(struct work *w, unsigned *ret, struct error *err)
{
    struct deployment *list;
    struct deployment_filter filter = {.stack = w->stack->name,
                                       .since_us = wall_us() - DRIFT_CORRECTIONS_SPAN_US};
    size_t n;
    if (journal_deployments(w->journal, &w->arena, &filter, &list, &n, err) < 0)
        return -1;
    *ret = 0;
    for (size_t i = 0; i < n; i++)
        *ret += list[i].trigger == TRIGGER_DRIFT && list[i].state != DEPLOYMENT_SUPERSEDED;
    return 0;
}

static int situation(struct work *w, const struct drift_look *look, struct drift_situation *ret,
                     struct error *err)
{
    const struct stack_state *s = &look->state;
    *ret = (struct drift_situation){
        .correct = w->stack->drift == DRIFT_CORRECT,
        .watches = w->config.act == ACT_NEVER,
        .paused = s->paused && (s->paused_until_us == 0 || s->paused_until_us > wall_us()),
        .frozen = freeze_until(&w->stack->freeze, wall_us()) != 0,
        .held = s->hold_absolute || look->newest.id != look->success.id,
    };
    return ret->correct ? count_corrections(w, &ret->corrections, err) : 0;
}

/* Of the same commit: what the last success deployed, by the images it recorded. */
static int request(struct work *w, const struct drift_look *look, int64_t *ret, struct error *err)
{
    const struct deployment *success = &look->success;
    struct deployment_request r = {.stack = w->stack->name,
                                   .commit = success->commit,
                                   .branch = success->branch,
                                   .subject = success->subject,
                                   .author = success->author,
                                   .trigger = TRIGGER_DRIFT,
                                   .newest_id = look->newest.id};
    if (journal_request(w->journal, &r, ret, err) == 0 || err->kind == ERR_CONFLICT)
        return 0; /* something else is to be deployed: that comes first */
    return -1;
}

static int record(struct work *w, const json_t *entries, const char *note, struct drift_answer *ret,
                  struct error *err)
{
    bool any = json_array_size(entries) > 0, news;
    cleanup_free char *text = NULL;
    if (any) {
        cleanup_json json_t *row = json_pack("{s:O, s:s?}", "services", entries, "note", note);
        text = spec_text(row);
    }
    if (journal_set_drift(w->journal, w->stack->name, text, &news, err) < 0)
        return -1;
    const char *what = news && any ? drift_text(&w->arena, entries) : "";
    if (news)
        ret->news = any ? arena_printf(&w->arena, "%.*s%s%s", (int)str_utf8_prefix(what, strnlen(what, 2000)),
                                       what, note ? "; " : "", note ? note : "")
                        : "";
    return 0;
}

bool drift_is_unknown(const struct error *err)
{
    return err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT;
}

int drift_look(struct work *work, const struct drift_look *look, struct drift_answer *ret, struct error *err)
{
    cleanup_json json_t *entries = NULL;
    struct drift_answer answer = {0};
    struct drift_situation now;
    const char *note;
    bool current;
    *ret = answer;
    if (find_entries(work, look, &entries, err) < 0)
        return drift_is_unknown(err) ? 0 : -1;
    if (is_current(work, look, &current, err) < 0 || situation(work, look, &now, err) < 0)
        return -1;
    if (!current)
        return 0;
    bool corrected = drift_is_corrected(entries, &now, &note);
    if (record(work, entries, note, &answer, err) < 0)
        return -1;
    fault_point("drift.recorded");
    if (corrected && request(work, look, &answer.requested, err) < 0)
        return -1;
    *ret = answer;
    return 0;
}
