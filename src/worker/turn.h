/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whose turn it is to act on a stack: this node's, by the Swarm (a manager, the leader where that is asked
 * for), and this agent's, by the stack's lease. What is waited for is in `status`.
 */

#include "agent/step.h"

struct turn {
    struct step_ctx *ctx;
    /*
     * It may have had effects, and then waits for as long as it takes: it has things to finish. One that has
     * not gives up for good reasons.
     */
    bool begun;
    int (*give_up)(void *userdata, struct error *err); /* asked of one that has not begun; -1: with this */
    void *userdata;
};

/* ERR_CONFLICT (LEASE_PASSED): what has begun is in the hands of another agent by now. */
int turn_wait(const struct turn *turn, struct error *err) MUST_CHECK;
/* Of a plan that changes something. ERR_CONFLICT (LEASE_MOVED): it was made from what is no longer so. */
int turn_take(const struct turn *turn, struct error *err) MUST_CHECK;
