/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The checks of one service: asked in rounds, counted, compared with what they were before. Who judges is the
 * gate of a service that was rolled, or the watch over one that was not.
 *
 *     prober_open()    the checks of x-release for that service, with their baselines
 *     prober_round()   asks each once, all running tasks of it
 *     prober_close()
 */

#include "agent/baseline.h"
#include "agent/check.h"
#include "agent/latency.h"
#include "agent/step.h"
#include "agent/tasks.h"

struct probe {
    const struct health_check *check; /* NULL: the container healthcheck, counted by the watch */
    const char *label, *key;          /* for people; in the record of baselines */
    enum probe_was was;
    struct probe_count before; /* asked 0: no baseline */
    const char *last_before;
    struct probe_series now;
    /* How long answers took that passed: at the last success and just before this one, just before, now. */
    struct latencies latency_before, latency_just_before, latency;
    char last[256];
};

struct prober {
    struct step_ctx *ctx;
    struct arena arena;
    const char *service; /* key */
    struct checker *checker;
    struct probe *items;
    size_t n;
};

int prober_open(struct step_ctx *ctx, const char *service, struct prober **ret, struct error *err) MUST_CHECK;
void prober_close(struct prober *prober);
/* The healthcheck of the service as one more probe; its answers are the caller's to note. */
struct probe *prober_add_healthcheck(struct prober *prober);

/* False: the engine is away, *ret_why says how; nothing was counted from there on. */
bool prober_round(struct prober *prober, const struct tasks_judgement *tasks, const char **ret_why);
/* Passes in a row begin anew; what could not be asked is forgotten. */
void prober_interrupt(struct prober *prober);

/* ---- for who asks by himself ---- */

enum probe_answer check_answer(const struct check_result *result);
struct step_database;
/* The database of x-release and the folder of a socket that ends there. False: *ret says why it cannot be
 * asked, and whether that is its doing. */
bool probe_database_find(struct step_ctx *ctx, struct arena *arena, struct step_database *ret_db,
                         const char **ret_folder, struct check_result *ret);
/* It does not answer: is it its doing, or that of the way to it? */
void probe_database_silent(struct step_ctx *ctx, const struct step_database *db, const char *folder,
                           const struct error *err, struct check_result *ret);

/* ---- words ---- */

/* The first that failed last; NULL: none. */
const struct probe *prober_failing(const struct prober *prober);
/* "web /health: 5 of 5 before, 0 of 3 now (200 before, 500 now)"; in the prober's arena. */
const char *prober_words(struct prober *prober, const struct probe *probe);
/*
 * ERR_FAILED: it is worse than before. What it said is left in ctx->regressed, and goes into the progress of
 * the step that fails because of it, as `regressed`: {"check": "web /health", "service": "web", "before":
 * {"passed": 5, "asked": 5, "last": "200"}, "now": {"passed": 0, "asked": 3, "last": "500"}}; "before" is
 * absent where there was no baseline.
 */
int prober_regressed(struct prober *prober, const struct probe *probe, struct error *err);
/* ERR_FAILED without a verdict: nothing is known against what runs. `left` ends it, and says what was left:
   STEP_HALT_TEXT stops the rollout as it stands. */
int prober_inconclusive(const struct probe *probe, const char *left, struct error *err);
