/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "core/plan_internal.h"

/* x-release.steps in a plan: which run, and what is remembered of them. */

static const char *const row_kinds[] = {
    [RELEASE_RUN] = STEP_RUN, [RELEASE_SQL] = STEP_SQL, [RELEASE_EXPECT] = STEP_EXPECT};

const char *plan_last_fingerprint(const struct plan_builder *b, const char *step)
{
    const struct plan_input *input = b->input;
    for (size_t i = 0; i < input->n_fingerprints; i++)
        if (strcmp(input->fingerprints[i].step, step) == 0)
            return input->fingerprints[i].fingerprint;
    return NULL;
}

void plan_migration(struct plan_builder *b, const struct migration_record *record)
{
    b->migrations = arena_grow(b->arena, b->migrations, b->n_migrations, sizeof *b->migrations);
    b->migrations[b->n_migrations++] = *record;
}

void plan_step(struct plan_builder *b, size_t index, struct planned_step *ret)
{
    switch (b->input->manifest->release.steps[index].kind) {
    case RELEASE_RUN:
        plan_run(b, index, ret);
        break;
    case RELEASE_SQL:
        plan_sql(b, index, ret);
        break;
    case RELEASE_EXPECT:
        plan_expect(b, index, ret);
        break;
    }
}

static void add_row(struct plan_builder *b, size_t index, const struct planned_step *planned, bool skipped)
{
    const struct release_step *step = &b->input->manifest->release.steps[index];
    struct step *row = builder_step(b, row_kinds[step->kind], step->name, json_incref(planned->params));
    row->fingerprint = planned->fingerprint;
    if (skipped)
        row->state = STEP_SKIPPED;
}

void plan_step_add(struct plan_builder *b, size_t index, const struct planned_step *planned)
{
    const struct release_step *step = &b->input->manifest->release.steps[index];
    if (step->kind == RELEASE_RUN)
        plan_run_migrations(b, index, planned);
    else if (step->kind == RELEASE_SQL)
        plan_sql_migrations(b, index);
    add_row(b, index, planned, planned->skip != NULL);
}

void plan_step_remember(struct plan_builder *b, size_t index, const struct planned_step *planned)
{
    add_row(b, index, planned, true);
}
