/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "pg/records_session.h"

/* Read page by page: a fleet's history may be longer than the memory is large. */

#define PAGE_ROWS 500
#define PAGE      "500"

/* The inner one walks an index; each of them ends with this order. */
#define NEWEST_FIRST "requested_at DESC, host_id, id DESC "

static const char declare[] =
    "DECLARE page NO SCROLL CURSOR FOR SELECT (to_jsonb(d) || jsonb_build_object('host', h.name, "
    "'requested_us', (extract(epoch FROM d.requested_at) * 1000000)::bigint, "
    "'started_us', (extract(epoch FROM d.started_at) * 1000000)::bigint, "
    "'finished_us', (extract(epoch FROM d.finished_at) * 1000000)::bigint, "
    "'migrations', (SELECT coalesce(jsonb_agg(to_jsonb(m) || jsonb_build_object("
    "'took_us', (extract(epoch FROM m.took) * 1000000)::bigint) ORDER BY m.position), '[]') "
    "FROM deploy_agent.deployment_migration m WHERE m.host_id = d.host_id AND m.id = d.id)))::text "
    "FROM (SELECT * FROM deploy_agent.deployment WHERE ($1::text IS NULL OR stack = $1) "
    "AND ($2::text IS NULL OR state = $2) AND ($3::bigint = 0 "
    "OR requested_at >= 'epoch'::timestamptz + $3::bigint * interval '1 microsecond') "
    "ORDER BY " NEWEST_FIRST "LIMIT nullif($4::bigint, 0)) d "
    "JOIN deploy_agent.host h USING (host_id) ORDER BY " NEWEST_FIRST;

static int read_page(struct records_session *s, records_row *row, void *userdata, int *ret_rows,
                     struct error *err)
{
    cleanup_result PGresult *r = NULL;
    if (records_ask(s, "reading the records", &r, err, "FETCH " PAGE " FROM page", 0, NULL) < 0)
        return -1;
    *ret_rows = PQntuples(r);
    for (int i = 0; i < *ret_rows; i++)
        if (row(userdata, PQgetvalue(r, i, 0), err) < 0)
            return -1;
    return 0;
}

int records_read(const struct pg_url *url, const struct records_filter *f, int64_t timeout_us,
                 records_row *row, void *userdata, struct error *err)
{
    cleanup_records struct records_session s = {0};
    int rows;
    if (records_open(&s, url, mono_us() + timeout_us, true, err) < 0 || records_check(&s, err) < 0)
        return -1;
    const char *since = arena_printf(&s.arena, "%lld", (long long)f->since_us),
               *limit = arena_printf(&s.arena, "%u", f->limit);
    if (RECORDS_ASK(&s, "reading the records", NULL, err, declare, f->stack, f->state, since, limit) < 0)
        return -1;
    do
        if (read_page(&s, row, userdata, &rows, err) < 0)
            return -1;
    while (rows == PAGE_ROWS);
    return 0;
}
