/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/sql_record.h"

#include <stdarg.h>
#include <string.h>

#include "agent/log.h"
#include "agent/spec.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/persist.h"

static const int64_t gather_us = US_PER_S / 2;

void sql_record_init(struct sql_record *record, struct step_ctx *ctx, const struct step *step, bool versioned)
{
    *record = (struct sql_record){.ctx = ctx, .step = step, .versioned = versioned, .written_us = mono_us()};
    record->left_breaking = sql_breaking(ctx->arena, step);
    record->was_breaking = record->left_breaking != NULL;
}

void sql_record_release(struct sql_record *record)
{
    str_release(&record->output);
    arena_release(&record->arena);
}

void sql_record_schema(struct sql_record *record, const char *schema)
{
    record->schema = schema;
    record->before_written = false;
}

/* ---- writing ---- */

static int write_rows(struct sql_record *record, struct error *err)
{
    struct step_ctx *ctx = record->ctx;
    int64_t id = ctx->deployment->id;
    if (record->n_rows && journal_put_migrations(ctx->journal, id, record->rows, record->n_rows, err) < 0)
        return -1;
    if (record->output.len &&
        journal_step_append_output(ctx->journal, id, record->step->seq, str_text(&record->output),
                                   record->output.len, err) < 0)
        return -1;
    record->rows = NULL;
    record->n_rows = 0;
    str_clear(&record->output);
    arena_release(&record->arena);
    record->written_us = mono_us();
    return 0;
}

void sql_record_breathe(struct sql_record *record)
{
    struct error ignored = {0};
    if (mono_us() - record->written_us > gather_us && write_rows(record, &ignored) < 0)
        log_debug("%s", ignored.text);
}

static void add_row(struct sql_record *record, const struct migration *m, const char *state, int64_t took_us,
                    int64_t rows)
{
    struct migration_record *last = record->n_rows ? &record->rows[record->n_rows - 1] : NULL;
    if (!last || !str_eq(last->name, m->name) || !str_eq(last->version, m->version) ||
        !str_eq(last->schema, record->schema)) {
        record->rows = arena_grow(&record->arena, record->rows, record->n_rows, sizeof *record->rows);
        last = &record->rows[record->n_rows++];
    }
    *last = (struct migration_record){.step = record->step->name,
                                      .version = arena_strdup(&record->arena, m->version),
                                      .name = arena_strdup(&record->arena, m->name),
                                      .state = state,
                                      .schema = record->schema,
                                      .took_us = took_us,
                                      .rows = rows};
}

int sql_record_say(struct sql_record *record, struct error *err, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(&record->arena, format, ap);
    va_end(ap);
    log_info("%s: %s", record->step->name, text);
    str_printf(&record->output, "%s\n", text);
    return PERSIST(write_rows(record, err), err);
}

/* ---- versions ---- */

static int put_schema(struct sql_record *record, const struct migrate_result *result, const char *after,
                      struct error *err)
{
    const struct schema_record row = {record->step->name, record->schema, result->before, after};
    return journal_put_schema(record->ctx->journal, record->ctx->deployment->id, &row, err);
}

int sql_record_before(struct sql_record *record, const struct migrate_result *result, struct error *err)
{
    if (record->before_written || !record->versioned)
        return 0;
    record->before_written = true;
    return PERSIST(put_schema(record, result, result->before, err), err);
}

/* ---- files that break the old code ---- */

const char *sql_breaking(struct arena *arena, const struct step *step)
{
    cleanup_json json_t *progress = step->progress ? json_loads(step->progress, 0, NULL) : NULL;
    return arena_strdup(arena, json_path_string(progress, "breaking", NULL));
}

static int set_breaking(struct sql_record *record, const char *file, struct error *err)
{
    cleanup_json json_t *progress = json_pack("{s:s*}", "breaking", file);
    return step_save_progress(record->ctx, record->step, progress, err);
}

/*
 * Does the file begin again that a dead worker noted? Then its transaction was rolled back: what is applied
 * does not run again. Of a file in parts some may have stayed; without versions all run again; and in another
 * schema it may be there.
 */
static bool is_rolled_back(const struct sql_record *record, const struct migration *m)
{
    return record->versioned && !record->schema && m->summary.mode == SQL_TX &&
           str_eq(record->left_breaking, m->file);
}

/* Known before the file begins; forgotten only when it is certain that nothing of it stayed. */
static int note_breaking(struct sql_record *record, const struct migrate_file *file, struct error *err)
{
    const struct migration *m = file->migration;
    if (file->event == MIGRATE_BEGINS && is_rolled_back(record, m))
        record->was_breaking = false;
    if (!m->summary.breaking || record->was_breaking)
        return 0;
    if (file->event == MIGRATE_BEGINS)
        return set_breaking(record, m->file, err);
    if (file->event == MIGRATE_FAILED && file->done == 0 && !file->unknown && m->summary.mode != SQL_NO_TX)
        return set_breaking(record, NULL, err);
    record->was_breaking = true;
    return 0;
}

