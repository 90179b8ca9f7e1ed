/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fault.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/gate.h"
#include "steps/kinds.h"
#include "steps/speed.h"
#include "steps/watch.h"

/*
 * After the last service: all that were rolled are watched together, for what only shows after a while, and
 * beside them those that nobody touched, as far as they were well before.
 */

static bool is_rolled(struct step_ctx *ctx, const char *service)
{
    for (size_t i = 0; i < ctx->n_gates; i++)
        if (str_eq(gate_service(ctx->gates[i]), service))
            return true;
    return false;
}

static int judge_untouched(struct step_ctx *ctx, const struct watches *others, struct error *err)
{
    for (size_t i = 0; i < others->n; i++)
        for (size_t k = 0; k < others->items[i].prober->n; k++) {
            struct prober *prober = others->items[i].prober;
            const struct probe *probe = &prober->items[k];
            enum verdict verdict = probe_watched(&probe->now, probe->was, &ctx->manifest->release.gate);
            /* without a baseline nobody knows whether it is this deployment's doing; what failed before
             * cannot become worse */
            if (verdict == VERDICT_OK || probe->was == PROBE_UNKNOWN || probe->was == PROBE_FAILED)
                continue;
            (void)(verdict == VERDICT_REGRESSED ? prober_regressed(prober, probe, err)
                                                : prober_inconclusive(probe, STEP_HALT_TEXT, err));
            return error_wrap(err, "%s, which was not touched", others->items[i].service->key);
        }
    return 0;
}

static bool all_well(const struct watches *others)
{
    for (size_t i = 0; i < others->n; i++)
        if (prober_failing(others->items[i].prober))
            return false;
    return true;
}

/* What an engine's absence ended may take as long to be well again as an update may. Returns until when. */
static int64_t ask_untouched(struct step_ctx *ctx, struct watches *others, int64_t recovering_until_us)
{
    const char *why;
    bool away = !watches_round(others, &why);
    for (size_t i = 0; i < ctx->n_gates; i++)
        away |= gate_recovers(ctx->gates[i]);
    if (away)
        return mono_us() + ctx->manifest->release.gate.healthy_deadline_us;
    return all_well(others) ? 0 : recovering_until_us;
}

/* For whoever looks on: replicas of all that were rolled, and until when they are watched. */
static void tell(struct step_ctx *ctx, int64_t until)
{
    struct progress p = {.of = ctx->n_gates ? "replicas" : NULL, .deadline_us = until};
    for (size_t i = 0; i < ctx->n_gates; i++) {
        unsigned good = 0, desired = 0;
        if (!gate_count(ctx->gates[i], &good, &desired))
            p.of = NULL;
        p.done += good;
        p.total += desired;
    }
    step_live(ctx, &p);
}

static int watch(struct step_ctx *ctx, struct watches *others, struct error *err)
{
    const struct gate_settings *settings = &ctx->manifest->release.gate;
    int64_t until = mono_us() + settings->soak_us, next_us = 0, recovering_until_us = 0;
    int64_t interval = settings->probe_interval_us < US_PER_S ? settings->probe_interval_us : US_PER_S;
    while (mono_us() < until) {
        fault_point("soak.look");
        for (size_t i = 0; i < ctx->n_gates; i++)
            if (gate_watch(ctx->gates[i], err) < 0)
                return -1;
        if (mono_us() >= next_us) {
            recovering_until_us = ask_untouched(ctx, others, recovering_until_us);
            next_us = mono_us() + settings->probe_interval_us;
        }
        tell(ctx, until);
        if (mono_us() >= recovering_until_us && judge_untouched(ctx, others, err) < 0)
            return -1;
        if (step_should_stop(ctx, err) < 0)
            return -1;
        step_pause(ctx, interval);
    }
    return 0;
}

/* What is down at the end of the soak is not a success. */
static int finish(struct step_ctx *ctx, const struct step *step, const struct watches *others,
                  struct error *err)
{
    for (size_t i = 0; i < ctx->n_gates; i++)
        if (gate_wait(ctx->gates[i], err) < 0)
            return error_wrap(err, "at the end of the soak");
    for (size_t i = 0; i < ctx->n_gates; i++)
        if (gate_save_state(ctx->gates[i], err) < 0)
            return -1;
    return speed_keep(ctx, step, others, err);
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    struct watches others;
    (void)params;
    (void)resumed;
    (void)ret_allowed;
    if (watches_open(ctx, is_rolled, &others, err) < 0)
        return -1;
    int r = watch(ctx, &others, err);
    if (r < 0 && err->kind != ERR_CANCELLED)
        (void)error_wrap(err, "while soaking");
    if (r == 0)
        r = finish(ctx, step, &others, err);
    watches_close(&others);
    return r;
}

const struct step_kind step_kind_soak = {
    .name = "soak",
    .sentence = "watching the services of stack %s",
    .on_resume = RESUME_RERUN,
    .run = run,
};
