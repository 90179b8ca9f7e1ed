/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/session.h"

static const int64_t timeout_us = 60 * US_PER_S;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The query is a user's: it gets a transaction that cannot write. */
int migrate_schemas(struct arena *arena, const struct migrate_target *target, const char *query,
                    const char ***ret, struct error *err)
{
    cleanup_session struct session s = {
        .target = target, .arena = arena, .deadline_us = mono_us() + timeout_us};
    cleanup_result PGresult *r = NULL;
    if (session_open(&s, 0, err) < 0 ||
        PG_ASK(&s.conn, "for_each_schema", NULL, err, "BEGIN READ ONLY") < 0 ||
        pg_ask(&s.conn, "for_each_schema", &r, err, query, 0, NULL) < 0)
        return -1;
    if (PQnfields(r) != 1)
        return error_set(err, ERR_INVALID, 0, "for_each_schema: the query must yield one column of names");
    const char **list = arena_array(arena, (size_t)PQntuples(r) + 1, sizeof *list);
    size_t n = 0;
    for (int i = 0; i < PQntuples(r); i++)
        if (!PQgetisnull(r, i, 0))
            list[n++] = arena_strdup(arena, PQgetvalue(r, i, 0));
    qsort(list, n, sizeof *list, by_name);
    *ret = list;
    return 0;
}
