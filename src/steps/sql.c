/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/kinds.h"
#include "steps/persist.h"
#include "steps/send.h"
#include "steps/sql.h"
#include "steps/sql_record.h"

/*
 * The files of a folder, by src/pg, in one schema or in many. What has happened is in the database itself: a
 * step that a crash interrupted asks there and goes on.
 */

/* The lock, a quiet moment, and the end of a statement that is being cancelled come on top of the timeout. */
static const int64_t slack_us = 600 * US_PER_S;

struct sql_run {
    struct step_ctx *ctx;
    struct sql_source *source;
    struct sql_record record;
    struct migrate_result result; /* of the schema that runs; `before` is known when its first file begins */
    int64_t deadline_us;
    unsigned schemas, failed;
    struct str failures; /* "acme: …", of schemas */
    /* for whoever looks on */
    unsigned files, files_planned, schemas_planned; /* 0: not known */
    char file[200];                                 /* that runs */
};

/* ---- what src/pg asks and tells ---- */

static int read_file(void *userdata, struct arena *arena, const struct migration *file, const char **ret,
                     size_t *ret_len, struct error *err)
{
    const struct sql_run *run = userdata;
    return sql_read_blob(run->ctx->repo, arena, file, ret, ret_len, err);
}

/* Files of a step that runs once; of one that runs in many schemas these, and which is at work. */
static void tell(const struct sql_run *run)
{
    const char *schema = run->record.schema;
    cleanup_arena struct arena arena = {0};
    step_live(run->ctx, &(struct progress){.of = schema ? "schemas" : "files",
                                           .done = schema ? run->schemas : run->files,
                                           .total = schema                             ? run->schemas_planned
                                                    : run->files <= run->files_planned ? run->files_planned
                                                                                       : 0,
                                           .deadline_us = run->deadline_us,
                                           .note = schema ? arena_printf(&arena, "%s: %s", schema, run->file)
                                                          : run->file});
}

static int should_stop(void *userdata, struct error *err)
{
    struct sql_run *run = userdata;
    sql_record_breathe(&run->record);
    tell(run);
    return step_should_stop(run->ctx, err);
}

static void waiting(void *userdata, const char *text)
{
    const struct sql_run *run = userdata;
    if (text)
        step_waiting(run->ctx, "%s: %s", run->source->migrate.name, text);
    else
        step_waiting(run->ctx, NULL);
}

static int progress(void *userdata, const struct migrate_file *file, struct error *err)
{
    struct sql_run *run = userdata;
    run->files += file->event == MIGRATE_APPLIED;
    if (file->event == MIGRATE_BEGINS) {
        snprintf(run->file, sizeof run->file, "%s", file->migration->file);
        tell(run);
    }
    if (file->event == MIGRATE_BEGINS && sql_record_before(&run->record, &run->result, err) < 0)
        return -1;
    return sql_record_file(&run->record, file, err);
}

/* ---- one schema ---- */

/* src/pg tells that it was stopped, and where; why, only we know. */
static void name_stop(struct sql_run *run, struct error *err)
{
    struct error stop = {0};
    cleanup_arena struct arena arena = {0};
    const char *said = arena_strdup(&arena, err->text);
    if (err->kind != ERR_CANCELLED || str_ends(said, STEP_CANCELLED_TEXT) ||
        step_should_stop(run->ctx, &stop) == 0)
        return;
    (void)error_set(err, stop.kind, stop.code, "%s: %s", said, stop.text);
}

static int run_schema(struct sql_run *run, const char *schema, bool resumed, struct error *err)
{
    struct migrate_step step = run->source->migrate;
    struct error recording = {0};
    run->result = (struct migrate_result){.before = NULL};
    step.schema = schema;
    step.timeout_us = run->deadline_us - mono_us();
    step.run_id = send_label(run->ctx);
    step.read = read_file;
    step.should_stop = should_stop;
    step.waiting = waiting;
    step.progress = progress;
    step.userdata = run;
    if (step.timeout_us <= 0)
        return error_set(err, ERR_TIMEOUT, 0, "its timeout passed before this schema");
    sql_record_schema(&run->record, schema);
    if (resumed)
        sql_record_reconcile(&run->record, &step);
    int r = migrate_run(run->ctx->arena, &step, &run->result, err);
    if (r < 0)
        name_stop(run, err);
    step_waiting(run->ctx, NULL);
    if (sql_record_end(&run->record, &run->result, r < 0 ? err : NULL, &recording) < 0) {
        *err = recording;
        return -1;
    }
    return r;
}

/* ---- all of them ---- */

