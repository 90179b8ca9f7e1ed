#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""agentd as a supervisor: polls, workers that die or hang, the control socket, reload, stop, trouble with the disk.

    sudo tests/e2e/test_agentd.py BUILD_DIR [NAME…]

The worker is standin_worker.py; everything else is real. TAP on stdout.
"""
import fcntl
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from clock import zone_at

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = float(os.environ.get("E2E_PATIENCE", "2"))  # as in harness.py
A, B, C, D = "a" * 40, "b" * 40, "c" * 40, "d" * 40


class Failed(Exception):
    pass


def check(condition, *more):
    if not condition:
        raise Failed(" ".join(map(str, more)))


def wait_for(what, predicate, seconds=15):
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        value = predicate()
        if value:
            return value
        time.sleep(0.03)
    raise Failed(f"no {what} within {seconds * PATIENCE:.0f} s")


class Agent:
    """One agentd with folders of its own."""

    def __init__(self, build, stacks=("web",), interval="1s", extra=""):
        self.dir = tempfile.mkdtemp(prefix="agentd-test-", dir="/var/tmp")
        self.state, self.run = self.dir + "/state", self.dir + "/run"
        self.config = self.dir + "/agent.conf"
        self.bin = self.dir + "/bin"
        os.mkdir(self.bin)
        shutil.copy(find_agentd(build), self.bin + "/agentd")
        shutil.copy(HERE + "/standin_worker.py", self.bin + "/agent-worker")
        self.process, self.notify, self.started = None, None, 0
        self.configure(stacks, interval, extra)

    def configure(self, stacks, interval="1s", extra="", drift="ignore", stack_extra=""):
        with open(self.config, "w") as file:
            file.write(f"[agent]\nstate_dir = {self.state}\nrun_dir = {self.run}\nlog_level = debug\n{extra}\n[http]\nlisten =\n")
            for stack in stacks:
                file.write(f"[stack {stack}]\nrepository = file:///nowhere/{stack}\nfile = s.yml\npoll_interval = {interval}\ndrift = {drift}\n{stack_extra}\n")

    def script(self, name, todo):
        with open(f"{self.bin}/{name}.json.tmp", "w") as file:
            json.dump(todo, file)
        os.rename(f"{self.bin}/{name}.json.tmp", f"{self.bin}/{name}.json")

    def start(self, ready=True, before=None, env=None):
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{self.dir}/notify-{self.started}"
        self.started += 1
        self.notify.bind(path)
        self.told = []
        # read at once, as systemd does: sd_notify() waits when nobody reads
        threading.Thread(target=self.listen, args=(self.notify, self.told), daemon=True).start()
        environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": path}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        environment.update(env or {})
        self.stderr = open(self.dir + "/stderr", "ab")
        self.process = subprocess.Popen(
            [self.bin + "/agentd", "--config", self.config], stderr=self.stderr, env=environment, preexec_fn=before
        )
        if ready:
            wait_for("READY=1", lambda: self.process.poll() is not None or "READY=1" in self.messages())
            check(self.process.poll() is None, "agentd ended:", self.log())
        return self

    def settle(self, **how):
        """Start, and wait for the first poll of each stack."""
        self.start(**how)
        wait_for("first polls", lambda: all(s["last_poll"] for s in self.good("status")["stacks"]))
        return self

    def settle_wholly(self):
        """And the look that follows the first poll."""
        self.settle()
        wait_for("the first look", lambda: self.starts("observe") and not any(s["polling"] for s in self.good("status")["stacks"]))

    @staticmethod
    def listen(notify, told):
        while True:
            told += notify.recv(4096).decode().split("\n")

    def messages(self):
        return self.told

    def log(self):
        try:
            with open(self.dir + "/stderr", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def starts(self, prefix=""):
        try:
            with open(self.bin + "/log") as file:
                return [line.rstrip("\n") for line in file if line.startswith(prefix)]
        except FileNotFoundError:
            return []

    def query(self, sql, *args):
        db = sqlite3.connect(f"file:{self.state}/journal.db?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()

    def write(self, sql, *args):
        with sqlite3.connect(f"{self.state}/journal.db", timeout=5) as db:
            db.execute(sql, args)
        db.close()

    def waiting(self):
        rows = self.query("SELECT waiting FROM stack")
        return rows[0][0] if rows else None

    def state_of(self, number):
        rows = self.query("SELECT state FROM deployment WHERE id = ?", number)
        return rows[0][0] if rows else None

    def wait_state(self, number, state, seconds=15):
        wait_for(f"#{number} {state}", lambda: self.state_of(number) == state, seconds)

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        while True:
            try:
                s.connect(self.run + "/control.sock")
                return s
            except BlockingIOError:  # the queue is full for the moment
                time.sleep(0.02)

    def raw(self, data, finish=False):
        with self.connect() as s:
            try:
                s.sendall(data)
                if finish:
                    s.shutdown(socket.SHUT_WR)
            except BrokenPipeError:
                pass
            reply = b""
            while chunk := s.recv(65536):
                reply += chunk
        check(reply.endswith(b"\n"), "no whole reply:", reply[:200])
        return json.loads(reply)

    def call(self, verb, stack=None, **args):
        request = {"verb": verb}
        if stack:
            request["stack"] = stack
        if args:
            request["args"] = args
        return self.raw(json.dumps(request).encode() + b"\n")

    def good(self, verb, stack=None, **args):
        reply = self.call(verb, stack, **args)
        check(reply["ok"] is True, verb, reply)
        return reply

    def bad(self, text, exit_code, verb, stack=None, **args):
        reply = self.call(verb, stack, **args)
        check(reply["ok"] is False and reply["exit"] == exit_code and text in reply["error"], verb, reply)

    def stop(self, seconds=15):
        if self.process and self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(seconds)

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for line in subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout.splitlines():
            if self.bin + "/agent-worker" in line:
                try:
                    os.kill(int(line.split()[0]), signal.SIGKILL)
                except ProcessLookupError:
                    pass
        shutil.rmtree(self.dir, ignore_errors=True)


def find_agentd(build):
    for path in ("agentd", "agentd"):
        if os.path.isfile(f"{build}/{path}"):
            return f"{build}/{path}"
    raise SystemExit(f"no agentd in {build}")


def succeed(agent, stack="web", commit=A):
    """A poll that brings a commit, and its deployment."""
    agent.script(f"poll-{stack}", [{"request": commit}, {"say": {"result": "unchanged", "tip": commit}}])
    reply = agent.good("sync", stack)
    agent.wait_state(reply["deployment"], "succeeded")
    return reply["deployment"]


def end_as(agent, state, commit, stack="web", reason=None):
    agent.script(f"run-{stack}", {"states": ["planned", "running", state], "reason": reason})
    agent.script(f"poll-{stack}", [{"request": commit}, {"say": {"result": "unchanged", "tip": commit}}])
    number = agent.good("sync", stack)["deployment"]
    agent.wait_state(number, state)
    agent.script(f"run-{stack}", {"states": ["planned", "running", "succeeded"]})
    return number


# ---- the tests ----


def test_poll_and_deploy(agent):
    agent.script("poll-web", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
    agent.script("run-web", {"states": ["planned", "running", "succeeded"], "reason": "4 services", "hints": [{"step": "roll web"}], "sleep": 0.5})
    agent.start()
    wait_for("status of a deployment", lambda: any("web: deploying aaaaaaa (#1, roll web)" in m for m in agent.messages()))
    agent.wait_state(1, "succeeded")
    wait_for("verdict in the log", lambda: "deployment of aaaaaaa to web: succeeded after" in agent.log())
    check("deploying aaaaaaa to web (poll): a change" in agent.log(), agent.log())
    check(agent.starts("run") == ["run 1"], agent.starts())
    wait_for("a poll that knows the tip", lambda: f"poll web --known {A}" in agent.starts())
    wait_for("idle status", lambda: agent.messages()[-1] == "STATUS=1 stack")
    check(agent.stop() == 0)
    check("STOPPING=1" in agent.messages())
    check(not os.path.exists(agent.run + "/control.sock"))


def test_second_agentd(agent):
    agent.start()
    done = subprocess.run([agent.bin + "/agentd", "--config", agent.config], capture_output=True, text=True)
    check(done.returncode == 1, done.returncode)
    check(f"another agentd runs: {agent.state}/agentd.lock is held by process {agent.process.pid}" in done.stderr, done.stderr)
    check(done.stderr.count("\n") == 1, done.stderr)
    agent.good("status")
    # another state, the same socket
    with open(agent.config) as file:
        text = file.read()
    other = agent.dir + "/other.conf"
    with open(other, "w") as file:
        file.write(text.replace(agent.state, agent.state + "2"))
    done = subprocess.run([agent.bin + "/agentd", "--config", other], capture_output=True, text=True)
    check(done.returncode == 1 and "another agentd answers on" in done.stderr, done)
    agent.good("status")


def test_bad_configuration(agent):
    for text, want in (("[agnt]\n", ":1: [agnt]: unknown section"), (None, "No such file or directory"),
                       ("[agent]\nrun_dir = /" + "x" * 100 + "\n", "too long for the control socket")):
        if text is None:
            os.unlink(agent.config)
        else:
            with open(agent.config, "w") as file:
                file.write(text)
        done = subprocess.run([agent.bin + "/agentd", "--config", agent.config], capture_output=True, text=True)
        check(done.returncode == 78 and want in done.stderr, done)
    done = subprocess.run([agent.bin + "/agentd", "--conf"], capture_output=True, text=True)
    check(done.returncode == 64, done)
    done = subprocess.run([agent.bin + "/agentd", "--version"], capture_output=True, text=True)
    check(done.returncode == 0 and done.stdout.startswith("agentd "), done)


def test_worker_dies(agent):
    agent.script("poll-web", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
    agent.script("run-web", [{"states": ["planned", "running"], "kill": 9}, {"states": ["running"], "exit": 3}, {"states": ["running", "succeeded"]}])
    agent.start()
    agent.wait_state(1, "interrupted")
    agent.wait_state(1, "succeeded", 15)
    check(agent.starts("run") == ["run 1"] * 3, agent.starts("run"))
    log = agent.log()
    check("agent-worker was ended by signal 9 (Killed) in the middle of it (running); it is taken up again in 1 s" in log, log)
    check("agent-worker ended with code 3 in the middle of it (running); it is taken up again in 5 s" in log, log)


def test_worker_dies_before_the_plan(agent):
    agent.script("poll-web", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
    agent.script("run-web", {"kill": 11})
    agent.start()
    agent.wait_state(1, "failed", 40)
    reason = agent.query("SELECT reason FROM deployment WHERE id = 1")[0][0]
    check("agent-worker was ended by signal 11 (Segmentation fault) before there was a plan, 4 times" in reason, reason)


def test_worker_is_missing(agent):
    agent.settle_wholly()
    os.unlink(agent.bin + "/agent-worker")
    wait_for("a failing poll", lambda: "web cannot be polled: " in agent.log() and "agent-worker: No such file" in agent.log())
    check(agent.good("status")["stacks"][0]["poll_failures"] >= 1)
    agent.bad("agent-worker: No such file", 1, "sync", "web")
    shutil.copy(HERE + "/standin_worker.py", agent.bin + "/agent-worker")
    wait_for("recovery", lambda: "web can be polled again" in agent.log(), 20)


def test_poll_errors(agent):
    agent.script("poll-web", {"say": {"result": "error", "message": "the remote refused: 403"}, "exit": 1})
    began = time.monotonic()
    agent.start()
    wait_for("a third poll", lambda: len(agent.starts("poll")) >= 3, 30)
    took = time.monotonic() - began
    check(took >= 5, "1 s doubles with each failure: 2 s, 4 s, less a tenth; there were three polls after", took)
    check(agent.log().count("web cannot be polled: the remote refused: 403") == 1, agent.log())
    check(agent.query("SELECT poll_error FROM stack WHERE stack = 'web'") == [("the remote refused: 403",)])
    status = agent.good("status")["stacks"][0]
    check(status["poll_error"] == "the remote refused: 403" and status["next_poll"], status)
    agent.stop()
    agent.start()  # what was told is not told again
    wait_for("a failing poll", lambda: agent.good("status")["stacks"][0]["poll_failures"] >= 1)
    check(agent.log().count("web cannot be polled") == 1, agent.log())
    agent.script("poll-web", {"say": {"result": "unchanged", "tip": A}})
    agent.good("sync", "web")
    check(agent.log().count("web can be polled again") == 1, agent.log())
    check(agent.query("SELECT poll_error FROM stack WHERE stack = 'web'") == [(None,)])


def test_odd_poll_output(agent):
    agent.settle()
    for todo, want in (
        ({"say": {}, "exit": 0}, "agent-worker poll gave no result"),
        ({"say": {}, "exit": 1}, "agent-worker ended with code 1"),
        ({"say": {}, "kill": 9}, "agent-worker was ended by signal 9"),
        ({"say": {"result": "wonderful"}}, "agent-worker poll gave no result"),
        ({"say": {"result": 7}}, "agent-worker poll gave no result"),
        ({"noise": "x" * 200000 + "\n", "say": {}, "exit": 0}, "agent-worker poll gave no result"),
        ({"noise": "[1]\n{\n\x00\n\xff\n", "say": {}, "exit": 0}, "agent-worker poll gave no result"),
        # what it says of its deadline while it fetches is no result
        ({"noise": '{"deadline_s": 9000}\n', "say": {}, "exit": 1}, "agent-worker ended with code 1"),
        ({"say": {"result": "error", "message": "red\x1b[31m"}, "exit": 1}, "red"),
    ):
        agent.script("poll-web", todo)
        reply = agent.call("sync", "web")
        check(reply["ok"] is False and want in reply["error"] and "\x1b" not in reply["error"], todo, reply)
    agent.script("poll-web", {"noise": "x" * 200000 + "\nno hint\n", "say": {"result": "unchanged", "tip": "../../etc"}})
    check(agent.good("sync", "web")["result"] == "unchanged")
    agent.script("poll-web", {"say": {"result": "nothing", "tip": B, "message": "nothing to do"}})
    check(agent.good("sync", "web") == {"ok": True, "exit": 0, "result": "nothing", "message": "nothing to do", "deployment": 0})


def test_sync(agent):
    agent.configure(["web", "db"], "1h")
    agent.start()
    wait_for("first polls, and looks", lambda: len(agent.starts("observe")) == 2 and not any(s["polling"] for s in agent.good("status")["stacks"]))
    agent.bad("which stack? There are: web db", 64, "sync")
    agent.bad("no stack 'nope' is configured", 3, "sync", "nope")
    agent.script("poll-web", {"sleep": 3, "say": {"result": "unchanged", "tip": A}})
    # three at once: one poll runs, one more serves the two that came while it ran
    before = len(agent.starts("poll web --sync"))
    clients = []
    for _ in range(3):
        s = agent.connect()
        s.sendall(b'{"verb":"sync","stack":"web"}\n')
        clients.append(s)
        time.sleep(0.2)
    for s in clients:
        check(json.loads(s.recv(65536))["exit"] == 0)
        s.close()
    check(len(agent.starts("poll web --sync")) - before == 2, agent.starts())
    agent.script("poll-web", {"say": {"result": "held", "tip": A, "deployment": 7, "message": "#7 failed"}})
    reply = agent.good("sync", "web")
    check(reply["exit"] == 1 and reply["held"] == 7 and reply["deployment"] == 0, reply)
    agent.script("poll-web", {"say": {"result": "alarm", "tip": A, "message": "main no longer contains 9f3c1ab"}})
    check(agent.good("sync", "web")["exit"] == 1)
    check(agent.good("sync", "web")["exit"] == 1)
    check(agent.log().count("web needs a person: main no longer contains 9f3c1ab") == 1, agent.log())


def test_one_at_a_time(agent):
    stacks = ["one", "two", "three"]
    agent.configure(stacks, "1s")
    for s in stacks:
        agent.script(f"poll-{s}", [{"request": A}, {"request": B}, {"say": {"result": "unchanged", "tip": B}}])
        agent.script(f"run-{s}", {"states": ["planned", "running"], "sleep": 2, "then": "succeeded"})
    agent.start()
    wait_for("the first deployment", lambda: agent.starts("run"))
    most = {}

    def all_ended():
        rows = agent.query("SELECT stack FROM deployment WHERE state IN ('planned', 'running')")
        most["all"] = max(most.get("all", 0), len(rows))
        for s in stacks:
            most[s] = max(most.get(s, 0), sum(r[0] == s for r in rows))
        ended = {r[0] for r in agent.query("SELECT stack FROM deployment WHERE commit_id = ? AND state = 'succeeded'", B)}
        return ended == set(stacks)

    wait_for("the second of each", all_ended, 45)
    check(most == {"all": 2, "one": 1, "two": 1, "three": 1}, most)
    states = dict(agent.query("SELECT id, state FROM deployment"))
    check(set(states.values()) <= {"succeeded", "superseded"} and list(states.values()).count("succeeded") >= 3, states)


def test_control_verbs(agent):
    agent.configure(["web"], "1h", "control_uids = 65534")
    agent.settle()
    first, second = succeed(agent, commit=A), succeed(agent, commit=B)
    agent.bad("web is not held: there is nothing to retry", 1, "retry", "web")
    agent.bad("nothing of web is under way", 1, "cancel", "web")
    agent.bad("no commit of web waits for approval", 1, "approve", "web")
    agent.bad("there is no deployment #99", 3, "cancel", deployment=99)
    agent.bad("has ended already: succeeded", 1, "cancel", deployment=second)
    agent.bad("agentd knows no verb 'dance'", 64, "dance")
    agent.bad("takes no argument 'comit'", 64, "plan", "web", comit=A)
    agent.bad("deployment is no number", 64, "cancel", "web", deployment="1")
    # retry
    third = end_as(agent, "failed", C)
    agent.bad(f"#{second} is not what holds web", 1, "retry", deployment=second)
    retried = agent.good("retry", deployment=third)["deployment"]
    agent.wait_state(retried, "succeeded")
    row = agent.query("SELECT trigger_name, target_id, commit_id, requested_by FROM deployment WHERE id = ?", retried)
    check(row == [("retry", third, C, "uid 0")], row)
    # rollback: to the success before, and from there one further
    reply = agent.good("rollback", "web")
    agent.wait_state(reply["deployment"], "succeeded")
    row = agent.query("SELECT trigger_name, target_id, commit_id FROM deployment WHERE id = ?", reply["deployment"])
    check(row == [("rollback", second, B)], row)
    check(agent.query("SELECT hold_absolute FROM stack") == [(1,)])
    agent.bad("held by a rollback", 1, "retry", "web")
    reply = agent.good("rollback", "web")
    agent.wait_state(reply["deployment"], "succeeded")
    check(agent.query("SELECT target_id FROM deployment WHERE id = ?", reply["deployment"]) == [(first,)])
    agent.bad("no earlier success", 1, "rollback", "web")
    agent.bad("is failed: only a success", 1, "rollback", "web", deployment=third)
    # resume ends the hold
    polls = len(agent.starts("poll"))
    agent.good("resume", "web")
    check(agent.query("SELECT hold_absolute FROM stack") == [(0,)])
    wait_for("a close look", lambda: len(agent.starts("poll")) > polls)
    check(agent.starts("poll")[-1] == "poll web", agent.starts("poll")[-1])
    verbs = [r[0] for r in agent.query("SELECT verb FROM audit ORDER BY id")]
    check(verbs.count("rollback") == 4 and verbs.count("retry") == 4, verbs)


def test_cancel(agent):
    agent.configure(["web"], "1h")
    agent.settle()
    # a running one: asked by a signal
    agent.script("run-web", {"states": ["planned", "running"], "sleep": 30})
    agent.script("poll-web", {"request": A})
    number = agent.good("sync", "web")["deployment"]
    agent.wait_state(number, "running")
    agent.bad(f"#{number} is running; wait for its end", 1, "rollback", "web")
    agent.bad("wait for its end", 1, "retry", "web")
    said = agent.good("cancel", "web")["message"]
    check("stops at the next safe point" in said and said.endswith(f"how it ended: agentctl show {number}"), said)
    agent.wait_state(number, "cancelled")
    check(agent.query("SELECT cancel_requested FROM deployment WHERE id = ?", number) == [(1,)])
    check("signal 10" in agent.starts("signal"), agent.starts())
    # one that has not begun
    agent.good("pause", "web", reason="stop \x1b[31m here")
    agent.script("poll-web", {"request": B})
    number = agent.good("sync", "web")["deployment"]
    check("had not begun" in agent.good("cancel", deployment=number)["message"])
    check(agent.state_of(number) == "cancelled")
    check(agent.query("SELECT pause_reason FROM stack") == [("stop [31m here",)])


def test_pause(agent):
    agent.configure(["web"], "1h")
    agent.settle()
    agent.good("pause", "web", reason="friday")
    agent.bad("is past", 64, "pause", "web", until="2020-01-01T00:00:00Z")
    agent.bad("is no time", 64, "pause", "web", until="soon")
    agent.script("poll-web", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
    number = agent.good("sync", "web")["deployment"]
    time.sleep(1)
    check(agent.state_of(number) == "requested")
    check(agent.good("status")["stacks"][0]["paused"] is True)
    agent.process.kill()  # also after a restart
    agent.process.wait()
    agent.settle()
    time.sleep(1)
    check(agent.state_of(number) == "requested")
    agent.good("resume", "web")
    agent.wait_state(number, "succeeded")
    wait_for("the look after resume", lambda: not agent.good("status")["stacks"][0]["polling"])
    # until: ends by itself, and not only at the next poll
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 15))
    agent.good("pause", "web", until=until)
    agent.script("poll-web", [{"request": B}, {"say": {"result": "unchanged", "tip": B}}])
    number = agent.good("sync", "web")["deployment"]
    check(agent.state_of(number) == "requested")
    agent.wait_state(number, "succeeded", 20)


def test_pause_that_ends_while_agentd_is_down(agent):
    agent.configure(["web"], "1h")
    agent.settle()
    agent.good("pause", "web", until=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)))
    agent.script("poll-web", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
    number = agent.good("sync", "web")["deployment"]
    check("the end of the pause, " in agent.waiting(), agent.waiting())
    agent.process.kill()
    agent.process.wait()
    agent.write("UPDATE stack SET paused_until_us = ?", int(time.time() * 1e6) - 1)
    agent.settle()
    agent.wait_state(number, "succeeded")
    check(agent.query("SELECT paused, waiting FROM stack") == [(0, None)], agent.query("SELECT paused, waiting FROM stack"))
    check(agent.good("status")["stacks"][0]["paused"] is False)


def test_freeze_ends(agent):
    """What was requested before a freeze waits; afterwards the branch is looked at first, and only its newest commit is deployed."""
    agent.configure(["web"], "1h", stack_extra="freeze = 11:00..12:00, 20:00..21:00")
    agent.script("poll-web", {"say": {"result": "unchanged", "tip": A}})
    agent.settle(env={"TZ": zone_at("11:59:20")})
    check(agent.good("status")["stacks"][0]["frozen_until"], agent.log())
    agent.script("poll-web", [{"request": B}, {"request": C}, {"say": {"result": "unchanged", "tip": C}}])
    number = agent.good("sync", "web")["deployment"]
    wait_for("the reason on record", lambda: "the end of the freeze, " in (agent.waiting() or ""))
    check(agent.state_of(number) == "requested")
    wait_for("the newest", lambda: agent.query("SELECT 1 FROM deployment WHERE commit_id = ? AND state = 'succeeded'", C), 60)
    check(agent.state_of(number) == "superseded", agent.state_of(number))
    check(agent.starts("run") == [f"run {number + 1}"], agent.starts("run"))
    check(agent.good("status")["stacks"][0]["frozen_until"] is None and agent.waiting() is None)
    log = agent.log()
    check(log.count("web is frozen until ") == 1 and log.count("the freeze of web is over") == 1, log)


def test_freeze_and_people(agent):
    """A person's word counts in a freeze: approve, for one commit, and retry and rollback, for one deployment."""
    agent.configure(["web"], "1h")
    agent.settle()
    first, second = succeed(agent, commit=A), succeed(agent, commit=B)
    failed = end_as(agent, "failed", C)
    agent.configure(["web"], "1h", stack_extra="freeze = 2020-01-01 00:00..2100-01-01 00:00")
    agent.process.send_signal(signal.SIGHUP)
    wait_for("the freeze", lambda: agent.good("status")["stacks"][0]["frozen_until"])
    check("web: its section changed" in agent.log(), agent.log())
    reply = agent.good("retry", deployment=failed)
    check("web is frozen, but you ask for it" in reply["message"], reply)
    agent.wait_state(reply["deployment"], "succeeded")
    reply = agent.good("rollback", "web", deployment=first)
    agent.wait_state(reply["deployment"], "succeeded")
    # a new commit
    agent.bad("no commit of web waits for approval", 1, "approve", "web")
    agent.script("poll-web", [{"request": D}, {"say": {"result": "unchanged", "tip": D}}])
    agent.good("sync", "web")
    [(number,)] = agent.query("SELECT id FROM deployment WHERE commit_id = ?", D)  # by this poll, or by the one that follows the rollback
    agent.write("UPDATE stack SET tip = ?", D)
    agent.bad("what waits for approval is dddddddddddd, not ccccccc", 1, "approve", "web", commit="ccccccc")
    agent.bad(f"what waits for approval is dddddddddddd, not #{second} (bbbbbbbbbbbb)", 1, "approve", deployment=second)
    check(agent.state_of(number) == "requested")
    reply = agent.good("approve", "web", commit="ddddddd")
    check("dddddddddddd is approved: it is deployed now, although web is frozen until 2100-01-01" in reply["message"], reply)
    agent.wait_state(number, "succeeded")
    check(agent.query("SELECT uid, arguments FROM audit WHERE verb = 'approved'") == [(0, f"web {D}")])
    check(agent.waiting() is None, agent.waiting())


