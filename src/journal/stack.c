/* SPDX-License-Identifier: Apache-2.0 */

/* One row per stack: what is true now. A call that would change nothing writes nothing: polls are many. */

#include "base/clock.h"
#include "base/str.h"
#include "journal/db.h"

/*
 * The deployment whose end holds its commit: the newest that came to an end of its own (a superseded one
 * never ran), if that end holds and nobody has asked for a retry that still counts.
 */
static int find_held(struct journal *j, const char *stack, int64_t *ret_id, struct error *err)
{
    enum deployment_state state;
    cleanup_query sqlite3_stmt *q = db_query(
        j, err,
        "SELECT id, state, EXISTS (SELECT 1 FROM deployment r WHERE r.target_id = d.id AND r.target_id <> 0"
        "  AND r.trigger_name = 'retry' AND r.state <> 'superseded')"
        " FROM deployment d WHERE stack = ? AND state <> 'superseded' AND finished_us IS NOT NULL"
        " ORDER BY id DESC LIMIT 1",
        V_TEXT(stack));
    int r = db_next(j, q, err);
    if (r < 0)
        return -1;
    bool holds = r > 0 && deployment_state_parse((const char *)sqlite3_column_text(q, 1), &state) == 0 &&
                 deployment_state_holds(state) && col_int(q, 2) == 0;
    *ret_id = holds ? col_int(q, 0) : 0;
    return 0;
}

int journal_stack(struct journal *journal, struct arena *arena, const char *stack, struct stack_state *ret,
                  struct error *err)
{
    struct stack_state s = {.stack = arena_strdup(arena, stack)};
    {
        cleanup_query sqlite3_stmt *q =
            db_query(journal, err,
                     "SELECT tip, tip_seen_us, poll_error, poll_failing_since_us, poll_failures, waiting, "
                     "waiting_since_us,"
                     " alarm, alarm_commit, approved, paused, pause_reason, paused_since_us, "
                     "paused_until_us, hold_absolute, drift, drift_since_us, polls_stalled"
                     " FROM stack WHERE stack = ?",
                     V_TEXT(stack));
        int r = db_next(journal, q, err);
        if (r < 0)
            return -1;
        if (r > 0) {
            s.tip = col_text(arena, q, 0);
            s.tip_seen_us = col_int(q, 1);
            s.poll_error = col_text(arena, q, 2);
            s.poll_failing_since_us = col_int(q, 3);
            s.poll_failures = (unsigned)col_int(q, 4);
            s.waiting = col_text(arena, q, 5);
            s.waiting_since_us = col_int(q, 6);
            s.alarm = col_text(arena, q, 7);
            s.alarm_commit = col_text(arena, q, 8);
            s.approved = col_text(arena, q, 9);
            s.paused = col_int(q, 10) != 0;
            s.pause_reason = col_text(arena, q, 11);
            s.paused_since_us = col_int(q, 12);
            s.paused_until_us = col_int(q, 13);
            s.hold_absolute = col_int(q, 14) != 0;
            s.drift = col_text(arena, q, 15);
            s.drift_since_us = col_int(q, 16);
            s.polls_stalled = col_int(q, 17) != 0;
        }
    }
    if (find_held(journal, stack, &s.held_id, err) < 0)
        return -1;
    *ret = s;
    return 0;
}

bool deployment_is_asked_for(const struct deployment *d, const struct stack_state *state)
{
    if (d->trigger == TRIGGER_RETRY || d->trigger == TRIGGER_ROLLBACK)
        return true;
    return d->trigger != TRIGGER_IMAGE && d->trigger != TRIGGER_DRIFT && str_eq(state->approved, d->commit);
}

int journal_stacks(struct journal *journal, struct arena *arena, char ***ret, size_t *ret_count,
                   struct error *err)
{
    char **names = NULL;
    size_t n = 0;
    int r;
    cleanup_query sqlite3_stmt *q = db_query(
        journal, err, "SELECT stack FROM stack UNION SELECT DISTINCT stack FROM deployment ORDER BY stack");
    while ((r = db_next(journal, q, err)) > 0) {
        names = arena_grow(arena, names, n, sizeof *names);
        names[n++] = col_text(arena, q, 0);
    }
    if (r < 0)
        return -1;
    names = arena_grow(arena, names, n, sizeof *names);
    names[n] = NULL;
    *ret = names;
    *ret_count = n;
    return 0;
}

/*
 * Runs one upsert that starts with "INSERT INTO stack" in a transaction of its own. ?1 is the stack.
 * The statements below all say: make the row if it is missing, then set these columns.
 */
static int upsert_values(struct journal *j, struct error *err, const char *sql, const struct value *values,
                         size_t n)
{
    if (db_begin(j, err) < 0)
        return -1;
    if (db_run_values(j, err, sql, values, n) < 0)
        return db_rollback(j);
    return db_commit(j, err);
}
#define upsert(j, err, sql, ...) upsert_values(j, err, sql, VALUES_(__VA_ARGS__))

int journal_set_tip(struct journal *journal, const char *stack, const char *tip, struct error *err)
{
    struct arena arena = {0};
    struct stack_state now;
    int r = journal_stack(journal, &arena, stack, &now, err);
    bool news = r == 0 && (!str_eq(now.tip, tip) || now.poll_error);
    arena_release(&arena);
    if (r < 0 || !news)
        return r;
    return upsert(journal, err,
                  "INSERT INTO stack (stack, tip, tip_seen_us) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET"
                  " tip_seen_us = CASE WHEN tip IS ?2 THEN tip_seen_us ELSE ?3 END, tip = ?2,"
                  " poll_error = NULL, poll_failing_since_us = NULL, poll_failures = 0",
                  V_TEXT(stack), V_TEXT(tip), V_TIME(wall_us()));
}

