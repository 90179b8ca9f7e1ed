/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that change something. What each does in which state is said in agentctl(1). */
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "agent/log.h"
#include "agentd/control.h"
#include "agentd/manager.h"
#include "agentd/workers.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

__attribute__((format(printf, 2, 3))) static void say(struct call *call, const char *format, ...)
{
    cleanup_arena struct arena arena = {0};
    va_list ap;
    va_start(ap, format);
    json_object_set_new(call->reply, "message", json_string(arena_vprintf(&arena, format, ap)));
    va_end(ap);
}

static void set_deployment(struct call *call, int64_t id)
{
    json_object_set_new(call->reply, "deployment", json_integer(id));
}

static const char *caller(struct arena *arena, const struct call *call)
{
    return arena_printf(arena, "uid %u", (unsigned)call->client->uid);
}

/* ---- sync ---- */

int action_sync(struct call *call, struct error *err)
{
    (void)err;
    struct watch *w = call->watch;
    /* a poll that runs already may have read the branch before the push that is meant */
    call->client->sync = w;
    call->client->sync_turn = w->syncs_started + 1;
    schedule_sync(w);
    return 1;
}

/* ---- new requests ---- */

static int request(struct call *call, struct arena *arena, const struct deployment *of, enum trigger trigger,
                   int64_t target, bool hold_absolute, struct error *err)
{
    struct watch *w = call->watch;
    int64_t id;
    struct deployment_request r = {.stack = w->name,
                                   .commit = of->commit,
                                   .branch = of->branch,
                                   .subject = of->subject,
                                   .author = of->author,
                                   .requested_by = caller(arena, call),
                                   .trigger = trigger,
                                   .target_id = target,
                                   .hold_absolute = hold_absolute};
    if (journal_request(call->manager->journal, &r, &id, err) < 0)
        return -1;
    set_deployment(call, id);
    if (runs_paused(w))
        say(call, "%s is paused: #%" PRId64 " starts after agentctl resume", w->name, id);
    else if (w->frozen_until_us && !json_object_get(call->reply, "message"))
        say(call, "%s is frozen, but you ask for it: #%" PRId64 " starts now", w->name, id);
    runs_refresh(w);
    runs_dispatch(call->manager);
    return 0;
}

/* Retry and rollback are about what has ended; while something runs they would mean something else when their
 * turn comes. */
static int refuse_unfinished(struct call *call, struct arena *arena, struct error *err)
{
    struct journal *journal = call->manager->journal;
    struct deployment d;
    int64_t id;
    bool found;
    if (journal_runnable(journal, call->watch->name, &id, err) < 0)
        return -1;
    if (!id)
        return 0;
    if (journal_deployment(journal, arena, id, &d, &found, err) < 0)
        return -1;
    if (!found || (d.state == DEPLOYMENT_REQUESTED && id != call->watch->running))
        return 0; /* not begun: the new request supersedes it */
    return error_set(err, ERR_CONFLICT, 0, "#%" PRId64 " is %s; wait for its end, or agentctl cancel %s", id,
                     deployment_state_name(d.state), call->watch->name);
}

int action_retry(struct call *call, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct journal *journal = call->manager->journal;
    struct watch *w = call->watch;
    struct stack_state state;
    struct deployment d;
    bool found;
    if (refuse_unfinished(call, &arena, err) < 0 || journal_stack(journal, &arena, w->name, &state, err) < 0)
        return -1;
    if (!state.held_id && state.hold_absolute)
        return error_set(err, ERR_CONFLICT, 0,
                         "%s is held by a rollback, nothing failed; let it go on with: agentctl resume %s",
                         w->name, w->name);
    if (!state.held_id)
        return error_set(err, ERR_CONFLICT, 0, "%s is not held: there is nothing to retry", w->name);
    if (call->deployment && call->deployment != state.held_id)
        return error_set(err, ERR_CONFLICT, 0, "#%" PRId64 " is not what holds %s, that is #%" PRId64,
                         call->deployment, w->name, state.held_id);
    if (journal_deployment(journal, &arena, state.held_id, &d, &found, err) < 0)
        return -1;
    if (!found)
        return error_set(err, ERR_NOT_FOUND, 0, "there is no deployment #%" PRId64, state.held_id);
    if (d.trigger == TRIGGER_ROLLBACK) /* what failed was putting back: that is tried again */
        return request(call, &arena, &d, TRIGGER_ROLLBACK, d.target_id, false, err);
    return request(call, &arena, &d, TRIGGER_RETRY, d.id, false, err);
}

/* ---- rollback ---- */

static bool puts_services(const struct deployment *d)
{
    return d->state == DEPLOYMENT_SUCCEEDED && !str_eq(d->reason, "no change");
}

