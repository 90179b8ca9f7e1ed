/* SPDX-License-Identifier: Apache-2.0 */

/* The steps of a deployment, each with its place in the time that all of it took. */

#include <time.h>

#include "agent/progress.h"
#include "base/clock.h"
#include "html/pages.h"

enum { SCALE = 1000, NARROWEST = 6 };                          /* of a bar, in thousandths of the whole */
enum { OUTPUT_MAX = 4 * 1024, OUTPUT_MAX_FAILED = 12 * 1024 }; /* newest bytes of what a step printed */

struct span {
    int64_t from_us, to_us;
};

static int64_t end_of(const struct step *s, int64_t now_us)
{
    return s->finished_us ? s->finished_us : s->state == STEP_RUNNING ? now_us : s->started_us;
}

/* From the first step's start to the last one's end. */
static struct span span_of(const struct page *page, int64_t now_us)
{
    struct span span = {0};
    for (size_t i = 0; i < page->n_steps; i++) {
        const struct step *s = &page->steps[i];
        int64_t end = end_of(s, now_us);
        if (!s->started_us)
            continue;
        if (!span.from_us || s->started_us < span.from_us)
            span.from_us = s->started_us;
        if (end > span.to_us)
            span.to_us = end;
    }
    return span;
}

/* Sizes are attributes of the picture: a style would be inline, and is forbidden. */
static void bar(struct html *h, const struct span *span, const struct step *s, int64_t now_us)
{
    int64_t whole = span->to_us - span->from_us, x = 0, width = SCALE;
    if (whole > 0) {
        x = (s->started_us - span->from_us) * SCALE / whole;
        width = (end_of(s, now_us) - s->started_us) * SCALE / whole;
    }
    if (width < NARROWEST)
        width = NARROWEST;
    if (x > SCALE - width)
        x = SCALE - width;
    html(h,
         "<svg class=\"bar-%s\" viewBox=\"0 0 1000 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
         "<rect x=\"%lld\" width=\"%lld\" height=\"8\"/></svg>",
         tone_class(tone_of_step(s->state)), (long long)x, (long long)width);
}

/* What has not begun when the deployment ends never will. */
static const char *word(const struct page *page, const struct step *s)
{
    bool never = s->state == STEP_PENDING && deployment_state_ended(page->view.d.state);
    return never ? "not run" : step_state_name(s->state);
}

static const char *clock_time(struct arena *arena, int64_t us)
{
    time_t t = (time_t)(us / US_PER_S);
    struct tm tm;
    char text[16];
    if (!localtime_r(&t, &tm) || strftime(text, sizeof text, "%H:%M:%S", &tm) == 0)
        return "";
    return arena_strdup(arena, text);
}

static void output(struct html *h, const struct step *s)
{
    bool failed = s->state == STEP_FAILED || s->state == STEP_FAILED_ALLOWED;
    html(h, "<details id=\"output-%u\"", s->seq);
    html(h, failed ? " open>" : ">");
    html(h,
         "<summary>What it printed last</summary><pre tabindex=\"0\" role=\"region\" aria-label=\"Output of "
         "step "
         "%u, %s %s\">",
         s->seq, s->kind, s->name);
    html_lines(h, s->output, failed ? OUTPUT_MAX_FAILED : OUTPUT_MAX);
    html(h, "</pre></details>");
}

/* What it says of itself while it runs. */
static const char *doing(struct arena *arena, const struct step *s)
{
    struct progress progress;
    bool told = s->state == STEP_RUNNING && progress_parse(arena, s->live, &progress);
    return told ? progress_words(arena, &progress) : "";
}

static void took(struct html *h, const struct step *s, int64_t now_us)
{
    html(h, "<span class=\"took\">");
    if (s->started_us && s->state == STEP_RUNNING)
        part_running(h, s->started_us, now_us);
    else if (s->started_us)
        html(h, "%s", duration_text(h->arena, end_of(s, now_us) - s->started_us));
    html(h, "</span>");
}

static void step(struct html *h, const struct site *site, const struct page *page, const struct span *span,
                 const struct step *s)
{
    html(h, "<li class=\"step\"><span class=\"at soft\">");
    if (s->started_us)
        html(h, "<time datetime=\"%s\">%s</time>", rfc3339_utc(h->arena, s->started_us),
             clock_time(h->arena, s->started_us));
    html(h, "</span><span class=\"what\"><span class=\"kind\">%s</span> %s</span><span class=\"outcome\">",
         s->kind, s->name);
    part_state(h, word(page, s), tone_of_step(s->state));
    html(h, "</span>");
    if (s->started_us)
        bar(h, span, s, site->now_us);
    else
        html(h, "<span class=\"no-bar\"></span>");
    took(h, s, site->now_us);
    const char *at = doing(h->arena, s);
    if (*at || s->error || s->output) {
        html(h, "<div class=\"more\">");
        if (*at)
            html(h, "<p>%s</p>", at);
        if (s->error)
            html(h, "<p class=\"error\">%s</p>", s->error);
        if (s->output)
            output(h, s);
        html(h, "</div>");
    }
    html(h, "</li>\n");
}

void part_timeline(struct html *h, const struct site *site, const struct page *page)
{
    struct span span = span_of(page, site->now_us);
    if (page->n_steps == 0)
        return;
    html(h, "<section class=\"card\" aria-labelledby=\"steps\"><h2 id=\"steps\">Steps</h2>\n<ol "
            "class=\"timeline\">\n");
    for (size_t i = 0; i < page->n_steps && !html_is_full(h); i++)
        step(h, site, page, &span, &page->steps[i]);
    html(h, "</ol></section>\n");
}
