/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The records in PostgreSQL, as agent.conf names them. */

#include "agent/pg.h"
#include "worker/work.h"

/* From postgres or postgres_file; the password is registered as a secret. ERR_INVALID, ERR_NOT_FOUND: none is
 * configured. */
int records_target(struct work *work, struct pg_url *ret, struct error *err) MUST_CHECK;
/* What to add to an error of a login that had to prove itself and did not say how; "" nothing. */
const char *records_hint(const struct pg_url *url, const struct error *err);
