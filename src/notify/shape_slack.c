/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>

#include "agent/notifier.h"
#include "base/str.h"
#include "notify/json.h"

/*
 * Slack's incoming webhooks, which Mattermost and Rocket.Chat take, too.
 * https://api.slack.com/reference/surfaces/formatting: & < > are written as entities; then no link and no
 * mention
 * (<!channel>) can be made of what others wrote. Mattermost makes mentions of @words: they are broken up.
 */

static const char *quote(struct arena *arena, const char *text)
{
    cleanup_str struct str out = {0};
    for (const char *p = text; *p; p++) {
        if (*p == '&')
            str_append(&out, "&amp;");
        else if (*p == '<')
            str_append(&out, "&lt;");
        else if (*p == '>')
            str_append(&out, "&gt;");
        else
            str_append_char(&out, *p);
        if (*p == '@')
            str_append(&out, "\xe2\x80\x8b"); /* zero width space */
    }
    return arena_strdup(arena, str_text(&out));
}

static const char *body(struct arena *arena, const struct notice *n)
{
    const char *text = arena_printf(arena, "%s\n%s", notice_title(arena, n), notice_text(arena, n, quote));
    return json_take(arena, json_pack("{s:s, s:b, s:b, s:b}", "text", text, "mrkdwn", 0, "unfurl_links", 0,
                                      "unfurl_media", 0));
}

const struct shape_kind shape_slack = {"application/json", body, NULL};
