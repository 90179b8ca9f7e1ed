/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/apply.h"

#include <stdio.h>
#include <string.h>

#include "agent/fault.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"

/* After a stop, a statement may go on this long before it is cancelled. */
static const int64_t grace_us = 10 * US_PER_S;

static const struct {
    const char *state, *words;
} advice[] = {
    {"2D000", "it ends the transaction itself: begin the file with the line -- deploy: no-transaction"},
    {"25001", "it takes no transaction: begin the file with the line -- deploy: no-transaction"},
    {"55P04",
     "a new value of an enum can be used only after it is committed: put ALTER TYPE into a file before"},
    {"53100", "the server's disk is full"},
    {"53200", "the server has no memory for it"},
    {"22021", "the file is read as UTF-8"},
    {"25006", "READ ONLY by a setting of the file, in whose transactions nothing can be recorded: leave it "
              "out; or the "
              "server takes no writes any more (standby, default_transaction_read_only)"},
};

PGTransactionStatusType apply_state(const struct apply *a)
{
    return a->s->conn.pg ? PQtransactionStatus(a->s->conn.pg) : PQTRANS_UNKNOWN;
}

/* ---- texts ---- */

static void locate(const struct apply *a, const struct sql_statement *st, unsigned *line, unsigned *column)
{
    *line = st->line;
    *column = st->column;
    if (a->failure.data_line && st->data) {
        *line = st->data_line + a->failure.data_line - 1;
        *column = 1;
    } else if (a->failure.position) {
        pg_position(str_text(&a->sql), a->failure.position, line, column);
    }
}

/* Who may, when we may not: the last word of "must be owner of table t", "permission denied for schema s". */
static void add_owner(struct apply *a, struct str *text)
{
    cleanup_arena struct arena arena = {0};
    cleanup_result PGresult *r = NULL;
    struct error ignored = {0};
    size_t len = strcspn(a->failure.text, ";");
    const char *message = arena_strndup(&arena, a->failure.text, len), *blank = strrchr(message, ' ');
    str_printf(text, "; the role is %s", a->s->user);
    if (!blank || session_rollback(a->s, &ignored) < 0)
        return;
    if (PG_ASK(&a->s->conn, "looking for an owner", &r, &ignored,
               "SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE relname = $1 "
               "UNION SELECT "
               "pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE nspname = $1 LIMIT 1",
               blank + 1) == 0 &&
        PQntuples(r) == 1)
        str_printf(text, ", %s belongs to %s", blank + 1, PQgetvalue(r, 0, 0));
}

static void add_advice(struct apply *a, struct str *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(advice); i++)
        if (pg_failure_is(&a->failure, advice[i].state))
            str_printf(text, "; %s", advice[i].words);
    if (pg_failure_is(&a->failure, "42501"))
        add_owner(a, text);
}

/* Near what: the server would say it, and it may be a password without its quotes. */
static bool names_secret(const struct apply *a, const struct sql_statement *st)
{
    cleanup_arena struct arena arena = {0};
    if (!pg_failure_is(&a->failure, "42601"))
        return false;
    const char *text = arena_strndup(&arena, st->text, st->len), *word = strcasestr(text, "password");
    return word && a->failure.position > (unsigned)(word - text);
}

static int fail_at(struct apply *a, const struct sql_statement *st, struct error *err)
{
    cleanup_str struct str more = {0};
    unsigned line, column;
    if (names_secret(a, st))
        snprintf(a->failure.text, sizeof a->failure.text,
                 "syntax error behind PASSWORD, where a literal has to be");
    pg_failure_error(&a->failure, err);
    locate(a, st, &line, &column);
    a->at = *st;
    a->error_line = line;
    add_advice(a, &more);
    cleanup_arena struct arena arena = {0};
    const char *said = arena_strdup(&arena, err->text);
    return error_set(err, err->kind, 0, "%s:%u:%u: %s%s", a->migration->file, line, column, said,
                     str_text(&more));
}

int apply_refuse(struct apply *a, const struct sql_statement *st, struct error *err, const char *format, ...)
{
    va_list ap;
    cleanup_arena struct arena arena = {0};
    va_start(ap, format);
    const char *text = arena_vprintf(&arena, format, ap);
    va_end(ap);
    a->failure = (struct pg_failure){.cause = PG_SERVER};
    a->at = *st;
    a->error_line = st->line;
    return error_set(err, ERR_FAILED, 0, "%s:%u:%u: %s", a->migration->file, st->line ? st->line : 1,
                     st->column ? st->column : 1, text);
}

