/* SPDX-License-Identifier: Apache-2.0 */

/* Events come from triggers on the table deployment; who wants which is the view outbox. See migration 0005.
 */

#include "agent/outbox.h"

#include <sys/random.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "journal/db.h"

static const int64_t retry_most_us = 300 * US_PER_S;

/* ---- who they are ---- */

/* " a b ", as the view searches it; NULL: all */
static const char *words_text(struct arena *arena, const char *const *words)
{
    cleanup_str struct str text = {0};
    if (!words)
        return NULL;
    str_append(&text, " ");
    for (; *words; words++)
        str_printf(&text, "%s ", *words);
    return arena_strdup(arena, str_text(&text));
}

/* 1: there is one of that name and it is as configured, 0: it differs or is missing */
static int receiver_is(struct journal *j, const struct receiver_config *c, const char *stacks,
                       const char *states, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(j, err,
                 "SELECT 1 FROM receiver WHERE name = ?1 AND stacks IS ?2"
                 " AND states IS ?3 AND keep = ?4 AND keep_us = ?5",
                 V_TEXT(c->name), V_TEXT(stacks), V_TEXT(states), V_INT(c->keep), V_INT(c->keep_us));
    return db_next(j, q, err);
}

static int receivers_count(struct journal *j, int64_t *ret, struct error *err)
{
    cleanup_query sqlite3_stmt *q = db_query(j, err, "SELECT count(*) FROM receiver");
    if (db_next(j, q, err) < 0)
        return -1;
    *ret = col_int(q, 0);
    return 0;
}

/* Names are unique in the configuration: as many as there are rows, each as configured, is the same set. */
static int all_as_configured(struct journal *j, const struct receiver_config *receivers, size_t n,
                             struct error *err)
{
    cleanup_arena struct arena arena = {0};
    int64_t count;
    if (receivers_count(j, &count, err) < 0)
        return -1;
    int r = count == (int64_t)n;
    for (size_t i = 0; i < n && r > 0; i++)
        r = receiver_is(j, &receivers[i], words_text(&arena, receivers[i].stacks),
                        words_text(&arena, receivers[i].states), err);
    return r;
}

static int receiver_exists(struct journal *j, const char *name, struct error *err)
{
    cleanup_query sqlite3_stmt *q = db_query(j, err, "SELECT 1 FROM receiver WHERE name = ?", V_TEXT(name));
    return db_next(j, q, err);
}

static int put_receiver(struct journal *j, const struct receiver_config *c, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *stacks = words_text(&arena, c->stacks), *states = words_text(&arena, c->states);
    int exists = receiver_exists(j, c->name, err);
    if (exists < 0)
        return -1;
    if (db_run(j, err,
               "INSERT INTO receiver (name, stacks, states, keep, keep_us, position)"
               " VALUES (?1, ?2, ?3, ?4, ?5, (SELECT coalesce(max(id), 0) FROM event))"
               " ON CONFLICT DO UPDATE SET stacks = ?2, states = ?3, keep = ?4, keep_us = ?5",
               V_TEXT(c->name), V_TEXT(stacks), V_TEXT(states), V_INT(c->keep), V_INT(c->keep_us)) < 0)
        return -1;
    if (exists || !c->history)
        return 0;
    return db_run(j, err,
                  "INSERT INTO event (only, deployment, stack, state, reason, at_us)"
                  " SELECT ?1, id, stack, state, reason, coalesce(finished_us, started_us, requested_us)"
                  " FROM deployment ORDER BY id",
                  V_TEXT(c->name));
}

static int delete_others(struct journal *j, const struct receiver_config *receivers, size_t n,
                         struct error *err)
{
    /* kept apart by what no name has */
    cleanup_str struct str list = {0};
    str_append(&list, "\n");
    for (size_t i = 0; i < n; i++)
        str_printf(&list, "%s\n", receivers[i].name);
    return db_run(j, err, "DELETE FROM receiver WHERE instr(?1, char(10) || name || char(10)) = 0",
                  V_TEXT(str_text(&list)));
}

