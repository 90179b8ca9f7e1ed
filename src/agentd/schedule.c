/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/events.h"
#include "agent/fault.h"
#include "agent/log.h"
#include "agentd/control.h"
#include "agentd/manager.h"
#include "agentd/metrics.h"
#include "agentd/workers.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

static const int64_t poll_timeout_us = 120 * US_PER_S;
static const json_int_t max_deadline_s = 4 * 3600;
static const int64_t backoff_max_us = 600 * US_PER_S;
static const int64_t crowded_us = US_PER_S;
/* between two polls that webhooks ask for */
static const int64_t webhook_gap_us = 10 * US_PER_S;
/* a poll is short; more of them at once only means that a remote hangs */
static const unsigned max_polls = 16;

/* ---- pure ---- */

int64_t schedule_delay(int64_t interval_us, unsigned failures, uint64_t random)
{
    int64_t delay = interval_us, most = interval_us * 10;
    if (most > backoff_max_us)
        most = backoff_max_us;
    if (most < interval_us)
        most = interval_us;
    for (; failures && delay < most; failures--)
        delay = delay > most / 2 ? most : delay * 2;
    return delay - (int64_t)(random % (uint64_t)(delay / 10 + 1));
}

static bool is_commit(const char *text)
{
    return strlen(text) == 40 && text[strspn(text, "0123456789abcdef")] == '\0';
}

static const char *const verdict_names[] = {
    [POLL_UNCHANGED] = "unchanged", [POLL_REQUESTED] = "requested", [POLL_HELD] = "held",
    [POLL_ALARM] = "alarm",         [POLL_NOTHING] = "nothing",     [POLL_ERROR] = "error",
};

const char *poll_verdict_name(enum poll_verdict verdict)
{
    return verdict_names[verdict];
}

int poll_result_parse(const json_t *hint, struct poll_result *ret, struct error *err)
{
    const char *word = json_string_value(json_object_get(hint, "result"));
    const char *tip = json_string_value(json_object_get(hint, "tip"));
    const char *message = json_string_value(json_object_get(hint, "message"));
    const char *drift = json_string_value(json_object_get(hint, "drift"));
    json_t *deployment = json_object_get(hint, "deployment");
    for (size_t i = 0; word && i < ARRAY_SIZE(verdict_names); i++)
        if (str_eq(word, verdict_names[i])) {
            *ret = (struct poll_result){.verdict = (enum poll_verdict)i,
                                        .tip = tip && is_commit(tip) ? tip : "",
                                        .message = message ? message : "",
                                        .drift = drift,
                                        .lease_seen = json_is_true(json_object_get(hint, "lease")),
                                        .deployment = json_integer_value(deployment)};
            return 0;
        }
    return error_set(err, ERR_INTERNAL, 0, "agent-worker poll gave no result");
}

/* ---- when ---- */

static uint64_t random_number(void)
{
    uint64_t n = 0;
    if (getrandom(&n, sizeof n, GRND_NONBLOCK) != (ssize_t)sizeof n)
        n = (uint64_t)mono_us(); /* it only has to differ between hosts */
    return n;
}

static void poll_start(struct watch *w, bool sync);

static int on_poll_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    poll_start(userdata, false);
    return 0;
}

void schedule_poll(struct watch *w, int64_t delay_us)
{
    if (!w->config || w->manager->stopping)
        return;
    w->next_poll_us = mono_us() + delay_us;
    timer_set(w->manager->event, &w->poll_timer, delay_us, on_poll_timer, w);
}

void schedule_look_closely(struct watch *w)
{
    w->tip[0] = '\0';
    if (w->poll)
        w->again = true;
    else
        schedule_poll(w, 0);
}

/* However many have come, not sooner than the gap allows. */
static int64_t webhook_delay(const struct watch *w)
{
    int64_t delay = w->webhook_us ? w->webhook_us + webhook_gap_us - mono_us() : 0;
    return delay > 0 ? delay : 0;
}

void schedule_webhook(struct watch *w)
{
    int64_t delay = webhook_delay(w);
    w->webhook_wanted = true;
    if (w->poll) /* its end looks at that: the push may be newer than what it has seen */
        return;
    if (!w->next_poll_us || w->next_poll_us > mono_us() + delay)
        schedule_poll(w, delay);
}

void schedule_stop(struct watch *w)
{
    timer_stop(w->poll_timer);
    w->next_poll_us = 0;
    w->sync_wanted = w->webhook_wanted = false;
    control_sync_done(w, NULL,
                      w->manager->stopping ? "agentd is stopping" : "the stack's section was removed");
}

static void schedule_next(struct watch *w)
{
    if (w->config)
        schedule_poll(w, schedule_delay(w->config->poll_interval_us, w->failures, random_number()));
}

/* ---- what a poll said ---- */

static const char *failing_for(struct arena *arena, const struct watch *w)
{
    return duration_text(arena, mono_us() - w->failing_since_us);
}

