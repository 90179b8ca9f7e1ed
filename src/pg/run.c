/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/apply.h"

/* For a server that is just starting; whether it is there at all was asked before. */
static const int64_t login_patience_us = 60 * US_PER_S;
enum { RECONNECTS_MAX = 3 };

struct run {
    struct session s;
    struct migration_set set;
    struct migration_diff diff;
    struct migrate_result *result;
    unsigned reconnects; /* between files */
};

/* ---- a file that failed ---- */

/* What is true now, for a person who reads it at night. */
static void add_outcome(const struct apply *a, struct error *err)
{
    cleanup_str struct str text = {0};
    str_append(&text, err->text);
    if (a->in_doubt || a->failure.cause == PG_LOST)
        return;
    if (a->done)
        str_printf(&text,
                   "; statements 1 to %u of %u are committed and stay, the rest was not run: mend the file "
                   "behind them, the next run goes on there",
                   a->done, a->migration->summary.n_statements);
    if (a->alone)
        str_printf(&text,
                   "; statement %u ran outside of a transaction, and what it did before it failed stays",
                   a->alone);
    else if (!a->done)
        str_append(&text, "; the file was rolled back, nothing of it is in the database");
    error_set(err, err->kind, err->code, "%s", str_text(&text));
}

/*
 * An attempt in doubt keeps its row: the next run has to find it, as it was when the link broke. That may
 * have been at the COMMIT which made it `applied`.
 */
static const char *failure_sql(const struct apply *a, struct arena *arena, const struct error *err)
{
    const struct session *s = a->s;
    const struct migration *m = a->migration;
    const struct log_entry e = {.migration = m,
                                .mode = sql_mode_name(m->summary.mode),
                                .state = "failed",
                                .total = m->summary.n_statements,
                                .started_us = a->started_us,
                                .finished = true,
                                .error = err,
                                .sqlstate = a->failure.sqlstate,
                                .error_line = a->error_line,
                                .statement = a->at.number};
    bool lost = a->failure.cause == PG_LOST;
    if (!a->log_id)
        return record_log_sql(s, arena, &e);
    return arena_printf(
        arena,
        "UPDATE %s SET state = '%s', finished_at = pg_catalog.clock_timestamp(), sqlstate = %s, error = %s, "
        "error_line = %u, stmt_index = %s WHERE id = %lld AND state = 'running'",
        s->books.log_sql, a->in_doubt || lost ? "running" : "failed",
        pg_literal(arena, &s->conn, *a->failure.sqlstate ? a->failure.sqlstate : NULL),
        pg_literal(arena, &s->conn, pg_mask(arena, err->text, 4096)), a->error_line,
        lost ? "stmt_index" : arena_printf(arena, "%u", a->in_doubt ? a->done + 1 : a->at.number),
        (long long)a->log_id);
}

static void record_failure(struct apply *a, const struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct error why = {0};
    struct pg_failure failure = {0};
    /* lost, and no row yet: its COMMIT, or another agent, may have applied it since */
    if (!a->s->conn.pg || (a->failure.cause == PG_LOST && !a->log_id) || session_rollback(a->s, &why) < 0)
        return;
    /* also when the file gave the lock away: the row is its own */
    if (session_reset(a->s, &why) < 0 && why.kind != ERR_CONFLICT)
        goto not_recorded;
    /* quoted only now, in the session's own encoding */
    const struct pg_call call = {.sql = failure_sql(a, &arena, err), .finishing = true};
    if (pg_run(&a->s->conn, &call, NULL, &failure) == 0)
        return;
    pg_failure_error(&failure, &why);
not_recorded:
    session_warn(a->s, "%s: its failure could not be recorded in %s: %s", a->migration->file,
                 a->s->books.log_sql, why.text);
}

/* ---- one file ---- */

static int report(struct apply *a, enum migrate_event event, int64_t took_us, const struct error *failed,
                  struct error *err)
{
    const struct migrate_step *step = a->s->step;
    const struct migrate_file file = {.migration = a->migration,
                                      .event = event,
                                      .took_us = took_us,
                                      .rows = a->rows,
                                      .done = a->recorded ? a->migration->summary.n_statements : a->done,
                                      .attempts = a->attempts,
                                      .unknown = a->unknown,
                                      .error = failed ? failed->text : NULL};
    return step->progress ? step->progress(step->userdata, &file, err) : 0;
}

