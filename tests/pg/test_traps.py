# SPDX-License-Identifier: Apache-2.0
"""Databases and files that would make a record false: what is not seen to be written is not said to be."""

import unittest

from case import Case, close_server
from server import wait

LOST = "a row that records the file was not written, or is gone"


def tearDownModule():
    close_server()


class Traps(Case):
    def setUp(self):
        super().setUp()
        self.sql("CREATE TABLE seen (n int)")

    def seen(self):
        return [r[0] for r in self.sql("SELECT n FROM public.seen ORDER BY 1")]

    def test_unique_name(self):
        self.sql("CREATE TABLE schema_migrations (version varchar(20) PRIMARY KEY, name varchar(255) NOT NULL UNIQUE)")
        self.files(_001_init="INSERT INTO seen VALUES (1);", _002_init="INSERT INTO seen VALUES (2);")
        self.assertIn(LOST, self.run_fails().error)
        self.assertEqual((self.versions(), self.seen()), (["001"], ["1"]))

    def test_rule_that_drops_the_row(self):
        self.sql("CREATE TABLE schema_migrations (version varchar(20) PRIMARY KEY, name varchar(255) NOT NULL); "
                 "CREATE RULE r AS ON INSERT TO schema_migrations DO INSTEAD NOTHING")
        self.files(_001_a="INSERT INTO seen VALUES (1);")
        self.assertIn(LOST, self.run_fails().error)
        self.assertEqual((self.versions(), self.seen()), ([], []))

    def test_trigger_that_drops_the_row(self):
        self.sql("CREATE TABLE schema_migrations (version varchar(20) PRIMARY KEY, name varchar(255) NOT NULL); "
                 "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; "
                 "CREATE TRIGGER t BEFORE INSERT ON schema_migrations FOR EACH ROW EXECUTE FUNCTION f()")
        self.files(_001_a="INSERT INTO seen VALUES (1);")
        self.assertIn(LOST, self.run_fails().error)
        self.assertEqual(self.seen(), [])

    def test_file_that_empties_our_log(self):
        self.files(_002_b="BEGIN; INSERT INTO seen VALUES (1); DELETE FROM deploy_agent.migration_log; COMMIT;\nSELECT 1;")
        for _ in range(2):
            self.assertIn(LOST, self.run_fails().error)
        self.assertEqual(self.seen(), [])

    def test_trigger_with_a_sequence_of_its_own(self):
        self.files(_001_a="SELECT 1;")
        self.run_ok()
        self.sql("CREATE TABLE au (id bigserial, x text); SELECT setval('au_id_seq', 1000); "
                 "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.au (x) VALUES (tg_table_name); RETURN new; END $$; "
                 "CREATE TRIGGER f AFTER INSERT ON deploy_agent.migration_log FOR EACH ROW EXECUTE FUNCTION f()")
        self.add(_002_b="BEGIN; INSERT INTO seen VALUES (1); COMMIT;\nINSERT INTO seen VALUES (2);\nSELECT wrong;")
        self.assertIn("statements 1 to 4 of 5 are committed", self.run_fails().error)
        self.add(_002_b="BEGIN; INSERT INTO seen VALUES (1); COMMIT;\nINSERT INTO seen VALUES (2);\nSELECT 1;")
        self.run_ok()
        self.assertEqual(self.seen(), ["1", "2"])

    def test_temporary_table_of_versions(self):
        self.files(_001_a="CREATE TEMP TABLE schema_migrations (version varchar(20) PRIMARY KEY, name text); INSERT INTO seen VALUES (1);")
        self.assertIn("001_a.sql:1:83: schema_migrations is a temporary table", self.run_fails().error)
        self.assertEqual(self.seen(), [])

    def test_row_level_security(self):
        role = f"app_{self.db}"
        self.sql(f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}; GRANT CREATE ON DATABASE {self.db} TO {role}; "
                 f"GRANT ALL ON seen TO {role}; CREATE TABLE schema_migrations (version varchar(20), name text); "
                 f"GRANT ALL ON schema_migrations TO {role}; INSERT INTO schema_migrations VALUES ('001', 'a'); "
                 "ALTER TABLE schema_migrations ENABLE ROW LEVEL SECURITY; CREATE POLICY i ON schema_migrations FOR INSERT WITH CHECK (true)")
        self.addCleanup(self.server.psql, "postgres", "-c", f"DROP ROLE {role}")
        self.addCleanup(self.drop)
        self.files(_001_a="INSERT INTO seen VALUES (1);", _002_b="INSERT INTO seen VALUES (2);")
        answer = self.drive("run", user=role)
        self.assertIn("has to own it where row level security is on", answer.error or "")
        self.assertEqual(self.seen(), [])

    def test_search_path_that_changed(self):
        self.files(_001_a=f"INSERT INTO public.seen VALUES (1); CREATE SCHEMA app; ALTER DATABASE {self.db} SET search_path = app;",
                   _002_b="INSERT INTO public.seen VALUES (2);")
        self.run_ok()
        error = self.plan_refused()
        self.assertIn("recorded in public.schema_migrations, and now app.schema_migrations would be made", error)
        self.run_ok(table="public.schema_migrations")
        self.assertEqual(self.seen(), ["1", "2"])

    def test_names_are_quoted_by_a_setting(self):
        self.files(_001_a="SET quote_all_identifiers = on; CREATE TABLE a (id int);")
        self.run_ok()
        self.sql(f"ALTER DATABASE {self.db} SET quote_all_identifiers = on")
        self.assertEqual(self.run_ok().value["applied"], 0)
        self.files(_001_a="CREATE TABLE b (id int, x text);")
        self.assertIn("is another file now", self.plan_refused())

    def test_strings_by_another_rule(self):
        hidden = "SELECT 'a\\', ' AS b; COMMIT; BEGIN; SELECT 1 --';\nSELECT wrong;\n"
        for setting in ("SET standard_conforming_strings = off", "SELECT\n set_config('standard_conforming_strings', 'off', false)",
                        "DO $$ BEGIN PERFORM set_config('standard_conforming_strings', 'off', false); END $$"):
            for text in (f"{setting};\nINSERT INTO seen VALUES (1);\n{hidden}", f"BEGIN;\nINSERT INTO seen VALUES (1);\n{setting};\n{hidden}COMMIT;\nSELECT 2;"):
                with self.subTest(text=text):
                    self.files(_001_a=text)
                    self.assertIn("standard_conforming_strings is off now", self.run_fails().error)
                    self.assertEqual(self.seen(), [])

    def test_a_trigger_that_divides_by_zero(self):
        """Its words, not ours about a row that is missing."""
        self.sql("CREATE TABLE schema_migrations (version varchar(20) PRIMARY KEY, name text); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 / 0; RETURN NULL; END $$; "
                 "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON seen DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f()")
        self.files(_001_a="INSERT INTO seen VALUES (1);")
        error = self.run_fails().error
        self.assertNotIn(LOST, error)
        self.assertIn("division by zero", error)

    def test_triggers_see_the_login_path(self):
        """On our tables and on the database; nobody writes the schema of what they call."""
        self.sql("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (1); RETURN new; END $$; "
                 "CREATE TABLE schema_migrations (version varchar(20) PRIMARY KEY, name text); "
                 "CREATE TRIGGER n AFTER INSERT ON schema_migrations FOR EACH ROW EXECUTE FUNCTION note(); "
                 "CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (2); END $$; "
                 "CREATE EVENT TRIGGER e ON ddl_command_end WHEN tag IN ('CREATE TABLE') EXECUTE FUNCTION noted()")
        self.files(_001_a="CREATE TABLE a (id int);", _002_b="BEGIN; SELECT 1; COMMIT;\nSELECT 2;")
        self.run_ok()
        self.assertEqual(self.seen(), ["1", "1", "2", "2"])

    def test_functions_with_our_names(self):
        """A better match for the arguments than the catalogue's, in the schema of the login."""
        self.sql("CREATE FUNCTION format(text, name, name) RETURNS text LANGUAGE sql AS $$ SELECT 'public.trap'::text $$; "
                 "CREATE FUNCTION quote_ident(name) RETURNS text LANGUAGE sql AS $$ SELECT 'public'::text $$; "
                 "CREATE FUNCTION to_timestamp(numeric) RETURNS timestamptz LANGUAGE sql AS $$ SELECT NULL::timestamptz $$; "
                 "CREATE FUNCTION never(varchar, varchar) RETURNS bool LANGUAGE sql AS $$ SELECT false $$; "
                 "CREATE OPERATOR public.= (leftarg = varchar, rightarg = varchar, function = never)")
        self.files(_001_a="INSERT INTO seen VALUES (1);", _002_b="CREATE INDEX CONCURRENTLY i ON seen (n);")
        self.run_ok()
        self.assertEqual(self.run_ok().value["applied"], 0)
        self.assertEqual((self.seen(), self.versions()), (["1"], ["001", "002"]))

    def test_settings_that_nobody_sees_are_kept(self):
        """A file that goes on in another session goes on in the same schema, whatever has set it."""
        settings = {"blanks": "SELECT\n  set_config('search_path', 'other', false);",
                    "do": "DO $$ BEGIN SET search_path = other; END $$;",
                    "function": "SELECT move();",
                    "seen": "SET search_path = other;",
                    "twice": "SET search_path = public; SELECT move();",
                    "taken back": "SET search_path = third; BEGIN; SAVEPOINT s; SET search_path = public; ROLLBACK TO SAVEPOINT s; COMMIT; SELECT public.move();"}
        self.sql("CREATE SCHEMA other; CREATE SCHEMA third; CREATE FUNCTION public.move() RETURNS void LANGUAGE sql AS $$ SELECT set_config('search_path', 'other', false) $$")
        for name, setting in settings.items():
            with self.subTest(name):
                begin = f"{setting}\nBEGIN; CREATE TABLE a (id int); COMMIT;\nSET LOCAL timezone = 'UTC';\n"
                self.files(_001_a=f"{begin}SELECT wrong;")
                self.run_fails()
                self.files(_001_a=f"{begin}CREATE TABLE b (id int);")
                self.run_ok()
                self.assertEqual(self.sql("SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('a', 'b') ORDER BY 2"), [["other", "a"], ["other", "b"]])
                self.sql("DROP TABLE other.a, other.b; TRUNCATE schema_migrations, deploy_agent.migration_log")

    def test_settings_that_go_back_to_the_login(self):
        self.sql("CREATE SCHEMA other; CREATE FUNCTION public.back() RETURNS void LANGUAGE sql AS $$ SELECT set_config('search_path', '\"$user\", public', false) $$")
        for setting in ("SET search_path = other; SELECT public.back();", "BEGIN; SAVEPOINT s; SET search_path = other; ROLLBACK TO SAVEPOINT s; COMMIT;"):
            with self.subTest(setting):
                self.files(_001_a=f"{setting}\nBEGIN; CREATE TABLE a (id int); COMMIT;\nSELECT wrong;")
                self.run_fails()
                self.files(_001_a=f"{setting}\nBEGIN; CREATE TABLE a (id int); COMMIT;\nCREATE TABLE b (id int);")
                self.run_ok()
                self.assertEqual(self.sql("SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('a', 'b') ORDER BY 2"), [["public", "a"], ["public", "b"]])
                self.sql("DROP TABLE a, b; TRUNCATE schema_migrations, deploy_agent.migration_log")

    def test_settings_of_one_who_may_less(self):
        """What only a superuser may set comes before the role."""
        role = f"plain_{self.db}"
        self.sql(f"CREATE ROLE {role}; GRANT ALL ON seen TO {role}")
        self.addCleanup(self.server.psql, "postgres", "-c", f"DROP ROLE {role}")
        self.addCleanup(self.drop)
        begin = f"DO $$ BEGIN SET session_replication_role = replica; SET role = {role}; END $$;\nBEGIN; INSERT INTO seen VALUES (1); COMMIT;\n"
        self.files(_001_a=f"{begin}SELECT wrong;")
        self.run_fails()
        self.files(_001_a=f"{begin}INSERT INTO seen SELECT 2 WHERE current_setting('session_replication_role') = 'replica' AND current_user = '{role}';")
        self.run_ok()
        self.assertEqual(self.seen(), ["1", "2"])

    def test_settings_stay_when_a_lock_is_waited_for(self):
        """The next attempt is in the same session, which has them; nothing that sets one is called once more."""
        self.sql("CREATE SCHEMA other; CREATE TABLE other.t (i int); INSERT INTO other.t VALUES (1); CREATE TABLE t (i int); INSERT INTO t VALUES (1); "
                 "CREATE TABLE busy (i int); CREATE FUNCTION tenant() RETURNS text LANGUAGE sql AS $$ INSERT INTO public.seen VALUES (1); SELECT 'x'::text $$")
        self.files(_001_a="SET search_path = other; BEGIN; CREATE TABLE a (id int); COMMIT;\nDO $$ BEGIN RESET search_path; END $$;\n"
                          "SELECT set_config('app.tenant', public.tenant(), false);\n"
                          "BEGIN; ALTER TABLE public.busy ADD x int; DELETE FROM t; COMMIT; SELECT 1;")
        other = self.session()
        other.do("BEGIN; LOCK TABLE busy")
        run = self.start("run", lock_timeout_ms=300)
        waits = "SELECT count(*) FROM pg_locks WHERE relation = 'busy'::regclass AND NOT granted"
        for count in ("1", "0", "1"):
            wait(lambda: self.value(waits) == count, 20, "its second attempt")
        other.do("COMMIT")
        answer = run.end()
        self.assertIsNone(answer.error, answer)
        self.assertEqual((self.sql("SELECT i FROM other.t"), self.sql("SELECT i FROM public.t"), self.seen()), ([["1"]], [], ["1"]))

    def test_settings_of_what_is_gone(self):
        role = f"gone_{self.db}"
        self.files(_001_a=f"BEGIN; CREATE TABLE x (id int CONSTRAINT c UNIQUE DEFERRABLE); SET CONSTRAINTS c DEFERRED; COMMIT; DROP TABLE x;\n"
                          f"CREATE ROLE {role}; SET ROLE {role}; RESET ROLE; DROP ROLE {role}; SET app.x = '1';\nSELECT wrong;")
        self.run_fails()
        self.files(_001_a=f"BEGIN; CREATE TABLE x (id int CONSTRAINT c UNIQUE DEFERRABLE); SET CONSTRAINTS c DEFERRED; COMMIT; DROP TABLE x;\n"
                          f"CREATE ROLE {role}; SET ROLE {role}; RESET ROLE; DROP ROLE {role}; SET app.x = '1';\nINSERT INTO seen SELECT current_setting('app.x')::int;")
        self.assertIn("could not be made again", str(self.run_ok().value["warnings"]))
        self.assertEqual(self.seen(), ["1"])

    def test_settings_of_the_database_itself(self):
        self.sql("CREATE SCHEMA other")
        begin = f"ALTER DATABASE {self.db} SET search_path = other;\nBEGIN; CREATE TABLE a (id int); COMMIT;\n"
        self.files(_001_a=f"{begin}SELECT wrong;")
        self.run_fails(table="public.schema_migrations")
        self.files(_001_a=f"{begin}CREATE TABLE b (id int);")
        self.run_ok(table="public.schema_migrations")
        self.assertEqual(self.sql("SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('a', 'b') ORDER BY 2"), [["public", "a"], ["public", "b"]])

    def test_encodings_that_hide_a_backslash(self):
        self.files(_001_a="SET client_encoding = 'GBK';\nINSERT INTO seen VALUES (7);\nSELECT E'あ\\'; COMMIT; BEGIN; SELECT 1 --';\nSELECT wrong;")
        self.assertIn("client_encoding is GBK now", self.run_fails().error)
        self.assertEqual(self.seen(), [])

    def test_role_that_a_function_takes(self):
        role = f"owner_{self.db}"
        self.sql(f"CREATE ROLE {role}; GRANT CREATE, USAGE ON SCHEMA public TO {role}; "
                 f"CREATE FUNCTION become() RETURNS void LANGUAGE sql AS $$ SELECT set_config('role', '{role}', false) $$")
        self.addCleanup(self.server.psql, "postgres", "-c", f"DROP ROLE {role}")
        self.addCleanup(self.drop)
        self.files(_001_a="SELECT become();\nBEGIN; CREATE TABLE a (id int); COMMIT;\nSELECT wrong;")
        self.run_fails()
        self.files(_001_a="SELECT become();\nBEGIN; CREATE TABLE a (id int); COMMIT;\nCREATE TABLE b (id int);")
        self.run_ok()
        self.assertEqual(self.sql("SELECT tablename FROM pg_tables WHERE tableowner = '" + role + "' ORDER BY 1"), [["a"], ["b"]])

    def test_long_and_escaped_index_names(self):
        long = "i" + "ä" * 40
        self.sql("INSERT INTO seen VALUES (1), (1)")
        self.files(_001_a=f"CREATE UNIQUE INDEX CONCURRENTLY {long} ON seen (n);")
        self.assertIn("stays until the next attempt", self.run_fails().error)
        self.sql("DELETE FROM seen; INSERT INTO seen VALUES (1)")
        self.files(_001_a=f"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {long} ON seen (n);")
        self.run_ok()
        self.assertEqual(self.sql("SELECT indisvalid FROM pg_index WHERE indrelid = 'seen'::regclass"), [["t"]])
        for text in ('CREATE INDEX CONCURRENTLY U&"d\\0061t" ON seen (n);', 'CREATE INDEX CONCURRENTLY d ON public.u&"s\\0065en" (n);'):
            self.files(_001_a="SELECT 1;", _002_b=text)
            self.sql("TRUNCATE schema_migrations, deploy_agent.migration_log")
            self.assertIn("write the name itself", self.run_fails().error)

    def test_statement_that_swallows_the_cancel(self):
        """The time is over, and nobody waits for its locks any longer."""
        self.files(_001_a="LOCK TABLE seen;\nDO $$ BEGIN FOR i IN 1..6 LOOP BEGIN PERFORM pg_sleep(30); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$;")
        answer = self.run_fails("timeout", timeout_ms=5000)
        self.assertIn("001_a.sql:2:1: it did not heed the request to cancel it for 10 s", answer.error)
        self.assertIn("the step's time is over, and its session was ended; the file was rolled back", answer.error)
        self.assertEqual(self.value("SELECT count(*) FROM pg_locks WHERE relation = 'seen'::regclass"), "0")
        self.assertEqual(self.log("version, state"), [("001", "failed")])

    def test_read_only_files(self):
        """Nothing can be recorded in them; between them it can."""
        self.files(_001_a="BEGIN; INSERT INTO seen VALUES (1); COMMIT;\nSET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;\nSELECT 1;")
        self.assertIn("READ ONLY by a setting of the file", self.run_fails().error)
        self.assertEqual(self.log("state, stmts_done"), [("failed", "4")])
        self.files(_001_a="BEGIN; INSERT INTO seen VALUES (1); COMMIT;\nSET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;\nBEGIN READ WRITE; SELECT 1; COMMIT;",
                   _002_b="INSERT INTO seen VALUES (2);")
        self.run_ok()
        self.assertEqual(self.seen(), ["1", "2"])

    def test_commit_after_rollback(self):
        for end in ("ROLLBACK; COMMIT;", "ROLLBACK AND CHAIN; COMMIT;", "ROLLBACK; RESET ALL;", "ROLLBACK; BEGIN; COMMIT;"):
            with self.subTest(end):
                self.files(_001_a=f"BEGIN; INSERT INTO seen VALUES (1); {end}")
                self.assertIn("rolls its last transaction back", self.run_fails().error)
        self.files(_001_a="INSERT INTO seen VALUES (2);\nROLLBACK;")
        self.run_ok()
        self.assertEqual(self.seen(), ["2"])

    def test_what_a_file_leaves_in_the_session(self):
        self.files(_001_a="SELECT pg_advisory_lock(4711); SELECT pg_advisory_lock(4711); SELECT pg_advisory_lock_shared(-1, -2); "
                          "CREATE TABLE s (id serial); INSERT INTO s DEFAULT VALUES;",
                   _002_b="INSERT INTO seen SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();")
        self.assertIn("001_a.sql: advisory locks that it took", str(self.run_ok().value["warnings"]))
        self.assertEqual(self.seen(), ["1"])
        self.files(_003_a="CREATE TABLE s2 (id serial); INSERT INTO s2 DEFAULT VALUES;", _004_b="SELECT lastval();")
        self.assertIn("lastval is not yet defined", self.run_fails().error)

    def test_failure_of_a_file_with_advisory_locks_is_recorded(self):
        self.files(_001_a="SELECT pg_advisory_lock(1); SELECT pg_sleep(20);")
        self.run_fails("timeout", timeout_ms=5000)
        self.assertEqual(self.log("version, state"), [("001", "failed")])

    def test_passwords_without_quotes(self):
        for text in ("ALTER ROLE postgres PASSWORD s3cret;", 'ALTER ROLE postgres WITH PASSWORD "s3cret" LOGIN;',
                     "DO $$ BEGIN PERFORM set_config('app.password', 's3cret', false), 1 / 0; END $$;"):
            self.files(_001_a=text)
            self.assertNotIn("s3cret", self.run_fails().error)

    def test_lock_given_away_by_a_file_that_fails(self):
        self.files(_001_a="SELECT pg_advisory_unlock_all();\nDROP INDEX CONCURRENTLY nothere;")
        self.assertIn("nothere", self.run_fails().error)
        self.assertEqual(self.log("version, state"), [("001", "failed")])

    def test_names_with_comments_in_them(self):
        self.sql("INSERT INTO seen VALUES (1), (1)")
        self.files(_001_a="CREATE UNIQUE INDEX CONCURRENTLY i ON public /* x /* y */ */ . -- z\n seen (n);")
        self.assertIn("the invalid index public.i stays", self.run_fails().error)

    def test_rows_are_not_shown(self):
        self.sql("CREATE TABLE persons (name text, secret text NOT NULL, CHECK (name <> 'x'))")
        self.sql("CREATE VIEW shown AS SELECT * FROM persons WHERE name <> 'y' WITH CHECK OPTION")
        for text in ("INSERT INTO persons VALUES ('Erika Muster', NULL);", "INSERT INTO persons VALUES ('x', 'Erika Muster');",
                     "INSERT INTO shown VALUES ('y', 'Erika Muster');", "COPY persons FROM stdin;\nErika Muster\t\\N\n\\.\n"):
            self.files(_001_a=text)
            self.assertNotIn("Erika", self.run_fails().error)


if __name__ == "__main__":
    unittest.main()
