/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/notifier.h"
#include "base/cleanup.h"
#include "base/str.h"

/*
 * ntfy: https://docs.ntfy.sh/publish/. The body is the message, plain text of at most 4096 bytes; title,
 * priority, tags and what a tap opens are headers. Nothing that others wrote is in a header.
 */

enum { MESSAGE_MAX = 4000 };

static const struct {
    const char *state, *priority, *tag;
} urgency[] = {
    {"failed", "high", "warning"},
    {"rolled_back", "high", "warning"},
    {"halted", "urgent", "rotating_light"},
    {"stuck", "urgent", "rotating_light"},
    {"polls_stalled", "high", "warning"},
    {"approval_needed", "high", "raised_hand"},
    {"succeeded", "default", "white_check_mark"},
};

static const char *body(struct arena *arena, const struct notice *n)
{
    const char *text = notice_text(arena, n, NULL);
    return str_clean(arena, text, strlen(text), false, MESSAGE_MAX);
}

static size_t headers(struct arena *arena, const struct notice *n, const char **ret)
{
    size_t count = 0;
    ret[count++] = arena_printf(arena, "Title: %s", notice_title(arena, n));
    for (size_t i = 0; i < ARRAY_SIZE(urgency); i++)
        if (str_eq(urgency[i].state, n->state)) {
            ret[count++] = arena_printf(arena, "Priority: %s", urgency[i].priority);
            ret[count++] = arena_printf(arena, "Tags: %s", urgency[i].tag);
        }
    if (n->link)
        ret[count++] = arena_printf(arena, "Click: %s", n->link);
    return count;
}

const struct shape_kind shape_ntfy = {"text/plain; charset=utf-8", body, headers};
