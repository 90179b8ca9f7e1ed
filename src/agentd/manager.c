/* SPDX-License-Identifier: Apache-2.0 */
#include "agentd/manager.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <systemd/sd-daemon.h>

#include "agent/events.h"
#include "agent/log.h"
#include "agentd/control.h"
#include "agentd/http.h"
#include "agentd/live.h"
#include "agentd/metrics.h"
#include "agentd/workers.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"

static const int64_t storage_retry_us = 10 * US_PER_S;
/* shorter than TimeoutStopSec= of the unit, so that the end is ours */
static const int64_t stop_timeout_us = 100 * US_PER_S;
/* a deployment's rows and the output of its steps */
static const uint64_t room_needed = 2 << 20;
/* between the first polls of two stacks */
static const int64_t stagger_us = 200 * 1000;

/* ---- small helpers ---- */

void set_text(char **place, const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy)
        abort();
    free(*place);
    *place = copy;
}

void timer_set(sd_event *event, sd_event_source **source, int64_t us, sd_event_time_handler_t handler,
               void *userdata)
{
    int r;
    if (*source) {
        r = sd_event_source_set_time_relative(*source, (uint64_t)us);
        if (r >= 0)
            r = sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
    } else {
        /* the default accuracy of 250 ms lets wakeups fall together */
        r = sd_event_add_time_relative(event, source, CLOCK_MONOTONIC, (uint64_t)us, 0, handler, userdata);
    }
    if (r < 0) /* only out of memory or a defect of ours; without timers nothing works */
        abort();
}

void timer_set_at(sd_event *event, sd_event_source **source, int64_t wall_us, sd_event_time_handler_t handler,
                  void *userdata)
{
    int r;
    if (*source) {
        r = sd_event_source_set_time(*source, (uint64_t)wall_us);
        if (r >= 0)
            r = sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
    } else {
        r = sd_event_add_time(event, source, CLOCK_REALTIME, (uint64_t)wall_us, 0, handler, userdata);
    }
    if (r < 0)
        abort();
}

void timer_stop(sd_event_source *source)
{
    if (source)
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

void log_watch(const struct watch *watch)
{
    if (watch)
        log_context(watch->name, watch->running, watch->running ? watch->commit : NULL);
    else
        log_context(NULL, 0, NULL);
}

/* ---- watches ---- */

struct watch *manager_watch(struct manager *manager, const char *stack)
{
    for (struct watch *w = manager->watches; w; w = w->next)
        if (w->config && str_eq(w->name, stack))
            return w;
    return NULL;
}

struct watch *watch_new(struct manager *manager, const struct stack_config *config)
{
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    *w = (struct watch){.manager = manager, .config = config};
    set_text(&w->name, config->name);
    struct watch **end = &manager->watches; /* in file order */
    while (*end)
        end = &(*end)->next;
    *end = w;
    return w;
}

static void watch_free(struct watch *w)
{
    control_watch_gone(w);
    http_wake(w);
    health_free(w);
    metrics_forget(w);
    sd_event_source_disable_unref(w->poll_timer);
    sd_event_source_disable_unref(w->restart_timer);
    sd_event_source_disable_unref(w->pause_timer);
    sd_event_source_disable_unref(w->freeze_timer);
    free(w->blocked);
    free(w->name);
    free(w->poll_error);
    free(w->alarm);
    free(w->step);
    free(w->waiting);
    free(w->told);
    free(w);
}

void manager_collect(struct manager *manager)
{
    for (struct watch **place = &manager->watches; *place;) {
        struct watch *w = *place;
        if (w->config || w->poll || w->run || health_is_asked(w)) {
            place = &w->next;
            continue;
        }
        *place = w->next;
        watch_free(w);
    }
}

/* ---- the journal ---- */

/* What was held, paused or waited for approval is not known any more: a person has to look first. */
static int pause_all(struct manager *manager, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const struct config *config = &manager->config;
    for (size_t i = 0; i < config->n_stacks; i++) {
        const char *name = config->stacks[i].name;
        const char *reason =
            arena_printf(&arena,
                         "the journal was damaged and begun anew: what was held or paused is "
                         "forgotten; look at agentctl plan %s",
                         name);
        if (journal_pause(manager->journal, name, true, reason, 0, err) < 0)
            return -1;
    }
    if (journal_recovery_noted(manager->journal, err) < 0)
        return -1;
    log_error("the journal was damaged: a new one was begun, and the old file kept beside it as "
              "journal.db.broken-*. What was held or paused is forgotten, so every stack is paused until: "
              "agentctl resume STACK");
    return 0;
}

static int storage_open(struct manager *manager, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const struct config *config = &manager->config;
    if (manager->lock_fd < 0) {
        const char *lock = arena_printf(&arena, "%s/agentd.lock", config->state_dir);
        if (fs_mkdir(config->state_dir, 0750, err) < 0 || fs_lock(lock, &manager->lock_fd, err) < 0)
            return -1;
    }
    /* a disk that fails each write would have the whole file checked every ten seconds, in the loop */
    enum journal_mode mode = manager->journal_checked ? JOURNAL_AGAIN : JOURNAL_CHECK;
    if (manager_check_room(manager, err) < 0 ||
        journal_open(config_journal_path(&arena, config), mode, &manager->journal, err) < 0)
        return -1;
    manager->journal_checked = true;
    if (!journal_recovered(manager->journal) || pause_all(manager, err) == 0)
        return 0;
    journal_close(TAKE(manager->journal));
    return -1;
}

void watch_load(struct watch *w)
{
    struct manager *manager = w->manager;
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    struct stack_state state;
    if (!manager->journal)
        return;
    if (journal_stack(manager->journal, &arena, w->name, &state, &err) < 0) {
        manager_journal_failed(manager, &err, "reading the journal");
        return;
    }
    w->stalled = state.polls_stalled;
    w->failing = state.poll_error != NULL;
    if (w->failing) {
        int64_t since = wall_us() - state.poll_failing_since_us;
        w->failing_since_us = mono_us() - (since > 0 ? since : 0);
    } else {
        set_text(&w->poll_error, NULL); /* one that fell into a closed journal is news there */
    }
    runs_set_paused(w, state.paused, state.paused_until_us);
    set_text(&w->alarm, state.alarm);
    freeze_load(w, &state);
    if (!w->run)
        runs_conclude(w);
    runs_refresh(w);
}

static void load_watches(struct manager *manager)
{
    receivers_configure(manager);
    for (struct watch *w = manager->watches; w; w = w->next)
        watch_load(w);
}

static int on_storage_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void storage_unusable(struct manager *manager, const struct error *err)
{
    bool said = str_eq(err->text, manager->journal_error.text);
    manager->journal_error = *err;
    if (err->kind == ERR_CONFLICT && manager->lock_fd < 0) {
        sd_event_exit(manager->event, EXIT_FAILURE);
        return;
    }
    if (!said)
        log_event(LOG_LEVEL_ERR, MESSAGE_RECORD_UNUSABLE, "no deployment starts: %s", err->text);
    timer_set(manager->event, &manager->storage_timer, storage_retry_us, on_storage_timer, manager);
}

static int on_storage_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct manager *manager = userdata;
    struct error err = {0};
    (void)source;
    (void)usec;
    if (manager->journal || manager->stopping)
        return 0;
    if (storage_open(manager, &err) < 0) {
        storage_unusable(manager, &err);
    } else {
        log_notice("the journal can be written again");
        manager->journal_error = (struct error){0};
        load_watches(manager);
        runs_dispatch(manager);
    }
    manager_show_status(manager);
    return 0;
}

