# SPDX-License-Identifier: Apache-2.0
"""Databases and files that would make a record false: what is not seen to be written is not said to be."""

import unittest

from case import Case, close_server

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
        answer = self.run_fails()
        self.assertEqual((self.versions(), self.seen()), ([], []), answer)

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
        self.assertIn("is a temporary table", self.run_fails("invalid").error)
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
        self.assertIn("row-level security", answer.error or "")
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


if __name__ == "__main__":
    unittest.main()
