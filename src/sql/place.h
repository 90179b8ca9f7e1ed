/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lines and columns of a lexer's file, counted once on the way down: places are asked for in their order. */

#include "agent/sql.h"

void sql_place(struct sql_lexer *lexer, const char *at, unsigned *ret_line, unsigned *ret_column);
unsigned sql_line_of(struct sql_lexer *lexer, const char *at);

/* Returns -1, ERR_INVALID, "FILE:LINE:COLUMN: …". */
int sql_fail(struct sql_lexer *lexer, const char *at, struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