void manager_journal_failed(struct manager *manager, const struct error *error, const char *doing)
{
    if (error->kind != ERR_UNAVAILABLE && error->kind != ERR_SYSTEM && error->kind != ERR_REFUSED) {
        log_error("%s: %s", doing, error->text);
        return;
    }
    if (!manager->journal) /* one failure, one line */
        return;
    log_event(LOG_LEVEL_ERR, MESSAGE_RECORD_UNUSABLE,
              "%s: %s; no deployment starts until the journal can be written again", doing, error->text);
    manager->journal_error = *error;
    journal_close(TAKE(manager->journal));
    timer_set(manager->event, &manager->storage_timer, storage_retry_us, on_storage_timer, manager);
    manager_show_status(manager);
}

int manager_check_room(struct manager *manager, struct error *err)
{
    struct statvfs fs;
    const char *path = manager->config.state_dir;
    if (statvfs(path, &fs) < 0)
        return error_errno(err, "%s", path);
    if (fs.f_flag & ST_RDONLY)
        return error_set(err, ERR_UNAVAILABLE, 0, "%s is on a file system that is mounted read-only", path);
    if (fs.f_bavail < room_needed / fs.f_frsize)
        return error_set(err, ERR_UNAVAILABLE, 0,
                         "the disk of %s is full (%" PRIu64 " KiB left, %" PRIu64 " are needed)", path,
                         (uint64_t)fs.f_bavail * fs.f_frsize / 1024, room_needed / 1024);
    return 0;
}

/* ---- signals ---- */

