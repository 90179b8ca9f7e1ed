/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two files of `agent-worker migrate` share. */

#include "steps/sql.h"
#include "worker/snapshot.h"

struct migrate_request {
    const char *action; /* status adopt resolve */
    const char *stack, *version, *step, *schema, *commit;
    unsigned statement; /* 0: the whole version */
    bool done, json;
};

struct migrating {
    struct migrate_request request;
    struct work work;
    struct snapshot snapshot;
    struct step_ctx ctx;
    const struct release_step **steps; /* that are meant; NULL-terminated */
    json_t *shown;                     /* of status --json */
    bool refused;                      /* a deployment of this commit would be */
};

struct migrate_found { /* of one step, in one schema */
    const struct migrate_step *step;
    const char *where;
    struct migration_set set;
    struct migration_history history;
    struct migration_diff diff;
    const char *refusal; /* why a deployment would be refused; NULL: it would not */
};
json_t *migrate_found_json(struct arena *arena, const struct migrate_found *found);
void migrate_found_print(struct arena *arena, const struct migrate_found *found);

/* Prints one step in one schema, or adds it to m->shown. */
int migrate_show(struct migrating *m, const struct migrate_step *step, const char *where,
                 struct error *err) MUST_CHECK;
