/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/log.h"
#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "steps/job.h"
#include "steps/lease.h"
#include "steps/output.h"
#include "steps/remove.h"
#include "steps/send.h"

/* Jobs that workers which died have left behind. */

static int stack_jobs(struct step_ctx *ctx, json_t **ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    return docker_services(ctx->docker, arena_printf(&arena, "%s=%s", LABEL_STACK, ctx->stack->name), ret,
                           err);
}

static bool is_own(struct step_ctx *ctx, const json_t *live)
{
    return str_eq(spec_label(json_object_get(live, "Spec"), LABEL_DEPLOYMENT), send_label(ctx));
}

/* Of a deployment that was taken over: a step of this one is to read its outcome. */
static bool is_awaited(struct step_ctx *ctx, const json_t *live)
{
    const json_t *spec = json_object_get(live, "Spec");
    struct step *steps;
    size_t n;
    struct error ignored = {0};
    if (!lease_inherits(ctx->lease, spec_label(spec, LABEL_DEPLOYMENT)) ||
        !str_eq(spec_label(spec, LABEL_COMMIT), ctx->deployment->commit))
        return false;
    if (journal_steps(ctx->journal, ctx->arena, ctx->deployment->id, &steps, &n, &ignored) < 0)
        return true;
    for (size_t i = 0; i < n; i++)
        if (strcmp(steps[i].kind, STEP_RUN) == 0 && str_eq(steps[i].name, spec_label(spec, LABEL_STEP)))
            return true;
    return false;
}

static void sweep_secrets(struct step_ctx *ctx, const char *label)
{
    cleanup_json json_t *secrets = NULL;
    struct error err = {0};
    size_t i;
    const json_t *live;
    if (docker_secrets(ctx->docker, label, &secrets, &err) < 0)
        return;
    json_array_foreach (secrets, i, live) {
        const json_t *spec = json_object_get(live, "Spec");
        const char *id = json_path_string(live, "ID", NULL), *of = spec_label(spec, LABEL_DEPLOYMENT);
        /* people label secrets, too: ours say which deployment's job they were made for */
        if (of && spec_label(spec, LABEL_STEP) && !str_eq(of, send_label(ctx)) &&
            docker_secret_remove(ctx->docker, id, &err) < 0)
            log_info("the secret %s of a former job stays for now: %s",
                     json_path_string(live, "Spec", "Name", NULL), err.text);
    }
}

void step_sweep_jobs(struct step_ctx *ctx)
{
    cleanup_json json_t *jobs = NULL;
    struct error err = {0};
    size_t i;
    const json_t *live;
    if (stack_jobs(ctx, &jobs, &err) < 0)
        return;
    json_array_foreach (jobs, i, live) {
        cleanup_json json_t *tasks = NULL;
        const char *id = json_path_string(live, "ID", NULL);
        if (is_own(ctx, live) || is_awaited(ctx, live) ||
            docker_tasks(ctx->docker, id, false, &tasks, &err) < 0 || job_any_runs(tasks))
            continue;
        if (job_remove(ctx, id, &err) < 0)
            log_info("the finished job %s stays for now: %s", json_path_string(live, "Spec", "Name", NULL),
                     err.text);
    }
    cleanup_arena struct arena arena = {0};
    sweep_secrets(ctx, arena_printf(&arena, "%s=%s", LABEL_STACK, ctx->stack->name));
}

/* ---- of a deployment that is given up ---- */

static void keep_output(struct step_ctx *ctx, const char *id, const char *name)
{
    struct step *steps;
    size_t n;
    struct error err = {0};
    if (journal_steps(ctx->journal, ctx->arena, ctx->deployment->id, &steps, &n, &err) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        bool has_job = strcmp(steps[i].kind, STEP_RUN) == 0 || strcmp(steps[i].kind, STEP_BACKUP) == 0;
        if (!has_job || !str_eq(steps[i].name, name))
            continue;
        cleanup_json json_t *progress = steps[i].progress ? json_loads(steps[i].progress, 0, NULL) : NULL;
        struct log_position position = output_position(progress);
        if (output_follow(ctx, &steps[i], id, &position, NULL, 0, &err) < 0)
            log_warning("the output of %s is not on record: %s", name, err.text);
    }
}

static const char *settle(struct step_ctx *ctx, const json_t *live)
{
    cleanup_json json_t *tasks = NULL;
    const json_t *task, *spec = json_object_get(live, "Spec");
    const char *id = json_path_string(live, "ID", NULL), *name = json_path_string(spec, "Name", NULL);
    struct error err = {0};
    if (docker_tasks(ctx->docker, id, false, &tasks, &err) < 0)
        return arena_printf(ctx->arena, "; its job %s is left as it is: %s", name, err.text);
    enum job_end end = job_state(tasks, &task);
    if (end == JOB_RUNNING)
        return arena_printf(ctx->arena, "; its job %s still runs and is left alone", name);
    json_int_t code = json_path_integer(task, 0, "Status", "ContainerStatus", "ExitCode");
    const char *how = end == JOB_SUCCEEDED ? "had succeeded"
                      : code ? arena_printf(ctx->arena, "had failed with exit %lld", (long long)code)
                             : "had failed";
    keep_output(ctx, id, spec_label(spec, LABEL_STEP));
    service_settle(ctx, id);
    if (docker_service_remove(ctx->docker, id, &err) < 0 && err.kind != ERR_NOT_FOUND)
        return arena_printf(ctx->arena, "; its job %s %s and could not be removed: %s", name, how, err.text);
    return arena_printf(ctx->arena, "; its job %s %s and was removed: a retry runs it again", name, how);
}

const char *step_settle_jobs(struct step_ctx *ctx)
{
    cleanup_json json_t *jobs = NULL;
    const char *text = "";
    struct error err = {0};
    size_t i;
    const json_t *live;
    if (stack_jobs(ctx, &jobs, &err) < 0)
        return arena_printf(ctx->arena, "; whether a migration of it still runs could not be seen: %s",
                            err.text);
    json_array_foreach (jobs, i, live) {
        if (is_own(ctx, live))
            text = arena_printf(ctx->arena, "%s%s", text, settle(ctx, live));
    }
    return text;
}
