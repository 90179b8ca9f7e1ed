/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a stack's database has, beside what the commit that is deployed wants it to have. For cmd_health.c. */

#include <jansson.h>

#include "agent/step.h"
#include "worker/snapshot.h"

struct health_lists {
    json_t *applied, *pending, *ahead, *missing_files, *modified, *failed, *invalid_indexes, *missing_tables,
        *running;
    const char *latest; /* NULL: none */
};

struct health_look {
    struct work *work;
    const struct snapshot *snapshot; /* of the deployed commit */
    const char *commit;
    struct step_ctx *ctx; /* from which the database can be reached */
    struct health_lists lists;
};

void health_lists_init(struct health_lists *lists);
void health_lists_release(struct health_lists *lists);
/* NULL-terminated texts, each with `prefix` before it, to a list. */
void health_add(struct arena *arena, json_t *list, const char *prefix, const char *const *texts);

/* Versions of the `sql` steps. *ret_any: there is one with versions. */
int health_of_sql(struct health_look *look, bool *ret_any, struct error *err) MUST_CHECK;
/* Outcomes of the `run` steps, by the record. */
int health_of_runs(struct health_look *look, struct error *err) MUST_CHECK;
