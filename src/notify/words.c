/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "agent/notifier.h"
#include "base/cleanup.h"
#include "base/str.h"

/* A message in words: of the end of a deployment those of view/ending.h, of what else is told these. */

static const struct told {
    const char *state, *verdict, *affected, *next;
} stack_words[] = {
    {"polls_stalled", "cannot be polled",
     "Production is not affected by that: the services run as before. But nothing that is pushed is "
     "deployed.",
     "Try each part, with advice: agentctl check"},
    {"polls_recovered", "can be polled again", "What was pushed meanwhile is looked at now.", NULL},
    {"approval_needed", "needs a person", "Until then the services run as before.",
     "See what would change with agentctl plan; deploy it: agentctl approve"},
};

static const struct told *stack_words_of(const struct notice *notice)
{
    for (size_t i = 0; i < ARRAY_SIZE(stack_words); i++)
        if (str_eq(stack_words[i].state, notice->state))
            return &stack_words[i];
    return NULL;
}

/* The deployment may have gone on since the event. */
static bool ending_then(struct arena *arena, const struct notice *notice, struct ending *ret)
{
    struct deployment d = notice->deployment;
    if (!d.id || deployment_state_parse(notice->state, &d.state) < 0)
        return false;
    d.reason = notice->reason;
    *ret = ending_of(arena, &d, notice->migrations);
    return true;
}

static const char *verdict(struct arena *arena, const struct notice *notice)
{
    static const char *const loud[][2] = {
        {"running", "deploying"}, {"halted", "HALTED half way"}, {"stuck", "STUCK"}};
    const struct told *told = stack_words_of(notice);
    for (size_t i = 0; i < ARRAY_SIZE(loud); i++)
        if (str_eq(loud[i][0], notice->state))
            return loud[i][1];
    return told ? told->verdict : view_words(arena, notice->state);
}

const char *notice_title(struct arena *arena, const struct notice *notice)
{
    const struct deployment *d = &notice->deployment;
    return d->id ? arena_printf(arena, "%s: %s (%.7s)", d->stack, verdict(arena, notice), d->commit)
                 : arena_printf(arena, "%s: %s", d->stack, verdict(arena, notice));
}

const char *notice_affected(struct arena *arena, const struct notice *notice)
{
    const struct told *told = stack_words_of(notice);
    struct ending ending;
    if (told)
        return told->affected;
    return ending_then(arena, notice, &ending) && ending.affected ? ending.affected : "";
}

const char *notice_next(struct arena *arena, const struct notice *notice)
{
    const struct told *told = stack_words_of(notice);
    const struct deployment *d = &notice->deployment;
    cleanup_str struct str text = {0};
    struct ending ending;
    if (told && told->next)
        str_printf(&text, "%s %s", told->next, d->stack);
    else if (!told && ending_then(arena, notice, &ending))
        for (size_t i = 0; i < ending.n_next; i++) {
            const struct ending_next *next = &ending.next[i];
            str_printf(&text, "%s%c%s%s%s", i ? "; " : "",
                       i ? tolower((unsigned char)*next->words) : *next->words, next->words + 1,
                       next->command ? ": " : "", next->command ? next->command : "");
        }
    if (text.len && d->id)
        str_printf(&text, " (what happened: agentctl show %" PRId64 ")", d->id);
    return arena_strdup(arena, str_text(&text));
}

static const char *as_it_is(struct arena *arena, const char *text)
{
    (void)arena;
    return text;
}

/* The commit, who wrote it, and how it was deployed. */
static void add_deployment(struct arena *arena, const struct notice *notice, notice_quote quote,
                           struct str *to)
{
    const struct deployment *d = &notice->deployment;
    str_printf(to, "%.7s %s", d->commit, quote(arena, d->subject ? d->subject : "(no subject)"));
    if (d->author)
        str_printf(to, ", by %s", quote(arena, d->author));
    str_printf(to, "\n#%" PRId64 " on %s", d->id, trigger_name(d->trigger));
    if (notice->took_us > 0)
        str_printf(to, ", took %s", duration_text(arena, notice->took_us));
    str_append(to, "\n");
}

const char *notice_text(struct arena *arena, const struct notice *notice, notice_quote quote)
{
    cleanup_str struct str text = {0};
    const char *affected = notice_affected(arena, notice), *next = notice_next(arena, notice);
    if (!quote)
        quote = as_it_is;
    if (notice->deployment.id)
        add_deployment(arena, notice, quote, &text);
    if (notice->reason)
        str_printf(&text, "%s\n", quote(arena, notice->reason));
    if (*affected)
        str_printf(&text, "%s\n", affected);
    if (*next)
        str_printf(&text, "%s\n", next);
    if (notice->dropped)
        str_printf(&text, "%" PRId64 " older message%s could not be delivered\n", notice->dropped,
                   notice->dropped == 1 ? "" : "s");
    if (notice->link)
        str_printf(&text, "%s\n", notice->link);
    return arena_strndup(arena, str_text(&text), text.len ? text.len - 1 : 0);
}
