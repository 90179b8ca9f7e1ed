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

static int is_ours_and_open(struct work *work, struct step_ctx *ctx, int64_t id, bool *ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct deployment deployment;
    bool found = false;
    *ret = false;
    if (id == 0)
        return 0;
    int r = ctx ? PERSIST(journal_deployment(work->journal, &arena, id, &deployment, &found, err), err)
                : journal_deployment(work->journal, &arena, id, &deployment, &found, err);
    *ret = r == 0 && found && left_open(deployment.state);
    return r;
}

/* Service → the spec that this deployment of ours took the place of. New reference. */
static int read_before(struct work *work, struct step_ctx *ctx, int64_t id, json_t **ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct service_record *records;
    size_t n;
    int r = ctx ? PERSIST(journal_services(work->journal, &arena, id, &records, &n, err), err)
                : journal_services(work->journal, &arena, id, &records, &n, err);
    if (r < 0)
        return -1;
    *ret = json_object();
    for (size_t i = 0; i < n; i++) {
        json_t *before = records[i].before ? json_loads(records[i].before, 0, NULL) : NULL;
        if (before)
            json_object_set_new(*ret, records[i].name, before);
    }
    return 0;
}

int doubt_services(struct work *work, struct step_ctx *ctx, struct observed *observed, struct error *err)
{
    size_t i;
    const json_t *service;
    json_decref(observed->doubtful);
    observed->doubtful = json_object();
    json_array_foreach (observed->services, i, service) {
        const char *label = spec_label(json_object_get(service, "Spec"), LABEL_DEPLOYMENT);
        json_t *before = NULL;
        bool open = false;
        if (!label || json_object_get(observed->doubtful, label))
            continue;
        int64_t id = label_own_deployment(label, work->host_id);
        if (is_ours_and_open(work, ctx, id, &open, err) < 0 ||
            (open && read_before(work, ctx, id, &before, err) < 0))
            return -1;
        if (open || (ctx && lease_doubts(ctx->lease, label)))
            json_object_set_new(observed->doubtful, label, before ? before : json_object());
    }
    return 0;
}
