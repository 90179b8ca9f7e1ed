/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/sql.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "sql/directives.h"
#include "sql/hash.h"
#include "sql/lint.h"
#include "sql/match.h"
#include "sql/names.h"
#include "sql/place.h"

const char *sql_mode_name(enum sql_mode mode)
{
    static const char *const names[] = {[SQL_TX] = "tx", [SQL_MULTI_TX] = "multi_tx", [SQL_NO_TX] = "no_tx"};
    return names[mode];
}

/* ---- the bytes ---- */

static int check_bytes(const char *file, const char *text, size_t len, struct error *err)
{
    static const struct {
        const char *bytes, *name;
        size_t len;
    } boms[] = {
        {"\xff\xfe\0\0", "UTF-32", 4},
        {"\0\0\xfe\xff", "UTF-32", 4},
        {"\xff\xfe", "UTF-16", 2},
        {"\xfe\xff", "UTF-16", 2},
    };
    for (size_t i = 0; i < ARRAY_SIZE(boms); i++)
        if (len >= boms[i].len && memcmp(text, boms[i].bytes, boms[i].len) == 0)
            return error_set(err, ERR_INVALID, 0, "%s:1:1: this is %s: save the file as UTF-8", file,
                             boms[i].name);
    size_t good = str_utf8_prefix(text, len);
    if (good == len)
        return 0;
    struct sql_lexer places;
    const char *bad = text + good, *newline = memrchr(text, '\n', good);
    size_t in_line = (size_t)(bad - (newline ? newline + 1 : text)) + 1;
    sql_lexer_init(&places, file, text, len);
    if (!*bad)
        return sql_fail(&places, bad, err,
                        "a NUL (byte %zu of the line): PostgreSQL would get only what stands before it",
                        in_line);
    return sql_fail(&places, bad, err, "0x%02X (byte %zu of the line) is not UTF-8: save the file as UTF-8",
                    (unsigned char)*bad, in_line);
}

/* ---- transactions ---- */

struct transactions {
    unsigned n_controls;                          /* BEGIN, COMMIT, ROLLBACK */
    bool first_begins, last_commits, open;        /* as far as it was read */
    struct sql_statement control, refuser, begin; /* the first ones, the last BEGIN; number 0: none */
};

static bool is_control(enum sql_kind kind)
{
    return kind == SQL_BEGIN || kind == SQL_COMMIT || kind == SQL_ROLLBACK;
}

static void follow(struct transactions *tx, const struct sql_statement *s)
{
    tx->last_commits = s->kind == SQL_COMMIT;
    if (sql_kind_refuses_transaction(s->kind) && !tx->refuser.number)
        tx->refuser = *s;
    if (!is_control(s->kind))
        return;
    tx->n_controls++;
    if (!tx->control.number)
        tx->control = *s;
    tx->first_begins |= s->kind == SQL_BEGIN && s->number == 1;
    tx->open = s->kind == SQL_BEGIN ||
               sql_match(s->text, s->len, "COMMIT|END|ROLLBACK|ABORT ?WORK|TRANSACTION AND CHAIN", NULL);
    if (tx->open)
        tx->begin = *s;
}

static int at(const char *file, const struct sql_statement *s, struct error *err, const char *text)
{
    return error_set(err, ERR_INVALID, 0, "%s:%u:%u: %s", file, s->line, s->column, text);
}

static int judge(const char *file, const struct transactions *tx, bool no_transaction,
                 struct sql_summary *summary, struct error *err)
{
    if (tx->open)
        return at(file, &tx->begin, err,
                  "this transaction has no COMMIT: psql would roll it back at the end. Write COMMIT; there");
    if (tx->refuser.number && tx->n_controls)
        return at(file, &tx->refuser, err,
                  "this refuses a transaction, and the file has one of its own: put it into a file alone");
    if (no_transaction && tx->n_controls)
        return at(file, &tx->control, err,
                  "beside -- deploy: no-transaction a file has no transaction of its own: leave out either");
    summary->begins = tx->first_begins;
    summary->commits = tx->last_commits;
    if (tx->refuser.number || no_transaction)
        summary->mode = SQL_NO_TX;
    else if (tx->n_controls > (unsigned)summary->begins + summary->commits)
        summary->mode = SQL_MULTI_TX;
    else
        summary->mode = SQL_TX;
    if (summary->mode != SQL_TX)
        summary->begins = summary->commits = false;
    return 0;
}

/* ---- all of it ---- */

struct tables {
    const char **names;
    size_t n;
};

static void add_table(struct arena *arena, struct tables *tables, const char *name)
{
    tables->names = arena_grow(arena, tables->names, tables->n, sizeof *tables->names);
    tables->names[tables->n++] = name;
}

static int read_statement(struct arena *arena, const struct sql_statement *s, struct transactions *tx,
                          struct tables *tables, const char *file, struct error *err)
{
    if (sql_match(s->text, s->len, "PREPARE TRANSACTION", NULL))
        return at(file, s, err,
                  "PREPARE TRANSACTION would leave a transaction and its locks behind: leave it out");
    follow(tx, s);
    char *table = sql_table_made(arena, s);
    if (table)
        add_table(arena, tables, table);
    return 0;
}

int sql_summarise(struct arena *arena, const char *file, const char *text, size_t len, const char *version,
                  struct sql_summary *ret, struct error *err)
{
    struct sql_lexer lexer, places;
    struct sql_statement s;
    struct sql_summary summary = {0};
    struct sql_directives directives = {0};
    struct transactions tx = {0};
    struct tables tables = {0};
    struct sql_hash hash;
    if (len <= SQL_FILE_MAX && check_bytes(file, text, len, err) < 0)
        return -1;
    sql_lexer_init(&lexer, file, text, len);
    places = lexer;
    sql_hash_init(&hash);
    for (;;) {
        const char *gap = text + lexer.at;
        int r = sql_next(&lexer, &s, err);
        if (r < 0 || sql_directives(&places, gap, r ? s.text : text + len, summary.n_statements == 0,
                                    &directives, err) < 0)
            return -1;
        if (r == 0)
            break;
        summary.n_statements++;
        sql_hash_add(&hash, &s);
        if (read_statement(arena, &s, &tx, &tables, file, err) < 0)
            return -1;
    }
    if (judge(file, &tx, directives.no_transaction, &summary, err) < 0)
        return -1;
    sql_hash_end(&hash, summary.hash);
    add_table(arena, &tables, NULL);
    summary.tables = tables.names;
    summary.breaking = directives.breaking;
    summary.out_of_order = directives.out_of_order;
    sql_lint(arena, text, len, version, &summary);
    *ret = summary;
    return 0;
}
