/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What tasks print, into the journal: cleaned of control characters, redacted, capped there at 1 MiB. */

#include "agent/step.h"

/* Where a worker before this one was, in a step's progress; and into it, for the one after. */
struct log_position output_position(const json_t *progress);
void output_note_position(json_t *progress, const struct log_position *position);

/* Appends what is new. last_line (may be NULL): receives the last line that names an error, else the last one
 * that is not empty. */
int output_follow(struct step_ctx *ctx, const struct step *step, const char *service_id,
                  struct log_position *position, char *last_line, size_t size, struct error *err) MUST_CHECK;
/*
 * The last lines of up to three tasks that did not exist before (an array of IDs), for a service whose update
 * failed: what the old tasks said is no part of it. Trouble with reading is noted in their place.
 */
void output_new_tasks_tail(struct step_ctx *ctx, const struct step *step, const char *service_id,
                           const json_t *before);