/* Trouble with the server, or a stop, is not one schema's. */
static bool is_of_schema(const struct error *err)
{
    return err->kind == ERR_FAILED || err->kind == ERR_INVALID || err->kind == ERR_TIMEOUT;
}

static int run_one_of(struct sql_run *run, const char *schema, bool resumed, struct error *err)
{
    if (run_schema(run, schema, resumed, err) == 0)
        return 0;
    if (err->kind == ERR_NOT_FOUND)
        return sql_record_say(&run->record, err, "schema %s does not exist any more: skipped", schema);
    if (err->kind == ERR_CANCELLED)
        return -1;
    if (!run->source->sql->continue_on_error || !is_of_schema(err))
        return error_wrap(err, "schema %s", schema);
    run->failed++;
    str_printf(&run->failures, "%s%s: %s", run->failures.len ? "; " : "", schema, err->text);
    return 0;
}

static int run_each(struct sql_run *run, bool resumed, struct error *err)
{
    const char **schemas;
    if (migrate_schemas(run->ctx->arena, &run->source->migrate.target, run->source->sql->for_each_schema,
                        &schemas, err) < 0)
        return -1;
    while (schemas[run->schemas_planned])
        run->schemas_planned++;
    for (size_t i = 0; schemas[i]; i++, run->schemas++) {
        if (step_should_stop(run->ctx, err) < 0 || run_one_of(run, schemas[i], resumed, err) < 0)
            return -1;
        fault_point("sql.schema_done");
    }
    if (run->schemas == 0)
        return sql_record_say(&run->record, err, "for_each_schema yields no schema: nothing to do");
    if (run->failed)
        return error_set(err, ERR_FAILED, 0, "%u of %u schemas failed: %s", run->failed, run->schemas,
                         str_text(&run->failures));
    return 0;
}

/* ---- the step ---- */

static const struct release_step *find_step(const struct manifest *manifest, const char *name)
{
    for (size_t i = 0; manifest && i < manifest->release.n_steps; i++)
        if (manifest->release.steps[i].kind == RELEASE_SQL &&
            strcmp(manifest->release.steps[i].name, name) == 0)
            return &manifest->release.steps[i];
    return NULL;
}

/* How many the plan has found to be applied, where the database could be asked. */
static unsigned count_planned(const struct sql_run *run)
{
    cleanup_arena struct arena arena = {0};
    struct error ignored = {0};
    struct migration_record *rows;
    size_t n;
    unsigned planned = 0;
    if (journal_migrations(run->ctx->journal, &arena, run->ctx->deployment->id, &rows, &n, &ignored) < 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        planned += str_eq(rows[i].step, run->source->migrate.name) &&
                   (str_eq(rows[i].state, "pending") || str_eq(rows[i].state, "running"));
    return planned;
}

static int run_files(struct sql_run *run, bool resumed, struct error *err)
{
    int r =
        run->source->sql->for_each_schema ? run_each(run, resumed, err) : run_schema(run, NULL, resumed, err);
    if (r < 0)
        return -1;
    /* planned, and then found in the database: by psql, or another agent */
    return PERSIST(journal_settle_migrations(run->ctx->journal, run->ctx->deployment->id,
                                             run->source->migrate.name, "skipped", err),
                   err);
}

static int run(struct step_ctx *ctx, const struct step *step, const json_t *params, bool resumed,
               bool *ret_allowed, struct error *err)
{
    const struct release_step *release_step = find_step(ctx->manifest, step->name);
    struct sql_run run = {.ctx = ctx};
    (void)params;
    (void)ret_allowed;
    if (!release_step)
        return error_set(err, ERR_INTERNAL, 0, "the stack file has no sql step %s any more", step->name);
    if (sql_source_open(ctx, release_step, ctx->deployment->commit, &run.source, err) < 0)
        return error_wrap(err, "%s", step->name);
    sql_record_init(&run.record, ctx, step, run.source->sql->versioned);
    run.deadline_us = mono_us() + run.source->sql->timeout_us;
    run.files_planned = count_planned(&run);
    int r = run_files(&run, resumed, err);
    if (r < 0 && !step_is_shutdown(err))
        (void)error_wrap(err, "%s", step->name);
    str_release(&run.failures);
    sql_record_release(&run.record);
    return r;
}

static int64_t deadline(struct step_ctx *ctx, const json_t *params)
{
    (void)ctx;
    return (int64_t)json_path_integer(params, 0, "timeout_us", NULL, NULL) + slack_us;
}

const struct step_kind step_kind_sql = {
    .name = "sql",
    .sentence = "running the SQL files of %s",
    .on_resume = RESUME_PROBE,
    .deadline_us = deadline,
    .run = run,
};
