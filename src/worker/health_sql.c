/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/sql.h"
#include "worker/health.h"

static const int64_t step_timeout_us = 2 * US_PER_S;

struct looking { /* at one step, in one schema */
    struct health_look *look;
    const char *prefix; /* of what it adds to the lists */
    struct migration_set set;
    struct migration_history history;
    struct migration_diff diff;
};

/* ---- what is found, into the lists ---- */

static void add(const struct looking *l, json_t *list, const char *version)
{
    json_array_append_new(list, json_sprintf("%s%s", l->prefix, version));
}

static const struct migration *file_of(const struct looking *l, int64_t number)
{
    for (size_t i = 0; i < l->set.n; i++)
        if (l->set.items[i].number == number)
            return &l->set.items[i];
    return NULL;
}

static void add_applied(const struct looking *l)
{
    struct health_lists *lists = &l->look->lists;
    for (size_t i = 0; i < l->history.n_versions; i++)
        add(l, lists->applied, l->history.versions[i].version);
    if (!lists->latest && *l->diff.before)
        lists->latest = arena_printf(&l->look->work->arena, "%s%s", l->prefix, l->diff.before);
}

/* Without a file: beyond the newest file it is from a later commit, between the files it is one that was
 * lost. */
static void add_without_file(const struct looking *l)
{
    int64_t newest = l->set.n ? l->set.items[l->set.n - 1].number : -1;
    for (size_t i = 0; i < l->history.n_versions; i++) {
        const struct migration_version *v = &l->history.versions[i];
        if (!file_of(l, v->number))
            add(l, v->number > newest ? l->look->lists.ahead : l->look->lists.missing_files, v->version);
    }
}

/* A file of another commit that failed and has left nothing is not this commit's affair. */
static void add_attempts(const struct looking *l)
{
    for (size_t i = 0; i < l->history.n_logs; i++) {
        const struct migration_log *log = &l->history.logs[i];
        if (log->state == MIGRATION_RUNNING)
            add(l, l->look->lists.running, log->version);
        else if (log->state == MIGRATION_FAILED && (file_of(l, log->number) || migration_left_something(log)))
            add(l, l->look->lists.failed, log->version);
    }
}

static void add_found(const struct looking *l)
{
    struct arena *arena = &l->look->work->arena;
    add_applied(l);
    add_without_file(l);
    add_attempts(l);
    for (size_t i = 0; i < l->diff.n_pending; i++)
        add(l, l->look->lists.pending, l->diff.pending[i]->version);
    health_add(arena, l->look->lists.modified, l->prefix, l->diff.modified);
}

/* ---- the steps ---- */

static int look_at(struct health_look *look, const struct migrate_step *step, const char *prefix,
                   struct error *err)
{
    struct looking l = {.look = look, .prefix = prefix};
    if (migrate_plan(&look->work->arena, step, &l.set, &l.history, &l.diff, err) == 0) {
        add_found(&l);
        return 0;
    }
    if (err->kind == ERR_NOT_FOUND && step->schema) /* it has gone */
        return 0;
    if (err->kind != ERR_INVALID && err->kind != ERR_NOT_FOUND)
        return -1;
    /* what a deployment would refuse */
    json_array_append_new(look->lists.failed, json_sprintf("%s%s", prefix, step->name));
    return 0;
}

static int look_at_step(struct health_look *look, const struct release_step *step, bool prefixed,
                        struct error *err)
{
    struct arena *arena = &look->work->arena;
    const char **schemas;
    struct sql_source *source;
    if (sql_source_open(look->ctx, step, look->commit, &source, err) < 0)
        return -1;
    struct migrate_step m = source->migrate;
    m.target.reads = true;
    m.timeout_us = step_timeout_us;
    m.lock_timeout_us = US_PER_S;
    m.rules.on_edited = EDITED_WARN;
    m.rules.lint_errors = NULL;
    m.run_id = "health";
    if (!step->sql.for_each_schema)
        return look_at(look, &m, prefixed ? arena_printf(arena, "%s:", step->name) : "", err);
    if (migrate_schemas(arena, &m.target, step->sql.for_each_schema, &schemas, err) < 0)
        return -1;
    for (size_t i = 0; schemas[i]; i++) {
        m.schema = schemas[i];
        if (look_at(look, &m, arena_printf(arena, "%s/%s:", step->name, schemas[i]), err) < 0)
            return -1;
    }
    return 0;
}

int health_of_sql(struct health_look *look, bool *ret_any, struct error *err)
{
    const struct release *release = &look->snapshot->manifest.release;
    size_t n = 0;
    for (size_t i = 0; i < release->n_steps; i++)
        n += release->steps[i].kind == RELEASE_SQL && release->steps[i].sql.versioned;
    *ret_any = n > 0;
    for (size_t i = 0; i < release->n_steps; i++) {
        const struct release_step *step = &release->steps[i];
        if (step->kind == RELEASE_SQL && step->sql.versioned && look_at_step(look, step, n > 1, err) < 0)
            return -1;
    }
    return 0;
}
