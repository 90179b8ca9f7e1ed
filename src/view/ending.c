/* SPDX-License-Identifier: Apache-2.0 */
#include "view/ending.h"

#include <string.h>

#include "base/str.h"

static void add_next(struct ending *ending, const char *words, const char *command)
{
    ending->next[ending->n_next++] = (struct ending_next){words, command};
}

/* The text of worker/putback.c and of steps/baseline.c. */
static bool schema_is_ahead(const char *reason)
{
    return strstr(reason, "(-- deploy: breaking)") || strstr(reason, "needs a forward fix");
}

/* A rollback would send the spec that is there already, and wait for the same image. */
static bool image_is_gone(const char *reason)
{
    const char *back = strstr(reason, "putting back failed");
    return back && strstr(back, "No such image");
}

static void halted(struct ending *ending, const char *reason, const char *rollback, const char *retry)
{
    ending->half_way = true;
    if (schema_is_ahead(reason)) {
        ending->affected = "PRODUCTION MAY BE AFFECTED: the schema is ahead of the code, which does not work "
                           "with it. Nothing more happens by itself.";
        add_next(ending, "Deploy a commit that works with it", NULL);
    } else if (image_is_gone(reason)) {
        ending->affected =
            "PRODUCTION MAY BE AFFECTED: what ran before cannot start again. Its image is neither on the "
            "node nor in the registry, or the registry does not answer. A rollback does not help before it "
            "is "
            "back there. Nothing more happens by itself.";
        add_next(ending, "Deploy a commit that works", NULL);
        add_next(ending, "Or push the old image again, then put the services back", rollback);
    } else {
        ending->affected =
            "PRODUCTION MAY BE AFFECTED: the rollout stopped half way, and services may run different "
            "versions, or one that does not fit the database. Nothing more happens by itself.";
        add_next(ending, "Put the services back", rollback);
    }
    add_next(ending, "Or go on with this commit, once its cause is mended", retry);
}

static void superseded(struct arena *arena, struct ending *ending, const char *reason)
{
    if (!str_starts(reason, "by #"))
        return;
    ending->affected = "Nothing was touched: a newer commit took its place before it began.";
    add_next(ending, "See",
             arena_printf(arena, "agentctl show %s", text_safe(arena, reason + strlen("by #"))));
}

static const char *with_migrations(struct arena *arena, const char *affected, struct ending_migrations m)
{
    if (m.applied)
        return arena_printf(arena, "%s %u migration%s applied and stay%s.", affected, m.applied,
                            m.applied == 1 ? " was" : "s were", m.applied == 1 ? "s" : "");
    if (m.failed)
        return arena_printf(arena, "%s What the failed migration changed in the database stays.", affected);
    return affected;
}

struct ending_migrations ending_migrations_of(const struct migration_record *migrations, size_t n)
{
    struct ending_migrations m = {0};
    for (size_t i = 0; i < n; i++) {
        m.applied += str_eq(migrations[i].state, "applied");
        m.failed += str_starts(migrations[i].state, "failed");
    }
    return m;
}

struct ending ending_of(struct arena *arena, const struct deployment *d, struct ending_migrations migrations)
{
    struct ending ending = {0};
    const char *reason = d->reason ? d->reason : "";
    const char *retry = arena_printf(arena, "agentctl retry %lld", (long long)d->id),
               *rollback = arena_printf(arena, "agentctl rollback %s", text_safe(arena, d->stack));
    switch (d->state) {
    case DEPLOYMENT_FAILED:
    case DEPLOYMENT_ROLLED_BACK:
        ending.affected = d->state == DEPLOYMENT_FAILED
                              ? "No application service was touched: what ran before runs on."
                              : "The services were put back to what ran before. Users may have met the new "
                                "version for a short time.";
        add_next(
            &ending,
            "This commit is held. Push one that mends it, or, when the cause lay elsewhere, try this one "
            "again",
            retry);
        break;
    case DEPLOYMENT_HALTED:
        halted(&ending, reason, rollback, retry);
        break;
    case DEPLOYMENT_STUCK:
        ending.half_way = true;
        ending.affected =
            "PRODUCTION MAY BE AFFECTED: it was taken up again three times, came no further, and "
            "stopped where it was. Tasks that run are left alone.";
        add_next(&ending, "See why",
                 arena_printf(arena, "journalctl -u deploy-agent DEPLOYMENT=%lld", (long long)d->id));
        add_next(&ending, "Then try again", retry);
        add_next(&ending, "Or go back", rollback);
        break;
    case DEPLOYMENT_CANCELLED:
        ending.affected = "Services that were touched were put back.";
        add_next(&ending, "Deploy this commit after all", retry);
        break;
    case DEPLOYMENT_INTERRUPTED:
        ending.affected =
            "Its worker ended without a verdict. Tasks that run are left alone, and it is taken "
            "up again as soon as agentd runs.";
        add_next(&ending, "See whether it does", "systemctl status deploy-agent");
        break;
    case DEPLOYMENT_SUPERSEDED:
        superseded(arena, &ending, reason);
        break;
    case DEPLOYMENT_REQUESTED:
    case DEPLOYMENT_PLANNED:
    case DEPLOYMENT_RUNNING:
    case DEPLOYMENT_SUCCEEDED:
        break;
    }
    if (ending.affected && d->state != DEPLOYMENT_SUPERSEDED)
        ending.affected = with_migrations(arena, ending.affected, migrations);
    return ending;
}
