/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/gate.h"
#include "steps/kinds.h"
#include "steps/output.h"
#include "steps/persist.h"
#include "steps/remove.h"
#include "steps/send.h"

/*
 * One service: its new spec is sent once, and the gate says whether it works. What putting it back needs
 * (the exact spec before, the tasks that existed) is in the journal before the engine hears of anything.
 *
 * progress: {"id": service, "excused": [task IDs before], "was_well": bool,
 *            "status": UpdateStatus before|null, "sent": hash of the spec that our update left, once it is
 * known, "foreign": true when somebody changed it before that was known, "removing": true once it is to go}
 */

static int save_state(struct step_ctx *ctx, const struct step *step, const char *state, const char *note,
                      struct error *err)
{
    return PERSIST(
        journal_set_service(ctx->journal, step->deployment, step->name, state, note, NULL, NULL, err), err);
}

static int note_intent(struct step_ctx *ctx, const struct step *step, const json_t *params, json_t **ret,
                       struct error *err)
{
    const char *id = json_path_string(params, "id", NULL), *key = json_path_string(params, "service", NULL);
    cleanup_json json_t *live = NULL, *tasks = NULL;
    bool was_well = false;
    if (id && (send_read_service(ctx, id, &live, err) < 0 || send_read_tasks(ctx, id, &tasks, err) < 0))
        return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, "%s", step->name);
    if (id)
        was_well = gate_was_well(ctx, key, id);
    cleanup_json json_t *progress =
        json_pack("{s:s?, s:o, s:b, s:O?}", "id", id, "excused", task_ids(tasks), "was_well", was_well,
                  "status", json_object_get(live, "UpdateStatus"));
    if (step_save_progress(ctx, step, progress, err) < 0 || save_state(ctx, step, "updating", NULL, err) < 0)
        return -1;
    *ret = TAKE(progress);
    return 0;
}

