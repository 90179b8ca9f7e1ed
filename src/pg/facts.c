/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "agent/pg.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "pg/conn.h"

/* Extensions bring tables of their own: a new database of the postgis image is still empty. */
static const char query[] =
    "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'"
    " AND n.nspname NOT IN ('information_schema', 'deploy_agent')"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d"
    " WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')),"
    " pg_catalog.pg_database_size(pg_catalog.current_database())";

int pg_facts(struct arena *arena, const struct pg_url *url, const char *socket_folder,
             const char *application_name, int64_t timeout_us, struct pg_facts *ret, struct error *err)
{
    cleanup_conn struct pg_conn conn = {.deadline_us = mono_us() + timeout_us, .should_stop = proc_heed_stop};
    cleanup_result PGresult *result = NULL;
    const struct pg_conn_options options = {
        .url = url, .folder = socket_folder, .application_name = application_name, .timeout_us = timeout_us};
    if (pg_conn_open(&conn, arena, &options, err) < 0 ||
        PG_ASK(&conn, "counting the tables", &result, err, query) < 0)
        return -1;
    *ret = (struct pg_facts){strtoll(PQgetvalue(result, 0, 0), NULL, 10),
                             strtoull(PQgetvalue(result, 0, 1), NULL, 10)};
    return 0;
}
