# SPDX-License-Identifier: Apache-2.0
"""The world the crash tests run in: a lab's engine, a wire tap before it, and lanes.

A lane is one stack with a repository, a configuration and a journal of its own, driven by hand with `agent-worker poll`
and `agent-worker run ID`: no agentd. What has come of it is seen by the checker (checker.py), never by the worker's messages.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from checker import ENDED, Witness
from expect import PATIENCE, Failure, check, same, wait_for
from points import Table
from tap import Tap

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from labs import Engine, settings  # noqa: E402

LAB_TOOLS = HERE.parent / "lab"
STOPPED, LOCKED = 75, 76
KILLED = -signal.SIGKILL
# What a worker has passed when it is at work again, whatever it still has to do.
AT_WORK = {"step.begin", "putback.begin", "end.record", "end.state"}
RESUME_LIMIT_S = 10


class Lab:
    """A lab that is up; brought up here when it is not, and then taken down at the end."""

    def __init__(self, directory, engine):
        self.dir = str(directory)
        self.own = not os.path.exists(f"{directory}/env")
        if self.own:
            subprocess.run([LAB_TOOLS / "up", "--dir", self.dir, "--engine", engine], check=True, stdout=subprocess.DEVNULL)
        self.env = settings(directory)
        self.registry = self.env["REGISTRY"]
        self.socket = self.env["DOCKER_HOST_1"].removeprefix("unix://")
        self.engine = Engine(self.socket, Failure)
        self.dead = False

    def tool(self, name, *arguments):
        run = subprocess.run([LAB_TOOLS / name, "--dir", self.dir, *map(str, arguments)], capture_output=True, text=True)
        check(run.returncode == 0, f"tests/lab/{name} {arguments}: {run.stdout}{run.stderr}")
        return run.stdout

    def ctl(self, verb):
        return self.tool("ctl", verb)

    def image(self, tag):
        """Makes and pushes REGISTRY/tag: web:1 with one more file, so with a digest of its own."""
        reference = f"{self.registry}/{tag}"
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "built-for").write_text(tag)
            self.tool("image", reference, folder, "--base", f"{self.registry}/web:1", "--push")
        return reference

    def volume_lines(self, volume, file):
        """The lines of a file in a volume; the engine's data is a folder of this machine."""
        path = pathlib.Path(self.dir, "node1/data/volumes", volume, "_data", file)
        return path.read_text().splitlines() if path.exists() else []

    def close(self):
        if self.own:
            subprocess.run([LAB_TOOLS / "down", "--dir", self.dir], check=False, stdout=subprocess.DEVNULL)

