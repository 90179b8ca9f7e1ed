/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

/* should_stop() is looked at this often, also when no signal ends the wait. */
static const int64_t slice_us = US_PER_S / 4;

/* SQLSTATEs that a wait does not mend, with what does. Of a role that does not exist the server says that its
   password is wrong, unless it asks for none. */
static const struct {
    const char *state, *words;
} refusals[] = {
    {"28P01", "the password is wrong, or there is no such role. POSTGRES_USER and POSTGRES_PASSWORD are read "
              "only when the volume is empty: change the role's password in the database, or the URL"},
    {"28000", "the role does not exist or may not log in. POSTGRES_USER is read only when the volume is "
              "empty: make the role, or change the URL"},
    {"3D000", "the database does not exist. POSTGRES_DB is read only when the volume is empty: create it "
              "once by hand"},
    {"42501", "the role may not connect to this database"},
};

/* libpq's own words, in a process without a locale: nothing of this comes from the server, and none of it has
   a SQLSTATE. */
static bool is_about_tls(const char *text)
{
    static const char *const words[] = {"server does not support SSL", "certificate verify failed",
                                        "does not match host name", "root certificate file"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strstr(text, words[i]))
            return true;
    return false;
}

static int classify(struct arena *arena, const struct pg_conn *conn, const char *sqlstate, const char *text,
                    struct error *err)
{
    const char *user = PQuser(conn->pg), *db = PQdb(conn->pg);
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
        if (str_eq(sqlstate, refusals[i].state))
            return error_set(err, ERR_REFUSED, 0,
                             "PostgreSQL refuses the login of role \"%s\" to database \"%s\" (%s): %s",
                             pg_mask(arena, user ? user : "", 64), pg_mask(arena, db ? db : "", 64), sqlstate,
                             refusals[i].words);
    if (!*sqlstate && is_about_tls(text))
        return error_set(err, ERR_REFUSED, 0,
                         "PostgreSQL cannot be spoken to as the URL's sslmode and sslrootcert ask for: %s",
                         text);
    return error_set(err, ERR_UNAVAILABLE, 0, "PostgreSQL is not ready: %s", text);
}

/*
 * With verbosity SQLSTATE the message of a failed connect ends in the five-character code, whatever the
 * server's language; it has to be set between PQconnectStart and the first poll.
 */
static int connect_failed(struct pg_conn *conn, struct arena *arena, struct error *err)
{
    const char *message = PQerrorMessage(conn->pg);
    const char *text = pg_mask(arena, message, 400);
    size_t len = strlen(text);
    while (len && text[len - 1] == ' ')
        len--;
    const char *code = len >= 5 ? text + len - 5 : "";
    if (strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5)
        snprintf(conn->refused, sizeof conn->refused, "%.5s", code);
    return classify(arena, conn, conn->refused, text, err);
}

static int establish(struct pg_conn *conn, struct arena *arena, int64_t deadline, struct error *err)
{
    if (PQstatus(conn->pg) == CONNECTION_BAD)
        return connect_failed(conn, arena, err);
    PQsetErrorVerbosity(conn->pg, PQERRORS_SQLSTATE);
    for (PostgresPollingStatusType want = PGRES_POLLING_WRITING; want != PGRES_POLLING_OK;
         want = PQconnectPoll(conn->pg)) {
        if (want == PGRES_POLLING_FAILED)
            return connect_failed(conn, arena, err);
        for (;;) {
            int64_t left = deadline - mono_us();
            struct pollfd p = {.fd = PQsocket(conn->pg),
                               .events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT};
            if (conn->should_stop && conn->should_stop(conn->userdata, err) < 0)
                return -1;
            if (left <= 0)
                return error_set(err, ERR_UNAVAILABLE, 0, "PostgreSQL does not answer");
            if (poll(&p, 1, (int)((left < slice_us ? left : slice_us) / 1000 + 1)) > 0)
                break;
        }
    }
    PQsetErrorVerbosity(conn->pg, PQERRORS_DEFAULT);
    return 0;
}

static void on_notice(void *userdata, const PGresult *res)
{
    const struct pg_conn *conn = userdata;
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    if (conn->notice && severity && text)
        conn->notice(conn->userdata, severity, text);
}

int pg_conn_open(struct pg_conn *conn, struct arena *arena, const struct pg_conn_options *o,
                 struct error *err)
{
    char port[8];
    snprintf(port, sizeof port, "%u", o->url->port);
    const struct {
        const char *key, *value;
    } all[] = {
        {"host", o->folder ? o->folder : o->url->host},
        {"port", port},
        {"user", o->url->user},
        {"password", o->url->password},
        {"dbname", o->url->dbname},
        {"application_name", o->application_name},
        {"client_encoding", "UTF8"},
        {"options", o->options},
        {"sslmode", o->url->sslmode},
        {"sslrootcert", o->url->sslrootcert},
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "20000"},
    };
    const char *keys[ARRAY_SIZE(all) + 1] = {0}, *values[ARRAY_SIZE(all) + 1] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        keys[i] = all[i].key;
        values[i] = all[i].value;
    }
    conn->refused[0] = '\0';
    conn->pg = PQconnectStartParams(keys, values, 0);
    if (!conn->pg)
        return error_set(err, ERR_INTERNAL, 0, "libpq has no memory for a connection");
    int r = fault_errno("sql.login")
                ? error_set(err, ERR_UNAVAILABLE, errno, "PostgreSQL is not ready: %s", strerror(errno))
                : establish(conn, arena, mono_us() + o->timeout_us, err);
    if (r < 0) {
        pg_conn_close(conn);
        return -1;
    }
    PQsetnonblocking(conn->pg, 1);
    PQsetNoticeReceiver(conn->pg, on_notice, conn);
    return 0;
}

void pg_conn_close(struct pg_conn *conn)
{
    PQfinish(conn->pg);
    conn->pg = NULL;
}

int pg_pause(struct pg_conn *conn, int64_t us, struct error *err)
{
    int64_t until = mono_us() + us;
    for (;;) {
        int64_t now = mono_us();
        if (conn->should_stop && conn->should_stop(conn->userdata, err) < 0)
            return -1;
        if (now >= until)
            return 0;
        if (now >= conn->deadline_us)
            return error_set(err, ERR_TIMEOUT, 0, "the step's time is over");
        sleep_us(until - now < slice_us ? until - now : slice_us);
    }
}

const char *pg_literal(struct arena *arena, const struct pg_conn *conn, const char *text)
{
    if (!text)
        return "NULL";
    char *quoted = PQescapeLiteral(conn->pg, text, strlen(text));
    if (!quoted) /* not of the session's encoding */
        return "NULL";
    const char *copy = arena_strdup(arena, quoted);
    PQfreemem(quoted);
    return copy;
}

const char **pg_column(struct arena *arena, const PGresult *result)
{
    int n = PQntuples(result);
    const char **list = arena_array(arena, (size_t)n + 1, sizeof *list);
    for (int i = 0; i < n; i++)
        list[i] = arena_strdup(arena, PQgetvalue(result, i, 0));
    return list;
}

int pg_refuse_reader(const char *in_recovery, const char *read_only, struct error *err)
{
    if (str_eq(in_recovery, "t"))
        return error_set(err, ERR_CONFLICT, 0,
                         "this PostgreSQL is a standby (in recovery): migrations need the primary");
    if (str_eq(read_only, "on"))
        return error_set(err, ERR_CONFLICT, 0,
                         "this PostgreSQL only reads (default_transaction_read_only is on)");
    return 0;
}
