/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The server that a deployment's steps talk to: which, and how it is reached right now. */

#include "agent/pg.h"
#include "agent/step.h"

struct step_database {
    struct step_ctx *ctx;
    struct pg_url url;
    const char *service_name; /* in Swarm; NULL: an outside server */
};

/* variable: the name of x-release.database.url_from, migrate_url_from or admin_url_from. service_name may be
   NULL. */
int step_database_open(struct step_ctx *ctx, const char *service_name, const char *variable,
                       struct step_database *ret, struct error *err) MUST_CHECK;

/* The running task of the service, borrowed from *ret_tasks, which the caller drops. ERR_UNAVAILABLE: none.
 */
int step_database_task(const struct step_database *db, struct arena *arena, json_t **ret_tasks,
                       const json_t **ret, struct error *err) MUST_CHECK;

/* The folder of a socket that ends at that task; NULL: an outside server. A migrate_find (agent/migrate.h):
 * db is a struct step_database. Never ERR_NOT_FOUND. */
int step_database_find(void *db, struct arena *arena, const char **ret_folder, struct error *err) MUST_CHECK;
