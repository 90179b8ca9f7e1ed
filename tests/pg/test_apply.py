# SPDX-License-Identifier: Apache-2.0
"""How files are applied, and how they fail: cases 27 to 39, 54 to 65 and 70 of the database's catalogue."""

import signal
import unittest

from case import Case, close_server
from server import wait


def tearDownModule():
    close_server()


class Tx(Case):
    def test_27_syntax_error(self):
        head = "".join(f"CREATE TABLE a{i} (id int);\n" for i in range(1, 7))
        self.files(_001_ok="SELECT 1", _002_bad=head + "SELECT ä FROM\n  (SELECT 1) x WHER y;\n", _003_later="CREATE TABLE later (id int)")
        answer = self.run_fails()
        self.assertTrue(answer.error.startswith('002_bad.sql:8:16: syntax error at or near "WHER"'), answer.error)
        self.assertIn("rolled back", answer.error)
        self.assertEqual(self.tables(), ["schema_migrations"])
        self.assertEqual(self.versions(), ["001"])
        self.assertEqual(self.log("version, state, sqlstate, error_line, stmt_index, stmts_total", "version = '002'"), [("002", "failed", "42601", "8", "7", "7")])
        self.assertEqual([e["event"] for e in answer.events], ["begins", "applied", "begins", "failed"])
        self.assertTrue(answer.events[-1]["error"].startswith("002_bad.sql:8:16: "))
        self.files(_001_ok="SELECT 1", _002_bad=head, _003_later="CREATE TABLE later (id int)")
        self.assertEqual(self.run_ok().value["applied"], 2)

    def test_28_runtime_error(self):
        self.files(_001_a="CREATE TABLE a (id int PRIMARY KEY);\n\nINSERT INTO a VALUES (1);\n  INSERT INTO a\n VALUES (1);\n")
        answer = self.run_fails()
        self.assertTrue(answer.error.startswith("001_a.sql:4:3: "), answer.error)
        self.assertIn("23505", answer.error)
        self.assertIn("DETAIL: Key (id)=(1) already exists.", answer.error)

    def test_29_deferred_constraint(self):
        self.files(_001_a="CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int REFERENCES p DEFERRABLE INITIALLY DEFERRED);", _002_b="CREATE TABLE x (id int);\nINSERT INTO c VALUES (7);")
        answer = self.run_fails()
        self.assertIn("23503", answer.error)
        self.assertIn("COMMIT", answer.error)
        self.assertEqual(self.versions(), ["001"])
        self.assertFalse(self.exists("x"))
        self.assertEqual(self.log("version, state"), [("001", "applied"), ("002", "failed")])

    def test_29c_deferred_triggers_fire_under_the_files_settings(self):
        role = f"weak_{self.db}"
        self.sql(f"CREATE ROLE {role}; CREATE SCHEMA other; GRANT ALL ON SCHEMA other, public TO {role}; CREATE TABLE t (id int); CREATE TABLE other.seen (who text); GRANT ALL ON t, other.seen TO {role}; CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (current_user); RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER note AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()")
        self.addCleanup(self.server.psql, "postgres", "-c", f"DROP ROLE {role}")
        self.addCleanup(self.drop)
        head = f"SET search_path = other, public;\nSET ROLE {role};\n"
        self.files(_001_first=head + "INSERT INTO t VALUES (1);", _002_tx=head + "INSERT INTO t VALUES (2);", _003_named=head + "-- schema_migrations\nINSERT INTO t VALUES (3);",
                   _004_multi=head + "BEGIN; INSERT INTO t VALUES (4); COMMIT; BEGIN; INSERT INTO t VALUES (5); COMMIT AND CHAIN; INSERT INTO t VALUES (6); COMMIT; INSERT INTO t VALUES (7);")
        self.run_ok()
        self.assertEqual(self.sql("SELECT replace(who, current_database(), ''), count(*) FROM other.seen GROUP BY 1"), [["weak_", "7"]])

    def test_29b_first_file_makes_the_table_and_fails_at_commit(self):
        table = "CREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL);"
        self.files(_000_a=table + "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int REFERENCES p DEFERRABLE INITIALLY DEFERRED); INSERT INTO c VALUES (7);")
        self.assertIn("23503", self.run_fails().error)
        self.assertFalse(self.exists("schema_migrations"))
        self.files(_000_a=table)
        self.run_ok()
        self.assertEqual(self.versions(), ["000"])

    def plain_table(self):
        self.sql("CREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()); INSERT INTO schema_migrations (version, name) VALUES ('017', 'before')")

    def test_30_own_begin_commit_and_self_insert(self):
        self.plain_table()
        self.files(_018_a="BEGIN ISOLATION LEVEL SERIALIZABLE;\nCREATE TABLE a AS SELECT current_setting('transaction_isolation') AS i;\nINSERT INTO schema_migrations (version, name) VALUES ('018', 'own words') ON CONFLICT DO NOTHING;\nCOMMIT;\n")
        self.run_ok()
        self.assertEqual(self.sql("SELECT version, name FROM schema_migrations ORDER BY 1"), [["017", "before"], ["018", "own words"]])
        self.assertEqual(self.value("SELECT i FROM a"), "serializable")
        self.assertEqual(self.log("version, state, mode, stmts_done"), [("018", "applied", "tx", "4")])

    def test_31_self_insert_with_guard(self):
        self.plain_table()
        self.files(_040_a="DO $$ BEGIN IF EXISTS (SELECT FROM schema_migrations WHERE version = '040') THEN RAISE 'already there'; END IF; END $$; CREATE TABLE a (id int); INSERT INTO schema_migrations (version, name) VALUES ('040', 'x');")
        self.run_ok()
        self.assertEqual(self.versions(), ["017", "040"])

    def test_32_wrong_self_version(self):
        self.plain_table()
        for how in ("INSERT INTO schema_migrations (version, name) VALUES ('019', 'x');",
                    "DO $$ BEGIN INSERT INTO schema_migrations (version, name) VALUES ('019', 'x'); EXCEPTION WHEN OTHERS THEN NULL; END $$;"):
            with self.subTest(how=how):
                self.files(_018_a="CREATE TABLE a (id int);\n" + how)
                answer = self.run_fails()
                self.assertTrue(answer.error.startswith("018_a.sql:2:1: "), answer.error)
                self.assertIn("version 019", answer.error)
                self.assertEqual(self.versions(), ["017"])
                self.assertFalse(self.exists("a"))

    def test_32b_rewriting_the_table_is_no_other_version(self):
        self.plain_table()
        self.files(_018_a="ALTER TABLE schema_migrations ALTER version TYPE varchar(20); UPDATE schema_migrations SET name = 'new';")
        self.run_ok()
        self.assertEqual(self.versions(), ["017", "018"])

    def test_32c_wrong_self_version_in_an_earlier_transaction(self):
        self.plain_table()
        insert = "INSERT INTO schema_migrations (version, name) VALUES ('019', 'x');\n"
        for mode, place, text in (("multi_tx", 4, f"BEGIN;\nCREATE TABLE a (id int);\n{insert}COMMIT;\nBEGIN;\nCREATE TABLE b (id int);\nCOMMIT;\n"),
                                  ("no_tx", 2, f"-- deploy: no-transaction\n{insert}CREATE TABLE a (id int);\n")):
            with self.subTest(mode=mode):
                self.files(_018_a=text)
                answer = self.run_fails()
                self.assertTrue(answer.error.startswith(f"018_a.sql:{place}:1: "), answer.error)
                self.assertIn("version 019", answer.error)
                self.assertEqual(self.versions(), ["017"])
                self.assertFalse(self.exists("a"))
                self.files(_018_a=text.replace("'019'", "'018'"))
                self.run_ok()
                self.assertEqual(self.versions(), ["017", "018"])
                self.sql("DROP TABLE IF EXISTS a, b; DELETE FROM schema_migrations WHERE version = '018'; TRUNCATE deploy_agent.migration_log")

    def test_32d_wrong_self_version_in_a_table_of_its_own(self):
        self.files(_000_a="BEGIN;\nCREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL);\nINSERT INTO schema_migrations VALUES ('001', 'x');\nCOMMIT;\nSELECT 1;\n")
        self.assertIn("version 001", self.run_fails().error)
        self.assertFalse(self.exists("schema_migrations"))
        self.files(_000_a="BEGIN;\nCREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL);\nINSERT INTO schema_migrations VALUES ('000', 'x');\nCOMMIT;\nSELECT 1;\n")
        self.run_ok()
        self.assertEqual(self.versions(), ["000"])

    def test_33_self_insert_then_failing_ddl(self):
        self.plain_table()
        self.files(_018_a="INSERT INTO schema_migrations (version, name) VALUES ('018', 'x');\nALTER TABLE nowhere ADD c int;\n")
        self.run_fails()
        self.assertEqual(self.versions(), ["017"])

    def test_36_do_and_call_that_commit(self):
        self.files(_001_p="CREATE TABLE a (id int); CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO a VALUES (1); COMMIT; INSERT INTO a VALUES (2); COMMIT; END $$;", _002_call="CALL p();")
        answer = self.run_fails()
        self.assertIn("2D000", answer.error)
        self.assertIn("-- deploy: no-transaction", answer.error)
        self.assertEqual(self.value("SELECT count(*) FROM a"), "0")
        self.add(_002_call="-- deploy: no-transaction\nCALL p();\nDO $$ BEGIN INSERT INTO a VALUES (3); COMMIT; END $$;\n")
        self.run_ok()
        self.assertEqual(self.value("SELECT string_agg(id::text, ',' ORDER BY id) FROM a"), "1,2,3")
        self.assertEqual(self.log("mode, state, stmts_done", "version = '002'"), [("tx", "failed", "0"), ("no_tx", "applied", "2")])

    def test_36b_what_ran_alone_stays_and_is_said_to(self):
        self.sql("CREATE TABLE a (id int); CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO a VALUES (1); COMMIT; RAISE 'no'; END $$; CREATE TABLE t (k int); INSERT INTO t VALUES (1), (1)")
        stays = "statement {} ran outside of a transaction, and what it did before it failed stays"
        for text, said in (("CALL p();\n", stays.format(1)), ("CREATE UNIQUE INDEX CONCURRENTLY t_k ON t (k);\n", stays.format(1)),
                           ("INSERT INTO a VALUES (2);\nCALL p();", stays.format(2)), ("SELECT wrong;\n", "the file was rolled back")):
            with self.subTest(text=text):
                self.files(_001_a="-- deploy: no-transaction\n" + text)
                answer = self.run_fails()
                self.assertIn(said, answer.error)
                self.assertEqual("rolled back" in answer.error, "rolled back" in said, answer.error)
                self.sql("TRUNCATE deploy_agent.migration_log")

    def test_37_set_role(self):
        role = f"weak_{self.db}"
        self.sql(f"CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role}")
        self.addCleanup(self.server.psql, "postgres", "-c", f"DROP ROLE {role}")
        self.addCleanup(self.drop)
        self.files(_001_a=f"SET ROLE {role}; CREATE TABLE a (id int);", _002_b=f"SET SESSION AUTHORIZATION {role}; CREATE TABLE b (id int);", _003_c="CREATE TABLE c (id int);",
                   _004_d=f"BEGIN; SET ROLE {role}; CREATE TABLE d (id int); COMMIT; CREATE TABLE e (id int); BEGIN; SET LOCAL ROLE postgres; CREATE TABLE f (id int); COMMIT;")
        self.run_ok()
        self.assertEqual(self.versions(), ["001", "002", "003", "004"])
        self.assertEqual(dict(self.sql(f"SELECT tablename, replace(tableowner, '{role}', 'weak') FROM pg_tables WHERE schemaname = 'public'")),
                         {"a": "weak", "b": "weak", "c": "postgres", "d": "weak", "e": "weak", "f": "postgres", "schema_migrations": "postgres"})

    def test_38_search_path_and_settings(self):
        self.sql("CREATE SCHEMA other")
        self.files(_001_a="SET search_path = other; SET work_mem = '7MB'; CREATE TABLE a (id int); CREATE TEMP TABLE tmp (id int); PREPARE q AS SELECT 1; DECLARE c CURSOR WITH HOLD FOR SELECT 1;",
                   _002_b="CREATE TABLE b AS SELECT current_setting('search_path') AS path, current_setting('work_mem') AS mem, current_setting('lock_timeout') AS lock, to_regclass('pg_temp.tmp') IS NULL AS clean; PREPARE q AS SELECT 1;")
        self.run_ok(lock_timeout_ms=1500)
        self.assertEqual(self.versions("public.schema_migrations"), ["001", "002"])
        self.assertTrue(self.exists("other.a"))
        self.assertEqual(self.sql("SELECT * FROM public.b"), [['"$user", public', "4MB", "1500ms", "t"]])

    def test_38b_another_encoding(self):
        self.files(_001_a="SET client_encoding = 'LATIN1'; CREATE TABLE a (id int);", _002_ä="SET client_encoding = 'LATIN1'; CREATE TABLE b (id int);",
                   _003_ö="SET client_encoding = 'LATIN1'; BEGIN; CREATE TABLE c (id int); COMMIT; SELECT 'ü';")
        self.run_ok()
        self.assertEqual(self.sql("SELECT name FROM schema_migrations ORDER BY version"), [["a"], ["ä"], ["ö"]])
        self.assertEqual(self.log("file"), [("001_a.sql",), ("002_ä.sql",), ("003_ö.sql",)])

    def test_39_lock_given_away(self):
        self.files(_001_a="SELECT pg_advisory_unlock_all();", _002_b="CREATE TABLE b (id int);")
        answer = self.run_fails("conflict")
        self.assertIn("lock", answer.error)
        self.assertEqual(self.versions(), ["001"])
        self.assertFalse(self.exists("b"))
        self.files(_001_a="SELECT pg_advisory_unlock_all();", _002_b="-- deploy: no-transaction\nDISCARD ALL;", _003_c="SELECT 1")
        self.run_fails("conflict")
        self.assertEqual(self.versions(), ["001", "002"])
        self.assertEqual(self.run_ok().applied, ["003_c.sql"])


