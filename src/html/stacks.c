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

static struct verdict verdict_under_way(const struct status *s)
{
    if (s->under_way.state == DEPLOYMENT_INTERRUPTED)
        return (struct verdict){"interrupted", TONE_CAREFUL};
    if (waiting_for(s))
        return (struct verdict){"waiting", TONE_CAREFUL};
    if (s->under_way.state != DEPLOYMENT_REQUESTED)
        return (struct verdict){"deploying", TONE_BUSY};
    return status_pause_is_on(&s->row) ? (struct verdict){"paused", TONE_CAREFUL}
           : s->frozen_until_us        ? (struct verdict){"frozen", TONE_CAREFUL}
                                       : (struct verdict){"requested", TONE_BUSY};
}

/* agentd has asked Git since it was started, and got an answer. */
static bool is_seen(const struct status *s)
{
    return json_is_string(json_object_get(s->agentd, "last_poll")) && !status_poll_error(s);
}

/* The gravest of what is true: a person reads one word first, and "in step" is said only of what was seen. */
struct verdict stack_verdict(const struct status *s)
{
    if (s->row.alarm)
        return (struct verdict){"needs a person", TONE_BAD};
    if (s->under_way.id)
        return verdict_under_way(s);
    if (s->held.id || s->row.hold_absolute)
        return (struct verdict){"held", s->row.hold_absolute ? TONE_CAREFUL : TONE_BAD};
    if (status_poll_error(s))
        return (struct verdict){"polling fails", TONE_BAD};
    if (status_pause_is_on(&s->row))
        return (struct verdict){"paused", TONE_CAREFUL};
    if (!is_seen(s))
        return (struct verdict){"not asked yet", TONE_PLAIN};
    if (!s->deployed.id)
        return (struct verdict){"not deployed yet", TONE_PLAIN};
    if (!status_in_step(s))
        return (struct verdict){s->frozen_until_us ? "frozen" : "behind", TONE_CAREFUL};
    return s->row.drift ? (struct verdict){"changed by others", TONE_CAREFUL}
                        : (struct verdict){"in step", TONE_GOOD};
}

/* ---- what runs ---- */

