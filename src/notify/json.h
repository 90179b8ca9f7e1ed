/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "base/arena.h"

/* Its text in the arena; gives the object back. */
const char *json_take(struct arena *arena, json_t *object);