class Tables(Case):
    def test_54_statement_timeout(self):
        self.files(_001_a="CREATE TABLE a (id int);\nSELECT pg_sleep(30);")
        answer = self.run_fails("timeout", timeout_ms=5000)
        self.assertTrue(answer.error.startswith("001_a.sql:2:1: "), answer.error)
        self.assertIn("rolled back", answer.error)
        self.assertLess(answer.us, 15e6)
        self.assertEqual(self.log("state, sqlstate"), [("failed", "57014")])
        self.assertEqual(self.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()"), "0")
        self.assertFalse(self.exists("a"))

    def test_notices_take_no_memory(self):
        self.files(_001_a="DO $$ BEGIN FOR i IN 1..200000 LOOP RAISE NOTICE '%', repeat('x', 300); END LOOP; END $$;")
        self.assertLess(self.run_ok().rss_kib, 40 << 10)

    def test_56_not_the_owner(self):
        role = f"app_{self.db}"
        self.sql(f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}; CREATE TABLE owned (id int)")
        self.addCleanup(self.server.psql, "postgres", "-c", f"DROP ROLE {role}")
        self.addCleanup(self.drop)
        self.files(_001_ok="CREATE TABLE a (id int)", _002_a="ALTER TABLE owned ADD c int;")
        answer = self.run_fails(user=role)
        for part in ("42501", "must be owner of table owned", f"the role is {role}", "owned belongs to postgres"):
            self.assertIn(part, answer.error)
        # without CREATE on the database the log stands beside the table
        self.assertEqual(self.sql("SELECT version, state FROM _deploy_migration_log ORDER BY id"), [["001", "applied"], ["002", "failed"]])
        self.files(_001_ok="CREATE TABLE a (id int)")
        self.assertEqual(self.run_ok(user=role).applied, [])

    def test_56b_log_of_another_role(self):
        role = f"app_{self.db}"
        self.sql(f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}; GRANT CREATE ON DATABASE {self.db} TO {role}")
        self.addCleanup(self.server.psql, "postgres", "-c", f"DROP ROLE {role}")
        self.addCleanup(self.drop)
        self.files(_init="CREATE TABLE IF NOT EXISTS i (id int)")
        self.run_ok(versioned=False, step="init")
        self.run_ok(versioned=False, step="init")
        self.assertEqual(self.log("stage, version, file, state"), [("init", "", "init.sql", "applied")] * 2)
        self.files(_001_a="CREATE TABLE a (id int)")
        self.run_ok(user=role)
        self.assertEqual(self.run_ok(user=role).applied, [])
        self.assertEqual(self.sql("SELECT version, state FROM _deploy_migration_log"), [["001", "applied"]])

    def test_61_versions_that_do_not_fit(self):
        self.sql("CREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL)")
        self.files(**{"_20240102030405_a": "CREATE TABLE a (id int)"})
        self.assertIn("10 characters", self.plan_refused())
        self.sql("ALTER TABLE schema_migrations ALTER version TYPE integer USING version::integer")
        self.assertIn("numbers up to 2147483647", self.plan_refused())
        self.sql("ALTER TABLE schema_migrations ALTER version TYPE text, ADD team text NOT NULL")
        self.assertIn("team", self.plan_refused())
        self.sql("ALTER TABLE schema_migrations ALTER team SET DEFAULT 'x'")
        self.run_ok()

    def test_61b_other_shapes(self):
        for n, table in enumerate(("version varchar(255) PRIMARY KEY", "version bigint PRIMARY KEY, inserted_at timestamp(0) NOT NULL", "version text, name text NOT NULL, applied_at timestamptz NOT NULL")):
            with self.subTest(table=table):
                self.sql(f"DROP TABLE IF EXISTS a; CREATE TABLE s{n} ({table})")
                self.files(_001_a="CREATE TABLE a (id int)")
                self.run_ok(table=f"s{n}")
                self.assertEqual(self.run_ok(table=f"s{n}").applied, [])
                self.assertEqual([int(v) for v in self.versions(f"s{n}")], [1])

    def test_62_golang_migrate(self):
        self.sql("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL); INSERT INTO schema_migrations VALUES (2, true)")
        self.files(_001_a="SELECT wrong", _002_b="SELECT wrong", _003_c="CREATE TABLE c (id int)")
        self.assertIn("dirty", self.plan_refused())
        self.sql("UPDATE schema_migrations SET dirty = false")
        self.assertEqual(self.run_ok().applied, ["003_c.sql"])
        self.assertEqual(self.sql("SELECT * FROM schema_migrations"), [["2", "f"]])
        self.assertEqual(self.versions("schema_migrations_deploy_agent"), ["001", "002", "003"])
        self.assertEqual(self.run_ok().applied, [])

    def test_62b_foreign_tables(self):
        self.sql("CREATE TABLE goose (id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp DEFAULT now()); INSERT INTO goose (version_id, is_applied) VALUES (0, true), (1, true), (2, true), (2, false)")
        self.files(_001_a="SELECT wrong", _002_b="CREATE TABLE b (id int)")
        self.assertIn("adopt", self.plan_refused(table="goose"))
        self.assertEqual(self.drive("adopt", table="goose").value, 1)
        self.assertEqual(self.run_ok(table="goose").applied, ["002_b.sql"])
        self.assertEqual(self.run_ok(table="goose").applied, [])
        self.assertEqual(self.value("SELECT count(*) FROM goose"), "4")

    def test_63_same_name_in_two_schemas(self):
        table = "(version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL)"
        self.sql(f"CREATE SCHEMA app; CREATE TABLE app.schema_migrations {table}; CREATE TABLE schema_migrations {table}; INSERT INTO app.schema_migrations VALUES ('001', 'a'); ALTER DATABASE {self.db} SET search_path = app, public")
        self.files(_001_a="SELECT wrong", _002_b="SELECT 1")
        self.assertEqual(self.run_ok().applied, ["002_b.sql"])
        self.assertEqual(self.versions("app.schema_migrations"), ["001", "002"])
        self.assertEqual(self.versions("public.schema_migrations"), [])
        self.files(_001_c="SELECT 1")
        self.assertEqual(self.run_ok(table="public.schema_migrations", step="other").applied, ["001_c.sql"])

    def test_63b_no_schema_to_work_in(self):
        """A step before this one may make it, so that this is no refusal of the plan."""
        self.sql(f"ALTER DATABASE {self.db} SET search_path = app")
        self.files(_001_a="CREATE TABLE a (id int)")
        for op in ("plan", "run"):
            answer = self.drive(op)
            self.assertEqual(answer.kind, "not_found", answer)
            self.assertIn("no schema of the role's search_path exists", answer.error)
        self.sql("CREATE SCHEMA app")
        self.assertEqual(self.run_ok().applied, ["001_a.sql"])
        self.assertTrue(self.exists("app.a"))

    def test_adopt(self):
        self.sql("CREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL); INSERT INTO schema_migrations VALUES ('001', 'a'), ('002', 'other words'), ('007', 'no file')")
        self.files(_001_a="CREATE TABLE a (id int)", _002_b="\\! not ours to run", _008_c="SELECT 1")
        plan = self.plan_ok()
        self.assertEqual((plan["adopted"], plan["ahead"], plan["pending"]), (["001", "002"], ["007"], ["008_c.sql"]))
        self.assertEqual(self.drive("adopt").value, 2)
        self.assertEqual(self.log("version, mode, state, norm_sha256 IS NOT NULL"), [("001", "adopted", "applied", "t"), ("002", "adopted", "applied", "f")])
        self.assertEqual(self.drive("adopt").value, 0)
        self.run_ok()
        self.add(_001_a="CREATE TABLE a (id text)")
        self.assertIn("001_a.sql", self.plan_refused())

    def test_65_tenants(self):
        self.sql("CREATE TABLE tenants (schema_name text); INSERT INTO tenants VALUES ('zeta'), ('alpha'), ('Mid dle'); CREATE SCHEMA alpha; CREATE SCHEMA zeta; CREATE SCHEMA \"Mid dle\"; CREATE TABLE \"Mid dle\".block (id int)")
        answer = self.drive("schemas", query="SELECT schema_name FROM tenants")
        self.assertEqual(answer.value, ["Mid dle", "alpha", "zeta"])
        self.files(_001_a="CREATE TABLE a (id int); CREATE TABLE block (id int);", _002_b="SET search_path = public; SELECT 1;", _003_c="BEGIN; CREATE TABLE c1 (id int); COMMIT; BEGIN; CREATE TABLE c2 (id int); COMMIT;")
        self.run_ok(schema="alpha", step="tenants")
        self.assertIn("42P07", self.run_fails(schema="Mid dle", step="tenants").error)
        self.run_ok(schema="zeta", step="tenants")
        self.sql("DROP TABLE \"Mid dle\".block")
        for schema, applied in (("alpha", 0), ("Mid dle", 3), ("zeta", 0)):
            self.assertEqual(self.run_ok(schema=schema, step="tenants").value["applied"], applied)
        self.assertEqual(self.versions('"Mid dle".schema_migrations'), ["001", "002", "003"])
        self.assertTrue(self.exists('"Mid dle".c2') and self.exists("alpha.c1") and not self.exists("public.a"))
        self.assertEqual(self.log("target_schema, count(*)", "state = 'applied' GROUP BY 1", "1"), [("Mid dle", "3"), ("alpha", "3"), ("zeta", "3")])
        self.assertEqual(self.drive("run", schema="gone").kind, "not_found")
        self.assertEqual(self.drive("schemas", query="DELETE FROM tenants RETURNING schema_name").kind, "failed")

    def test_70_secrets(self):
        self.files(_001_a="ALTER ROLE nobody_of_that_name PASSWORD 'top''secret' VALID UNTIL 'never';\n",)
        self.sql("CREATE TABLE s (t text UNIQUE)")
        answer = self.run_fails()
        self.assertNotIn("secret", answer.error)
        self.files(_001_a="DO $x$ BEGIN EXECUTE 'ALTER ROLE nobody_of_that_name PASSWORD ''hunter22'''; END $x$;")
        answer = self.run_fails()
        self.assertIn("PASSWORD '***'", answer.error)
        self.assertNotIn("hunter22", str(answer.__dict__) + str(self.log("error")))

    def test_expectations(self):
        self.sql("CREATE TABLE t (id int PRIMARY KEY, k text CONSTRAINT kinds CHECK (k IN ('one', 'two'))); CREATE INDEX t_k ON t (k)")
        good = {"tables": ["t", "public.t"], "columns": ["t.k", "public.t.id"], "constraints": ["t.kinds", "t.kinds contains 'two'"], "indexes": ["t_k"], "query": "SELECT count(*) = 0 FROM t"}
        self.assertIsNone(self.drive("expect", **good).error)
        bad = {"tables": ["u"], "columns": ["t.z", "u.k"], "constraints": ["t.none", "t.kinds contains 'single'"], "indexes": ["t_z"], "query": "SELECT false"}
        answer = self.drive("expect", **bad)
        self.assertEqual(answer.kind, "failed")
        for part in ("table u is missing", "column t.z is missing", "column u.k is missing", "constraint t.none is missing", "does not contain 'single'", "index t_z is missing", "one row with true"):
            self.assertIn(part, answer.error)
        self.assertIn("25006", self.drive("expect", query="DELETE FROM t RETURNING true").error)

    def test_expectation_that_takes_long(self):
        """A holder of the stack's lease has to beat meanwhile, and a stop is heard."""
        self.sql("CREATE VIEW slow AS SELECT true FROM (SELECT pg_sleep(1.5)) AS s")
        self.assertGreaterEqual(self.drive("expect", query="SELECT * FROM slow").alive, 4)
        self.sql("CREATE VIEW endless AS SELECT true FROM (SELECT pg_sleep(50)) AS s")
        run = self.start("expect", query="SELECT * FROM endless")
        wait(lambda: self.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'") == "1", 15, "the query")
        run.signal(signal.SIGTERM)
        self.assertEqual(run.end(20).kind, "cancelled")

    def test_truth(self):
        """A check by SQL: one row with true, read only, and an end."""
        self.sql("CREATE TABLE t (id int PRIMARY KEY)")
        for query, truth, why in (("SELECT true", True, "true"), ("SELECT count(*) = 0 FROM t;", True, "true"), ("SELECT false", False, "not true"),
                                  ("SELECT NULL::boolean", False, "not true"), ("SELECT 'secret'", False, "not true"), ("SELECT true WHERE false", False, "0 rows of 1 columns"),
                                  ("SELECT true, true", False, "1 rows of 2 columns"), ("SELECT FROM gone", False, "42P01"),
                                  ("WITH d AS (INSERT INTO t VALUES (1) RETURNING true) SELECT true FROM d", False, "25006"),
                                  ("SELECT pg_sleep(30) IS NOT NULL", False, "no answer within 5s")):
            with self.subTest(query):
                value = self.drive("truth", query=query, timeout_ms=5000).value
                self.assertEqual(value["truth"], truth, value)
                self.assertIn(why, value["why"])
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [["0"]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
