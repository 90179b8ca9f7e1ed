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
     "PRODUCTION MAY BE AFFECTED: some services run the new version, others the old one. Nothing more "
     "happens "
     "by itself.",
     "See what runs where; go back with: agentctl rollback STACK"},
    {"cancelled", "cancelled", "What had been rolled was put back.", ""},
    {"superseded", "superseded", "A newer one takes its place.", ""},
    {"stuck", "STUCK",
     "PRODUCTION MAY BE AFFECTED: it stopped where it was, after its worker died again and again. Tasks that "
     "run are left alone.",
     "See how far it came; go back with: agentctl rollback STACK"},
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
    return arena_printf(arena, "%s: %s (%.7s)", notice->deployment.stack, meaning_of(notice)->verdict,
                        notice->deployment.commit);
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
    if (str_ends(m->next, "STACK"))
        return arena_printf(arena, "%.*s%s (agentctl show %" PRId64 ")",
                            (int)(strlen(m->next) - strlen("STACK")), m->next, d->stack, d->id);
    return arena_printf(arena, "%s %" PRId64 " (agentctl show %" PRId64 ")", m->next, d->id, d->id);
}

static const char *as_it_is(struct arena *arena, const char *text)
{
    (void)arena;
    return text;
}

const char *notice_text(struct arena *arena, const struct notice *notice, notice_quote quote)
{
    cleanup_str struct str text = {0};
    const struct deployment *d = &notice->deployment;
    const char *affected = notice_affected(arena, notice), *next = notice_next(arena, notice);
    if (!quote)
        quote = as_it_is;
    str_printf(&text, "%.7s %s", d->commit, quote(arena, d->subject ? d->subject : "(no subject)"));
    if (d->author)
        str_printf(&text, ", by %s", quote(arena, d->author));
    str_printf(&text, "\n#%" PRId64 " on %s", d->id, trigger_name(d->trigger));
    if (notice->took_us > 0)
        str_printf(&text, ", took %s", duration_text(arena, notice->took_us));
    if (notice->reason)
        str_printf(&text, "\n%s", quote(arena, notice->reason));
    if (*affected)
        str_printf(&text, "\n%s", affected);
    if (*next)
        str_printf(&text, "\n%s", next);
    if (notice->dropped)
        str_printf(&text, "\n%" PRId64 " older message%s could not be delivered", notice->dropped,
                   notice->dropped == 1 ? "" : "s");
    if (notice->link)
        str_printf(&text, "\n%s", notice->link);
    return arena_strdup(arena, str_text(&text));
}
