/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/doubt.h"

#include "agent/spec.h"
#include "base/cleanup.h"
#include "steps/lease.h"
#include "steps/persist.h"

/* What it changed was neither seen to work nor put back. Where services were put back, they have the label of
 * the deployment before. */
static bool left_open(enum deployment_state state)
{
    return state == DEPLOYMENT_HALTED || state == DEPLOYMENT_STUCK || state == DEPLOYMENT_SUPERSEDED ||
           state == DEPLOYMENT_INTERRUPTED;
}

static int is_ours_and_open(struct work *work, struct step_ctx *ctx, const char *label, bool *ret,
                            struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct deployment deployment;
    int64_t id = label_own_deployment(label, work->host_id);
    bool found = false;
    *ret = false;
    if (id == 0)
        return 0;
    int r = ctx ? PERSIST(journal_deployment(work->journal, &arena, id, &deployment, &found, err), err)
                : journal_deployment(work->journal, &arena, id, &deployment, &found, err);
    *ret = r == 0 && found && left_open(deployment.state);
    return r;
}

int doubt_services(struct work *work, struct step_ctx *ctx, struct observed *observed, struct error *err)
{
    size_t i;
    const json_t *service;
    json_decref(observed->doubtful);
    observed->doubtful = json_array();
    json_array_foreach (observed->services, i, service) {
        const char *label = spec_label(json_object_get(service, "Spec"), LABEL_DEPLOYMENT);
        bool open = false;
        if (!label)
            continue;
        if (is_ours_and_open(work, ctx, label, &open, err) < 0)
            return -1;
        if (open || (ctx && lease_doubts(ctx->lease, label)))
            json_array_append_new(observed->doubtful, json_string(label));
    }
    return 0;
}
