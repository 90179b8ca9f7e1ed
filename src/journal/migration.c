/* SPDX-License-Identifier: Apache-2.0 */

/* What a deployment did with databases. */

#include "base/str.h"
#include "journal/db.h"

int journal_migrations(struct journal *journal, struct arena *arena, int64_t id,
                       struct migration_record **ret, size_t *ret_count, struct error *err)
{
    struct migration_record *rows = NULL;
    size_t n = 0;
    int r;
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT step, version, name, state, schema, took_us, rows_changed FROM migration"
                 " WHERE deployment = ? ORDER BY position",
                 V_INT(id));
    while ((r = db_next(journal, q, err)) > 0) {
        rows = arena_grow(arena, rows, n, sizeof *rows);
        rows[n++] = (struct migration_record){.step = col_text(arena, q, 0),
                                              .version = col_text(arena, q, 1),
                                              .name = col_text(arena, q, 2),
                                              .state = col_text(arena, q, 3),
                                              .schema = col_text(arena, q, 4),
                                              .took_us = col_int(q, 5),
                                              .rows = col_int(q, 6)};
    }
    if (r < 0)
        return -1;
    *ret = rows;
    *ret_count = n;
    return 0;
}

int journal_set_migration(struct journal *journal, int64_t id, const char *step, const char *version,
                          const char *state, struct error *err)
{
    return db_write_one(
        journal, err, "such migration",
        "UPDATE migration SET state = ?4 WHERE deployment = ?1 AND step = ?2 AND version = ?3", V_INT(id),
        V_TEXT(step), V_TEXT(version), V_TEXT(state));
}

/* A file that was applied since is progress, as a step that ended is. */
static int note_progress(struct journal *j, int64_t id, const struct migration_record *m, const char *name,
                         struct error *err)
{
    if (!str_eq(m->state, "applied"))
        return 0;
    return db_run(j, err,
                  "UPDATE deployment SET resumes = 0 WHERE id = ?1 AND resumes <> 0 AND NOT EXISTS (SELECT 1"
                  " FROM migration WHERE deployment = ?1 AND step = ?2 AND version = ?3 AND schema IS ?4"
                  " AND name = ?5 AND state = 'applied')",
                  V_INT(id), V_TEXT(m->step), V_TEXT(m->version), V_TEXT(m->schema), V_TEXT(name));
}

/* An update, else an insert at the end. */
static int put_migration(struct journal *j, int64_t id, const struct migration_record *m, const char *name,
                         struct error *err)
{
    if (note_progress(j, id, m, name, err) < 0)
        return -1;
    if (db_run(j, err,
               "UPDATE migration SET state = ?6, took_us = ?7, rows_changed = ?8"
               " WHERE deployment = ?1 AND step = ?2 AND version = ?3 AND schema IS ?4 AND name = ?5",
               V_INT(id), V_TEXT(m->step), V_TEXT(m->version), V_TEXT(m->schema), V_TEXT(name),
               V_TEXT(m->state), V_INT(m->took_us), V_INT(m->rows)) < 0)
        return -1;
    if (db_changes(j) > 0)
        return 0;
    return db_run(j, err,
                  "INSERT INTO migration (deployment, position, step, version, schema, name, state, took_us,"
                  " rows_changed) SELECT ?1, coalesce(max(position) + 1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8"
                  " FROM migration WHERE deployment = ?1",
                  V_INT(id), V_TEXT(m->step), V_TEXT(m->version), V_TEXT(m->schema), V_TEXT(name),
                  V_TEXT(m->state), V_INT(m->took_us), V_INT(m->rows));
}

int journal_put_migrations(struct journal *journal, int64_t id, const struct migration_record *records,
                           size_t n, struct error *err)
{
    struct arena arena = {0};
    int r = db_begin(journal, err);
    if (r == 0) {
        for (size_t i = 0; i < n && r == 0; i++)
            r = put_migration(journal, id, &records[i], text_line(&arena, records[i].name, TEXT_LINE_MAX),
                              err);
        r = r < 0 ? db_rollback(journal) : db_commit(journal, err);
    }
    arena_release(&arena);
    return r;
}

int journal_settle_migrations(struct journal *journal, int64_t id, const char *step, const char *state,
                              struct error *err)
{
    if (db_begin(journal, err) < 0)
        return -1;
    if (db_run(journal, err,
               "UPDATE migration SET state = ?3 WHERE deployment = ?1 AND step = coalesce(?2, step)"
               " AND state = 'pending'",
               V_INT(id), V_TEXT(step), V_TEXT(state)) < 0)
        return db_rollback(journal);
    return db_commit(journal, err);
}

int journal_put_schema(struct journal *journal, int64_t id, const struct schema_record *record,
                       struct error *err)
{
    if (db_begin(journal, err) < 0)
        return -1;
    if (db_run(journal, err,
               "INSERT INTO schema_version (deployment, step, schema, version_before, version_after)"
               " VALUES (?, ?, ?, ?, ?)"
               " ON CONFLICT DO UPDATE SET version_after = excluded.version_after",
               V_INT(id), V_TEXT(record->step), V_TEXT(record->schema ? record->schema : ""),
               V_TEXT(record->before), V_TEXT(record->after)) < 0)
        return db_rollback(journal);
    return db_commit(journal, err);
}

int journal_schemas(struct journal *journal, struct arena *arena, int64_t id, struct schema_record **ret,
                    size_t *ret_count, struct error *err)
{
    struct schema_record *rows = NULL;
    size_t n = 0;
    int r;
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT step, nullif(schema, ''), version_before, version_after FROM schema_version"
                 " WHERE deployment = ? ORDER BY step, schema",
                 V_INT(id));
    while ((r = db_next(journal, q, err)) > 0) {
        rows = arena_grow(arena, rows, n, sizeof *rows);
        rows[n++] = (struct schema_record){col_text(arena, q, 0), col_text(arena, q, 1),
                                           col_text(arena, q, 2), col_text(arena, q, 3)};
    }
    if (r < 0)
        return -1;
    *ret = rows;
    *ret_count = n;
    return 0;
}
