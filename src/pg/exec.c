/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/conn.h"

static const int64_t slice_us = US_PER_S / 4;
/* A server that does not heed a cancel request for this long is given up. */
static const int64_t cancel_patience_us = 10 * US_PER_S;
/* The request itself, a connection of its own; a server that takes none in this time is lost. */
static const int64_t cancel_request_us = 5 * US_PER_S;

struct message { /* on its way */
    struct pg_conn *conn;
    const struct pg_call *call;
    int64_t started, deadline, next_tick;
    int64_t stop_by;      /* 0: nobody asked to stop */
    int64_t cancelled_at; /* 0: not */
    bool unreachable;     /* for the cancel request */
    enum pg_cause cause;  /* of the cancel */
};

static void *cancel_thread(void *request)
{
    char why[256];
    void *failed = PQcancel(request, why, sizeof why) ? NULL : request;
    PQfreeCancel(request);
    return failed;
}

/*
 * PQcancel blocks for as long as the server likes (libpq 15 and 16 have no other), and may be called from any
 * thread: so one of its own waits, which is left behind with its request when the time is over.
 */
static bool request_cancel(PGconn *pg)
{
    PGcancel *request = PQgetCancel(pg);
    pthread_t thread;
    sigset_t all, before;
    void *failed;
    if (!request)
        return false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the caller's */
    int r = pthread_create(&thread, NULL, cancel_thread, request);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        PQfreeCancel(request);
        return false;
    }
    int64_t until = mono_us() + cancel_request_us;
    const struct timespec ts = {.tv_sec = until / US_PER_S, .tv_nsec = until % US_PER_S * 1000};
    if (pthread_clockjoin_np(thread, &failed, CLOCK_MONOTONIC, &ts) == 0)
        return !failed;
    pthread_detach(thread);
    return false;
}

static void cancel(struct message *m, enum pg_cause cause)
{
    m->unreachable = !request_cancel(m->conn->pg);
    m->cancelled_at = mono_us();
    m->cause = cause;
}

static bool asked_to_stop(const struct pg_conn *conn)
{
    struct error ignored = {0};
    return conn->should_stop && conn->should_stop(conn->userdata, &ignored) < 0;
}

static void look_around(struct message *m, int64_t now)
{
    if (now >= m->deadline) {
        cancel(m, PG_LATE);
        return;
    }
    if (!m->call->finishing && !m->stop_by && asked_to_stop(m->conn))
        m->stop_by = now + m->call->grace_us;
    if (m->stop_by && now >= m->stop_by) {
        cancel(m, PG_STOPPED);
        return;
    }
    if (m->conn->tick && !m->call->finishing && now >= m->next_tick) {
        if (m->conn->tick(m->conn->userdata, now - m->started))
            cancel(m, PG_CROWD);
        m->next_tick = mono_us() + US_PER_S;
    }
}

/* A pg_wait: one slice. */
static int wait_slice(void *userdata, bool to_write)
{
    struct message *m = userdata;
    int64_t now = mono_us();
    if (!m->cancelled_at)
        look_around(m, now);
    if (m->cancelled_at && (m->unreachable || now - m->cancelled_at > cancel_patience_us))
        return -1;
    struct pollfd p = {.fd = PQsocket(m->conn->pg), .events = (short)(POLLIN | (to_write ? POLLOUT : 0))};
    int64_t left = m->deadline - now;
    if (m->cancelled_at || left > slice_us)
        left = slice_us;
    int r = poll(&p, 1, (int)(left / 1000 + 1));
    if (r > 0 && (p.revents & (POLLIN | POLLERR | POLLHUP)))
        return PQconsumeInput(m->conn->pg) ? 0 : -1;
    return 0;
}

static int send(struct message *m)
{
    const struct pg_call *call = m->call;
    int ok = call->n_params ? PQsendQueryParams(m->conn->pg, call->sql, (int)call->n_params, NULL,
                                                call->params, NULL, NULL, 0)
                            : PQsendQuery(m->conn->pg, call->sql);
    if (!ok)
        return -1;
    for (int r; (r = PQflush(m->conn->pg)) != 0;)
        if (r < 0 || wait_slice(m, true) < 0)
            return -1;
    return 0;
}

static int64_t changed_rows(PGresult *res)
{
    static const char *const counted[] = {"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"};
    const char *status = PQcmdStatus(res);
    for (size_t i = 0; i < ARRAY_SIZE(counted); i++)
        if (str_starts(status, counted[i]))
            return strtoll(PQcmdTuples(res), NULL, 10);
    return 0;
}

static void lost(const struct message *m, struct pg_failure *failure)
{
    cleanup_arena struct arena arena = {0};
    struct pg_conn *conn = m->conn;
    failure->cause = PG_LOST;
    snprintf(failure->text, sizeof failure->text, "%s",
             pg_mask(&arena, PQerrorMessage(conn->pg), sizeof failure->text - 1));
    if (m->cancelled_at && m->unreachable)
        snprintf(failure->text, sizeof failure->text,
                 "the server lets in, and then does not answer, not even a request to cancel");
    else if (m->cancelled_at && mono_us() - m->cancelled_at > cancel_patience_us)
        snprintf(failure->text, sizeof failure->text, "it did not heed the request to cancel it for %lld s",
                 (long long)(cancel_patience_us / US_PER_S));
    else if (!failure->text[0])
        snprintf(failure->text, sizeof failure->text, "the connection to PostgreSQL was lost");
    pg_conn_close(conn);
}

