/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Keeps other agents' container migrations away from the database while one of ours runs. */

#include "steps/sql.h"

struct guard_lock {
    struct step_database database;
    struct migrate_guard *held; /* NULL: nothing is guarded */
};

/* How long guard_lock_open() takes at most, in us. */
extern const int64_t guard_lock_patience_us;

/*
 * Without a database in x-release, or with one whose sessions cannot be had (a pooler): not guarded, which is
 * logged. ERR_CONFLICT: another agent held it for too long; ERR_CANCELLED.
 */
int guard_lock_open(struct step_ctx *ctx, const struct step *step, struct guard_lock *ret,
                    struct error *err) MUST_CHECK;
/*
 * The step's job has failed: what it has left in the server is ended, before it comes to a commit. Sessions
 * are known by the name that plan_runs.c gives them; where the service has a name of its own for them, or
 * without the lock, they are not found. What goes wrong is logged.
 */
void guard_lock_end_sessions(struct step_ctx *ctx, const struct step *step, struct guard_lock *lock);
/* ERR_CONFLICT: it was lost in between. */
int guard_lock_close(struct guard_lock *lock, struct error *err) MUST_CHECK;
