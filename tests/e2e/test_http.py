# SPDX-License-Identifier: Apache-2.0
"""HTTP: what programs that watch are told, and what strangers may send."""

import contextlib
import json
import re
import socket
import subprocess
import threading
import time

from harness import Case, PostgresCase, lab, long, wait_for

FIELDS = {"status", "database", "migrations", "ahead", "missing_files", "modified", "failed", "invalid_indexes", "missing_tables", "running",
          "checked_at"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Http(Case):
    """agentd runs in the lab's network: requests are sent from there, too, by a small program."""

    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.listen(f"127.0.0.1:{self.port}")

    def listen(self, address, **more):
        self.configure(**more)
        self.conf.write_text(self.conf.read_text().replace("listen =\n", f"listen = {address}\n"))

    def curl(self, path, *words, timeout=20):
        run = subprocess.run(lab().enter("curl", "-s", "-g", "-m", str(timeout), "-w", "\n%{http_code}", *words, f"http://127.0.0.1:{self.port}{path}"),
                             capture_output=True, text=True)
        body, _, code = run.stdout.rpartition("\n")
        return int(code), body

    def get(self, path, *words):
        code, body = self.curl(path, *words)
        return code, json.loads(body)

    # sends a file's bytes, prints what comes back and how long it took
    TALK = ("import socket,sys,time;s=socket.create_connection(('127.0.0.1',int(sys.argv[1])));s.settimeout(30);t=time.monotonic()\n"
            "step=float(sys.argv[2]);data=sys.stdin.buffer.read()\n"
            "try:\n"
            " if step:\n"
            "  for i in range(len(data)):\n"
            "   s.sendall(data[i:i+1]);time.sleep(step)\n"
            " else: s.sendall(data)\n"
            " out=b''\n"
            " while True:\n"
            "  d=s.recv(65536)\n"
            "  if not d: break\n"
            "  out+=d\n"
            "except OSError as e: out=b'' if 'out' not in globals() else out\n"
            "sys.stdout.write('%.1f\\n'%(time.monotonic()-t)+out.decode('latin-1'))\n")

    def talk(self, data, step=0):
        """(seconds, answer) of raw bytes; step: seconds between two of them."""
        run = subprocess.run(lab().enter("python3", "-c", self.TALK, str(self.port), str(step)), input=data, capture_output=True, timeout=90)
        took, _, answer = run.stdout.decode("latin-1").partition("\n")
        return float(took), answer

    def code_of(self, data):
        match = re.match(r"HTTP/1\.1 (\d+) ", self.talk(data)[1])
        return int(match.group(1)) if match else None


class Server(Http):
    limit = 120

    def test_healthz(self):
        self.start_ready()
        self.assertEqual(self.get("/healthz"), (200, {"status": "ok"}))
        self.assertEqual(self.curl("/healthz", "-I")[0], 200)

    def test_headers(self):
        self.start_ready()
        answer = self.talk(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[1]
        head = answer.split("\r\n\r\n")[0].lower()
        for line in ("content-type: application/json", "cache-control: no-store", "connection: close", "x-content-type-options: nosniff"):
            self.assertIn(line, head)

    def test_paths_and_methods(self):
        self.start_ready()
        cases = [("GET", "/nothing", 404), ("GET", "/healthz/", 404), ("GET", "/health/database?stack=other", 404), ("GET", "/../etc/passwd", 404),
                 ("POST", "/healthz", 405), ("PUT", "/healthz", 405), ("DELETE", "/healthz", 405), ("OPTIONS", "/healthz", 405), ("TRACE", "/healthz", 405)]
        for method, path, code in cases:
            with self.subTest(f"{method} {path}"):
                self.assertEqual(self.code_of(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), code)

    def test_limits(self):
        self.start_ready()
        def get(headers="Host: x\r\n", path="/healthz", body=b""):
            return f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode() + body

        cases = {
            "32 headers": (get("Host: x\r\n" + "".join(f"X-{i}: y\r\n" for i in range(31))), 200),
            "33 headers": (get("Host: x\r\n" + "".join(f"X-{i}: y\r\n" for i in range(32))), 431),
            "a header of 8 KiB": (get("Host: x\r\nX: " + "y" * 8000 + "\r\n"), 200),
            "a longer header": (get("Host: x\r\nX: " + "y" * 8300 + "\r\n"), 431),
            "a target of 4 KiB": (get(path="/healthz?" + "x" * 3900), 200),
            "a longer target": (get(path="/healthz?" + "x" * 5000), 414),
            "a body": (get("Host: x\r\nContent-Length: 4\r\n", body=b"body"), 413),
            "an empty body": (get("Host: x\r\nContent-Length: 0\r\n"), 200),
            "a chunked body": (get("Host: x\r\nTransfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"), 413),
            "no Host": (get(""), 400),
            "two Hosts": (get("Host: x\r\nHost: y\r\n"), 400),
            "two lengths": (get("Host: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n"), 400),
        }
        for name, (data, code) in cases.items():
            with self.subTest(name):
                self.assertEqual(self.code_of(data), code)
        # what the library refuses by itself; closing while the rest arrives may cost the answer
        for data in (get("Host: x\r\nX: " + "y" * 200000 + "\r\n"), b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03\r\n\r\n", b"GET\r\n\r\n", b"\0" * 100000):
            with self.subTest(data[:20]):
                self.assertIn(self.code_of(data), (None, 400, 431, 414))
        self.assertEqual(self.get("/healthz")[0], 200)

    def test_silence_and_trickle(self):
        self.start_ready()
        took, answer = self.talk(b"GET /healthz HTTP/1.1\r\n")
        self.assertLess(took, 12)
        self.assertNotIn("200 OK", answer)
        # a byte at a time, so that there is never silence
        took, answer = self.talk(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 60, step=0.5)
        self.assertLess(took, 20)
        self.assertNotIn("200 OK", answer)
        self.assertEqual(self.get("/healthz")[0], 200)

    def test_one_request_each(self):
        self.start_ready()
        answer = self.talk(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3)[1]
        self.assertEqual(answer.count("HTTP/1.1 200"), 1)

    def test_connections(self):
        """64 that say nothing keep the others out for five seconds, and agentd is none the worse."""
        self.start_ready()
        holder = subprocess.Popen(lab().enter("python3", "-c",
                                              "import socket,sys,time\nc=[socket.create_connection(('127.0.0.1',int(sys.argv[1]))) for _ in range(80)]\n"
                                              "print(1,flush=True);time.sleep(60)", str(self.port)), stdout=subprocess.PIPE)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        holder.stdout.readline()
        self.assertEqual(self.agentctl("status", self.name).returncode, 0)
        wait_for(lambda: self.curl("/healthz", timeout=5)[0] == 200, 20, "room for another connection")

    def test_address_in_use(self):
        """Deployments do not wait for it, and it is taken once it is free."""
        other = subprocess.Popen(lab().enter("python3", "-m", "http.server", "--bind", "127.0.0.1", str(self.port), "--directory", "/var/empty"),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        wait_for(lambda: self.curl("/")[0] in (200, 404), 20, "the other server")
        commit = self.commit(self.stack())
        self.start_ready()
        self.expect(commit, "succeeded")
        self.assertEqual(self.agent.log.read_text().count("HTTP is not served"), 1)
        other.kill()
        other.wait()
        wait_for(lambda: self.curl("/healthz")[0] == 200, 30, "HTTP to be served")

    def test_reload_changes_the_address(self):
        self.start_ready()
        old, self.port = self.port, free_port()
        self.listen(f"127.0.0.1:{self.port}")
        self.agent.process.send_signal(1)
        wait_for(lambda: self.curl("/healthz")[0] == 200, 20, "the new address")
        self.listen("")
        self.port, new = old, self.port
        self.assertEqual(self.curl("/healthz")[0], 0)
        self.agent.process.send_signal(1)
        self.port = new
        wait_for(lambda: self.curl("/healthz")[0] == 0, 20, "HTTP to end")

    def test_ipv6(self):
        if subprocess.run(lab().enter("python3", "-c", "import socket; socket.socket(socket.AF_INET6).bind(('::1', 0))"), stderr=subprocess.DEVNULL).returncode:
            self.skipTest("the lab has no ::1")
        self.listen(f"[::1]:{self.port}")
        self.start_ready()
        run = subprocess.run(lab().enter("curl", "-s", "-g", f"http://[::1]:{self.port}/healthz"), capture_output=True, text=True)
        self.assertEqual(json.loads(run.stdout), {"status": "ok"})

    def test_stacks(self):
        """Without a name where there are several, and without a database."""
        commit = self.commit(self.stack())
        self.start_ready()
        self.expect(commit, "succeeded")
        self.assertEqual(self.get("/health/database"), (404, {"error": "the stack has no database"}))
        self.conf.write_text(self.conf.read_text() + f"\n[stack {self.name}-two]\nrepository = file://{self.bare}\nfile = stack.yml\n")
        self.agent.process.send_signal(1)
        wait_for(lambda: self.get("/health/database")[0] == 400, 20, "the second stack")
        self.assertEqual(self.get(f"/health/database?stack={self.name}")[0], 404)


class Database(PostgresCase, Http):
    slow = True
    limit = 300

    def setUp(self):
        super().setUp()
        self.listen(f"127.0.0.1:{self.port}", stack={"env_file": self.env_file(DB_PASSWORD="pass-1234-word",
                                                                              DATABASE_URL="postgres://app:pass-1234-word@db:5432/app")})

    def stack_with(self, *steps, **more):
        return self.stack({"database": {"service": "db", "url_from": "DATABASE_URL"}, "steps": list(steps)}, db=self.postgres(),
                          web=self.web(VERSION="one", **more), volumes={"pg": {}})

    def psql(self, name, sql, **more):
        words = ["psql", "-v", "ON_ERROR_STOP=1", "-h", "tasks.db", "-U", "app", "-c"]
        if "check" in more:
            more["check"] = [*words, more["check"]]
        return {"run": {"name": name, "service": "db", "command": [*words, sql], "timeout": "60s", **more}}

    def query(self, sql):
        container = self.engine.running(self.full("db"))[0]["Status"]["ContainerStatus"]["ContainerID"]
        return self.lab.docker("exec", container, "psql", "-h", "127.0.0.1", "-U", "app", "-Atc", sql)

    def health(self):
        return self.get(f"/health/database?stack={self.name}")

    def becomes(self, condition, what):
        """The answer, once it is so; five seconds may pass until the database is asked again."""
        return wait_for(lambda: (lambda a: a if condition(*a) else None)(self.health()), 20, what)

    def test_before_the_first_deployment(self):
        self.start_ready()
        code, body = self.health()
        self.assertEqual((code, body["status"], body["database"], set(body)), (503, "unhealthy", "disconnected", FIELDS))

    def test_run_steps_of_django(self):
        """applied is what Django's table says, pending what the last check says."""
        table = ("CREATE TABLE IF NOT EXISTS django_migrations (id serial, app text, name text);"
                 "INSERT INTO django_migrations (app, name) VALUES ('tracker', '0001_initial'), ('tracker', '0002_more')")
        commit = self.commit(self.stack_with(self.psql("django", table, check="SELECT 1")))
        self.start_ready()
        self.expect(commit, "succeeded", 120)
        code, body = self.health()
        self.assertEqual(set(body), FIELDS)
        self.assertEqual((code, body["status"], body["database"]), (200, "healthy", "connected"))
        self.assertEqual(body["migrations"], {"applied": ["tracker.0001_initial", "tracker.0002_more"], "latest": "tracker.0002_more", "pending": []})
        text = json.dumps(body)
        self.assertNotIn("pass-1234-word", text)

        commit = self.commit(self.stack_with(self.psql("django", "SELECT 2", check="SELECT 1 / 0")))
        self.expect(commit, "failed", 60)
        code, body = self.becomes(lambda code, body: code == 503, "a check that failed to show")
        self.assertEqual((body["status"], body["migrations"]["pending"], body["failed"]), ("unhealthy", ["django"], []))

        commit = self.commit(self.stack_with(self.psql("django", "SELECT 1 / 0", check="SELECT 1")))
        self.expect(commit, "failed", 60)
        _, body = self.becomes(lambda code, body: body["failed"], "a migration that failed to show")
        self.assertEqual((body["migrations"]["pending"], body["failed"]), ([], ["django"]))

        commit = self.commit(self.stack_with(self.psql("django", "SELECT 3", check="SELECT 1")))
        self.expect(commit, "succeeded", 60)
        self.becomes(lambda code, body: code == 200, "health")

    @long
    def test_alembic_and_invalid_index(self):
        commit = self.commit(self.stack_with(self.psql("alembic", "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('ae1027a6acf')")))
        self.start_ready()
        self.expect(commit, "succeeded", 120)
        self.assertEqual(self.health()[1]["migrations"], {"applied": ["ae1027a6acf"], "latest": "ae1027a6acf", "pending": []})
        self.query("CREATE TABLE t AS SELECT 1 AS i FROM generate_series(1, 2)")
        container = self.engine.running(self.full("db"))[0]["Status"]["ContainerStatus"]["ContainerID"]
        self.lab.docker("exec", container, "psql", "-h", "127.0.0.1", "-U", "app", "-c", "CREATE UNIQUE INDEX CONCURRENTLY broken ON t (i)", check=False)
        code, body = self.becomes(lambda code, body: body["invalid_indexes"], "the invalid index")
        self.assertEqual((code, body["invalid_indexes"]), (200, ["broken"]))

    def test_sql_steps(self):
        """Versions against the files of the deployed commit, tables against its expectations."""
        steps = [{"sql": {"name": "schema", "dir": "db", "table": "schema_migrations"}}, {"expect": {"tables": ["t"]}}]
        files = {"db/000_t.sql": "CREATE TABLE t (i int);\n", "db/002_u.sql": "CREATE TABLE u (i int);\n"}
        commit = self.commit(self.stack_with(*steps), **files)
        self.start_ready()
        self.expect(commit, "succeeded", 120)
        code, body = self.health()
        self.assertEqual((code, set(body)), (200, FIELDS))
        self.assertEqual(body["migrations"], {"applied": ["000", "002"], "latest": "002", "pending": []})

        # as after services were put back, and as when a file was lost
        self.query("INSERT INTO schema_migrations (version, name) VALUES ('003', 'later'), ('001', 'lost')")
        code, body = self.becomes(lambda code, body: body["ahead"], "a version of another commit")
        self.assertEqual((code, body["ahead"], body["missing_files"], body["migrations"]["latest"]), (200, ["003"], ["001"], "003"))

        self.query("ALTER TABLE t RENAME TO elsewhere")
        code, body = self.becomes(lambda code, body: body["missing_tables"], "the missing table")
        self.assertEqual((code, body["status"], body["missing_tables"]), (503, "unhealthy", ["t"]))
        self.query("ALTER TABLE elsewhere RENAME TO t")

        # a restored database that is older than the commit
        self.query("DELETE FROM schema_migrations WHERE version >= '002'")
        self.query("DELETE FROM deploy_agent.migration_log WHERE version >= '002'")
        code, body = self.becomes(lambda code, body: body["migrations"]["pending"], "the pending version")
        self.assertEqual((code, body["migrations"]["pending"]), (503, ["002"]))

        # a newer commit that is not deployed does not count
        commit = self.commit(self.stack_with(*steps), **{"db/004_bad.sql": "SELECT 1 / 0;\n"})
        self.expect(commit, "failed", 60)
        _, body = self.becomes(lambda code, body: body["migrations"]["pending"] != ["002"] or body["failed"], "the failed commit's traces")
        self.assertNotIn("004", body["migrations"]["pending"])

    @long
    def test_failed_attempts_of_another_commit(self):
        """Those that left nothing are not the deployed commit's affair."""
        step = {"sql": {"name": "schema", "dir": "db"}}
        commit = self.commit(self.stack_with(step), **{"db/001_t.sql": "CREATE TABLE t (i int);\n"})
        self.start_ready()
        self.expect(commit, "succeeded", 120)
        commit = self.commit(self.stack_with(step), **{"db/002_u.sql": "BEGIN;\nSELECT 1 / 0;\nCOMMIT;\nBEGIN;\nSELECT 1;\nCOMMIT;\n"})
        self.expect(commit, "failed", 60)
        last = self.health()[1]["checked_at"]
        code, body = self.becomes(lambda code, body: body["checked_at"] != last, "a new answer")
        self.assertEqual((code, body["status"], body["failed"]), (200, "healthy", []))
        commit = self.commit(self.stack_with(step), **{"db/002_u.sql": "BEGIN;\nCREATE TABLE u (i int);\nCOMMIT;\nBEGIN;\nSELECT 1 / 0;\nCOMMIT;\n"})
        self.expect(commit, "failed", 60)
        code, body = self.becomes(lambda code, body: body["failed"], "the file that stopped half way")
        self.assertEqual((code, body["failed"]), (503, ["002"]))

    @long
    def test_tenants(self):
        """Each schema's versions under its name."""
        create = "CREATE SCHEMA IF NOT EXISTS a; CREATE SCHEMA IF NOT EXISTS b; CREATE TABLE IF NOT EXISTS tenants (name text); " \
                 "INSERT INTO tenants SELECT n FROM unnest(ARRAY['a', 'b']) n WHERE NOT EXISTS (SELECT FROM tenants)"
        steps = [self.psql("create", create), {"sql": {"name": "tenants", "dir": "tenant", "for_each_schema": "SELECT name FROM tenants"}}]
        commit = self.commit(self.stack_with(*steps), **{"tenant/001_t.sql": "CREATE TABLE t (i int);\n"})
        self.start_ready()
        self.expect(commit, "succeeded", 120)
        code, body = self.health()
        self.assertEqual((code, body["migrations"]["applied"], body["migrations"]["pending"]), (200, ["tenants/a:001", "tenants/b:001"], []))
        self.query("CREATE SCHEMA c; INSERT INTO tenants VALUES ('c')")
        code, body = self.becomes(lambda code, body: code == 503, "the new tenant")
        self.assertEqual(body["migrations"]["pending"], ["tenants/c:001"])

    def test_database_away(self):
        """The last good lists stay, flagged; nothing of the reason is told to strangers."""
        commit = self.commit(self.stack_with(self.psql("alembic", "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('ae1027a6acf')")))
        self.start_ready()
        self.expect(commit, "succeeded", 120)
        code, good = self.health()
        self.assertEqual(code, 200)
        self.engine.update(self.full("db"), lambda spec: spec["Mode"]["Replicated"].update(Replicas=0))
        code, body = self.becomes(lambda code, body: code == 503, "the database to be missed")
        self.assertEqual((body["status"], body["database"], body["stale"]), ("unhealthy", "disconnected", True))
        self.assertEqual((body["migrations"], body["checked_at"]), (good["migrations"], body["checked_at"]))
        self.assertEqual(set(body), FIELDS | {"stale"})
        for word in ("5432", "app:", "task", "tasks.", "Connection"):
            self.assertNotIn(word, json.dumps(body))
        wait_for(lambda: self.health()[0] == 503 and "the health of the database is not known" in self.agent.log.read_text(), 20, "the log")
        self.engine.update(self.full("db"), lambda spec: spec["Mode"]["Replicated"].update(Replicas=1))
        code, body = self.becomes(lambda code, body: code == 200, "the database to be back")
        self.assertNotIn("stale", body)
        self.assertEqual(self.agent.log.read_text().count("the health of the database is not known"), 1)

    def logins(self):
        """How often the database was asked for its health, by its own log."""
        run = subprocess.run(lab().enter("docker", "service", "logs", self.full("db")), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return sum("connection authorized" in line and "/health" in line for line in run.stdout.splitlines())

    @long
    def test_many_ask_one_worker(self):
        """However many ask, the database is asked once in five seconds."""
        commit = self.commit(self.stack_with())
        self.start_ready()
        self.expect(commit, "succeeded", 120)
        self.query("ALTER SYSTEM SET log_connections = on")
        self.query("SELECT pg_reload_conf()")
        wait_for(lambda: self.health() and self.logins(), 20, "logins to be logged")
        last = self.health()[1]["checked_at"]
        self.becomes(lambda code, body: body["checked_at"] != last, "a new answer")
        before, answers = self.logins(), []
        threads = [threading.Thread(target=lambda: answers.append(self.health())) for _ in range(20)]
        began = time.time()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual({code for code, _ in answers}, {200})
        self.assertLessEqual(self.logins() - before, 1 + int((time.time() - began) / 5))

    @long
    def test_asking_does_not_disturb_a_deployment(self):
        """Asked all the time, while services roll and while migrations run."""
        step = self.psql("slow", "SELECT pg_sleep(4)")
        commit = self.commit(self.stack_with(step))
        self.start_ready()
        done = threading.Event()
        codes = set()

        def ask():
            while not done.is_set():
                with contextlib.suppress(ValueError):
                    codes.add(self.health()[0])

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            self.expect(commit, "succeeded", 120)
            commit = self.commit(self.stack_with(self.psql("slow", "SELECT pg_sleep(5)"), networks={"default": {}}))
            self.expect(commit, "succeeded", 120)
        finally:
            done.set()
            thread.join()
        self.assertIn(200, codes)
        self.assertLessEqual(codes, {200, 503})
