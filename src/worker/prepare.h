/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* snapshot + engine + record → plan, without any effect. Used by `run` (which saves the plan) and `plan`
 * (which shows it). */

#include "agent/plan.h"
#include "worker/images.h"

struct prepared {
    struct arena arena;
    struct snapshot snapshot;
    struct observed observed;
    struct images images;
    struct plan plan;
    struct deployment base; /* last success; id 0: none */
};

struct prepare_request {
    struct work *work;
    const char *commit;
    bool keep_images; /* of the last success, when it was of this commit: tags that moved stay out of it */
    struct step_ctx *ctx;                              /* for waiting; NULL: do not wait */
    int (*give_up)(void *userdata, struct error *err); /* may be NULL */
    void *userdata;
};

int prepare(const struct prepare_request *request, struct prepared *ret, struct error *err) MUST_CHECK;
void prepared_release(struct prepared *prepared);

/*
 * The first part of it. The mirror has the commit since the poll; one that was lost or damaged meanwhile is
 * fetched anew, once. That the remote cannot be asked now, or that another process fetches, says nothing
 * about the commit: with a ctx it is waited for.
 */
int prepare_snapshot(const struct prepare_request *request, struct snapshot *ret,
                     struct error *err) MUST_CHECK;

/* Adds the specs that `rollback` may go back to, for plan_input.retained: their configs and secrets stay. */
int retained_specs(struct work *work, struct arena *arena, const char *stack, json_t *ret,
                   struct error *err) MUST_CHECK;

int observe(struct docker *docker, const char *name, const struct stack *stack, struct observed *ret,
            struct error *err) MUST_CHECK;
