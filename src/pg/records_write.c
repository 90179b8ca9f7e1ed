/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "pg/records_session.h"

/*
 * One batch is one transaction: the host's row first, which makes two deliveries of one host take turns. The
 * JSON has rows by the names of their columns. What was delivered already, or is older than what is there,
 * changes nothing.
 */

static const char put_host[] =
    "INSERT INTO deploy_agent.host AS h (host_id, name, version, change, seen_at) "
    "SELECT $1, $2, $3, max(c.change), clock_timestamp() FROM jsonb_to_recordset($4) AS c(change bigint) "
    "ON CONFLICT (host_id) DO UPDATE SET name = excluded.name, version = excluded.version, "
    "change = greatest(h.change, excluded.change), seen_at = excluded.seen_at";

#define CHANGES "jsonb_populate_recordset(NULL::deploy_agent.state_change, $1) AS c "

/* A journal that was restored from an older copy counts on from there: its changes have numbers that are
 * taken. */
static const char find_other[] =
    "SELECT s.change FROM " CHANGES "JOIN deploy_agent.state_change s USING (host_id, change) "
    "WHERE (s.id, s.state, s.changed_at) IS DISTINCT FROM (c.id, c.state, c.changed_at) "
    "ORDER BY 1 LIMIT 1";

/* All of them, in the table's order: excluded.* has that. */
#define COLUMNS                                                                                              \
    "host_id, id, change, stack, state, commit_id, branch, subject, author, trigger_name, requested_by, "    \
    "reason, failed_with, requested_at, started_at, finished_at, base_id, target_id, images, services, "     \
    "schemas, steps"

static const char put_deployments[] =
    "INSERT INTO deploy_agent.deployment AS o "
    "SELECT d.* FROM jsonb_populate_recordset(NULL::deploy_agent.deployment, $1) AS d "
    "ON CONFLICT (host_id, id) DO UPDATE SET (" COLUMNS ") = ROW(excluded.*) "
    "WHERE o.change < excluded.change";

/* Those that put_deployments has just written, or an earlier delivery of the same. */
#define WRITTEN                                                                                              \
    "jsonb_array_elements($1) AS d(one) JOIN deploy_agent.deployment o ON o.host_id = d.one ->> 'host_id' "  \
    "AND o.id = (d.one ->> 'id')::bigint AND o.change = (d.one ->> 'change')::bigint "

static const char delete_migrations[] =
    "DELETE FROM deploy_agent.deployment_migration m "
    "USING (SELECT o.host_id, o.id FROM " WRITTEN ") w WHERE m.host_id = w.host_id AND m.id = w.id";

static const char put_migrations[] =
    "INSERT INTO deploy_agent.deployment_migration SELECT m.* FROM " WRITTEN
    "CROSS JOIN LATERAL jsonb_populate_recordset(NULL::deploy_agent.deployment_migration, "
    "d.one -> 'migrations') AS m";

/* A receiver that was taken out of the configuration and put back is told the whole history anew. Of a
 * deployment that the journal has lost there is nothing to refer to. */
static const char put_changes[] =
    "INSERT INTO deploy_agent.state_change SELECT c.* FROM " CHANGES
    "JOIN deploy_agent.deployment o USING (host_id, id) "
    "WHERE NOT EXISTS (SELECT FROM deploy_agent.state_change s WHERE s.host_id = c.host_id "
    "AND s.id = c.id AND s.state = c.state AND s.changed_at = c.changed_at) "
    "ORDER BY c.change ON CONFLICT DO NOTHING";

static int refuse_other_journal(struct records_session *s, const struct records_batch *b, struct error *err)
{
    cleanup_result PGresult *r = NULL;
    if (RECORDS_ASK(s, "comparing the records with the journal", &r, err, find_other, b->changes) < 0)
        return -1;
    if (PQntuples(r) == 0)
        return 0;
    return error_set(
        err, ERR_CONFLICT, 0,
        "change %s of host %s is another one in the records: the journal was restored from an older "
        "copy. Let the records keep what is there under another name: UPDATE deploy_agent.host SET "
        "host_id = host_id || '-before' WHERE host_id = '%s'",
        PQgetvalue(r, 0, 0), b->host, b->host_id);
}

static int write_batch(struct records_session *s, const struct records_batch *b, struct error *err)
{
    const struct {
        const char *doing, *sql, *rows;
    } statements[] = {
        {"writing deployments", put_deployments, b->deployments},
        {"replacing migrations", delete_migrations, b->deployments},
        {"writing migrations", put_migrations, b->deployments},
        {"writing changes of states", put_changes, b->changes},
    };
    if (RECORDS_ASK(s, "writing the host", NULL, err, put_host, b->host_id, b->host, b->version, b->changes) <
            0 ||
        refuse_other_journal(s, b, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
        if (RECORDS_ASK(s, statements[i].doing, NULL, err, statements[i].sql, statements[i].rows) < 0)
            return -1;
    return 0;
}

/* On connections of the runner's own, with its lock: several hosts may come at once. */
static int make_schema(const struct pg_url *url, int64_t deadline_us, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const struct migrate_target target = {.url = url, .application_name = "deploy-agent/records/schema"};
    struct migrate_result result;
    int r = records_schema(&arena, &target, deadline_us - mono_us(), &result, err);
    return r < 0 ? error_wrap(err, "making the schema of the records") : 0;
}

int records_write(const struct pg_url *url, const struct records_batch *batch, int64_t timeout_us,
                  struct error *err)
{
    int64_t deadline_us = mono_us() + timeout_us;
    cleanup_records struct records_session s = {0};
    struct error why = {0};
    if (records_open(&s, url, deadline_us, false, err) < 0)
        return -1;
    if (records_check(&s, &why) < 0) {
        if (why.kind != ERR_NOT_FOUND) {
            *err = why;
            return -1;
        }
        records_close(&s);
        s = (struct records_session){0};
        if (make_schema(url, deadline_us, err) < 0 || records_open(&s, url, deadline_us, false, err) < 0 ||
            records_check(&s, err) < 0)
            return -1;
    }
    if (write_batch(&s, batch, err) < 0)
        return -1;
    return records_ask(&s, "committing", NULL, err, "COMMIT", 0, NULL);
}