/* Have polls failed for so long that a person has to know? */
static bool have_stalled(const struct watch *w)
{
    return mono_us() - w->failing_since_us >= config_poll_alarm_us(w->config) ||
           fault_errno("poll.stalled") != 0;
}

/* Told once in a row of failures; logged by each agentd that finds them going on. */
static void look_for_alarm(struct watch *w)
{
    cleanup_arena struct arena arena = {0};
    if (!have_stalled(w))
        return;
    if (!w->stalled)
        w->stalled = receivers_tell_polls(w, true,
                                          arena_printf(&arena, "could not be polled for %s: %s",
                                                       failing_for(&arena, w), w->poll_error)) == 0;
    if (w->alarmed)
        return;
    w->alarmed = true;
    log_event(LOG_LEVEL_ERR, MESSAGE_POLL_STALLED,
              "%s could not be polled for %s, nothing that is pushed is deployed: %s", w->name,
              failing_for(&arena, w), w->poll_error);
}

static void poll_failed(struct watch *w, const char *reason)
{
    struct manager *manager = w->manager;
    struct error err = {0};
    bool first = !w->failing, same = str_eq(w->poll_error, reason);
    if (first)
        w->failing_since_us = mono_us();
    w->failures++;
    w->failing = true;
    set_text(&w->poll_error, reason);
    look_for_alarm(w);
    if (same)
        return;
    /* "first" as the journal sees it: what failed before we were started was told then */
    if (manager->journal && journal_set_poll_error(manager->journal, w->name, reason, &first, &err) < 0)
        manager_journal_failed(manager, &err, "recording a failed poll");
    if (first)
        log_event(LOG_LEVEL_WARNING, MESSAGE_POLL_FAILING, "%s cannot be polled: %s", w->name, reason);
}

/* Maybe an agentd before this one has told that they stall, and since when is not known any more. */
static int tell_recovered(struct watch *w)
{
    cleanup_arena struct arena arena = {0};
    const char *after = w->failing ? arena_printf(&arena, ", after %s", failing_for(&arena, w)) : "";
    if (receivers_tell_polls(w, false, arena_printf(&arena, "can be polled again%s", after)) < 0)
        return -1;
    w->stalled = false;
    return 0;
}

static void poll_succeeded(struct watch *w)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = w->manager;
    struct error err = {0};
    bool first;
    w->failures = 0;
    w->good_poll_us = wall_us();
    set_text(&w->poll_error, NULL);
    if (w->stalled && tell_recovered(w) < 0)
        return; /* the next one that succeeds tries again */
    if (!w->failing)
        return;
    if (manager->journal && journal_set_poll_error(manager->journal, w->name, NULL, &first, &err) < 0) {
        manager_journal_failed(manager, &err, "recording that polls succeed again");
        return;
    }
    w->failing = w->alarmed = false;
    log_event(LOG_LEVEL_NOTICE, MESSAGE_POLL_RECOVERED, "%s can be polled again, after %s", w->name,
              failing_for(&arena, w));
}

static void set_alarm(struct watch *w, const char *alarm)
{
    if (alarm && !str_eq(w->alarm, alarm)) /* receivers are told by the journal */
        log_event(LOG_LEVEL_WARNING, MESSAGE_APPROVAL_NEEDED, "%s needs a person: %s", w->name, alarm);
    set_text(&w->alarm, alarm);
}

/* Is it of interest whether something changed without a commit? */
static bool wants_changes(const struct watch *w)
{
    return w->config->follow_tags || w->config->drift != DRIFT_IGNORE;
}

/* After this poll: that, or whether a lease was left. */
static bool wants_observe(const struct watch *w, const struct poll_result *result)
{
    return (wants_changes(w) || !w->lease_seen) && !w->run &&
           (result->verdict == POLL_UNCHANGED || result->verdict == POLL_NOTHING ||
            result->verdict == POLL_HELD);
}

static void take_poll_result(struct watch *w, const struct poll_result *result)
{
    if (result->verdict == POLL_ERROR) {
        w->tip[0] = '\0';
        poll_failed(w, *result->message ? result->message : "agent-worker poll gave no reason");
        return;
    }
    memcpy(w->tip, result->tip, strlen(result->tip) + 1);
    if (w->poll_overtaken)
        w->tip[0] = '\0';
    if (result->verdict != POLL_UNCHANGED)
        set_alarm(w, result->verdict == POLL_ALARM ? result->message : NULL);
    if (!wants_changes(w) || !wants_observe(w, result)) /* else its end tells whether all is well */
        poll_succeeded(w);
}

static void log_drift(const struct watch *w, const char *drift)
{
    if (drift && *drift)
        log_event(LOG_LEVEL_WARNING, MESSAGE_DRIFT, "%s is not what was deployed: %s", w->name, drift);
    else if (drift)
        log_notice("%s is what was deployed again", w->name);
}

