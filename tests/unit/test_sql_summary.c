/* SPDX-License-Identifier: Apache-2.0 */
/* Whole SQL files: mode, directives, tables, refusals, hashes, warnings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/sql.h"
#include "base/cleanup.h"
#include "base/str.h"

/* ---- modes, directives, tables ---- */

/* "tx begins commits breaking out-of-order 3: t s.u", or the error's text */
static char *summary_of(struct arena *arena, const char *text, size_t len)
{
    struct sql_summary s;
    struct error err = {0};
    if (sql_summarise(arena, "f.sql", text, len, NULL, &s, &err) < 0) {
        assert_int_equal(err.kind, ERR_INVALID);
        return arena_strdup(arena, err.text);
    }
    cleanup_str struct str all = {0};
    str_printf(&all, "%s%s%s%s%s %u", sql_mode_name(s.mode), s.begins ? " begins" : "",
               s.commits ? " commits" : "", s.breaking ? " breaking" : "",
               s.out_of_order ? " out-of-order" : "", s.n_statements);
    for (const char **table = s.tables; *table; table++)
        str_printf(&all, "%s %s", table == s.tables ? ":" : "", *table);
    for (const char **role = s.roles; role && *role; role++)
        str_printf(&all, " role=%s", *role);
    return arena_strdup(arena, str_text(&all));
}

struct text_case {
    const char *text, *expected;
    size_t len; /* 0: strlen() */
};

