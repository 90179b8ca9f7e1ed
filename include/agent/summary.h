/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Questions about the journal that are asked often: by /metrics, by pages that look whether anything is new.
 * Each is a walk in one index, however long the history, and leaves the large columns alone.
 */

#include "agent/journal.h"

struct deployment_brief {
    int64_t id; /* 0: there is none */
    enum deployment_state state;
    int64_t requested_us, started_us, finished_us;
    char commit[41];
};

struct stack_summary {
    struct deployment_brief last;      /* the newest that came to an end of its own: not a superseded one */
    struct deployment_brief success;   /* the newest that succeeded */
    struct deployment_brief under_way; /* as journal_runnable() */
};
int journal_summary(struct journal *journal, const char *stack, struct stack_summary *ret,
                    struct error *err) MUST_CHECK;

/* What waits for a receiver of agent/outbox.h: how many events, counted up to `most`, and the time of the
   oldest (0: none). */
int journal_backlog(struct journal *journal, const char *receiver, int64_t most, int64_t *ret_events,
                    int64_t *ret_oldest_us, struct error *err) MUST_CHECK;

/* Steps of a deployment without params, progress, fingerprint, live and output. */
int journal_step_times(struct journal *journal, struct arena *arena, int64_t id, struct step **ret,
                       size_t *ret_count, struct error *err) MUST_CHECK;

/* A text that is another one whenever something was committed since, by whomever. Of this connection: another
 * one for the same content after the journal was opened again. */
char *journal_mark(struct journal *journal, struct arena *arena);