/* ---- files ---- */

static void say_applied(struct sql_record *record, const struct migrate_file *file)
{
    cleanup_arena struct arena arena = {0};
    str_printf(&record->output, "%s%s%s: applied in %lld.%03lld s, %u statement%s, %lld row%s%s\n",
               record->schema ? record->schema : "", record->schema ? ": " : "", file->migration->file,
               (long long)(file->took_us / US_PER_S), (long long)(file->took_us % US_PER_S / 1000),
               file->done, file->done == 1 ? "" : "s", (long long)file->rows, file->rows == 1 ? "" : "s",
               file->attempts > 1 ? arena_printf(&arena, ", attempt %u", file->attempts) : "");
}

int sql_record_file(struct sql_record *record, const struct migrate_file *file, struct error *err)
{
    if (note_breaking(record, file, err) < 0)
        return -1;
    switch (file->event) {
    case MIGRATE_BEGINS:
        log_info("%s: %s%s%s", record->step->name, record->schema ? record->schema : "",
                 record->schema ? ": " : "", file->migration->file);
        add_row(record, file->migration, "running", -1, -1);
        break;
    case MIGRATE_APPLIED:
        add_row(record, file->migration, "applied", file->took_us, file->rows);
        say_applied(record, file);
        break;
    case MIGRATE_FAILED:
        add_row(record, file->migration, "failed", file->took_us, -1);
        break;
    }
    /* a failure is written by sql_record_end(), which knows whether it is one */
    if (file->event == MIGRATE_FAILED || mono_us() - record->written_us <= gather_us)
        return 0;
    return PERSIST(write_rows(record, err), err);
}

static void add_applied(struct sql_record *record, const struct migration_record *row,
                        const struct migration_diff *diff)
{
    for (size_t i = 0; i < diff->n_pending; i++)
        if (str_eq(diff->pending[i]->version, row->version) && str_eq(diff->pending[i]->name, row->name))
            return;
    const struct migration m = {.version = row->version, .name = row->name};
    add_row(record, &m, "applied", -1, -1);
}

void sql_record_reconcile(struct sql_record *record, const struct migrate_step *step)
{
    struct step_ctx *ctx = record->ctx;
    cleanup_arena struct arena arena = {0};
    struct migration_set set;
    struct migration_history history;
    struct migration_diff diff;
    struct migration_record *rows;
    struct error ignored = {0};
    size_t n;
    if (!step->versioned || migrate_plan(&arena, step, &set, &history, &diff, &ignored) < 0 ||
        journal_migrations(ctx->journal, &arena, ctx->deployment->id, &rows, &n, &ignored) < 0)
        return; /* the run itself will say what is wrong */
    for (size_t i = 0; i < n; i++)
        if (str_eq(rows[i].step, record->step->name) && str_eq(rows[i].schema, record->schema) &&
            (str_eq(rows[i].state, "pending") || str_eq(rows[i].state, "running")))
            add_applied(record, &rows[i], &diff);
}

/* ---- the end of a schema ---- */

/* The file that was stopped on request: it did not fail. */
static void take_back_failure(struct sql_record *record, const struct error *failed)
{
    struct migration_record *last = record->n_rows ? &record->rows[record->n_rows - 1] : NULL;
    if (failed->kind == ERR_CANCELLED && last && str_eq(last->state, "failed"))
        last->state = step_is_shutdown(failed) ? "pending" : "not run";
}

int sql_record_end(struct sql_record *record, const struct migrate_result *result, const struct error *failed,
                   struct error *err)
{
    for (size_t i = 0; result->warnings && result->warnings[i]; i++) {
        log_warning("%s: %s", record->step->name, result->warnings[i]);
        str_printf(&record->output, "warning: %s\n", result->warnings[i]);
    }
    if (failed)
        take_back_failure(record, failed);
    if (failed && failed->kind != ERR_CANCELLED)
        str_printf(&record->output, "%s%s%s\n", record->schema ? record->schema : "",
                   record->schema ? ": " : "", failed->text);
    if (PERSIST(write_rows(record, err), err) < 0)
        return -1;
    /* none to tell; or the server was never reached */
    if (!record->versioned || !result->before || (!*result->before && !*result->after))
        return 0;
    return PERSIST(put_schema(record, result, result->after ? result->after : result->before, err), err);
}