static void check_summaries(const struct text_case *cases, size_t n)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < n; i++) {
        cleanup_arena struct arena arena = {0};
        size_t len = cases[i].len ? cases[i].len : strlen(cases[i].text);
        const char *got = summary_of(&arena, cases[i].text, len);
        if (str_eq(got, cases[i].expected))
            continue;
        print_error("%s\n  expected: %s\n  got:      %s\n", cases[i].text, cases[i].expected, got);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void test_modes(void **state)
{
    static const struct text_case cases[] = {
        {"", "tx 0", 0},
        {"-- nothing\n", "tx 0", 0},
        {"SELECT 1; SELECT 2", "tx 2", 0},
        {"BEGIN; SELECT 1; COMMIT;", "tx begins commits 3", 0},
        {"/* a */ start transaction isolation level serializable; SELECT 1; end", "tx begins commits 3", 0},
        {"SELECT 1; COMMIT;", "tx commits 2", 0},
        {"BEGIN; COMMIT; BEGIN; COMMIT;", "multi_tx 4", 0},
        {"SELECT 1; BEGIN; SELECT 2; COMMIT;", "multi_tx 4", 0},
        {"BEGIN; SELECT 1; COMMIT; SELECT 2", "multi_tx 4", 0},
        {"BEGIN; BEGIN; COMMIT;", "multi_tx 3", 0},
        {"BEGIN; SELECT 1; ROLLBACK;", "multi_tx 3", 0},
        {"BEGIN; SAVEPOINT a; ROLLBACK TO a; COMMIT", "tx begins commits 4", 0},
        {"BEGIN; SELECT 1; COMMIT AND CHAIN; SELECT 2; COMMIT", "multi_tx 5", 0},
        {"VACUUM; SELECT 1", "no_tx 2", 0},
        {"CREATE INDEX CONCURRENTLY i ON t (a)", "no_tx 1", 0},
        {"-- deploy: no-transaction\nSELECT 1", "no_tx 1", 0},
        /* refused */
        {"BEGIN;\nSELECT 1;",
         "f.sql:1:1: this transaction has no COMMIT: psql would roll it back at the end. Write COMMIT; there",
         0},
        {"BEGIN; SELECT 1;\n COMMIT AND CHAIN",
         "f.sql:2:2: this transaction has no COMMIT: psql would roll it back at the end. Write COMMIT; there",
         0},
        {"BEGIN;\nVACUUM;\nCOMMIT;",
         "f.sql:2:1: this refuses a transaction, and the file has one of its own: put it into a file alone",
         0},
        {"BEGIN; SELECT 1; COMMIT;\nCREATE INDEX CONCURRENTLY i ON t (a);",
         "f.sql:2:1: this refuses a transaction, and the file has one of its own: put it into a file alone",
         0},
        {"-- deploy: no-transaction\nBEGIN; COMMIT;",
         "f.sql:2:1: beside -- deploy: no-transaction a file has no transaction of its own: leave out either",
         0},
        {"BEGIN;\nPREPARE TRANSACTION 'a';",
         "f.sql:2:1: PREPARE TRANSACTION would leave a transaction and its locks behind: leave it out", 0},
        {"SELECT 'a", "f.sql:1:8: this string has no end", 0},
    };
    (void)state;
    check_summaries(cases, ARRAY_SIZE(cases));
}

static void test_directives(void **state)
{
    static const struct text_case cases[] = {
        {"-- deploy: breaking\nSELECT 1", "tx breaking 1", 0},
        {"\xef\xbb\xbf--deploy: breaking,out-of-order\r\n-- deploy:\tno-transaction\r\nSELECT 1",
         "no_tx breaking out-of-order 1", 0},
        {"-- a\n\n\\echo it's\n/* b */ -- deploy: breaking\n;\nSELECT 1", "tx breaking 1", 0},
        {"-- deploy: breaking", "tx breaking 0", 0},
        {"/* -- deploy: breaking */ SELECT 1", "tx 1", 0},
        {"SELECT '\n-- deploy: breaking\n'", "tx 1", 0},
        {"SELECT 1 -- deploy: breaking\n;", "tx 1", 0},
        {"--deploy:breaking\nSELECT 1", "tx breaking 1", 0},
        {"-- to deploy: breaking\n-- deployed: breaking\n-- Deploy shop:users to pg\nSELECT 1", "tx 1", 0},
        {"SELECT 1;\n-- deploy: this one on Friday", "tx 1", 0},
        {"-- a\n-- deploy: braking\nSELECT 1",
         "f.sql:2:1: unknown directive 'braking': there are no-transaction, breaking, out-of-order", 0},
        {"-- deploy: breaking no\x1b[1m\nSELECT 1",
         "f.sql:1:1: unknown directive 'no[1m': there are no-transaction, breaking, out-of-order", 0},
        {"-- deploy:\nSELECT 1",
         "f.sql:1:1: unknown directive '': there are no-transaction, breaking, out-of-order", 0},
        {"SELECT 1;\n-- deploy: breaking",
         "f.sql:2:1: -- deploy: breaking stands before the first statement, or it does not count", 0},
        {"-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2",
         "f.sql:3:1: 'migrate:down' begins the way back in files of dbmate; files run whole here, so that it "
         "would undo the file at once: keep it in a file beside, under rollback/",
         0},
        {"-- +goose Up\nSELECT 1;\n--+goose down\nSELECT 2",
         "f.sql:3:1: '+goose Down' begins the way back in files of goose; files run whole here, so that it "
         "would undo the file at once: keep it in a file beside, under rollback/",
         0},
        {"SELECT '\n-- migrate:down\n'", "tx 1", 0},
    };
    (void)state;
    check_summaries(cases, ARRAY_SIZE(cases));
}

/* Meant as a directive, and to pass it over would put old code on the new schema. */
#define WRITE(word)                                                                                          \
    "a directive is a line of its own, -- deploy: " word ", in small letters and without a blank before "    \
    "the colon; a comment that is none begins with another word"

static void test_near_directives(void **state)
{
    static const struct text_case cases[] = {
        {"-- Deploy: breaking\nSELECT 1", "f.sql:1:1: " WRITE("breaking"), 0},
        {"-- a\n--DEPLOY:Breaking\nSELECT 1", "f.sql:2:1: " WRITE("breaking"), 0},
        {"-- deploy : Out-Of-Order\nSELECT 1", "f.sql:1:1: " WRITE("out-of-order"), 0},
        {"--- deploy: no-transaction\nSELECT 1", "f.sql:1:1: " WRITE("no-transaction"), 0},
        {"/* deploy: breaking */ SELECT 1", "f.sql:1:1: " WRITE("breaking"), 0},
        {"/*deploy: breaking*/ SELECT 1", "f.sql:1:1: " WRITE("breaking"), 0},
        {"/**\n * deploy: breaking\n */\nSELECT 1", "f.sql:1:1: " WRITE("breaking"), 0},
        {"-- Deploy: braking\nSELECT 1", "f.sql:1:1: " WRITE("WORD"), 0},
        {"/*deploy:*/ SELECT 1", "f.sql:1:1: " WRITE("WORD"), 0},
        {"SELECT 1;\n/* deploy: breaking */",
         "f.sql:2:1: -- deploy: breaking stands before the first statement, or it does not count", 0},
        {"SELECT 1;\n-- deploy: Breaking",
         "f.sql:2:1: -- deploy: breaking stands before the first statement, or it does not count", 0},
        /* other texts */
        {"SELECT 1;\n-- Deploy: this one on Friday\n/* deploy : */", "tx 1", 0},
        {"-- deploy\n-- deploy this: breaking\n/* to deploy: breaking */ /**/ /***/ SELECT 1", "tx 1", 0},
        {"SELECT 1 /* deploy: breaking */ + 1", "tx 1", 0},
    };
    (void)state;
    check_summaries(cases, ARRAY_SIZE(cases));
}

static void test_tables(void **state)
{
    static const struct text_case cases[] = {
        {"CREATE TABLE a (b int); CREATE UNLOGGED TABLE IF NOT EXISTS S.\"T \"\"x\"(b int);",
         "tx 2: a s.T \"x", 0},
        {"CREATE ROLE App; CREATE USER \"B c\" LOGIN; CREATE GROUP g; CREATE USER MAPPING FOR u SERVER s",
         "tx 4 role=app role=B c role=g", 0},
        {"CREATE TEMP TABLE Abc AS SELECT 1; CREATE FOREIGN TABLE x.y (a int) SERVER s", "tx 2: abc x.y", 0},
        {"CREATE MATERIALIZED VIEW m AS SELECT 1; CREATE VIEW v AS SELECT 1; CREATE TABLESPACE", "no_tx 3: m",
         0},
        {"ALTER TABLE a RENAME TO b; ALTER TABLE ONLY s.a RENAME TO b; ALTER TABLE a RENAME c TO d",
         "tx 3: b s.b", 0},
        {"CREATE TABLE \xc3\x84 (b int)", "tx 1: \xc3\x84", 0},
    };
    (void)state;
    check_summaries(cases, ARRAY_SIZE(cases));
}

static void test_bytes(void **state)
{
#define BYTES(text, expected)                                                                                \
    {                                                                                                        \
        text, expected, sizeof(text) - 1                                                                     \
    }
    static const struct text_case cases[] = {
        BYTES("\xff\xfe"
              "S\0",
              "f.sql:1:1: this is UTF-16: save the file as UTF-8"),
        BYTES("\xfe\xff\0S", "f.sql:1:1: this is UTF-16: save the file as UTF-8"),
        BYTES("\xff\xfe\0\0S\0\0\0", "f.sql:1:1: this is UTF-32: save the file as UTF-8"),
        BYTES("\0\0\xfe\xff\0\0\0S", "f.sql:1:1: this is UTF-32: save the file as UTF-8"),
        BYTES("SELECT 1;\n-- caf\xc3\xa9 caf\xe9\n",
              "f.sql:2:12: 0xE9 (byte 13 of the line) is not UTF-8: save the file as UTF-8"),
        BYTES("\xe9", "f.sql:1:1: 0xE9 (byte 1 of the line) is not UTF-8: save the file as UTF-8"),
        BYTES("-- 12345678\xc3",
              "f.sql:1:12: 0xC3 (byte 12 of the line) is not UTF-8: save the file as UTF-8"),
        BYTES("SELECT 1;\n\0DROP TABLE t;",
              "f.sql:2:1: a NUL (byte 1 of the line): PostgreSQL would get only what stands before it"),
        BYTES("\xef\xbb\xbfSELECT '\xf0\x9f\x98\x80'; SELECT (",
              "f.sql:1:20: this parenthesis is not closed"),
        BYTES("\xef\xbb\xbf\xef\xbb\xbfSELECT 1", "tx 1"),
    };
#undef BYTES
    (void)state;
    check_summaries(cases, ARRAY_SIZE(cases));
}

/* ---- hashes ---- */

/*
 * Stored in users' databases: these never change. Computed with another program from the formula in
 * src/sql/hash.h.
 */
#define HASH_A    "d49066515163ab6dfa5433653dc98c6adb64de795041515b955a04afbeeebb85"
#define HASH_AB   "6d10f8138d48493b7da617b8f31a7eed6212bbe2ddb8a67924d878fccc34e836"
#define HASH_ABC  "7638c6a6d6499bd486c4a4cf05573cc7b5ce68722994c793642c387ce6c73467"
#define HASH_ABCD "f17a586f5412a7a29658407ed41133372378a2277ff56b7e79b395df4ddbff9b"
#define A         "CREATE TABLE t (a int);"
#define B         "INSERT INTO t VALUES (1), (- 2.5e-3);"
#define C         "SELECT $$a\nb$$ || E'\\'c' = - 1 :: text;"
#define D         "COPY t (a) FROM STDIN;\n1\n2\n\\.\n"

static void test_hashes(void **state)
{
    static const struct text_case cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0},
        {"-- a\n;;", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0},
        {A, HASH_A, 0},
        {A B, HASH_AB, 0},
        {A B C, HASH_ABC, 0},
        {A B C D, HASH_ABCD, 0},
        {"\xef\xbb\xbf/* Licence */ CREATE  TABLE\r\nt(a\tint) -- c\r\n;;", HASH_A, 0},
        {"CREATE TABLE t (a int)", HASH_A, 0},
        {A "\\timing\nINSERT INTO t VALUES(1),(-2.5e-3)", HASH_AB, 0},
        {A B "SELECT $$a\r\nb$$||E'\\'c'=-1::text", HASH_ABC, 0},
        {A B C "COPY t(a)FROM STDIN; -- c\r\n1\r\n2\r\n\\.\r\n", HASH_ABCD, 0},
    };
    static const char *const others[] = {
        "create table t (a int);",  "CREATE TABLE t (a bigint);", "CREATE TABLE \"t\" (a int);",
        "CREATE TABLE t (a int));", "CREATE TABLE t (a i nt);",   "CREATE TABLE; t (a int);",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct sql_summary s;
        struct error err = {0};
        assert_int_equal(sql_summarise(&arena, "f.sql", cases[i].text, strlen(cases[i].text), NULL, &s, &err),
                         0);
        assert_string_equal(s.hash, cases[i].expected);
    }
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        cleanup_arena struct arena arena = {0};
        struct sql_summary s;
        struct error err = {0};
        assert_int_equal(sql_summarise(&arena, "f.sql", others[i], strlen(others[i]), NULL, &s, &err), 0);
        assert_string_not_equal(s.hash, HASH_A);
    }
}

