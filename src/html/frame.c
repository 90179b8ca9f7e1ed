/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "base/clock.h"
#include "html/pages.h"

/* Times are those of the host: which ones that are is said once. */
static const char *zone(struct arena *arena, int64_t now_us)
{
    time_t now = (time_t)(now_us / US_PER_S);
    struct tm tm;
    char text[64];
    if (!localtime_r(&now, &tm) || strftime(text, sizeof text, tm.tm_gmtoff ? "%Z (UTC%z)" : "%Z", &tm) == 0)
        return "the zone of this host";
    return arena_strdup(arena, text);
}

static void navigation(struct html *h, const struct site *site, const char *stack)
{
    html(h, "<nav aria-label=\"Stacks\"><ul>");
    for (size_t i = 0; i < site->n_stacks && !html_is_full(h); i++)
        if (str_eq(stack, site->stacks[i]))
            html(h, "<li><a href=\"/stacks/%s\" aria-current=\"page\">%s</a></li>", site->stacks[i],
                 site->stacks[i]);
        else
            html(h, "<li><a href=\"/stacks/%s\">%s</a></li>", site->stacks[i], site->stacks[i]);
    html(h, "</ul></nav>");
}

void frame_begin(struct html *h, const struct site *site, const char *title, const char *stack)
{
    html(h,
         "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n<title>%s · %s · deploy-agent</title>\n"
         "<link rel=\"stylesheet\" href=\"/assets/style.css\">\n"
         "<link rel=\"icon\" href=\"/assets/icon.svg\" type=\"image/svg+xml\">\n"
         "<script src=\"/assets/live.js\" defer></script>\n</head>\n<body>\n"
         "<a class=\"skip\" href=\"#main\">Skip to the content</a>\n"
         "<header class=\"top\"><a class=\"brand\" href=\"/\">deploy-agent</a>",
         title, site->host);
    navigation(h, site, stack);
    html(h,
         "<span class=\"host\">%s</span></header>\n"
         "<p id=\"said\" class=\"unseen\" role=\"status\" aria-live=\"polite\"></p>\n"
         "<p id=\"old\" class=\"notice careful\" role=\"alert\" hidden>This page could not be read again: "
         "what it says "
         "may no longer be true.</p>\n"
         "<main id=\"main\" tabindex=\"-1\">\n",
         site->host);
}

void frame_end(struct html *h, const struct site *site)
{
    if (html_is_full(h))
        html(
            h,
            "<p class=\"notice careful\">There is more than fits on a page: <code class=\"command\">agentctl "
            "show ID</code> has all of it.</p>\n");
    html(h,
         "</main>\n<footer class=\"bottom\"><p>This page only shows. Whatever it says can be done is done "
         "with "
         "<code>agentctl</code> on this host.</p>"
         "<p>deploy-agent %s · times in %s</p>"
         "</footer>\n</body>\n</html>\n",
         site->version, zone(h->arena, site->now_us));
}

void page_refusal(struct html *h, const struct site *site, const char *title, const char *words)
{
    frame_begin(h, site, title, NULL);
    html(h, "<h1>%s</h1>\n<p>%s</p>\n<p><a href=\"/\">All stacks</a></p>\n", title, words);
    frame_end(h, site);
}
