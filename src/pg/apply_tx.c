/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fault.h"
#include "pg/apply.h"

/*
 * The COMMIT never goes out with a statement of the file: a server that has read such a message commits also
 * when the client is dead.
 */

static int begin(struct apply *a, struct sql_lexer *lexer, struct error *err)
{
    struct sql_statement st;
    const char *doing = "BEGIN";
    if (a->migration->summary.begins) {
        /* the file's own, for its options */
        if (sql_next(lexer, &st, err) <= 0 || apply_statement(a, &st, err) < 0)
            return -1;
    } else if (apply_own(a, doing, doing, false, NULL, err) < 0) {
        return -1;
    }
    fault_point("sql.begun");
    return 0;
}

int apply_tx(struct apply *a, struct error *err)
{
    const struct sql_summary *summary = &a->migration->summary;
    struct sql_lexer lexer;
    struct sql_statement st;
    int r;
    sql_lexer_init(&lexer, a->migration->file, a->text, a->len);
    a->rows = 0;
    if (begin(a, &lexer, err) < 0)
        return -1;
    while ((r = sql_next(&lexer, &st, err)) > 0) {
        if (summary->commits && st.number == summary->n_statements)
            break;
        if (apply_statement(a, &st, err) < 0)
            return -1;
        a->at = st;
        if (apply_state(a) != PQTRANS_INTRANS)
            return apply_refuse(a, &st, err, "the statement ended the file's transaction");
    }
    return r < 0 ? -1 : apply_finish(a, err);
}
