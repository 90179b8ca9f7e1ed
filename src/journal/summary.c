/* SPDX-License-Identifier: Apache-2.0 */

/* Short answers for those who ask often: one index each, and no large column. */

#include <string.h>

#include "agent/summary.h"
#include "journal/db.h"

#define OF_STACK                                                                                             \
    "SELECT id, state, requested_us, started_us, finished_us, commit_id FROM deployment WHERE stack = ?"

static const char last[] =
    OF_STACK " AND state <> 'superseded' AND finished_us IS NOT NULL ORDER BY id DESC LIMIT 1";
static const char success[] = OF_STACK " AND state = 'succeeded' ORDER BY id DESC LIMIT 1";
static const char under_way[] = OF_STACK " AND state IN ('requested', 'planned', 'running', 'interrupted')"
                                         " ORDER BY state = 'requested', id DESC LIMIT 1";

/* The first row of one of these queries; id 0: there is none. */
static int read_brief(struct journal *j, const char *sql, const char *stack, struct deployment_brief *ret,
                      struct error *err)
{
    struct deployment_brief b = {0};
    cleanup_query sqlite3_stmt *q = db_query(j, err, sql, V_TEXT(stack));
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

int journal_summary(struct journal *journal, const char *stack, struct stack_summary *ret, struct error *err)
{
    struct stack_summary s;
    if (read_brief(journal, last, stack, &s.last, err) < 0 ||
        read_brief(journal, success, stack, &s.success, err) < 0 ||
        read_brief(journal, under_way, stack, &s.under_way, err) < 0)
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

char *journal_mark(struct journal *journal, struct arena *arena)
{
    long long others = journal_data_version(journal);
    return arena_printf(arena, "%llx.%llx.%x", (unsigned long long)journal->opened,
                        (unsigned long long)others,
                        journal->db ? (unsigned)sqlite3_total_changes(journal->db) : 0);
}
