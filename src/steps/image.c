/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fault.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/kinds.h"

/* In all; a pull without any progress is ended by docker_image_pull() much earlier. */
static const int64_t pull_timeout_us = 7200 * US_PER_S;

/* Layers that are here already come first in the stream: as long as there are only these, how many there are
 * is not known. */
static void tell(void *userdata, const struct pull_progress *pulled)
{
    if (pulled->done == pulled->layers)
        return;
    step_live(userdata, &(struct progress){.of = "layers",
                                           .done = pulled->done,
                                           .total = pulled->layers,
                                           .bytes = pulled->bytes,
                                           .bytes_total = pulled->bytes_total});
}

/*
 * Pulls by digest before anything changes: an image that cannot be pulled must not be found out by a task
 * that was to replace a running one. Trouble of the network is waited out within image_wait.
 */
static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    const char *image = json_string_value(json_object_get(params, "image"));
    int64_t deadline = mono_us() + ctx->stack->image_wait_us;
    (void)step;
    (void)resumed;
    (void)ret_allowed;
    for (int64_t pause = US_PER_S;; pause = pause < 16 * US_PER_S ? pause * 2 : pause) {
        json_t *present = NULL;
        fault_point("pull.before");
        if (docker_image(ctx->docker, image, &present, err) == 0) {
            json_decref(present); /* this digest is here already */
            return 0;
        }
        if (docker_image_pull(ctx->docker, image, pull_timeout_us, tell, ctx, err) == 0)
            return 0;
        if ((err->kind != ERR_UNAVAILABLE && err->kind != ERR_TIMEOUT) || mono_us() >= deadline)
            return error_wrap(err, "pulling %s", image);
        step_waiting(ctx, "pulling %s: %s", image, err->text);
        step_pause(ctx, pause);
        if (step_should_stop(ctx, err) < 0)
            return -1;
        step_waiting(ctx, NULL);
    }
}

const struct step_kind step_kind_pull = {
    .name = "pull",
    .sentence = "pulling %s",
    .on_resume = RESUME_RERUN,
    .run = run,
};
