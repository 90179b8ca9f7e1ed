/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "journal/db.h"

/* ---- reading ---- */

#define COLUMNS                                                                                              \
    "id, stack, state, commit_id, branch, subject, author, trigger_name, requested_by, reason, "             \
    "requested_us, "                                                                                         \
    "started_us, finished_us, base_id, target_id, resumes, cancel_requested, env_hash, warnings"

static int read_row(const struct journal *j, struct arena *arena, sqlite3_stmt *q, struct deployment *ret,
                    struct error *err)
{
    *ret = (struct deployment){
        .id = col_int(q, 0),
        .stack = col_text(arena, q, 1),
        .commit = col_text(arena, q, 3),
        .branch = col_text(arena, q, 4),
        .subject = col_text(arena, q, 5),
        .author = col_text(arena, q, 6),
        .requested_by = col_text(arena, q, 8),
        .reason = col_text(arena, q, 9),
        .requested_us = col_int(q, 10),
        .started_us = col_int(q, 11),
        .finished_us = col_int(q, 12),
        .base_id = col_int(q, 13),
        .target_id = col_int(q, 14),
        .resumes = (unsigned)col_int(q, 15),
        .cancel_requested = col_int(q, 16) != 0,
        .env_hash = col_text(arena, q, 17),
        .warnings = col_text(arena, q, 18),
    };
    if (deployment_state_parse((const char *)sqlite3_column_text(q, 2), &ret->state) < 0 ||
        trigger_parse((const char *)sqlite3_column_text(q, 7), &ret->trigger) < 0)
        return error_set(err, ERR_INTERNAL, 0,
                         "the journal %s: deployment %lld has an unknown state or trigger", j->path,
                         (long long)ret->id);
    return 0;
}

static int read_plan(struct journal *j, struct arena *arena, struct deployment *d, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(j, err, "SELECT body FROM plan WHERE deployment = ?", V_INT(d->id));
    int r = db_next(j, q, err);
    if (r > 0)
        d->plan = col_text(arena, q, 0);
    return r < 0 ? -1 : 0;
}

/* The first row of a query that was prepared for COLUMNS, with its plan; id 0: no row. */
static int read_one(struct journal *j, struct arena *arena, sqlite3_stmt *q, struct deployment *ret,
                    struct error *err)
{
    struct deployment d = {0};
    int r = db_next(j, q, err);
    if (r < 0 || (r > 0 && (read_row(j, arena, q, &d, err) < 0 || read_plan(j, arena, &d, err) < 0)))
        return -1;
    *ret = d;
    return 0;
}

int journal_deployment(struct journal *journal, struct arena *arena, int64_t id, struct deployment *ret,
                       bool *ret_found, struct error *err)
{
    struct deployment d;
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err, "SELECT " COLUMNS " FROM deployment WHERE id = ?", V_INT(id));
    if (read_one(journal, arena, q, &d, err) < 0)
        return -1;
    *ret_found = d.id != 0;
    *ret = d;
    return 0;
}

int journal_last(struct journal *journal, struct arena *arena, const char *stack, enum deployment_state state,
                 struct deployment *ret, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT " COLUMNS " FROM deployment WHERE stack = ? AND state = ? ORDER BY id DESC LIMIT 1",
                 V_TEXT(stack), V_TEXT(deployment_state_name(state)));
    return read_one(journal, arena, q, ret, err);
}

/* The one query whose text depends on its arguments: an index serves only conditions that are there. */
static sqlite3_stmt *prepare_list(struct journal *j, const struct deployment_filter *f, struct error *err)
{
    cleanup_str struct str sql = {0};
    str_append(&sql, "SELECT " COLUMNS " FROM deployment WHERE id > ?1");
    if (f->stack)
        str_append(&sql, " AND stack = ?2");
    if (f->state)
        str_append(&sql, " AND state = ?3");
    if (f->since_us)
        str_append(&sql, " AND requested_us >= ?4");
    if (f->before_id)
        str_append(&sql, " AND id < ?6");
    str_append(&sql, f->after_id ? " ORDER BY id LIMIT ?5" : " ORDER BY id DESC LIMIT ?5");
    sqlite3_stmt *q = NULL;
    if (db_reach(j, err) < 0)
        return NULL;
    int rc = sqlite3_prepare_v2(j->db, str_text(&sql), (int)sql.len, &q, NULL);
    if (rc != SQLITE_OK) {
        db_error(j, rc, err);
        return NULL;
    }
    const char *state = f->state ? deployment_state_name(*f->state) : NULL;
    sqlite3_bind_int64(q, 1, f->after_id);
    if (f->stack)
        sqlite3_bind_text(q, 2, f->stack, -1, SQLITE_STATIC);
    if (state)
        sqlite3_bind_text(q, 3, state, -1, SQLITE_STATIC);
    if (f->since_us)
        sqlite3_bind_int64(q, 4, f->since_us);
    if (f->before_id)
        sqlite3_bind_int64(q, 6, f->before_id);
    sqlite3_bind_int64(q, 5, f->limit ? (int64_t)f->limit : -1);
    return q;
}

