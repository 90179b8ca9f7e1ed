/* SPDX-License-Identifier: Apache-2.0 */

/* What a deployment did with services and images. */

#include "journal/db.h"
#include "journal/spec.h"
#include "journal/targets.h"

static int collect_services(struct journal *j, struct arena *arena, sqlite3_stmt *q,
                            struct service_record **ret, size_t *ret_count, struct error *err)
{
    struct service_record *rows = NULL;
    size_t n = 0;
    int r;
    while ((r = db_next(j, q, err)) > 0) {
        rows = arena_grow(arena, rows, n, sizeof *rows);
        rows[n++] = (struct service_record){
            col_text(arena, q, 0), col_text(arena, q, 1), col_text(arena, q, 2), col_text(arena, q, 3),
            col_text(arena, q, 4), col_text(arena, q, 5), col_text(arena, q, 6)};
    }
    if (r < 0)
        return -1;
    *ret = rows;
    *ret_count = n;
    return 0;
}

int journal_services(struct journal *journal, struct arena *arena, int64_t id, struct service_record **ret,
                     size_t *ret_count, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT service, name, action, state, note, b.body, a.body FROM service"
                 " LEFT JOIN spec b ON b.hash = before_hash LEFT JOIN spec a ON a.hash = after_hash"
                 " WHERE deployment = ? ORDER BY position",
                 V_INT(id));
    return collect_services(journal, arena, q, ret, ret_count, err);
}

int journal_service_states(struct journal *journal, struct arena *arena, int64_t id,
                           struct service_record **ret, size_t *ret_count, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT service, name, action, state, note, NULL, NULL FROM service"
                 " WHERE deployment = ? ORDER BY position",
                 V_INT(id));
    return collect_services(journal, arena, q, ret, ret_count, err);
}

static int update_service(struct journal *j, int64_t id, const char *service, const char *state,
                          const char *note, const char *before, const char *after, struct error *err)
{
    char before_hash[SHA256_HEX_SIZE], after_hash[SHA256_HEX_SIZE];
    if ((before && spec_store(j, before, before_hash, err) < 0) ||
        (after && spec_store(j, after, after_hash, err) < 0))
        return -1;
    if (db_run(j, err,
               "UPDATE service SET state = coalesce(?3, state), note = coalesce(?4, note),"
               " before_hash = coalesce(?5, before_hash), after_hash = coalesce(?6, after_hash)"
               " WHERE deployment = ?1 AND service = ?2",
               V_INT(id), V_TEXT(service), V_TEXT(state), V_TEXT(note), V_TEXT(before ? before_hash : NULL),
               V_TEXT(after ? after_hash : NULL)) < 0)
        return -1;
    if (db_changes(j) == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "the journal has no service %s of deployment %lld", service,
                         (long long)id);
    return 0;
}

int journal_set_service(struct journal *journal, int64_t id, const char *service, const char *state,
                        const char *note, const char *before, const char *after, struct error *err)
{
    struct arena arena = {0};
    const char *clean = text_line(&arena, note, TEXT_LINE_MAX);
    int r = db_begin(journal, err);
    if (r == 0)
        r = update_service(journal, id, service, state, clean, before, after, err) < 0
                ? db_rollback(journal)
                : db_commit(journal, err);
    arena_release(&arena);
    return r;
}

int journal_rollback_specs(struct journal *journal, struct arena *arena, const char *stack, const char ***ret,
                           size_t *ret_count, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT body FROM spec WHERE hash IN (SELECT s.after_hash FROM service s JOIN deployment d"
                 " ON d.id = s.deployment WHERE d.stack = ? AND d.id IN (" ROLLBACK_TARGETS
                 " UNION SELECT max(id) FROM deployment WHERE state = 'succeeded' GROUP BY stack))"
                 " ORDER BY hash",
                 V_TEXT(stack));
    const char **specs = NULL;
    size_t n = 0;
    int r;
    while ((r = db_next(journal, q, err)) > 0) {
        specs = arena_grow(arena, specs, n, sizeof *specs);
        specs[n++] = col_text(arena, q, 0);
    }
    if (r < 0)
        return -1;
    *ret = specs;
    *ret_count = n;
    return 0;
}

static int read_images(struct journal *journal, struct arena *arena, sqlite3_stmt *q,
                       struct image_record **ret, size_t *ret_count, struct error *err)
{
    struct image_record *rows = NULL;
    size_t n = 0;
    int r;
    while ((r = db_next(journal, q, err)) > 0) {
        rows = arena_grow(arena, rows, n, sizeof *rows);
        rows[n++] =
            (struct image_record){col_text(arena, q, 0), col_text(arena, q, 1), col_text(arena, q, 2)};
    }
    if (r < 0)
        return -1;
    *ret = rows;
    *ret_count = n;
    return 0;
}

int journal_images(struct journal *journal, struct arena *arena, int64_t id, struct image_record **ret,
                   size_t *ret_count, struct error *err)
{
    cleanup_query sqlite3_stmt *q = db_query(
        journal, err, "SELECT service, reference, digest FROM image WHERE deployment = ? ORDER BY position",
        V_INT(id));
    return read_images(journal, arena, q, ret, ret_count, err);
}

int journal_old_images(struct journal *journal, struct arena *arena, const char *stack,
                       struct image_record **ret, size_t *ret_count, struct error *err)
{
    cleanup_query sqlite3_stmt *q = db_query(
        journal, err,
        "SELECT min(i.service), i.reference, i.digest FROM image i JOIN deployment d ON d.id = i.deployment"
        " WHERE d.stack = ? AND i.digest IS NOT NULL AND i.digest NOT IN"
        " (SELECT digest FROM image WHERE digest IS NOT NULL AND deployment IN"
        "  (SELECT id FROM deployment WHERE finished_us IS NULL"
        "   UNION SELECT max(id) FROM deployment GROUP BY stack"
        "   UNION " ROLLBACK_TARGETS "))"
        " GROUP BY i.reference, i.digest ORDER BY i.reference, i.digest",
        V_TEXT(stack));
    return read_images(journal, arena, q, ret, ret_count, err);
}
