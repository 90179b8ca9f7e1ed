/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/sql.h"
#include "sql/match.h"

/* As the server knows it: lower case unless quoted, quotes gone, its parts with dots between. NULL: no name.
 */
char *sql_name_fold(struct arena *arena, const struct sql_name *name);

/* What stands behind its schema. */
const char *sql_name_last(const char *name);
/* Of two folded names; one of them may be written without its schema. */
bool sql_name_same(const char *a, const char *b);

/* The name of the table that a statement makes, folded; NULL: it makes none. */
char *sql_table_made(struct arena *arena, const struct sql_statement *s);