/* More than fits into the buffer, in one token and in many. */
static void test_hashes_of_much(void **state)
{
    static const struct {
        const char *head, *part, *tail, *hash;
        unsigned n;
    } cases[] = {
        {"SELECT '", "x", "'", "495f333cc4812a440ea1566b649553a41af313cc03d6dc0cde07130df3ff7560", 5000},
        {"SELECT ", "1,", "1", "a1836e0fe7b6048728ca2716208550c43abad87f88e58399d19ac8337e2bb350", 3000},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_str struct str text = {0};
        struct error err = {0};
        char hash[SQL_HASH_SIZE];
        str_append(&text, cases[i].head);
        for (unsigned n = 0; n < cases[i].n; n++)
            str_append(&text, cases[i].part);
        str_append(&text, cases[i].tail);
        assert_int_equal(sql_prefix_hash("f.sql", text.data, text.len, 1, hash, &err), 0);
        assert_string_equal(hash, cases[i].hash);
    }
}

/* Blanks may stand between any two tokens. */
static void test_hashes_of_tokens(void **state)
{
    static const char *const same[][2] = {
        {"SELECT a[1:n]", "SELECT a [ 1 : n ]"},
        {"SELECT a=-1, b*-+1, c@-1", "SELECT a = - 1, b * - + 1, c @- 1"},
        {"SELECT 1.5e3,.5,1.,$1,t.a..b", "SELECT 1.5e3 , .5 , 1. , $1 , t . a .. b"},
        {"SELECT E'\\'',N'b'||U&\"c\"", "SELECT E'\\'' , N'b' || U&\"c\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        char hashes[2][SQL_HASH_SIZE];
        struct error err = {0};
        for (unsigned j = 0; j < 2; j++)
            assert_int_equal(sql_prefix_hash("f.sql", same[i][j], strlen(same[i][j]), 1, hashes[j], &err), 0);
        assert_string_equal(hashes[0], hashes[1]);
    }
}

/* The hash of the first statements does not see what stands behind them, not even what cannot be read. */
static void test_prefix_hashes(void **state)
{
    static const char text[] = A B C D "SELECT 'no end";
    static const char *const expected[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                           HASH_A, HASH_AB, HASH_ABC, HASH_ABCD};
    struct error err = {0};
    char hash[SQL_HASH_SIZE];
    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(expected); n++) {
        assert_int_equal(sql_prefix_hash("f.sql", text, strlen(text), n, hash, &err), 0);
        assert_string_equal(hash, expected[n]);
    }
    assert_int_equal(sql_prefix_hash("f.sql", text, strlen(text), 5, hash, &err), -1);
    assert_string_equal(err.text, "f.sql:6:8: this string has no end");
    /* fewer than asked for: a hash, and another one than that of the longer text */
    assert_int_equal(sql_prefix_hash("f.sql", A, strlen(A), 2, hash, &err), 0);
    assert_string_equal(hash, HASH_A);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_directives),
        cmocka_unit_test(test_near_directives),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_hashes_of_tokens),
        cmocka_unit_test(test_hashes_of_much),
        cmocka_unit_test(test_prefix_hashes),
    };
    return cmocka_run_group_tests_name("sql_summary", tests, NULL, NULL);
}