static int on_stop_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct manager *manager = userdata;
    (void)source;
    (void)usec;
    log_warning("workers did not stop within %d s; their deployments are taken up again at the next start",
                (int)(stop_timeout_us / US_PER_S));
    sd_event_exit(manager->event, EXIT_SUCCESS);
    return 0;
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    struct manager *manager = userdata;
    (void)source;
    if (manager->stopping)
        return 0;
    manager->stopping = true;
    sd_notify(0, "STOPPING=1");
    log_info("stopping on signal %u", info->ssi_signo);
    for (struct watch *w = manager->watches; w; w = w->next) {
        schedule_stop(w);
        timer_stop(w->restart_timer);
    }
    for (struct worker *w = manager->workers; w; w = w->next)
        /* a deployment stops when its step is done; everything else has nothing to lose */
        worker_stop(w, w->kind == WORKER_RUN ? 0 : 5 * US_PER_S);
    if (!manager->workers)
        sd_event_exit(manager->event, EXIT_SUCCESS);
    timer_set(manager->event, &manager->stop_timer, stop_timeout_us, on_stop_timeout, manager);
    manager_show_status(manager);
    return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    struct manager *manager = userdata;
    (void)source;
    (void)info;
    if (!manager->stopping)
        manager_reload(manager);
    return 0;
}

static int set_up_signals(struct manager *manager, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
        return error_errno(err, "setting up signals");
    int r = sd_event_add_signal(manager->event, NULL, SIGTERM, on_stop, manager);
    if (r >= 0)
        r = sd_event_add_signal(manager->event, NULL, SIGINT, on_stop, manager);
    if (r >= 0)
        r = sd_event_add_signal(manager->event, NULL, SIGHUP, on_reload, manager);
    return r < 0 ? error_set(err, ERR_SYSTEM, -r, "setting up signals: %s", strerror(-r)) : 0;
}

/* ---- start and end ---- */

static int start(struct manager *manager, struct error *err)
{
    const struct config *config = &manager->config;
    int r = sd_event_default(&manager->event);
    if (r < 0)
        return error_set(err, ERR_SYSTEM, -r, "making the event loop: %s", strerror(-r));
    if (set_up_signals(manager, err) < 0)
        return -1;
    if (storage_open(manager, err) < 0) {
        if (err->kind == ERR_CONFLICT && manager->lock_fd < 0)
            return error_wrap(err, "another agentd runs");
        storage_unusable(manager, err);
    }
    if (fs_mkdir(config->run_dir, 0755, err) < 0 || control_open(manager, err) < 0)
        return -1;
    manager_publish_config(manager);
    for (size_t i = 0; i < config->n_stacks; i++)
        watch_new(manager, &config->stacks[i]);
    load_watches(manager);
    return 0;
}

int manager_new(const char *config_path, struct manager **ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = calloc(1, sizeof *manager);
    if (!manager)
        abort();
    *manager = (struct manager){.config_path = config_path, .lock_fd = -1, .started_us = wall_us()};
    set_text(&manager->worker_program, proc_sibling(&arena, "agent-worker"));
    if (manager_read_config(config_path, &manager->config, &manager->config_text, err) < 0) {
        manager_free(manager);
        err->kind = ERR_INVALID;
        return -1;
    }
    log_set_level(manager->config.log_level);
    if (start(manager, err) < 0) {
        manager_free(manager);
        if (err->kind == ERR_INVALID)
            err->kind = ERR_SYSTEM;
        return -1;
    }
    *ret = manager;
    return 0;
}

int manager_run(struct manager *manager, struct error *err)
{
    int64_t delay = stagger_us;
    http_open(manager);
    /* what was left unfinished comes before the first look at the branches */
    runs_dispatch(manager);
    for (struct watch *w = manager->watches; w; w = w->next, delay += stagger_us)
        schedule_poll(w, delay);
    if (sd_event_set_watchdog(manager->event, true) < 0)
        log_warning("the watchdog cannot be fed");
    log_notice("agentd %s watches %zu stack%s", VERSION, manager->config.n_stacks,
               manager->config.n_stacks == 1 ? "" : "s");
    manager_show_status(manager);
    sd_notify(0, "READY=1");
    int r = sd_event_loop(manager->event);
    if (r < 0)
        return error_set(err, ERR_SYSTEM, -r, "the event loop: %s", strerror(-r));
    if (r == 0)
        return 0;
    *err = manager->journal_error; /* the one thing that ends a loop besides a signal */
    return error_wrap(err, "another agentd runs");
}

void manager_free(struct manager *manager)
{
    control_close(manager); /* first: a client that waits for a worker lets go of it */
    receivers_free(manager);
    workers_free(manager);
    for (struct watch *w = manager->watches; w; w = w->next) {
        w->config = NULL;
        w->poll = w->run = NULL;
    }
    manager_collect(manager);
    http_close(manager);
    live_free(manager);
    metrics_free(manager);
    sd_event_source_disable_unref(manager->storage_timer);
    sd_event_source_disable_unref(manager->stop_timer);
    sd_event_unref(manager->event);
    if (manager->journal)
        journal_close(manager->journal);
    if (manager->lock_fd >= 0)
        close(manager->lock_fd);
    config_release(&manager->config);
    free(manager->config_text);
    free(manager->worker_config);
    free(manager->worker_program);
    free(manager->status);
    free(manager);
}
