/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files that decode x-release; see agent/release.h. */

#include "agent/release.h"
#include "core/decode.h"

/* Service names are looked up while decoding, so that the message has the position of the name. */
struct release_context {
    const struct stack *stack;
    struct release *release;
};

/* The key of a service of the stack. */
int release_service(const struct decode *d, const struct node *node, const struct stack *stack,
                    const char **ret, struct error *err) MUST_CHECK;
int release_read_health(const struct decode *d, const struct node *node, const struct release_context *c,
                        struct error *err) MUST_CHECK;
