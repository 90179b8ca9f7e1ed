/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/sql.h"

/* Fills in lints and n_lints of a summary that has all else. The text was read to its end without an error.
 */
void sql_lint(struct arena *arena, const char *text, size_t len, const char *version,
              struct sql_summary *summary);
