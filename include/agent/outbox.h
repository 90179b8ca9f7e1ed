/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The outbox in the journal: each change of a deployment's state is an event, for every receiver that wants
 * it, written in the same transaction. Receivers are the records in PostgreSQL ("records"), notifications
 * ("notify NAME") and commit statuses ("status STACK"). Each has a cursor of its own: it gets its events in
 * order and at least once, and none waits for another. Without receivers nothing is written, and an idle
 * agent writes nothing.
 *
 * agentd calls outbox_configure() at its start and after a reload, and starts a worker for a receiver when
 * outbox_receivers() says that something waits and is due. The worker:
 *
 *     outbox_next(journal, &arena, "notify chat", 1, &events, &n, err);
 *     … delivers events[0 … n-1] …
 *     outbox_done(journal, "notify chat", events[n-1].id, NULL, err);     or outbox_pass(), outbox_refused(),
 * or outbox_failed(journal, "notify chat", error.text, wall_us() + delay, err);
 *
 * One worker per receiver at a time. Who dies between delivery and outbox_done() delivers the same events
 * again: event.id, with the host's id of journal_identity(), tells a receiver that it has it already.
 */

#include "agent/journal.h"

struct receiver_config {
    const char *name;
    const char *const *stacks; /* NULL-terminated; NULL: all */
    const char *const *states; /* names of deployment states, NULL-terminated; NULL: all */
    /* What may wait for a receiver that fails; what is beyond is dropped and counted. 0: everything waits. */
    unsigned keep;
    int64_t keep_us; /* before the newest that happened */
    bool history; /* when it is new, it gets an event for each deployment that is on record, the oldest first;
                     else it begins with the next change */
};
/* The receivers are these from now on. One that is not among them any more is forgotten, with what waits for
   it. Writes only what differs. */
int outbox_configure(struct journal *journal, const struct receiver_config *receivers, size_t n,
                     struct error *err) MUST_CHECK;

struct receiver {
    const char *name;
    bool waiting;             /* something is to be delivered */
    int64_t position;         /* the last event that it got, or did not want */
    int64_t next_us;          /* not before (wall); 0: at once */
    int64_t failing_since_us; /* 0: its last delivery went well */
    unsigned attempts;        /* failed ones, in a row */
    const char *error;        /* of the last one; NULL */
    int64_t dropped;          /* events that it never got, since its last delivery */
};
int outbox_receivers(struct journal *journal, struct arena *arena, struct receiver **ret, size_t *ret_count,
                     struct error *err) MUST_CHECK;
int outbox_receiver(struct journal *journal, struct arena *arena, const char *name, struct receiver *ret,
                    bool *ret_found, struct error *err) MUST_CHECK;

struct event {
    int64_t id;         /* counts up, with gaps, never twice in a journal */
    int64_t deployment; /* kept by journal_trim() as long as an event names it; 0: none, see journal/0006 */
    const char *stack;
    const char *state;  /* what it was then; the deployment may have gone on */
    const char *reason; /* NULL: none */
    int64_t at_us;
};
int outbox_next(struct journal *journal, struct arena *arena, const char *receiver, unsigned limit,
                struct event **ret, size_t *ret_count, struct error *err) MUST_CHECK;

/* A verdict, for receivers that are told the same one only once in a row. */
struct verdict {
    const char *stack, *commit, *state;
};
/* The last one that the receiver got of the stack; commit and state NULL: none yet. */
int outbox_told(struct journal *journal, struct arena *arena, const char *receiver, const char *stack,
                struct verdict *ret, struct error *err) MUST_CHECK;
/* Whoever failed may be tried at once, not only after its pause: somebody may have mended what was wrong.
   Writes only where there is a pause. */
int outbox_try_now(struct journal *journal, struct error *err) MUST_CHECK;
/* How the stack's deployment before this one ended, if any came to an end of its own and is still on record;
   commit and state NULL: none. */
int outbox_verdict_before(struct journal *journal, struct arena *arena, const char *stack, int64_t deployment,
                          struct verdict *ret, struct error *err) MUST_CHECK;
/* It has got all up to this event. told: what it was told; NULL: no verdict. Never moves back. */
int outbox_done(struct journal *journal, const char *receiver, int64_t position, const struct verdict *told,
                struct error *err) MUST_CHECK;
/* It does not need what is up to this event: nothing was sent, so whether it can be told is as open as
 * before. */
int outbox_pass(struct journal *journal, const char *receiver, int64_t position,
                struct error *err) MUST_CHECK;
/* It has answered that it will never take this event, which is counted as dropped; the error stays to be
   seen until a delivery goes well. */
int outbox_refused(struct journal *journal, const char *receiver, int64_t position, const char *error,
                   struct error *err) MUST_CHECK;
/* Not before next_us again. Drops what is beyond the receiver's limits. */
int outbox_failed(struct journal *journal, const char *receiver, const char *error, int64_t next_us,
                  struct error *err) MUST_CHECK;
/* How long to wait after so many failures in a row and one more: 1 s, doubled up to 5 minutes, less up to a
   fifth of it at random, so that receivers of many hosts are not asked at the same moment. */
int64_t outbox_retry_us(unsigned attempts);
/* No longer, unless the receiver asks for more; then an hour. */
#define OUTBOX_RETRY_MOST_US ((int64_t)3600 * 1000000)
/* An event of the stack itself, without a deployment: its polls have failed for long (polls_stalled), and
   later that they succeed again (polls_recovered). Each follows the other: nothing is written where that was
   told last. */
int outbox_tell_polls(struct journal *journal, const char *stack, bool stalled, const char *reason,
                      struct error *err) MUST_CHECK;