struct answer {
    PGresult *last; /* with the newest rows */
    int64_t rows;
    bool failed;
};

/* One result of the message; its owner is this function. */
static int take(struct message *m, PGresult *res, struct answer *a, struct pg_failure *failure)
{
    uint64_t drained;
    int r = 0;
    switch (PQresultStatus(res)) {
    case PGRES_COPY_IN:
        r = pg_copy_in(m->conn->pg, m->call->data, m->call->data_len, wait_slice, m);
        break;
    case PGRES_COPY_OUT:
        r = pg_copy_out(m->conn->pg, &drained, wait_slice, m);
        if (m->conn->notice)
            m->conn->notice(m->conn->userdata, "WARNING", "what COPY … TO STDOUT sent was not kept");
        break;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        a->rows += changed_rows(res);
        PQclear(a->last);
        a->last = res;
        return 0;
    case PGRES_EMPTY_QUERY:
        break;
    default:
        if (!a->failed)
            pg_failure_from(failure, res);
        a->failed = true;
    }
    PQclear(res);
    return r;
}

static int receive(struct message *m, struct answer *a, struct pg_failure *failure)
{
    for (;;) {
        while (PQisBusy(m->conn->pg))
            if (wait_slice(m, false) < 0)
                return -1;
        PGresult *res = PQgetResult(m->conn->pg);
        if (!res)
            return PQstatus(m->conn->pg) == CONNECTION_BAD ? -1 : 0;
        if (take(m, res, a, failure) < 0)
            return -1;
    }
}

/* Connections that the server ends say so with a last error: 57P01, 57P02, 57P03 … */
static bool says_goodbye(const struct pg_failure *failure)
{
    return strncmp(failure->sqlstate, "57P", 3) == 0 || strncmp(failure->sqlstate, "08", 2) == 0;
}

static int not_sent(struct pg_conn *conn, const struct pg_call *call, struct pg_failure *failure)
{
    if (!conn->pg) {
        failure->cause = PG_LOST;
        snprintf(failure->text, sizeof failure->text, "the connection to PostgreSQL was lost");
        return -1;
    }
    if (call->finishing)
        return 0;
    if (mono_us() >= conn->deadline_us)
        failure->cause = PG_LATE;
    else if (asked_to_stop(conn))
        failure->cause = PG_STOPPED;
    else
        return 0;
    return -1;
}

int pg_run(struct pg_conn *conn, const struct pg_call *call, struct pg_result *ret,
           struct pg_failure *failure)
{
    int64_t now = mono_us();
    struct message m = {.conn = conn,
                        .call = call,
                        .started = now,
                        .next_tick = now + US_PER_S,
                        .deadline = call->finishing ? now + cancel_patience_us : conn->deadline_us};
    struct answer a = {0};
    *failure = (struct pg_failure){.cause = PG_SERVER};
    if (not_sent(conn, call, failure) < 0)
        return -1;
    int r = fault_errno("sql.send") ? -1 : send(&m);
    if (r == 0 && call->commits && fault_errno("sql.commit_sent"))
        r = -1;
    if (r == 0)
        r = receive(&m, &a, failure);
    if (r == 0 && fault_errno("sql.answered"))
        r = -1;
    if (r < 0 || (a.failed && (says_goodbye(failure) || PQstatus(conn->pg) == CONNECTION_BAD))) {
        PQclear(a.last);
        if (!a.failed || !says_goodbye(failure)) {
            lost(&m, failure);
        } else {
            failure->cause = PG_LOST;
            pg_conn_close(conn);
        }
        return -1;
    }
    if (a.failed) {
        PQclear(a.last);
        if (m.cancelled_at && str_eq(failure->sqlstate, "57014"))
            failure->cause = m.cause;
        return -1;
    }
    if (ret)
        *ret = (struct pg_result){.res = a.last, .rows = a.rows};
    else
        PQclear(a.last);
    return 0;
}

int pg_ask(struct pg_conn *conn, const char *doing, PGresult **ret, struct error *err, const char *sql,
           size_t n_params, const char *const *params)
{
    struct pg_failure failure;
    struct pg_result result;
    const struct pg_call call = {.sql = sql, .params = params, .n_params = n_params};
    if (pg_run(conn, &call, &result, &failure) < 0) {
        pg_failure_error(&failure, err);
        return error_wrap(err, "%s", doing);
    }
    if (ret)
        *ret = result.res;
    else
        PQclear(result.res);
    return 0;
}

int pg_begin_reading(struct pg_conn *conn, const char *doing, int64_t statement_us, int64_t lock_us,
                     struct error *err)
{
    char sql[128];
    snprintf(sql, sizeof sql,
             "BEGIN READ ONLY; SET LOCAL statement_timeout = %lld; SET LOCAL lock_timeout = %lld",
             (long long)(statement_us / 1000 + 1), (long long)(lock_us / 1000 + 1)); /* 0 would be none */
    return PG_ASK(conn, doing, NULL, err, sql);
}
