/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/notifier.h"
#include "base/str.h"
#include "notify/json.h"

/*
 * Discord's webhooks: https://discord.com/developers/docs/resources/webhook#execute-webhook. content has at
 * most 2000 characters and is Markdown; allowed_mentions without any kind: nobody is called, whatever the
 * text says.
 */

enum { CONTENT_MAX = 1900, SUPPRESS_EMBEDS = 1 << 2 };

static const char *quote(struct arena *arena, const char *text)
{
    cleanup_str struct str out = {0};
    for (const char *p = text; *p; p++) {
        if (strchr("\\*_~|`>[]()#<-", *p))
            str_append_char(&out, '\\');
        str_append_char(&out, *p);
    }
    return arena_strdup(arena, str_text(&out));
}

static const char *body(struct arena *arena, const struct notice *n)
{
    const char *text =
        arena_printf(arena, "**%s**\n%s", quote(arena, notice_title(arena, n)), notice_text(arena, n, quote));
    text = str_clean(arena, text, strlen(text), false, CONTENT_MAX);
    json_t *o = json_pack("{s:s, s:i}", "content", text, "flags", SUPPRESS_EMBEDS);
    json_object_set_new(o, "allowed_mentions", json_pack("{s:[]}", "parse"));
    return json_take(arena, o);
}

const struct shape_kind shape_discord = {"application/json", body, NULL};