static int find_before(struct step_ctx *ctx, const struct step *step, json_t **ret, struct error *err)
{
    struct service_record *records;
    size_t n;
    *ret = NULL;
    if (PERSIST(journal_services(ctx->journal, ctx->arena, step->deployment, &records, &n, err), err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (strcmp(records[i].service, step->name) == 0 && records[i].before)
            *ret = json_loads(records[i].before, 0, NULL);
    return 0;
}

/*
 * Swarm's verdict on an update of ours that no record knows of: it took the update back while the worker was
 * dead. A verdict that stood there before the intent was noted is about an older update. NULL: none.
 */
static const char *unseen_trouble(struct step_ctx *ctx, const json_t *progress, const json_t *live)
{
    const json_t *now = json_object_get(live, "UpdateStatus"), *then = json_object_get(progress, "status");
    if (!now || json_equal(now, then))
        return NULL;
    return update_trouble(ctx->arena, live);
}

/* Is what runs what this deployment sent? */
static bool is_ours(struct step_ctx *ctx, const json_t *progress, const json_t *spec)
{
    const char *sent = json_path_string(progress, "sent", NULL);
    char hash[SHA256_HEX_SIZE];
    spec_hash(spec, hash);
    return str_eq(spec_label(spec, LABEL_DEPLOYMENT), send_label(ctx)) &&
           (!sent || strcmp(sent, hash) == 0) && !json_object_get(progress, "foreign");
}

static int note_foreign(struct step_ctx *ctx, const struct step *step, json_t *progress, const char *verb,
                        struct error *err)
{
    json_object_set_new(progress, "foreign", json_true());
    if (step_save_progress(ctx, step, progress, err) < 0)
        return -1;
    return error_set(err, ERR_CONFLICT, 0, "%s: the service was %s by someone else during the rollout",
                     step->name, verb);
}

/*
 * Our update has taken effect; from now on another spec is somebody else's. Has somebody been faster? Then
 * the spec before the present one (the engine keeps it) is already ours.
 */
static int note_sent(struct step_ctx *ctx, const struct step *step, json_t *progress, struct error *err)
{
    cleanup_json json_t *live = NULL;
    char hash[SHA256_HEX_SIZE];
    if (send_read_service(ctx, json_path_string(progress, "id", NULL), &live, err) < 0) {
        if (err->kind == ERR_NOT_FOUND)
            return note_foreign(ctx, step, progress, "removed", err);
        return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, "%s", step->name);
    }
    const json_t *spec = json_object_get(live, "Spec"), *previous = json_object_get(live, "PreviousSpec");
    const char *trouble = unseen_trouble(ctx, progress, live);
    bool ours = str_eq(spec_label(spec, LABEL_DEPLOYMENT), send_label(ctx));
    if (!ours && trouble)
        return error_set(err, ERR_FAILED, 0, "%s: %s", step->name, trouble);
    if (!ours || str_eq(spec_label(previous, LABEL_DEPLOYMENT), send_label(ctx)))
        return note_foreign(ctx, step, progress, "changed", err);
    spec_hash(spec, hash);
    json_object_set_new(progress, "sent", json_string(hash));
    return step_save_progress(ctx, step, progress, err);
}

static int send_spec(struct step_ctx *ctx, const struct step *step, const json_t *params,
                     const json_t *progress, struct error *err)
{
    const char *id = json_path_string(progress, "id", NULL);
    const json_t *spec = json_object_get(params, "spec");
    cleanup_json json_t *before = json_incref(json_object_get(params, "over")), *live = NULL;
    if (!before && find_before(ctx, step, &before, err) < 0)
        return -1;
    if (send_read_service(ctx, id, &live, err) < 0)
        return err->kind == ERR_CANCELLED ? -1 : error_wrap(err, "updating service %s", step->name);
    const char *trouble =
        json_equal(json_object_get(live, "Spec"), before) ? unseen_trouble(ctx, progress, live) : NULL;
    if (trouble)
        return error_set(err, ERR_FAILED, 0, "%s: %s", step->name, trouble);
    struct send_update update = {
        .service = step->name, .id = id, .expected = before, .spec = spec, .labels = true};
    return send_update(ctx, &update, err);
}

/* Sends the spec, once: when it is there already, nothing is sent. */
static int send(struct step_ctx *ctx, const struct step *step, const json_t *params, json_t *progress,
                struct error *err)
{
    const json_t *spec = json_object_get(params, "spec");
    const char *id = NULL;
    if (json_object_get(progress, "sent"))
        return 0; /* whatever became of it, the gate sees */
    if (json_object_get(progress, "foreign"))
        return error_set(err, ERR_CONFLICT, 0,
                         "%s: the service was changed by someone else during the rollout", step->name);
    fault_point("roll.intent");
    if (step_should_stop(ctx, err) < 0)
        return -1;
    if (strcmp(json_path_string(params, "action", NULL), "create") == 0) {
        if (send_create(ctx, spec, &id, err) < 0)
            return -1;
        json_object_set_new(progress, "id", json_string(id));
        if (step_save_progress(ctx, step, progress, err) < 0)
            return -1;
    } else if (send_spec(ctx, step, params, progress, err) < 0) {
        return -1;
    }
    fault_point("roll.sent");
    return note_sent(ctx, step, progress, err);
}

static int open_gate(struct step_ctx *ctx, const json_t *params, const json_t *progress, bool resumed,
                     struct gate **ret, struct error *err)
{
    struct gate_options options = {
        .service = json_path_string(params, "service", NULL),
        .service_id = json_path_string(progress, "id", NULL),
        .excused = json_object_get(progress, "excused"),
        .sent = json_path_string(progress, "sent", NULL),
        .resumed = resumed,
        .failures_before = (unsigned)json_path_integer(params, 0, "failures_before", NULL, NULL),
    };
    return gate_open(ctx, &options, ret, err);
}

static void keep_gate(struct step_ctx *ctx, struct gate *gate)
{
    ctx->gates = arena_grow(ctx->arena, ctx->gates, ctx->n_gates, sizeof *ctx->gates);
    ctx->gates[ctx->n_gates++] = gate;
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    cleanup_json json_t *progress = resumed && step->progress ? json_loads(step->progress, 0, NULL) : NULL;
    struct gate *gate;
    (void)ret_allowed;
    if (!progress && note_intent(ctx, step, params, &progress, err) < 0)
        return -1;
    if (send(ctx, step, params, progress, err) < 0 ||
        open_gate(ctx, params, progress, resumed, &gate, err) < 0)
        return -1;
    if (gate_wait(gate, err) < 0) {
        gate_close(gate);
        if (err->kind != ERR_CANCELLED)
            output_new_tasks_tail(ctx, step, json_path_string(progress, "id", NULL),
                                  json_object_get(progress, "excused"));
        return -1;
    }
    keep_gate(ctx, gate);
    return gate_save_state(gate, err);
}

int step_watch(struct step_ctx *ctx, const struct step *step, const json_t *params, struct error *err)
{
    cleanup_json json_t *progress = step->progress ? json_loads(step->progress, 0, NULL) : NULL;
    struct gate *gate;
    if (open_gate(ctx, params, progress, true, &gate, err) < 0)
        return -1;
    keep_gate(ctx, gate);
    return 0;
}

/* ---- the way back ---- */

static int wait_until_gone(struct step_ctx *ctx, const char *id, struct error *err)
{
    for (;;) {
        cleanup_json json_t *live = NULL;
        if (send_read_service(ctx, id, &live, err) < 0)
            return err->kind == ERR_NOT_FOUND ? 0 : -1;
        step_pause(ctx, 200000);
        if (step_should_stop(ctx, err) < 0)
            return -1;
    }
}

/* A worker has died in the middle of removing it, and it is empty. */
static bool is_half_removed(struct step_ctx *ctx, const json_t *progress, const json_t *spec)
{
    return json_object_get(progress, "removing") && service_is_emptied(spec) &&
           str_eq(spec_label(spec, LABEL_DEPLOYMENT), send_label(ctx));
}

static int remove_created(struct step_ctx *ctx, const struct step *step, const json_t *params,
                          json_t *progress, bool *ret_touched, struct error *err)
{
    cleanup_json json_t *live = NULL;
    const char *name = json_path_string(params, "name", NULL);
    if (send_read_service(ctx, name, &live, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return error_wrap(err, "removing service %s", name);
        /* never made; or it was, and was removed before a crash of ours */
        *ret_touched = json_path_string(progress, "id", NULL) != NULL;
        return save_state(ctx, step, *ret_touched ? "removed" : "untouched", NULL, err);
    }
    const json_t *spec = json_object_get(live, "Spec");
    if (!is_ours(ctx, progress, spec) && !is_half_removed(ctx, progress, spec))
        return error_set(err, ERR_CONFLICT, 0, "service %s was changed by someone else; it was left alone",
                         name);
    *ret_touched = true;
    json_object_set_new(progress, "removing", json_true());
    if (step_save_progress(ctx, step, progress, err) < 0)
        return -1;
    const char *id = json_path_string(live, "ID", NULL);
    if (step->state != STEP_FAILED) /* a failed one has its output already */
        output_new_tasks_tail(ctx, step, id, NULL);
    fault_point("putback.remove");
    if (service_remove(ctx, id, err) < 0 || wait_until_gone(ctx, id, err) < 0)
        return error_wrap(err, "removing service %s", name);
    return save_state(ctx, step, "removed", NULL, err);
}

/*
 * The hash of what was put back over our spec, as the engine gives it back. Has something else taken its
 * place already? Then the spec before the present one (the engine keeps it) is not ours any more, and it is
 * for the gate to say what happened.
 */
static int hash_back(struct step_ctx *ctx, const char *id, const json_t *over, const json_t *before,
                     char ret[SHA256_HEX_SIZE], struct error *err)
{
    cleanup_json json_t *live = NULL;
    if (send_read_service(ctx, id, &live, err) < 0)
        return -1;
    spec_hash(json_equal(json_object_get(live, "PreviousSpec"), over) ? json_object_get(live, "Spec")
                                                                      : before,
              ret);
    return 0;
}

/* The same rules as on the way forward; checks only where they passed before. `back`: spec_hash() of what was
 * put back. */
static int wait_until_back(struct step_ctx *ctx, const struct step *step, const json_t *progress,
                           const json_t *excused, const char *back, struct error *err)
{
    struct gate_options options = {
        .service = step->name,
        .service_id = json_path_string(progress, "id", NULL),
        .excused = excused,
        .sent = back,
        .going_back = true,
        .was_well = json_is_true(json_object_get(progress, "was_well")),
    };
    struct gate *gate;
    if (gate_open(ctx, &options, &gate, err) < 0)
        return -1;
    int r = gate_wait(gate, err);
    gate_close(gate);
    return r;
}

/* Did an update of this deployment reach the service? */
static bool was_sent(struct step_ctx *ctx, const json_t *progress, const json_t *live)
{
    return json_object_get(progress, "sent") || json_object_get(progress, "foreign") ||
           unseen_trouble(ctx, progress, live) ||
           str_eq(spec_label(json_object_get(live, "Spec"), LABEL_DEPLOYMENT), send_label(ctx));
}

int step_had_effect(struct step_ctx *ctx, const struct step *step, const json_t *params, bool *ret,
                    struct error *err)
{
    cleanup_json json_t *progress = step->progress ? json_loads(step->progress, 0, NULL) : NULL, *live = NULL;
    const char *id = json_path_string(progress, "id", NULL);
    bool create = strcmp(json_path_string(params, "action", NULL), "create") == 0;
    *ret = create && id;
    if (!progress || *ret) /* no intent was noted; or it was made */
        return 0;
    if (send_read_service(ctx, create ? json_path_string(params, "name", NULL) : id, &live, err) < 0 &&
        err->kind != ERR_NOT_FOUND)
        return -1;
    *ret = was_sent(ctx, progress, live);
    return 0;
}

static int restore(struct step_ctx *ctx, const struct step *step, const json_t *progress, bool *ret_touched,
                   struct error *err)
{
    cleanup_json json_t *before = NULL, *live = NULL, *tasks = NULL, *excused = NULL;
    const char *id = json_path_string(progress, "id", NULL);
    if (find_before(ctx, step, &before, err) < 0)
        return -1;
    if (!before || !id)
        return error_set(err, ERR_INTERNAL, 0, "the record has no spec of service %s to put back",
                         step->name);
    bool gone = send_read_service(ctx, id, &live, err) < 0 && err->kind == ERR_NOT_FOUND;
    if (!gone && (!live || send_read_tasks(ctx, id, &tasks, err) < 0))
        return error_wrap(err, "putting service %s back", step->name);
    const json_t *spec = json_object_get(live, "Spec");
    /* whoever else changed or removed it: without an effect of ours there is nothing to put back */
    if (!was_sent(ctx, progress, live))
        return save_state(ctx, step, "untouched", NULL, err);
    *ret_touched = true;
    bool back = json_equal(spec, before);
    char hash[SHA256_HEX_SIZE];
    if (gone)
        return error_set(err, ERR_CONFLICT, 0, "service %s was removed by someone else", step->name);
    if (!back && !is_ours(ctx, progress, spec))
        return error_set(err, ERR_CONFLICT, 0,
                         "service %s was changed by someone else; that change was left alone", step->name);
    excused = task_ids(tasks);
    spec_hash(before, hash);
    if (!back) {
        struct send_update update = {
            .service = step->name, .id = id, .expected = spec, .spec = before, .labels = false};
        fault_point("putback.intent");
        if (send_update(ctx, &update, err) < 0)
            return -1;
        fault_point("putback.sent");
        if (hash_back(ctx, id, spec, before, hash, err) < 0)
            return error_wrap(err, "after putting it back");
    }
    if (wait_until_back(ctx, step, progress, excused, hash, err) < 0)
        return error_wrap(err, "after putting it back");
    return save_state(ctx, step, "rolled_back", NULL, err);
}

int step_put_back(struct step_ctx *ctx, const struct step *step, const json_t *params, bool *ret_touched,
                  struct error *err)
{
    *ret_touched = false;
    if (!step->progress) /* no intent was noted: nothing was sent */
        return save_state(ctx, step, "untouched", NULL, err);
    cleanup_json json_t *progress = json_loads(step->progress, 0, NULL);
    if (strcmp(json_path_string(params, "action", NULL), "create") == 0)
        return remove_created(ctx, step, params, progress, ret_touched, err);
    return restore(ctx, step, progress, ret_touched, err);
}

static int64_t deadline(struct step_ctx *ctx, const json_t *params)
{
    (void)params;
    return ctx->manifest ? ctx->manifest->release.gate.healthy_deadline_us + 2 * send_patience_us : 0;
}

const struct step_kind step_kind_before = {
    .name = "before",
    .sentence = "rolling service %s, before the migrations",
    .on_resume = RESUME_PROBE,
    .touches_service = true,
    .deadline_us = deadline,
    .run = run,
};

const struct step_kind step_kind_roll = {
    .name = "roll",
    .sentence = "rolling service %s",
    .on_resume = RESUME_PROBE,
    .touches_service = true,
    .deadline_us = deadline,
    .run = run,
};
