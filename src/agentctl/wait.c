/* SPDX-License-Identifier: Apache-2.0 */

/* --wait: follows a deployment in the journal until it ends. */

#include <stdio.h>
#include <string.h>

#include "agentctl/interrupt.h"
#include "agentctl/live.h"
#include "agentctl/view.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "view/at_work.h"

static const int64_t look_us = US_PER_S / 2;
static const int64_t ask_us = 10 * US_PER_S;      /* is agentd still there? */
static const int64_t patience_us = 60 * US_PER_S; /* a restart is no reason to give up */

struct wait {
    struct ctl *ctl;
    int64_t id;
    enum deployment_state wanted;
    int64_t seen;            /* data version at the last look */
    int64_t asked, answered; /* monotonic */
    struct live live;
    unsigned told; /* this many steps were told to have ended */
    /* as of the last look that found something new */
    struct arena arena;
    struct view view;
    struct step *steps;
    size_t n_steps;
    struct at_work work;
    int64_t before; /* it is requested, and this one runs; 0: none does */
};

/* ---- Ctrl-C ---- */

/* Nobody who presses Ctrl-C here is to believe that it stopped the deployment. */
static int leave(struct wait *w)
{
    live_close(&w->live);
    const char *stack = text_safe(&w->ctl->arena, w->view.d.stack);
    fprintf(stderr,
            "agentctl: not watching any more; #%lld goes on. See: agentctl status %s; stop it: agentctl "
            "cancel %s\n",
            (long long)w->id, stack, stack);
    interrupt_die();
    return EXIT_FAILED;
}

/* ---- telling: what happens goes to stderr, how it ended to stdout ---- */

static bool step_ended(const struct step *s)
{
    return s->state != STEP_PENDING && s->state != STEP_RUNNING;
}

/* Where lines cannot be drawn over they may be one among others': each says whose it is. */
static const char *prefix(struct wait *w)
{
    return w->live.terminal ? "  " : arena_printf(&w->arena, "#%lld ", (long long)w->id);
}

static void tell_step(struct wait *w, const struct step *s)
{
    bool bad = s->state == STEP_FAILED, careful = s->state == STEP_FAILED_ALLOWED, colour = w->live.terminal;
    enum colour which = bad ? COLOUR_BAD : careful ? COLOUR_CAREFUL : COLOUR_GOOD;
    live_clear(&w->live);
    fprintf(stderr, "%s%s%s%s %s, %s%s%s\n", prefix(w), colour ? colour_on(which) : "",
            step_state_name(s->state), colour ? colour_off() : "", at_work_title(&w->arena, s),
            duration_text(&w->arena, s->finished_us - s->started_us), s->error ? ": " : "",
            text_safe(&w->arena, s->error));
}

/* Steps end in their order; one that was skipped was never at work. */
static void tell_ended(struct wait *w)
{
    for (; w->told < w->n_steps && step_ended(&w->steps[w->told]); w->told++)
        if (w->steps[w->told].started_us && w->steps[w->told].state != STEP_SKIPPED)
            tell_step(w, &w->steps[w->told]);
}

static void tell_now(struct wait *w)
{
    cleanup_arena struct arena arena = {0};
    const struct deployment *d = &w->view.d;
    const char *text, *change;
    if (w->view.waiting) {
        text = change = arena_printf(&arena, "waiting: %s", text_safe(&arena, w->view.waiting));
    } else if (w->before) {
        text = change = arena_printf(&arena, "waiting: #%lld runs", (long long)w->before);
    } else if (w->work.step) {
        text = arena_printf(&arena, "step %u of %u: %s", w->work.number, w->work.of,
                            at_work_line(&arena, &w->work));
        change = at_work_change(&arena, &w->work);
    } else {
        text = change = deployment_state_name(d->state);
    }
    live_show(&w->live, arena_printf(&arena, "  %s", text),
              arena_printf(&arena, "#%lld %s", (long long)w->id, change));
}

