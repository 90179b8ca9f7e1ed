/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/soak_database.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/plan.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/database.h"
#include "steps/persist.h"

static const int64_t timeout_us = 5 * US_PER_S; /* what a check has that says nothing else */

struct soak_database {
    struct prober prober; /* of one probe */
    struct probe probe;
    const char **tables;         /* NULL-terminated */
    int64_t recovering_until_us; /* 0: it has answered since it was rolled */
};

/* With the URL that it is asked with here: the admin's is another login. */
static int was_ready(struct step_ctx *ctx, bool *ret, struct error *err)
{
    const char *url_from = release_direct_url(&ctx->manifest->release);
    struct step *steps;
    size_t n;
    if (PERSIST(journal_steps(ctx->journal, ctx->arena, ctx->deployment->id, &steps, &n, err), err) < 0)
        return -1;
    *ret = false;
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(steps[i].kind, STEP_READY) || steps[i].state != STEP_DONE || !steps[i].params)
            continue;
        cleanup_json json_t *params = json_loads(steps[i].params, 0, NULL);
        *ret |= str_eq(json_path_string(params, "url_from", NULL), url_from);
    }
    return 0;
}

int soak_database_open(struct step_ctx *ctx, bool rolled, struct soak_database **ret, struct error *err)
{
    const struct release *release = &ctx->manifest->release;
    bool ready;
    *ret = NULL;
    if (!release->database_url_from)
        return 0;
    if (was_ready(ctx, &ready, err) < 0)
        return -1;
    if (!ready)
        return 0;
    struct soak_database *d = calloc(1, sizeof *d);
    if (!d)
        abort();
    d->probe = (struct probe){.label = "database",
                              .key = "database",
                              .was = PROBE_PASSED,
                              .before = {.passed = 1, .asked = 1},
                              .last_before = "ready"};
    d->prober = (struct prober){.ctx = ctx,
                                .service = release->database_service ? release->database_service : "server",
                                .items = &d->probe,
                                .n = 1};
    d->tables = release_expected_tables(&d->prober.arena, release);
    d->recovering_until_us = rolled ? mono_us() + release->gate.healthy_deadline_us : 0;
    *ret = d;
    return 0;
}

void soak_database_close(struct soak_database *d)
{
    if (!d)
        return;
    arena_release(&d->prober.arena);
    free(d);
}

static void look(const struct soak_database *d, struct check_result *ret)
{
    cleanup_arena struct arena arena = {0};
    struct step_ctx *ctx = d->prober.ctx;
    struct step_database db;
    struct error err = {0};
    const char *folder, **missing;
    if (!probe_database_find(ctx, &arena, &db, &folder, ret))
        return;
    const char *name = arena_printf(&arena, "deploy-agent/%s/soak", ctx->stack->name);
    if (pg_missing_tables(&arena, &db.url, folder, name, timeout_us, (const char *const *)d->tables, &missing,
                          &err) < 0) {
        probe_database_silent(ctx, &db, folder, &err, ret);
        return;
    }
    ret->passed = !missing[0];
    if (missing[0])
        snprintf(ret->text, sizeof ret->text, "table %.200s is missing", missing[0]);
    else
        snprintf(ret->text, sizeof ret->text, "ready");
}

bool soak_database_ask(struct soak_database *d, bool away)
{
    struct check_result result = {.away = away};
    if (!d)
        return true;
    if (!away)
        look(d, &result);
    if (result.away) {
        prober_interrupt(&d->prober);
        return away; /* known before */
    }
    probe_note(&d->probe.now, check_answer(&result));
    snprintf(d->probe.last, sizeof d->probe.last, "%s", result.text);
    if (result.passed)
        d->recovering_until_us = 0;
    return true;
}

bool soak_database_well(const struct soak_database *d)
{
    return !d || !prober_failing(&d->prober);
}

bool soak_database_recovers(const struct soak_database *d)
{
    return d && mono_us() < d->recovering_until_us;
}

int soak_database_judge(struct soak_database *d, struct error *err)
{
    if (!d || soak_database_recovers(d))
        return 0;
    switch (probe_watched(&d->probe.now, d->probe.was, &d->prober.ctx->manifest->release.gate)) {
    case VERDICT_REGRESSED:
        return prober_regressed(&d->prober, &d->probe, err);
    case VERDICT_INCONCLUSIVE:
        return prober_inconclusive(&d->probe, STEP_HALT_TEXT, err);
    default:
        return 0;
    }
}
