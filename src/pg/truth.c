/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/pg.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "pg/conn.h"

int pg_truth(const struct pg_url *url, const char *socket_folder, const char *application_name,
             int64_t timeout_us, const char *sql, bool *ret, char *ret_text, size_t text_size,
             struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_conn struct pg_conn conn = {.deadline_us = mono_us() + timeout_us, .should_stop = proc_heed_stop};
    const struct pg_conn_options options = {
        .url = url, .folder = socket_folder, .application_name = application_name, .timeout_us = timeout_us};
    struct pg_result result = {0};
    struct pg_failure failure;
    if (pg_conn_open(&conn, &arena, &options, err) < 0 ||
        pg_begin_reading(&conn, "a check", timeout_us, timeout_us, err) < 0)
        return -1;
    if (pg_run(&conn, &(struct pg_call){.sql = sql}, &result, &failure) < 0) {
        if (failure.cause == PG_STOPPED)
            return pg_failure_error(&failure, err);
        *ret = false;
        /* by our clock, or by the server's statement_timeout */
        if (failure.cause == PG_LATE || pg_failure_is(&failure, "57014"))
            snprintf(ret_text, text_size, "no answer within %.3gs", (double)timeout_us / US_PER_S);
        else
            snprintf(ret_text, text_size, "%s%s%s", failure.text, failure.sqlstate[0] ? ", SQLSTATE " : "",
                     failure.sqlstate);
        return 0;
    }
    cleanup_result PGresult *r = result.res;
    *ret = PQntuples(r) == 1 && PQnfields(r) == 1 && strcmp(PQgetvalue(r, 0, 0), "t") == 0;
    /* values may be anybody's data: they are not shown */
    if (*ret)
        snprintf(ret_text, text_size, "true");
    else if (PQntuples(r) != 1 || PQnfields(r) != 1)
        snprintf(ret_text, text_size, "%d rows of %d columns", PQntuples(r), PQnfields(r));
    else
        snprintf(ret_text, text_size, "not true");
    return 0;
}
