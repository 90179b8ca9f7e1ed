/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Patterns of statements, for the tables of kinds and lints. A pattern is words with blanks between:
 *
 *     INDEX       this keyword
 *     A|B         one of them; any token's text may stand there: ( , = 0 'false'
 *     ?A|B        the same, or nothing. There is no way back: what fits is taken
 *     ()          a group in parentheses, whole; ?() too
 *     @           a name, qualified or not; kept
 *     #           a string; kept
 *     &           all the rest; kept
 *     ...         goes on at the first place where the rest fits, outside of parentheses opened on the way
 *     $           the end
 *
 *     "CREATE ?UNIQUE INDEX CONCURRENTLY ?IF ?NOT ?EXISTS @ ON ?ONLY @"
 */

#include <stdbool.h>
#include <stddef.h>

enum { SQL_KEPT = 3 };

struct sql_name { /* as written, inside of the statement; NULL: none */
    const char *text;
    size_t len;
};

/* Does text begin like this? ret_names (may be NULL): what @ and # stood for, in their order. */
bool sql_match(const char *text, size_t len, const char *pattern, struct sql_name ret_names[SQL_KEPT]);