static int configure(struct journal *j, const struct receiver_config *receivers, size_t n, struct error *err)
{
    if (delete_others(j, receivers, n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (put_receiver(j, &receivers[i], err) < 0)
            return -1;
    return db_run(j, err, "DELETE FROM event WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE id = event.id)");
}

int outbox_configure(struct journal *journal, const struct receiver_config *receivers, size_t n,
                     struct error *err)
{
    int r = all_as_configured(journal, receivers, n, err);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (db_begin(journal, err) < 0)
        return -1;
    return configure(journal, receivers, n, err) < 0 ? db_rollback(journal) : db_commit(journal, err);
}

/* ---- what waits for them ---- */

int outbox_receivers(struct journal *journal, struct arena *arena, struct receiver **ret, size_t *ret_count,
                     struct error *err)
{
    struct receiver *rows = NULL;
    size_t n = 0;
    int r;
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT name, EXISTS (SELECT 1 FROM outbox WHERE receiver = name), position, next_us,"
                 " failing_since_us, attempts, error, dropped FROM receiver ORDER BY name");
    while ((r = db_next(journal, q, err)) > 0) {
        rows = arena_grow(arena, rows, n, sizeof *rows);
        rows[n++] = (struct receiver){
            .name = col_text(arena, q, 0),
            .waiting = col_int(q, 1) != 0,
            .position = col_int(q, 2),
            .next_us = col_int(q, 3),
            .failing_since_us = col_int(q, 4),
            .attempts = (unsigned)col_int(q, 5),
            .error = col_text(arena, q, 6),
            .dropped = col_int(q, 7),
        };
    }
    if (r < 0)
        return -1;
    *ret = rows;
    *ret_count = n;
    return 0;
}

int outbox_receiver(struct journal *journal, struct arena *arena, const char *name, struct receiver *ret,
                    bool *ret_found, struct error *err)
{
    struct receiver *all;
    size_t n;
    if (outbox_receivers(journal, arena, &all, &n, err) < 0)
        return -1;
    *ret_found = false;
    for (size_t i = 0; i < n; i++)
        if (str_eq(all[i].name, name)) {
            *ret = all[i];
            *ret_found = true;
        }
    return 0;
}

int outbox_next(struct journal *journal, struct arena *arena, const char *receiver, unsigned limit,
                struct event **ret, size_t *ret_count, struct error *err)
{
    struct event *rows = NULL;
    size_t n = 0;
    int r;
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT id, deployment, stack, state, reason, at_us FROM outbox WHERE receiver = ?"
                 " ORDER BY id LIMIT ?",
                 V_TEXT(receiver), V_INT(limit));
    while ((r = db_next(journal, q, err)) > 0) {
        rows = arena_grow(arena, rows, n, sizeof *rows);
        rows[n++] = (struct event){.id = col_int(q, 0),
                                   .deployment = col_int(q, 1),
                                   .stack = col_text(arena, q, 2),
                                   .state = col_text(arena, q, 3),
                                   .reason = col_text(arena, q, 4),
                                   .at_us = col_int(q, 5)};
    }
    if (r < 0)
        return -1;
    *ret = rows;
    *ret_count = n;
    return 0;
}

int outbox_told(struct journal *journal, struct arena *arena, const char *receiver, const char *stack,
                struct verdict *ret, struct error *err)
{
    struct verdict told = {.stack = stack};
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err, "SELECT commit_id, state FROM told WHERE receiver = ? AND stack = ?",
                 V_TEXT(receiver), V_TEXT(stack));
    int r = db_next(journal, q, err);
    if (r < 0)
        return -1;
    if (r > 0) {
        told.commit = col_text(arena, q, 0);
        told.state = col_text(arena, q, 1);
    }
    *ret = told;
    return 0;
}

int outbox_verdict_before(struct journal *journal, struct arena *arena, const char *stack, int64_t deployment,
                          struct verdict *ret, struct error *err)
{
    struct verdict before = {.stack = stack};
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT commit_id, state FROM deployment WHERE stack = ? AND id < ?"
                 " AND finished_us IS NOT NULL AND state <> 'superseded' ORDER BY id DESC LIMIT 1",
                 V_TEXT(stack), V_INT(deployment));
    int r = db_next(journal, q, err);
    if (r < 0)
        return -1;
    if (r > 0) {
        before.commit = col_text(arena, q, 0);
        before.state = col_text(arena, q, 1);
    }
    *ret = before;
    return 0;
}

/* ---- what became of it ---- */

/* Inside a transaction: its cursor goes on to `position`, and the events that it held back go, unless
 * somebody else waits for them. 0 also when it has been there already. */
