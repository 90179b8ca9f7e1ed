/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/session.h"

/*
 * What a statement that takes long is doing, seen from a second connection: what it waits for, how far an
 * index is, who waits behind it. A statement that itself waits for a lock makes everybody who comes later
 * wait, too; when too many do, it is cancelled and tried again.
 */

enum { CROWD = 10 };
static const int64_t look_us = 2 * US_PER_S, retry_us = 30 * US_PER_S;

void observer_close(struct session *s)
{
    pg_conn_close(&s->observer.conn);
}

static int log_in(struct session *s)
{
    struct observer *o = &s->observer;
    struct error ignored = {0};
    const struct migrate_target *t = s->target;
    cleanup_arena struct arena arena = {0};
    const char *folder = NULL;
    if (o->conn.pg)
        return 0;
    if (mono_us() < o->retry_at_us)
        return -1;
    o->retry_at_us = mono_us() + retry_us;
    if (t->find && t->find(t->userdata, &arena, &folder, &ignored) < 0)
        return -1;
    const struct pg_conn_options options = {.url = t->url,
                                            .folder = folder,
                                            .application_name =
                                                arena_printf(&arena, "%s (observer)", t->application_name),
                                            .timeout_us = look_us};
    return pg_conn_open(&o->conn, &arena, &options, &ignored);
}

static const char look_sql[] =
    "SELECT coalesce((SELECT pg_catalog.string_agg(pg_catalog.format('%s (pid %s, role %s, %s for %s s)', "
    "coalesce(nullif(b.application_name, ''), 'no name'), b.pid, b.usename, b.state, extract(epoch FROM "
    "pg_catalog.clock_timestamp() - coalesce(b.xact_start, b.state_change, b.backend_start))::int), ', ') "
    "FROM "
    "pg_catalog.pg_stat_activity b WHERE b.pid = ANY (pg_catalog.pg_blocking_pids($1::int))), ''), "
    "coalesce((SELECT pg_catalog.format('%s, %s of %s blocks', phase, blocks_done, blocks_total) FROM "
    "pg_catalog.pg_stat_progress_create_index WHERE pid = $1::int), ''), "
    "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity w WHERE w.wait_event_type = 'Lock' AND "
    "pg_catalog.clock_timestamp() - w.query_start > '3 s' AND $1::int = ANY "
    "(pg_catalog.pg_blocking_pids(w.pid))), "
    "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks WHERE pid = $1::int AND NOT granted)";

static void say(struct session *s, const char *text)
{
    struct observer *o = &s->observer;
    session_waiting(s, text);
    if (!str_eq(o->said, text))
        log_info("database: %s", text);
    snprintf(o->said, sizeof o->said, "%s", text);
}

static void tell(struct session *s, PGresult *r, int64_t elapsed_us)
{
    cleanup_arena struct arena arena = {0};
    const char *blockers = PQgetvalue(r, 0, 0), *progress = PQgetvalue(r, 0, 1),
               *behind = PQgetvalue(r, 0, 2);
    if (*blockers)
        say(s, arena_printf(
                   &arena, "the statement waits for a lock: held by %s%s", blockers,
                   str_eq(behind, "0") ? "" : arena_printf(&arena, "; %s sessions wait behind it", behind)));
    else if (*progress)
        say(s, arena_printf(&arena, "the index: %s", progress));
    else
        session_waiting(
            s, arena_printf(&arena, "a statement that runs for %lld s", (long long)(elapsed_us / US_PER_S)));
}

/* A pg_tick. */
bool session_observe(struct session *s, int64_t elapsed_us)
{
    struct observer *o = &s->observer;
    struct error ignored = {0};
    cleanup_result PGresult *r = NULL;
    char pid[16];
    snprintf(pid, sizeof pid, "%d", s->backend_pid);
    if (s->version < 120000 || log_in(s) < 0)
        return false;
    o->conn.deadline_us = mono_us() + look_us;
    if (PG_ASK(&o->conn, "observing", &r, &ignored, look_sql, pid) < 0) {
        observer_close(s);
        return false;
    }
    tell(s, r, elapsed_us);
    bool waits = strcmp(PQgetvalue(r, 0, 3), "0") != 0;
    bool crowded = waits && strtol(PQgetvalue(r, 0, 2), NULL, 10) >= CROWD;
    if (crowded)
        log_warning(
            "database: %s sessions wait behind a statement that waits for a lock: it is cancelled and "
            "tried again later",
            PQgetvalue(r, 0, 2));
    return crowded;
}

/* Who would make our first lock wait, and all others behind it. */
static int disturbers(struct session *s, struct arena *arena, const char **ret, struct error *err)
{
    cleanup_result PGresult *r = NULL;
    if (PG_ASK(
            &s->conn, "looking for long transactions", &r, err,
            "SELECT pg_catalog.string_agg(pg_catalog.format('%s (pid %s, role %s, %s for %s s)', "
            "coalesce(nullif(a.application_name, "
            "''), 'no name'), a.pid, a.usename, a.state, extract(epoch FROM pg_catalog.clock_timestamp() - "
            "a.xact_start)::int), ', ') FROM pg_catalog.pg_stat_activity a WHERE a.datname = "
            "pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() AND (a.application_name "
            "= 'pg_dump' "
            "OR "
            "(a.state "
            "LIKE 'idle in transaction%' AND a.xact_start < pg_catalog.clock_timestamp() - interval '60 s')) "
            "AND EXISTS "
            "(SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.relation >= 16384)") < 0)
        return -1;
    *ret = PQgetisnull(r, 0, 0) ? NULL : arena_strdup(arena, PQgetvalue(r, 0, 0));
    return 0;
}

int observe_quiet(struct session *s, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    int64_t until = mono_us() + s->step->quiet_wait_us;
    const char *who, *last = NULL;
    for (;;) {
        if (disturbers(s, &arena, &who, err) < 0)
            return -1;
        if (!who || mono_us() >= until)
            break;
        last = who;
        session_waiting(s, arena_printf(&arena, "a quiet moment: locks are held by %s", who));
        if (pg_pause(&s->conn, US_PER_S, err) < 0)
            return error_wrap(err, "waiting for %s", who);
    }
    if (who)
        session_warn(
            s, "locks are held by %s: statements that change these tables may wait and be tried again", who);
    if (last)
        session_waiting(s, NULL);
    return 0;
}
