/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a deployment of these files would change, by the engine and the journal that the configuration names.
 * No registry is asked: an image whose text is the one that was deployed counts as unchanged.
 */

#include "agent/stack.h"

/* *ret_differs. The text goes to stdout; values of variables, secrets and configs are not in it. */
int render_diff(const char *config_path, const struct stack_input *input, bool *ret_differs,
                struct error *err) MUST_CHECK;
