/* SPDX-License-Identifier: Apache-2.0 */

/* The records in PostgreSQL are told of every change of every deployment. */

#include <string.h>
#include <unistd.h>

#include "agent/records.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "view/json.h"
#include "view/view.h"
#include "worker/receivers.h"
#include "worker/records.h"

static const int64_t batch_timeout_us = 25 * US_PER_S;

struct target {
    struct pg_url url;
    char host[256]; /* as this machine calls itself */
};

/* ---- rows: objects with the names of columns, see migrations/records ---- */

static json_t *time_exact(int64_t us)
{
    cleanup_arena struct arena arena = {0};
    const char *seconds = rfc3339_utc(&arena, us);
    return seconds ? json_sprintf("%.*s.%06dZ", (int)strlen(seconds) - 1, seconds, (int)(us % US_PER_S))
                   : json_null();
}

/* Neither their parameters nor their output: those are the host's own. */
static int add_steps(struct journal *journal, struct arena *arena, int64_t id, json_t *to, struct error *err)
{
    struct step *steps;
    size_t n;
    json_t *list = json_array();
    json_object_set_new(to, "steps", list);
    if (journal_steps(journal, arena, id, &steps, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "kind", json_text(steps[i].kind), "name",
                            json_text(steps[i].name), "state", step_state_name(steps[i].state), "error",
                            json_text(steps[i].error), "started_at", json_time(steps[i].started_us),
                            "finished_at", json_time(steps[i].finished_us)));
    return 0;
}

static json_t *migration_row(const char *host_id, int64_t id, size_t position,
                             const struct migration_record *m)
{
    json_t *took = m->took_us < 0 ? json_null() : json_sprintf("%lld microseconds", (long long)m->took_us);
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "host_id", host_id, "id",
                     (json_int_t)id, "position", (json_int_t)position, "step", json_text(m->step), "schema",
                     json_text(m->schema), "version", json_text(m->version), "name", json_text(m->name),
                     "state", json_text(m->state), "took", took, "rows_changed",
                     m->rows < 0 ? json_null() : json_integer(m->rows));
}

/* images, services and schemas as `log --json` has them. */
static json_t *deployment_row(const char *host_id, const struct view *v, int64_t change)
{
    const struct deployment *d = &v->d;
    json_t *o = view_json(v), *migrations = json_array();
    json_object_set_new(o, "host_id", json_string(host_id));
    json_object_set_new(o, "change", json_integer(change));
    json_object_set_new(o, "commit_id", json_text(d->commit));
    json_object_set_new(o, "trigger_name", json_string(trigger_name(d->trigger)));
    json_object_set_new(o, "requested_by", json_text(d->requested_by));
    json_object_set_new(o, "failed_with", json_text(v->failed_with));
    json_object_set_new(o, "requested_at", time_exact(d->requested_us));
    json_object_set_new(o, "started_at", time_exact(d->started_us));
    json_object_set_new(o, "finished_at", time_exact(d->finished_us));
    json_object_set_new(o, "base_id", json_id(d->base_id));
    json_object_set_new(o, "target_id", json_id(d->target_id));
    for (size_t i = 0; i < v->n_migrations; i++)
        json_array_append_new(migrations, migration_row(host_id, d->id, i + 1, &v->migrations[i]));
    json_object_set_new(o, "migrations", migrations);
    return o;
}

/* As it is now, which may be newer than the change: what happened since comes with a change of its own. */
static int add_deployment(const struct work *work, int64_t id, int64_t change, json_t *to, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct deployment d;
    struct view v;
    bool found;
    if (journal_deployment(work->journal, &arena, id, &d, &found, err) < 0)
        return -1;
    if (!found) /* trimmed, which events forbid: nothing is left to tell */
        return 0;
    if (view_read(work->journal, &arena, &d, &v, err) < 0)
        return -1;
    json_t *row = deployment_row(work->host_id, &v, change);
    json_array_append_new(to, row);
    return add_steps(work->journal, &arena, id, row, err);
}

static json_t *change_row(const char *host_id, const struct event *e)
{
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "host_id", host_id, "change", (json_int_t)e->id, "id",
                     (json_int_t)e->deployment, "state", json_text(e->state), "reason", json_text(e->reason),
                     "changed_at", time_exact(e->at_us));
}

/* ---- batches ---- */

static bool is_newest_of_its_deployment(const struct event *events, size_t n, size_t i)
{
    for (size_t k = i + 1; k < n; k++)
        if (events[k].deployment == events[i].deployment)
            return false;
    return true;
}

/* Events of a stack itself are not for the records. */
static int fill(const struct work *work, const struct event *events, size_t n, json_t *changes,
                json_t *deployments, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (events[i].deployment == 0)
            continue;
        json_array_append_new(changes, change_row(work->host_id, &events[i]));
        if (is_newest_of_its_deployment(events, n, i) &&
            add_deployment(work, events[i].deployment, events[i].id, deployments, err) < 0)
            return -1;
    }
    return 0;
}

static int write_events(struct delivery *d, const struct event *events, size_t n, struct error *err)
{
    const struct target *target = d->state;
    cleanup_json json_t *changes = json_array(), *deployments = json_array();
    if (fill(d->work, events, n, changes, deployments, err) < 0)
        return -1;
    if (json_array_size(deployments) == 0)
        return 0;
    cleanup_free char *changes_text = json_dumps(changes, JSON_COMPACT);
    cleanup_free char *deployments_text = json_dumps(deployments, JSON_COMPACT);
    const struct records_batch batch = {.host_id = d->work->host_id,
                                        .host = target->host,
                                        .version = VERSION,
                                        .changes = changes_text,
                                        .deployments = deployments_text};
    return records_write(&target->url, &batch, batch_timeout_us, err);
}

/* ---- the receiver ---- */

static int open_records(struct delivery *d, struct error *err)
{
    struct target *target = arena_alloc(&d->work->arena, sizeof *target);
    gethostname(target->host, sizeof target->host - 1);
    d->state = target;
    return records_target(d->work, &target->url, err);
}

/* All of them or none: one transaction. */
static int deliver_records(struct delivery *d, const struct event *events, size_t n, size_t *ret_done,
                           struct error *err)
{
    const struct target *target = d->state;
    if (write_events(d, events, n, err) < 0) {
        const char *hint = records_hint(&target->url, err);
        return *hint ? error_set(err, err->kind, 0, "%s%s", arena_strdup(&d->arena, err->text), hint) : -1;
    }
    *ret_done = n;
    return 0;
}

const struct receiver_kind receiver_records = {
    .kind = "records", .batch = 100, .open = open_records, .deliver = deliver_records};
