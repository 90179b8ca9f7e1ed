/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/sql.h"

struct sql_directives {
    bool no_transaction, breaking, out_of_order;
};

/*
 * Reads "-- deploy: …" in the comments between at and end, where no statement is. first: before the first
 * statement; they do not count elsewhere, and a known one there is refused. What is nearly one ("-- Deploy:",
 * "deploy :", a block comment) is refused, too.
 */
int sql_directives(struct sql_lexer *places, const char *at, const char *end, bool first,
                   struct sql_directives *directives, struct error *err) MUST_CHECK;
