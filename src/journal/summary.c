/* SPDX-License-Identifier: Apache-2.0 */

/* Short answers for those who ask often: one index each, and no large column. */

#include <string.h>

#include "agent/summary.h"
#include "base/str.h"
#include "journal/db.h"

#define COLUMNS "id, state, requested_us, started_us, finished_us, commit_id"

/* The first row of a query for COLUMNS; id 0: there is none. */
static int read_brief(struct journal *j, sqlite3_stmt *q, struct deployment_brief *ret, struct error *err)
{
    struct deployment_brief b = {0};
    int r = db_next(j, q, err);
    if (r < 0)
        return -1;
    if (r > 0) {
        const char *commit = (const char *)sqlite3_column_text(q, 5);
        b.id = col_int(q, 0);
        b.requested_us = col_int(q, 2);
        b.started_us = col_int(q, 3);
        b.finished_us = col_int(q, 4);
        if (deployment_state_parse((const char *)sqlite3_column_text(q, 1), &b.state) < 0)
            return error_set(err, ERR_INTERNAL, 0, "the journal %s: deployment %lld has an unknown state",
                             j->path, (long long)b.id);
        memcpy(b.commit, commit, strnlen(commit, sizeof b.commit - 1));
    }
    *ret = b;
    return 0;
}

static int read_last(struct journal *j, const char *stack, struct deployment_brief *ret, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(j, err,
                 "SELECT " COLUMNS " FROM deployment WHERE stack = ? AND state <> 'superseded'"
                 " AND finished_us IS NOT NULL ORDER BY id DESC LIMIT 1",
                 V_TEXT(stack));
    return read_brief(j, q, ret, err);
}

static int read_success(struct journal *j, const char *stack, struct deployment_brief *ret, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(j, err,
                 "SELECT " COLUMNS " FROM deployment WHERE stack = ? AND state = 'succeeded'"
                 " ORDER BY id DESC LIMIT 1",
                 V_TEXT(stack));
    return read_brief(j, q, ret, err);
}

static int read_under_way(struct journal *j, const char *stack, struct deployment_brief *ret,
                          struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(j, err,
                 "SELECT " COLUMNS " FROM deployment WHERE stack = ?"
                 " AND state IN ('requested', 'planned', 'running', 'interrupted')"
                 " ORDER BY state = 'requested', id DESC LIMIT 1",
                 V_TEXT(stack));
    return read_brief(j, q, ret, err);
}

int journal_summary(struct journal *journal, const char *stack, struct stack_summary *ret, struct error *err)
{
    struct stack_summary s;
    if (read_last(journal, stack, &s.last, err) < 0 || read_success(journal, stack, &s.success, err) < 0 ||
        read_under_way(journal, stack, &s.under_way, err) < 0)
        return -1;
    *ret = s;
    return 0;
}

int journal_backlog(struct journal *journal, const char *receiver, int64_t most, int64_t *ret_events,
                    int64_t *ret_oldest_us, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE receiver = ?1 LIMIT ?2)),"
                 " (SELECT at_us FROM outbox WHERE receiver = ?1 ORDER BY id LIMIT 1)",
                 V_TEXT(receiver), V_INT(most));
    if (db_next(journal, q, err) < 0)
        return -1;
    *ret_events = col_int(q, 0);
    *ret_oldest_us = col_int(q, 1);
    return 0;
}

int journal_step_times(struct journal *journal, struct arena *arena, int64_t id, struct step **ret,
                       size_t *ret_count, struct error *err)
{
    struct step *rows = NULL;
    size_t n = 0;
    int r;
    cleanup_query sqlite3_stmt *q = db_query(journal, err,
                                             "SELECT seq, kind, name, state, error, started_us, finished_us"
                                             " FROM step WHERE deployment = ? ORDER BY seq",
                                             V_INT(id));
    while ((r = db_next(journal, q, err)) > 0) {
        rows = arena_grow(arena, rows, n, sizeof *rows);
        rows[n] = (struct step){.deployment = id,
                                .seq = (unsigned)col_int(q, 0),
                                .kind = col_text(arena, q, 1),
                                .name = col_text(arena, q, 2),
                                .error = col_text(arena, q, 4),
                                .started_us = col_int(q, 5),
                                .finished_us = col_int(q, 6)};
        if (step_state_parse((const char *)sqlite3_column_text(q, 3), &rows[n].state) < 0) {
            r = error_set(err, ERR_INTERNAL, 0, "step %u of deployment %lld has an unknown state",
                          rows[n].seq, (long long)id);
            break;
        }
        n++;
    }
    if (r < 0)
        return -1;
    *ret = rows;
    *ret_count = n;
    return 0;
}

char *journal_mark(struct journal *journal, struct arena *arena)
{
    long long others = journal_data_version(journal);
    return arena_printf(arena, "%llx.%llx.%x", (unsigned long long)journal->opened,
                        (unsigned long long)others,
                        journal->db ? (unsigned)sqlite3_total_changes(journal->db) : 0);
}