static int prepare(struct run *run, struct apply *a, struct arena *arena, struct error *err)
{
    const struct migration *m = a->migration;
    if (plan_read_file(run->s.step, arena, m, &a->text, &a->len, err) < 0)
        return -1;
    run->s.advisory_file = strcasestr(a->text, "advisory") ? m->file : NULL;
    a->names_table = run->s.books.name && strcasestr(a->text, run->s.books.name);
    return m == run->diff.partial ? resume_from(a, run->diff.partial_log, err) : 0;
}

static int run_file(struct run *run, struct migration *m, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct session *s = &run->s;
    struct error ignored = {0};
    struct apply a = {.s = s, .migration = m, .started_us = wall_us(), .at = {.line = 1, .column = 1}};
    int64_t began = mono_us();
    if (report(&a, MIGRATE_BEGINS, 0, NULL, err) < 0)
        return -1;
    int r = prepare(run, &a, &arena, err) < 0 ? -1 : apply_file(&a, err);
    str_release(&a.sql);
    if (r < 0) {
        if (a.attempts) {
            add_outcome(&a, err);
            record_failure(&a, err);
        }
        if (report(&a, MIGRATE_FAILED, mono_us() - began, err, &ignored) < 0)
            session_warn(s, "%s", ignored.text);
        return -1;
    }
    run->result->applied++;
    if (s->step->versioned) {
        if (!books_has_version(&s->books, m->number))
            books_add_version(s, m->version, m->number);
        if (m->number >= s->books.history.versions[s->books.history.n_versions - 1].number)
            run->result->after = m->version;
    }
    r = report(&a, MIGRATE_APPLIED, mono_us() - began, NULL, err);
    fault_point("sql.recorded");
    return r;
}

/* ---- the step ---- */

static bool nothing_to_do(const struct run *run)
{
    return run->diff.n_pending == 0 && (!run->diff.adopted || !run->diff.adopted[0]);
}

static int replan(struct run *run, struct error *err)
{
    struct session *s = &run->s;
    s->relogged = false;
    if (books_open(s, err) < 0 || history_read(s, err) < 0)
        return -1;
    return plan_read(s, &run->set, &run->diff, err);
}

/* A link that breaks between two files costs nothing but the time. */
static int between_files(struct run *run, struct error *err)
{
    struct session *s = &run->s;
    if (session_reset(s, err) < 0 &&
        (s->conn.pg || ++run->reconnects > RECONNECTS_MAX || session_again(s, err) < 0))
        return -1;
    return 0;
}

static int run_pending(struct run *run, struct error *err)
{
    for (size_t i = 0; i < run->diff.n_pending;) {
        if (run_file(run, run->diff.pending[i], err) < 0 || between_files(run, err) < 0)
            return -1;
        i++;
        if (run->s.relogged && run->s.step->versioned) {
            if (replan(run, err) < 0)
                return -1;
            i = 0;
        }
    }
    return 0;
}

static int run_files(struct run *run, struct error *err)
{
    struct session *s = &run->s;
    unsigned adopted;
    /* under the lock all is read again: another agent, or psql, may have been faster */
    if (lock_acquire(s, err) < 0 || replan(run, err) < 0)
        return -1;
    run->result->before = run->result->after = run->diff.before;
    if (nothing_to_do(run))
        return 0;
    if (books_make_log(s, err) < 0 || (s->step->versioned && adopt_versions(s, &run->set, &adopted, err) < 0))
        return -1;
    if (run->diff.n_pending && observe_quiet(s, err) < 0)
        return -1;
    return run_pending(run, err);
}

static void take_warnings(struct run *run)
{
    struct session *s = &run->s;
    size_t n = 0;
    while (run->diff.warnings && run->diff.warnings[n])
        n++;
    const char **all = arena_array(s->arena, n + s->n_warnings + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = run->diff.warnings[i];
    for (size_t i = 0; i < s->n_warnings; i++)
        all[n + i] = s->warnings[i];
    run->result->warnings = all;
}

int migrate_run(struct arena *arena, const struct migrate_step *step, struct migrate_result *ret,
                struct error *err)
{
    struct run run = {.s = {.target = &step->target,
                            .step = step,
                            .arena = arena,
                            .deadline_us = mono_us() + step->timeout_us},
                      .result = ret};
    struct session *s = &run.s;
    *ret = (struct migrate_result){.before = "", .after = ""};
    int r = session_open(s, login_patience_us, err) < 0 || books_open(s, err) < 0 || history_read(s, err) < 0
                ? -1
                : plan_look(s, &run.set, &run.diff, err);
    if (r == 0) {
        ret->before = ret->after = run.diff.before;
        if (!nothing_to_do(&run))
            r = run_files(&run, err);
    }
    take_warnings(&run);
    session_close(s);
    return r;
}
