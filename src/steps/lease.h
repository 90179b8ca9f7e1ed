/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who deploys a stack, when agents of several hosts could: a config object in Swarm's own store,
 * STACK.deploy-agent, whose labels name the holder. Each write names the version it has read
 * (compare-and-swap), so of two that write at once one is refused. The holder writes again while it works (a
 * beat); nobody writes when nothing is deployed.
 *
 * No clock is compared with another host's: who waits takes over when it has seen the same version for
 * lease_patience_us of its own monotonic clock.
 *
 *     lease_look()     before the plan: is it our turn? Remembers the version
 *     lease_take()     before the first effect; refused when it moved since: plan again
 *     lease_keep()     in every wait
 *     lease_confirm()  before each effect
 *     lease_give()     at the end
 *
 * A holder that was away (stopped, cut off) cannot act on a lease that was taken from it: confirming is a
 * write, too. What was already sent then is fenced by the version of the service that it names.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/error.h"
#include "base/arena.h"

extern const int64_t lease_patience_us;

struct lease_owner { /* one agent on one node; copies of a state directory differ in the node */
    const char *host_id, *node_id;
};

struct lease_record { /* what the object says; zeroed: there is none */
    const char *id;   /* of the object */
    uint64_t version;
    bool held;
    const char *deployment; /* HOSTID/ID of who has it, or had it last */
    const char *node_id;
    const char *host; /* the name, for people */
};

struct lease_sight { /* of a waiter, zeroed before the first look */
    uint64_t version;
    int64_t since_us; /* monotonic */
};

enum lease_standing { LEASE_FREE, LEASE_OURS, LEASE_HELD, LEASE_EXPIRED };

/* Pure. An object without labels of ours reads as free. */
struct lease_record lease_read(struct arena *arena, const json_t *config);
/* Pure. Free or held: is the last that had it the same agent? */
bool lease_is_of(const struct lease_record *record, const struct lease_owner *owner);
/* Pure, but for *sight, which it keeps up to date. */
enum lease_standing lease_judge(const struct lease_record *record, const struct lease_owner *owner,
                                struct lease_sight *sight, int64_t now_us);
/* "the agent on node2 (its deployment #7)" */
const char *lease_holder(struct arena *arena, const struct lease_record *record);

struct lease;
struct lease_options {
    const char *engine; /* its address; the lease has a connection of its own */
    const char *stack, *host_id;
    int64_t deployment;
};
int lease_open(const struct lease_options *options, struct lease **ret, struct error *err) MUST_CHECK;
void lease_close(struct lease *lease);

/* Codes of ERR_CONFLICT */
enum { LEASE_MOVED = 1, LEASE_PASSED };
/*
 * 0: nobody else deploys. ERR_UNAVAILABLE: somebody does, err says who. `begun`: this deployment may have had
 * effects, and ERR_CONFLICT (LEASE_PASSED) says that another agent has had the stack since.
 */
int lease_look(struct lease *lease, const char *node_id, bool begun, struct error *err) MUST_CHECK;
/* ERR_CONFLICT (LEASE_MOVED): somebody had it since the look. */
int lease_take(struct lease *lease, struct error *err) MUST_CHECK;
/* Of one that was taken; others always pass. ERR_CANCELLED (STOP_LEASE): another agent has it, nothing more
 * may be sent. Trouble of the engine is to be waited out. */
int lease_confirm(struct lease *lease, struct error *err) MUST_CHECK;
/* Writes a beat when it is time; for proc_on_alive(). */
void lease_keep(struct lease *lease);
/* Is it with another agent? err, when not NULL, gets who. */
bool lease_is_lost(const struct lease *lease, struct error *err);
/* What cannot be given back now expires. */
void lease_give(struct lease *lease);
