/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/job.h"

#include <string.h>

#include "agent/log.h"
#include "agent/spec.h"
#include "agent/tasks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "steps/lease.h"
#include "steps/remove.h"
#include "steps/send.h"

const int64_t job_look_interval_us = 250000;
/* The engine stops the task: TERM, the grace period, KILL. */
const int64_t job_removal_patience_us = 120 * US_PER_S;
/* An emptied service loses its tasks within half a second. */
static const int64_t forget_patience_us = 10 * US_PER_S;
/* What runs on a node that is gone ends never, as far as Swarm knows. */
static const int64_t inherited_patience_us = 900 * US_PER_S;

/* ---- the tasks of the job ---- */

enum job_end job_state(const json_t *tasks, const json_t **ret_task)
{
    size_t i;
    const json_t *task, *newest = NULL;
    bool succeeded = false;
    json_array_foreach (tasks, i, task) {
        const char *created = json_path_string(task, "CreatedAt", NULL),
                   *best = json_path_string(newest, "CreatedAt", NULL);
        if (!task_ended(task)) {
            *ret_task = task;
            return JOB_RUNNING;
        }
        succeeded |= str_eq(json_path_string(task, "Status", "State", NULL), "complete");
        if (!newest || (created && best && strcmp(created, best) > 0))
            newest = task;
    }
    *ret_task = newest;
    return !newest ? JOB_RUNNING : succeeded ? JOB_SUCCEEDED : JOB_FAILED;
}

bool job_any_runs(const json_t *tasks)
{
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        if (!task_ended(task))
            return true;
    }
    return false;
}

/* Of all jobs of the stack, removed ones too. */
static int stack_tasks(struct step_ctx *ctx, json_t **ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    return docker_tasks_labelled(ctx->docker, arena_printf(&arena, "%s=%s", LABEL_STACK, ctx->stack->name),
                                 ret, err);
}

/* Not waiting: who follows a job has a clock of its own for an engine that is away. */
int job_tasks(struct step_ctx *ctx, const char *id, json_t **ret, bool *ret_removed, struct error *err)
{
    cleanup_json json_t *all = NULL, *own = json_array();
    size_t i;
    json_t *task;
    *ret_removed = false;
    if (docker_tasks(ctx->docker, id, false, ret, err) == 0)
        return 0;
    if (err->kind != ERR_NOT_FOUND || stack_tasks(ctx, &all, err) < 0)
        return -1;
    json_array_foreach (all, i, task) {
        if (str_eq(json_path_string(task, "ServiceID", NULL), id))
            json_array_append(own, task);
    }
    *ret_removed = true;
    *ret = TAKE(own);
    return 0;
}

static const json_t *first_running(const json_t *tasks)
{
    size_t i;
    const json_t *task;
    json_array_foreach (tasks, i, task) {
        if (!task_ended(task))
            return task;
    }
    return NULL;
}

/* Does it belong to a deployment that was taken over? Nobody else waits for it. */
static bool is_inherited(struct step_ctx *ctx, const json_t *task)
{
    cleanup_json json_t *service = NULL;
    struct error ignored = {0};
    const char *id = json_path_string(task, "ServiceID", NULL);
    return id && docker_service(ctx->docker, id, &service, &ignored) == 0 &&
           lease_inherits(ctx->lease, spec_label(json_object_get(service, "Spec"), LABEL_DEPLOYMENT));
}

static int refuse_second(struct step_ctx *ctx, const json_t *task, struct error *err)
{
    const char *id = json_path_string(task, "ID", NULL), *node = json_path_string(task, "NodeID", NULL),
               *container = task_container(task);
    return error_set(err, ERR_CONFLICT, 0,
                     "an earlier job of this stack still runs (task %.12s, container %.12s on node "
                     "%.12s), and two never run at once. Wait for it, or stop it there with docker rm -f, "
                     "then: agentctl retry %s",
                     id ? id : "", container ? container : "none", node ? node : "none", ctx->stack->name);
}

int job_none_runs(struct step_ctx *ctx, struct error *err)
{
    for (int64_t until = mono_us() + inherited_patience_us, since = 0;;) {
        cleanup_json json_t *tasks = NULL;
        if (stack_tasks(ctx, &tasks, err) < 0) {
            if (send_wait(ctx, &since, err) < 0)
                return -1;
            continue;
        }
        const json_t *task = first_running(tasks);
        if (!task)
            break;
        if (mono_us() >= until || !is_inherited(ctx, task))
            return refuse_second(ctx, task, err);
        step_waiting(ctx, "a job of the deployment that was taken over still runs (task %.12s)",
                     json_path_string(task, "ID", NULL));
        step_pause(ctx, US_PER_S);
        if (step_should_stop(ctx, err) < 0)
            return -1;
    }
    step_waiting(ctx, NULL);
    return 0;
}

/* ---- removing ---- */

/* What runs is to have stopped. A task that ended on a node which is gone may stay. */
static bool is_forgotten(const json_t *tasks, int64_t emptied_us)
{
    size_t i;
    const json_t *task;
    if (json_array_size(tasks) == 0)
        return true;
    json_array_foreach (tasks, i, task) {
        if (!task_ended(task) || str_eq(json_path_string(task, "DesiredState", NULL), "remove"))
            return false;
    }
    return mono_us() - emptied_us > forget_patience_us;
}

/* 1: it is gone; 0: not yet. *emptied_us: since when, 0: not seen so yet. */
static int removal_step(struct step_ctx *ctx, const char *id, int64_t *emptied_us, struct error *err)
{
    cleanup_json json_t *live = NULL, *tasks = NULL;
    if (docker_service(ctx->docker, id, &live, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 1 : -1;
    if (!service_is_emptied(json_object_get(live, "Spec")))
        return service_empty(ctx, id, live, err);
    if (docker_tasks(ctx->docker, id, false, &tasks, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 1 : -1;
    if (*emptied_us == 0)
        *emptied_us = mono_us();
    if (!is_forgotten(tasks, *emptied_us))
        return 0;
    return docker_service_remove(ctx->docker, id, err) == 0 || err->kind == ERR_NOT_FOUND ? 1 : -1;
}

int job_remove(struct step_ctx *ctx, const char *id, struct error *err)
{
    for (int64_t until = mono_us() + job_removal_patience_us, emptied_us = 0;;) {
        int r = removal_step(ctx, id, &emptied_us, err);
        if (r > 0)
            return 0;
        if (r < 0 && send_is_transient(err))
            until = mono_us() + job_removal_patience_us;
        else if (r < 0 && err->kind != ERR_CONFLICT)
            return -1;
        if (proc_stop_requested())
            return error_set(err, ERR_CANCELLED, STOP_SHUTDOWN, "stopped by a signal; to be resumed");
        if (mono_us() > until)
            return error_set(err, ERR_TIMEOUT, 0, "its task did not stop within two minutes");
        step_sleep(job_look_interval_us);
    }
}
