/* SPDX-License-Identifier: Apache-2.0 */

/* Identity, the list of who asked for what, and forgetting old deployments. */

#include "base/clock.h"
#include "journal/db.h"
#include "journal/targets.h"

static const int64_t audit_keep = 10000;

int journal_identity(struct journal *journal, struct arena *arena, const char **ret_host_id,
                     const char **ret_salt, struct error *err)
{
    cleanup_query sqlite3_stmt *q = db_query(journal, err, "SELECT host_id, salt FROM identity");
    int r = db_next(journal, q, err);
    if (r == 0)
        return error_set(err, ERR_INTERNAL, 0, "the journal %s has no identity", journal->path);
    if (r < 0)
        return -1;
    *ret_host_id = col_text(arena, q, 0);
    *ret_salt = col_text(arena, q, 1);
    return 0;
}

int journal_audit(struct journal *journal, unsigned uid, int pid, const char *verb, const char *arguments,
                  struct error *err)
{
    struct arena arena = {0};
    const char *clean = text_line(&arena, arguments ? arguments : "", TEXT_LINE_MAX);
    int r = db_write_one(journal, err, "row",
                         "INSERT INTO audit (at_us, uid, pid, verb, arguments) VALUES (?, ?, ?, ?, ?)",
                         V_INT(wall_us()), V_INT(uid), V_INT(pid), V_TEXT(verb), V_TEXT(clean));
    arena_release(&arena);
    return r;
}

int journal_approver(struct journal *journal, struct arena *arena, const char *stack, const char *commit,
                     const char **ret, struct error *err)
{
    const char *arguments = arena_printf(arena, "%s %s", stack, commit);
    cleanup_query sqlite3_stmt *q =
        db_query(journal, err,
                 "SELECT uid FROM audit WHERE verb = 'approved' AND arguments = ? ORDER BY id DESC LIMIT 1",
                 V_TEXT(arguments));
    int r = db_next(journal, q, err);
    *ret = r > 0 ? arena_printf(arena, "uid %lld", (long long)col_int(q, 0)) : NULL;
    return r < 0 ? -1 : 0;
}

/* At once: agentd's loop must not stand still when `keep` is lowered on a long history; the rest goes next
 * time. */
static const int64_t delete_most = 200;

/*
 * Old are the ended deployments behind the newest `keep` of their stack. Whatever their age, the last success
 * stays, for the next plan starts from it, and so do the last five that changed something: `rollback` goes to
 * one of them. What somebody is still to be told of stays, too.
 */
static int delete_old(struct journal *j, unsigned keep, struct error *err)
{
    return db_run(
        j, err,
        "DELETE FROM deployment WHERE id IN (SELECT id FROM deployment WHERE finished_us IS NOT NULL"
        " AND id IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY stack ORDER BY id DESC) AS "
        "age"
        "  FROM deployment) WHERE age > ?)"
        " AND id NOT IN (SELECT max(id) FROM deployment WHERE state = 'succeeded' GROUP BY stack)"
        " AND id NOT IN (" ROLLBACK_TARGETS ")"
        " AND id NOT IN (SELECT deployment FROM event)"
        " ORDER BY id LIMIT ?)",
        V_INT(keep), V_INT(delete_most));
}

static int trim(struct journal *j, unsigned keep, struct error *err)
{
    if (delete_old(j, keep, err) < 0)
        return -1;
    if (db_changes(j) > 0 &&
        db_run(j, err,
               "DELETE FROM spec WHERE hash NOT IN"
               " (SELECT before_hash FROM service WHERE before_hash IS NOT NULL"
               "  UNION SELECT after_hash FROM service WHERE after_hash IS NOT NULL)") < 0)
        return -1;
    return db_run(j, err, "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", V_INT(audit_keep));
}

int journal_trim(struct journal *journal, unsigned keep, struct error *err)
{
    if (db_begin(journal, err) < 0)
        return -1;
    return trim(journal, keep, err) < 0 ? db_rollback(journal) : db_commit(journal, err);
}
