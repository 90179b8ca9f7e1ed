/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An sql step of a manifest, ready for src/pg: its folder in the commit, its database, its rules. Used by the
 * step itself, by planning and by agentctl migrate. */

#include "agent/migrate.h"
#include "agent/step.h"
#include "steps/database.h"

struct sql_source {
    struct step_ctx *ctx;
    const struct sql_step *sql;
    struct step_database database;
    struct migrate_step migrate; /* without schema, should_stop, waiting, progress; userdata: this source */
};

/*
 * ctx needs arena, stack, manifest, repo and the URLs; for connecting to a service also docker, and relay or
 * what step_relay() needs. commit: whose tree is read. *ret lives in ctx->arena.
 */
int sql_source_open(struct step_ctx *ctx, const struct release_step *step, const char *commit,
                    struct sql_source **ret, struct error *err) MUST_CHECK;
/* The target of a step that is no sql step: expect. *ret_database lives as long as the target. */
int sql_target_open(struct step_ctx *ctx, const char *step, const char *variable, const char *commit,
                    struct step_database *ret_database, struct migrate_target *ret,
                    struct error *err) MUST_CHECK;
/* A folder of a commit; none: ERR_NOT_FOUND. */
int sql_folder(struct step_ctx *ctx, const char *commit, const char *dir, struct migration_entry **ret,
               size_t *ret_n, struct error *err) MUST_CHECK;
/* A migration_read: userdata is the struct repo. */
int sql_read_blob(void *repo, struct arena *arena, const struct migration *file, const char **ret,
                  size_t *ret_len, struct error *err) MUST_CHECK;