def test_polls_that_fail_for_long(agent):
    """Said once more, louder, after a quarter of an hour; and how long it was, when it is over."""
    failing = {"say": {"result": "error", "message": "no route to host"}, "exit": 1}
    agent.configure(["web"], "1s")
    agent.script("poll-web", failing)
    agent.start()
    wait_for("a failed poll", lambda: "web cannot be polled: no route to host" in agent.log())
    agent.stop()
    agent.write("UPDATE stack SET poll_failing_since_us = ?", int((time.time() - 14 * 60) * 1e6))
    agent.start()
    wait_for("failed polls", lambda: agent.good("status")["stacks"][0]["poll_failures"] >= 2)
    check("could not be polled for" not in agent.log(), agent.log())
    agent.stop()
    agent.write("UPDATE stack SET poll_failing_since_us = ?", int((time.time() - 20 * 60) * 1e6))
    agent.start()
    wait_for("failed polls", lambda: agent.good("status")["stacks"][0]["poll_failures"] >= 3)
    log = agent.log()
    check(log.count("web could not be polled for 20m") == 1 and "is deployed: no route to host" in log, log)
    agent.script("poll-web", {"say": {"result": "unchanged", "tip": A}})
    agent.good("sync", "web")
    check("web can be polled again, after 20m" in agent.log(), agent.log())