static const struct deployment *row_of(const struct deployment *rows, size_t n, int64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].id == id)
            return &rows[i];
    return NULL;
}

/* What a rollback put there is its target's doing. */
static int64_t origin(const struct deployment *d)
{
    return d->trigger == TRIGGER_ROLLBACK && d->target_id ? d->target_id : d->id;
}

const struct deployment *rollback_default(const struct deployment *ended, size_t n)
{
    int64_t below = 0; /* what runs is this deployment's doing */
    for (size_t i = 0; i < n; i++) {
        const struct deployment *d = &ended[i];
        if (!below && (d->state == DEPLOYMENT_HALTED || d->state == DEPLOYMENT_STUCK))
            below = d->id; /* half of it runs: back to the success before it */
        if (!puts_services(d))
            continue;
        if (!below) {
            below = origin(d);
        } else if (d->id < below) {
            const struct deployment *target = row_of(ended, n, origin(d));
            if (target)
                return target;
        }
    }
    return NULL;
}

static int find_rollback_target(struct call *call, struct arena *arena, struct deployment *ret,
                                struct error *err)
{
    struct journal *journal = call->manager->journal;
    struct watch *w = call->watch;
    if (call->deployment) {
        bool found;
        if (journal_deployment(journal, arena, call->deployment, ret, &found, err) < 0)
            return -1;
        if (found && ret->state == DEPLOYMENT_SUCCEEDED)
            return 0;
        return error_set(err, ERR_CONFLICT, 0, "#%" PRId64 " is %s: only a success can be gone back to",
                         call->deployment, found ? deployment_state_name(ret->state) : "not there");
    }
    struct deployment_filter filter = {.stack = w->name, .limit = 1000};
    struct deployment *rows;
    size_t n;
    if (journal_deployments(journal, arena, &filter, &rows, &n, err) < 0)
        return -1;
    const struct deployment *target = rollback_default(rows, n);
    if (!target)
        return error_set(err, ERR_CONFLICT, 0, "%s has no earlier success to go back to", w->name);
    *ret = *target;
    return 0;
}

int action_rollback(struct call *call, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct deployment target;
    if (refuse_unfinished(call, &arena, err) < 0 || find_rollback_target(call, &arena, &target, err) < 0)
        return -1;
    say(call, "back to #%" PRId64 " (%.7s); the schema stays as it is", target.id, target.commit);
    /* with the hold: a poll in between must not bring the newer commit back, and no hold must stay of a
     * rollback that was not requested */
    return request(call, &arena, &target, TRIGGER_ROLLBACK, target.id, true, err);
}

/* ---- cancel ---- */

static int find_cancelled(struct call *call, struct arena *arena, struct deployment *ret, struct error *err)
{
    struct journal *journal = call->manager->journal;
    bool found = false;
    int64_t id = call->deployment;
    if (!id && journal_runnable(journal, call->watch->name, &id, err) < 0)
        return -1;
    if (!id)
        return error_set(err, ERR_CONFLICT, 0, "nothing of %s is under way", call->watch->name);
    if (journal_deployment(journal, arena, id, ret, &found, err) < 0)
        return -1;
    if (!found)
        return error_set(err, ERR_NOT_FOUND, 0, "there is no deployment #%" PRId64, id);
    if (deployment_state_ended(ret->state))
        return error_set(err, ERR_CONFLICT, 0, "#%" PRId64 " has ended already: %s", id,
                         deployment_state_name(ret->state));
    return 0;
}

int action_cancel(struct call *call, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = call->manager;
    struct watch *w = call->watch;
    struct deployment d;
    if (find_cancelled(call, &arena, &d, err) < 0)
        return -1;
    set_deployment(call, d.id);
    if (d.state == DEPLOYMENT_REQUESTED && w->running != d.id) {
        const char *reason = arena_printf(&arena, "cancelled by %s before it began", caller(&arena, call));
        if (journal_set_state(manager->journal, d.id, DEPLOYMENT_CANCELLED, reason, err) < 0)
            return -1;
        say(call, "#%" PRId64 " is cancelled; it had not begun", d.id);
        runs_refresh(w);
        runs_dispatch(manager); /* nothing waits any more */
        return 0;
    }
    if (journal_request_cancel(manager->journal, d.id, err) < 0)
        return -1;
    if (w->running == d.id) {
        worker_signal(w->run, SIGUSR1); /* to look at once; it looks by itself from time to time */
    } else {
        timer_stop(w->restart_timer);
        runs_refresh(w);
        runs_dispatch(manager);
    }
    say(call,
        "#%" PRId64 " stops at the next safe point and is put back, if it is not done by then; "
        "how it ended: agentctl show %" PRId64,
        d.id, d.id);
    return 0;
}

