/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Variables in the string values of a file (docs/stack-file.md, section 3), and the casts that follow where
 * substitution changed a value that must be a number or a boolean.
 */

#include "agent/node.h"
#include "report.h"
#include "variables.h"

enum { INTERPOLATED_MAX = 64 * 1024 };

void interpolate(struct report *report, const struct variables *variables, struct node *root);

/*
 * One text. *ret_problem: NULL, or the text of the oracle's error (a whole text with a stray `$`, or
 * "required variable X is missing a value: …"). Returns NULL when the result would be too long.
 */
const char *substitute(struct arena *arena, const struct variables *variables, const char *text,
                       const char **ret_problem);
