/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "pg/apply.h"

/*
 * Files that do not fit into one transaction. How far they came is in the log's row, written in the very
 * transaction that brings them there; so after a crash the position is exact, and the file goes on behind it.
 */

static int write_progress(struct apply *a, const struct sql_statement *st, const char *end, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    bool own, in_block = apply_state(a) == PQTRANS_INTRANS;
    if (in_block && (apply_encoding(a, err) < 0 || (a->names_table && apply_check(a, &own, err) < 0)))
        return -1;
    const char *sql = arena_printf(
        &arena,
        "%s" APPLY_DEFERRED SESSION_OURS ONE_ROW(
            "UPDATE %s SET stmts_done = %u, prefix_sha256 = '%s', "
            "settings = %s, settings_at = %u, stmt_index = NULL WHERE id = %lld RETURNING 1") "%s",
        in_block ? "" : SESSION_BEGIN, a->s->books.log_sql, st->number, a->seen,
        pg_literal(&arena, &a->s->conn, a->settings), a->settings_at, (long long)a->log_id, end);
    return apply_own(a, "recording the progress and COMMIT", sql, true, NULL, err);
}

int apply_progress(struct apply *a, const struct sql_statement *st, const char *end, struct error *err)
{
    struct books before = a->s->books;
    if (write_progress(a, st, end, err) < 0) {
        a->s->books = before;
        return -1;
    }
    a->done = st->number;
    a->in_doubt = false;
    memcpy(a->prefix, a->seen, sizeof a->prefix);
    return settings_record(a, err);
}

static bool is_last(const struct apply *a, const struct sql_statement *st)
{
    return st->number == a->migration->summary.n_statements;
}

static int commit(struct apply *a, const struct sql_statement *st, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    if (apply_state(a) == PQTRANS_IDLE)
        return apply_statement(a, st, err); /* PostgreSQL warns that there is no transaction */
    if (is_last(a, st))
        return apply_finish(a, err);
    /* as it is written: COMMIT AND CHAIN goes on in the next */
    return apply_progress(a, st, arena_strndup(&arena, st->text, st->len), err);
}

/* What psql would commit by itself gets a transaction, so that its record can be in it. */
static int wrapped(struct apply *a, const struct sql_statement *st, struct error *err)
{
    if (apply_own(a, "BEGIN", "BEGIN", false, NULL, err) < 0)
        return -1;
    if (apply_statement(a, st, err) < 0) {
        bool refuses = pg_failure_is(&a->failure, "25001") || pg_failure_is(&a->failure, "2D000");
        if (!refuses || a->migration->summary.mode != SQL_NO_TX)
            return -1;
        return session_rollback(a->s, err) < 0 ? -1 : apply_alone(a, st, err);
    }
    if (apply_state(a) != PQTRANS_INTRANS)
        return apply_refuse(a, st, err, "the statement ended its transaction");
    return is_last(a, st) ? apply_finish(a, err) : apply_progress(a, st, "COMMIT", err);
}

/* rolled_back: since then nothing was done that stays, and it is not undone by a COMMIT of nothing. */
static int step(struct apply *a, const struct sql_statement *st, bool *rolled_back, struct error *err)
{
    bool in_block = apply_state(a) == PQTRANS_INTRANS, sets = settings_saw(a, st);
    a->at = *st;
    switch (st->kind) {
    case SQL_BEGIN:
        return apply_statement(a, st, err);
    case SQL_COMMIT:
        return *rolled_back ? apply_statement(a, st, err) : commit(a, st, err);
    case SQL_ROLLBACK:
        *rolled_back = *rolled_back || in_block;
        return apply_statement(a, st, err);
    default:
        *rolled_back = *rolled_back && sets;
        break;
    }
    if (*rolled_back && is_last(a, st))
        return apply_statement(a, st, err);
    if (in_block)
        return apply_statement(a, st, err);
    if (sql_kind_refuses_transaction(st->kind) || a->in_doubt)
        return apply_alone(a, st, err);
    return wrapped(a, st, err);
}

/* All statements were sent; the record may still be missing. */
static int end(struct apply *a, bool rolled_back, struct error *err)
{
    if (a->recorded)
        return 0;
    if (rolled_back)
        return apply_refuse(a, &a->at, err,
                            "the file rolls its last transaction back: not recorded as applied");
    if (apply_state(a) != PQTRANS_IDLE)
        return apply_refuse(a, &a->at, err, "the file ends inside of a transaction: a COMMIT is missing");
    if (apply_own(a, "BEGIN", SESSION_BEGIN, false, NULL, err) < 0)
        return -1;
    return apply_finish(a, err);
}

int apply_steps(struct apply *a, struct error *err)
{
    struct sql_lexer lexer;
    struct sql_statement st;
    bool rolled_back = false;
    int r;
    bool is_new = !a->login_settings; /* a session in which nothing of the file was run */
    if ((is_new && settings_begin(a, err) < 0) || (!a->log_id && resume_begin(a, err) < 0) ||
        (is_new && a->done && settings_restore(a, err) < 0))
        return -1;
    sql_lexer_init(&lexer, a->migration->file, a->text, a->len);
    memcpy(a->seen, a->prefix, sizeof a->seen);
    while ((r = sql_next(&lexer, &st, err)) > 0) {
        if (st.number <= a->done)
            continue;
        apply_prefix(a->seen, &st);
        if (step(a, &st, &rolled_back, err) < 0)
            return -1;
        a->in_doubt = false;
    }
    return r < 0 ? -1 : end(a, rolled_back, err);
}
