/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pg.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "pg/conn.h"

static int ask(struct arena *arena, struct pg_conn *conn, struct pg_login *ret, struct error *err)
{
    cleanup_result PGresult *result = NULL;
    if (PG_ASK(conn, "PostgreSQL is not ready", &result, err,
               "SELECT pg_catalog.pg_postmaster_start_time()::text, pg_catalog.pg_is_in_recovery(), "
               "pg_catalog.current_setting('transaction_read_only')") < 0) {
        if (err->kind != ERR_CANCELLED)
            err->kind = ERR_UNAVAILABLE;
        return -1;
    }
    if (pg_refuse_reader(PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2), err) < 0)
        return -1;
    ret->server_start = arena_strdup(arena, PQgetvalue(result, 0, 0));
    ret->server_version = PQserverVersion(conn->pg);
    return 0;
}

int pg_login(struct arena *arena, const struct pg_url *url, const char *socket_folder,
             const char *application_name, int64_t timeout_us, struct pg_login *ret, struct error *err)
{
    cleanup_conn struct pg_conn conn = {.deadline_us = mono_us() + timeout_us, .should_stop = proc_heed_stop};
    const struct pg_conn_options options = {
        .url = url, .folder = socket_folder, .application_name = application_name, .timeout_us = timeout_us};
    struct pg_login login = {0};
    if (pg_conn_open(&conn, arena, &options, err) < 0 || ask(arena, &conn, &login, err) < 0)
        return -1;
    *ret = login;
    return 0;
}
