/* SPDX-License-Identifier: Apache-2.0 */

/* What a person should know, of a stack and of the agent, each with the command that goes on. */

#include "base/clock.h"
#include "html/pages.h"

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
        struct ending ending = ending_of(h->arena, &s->held, s->held_migrations);
        html(h, " %s: %s</p>", view_verdict(h->arena, s->held.state), s->held.reason);
        if (ending.affected)
            html(h, "<p class=\"next\">%s</p>", ending.affected);
        part_next(h, &ending);
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
    struct status_drift found;
    if (!status_drift(h->arena, s, &found))
        return;
    notice_begin(h, TONE_CAREFUL);
    html(h, "<strong>Changed by others</strong>, seen since ");
    part_time(h, s->row.drift_since_us);
    html(h, "%s%s</p><ul>", *found.note ? "; " : "", found.note);
    for (size_t i = 0; i < found.n && !html_is_full(h); i++)
        html(h, "<li>%s</li>", found.services[i]);
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

/* ---- of the agent ---- */

/* Those that cannot be told: everybody believes that no news are good news. */
static void receiver(struct html *h, const struct receiver_view *r)
{
    notice_begin(h, TONE_BAD);
    html(h, "<strong>%s</strong> cannot be told, since ", r->row.name);
    part_time(h, r->row.failing_since_us);
    html(h, ": %s. %lld%s waiting", r->row.error, (long long)r->events,
         r->events >= RECEIVER_EVENTS_MAX ? " or more are"
         : r->events == 1                 ? " is"
                                          : " are");
    if (r->row.dropped)
        html(h, ", %lld dropped", (long long)r->row.dropped);
    html(h, ".</p></li>\n");
}

void part_agent(struct html *h, const struct agent_view *agent)
{
    bool any = agent->room;
    for (size_t i = 0; i < agent->n_receivers; i++)
        any |= agent->receivers[i].row.failing_since_us != 0;
    if (!any)
        return;
    html(h, "<ul class=\"notices\">\n");
    if (agent->room) {
        notice_begin(h, TONE_CAREFUL);
        html(
            h,
            "<strong>The disk of %s is nearly full:</strong> %s. No deployment starts when it is.</p></li>\n",
            agent->state_dir, agent->room);
    }
    for (size_t i = 0; i < agent->n_receivers && !html_is_full(h); i++)
        if (agent->receivers[i].row.failing_since_us)
            receiver(h, &agent->receivers[i]);
    html(h, "</ul>\n");
}
