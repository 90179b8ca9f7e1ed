/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* YAML tags (docs/stack-file.md, section 2; unknown ones make the value a string, as measured on the oracle).
 */

#include <stdbool.h>

#include "agent/node.h"
#include "report.h"

/* Sets type and value of a scalar's node. `tag`: NULL or "!" when none was written. */
void tag_resolve(struct report *report, const struct path *path, const char *tag, bool quoted,
                 const char *text, struct node *ret);

bool tag_allows_merge(const char *tag); /* on a plain `<<` */
bool tag_is_string(const char *tag);
