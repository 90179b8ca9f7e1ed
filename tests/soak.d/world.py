# SPDX-License-Identifier: Apache-2.0
"""What a soak runs in: a Swarm of some managers, an agentd on each, one stack, one repository. Results are read from the engines,
the database, Git, the journals' files and the lines that migrations leave; never from what the agent says of itself."""

import contextlib
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import threading
import time

from harness import LAB_TOOLS, Engine, Lab, wait_for

STACK = "soak"
ENDED = ("succeeded", "failed", "rolled_back", "halted", "cancelled", "superseded", "stuck")
PASSWORD = "pass-1234-word"
TICKS = os.sysconf("SC_CLK_TCK")


class Manager:
    """One node and its agent."""

    def __init__(self, world, n):
        self.world = world
        self.n = n
        self.name = f"node{n}"
        self.docker = world.lab.env[f"DOCKER_HOST_{n}"]
        self.engine = Engine(self.docker.removeprefix("unix://"))
        self.dir = world.dir / f"agent{n}"
        self.dir.mkdir()
        self.conf = self.dir / "agent.conf"
        self.process = None
        self.lives = []  # of its agentds: [(time, RSS KiB, PSS KiB, descriptors, children)]
        self.spent = 0.0  # CPU seconds of those that ended

    def configure(self, text):
        self.conf.write_text(f"[agent]\nstate_dir = {self.dir}/state\nrun_dir = {self.dir}/run\ndocker = {self.docker}\nlog_level = info\n"
                             f"\n[http]\nlisten =\n\n{text}")

    def enter(self, *command):
        pid = pathlib.Path(self.world.lab.dir, self.name, "init.pid").read_text().strip()
        return ["nsenter", "-t", pid, "-n", "--", *map(str, command)]

    def start(self):
        with open(self.dir / "agentd.log", "ab") as log:
            self.process = subprocess.Popen(self.enter(self.world.program("agentd"), "--config", self.conf), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)
        self.lives.append([])

    def kill(self, workers=False):
        running = self.workers() if workers else []
        self.spent += cpu_of(self.process.pid)
        for pid in (self.process.pid, *running):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill(True)

    def workers(self, verb=b""):
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if words[0].endswith(b"agent-worker") and any(w.startswith(bytes(self.dir) + b"/") for w in words) and (not verb or verb in words):
                    found.append(int(path.parent.name))
        return found

    def run_worker(self):
        return next(iter(self.workers(b"run")), None)

    def agentctl(self, *words):
        return subprocess.run([self.world.program("agentctl"), "--config", self.conf, *words], capture_output=True, text=True, timeout=300,
                              stdin=subprocess.DEVNULL, check=False)

    def journal(self, sql, *values):
        """Rows as dicts; none while there is no journal."""
        path = self.dir / "state/journal.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            db.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in db.execute(sql, values)]
            except sqlite3.OperationalError:
                return []

    def records(self):
        """Oldest first."""
        return [{**r, "manager": self.n} for r in self.journal(
            "SELECT id, state, commit_id, trigger_name, reason, resumes, requested_us, finished_us FROM deployment ORDER BY id")]

    def sample(self):
        with contextlib.suppress(OSError, ProcessLookupError):
            base = f"/proc/{self.process.pid}"
            rollup = dict(line.split()[:2] for line in open(f"{base}/smaps_rollup", encoding="ascii").read().splitlines()[1:])
            children = open(f"{base}/task/{self.process.pid}/children", encoding="ascii").read().split()
            self.lives[-1].append((time.monotonic(), int(rollup["Rss:"]), int(rollup["Pss:"]), len(os.listdir(f"{base}/fd")), len(children)))


def cpu_of(pid):
    """Seconds of a process and of its children that ended."""
    try:
        fields = open(f"/proc/{pid}/stat", encoding="ascii").read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


