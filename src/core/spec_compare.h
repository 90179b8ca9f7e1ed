/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files behind agent/spec.h, and for plans, which need all answers at once. */

#include <jansson.h>
#include <stdbool.h>

#include "base/arena.h"

struct spec_comparison {
    bool same;            /* spec_same() */
    bool restarts;        /* spec_restarts_tasks(): by another order alone, too */
    const char **changes; /* spec_differences(); NULL without an arena */
};

void spec_compare(struct arena *arena, const json_t *desired, const json_t *live, const json_t *networks,
                  struct spec_comparison *ret);
/* What differs between two comparable forms, in words; NULL-terminated. */
const char **spec_words(struct arena *arena, const json_t *desired, const json_t *live);
