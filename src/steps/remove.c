/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/remove.h"

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "steps/send.h"

/* One that runs may take its grace period. */
static const int64_t settle_patience_us = 10 * US_PER_S;
/* Swarm forgets in batches, each 250 ms. */
static const int64_t look_interval_us = 300000;

bool service_is_emptied(const json_t *spec)
{
    const json_t *replicas = json_path(spec, "Mode", "Replicated", "Replicas", NULL);
    return json_is_integer(replicas) && json_integer_value(replicas) == 0;
}

int service_empty(struct step_ctx *ctx, const char *id, const json_t *live, struct error *err)
{
    cleanup_json json_t *body = json_deep_copy(json_object_get(live, "Spec"));
    uint64_t index = (uint64_t)json_path_integer(live, 0, "Version", "Index", NULL);
    json_object_set_new(body, "Mode", json_pack("{s:{s:i}}", "Replicated", "Replicas", 0));
    return docker_service_update(ctx->docker, id, index, body, NULL, NULL, err);
}

static bool any_ended(const json_t *tasks)
{
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        if (task_ended(task))
            return true;
    }
    return false;
}

/* What is left is history, which only the removal itself ends. */
static bool at_rest(const json_t *tasks)
{
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        if (!task_ended(task) || str_eq(json_path_string(task, "DesiredState", NULL), "remove"))
            return false;
    }
    return true;
}

/* 1: nothing more to wait for; 0: not yet. *rests: looks in a row that have found it at rest. */
static int settle_once(struct step_ctx *ctx, const char *id, unsigned *rests, struct error *err)
{
    cleanup_json json_t *live = NULL, *tasks = NULL;
    if (docker_service(ctx->docker, id, &live, err) < 0 ||
        docker_tasks(ctx->docker, id, false, &tasks, err) < 0)
        return -1;
    const json_t *spec = json_object_get(live, "Spec");
    if (service_is_emptied(spec)) {
        *rests = at_rest(tasks) ? *rests + 1 : 0;
        return json_array_size(tasks) == 0 || *rests > 1;
    }
    if (!json_path(spec, "Mode", "Replicated", NULL) || !any_ended(tasks))
        return 1;
    return service_empty(ctx, id, live, err);
}

void service_settle(struct step_ctx *ctx, const char *id)
{
    unsigned rests = 0;
    for (int64_t until = mono_us() + settle_patience_us; mono_us() < until && !proc_stop_requested();) {
        struct error err = {0};
        int r = settle_once(ctx, id, &rests, &err);
        if (r > 0 || (r < 0 && err.kind != ERR_CONFLICT))
            return;
        step_sleep(look_interval_us);
    }
    log_debug("service %s is removed although tasks of it have not ended", id);
}

int service_remove(struct step_ctx *ctx, const char *id, struct error *err)
{
    service_settle(ctx, id);
    fault_point("service.remove");
    for (int64_t since = 0; docker_service_remove(ctx->docker, id, err) < 0 && err->kind != ERR_NOT_FOUND;)
        if (send_wait(ctx, &since, err) < 0)
            return -1;
    return 0;
}
