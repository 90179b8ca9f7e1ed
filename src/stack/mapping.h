/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A mapping while it is loaded: duplicate keys are refused, merge keys (`<<`) are taken in. */

#include <stdbool.h>
#include <stddef.h>

#include "agent/node.h"
#include "report.h"

struct raw_pair {
    struct node_pair pair;
    bool merge; /* a plain `<<` */
    bool alias; /* the value was written as *alias */
};

/* Turns the pairs as written into the pairs of `map`. */
void mapping_finish(struct report *report, const struct path *path, const struct raw_pair *raw, size_t n,
                    struct node *map);