class World:
    """directory: of the lab, and of all else. programs: of agentd and its kin."""

    def __init__(self, directory, programs, nodes, seed):
        self.programs = pathlib.Path(programs).resolve()
        self.dir = pathlib.Path(directory)
        self.dir.mkdir()
        self.random = random.Random(seed)
        self.lab_dir = f"{directory}/lab"
        subprocess.run([LAB_TOOLS / "up", "--nodes", str(nodes), "--dir", self.lab_dir], check=True, stdout=subprocess.DEVNULL)
        os.environ["E2E_LAB"] = self.lab_dir
        self.lab = Lab()
        self.registry = self.lab.registry
        self.managers = {n: Manager(self, n) for n in range(1, nodes + 1)}
        self.home = self.managers[1]  # of the database and of the client
        self.lines_dir = self.dir / "lines"
        self.lines_dir.mkdir()
        self.make_repository()
        self.said = open(self.dir / "events", "a", encoding="utf-8")
        self.sampling = threading.Event()

    def program(self, name):
        return self.programs / name

    def say(self, text):
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        print(line, file=self.said, flush=True)

    def close(self):
        self.sampling.set()
        for manager in self.managers.values():
            manager.stop()
        subprocess.run([LAB_TOOLS / "down", "--dir", self.lab_dir], check=False, stdout=subprocess.DEVNULL)

    # ---- repository ----

    def make_repository(self):
        self.lab.tool("repo", STACK)
        self.clone = self.dir / "clone"
        self.clone.mkdir()
        self.git("init", "-q", "--initial-branch=main")
        self.git("remote", "add", "origin", f"{self.lab.env['GIT_ROOT']}/{STACK}.git")

    def git(self, *words):
        return subprocess.run(["git", "-C", self.clone, "-c", "user.name=alice", "-c", "user.email=alice@example.org", "-c", "commit.gpgSign=false",
                               *words], capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, stack, message, files=None, remove=()):
        (self.clone / "stack.yml").write_text(stack if isinstance(stack, str) else json.dumps(stack, indent=1) + "\n")
        for name, text in (files or {}).items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in remove:
            (self.clone / name).unlink()
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    # ---- agents ----

    def start_agents(self):
        variables = self.dir / "variables"
        variables.touch(mode=0o600)
        variables.write_text(f"DB_PASSWORD={PASSWORD}\nDATABASE_URL=postgres://app:{PASSWORD}@db:5432/app\n")
        for manager in self.managers.values():
            manager.configure(f"[stack {STACK}]\nrepository = {self.lab.env['GIT_HTTP_URL']}/{STACK}.git\nfile = stack.yml\npoll_interval = 1s\n"
                              f"image_wait = 25s\nenv_file = {variables}\n")
            manager.start()
        threading.Thread(target=self.keep_sampling, daemon=True).start()

    def keep_sampling(self):
        while not self.sampling.wait(3):
            for manager in self.managers.values():
                manager.sample()

    def records(self):
        return [record for manager in self.managers.values() for record in manager.records()]

    # ---- the swarm ----

    def ask(self, path, **query):
        """An answer of any engine that gives one."""
        for manager in self.managers.values():
            with contextlib.suppress(AssertionError, OSError):
                return manager.engine.get(path, **query)
        return None

    def leader(self):
        nodes = self.ask("/nodes") or []
        led = [n["Description"]["Hostname"] for n in nodes if n.get("ManagerStatus", {}).get("Leader")]
        return self.managers[int(led[0].removeprefix("node"))] if led else None

    def healthy(self):
        nodes = self.ask("/nodes") or []
        return len(nodes) == len(self.managers) and all(
            n["Status"]["State"] == "ready" and n["Spec"]["Availability"] == "active" and n.get("ManagerStatus", {}).get("Reachability") == "reachable"
            for n in nodes)

    def wait_until_healthy(self, seconds=60):
        return wait_for(self.healthy, seconds, "all managers to be there")

    def cpu(self):
        """CPU seconds of nodes, containers and agents so far. Of what an engine's restart took with it, nothing."""
        spaces = {os.readlink(f"/proc/{pathlib.Path(self.lab_dir, m.name, 'init.pid').read_text().strip()}/ns/pid") for m in self.managers.values()}
        total = 0.0
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(path / "ns/pid") in spaces:
                    total += cpu_of(path.name)
        return total + sum(m.spent + cpu_of(m.process.pid) for m in self.managers.values() if m.process)

    # ---- what migrations leave ----

    def lines(self):
        path = self.lines_dir / "runs"
        return path.read_text().split() if path.exists() else []

    def query(self, sql):
        def look():
            for task in self.home.engine.running(f"{STACK}_db"):
                container = task["Status"]["ContainerStatus"]["ContainerID"]
                run = subprocess.run(["docker", "exec", container, "psql", "-h", "127.0.0.1", "-U", "app", "-d", "app", "-Atc", sql],
                                     env={**os.environ, "DOCKER_HOST": self.home.docker, "PGPASSWORD": PASSWORD}, capture_output=True, text=True, check=False)
                if run.returncode == 0:
                    return [run.stdout.split()]
            return None

        return wait_for(look, 60, f"the database to answer {sql!r}")[0]