static int advance(struct journal *j, const char *receiver, int64_t position, struct error *err)
{
    int64_t from = 0;
    {
        cleanup_query sqlite3_stmt *q =
            db_query(j, err, "SELECT position FROM receiver WHERE name = ?", V_TEXT(receiver));
        int r = db_next(j, q, err);
        if (r < 0)
            return -1;
        if (r == 0)
            return error_set(err, ERR_NOT_FOUND, 0, "the journal has no receiver %s", receiver);
        from = col_int(q, 0);
    }
    if (position <= from)
        return 0;
    if (db_run(j, err, "UPDATE receiver SET position = ?2 WHERE name = ?1", V_TEXT(receiver),
               V_INT(position)) < 0)
        return -1;
    return db_run(j, err,
                  "DELETE FROM event WHERE id > ?1 AND id <= ?2"
                  " AND NOT EXISTS (SELECT 1 FROM outbox WHERE id = event.id)",
                  V_INT(from), V_INT(position));
}

/* Inside a transaction: who waits for nothing goes on to the end. Else a backlog of another receiver would be
 * searched again at each look for the little that this one wants. */
static int catch_up(struct journal *j, struct error *err)
{
    return db_run(j, err,
                  "UPDATE receiver SET position = (SELECT max(id) FROM event)"
                  " WHERE position < (SELECT max(id) FROM event)"
                  " AND NOT EXISTS (SELECT 1 FROM outbox WHERE receiver = name)");
}

static int done(struct journal *j, const char *receiver, int64_t position, const struct verdict *told,
                struct error *err)
{
    if (advance(j, receiver, position, err) < 0 ||
        db_run(j, err,
               "UPDATE receiver SET attempts = 0, next_us = NULL, failing_since_us = NULL, error = NULL,"
               " dropped = 0 WHERE name = ?",
               V_TEXT(receiver)) < 0 ||
        catch_up(j, err) < 0)
        return -1;
    if (!told)
        return 0;
    return db_run(j, err,
                  "INSERT INTO told (receiver, stack, commit_id, state) VALUES (?1, ?2, ?3, ?4)"
                  " ON CONFLICT DO UPDATE SET commit_id = ?3, state = ?4",
                  V_TEXT(receiver), V_TEXT(told->stack), V_TEXT(told->commit), V_TEXT(told->state));
}

int outbox_done(struct journal *journal, const char *receiver, int64_t position, const struct verdict *told,
                struct error *err)
{
    if (db_begin(journal, err) < 0)
        return -1;
    return done(journal, receiver, position, told, err) < 0 ? db_rollback(journal) : db_commit(journal, err);
}

int outbox_pass(struct journal *journal, const char *receiver, int64_t position, struct error *err)
{
    if (db_begin(journal, err) < 0)
        return -1;
    return advance(journal, receiver, position, err) < 0 || catch_up(journal, err) < 0
               ? db_rollback(journal)
               : db_commit(journal, err);
}

int outbox_refused(struct journal *journal, const char *receiver, int64_t position, const char *error,
                   struct error *err)
{
    struct arena arena = {0};
    const char *clean = text_line(&arena, error, TEXT_LINE_MAX);
    int r = db_begin(journal, err);
    if (r == 0)
        r = advance(journal, receiver, position, err) < 0 ||
                    db_run(journal, err,
                           "UPDATE receiver SET dropped = dropped + 1, error = ?2,"
                           " failing_since_us = coalesce(failing_since_us, ?3) WHERE name = ?1",
                           V_TEXT(receiver), V_TEXT(clean), V_INT(wall_us())) < 0 ||
                    catch_up(journal, err) < 0
                ? db_rollback(journal)
                : db_commit(journal, err);
    arena_release(&arena);
    return r;
}

/*
 * The last event that is too old, or has too many newer ones behind it; 0: none. Old is what something newer
 * has followed that long after, a deployment or another event: of a clock that is set ahead by a year nothing
 * is older than before, and what nothing has followed is still news. A dead receiver keeps its few for as
 * long as nothing happens, in which time there is nothing to trim either.
 */
