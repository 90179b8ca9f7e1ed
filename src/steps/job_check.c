/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/job_check.h"

#include <stdio.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/job.h"
#include "steps/send.h"

static void describe(enum job_end end, const json_t *task, const struct health_check *check,
                     struct check_result *ret)
{
    cleanup_arena struct arena arena = {0};
    const char *state = json_path_string(task, "Status", "State", NULL),
               *why = json_path_string(task, "Status", "Err", NULL);
    json_int_t code = json_path_integer(task, 0, "Status", "ContainerStatus", "ExitCode");
    ret->passed = end == JOB_SUCCEEDED;
    if (ret->passed)
        snprintf(ret->text, sizeof ret->text, "exit 0");
    else if (end == JOB_RUNNING)
        snprintf(ret->text, sizeof ret->text, "no end within %s: %s",
                 duration_text(&arena, check->timeout_us), state ? state : "no task");
    else if (code)
        snprintf(ret->text, sizeof ret->text, "exit %lld", (long long)code);
    else
        snprintf(ret->text, sizeof ret->text, "%s: %.200s", state ? state : "ended", why ? why : "");
    /* it never began: no node has room, or may run it */
    ret->unasked = end == JOB_RUNNING && !str_eq(state, "running");
}

static int wait_for(struct step_ctx *ctx, const char *id, const struct health_check *check,
                    struct check_result *ret, struct error *err)
{
    for (int64_t until = mono_us() + check->timeout_us;;) {
        cleanup_json json_t *tasks = NULL;
        const json_t *task = NULL;
        bool removed;
        if (job_tasks(ctx, id, &tasks, &removed, err) < 0)
            return -1;
        enum job_end end = job_state(tasks, &task);
        if (removed)
            return error_set(err, ERR_CONFLICT, 0, "the job was removed by someone else");
        if (end != JOB_RUNNING || mono_us() >= until) {
            describe(end, task, check, ret);
            return 0;
        }
        if (step_should_stop(ctx, err) < 0)
            return -1;
        step_pause(ctx, job_look_interval_us);
    }
}

/*
 * A worker that died has left it: one of this deployment, or of an earlier one of the same commit. Its answer
 * would be about another moment.
 */
static int remove_former(struct step_ctx *ctx, const char *name, struct error *err)
{
    cleanup_json json_t *live = NULL;
    if (docker_service(ctx->docker, name, &live, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (!str_eq(spec_label(json_object_get(live, "Spec"), LABEL_STACK), ctx->stack->name))
        return error_set(err, ERR_CONFLICT, 0, "a service named %s exists and is not ours; remove it", name);
    return job_remove(ctx, json_path_string(live, "ID", NULL), err);
}

static int run(struct step_ctx *ctx, const struct health_check *check, size_t number,
               struct check_result *ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *live = NULL, *spec = NULL;
    const char *id, *step = arena_printf(&arena, "%s-%zu", check->service, number);
    const char *service = stack_service(ctx->manifest->stack, check->service)->name;
    const char *name = job_name(&arena, ctx->stack->name, step, ctx->deployment->commit, JOB_HEALTH);
    struct error removal = {0};
    if (docker_service(ctx->docker, service, &live, err) < 0)
        return -1;
    spec = job_spec(json_object_get(live, "Spec"), name, (const char *const *)check->command);
    json_object_set_new(spec, "Labels",
                        json_pack("{s:s, s:s}", LABEL_STACK, ctx->stack->name, LABEL_STEP, step));
    if (remove_former(ctx, name, err) < 0 || send_create(ctx, spec, &id, err) < 0)
        return -1;
    fault_point("check.created");
    int r = wait_for(ctx, id, check, ret, err);
    fault_point("check.ended");
    if (job_remove(ctx, id, &removal) == 0 || r < 0)
        return r;
    *err = removal;
    return -1;
}

void job_check(struct step_ctx *ctx, const struct health_check *check, size_t number,
               struct check_result *ret)
{
    struct error err = {0};
    *ret = (struct check_result){0};
    if (run(ctx, check, number, ret, &err) == 0)
        return;
    *ret = (struct check_result){.away = send_is_transient(&err), .unasked = true};
    snprintf(ret->text, sizeof ret->text, "%.250s", err.text);
}
