/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/spec.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/kinds.h"
#include "steps/sql.h"

/* Tables, columns, constraints, indexes and a query of the user's that must be there by now. */

static const int64_t timeout_us = 60 * US_PER_S;

static const struct release_step *find_step(const struct manifest *manifest, const char *name)
{
    for (size_t i = 0; manifest && i < manifest->release.n_steps; i++)
        if (manifest->release.steps[i].kind == RELEASE_EXPECT &&
            strcmp(manifest->release.steps[i].name, name) == 0)
            return &manifest->release.steps[i];
    return NULL;
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    const struct release_step *found = find_step(ctx->manifest, step->name);
    struct step_database database;
    struct migrate_target target;
    (void)params;
    (void)resumed;
    (void)ret_allowed;
    if (!found)
        return error_set(err, ERR_INTERNAL, 0, "the stack file has no expect step %s any more", step->name);
    const struct expect_step *e = &found->expect;
    const struct migrate_expectation expectation = {.tables = (const char *const *)e->tables,
                                                    .columns = (const char *const *)e->columns,
                                                    .constraints = (const char *const *)e->constraints,
                                                    .indexes = (const char *const *)e->indexes,
                                                    .query = e->query};
    if (sql_target_open(ctx, step->name, release_direct_url(&ctx->manifest->release), ctx->deployment->commit,
                        &database, &target, err) < 0 ||
        migrate_expect(ctx->arena, &target, &expectation, timeout_us, err) < 0)
        return error_wrap(err, "%s", step->name);
    return 0;
}

static int64_t deadline(struct step_ctx *ctx, const json_t *params)
{
    (void)ctx;
    (void)params;
    return 2 * timeout_us;
}

const struct step_kind step_kind_expect = {
    .name = "expect",
    .sentence = "looking for what %s names in the database",
    .on_resume = RESUME_RERUN,
    .deadline_us = deadline,
    .run = run,
};
