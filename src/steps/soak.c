/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fault.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/gate.h"
#include "steps/kinds.h"
#include "steps/soak_database.h"
#include "steps/speed.h"
#include "steps/watch.h"

/*
 * After the last service: all that were rolled are watched together, for what only shows after a while, and
 * beside them those that nobody touched, as far as they were well before, and the database.
 */

struct soak {
    struct step_ctx *ctx;
    struct watches others;
    struct soak_database *database; /* NULL: it is not asked */
    int64_t until_us;               /* later by the time in which nobody could look */
    int64_t recovering_until_us;    /* others that an outage ended are given time; 0: they are well */
    int64_t next_us;                /* when they are asked again */
    int64_t looked_us;              /* the last look was over; 0: there was none */
    bool in_doubt;                  /* as of the last look: the engine was away, or they recover */
};

static bool is_rolled(struct step_ctx *ctx, const char *service)
{
    for (size_t i = 0; i < ctx->n_gates; i++)
        if (str_eq(gate_service(ctx->gates[i]), service))
            return true;
    return false;
}

/* ---- those that nobody touched ---- */

/* Without a baseline nobody knows whether it is this deployment's doing; what failed before cannot become
 * worse. */
static bool is_judged(const struct probe *probe)
{
    return probe->was != PROBE_UNKNOWN && probe->was != PROBE_FAILED;
}