def test_lines_that_repeat(agent):
    """A remote that comes and goes is told ten times in an hour, and no more; status goes on saying how it is."""
    failing = {"say": {"result": "error", "message": "no route to host"}, "exit": 1}
    good = {"say": {"result": "unchanged", "tip": A}}
    agent.configure(["web", "db"], "1h")
    agent.settle()
    agent.script("poll-web", [failing, good] * 15 + [failing])
    for _ in range(15):
        agent.bad("no route to host", 1, "sync", "web")
        check(agent.good("status")["stacks"][0]["poll_error"] == "no route to host")
        agent.good("sync", "web")
    agent.bad("no route to host", 1, "sync", "web")
    log = agent.log()
    check(log.count("web cannot be polled") == 10 and log.count("web can be polled again") == 10, log)
    agent.script("poll-db", failing)
    agent.bad("no route to host", 1, "sync", "db")
    check("db cannot be polled: no route to host" in agent.log(), agent.log())


def test_approve(agent):
    agent.configure(["web"], "1h")
    agent.settle()
    agent.good("status")
    wait_for("first poll", lambda: agent.starts("poll"))
    time.sleep(0.5)
    db = sqlite3.connect(agent.state + "/journal.db", timeout=5)
    db.execute("INSERT INTO stack (stack, alarm, alarm_commit) VALUES ('web', 'main was rewritten', ?) ON CONFLICT DO UPDATE SET alarm = excluded.alarm, alarm_commit = excluded.alarm_commit", (B,))
    db.commit()
    db.close()
    agent.bad("what waits for approval is bbbbbbbbbbbb, not ccccccc", 1, "approve", "web", commit="ccccccc")
    polls = len(agent.starts("poll"))
    check("is approved" in agent.good("approve", "web", commit="bbbbbbb")["message"])
    check(agent.query("SELECT approved, alarm FROM stack") == [(B, None)])
    wait_for("a close look", lambda: len(agent.starts("poll")) > polls)


