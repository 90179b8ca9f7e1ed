# SPDX-License-Identifier: Apache-2.0
"""HTTP: what programs that watch are told, and what strangers may send."""

import contextlib
import hmac
import json
import re
import socket
import sqlite3
import subprocess
import threading
import time

from harness import HERE, Case, PostgresCase, lab, long, wait_for

FIELDS = {"status", "database", "migrations", "ahead", "missing_files", "modified", "failed", "invalid_indexes", "missing_tables", "running",
          "checked_at"}
UNKNOWN = "the health of the database is not known"  # in the log


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


class Watching(Http):
    """What programs that watch are told: held against agentctl, and against each other."""
    limit = 180

    def head(self, path, *words):
        """(status, headers in lower case) of a GET."""
        run = subprocess.run(lab().enter("curl", "-s", "-o", "/dev/null", "-D", "-", "-m", "20", *words, f"http://127.0.0.1:{self.port}{path}"),
                             capture_output=True, text=True)
        first, *lines = run.stdout.replace("\r", "").strip().split("\n")
        return int(first.split()[1]), {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def listener(self, *words):
        """Listens to events; what it has got so far: a list of (event, data, id)."""
        path = self.dir / f"events{len(self.listeners)}"
        with open(path, "wb") as to:
            process = subprocess.Popen(lab().enter("curl", "-sN", *words, f"http://127.0.0.1:{self.port}/api/v1/events"), stdout=to)
        self.listeners.append(process)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def got():
            found = []
            for block in path.read_text().split("\n\n")[:-1]:
                fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
                if "event" in fields:
                    found.append((fields["event"], json.loads(fields["data"]), fields["id"]))
            return found

        wait_for(lambda: process.poll() is not None or got(), 20, "the first event")
        return got

    def setUp(self):
        super().setUp()
        self.listeners = []

    def metrics(self):
        """name{labels} → number"""
        code, text = self.curl("/metrics")
        self.assertEqual(code, 200)
        return {name: float(number) for name, _, number in (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))}, text

    def of_stack(self, name, **labels):
        words = "".join(f',{k}="{v}"' for k, v in labels.items())
        return self.metrics()[0][f'deploy_agent_{name}{{stack="{self.name}"{words}}}']

    def promtool(self, text):
        tool = subprocess.run([HERE.parent / "prometheus/promtool", f"{self.lab.dir}/prometheus"], capture_output=True, text=True)
        self.assertEqual(tool.returncode, 0, tool.stderr)
        run = subprocess.run([tool.stdout.strip(), "check", "metrics"], input=text, capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout + run.stderr), (0, ""))

    def test_one_good_one_bad(self):
        """A success and a failure, as metrics, JSON and events have them."""
        self.configure(stack={"env_file": self.env_file(SECRET_KEY="word-that-nobody-sees")})
        self.listen(f"127.0.0.1:{self.port}", stack={"env_file": self.dir / "variables"})
        self.start_ready()
        got = self.listener()
        self.assertEqual([(e, d["resumed"]) for e, d, _ in got()], [("hello", False)])
        talk = self.job("talk", ("say", "word " * 3500))  # so much that the answer has several pieces
        good = self.commit(self.stack({"steps": [talk]}, web=self.web(VERSION="one", SECRET_KEY="${SECRET_KEY}")))
        self.expect(good, "succeeded")
        wait_for(lambda: self.of_stack("in_step") == 1, 20, "the stack to be in step")
        bad = self.commit(self.stack({"steps": [self.job(command=("exit", "3"))]}, web=self.web(VERSION="two", SECRET_KEY="${SECRET_KEY}")))
        self.expect(bad, "failed")
        wait_for(lambda: self.of_stack("held") == 1 and self.of_stack("deployments_total", state="failed") == 1, 20, "the stack to be held")
        log = self.log()
        self.assertEqual([d["commit"] for d in log], [bad, good])
        told = [self.check_metrics(), self.check_json(log), self.check_events(got, good, bad)]
        self.check_etags(log)
        self.assertEqual(self.agent.stop(), 0)  # with listeners
        self.assertNotIn("word-that-nobody-sees", "".join(told))

    def check_metrics(self):
        for name, labels, number in [("last_deployment_state", {"state": "failed"}, 1), ("last_deployment_state", {"state": "succeeded"}, 0),
                                     ("in_step", {}, 0), ("paused", {}, 0), ("deployments_total", {"state": "failed"}, 1),
                                     ("deployments_total", {"state": "succeeded"}, 1), ("deployment_duration_seconds_count", {}, 2),
                                     ("poll_failing_since_timestamp_seconds", {}, 0), ("deployment_started_timestamp_seconds", {}, 0)]:
            self.assertEqual(self.of_stack(name, **labels), number, name)
        self.assertLess(abs(time.time() - self.of_stack("last_good_poll_timestamp_seconds")), 60)
        values, text = self.metrics()
        self.assertEqual(values['deploy_agent_step_duration_seconds_count{kind="roll"}'], 1)
        self.assertEqual(values['deploy_agent_step_duration_seconds_count{kind="run"}'], 2)
        self.assertGreater(values["process_resident_memory_bytes"], 1e6)
        self.promtool(text)
        return text

    def check_json(self, log):
        code, page = self.get(f"/api/v1/deployments?stack={self.name}")
        self.assertEqual((code, page), (200, {"deployments": log, "next": None}))
        code, page = self.get("/api/v1/deployments?limit=1")
        self.assertEqual(page["deployments"], log[:1])
        self.assertEqual(self.head("/api/v1/deployments?limit=1")[1]["link"], f'<{page["next"]}>; rel="next"')
        self.assertEqual(self.get(page["next"])[1], {"deployments": log[1:], "next": None})
        self.assertEqual(self.get("/api/v1/deployments?state=failed")[1]["deployments"], log[:1])
        self.assertEqual(self.get(f"/api/v1/deployments?since={log[0]['requested_at']}")[1]["deployments"][0], log[0])
        self.assertEqual(self.get("/api/v1/deployments?since=2999-01-01")[1]["deployments"], [])
        for d in log:
            self.assertEqual(self.get(f"/api/v1/deployments/{d['id']}"), (200, self.show(d["id"])))
        self.assertGreater(len(next(s for s in self.show(log[-1]["id"])["steps"] if s["name"] == "talk")["output"]), 16000)
        stacks, status = self.get("/api/v1/stacks")[1], self.json("status")
        for volatile in ("next_poll", "last_poll"):
            stacks["stacks"][0].pop(volatile), status["stacks"][0].pop(volatile)
        self.assertEqual(stacks, status)
        for path, code in [("/api/v1/deployments/999999", 404), ("/api/v1/deployments/x", 400), ("/api/v1/deployments?limit=501", 400),
                           ("/api/v1/deployments?state=fine", 400), ("/api/v1/deployments?before=-1", 400), ("/api/v1/deployments?stack=a%22", 400)]:
            self.assertEqual(self.get(path)[0], code, path)
        return json.dumps([page, stacks, self.get(f"/api/v1/deployments/{log[0]['id']}")[1]])

    def check_etags(self, log):
        for path in (f"/api/v1/deployments/{log[0]['id']}", "/api/v1/deployments"):
            code, headers = self.head(path)
            self.assertEqual((code, headers["cache-control"]), (200, "private, no-cache"))
            wait_for(lambda: self.head(path, "-H", f"If-None-Match: {self.head(path, '-I')[1]['etag']}")[0] == 304, 10, "nothing new")
            self.assertEqual(self.head(path, "-H", 'If-None-Match: "x"')[0], 200)
        etag = self.head("/api/v1/deployments")[1]["etag"]
        self.agentctl("pause", self.name, code=0)
        self.assertEqual(self.head("/api/v1/deployments", "-H", f"If-None-Match: {etag}")[0], 200)

    def check_events(self, got, good, bad):
        def states(events, commit):
            return [d["state"] for e, d, _ in events if e == "deployment" and d["commit"] == commit]

        wait_for(lambda: states(got(), bad)[-1:] == ["failed"], 20, "the last event")
        events = got()
        self.assertEqual(states(events, good)[-1], "succeeded")
        order = ["requested", "planned", "running", "succeeded", "failed"]
        for commit in (good, bad):
            indexes = [order.index(s) for s in states(events, commit)]
            self.assertEqual(indexes, sorted(set(indexes)))
        self.assertIn(("roll", "done"), {(d["kind"], d["state"]) for e, d, _ in events if e == "step"})
        self.assertIn(("run", "failed"), {(d["kind"], d["state"]) for e, d, _ in events if e == "step"})
        self.assertTrue(any(e == "progress" and d["step"] and d["stack"] == self.name for e, d, _ in events))
        numbers = [int(i.split("-")[1]) for _, _, i in events]
        self.assertEqual(numbers, list(range(len(numbers))))
        # who comes back gets what it missed, once
        middle = len(events) // 2
        again = self.listener("-H", f"Last-Event-ID: {events[middle][2]}")
        wait_for(lambda: len(again()) >= len(events) - middle, 20, "the events again")
        self.assertEqual(again()[0][1]["resumed"], True)
        self.assertEqual(again()[1:len(events) - middle], events[middle + 1:])
        lost = self.listener("-H", "Last-Event-ID: 1234-1")
        self.assertEqual(lost()[0][1]["resumed"], False)
        return json.dumps(events)

    @long
    def test_listeners_are_bounded(self):
        """Sixteen listen, and outlive the time that other connections have; the next one is told so, others are served."""
        self.start_ready()
        many = [self.listener() for _ in range(16)]
        self.assertEqual(self.get("/api/v1/events"), (503, {"error": "there are too many listeners"}))
        time.sleep(25)  # beyond the 10 s of other connections, and of two comments
        self.assertEqual([p.poll() for p in self.listeners], [None] * 16)
        self.assertEqual(len(many[0]()), 1)
        self.assertEqual(self.get("/healthz")[0], 200)
        self.listeners[0].kill()
        wait_for(lambda: self.curl("/api/v1/events", timeout=1)[0] == 200, 40, "room for another listener")
        self.assertEqual(self.agent.stop(), 0)

    @long
    def test_a_listener_that_does_not_read(self):
        """It is cut off, and nobody else notices."""
        self.start_ready()
        deaf = subprocess.Popen(lab().enter("python3", "-c", "import socket,sys,time\ns=socket.socket();s.setsockopt(socket.SOL_SOCKET,socket.SO_RCVBUF,2048)\n"
                                            "s.connect(('127.0.0.1',int(sys.argv[1])));s.sendall(b'GET /api/v1/events HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
                                            "print(1,flush=True);time.sleep(600)", str(self.port)), stdout=subprocess.PIPE)
        self.addCleanup(deaf.wait)
        self.addCleanup(deaf.kill)
        deaf.stdout.readline()
        got = self.listener()
        db = sqlite3.connect(self.dir / "state/journal.db", timeout=10, isolation_level=None)
        self.addCleanup(db.close)

        def shout():  # a deployment of a stack that nobody watches
            db.execute("BEGIN")
            for _ in range(40):
                db.execute("INSERT INTO deployment (stack, state, commit_id, subject, reason, trigger_name, requested_us, finished_us)"
                           " VALUES ('elsewhere', 'superseded', ?, ?, ?, 'poll', 1, 1)", ("a" * 40, "s" * 190, "r" * 4000))
            db.execute("COMMIT")
            connections = subprocess.run(lab().enter("ss", "-Htn", "state", "established", f"( sport = :{self.port} )"), capture_output=True, text=True)
            return len(connections.stdout.splitlines()) == 1

        wait_for(shout, 90, "the deaf one to be cut off")
        self.assertIsNone(self.listeners[0].poll())
        self.assertGreater(len(got()), 40)
        self.assertEqual(self.get("/healthz")[0], 200)