static void tell_what(const struct wait *w)
{
    cleanup_arena struct arena arena = {0};
    const struct deployment *d = &w->view.d;
    fprintf(stderr, "#%lld %.7s %s%s%s%s\n", (long long)w->id, text_safe(&arena, d->commit),
            text_safe(&arena, d->subject), d->author ? " (" : "", text_safe(&arena, d->author),
            d->author ? ")" : "");
}

static int finish(struct wait *w)
{
    cleanup_arena struct arena arena = {0};
    const struct view *v = &w->view;
    bool good = v->d.state == w->wanted;
    const char *why = view_why(&arena, v);
    live_close(&w->live);
    printf("#%lld %s%s%s%s%s%s%s\n", (long long)w->id, colour_on(view_colour(v->d.state)),
           view_verdict(&arena, v->d.state), colour_off(), v->d.started_us ? ", took " : "",
           v->d.started_us ? view_took(&arena, v) : "", *why ? ": " : "", why);
    fflush(stdout);
    if (!good)
        fprintf(stderr, "What happened, and what to do: agentctl show %lld\n", (long long)w->id);
    return good ? EXIT_GOOD : EXIT_FAILED;
}

/* ---- looking ---- */

/* -1 and err; *ret_found false: it is gone. */
static int load(struct wait *w, bool *ret_found, struct error *err)
{
    struct journal *journal = w->ctl->journal;
    struct deployment d;
    int64_t runs;
    arena_release(&w->arena);
    w->before = 0;
    if (journal_deployment(journal, &w->arena, w->id, &d, ret_found, err) < 0)
        return -1;
    if (!*ret_found)
        return 0;
    if (view_load(w->ctl, &w->arena, &d, &w->view, err) < 0 ||
        journal_steps(journal, &w->arena, w->id, &w->steps, &w->n_steps, err) < 0 ||
        journal_runnable(journal, d.stack, &runs, err) < 0)
        return -1;
    at_work_find(&w->arena, &d, w->steps, w->n_steps, &w->work);
    w->before = d.state == DEPLOYMENT_REQUESTED && runs != w->id ? runs : 0;
    return 0;
}

/* -1: goes on; else the exit code. */
static int look(struct wait *w)
{
    struct error err = {0};
    bool found, first = w->seen == -2;
    int64_t version = journal_data_version(w->ctl->journal);
    if (version != w->seen) {
        w->seen = version;
        if (load(w, &found, &err) < 0)
            return live_close(&w->live), ctl_fail(&err);
        if (!found)
            return live_close(&w->live), ctl_misuse("there is no deployment %lld any more", (long long)w->id),
                   EXIT_NOT_FOUND;
        if (first)
            tell_what(w);
        tell_ended(w);
        if (deployment_state_ended(w->view.d.state))
            return finish(w);
    }
    tell_now(w);
    return -1;
}

static bool agentd_is_gone(struct wait *w)
{
    cleanup_json json_t *reply = NULL;
    struct error err = {0};
    int64_t now = mono_us();
    if (now - w->asked < ask_us)
        return false;
    w->asked = now;
    if (ctl_ask(w->ctl, "status", NULL, NULL, 5 * US_PER_S, &reply, &err) == 0 || err.kind != ERR_NOT_FOUND)
        w->answered = now;
    return now - w->answered >= patience_us;
}

static int follow(struct wait *w)
{
    for (;;) {
        int code = look(w);
        if (code >= 0)
            return code;
        if (interrupt_seen())
            return leave(w);
        if (agentd_is_gone(w)) {
            live_close(&w->live);
            fprintf(stderr, "agentctl: agentd is not running; #%lld goes on when it starts again\n",
                    (long long)w->id);
            return EXIT_NO_DAEMON;
        }
        sleep_us(look_us);
    }
}

int ctl_wait(struct ctl *ctl, int64_t id, enum deployment_state wanted)
{
    struct error err = {0};
    int64_t now = mono_us();
    struct wait w = {.ctl = ctl, .id = id, .wanted = wanted, .seen = -2, .asked = now, .answered = now};
    if (ctl_journal(ctl, &err) < 0)
        return ctl_fail(&err);
    live_open(&w.live, stderr);
    interrupt_catch();
    int code = follow(&w);
    live_close(&w.live);
    arena_release(&w.arena);
    return code;
}
