# SPDX-License-Identifier: Apache-2.0
"""Servers that are not what they should be: cases 55 to 60 of the database's catalogue."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from case import Case, close_server
from server import Server, Session, account, as_account, free_port, wait


def tearDownModule():
    close_server()


class Servers(Case):
    @unittest.skipUnless(os.geteuid() == 0, "a file system of its own needs root")
    def test_55_disk_full(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="deploy-agent-full.", dir="/var/tmp"))
        self.addCleanup(folder.rmdir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=16m,mode=700,uid={account().pw_uid}", "tmpfs", folder], check=True)
        self.addCleanup(subprocess.run, ["umount", folder], check=True)
        self.server.psql("postgres", "-c", f"CREATE TABLESPACE full_{self.db} LOCATION '{folder}'")
        self.addCleanup(self.server.psql, "postgres", "-c", f"DROP TABLESPACE full_{self.db}")
        self.addCleanup(self.drop)
        self.files(_001_a=f"CREATE TABLE a (t text) TABLESPACE full_{self.db};", _002_b="INSERT INTO a SELECT repeat(md5(i::text), 30) FROM generate_series(1, 30000) i;")
        answer = self.run_fails()
        self.assertIn("53100", answer.error)
        self.assertEqual(answer.events[-1]["attempts"], 1)
        self.assertEqual(self.value("SELECT count(*) FROM a"), "0")
        self.assertEqual(self.versions(), ["001"])

    def test_57_standby(self):
        primary = Server("max_wal_senders = 2\nwal_level = replica\n")
        self.addCleanup(primary.close)

        def base(server):
            server.run("pg_basebackup", "-D", server.data, "-h", primary.folder, "-p", primary.port, "-U", "postgres", "-X", "stream", "-c", "fast", "--no-sync")
            (server.data / "standby.signal").touch()
            os.chown(server.data / "standby.signal", account().pw_uid, account().pw_gid)

        standby = Server(f"primary_conninfo = 'host={primary.folder} port={primary.port} user=postgres'\n", base)
        self.addCleanup(standby.close)
        self.files(_001_a="CREATE TABLE a (id int)")
        for op in ("run", "login"):
            answer = self.drive(op, url=standby.url("postgres"))
            self.assertEqual(answer.kind, "conflict", answer)
            self.assertIn("standby", answer.error)
        self.assertEqual(self.drive("plan", url=standby.url("postgres")).kind, "conflict")
        self.read_only_looks(url=standby.url("postgres"))

    def read_only_looks(self, **options):
        """What /health/database asks: that nothing can be written there is no reason not to answer."""
        answer = self.drive("plan", reads=True, **options)
        self.assertIsNone(answer.error, answer)
        self.assertEqual(answer.value["pending"], ["001_a.sql"])
        answer = self.drive("schemas", reads=True, query="SELECT current_setting('transaction_read_only')", **options)
        self.assertEqual(answer.value, ["on"], answer)
        answer = self.drive("health", tables=["gone"], **options)
        self.assertEqual(answer.value["missing_tables"], ["gone"], answer)

    def test_57b_read_only(self):
        self.sql(f"ALTER DATABASE {self.db} SET default_transaction_read_only = on")
        self.files(_001_a="CREATE TABLE a (id int)")
        self.assertIn("only reads", self.run_fails("conflict").error)
        self.assertEqual(self.drive("plan").kind, "conflict")
        self.read_only_looks()

    def test_57c_only_reads(self):
        """A session that was opened to read does not begin to write, also where it could."""
        self.files(_001_a="CREATE TABLE a (id int)")
        self.read_only_looks()
        self.assertIn("25006", self.run_fails("failed", reads=True).error)
        self.assertEqual(self.tables(), [])

    @unittest.skipUnless(shutil.which("pgbouncer") or os.path.exists("/usr/sbin/pgbouncer"), "pgbouncer is not installed")
    def test_58_pooler(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="deploy-agent-pool.", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, folder)
        port = free_port()
        for mode in ("transaction", "session"):
            config = folder / f"{mode}.ini"
            config.write_text(f"[databases]\n{self.db} = user=postgres host={self.server.folder} port={self.server.port}\n"
                              f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\nunix_socket_dir =\n")
            for path in (folder, config):
                os.chown(path, account().pw_uid, account().pw_gid)
            with open(folder / "log", "w") as log:
                pooler = subprocess.Popen(["/usr/sbin/pgbouncer", config], preexec_fn=as_account, stdout=log, stderr=log)
            try:
                wait(lambda: "listening on" in (folder / "log").read_text() or pooler.poll() is not None, 10, "pgbouncer starts")
                self.assertIsNone(pooler.poll(), (folder / "log").read_text())
                self.files(**{f"_00{len(mode)}_a": "SET work_mem = '7MB'; SELECT 1"})
                answer = self.run_fails("refused", port=port)
                self.assertIn("migrate_url", answer.error)
                self.assertFalse(self.exists("schema_migrations"))
                answer = self.drive("health", port=port, tables=["gone"])
                self.assertIsNone(answer.error, answer)
                self.assertEqual(answer.value["missing_tables"], ["gone"])
                if mode == "session":
                    answer = self.run_ok(port=port, session_pooler=True, lock_timeout_ms=1234)
                    self.assertEqual(len(answer.applied), 1)
            finally:
                pooler.terminate()
                pooler.wait()

    def test_58b_never_answers(self):
        """Whoever asks hears a stop, whether a step stands behind it or not."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        silent.settimeout(30)
        for op, options in (("login", {}), ("facts", {}), ("health", {}), ("truth", {}), ("expect", {}), ("schemas", {}), ("plan", {"unheard": True})):
            with self.subTest(op):
                run = self.start(op, port=silent.getsockname()[1], **options)
                talk, _ = silent.accept()
                with talk:
                    talk.recv(1)
                    run.signal(signal.SIGTERM)
                    answer = run.end(30)
                    self.assertEqual(answer.kind, "cancelled", answer)

    def test_59_logins(self):
        server = Server("max_connections = 5\nsuperuser_reserved_connections = 1\nreserved_connections = 0\n" if int((self.server.data / "PG_VERSION").read_text()) >= 16 else "max_connections = 5\nsuperuser_reserved_connections = 1\n")
        self.addCleanup(server.close)
        server.psql("postgres", "-c", "CREATE ROLE pw_user LOGIN PASSWORD 'right-one'; CREATE ROLE plain LOGIN")
        server.psql("postgres", "-c", "CREATE DATABASE there")
        self.files(_001_a="CREATE TABLE a (id int)")
        for url, kind, words in (
                (server.url("there", "pw_user:wrong-one"), "refused", "28P01"),
                (server.url("there", "root"), "refused", "28000"),
                (server.url("nowhere"), "refused", "3D000")):
            for op in ("login", "run"):
                answer = self.drive(op, url=url)
                self.assertEqual(answer.kind, kind, answer)
                self.assertIn(words, answer.error)
                self.assertNotIn("wrong-one", answer.error)
                self.assertLess(answer.us, 8e6)
        blockers = [self.session_on(server) for _ in range(4)]
        answer = self.drive("login", url=server.url("there", "plain"))
        self.assertEqual(answer.kind, "unavailable", answer)
        self.assertIn("53300", answer.error)
        run = self.start("run", url=server.url("there", "plain"), table="mine", timeout_ms=20000)
        run.wait_for("53300")
        for blocker in blockers:
            blocker.close()
        answer = run.end()
        self.assertEqual(answer.kind, "failed", answer)  # plain may not create: it came in
        self.assertIn("42501", answer.error)

    def session_on(self, server):
        session = Session(server, "postgres")
        session.do("SELECT 1")
        return session

    def test_59c_no_tls(self):
        """The URL asks for what the server does not have."""
        for mode in ("require", "verify-full"):
            for op in ("login", "run"):
                answer = self.drive(op, url=f"{self.server.url('postgres')}?sslmode={mode}")
                self.assertEqual(answer.kind, "refused", answer)
                self.assertRegex(answer.error, "SSL|certificate")

    def test_59b_starting_up_and_shutting_down(self):
        server = Server()
        self.addCleanup(server.close)
        held = self.session_on(server)
        server.process.send_signal(signal.SIGTERM)  # smart: waits for the session
        wait(lambda: self.drive("login", url=server.url("postgres")).kind == "unavailable", 10, "it refuses new logins")
        self.assertIn("57P03", self.drive("login", url=server.url("postgres")).error)
        held.close()
        server.process.wait(20)
        self.files(_001_a="SELECT 1")
        run = self.start("run", url=server.url("postgres"))
        run.wait_for("not ready")
        server.start()
        self.assertIsNone(run.end().error)

    def test_60_init_server(self):
        server = Server("listen_addresses = ''\n")
        self.addCleanup(server.close)
        self.assertTrue(server.ready())  # on the socket, as pg_isready inside of the container sees it
        self.assertEqual(self.drive("login", url=server.url("postgres")).kind, "unavailable")
        server.stop()
        (server.data / "postgresql.auto.conf").write_text(server.settings.replace("listen_addresses = ''\n", ""))
        server.start()
        first = self.drive("login", url=server.url("postgres")).value["start"]
        server.stop()
        server.start()
        self.assertNotEqual(self.drive("login", url=server.url("postgres")).value["start"], first)


if __name__ == "__main__":
    unittest.main(verbosity=2)
