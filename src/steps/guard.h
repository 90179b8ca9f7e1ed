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
/* ERR_CONFLICT: it was lost in between. */
int guard_lock_close(struct guard_lock *lock, struct error *err) MUST_CHECK;
