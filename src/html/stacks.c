/* SPDX-License-Identifier: Apache-2.0 */

/* A stack as it stands, and the page of all of them: what `agentctl status` prints. */

#include "base/cleanup.h"
#include "base/clock.h"
#include "html/pages.h"
#include "view/at_work.h"

/* ---- in one word ---- */

static const char *waiting_for(const struct status *s)
{
    const char *text = json_string_value(json_object_get(s->agentd, "waiting"));
    return text ? text : s->row.waiting;
}

static struct headline headline_under_way(const struct status *s)
{
    if (s->under_way.state == DEPLOYMENT_INTERRUPTED)
        return (struct headline){"interrupted", TONE_CAREFUL};
    if (waiting_for(s))
        return (struct headline){"waiting", TONE_CAREFUL};
    if (s->under_way.state != DEPLOYMENT_REQUESTED)
        return (struct headline){"deploying", TONE_BUSY};
    return status_pause_is_on(&s->row) ? (struct headline){"paused", TONE_CAREFUL}
           : s->frozen_until_us        ? (struct headline){"frozen", TONE_CAREFUL}
                                       : (struct headline){"requested", TONE_BUSY};
}

/* The gravest of what is true: a person reads one word first, and "in step" is said only of what was seen. */
struct headline stack_headline(const struct status *s)
{
    if (s->row.alarm)
        return (struct headline){"needs a person", TONE_BAD};
    if (s->under_way.id)
        return headline_under_way(s);
    if (s->held.id || s->row.hold_absolute)
        return (struct headline){"held", s->row.hold_absolute ? TONE_CAREFUL : TONE_BAD};
    if (status_poll_error(s))
        return (struct headline){"polling fails", TONE_BAD};
    if (status_pause_is_on(&s->row))
        return (struct headline){"paused", TONE_CAREFUL};
    if (!s->agentd)
        return (struct headline){"not watched", TONE_PLAIN};
    if (!status_is_seen(s))
        return (struct headline){"not asked yet", TONE_PLAIN};
    if (!s->deployed.id)
        return (struct headline){"not deployed yet", TONE_PLAIN};
    if (!status_in_step(s))
        return (struct headline){s->frozen_until_us ? "frozen" : "behind", TONE_CAREFUL};
    return s->row.drift ? (struct headline){"changed by others", TONE_CAREFUL}
                        : (struct headline){"in step", TONE_GOOD};
}

/* ---- what runs ---- */

/* Until when that is known: what was not seen is not said to be so. */
static void as_of(struct html *h, const struct status *s)
{
    const char *last = json_string_value(json_object_get(s->agentd, "last_poll"));
    struct error ignored = {0};
    int64_t at = 0;
    if (!s->agentd) {
        html(h, ", when it was seen last: no section of agent.conf names this stack any more");
        return;
    }
    if (!last || time_parse(last, &at, &ignored) < 0) {
        html(h, "; Git was not asked since agentd was started");
        return;
    }
    html(h, status_poll_error(s) ? ", when it was seen last; asked in vain " : ", as of ");
    part_time(h, at);
}

static void branch(struct html *h, const struct stack_view *v)
{
    const struct status *s = &v->status;
    const char *name = v->branch ? v->branch : "its branch";
    html(h, "<p class=\"soft\">");
    if (!s->row.tip) {
        html(h, "What is on %s is not known yet", name);
    } else if (status_tip_is_deployed(s)) {
        html(h, "Nothing newer on %s", name);
    } else {
        html(h, "%s is at ", name);
        part_commit(h, s->row.tip);
        html(h, ", first seen ");
        part_time(h, s->row.tip_seen_us);
    }
    as_of(h, s);
    html(h, "</p>\n");
}

void part_runs(struct html *h, const struct stack_view *v)
{
    const struct deployment *d = &v->status.deployed;
    html(h, "<div class=\"group\">");
    if (d->id) {
        html(h, "<p class=\"lead\">Runs ");
        part_commit(h, d->commit);
        html(h, " <span class=\"subject\">%s</span></p>\n<p class=\"soft\">%s%s", d->subject,
             d->author ? "by " : "", d->author);
        html(h, d->author ? ", since " : "Since ");
        part_time(h, d->finished_us);
        html(h, ", ");
        part_deployment(h, d->id);
        html(h, "</p>\n");
    } else {
        html(h, "<p class=\"lead\">Nothing was deployed yet.</p>\n");
    }
    branch(h, v);
    html(h, "</div>\n");
}

/* ---- what is being deployed ---- */

static void progress(struct html *h, const struct stack_view *v)
{
    unsigned done = 0, n = (unsigned)v->n_steps;
    for (size_t i = 0; i < v->n_steps; i++)
        done += v->steps[i].state != STEP_PENDING && v->steps[i].state != STEP_RUNNING;
    html(h,
         "<div class=\"bar\"><progress max=\"%u\" value=\"%u\" aria-label=\"Steps that have ended\">%u of "
         "%u</progress> <span class=\"soft number\">%u of %u steps</span></div>\n",
         n, done, done, n, done, n);
}

