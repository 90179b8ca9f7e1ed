/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The database in the soak: one more probe, `database`, which passed when the deployment waited for it. It
 * passes while a login is answered and every table is there that `expect` steps name. All functions but open
 * may be called with NULL.
 *
 *     soak_database_open()   NULL: this deployment has not asked the database
 *     soak_database_ask()    once
 *     soak_database_judge()
 *     soak_database_close()
 */

#include "steps/probe.h"

struct soak_database;

/* rolled: by this deployment; until it has answered once, it has as much time as an update. */
int soak_database_open(struct step_ctx *ctx, bool rolled, struct soak_database **ret,
                       struct error *err) MUST_CHECK;
void soak_database_close(struct soak_database *database);
/* away: the engine does not answer, so nothing is asked. False: it is away, as far as asking showed. */
bool soak_database_ask(struct soak_database *database, bool away);
bool soak_database_well(const struct soak_database *database);
bool soak_database_recovers(const struct soak_database *database);
/* ERR_FAILED as of prober_regressed() and prober_inconclusive(). */
int soak_database_judge(struct soak_database *database, struct error *err) MUST_CHECK;