class Webhook(Http):
    limit = 180

    def setUp(self):
        super().setUp()
        self.secret = "0123456789abcdef" * 4
        self.secret_file = self.dir / "hook"
        self.secret_file.touch(mode=0o600)
        self.secret_file.write_text(self.secret + "\n")
        self.listen(f"127.0.0.1:{self.port}", stack={"webhook_secret_file": self.secret_file, "poll_interval": "1h"})

    def sign(self, body=b"{}"):
        return hmac.new(self.secret.encode(), body, "sha256").hexdigest()

    def call(self, *headers, stack=None, body="{}"):
        words = [w for h in headers for w in ("-H", h)]
        return self.curl(f"/webhook/{stack or self.name}", "--data-binary", body, *words)

    def counted(self, result):
        text = self.curl("/metrics")[1]
        return int(re.search(rf'deploy_agent_{result} (\d+)', text).group(1))

    def polled(self):
        return self.counted(f'polls_total{{stack="{self.name}",result="good"}}')

    def test_a_push_is_deployed(self):
        """Signed as each server does; unsigned, replayed and strange ones change nothing. Polls are an hour apart."""
        self.start_ready()
        wait_for(lambda: self.status()["last_poll"], 20, "the first poll")
        commit = self.commit(self.stack())
        hub = f"X-Hub-Signature-256: sha256={self.sign()}"
        for name, headers, stack, code in [("unsigned", [], None, 401), ("wrong", ["X-Gitea-Signature: " + "0" * 64], None, 401),
                                           ("of another body", [f"X-Gitea-Signature: {self.sign(b'x')}"], None, 401), ("unknown stack", [hub], "nosuch", 404)]:
            with self.subTest(name):
                self.assertEqual(self.call(*headers, stack=stack)[0], code)
        self.assertEqual(self.call(stack="nosuch"), self.curl("/nowhere"))
        self.assertEqual(self.log(), [])
        self.assertEqual(self.call(hub, "X-GitHub-Delivery: 72d3162e-cc78\x1b[31m")[0], 202)
        record = self.expect(commit, "succeeded")
        self.assertEqual(record["trigger"], "webhook")
        log = self.agent.log.read_text()
        self.assertIn("delivery 72d3162e-cc78", log)
        self.assertEqual(log.count("a webhook was refused"), 1)
        self.assertNotIn(self.secret[:16], log)
        self.assertNotIn("\x1b", log)

        # however many come, one poll in ten seconds, and the last push is not lost
        before, began = self.polled(), time.monotonic()
        for header in (f"X-Gitea-Signature: {self.sign()}", f"X-Gitlab-Token: {self.secret}", hub):
            self.assertEqual(self.call(header)[0], 202)
        storm = ("import http.client,sys\nfor i in range(1000):\n c=http.client.HTTPConnection('127.0.0.1',int(sys.argv[1]));"
                 "c.request('POST',sys.argv[2],b'{}',{'X-Gitea-Signature':sys.argv[3]} if i%2 else {});c.getresponse().read();c.close()")
        subprocess.run(lab().enter("python3", "-c", storm, str(self.port), f"/webhook/{self.name}", self.sign()), check=True)
        self.assertEqual(self.agentctl("status", self.name).returncode, 0)
        commit = self.commit(self.stack(web=self.web(VERSION="two")))
        self.assertEqual(self.call(hub)[0], 202)
        self.assertEqual(self.expect(commit, "succeeded")["trigger"], "webhook")
        self.assertLessEqual(self.polled() - before, 2 + (time.monotonic() - began) / 10)
        self.assertEqual(self.counted(f'webhooks_total{{stack="{self.name}",result="refused"}}'), 503)
        self.assertLess(self.agent.log.read_text().count("webhook was refused"), 4)

    def test_bad_secrets_are_refused(self):
        """At the start, and by a reload, which leaves the old one in force."""
        self.start_ready()
        hub = f"X-Hub-Signature-256: sha256={self.sign()}"
        for text, mode, words in [("short\n", 0o600, "at least 32"), (self.secret, 0o644, "lets every user read it")]:
            self.secret_file.write_text(text)
            self.secret_file.chmod(mode)
            self.agent.process.send_signal(1)
            wait_for(lambda: words in self.agent.log.read_text(), 20, f"the reload to be refused: {words}")
            self.assertEqual(self.call(hub)[0], 202)
        self.agent.stop()
        self.assertEqual(self.start().process.wait(20), 78)
        self.assertNotIn(self.secret[:16], self.agent.log.read_text())

    def test_limits_of_a_body(self):
        self.start_ready()
        big = self.dir / "big"
        big.write_bytes(b"x" * 256 * 1024)
        self.assertEqual(self.call(f"X-Gitea-Signature: {self.sign(big.read_bytes())}", body=f"@{big}")[0], 202)
        big.write_bytes(b"x" * (256 * 1024 + 1))
        self.assertEqual(self.call(f"X-Gitea-Signature: {self.sign(big.read_bytes())}", body=f"@{big}")[0], 413)
        path = f"/webhook/{self.name}"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n"
        for name, data, code in [("chunked", head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 411), ("GET", f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n", 405),
                                 ("two lengths", head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400), ("no length", head + "\r\n", 401)]:
            with self.subTest(name):
                self.assertEqual(self.code_of(data.encode()), code)
        took, answer = self.talk((head + "Content-Length: 200\r\n\r\n" + "x" * 60).encode(), step=0.2)
        self.assertLess(took, 40)
        self.assertNotIn("202", answer)
        self.assertEqual(self.get("/healthz")[0], 200)


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

    @long
    def test_run_steps_of_django(self):
        """applied is what Django's table says, pending what the last check says."""
        table = ("CREATE TABLE IF NOT EXISTS django_migrations (id serial, app text, name text);"
                 "INSERT INTO django_migrations (app, name) VALUES ('tracker', '0001_initial'), ('tracker', '0002_more')")
        commit = self.commit(self.stack_with(self.psql("django", table, check="SELECT 1")))
        self.start_ready()
        self.expect(commit, "succeeded", 120)
        code, body = self.becomes(lambda code, body: code == 200, "the answer")
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

    @long
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

        # as after services were put back, and as when a file was lost; a server that takes no writes says it as well
        self.query("ALTER DATABASE app SET default_transaction_read_only = on")
        self.query("BEGIN READ WRITE; INSERT INTO schema_migrations (version, name) VALUES ('003', 'later'), ('001', 'lost'); COMMIT")
        code, body = self.becomes(lambda code, body: body["ahead"], "a version of another commit")
        self.assertEqual((code, body["ahead"], body["missing_files"], body["migrations"]["latest"]), (200, ["003"], ["001"], "003"))
        self.query("BEGIN READ WRITE; ALTER DATABASE app RESET default_transaction_read_only; COMMIT")

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
        code, body = self.becomes(lambda code, body: code == 200, "the answer")
        self.assertEqual((code, body["migrations"]["applied"], body["migrations"]["pending"]), (200, ["tenants/a:001", "tenants/b:001"], []))
        self.query("CREATE SCHEMA c; INSERT INTO tenants VALUES ('c')")
        code, body = self.becomes(lambda code, body: code == 503, "the new tenant")
        self.assertEqual(body["migrations"]["pending"], ["tenants/c:001"])

    def test_database_away(self):
        """The last good lists stay, flagged; nothing of the reason is told to strangers."""
        commit = self.commit(self.stack_with(self.psql("alembic", "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('ae1027a6acf')")))
        self.start_ready()
        self.expect(commit, "succeeded", 120)
        code, good = self.becomes(lambda code, body: code == 200, "the answer")
        once = self.agent.log.read_text().count(UNKNOWN)  # it may have been slow before, too
        self.engine.update(self.full("db"), lambda spec: spec["Mode"]["Replicated"].update(Replicas=0))
        code, body = self.becomes(lambda code, body: code == 503, "the database to be missed")
        self.assertEqual((body["status"], body["database"], body["stale"]), ("unhealthy", "disconnected", True))
        self.assertEqual((body["migrations"], body["checked_at"]), (good["migrations"], body["checked_at"]))
        self.assertEqual(set(body), FIELDS | {"stale"})
        for word in ("5432", "app:", "task", "tasks.", "Connection"):
            self.assertNotIn(word, json.dumps(body))
        wait_for(lambda: self.health()[0] == 503 and self.agent.log.read_text().count(UNKNOWN) > once, 20, "the log")
        self.engine.update(self.full("db"), lambda spec: spec["Mode"]["Replicated"].update(Replicas=1))
        code, body = self.becomes(lambda code, body: code == 200, "the database to be back")
        self.assertNotIn("stale", body)
        self.assertEqual(self.agent.log.read_text().count(UNKNOWN), once + 1)

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
