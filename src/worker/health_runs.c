/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "worker/health.h"

/* A step runs with most deployments; one that was skipped in so many says nothing any more. */
enum { DEPLOYMENTS_MAX = 50 };

/* It ran, whatever came of it; then *ret_known. */
static void judge(struct health_look *look, const struct step *step, bool *ret_known)
{
    cleanup_json json_t *progress = step->progress ? json_loads(step->progress, 0, NULL) : NULL;
    bool in_check = str_eq(json_path_string(progress, "failed_in", NULL), "check");
    *ret_known = step->state == STEP_DONE || step->state == STEP_FAILED || step->state == STEP_FAILED_ALLOWED;
    if (step->state == STEP_FAILED || (step->state == STEP_FAILED_ALLOWED && in_check))
        json_array_append_new(in_check ? look->lists.pending : look->lists.failed, json_string(step->name));
    if (step->state == STEP_RUNNING)
        json_array_append_new(look->lists.running, json_string(step->name));
}

static bool is_run_step(const struct release *release, const char *name)
{
    for (size_t i = 0; i < release->n_steps; i++)
        if (release->steps[i].kind == RELEASE_RUN && str_eq(release->steps[i].name, name))
            return true;
    return false;
}

/* The newest run of each step of the deployed commit counts. */
int health_of_runs(struct health_look *look, struct error *err)
{
    const struct release *release = &look->snapshot->manifest.release;
    struct arena *arena = &look->work->arena;
    const struct deployment_filter filter = {.stack = look->work->stack->name, .limit = DEPLOYMENTS_MAX};
    struct deployment *deployments;
    cleanup_json json_t *known = json_object();
    size_t n;
    if (journal_deployments(look->work->journal, arena, &filter, &deployments, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n && json_object_size(known) < release->n_steps; i++) {
        struct step *steps;
        size_t n_steps;
        if (journal_steps(look->work->journal, arena, deployments[i].id, &steps, &n_steps, err) < 0)
            return -1;
        for (size_t k = 0; k < n_steps; k++) {
            bool is_known = false;
            if (strcmp(steps[k].kind, STEP_RUN) != 0 || json_object_get(known, steps[k].name) ||
                !is_run_step(release, steps[k].name))
                continue;
            judge(look, &steps[k], &is_known);
            if (is_known)
                json_object_set_new(known, steps[k].name, json_true());
        }
    }
    return 0;
}
