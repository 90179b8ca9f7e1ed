/* SPDX-License-Identifier: Apache-2.0 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "agent/pg.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

static void finish(PGconn **conn)
{
    PQfinish(*conn);
}

static void clear(PGresult **result)
{
    PQclear(*result);
}

/* SQLSTATEs that a wait does not mend, with what does. */
static const struct {
    const char *state, *words;
} refusals[] = {
    {"28P01", "the password is wrong. POSTGRES_PASSWORD is read only when the volume is empty: change the "
              "role's password in the "
              "database, or the URL"},
    {"28000", "the role is not known or may not log in. POSTGRES_USER is read only when the volume is empty"},
    {"3D000", "the database does not exist. POSTGRES_DB is read only when the volume is empty: create it "
              "once by hand"},
    {"42501", "the role may not connect to this database"},
};

static int classify(const char *sqlstate, const char *text, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
        if (str_eq(sqlstate, refusals[i].state))
            return error_set(err, ERR_REFUSED, 0, "PostgreSQL refuses the login (%s): %s", sqlstate,
                             refusals[i].words);
    return error_set(err, ERR_UNAVAILABLE, 0, "PostgreSQL is not ready: %s", text);
}

/*
 * With verbosity SQLSTATE the message of a failed connect ends in the five-character code, whatever the
 * server's language; it has to be set between PQconnectStart and the first poll.
 */
static int connect_failed(struct arena *arena, PGconn *conn, struct error *err)
{
    const char *message = PQerrorMessage(conn);
    const char *text = str_clean(arena, message, strlen(message), true, 400);
    size_t len = strlen(text);
    while (len && text[len - 1] == ' ')
        len--;
    const char *code = len >= 5 ? arena_strndup(arena, text + len - 5, 5) : "";
    bool is_code = strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5;
    return classify(is_code ? code : NULL, text, err);
}

static int establish(struct arena *arena, PGconn *conn, int64_t deadline, struct error *err)
{
    if (PQstatus(conn) == CONNECTION_BAD)
        return connect_failed(arena, conn, err);
    PQsetErrorVerbosity(conn, PQERRORS_SQLSTATE);
    for (PostgresPollingStatusType want = PGRES_POLLING_WRITING; want != PGRES_POLLING_OK;
         want = PQconnectPoll(conn)) {
        if (want == PGRES_POLLING_FAILED)
            return connect_failed(arena, conn, err);
        int64_t left = (deadline - mono_us()) / 1000;
        struct pollfd p = {.fd = PQsocket(conn), .events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        if (left <= 0 || poll(&p, 1, (int)left) == 0)
            return error_set(err, ERR_UNAVAILABLE, 0, "PostgreSQL does not answer");
    }
    return 0;
}

/* PQexec() would wait for ever for a server that lets in and says no more. */
static int query(PGconn *conn, const char *sql, int64_t deadline, PGresult **ret, struct error *err)
{
    if (!PQsendQuery(conn, sql))
        return error_set(err, ERR_UNAVAILABLE, 0, "PostgreSQL closed the connection");
    while (PQisBusy(conn)) {
        int64_t left = (deadline - mono_us()) / 1000;
        struct pollfd p = {.fd = PQsocket(conn), .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) == 0)
            return error_set(err, ERR_UNAVAILABLE, 0, "PostgreSQL lets in, and then does not answer");
        if (!PQconsumeInput(conn))
            return error_set(err, ERR_UNAVAILABLE, 0, "PostgreSQL closed the connection");
    }
    *ret = PQgetResult(conn);
    return 0;
}

static int ask(struct arena *arena, PGconn *conn, int64_t deadline, struct pg_login *ret, struct error *err)
{
    __attribute__((cleanup(clear))) PGresult *result = NULL;
    static const char sql[] = "SELECT pg_postmaster_start_time()::text, pg_is_in_recovery(), "
                              "current_setting('transaction_read_only')";
    if (query(conn, sql, deadline, &result, err) < 0)
        return -1;
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) {
        const char *message = PQerrorMessage(conn);
        return classify(PQresultErrorField(result, PG_DIAG_SQLSTATE),
                        str_clean(arena, message, strlen(message), true, 400), err);
    }
    if (strcmp(PQgetvalue(result, 0, 1), "t") == 0)
        return error_set(err, ERR_CONFLICT, 0,
                         "this PostgreSQL is a standby (in recovery): migrations need the primary");
    if (strcmp(PQgetvalue(result, 0, 2), "on") == 0)
        return error_set(err, ERR_CONFLICT, 0,
                         "this PostgreSQL only reads (default_transaction_read_only is on)");
    ret->server_start = arena_strdup(arena, PQgetvalue(result, 0, 0));
    ret->server_version = PQserverVersion(conn);
    return 0;
}

int pg_login(struct arena *arena, const struct pg_url *url, const char *socket_folder,
             const char *application_name, int64_t timeout_us, struct pg_login *ret, struct error *err)
{
    char port[8];
    snprintf(port, sizeof port, "%u", url->port);
    const char *const keys[] = {
        "host",    "port",        "user", "password", "dbname", "application_name", "client_encoding",
        "sslmode", "sslrootcert", NULL};
    const char *const values[] = {socket_folder ? socket_folder : url->host,
                                  port,
                                  url->user,
                                  url->password,
                                  url->dbname,
                                  application_name,
                                  "UTF8",
                                  url->sslmode,
                                  url->sslrootcert,
                                  NULL};
    __attribute__((cleanup(finish))) PGconn *conn = PQconnectStartParams(keys, values, 0);
    if (!conn)
        return error_set(err, ERR_INTERNAL, 0, "libpq has no memory for a connection");
    struct pg_login login = {0};
    int64_t deadline = mono_us() + timeout_us;
    if (establish(arena, conn, deadline, err) < 0 || ask(arena, conn, deadline, &login, err) < 0)
        return -1;
    *ret = login;
    return 0;
}
