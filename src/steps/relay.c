/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/kinds.h"
#include "steps/send.h"

/* Made before anything depends on it, so that a relay that cannot start stops the deployment early. */
static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    struct relay *relay;
    (void)step;
    (void)params;
    (void)resumed;
    (void)ret_allowed;
    for (int64_t since = 0; step_relay(ctx, &relay, err) < 0;)
        if (send_wait(ctx, &since, err) < 0)
            return -1;
    step_waiting(ctx, NULL);
    return 0;
}

const struct step_kind step_kind_relay = {
    .name = "relay",
    .sentence = "making a way into the networks of stack %s",
    .on_resume = RESUME_RERUN,
    .run = run,
};
