/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names and texts of all warnings about SQL. The names are what users write into their stack files. */

struct sql_lint_rule {
    const char *rule;
    const char *pattern, *unless; /* src/sql/match.h; unless may be NULL */
    unsigned table, role;         /* which kept name is one, from 1; 0: none */
    const char *text;
};

extern const struct sql_lint_rule sql_lint_statements[],
    sql_lint_actions[]; /* of ALTER TABLE; end: rule NULL */

/* Found by looking at more than one statement. */
struct sql_lint_text {
    const char *rule, *text;
};
extern const struct sql_lint_text SQL_LINT_EMPTY, SQL_LINT_UNLOCK, SQL_LINT_ENUM, SQL_LINT_UPDATE,
    SQL_LINT_VERSION;
