/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/stack.h"
#include "model.h"
#include "variables.h"

/*
 * The lines of an env file in order, duplicates kept. A name without `=` takes its value from `variables`
 * (NULL: there are none) and is dropped when it is unset there.
 */
int env_file_lines(struct arena *arena, const char *path, const char *text, size_t len,
                   const struct variables *variables, struct pair **ret, size_t *ret_count,
                   struct error *err) MUST_CHECK;