/* Until when that is known: what was not seen is not said to be so. */
static void as_of(struct html *h, const struct status *s)
{
    const char *last = json_string_value(json_object_get(s->agentd, "last_poll"));
    struct error ignored = {0};
    int64_t at = 0;
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

/* ---- what a person should know ---- */

static void notice_begin(struct html *h, enum tone tone)
{
    html(h, "<li class=\"notice %s\"><p>", tone_class(tone));
}

static void needs_person(struct html *h, const struct status *s)
{
    if (!s->row.alarm)
        return;
    notice_begin(h, TONE_BAD);
    html(h, "<strong>Needs a person:</strong> %s</p></li>\n", s->row.alarm);
}

static void held(struct html *h, const struct status *s)
{
    if (s->row.hold_absolute) {
        notice_begin(h, TONE_CAREFUL);
        html(h, "<strong>Held</strong> after a rollback: ");
        part_commit(h, s->row.tip);
        html(h, " is not deployed until there is a new commit.</p>");
        part_commands(h, "Deploy it after all:",
                      (const char *[]){arena_printf(h->arena, "agentctl resume %s", s->row.stack), NULL});
        html(h, "</li>\n");
    } else if (s->held.id) {
        notice_begin(h, tone_of_deployment(s->held.state));
        html(h, "<strong>Held:</strong> ");
        part_commit(h, s->held.commit);
        html(h, ", ");
        part_deployment(h, s->held.id);
        html(h, " %s: %s</p>", view_verdict(h->arena, s->held.state), s->held.reason);
        part_commands(
            h, "Push a commit that mends it, or try it again:",
            (const char *[]){arena_printf(h->arena, "agentctl retry %lld", (long long)s->held.id), NULL});
        html(h, "</li>\n");
    }
}

static void paused(struct html *h, const struct status *s)
{
    const struct stack_state *row = &s->row;
    if (!status_pause_is_on(row))
        return;
    notice_begin(h, TONE_CAREFUL);
    html(h, "<strong>Paused</strong> since ");
    part_time(h, row->paused_since_us);
    if (row->paused_until_us) {
        html(h, " until ");
        part_time(h, row->paused_until_us);
    }
    html(h, "%s%s</p>", row->pause_reason ? ": " : "", row->pause_reason);
    part_commands(
        h, "End it:", (const char *[]){arena_printf(h->arena, "agentctl resume %s", row->stack), NULL});
    html(h, "</li>\n");
}

static void frozen(struct html *h, const struct status *s)
{
    const struct stack_state *row = &s->row;
    if (!s->frozen_until_us)
        return;
    notice_begin(h, TONE_CAREFUL);
    html(h, "<strong>Frozen</strong> until ");
    part_time(h, s->frozen_until_us);
    html(h, ": nothing new is deployed before.</p>");
    if (row->tip && !status_tip_is_deployed(s))
        part_commands(h, "Deploy the newest commit now:",
                      (const char *[]){arena_printf(h->arena, "agentctl approve %s --commit %.12s",
                                                    row->stack, text_safe(h->arena, row->tip)),
                                       NULL});
    html(h, "</li>\n");
}

static void polling(struct html *h, const struct status *s)
{
    const char *error = status_poll_error(s);
    if (!error)
        return;
    notice_begin(h, TONE_BAD);
    html(h, "<strong>Polling fails</strong>");
    if (s->row.poll_failing_since_us) {
        html(h, " since ");
        part_time(h, s->row.poll_failing_since_us);
    }
    html(h, ": %s. What is new in Git is not known.</p>", error);
    part_commands(h, "Try all of it:",
                  (const char *[]){arena_printf(h->arena, "agentctl check %s", s->row.stack), NULL});
    html(h, "</li>\n");
}

static void drift(struct html *h, const struct status *s)
{
    cleanup_json json_t *found = s->row.drift ? json_loads(s->row.drift, 0, NULL) : NULL;
    const char *note = json_string_value(json_object_get(found, "note"));
    const json_t *entry;
    size_t i;
    if (!found)
        return;
    notice_begin(h, TONE_CAREFUL);
    html(h, "<strong>Changed by others</strong>, seen since ");
    part_time(h, s->row.drift_since_us);
    html(h, "%s%s</p><ul>", note ? "; " : "", note);
    json_array_foreach (json_object_get(found, "services"), i, entry) {
        if (html_is_full(h))
            break;
        html(h, "<li>%s</li>", json_string_value(json_object_get(entry, "text")));
    }
    html(h, "</ul></li>\n");
}

void part_notices(struct html *h, const struct status *s)
{
    bool any = s->row.alarm || s->held.id || s->row.hold_absolute || status_pause_is_on(&s->row) ||
               s->frozen_until_us || status_poll_error(s) || s->row.drift;
    if (!any)
        return;
    html(h, "<ul class=\"notices\">\n");
    needs_person(h, s);
    held(h, s);
    paused(h, s);
    frozen(h, s);
    polling(h, s);
    drift(h, s);
    html(h, "</ul>\n");
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
        struct verdict v = stack_verdict(&stacks[i].status);
        if (v.tone != TONE_GOOD || n == 1)
            str_printf(&text, "%s%s %s", text.len ? ", " : "", stacks[i].status.row.stack, v.word);
    }
    return n == 0 ? "no stack" : text.len ? arena_strdup(arena, str_text(&text)) : "all in step";
}

static void card(struct html *h, const struct site *site, const struct stack_view *v)
{
    const char *name = v->status.row.stack;
    struct verdict verdict = stack_verdict(&v->status);
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

void page_stacks(struct html *h, const struct site *site, const struct stack_view *stacks, size_t n,
                 const struct history *history)
{
    frame_begin(h, site, gist(h->arena, stacks, n), NULL);
    html(h, "<h1 class=\"unseen\">Stacks</h1>\n");
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
