/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/records_session.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "pg/records_migrations.h"

static const int64_t connect_timeout_us = 10 * US_PER_S;
static const char application_name[] = "deploy-agent/records",
                  system_cas[] = "/etc/ssl/certs/ca-certificates.crt";

/* ---- the URL ---- */

static bool is_here(const char *host)
{
    struct in_addr v4; /* 127.example.org is somewhere else */
    return *host == '/' || str_eq(host, "localhost") || str_eq(host, "::1") ||
           (inet_pton(AF_INET, host, &v4) == 1 && str_starts(host, "127."));
}

int records_url(struct arena *arena, const char *text, struct pg_url *ret, struct error *err)
{
    struct pg_url url;
    if (pg_url_parse(arena, text, &url, err) < 0)
        return -1;
    if (!url.sslmode && !is_here(url.host))
        url.sslmode = "verify-full";
    /* libpq's own default is a file in the home of a user who has none */
    if (url.sslmode && str_starts(url.sslmode, "verify-") && !url.sslrootcert &&
        access(system_cas, R_OK) == 0)
        url.sslrootcert = system_cas;
    *ret = url;
    return 0;
}

/* ---- the session ---- */

int records_ask(struct records_session *s, const char *doing, PGresult **ret, struct error *err,
                const char *sql, size_t n_params, const char *const *params)
{
    if (pg_ask(&s->conn, doing, ret, err, sql, n_params, params) == 0)
        return 0;
    if (err->kind == ERR_TIMEOUT)
        error_set(err, ERR_TIMEOUT, 0, "%s: PostgreSQL did not answer in time", doing);
    return -1;
}

/* In statements: poolers refuse options of a login. Names of ours are qualified, those of the server's own
 * functions nobody else shall have. */
static const char *begin_sql(struct records_session *s, bool read_only)
{
    int64_t left_ms = (s->deadline_us - mono_us()) / 1000;
    return arena_printf(&s->arena,
                        "BEGIN%s; SET LOCAL search_path = pg_catalog; SET LOCAL jit = off; "
                        "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = %lld; "
                        "SET LOCAL idle_in_transaction_session_timeout = '60s'; "
                        "SELECT current_setting('server_encoding'), "
                        "to_regclass('deploy_agent.records_version') IS NOT NULL",
                        read_only ? " READ ONLY" : "", (long long)(left_ms > 0 ? left_ms : 0) + 1000);
}

static int look_at_schema(struct records_session *s, bool read_only, struct error *err)
{
    cleanup_result PGresult *about = NULL, *version = NULL;
    if (records_ask(s, "asking PostgreSQL about the records", &about, err, begin_sql(s, read_only), 0, NULL) <
        0)
        return -1;
    /* else the first commit subject with a letter that it lacks would stop all that follows */
    if (strcmp(PQgetvalue(about, 0, 0), "UTF8") != 0)
        return error_set(err, ERR_REFUSED, 0,
                         "the database of the records is encoded in %s; make it with ENCODING 'UTF8'",
                         PQgetvalue(about, 0, 0));
    if (strcmp(PQgetvalue(about, 0, 1), "t") != 0)
        return 0;
    if (records_ask(s, "reading the version of the records", &version, err,
                    "SELECT max(version) FROM deploy_agent.records_version", 0, NULL) < 0)
        return -1;
    s->schema = (int)strtol(PQgetvalue(version, 0, 0), NULL, 10);
    return 0;
}

int records_open(struct records_session *s, const struct pg_url *url, int64_t deadline_us, bool read_only,
                 struct error *err)
{
    int64_t left = deadline_us - mono_us();
    *s = (struct records_session){.deadline_us = deadline_us,
                                  .conn = {.deadline_us = deadline_us, .should_stop = proc_heed_stop}};
    const struct pg_conn_options options = {.url = url,
                                            .application_name = application_name,
                                            .timeout_us =
                                                left < connect_timeout_us ? left : connect_timeout_us};
    if (pg_conn_open(&s->conn, &s->arena, &options, err) < 0)
        return -1;
    return look_at_schema(s, read_only, err);
}

void records_close(struct records_session *s)
{
    pg_conn_close(&s->conn);
    arena_release(&s->arena);
}

int records_check(const struct records_session *s, struct error *err)
{
    if (s->schema > records_schema_version)
        return error_set(
            err, ERR_CONFLICT, 0,
            "the records are of a newer deploy-agent (schema %04d, this program knows %04d): upgrade "
            "this host",
            s->schema, records_schema_version);
    if (s->schema == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "the database has no records yet: no host has delivered any");
    if (s->schema < records_schema_version)
        return error_set(
            err, ERR_NOT_FOUND, 0,
            "the records are of an older deploy-agent (schema %04d, this program needs %04d): the next "
            "delivery brings them up to date",
            s->schema, records_schema_version);
    return 0;
}