class Worker:
    """One agent-worker process."""

    def __init__(self, lane, words, faults=None):
        self.lane = lane
        environment = {"PATH": os.environ["PATH"], "HOME": str(lane.dir), "FAULTS_PASSED": str(lane.passed)}
        if faults:
            environment["FAULTS"] = faults
        self.words = " ".join(words) + (f" with {faults}" if faults else "")
        self.out = tempfile.TemporaryFile()
        self.started = time.monotonic()
        with open(lane.log, "ab") as log:
            log.write(f"---- agent-worker {self.words}\n".encode())
            log.flush()
            self.log_begins = log.tell()
            self.process = subprocess.Popen([str(lane.world.worker), "--config", str(lane.conf), *words], stdin=subprocess.DEVNULL,
                                            stdout=self.out, stderr=log, env=environment)

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.alive():
            self.process.send_signal(number)

    def stopped(self):
        """By SIGSTOP: really, in all of its threads."""
        with contextlib.suppress(OSError):
            return " T " in pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2][:3]
        return False

    def halts(self):
        """Each point that it is stopped at, when it really stands still there; who asks for the next lets it go on before."""
        seen = 0
        while True:
            wait_for(lambda: self.stopped() or not self.alive(), 180, "the worker to halt, or to end")
            if not self.alive():
                return
            said = self.said_halts()
            check(len(said) > seen, "the worker stands still, and not at a fault point")
            seen = len(said)
            yield said[-1]
            wait_for(lambda: not self.stopped() or len(self.said_halts()) > seen, 20, "the worker to go on")

    def said_halts(self):
        said = self.lane.log.read_bytes()[self.log_begins:]
        return [point.decode() for point in re.findall(rb"^fault point (.+): stop$", said, re.M)]

    def passages(self):
        """(seconds since its start, fault point) of each that it has passed."""
        found = []
        for line in self.lane.passed.read_text().splitlines() if self.lane.passed.exists() else []:
            at, pid, point = line.split(" ", 2)
            if int(pid) == self.process.pid and int(at) / 1e6 >= self.started:
                found.append((int(at) / 1e6 - self.started, point))
        return found

    def wait_for_its_handlers(self):
        """Before a program has set them, SIGTERM ends it like any other."""
        def set_or_gone():
            try:
                status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
            except OSError:
                return True
            caught = int(re.search(r"^SigCgt:\s*(\w+)", status, re.M)[1], 16)
            return not self.alive() or caught >> (signal.SIGTERM - 1) & 1
        wait_for(set_or_gone, 20, "the worker's signal handlers")

    def wait(self, seconds=300):
        """More than healthy_deadline (scenarios.py), which a service may need on a slow machine: only one that hangs takes so long."""
        try:
            return self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"agent-worker {self.words} did not end within {seconds * PATIENCE:.0f} s") from None

    def lines(self):
        self.out.seek(0)
        return [json.loads(line) for line in self.out.read().decode().splitlines() if line.startswith("{")]


class World:
    """What all cases share."""

    def __init__(self, lab, worker, scratch):
        self.lab = lab
        self.engine = lab.engine
        self.worker = pathlib.Path(worker).resolve()
        self.scratch = pathlib.Path(scratch)
        self.lock = threading.Lock()
        self.counter = 0
        self.run = os.urandom(2).hex()  # a lab that stays up has volumes of earlier runs
        self.table = Table()
        self.passed = set()  # fault points that workers came through
        self.resumes = []  # how long workers took until they were at work again

    def next(self):
        with self.lock:
            self.counter += 1
            return self.counter

    def note_resume(self, worker):
        """One that took a deployment up again; one that died before it was at work says nothing."""
        took = next((seconds for seconds, point in worker.passages() if point in AT_WORK), None)
        if took is not None:
            self.resumes.append(took)
            check(took <= RESUME_LIMIT_S, f"agent-worker {worker.words} was at work again only after {took:.1f} s")


