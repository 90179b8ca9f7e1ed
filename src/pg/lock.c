/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/session.h"

/*
 * An advisory lock of the session, asked for again and again: who waits for one inside of the server holds a
 * snapshot, and CREATE INDEX CONCURRENTLY of the holder would wait for that until one of both is killed
 * (40P01). https://www.postgresql.org/docs/15/explicit-locking.html#ADVISORY-LOCKS
 */

/* "classid" and "objid" are the key's halves; objsubid 1 marks one of 64 bits. */
#define OF_OUR_KEY                                                                                           \
    "l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = (SELECT oid FROM "            \
    "pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND (l.classid::bigint << 32) | " \
    "l.objid::bigint = "

/*
 * Held twice, so that giving one back tells whether it is still ours: pg_locks would tell it, too, but looks
 * at every lock of the server, and this is asked after each file.
 */
const char *lock_ours_sql(const struct session *s, struct arena *arena)
{
    return arena_printf(arena,
                        "SELECT CASE WHEN pg_catalog.pg_advisory_unlock(%lld) THEN "
                        "pg_catalog.pg_try_advisory_lock(%lld) END",
                        (long long)s->key, (long long)s->key);
}

int lock_key(struct session *s, const char *subject, struct error *err)
{
    cleanup_result PGresult *r = NULL;
    if (PG_ASK(&s->conn, "making the key of the lock", &r, err,
               "SELECT pg_catalog.hashtextextended('deploy-agent:migrate:' || $1, 0)", subject) < 0)
        return -1;
    s->key = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    return 0;
}

static int try_lock(struct session *s, const char *key, struct error *err)
{
    cleanup_result PGresult *r = NULL;
    if (PG_ASK(&s->conn, "taking the lock of the migrations", &r, err,
               "SELECT CASE WHEN pg_catalog.pg_try_advisory_lock($1::bigint) THEN "
               "pg_catalog.pg_try_advisory_lock($1::bigint) END",
               key) < 0)
        return -1;
    s->locked = strcmp(PQgetvalue(r, 0, 0), "t") == 0;
    return 0;
}

/* "held by … (pid 12, active for 3 s)"; a lost connection of ours is ended, which gives its lock back. */
static int holder(struct session *s, struct arena *arena, const char *key, const char **ret,
                  struct error *err)
{
    cleanup_result PGresult *r = NULL;
    *ret = "held by a session that has just ended";
    if (PG_ASK(&s->conn, "looking for the holder of the lock", &r, err,
               "SELECT a.pid, coalesce(nullif(a.application_name, ''), 'no name'), a.usename, "
               "coalesce(a.state, '?'), greatest(0, extract(epoch FROM pg_catalog.clock_timestamp() - "
               "coalesce(a.query_start, a.backend_start)))::int, a.application_name = $2 FROM "
               "pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid) WHERE " OF_OUR_KEY
               "$1::bigint",
               key, s->target->application_name) < 0)
        return -1;
    if (PQntuples(r) == 0)
        return 0;
    const char *pid = PQgetvalue(r, 0, 0);
    *ret = arena_printf(arena, "held by %s (pid %s, role %s, %s for %s s)", PQgetvalue(r, 0, 1), pid,
                        PQgetvalue(r, 0, 2), PQgetvalue(r, 0, 3), PQgetvalue(r, 0, 4));
    if (s->stale_pid && strtol(pid, NULL, 10) == s->stale_pid && strcmp(PQgetvalue(r, 0, 5), "t") == 0) {
        *ret = arena_printf(arena, "%s, a lost connection of ours: ending it", *ret);
        return PG_ASK(&s->conn, "ending the lost connection", NULL, err,
                      "SELECT pg_catalog.pg_terminate_backend($1::int)", pid);
    }
    return 0;
}

int lock_acquire(struct session *s, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *key = arena_printf(&arena, "%lld", (long long)s->key), *who = NULL;
    int64_t began = mono_us();
    for (;;) {
        if (try_lock(s, key, err) < 0)
            return -1;
        if (s->locked)
            break;
        if (holder(s, &arena, key, &who, err) < 0)
            return -1;
        int64_t waited = mono_us() - began;
        if (waited >= s->step->lock_wait_us)
            return error_set(err, ERR_CONFLICT, 0, "the lock of the migrations was not free within %s: %s",
                             duration_text(&arena, s->step->lock_wait_us), who);
        session_waiting(s, arena_printf(&arena, "the lock of the migrations: %s", who));
        /* agents that were started together shall not ask together */
        if (pg_pause(&s->conn, US_PER_S + (int64_t)(s->backend_pid % 100) * 2000, err) < 0)
            return error_wrap(err, "waiting for the lock of the migrations, %s", who);
    }
    if (who)
        session_waiting(s, NULL);
    fault_point("sql.locked");
    return 0;
}

int lock_is_ours(struct session *s, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_result PGresult *r = NULL;
    if (pg_ask(&s->conn, "looking at the lock of the migrations", &r, err, lock_ours_sql(s, &arena), 0,
               NULL) < 0)
        return -1;
    return strcmp(PQgetvalue(r, 0, 0), "t") == 0;
}

/* Each as often as it was taken. An oid is an integer without a sign; the cast keeps its bits. */
int lock_release_others(struct session *s, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *sql = arena_printf(
        &arena,
        "SELECT CASE WHEN l.objsubid = 1 AND l.mode = 'ExclusiveLock' THEN "
        "pg_catalog.pg_advisory_unlock(k.big) "
        "WHEN l.objsubid = 1 THEN pg_catalog.pg_advisory_unlock_shared(k.big) WHEN l.mode = 'ExclusiveLock' "
        "THEN "
        "pg_catalog.pg_advisory_unlock(l.classid::integer, l.objid::integer) ELSE "
        "pg_catalog.pg_advisory_unlock_shared(l.classid::integer, l.objid::integer) END FROM "
        "pg_catalog.pg_locks l, "
        "LATERAL (SELECT (l.classid::bigint << 32) | l.objid::bigint AS big) k WHERE l.locktype = 'advisory' "
        "AND "
        "l.granted AND l.pid = pg_catalog.pg_backend_pid() AND NOT (l.objsubid = 1 AND k.big = %lld)",
        (long long)s->key);
    const struct pg_call call = {.sql = sql, .finishing = true};
    for (bool some = true, first = true; some; first = false) {
        struct pg_failure failure;
        struct pg_result result;
        if (pg_run(&s->conn, &call, &result, &failure) < 0) {
            pg_failure_error(&failure, err);
            return error_wrap(err, "releasing the advisory locks of %s", s->advisory_file);
        }
        some = PQntuples(result.res) > 0;
        PQclear(result.res);
        if (some && first)
            session_warn(s, "%s: advisory locks that it took and kept were released at its end",
                         s->advisory_file);
    }
    return 0;
}
