/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a plain YAML scalar means to the docker CLI (Go's yaml.v3): neither exactly
 * YAML 1.1 nor 1.2, so libyaml, which leaves types to its user, suits well.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/node.h"
#include "base/arena.h"

/* Sets type and value of the node; `timestamps`: try these too. Strings point to text. */
void scalar_resolve(struct arena *arena, const char *text, size_t len, bool timestamps, struct node *ret);

/* Shortest text that reads back the same value, plain or as d.ddde±XX, as Go prints it (section 2.3). */
const char *float_text(struct arena *arena, double value);

/* Text of a number, string or timestamp as a member of a string map; NULL for other types. */
const char *scalar_text(struct arena *arena, const struct node *node);

/* False: its zone is a day or more, which Go prints but does not put into JSON. */
bool timestamp_fits_json(const struct node *time);

/* Go's text of a YAML timestamp, or NULL when the text is none. */
const char *timestamp_text(struct arena *arena, const char *text);
