/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The probes of a service that nobody touches: for baselines, and beside the rolled ones in the soak. */

#include "steps/probe.h"

struct watch {
    struct step_ctx *ctx;
    const struct stack_service *service;
    struct prober *prober;
};

/* One for each service of the stack that has a check or a healthcheck, but those that are skipped. */
struct watches {
    struct watch *items;
    size_t n;
};

int watches_open(struct step_ctx *ctx, bool (*skip)(struct step_ctx *ctx, const char *service),
                 struct watches *ret, struct error *err) MUST_CHECK;
void watches_close(struct watches *watches);

/*
 * Asks everything once. A service that does not exist, or has no replicas, is not asked. False: the engine is
 * away, *ret_why says how.
 */
bool watches_round(struct watches *watches, const char **ret_why);
