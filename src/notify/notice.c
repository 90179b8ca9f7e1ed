/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "agent/notifier.h"
#include "base/str.h"

/* What there is to say of an event, from the record. */

static int count_migrations(struct journal *journal, struct arena *arena, int64_t id,
                            struct ending_migrations *ret, struct error *err)
{
    struct migration_record *rows;
    size_t n;
    if (journal_migrations(journal, arena, id, &rows, &n, err) < 0)
        return -1;
    *ret = ending_migrations_of(rows, n);
    return 0;
}

static bool ends(const struct notice *notice)
{
    enum deployment_state state;
    return deployment_state_parse(notice->state, &state) == 0 && deployment_state_ended(state);
}

static bool same(const struct verdict *a, const struct verdict *b)
{
    return str_eq(a->commit, b->commit) && str_eq(a->state, b->state);
}

bool notice_is_news(const struct notice *notice, const struct verdict *told, const struct verdict *before,
                    struct verdict *ret)
{
    *ret = (struct verdict){0};
    if (!ends(notice))
        return true;
    *ret = (struct verdict){notice->deployment.stack, notice->deployment.commit, notice->state};
    return !same(told, ret) || (before->commit && !same(before, ret));
}

int notice_load(struct journal *journal, struct arena *arena, const struct event *event, const char *link,
                struct notice *ret, bool *ret_found, struct error *err)
{
    struct notice notice = {.state = event->state, .reason = event->reason, .at_us = event->at_us};
    const char *salt;
    if (journal_identity(journal, arena, &notice.host, &salt, err) < 0)
        return -1;
    notice.id = arena_printf(arena, "%s-%" PRId64, notice.host, event->id);
    if (event->deployment == 0) {
        notice.deployment.stack = event->stack;
        notice.link = link ? arena_printf(arena, "%s/stacks/%s", link, event->stack) : NULL;
        *ret = notice;
        *ret_found = true;
        return 0;
    }
    if (journal_deployment(journal, arena, event->deployment, &notice.deployment, ret_found, err) < 0)
        return -1;
    if (!*ret_found)
        return 0;
    const struct deployment *d = &notice.deployment;
    if (count_migrations(journal, arena, d->id, &notice.migrations, err) < 0)
        return -1;
    if (ends(&notice) && d->started_us)
        notice.took_us = event->at_us - d->started_us;
    if (link)
        notice.link = arena_printf(arena, "%s/deployments/%" PRId64, link, d->id);
    *ret = notice;
    return 0;
}
