/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who is told of what happened: one file and one row of receiver_kinds per kind. cmd_notify.c takes events
 * from the outbox, hands them to the kind in order, and writes down what became of it.
 */

#include "agent/outbox.h"
#include "worker/work.h"

struct delivery {
    struct work *work;    /* configuration, and the journal open for writing */
    const char *receiver; /* as the outbox knows it: "notify chat" */
    const char *name;     /* what follows the kind: "chat"; "" when nothing does */
    struct arena arena;   /* emptied after each call of deliver() */
    void *state;          /* the kind's own */

    struct receiver row; /* as it was before deliver(): failures in a row, what was dropped */
    unsigned batch;      /* how many events it sees at most */

    /* set by deliver() */
    struct verdict told;    /* what the receiver was told of a commit; commit NULL: nothing */
    int64_t retry_after_us; /* it wants to be left alone for so long; 0: it did not say */
    bool passed;            /* what is done was not sent: nobody needs it */
    const char *refused;    /* what is done will never be taken, and why; NULL: it was */
};

struct receiver_kind {
    const char *kind;
    unsigned batch; /* events that deliver() sees at once, at most; fewer after failures */
    /* Before the first event; what it could open it keeps in ->state also when it fails. May be NULL. */
    int (*open)(struct delivery *delivery, struct error *err);
    /* Delivers the first of them, or more. *ret_done: how many, from the first on, need not come again; also
       when it fails. Must end by itself in 30 s. ERR_CANCELLED: because of proc_stop_requested(), no failure.
     */
    int (*deliver)(struct delivery *delivery, const struct event *events, size_t n, size_t *ret_done,
                   struct error *err);
    void (*close)(struct delivery *delivery); /* may be NULL */
};

/* How many events to hand over at once, of `most`: what fails may be too large, so that each failure in a row
 * halves it; of `before`, which went well (0: none yet), twice as many come next. */
unsigned receiver_batch(unsigned most, unsigned attempts, unsigned before);

/* Where its messages go: url, or what url_file holds, looked at again. */
int notify_url(struct work *work, const struct notify_config *config, const char **ret,
               struct error *err) MUST_CHECK;

extern const struct receiver_kind receiver_notify;  /* receive_notify.c: messages */
extern const struct receiver_kind receiver_status;  /* receive_status.c: commit statuses */
extern const struct receiver_kind receiver_records; /* receive_records.c: the history in PostgreSQL */