static int judge_untouched(struct step_ctx *ctx, const struct watches *others, struct error *err)
{
    for (size_t i = 0; i < others->n; i++)
        for (size_t k = 0; k < others->items[i].prober->n; k++) {
            struct prober *prober = others->items[i].prober;
            const struct probe *probe = &prober->items[k];
            enum verdict verdict = probe_watched(&probe->now, probe->was, &ctx->manifest->release.gate);
            if (verdict == VERDICT_OK || !is_judged(probe))
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
        for (size_t k = 0; k < others->items[i].prober->n; k++) {
            const struct probe *probe = &others->items[i].prober->items[k];
            if (is_judged(probe) && (probe->now.failures > 0 || probe->now.unasked > 0))
                return false;
        }
    return true;
}

static void give_time(struct soak *soak)
{
    soak->recovering_until_us = mono_us() + soak->ctx->manifest->release.gate.healthy_deadline_us;
}

/* What an engine's absence ended may take as long to be well again as an update may. */
static void ask_untouched(struct soak *soak, bool away)
{
    struct step_ctx *ctx = soak->ctx;
    const char *why;
    bool recover = !watches_round(&soak->others, &why);
    if (!soak_database_ask(soak->database, away || recover))
        recover = true;
    for (size_t i = 0; i < ctx->n_gates; i++)
        recover |= gate_recovers(ctx->gates[i]);
    if (recover)
        give_time(soak);
    else if (all_well(&soak->others) && soak_database_well(soak->database))
        soak->recovering_until_us = 0;
    soak->next_us = mono_us() + ctx->manifest->release.gate.probe_interval_us;
}

/* ---- all of them ---- */

/* For whoever looks on: replicas of all that were rolled, and until when they are watched. */
static void tell(const struct soak *soak)
{
    struct step_ctx *ctx = soak->ctx;
    bool over = mono_us() >= soak->until_us && soak->recovering_until_us;
    struct progress p = {.of = ctx->n_gates ? "replicas" : NULL,
                         .deadline_us = over ? soak->recovering_until_us : soak->until_us};
    for (size_t i = 0; i < ctx->n_gates; i++) {
        unsigned good = 0, desired = 0;
        if (!gate_count(ctx->gates[i], &good, &desired))
            p.of = NULL;
        p.done += good;
        p.total += desired;
    }
    step_live(ctx, &p);
}

/* Since this was asked last. An outage is seen by all gates: the one that saw most of it tells. */
static int64_t take_away_us(struct step_ctx *ctx)
{
    int64_t longest_us = 0;
    for (size_t i = 0; i < ctx->n_gates; i++) {
        int64_t away_us = gate_take_away_us(ctx->gates[i]);
        longest_us = away_us > longest_us ? away_us : longest_us;
    }
    return longest_us;
}

static int64_t interval_us(const struct step_ctx *ctx)
{
    int64_t interval = ctx->manifest->release.gate.probe_interval_us;
    return interval < US_PER_S ? interval : US_PER_S;
}

/* Of the pause behind the last look: a sign of life waited for an engine that did not answer, or the process
 * was stopped. */
static int64_t overslept_us(const struct soak *soak)
{
    int64_t slept_us = soak->looked_us ? mono_us() - soak->looked_us : 0;
    return slept_us > interval_us(soak->ctx) ? slept_us - interval_us(soak->ctx) : 0;
}

static int look(struct soak *soak, struct error *err)
{
    struct step_ctx *ctx = soak->ctx;
    int64_t late_us = overslept_us(soak);
    fault_point("soak.look");
    for (size_t i = 0; i < ctx->n_gates; i++)
        if (gate_watch(ctx->gates[i], err) < 0)
            return -1;
    int64_t away_us = take_away_us(ctx);
    if (away_us)
        give_time(soak);
    soak->until_us += away_us > late_us ? away_us : late_us; /* an absence goes on in the pause */
    if (mono_us() >= soak->next_us)
        ask_untouched(soak, away_us > 0);
    soak->looked_us = mono_us();
    tell(soak);
    bool judges = !away_us && mono_us() >= soak->recovering_until_us;
    soak->in_doubt = !judges || soak_database_recovers(soak->database);
    if (judges &&
        (judge_untouched(ctx, &soak->others, err) < 0 || soak_database_judge(soak->database, err) < 0))
        return -1;
    return step_should_stop(ctx, err);
}

static int watch(struct soak *soak, struct error *err)
{
    while (mono_us() - overslept_us(soak) < soak->until_us) {
        if (look(soak, err) < 0)
            return -1;
        step_pause(soak->ctx, interval_us(soak->ctx));
    }
    return 0;
}

/* What is down at the end of the soak is not a success, of those that nobody touched, too. */
static int finish(struct soak *soak, const struct step *step, struct error *err)
{
    struct step_ctx *ctx = soak->ctx;
    for (size_t i = 0; i < ctx->n_gates; i++)
        if (gate_wait(ctx->gates[i], err) < 0)
            return error_wrap(err, "at the end of the soak");
    if (take_away_us(ctx))
        give_time(soak);
    do {
        if (soak->in_doubt)
            step_pause(ctx, interval_us(ctx));
        if (look(soak, err) < 0)
            return error_wrap(err, "at the end of the soak");
    } while (soak->in_doubt);
    for (size_t i = 0; i < ctx->n_gates; i++)
        if (gate_save_state(ctx->gates[i], err) < 0)
            return -1;
    return speed_keep(ctx, step, &soak->others, err);
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    struct soak soak = {.ctx = ctx, .until_us = mono_us() + ctx->manifest->release.gate.soak_us};
    (void)params;
    (void)resumed;
    (void)ret_allowed;
    const char *database = ctx->manifest->release.database_service;
    if (watches_open(ctx, is_rolled, &soak.others, err) < 0)
        return -1;
    if (soak_database_open(ctx, database && is_rolled(ctx, database), &soak.database, err) < 0) {
        watches_close(&soak.others);
        return -1;
    }
    (void)take_away_us(ctx); /* before the soak */
    int r = watch(&soak, err);
    if (r < 0 && err->kind != ERR_CANCELLED)
        (void)error_wrap(err, "while soaking");
    if (r == 0)
        r = finish(&soak, step, err);
    soak_database_close(soak.database);
    watches_close(&soak.others);
    return r;
}

const struct step_kind step_kind_soak = {
    .name = "soak",
    .sentence = "watching the services of stack %s",
    .on_resume = RESUME_RERUN,
    .run = run,
};
