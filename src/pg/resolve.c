/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/apply.h"

/* A person has looked, and says what holds. */

static struct migration *find(const struct migration_set *set, const char *version)
{
    int64_t number = version_number(version);
    for (size_t i = 0; i < set->n; i++)
        if (number >= 0 && set->items[i].number == number)
            return &set->items[i];
    return NULL;
}

static int send(struct session *s, const char *sql, struct error *err)
{
    struct error ignored = {0};
    int r = pg_ask(&s->conn, "recording it", NULL, err, sql, 0, NULL);
    return session_rollback(s, &ignored) < 0 ? -1 : r;
}

static int whole_done(struct session *s, struct arena *arena, struct migration *m, struct error *err)
{
    plan_summarise(s, m);
    const struct log_entry e = {.migration = m,
                                .mode = "resolved",
                                .state = "resolved",
                                .total = m->summary.n_statements,
                                .done = m->summary.n_statements,
                                .started_us = wall_us(),
                                .finished = true};
    return send(s,
                arena_printf(arena, "BEGIN; " SESSION_OURS "%s%s%sCOMMIT", record_table_sql(s, arena),
                             record_version_sql(s, arena, m), record_log_sql(s, arena, &e)),
                err);
}

/* The next run begins it from its first statement. */
static int whole_again(struct session *s, struct arena *arena, const struct migration *m,
                       const struct migration_log *log, struct error *err)
{
    if (books_has_version(&s->books, m->number))
        return error_set(err, ERR_CONFLICT, 0,
                         "table %s has version %s: when what it did is undone, delete that row first",
                         s->books.table_sql, m->version);
    if (!log)
        return error_set(err, ERR_CONFLICT, 0, "version %s has never been begun", m->version);
    return send(s,
                arena_printf(arena,
                             "UPDATE %s SET state = 'failed', stmts_done = 0, prefix_sha256 = NULL, settings "
                             "= NULL, settings_at = 0, stmt_index = NULL, "
                             "finished_at = coalesce(finished_at, pg_catalog.now()) WHERE id = %lld",
                             s->books.log_sql, (long long)log->id),
                err);
}

static int statement(struct session *s, struct arena *arena, const struct migration *m,
                     const struct migration_log *log, unsigned n, bool done, struct error *err)
{
    char prefix[SQL_HASH_SIZE];
    const char *text;
    size_t len;
    if (!log || (log->state != MIGRATION_FAILED && log->state != MIGRATION_RUNNING) || log->done + 1 != n)
        return error_set(err, ERR_CONFLICT, 0, "version %s did not stop at statement %u", m->version, n);
    if (!done)
        return send(s,
                    arena_printf(arena, "UPDATE %s SET stmt_index = NULL WHERE id = %lld", s->books.log_sql,
                                 (long long)log->id),
                    err);
    if (plan_read_file(s->step, arena, m, &text, &len, err) < 0 ||
        resume_prefix(m->file, text, len, n, prefix, err) < 0)
        return -1;
    return send(
        s,
        arena_printf(arena,
                     "UPDATE %s SET stmts_done = %u, prefix_sha256 = '%s', stmt_index = NULL WHERE id = %lld",
                     s->books.log_sql, n, prefix, (long long)log->id),
        err);
}

static int open_all(struct session *s, struct migration_set *set, struct error *err)
{
    const struct migrate_step *step = s->step;
    if (migration_set_read(s->arena, step->folder, step->entries, step->n_entries, step->versioned, set,
                           err) < 0 ||
        session_open(s, 0, err) < 0 || books_open(s, err) < 0 || lock_acquire(s, err) < 0 ||
        books_open(s, err) < 0 || history_read(s, err) < 0)
        return -1;
    return books_make_log(s, err);
}

int migrate_resolve(struct arena *arena, const struct migrate_step *step, const char *version,
                    unsigned number, bool done, struct error *err)
{
    cleanup_session struct session s = {
        .target = &step->target, .step = step, .arena = arena, .deadline_us = mono_us() + step->timeout_us};
    cleanup_arena struct arena own = {0};
    struct migration_set set = {0};
    if (open_all(&s, &set, err) < 0)
        return -1;
    struct migration *m = find(&set, version);
    if (!m)
        return error_set(err, ERR_NOT_FOUND, 0, "no file of %s has the version %s", step->folder, version);
    const struct migration_log *log = books_log(&s.books, m->number);
    if (number)
        return statement(&s, &own, m, log, number, done, err);
    return done ? whole_done(&s, &own, m, err) : whole_again(&s, &own, m, log, err);
}
