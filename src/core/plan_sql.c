/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/str.h"
#include "core/plan_internal.h"

/* sql and expect steps: what they need to run, what of their files is pending. */

static const char *hash(struct arena *arena, const json_t *value)
{
    char hex[SHA256_HEX_SIZE];
    cleanup_free char *text = spec_text(value);
    sha256_hex(text, strlen(text), hex);
    return arena_strdup(arena, hex);
}

/* How the server is reached: which service, and the variable with the URL. */
static void add_target(const struct plan_builder *b, json_t *params, bool admin)
{
    const struct release *release = &b->input->manifest->release;
    const char *key = release->database_service;
    const char *url_from = admin ? release->admin_url_from : release_direct_url(release);
    if (key)
        json_object_set_new(params, "name", json_string(stack_service(b->input->manifest->stack, key)->name));
    json_object_set_new(params, "url_from", json_string(url_from));
    json_object_set_new(params, "session_pooler", json_boolean(release->session_pooler));
}

/* ---- sql ---- */

static json_t *sql_params(const struct plan_builder *b, const struct release_step *step)
{
    static const char *const edited[] = {
        [EDITED_ERROR] = "error", [EDITED_WARN] = "warn", [EDITED_IGNORE] = "ignore"};
    const struct sql_step *sql = &step->sql;
    json_t *params = json_pack(
        "{s:s, s:s, s:s, s:b, s:s?, s:b, s:I, s:I, s:s, s:o, s:o}", "step", step->name, "dir", sql->dir,
        "table", sql->table, "versioned", sql->versioned, "for_each_schema", sql->for_each_schema,
        "continue_on_error", sql->continue_on_error, "timeout_us", (json_int_t)sql->timeout_us,
        "lock_timeout_us", (json_int_t)sql->lock_timeout_us, "on_edited", edited[sql->rules.on_edited],
        "accept_duplicates", json_strings(sql->rules.accept_duplicates), "lint_errors",
        json_strings(sql->rules.lint_errors));
    add_target(b, params, sql->admin);
    return params;
}

/* Definition, names and contents of its files, the database: of what is equal in them, nothing new can come.
 */
static const char *sql_fingerprint(const struct plan_builder *b, const struct plan_sql *sql,
                                   const json_t *params)
{
    cleanup_json json_t *same = json_deep_copy(params);
    json_t *files = json_array();
    for (size_t i = 0; i < sql->set->n; i++) {
        json_array_append_new(files, json_string(sql->set->items[i].file));
        json_array_append_new(files, json_string(sql->set->items[i].blob));
    }
    json_object_set_new(same, "files", files);
    json_object_set_new(same, "url", json_string(sql->url_hash));
    return hash(b->arena, same);
}

void plan_sql(struct plan_builder *b, size_t index, struct planned_step *ret)
{
    const struct release_step *step = &b->input->manifest->release.steps[index];
    const struct plan_sql *sql = &b->input->sql[index];
    size_t pending = 0;
    for (size_t i = 0; i < sql->n_runs; i++)
        pending += sql->runs[i].diff->n_pending;
    *ret = (struct planned_step){.params = builder_keep(b, sql_params(b, step))};
    ret->fingerprint = sql_fingerprint(b, sql, ret->params);
    ret->changed = !str_eq(plan_last_fingerprint(b, step->name), ret->fingerprint);
    /* a database that was restored wants its files again, though nothing changed in the repository */
    if (sql->asked && step->sql.versioned)
        ret->changed |= pending > 0;
    ret->writes = pending > 0 || !sql->asked;
}

static void add_pending(struct plan_builder *b, const struct release_step *step,
                        const struct plan_sql_run *run, bool rows)
{
    for (size_t i = 0; i < run->diff->n_pending; i++) {
        const struct migration *m = run->diff->pending[i];
        const char *schema = arena_strdup(b->arena, run->schema);
        json_array_append_new(b->json_migrations,
                              json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*}", "step", step->name, "version",
                                        m->version, "name", m->name, "file", m->file, "state", "pending",
                                        "schema", schema));
        if (rows)
            plan_migration(b, &(struct migration_record){.step = arena_strdup(b->arena, step->name),
                                                         .schema = schema,
                                                         .version = arena_strdup(b->arena, m->version),
                                                         .name = arena_strdup(b->arena, m->name),
                                                         .state = "pending"});
    }
}

static void add_summary(struct plan_builder *b, const struct release_step *step, const struct plan_sql *sql,
                        const struct plan_sql_run *run)
{
    const struct migration_diff *diff = run->diff;
    json_array_append_new(
        b->json_sql,
        json_pack("{s:s, s:s*, s:s, s:b, s:s*, s:I, s:s, s:s, s:o, s:o}", "step", step->name, "schema",
                  run->schema, "dir", step->sql.dir, "asked", sql->asked, "not_asked", sql->why_not,
                  "pending", (json_int_t)diff->n_pending, "before", diff->before, "after", diff->after,
                  "ahead", json_strings(diff->ahead), "modified", json_strings(diff->modified)));
}

void plan_sql_migrations(struct plan_builder *b, size_t index)
{
    const struct release_step *step = &b->input->manifest->release.steps[index];
    const struct plan_sql *sql = &b->input->sql[index];
    /* of which schemas, is not known before the database says so: rows come as the files run */
    bool rows = sql->asked || !step->sql.for_each_schema;
    for (size_t i = 0; i < sql->n_runs; i++) {
        const struct plan_sql_run *run = &sql->runs[i];
        add_summary(b, step, sql, run);
        add_pending(b, step, run, rows);
        for (size_t w = 0; run->diff->warnings[w]; w++)
            builder_warn(b, "%s%s%s: %s", step->name, run->schema ? " in " : "",
                         run->schema ? run->schema : "", run->diff->warnings[w]);
    }
    if (sql->why_not)
        builder_warn(b, "%s: the database was not asked (%s); %s", step->name, sql->why_not,
                     b->input->first_deploy ? "all files are shown as pending"
                                            : "shown as pending is what the last success did not have");
}

/* ---- expect ---- */

void plan_expect(struct plan_builder *b, size_t index, struct planned_step *ret)
{
    const struct release_step *step = &b->input->manifest->release.steps[index];
    const struct expect_step *e = &step->expect;
    json_t *params =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:s?}", "step", step->name, "tables", json_strings(e->tables),
                  "columns", json_strings(e->columns), "constraints", json_strings(e->constraints), "indexes",
                  json_strings(e->indexes), "query", e->query);
    add_target(b, params, false);
    *ret = (struct planned_step){.params = builder_keep(b, params)};
    ret->fingerprint = hash(b->arena, params);
    ret->changed = !str_eq(plan_last_fingerprint(b, step->name), ret->fingerprint);
}
