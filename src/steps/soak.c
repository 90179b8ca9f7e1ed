/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fault.h"
#include "base/clock.h"
#include "steps/gate.h"
#include "steps/kinds.h"

/* After the last service: all that were rolled are watched together, for what only shows after a while. */
static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    const struct gate_settings *settings = &ctx->manifest->release.gate;
    int64_t until = mono_us() + settings->soak_us;
    int64_t interval = settings->probe_interval_us < US_PER_S ? settings->probe_interval_us : US_PER_S;
    (void)step;
    (void)params;
    (void)resumed;
    (void)ret_allowed;
    while (mono_us() < until) {
        fault_point("soak.look");
        for (size_t i = 0; i < ctx->n_gates; i++)
            if (gate_watch(ctx->gates[i], err) < 0)
                return error_wrap(err, "while soaking");
        if (step_should_stop(ctx, err) < 0)
            return -1;
        step_pause(ctx, interval);
    }
    /* what is down at the end of the soak is not a success */
    for (size_t i = 0; i < ctx->n_gates; i++)
        if (gate_wait(ctx->gates[i], err) < 0)
            return error_wrap(err, "at the end of the soak");
    return 0;
}

const struct step_kind step_kind_soak = {
    .name = "soak",
    .sentence = "watching the services of stack %s",
    .on_resume = RESUME_RERUN,
    .run = run,
};
