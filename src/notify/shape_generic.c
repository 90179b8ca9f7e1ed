/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>

#include "agent/notifier.h"
#include "base/clock.h"
#include "base/str.h"
#include "notify/json.h"

/* For programs: everything, by names that stay. Described in agent.conf(5). */

static json_t *time_or_null(struct arena *arena, int64_t us)
{
    return us ? json_string(rfc3339_utc(arena, us)) : json_null();
}

static const char *body(struct arena *arena, const struct notice *n)
{
    const struct deployment *d = &n->deployment;
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:o, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?}", "version", 1,
                          "id", n->id, "host", n->host, "stack", d->stack, "deployment",
                          d->id ? json_integer(d->id) : json_null(), "state", n->state, "commit", d->commit,
                          "branch", d->branch, "subject", d->subject, "author", d->author, "trigger",
                          d->id ? trigger_name(d->trigger) : NULL, "reason", n->reason);
    json_object_set_new(o, "at", time_or_null(arena, n->at_us));
    json_object_set_new(o, "requested_at", time_or_null(arena, d->requested_us));
    json_object_set_new(o, "started_at", time_or_null(arena, d->started_us));
    json_object_set_new(o, "duration_s", n->took_us > 0 ? json_integer(n->took_us / US_PER_S) : json_null());
    json_object_set_new(o, "migrations_applied", json_integer(n->migrations.applied));
    json_object_set_new(o, "title", json_string(notice_title(arena, n)));
    json_object_set_new(o, "affected", json_string(notice_affected(arena, n)));
    json_object_set_new(o, "next", json_string(notice_next(arena, n)));
    json_object_set_new(o, "link", n->link ? json_string(n->link) : json_null());
    json_object_set_new(o, "dropped", json_integer(n->dropped));
    return json_take(arena, o);
}

const struct shape_kind shape_generic = {"application/json", body, NULL};
