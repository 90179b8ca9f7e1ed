/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control.h"
#include "agent/events.h"
#include "agent/log.h"
#include "agentd/live.h"
#include "agentd/manager.h"
#include "agentd/metrics.h"
#include "agentd/workers.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

static const int64_t locked_retry_us = 2 * US_PER_S;
/* what a step may take longer than the deadline it told us, before we stop its worker */
static const int64_t step_grace_us = 60 * US_PER_S;
static const json_int_t max_hint_s = 7 * 86400;
/* until a worker has told how long it may be silent */
static const int64_t first_silence_us = 300 * US_PER_S;
/* deaths before there was even a plan: the worker counts resumes only of what it has planned */
static const unsigned max_deaths_unplanned = 4;

/* ---- pausing ---- */

static int on_pause_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct watch *w = userdata;
    (void)source;
    (void)usec;
    if (runs_paused(w)) /* the clock was set back, or the journal cannot be written */
        runs_set_paused(w, true, w->paused_until_us);
    runs_dispatch(w->manager);
    return 0;
}

void runs_set_paused(struct watch *w, bool paused, int64_t until_us)
{
    int64_t left = until_us - wall_us();
    w->paused = paused;
    w->paused_until_us = paused ? until_us : 0;
    if (paused && until_us)
        timer_set_at(w->manager->event, &w->pause_timer, left < US_PER_S ? wall_us() + US_PER_S : until_us,
                     on_pause_timer, w);
    else
        timer_stop(w->pause_timer);
}

bool runs_paused(struct watch *w)
{
    struct manager *manager = w->manager;
    struct error err = {0};
    if (!w->paused || !w->paused_until_us || wall_us() < w->paused_until_us)
        return w->paused;
    if (!manager->journal)
        return true;
    if (journal_pause(manager->journal, w->name, false, NULL, 0, &err) < 0) {
        manager_journal_failed(manager, &err, "ending a pause");
        return true;
    }
    log_info("%s: the pause is over", w->name);
    runs_set_paused(w, false, 0);
    return false;
}

/* ---- choosing ---- */

static int is_asked_for(struct watch *w, const struct deployment *d, bool *ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct stack_state state;
    if (journal_stack(w->manager->journal, &arena, w->name, &state, err) < 0)
        return -1;
    *ret = deployment_is_asked_for(d, &state);
    return 0;
}

void runs_refresh(struct watch *w)
{
    struct manager *manager = w->manager;
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    struct deployment d;
    bool found;
    int64_t id;
    w->runnable = 0;
    if (!manager->journal || !w->config)
        return;
    if (journal_runnable(manager->journal, w->name, &id, &err) < 0 ||
        (id && journal_deployment(manager->journal, &arena, id, &d, &found, &err) < 0) ||
        (id && found && is_asked_for(w, &d, &w->runnable_is_asked_for, &err) < 0)) {
        manager_journal_failed(manager, &err, "asking the journal what to run");
        return;
    }
    if (!id || !found)
        return;
    w->runnable = id;
    w->runnable_is_new = d.state == DEPLOYMENT_REQUESTED;
}

static bool may_start(struct watch *w)
{
    bool delayed = false;
    if (w->restart_timer) {
        int enabled;
        delayed = sd_event_source_get_enabled(w->restart_timer, &enabled) > 0;
    }
    return w->runnable && w->config && !w->run && !delayed && !w->blocked;
}

static bool run_start(struct watch *w);

void runs_dispatch(struct manager *manager)
{
    for (struct watch *w = manager->watches; w; w = w->next) {
        freeze_refresh(w);
        freeze_block(w);
    }
    while (manager->journal && !manager->stopping &&
           workers_count(manager, WORKER_RUN) < manager->config.parallel) {
        struct watch *next = NULL;
        for (struct watch *w = manager->watches; w; w = w->next)
            if (may_start(w) && (!next || w->runnable < next->runnable)) /* first come, first served */
                next = w;
        if (!next)
            break;
        run_start(next); /* when that fails, its restart timer is armed */
    }
    receivers_wake(manager);
    manager_show_status(manager);
}

/* ---- starting ---- */

static int on_restart_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void restart_after(struct watch *w, int64_t delay_us)
{
    if (w->config && !w->manager->stopping)
        timer_set(w->manager->event, &w->restart_timer, delay_us, on_restart_timer, w);
}

int64_t runs_restart_delay(unsigned deaths)
{
    static const int64_t delays_s[] = {1, 5, 15, 60};
    size_t i = deaths ? deaths - 1 : 0;
    return delays_s[i < ARRAY_SIZE(delays_s) ? i : ARRAY_SIZE(delays_s) - 1] * US_PER_S;
}

static void set_hint_text(char **place, const json_t *value)
{
    cleanup_arena struct arena arena = {0};
    const char *text = json_string_value(value);
    set_text(place, text && *text ? str_clean(&arena, text, strlen(text), true, 200) : NULL);
}