def test_plan_and_check(agent):
    agent.settle()
    agent.script("plan-web", {"out": "roll web\n\x1b[31m", "err": "warning: x\n", "exit": 2})
    reply = agent.good("plan", "web", commit="9f3c1ab", json=True)
    check(reply == {"ok": True, "exit": 2, "output": "roll web\n[31m", "message": "warning: x\n"}, reply)
    check("plan web --commit 9f3c1ab --json" in agent.starts("plan"), agent.starts("plan"))
    agent.bad("commit is no id", 64, "plan", "web", commit="--version")
    check(agent.good("check")["output"] == "")
    agent.script("plan-web", {"out": "x" * 1024, "times": 20000, "exit": 0})
    check(len(agent.good("plan", "web")["output"]) >= 4 << 20)
    agent.script("plan-web", {"sleep": 60})
    clients = [agent.connect() for _ in range(4)]
    for s in clients:
        s.sendall(b'{"verb":"plan","stack":"web"}\n')
    wait_for("workers", lambda: len(agent.starts("plan web")) >= 6)
    for s in clients:
        s.close()  # nobody wants to know any more: the workers are stopped
    wait_for("no workers", lambda: agent.call("check")["ok"])
    agent.process.send_signal(signal.SIGTERM)
    check(agent.process.wait(8) == 0)