int journal_deployments(struct journal *journal, struct arena *arena, const struct deployment_filter *filter,
                        struct deployment **ret, size_t *ret_count, struct error *err)
{
    struct deployment *rows = NULL;
    size_t n = 0;
    int r;
    sqlite3_stmt *q = prepare_list(journal, filter, err);
    while ((r = db_next(journal, q, err)) > 0) {
        rows = arena_grow(arena, rows, n, sizeof *rows);
        if ((r = read_row(journal, arena, q, &rows[n++], err)) < 0)
            break;
    }
    sqlite3_finalize(q);
    if (r < 0)
        return -1;
    *ret = rows;
    *ret_count = n;
    return 0;
}

int journal_runnable(struct journal *journal, const char *stack, int64_t *ret_id, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT id FROM deployment WHERE stack = ?"
                 " AND state IN ('requested', 'planned', 'running', 'interrupted')"
                 " ORDER BY state = 'requested', id DESC LIMIT 1",
                 V_TEXT(stack));
    int r = db_next(journal, q, err);
    if (r < 0)
        return -1;
    *ret_id = r ? col_int(q, 0) : 0;
    return 0;
}

/* ---- writing ---- */

/* Inside a transaction. */
static int check_newest(struct journal *j, const struct deployment_request *request, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(j, err, "SELECT max(id) FROM deployment WHERE stack = ?", V_TEXT(request->stack));
    if (db_next(j, q, err) < 0)
        return -1;
    return col_int(q, 0) == request->newest_id
               ? 0
               : error_set(err, ERR_CONFLICT, 0, "deployment #%lld was requested meanwhile",
                           (long long)col_int(q, 0));
}

int journal_request(struct journal *journal, const struct deployment_request *request, int64_t *ret_id,
                    struct error *err)
{
    struct arena arena = {0};
    const char *subject = text_line(&arena, request->subject, TEXT_NAME_MAX),
               *author = text_line(&arena, request->author, TEXT_NAME_MAX);
    int64_t now = wall_us(), id = 0;
    int r = db_begin(journal, err);
    if (r < 0)
        goto out;
    if (request->newest_id)
        r = check_newest(journal, request, err);
    if (r == 0)
        r = db_run(journal, err,
                   "INSERT INTO deployment (stack, state, commit_id, branch, subject, author, trigger_name, "
                   "requested_by,"
                   " requested_us, target_id) VALUES (?, 'requested', ?, ?, ?, ?, ?, ?, ?, ?)",
                   V_TEXT(request->stack), V_TEXT(request->commit), V_TEXT(request->branch), V_TEXT(subject),
                   V_TEXT(author), V_TEXT(trigger_name(request->trigger)), V_TEXT(request->requested_by),
                   V_INT(now), V_INT(request->target_id));
    if (r == 0) {
        id = sqlite3_last_insert_rowid(journal->db);
        r = db_run(journal, err,
                   "UPDATE deployment SET state = 'superseded', reason = 'by #' || ?1, finished_us = ?2"
                   " WHERE stack = ?3 AND state = 'requested' AND id < ?1",
                   V_INT(id), V_INT(now), V_TEXT(request->stack));
    }
    if (r == 0 && request->hold_absolute)
        r = stack_set_hold_absolute(journal, request->stack, true, err);
    r = r < 0 ? db_rollback(journal) : db_commit(journal, err);
    if (r == 0)
        *ret_id = id;
out:
    arena_release(&arena);
    return r;
}

