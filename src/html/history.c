/* SPDX-License-Identifier: Apache-2.0 */

/* The table of deployments: what `agentctl log` prints. */

#include "html/pages.h"

static void head(struct html *h, bool several)
{
    html(h, "<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" role=\"columnheader\">ID</th>"
            "<th scope=\"col\" role=\"columnheader\">When</th>");
    if (several)
        html(h, "<th scope=\"col\" role=\"columnheader\">Stack</th>");
    html(h, "<th scope=\"col\" role=\"columnheader\">Commit</th>"
            "<th scope=\"col\" role=\"columnheader\">Migrations</th>"
            "<th scope=\"col\" role=\"columnheader\">Verdict</th>"
            "<th scope=\"col\" role=\"columnheader\">Took</th>"
            "<th scope=\"col\" role=\"columnheader\">Why</th></tr></thead>\n");
}

static void what(struct html *h, const struct deployment *d)
{
    html(h, "<td role=\"cell\" class=\"commit\">");
    part_commit(h, d->commit);
    html(h, " %s", d->subject);
    if (d->author)
        html(h, " <span class=\"soft\">%s</span>", d->author);
    html(h, "</td>");
}

static void took(struct html *h, const struct site *site, const struct view *v)
{
    html(h, "<td role=\"cell\" class=\"took\">");
    if (v->d.started_us && !v->d.finished_us)
        part_running(h, v->d.started_us, site->now_us);
    else if (v->d.started_us)
        html(h, "%s", view_took(h->arena, v));
    html(h, "</td>");
}

static void row(struct html *h, const struct site *site, const struct view *v, bool several)
{
    const struct deployment *d = &v->d;
    const char *migrations = view_migrations(h->arena, v), *why = view_why(h->arena, v);
    bool none = str_eq(migrations, "none"), failed = str_starts(migrations, "FAILED");
    html(h, deployment_state_ended(d->state) ? "<tr role=\"row\">" : "<tr role=\"row\" class=\"now\">");
    html(h, "<th scope=\"row\" role=\"rowheader\" class=\"number\">");
    part_deployment(h, d->id);
    html(h, "</th><td role=\"cell\" class=\"when\">");
    part_time(h, d->started_us ? d->started_us : d->requested_us);
    html(h, "</td>");
    if (several)
        html(h, "<td role=\"cell\" class=\"in\"><a href=\"/stacks/%s\">%s</a></td>", d->stack, d->stack);
    what(h, d);
    html(
        h,
        "<td role=\"cell\" class=\"migrations%s\" data-name=\"migrations\"><span class=\"%s\">%s</span></td>",
        none ? " empty" : "",
        failed ? "failed"
        : none ? "soft"
               : "",
        migrations);
    html(h, "<td role=\"cell\" class=\"verdict\">");
    part_deployment_state(h, d->state);
    html(h, "</td>");
    took(h, site, v);
    html(h, "<td role=\"cell\" class=\"why%s\">%s</td></tr>\n", *why ? "" : " empty", why);
}

/* oldest: the last that is shown; 0: no older one is there */
static void links(struct html *h, const struct history *history, int64_t oldest)
{
    if (!history->before_id && !oldest)
        return;
    html(h, "<nav class=\"pages\" aria-label=\"Pages of the history\">");
    if (history->before_id)
        html(h, "<a href=\"%s\">Newest</a>", history->path);
    if (oldest)
        html(h, "<a href=\"%s?before=%lld\" rel=\"next\">Older</a>", history->path, (long long)oldest);
    html(h, "</nav>\n");
}

static size_t table(struct html *h, const struct site *site, const struct history *history)
{
    size_t i = 0;
    html(h, "<table role=\"table\" class=\"rows history\"><caption class=\"unseen\">Deployments, newest "
            "first</caption>\n");
    head(h, history->several);
    html(h, "<tbody role=\"rowgroup\">\n");
    for (; i < history->n && !html_is_full(h); i++)
        row(h, site, &history->rows[i], history->several);
    html(h, "</tbody></table>\n");
    return i;
}

void part_history(struct html *h, const struct site *site, const struct history *history)
{
    size_t shown = 0;
    html(h, "<section class=\"card\" aria-labelledby=\"history\"><h2 id=\"history\">History");
    if (history->before_id)
        html(h, " before #%lld", (long long)history->before_id);
    html(h, "</h2>\n");
    if (history->n > 0)
        shown = table(h, site, history);
    else
        html(h, "<p class=\"soft\">No deployment is on record%s.</p>\n",
             history->before_id ? " before this one" : " yet");
    bool more = history->more || shown < history->n;
    links(h, history, more && shown > 0 ? history->rows[shown - 1].d.id : 0);
    html(h, "</section>\n");
}
