/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The schema of the records in PostgreSQL (migrations/records): tables that every host writes its history to,
 * and a view for dashboards. Applied by the runner of SQL steps itself, with its lock, its log and its rules.
 */

#include "agent/migrate.h"

/* Makes the schema what this program needs; ret->applied 0: it was. ERR_CONFLICT: it is that of a newer
   program, which goes on writing; ours must not. Else the errors of migrate_run(). */
int records_schema(struct arena *arena, const struct migrate_target *target, int64_t timeout_us,
                   struct migrate_result *ret, struct error *err) MUST_CHECK;
