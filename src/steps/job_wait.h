/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A job that was started, followed to its end: job_run.c. Its output goes on record meanwhile. */

#include "steps/job.h"
#include "steps/output.h"

struct job {
    struct step_ctx *ctx;
    const struct job_request *request;
    const struct step *step;
    json_t *progress;      /* the request's */
    const char *name, *id; /* id: the arena's of the deployment; NULL: not made yet */
    int64_t deadline_us;   /* monotonic; moved while the engine is away */
    int64_t noted_us;      /* of the timeout, spent as last written down */
    int64_t away_since_us; /* the engine does not answer; 0: it does */
    bool last_start;       /* one whose container never ran has failed, then */
    bool removed;          /* by somebody else; its task may run on */
    struct log_position position;
    char last_line[512];
};

/*
 * Until it has ended, and its output is on record. 1: its container never ran, it is not the last start, and
 * there is time left for another; *err says why. Otherwise ERR_FAILED, ERR_TIMEOUT: how it ended;
 * ERR_CONFLICT: nobody knows; ERR_CANCELLED.
 */
int job_wait(struct job *job, struct error *err) MUST_CHECK;