class Lane(Witness):
    def __init__(self, world, shape="plain", small_disk=False):
        self.world = world
        self.shape = shape  # what its stack consists of: cases start from the same
        self.notes = []  # shown when the case fails
        self.lab = world.lab
        self.engine = world.engine
        self.number = f"{world.run}x{world.next()}"
        self.name = f"crash{self.number}"
        self.password = f"pass-{self.name}-word"  # of its database
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name}.", dir=world.scratch))
        self.log = self.dir / "log"
        self.passed = self.dir / "passed"
        self.program = world.worker
        self.acknowledged = {}  # deployment: commit
        self.conf = self.dir / "agent.conf"
        self.state_dir = self.dir / "state"
        self.tap = Tap(self.dir / "tap.sock", self.lab, rf"{self.name}(_|$)")
        self.workers = []
        self.old = self.new = None  # what VERSION the last good and the newest commit have
        self.old_tag, self.new_tag = 1, 2  # of their images
        self.generation = 0
        self.small_disk = small_disk
        if small_disk:
            self.state_dir.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0750", self.name, str(self.state_dir)], check=True)
        self.make_repository()
        self.configure(**(self.with_database() if shape == "sql" else {}))

    def with_database(self):
        path = self.dir / "variables"
        path.touch(mode=0o600)
        path.write_text(f"DATABASE_URL=postgres://app:{self.password}@db:5432/app\n")
        return {"env_file": path}

    def is_old(self):
        """The newest commit is deployed: it is what the next one replaces."""
        self.old, self.old_tag = self.new, self.new_tag

    def note(self, text):
        self.notes.append(str(text))

    def said(self):
        """How much the workers have said so far."""
        return self.log.stat().st_size if self.log.exists() else 0

    def tell(self, since, good):
        """Into the table: what was done to workers since."""
        if self.log.exists():
            self.world.table.note(self.log.read_bytes()[since:], good)

    def log_tail(self, lines=60):
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(self.notes + [f"---- the end of {self.log}"] + text[-lines:])

    # ---- set-up ----

    def git(self, *words):
        run = subprocess.run(["git", "-c", "user.name=alice", "-c", "user.email=alice@example.org", *words], cwd=self.work,
                             capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": str(self.dir)})
        check(run.returncode == 0, f"git {words}: {run.stderr}")
        return run.stdout.strip()

    def make_repository(self):
        self.work = self.dir / "work"
        self.bare = self.dir / "repo.git"
        self.work.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare))

    def configure(self, **settings):
        values = {"repository": f"file://{self.bare}", "file": "stack.yml", "image_wait": "60s", **settings}
        lines = ["[agent]", f"state_dir = {self.state_dir}", f"run_dir = {self.dir / 'run'}", f"docker = unix://{self.dir / 'tap.sock'}",
                 "log_level = debug", "", f"[stack {self.name}]", *(f"{k} = {v}" for k, v in values.items())]
        self.conf.write_text("\n".join(lines) + "\n")

    def commit(self, files, message):
        for name, content in files.items():
            (self.work / name).parent.mkdir(exist_ok=True)
            (self.work / name).write_text(content)
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        self.git("push", "-q", str(self.bare), "HEAD:main")
        return self.git("rev-parse", "HEAD")

    # ---- the worker ----

    def trace(self, since):
        """The fault points that were passed, in their order, after the first so many."""
        lines = self.passed.read_text().splitlines() if self.passed.exists() else []
        return [line.split(" ", 2)[2] for line in lines[since:]]

    def start(self, *words, faults=None):
        worker = Worker(self, [str(word) for word in words], faults)
        self.workers = [w for w in self.workers if w.alive()] + [worker]
        return worker

    def run(self, *words, faults=None, seconds=120):
        worker = self.start(*words, faults=faults)
        return worker.wait(seconds), worker

    def poll(self, *words):
        code, worker = self.run("poll", self.name, *words)
        lines = worker.lines()
        check(code == 0 and lines, f"poll: exit {code}, {lines}")
        return lines[-1]

    def request(self):
        """Polls; the ID of the deployment that is requested."""
        answer = self.poll()
        same(answer["result"], "requested", "the poll after a commit")
        self.acknowledged[answer["deployment"]] = answer["tip"]
        return answer["deployment"]

    def to_end(self, deployment, faults=(), limit=24):
        """Runs workers until it has ended; each entry of faults is for one of them. Returns their exit codes."""
        codes = []
        pending = list(faults)
        while self.state(deployment) not in ENDED:
            check(len(codes) < limit, f"not ended after {limit} workers: {codes}")
            fault = pending.pop(0) if pending else None
            resumes = self.state(deployment) != "requested"
            code, worker = self.run("run", deployment, faults=fault)
            codes.append(code)
            if resumes:
                self.world.note_resume(worker)
            if fault and ":kill" in fault:
                same(code, KILLED, f"exit code of a worker with {fault}")
            elif not fault:
                check(code in (0, STOPPED), f"exit code {code} of agent-worker run {deployment}")
        check(not pending, f"the deployment ended as {self.state(deployment)} before {pending}")
        return codes

    def resumes(self, deployment):
        """So often it was taken up without a step that came to its end since."""
        return self.rows("SELECT resumes FROM deployment WHERE id = ?", deployment)[0]["resumes"]

    def one_step_further(self, deployment):
        """An undisturbed worker, asked to stop as soon as there is progress."""
        worker = self.start("run", deployment)
        wait_for(lambda: self.resumes(deployment) == 0 or not worker.alive(), 180, "a step to end")
        worker.signal(signal.SIGTERM)
        check(worker.wait() in (0, STOPPED), "exit code after SIGTERM")

    def to_end_of_worker(self, deployment, faults):
        """One worker that is expected to die."""
        same(self.run("run", deployment, faults=faults)[0], KILLED, f"exit code of a worker with {faults}")

    def at(self, worker, point, seconds=60):
        """Waits until the newest worker has come to a fault point that makes it sleep."""
        mark = f"fault point {point}".encode()
        wait_for(lambda: mark in self.log.read_bytes().rsplit(b"---- agent-worker run", 1)[-1] or not worker.alive(), seconds, point)
        check(worker.alive(), f"the worker ended before {point}")

    def fill_disk(self):
        """Not one page more, in files that exist neither."""
        with open(self.state_dir / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def damage_mirror(self):
        """The agent's copy of the repository has packs of nothing."""
        for path in (self.state_dir / "repo" / self.name).rglob("*.pack"):
            path.chmod(0o600)
            path.write_bytes(b"")

    def lose_mirror(self):
        shutil.rmtree(self.state_dir / "repo" / self.name)

    def empty_disk(self):
        (self.state_dir / "ballast").unlink()

    # ---- what people ask for ----

    def roll_back(self, target):
        """As agentctl rollback asks for it. Returns the ID."""
        with self.journal("rw") as db:
            return db.execute("INSERT INTO deployment (stack, state, commit_id, branch, subject, author, trigger_name, target_id, requested_us)"
                              " SELECT stack, 'requested', commit_id, branch, subject, author, 'rollback', id, requested_us"
                              " FROM deployment WHERE id = ?", (target,)).lastrowid

    def cancel(self, deployment):
        with self.journal("rw") as db:
            db.execute("UPDATE deployment SET cancel_requested = 1 WHERE id = ?", (deployment,))

    def retry(self, deployment):
        """As agentctl retry asks for it. Returns the ID."""
        with self.journal("rw") as db:
            return db.execute("INSERT INTO deployment (stack, state, commit_id, branch, subject, author, trigger_name, requested_us)"
                              " SELECT stack, 'requested', commit_id, branch, subject, author, 'retry', requested_us"
                              " FROM deployment WHERE id = ?", (deployment,)).lastrowid

    def close(self):
        for worker in self.workers:
            worker.signal(signal.SIGKILL)
        self.tap.close()
        if self.passed.exists():
            self.world.passed.update(line.split(" ", 2)[2] for line in self.passed.read_text().splitlines())
        self.remove()
        if self.small_disk:
            subprocess.run(["umount", "-l", str(self.state_dir)], check=False)
        if not os.environ.get("CRASH_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def remove(self):
        labels = (f"com.docker.stack.namespace={self.name}", f"deploy-agent.stack={self.name}", f"deploy-agent.relay={self.name}")
        for kind in ("services", "secrets", "configs"):
            for label in labels:
                for item in self.engine.labelled(kind, label):
                    with contextlib.suppress(Exception):
                        self.engine.call("DELETE", f"/{kind}/{item['ID']}")

        if self.lab.own:
            return  # it goes as a whole; only what would go on working is stopped

        def networks_gone():
            for network in (n for label in labels for n in self.engine.labelled("networks", label)):
                with contextlib.suppress(Exception):
                    self.engine.call("DELETE", f"/networks/{network['Id']}")
            return not any(self.engine.labelled("networks", label) for label in labels)

        with contextlib.suppress(Failure):
            wait_for(networks_gone, 30, "networks to go")
        for volume in ("data", "pg"):
            with contextlib.suppress(Exception):
                self.engine.call("DELETE", f"/volumes/{self.name}_{volume}")
