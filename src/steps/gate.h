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

struct gate_options {
    const char *service, *name; /* key, Swarm name */
    const char *service_id;
    const json_t *excused; /* IDs of tasks that existed before the update */
    const char *
        sent; /* spec_hash() of what our update left; other specs are somebody else's. NULL: it is put back */
    bool with_checks;
    bool resumed;         /* the update was sent by a worker that died: nobody watched for a while */
    const char *baseline; /* "200 before", from gate_baseline(); NULL: none */
};

int gate_open(struct step_ctx *ctx, const struct gate_options *options, struct gate **ret,
              struct error *err) MUST_CHECK;
void gate_close(struct gate *gate);

/* 0: passed. ERR_FAILED: regressed, the text says why in one line with numbers. ERR_CANCELLED: asked to stop.
   ERR_CONFLICT: somebody else changed the service. */
int gate_wait(struct gate *gate, struct error *err) MUST_CHECK;
/* 0: still well, or it cannot be said yet. */
int gate_watch(struct gate *gate, struct error *err) MUST_CHECK;
/* Once it passed: why nothing tells its health besides "it runs", in words; NULL: something does. */
const char *gate_unverified(const struct gate *gate);
const char *gate_service(const struct gate *gate);

/* Asks the checks of a service once, before it is touched. Text such as "200 before"; NULL: no check, or
 * nothing runs. */
const char *gate_baseline(struct step_ctx *ctx, const char *service, const char *service_id,
                          bool *ret_passed);
