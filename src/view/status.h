/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A stack as it stands: its row of the journal, and what only agentd knows when it runs. */

#include "view/at_work.h"
#include "view/ending.h"
#include "view/view.h"

struct status {
    struct stack_state row;
    struct deployment deployed; /* the last success; id 0: none */
    struct service_record *services;
    size_t n_services;
    struct deployment under_way; /* id 0: none */
    struct at_work work;         /* what it is at */
    struct deployment held;      /* id 0: none */
    struct ending_migrations held_migrations;
    const json_t *agentd;    /* its object for this stack, borrowed; NULL: down, or not its stack */
    int64_t frozen_until_us; /* 0: not frozen; as agentd says, of one that is down whoever asks says it */
};

/* `agentd` is the answer to the verb `status`; NULL: it is down. journal NULL: agentd has never run, and
 * nothing is known yet. */
int status_read(struct journal *journal, struct arena *arena, const char *stack, const json_t *agentd,
                struct status *ret, struct error *err) MUST_CHECK;
json_t *status_stack_json(struct arena *arena, const struct status *status);
/* The object of `status --json`. */
json_t *status_json(struct arena *arena, const json_t *agentd, const struct status *all, size_t n);

bool status_tip_is_deployed(const struct status *status);
/* agentd has asked Git since it was started, and got an answer the last time. */
bool status_is_seen(const struct status *status);
/* What is held may have left something else running than the last success did, also of the same commit: a new
 * image, another env_file, a retry. And of a branch that is not seen nobody knows. */
bool status_in_step(const struct status *status);
/* The newest error of polling: the journal has the first of a row and each other text, agentd what it met
 * last. */
const char *status_poll_error(const struct status *status);
bool status_pause_is_on(const struct stack_state *row);

/* What others changed, in words. */
struct status_drift {
    const char **services; /* a line each */
    size_t n;
    const char *note; /* why they stay so; "": nothing to say */
};
/* False: nothing was changed, as far as that was seen. */
bool status_drift(struct arena *arena, const struct status *status, struct status_drift *ret);