int apply_place(struct apply *a, const struct sql_statement *st, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    bool is_ours = err->kind == ERR_FAILED || err->kind == ERR_INVALID || err->kind == ERR_NOT_FOUND;
    return is_ours && a->s->conn.pg ? apply_refuse(a, st, err, "%s", arena_strdup(&arena, err->text)) : -1;
}

/* ---- sending ---- */

/* Where a statement ends was told by the standard's rules, in UTF-8: by others, a COMMIT may hide in what we
 * take for a string. These are the encodings in which a character may end with the byte of a backslash. */
static int check_lexis(struct apply *a, const struct sql_statement *st, struct error *err)
{
    static const char *const unsafe[] = {"SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "UHC", "GB18030", "JOHAB"};
    const char *encoding = PQparameterStatus(a->s->conn.pg, "client_encoding");
    for (size_t i = 0; encoding && i < ARRAY_SIZE(unsafe); i++)
        if (str_eq(encoding, unsafe[i]))
            return apply_refuse(a, st, err,
                                "client_encoding is %s now, and the file is UTF-8: leave it alone", encoding);
    if (!str_eq(PQparameterStatus(a->s->conn.pg, "standard_conforming_strings"), "off"))
        return 0;
    return apply_refuse(
        a, st, err,
        "standard_conforming_strings is off now, and the rest of the file would mean something "
        "else than it does to us: leave it on, and write strings with backslashes as E'…'");
}

int apply_statement(struct apply *a, const struct sql_statement *st, struct error *err)
{
    struct pg_result result = {0};
    str_clear(&a->sql);
    str_append_n(&a->sql, st->text, st->len);
    const struct pg_call call = {
        .sql = str_text(&a->sql), .data = st->data, .data_len = st->data_len, .grace_us = grace_us};
    if (pg_run(&a->s->conn, &call, &result, &a->failure) < 0)
        return fail_at(a, st, err);
    PQclear(result.res);
    a->rows += result.rows;
    fault_point("sql.statement");
    return check_lexis(a, st, err);
}

static const char row_missing[] =
    "a row that records the file was not written, or is gone: by a trigger or a rule, by a unique constraint "
    "other than the version's, or by the file itself";

int apply_own(struct apply *a, const char *doing, const char *sql, bool commits, PGresult **ret,
              struct error *err)
{
    struct pg_result result = {0};
    const struct pg_call call = {.sql = sql, .grace_us = grace_us, .commits = commits};
    if (commits)
        fault_point("sql.before_commit");
    if (pg_run(&a->s->conn, &call, &result, &a->failure) < 0) {
        cleanup_str struct str more = {0};
        a->unknown = commits && a->failure.cause == PG_LOST;
        add_advice(a, &more);
        pg_failure_error(&a->failure, err);
        cleanup_arena struct arena arena = {0};
        bool is_ours = commits && pg_failure_is(&a->failure, ONE_ROW_MISSING) && !a->failure.in_function;
        const char *said = is_ours ? row_missing : arena_strdup(&arena, err->text);
        return error_set(err, err->kind, 0, "%s:%u:%u: %s: %s%s", a->migration->file,
                         a->at.line ? a->at.line : 1, a->at.column ? a->at.column : 1, doing, said,
                         str_text(&more));
    }
    if (commits)
        fault_point("sql.committed");
    if (ret)
        *ret = result.res;
    else
        PQclear(result.res);
    return 0;
}

/* Rows of COPY are not tokens: as they are. */
void apply_prefix(char prefix[SQL_HASH_SIZE], const struct sql_statement *st)
{
    cleanup_str struct str chain = {0};
    char tokens[SQL_HASH_SIZE], rows[SHA256_HEX_SIZE] = "";
    struct error ignored = {0};
    if (st->kind == SQL_COPY_IN || sql_prefix_hash("", st->text, st->len, 1, tokens, &ignored) < 0)
        sha256_hex(st->text, st->len, tokens);
    if (st->data_len)
        sha256_hex(st->data, st->data_len, rows);
    str_printf(&chain, "%s %s %s", prefix, tokens, rows);
    sha256_hex(chain.data, chain.len, prefix);
}

/* ---- the end of a file ---- */

/* Versions that this transaction has written. A table that is rewritten shows all of its rows. */
#define WRITTEN_BY_US                                                                                        \
    "SELECT version::text FROM %s WHERE CASE WHEN pg_catalog.age(xmin) <= 0 THEN "                           \
    "pg_catalog.txid_status((pg_catalog.txid_current_if_assigned() >> 32 << 32) | xmin::text::bigint) = "    \
    "'in progress' END"

/* A file may have inserted its own version, and no other: copies of a template do that. */
static int check_versions(struct apply *a, bool *ret_own, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    cleanup_result PGresult *r = NULL;
    struct books *b = &a->s->books;
    const char *sql = arena_printf(&arena, SESSION_OURS WRITTEN_BY_US, b->table_sql);
    *ret_own = false;
    if (apply_own(a, "looking for what it recorded itself", sql, false, &r, err) < 0)
        return -1;
    for (int i = 0; i < PQntuples(r); i++) {
        const char *version = PQgetvalue(r, i, 0);
        int64_t number = version_number(version);
        if (number == a->migration->number)
            *ret_own = true;
        else if (!books_has_version(b, number))
            return apply_refuse(
                a, &a->at, err,
                "the file inserts version %s into %s, but it is version %s: correct its INSERT", version,
                b->table_sql, a->migration->version);
    }
    return 0;
}

/* The file may be the one that makes the table: looked for as the login sees it. */
static int look_for_table(struct apply *a, struct error *err)
{
    struct books *b = &a->s->books;
    struct migration_history kept = b->history;
    if (apply_own(a, "looking for the table of versions", SESSION_OURS, false, NULL, err) < 0)
        return -1;
    if (books_look(a->s, err) < 0)
        return apply_place(a, &a->at, err);
    b->history.versions = kept.versions;
    b->history.n_versions = kept.n_versions;
    if (!b->exists)
        return 0;
    if (b->history.required)
        return apply_refuse(a, &a->at, err,
                            "the file makes the table %s with a column %s that has no default: we cannot add "
                            "rows to it",
                            b->table_sql, b->history.required);
    return 0;
}

static const char *log_sql(const struct apply *a, struct arena *arena)
{
    const struct log_entry e = {.migration = a->migration,
                                .mode = sql_mode_name(a->migration->summary.mode),
                                .state = "applied",
                                .total = a->migration->summary.n_statements,
                                .done = a->migration->summary.n_statements,
                                .started_us = a->started_us,
                                .finished = true};
    int64_t took_ms = (wall_us() - a->started_us) / 1000;
    if (!a->log_id)
        return record_log_sql(a->s, arena, &e);
    return arena_printf(
        arena,
        ONE_ROW("UPDATE %s SET state = 'applied', stmts_done = stmts_total, stmt_index = "
                "NULL, finished_at = pg_catalog.clock_timestamp(), duration_ms = %lld WHERE id = %lld "
                "RETURNING 1"),
        a->s->books.log_sql, (long long)(took_ms > 0 ? took_ms : 0), (long long)a->log_id);
}

bool apply_is_utf8(const struct apply *a)
{
    const char *encoding = PQparameterStatus(a->s->conn.pg, "client_encoding");
    return !encoding || str_eq(encoding, "UTF8");
}

/* A file may have set another; the names that we write are UTF-8. */
int apply_encoding(struct apply *a, struct error *err)
{
    if (apply_is_utf8(a))
        return 0;
    return apply_own(a, "setting client_encoding", "SET LOCAL client_encoding = 'UTF8'", false, NULL, err);
}

int apply_check(struct apply *a, bool *ret_own, struct error *err)
{
    struct books *b = &a->s->books;
    bool look = !b->exists && !b->found_sql;
    *ret_own = false;
    if (!a->s->step->versioned || (!look && !a->names_table))
        return 0;
    if (apply_own(a, "COMMIT", APPLY_DEFERRED, false, NULL, err) < 0 || (look && look_for_table(a, err) < 0))
        return -1;
    return b->exists && a->names_table ? check_versions(a, ret_own, err) : 0;
}

static int finish(struct apply *a, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct session *s = a->s;
    bool own, versioned = s->step->versioned;
    if (apply_encoding(a, err) < 0 || apply_check(a, &own, err) < 0)
        return -1;
    const char *sql = arena_printf(
        &arena, APPLY_DEFERRED SESSION_OURS "%s%s%sCOMMIT", versioned ? record_table_sql(s, &arena) : "",
        versioned && !own ? record_version_sql(s, &arena, a->migration) : "", log_sql(a, &arena));
    return apply_own(a, "recording it and COMMIT", sql, true, NULL, err);
}

int apply_finish(struct apply *a, struct error *err)
{
    struct session *s = a->s;
    struct books before = s->books;
    if (finish(a, err) < 0) {
        s->books = before; /* a table that the file made is gone again */
        return -1;
    }
    a->recorded = true;
    if (s->step->versioned && !s->books.exists) {
        s->books.exists = s->books.has_name = true;
        s->books.history.shape = MIGRATION_ROWS;
    }
    return 0;
}