static int write_poll_error(struct journal *j, const char *stack, const char *error, struct error *err)
{
    if (!error)
        return upsert(j, err,
                      "UPDATE stack SET poll_error = NULL, poll_failing_since_us = NULL, poll_failures = 0 "
                      "WHERE stack = ?",
                      V_TEXT(stack));
    return upsert(
        j, err,
        "INSERT INTO stack (stack, poll_error, poll_failing_since_us, poll_failures) VALUES (?1, ?2, ?3, 1)"
        " ON CONFLICT DO UPDATE SET poll_error = ?2, poll_failures = poll_failures + 1,"
        " poll_failing_since_us = coalesce(poll_failing_since_us, ?3)",
        V_TEXT(stack), V_TEXT(error), V_TIME(wall_us()));
}

int journal_set_poll_error(struct journal *journal, const char *stack, const char *error, bool *ret_first,
                           struct error *err)
{
    struct arena arena = {0};
    struct stack_state now;
    const char *clean = text_block(&arena, error);
    int r = journal_stack(journal, &arena, stack, &now, err);
    bool turn = r == 0 && !now.poll_error != !clean;
    if (r == 0 && !str_eq(now.poll_error, clean))
        r = write_poll_error(journal, stack, clean, err);
    arena_release(&arena);
    if (r < 0)
        return -1;
    *ret_first = turn;
    return 0;
}

int journal_set_waiting(struct journal *journal, const char *stack, const char *waiting, struct error *err)
{
    struct arena arena = {0};
    struct stack_state now;
    const char *clean = text_line(&arena, waiting, TEXT_LINE_MAX);
    int r = journal_stack(journal, &arena, stack, &now, err);
    if (r == 0 && !str_eq(now.waiting, clean))
        r = upsert(journal, err,
                   "INSERT INTO stack (stack, waiting, waiting_since_us) VALUES (?1, ?2, ?3)"
                   " ON CONFLICT DO UPDATE SET waiting = ?2, waiting_since_us ="
                   " CASE WHEN ?2 IS NOT NULL AND waiting IS NOT NULL THEN waiting_since_us ELSE ?3 END",
                   V_TEXT(stack), V_TEXT(clean), V_TIME(clean ? wall_us() : 0));
    arena_release(&arena);
    return r;
}

int journal_set_drift(struct journal *journal, const char *stack, const char *drift, bool *ret_news,
                      struct error *err)
{
    struct arena arena = {0};
    struct stack_state now;
    const char *clean = text_block(&arena, drift);
    int r = journal_stack(journal, &arena, stack, &now, err);
    bool news = r == 0 && !str_eq(now.drift, clean);
    if (news)
        r = upsert(journal, err,
                   "INSERT INTO stack (stack, drift, drift_since_us) VALUES (?1, ?2, ?3)"
                   " ON CONFLICT DO UPDATE SET drift = ?2,"
                   " drift_since_us = CASE WHEN ?2 IS NOT NULL THEN coalesce(drift_since_us, ?3) END",
                   V_TEXT(stack), V_TEXT(clean), V_TIME(clean ? wall_us() : 0));
    arena_release(&arena);
    if (r == 0)
        *ret_news = news;
    return r;
}

int journal_set_alarm(struct journal *journal, const char *stack, const char *alarm, const char *commit,
                      struct error *err)
{
    struct arena arena = {0};
    struct stack_state now;
    const char *clean = text_line(&arena, alarm, TEXT_LINE_MAX);
    int r = journal_stack(journal, &arena, stack, &now, err);
    if (r == 0 && (!str_eq(now.alarm, clean) || !str_eq(now.alarm_commit, commit)))
        r = upsert(journal, err,
                   "INSERT INTO stack (stack, alarm, alarm_commit) VALUES (?1, ?2, ?3)"
                   " ON CONFLICT DO UPDATE SET alarm = ?2, alarm_commit = ?3",
                   V_TEXT(stack), V_TEXT(clean), V_TEXT(commit));
    arena_release(&arena);
    return r;
}

int journal_approve(struct journal *journal, const char *stack, const char *commit, struct error *err)
{
    return upsert(journal, err,
                  "INSERT INTO stack (stack, approved) VALUES (?1, ?2)"
                  " ON CONFLICT DO UPDATE SET approved = ?2, alarm = NULL, alarm_commit = NULL",
                  V_TEXT(stack), V_TEXT(commit));
}

int journal_pause(struct journal *journal, const char *stack, bool paused, const char *reason,
                  int64_t until_us, struct error *err)
{
    struct arena arena = {0};
    const char *clean = paused ? text_line(&arena, reason, TEXT_LINE_MAX) : NULL;
    int r = upsert(journal, err,
                   "INSERT INTO stack (stack, paused, pause_reason, paused_since_us, paused_until_us)"
                   " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET paused = ?2, pause_reason = ?3,"
                   " paused_since_us = ?4, paused_until_us = ?5",
                   V_TEXT(stack), V_INT(paused), V_TEXT(clean), V_TIME(paused ? wall_us() : 0),
                   V_TIME(paused ? until_us : 0));
    arena_release(&arena);
    return r;
}

int stack_set_hold_absolute(struct journal *j, const char *stack, bool absolute, struct error *err)
{
    return db_run(j, err,
                  "INSERT INTO stack (stack, hold_absolute) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET "
                  "hold_absolute = ?2",
                  V_TEXT(stack), V_INT(absolute));
}

int journal_set_hold_absolute(struct journal *journal, const char *stack, bool absolute, struct error *err)
{
    if (db_begin(journal, err) < 0)
        return -1;
    if (stack_set_hold_absolute(journal, stack, absolute, err) < 0)
        return db_rollback(journal);
    return db_commit(journal, err);
}
