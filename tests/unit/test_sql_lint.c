/* SPDX-License-Identifier: Apache-2.0 */
/* Warnings about SQL files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/sql.h"
#include "base/cleanup.h"
#include "base/str.h"

/* "3 rule table=t; 4 rule role=r", the file being version 016 */
static char *lints_of(struct arena *arena, const char *text)
{
    struct sql_summary s;
    struct error err = {0};
    cleanup_str struct str all = {0};
    if (sql_summarise(arena, "f.sql", text, strlen(text), "016", &s, &err) < 0)
        return arena_strdup(arena, err.text);
    for (size_t i = 0; i < s.n_lints; i++) {
        const struct sql_lint *l = &s.lints[i];
        assert_true(strlen(l->text) > 20 && !strchr(l->text, '\n'));
        str_printf(&all, "%s%u %s%s%s%s%s", i ? "; " : "", l->line, l->rule, l->table ? " table=" : "",
                   l->table ? l->table : "", l->role ? " role=" : "", l->role ? l->role : "");
    }
    return arena_strdup(arena, str_text(&all));
}

static void test_lints(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"SELECT 1; CREATE TABLE t (a int NOT NULL DEFAULT random() CHECK (a > 0)); COMMENT ON TABLE t IS "
         "'x'",
         ""},
        {"-- only a comment", "1 empty"},
        /* indexes */
        {"SELECT 1;\nCREATE UNIQUE INDEX i ON Shop.Orders (a);",
         "2 index-without-concurrently table=shop.orders"},
        {"CREATE INDEX ON ONLY t (a); CREATE INDEX IF NOT EXISTS i ON \"T\" (a)",
         "1 index-without-concurrently table=t; 1 index-without-concurrently table=T"},
        {"CREATE TABLE t (a int); CREATE INDEX ON t (a); CREATE INDEX ON public.t (a)", ""},
        {"CREATE TABLE a.t (b int); CREATE INDEX ON c.t (b)", "1 index-without-concurrently table=c.t"},
        {"CREATE INDEX CONCURRENTLY i ON t (a)", ""},
        {"CREATE INDEX CONCURRENTLY ON t (a)", "1 concurrently-unnamed"},
        {"CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)", "1 concurrently-if-not-exists"},
        /* ALTER TABLE, an action at a time */
        {"ALTER TABLE t ALTER COLUMN a SET NOT NULL", "1 set-not-null table=t"},
        {"ALTER TABLE t ALTER a SET NOT NULL, ALTER b DROP NOT NULL, ALTER c SET DEFAULT 1",
         "1 set-not-null table=t"},
        {"ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a, b) REFERENCES u (a, b)",
         "1 constraint-without-not-valid table=t"},
        {"ALTER TABLE t ADD CHECK (a > 0), ADD CONSTRAINT c CHECK (a < 9) NOT VALID",
         "1 constraint-without-not-valid table=t"},
        {"ALTER TABLE t ADD CONSTRAINT c UNIQUE (a), VALIDATE CONSTRAINT d, DROP CONSTRAINT e", ""},
        {"ALTER TABLE t ALTER a TYPE bigint", "1 column-type table=t"},
        {"ALTER TABLE t ALTER COLUMN a SET DATA TYPE bigint USING a::bigint", "1 column-type table=t"},
        {"ALTER TABLE IF EXISTS ONLY t * DROP COLUMN IF EXISTS a CASCADE, DROP b",
         "1 drop-column table=t; 1 drop-column table=t"},
        {"ALTER TABLE t RENAME COLUMN a TO b; ALTER TABLE t RENAME a TO b",
         "1 rename-column table=t; 1 rename-column table=t"},
        {"ALTER TABLE t RENAME TO u; ALTER TABLE v RENAME CONSTRAINT a TO b", "1 rename-table table=t"},
        {"ALTER TABLE t ADD COLUMN a uuid DEFAULT gen_random_uuid()", "1 volatile-default table=t"},
        {"ALTER TABLE t ADD IF NOT EXISTS a numeric(10, 2) NOT NULL DEFAULT (1 + random())",
         "1 volatile-default table=t"},
        {"ALTER TABLE t ADD a timestamptz DEFAULT pg_catalog.clock_timestamp(), ADD b int DEFAULT 1",
         "1 volatile-default table=t"},
        {"ALTER TABLE t ADD a timestamptz NOT NULL DEFAULT now(), ADD b text DEFAULT 'random()'", ""},
        {"ALTER TABLE t ADD a bigserial", "1 volatile-default table=t"},
        {"ALTER TABLE t ADD a int GENERATED ALWAYS AS IDENTITY", "1 volatile-default table=t"},
        {"ALTER TABLE t ADD CONSTRAINT c PRIMARY KEY USING INDEX i", ""},
        {"CREATE TABLE t (a int); ALTER TABLE t ALTER a TYPE text, ADD b serial; DROP TABLE t", ""},
        /* tables */
        {"DROP TABLE t; DROP TABLE IF EXISTS s.t CASCADE; DROP TABLE a, b",
         "1 drop-table table=t; 1 drop-table table=s.t; 1 drop-table"},
        {"TRUNCATE t; TRUNCATE TABLE ONLY s.t RESTART IDENTITY", "1 truncate table=t; 1 truncate table=s.t"},
        {"LOCK TABLE t IN SHARE MODE; LOCK u", "1 lock-table table=t; 1 lock-table table=u"},
        {"UPDATE t SET a = 1;\nALTER TABLE u ADD b int", "1 update-without-where"},
        {"ALTER TABLE u ADD b int;\nUPDATE t SET a = (SELECT 1 FROM v WHERE c)", "2 update-without-where"},
        {"ALTER TABLE u ADD b int;\nUPDATE t SET a = 1 WHERE c", ""},
        {"UPDATE t SET a = 1; CREATE TABLE u (b int)", ""},
        {"CREATE TABLE t (a int); UPDATE t SET a = 1; ALTER TABLE u ADD b int", ""},
        {"BEGIN; UPDATE t SET a = 1; COMMIT; BEGIN; ALTER TABLE u ADD b int; COMMIT", ""},
        {"-- deploy: no-transaction\nUPDATE t SET a = 1; ALTER TABLE u ADD b int", ""},
        /* the session */
        {"DISCARD ALL", "1 discard-all"},
        {"SELECT 1;\nSELECT pg_advisory_unlock_all()", "2 advisory-unlock-all"},
        {"DO $$ BEGIN PERFORM pg_advisory_unlock_all(); END $$", "1 advisory-unlock-all"},
        {"SET ROLE Bob; SET LOCAL ROLE \"Bob\"; SET SESSION ROLE NONE; RESET ROLE; SET roles = 1",
         "1 set-role role=bob; 1 set-role role=Bob"},
        {"ALTER TABLE t OWNER TO bob; ALTER FUNCTION f(int) OWNER TO CURRENT_USER; ALTER SCHEMA s OWNER TO "
         "bob",
         "1 owner-to role=bob; 1 owner-to role=bob"},
        {"CREATE ROLE bob; ALTER TABLE t OWNER TO bob", ""},
        {"BEGIN; SELECT 1; ROLLBACK", "1 rollback"},
        {"SAVEPOINT a; ROLLBACK TO a; ROLLBACK PREPARED 'x'", ""},
        {"COPY t TO STDOUT; COPY (SELECT 1) TO STDOUT", "1 copy-to-stdout; 1 copy-to-stdout"},
        /* values of enums */
        {"ALTER TYPE e ADD VALUE IF NOT EXISTS 'new';\nINSERT INTO t VALUES ('new')", "2 enum-value-in-use"},
        {"CREATE TYPE e AS ENUM ('old'); ALTER TYPE e ADD VALUE 'new'; INSERT INTO t VALUES ('new')", ""},
        {"ALTER TYPE e ADD VALUE 'new'; INSERT INTO t VALUES ('old')", ""},
        {"BEGIN; ALTER TYPE e ADD VALUE 'new'; COMMIT; BEGIN; INSERT INTO t VALUES ('new'); COMMIT", ""},
        {"-- deploy: no-transaction\nALTER TYPE e ADD VALUE 'new'; INSERT INTO t VALUES ('new')", ""},
        /* versions */
        {"INSERT INTO schema_migrations (version, name) VALUES ('016', 'x') ON CONFLICT DO NOTHING", ""},
        {"INSERT INTO public.schema_migrations VALUES (16)", ""},
        {"INSERT INTO schema_migrations (version, name) VALUES ('015', 'x')", "1 other-version"},
        {"INSERT INTO schema_migrations (name, note, \"version\") VALUES ('x', f(1, 2), '17')",
         "1 other-version"},
        {"INSERT INTO schema_migrations (name, version) SELECT 'x', '17' WHERE true", "1 other-version"},
        {"INSERT INTO schema_migrations (name, version) SELECT 'x', v FROM w", ""},
        {"INSERT INTO schema_migrations (name, version) VALUES ('x')", ""},
        {"INSERT INTO other (version) VALUES ('15')", ""},
    };
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        const char *got = lints_of(&arena, cases[i].text);
        if (str_eq(got, cases[i].expected))
            continue;
        print_error("%s\n  expected: %s\n  got:      %s\n", cases[i].text, cases[i].expected, got);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lints),
    };
    return cmocka_run_group_tests_name("sql_lint", tests, NULL, NULL);
}
