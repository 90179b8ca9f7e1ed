/* SPDX-License-Identifier: Apache-2.0 */
/* Statements of SQL files: where they end, where they stand, what kind they are. What psql itself does with
   such files is compared in tests/sql/differential. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sql.h"
#include "base/cleanup.h"
#include "base/str.h"

/* Statements between "\x1f", or the error's text. */
#define NEXT "\x1f"

static char *statements_of(struct arena *arena, const char *text, size_t len)
{
    cleanup_str struct str all = {0};
    struct sql_lexer lexer;
    struct sql_statement s;
    struct error err = {0};
    int r;
    sql_lexer_init(&lexer, "f.sql", text, len);
    while ((r = sql_next(&lexer, &s, &err)) > 0) {
        if (all.len)
            str_append(&all, NEXT);
        str_append_n(&all, s.text, s.len);
        if (s.data)
            str_printf(&all, " <%.*s>", (int)s.data_len, s.data);
    }
    return arena_strdup(arena, r < 0 ? err.text : str_text(&all));
}

struct text_case {
    const char *text, *expected;
};

static void check_statements(const struct text_case *cases, size_t n)
{
    cleanup_arena struct arena arena = {0};
    unsigned wrong = 0;
    for (size_t i = 0; i < n; i++) {
        const char *got = statements_of(&arena, cases[i].text, strlen(cases[i].text));
        if (str_eq(got, cases[i].expected))
            continue;
        print_error("%s\n  expected: %s\n  got:      %s\n", cases[i].text, cases[i].expected, got);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void test_boundaries(void **state)
{
    static const struct text_case cases[] = {
        {"", ""},
        {" \n\t\f\r\n", ""},
        {"-- only\n/* comments /* nested */ ; */ -- at the end", ""},
        {";;\n;", ""},
        {"SELECT 1", "SELECT 1"},
        {"SELECT 1;SELECT 2;", "SELECT 1" NEXT "SELECT 2"},
        {"\xef\xbb\xbfSELECT 1;", "SELECT 1"},
        {"/* a */ SELECT /* ; */ 1 -- ;\n /* b */ ; -- c", "SELECT /* ; */ 1"},
        {"SELECT 1 -- a\r; SELECT 2", "SELECT 1" NEXT "SELECT 2"},
        {"SELECT 1\r\n;\r\nSELECT 2;\r\n", "SELECT 1" NEXT "SELECT 2"},
        /* quotes */
        {"SELECT ';'; SELECT '''; -- '; SELECT 2", "SELECT ';'" NEXT "SELECT '''; -- '" NEXT "SELECT 2"},
        {"SELECT 'a\\'; SELECT 2", "SELECT 'a\\'" NEXT "SELECT 2"},
        {"SELECT E'a\\';\\\\'';' ; SELECT 2", "SELECT E'a\\';\\\\'';'" NEXT "SELECT 2"},
        {"SELECT e'\\\\'; SELECT 2", "SELECT e'\\\\'" NEXT "SELECT 2"},
        {"SELECT ae'\\'; SELECT 2", "SELECT ae'\\'" NEXT "SELECT 2"},
        {"SELECT U&'\\0041;' UESCAPE '!', u&\"a;\"; SELECT 2",
         "SELECT U&'\\0041;' UESCAPE '!', u&\"a;\"" NEXT "SELECT 2"},
        {"SELECT B'01;', X'1f;', N'n;''', b'', x''; SELECT 2",
         "SELECT B'01;', X'1f;', N'n;''', b'', x''" NEXT "SELECT 2"},
        {"SELECT \"a;\"\"b'\"; SELECT 2", "SELECT \"a;\"\"b'\"" NEXT "SELECT 2"},
        {"SELECT 'a'\n'b;'; SELECT 2", "SELECT 'a'\n'b;'" NEXT "SELECT 2"},
        {"SELECT E'a'\n'b\\'; SELECT 2", "SELECT E'a'\n'b\\'" NEXT "SELECT 2"},
        /* dollar quotes */
        {"SELECT $$;$$; SELECT $a$ ; $$;$$ $b$;$b$ $A$ $a$; SELECT 3",
         "SELECT $$;$$" NEXT "SELECT $a$ ; $$;$$ $b$;$b$ $A$ $a$" NEXT "SELECT 3"},
        {"SELECT $a$x$a$a$; SELECT 2", "SELECT $a$x$a$a$" NEXT "SELECT 2"},
        {"SELECT $a$ $b$a$ ; SELECT 2", "SELECT $a$ $b$a$" NEXT "SELECT 2"},
        {"SELECT $\xc3\xa4$;$\xc3\xa4$; SELECT 2", "SELECT $\xc3\xa4$;$\xc3\xa4$" NEXT "SELECT 2"},
        {"SELECT a$b$;SELECT $1;SELECT $1$$;$$", "SELECT a$b$" NEXT "SELECT $1" NEXT "SELECT $1$$;$$"},
        {"SELECT $1a$;SELECT 2", "SELECT $1a$" NEXT "SELECT 2"},
        {"SELECT 1$$;$$", "SELECT 1$$;$$"},
        {"SELECT 1e5$a$; SELECT 1e+5$a$;$a$; SELECT 1.5e5a$a$; SELECT 0x1f$a$;",
         "SELECT 1e5$a$" NEXT "SELECT 1e+5$a$;$a$" NEXT "SELECT 1.5e5a$a$" NEXT "SELECT 0x1f$a$"},
        {"SELECT :a$b$;$b$; SELECT :e'\\'; SELECT a[:b]; SELECT a::b$b$;",
         "SELECT :a$b$;$b$" NEXT "SELECT :e'\\'" NEXT "SELECT a[:b]" NEXT "SELECT a::b$b$"},
        /* comments and operators */
        {"SELECT 1 /* /* ; */ ' ; */; SELECT 2", "SELECT 1" NEXT "SELECT 2"},
        {"SELECT 1 /*/ ; */, 2 /***/; SELECT 3 /**/", "SELECT 1 /*/ ; */, 2" NEXT "SELECT 3"},
        {"SELECT 1 +/* ; */ 2; SELECT 1 --;\n ; SELECT 2",
         "SELECT 1 +/* ; */ 2" NEXT "SELECT 1" NEXT "SELECT 2"},
        {"SELECT 1 - -1; SELECT 2 <--;\n3", "SELECT 1 - -1" NEXT "SELECT 2 <--;\n3"},
        {"SELECT 1 */* ; */ 2; SELECT a ->> 'b;'", "SELECT 1 */* ; */ 2" NEXT "SELECT a ->> 'b;'"},
        /* parentheses */
        {"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
         "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)" NEXT "SELECT 3"},
        {"SELECT 1); SELECT 2", "SELECT 1)" NEXT "SELECT 2"},
        {"SELECT ')' || (';'); SELECT '('; SELECT 2",
         "SELECT ')' || (';')" NEXT "SELECT '('" NEXT "SELECT 2"},
        /* BEGIN ATOMIC */
        {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END; SELECT "
         "2",
         "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END" NEXT
         "SELECT 2"},
        {"create or replace procedure p() begin atomic; end; begin; end;",
         "create or replace procedure p() begin atomic; end" NEXT "begin" NEXT "end"},
        {"CREATE FUNCTION f(begin int) RETURNS int AS 'x' LANGUAGE sql; SELECT 1",
         "CREATE FUNCTION f(begin int) RETURNS int AS 'x' LANGUAGE sql" NEXT "SELECT 1"},
        {"CREATE FUNCTION \"begin\"() RETURNS int AS 'x'; SELECT 1",
         "CREATE FUNCTION \"begin\"() RETURNS int AS 'x'" NEXT "SELECT 1"},
        {"CREATE FUNCTION f() AS $$ BEGIN; $$; SELECT 1",
         "CREATE FUNCTION f() AS $$ BEGIN; $$" NEXT "SELECT 1"},
        {"CREATE TABLE function (a int); BEGIN; END;",
         "CREATE TABLE function (a int)" NEXT "BEGIN" NEXT "END"},
        {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT a[1:end]; SELECT 1::end; SELECT 2",
         "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT a[1:end]; SELECT 1::end" NEXT "SELECT 2"},
        {"; CREATE FUNCTION f() RETURNS int RETURN CASE WHEN a THEN 1 END; SELECT 2",
         "CREATE FUNCTION f() RETURNS int RETURN CASE WHEN a THEN 1 END" NEXT "SELECT 2"},
    };
    (void)state;
    check_statements(cases, ARRAY_SIZE(cases));
}

static void test_copy(void **state)
{
    static const struct text_case cases[] = {
        {"COPY t FROM STDIN;\n1;\t'\n2\n\\.\nSELECT 1;", "COPY t FROM STDIN <1;\t'\n2\n>" NEXT "SELECT 1"},
        {"COPY t FROM stdin -- x\n; -- y\n\n\\\\.\n\\.\r\nSELECT 1",
         "COPY t FROM stdin <\n\\\\.\n>" NEXT "SELECT 1"},
        {"COPY t FROM STDIN;\r\n1\r\n\\.\r\nSELECT 1", "COPY t FROM STDIN <1\r\n>" NEXT "SELECT 1"},
        {"COPY t FROM STDIN;\n\\.\n", "COPY t FROM STDIN <>"},
        {"COPY t FROM STDIN;\n\\.", "COPY t FROM STDIN <>"},
        {"COPY t FROM STDIN;\n\\.x\n\\..\n", "COPY t FROM STDIN <\\.x\n\\..\n>"},
        {"COPY t FROM STDIN;\n1\n2", "COPY t FROM STDIN <1\n2>"},
        {"COPY t FROM STDIN", "COPY t FROM STDIN <>"},
        {"COPY t FROM STDIN;", "COPY t FROM STDIN <>"},
        {"COPY t FROM STDIN; SELECT 1;\n1\n\\.\n",
         "f.sql:1:20: behind COPY … FROM STDIN; the line has to end: its rows begin on the next one"},
        {"COPY t FROM STDIN; /* a\n */\n\\.\n",
         "f.sql:1:20: behind COPY … FROM STDIN; the line has to end: its rows begin on the next one"},
        {"COPY t FROM '/file'; SELECT 1; COPY t FROM PROGRAM 'x'; COPY stdin TO '/f'",
         "COPY t FROM '/file'" NEXT "SELECT 1" NEXT "COPY t FROM PROGRAM 'x'" NEXT "COPY stdin TO '/f'"},
    };
    (void)state;
    check_statements(cases, ARRAY_SIZE(cases));
}

static void test_refused(void **state)
{
    static const struct text_case cases[] = {
        {"SELECT 1;\n  SELECT 'a;", "f.sql:2:10: this string has no end"},
        {"SELECT E'\\';", "f.sql:1:8: this string has no end"},
        {"SELECT U&'a", "f.sql:1:8: this string has no end"},
        {"SELECT \"a;", "f.sql:1:8: this quoted name has no end"},
        {"SELECT U&\"a;", "f.sql:1:8: this quoted name has no end"},
        {"SELECT 1;\n\n/* /* */ SELECT 2;", "f.sql:3:1: this comment has no end"},
        {"\xc3\xa4\xc3\xb6 $a$ x $b$ $a", "f.sql:1:4: this dollar quote has no end"},
        {"SELECT (1;\nSELECT ((2);", "f.sql:1:8: this parenthesis is not closed"},
        {"CREATE FUNCTION begin() AS 'x';\nSELECT 1;",
         "f.sql:1:17: BEGIN without END: psql, too, would take the rest of the file for this function; quote "
         "the word if it is a name"},
        /* commands of psql */
        {"\\set ON_ERROR_STOP on\n\\timing\n\\echo 'a\\nb' c\nSELECT 1;\n\\pset pager off\n\\restrict abc\n"
         "\\unrestrict abc\r\n\\encoding 'utf8'\n",
         "SELECT 1"},
        {"SELECT 1;\n \\connect other\n",
         "f.sql:2:2: \\connect is a command of psql: the agent chooses the database: one step for each"},
        {"\\i other.sql",
         "f.sql:1:1: \\i is a command of psql: a file stands alone: put the statements into it"},
        {"\\! rm x", "f.sql:1:1: \\! is a command of psql: programs are not run: use a run step"},
        {"\\!rm x", "f.sql:1:1: \\! is a command of psql: programs are not run: use a run step"},
        {"\\copy t FROM 'x'",
         "f.sql:1:1: \\copy is a command of psql: write COPY … FROM STDIN; with the rows behind "
         "it and \\. after them"},
        {"SELECT 1 \\g\n", "f.sql:1:10: \\g is a command of psql: end the statement with a semicolon"},
        {"SELECT 1 \\; SELECT 2;", "f.sql:1:10: \\; is a command of psql: leave the backslash out"},
        {"\\if true\n", "f.sql:1:1: \\if is a command of psql: write DO $$ BEGIN IF … END $$;"},
        {"\\unknown\n", "f.sql:1:1: \\unknown is a command of psql: it works in psql alone: leave it out"},
        {"\\", "f.sql:1:1: \\ is a command of psql: it works in psql alone: leave it out"},
        {"\\.\n", "f.sql:1:1: \\. is a command of psql: no COPY … FROM STDIN stands before it"},
        {"\\set name value\n",
         "f.sql:1:1: \\set is a command of psql: variables are not filled in: write the values themselves"},
        {"\\set AUTOCOMMIT off\n",
         "f.sql:1:1: \\set is a command of psql: variables are not filled in: write the values themselves"},
        {"\\encoding LATIN1\n", "f.sql:1:1: \\encoding is a command of psql: save the file as UTF-8"},
        {"SELECT 1\n\\timing\n;",
         "f.sql:2:1: \\timing is a command of psql: it cannot stand inside of a statement"},
        {"\\timing on \\connect x\n", "f.sql:1:12: only plain words may follow \\timing"},
        {"\\echo `date`\n", "f.sql:1:7: only plain words may follow \\echo"},
    };
    (void)state;
    check_statements(cases, ARRAY_SIZE(cases));
}

static void test_places(void **state)
{
    static const char text[] = "\xef\xbb\xbf-- \xc3\xa4\n  SELECT 1; /* \xc3\xa4 */ SELECT\n2;\r\n"
                               "COPY t FROM STDIN; -- rows\na\nb\n\\.\n\n\tSELECT 3";
    static const unsigned expected[][3] = {{2, 3, 0}, {2, 21, 0}, {4, 1, 5}, {9, 2, 0}};
    struct sql_lexer lexer;
    struct sql_statement s;
    struct error err = {0};
    (void)state;
    sql_lexer_init(&lexer, "f.sql", text, sizeof text - 1);
    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
        assert_int_equal(sql_next(&lexer, &s, &err), 1);
        assert_int_equal(s.number, i + 1);
        assert_int_equal(s.line, expected[i][0]);
        assert_int_equal(s.column, expected[i][1]);
        assert_int_equal(s.data_line, expected[i][2]);
    }
    assert_int_equal(sql_next(&lexer, &s, &err), 0);
    assert_int_equal(sql_next(&lexer, &s, &err), 0);
}

static void test_kinds(void **state)
{
    static const struct {
        const char *text;
        enum sql_kind kind;
        const char *index, *table;
    } cases[] = {
        {"begin", SQL_BEGIN, NULL, NULL},
        {"BEGIN ISOLATION LEVEL SERIALIZABLE", SQL_BEGIN, NULL, NULL},
        {"START /* a */ TRANSACTION READ ONLY", SQL_BEGIN, NULL, NULL},
        {"COMMIT", SQL_COMMIT, NULL, NULL},
        {"COMMIT AND CHAIN", SQL_COMMIT, NULL, NULL},
        {"End Work", SQL_COMMIT, NULL, NULL},
        {"COMMIT PREPARED 'x'", SQL_ONCE, NULL, NULL},
        {"ROLLBACK", SQL_ROLLBACK, NULL, NULL},
        {"ABORT TRANSACTION", SQL_ROLLBACK, NULL, NULL},
        {"ROLLBACK AND NO CHAIN", SQL_ROLLBACK, NULL, NULL},
        {"ROLLBACK TO s", SQL_OTHER, NULL, NULL},
        {"ROLLBACK WORK TO SAVEPOINT s", SQL_OTHER, NULL, NULL},
        {"ROLLBACK PREPARED 'x'", SQL_ONCE, NULL, NULL},
        {"SAVEPOINT begin", SQL_OTHER, NULL, NULL},
        {"\"begin\"", SQL_OTHER, NULL, NULL},
        {"beginning", SQL_OTHER, NULL, NULL},
        {"COPY t FROM STDIN", SQL_COPY_IN, NULL, NULL},
        {"COPY BINARY s.\"t\" (a, b) FROM stdout WITH (FORMAT binary)", SQL_COPY_IN, NULL, NULL},
        {"COPY t (a) FROM 'stdin'", SQL_OTHER, NULL, NULL},
        {"COPY t TO STDOUT", SQL_COPY_OUT, NULL, NULL},
        {"COPY (SELECT 1 FROM (SELECT 2) a) TO STDOUT", SQL_COPY_OUT, NULL, NULL},
        {"COPY t TO PROGRAM 'x'", SQL_OTHER, NULL, NULL},
        {"CREATE INDEX CONCURRENTLY i ON t (a)", SQL_CREATE_INDEX_CONCURRENTLY, "i", "t"},
        {"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"I\"\"1\" ON ONLY s . t (a)",
         SQL_CREATE_INDEX_CONCURRENTLY, "\"I\"\"1\"", "s . t"},
        {"create index concurrently on s.t using gin (a)", SQL_CREATE_INDEX_CONCURRENTLY, NULL, "s.t"},
        {"CREATE INDEX i ON concurrently (a)", SQL_OTHER, NULL, NULL},
        {"CREATE INDEX \"concurrently\" ON t (a)", SQL_OTHER, NULL, NULL},
        {"DROP INDEX CONCURRENTLY i", SQL_ONCE, NULL, NULL},
        {"DROP INDEX CONCURRENTLY IF EXISTS i", SQL_AGAIN, NULL, NULL},
        {"DROP INDEX i", SQL_OTHER, NULL, NULL},
        {"REINDEX TABLE t", SQL_OTHER, NULL, NULL},
        {"REINDEX INDEX CONCURRENTLY s.i", SQL_REINDEX_CONCURRENTLY, NULL, "s.i"},
        {"REINDEX (VERBOSE) TABLE CONCURRENTLY t", SQL_REINDEX_CONCURRENTLY, NULL, "t"},
        {"REINDEX (VERBOSE, CONCURRENTLY true) TABLE t", SQL_REINDEX_CONCURRENTLY, NULL, "t"},
        {"REINDEX (CONCURRENTLY) SCHEMA s", SQL_REINDEX_CONCURRENTLY, NULL, "s"},
        {"REINDEX (CONCURRENTLY OFF, VERBOSE) TABLE t", SQL_OTHER, NULL, NULL},
        {"REINDEX (CONCURRENTLY 0) SCHEMA s", SQL_AGAIN, NULL, NULL},
        {"REINDEX SCHEMA s", SQL_AGAIN, NULL, NULL},
        {"REINDEX DATABASE d", SQL_AGAIN, NULL, NULL},
        {"REINDEX (VERBOSE) SYSTEM d", SQL_AGAIN, NULL, NULL},
        {"VACUUM", SQL_AGAIN, NULL, NULL},
        {"VACUUM (ANALYZE) t", SQL_AGAIN, NULL, NULL},
        {"ANALYZE t", SQL_OTHER, NULL, NULL},
        {"CLUSTER", SQL_AGAIN, NULL, NULL},
        {"CLUSTER VERBOSE", SQL_AGAIN, NULL, NULL},
        {"CLUSTER (VERBOSE)", SQL_AGAIN, NULL, NULL},
        {"CLUSTER t USING i", SQL_OTHER, NULL, NULL},
        {"ALTER SYSTEM SET work_mem = '1MB'", SQL_AGAIN, NULL, NULL},
        {"DISCARD ALL", SQL_AGAIN, NULL, NULL},
        {"DISCARD PLANS", SQL_OTHER, NULL, NULL},
        {"ALTER DATABASE d SET TABLESPACE x", SQL_AGAIN, NULL, NULL},
        {"ALTER DATABASE d SET work_mem = 1", SQL_OTHER, NULL, NULL},
        {"ALTER TABLE ONLY s.t DETACH PARTITION p CONCURRENTLY", SQL_ONCE, NULL, "p"},
        {"ALTER TABLE IF EXISTS t DETACH PARTITION s.p CONCURRENTLY", SQL_ONCE, NULL, "s.p"},
        {"ALTER TABLE t DETACH PARTITION p FINALIZE", SQL_OTHER, NULL, NULL},
        {"ALTER TYPE e ADD VALUE 'x'", SQL_OTHER, NULL, NULL},
        {"CREATE DATABASE d", SQL_ONCE, NULL, NULL},
        {"DROP DATABASE d WITH (FORCE)", SQL_ONCE, NULL, NULL},
        {"DROP DATABASE IF EXISTS d", SQL_AGAIN, NULL, NULL},
        {"CREATE TABLESPACE x LOCATION '/x'", SQL_ONCE, NULL, NULL},
        {"DROP TABLESPACE x", SQL_ONCE, NULL, NULL},
        {"CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", SQL_ONCE, NULL, NULL},
        {"CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (enabled, create_slot = false)", SQL_OTHER,
         NULL, NULL},
        {"CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = 'off')", SQL_OTHER, NULL, NULL},
        {"ALTER SUBSCRIPTION s REFRESH PUBLICATION", SQL_AGAIN, NULL, NULL},
        {"ALTER SUBSCRIPTION s SET PUBLICATION p, q WITH (refresh = false)", SQL_OTHER, NULL, NULL},
        {"ALTER SUBSCRIPTION s ADD PUBLICATION p", SQL_ONCE, NULL, NULL},
        {"ALTER SUBSCRIPTION s DISABLE", SQL_OTHER, NULL, NULL},
        {"DROP SUBSCRIPTION s", SQL_ONCE, NULL, NULL},
        {"INSERT INTO vacuum VALUES ('VACUUM')", SQL_OTHER, NULL, NULL},
    };
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct sql_lexer lexer;
        struct sql_statement s;
        struct error err = {0};
        sql_lexer_init(&lexer, "f.sql", cases[i].text, strlen(cases[i].text));
        assert_int_equal(sql_next(&lexer, &s, &err), 1);
        const char *index = s.index ? arena_strndup(&arena, s.index, s.index_len) : NULL;
        const char *table = s.table ? arena_strndup(&arena, s.table, s.table_len) : NULL;
        bool concurrently = sql_kind_refuses_transaction(s.kind) &&
                            strcasestr(cases[i].text, "concurrently") &&
                            !strstr(cases[i].text, "CONCURRENTLY 0");
        if (s.kind == cases[i].kind && str_eq(index, cases[i].index) && str_eq(table, cases[i].table) &&
            s.concurrently == concurrently)
            continue;
        print_error("%s: expected %d %s %s, got %d %s %s\n", cases[i].text, cases[i].kind,
                    cases[i].index ? cases[i].index : "-", cases[i].table ? cases[i].table : "-", s.kind,
                    index ? index : "-", table ? table : "-");
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* A text of n bytes: head, then the filling, then tail. */
static char *filled(const char *head, char filling, const char *tail, size_t n)
{
    char *text = malloc(n + 1);
    size_t a = strlen(head), b = strlen(tail);
    assert_non_null(text);
    memcpy(text, head, a);
    memset(text + a, filling, n - a - b);
    memcpy(text + n - b, tail, b + 1);
    return text;
}

static void test_limits(void **state)
{
    static const struct {
        const char *head;
        char filling;
        const char *tail;
        size_t len;
        const char *expected; /* an error, or the length of the only statement */
    } cases[] = {
        {"SELECT '", 'x', "';", SQL_STATEMENT_MAX + 1, NULL},
        {"\nSELECT '", 'x', "';", SQL_STATEMENT_MAX + 3, "f.sql:2:1: this statement is larger than 16 MiB"},
        {"COPY t FROM STDIN;\n", 'x', "\n\\.\n", SQL_FILE_MAX, NULL},
        {"COPY t FROM STDIN;\n", 'x', "\n\\.\n", SQL_FILE_MAX + 1, "f.sql:1:1: larger than 64 MiB: split it"},
        {"-- ", 'x', "\nSELECT 1", SQL_FILE_MAX, NULL},
        {"", ';', "SELECT 1", SQL_FILE_MAX, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *text = filled(cases[i].head, cases[i].filling, cases[i].tail, cases[i].len);
        struct sql_lexer lexer;
        struct sql_statement s;
        struct error err = {0};
        sql_lexer_init(&lexer, "f.sql", text, cases[i].len);
        int r = sql_next(&lexer, &s, &err);
        assert_int_equal(r, cases[i].expected ? -1 : 1);
        if (cases[i].expected)
            assert_string_equal(err.text, cases[i].expected);
        else
            assert_int_equal(sql_next(&lexer, &s, &err), 0);
    }
}

static void test_too_many(void **state)
{
    static const char one[] = "SELECT 1;\n";
    size_t len = (sizeof one - 1) * (SQL_STATEMENTS_MAX + 1);
    cleanup_free char *text = malloc(len);
    struct sql_lexer lexer;
    struct sql_statement s;
    struct error err = {0};
    (void)state;
    assert_non_null(text);
    for (size_t at = 0; at < len; at += sizeof one - 1)
        memcpy(text + at, one, sizeof one - 1);
    sql_lexer_init(&lexer, "f.sql", text, len);
    for (unsigned i = 0; i < SQL_STATEMENTS_MAX; i++)
        assert_int_equal(sql_next(&lexer, &s, &err), 1);
    assert_int_equal(sql_next(&lexer, &s, &err), -1);
    assert_string_equal(err.text, "f.sql:100001:1: more than 100000 statements: split the file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boundaries), cmocka_unit_test(test_copy),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_places),     cmocka_unit_test(test_kinds), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests_name("sql", tests, NULL, NULL);
}