/* Inside a transaction: may this deployment take the state? 1: yes, 0: it has it already, -1: no. */
static int check_transition(struct journal *j, int64_t id, enum deployment_state to, struct error *err)
{
    enum deployment_state from;
    cleanup_query sqlite3_stmt *q = db_query(j, err, "SELECT state FROM deployment WHERE id = ?", V_INT(id));
    int r = db_next(j, q, err);
    if (r < 0)
        return -1;
    if (r == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "the journal has no deployment %lld", (long long)id);
    if (deployment_state_parse((const char *)sqlite3_column_text(q, 0), &from) < 0)
        return error_set(err, ERR_INTERNAL, 0, "deployment %lld has an unknown state", (long long)id);
    if (!deployment_state_may_follow(from, to))
        return error_set(err, ERR_CONFLICT, 0, "deployment %lld is %s and cannot become %s", (long long)id,
                         deployment_state_name(from), deployment_state_name(to));
    return from != to;
}

/* An approval is for once: it must not let the same commit through again, in another freeze. */
static int use_approval(struct journal *j, int64_t id, struct error *err)
{
    return db_run(j, err,
                  "UPDATE stack SET approved = NULL FROM deployment d"
                  " WHERE d.id = ? AND stack.stack = d.stack AND stack.approved = d.commit_id",
                  V_INT(id));
}

static int set_state(struct journal *j, int64_t id, enum deployment_state state, const char *reason,
                     struct error *err)
{
    int r = check_transition(j, id, state, err);
    if (r <= 0)
        return r;
    int64_t now = wall_us();
    bool ended = deployment_state_ended(state),
         begins = state == DEPLOYMENT_PLANNED || state == DEPLOYMENT_RUNNING;
    if (db_run(j, err,
               "UPDATE deployment SET state = ?2, reason = coalesce(?3, reason),"
               " started_us = CASE WHEN ?4 THEN coalesce(started_us, ?6) ELSE started_us END,"
               " finished_us = CASE WHEN ?5 THEN ?6 END WHERE id = ?1",
               V_INT(id), V_TEXT(deployment_state_name(state)), V_TEXT(reason), V_INT(begins), V_INT(ended),
               V_INT(now)) < 0)
        return -1;
    return state == DEPLOYMENT_SUCCEEDED ? use_approval(j, id, err) : 0;
}

int journal_set_reason(struct journal *journal, int64_t id, const char *reason, struct error *err)
{
    struct arena arena = {0};
    int r = db_run(journal, err, "UPDATE deployment SET reason = ?2 WHERE id = ?1 AND finished_us IS NULL",
                   V_INT(id), V_TEXT(text_line(&arena, reason, TEXT_LINE_MAX)));
    arena_release(&arena);
    return r;
}

int journal_set_state(struct journal *journal, int64_t id, enum deployment_state state, const char *reason,
                      struct error *err)
{
    struct arena arena = {0};
    const char *clean = text_line(&arena, reason, TEXT_LINE_MAX);
    int r = db_begin(journal, err);
    if (r == 0)
        r = set_state(journal, id, state, clean, err) < 0 ? db_rollback(journal) : db_commit(journal, err);
    arena_release(&arena);
    return r;
}

int journal_request_cancel(struct journal *journal, int64_t id, struct error *err)
{
    struct arena arena = {0};
    struct deployment d;
    bool found;
    int r = journal_deployment(journal, &arena, id, &d, &found, err);
    if (r == 0 && found && deployment_state_ended(d.state))
        r = error_set(err, ERR_CONFLICT, 0, "deployment %lld has ended (%s): there is nothing to cancel",
                      (long long)id, deployment_state_name(d.state));
    arena_release(&arena);
    return r < 0 ? -1
                 : db_write_one(journal, err, "such deployment",
                                "UPDATE deployment SET cancel_requested = 1 WHERE id = ?", V_INT(id));
}

int journal_count_resume(struct journal *journal, int64_t id, unsigned *ret_resumes, struct error *err)
{
    int64_t resumes = 0;
    if (db_begin(journal, err) < 0)
        return -1;
    {
        cleanup_query sqlite3_stmt *q =
            db_query(journal, err,
                     "UPDATE deployment SET resumes = resumes + 1 WHERE id = ? RETURNING resumes", V_INT(id));
        int r = db_next(journal, q, err);
        if (r == 0)
            error_set(err, ERR_NOT_FOUND, 0, "the journal has no deployment %lld", (long long)id);
        if (r <= 0)
            return db_rollback(journal);
        resumes = col_int(q, 0);
    }
    if (db_commit(journal, err) < 0)
        return -1;
    *ret_resumes = (unsigned)resumes;
    return 0;
}
