/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The health gate of one service: whether the update that this deployment sent has worked. Its verdict
 * comes only from tasks with the new spec that this update created.
 *
 *     gate_open()   once the update was sent
 *     gate_wait()   until it passes or fails (healthy_deadline)
 *     gate_watch()  one look during the soak
 *     gate_close()
 */

#include "agent/check.h"
#include "agent/step.h"

struct gate;
struct prober;

struct gate_options {
    const char *service; /* key */
    const char *service_id;
    const json_t *excused;    /* IDs of tasks that existed before the update */
    const char *sent;         /* spec_hash() of what our update left; other specs are not what is judged */
    bool resumed;             /* the update was sent by a worker that died: nobody watched for a while */
    bool going_back;          /* it is put back: checks only where they passed before */
    unsigned failures_before; /* tasks of it that failed in the minutes before: context for a verdict */
    bool was_well;            /* gate_was_well(), for a way back without baselines */
};

int gate_open(struct step_ctx *ctx, const struct gate_options *options, struct gate **ret,
              struct error *err) MUST_CHECK;
void gate_close(struct gate *gate);

/* 0: passed. ERR_FAILED: regressed, the text says why in one line with numbers; inconclusive when it ends
   with STEP_HALT_TEXT (on the way back that would not be true: there it says what is). ERR_CANCELLED: asked
   to stop. ERR_CONFLICT: somebody else changed the service. */
int gate_wait(struct gate *gate, struct error *err) MUST_CHECK;
/* 0: still well, or it cannot be said yet. */
int gate_watch(struct gate *gate, struct error *err) MUST_CHECK;
const char *gate_service(const struct gate *gate);
/* Its checks, as they were asked since the update. */
const struct prober *gate_prober(const struct gate *gate);

/* Once it passed: what fails now and may, as it did before, with its numbers; NULL: nothing. In the gate. */
const char *gate_degraded(struct gate *gate);

/* "healthy", "degraded" or "unverified", with why, goes into the record of the service. */
int gate_save_state(struct gate *gate, struct error *err) MUST_CHECK;
/* Replicas that ran at the last look, of those wanted; false: they could not be counted. */
bool gate_count(const struct gate *gate, unsigned *ret_good, unsigned *ret_desired);
/* The engine was away: what it ended is given time. */
bool gate_recovers(const struct gate *gate);
/* How long the engine was away since this was asked last, as far as this gate saw. */
int64_t gate_take_away_us(struct gate *gate);

/* Before it is touched: do its checks pass? Asked once where there is no baseline. */
bool gate_was_well(struct step_ctx *ctx, const char *service, const char *service_id);
