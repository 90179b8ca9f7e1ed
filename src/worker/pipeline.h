/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The steps of one planned deployment, in order, to an end that is on record. */

#include "agent/step.h"

/* Written as the reason of an orderly stop, which does not count as a crash. */
#define REASON_STOPPED  "stopped by the service manager; goes on at the next start"
#define REASON_TAKEN_UP "taken up again after a stop"

/*
 * empty: the plan changes nothing; only the record is written. 0: the deployment ended, whatever the verdict.
 * -1 with ERR_CANCELLED: asked to stop at a step boundary; to be resumed. Other errors: the journal could not
 * be written and a stop was requested.
 */
int pipeline_run(struct step_ctx *ctx, bool empty, struct error *err) MUST_CHECK;

/* A deployment that had begun cannot go on (err: why): what it did is put back. Returns as pipeline_run()
 * does. */
int pipeline_give_up(struct step_ctx *ctx, struct error *err) MUST_CHECK;

/* Ends a deployment that has no steps or stopped before them. Waits while the journal cannot be written. */
int pipeline_end(struct step_ctx *ctx, enum deployment_state state, const char *reason,
                 struct error *err) MUST_CHECK;