def test_control_limits(agent):
    agent.configure(["web"], "1h")
    agent.settle()
    for request, text in (
        (b"\n", "no JSON"),
        (b"{\n", "no JSON"),
        (b"[]\n", "no JSON object"),
        (b'{"verb":"status","verb":"sync"}\n', "no JSON"),
        (b'{"verb":"status","extra":1}\n', "unknown key"),
        (b'{"verb":7}\n', "verb is missing"),
        (b'{"verb":"status","stack":"../x"}\n', "no name of a stack"),
        (b'{"verb":"status","args":[]}\n', "args are no JSON object"),
        (b'{"verb":"status","args":' + b'{"a":' * 20 + b"1" + b"}" * 20 + b"}\n", "deeper"),
        (b'{"verb":"status","args":{"x":"\xff"}}\n', "no JSON"),
        (b'{"verb":"status","args":{"x":"\\u0000"}}\n', "no JSON"),
        (b'{"verb":"status"}\n{"verb":"status"}\n', "one request per connection"),
        (b"x" * 70000 + b"\n", "longer than 65536"),
        (b"x" * 200000, "longer than 65536"),
    ):
        reply = agent.raw(request)
        check(reply["ok"] is False and reply["exit"] == 64 and text in reply["error"], request[:80], reply)
    reply = agent.raw(b'{"verb":"sta', finish=True)
    check("ends without a newline" in reply["error"], reply)
    with agent.connect() as s:
        s.shutdown(socket.SHUT_WR)
        check(s.recv(100) == b"")
    with agent.connect() as s:  # a passed descriptor is dropped
        s.sendmsg([b'{"verb":"status"}\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\x00\x00\x00\x00")])
        check(json.loads(s.recv(65536))["ok"])
    # 4 per user; a byte per second does not help
    time.sleep(0.5)
    slow = [agent.connect() for _ in range(4)]
    reply = agent.raw(b'{"verb":"status"}\n')
    check("too many connections" in reply["error"], reply)
    started = time.monotonic()
    for _ in range(3):
        for s in slow:
            s.send(b"{")
        time.sleep(1)
    check("did not come within 5 s" in json.loads(slow[0].recv(65536))["error"])
    check(time.monotonic() - started < 7)
    for s in slow:
        s.close()
    wait_for("room again", lambda: agent.call("status")["ok"])
    time.sleep(0.5)
    fds = len(os.listdir(f"/proc/{agent.process.pid}/fd"))
    for _ in range(300):
        s = agent.connect()
        s.send(b'{"verb":"status"}\n')
        s.close()
    wait_for("the same descriptors", lambda: len(os.listdir(f"/proc/{agent.process.pid}/fd")) == fds)


def as_user(uid, function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_callers(agent):
    agent.configure(["web"], "1h", "control_uids = 4242")
    agent.start()
    mode = os.stat(agent.run + "/control.sock").st_mode & 0o777
    check(mode == 0o660, oct(mode))
    os.chmod(agent.dir, 0o755)
    os.chmod(agent.run + "/control.sock", 0o666)

    def stranger():
        agent.good("status")
        agent.bad("user 4343 may not pause: ask root, or add the user id to control_uids", 1, "pause", "web")

    check(as_user(4343, stranger))
    check(as_user(4242, lambda: agent.good("pause", "web")))
    check(agent.query("SELECT uid, verb FROM audit") == [(4242, "pause")])
    check("pause refused for uid 4343" in agent.log())


def test_reload(agent):
    agent.configure(["web", "db"], "1s")
    agent.start()
    agent.script("run-db", {"states": ["planned", "running"], "sleep": 3, "then": "succeeded"})
    agent.script("poll-db", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
    agent.wait_state(1, "running")
    with open(agent.config) as file:
        good = file.read()
    with open(agent.config, "a") as file:
        file.write("[stack web]\n")
    agent.process.send_signal(signal.SIGHUP)
    wait_for("refusal", lambda: "the configuration is refused and the old one stays in force" in agent.log())
    check(len(agent.good("status")["stacks"]) == 2)
    polls = len(agent.starts("poll web"))
    wait_for("polls going on", lambda: len(agent.starts("poll web")) > polls)
    check(agent.good("status")["stacks"][0]["poll_error"] is None)
    with open(agent.config, "w") as file:
        file.write(good.replace(agent.state, "/elsewhere"))
    agent.process.send_signal(signal.SIGHUP)
    wait_for("refusal", lambda: "[agent] state_dir cannot change while agentd runs" in agent.log())
    # db goes while it is being deployed, cache comes
    agent.configure(["web", "cache"], "1s")
    agent.process.send_signal(signal.SIGHUP)
    wait_for("the new stack's poll", lambda: agent.starts("poll cache"))
    check([s["stack"] for s in agent.good("status")["stacks"]] == ["web", "cache"])
    agent.bad("no stack 'db' is configured", 3, "sync", "db")
    agent.wait_state(1, "succeeded")
    wait_for("its verdict", lambda: "to db: succeeded" in agent.log())
    polls = len(agent.starts("poll db"))
    time.sleep(2)
    check(len(agent.starts("poll db")) == polls)
    check(agent.messages().count("RELOADING=1") == 3 and agent.messages().count("READY=1") == 4)
    agent.configure(["web", "cache", "db"], "1s")
    agent.process.send_signal(signal.SIGHUP)
    wait_for("db again", lambda: len(agent.starts("poll db")) > polls)


def test_stop_and_resume(agent):
    agent.script("poll-web", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
    agent.script("run-web", [{"states": ["planned", "running"], "sleep": 60}, {"states": ["running", "succeeded"]}])
    agent.start()
    agent.wait_state(1, "running")
    check(agent.stop() == 0)
    check("signal 15" in agent.starts("signal"))
    check(agent.state_of(1) == "interrupted")
    runs = len(agent.starts())
    agent.start()
    agent.wait_state(1, "succeeded")
    check("run 1" in agent.starts()[runs : runs + 2], agent.starts()[runs:])
    check("taking aaaaaaa of web up again (interrupted)" in agent.log())


def test_killed(agent):
    """kill -9 of agentd: its worker goes on, and the next agentd waits for it."""
    agent.script("poll-web", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
    agent.script("run-web", {"states": ["planned", "running"], "sleep": 12, "then": "succeeded"})
    agent.start()
    agent.wait_state(1, "running")
    agent.process.kill()
    agent.process.wait()
    agent.start()
    time.sleep(2)
    check(agent.state_of(1) == "running")
    agent.wait_state(1, "succeeded", 20)
    wait_for("the verdict", lambda: "to web: succeeded" in agent.log())
    check(agent.log().count("taking aaaaaaa of web up again (running)") == 1, agent.log())
    states = [r[0] for r in agent.query("SELECT state FROM deployment")]
    check(states == ["succeeded"], states)


def test_disk_full(agent):
    os.mkdir(agent.state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", agent.state], check=True)
    try:
        agent.configure(["web"], "1s")
        agent.start()
        succeed(agent)
        fd = os.open(agent.state + "/ballast", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(fd, b"x" * 4096)
        except OSError:
            os.close(fd)
        agent.script("poll-web", [{"say": {"result": "requested", "tip": B}}])
        db = sqlite3.connect(agent.state + "/journal.db", timeout=5)
        try:
            db.execute("INSERT INTO deployment (stack, state, commit_id, trigger_name, requested_us) VALUES ('web', 'requested', ?, 'poll', 1)", (B,))
            db.commit()
            inserted = True
        except sqlite3.OperationalError:
            inserted = False
        db.close()
        if inserted:
            wait_for("the refusal", lambda: "no deployment starts" in agent.log(), 15)
            error = agent.good("status")["agentd"]["journal_error"]
            check("is full" in error, error)
            check(any("NO DEPLOYMENT STARTS" in m for m in agent.messages()))
            agent.bad("is full", 1, "pause", "web")
            check(agent.state_of(2) == "requested")
        else:
            reply = agent.call("pause", "web")
            check(reply["ok"] is False, reply)
        check(agent.process.poll() is None)
        check(agent.log().count("no deployment starts") <= 2, agent.log())
        os.unlink(agent.state + "/ballast")
        wait_for("recovery", lambda: agent.good("status")["agentd"]["journal_error"] is None, 15)
        agent.good("pause", "web")
        agent.good("resume", "web")
        if inserted:
            agent.wait_state(2, "succeeded")
        check(agent.log().count(f"the disk of {agent.state} is nearly full: ") == 1, agent.log())
        check(agent.stop() == 0)
    finally:
        agent.process.kill()
        agent.process.wait()
        subprocess.run(["umount", agent.state], check=True)


def test_ends_in_a_closed_journal(agent):
    """What ends while agentd has no journal is said when it has one again: a deployment, and a poll that fails."""
    os.mkdir(agent.state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", agent.state], check=True)
    try:
        agent.configure(["web", "db"], "1h")
        agent.script("poll-web", [{"request": A}, {"sleep": 600}, {"say": {}, "kill": 9}])
        agent.script("run-web", {"states": ["planned", "running"], "sleep": 600})
        agent.start()
        agent.wait_state(1, "running")
        wait_for("the first looks", lambda: not any(s["polling"] for s in agent.good("status")["stacks"]))
        poll = agent.connect()
        poll.sendall(b'{"verb":"sync","stack":"web"}\n')
        wait_for("a poll that lasts", lambda: "poll web --sync" in agent.starts())
        # no room for another deployment; enough for what the worker still has to say
        space = os.statvfs(agent.state)
        with open(agent.state + "/ballast", "wb") as file:
            file.write(b"x" * (space.f_bavail * space.f_frsize - (1 << 20)))
        agent.script("poll-db", {"request": B})
        agent.call("sync", "db")  # taken, or refused because that was seen before
        wait_for("the full disk to be noticed", lambda: "is full" in (agent.good("status")["agentd"]["journal_error"] or ""))
        for line in subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout.splitlines():
            if agent.bin + "/agent-worker" in line and " poll web" in line:
                os.kill(int(line.split()[0]), signal.SIGKILL)
        check("was ended by signal 9" in json.loads(poll.recv(65536))["error"])
        os.kill(agent.good("status")["stacks"][0]["worker_pid"], signal.SIGUSR1)
        wait_for("the end of the worker", lambda: agent.good("status")["stacks"][0]["worker_pid"] is None)
        check(agent.state_of(1) == "cancelled", agent.state_of(1))
        check(agent.query("SELECT poll_error FROM stack WHERE stack = 'web'") in ([], [(None,)]))
        os.unlink(agent.state + "/ballast")
        wait_for("the journal", lambda: agent.good("status")["agentd"]["journal_error"] is None)
        check(agent.log().count("deployment of aaaaaaa to web: cancelled") == 1, agent.log())
        agent.bad("was ended by signal 9", 1, "sync", "web")
        row = agent.query("SELECT poll_error, poll_failing_since_us FROM stack WHERE stack = 'web'")
        check(row and "was ended by signal 9" in row[0][0] and row[0][1], row)
        check(agent.stop() == 0)
    finally:
        agent.process.kill()
        agent.process.wait()
        subprocess.run(["umount", agent.state], check=True)


def test_read_only(agent):
    os.mkdir(agent.state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=8m", "tmpfs", agent.state], check=True)
    try:
        agent.start()  # it stays up and says so
        error = agent.good("status")["agentd"]["journal_error"]
        check("Read-only file system" in error, error)
        agent.bad("Read-only file system", 1, "pause", "web")
        agent.bad("Read-only file system", 1, "sync", "web")
        subprocess.run(["mount", "-o", "remount,rw", agent.state], check=True)
        wait_for("recovery", lambda: agent.good("status")["agentd"]["journal_error"] is None, 15)
        succeed(agent)
        check(agent.log().count("Read-only") == 1, agent.log())
    finally:
        agent.process.kill()
        agent.process.wait()
        subprocess.run(["umount", agent.state], check=True)


def test_another_agentd_while_somebody_waits(agent):
    """The state directory is another agentd's when it can be had at last: the end, in the middle of a plan that somebody waits for."""
    os.mkdir(agent.state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", agent.state], check=True)
    try:
        open(agent.state + "/agentd.lock", "w").close()
        other = os.open(agent.state + "/agentd.lock", os.O_RDONLY)
        fcntl.flock(other, fcntl.LOCK_EX)
        subprocess.run(["mount", "-o", "remount,ro", agent.state], check=True)
        agent.script("plan-web", {"sleep": 600})
        agent.start()
        with agent.connect() as s:
            s.sendall(b'{"verb":"plan","stack":"web"}\n')
            wait_for("the plan", lambda: agent.starts("plan web"))
            subprocess.run(["mount", "-o", "remount,rw", agent.state], check=True)
            check(agent.process.wait(15 * PATIENCE) == 1, agent.process.returncode)
        check("another agentd runs: " in agent.log(), agent.log())
    finally:
        agent.process.kill()
        agent.process.wait()
        os.close(other)
        subprocess.run(["umount", agent.state], check=True)


def test_run_dir_in_the_way(agent):
    with open(agent.run, "w") as file:
        file.write("x")
    agent.start(ready=False)
    check(agent.process.wait(5) == 1)
    check(f"{agent.run}: not a folder" in agent.log() or "Not a directory" in agent.log() or "File exists" in agent.log(), agent.log())


def test_watchdog(agent):
    agent.start(env={"WATCHDOG_USEC": "1000000"})
    wait_for("three pings", lambda: agent.messages().count("WATCHDOG=1") >= 3)
    agent.process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    pings = agent.messages().count("WATCHDOG=1")
    time.sleep(2)
    check(agent.messages().count("WATCHDOG=1") == pings)
    agent.process.send_signal(signal.SIGCONT)


def test_no_descriptors_left(agent):
    import resource

    agent.configure(["web"], "1h")
    agent.start(before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    wait_for("the first look", lambda: agent.starts("observe") and not agent.good("status")["stacks"][0]["polling"])
    # more idle connections than there are descriptors, 4 of each user
    os.chmod(agent.dir, 0o755)
    os.chmod(agent.run + "/control.sock", 0o666)
    pids = []
    for uid in range(5000, 5006):
        pid = os.fork()
        if pid == 0:
            os.setuid(uid)
            held = [agent.connect() for _ in range(4)]
            time.sleep(3)
            os._exit(0)
        pids.append(pid)
    time.sleep(1)
    reply = agent.call("status")
    used = len(os.listdir(f"/proc/{agent.process.pid}/fd"))
    check(not reply["ok"] and "no file descriptors left" in reply["error"], reply, used)
    for pid in pids:
        os.waitpid(pid, 0)
    wait_for("room again", lambda: agent.call("status")["ok"])
    agent.good("sync", "web")
    check(agent.process.poll() is None)


def test_idle(agent):
    """Ten stacks: small, and nothing is written while nothing happens."""
    stacks = [f"stack{i}" for i in range(10)]
    agent.configure(stacks, "1s")
    agent.start()
    wait_for("first polls", lambda: all(agent.starts(f"poll {s} --known") for s in stacks), 20)
    time.sleep(1)

    def files():
        return {name: (os.stat(f"{agent.state}/{name}").st_mtime_ns, os.stat(f"{agent.state}/{name}").st_size) for name in os.listdir(agent.state) if not name.endswith("-shm")}

    def writes():
        # of the thread: that of the process counts its dead children as well
        with open(f"/proc/{agent.process.pid}/task/{agent.process.pid}/io") as file:
            return [line for line in file if line.startswith("write_bytes")]

    before, written, polls = files(), writes(), len(agent.starts("poll"))
    wait_for("30 polls", lambda: len(agent.starts("poll")) > polls + 30, 60)
    check(files() == before, before, files())
    check(writes() == written, written, writes())
    with open(f"/proc/{agent.process.pid}/smaps_rollup") as file:
        pss = [int(line.split()[1]) for line in file if line.startswith("Pss:")][0]
    print(f"# PSS with ten stacks: {pss} KiB")
    if "ASAN_OPTIONS" not in os.environ:
        check(pss <= 8192, "PSS", pss)


def test_nothing_is_left_of_polls(agent):
    """What a poll opens is closed again, and its worker is collected."""
    agent.configure(["web"], "1h")
    agent.start()
    wait_for("first poll", lambda: agent.good("status")["stacks"][0]["last_poll"])

    def at_rest():
        base = f"/proc/{agent.process.pid}"
        used = len(os.listdir(f"{base}/fd"))
        with open(f"{base}/task/{agent.process.pid}/children") as file:
            return None if file.read().split() else used

    rest = wait_for("a moment without children", at_rest)
    for _ in range(30):
        polls = len(agent.starts("poll"))
        agent.good("sync", "web")
        wait_for("the poll", lambda: len(agent.starts("poll")) > polls)
    # less: a caller's connection was still there at first
    wait_for("all that was opened to be closed", lambda: (at_rest() or rest + 1) <= rest, 30)


def test_follow_tags(agent):
    with open(agent.config, "a") as file:
        file.write("follow_tags = yes\n")
    agent.script("observe-web", [{"request": B}, {"say": {"result": "unchanged"}}])
    agent.start()
    agent.wait_state(1, "succeeded")
    wait_for("observe after each poll", lambda: len(agent.starts("observe web")) >= 3)
    wait_for("a poll that knows the tip", lambda: agent.starts("poll")[-1] == f"poll web --known {A}")
    # a registry that does not answer is one trouble, not one with each poll
    agent.script("observe-web", {"say": {"result": "error", "message": "registry: 503"}, "exit": 1})
    wait_for("three failures", lambda: agent.good("status")["stacks"][0]["poll_failures"] >= 3, 20)
    check(agent.log().count("web cannot be polled: registry: 503") == 1 and "polled again" not in agent.log(), agent.log())
    agent.script("observe-web", {"say": {"result": "unchanged"}})
    wait_for("recovery", lambda: agent.log().count("web can be polled again") == 1, 30)


def test_drift(agent):
    """Looked for after a poll without news; said when it is news."""
    agent.configure(["web"], drift="report")
    text = "web: changed by someone else: image"
    agent.script("observe-web", [{"say": {"result": "nothing", "drift": text}}, {"say": {"result": "nothing"}}, {"say": {"result": "nothing", "drift": ""}},
                                 {"say": {"result": "nothing"}}])
    agent.start()
    wait_for("looks", lambda: len(agent.starts("observe web")) >= 4)
    check(agent.log().count(f"web is not what was deployed: {text}") == 1, agent.log())
    check(agent.log().count("web is what was deployed again") == 1, agent.log())
    polls = len(agent.starts("poll web"))
    check(abs(polls - len(agent.starts("observe web"))) <= 1, agent.starts(""))


def test_stubborn_workers(agent):
    """A step that hangs is stopped when the deadline it told, and a minute, have passed; one that has ended is not."""
    agent.configure(["web", "db", "cache", "queue"])
    for stack, step in (("web", "running"), ("db", "done"), ("cache", "running"), ("queue", "running")):
        agent.script(f"poll-{stack}", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
        hints = [{"step": "roll web", "deadline_s": 1}]
        if stack == "cache":
            hints.append({"waiting": "image cache:1 is not in the registry yet"})
        todo = {"states": ["planned", "running"], "steps": [step], "hints": hints, "deaf": True}
        if stack == "queue":  # waits for most of its time, which begins anew then
            hints.append({"waiting": "the engine does not answer"})
            todo.update(deaf=False, sleep=100, later=[[50, {"waiting": None}]])
        agent.script(f"run-{stack}", [todo, {"states": ["running", "succeeded"]}])
    with open(agent.config) as file:
        text = file.read()
    with open(agent.config, "w") as file:
        file.write(text.replace("[agent]", "[agent]\nparallel = 4"))
    agent.start()
    wait_for("four deployments", lambda: len(agent.starts("run")) == 4)
    wait_for("the end of one", lambda: agent.query("SELECT stack FROM deployment WHERE state = 'succeeded'") == [("web",)], 150)
    check(agent.log().count("agent-worker took too long and was stopped in the middle of it") == 1, agent.log())
    check(len(agent.starts("run")) == 5 and not agent.starts("signal"), agent.starts())
    check(any("cache: deploying aaaaaaa" in m and "waiting: image cache:1" in m for m in agent.messages()))
    agent.process.kill()
    agent.process.wait()


def test_silence(agent):
    """A worker without a sign of life for as long as it told is stopped, wherever it is; one that waits and says so is not."""
    agent.configure(["web", "db", "cache"], extra="parallel = 3")
    stopped = {"hints": [{"alive_s": 1}, {"waiting": "image web:1 is not in the registry yet"}], "freeze": True}
    hangs = {"states": ["planned", "running"], "steps": ["done"], "hints": [{"alive_s": 1}, {"step": "pull web"}], "sleep": 600}
    waits = {"states": ["planned", "running"], "steps": ["running"], "hints": [{"alive_s": 4}, {"step": "roll web", "deadline_s": 1}], "sleep": 8,
             "later": [[n / 2, {"alive_s": 4}] for n in range(16)], "then": "succeeded"}
    for stack, todo in (("web", stopped), ("db", hangs), ("cache", waits)):
        agent.script(f"poll-{stack}", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
        agent.script(f"run-{stack}", [todo, {"states": ["running", "succeeded"]}])
    agent.start()
    wait_for("three successes", lambda: len(agent.query("SELECT 1 FROM deployment WHERE state = 'succeeded'")) == 3)
    check(sorted(agent.starts("signal")) == ["signal 15"] * 2, agent.starts())
    check(len(agent.starts("run")) == 5, agent.starts("run"))
    check(agent.log().count("agent-worker gave no sign of life and was stopped") == 2, agent.log())


def test_silence_again_and_again(agent):
    """Who heeds the stop, too, is no orderly end: the next worker counts it, or it would go on like that for ever."""
    agent.configure(["web"])
    hangs = {"states": ["planned", "running"], "hints": [{"alive_s": 1}], "sleep": 600, "stopped": "stopped by the service manager"}
    agent.script("poll-web", [{"request": A}, {"say": {"result": "unchanged", "tip": A}}])
    agent.script("run-web", [hangs, {"states": [], "sleep": 600}])
    agent.start()
    wait_for("its second worker", lambda: len(agent.starts("run")) == 2)
    check(agent.starts("signal") == ["signal 15"], agent.starts())
    check(agent.query("SELECT reason FROM deployment") == [("agent-worker gave no sign of life and was stopped",)], agent.query("SELECT * FROM deployment"))


SLOW = {"stubborn_workers"}


def main():
    build, names = sys.argv[1], sys.argv[2:]
    slow = "--slow" in names
    names = [n for n in names if n != "--slow"]
    tests = [(n[5:], f) for n, f in globals().items() if n.startswith("test_")]
    tests = [t for t in tests if (t[0] in names if names else slow or t[0] not in SLOW)]
    print(f"1..{len(tests)}")
    failed = 0
    for i, (name, function) in enumerate(tests, 1):
        agent = Agent(build)
        try:
            function(agent)
            text = agent.log()
            for bad in ("AddressSanitizer", "runtime error", "LeakSanitizer"):
                check(bad not in text, text)
            if agent.process and agent.process.poll() is None:
                check(agent.stop() == 0, "exit code", agent.process.returncode)
                text = agent.log()
                check("LeakSanitizer" not in text, text)
            print(f"ok {i} - {name}", flush=True)
        except BaseException as e:
            failed += 1
            print(f"not ok {i} - {name}", flush=True)
            where = "".join(traceback.format_exception(e)) + "\n" + agent.log()
            print("\n".join("# " + line for line in where.splitlines()[-60:]), flush=True)
            if isinstance(e, KeyboardInterrupt):
                raise
        finally:
            agent.remove()
    sys.exit(failed != 0)


main()
