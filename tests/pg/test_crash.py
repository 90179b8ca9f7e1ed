# SPDX-License-Identifier: Apache-2.0
"""Killed at every passage of every fault point, then run again: cases 43, 47 and 48 of the database's catalogue."""

import signal
import unittest

from case import Case, close_server
from server import wait


def tearDownModule():
    close_server()


class Crash(Case):
    """Killed at every passage of every fault point; then once more, undisturbed."""

    FILES = {
        "_001_tx": "CREATE TABLE did (file text, n int);\nCREATE SCHEMA aside;\nINSERT INTO did VALUES ('001', 1);\n",
        "_002_own": "BEGIN;\nINSERT INTO did VALUES ('002', 1);\nINSERT INTO schema_migrations (version, name) VALUES ('002', 'own') ON CONFLICT DO NOTHING;\nCOMMIT;\n",
        "_003_multi": "SET search_path = aside, public;\nBEGIN;\nINSERT INTO did VALUES ('003', 1);\nCOMMIT;\nSET timezone = 'UTC';\nINSERT INTO did VALUES ('003', 2);\n"
                      "CREATE TABLE kept (i int);\nBEGIN;\nINSERT INTO did VALUES ('003', 3);\nCOMMIT;\n",
        "_004_no_tx": "CREATE INDEX CONCURRENTLY did_file ON did (file);\nINSERT INTO did VALUES ('004', 1);\nCREATE INDEX CONCURRENTLY did_n ON did (n);\nVACUUM did;\n",
        "_005_tx": "INSERT INTO did VALUES ('005', 1);",
    }

    def state(self):
        return (
            self.sql("SELECT file, n FROM did ORDER BY 1, 2"),
            self.sql("SELECT version, name FROM schema_migrations ORDER BY 1"),
            self.sql("SELECT schemaname FROM pg_tables WHERE tablename = 'kept'"),
            self.sql("SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'did'::regclass ORDER BY 1"),
            self.log("version, state, stmts_done, stmts_total", "state IN ('applied', 'running')", "version"))

    def again(self):
        self.sql("DROP TABLE IF EXISTS did, schema_migrations; DROP SCHEMA IF EXISTS deploy_agent CASCADE; DROP SCHEMA IF EXISTS aside CASCADE")

    def reference(self):
        self.files(**self.FILES)
        self.run_ok()
        return self.state()

    def sweep(self, point, action="kill"):
        reference, deaths = self.reference(), 0
        self.assertEqual((len(reference[0]), reference[2]), (7, [["aside"]]))
        for nth in range(1, 60):
            self.again()
            answer = self.start("run", f"{point}:{action}:nth={nth}").end()
            if answer is not None:
                break
            deaths += 1
            self.run_ok(run_id="host/2")
            self.assertEqual(self.state(), reference, f"{point}, passage {nth}")
        self.assertIsNone(answer.error, answer)
        self.assertGreater(deaths, 0, f"{point} was never passed")
        return deaths

    def test_47_48_killed_after_any_statement(self):
        self.assertGreaterEqual(self.sweep("sql.statement"), 12)

    def test_48_killed_before_any_commit(self):
        self.assertGreaterEqual(self.sweep("sql.before_commit"), 9)

    def test_48_killed_with_any_commit_on_its_way(self):
        self.assertGreaterEqual(self.sweep("sql.commit_sent"), 9)

    def test_48_killed_after_any_commit(self):
        self.assertGreaterEqual(self.sweep("sql.committed"), 9)

    def test_48_killed_elsewhere(self):
        for point in ("sql.locked", "sql.begun", "sql.intent", "sql.alone", "sql.recorded"):
            with self.subTest(point=point):
                self.sweep(point)

    def test_43_two_concurrently_killed_between(self):
        self.files(_001_t="CREATE TABLE t (a int, b int);", _002_i="CREATE INDEX CONCURRENTLY t_a ON t (a);\nCREATE INDEX CONCURRENTLY t_b ON t (b);\n")
        self.assertIsNone(self.start("run", "sql.alone:kill:nth=1").end())
        first = self.value("SELECT 't_a'::regclass::oid")
        self.assertFalse(self.exists("t_b"))
        self.run_ok()
        self.assertEqual(self.value("SELECT 't_a'::regclass::oid"), first, "built twice")
        self.assertEqual(self.sql("SELECT indisvalid FROM pg_index WHERE indrelid = 't'::regclass"), [["t"], ["t"]])

    def test_43b_killed_while_it_is_built(self):
        self.sql("CREATE TABLE t (a int)")
        reader = self.session("reader")
        reader.do("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t")
        self.files(_001_i="CREATE INDEX CONCURRENTLY t_a ON t (a);")
        run = self.start("run")
        run.wait_for("waits for a lock")
        run.signal(signal.SIGKILL)
        self.assertIsNone(run.end())
        wait(lambda: self.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'deploy-agent/%'") == "0", 10, "the backend ends")
        self.assertEqual(self.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 't_a'::regclass"), "f")
        reader.do("COMMIT")
        self.run_ok()
        self.assertEqual(self.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 't_a'::regclass"), "t")

    def test_48b_in_doubt_a_person_is_asked(self):
        self.files(_001_p="CREATE TABLE did (n int); CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO did VALUES (1); COMMIT; END $$;", _002_c="-- deploy: no-transaction\nCALL p();\nINSERT INTO did VALUES (2);\n")
        self.assertIsNone(self.start("run", "sql.alone:kill:nth=1").end())
        for _ in range(2):
            answer = self.run_fails()
            self.assertIn("resolve STACK 002 --statement 1", answer.error)
            self.assertTrue(answer.error.startswith("002_c.sql:2:1: "), answer.error)
        self.assertEqual(self.drive("resolve", version="2", statement=2, done=True).kind, "conflict")
        self.assertIsNone(self.drive("resolve", version="2", statement=1, done=True).error)
        self.run_ok()
        self.assertEqual(self.sql("SELECT n FROM did ORDER BY 1"), [["1"], ["2"]])

    def test_48c_in_doubt_again(self):
        self.files(_001_p="CREATE TABLE did (n int); CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO did VALUES (1); COMMIT; END $$;", _002_c="-- deploy: no-transaction\nCALL p();\n")
        self.assertIsNone(self.start("run", "sql.intent:kill:nth=1").end())
        self.assertIn("cannot be told", self.run_fails().error)
        self.assertIsNone(self.drive("resolve", version="002", statement=1, done=False).error)
        self.run_ok()
        self.assertEqual(self.sql("SELECT n FROM did ORDER BY 1"), [["1"]])

    def test_48d_resolve_whole_files(self):
        self.files(_001_a="BEGIN; CREATE TABLE a (id int); COMMIT; BEGIN; SELECT wrong; COMMIT;")
        self.run_fails()
        self.assertIsNone(self.drive("resolve", version="001", done=False).error)
        self.assertIn("42P07", self.run_fails().error)
        self.assertIsNone(self.drive("resolve", version="001", done=True).error)
        self.assertEqual(self.run_ok().applied, [])
        self.assertEqual(self.versions(), ["001"])
        self.assertEqual(self.log("state, mode")[-1], ("resolved", "resolved"))
        self.sql("DELETE FROM schema_migrations; DROP TABLE a")
        self.files(_001_a="BEGIN; CREATE TABLE a (id int); COMMIT; BEGIN; SELECT wrong; COMMIT;")
        self.assertIn("resolve", self.plan_refused())
        self.assertIsNone(self.drive("resolve", version="001", done=False).error)
        self.assertEqual(self.plan_ok()["pending"], ["001_a.sql"])

    def test_48f_resolved_files_have_their_content(self):
        self.files(_001_a="SELECT wrong;\nSELECT 1;\n", _002_b="\\! not ours to run")
        self.run_fails("invalid")
        for version in ("001", "002"):
            self.assertIsNone(self.drive("resolve", version=version, done=True).error)
        self.assertEqual(self.log("version, stmts_done, stmts_total, norm_sha256 IS NOT NULL"), [("001", "2", "2", "t"), ("002", "0", "0", "f")])
        self.add(_001_a="-- a comment\nSELECT wrong;\nSELECT 1;\n")
        plan = self.plan_ok()
        self.assertEqual(plan["pending"], [])
        self.assertIn("only blanks or comments", " ".join(plan["warnings"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