static void take_observe_result(struct watch *w, const struct poll_result *result)
{
    log_drift(w, result->drift);
    w->lease_seen |= result->lease_seen;
    if (result->verdict == POLL_ERROR)
        poll_failed(w, *result->message ? result->message : "agent-worker observe gave no reason");
    else
        poll_succeeded(w);
}

static bool observe_start(struct watch *w);

/* A fetch keeps a deadline of its own, and may take long: it says so. Every other hint is the result. */
static void on_poll_hint(struct worker *worker)
{
    json_int_t deadline_s = json_integer_value(json_object_get(worker->hint, "deadline_s"));
    if (deadline_s <= 0 || deadline_s > max_deadline_s)
        return;
    worker_set_timeout(worker, deadline_s * US_PER_S);
    json_decref(TAKE(worker->hint));
}

static void on_poll_ended(struct worker *worker)
{
    cleanup_arena struct arena arena = {0};
    struct watch *w = worker->watch;
    struct error err = {0};
    struct poll_result result = {.verdict = POLL_ERROR};
    bool was_sync = TAKE(w->polling_for_sync), was_poll = worker->kind == WORKER_POLL;
    w->poll = NULL;
    if (w->manager->stopping || !w->config)
        return;
    if (worker->timed_out || (worker->exit_code != 0 && !worker->hint))
        result.message = arena_printf(&arena, "agent-worker %s", worker_end_text(&arena, worker));
    else if (poll_result_parse(worker->hint, &result, &err) < 0)
        result = (struct poll_result){.verdict = POLL_ERROR, .message = err.text};
    w->last_poll_us = wall_us();
    if (was_poll)
        metrics_polled(w, result.verdict != POLL_ERROR);
    log_watch(w);
    if (was_poll)
        take_poll_result(w, &result);
    else
        take_observe_result(w, &result);
    log_watch(NULL);
    if (was_poll) {
        freeze_looked(w);
        disk_look(w->manager);
        log_fold_tell();
    }
    runs_refresh(w);
    runs_dispatch(w->manager);
    if (was_sync)
        control_sync_done(w, &result, NULL);
    if (w->sync_wanted)
        poll_start(w, true);
    else if (TAKE(w->again))
        schedule_look_closely(w);
    else if (was_poll && wants_observe(w, &result) && observe_start(w))
        return;
    else if (w->webhook_wanted && webhook_delay(w) < w->config->poll_interval_us)
        schedule_poll(w, webhook_delay(w));
    else
        schedule_next(w);
}

/* ---- starting ---- */

static bool start_worker(struct watch *w, enum worker_kind kind, const char *const *arguments)
{
    struct error err = {0};
    struct worker_options options = {
        .kind = kind,
        .watch = w,
        .arguments = arguments,
        .timeout_us = poll_timeout_us,
        .hinted = on_poll_hint,
        .ended = on_poll_ended,
    };
    if (worker_start(w->manager, &options, &w->poll, &err) == 0)
        return true;
    log_watch(w);
    poll_failed(w, err.text);
    log_watch(NULL);
    return false;
}

static bool observe_start(struct watch *w)
{
    return start_worker(w, WORKER_OBSERVE,
                        (const char *const[]){"observe", w->name, w->lease_seen ? NULL : "--lease", NULL});
}

static void poll_start(struct watch *w, bool sync)
{
    struct manager *manager = w->manager;
    if (!w->config || manager->stopping)
        return;
    if (w->poll) { /* its end looks at sync_wanted and plans the next one */
        w->sync_wanted |= sync;
        return;
    }
    if (!manager->journal) { /* nothing that it finds could be recorded */
        control_sync_done(w, NULL, manager->journal_error.text);
        w->sync_wanted = false;
        schedule_next(w);
        return;
    }
    if (!sync && workers_count(manager, WORKER_POLL) >= max_polls) {
        schedule_poll(w, crowded_us);
        return;
    }
    const char *arguments[6] = {"poll", w->name};
    size_t n = 2;
    if (sync) {
        arguments[n++] = "--sync";
    } else if (w->tip[0]) {
        arguments[n++] = "--known";
        arguments[n++] = w->tip;
    }
    if (TAKE(w->webhook_wanted) && !sync) {
        arguments[n++] = "--webhook";
        w->webhook_us = mono_us();
    }
    w->sync_wanted = false;
    w->polling_for_sync = sync;
    w->syncs_started += sync;
    timer_stop(w->poll_timer);
    w->poll_overtaken = false;
    if (!start_worker(w, WORKER_POLL, arguments)) {
        w->polling_for_sync = false;
        freeze_looked(w);
        if (sync)
            control_sync_done(w, NULL, w->poll_error);
        schedule_next(w);
    }
}

void schedule_sync(struct watch *w)
{
    poll_start(w, true);
}
