/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "pg/records_migrations.h"
#include "pg/records_session.h"

/* May this login do what a delivery does? It is done, and rolled back. */

static const char write_nothing[] =
    "INSERT INTO deploy_agent.host (host_id, name, version, change, seen_at) VALUES ('check', 'check', '', "
    "0, now()) "
    "ON CONFLICT (host_id) DO UPDATE SET seen_at = excluded.seen_at; "
    "INSERT INTO deploy_agent.deployment SELECT * FROM deploy_agent.deployment WHERE false; "
    "UPDATE deploy_agent.deployment SET change = 0 WHERE false; "
    "INSERT INTO deploy_agent.deployment_migration SELECT * FROM deploy_agent.deployment_migration WHERE "
    "false; "
    "DELETE FROM deploy_agent.deployment_migration WHERE false; "
    "INSERT INTO deploy_agent.state_change SELECT * FROM deploy_agent.state_change WHERE false";

static int make_nothing(struct records_session *s, struct error *err)
{
    cleanup_result PGresult *r = NULL;
    if (records_ask(s, "looking for the schema deploy_agent", &r, err,
                    "SELECT to_regnamespace('deploy_agent') IS NULL", 0, NULL) < 0)
        return -1;
    bool missing = *PQgetvalue(r, 0, 0) == 't';
    return records_ask(s, "trying whether the records can be made", NULL, err,
                       missing ? "CREATE SCHEMA deploy_agent; CREATE TABLE deploy_agent.records_check ()"
                               : "CREATE TABLE deploy_agent.records_check ()",
                       0, NULL);
}

int records_look(const struct pg_url *url, int64_t timeout_us, struct records_look *ret, struct error *err)
{
    cleanup_records struct records_session s = {0};
    if (records_open(&s, url, mono_us() + timeout_us, false, err) < 0)
        return -1;
    *ret = (struct records_look){
        .server_version = PQserverVersion(s.conn.pg), .schema = s.schema, .needed = records_schema_version};
    int r = s.schema > records_schema_version ? records_check(&s, err)
            : s.schema == records_schema_version
                ? records_ask(&s, "trying a delivery", NULL, err, write_nothing, 0, NULL)
                : make_nothing(&s, err);
    return r < 0 ? -1 : records_ask(&s, "rolling back", NULL, err, "ROLLBACK", 0, NULL);
}
