/* SPDX-License-Identifier: Apache-2.0 */

/* One stack: how it stands, what Git says that is not deployed yet, and its history. */

#include "html/pages.h"

static void images(struct html *h, const struct status *s)
{
    if (s->n_services == 0)
        return;
    html(
        h,
        "<section class=\"card\" aria-labelledby=\"services\"><h2 id=\"services\">Services</h2>\n"
        "<table role=\"table\" class=\"rows\"><caption class=\"soft\">As deployment #%lld left "
        "them</caption>\n"
        "<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" role=\"columnheader\">Service</th>"
        "<th scope=\"col\" role=\"columnheader\">State</th><th scope=\"col\" role=\"columnheader\">Image</th>"
        "<th scope=\"col\" role=\"columnheader\">Note</th></tr></thead>\n<tbody role=\"rowgroup\">\n",
        (long long)s->deployed.id);
    for (size_t i = 0; i < s->n_services && !html_is_full(h); i++) {
        const struct service_record *r = &s->services[i];
        if (str_eq(r->action, "remove"))
            continue;
        html(h, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">%s</th><td role=\"cell\">",
             r->service);
        part_state(h, view_words(h->arena, r->state), tone_of_service(r->state));
        html(h, "</td><td role=\"cell\">");
        part_digest(h, spec_image_of(h->arena, r->after ? r->after : r->before));
        html(h, "</td><td role=\"cell\" class=\"%s\">%s</td></tr>\n", r->note ? "" : "empty", r->note);
    }
    html(h, "</tbody></table></section>\n");
}

static void pending_plan(struct html *h, const struct status *s, const struct pending *pending)
{
    html(h, "<p>");
    part_deployment(h, pending->planned.id);
    html(h, status_tip_is_deployed(s) ? " deploys it again" : " planned it");
    html(h,
         "; its plan:</p>\n<pre tabindex=\"0\" role=\"region\" aria-label=\"Plan of deployment "
         "%lld\">",
         (long long)pending->planned.id);
    html_lines(h, pending->plan, SIZE_MAX);
    html(h, "</pre>\n");
}

static void what_is_pending(struct html *h, const struct status *s, const struct pending *pending)
{
    html(h, "<section class=\"card\" aria-labelledby=\"pending\"><h2 id=\"pending\">Pending</h2>\n");
    if (!s->row.tip) {
        html(h, "<p>What Git says is not known yet.</p>\n");
    } else if (status_tip_is_deployed(s)) {
        html(h, "<p>Nothing: the newest commit that was seen is deployed.</p>\n");
    } else {
        html(h, "<p>");
        part_commit(h, s->row.tip);
        html(h, " is not what was deployed last");
        if (s->deployed.id) {
            html(h, ", which is ");
            part_commit(h, s->deployed.commit);
        }
        html(h, ".</p>\n");
    }
    if (pending->plan)
        pending_plan(h, s, pending);
    part_commands(h, pending->plan ? "The plan as it would be now:" : "What would be done now:",
                  (const char *[]){arena_printf(h->arena, "agentctl plan %s", s->row.stack), NULL});
    html(h, "</section>\n");
}

void page_stack(struct html *h, const struct site *site, const struct stack_view *v,
                const struct pending *pending, const struct history *history)
{
    const struct status *s = &v->status;
    struct headline verdict = stack_headline(s);
    frame_begin(h, site, arena_printf(h->arena, "%s %s", s->row.stack, verdict.word), s->row.stack);
    html(h,
         "<div class=\"group\"><p class=\"soft\"><a href=\"/\">Stacks</a></p><div "
         "class=\"title\"><h1>%s</h1> ",
         s->row.stack);
    part_state(h, verdict.word, verdict.tone);
    html(h, "</div></div>\n<section class=\"card\" aria-labelledby=\"now\"><h2 id=\"now\" "
            "class=\"unseen\">Now</h2>\n");
    part_runs(h, v);
    part_notices(h, s);
    part_doing(h, site, v);
    html(h, "</section>\n");
    if (!history->before_id) {
        what_is_pending(h, s, pending);
        images(h, s);
    }
    part_history(h, site, history);
    frame_end(h, site);
}
