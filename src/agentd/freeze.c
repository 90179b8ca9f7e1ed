/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/freeze.h"

#include "agent/log.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

/* ---- freezes ---- */

static int on_freeze_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct watch *w = userdata;
    (void)source;
    (void)usec;
    freeze_refresh(w);
    runs_dispatch(w->manager);
    return 0;
}

static void say_frozen(const struct watch *w)
{
    cleanup_arena struct arena arena = {0};
    log_watch(w);
    log_notice("%s is frozen until %s: no deployment starts by itself", w->name,
               local_minute(&arena, w->frozen_until_us));
    log_watch(NULL);
}

static void say_thawed(const struct watch *w)
{
    log_watch(w);
    log_notice("the freeze of %s is over", w->name);
    log_watch(NULL);
}

void freeze_refresh(struct watch *w)
{
    int64_t until = w->config ? freeze_until(&w->config->freeze, wall_us()) : 0;
    bool was = w->frozen_until_us != 0;
    if (until == w->frozen_until_us)
        return;
    w->frozen_until_us = until;
    if (until)
        timer_set_at(w->manager->event, &w->freeze_timer, until, on_freeze_timer, w);
    else
        timer_stop(w->freeze_timer);
    if (!was) {
        say_frozen(w);
    } else if (!until && w->config) {
        say_thawed(w);
        w->thawing = true;
        schedule_look_closely(w);
    }
}

void freeze_looked(struct watch *w)
{
    if (!w->again && !w->sync_wanted) /* else another one follows at once */
        w->thawing = false;
}

/* ---- what waits ---- */

static const char waits_for[] = "the end of the ";

static const char *why_blocked(struct arena *arena, struct watch *w)
{
    if (runs_paused(w))
        return arena_printf(arena, "%spause%s%s, or: agentctl resume %s", waits_for,
                            w->paused_until_us ? ", " : "",
                            w->paused_until_us ? local_minute(arena, w->paused_until_us) : "", w->name);
    if (w->runnable_is_asked_for)
        return NULL;
    if (w->frozen_until_us)
        return arena_printf(arena, "%sfreeze, %s, or: agentctl approve %s", waits_for,
                            local_minute(arena, w->frozen_until_us), w->name);
    return w->thawing ? arena_printf(arena, "%sfreeze, and a look at the branch", waits_for) : NULL;
}

void freeze_block(struct watch *w)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = w->manager;
    struct error err = {0};
    if (!manager->journal || w->run) /* a worker that runs says itself what it waits for */
        return;
    const char *why = w->runnable && w->runnable_is_new ? why_blocked(&arena, w) : NULL;
    if (str_eq(why, w->blocked))
        return;
    set_text(&w->blocked, why);
    if (manager->journal && journal_set_waiting(manager->journal, w->name, why, &err) < 0)
        manager_journal_failed(manager, &err, "recording what a deployment waits for");
}

void freeze_load(struct watch *w, const struct stack_state *state)
{
    freeze_refresh(w);
    if (state->waiting && str_starts(state->waiting, waits_for))
        set_text(&w->blocked,
                 state->waiting); /* ours, from before a restart: it is put right or taken away */
}
