/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tags → digests, once per deployment; that digest is used everywhere. An image that is not there yet is
 * waited for up to image_wait, visible in `status`; refusals of the registry fail at once with its words,
 * after a minute where they may mean that the repository does not exist yet.
 */

#include "agent/plan.h"
#include "agent/step.h"
#include "worker/snapshot.h"
#include "worker/work.h"

struct images {
    struct plan_image *items; /* one per service of the manifest */
    size_t n;
    json_t *owned;         /* platforms */
    const char **warnings; /* NULL-terminated */
    size_t n_warnings;
};

struct images_request {
    struct work *work;
    const struct snapshot *snapshot;
    const struct observed *observed;
    const char *base_commit;         /* of the last success; NULL: none */
    const struct image_record *kept; /* taken by the digest that is on record, whatever the tag says now */
    size_t n_kept;
    const struct service_record *records; /* services of the deployment that `kept` is of */
    size_t n_records;
    struct step_ctx *ctx; /* for waiting; NULL (agentctl plan): an image that is not there is a warning */
    /* Looked at while waiting: returns -1 with err set to give up (a newer commit came). */
    int (*give_up)(void *userdata, struct error *err);
    void *userdata;
};

int images_resolve(const struct images_request *request, struct arena *arena, struct images *ret,
                   struct error *err) MUST_CHECK;
void images_release(struct images *images);
