# SPDX-License-Identifier: Apache-2.0
"""Files of several transactions, and statements that take none: cases 34, 35 and 40 to 44 of the database's catalogue."""

import signal
import unittest

from case import Case, close_server


def tearDownModule():
    close_server()


class Steps(Case):
    def test_34_two_transactions(self):
        head = "BEGIN;\nCREATE TABLE a (id int);\nCOMMIT;\n"
        self.files(_053_a=head + "BEGIN;\nCREATE TABLE b (id wrong);\nCOMMIT;\n")
        answer = self.run_fails()
        self.assertTrue(answer.error.startswith("053_a.sql:5:20: "), answer.error)
        self.assertIn("statements 1 to 3 of 6 are committed", answer.error)
        self.assertEqual(self.tables(), ["a"])
        self.assertEqual(self.log("state, mode, stmts_done, stmts_total, stmt_index"), [("failed", "multi_tx", "3", "6", "5")])
        self.assertEqual(self.plan_ok()["failed"], ["053"])
        self.files(_053_a="BEGIN;\nCREATE TABLE a (id bigint);\nCOMMIT;\nBEGIN;\nCREATE TABLE b (id int);\nCOMMIT;\n")
        self.assertIn("have been changed since", self.plan_refused())
        self.assertEqual(self.tables(), ["a"])
        self.files(_053_a="-- a comment more\n" + head + "BEGIN;\nCREATE TABLE b (id int);\nCOMMIT;\n")
        self.run_ok()
        self.assertEqual(self.tables(), ["a", "b", "schema_migrations"])
        self.assertEqual(self.log("state, stmts_done", "state = 'applied'"), [("applied", "6")])

    def test_34c_half_done_and_in_the_table_is_not_applied(self):
        self.sql("CREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL); CREATE TABLE t (id int)")
        head = "BEGIN;\nCREATE TABLE a (id int);\nINSERT INTO schema_migrations VALUES ('053', 'a');\nCOMMIT;\n"
        self.files(_053_a=head + "SELECT wrong;\n")
        self.run_fails()
        self.assertEqual(self.versions(), ["053"])
        self.assertEqual(self.drive("adopt").value, 0)
        self.assertEqual(self.plan_ok()["pending"], ["053_a.sql"])
        dump = self.session("pg_dump")
        dump.do("BEGIN; LOCK TABLE t IN ACCESS SHARE MODE")
        run = self.start("run", quiet_wait_ms=30000)
        run.wait_for("a quiet moment")
        run.signal(signal.SIGTERM)
        self.assertEqual(run.end().kind, "cancelled")
        dump.do("COMMIT")
        self.assertEqual(self.plan_ok()["pending"], ["053_a.sql"])
        self.files(_053_a=head + "CREATE TABLE b (id int);\n")
        self.assertEqual(self.run_ok().applied, ["053_a.sql"])
        self.assertTrue(self.exists("b"))
        self.assertEqual(self.log("state, stmts_done", "state <> 'failed'"), [("applied", "5")])

    def test_34b_settings_come_back(self):
        self.sql("CREATE SCHEMA other")
        head = "SET search_path = other;\nBEGIN;\nSET search_path = pg_catalog;\nROLLBACK;\nBEGIN;\nCREATE TABLE a (id int);\nCOMMIT;\n"
        self.files(_001_a=head + "CREATE TABLE b (id wrong);\n")
        self.run_fails()
        self.files(_001_a=head + "CREATE TABLE b (id int);\n")
        self.run_ok()
        self.assertTrue(self.exists("other.a") and self.exists("other.b"))

    def test_35_rollback_inside(self):
        self.files(_001_a="BEGIN; CREATE TABLE a (id int); ROLLBACK;")
        answer = self.drive("run")
        self.assertIn(answer.kind, ("failed", "invalid"), answer)
        self.assertEqual(self.versions(), [])
        self.files(_001_a="BEGIN; CREATE TABLE a (id int); ROLLBACK; BEGIN; CREATE TABLE b (id int); COMMIT;")
        self.run_ok()
        self.assertEqual(self.tables(), ["b", "schema_migrations"])

    def test_35b_commit_and_chain_and_savepoints(self):
        self.files(_001_a="BEGIN; CREATE TABLE a (id int); SAVEPOINT s; CREATE TABLE x (id int); ROLLBACK TO s; COMMIT AND CHAIN; CREATE TABLE b (id int); COMMIT; CREATE TABLE c (id int);")
        self.run_ok()
        self.assertEqual(self.tables(), ["a", "b", "c", "schema_migrations"])

    def valid(self, index):
        return self.value(f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{index}')")

    def test_40_concurrently_good(self):
        self.files(_001_t="CREATE TABLE t (id int, k int); INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i;", _002_i="CREATE INDEX CONCURRENTLY t_k ON t (k);\nCREATE UNIQUE INDEX CONCURRENTLY \"T k2\" ON public.t (k);\nREINDEX INDEX CONCURRENTLY t_k;\nVACUUM t;\n")
        self.run_ok()
        self.assertEqual((self.valid("t_k"), self.valid('"T k2"')), ("t", "t"))
        self.assertEqual(self.log("mode, state, stmts_done", "version = '002'"), [("no_tx", "applied", "4")])

    def test_41_concurrently_duplicate_keys(self):
        self.files(_001_t="CREATE TABLE t (id int, k int); INSERT INTO t VALUES (1, 1), (2, 1);", _002_i="CREATE UNIQUE INDEX CONCURRENTLY t_k ON t (k);")
        answer = self.run_fails()
        self.assertTrue(answer.error.startswith("002_i.sql:1:1: "), answer.error)
        self.assertIn("invalid index public.t_k", answer.error)
        self.assertEqual(self.plan_ok()["history"]["invalid_indexes"], ["t_k"])
        self.sql("DELETE FROM t WHERE id = 2")
        self.run_ok()
        self.assertEqual(self.valid("t_k"), "t")
        self.assertEqual(self.versions(), ["001", "002"])

    def test_42_if_not_exists_over_invalid(self):
        self.sql("CREATE TABLE t (id int, k int); INSERT INTO t VALUES (1, 1), (2, 1)")
        self.server.psql(self.db, "-c", "CREATE UNIQUE INDEX CONCURRENTLY t_k ON t (k)", check=False)
        self.assertEqual(self.valid("t_k"), "f")
        self.sql("DELETE FROM t WHERE id = 2")
        self.files(_001_i="CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_k ON t (k);")
        answer = self.run_ok()
        self.assertEqual(self.valid("t_k"), "t")
        self.assertIn("t_k", " ".join(answer.value["warnings"]))

    def test_42c_invalid_indexes_are_the_same_everywhere(self):
        self.sql("CREATE TABLE t (k int); INSERT INTO t VALUES (1), (1); CREATE TABLE p (k int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE INDEX p_k ON ONLY p (k)")
        self.server.psql(self.db, "-c", "CREATE UNIQUE INDEX CONCURRENTLY t_k ON t (k)", check=False)
        self.assertEqual(self.plan_ok()["history"]["invalid_indexes"], ["t_k"])
        self.assertEqual(self.drive("health", tables=["t", "u"]).value, {"invalid_indexes": ["t_k"], "missing_tables": ["u"]})

    def test_42b_an_existing_valid_index_is_the_servers_error(self):
        self.sql("CREATE TABLE t (k int); CREATE INDEX t_k ON t (k)")
        self.files(_001_i="CREATE INDEX CONCURRENTLY t_k ON t (k);")
        self.assertIn("42P07", self.run_fails().error)

    def test_44b_concurrently_outwaits_lock_timeout(self):
        self.sql("CREATE TABLE t (k int)")
        reader = self.session("reader")
        reader.do("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t")
        self.files(_001_i="CREATE INDEX CONCURRENTLY t_k ON t (k);", _002_a="SELECT 1")
        run = self.start("run", lock_timeout_ms=300)
        line = run.wait_for("waits for a lock")
        self.assertIn("reader", line)
        reader.do("COMMIT")
        answer = run.end()
        self.assertIsNone(answer.error, answer)
        self.assertEqual([e["attempts"] for e in answer.events if e["event"] == "applied"], [1, 1])


    def test_44c_every_concurrently_outwaits_lock_timeout(self):
        self.sql("CREATE TABLE t (k int); CREATE INDEX t_k ON t (k); CREATE TABLE p (k int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE i (k int); INSERT INTO i VALUES (1), (1)")
        self.server.psql(self.db, "-c", "CREATE UNIQUE INDEX CONCURRENTLY i_k ON i (k)", check=False)
        for n, (table, statement) in enumerate((("t", "DROP INDEX CONCURRENTLY t_k"), ("p", "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY"), ("i", "CREATE INDEX CONCURRENTLY i_k ON i (k)"))):
            with self.subTest(statement=statement):
                reader = self.session("reader")
                reader.do(f"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM {table}")
                self.add(**{f"_00{n}_a": statement + ";\nCREATE TABLE seen AS SELECT current_setting('lock_timeout');\nDROP TABLE seen;"})
                run = self.start("run", lock_timeout_ms=300)
                run.wait_for("waits for a lock")
                reader.do("COMMIT")
                answer = run.end()
                self.assertIsNone(answer.error, answer)
                self.assertEqual([e["attempts"] for e in answer.events if e["event"] == "applied"], [1])
                reader.close()

    def test_44d_a_partition_left_pending(self):
        self.sql("CREATE TABLE p (k int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)")
        reader = self.session("reader")
        reader.do("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM p")
        self.files(_001_a="ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;")
        run = self.start("run")
        run.wait_for("waits for a lock")
        self.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE p DETACH%' AND pid <> pg_backend_pid()")
        self.assertIn("ALTER TABLE public.p DETACH PARTITION public.p1 FINALIZE", run.end().error)
        reader.do("COMMIT")
        self.files(_001_a="ALTER TABLE public.p DETACH PARTITION public.p1 FINALIZE;")
        self.run_ok()
        self.assertEqual(self.value("SELECT count(*) FROM pg_inherits"), "0")


if __name__ == "__main__":
    unittest.main(verbosity=2)
