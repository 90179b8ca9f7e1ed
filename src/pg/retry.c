/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/apply.h"

/*
 * What a second attempt may mend: a lock that others held, a deadlock, a link that was cut. A file in one
 * transaction is tried again whole, others from their last COMMIT on.
 */

static const unsigned pauses_s[] = {1, 2, 5, 10, 20, 30};
/* After the deadline, for finding out what became of a statement that could not be cancelled. */
static const int64_t aftermath_us = 30 * US_PER_S;

static bool passes(const struct pg_failure *f)
{
    return f->cause == PG_CROWD ||
           (f->cause == PG_SERVER &&
            (pg_failure_is(f, "55P03") || pg_failure_is(f, "40P01") || pg_failure_is(f, "40001")));
}

static int once(struct apply *a, struct error *err)
{
    a->attempts++;
    a->failure = (struct pg_failure){.cause = PG_SERVER};
    a->at = (struct sql_statement){.line = 1, .column = 1};
    if (a->migration->summary.mode == SQL_TX && !a->log_id && !a->done && !a->in_doubt)
        return apply_tx(a, err);
    return apply_steps(a, err);
}

/* Agents and files that met once shall not meet at each attempt. */
static int64_t pause_us(const struct apply *a, unsigned retry)
{
    int64_t us = (int64_t)pauses_s[retry] * US_PER_S;
    return us + us / 5 * ((a->s->backend_pid + (int)retry * 7) % 11 - 5) / 5;
}

static int wait_for_retry(struct apply *a, unsigned retry, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct error stopped = {0};
    int64_t us = pause_us(a, retry);
    if (mono_us() + us >= a->s->deadline_us)
        return -1;
    session_waiting(a->s, arena_printf(&arena, "attempt %u of %zu in %lld s: %s", a->attempts + 1,
                                       ARRAY_SIZE(pauses_s) + 1, (long long)(us / US_PER_S), err->text));
    int r = pg_pause(&a->s->conn, us, &stopped);
    session_waiting(a->s, NULL);
    if (r < 0)
        *err = stopped;
    return r;
}

/* The lock first: only then the old connection cannot commit any more. */
static int reconnect(struct apply *a, struct error *err)
{
    if (session_again(a->s, err) < 0 || resume_reconcile(a, err) < 0)
        return -1;
    a->unknown = false;
    a->login_settings = NULL;
    return 0;
}

/* The words of the first error matter more than that the second attempt could not be made. */
static int give_up(const struct apply *a, const struct error *why, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const char *second = arena_strdup(&arena, err->text), *outcome;
    if (a->unknown)
        outcome = "Whether its last COMMIT happened is not known: the next run reads it from the log";
    else if (a->done || a->alone || a->log_id)
        outcome = "How far it came is in the log, from which the next run goes on";
    else
        outcome = "No COMMIT was sent: the server takes back what it did";
    return error_set(err, err->kind == ERR_CANCELLED ? ERR_CANCELLED : ERR_UNAVAILABLE, 0, "%s; then: %s. %s",
                     why->text, second, outcome);
}

/* It was past its time already; what it held is free again, for the lock came back only with its session's
 * end.
 */
static int too_late(struct apply *a, const struct error *why, struct error *err)
{
    a->failure.cause = PG_LATE;
    return error_set(err, ERR_TIMEOUT, 0, "%s; the step's time is over, and its session was ended",
                     why->text);
}

int apply_file(struct apply *a, struct error *err)
{
    bool reconnected = false;
    for (unsigned retry = 0;;) {
        struct error why = {0}, ignored = {0};
        if (once(a, &why) == 0)
            return 0;
        *err = why;
        if (!a->s->conn.pg)
            a->failure.cause = PG_LOST;
        const int64_t deadline_us = a->s->deadline_us;
        bool late = mono_us() >= deadline_us;
        if (a->failure.cause == PG_LOST && (!reconnected || late)) {
            reconnected = true;
            if (late)
                a->s->deadline_us = mono_us() + aftermath_us;
            if (reconnect(a, err) < 0)
                return give_up(a, &why, err);
            a->s->deadline_us = a->s->conn.deadline_us = deadline_us;
            if (a->recorded)
                return 0;
            if (late)
                return too_late(a, &why, err);
            continue;
        }
        if (session_rollback(a->s, &ignored) < 0 || !passes(&a->failure) || retry == ARRAY_SIZE(pauses_s))
            return -1;
        if (wait_for_retry(a, retry++, err) < 0)
            return -1;
    }
}
