/* SPDX-License-Identifier: Apache-2.0 */

/* One deployment, from why it ended so down to its digests: what `agentctl show` prints. */

#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "html/pages.h"
#include "view/ending.h"

/* ---- head ---- */

static const char *who_asked(struct arena *arena, const struct deployment *d)
{
    cleanup_str struct str text = {0};
    str_append(&text, trigger_name(d->trigger));
    if (d->target_id)
        str_printf(&text, " of #%lld", (long long)d->target_id);
    if (d->requested_by)
        str_printf(&text, ", by %s", d->requested_by);
    return arena_strdup(arena, str_text(&text));
}

static void title(struct html *h, const struct view *v)
{
    html(h,
         "<div class=\"group\"><p class=\"soft\"><a href=\"/\">Stacks</a> / <a "
         "href=\"/stacks/%s\">%s</a></p>\n"
         "<div class=\"title\"><h1>Deployment #%lld</h1> ",
         v->d.stack, v->d.stack, (long long)v->d.id);
    part_deployment_state(h, v->d.state);
    html(h, "</div>\n<p class=\"lead\">");
    part_commit(h, v->d.commit);
    html(h, " <span class=\"subject\">%s</span></p></div>\n", v->d.subject);
}

static void fact(struct html *h, const char *name, const char *value)
{
    if (value && *value)
        html(h, "<div><dt>%s</dt><dd>%s</dd></div>\n", name, value);
}

static void fact_time(struct html *h, const char *name, int64_t us)
{
    if (!us)
        return;
    html(h, "<div><dt>%s</dt><dd>", name);
    part_time(h, us);
    html(h, "</dd></div>\n");
}

static void took(struct html *h, const struct site *site, const struct view *v)
{
    if (!v->d.started_us)
        return;
    html(h, "<div><dt>Took</dt><dd>");
    if (v->d.finished_us)
        html(h, "%s", view_took(h->arena, v));
    else {
        part_running(h, v->d.started_us, site->now_us);
        html(h, " so far");
    }
    html(h, "</dd></div>\n");
}

static void facts(struct html *h, const struct site *site, const struct page *page)
{
    const struct deployment *d = &page->view.d;
    html(h,
         "<section class=\"card\" aria-labelledby=\"facts\"><h2 id=\"facts\" class=\"unseen\">Facts</h2><dl "
         "class=\"facts\">\n<div class=\"whole\"><dt>Commit</dt><dd><code>%s</code>%s%s</dd></div>\n",
         d->commit, d->branch ? " on " : "", d->branch);
    fact(h, "Author", d->author);
    fact(h, "Trigger", who_asked(h->arena, d));
    fact_time(h, "Requested", d->requested_us);
    fact_time(h, "Started", d->started_us);
    fact_time(h, "Finished", d->finished_us);
    took(h, site, &page->view);
    if (d->base_id) {
        html(h, "<div><dt>Started on</dt><dd>");
        part_deployment(h, d->base_id);
        html(h, ", the last success</dd></div>\n");
    }
    if (d->resumes)
        html(h, "<div><dt>Resumed</dt><dd>%u times since its last progress</dd></div>\n", d->resumes);
    if (d->cancel_requested && !deployment_state_ended(d->state))
        fact(h, "Cancel", "requested");
    html(h, "</dl></section>\n");
}

/* ---- what happened ---- */

static void cause(struct html *h, const struct page *page)
{
    if (!page->regressed)
        return;
    html(h, "<dl class=\"facts\">\n");
    fact(h, "Check", json_path_string(page->regressed, "check", NULL));
    fact(h, "Before", view_samples(h->arena, json_object_get(page->regressed, "before"), ""));
    fact(h, "Now", view_samples(h->arena, json_object_get(page->regressed, "now"), "the newest "));
    html(h, "</dl>\n");
}

static void next(struct html *h, const struct deployment *d, const struct ending *ending)
{
    part_next(h, ending);
    if (!deployment_state_ended(d->state))
        part_commands(
            h, "Stop it, and put back what it touched:",
            (const char *[]){arena_printf(h->arena, "agentctl cancel %lld", (long long)d->id), NULL});
}

static void what_happened(struct html *h, const struct page *page)
{
    const struct deployment *d = &page->view.d;
    const char *why = view_why(h->arena, &page->view);
    struct ending ending =
        ending_of(h->arena, d, ending_migrations_of(page->view.migrations, page->view.n_migrations));
    html(h,
         "<section class=\"notice %s\" aria-labelledby=\"why\"><h2 id=\"why\" class=\"unseen\">What "
         "happened</h2>\n",
         tone_class(tone_of_deployment(d->state)));
    if (*why)
        html(h, "<p class=\"lead\">%s</p>\n", why);
    cause(h, page);
    if (ending.affected)
        html(h, "<p>%s%s</p>\n", ending.affected,
             ending.half_way ? " The table of services says which of them run the new version." : "");
    next(h, d, &ending);
    html(h, "</section>\n");
}

static void warnings(struct html *h, const struct page *page)
{
    size_t i;
    const json_t *one;
    if (json_array_size(page->warnings) == 0)
        return;
    html(h, "<section class=\"notice careful\" aria-labelledby=\"warnings\"><h2 "
            "id=\"warnings\">Warnings</h2><ul>\n");
    json_array_foreach (page->warnings, i, one) {
        if (html_is_full(h))
            break;
        if (json_is_string(one))
            html(h, "<li>%s</li>\n", json_string_value(one));
    }
    html(h, "</ul></section>\n");
}

void page_deployment(struct html *h, const struct site *site, const struct page *page)
{
    const struct view *v = &page->view;
    const struct deployment *d = &v->d;
    frame_begin(h, site,
                arena_printf(h->arena, "#%lld of %s: %s", (long long)d->id, d->stack,
                             view_verdict(h->arena, d->state)),
                d->stack);
    title(h, v);
    what_happened(h, page);
    warnings(h, page);
    facts(h, site, page);
    part_timeline(h, site, page);
    part_migrations(h, page);
    part_backup(h, page);
    part_page_services(h, page);
    part_images(h, page);
    part_answers(h, page);
    frame_end(h, site);
}
