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
 * write, too. What was confirmed within the last second, of thirty that a waiter waits, is not asked again.
 * So a request may be on its way, or its sender be stopped, between the answer and the effect. An update is
 * fenced by the version of the object that it names; a create is not, nor is a removal.
 *
 * The object also says which migration jobs have ended well, and from which deployments it was taken over. So
 * the agent that takes over neither runs a migration again that is done, nor one beside that which still
 * runs.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/docker.h"
#include "agent/error.h"
#include "base/arena.h"

extern const int64_t lease_patience_us;

struct lease_owner { /* one agent on one node: copies of a state directory differ in the node */
    const char *host_id, *node_id;
};

struct lease_record { /* what the object says; zeroed: there is none */
    const char *id;   /* of the object */
    uint64_t version;
    bool held;
    const char *deployment; /* HOSTID/ID of who has it, or had it last */
    const char *node_id, *node_name;
    const char *from; /* deployments it was taken over from, HOSTID/ID each, a blank between them */
    const char *done; /* jobs that have ended well, by name, likewise */
    const char *held_commit,
        *held_why; /* what is not to be tried again by itself; why in words: "rolled_back" */
};

struct lease_sight { /* of a waiter; zeroed before the first look */
    uint64_t version;
    int64_t since_us; /* monotonic */
};

enum lease_standing { LEASE_FREE, LEASE_OURS, LEASE_HELD, LEASE_EXPIRED };

/* ---- pure ---- */
/* Labels that are missing read as "", and such an object as free. */
struct lease_record lease_read(struct arena *arena, const json_t *config);
/* Free or held: is the last that had it this agent? */
bool lease_is_of(const struct lease_record *record, const struct lease_owner *owner);
/* Keeps *sight up to date. */
enum lease_standing lease_judge(const struct lease_record *record, const struct lease_owner *owner,
                                struct lease_sight *sight, int64_t now_us);
/* Is the word one of the list's? */
bool lease_lists(const char *list, const char *word);
/* "the agent on node2 (its deployment #7)" */
const char *lease_holder(struct arena *arena, const struct lease_record *record);

/* ---- the object ---- */
struct lease;
struct lease_options {
    const char *engine; /* its address; the lease has a connection of its own */
    const char *stack, *host_id;
    int64_t deployment;
    /* jobs of this commit that another agent has brought to a good end are not run again; NULL: they are */
    const char *commit;
};
int lease_open(const struct lease_options *options, struct lease **ret, struct error *err) MUST_CHECK;
void lease_close(struct lease *lease);

/* Codes of ERR_CONFLICT */
enum { LEASE_MOVED = 1, LEASE_PASSED };
/*
 * 0: nobody else deploys. ERR_UNAVAILABLE: somebody does, err says who. `begun`: this deployment may have had
 * effects, and ERR_CONFLICT (LEASE_PASSED) says that another agent has had the stack since.
 */
int lease_look(struct lease *lease, const struct swarm_info *node, bool begun, struct error *err) MUST_CHECK;
/* ERR_CONFLICT (LEASE_MOVED): somebody had it since the look. */
int lease_take(struct lease *lease, struct error *err) MUST_CHECK;

/* From here on a lease that is NULL or was not taken is nobody's concern: all is well with it. */
/* ERR_CANCELLED (STOP_LEASE): another agent has it, nothing more may be sent. Trouble of the engine is to be
   waited out. */
int lease_confirm(struct lease *lease, struct error *err) MUST_CHECK;
/* Writes a beat when it is time; for proc_on_alive(). */
void lease_keep(struct lease *lease);
/* Has another agent taken it? err, when not NULL, gets who. */
bool lease_is_lost(const struct lease *lease, struct error *err);
/* Was it taken over from the deployment with this label HOSTID/ID? NULL is none. */
bool lease_inherits(const struct lease *lease, const char *deployment);
/* Has the job ended well, in this deployment or in one that was taken over? */
bool lease_job_is_done(const struct lease *lease, const char *job);
/* Says so, before the job goes. Repeatable. Errors as of lease_confirm(). */
int lease_note_job(struct lease *lease, const char *job, struct error *err) MUST_CHECK;
/*
 * By the last look: is this a deployment of another agent that came to no good end, or to none? What it left
 * is not known to work.
 */
bool lease_doubts(const struct lease *lease, const char *deployment);
/*
 * held_commit: is not to be tried by another agent on its own, because of `why`; NULL: there is none. An
 * engine that is away is asked again until others may take the lease over anyway.
 */
void lease_give(struct lease *lease, const char *held_commit, const char *why);
/*
 * For one that a dead worker left, by the last look: the deployment of this agent that holds it; 0: none. Who
 * has made sure that it has ended takes its place, to give it back.
 */
int64_t lease_left(const struct lease *lease);
void lease_take_left(struct lease *lease);
bool lease_is_anothers(const struct lease *lease);
/* ERR_REFUSED when another agent has, by the last look, given back the lease so for this commit. */
int lease_check_hold(const struct lease *lease, const char *commit, struct error *err) MUST_CHECK;
