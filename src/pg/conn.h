/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One connection to PostgreSQL, never blocking for longer than it may: every wait looks at a deadline and at
 * should_stop. A statement that has to end is cancelled at the server (PQcancel), not abandoned.
 *
 *     struct pg_conn conn = {.deadline_us = …};
 *     if (pg_conn_open(&conn, &arena, &options, &err) < 0) …
 *     if (pg_run(&conn, &(struct pg_call){.sql = "SELECT 1"}, &result, &failure) < 0) …
 *     pg_conn_close(&conn);
 */

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/error.h"
#include "agent/pg.h"
#include "base/arena.h"
#include "base/cleanup.h"

struct pg_result { /* of the last statement of a message */
    PGresult *res;
    int64_t rows; /* inserted, updated, deleted, copied; of all statements of the message */
};

static inline void pg_clear_p(PGresult **res)
{
    PQclear(*res);
}
#define cleanup_result CLEANUP(pg_clear_p)

struct pg_conn;
/* Called about each second while a statement runs. True: cancel it, it stands in others' way. */
typedef bool pg_tick(void *userdata, int64_t elapsed_us);

struct pg_conn {
    PGconn *pg;          /* NULL: closed, or lost */
    int64_t deadline_us; /* monotonic; statements still running then are cancelled */
    int (*should_stop)(void *userdata, struct error *err); /* NULL: never */
    pg_tick *tick;                                         /* NULL: none */
    void (*notice)(void *userdata, const char *severity, const char *text);
    void *userdata;  /* of the three */
    char refused[6]; /* SQLSTATE of a login that failed; "" none was sent */
};

struct pg_conn_options {
    const struct pg_url *url;
    const char *folder; /* of a socket .s.PGSQL.PORT; NULL: TCP to url->host */
    const char *application_name;
    const char *options; /* "-c lock_timeout=5000 …"; NULL: none */
    int64_t timeout_us;
};

/* ERR_UNAVAILABLE: try again. ERR_REFUSED: the text says what to do. ERR_CANCELLED. */
int pg_conn_open(struct pg_conn *conn, struct arena *arena, const struct pg_conn_options *options,
                 struct error *err) MUST_CHECK;
void pg_conn_close(struct pg_conn *conn);
#define cleanup_conn CLEANUP(pg_conn_close)

/* ---- statements ---- */

enum pg_cause {
    PG_SERVER,  /* the server said no: sqlstate */
    PG_LOST,    /* the link or the server's process is gone: whether it happened is not known */
    PG_LATE,    /* cancelled at the deadline */
    PG_STOPPED, /* cancelled because should_stop() said so */
    PG_CROWD,   /* cancelled by the tick */
};

struct pg_failure {
    enum pg_cause cause;
    char sqlstate[6];
    unsigned position;  /* in characters from 1 in what was sent; 0: none */
    unsigned data_line; /* of COPY's rows, from 1; 0: none */
    bool in_function;   /* has a CONTEXT: raised in a function or a trigger */
    char text[3072];    /* message, DETAIL, HINT, WHERE; secrets masked */
};

struct pg_call {
    const char *sql;           /* sent as one simple message when there are no parameters */
    const char *const *params; /* $1…; NULL elements are NULL */
    size_t n_params;
    const char *data; /* of COPY FROM STDIN */
    size_t data_len;
    int64_t grace_us; /* how long a statement may go on after should_stop() */
    bool finishing;   /* ROLLBACK, the record of a failure: goes out also after the deadline or a stop */
    bool commits;     /* holds a COMMIT; only for fault points */
};

/*
 * Sends one message and waits for its end. *ret may be NULL; it is written only on success and is the
 * caller's. After PG_LOST the connection is closed.
 */
int pg_run(struct pg_conn *conn, const struct pg_call *call, struct pg_result *ret,
           struct pg_failure *failure) MUST_CHECK;

/* For statements of ours: parameters are text, "doing" begins the error. */
int pg_ask(struct pg_conn *conn, const char *doing, PGresult **ret, struct error *err, const char *sql,
           size_t n_params, const char *const *params) MUST_CHECK;
#define PG_ASK(conn, doing, ret, err, sql, ...)                                                              \
    pg_ask(conn, doing, ret, err, sql, ARRAY_SIZE(((const char *const[]){__VA_ARGS__})),                     \
           (const char *const[]){__VA_ARGS__})

/* A transaction that cannot write, with these bounds for each of its statements. They are in statements and
 * not in the login's options, which poolers refuse; for the transaction, since the next one there may be
 * somebody else's. "doing" begins the error. */
int pg_begin_reading(struct pg_conn *conn, const char *doing, int64_t statement_us, int64_t lock_us,
                     struct error *err) MUST_CHECK;

/* ERR_FAILED, ERR_UNAVAILABLE, ERR_TIMEOUT or ERR_CANCELLED with the failure's words. */
int pg_failure_error(const struct pg_failure *failure, struct error *err);
bool pg_failure_is(const struct pg_failure *failure, const char *sqlstate);

/* A literal, quoted; in the arena. NULL: NULL. */
const char *pg_literal(struct arena *arena, const struct pg_conn *conn, const char *text);
/* The first column of all rows, NULL-terminated; in the arena. */
const char **pg_column(struct arena *arena, const PGresult *result);
/* From pg_is_in_recovery() and transaction_read_only, as the server writes them: ERR_CONFLICT when it takes
 * no writes. */
int pg_refuse_reader(const char *in_recovery, const char *read_only, struct error *err) MUST_CHECK;

/* Waits, looking at deadline and should_stop. */
int pg_pause(struct pg_conn *conn, int64_t us, struct error *err) MUST_CHECK;

/* ---- of failure.c ---- */

void pg_failure_from(struct pg_failure *failure, const PGresult *res);
/* PASSWORD '…', password=… and registered secrets become ***; control characters go. */
char *pg_mask(struct arena *arena, const char *text, size_t max);
/* Line and column in a file of a character of a statement. */
void pg_position(const char *statement, unsigned position, unsigned *line, unsigned *column);

/* ---- of health.c ---- */

/* Indexes that are invalid and that nobody is building, NULL-terminated. Before PostgreSQL 12: none. */
int pg_invalid_indexes(struct pg_conn *conn, struct arena *arena, const char ***ret,
                       struct error *err) MUST_CHECK;

/* ---- of copy.c ---- */

/* Waits until there is something to read, or room to write; -1: the link is lost, or has to be given up. */
typedef int pg_wait(void *userdata, bool to_write);
int pg_copy_in(PGconn *pg, const char *data, size_t len, pg_wait *wait, void *userdata) MUST_CHECK;
int pg_copy_out(PGconn *pg, uint64_t *ret_bytes, pg_wait *wait, void *userdata) MUST_CHECK;
