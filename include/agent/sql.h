/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * SQL files, read as psql reads them (https://www.postgresql.org/docs/15/app-psql.html, psqlscan.l): where
 * one statement ends and the next begins, what kind each is, what is dangerous about it. Pure: bytes in,
 * structs out; src/sql needs no server.
 *
 *     struct sql_lexer lexer;
 *     struct sql_statement s;
 *     sql_lexer_init(&lexer, "016_add.sql", text, len);
 *     while ((r = sql_next(&lexer, &s, &err)) > 0)
 *         …
 *
 * Errors begin "FILE:LINE:COLUMN: ". Lines and columns count from 1, columns in characters.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/error.h"
#include "base/arena.h"

enum sql_kind {
    SQL_OTHER,
    SQL_BEGIN,    /* BEGIN, START TRANSACTION */
    SQL_COMMIT,   /* COMMIT, END; of a transaction block, not of a prepared one */
    SQL_ROLLBACK, /* ROLLBACK, ABORT; not to a savepoint */
    SQL_COPY_IN,  /* COPY … FROM STDIN: the rows follow, up to a line \. */
    SQL_COPY_OUT, /* COPY … TO STDOUT */
    /* those below refuse a transaction block; they differ in what a crash leaves */
    SQL_CREATE_INDEX_CONCURRENTLY,
    SQL_REINDEX_CONCURRENTLY,
    SQL_AGAIN, /* running it twice does no harm: VACUUM, ALTER SYSTEM, … IF [NOT] EXISTS */
    SQL_ONCE,  /* CREATE DATABASE, DROP TABLESPACE, DROP INDEX CONCURRENTLY without IF EXISTS, … */
};

static inline bool sql_kind_refuses_transaction(enum sql_kind kind)
{
    return kind >= SQL_CREATE_INDEX_CONCURRENTLY;
}

struct sql_statement {
    unsigned number; /* from 1 */
    enum sql_kind kind;
    const char *text; /* its first token to its last, without the semicolon: inside of the file's bytes */
    size_t len;
    unsigned line, column;
    const char *data; /* SQL_COPY_IN: the rows, without the line \. */
    size_t data_len;
    unsigned data_line;
    const char
        *index; /* CREATE INDEX CONCURRENTLY: its name as written, inside of the bytes; NULL: none given */
    size_t index_len;
    const char *table; /* the same: the index's, the REINDEXed object, the partition to be detached */
    size_t table_len;
    bool concurrently; /* waits for the transactions of others, and nobody waits for it meanwhile */
};

enum {
    SQL_FILE_MAX = 64 << 20,      /* bytes */
    SQL_STATEMENT_MAX = 16 << 20, /* bytes, without the rows of COPY */
    SQL_STATEMENTS_MAX = 100000,
};

struct sql_lexer { /* of src/sql/lexer.c */
    const char *file, *text;
    size_t len, at;
    unsigned number;
    size_t counted; /* bytes whose lines were counted: this place is at line, column */
    unsigned line, column;
};

/* A UTF-8 BOM is skipped. text lives longer than the lexer and what it returns. */
void sql_lexer_init(struct sql_lexer *lexer, const char *file, const char *text, size_t len);
/*
 * 1: *ret is the next statement. 0: the end. -1, ERR_INVALID: what psql would not run either or we do not: an
 * unterminated quote, comment or dollar quote, a psql command but \set, \timing, \echo, \pset, \restrict,
 * \unrestrict, \encoding UTF8, a limit.
 */
int sql_next(struct sql_lexer *lexer, struct sql_statement *ret, struct error *err) MUST_CHECK;

/* ---- a whole file ---- */

enum sql_mode {
    SQL_TX,       /* one transaction: ours, or the file's own BEGIN and final COMMIT */
    SQL_MULTI_TX, /* several of its own */
    SQL_NO_TX,    /* something refuses a transaction block, or -- deploy: no-transaction */
};
const char *sql_mode_name(enum sql_mode mode); /* as stored: tx, multi_tx, no_tx */

#define SQL_HASH_SIZE 65

struct sql_lint {
    const char *rule; /* "index-without-concurrently"; stable */
    unsigned line;
    const char *text;  /* one line, what may go wrong and what to write in its place */
    const char *table; /* only when this exists and no earlier pending file made it; NULL: always */
    const char *role;  /* only when no such role exists; NULL: always */
};

struct sql_summary {
    enum sql_mode mode;
    unsigned n_statements;
    bool begins, commits; /* SQL_TX: the file brings its BEGIN, its final COMMIT */
    bool breaking;        /* -- deploy: breaking: old code does not work on the new schema */
    bool out_of_order;    /* -- deploy: out-of-order: may come before versions that were applied */
    /* sha256 of its tokens: blanks, comments, line ends and BOM do not count; formula: src/sql/hash.h */
    char hash[SQL_HASH_SIZE];
    const char **tables; /* made by it; folded as the server does, "t" or "s.t" as written; NULL-terminated */
    const char **roles;  /* the same; NULL: none */
    struct sql_lint *lints;
    size_t n_lints;
};

/*
 * Reads a file to its end and says what it is. Refuses also: NUL bytes, text that is not UTF-8, BOMs of
 * UTF-16 and UTF-32, a statement that refuses a transaction block beside one, BEGIN without COMMIT, PREPARE
 * TRANSACTION, unknown directives and what is nearly one. version: the file's own, for the check of what it
 * inserts into schema_migrations; NULL: none. Directives stand in comments before the first statement, blanks
 * or commas between: -- deploy: no-transaction, breaking, out-of-order
 */
int sql_summarise(struct arena *arena, const char *file, const char *text, size_t len, const char *version,
                  struct sql_summary *ret, struct error *err) MUST_CHECK;

/* Is it the name of a rule that sql_summarise() knows? */
bool sql_lint_is_rule(const char *name);

/* sha256, hex, of the tokens of the first n statements: the same prefix after an edit further down. */
int sql_prefix_hash(const char *file, const char *text, size_t len, unsigned n, char ret[SQL_HASH_SIZE],
                    struct error *err) MUST_CHECK;
