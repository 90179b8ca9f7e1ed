/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/pg.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "pg/conn.h"

static const int64_t statement_us = 2 * US_PER_S, lock_us = US_PER_S;

/* An index of a partitioned table is invalid until each partition has one, which is nothing broken. */
int pg_invalid_indexes(struct pg_conn *conn, struct arena *arena, const char ***ret, struct error *err)
{
    static const char *none[] = {NULL};
    cleanup_result PGresult *r = NULL;
    *ret = none;
    if (PQserverVersion(conn->pg) < 120000) /* does not tell which of them are being built */
        return 0;
    if (PG_ASK(
            conn, "looking for invalid indexes", &r, err,
            "SELECT i.indexrelid::pg_catalog.regclass::text FROM pg_catalog.pg_index i JOIN "
            "pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid AND c.relkind <> 'I' AND "
            "NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = "
            "i.indexrelid) ORDER BY 1") < 0)
        return -1;
    *ret = pg_column(arena, r);
    return 0;
}

static int read_missing_tables(struct arena *arena, struct pg_conn *conn, const char *const *tables,
                               const char ***ret, struct error *err)
{
    size_t n = 0, missing = 0;
    while (tables && tables[n])
        n++;
    const char **list = arena_array(arena, n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        cleanup_result PGresult *r = NULL;
        if (PG_ASK(conn, tables[i], &r, err,
                   "SELECT FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)"
                   " AND relkind IN ('r', 'p', 'v', 'm', 'f')",
                   tables[i]) < 0)
            return -1;
        if (PQntuples(r) == 0)
            list[missing++] = tables[i];
    }
    *ret = list;
    return 0;
}

/* The tables in which Django and Alembic keep what they have done; queries in the order that it was done in.
 */
static const struct framework {
    const char *table, *query;
} frameworks[] = {
    {"django_migrations", "SELECT app || '.' || name FROM django_migrations ORDER BY id"},
    {"alembic_version", "SELECT version_num FROM alembic_version ORDER BY 1"},
};

static int read_frameworks(struct arena *arena, struct pg_conn *conn, struct pg_health *ret,
                           struct error *err)
{
    static const char *none[] = {NULL};
    ret->framework = none;
    for (size_t i = 0; i < ARRAY_SIZE(frameworks); i++) {
        const struct framework *f = &frameworks[i];
        cleanup_result PGresult *there = NULL, *r = NULL;
        if (PG_ASK(conn, f->table, &there, err,
                   "SELECT FROM pg_catalog.pg_class WHERE oid = "
                   "pg_catalog.to_regclass($1)",
                   f->table) < 0)
            return -1;
        if (PQntuples(there) == 0)
            continue;
        if (PG_ASK(conn, f->table, &r, err, f->query) < 0)
            return -1;
        ret->framework = pg_column(arena, r);
        return 0;
    }
    return 0;
}

int pg_health(struct arena *arena, const struct pg_url *url, const char *socket_folder,
              const char *application_name, int64_t timeout_us, const char *const *tables,
              struct pg_health *ret, struct error *err)
{
    cleanup_conn struct pg_conn conn = {.deadline_us = mono_us() + timeout_us, .should_stop = proc_heed_stop};
    const struct pg_conn_options options = {
        .url = url, .folder = socket_folder, .application_name = application_name, .timeout_us = timeout_us};
    struct pg_health health = {0};
    if (pg_conn_open(&conn, arena, &options, err) < 0 ||
        pg_begin_reading(&conn, "looking at the database", statement_us, lock_us, err) < 0 ||
        pg_invalid_indexes(&conn, arena, &health.invalid_indexes, err) < 0 ||
        read_missing_tables(arena, &conn, tables, &health.missing_tables, err) < 0 ||
        read_frameworks(arena, &conn, &health, err) < 0)
        return -1;
    *ret = health;
    return 0;
}

int pg_missing_tables(struct arena *arena, const struct pg_url *url, const char *socket_folder,
                      const char *application_name, int64_t timeout_us, const char *const *tables,
                      const char ***ret, struct error *err)
{
    cleanup_conn struct pg_conn conn = {.deadline_us = mono_us() + timeout_us, .should_stop = proc_heed_stop};
    const struct pg_conn_options options = {
        .url = url, .folder = socket_folder, .application_name = application_name, .timeout_us = timeout_us};
    return pg_conn_open(&conn, arena, &options, err) < 0 ||
                   pg_begin_reading(&conn, "looking for tables", timeout_us, timeout_us, err) < 0 ||
                   read_missing_tables(arena, &conn, tables, ret, err) < 0
               ? -1
               : 0;
}
