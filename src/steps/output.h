/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What tasks print, into the journal: cleaned of control characters, redacted, capped there at 1 MiB. */

#include "agent/step.h"

/* Position in a service's log; zeroed: the start. */
struct output_position {
    int64_t last_ns;
};

/* Appends what is new. last_line (may be NULL): receives the last non-empty line, for the reason. */
int output_follow(struct step_ctx *ctx, const struct step *step, const char *service_id, struct output_position *position,
                  char *last_line, size_t size, struct error *err) MUST_CHECK;
/* The last 50 lines of a service that failed; trouble with reading them is noted in their place. */
void output_service_tail(struct step_ctx *ctx, const struct step *step, const char *service_id);
