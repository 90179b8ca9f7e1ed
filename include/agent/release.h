/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * x-release: what the agent adds to a stack file (docs/stack-file.md). Decoded from the node tree that
 * src/stack kept; every key has a default, unknown keys and keys that this version does not do yet are
 * refused with file:line:column. Pure. Strings live in the given arena.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "agent/node.h"
#include "agent/stack.h"
#include "base/arena.h"

enum run_when { RUN_ALWAYS, RUN_FIRST_DEPLOY, RUN_CHANGED };

struct run_step {
    const char *name, *service;
    const char **command; /* NULL-terminated, replaces the image's arguments */
    const char **check;   /* NULL: none; runs after the command succeeded and must exit 0 */
    int64_t timeout_us;   /* of each of the two */
    enum run_when when;
    const char **paths; /* RUN_CHANGED */
    bool allow_failure;
};

struct health_check {
    const char *service; /* whose health it decides */
    const char *host; /* of the URL: a service key of this stack is asked task by task, other names by name */
    unsigned port;
    const char *path;  /* path and query, "/" at least */
    const char *label; /* "web /health", for messages */
    unsigned status;   /* the one that passes */
    const char *body;  /* extended regular expression; NULL: any */
    const char *host_header;
    const char **headers; /* "Name: value", NULL-terminated */
    int64_t timeout_us;
};

struct gate_settings {
    int64_t probe_interval_us, min_healthy_us, healthy_deadline_us, total_deadline_us, soak_us;
    unsigned success_threshold, failure_threshold;
};

struct release {
    const char *database_service;  /* NULL: none */
    const char *database_url_from; /* NULL: none */
    int64_t database_ready_us;
    struct run_step *steps;
    size_t n_steps;
    const char **before; /* service keys, NULL-terminated; the database first */
    const char **order;
    struct health_check *checks;
    size_t n_checks;
    struct gate_settings gate;
};

/* node NULL: all defaults. Service names are checked against the stack's. */
int release_decode(struct arena *arena, const struct node *node, const struct stack *stack,
                   struct release *ret, struct error *err) MUST_CHECK;

/*
 * Keys of all services in the order they are rolled: `before` first (*ret_n_before of them), then
 * `order`, then depends_on, then file order. A cycle in depends_on is refused.
 */
int release_rollout_order(struct arena *arena, const struct release *release, const struct stack *stack,
                          const char ***ret, size_t *ret_n_before, struct error *err) MUST_CHECK;
