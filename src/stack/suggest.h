/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "schema.h"

/* What may have been meant by an unknown key, or which are known: " (did you mean x?)", or "". */
const char *suggest_key(struct arena *arena, const struct rule *rule, const char *key, unsigned minor);
