/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/control.h"
#include "agent/events.h"
#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "worker/receivers.h"
#include "worker/verbs.h"

/*
 * Delivers what waits in the outbox for one receiver, in order, until nothing is left, something fails, or it
 * has taken long enough: agentd starts another one then. Exit 0: what became of it is in the outbox.
 */

static const struct receiver_kind *const receiver_kinds[] = {&receiver_notify, &receiver_status,
                                                             &receiver_records};

/* agentd gives one job more than this; see receivers.c there. */
static const int64_t long_enough_us = 20 * US_PER_S;

/* "notify chat" is the receiver chat of the kind notify. */
static const struct receiver_kind *find_kind(struct delivery *d)
{
    for (size_t i = 0; i < ARRAY_SIZE(receiver_kinds); i++) {
        const char *kind = receiver_kinds[i]->kind;
        size_t len = strlen(kind);
        if (strncmp(d->receiver, kind, len) != 0 || (d->receiver[len] && d->receiver[len] != ' '))
            continue;
        d->name = d->receiver[len] ? d->receiver + len + 1 : "";
        return receiver_kinds[i];
    }
    return NULL;
}

static int note_failure(struct delivery *d, const struct error *why, struct error *err)
{
    struct journal *journal = d->work->journal;
    struct receiver receiver;
    bool found;
    if (outbox_receiver(journal, &d->arena, d->receiver, &receiver, &found, err) < 0)
        return -1;
    if (!found)
        return 0;
    int64_t next_us = outbox_retry_us(receiver.attempts), now = wall_us();
    if (next_us < d->retry_after_us)
        next_us = d->retry_after_us < OUTBOX_RETRY_MOST_US ? d->retry_after_us : OUTBOX_RETRY_MOST_US;
    /* the first failure in a row is news, what follows is in `agentctl status` */
    if (receiver.attempts == 0)
        log_event(LOG_LEVEL_WARNING, MESSAGE_RECEIVER_FAILING,
                  "%s cannot be told: %s; it is tried again until it can", d->receiver, why->text);
    return outbox_failed(journal, d->receiver, why->text, now + next_us, err);
}

/* The first `done` of them need not come again. */
static int note_done(struct delivery *d, const struct event *events, size_t done, struct error *err)
{
    struct journal *journal = d->work->journal;
    const struct verdict *told = d->told.commit ? &d->told : NULL;
    int64_t position = events[done - 1].id;
    if (d->passed)
        return outbox_pass(journal, d->receiver, position, err);
    if (d->refused)
        return outbox_refused(journal, d->receiver, position, d->refused, err);
    if (outbox_done(journal, d->receiver, position, told, err) < 0)
        return -1;
    if (d->row.attempts)
        log_notice("%s is told again, after %u that failed", d->receiver, d->row.attempts);
    return 0;
}

unsigned receiver_batch(unsigned most, unsigned attempts, unsigned before)
{
    unsigned n = before ? before * 2 : attempts < 32 ? most >> attempts : 0;
    return n > most ? most : n ? n : 1;
}

/* 1: there may be more; 0: nothing is left, or it failed and that is noted; -1: the outbox itself fails */
static int deliver_some(struct delivery *d, const struct receiver_kind *kind, struct error *err)
{
    struct journal *journal = d->work->journal;
    struct event *events;
    size_t n, done = 0;
    struct error why = {0};
    bool found;
    if (outbox_receiver(journal, &d->arena, d->receiver, &d->row, &found, err) < 0)
        return -1;
    if (!found)
        return 0;
    d->batch = receiver_batch(kind->batch, d->row.attempts, d->batch);
    if (outbox_next(journal, &d->arena, d->receiver, d->batch, &events, &n, err) < 0)
        return -1;
    if (n == 0)
        return 0;
    d->told = (struct verdict){0};
    d->retry_after_us = 0;
    d->passed = false;
    d->refused = NULL;
    int r = kind->deliver(d, events, n, &done, &why);
    if (r == 0)
        fault_point("notify.sent");
    if (done && note_done(d, events, done, err) < 0)
        return -1;
    if (r == 0)
        return done > 0;
    return why.kind == ERR_CANCELLED ? 0 : note_failure(d, &why, err);
}

static int deliver_all(struct delivery *d, const struct receiver_kind *kind, struct error *err)
{
    struct error why = {0};
    int64_t until = mono_us() + long_enough_us;
    if (kind->open && kind->open(d, &why) < 0)
        return note_failure(d, &why, err);
    int r = 1;
    while (r > 0 && !proc_stop_requested() && mono_us() < until) {
        r = deliver_some(d, kind, err);
        arena_release(&d->arena);
    }
    return r < 0 ? -1 : 0;
}

/* Held until the process ends: one that an agentd before this one started may still be at it. */
static int lock_receiver(struct delivery *d, struct error *err)
{
    int ignored_fd;
    char *path = arena_printf(&d->arena, "%s/receiver-%s.lock", d->work->config.state_dir, d->receiver);
    for (char *p = path + strlen(d->work->config.state_dir); *p; p++)
        if (*p == ' ')
            *p = '-';
    return fs_lock(path, &ignored_fd, err);
}

static int run(const struct verb_context *context, struct delivery *d, struct error *err)
{
    const struct receiver_kind *kind = find_kind(d);
    if (!kind)
        return error_set(err, ERR_INVALID, 0, "no receiver '%s'", d->receiver);
    if (work_open(d->work, context->config_path, err) < 0 ||
        work_open_journal(d->work, JOURNAL_WRITE, err) < 0 || lock_receiver(d, err) < 0)
        return -1;
    int r = deliver_all(d, kind, err);
    if (kind->close)
        kind->close(d);
    return r;
}

int cmd_notify(const struct verb_context *context, int argc, char **argv)
{
    struct work work = {0};
    struct delivery delivery = {.work = &work, .receiver = argv[1]};
    struct error err = {0};
    int code = EXIT_GOOD;
    if (argc != 2) {
        fprintf(stderr, "usage: agent-worker notify RECEIVER\n");
        return EXIT_BAD_USAGE;
    }
    proc_catch_stop();
    if (run(context, &delivery, &err) < 0)
        code = err.kind == ERR_CONFLICT ? EXIT_LOCKED : EXIT_FAILED;
    if (code == EXIT_FAILED)
        log_error("%s: %s", delivery.receiver, err.text);
    arena_release(&delivery.arena);
    work_close(&work);
    return code;
}