/* 0: not told, or nothing that can be meant */
static int64_t hint_seconds(const json_t *hint, const char *name)
{
    json_int_t s = json_integer_value(json_object_get(hint, name));
    return s > 0 && s < max_hint_s ? s * US_PER_S : 0;
}

static void on_run_hint(struct worker *worker)
{
    struct watch *w = worker->watch;
    const json_t *step = json_object_get(worker->hint, "step"),
                 *waiting = json_object_get(worker->hint, "waiting");
    bool ends = json_object_get(worker->hint, "end");
    if (waiting)
        set_hint_text(&w->waiting, waiting);
    if (step || ends) {
        set_hint_text(&w->step, step);
        w->step_limit_us = hint_seconds(worker->hint, "deadline_s");
        if (w->step_limit_us)
            w->step_limit_us += step_grace_us;
    }
    /* what a step waits for (the engine, a registry) is not held against it: its time starts anew afterwards
     */
    if (waiting || step || ends)
        worker_set_timeout(worker, w->waiting ? 0 : w->step_limit_us);
    if (step || ends)
        receivers_wake(w->manager);
    if (hint_seconds(worker->hint, "alive_s"))
        worker_set_silence(worker, hint_seconds(worker->hint, "alive_s"));
    manager_show_status(w->manager);
    live_progress(w);
}

/*
 * A worker keeps its steps' deadlines itself. This is for one that does not. Not meant is one that is past
 * the step already and puts services back. One that hangs or was stopped is found out by its silence,
 * whatever it was at.
 */
static bool on_run_overdue(struct worker *worker)
{
    cleanup_arena struct arena arena = {0};
    struct watch *w = worker->watch;
    struct manager *manager = w->manager;
    struct error err = {0};
    struct step *steps;
    size_t n;
    if (!manager->journal) {
        worker_set_timeout(worker, step_grace_us);
        return false;
    }
    if (journal_steps(manager->journal, &arena, w->running, &steps, &n, &err) < 0) {
        manager_journal_failed(manager, &err, "looking at a step that is overdue");
        worker_set_timeout(worker, step_grace_us);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (steps[i].state == STEP_RUNNING)
            return true;
    return false;
}

static void on_run_ended(struct worker *worker);

static bool run_start(struct watch *w)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = w->manager;
    struct error err = {0};
    struct deployment d;
    bool found = false;
    int64_t id = TAKE(w->runnable);
    if (manager_check_room(manager, &err) < 0 ||
        journal_deployment(manager->journal, &arena, id, &d, &found, &err) < 0) {
        manager_journal_failed(manager, &err, "starting a deployment");
        return false;
    }
    if (!found)
        return false;
    const char *arguments[] = {"run", arena_printf(&arena, "%" PRId64, id), NULL};
    struct worker_options options = {.kind = WORKER_RUN,
                                     .watch = w,
                                     .arguments = arguments,
                                     .silence_us = first_silence_us,
                                     .hinted = on_run_hint,
                                     .ended = on_run_ended,
                                     .overdue = on_run_overdue};
    if (worker_start(manager, &options, &w->run, &err) < 0) {
        log_error("%s #%" PRId64 ": %s", w->name, id, err.text);
        restart_after(w, runs_restart_delay(4));
        return false;
    }
    w->running = id;
    memcpy(w->commit, d.commit, strnlen(d.commit, sizeof w->commit - 1) + 1);
    w->commit[sizeof w->commit - 1] = '\0';
    log_watch(w);
    if (w->died != id) {
        w->died = id;
        w->deaths = 0;
        if (d.state == DEPLOYMENT_REQUESTED)
            log_event(LOG_LEVEL_NOTICE, MESSAGE_DEPLOYMENT_STARTED, "deploying %.7s to %s (%s): %s", d.commit,
                      w->name, trigger_name(d.trigger), d.subject ? d.subject : "");
        else
            log_notice("taking %.7s of %s up again (%s)", d.commit, w->name, deployment_state_name(d.state));
    }
    log_watch(NULL);
    return true;
}

/* ---- ending ---- */

static void log_verdict(const struct watch *w, const struct deployment *d)
{
    static const struct {
        enum deployment_state state;
        enum log_level level;
        const char *message_id, *words;
    } verdicts[] = {
        {DEPLOYMENT_SUCCEEDED, LOG_LEVEL_NOTICE, MESSAGE_DEPLOYMENT_SUCCEEDED, "succeeded"},
        {DEPLOYMENT_FAILED, LOG_LEVEL_ERR, MESSAGE_DEPLOYMENT_FAILED, "failed"},
        {DEPLOYMENT_ROLLED_BACK, LOG_LEVEL_ERR, MESSAGE_DEPLOYMENT_ROLLED_BACK, "rolled back"},
        {DEPLOYMENT_HALTED, LOG_LEVEL_ERR, MESSAGE_DEPLOYMENT_HALTED, "halted"},
        {DEPLOYMENT_STUCK, LOG_LEVEL_ERR, MESSAGE_DEPLOYMENT_STUCK, "stuck"},
        {DEPLOYMENT_CANCELLED, LOG_LEVEL_NOTICE, NULL, "cancelled"},
        {DEPLOYMENT_SUPERSEDED, LOG_LEVEL_INFO, NULL, "superseded"},
    };
    cleanup_arena struct arena arena = {0};
    const char *took =
        d->started_us && d->finished_us ? duration_text(&arena, d->finished_us - d->started_us) : "0m00s";
    for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++)
        if (verdicts[i].state == d->state)
            log_event(verdicts[i].level, verdicts[i].message_id, "deployment of %.7s to %s: %s after %s%s%s",
                      d->commit, w->name, verdicts[i].words, took, d->reason ? ": " : "",
                      d->reason ? d->reason : "");
}

