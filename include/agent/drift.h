/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Drift: the services of a stack are no longer what the agent left there. Pure: the record and the engine's
 * lists in, words out. What the engine writes differently from what it was sent is no drift (see
 * agent/spec.h), nor is `docker service update --force`.
 *
 * The stack's row of the journal keeps {"services": [entry, …], "note": why it is only reported, or null};
 * an entry is {"service": key, "name": in Swarm, "kind": K, "by": B, "changes": [words], "text": all of it}.
 *
 *     kind         changed      another spec than ours, or
 *                  rolled_back  the one before ours, which Swarm (or `docker service rollback`) put there
 *                  removed      gone
 *                  foreign      in the stack's namespace, and made by somebody else
 *                  paused       our spec, but Swarm stopped half way: tasks of two specs may run
 *     by           "swarm", "HOSTID/ID" (a deployment of another agent), or null: nothing says who
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/journal.h"
#include "base/arena.h"

struct drift_input {
    const char *stack, *host_id;
    const struct service_record *expected; /* `after` is what the agent left; NULL: not known */
    size_t n_expected;
    const json_t *services; /* the engine's list, of the stack's namespace */
    const json_t *networks; /* see spec_normalise(); NULL: IDs are compared as they are */
};
/* The entries: an array, empty when all is as it was left. New reference. */
json_t *drift_find(struct arena *arena, const struct drift_input *input);

/* "web: changed by someone else: replicas 2 → 5; db: removed by someone else" */
const char *drift_text(struct arena *arena, const json_t *entries);

/* More often than this within an hour is no mishap: something else keeps changing it. */
enum { DRIFT_MAX_CORRECTIONS = 3 };
#define DRIFT_CORRECTIONS_SPAN_US ((int64_t)3600 * 1000000)

struct drift_situation {
    bool correct; /* drift = correct */
    bool watches; /* act = never */
    bool paused, frozen;
    bool held;            /* the newest deployment is no success, or a rollback holds the stack */
    unsigned corrections; /* deployments with trigger drift within the last hour */
};
/* What of `drift = correct` follows for these entries. *ret_note: why they are only reported; NULL: as is
 * wanted, or they are put right. */
bool drift_is_corrected(const json_t *entries, const struct drift_situation *situation,
                        const char **ret_note);
