/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "agent/notifier.h"
#include "base/cleanup.h"
#include "base/str.h"

/*
 * What a state means, for somebody who was not there. The same as in packaging/deploy-agent.catalog and
 * docs/operations.md: nothing is said to be well that nobody has looked at.
 */

static const struct meaning {
    const char *state, *verdict, *affected, *next;
} meanings[] = {
    {"requested", "requested", "", ""},
    {"planned", "planned", "", ""},
    {"running", "deploying", "", ""},
    {"interrupted", "interrupted", "It is taken up again; tasks that run are left alone.", ""},
    {"succeeded", "succeeded", "", ""},
    {"failed", "failed", "No application service was touched: they run as before.",
     "Push a commit that mends it, or, when the cause lay elsewhere: agentctl retry"},
    {"rolled_back", "rolled back",
     "The services were put back: production runs the version before. Users may have met the new one for a "
     "short time.",
     "Find the cause, then push a commit that mends it, or: agentctl retry"},
    {"halted", "HALTED half way",
     "PRODUCTION MAY BE AFFECTED: services may run different versions, or one that does not fit the "
     "database. Nothing more happens by itself.",
     "See what runs where, and what helps: agentctl show"},
    {"cancelled", "cancelled", "What had been rolled was put back.", ""},
    {"superseded", "superseded", "A newer one takes its place.", ""},
    {"stuck", "STUCK",
     "PRODUCTION MAY BE AFFECTED: it stopped where it was, after its worker died again and again. Tasks that "
     "run are left alone.",
     "See how far it came; go back with: agentctl rollback STACK"},
    {"polls_stalled", "cannot be polled",
     "Production is not affected by that: the services run as before. But nothing that is pushed is "
     "deployed.",
     "Try each part, with advice: agentctl check STACK"},
    {"polls_recovered", "can be polled again", "What was pushed meanwhile is looked at now.", ""},
    {"approval_needed", "needs a person", "Until then the services run as before.",
     "See what would change with agentctl plan; deploy it: agentctl approve STACK"},
};

static const struct meaning *meaning_of(const struct notice *notice)
{
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
        if (str_eq(meanings[i].state, notice->state))
            return &meanings[i];
    return &meanings[0];
}

const char *notice_title(struct arena *arena, const struct notice *notice)
{
    const struct deployment *d = &notice->deployment;
    const char *verdict = meaning_of(notice)->verdict;
    return d->id ? arena_printf(arena, "%s: %s (%.7s)", d->stack, verdict, d->commit)
                 : arena_printf(arena, "%s: %s", d->stack, verdict);
}

const char *notice_affected(struct arena *arena, const struct notice *notice)
{
    const char *text = meaning_of(notice)->affected;
    if (!*text || !notice->applied)
        return text;
    return arena_printf(arena, "%s %u migration%s applied and stay%s.", text, notice->applied,
                        notice->applied == 1 ? " was" : "s were", notice->applied == 1 ? "s" : "");
}

const char *notice_next(struct arena *arena, const struct notice *notice)
{
    const struct meaning *m = meaning_of(notice);
    const struct deployment *d = &notice->deployment;
    if (!*m->next)
        return "";
    const char *look = d->id ? arena_printf(arena, " (agentctl show %" PRId64 ")", d->id) : "";
    if (str_ends(m->next, "STACK"))
        return arena_printf(arena, "%.*s%s%s", (int)(strlen(m->next) - strlen("STACK")), m->next, d->stack,
                            look);
    return arena_printf(arena, "%s %" PRId64 "%s", m->next, d->id, look);
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