void runs_conclude(struct watch *w)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = w->manager;
    struct error err = {0};
    struct deployment d;
    bool found;
    if (!manager->journal || !w->died)
        return;
    if (journal_deployment(manager->journal, &arena, w->died, &d, &found, &err) < 0) {
        manager_journal_failed(manager, &err, "reading what became of a deployment");
        return;
    }
    if (!found || !deployment_state_ended(d.state))
        return;
    log_context(w->name, d.id, d.commit);
    log_verdict(w, &d);
    metrics_ended(w, &d);
    log_watch(NULL);
    w->died = 0;
}

static int on_restart_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct watch *w = userdata;
    (void)source;
    (void)usec;
    runs_conclude(w);
    runs_refresh(w);
    runs_dispatch(w->manager);
    return 0;
}

/* The worker died: nobody else can say so in the record. */
static int record_death(struct watch *w, const struct deployment *d, const char *how, struct error *err)
{
    struct journal *journal = w->manager->journal;
    cleanup_arena struct arena arena = {0};
    w->deaths++;
    const char *when = w->manager->stopping
                           ? "at the next start"
                           : arena_printf(&arena, "in %d s", (int)(runs_restart_delay(w->deaths) / US_PER_S));
    log_warning("agent-worker %s in the middle of it (%s); it is taken up again %s", how,
                deployment_state_name(d->state), when);
    const char *why = arena_printf(&arena, "agent-worker %s", how);
    if (d->state == DEPLOYMENT_INTERRUPTED) /* an orderly stop may have left another */
        return journal_set_reason(journal, d->id, why, err);
    if (d->state != DEPLOYMENT_REQUESTED)
        return journal_set_state(journal, d->id, DEPLOYMENT_INTERRUPTED, why, err);
    if (w->deaths < max_deaths_unplanned)
        return 0;
    const char *reason =
        arena_printf(&arena, "agent-worker %s before there was a plan, %u times", how, w->deaths);
    return journal_set_state(journal, d->id, DEPLOYMENT_FAILED, reason, err);
}

static void finish(struct watch *w, struct worker *worker)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = w->manager;
    struct error err = {0};
    struct deployment d = {0};
    bool found = false;
    if (!manager->journal) /* watch_load() concludes */
        return;
    if (journal_deployment(manager->journal, &arena, w->running, &d, &found, &err) < 0) {
        manager_journal_failed(manager, &err, "reading what became of a deployment");
        return;
    }
    bool locked = worker->exit_code == EXIT_LOCKED;
    /* one that had to be stopped has failed, however orderly it heeded that */
    bool stopped = worker->exit_code == EXIT_STOPPED && !worker->timed_out;
    if (found && !deployment_state_ended(d.state) && !stopped && !locked) {
        if (record_death(w, &d, worker_end_text(&arena, worker), &err) < 0 ||
            journal_deployment(manager->journal, &arena, w->running, &d, &found, &err) < 0) {
            manager_journal_failed(manager, &err, "recording that agent-worker died");
            return;
        }
        if (!deployment_state_ended(d.state))
            restart_after(w, runs_restart_delay(w->deaths));
    }
    if (stopped || locked)
        restart_after(w, locked ? locked_retry_us : runs_restart_delay(1));
    if (locked)
        log_debug("%s: the stack's lock is held by another agent-worker", w->name);
    if (!found || !deployment_state_ended(d.state))
        return;
    log_verdict(w, &d);
    metrics_ended(w, &d);
    w->died = 0;
    if (journal_trim(manager->journal, manager->config.records_keep, &err) < 0)
        manager_journal_failed(manager, &err, "removing old records");
}

static void on_run_ended(struct worker *worker)
{
    struct watch *w = worker->watch;
    log_watch(w);
    finish(w, worker);
    w->run = NULL;
    w->running = 0;
    w->step_limit_us = 0;
    set_text(&w->step, NULL);
    set_text(&w->waiting, NULL);
    live_progress(w);
    w->tip[0] = '\0'; /* what the poll may skip was judged before this deployment */
    w->poll_overtaken = true;
    w->lease_seen = false;
    log_watch(NULL);
    if (w->manager->stopping)
        return;
    runs_refresh(w);
    runs_dispatch(w->manager);
}
