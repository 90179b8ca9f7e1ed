/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the sql steps of a commit would do, for its plan. Nothing is changed: the database is asked where it
 * can be reached as things are. */

#include "worker/prepare.h"

/*
 * *ret: one for each step of x-release, in p->arena. fingerprints: of the last success. ERR_INVALID: the
 * files cannot be run, or not on this database.
 */
int prepare_sql(struct work *work, struct prepared *p, const struct plan_input *input, struct plan_sql **ret,
                struct error *err) MUST_CHECK;
