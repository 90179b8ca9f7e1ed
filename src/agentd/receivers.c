/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/control.h"
#include "agent/log.h"
#include "agent/outbox.h"
#include "agentd/manager.h"
#include "agentd/workers.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

/*
 * Who is told of what happened. The outbox says who has something waiting and when it may be tried; here a
 * worker `notify` is started for each of them, never two for one. Nothing waits for them: a receiver that
 * hangs costs a process for a minute.
 */

/* a worker ends by itself after about 50 s at most: see worker/cmd_notify.c */
static const int64_t worker_timeout_us = 60 * US_PER_S;
/* changes of one moment are one look at the outbox */
static const int64_t gather_us = 100 * 1000;
/* until the worker of an agentd that died has come to its end */
static const int64_t locked_us = US_PER_S;
static const unsigned max_workers = 8;
/* a message is no news when something happened a week after it */
enum { MESSAGES_KEPT = 1000 };
static const int64_t messages_kept_us = 7 * 86400 * US_PER_S;

/* ---- which there are ---- */

/* Ends, and the beginning of the rollout: what a forge shows beside a commit. */
static const char *const status_states[] = {"running",   "succeeded",  "failed", "rolled_back", "halted",
                                            "cancelled", "superseded", "stuck",  NULL};

static void add_notify(struct arena *arena, const struct notify_config *notify, struct receiver_config *ret)
{
    *ret = (struct receiver_config){
        .name = arena_printf(arena, "notify %s", notify->name),
        .states = (const char *const *)notify->on,
        .stacks = *notify->stacks ? (const char *const *)notify->stacks : NULL,
        .keep = MESSAGES_KEPT,
        .keep_us = messages_kept_us,
    };
}

static void add_status(struct arena *arena, const struct stack_config *stack, struct receiver_config *ret)
{
    const char **stacks = arena_array(arena, 2, sizeof *stacks);
    stacks[0] = stack->name;
    *ret = (struct receiver_config){
        .name = arena_printf(arena, "status %s", stack->name),
        .states = status_states,
        .stacks = stacks,
        .keep = MESSAGES_KEPT,
        .keep_us = messages_kept_us,
    };
}

static size_t configured(struct arena *arena, const struct config *config, struct receiver_config **ret)
{
    struct receiver_config *all = arena_array(arena, config->n_notify + config->n_stacks + 2, sizeof *all);
    size_t n = 0;
    if (config->records_postgres || config->records_postgres_file) /* whatever happens, they lose nothing */
        all[n++] = (struct receiver_config){.name = "records", .history = true};
    for (size_t i = 0; i < config->n_notify; i++)
        add_notify(arena, &config->notify[i], &all[n++]);
    for (size_t i = 0; i < config->n_stacks; i++)
        if (config->stacks[i].status_token_file)
            add_status(arena, &config->stacks[i], &all[n++]);
    *ret = all;
    return n;
}

void receivers_configure(struct manager *manager)
{
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    struct receiver_config *all;
    if (!manager->journal)
        return;
    manager->n_receivers = configured(&arena, &manager->config, &all);
    if (outbox_configure(manager->journal, all, manager->n_receivers, &err) < 0 ||
        outbox_try_now(manager->journal, &err) < 0)
        manager_journal_failed(manager, &err, "recording who is told of deployments");
    receivers_wake(manager);
}

/* ---- their workers ---- */

static bool is_served(const struct manager *manager, const char *receiver)
{
    for (const struct worker *w = manager->workers; w; w = w->next)
        if (w->kind == WORKER_NOTIFY && str_eq(w->userdata, receiver))
            return true;
    return false;
}

/* It had no time to say so itself. */
static void record_failure(struct manager *manager, const char *name, const char *how)
{
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    struct receiver receiver;
    bool found;
    if (!manager->journal)
        return;
    if (outbox_receiver(manager->journal, &arena, name, &receiver, &found, &err) < 0 ||
        (found && outbox_failed(manager->journal, name, arena_printf(&arena, "agent-worker %s", how),
                                wall_us() + outbox_retry_us(receiver.attempts), &err) < 0))
        manager_journal_failed(manager, &err, "recording that a receiver was not told");
}

static int on_receivers_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void wake_in(struct manager *manager, int64_t us)
{
    timer_set(manager->event, &manager->receivers_timer, us, on_receivers_timer, manager);
    manager->receivers_wake_us = mono_us() + us;
}

static void on_notify_ended(struct worker *worker)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = worker->manager;
    char *name = worker->userdata;
    bool locked = worker->exit_code == EXIT_LOCKED;
    if (!manager->stopping && !locked && (worker->exit_code != 0 || worker->timed_out))
        record_failure(manager, name, worker_end_text(&arena, worker));
    worker->userdata = NULL;
    free(name);
    if (locked)
        wake_in(manager, locked_us);
    else
        receivers_wake(manager);
}

static void start(struct manager *manager, const char *receiver)
{
    struct error err = {0};
    struct worker *worker;
    char *name = NULL;
    set_text(&name, receiver);
    const struct worker_options options = {.kind = WORKER_NOTIFY,
                                           .arguments = (const char *const[]){"notify", receiver, NULL},
                                           .timeout_us = worker_timeout_us,
                                           .ended = on_notify_ended,
                                           .userdata = name};
    if (worker_start(manager, &options, &worker, &err) == 0)
        return;
    free(name);
    record_failure(manager, receiver, err.text);
}

static int on_receivers_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct manager *manager = userdata;
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    struct receiver *all;
    size_t n;
    int64_t now = wall_us(), next_us = INT64_MAX;
    (void)source;
    (void)usec;
    manager->receivers_wake_us = 0;
    if (!manager->journal || manager->stopping)
        return 0;
    if (outbox_receivers(manager->journal, &arena, &all, &n, &err) < 0) {
        manager_journal_failed(manager, &err, "asking the journal who is to be told");
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (!all[i].waiting || is_served(manager, all[i].name))
            continue;
        /* the clock may have been set back: no try is further away than the longest pause */
        int64_t left = all[i].next_us - now;
        if (left > 0 && left <= OUTBOX_RETRY_MOST_US)
            next_us = left < next_us ? left : next_us;
        else if (workers_count(manager, WORKER_NOTIFY) < max_workers) /* else: when one of those ends */
            start(manager, all[i].name);
    }
    if (next_us < INT64_MAX)
        wake_in(manager, next_us);
    return 0;
}

void receivers_wake(struct manager *manager)
{
    if (!manager->n_receivers || !manager->journal || manager->stopping)
        return;
    if (!manager->receivers_wake_us || manager->receivers_wake_us > mono_us() + gather_us)
        wake_in(manager, gather_us);
}

int receivers_tell_polls(struct watch *watch, bool stalled, const char *reason)
{
    struct manager *manager = watch->manager;
    struct error err = {0};
    if (!manager->journal)
        return -1;
    if (outbox_tell_polls(manager->journal, watch->name, stalled, reason, &err) < 0) {
        manager_journal_failed(manager, &err, "recording what is to be told");
        return -1;
    }
    receivers_wake(manager);
    return 0;
}

void receivers_free(struct manager *manager)
{
    for (struct worker *w = manager->workers; w; w = w->next)
        if (w->kind == WORKER_NOTIFY)
            free(TAKE(w->userdata));
    sd_event_source_disable_unref(manager->receivers_timer);
}
