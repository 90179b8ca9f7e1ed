/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fault.h"
#include "agent/log.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "steps/kinds.h"
#include "steps/persist.h"
#include "steps/remove.h"
#include "steps/send.h"

/* Last of all, when everything new is seen to work: what the stack file no longer has. */

static int remove_service(struct step_ctx *ctx, const json_t *item, struct error *err)
{
    cleanup_json json_t *live = NULL;
    const char *id = json_path_string(item, "id", NULL), *key = json_path_string(item, "service", NULL);
    bool gone = send_read_service(ctx, id, &live, err) < 0 && err->kind == ERR_NOT_FOUND;
    if (!gone && !live)
        return error_wrap(err, "removing service %s", key);
    if (live && !spec_label(json_object_get(live, "Spec"), LABEL_DEPLOYMENT))
        return 0; /* no longer ours */
    if (live)
        fault_point("prune.remove");
    if (live && service_remove(ctx, id, err) < 0)
        return error_wrap(err, "removing service %s", key);
    return PERSIST(
        journal_set_service(ctx->journal, ctx->deployment->id, key, "removed", NULL, NULL, NULL, err), err);
}

/* A config or secret that is still referred to stays: the engine refuses, and that is right. */
static void remove_blobs(struct step_ctx *ctx, const char *word, const json_t *list,
                         int (*remove)(struct docker *, const char *, struct error *))
{
    size_t i;
    const json_t *item;
    json_array_foreach (list, i, item) {
        struct error err = {0};
        if (remove(ctx->docker, json_path_string(item, "id", NULL), &err) < 0 && err.kind != ERR_NOT_FOUND)
            log_info("%s %s stays for now: %s", word, json_path_string(item, "name", NULL), err.text);
    }
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    size_t i;
    const json_t *item;
    (void)step;
    (void)resumed;
    /* what is left over harms nobody, and the next plan sees it again: no reason to put a good version back
     */
    *ret_allowed = true;
    json_array_foreach (json_object_get(params, "services"), i, item) {
        if (remove_service(ctx, item, err) < 0)
            return -1;
    }
    remove_blobs(ctx, "secret", json_object_get(params, "secrets"), docker_secret_remove);
    remove_blobs(ctx, "config", json_object_get(params, "configs"), docker_config_remove);
    return 0;
}

const struct step_kind step_kind_prune = {
    .name = "prune",
    .sentence = "removing what stack %s no longer has",
    .on_resume = RESUME_RERUN,
    .run = run,
};
