/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/sql.h"

/* at: a backslash outside of quotes. *ret_at: behind a command that changes nothing for us; others are
 * errors. */
int sql_psql_command(struct sql_lexer *lexer, const char *at, bool in_statement, const char **ret_at,
                     struct error *err) MUST_CHECK;
