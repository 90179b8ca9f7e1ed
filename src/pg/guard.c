/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/proc.h"
#include "pg/session.h"

/*
 * What a container migrates cannot hold our lock, so an idle login of ours holds one beside it. An idle
 * session is in nobody's way, not even in that of CREATE INDEX CONCURRENTLY.
 */

static const int64_t login_patience_us = 10 * US_PER_S, asking_us = 10 * US_PER_S;

struct migrate_guard {
    struct session s;
    struct migrate_step step; /* without files: who waits, for how long */
};

/* What is asked at the end is asked after a stop, too: else the lock would seem to be lost. */
static int only_alive(void *userdata, struct error *err)
{
    (void)userdata;
    (void)err;
    proc_alive();
    return 0;
}

int migrate_guard_open(struct arena *arena, const struct migrate_step *step, struct migrate_guard **ret,
                       struct error *err)
{
    struct migrate_guard *guard = arena_alloc(arena, sizeof *guard);
    *guard = (struct migrate_guard){.step = *step};
    struct session *s = &guard->s;
    s->target = &guard->step.target;
    s->step = &guard->step;
    s->arena = arena;
    s->deadline_us = mono_us() + login_patience_us + step->lock_wait_us + asking_us;
    if (session_open(s, login_patience_us, err) < 0 || lock_key(s, "containers", err) < 0 ||
        lock_acquire(s, err) < 0) {
        session_close(s);
        return -1;
    }
    guard->step.should_stop = only_alive;
    guard->step.waiting = NULL;
    *ret = guard;
    return 0;
}

bool migrate_guard_holds(struct migrate_guard *guard)
{
    struct error ignored = {0};
    guard->s.conn.deadline_us = mono_us() + asking_us;
    return guard->s.conn.pg && lock_is_ours(&guard->s, &ignored) == 1;
}

int migrate_guard_end_sessions(struct migrate_guard *guard, const char *name, bool *ret_any,
                               struct error *err)
{
    cleanup_result PGresult *r = NULL;
    guard->s.conn.deadline_us = mono_us() + asking_us;
    if (PG_ASK(&guard->s.conn, "ending the sessions of a job that was stopped", &r, err,
               "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE "
               "application_name = $1::name::text AND datname = pg_catalog.current_database()",
               name) < 0)
        return -1;
    *ret_any = PQntuples(r) > 0;
    return 0;
}

void migrate_guard_close(struct migrate_guard *guard)
{
    if (guard)
        session_close(&guard->s);
}
