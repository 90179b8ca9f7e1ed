/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/summary.h"
#include "base/clock.h"
#include "base/str.h"
#include "journal/db.h"

#define COLUMNS "seq, kind, name, state, error, started_us, finished_us"

/* whole: behind COLUMNS are those that may be large. */
static int read_steps(struct journal *j, struct arena *arena, sqlite3_stmt *q, int64_t id, bool whole,
                      struct step **ret, size_t *ret_count, struct error *err)
{
    struct step *steps = NULL;
    size_t n = 0;
    int r;
    while ((r = db_next(j, q, err)) > 0) {
        steps = arena_grow(arena, steps, n, sizeof *steps);
        struct step *s = &steps[n++];
        *s = (struct step){
            .deployment = id,
            .seq = (unsigned)col_int(q, 0),
            .kind = col_text(arena, q, 1),
            .name = col_text(arena, q, 2),
            .error = col_text(arena, q, 4),
            .started_us = col_int(q, 5),
            .finished_us = col_int(q, 6),
            .params = whole ? col_text(arena, q, 7) : NULL,
            .progress = whole ? col_text(arena, q, 8) : NULL,
            .fingerprint = whole ? col_text(arena, q, 9) : NULL,
            .live = whole ? col_text(arena, q, 10) : NULL,
        };
        if (step_state_parse((const char *)sqlite3_column_text(q, 3), &s->state) < 0)
            return error_set(err, ERR_INTERNAL, 0, "step %u of deployment %lld has an unknown state", s->seq,
                             (long long)id);
    }
    if (r < 0)
        return -1;
    *ret = steps;
    *ret_count = n;
    return 0;
}

int journal_steps(struct journal *journal, struct arena *arena, int64_t id, struct step **ret,
                  size_t *ret_count, struct error *err)
{
    cleanup_query sqlite3_stmt *q = db_query(journal, err,
                                             "SELECT " COLUMNS ", params, progress, fingerprint, live"
                                             " FROM step WHERE deployment = ? ORDER BY seq",
                                             V_INT(id));
    return read_steps(journal, arena, q, id, true, ret, ret_count, err);
}

int journal_step_times(struct journal *journal, struct arena *arena, int64_t id, struct step **ret,
                       size_t *ret_count, struct error *err)
{
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err, "SELECT " COLUMNS " FROM step WHERE deployment = ? ORDER BY seq", V_INT(id));
    return read_steps(journal, arena, q, id, false, ret, ret_count, err);
}

int journal_step_begin(struct journal *journal, int64_t id, unsigned seq, const char *progress,
                       struct error *err)
{
    return db_write_one(journal, err, "such step that is pending or running",
                        "UPDATE step SET state = 'running', started_us = coalesce(started_us, ?3),"
                        " progress = coalesce(?4, progress), live = NULL"
                        " WHERE deployment = ?1 AND seq = ?2 AND state IN ('pending', 'running')",
                        V_INT(id), V_INT(seq), V_INT(wall_us()), V_TEXT(progress));
}

int journal_step_progress(struct journal *journal, int64_t id, unsigned seq, const char *progress,
                          struct error *err)
{
    return db_write_one(journal, err, "such step",
                        "UPDATE step SET progress = ?3 WHERE deployment = ?1 AND seq = ?2", V_INT(id),
                        V_INT(seq), V_TEXT(progress));
}

int journal_step_live(struct journal *journal, int64_t id, unsigned seq, const char *live, struct error *err)
{
    return db_write_one(journal, err, "such step",
                        "UPDATE step SET live = ?3 WHERE deployment = ?1 AND seq = ?2", V_INT(id), V_INT(seq),
                        V_TEXT(live));
}

static int end_step(struct journal *j, int64_t id, unsigned seq, enum step_state state, const char *error,
                    struct error *err)
{
    if (db_run(j, err,
               "UPDATE step SET state = ?3, error = coalesce(?4, error), finished_us = ?5, live = NULL"
               " WHERE deployment = ?1 AND seq = ?2",
               V_INT(id), V_INT(seq), V_TEXT(step_state_name(state)), V_TEXT(error), V_INT(wall_us())) < 0)
        return -1;
    if (db_changes(j) == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "the journal has no step %u of deployment %lld", seq,
                         (long long)id);
    return db_run(j, err, "UPDATE deployment SET resumes = 0 WHERE id = ? AND resumes <> 0", V_INT(id));
}

int journal_step_end(struct journal *journal, int64_t id, unsigned seq, enum step_state state,
                     const char *error, struct error *err)
{
    struct arena arena = {0};
    const char *clean = text_block(&arena, error);
    int r = db_begin(journal, err);
    if (r == 0)
        r = end_step(journal, id, seq, state, clean, err) < 0 ? db_rollback(journal)
                                                              : db_commit(journal, err);
    arena_release(&arena);
    return r;
}