/* ---- approve, pause, resume ---- */

/* What waits: a commit that somebody is asked about, or in a freeze the newest one. NULL: none. */
static int find_waiting(struct call *call, struct arena *arena, const char **ret, struct error *err)
{
    struct journal *journal = call->manager->journal;
    struct watch *w = call->watch;
    struct stack_state state;
    struct deployment success, held;
    bool found = false;
    if (journal_stack(journal, arena, w->name, &state, err) < 0 ||
        journal_last(journal, arena, w->name, DEPLOYMENT_SUCCEEDED, &success, err) < 0 ||
        (state.held_id && journal_deployment(journal, arena, state.held_id, &held, &found, err) < 0))
        return -1;
    *ret = state.alarm_commit;
    if (*ret || !w->frozen_until_us || !state.tip || str_eq(success.commit, state.tip))
        return 0;
    if (found && str_eq(held.commit, state.tip))
        return error_set(err, ERR_CONFLICT, 0, "%.12s is held: it was tried; again: agentctl retry %s",
                         state.tip, w->name);
    *ret = state.tip;
    return 0;
}

/* A person approves what they have seen: a commit that they name has to be the one that waits. */
static int check_meant(struct call *call, struct arena *arena, const char *waiting, struct error *err)
{
    struct deployment d;
    bool found = false;
    const char *commit;
    if (call_string(call, "commit", &commit, err) < 0)
        return -1;
    if (call->deployment &&
        journal_deployment(call->manager->journal, arena, call->deployment, &d, &found, err) < 0)
        return -1;
    if (found && !str_eq(d.commit, waiting))
        return error_set(err, ERR_CONFLICT, 0, "what waits for approval is %.12s, not #%" PRId64 " (%.12s)",
                         waiting, call->deployment, d.commit);
    if (commit && (strlen(commit) < 7 || !str_starts(waiting, commit)))
        return error_set(err, ERR_CONFLICT, 0, "what waits for approval is %.12s, not %.40s", waiting,
                         commit);
    return 0;
}

int action_approve(struct call *call, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct journal *journal = call->manager->journal;
    struct watch *w = call->watch;
    const char *waiting;
    freeze_refresh(w);
    if (find_waiting(call, &arena, &waiting, err) < 0)
        return -1;
    if (!waiting)
        return error_set(err, ERR_CONFLICT, 0, "no commit of %s waits for approval", w->name);
    if (check_meant(call, &arena, waiting, err) < 0)
        return -1;
    const char *what = arena_printf(&arena, "%s %s", w->name, waiting);
    if (journal_audit(journal, call->client->uid, call->client->pid, "approved", what, err) < 0 ||
        journal_approve(journal, w->name, waiting, err) < 0)
        return -1;
    set_text(&w->alarm, NULL);
    if (w->frozen_until_us)
        say(call, "%.12s is approved: it is deployed now, although %s is frozen until %s", waiting, w->name,
            local_minute(&arena, w->frozen_until_us));
    else
        say(call, "%.12s is approved", waiting);
    runs_refresh(w);
    runs_dispatch(call->manager);
    schedule_look_closely(w);
    return 0;
}

int action_pause(struct call *call, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct watch *w = call->watch;
    const char *reason, *until;
    int64_t until_us = 0;
    if (call_string(call, "reason", &reason, err) < 0 || call_string(call, "until", &until, err) < 0)
        return -1;
    if (until && time_parse(until, &until_us, err) < 0)
        return error_wrap(err, "until");
    if (until && until_us <= wall_us())
        return error_set(err, ERR_INVALID, 0, "until: '%.40s' is past", until);
    if (reason)
        reason = str_clean(&arena, reason, strlen(reason), true, 500);
    if (journal_pause(call->manager->journal, w->name, true, reason, until_us, err) < 0)
        return -1;
    runs_set_paused(w, true, until_us);
    runs_dispatch(call->manager); /* what is requested says what it waits for */
    if (w->run)
        say(call, "%s is paused; #%" PRId64 " goes on to its end", w->name, w->running);
    return 0;
}

int action_resume(struct call *call, struct error *err)
{
    struct journal *journal = call->manager->journal;
    struct watch *w = call->watch;
    if (journal_pause(journal, w->name, false, NULL, 0, err) < 0 ||
        journal_set_hold_absolute(journal, w->name, false, err) < 0)
        return -1;
    runs_set_paused(w, false, 0);
    if (w->frozen_until_us) {
        cleanup_arena struct arena arena = {0};
        say(call, "%s is resumed, but frozen until %s", w->name, local_minute(&arena, w->frozen_until_us));
    }
    runs_refresh(w);
    runs_dispatch(call->manager);
    schedule_look_closely(w);
    return 0;
}