static int find_surplus(struct journal *j, const char *receiver, int64_t *ret_last, int64_t *ret_count,
                        struct error *err)
{
    cleanup_query sqlite3_stmt *q = db_query(
        j, err,
        "SELECT max(id), (SELECT count(*) FROM outbox c WHERE c.receiver = ?1 AND c.id <= max(o.id)) FROM "
        "outbox o"
        " WHERE receiver = ?1 AND (id <= (SELECT n.id FROM outbox n, receiver r WHERE n.receiver = ?1"
        "   AND r.name = ?1 AND r.keep > 0 ORDER BY n.id DESC LIMIT 1"
        "   OFFSET (SELECT max(keep, 0) FROM receiver WHERE name = ?1))"
        "  OR at_us < (SELECT min(?2, max("
        "    coalesce((SELECT requested_us FROM deployment ORDER BY id DESC LIMIT 1), 0),"
        "    (SELECT at_us FROM outbox WHERE receiver = ?1 ORDER BY id DESC LIMIT 1))) - keep_us"
        "   FROM receiver WHERE name = ?1 AND keep_us > 0))",
        V_TEXT(receiver), V_INT(wall_us()));
    if (db_next(j, q, err) < 0)
        return -1;
    *ret_last = col_int(q, 0);
    *ret_count = col_int(q, 1);
    return 0;
}

static int failed(struct journal *j, const char *receiver, const char *error, int64_t next_us,
                  struct error *err)
{
    int64_t last, n;
    if (db_run(j, err,
               "UPDATE receiver SET attempts = attempts + 1, next_us = ?2, error = ?3,"
               " failing_since_us = coalesce(failing_since_us, ?4) WHERE name = ?1",
               V_TEXT(receiver), V_TIME(next_us), V_TEXT(error), V_INT(wall_us())) < 0 ||
        find_surplus(j, receiver, &last, &n, err) < 0 || catch_up(j, err) < 0)
        return -1;
    if (last == 0)
        return 0;
    if (db_run(j, err, "UPDATE receiver SET dropped = dropped + ?2 WHERE name = ?1", V_TEXT(receiver),
               V_INT(n)) < 0)
        return -1;
    return advance(j, receiver, last, err);
}

int outbox_failed(struct journal *journal, const char *receiver, const char *error, int64_t next_us,
                  struct error *err)
{
    struct arena arena = {0};
    const char *clean = text_line(&arena, error, TEXT_LINE_MAX);
    int r = db_begin(journal, err);
    if (r == 0)
        r = failed(journal, receiver, clean, next_us, err) < 0 ? db_rollback(journal)
                                                               : db_commit(journal, err);
    arena_release(&arena);
    return r;
}

static int any_pause(struct journal *j, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(j, err, "SELECT 1 FROM receiver WHERE next_us IS NOT NULL LIMIT 1");
    return db_next(j, q, err);
}

int outbox_try_now(struct journal *journal, struct error *err)
{
    int r = any_pause(journal, err);
    if (r <= 0)
        return r;
    return db_write_one(journal, err, "receiver that waits",
                        "UPDATE receiver SET next_us = NULL WHERE next_us IS NOT NULL");
}

int64_t outbox_retry_us(unsigned attempts)
{
    int64_t delay = US_PER_S;
    uint64_t random = 0;
    for (; attempts && delay < retry_most_us; attempts--)
        delay *= 2;
    if (delay > retry_most_us)
        delay = retry_most_us;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint64_t)mono_us();
    return delay - (int64_t)(random % (uint64_t)(delay / 5));
}

/* 1: it was told last that they stall, 0: it was not */
static int were_stalled(struct journal *j, const char *stack, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(j, err, "SELECT 1 FROM stack WHERE stack = ? AND polls_stalled", V_TEXT(stack));
    return db_next(j, q, err);
}

static int tell_polls(struct journal *j, const char *stack, bool stalled, const char *reason,
                      struct error *err)
{
    int was = were_stalled(j, stack, err);
    if (was < 0 || was == stalled)
        return was < 0 ? -1 : 0;
    if (db_run(j, err,
               "INSERT INTO stack (stack, polls_stalled) VALUES (?1, ?2)"
               " ON CONFLICT DO UPDATE SET polls_stalled = ?2",
               V_TEXT(stack), V_INT(stalled)) < 0)
        return -1;
    return db_run(j, err,
                  "INSERT INTO event (deployment, stack, state, reason, at_us) VALUES (0, ?, ?, ?, ?)",
                  V_TEXT(stack), V_TEXT(stalled ? "polls_stalled" : "polls_recovered"), V_TEXT(reason),
                  V_INT(wall_us()));
}

int outbox_tell_polls(struct journal *journal, const char *stack, bool stalled, const char *reason,
                      struct error *err)
{
    struct arena arena = {0};
    const char *clean = text_line(&arena, reason, TEXT_LINE_MAX);
    int r = db_begin(journal, err);
    if (r == 0)
        r = tell_polls(journal, stack, stalled, clean, err) < 0 ? db_rollback(journal)
                                                                : db_commit(journal, err);
    arena_release(&arena);
    return r;
}
