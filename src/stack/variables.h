/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The variables of a load, what the oracle calls the process environment; sorted, so that look-ups are cheap.
 */

#include <stddef.h>

#include "agent/stack.h"

struct variables {
    const struct variable *items; /* by name, each once */
    size_t n;
};

/* Of two variables with one name the later counts. */
struct variables variables_sort(struct arena *arena, const struct variable *items, size_t n);
const char *variables_get(const struct variables *variables, const char *name); /* NULL: unset */
