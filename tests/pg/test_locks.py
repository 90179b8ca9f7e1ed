# SPDX-License-Identifier: Apache-2.0
"""Others at the same time, and connections that break: cases 44 to 53 and 64 of the database's catalogue."""

import contextlib
import os
import signal
import threading
import time
import unittest

from case import Case, close_server
from server import Cut, Server, wait


def tearDownModule():
    close_server()


LOCK = "hashtextextended('deploy-agent:migrate:public.schema_migrations', 0)"


class Locks(Case):
    def test_44_concurrently_while_another_agent_waits(self):
        self.sql("CREATE TABLE t (a int)")
        reader = self.session("reader")
        reader.do("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t")
        self.files(_001_i="CREATE INDEX CONCURRENTLY t_a ON t (a);")
        first = self.start("run", application="deploy-agent/one/schema/1")
        first.wait_for("waits for a lock")
        second = self.start("run", application="deploy-agent/two/schema/1")
        second.wait_for("held by deploy-agent/one/schema/1")
        reader.do("COMMIT")
        self.assertEqual((first.end().value["applied"], second.end().value["applied"]), (1, 0))

    def test_45_two_agents_at_once(self):
        self.files(_001_a="CREATE TABLE a (id int); SELECT pg_sleep(1.5);", _002_b="CREATE TABLE b (id int)")
        first = self.start("run", application="deploy-agent/one/schema/1")
        first.wait_for("begins")
        second = self.start("run", application="deploy-agent/two/schema/1")
        second.wait_for("held by deploy-agent/one/schema/1")
        a, b = first.end(), second.end()
        self.assertEqual((a.error, a.value["applied"], b.error, b.value["applied"]), (None, 2, None, 0))
        self.assertEqual(self.log(), [("001", "applied"), ("002", "applied")])

    def test_45c_another_agent_commits_while_we_look(self):
        self.files(_001_a="CREATE TABLE a (id int)")
        self.run_ok()
        self.add(_002_b="CREATE TABLE b (id int)")
        for op in ("plan", "run"):
            with self.subTest(op=op):
                other = self.session("deploy-agent/two")
                other.do("BEGIN; LOCK TABLE deploy_agent.migration_log")
                run = self.start(op)
                wait(lambda: self.value("SELECT count(*) FROM pg_locks WHERE relation = 'deploy_agent.migration_log'::regclass AND NOT granted") == "1", 10, "it has read the versions")
                other.do("INSERT INTO schema_migrations VALUES ('002', 'b'); INSERT INTO deploy_agent.migration_log (stage, table_name, version, file, mode, state, started_at) VALUES ('schema', 'public.schema_migrations', '002', '002_b.sql', 'tx', 'applied', now()); COMMIT")
                answer = run.end()
                self.assertIsNone(answer.error, answer)
                self.sql("DELETE FROM schema_migrations WHERE version = '002'; DELETE FROM deploy_agent.migration_log WHERE version = '002'")

    def test_45b_lock_busy(self):
        self.files(_001_a="CREATE TABLE a (id int)")
        holder = self.session("migrate-by-hand")
        holder.do(f"SELECT pg_advisory_lock({LOCK})")
        answer = self.run_fails("conflict", lock_wait_ms=500)
        self.assertIn("migrate-by-hand", answer.error)
        self.assertFalse(self.exists("a"))

    def test_46_holder_killed(self):
        self.files(_001_a="CREATE TABLE a (id int); SELECT pg_sleep(30);")
        run = self.start("run")
        wait(lambda: self.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)' AND state = 'active'") == "1", 10, "it sleeps")
        run.signal(signal.SIGKILL)
        run.end()
        killed = time.monotonic()
        self.files(_001_a="CREATE TABLE a (id int);")
        answer = self.run_ok()
        took = time.monotonic() - killed
        self.assertLess(took, 15, "the lock was held by a dead session, which sleeps for 30 s")
        self.assertEqual(answer.applied, ["001_a.sql"])
        print(f"# lock of a killed holder taken over after {took:.1f} s")

    def test_49_backend_terminated(self):
        self.files(_001_a="INSERT INTO seen VALUES (1); SELECT pg_sleep(2.5);", _002_b="BEGIN; INSERT INTO seen VALUES (2); COMMIT; SELECT pg_sleep(2.5); BEGIN; INSERT INTO seen VALUES (3); COMMIT;")
        self.sql("CREATE TABLE seen (n int)")
        run = self.start("run")
        for name in ("001_a", "002_b"):
            run.wait_for(f"begins: {name}")
            wait(lambda: self.value("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(2.5)%' AND state = 'active'"), 10, "it sleeps")
        answer = run.end()
        self.assertIsNone(answer.error, answer)
        self.assertEqual(self.sql("SELECT n FROM seen ORDER BY 1"), [["1"], ["2"], ["3"]])
        self.assertEqual([e["attempts"] for e in answer.events if e["event"] == "applied"], [2, 2])

    def test_49d_another_agent_was_faster(self):
        self.sql("CREATE TABLE seen (n int)")
        self.files(_001_a="INSERT INTO seen VALUES (1); SELECT pg_sleep(2.5);", _002_b="INSERT INTO seen VALUES (2);", _003_c="BEGIN; INSERT INTO seen VALUES (3); COMMIT; INSERT INTO seen VALUES (4);")
        first = self.start("run", application="deploy-agent/one/schema/1")
        first.wait_for("begins: 001_a")
        second = self.start("run", application="deploy-agent/two/schema/1", run_id="host/2")
        second.wait_for("held by deploy-agent/one")
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'deploy-agent/one/schema/1'")
        a, b = first.end(), second.end()
        self.assertEqual((a.error, b.error), (None, None))
        self.assertEqual(self.sql("SELECT n FROM seen ORDER BY 1"), [["1"], ["2"], ["3"], ["4"]])
        self.assertEqual(self.log("version", "state = 'applied'"), [("001",), ("002",), ("003",)])

    def test_49b_only_once_more(self):
        self.files(_001_a="SELECT pg_terminate_backend(pg_backend_pid());")
        answer = self.run_fails("unavailable")
        self.assertIn("001_a.sql:1:1", answer.error)
        self.assertFalse(answer.events[-1]["unknown"])
        self.assertEqual(self.versions(), [])

    def test_49c_server_crash(self):
        server = Server()
        self.addCleanup(server.close)
        server.psql("postgres", "-c", "CREATE TABLE seen (n int)")
        self.files(_001_a="INSERT INTO seen VALUES (1); SELECT pg_sleep(2.6);")
        run = self.start("run", url=server.url("postgres"))
        pid = int(wait(lambda: server.value("postgres", "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(2.6)%' AND state = 'active'"), 10, "it sleeps"))
        os.kill(pid, signal.SIGKILL)
        answer = run.end()
        self.assertIsNone(answer.error, answer)
        self.assertEqual(server.sql("postgres", "SELECT n FROM seen"), [["1"]])

    def cut_run(self, part):
        cut = Cut(self.server.port, lambda data: part in data and cut.cuts == 0)
        self.addCleanup(cut.close)
        answer = self.drive("run", port=cut.address)
        self.assertEqual(cut.cuts, 1)
        return answer

    def test_50_cut_at_commit(self):
        self.sql("CREATE TABLE seen (n int)")
        self.files(_001_a="INSERT INTO seen VALUES (1);", _002_b="BEGIN; INSERT INTO seen VALUES (2); COMMIT; BEGIN; INSERT INTO seen VALUES (3); COMMIT;")
        answer = self.cut_run(b"'001_a.sql'")
        self.assertIsNone(answer.error, answer)
        self.assertEqual(self.sql("SELECT n FROM seen ORDER BY 1"), [["1"], ["2"], ["3"]])
        self.assertEqual([e["attempts"] for e in answer.events if e["event"] == "applied"], [1, 1])
        self.assertEqual(self.log(), [("001", "applied"), ("002", "applied")])

    def test_50d_cut_between_files(self):
        self.files(_001_a="CREATE TABLE a (id int);", _002_b="CREATE TABLE b (id int);")
        answer = self.cut_run(b"DISCARD TEMP")
        self.assertIsNone(answer.error, answer)
        self.assertEqual(answer.applied, ["001_a.sql", "002_b.sql"])

    def test_50b_cut_at_progress(self):
        self.sql("CREATE TABLE seen (n int)")
        self.files(_002_b="BEGIN; INSERT INTO seen VALUES (2); COMMIT; BEGIN; INSERT INTO seen VALUES (3); COMMIT;")
        answer = self.cut_run(b"stmts_done = 3")
        self.assertIsNone(answer.error, answer)
        self.assertEqual(self.sql("SELECT n FROM seen ORDER BY 1"), [["2"], ["3"]])

    def test_50e_cut_behind_its_own_row(self):
        self.sql("CREATE TABLE seen (n int); CREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL)")
        self.files(_002_b="BEGIN; INSERT INTO schema_migrations VALUES ('002', 'b'); INSERT INTO seen VALUES (1); COMMIT; INSERT INTO seen VALUES (2); INSERT INTO seen VALUES (3);")
        answer = self.cut_run(b"stmts_done = 5")
        self.assertIsNone(answer.error, answer)
        self.assertEqual(answer.applied, ["002_b.sql"])
        self.assertEqual(self.sql("SELECT n FROM seen ORDER BY 1"), [["1"], ["2"], ["3"]])

    @contextlib.contextmanager
    def stopped_behind_the_second_login(self, **options):
        """A run whose link is lost; it is stopped when it has the lock again, and has not looked what became of the file."""
        run = self.start("run", "sql.locked:stop:nth=2", **options)
        yield
        wait(lambda: run.saw("sql.locked"), 15, "the fault point")
        run.signal(signal.SIGTERM)
        run.signal(signal.SIGCONT)
        self.assertEqual(run.end().kind, "cancelled")

    def test_48e_in_doubt_and_stopped(self):
        self.sql("CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; PERFORM pg_sleep(30); END $$")
        self.files(_001_a="-- deploy: no-transaction\nCALL p();\n")
        with self.stopped_behind_the_second_login():
            wait(lambda: self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL p()%' AND wait_event = 'PgSleep'"), 10, "it sleeps")
        self.assertEqual(self.log("state, stmt_index"), [("running", "1")])
        self.assertIn("cannot be told", self.run_fails().error)

    def test_50f_cut_at_commit_and_stopped(self):
        for text in ("CREATE TABLE a (id int);", "BEGIN; CREATE TABLE b (id int); COMMIT; CREATE TABLE c (id int);"):
            with self.subTest(text=text):
                self.files(_001_a=text)
                cut = Cut(self.server.port, lambda data: b"INSERT INTO public.schema_migrations" in data)
                self.addCleanup(cut.close)
                with self.stopped_behind_the_second_login(port=cut.address):
                    pass
                self.assertEqual(self.log("state"), [("applied",)])
                self.add(_002_c="SELECT 1")
                self.assertEqual(self.run_ok().applied, ["002_c.sql"])
                self.sql("TRUNCATE schema_migrations, deploy_agent.migration_log")

    def test_50c_server_gone_at_commit(self):
        server = Server()
        self.addCleanup(server.close)
        self.files(_001_a="CREATE TABLE a (id int);")
        run = self.start("run", "sql.before_commit:stop:nth=1", url=server.url("postgres"), timeout_ms=3000)
        wait(lambda: run.saw("sql.before_commit"), 10, "the fault point")
        server.stop(signal.SIGQUIT)
        run.signal(signal.SIGCONT)
        answer = run.end()
        self.assertEqual(answer.kind, "unavailable", answer)
        self.assertIn("the next run reads it from the log", answer.error)
        self.assertTrue(answer.events[-1]["unknown"])
        server.start()
        self.assertIsNone(self.drive("run", url=server.url("postgres")).error)
        self.assertEqual(server.value("postgres", "SELECT count(*) FROM schema_migrations"), "1")

    def stall_of_readers(self, until):
        """The longest time that SELECTs of an innocent session took."""
        longest, probe = 0, self.session("innocent")
        while not until():
            began = time.monotonic()
            probe.do("SELECT count(*) FROM t")
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.02)
        return longest

    def test_51_lock_contention(self):
        self.sql("CREATE TABLE t (a int)")
        reader = self.session("slow-report")
        reader.do("BEGIN; SELECT count(*) FROM t")
        self.files(_001_a="SELECT 1;\nALTER TABLE t ADD b int;")
        lock_timeout = 1.3
        run = self.start("run", lock_timeout_ms=int(lock_timeout * 1000))
        timer = threading.Timer(6, lambda: reader.do("COMMIT"))
        timer.start()
        stall = self.stall_of_readers(lambda: run.process.poll() is not None)
        timer.join()
        answer = run.end()
        self.assertIsNone(answer.error, answer)
        self.assertGreaterEqual(answer.events[-1]["attempts"], 2)
        self.assertIn("slow-report", " ".join(answer.waited))
        self.assertIn("55P03", " ".join(answer.waited))
        self.assertLess(stall, 2 * lock_timeout - 0.1, "more than one try's worth")
        print(f"# innocent readers stalled {stall:.2f} s at most, lock_timeout {lock_timeout} s")

    def test_52_contention_for_ever(self):
        self.sql("CREATE TABLE t (a int)")
        reader = self.session("slow-report")
        reader.do("BEGIN; SELECT count(*) FROM t")
        self.files(_001_a="ALTER TABLE t ADD b int;")
        began = time.monotonic()
        answer = self.run_fails(lock_timeout_ms=300, timeout_ms=5000)
        self.assertLess(time.monotonic() - began, 15)
        self.assertIn("55P03", answer.error)
        self.assertEqual(self.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), "0")
        self.assertEqual(self.log("state, sqlstate"), [("failed", "55P03")])

    def test_52b_deadlock_and_serialization_are_tried_again(self):
        self.sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        self.files(_001_a="CREATE TABLE x (n int);\nDO $$ BEGIN IF (SELECT a FROM t) = 1 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF; END $$;")
        run = self.start("run")
        run.wait_for("40001")
        self.sql("UPDATE t SET a = 2")
        answer = run.end()
        self.assertIsNone(answer.error, answer)
        self.assertEqual(answer.events[-1]["attempts"], 2)
        self.assertTrue(self.exists("x"), "the file was not tried again whole")

    def test_52c_a_crowd_behind_us(self):
        self.sql("CREATE TABLE t (a int)")
        reader = self.session("slow-report")
        reader.do("BEGIN; SELECT count(*) FROM t")
        self.files(_001_a="ALTER TABLE t ADD b int;")
        run = self.start("run", lock_timeout_ms=30000)
        run.wait_for("waits for a lock")
        for _ in range(11):
            self.session("innocent").send("SELECT count(*) FROM t;")
        run.wait_for("attempt 2", 12)
        reader.do("COMMIT")
        answer = run.end()
        self.assertIsNone(answer.error, answer)

    def test_53_pg_dump_running(self):
        self.sql("CREATE TABLE t (a int)")
        dump = self.session("pg_dump")
        dump.do("BEGIN; LOCK TABLE t IN ACCESS SHARE MODE")
        self.files(_001_a="ALTER TABLE t ADD b int;")
        run = self.start("run", quiet_wait_ms=20000)
        self.assertIn("pg_dump", run.wait_for("a quiet moment"))
        dump.do("COMMIT")
        answer = run.end()
        self.assertEqual((answer.error, answer.events[-1]["attempts"]), (None, 1))
        self.files(_001_a="ALTER TABLE t ADD b int;", _002_b="SELECT 1;")
        dump.do("BEGIN; LOCK TABLE t IN ACCESS SHARE MODE")
        self.assertIn("pg_dump", " ".join(self.run_ok(quiet_wait_ms=100).value["warnings"]))

    def test_64_foreign_writer(self):
        self.sql("CREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL); INSERT INTO schema_migrations VALUES ('017', 'x')")
        self.files(_017_x="SELECT 1", _018_a="CREATE TABLE a (id int)", _019_b="CREATE TABLE b (id int)")
        holder = self.session("psql")
        holder.do(f"SELECT pg_advisory_lock({LOCK})")
        run = self.start("run")
        run.wait_for("held by psql")
        holder.do("CREATE TABLE a (id int); INSERT INTO schema_migrations VALUES ('018', 'a')")
        holder.do("SELECT pg_advisory_unlock_all()")
        self.assertEqual(run.end().applied, ["019_b.sql"])

    def test_stop_signal(self):
        self.files(_001_a="CREATE TABLE a (id int); SELECT pg_sleep(2.4);", _002_b="CREATE TABLE b (id int)")
        run = self.start("run")
        wait(lambda: self.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(2.4)%' AND state = 'active'") == "1", 10, "it sleeps")
        run.signal(signal.SIGTERM)
        answer = run.end()
        self.assertEqual(answer.kind, "cancelled", answer)
        self.assertFalse(self.exists("a") or self.exists("b"))
        self.assertEqual(self.run_ok().value["applied"], 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