/* "Now roll web, for 0m12s of at most 5m00s: 1 of 2 replicas up" */
static void now_at(struct html *h, const struct site *site, const struct stack_view *v)
{
    struct at_work w;
    at_work_find(h->arena, &v->status.under_way, v->steps, v->n_steps, &w);
    if (!w.step)
        return;
    const char *words = progress_words(h->arena, &w.progress);
    int64_t most = w.progress.deadline_us - w.step->started_us;
    html(h, "<p>%s <span class=\"soft\">%s</span> <strong>%s</strong>",
         w.stands ? "Stopped at"
         : w.back ? "Putting back"
                  : "Now",
         w.step->kind, w.step->name);
    if (!w.stands && !w.back) {
        html(h, ", for ");
        part_running(h, w.step->started_us, site->now_us);
        if (most > 0)
            html(h, " of at most %s", duration_text(h->arena, most));
    }
    html(h, "%s%s</p>\n", *words ? ": " : "", words);
}

void part_doing(struct html *h, const struct site *site, const struct stack_view *v)
{
    const struct deployment *d = &v->status.under_way;
    const char *waiting = waiting_for(&v->status);
    if (!d->id)
        return;
    html(h, "<div class=\"doing\"><p>");
    part_deployment(h, d->id);
    html(h, " ");
    part_commit(h, d->commit);
    html(h, " <span class=\"subject\">%s</span> <span class=\"soft\">%s</span> %s%s", d->subject, d->author,
         deployment_state_name(d->state), d->started_us ? " for " : "");
    if (d->started_us)
        part_running(h, d->started_us, site->now_us);
    html(h, "</p>\n");
    if (v->n_steps > 0)
        progress(h, v);
    now_at(h, site, v);
    if (waiting)
        html(h, "<p><strong>Waiting:</strong> %s</p>\n", waiting);
    part_commands(h, "Stop it, and put back what it touched:",
                  (const char *[]){arena_printf(h->arena, "agentctl cancel %lld", (long long)d->id), NULL});
    html(h, "</div>\n");
}

/* ---- services ---- */

void part_services(struct html *h, const struct status *s)
{
    bool any = false;
    for (size_t i = 0; i < s->n_services; i++)
        any |= !str_eq(s->services[i].action, "remove");
    if (!any)
        return;
    html(h, "<div class=\"group\"><h3 class=\"small\">Services, as the deployment left them</h3><ul "
            "class=\"services\">\n");
    for (size_t i = 0; i < s->n_services && !html_is_full(h); i++) {
        const struct service_record *service = &s->services[i];
        if (str_eq(service->action, "remove"))
            continue;
        html(h, "<li>%s ", service->service);
        part_state(h, view_words(h->arena, service->state), tone_of_service(service->state));
        html(h, "</li>\n");
    }
    html(h, "</ul></div>\n");
}

/* ---- the page ---- */

/* "all in step", or those that are not: it is read aloud when it changes. */
static const char *gist(struct arena *arena, const struct stack_view *stacks, size_t n)
{
    cleanup_str struct str text = {0};
    for (size_t i = 0; i < n && text.len < 200; i++) {
        struct headline v = stack_headline(&stacks[i].status);
        if (v.tone != TONE_GOOD || n == 1)
            str_printf(&text, "%s%s %s", text.len ? ", " : "", stacks[i].status.row.stack, v.word);
    }
    return n == 0 ? "no stack" : text.len ? arena_strdup(arena, str_text(&text)) : "all in step";
}

static void card(struct html *h, const struct site *site, const struct stack_view *v)
{
    const char *name = v->status.row.stack;
    struct headline verdict = stack_headline(&v->status);
    html(h,
         "<section class=\"card\" aria-labelledby=\"stack-%s\"><header><h2 id=\"stack-%s\"><a "
         "href=\"/stacks/%s\">%s</a></h2> ",
         name, name, name, name);
    part_state(h, verdict.word, verdict.tone);
    html(h, "</header>\n");
    part_runs(h, v);
    part_notices(h, &v->status);
    part_doing(h, site, v);
    part_services(h, &v->status);
    html(h, "</section>\n");
}

void page_stacks(struct html *h, const struct site *site, const struct agent_view *agent,
                 const struct stack_view *stacks, size_t n, const struct history *history)
{
    frame_begin(h, site, gist(h->arena, stacks, n), NULL);
    html(h, "<h1 class=\"unseen\">Stacks</h1>\n");
    part_agent(h, agent);
    if (n == 0)
        html(h, "<p>No stack is configured. <code class=\"command\">agentctl check</code> says what is "
                "missing.</p>\n");
    html(h, "<div class=\"stacks\">\n");
    for (size_t i = 0; i < n && !html_is_full(h); i++)
        card(h, site, &stacks[i]);
    html(h, "</div>\n");
    part_history(h, site, history);
    frame_end(h, site);
}
