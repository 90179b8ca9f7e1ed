/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/prepare_sql.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/str.h"
#include "steps/sql.h"

struct preparing {
    struct work *work;
    struct prepared *p;
    const struct plan_input *input;
    struct step_ctx ctx;
    const char *unreachable; /* why no step can ask; NULL: none has failed */
    bool roles_may_come;     /* a step before this one has something to do */
};

/* ---- where the database cannot be asked: what the last success did not have ---- */

static bool had_step(const struct preparing *w, const char *name)
{
    for (size_t i = 0; i < w->input->n_fingerprints; i++)
        if (strcmp(w->input->fingerprints[i].step, name) == 0)
            return true;
    return false;
}

/* The folder of the last success, as if a table had said that it was applied. */
static int base_history(struct preparing *w, const struct release_step *step, struct migration_history *ret,
                        struct error *err)
{
    struct arena *arena = &w->p->arena;
    const char *base = w->p->base.commit;
    struct migration_entry *entries;
    struct migration_set set;
    size_t n;
    *ret = (struct migration_history){.shape = MIGRATION_NO_TABLE};
    if (!step->sql.versioned || !had_step(w, step->name) || !repo_has_commit(w->work->repo, base))
        return 0;
    if (sql_folder(&w->ctx, base, step->sql.dir, &entries, &n, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (migration_set_read(arena, step->sql.dir, entries, n, true, &set, err) < 0)
        return 0; /* it was deployed under other rules */
    ret->shape = MIGRATION_ROWS;
    ret->table = step->sql.table;
    ret->versions = arena_array(arena, set.n + 1, sizeof *ret->versions);
    for (size_t i = 0; i < set.n; i++)
        ret->versions[ret->n_versions++] =
            (struct migration_version){set.items[i].version, set.items[i].number, set.items[i].name};
    return 0;
}

static int compare_with_base(struct preparing *w, const struct release_step *step, struct migration_set *set,
                             struct migration_diff *ret, struct error *err)
{
    struct arena *arena = &w->p->arena;
    struct migration_history history;
    bool *want = arena_array(arena, set->n + 1, sizeof *want);
    if (base_history(w, step, &history, err) < 0)
        return -1;
    migration_wants(set, &history, want);
    if (migration_set_summarise(arena, set, want, sql_read_blob, w->work->repo, err) < 0)
        return -1;
    return migration_diff(arena, set, &history, &step->sql.rules, ret, err);
}

/* ---- asking ---- */

static int ask_schema(struct preparing *w, const struct sql_source *source, const char *schema,
                      struct plan_sql *ret, struct error *err)
{
    struct arena *arena = &w->p->arena;
    struct migrate_step step = source->migrate;
    struct migration_set set;
    struct migration_history history;
    struct migration_diff *diff = arena_alloc(arena, sizeof *diff);
    step.schema = schema;
    step.rules.roles_may_come = w->roles_may_come;
    if (migrate_plan(arena, &step, &set, &history, diff, err) < 0) {
        if (schema && err->kind == ERR_NOT_FOUND)
            return 0; /* it has gone since the query */
        return schema ? error_wrap(err, "in schema %s", schema) : -1;
    }
    ret->runs = arena_grow(arena, ret->runs, ret->n_runs, sizeof *ret->runs);
    ret->runs[ret->n_runs++] = (struct plan_sql_run){schema, diff};
    return 0;
}

static int ask(struct preparing *w, const struct sql_source *source, struct plan_sql *ret, struct error *err)
{
    static const char *once[] = {NULL, NULL};
    const char **schemas = once, *query = source->sql->for_each_schema;
    size_t n = 1;
    if (query) {
        /* it may ask for what an earlier step has yet to make */
        if (migrate_schemas(&w->p->arena, &source->migrate.target, query, &schemas, err) < 0)
            return err->kind == ERR_INVALID ? error_set(err, ERR_FAILED, 0, "%s", err->text) : -1;
        for (n = 0; schemas[n];)
            n++;
    }
    for (size_t i = 0; i < n; i++)
        if (ask_schema(w, source, schemas[i], ret, err) < 0)
            return -1;
    ret->asked = true;
    return 0;
}

/* May the database be asked now? Its relay is looked for once, and not made. */
static bool may_ask(struct preparing *w, const struct release_step *step)
{
    struct error err = {0};
    if (!step->sql.versioned)
        return false;
    if (w->p->snapshot.manifest.release.database_service && !w->ctx.relay && !w->unreachable &&
        relay_find(w->work->docker, w->work->stack->name, w->work->config.run_dir, &w->ctx.relay, &err) < 0)
        w->unreachable = arena_strdup(&w->p->arena, err.text);
    return !w->unreachable;
}

/* ---- one step ---- */

static const char *url_hash(const struct preparing *w, const struct sql_step *sql)
{
    const struct step_ctx *ctx = &w->ctx;
    const char *url = sql->admin ? ctx->admin_url : ctx->migrate_url ? ctx->migrate_url : ctx->database_url;
    char hex[SHA256_HEX_SIZE];
    sha256_salted_hex(w->work->salt, url, strlen(url), hex);
    return arena_strdup(&w->p->arena, hex);
}

static int prepare_step(struct preparing *w, const struct release_step *step, struct plan_sql *ret,
                        struct error *err)
{
    struct arena *arena = &w->p->arena;
    struct sql_source *source;
    struct migration_set *set = arena_alloc(arena, sizeof *set);
    if (sql_source_open(&w->ctx, step, w->p->snapshot.commit.id, &source, err) < 0 ||
        migration_set_read(arena, step->sql.dir, source->migrate.entries, source->migrate.n_entries,
                           step->sql.versioned, set, err) < 0)
        return -1;
    ret->url_hash = url_hash(w, &step->sql);
    ret->set = set;
    if (may_ask(w, step)) {
        if (ask(w, source, ret, err) == 0)
            return 0;
        if (err->kind == ERR_INVALID || err->kind == ERR_CANCELLED || err->kind == ERR_INTERNAL)
            return -1;
        ret->why_not = arena_strdup(arena, err->text);
        if (err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT)
            w->unreachable = ret->why_not;
    } else if (step->sql.versioned) {
        ret->why_not = w->unreachable;
    }
    struct migration_diff *diff = arena_alloc(arena, sizeof *diff);
    ret->runs = arena_alloc(arena, sizeof *ret->runs);
    ret->runs[0] = (struct plan_sql_run){NULL, diff};
    ret->n_runs = 1;
    return compare_with_base(w, step, set, diff, err);
}

static bool has_work(const struct release_step *step, const struct plan_sql *sql)
{
    for (size_t i = 0; i < sql->n_runs; i++)
        if (sql->runs[i].diff->n_pending > 0)
            return true;
    return step->kind == RELEASE_RUN;
}

int prepare_sql(struct work *work, struct prepared *p, const struct plan_input *input, struct plan_sql **ret,
                struct error *err)
{
    const struct release *release = &p->snapshot.manifest.release;
    struct plan_sql *steps = arena_array(&p->arena, release->n_steps + 1, sizeof *steps);
    struct preparing w = {.work = work,
                          .p = p,
                          .input = input,
                          .ctx = {.arena = &p->arena,
                                  .config = &work->config,
                                  .stack = work->stack,
                                  .docker = work->docker,
                                  .manifest = &p->snapshot.manifest,
                                  .repo = work->repo,
                                  .database_url = p->snapshot.database_url,
                                  .migrate_url = p->snapshot.migrate_url,
                                  .admin_url = p->snapshot.admin_url}};
    int r = 0;
    for (size_t i = 0; i < release->n_steps && r == 0; i++) {
        const struct release_step *step = &release->steps[i];
        if (step->kind == RELEASE_SQL && (r = prepare_step(&w, step, &steps[i], err)) < 0)
            (void)error_wrap(err, "%s", step->name);
        w.roles_may_come |= has_work(step, &steps[i]);
    }
    relay_close(w.ctx.relay);
    if (r == 0)
        *ret = steps;
    return r;
}
