/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a commit asks for: its stack file(s) with x-release, as structs. The desired side of a plan. */

#include "agent/release.h"
#include "agent/stack.h"

struct manifest {
    struct arena arena;
    struct stack *stack;
    struct release release;
    const char **order; /* service keys in rollout order */
    size_t n_before;    /* so many of them roll before the steps */
};

/* Pure but for input->read. */
int manifest_load(const struct stack_input *input, struct manifest *ret, struct error *err) MUST_CHECK;
void manifest_release(struct manifest *manifest);
