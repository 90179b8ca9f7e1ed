# SPDX-License-Identifier: Apache-2.0
"""The world the crash tests run in: a lab's engine, a wire tap before it, and lanes.

A lane is one stack with a repository, a configuration and a journal of its own, driven by hand with `agent-worker poll`
and `agent-worker run ID`: no agentd. Results are read from the engine, from the requests that went to it, from the
files that migrations leave in a volume, and from the journal; never from the worker's messages.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
LAB_TOOLS = HERE.parent / "lab"
ENDED = {"succeeded", "failed", "rolled_back", "halted", "cancelled", "superseded", "stuck"}
STOPPED, LOCKED = 75, 76
KILLED = -signal.SIGKILL

# Everything may take longer on a busy machine, nothing may take forever.
PATIENCE = float(os.environ.get("CRASH_PATIENCE", "1"))


class Failure(AssertionError):
    """An invariant does not hold."""


def check(condition, message):
    if not condition:
        raise Failure(message() if callable(message) else message)


def same(have, want, what):
    if have != want:
        raise Failure(f"{what}:\n  is        {have!r}\n  should be {want!r}")


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {seconds * PATIENCE:.0f} s for {what}")
        time.sleep(0.1)


class Engine:
    """The Engine API over its socket."""

    class Connection(http.client.HTTPConnection):
        def __init__(self, path, timeout):
            super().__init__("localhost", timeout=timeout)
            self.path = path

        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(self.path)

    def __init__(self, path):
        self.path = path

    def call(self, method, path, body=None, timeout=30, **query):
        if query:
            path += "?" + urllib.parse.urlencode({k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in query.items()})
        connection = self.Connection(self.path, timeout)
        try:
            text = json.dumps(body) if body is not None else None
            connection.request(method, "/v1.41" + path, body=text, headers={"Content-Type": "application/json"})
            response = connection.getresponse()
            data = response.read()
            if response.status == 404:
                return None
            if response.status >= 300:
                raise Failure(f"{method} {path}: {response.status} {data.decode(errors='replace')}")
            return json.loads(data) if data.strip() else True
        finally:
            connection.close()

    def get(self, path, **query):
        return self.call("GET", path, **query)

    def labelled(self, kind, label):
        return self.get(f"/{kind}", filters={"label": [label]}) or []

    def service(self, name):
        return self.get(f"/services/{name}")

    def tasks(self, service):
        return sorted(self.get("/tasks", filters={"service": [service]}) or [], key=lambda task: task["CreatedAt"])

    def update(self, name, change):
        """`docker service update` by somebody else: change(spec) edits the spec in place."""
        live = self.service(name)
        change(live["Spec"])
        self.call("POST", f"/services/{live['ID']}/update", live["Spec"], version=live["Version"]["Index"])


class Lab:
    """A lab that is up; brought up here when it is not, and then taken down at the end."""

    def __init__(self, directory, engine):
        self.dir = str(directory)
        self.own = not os.path.exists(f"{directory}/env")
        if self.own:
            subprocess.run([LAB_TOOLS / "up", "--dir", self.dir, "--engine", engine], check=True, stdout=subprocess.DEVNULL)
        words = subprocess.run(["bash", "-c", f'set -a; . "{directory}/env"; env -0'], env={}, check=True, capture_output=True)
        pairs = (item.split("=", 1) for item in words.stdout.decode().split("\0") if "=" in item)
        self.env = {name: value for name, value in pairs if name.isupper()}
        self.registry = self.env["REGISTRY"]
        self.socket = self.env["DOCKER_HOST_1"].removeprefix("unix://")
        self.engine = Engine(self.socket)
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


class Effect:
    """One request that changes something in the swarm."""

    def __init__(self, words, name):
        self.words = words
        self.name = name
        self.status = 0


class Tap:
    """
    A wire tap between the agent and the engine. All bytes pass unchanged; requests that change something are written
    down with the engine's verdict. `cut`, a list of words such as "create secret": the next request like the first of them is
    carried out, and the connection closed before its reply.
    """

    request = re.compile(rb"(?:^|\n)(POST|DELETE) /v[0-9.]+/(services|networks|secrets|configs)/(\S*) HTTP/1\.1\r\n")
    named = re.compile(rb'"Name": ?"([a-z0-9][\w.-]*)"')

    def __init__(self, path, lab, own):
        self.lab = lab
        self.own = own  # a regular expression: names of objects that are written down
        self.effects = []
        self.cut = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        server = socket.socket(socket.AF_UNIX)
        with contextlib.closing(client), contextlib.closing(server):
            try:
                server.connect(self.lab.socket)
            except OSError:
                return
            state = {"effect": None, "body": b"", "cut": False}
            back = threading.Thread(target=self.copy, args=(server, client, state, self.on_reply), daemon=True)
            back.start()
            self.copy(client, server, state, self.on_request)
            back.join()

    @staticmethod
    def copy(source, sink, state, look):
        try:
            while data := source.recv(65536):
                if not look(data, state):
                    raise OSError
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def name_of(self, kind, object_id):
        with contextlib.suppress(Exception):
            item = self.lab.engine.get(f"/{kind}/{object_id}")
            return (item.get("Spec") or item)["Name"]
        return object_id

    def on_request(self, data, state):
        if state["effect"] and not state["effect"].name:
            state["body"] += data
            self.find_name(state)
        if b'"deploy-agent.lease"' in data:
            return True  # how often it is written depends on the time that things take
        for method, kind, rest in self.request.findall(data):
            method, kind, rest = method.decode(), kind.decode(), rest.decode()
            object_id, _, verb = rest.partition("?")[0].partition("/")
            create = object_id == "create"
            verb = "remove" if method == "DELETE" else "create" if create else verb or "?"
            effect = Effect(f"{verb} {kind.removesuffix('s')}", None if create else self.name_of(kind, object_id))
            state.update(effect=effect, body=data, cut=self.cut[:1] == [effect.words])
            if state["cut"]:
                self.cut.pop(0)
            if create:
                self.find_name(state)
        return True

    def find_name(self, state):
        for name in self.named.findall(state["body"]):
            if re.match(self.own, name.decode()):
                state["effect"].name = name.decode()
                return

    def on_reply(self, data, state):
        effect = state["effect"]
        match = re.match(rb"HTTP/1\.1 (\d+)", data)
        if effect and match:
            state["effect"] = None
            effect.status = int(match[1])
            if effect.name and re.match(self.own, effect.name):
                self.effects.append(effect)
            if state["cut"]:
                return False
        return True

    def close(self):
        self.listener.close()


class Worker:
    """One agent-worker process."""

    def __init__(self, lane, words, faults=None):
        self.lane = lane
        environment = {"PATH": os.environ["PATH"], "HOME": str(lane.dir)}
        if faults:
            environment["FAULTS"] = faults
        self.words = " ".join(words) + (f" with {faults}" if faults else "")
        self.out = tempfile.TemporaryFile()
        with open(lane.log, "ab") as log:
            log.write(f"---- agent-worker {self.words}\n".encode())
            log.flush()
            self.process = subprocess.Popen([str(lane.world.worker), "--config", str(lane.conf), *words], stdin=subprocess.DEVNULL,
                                            stdout=self.out, stderr=log, env=environment)

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.alive():
            self.process.send_signal(number)

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

    def wait(self, seconds=120):
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
        self.hit = set()  # fault points that were reached

    def next(self):
        with self.lock:
            self.counter += 1
            return self.counter


class Lane:
    def __init__(self, world, shape="plain", small_disk=False):
        self.world = world
        self.shape = shape  # what its stack consists of: cases start from the same
        self.notes = []  # shown when the case fails
        self.lab = world.lab
        self.engine = world.engine
        self.number = f"{world.run}x{world.next()}"
        self.name = f"crash{self.number}"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name}.", dir=world.scratch))
        self.log = self.dir / "log"
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
        path.write_text("DATABASE_URL=postgres://app:pass-1234-word@db:5432/app\n")
        return {"env_file": path}

    def query(self, sql):
        """By psql in the container of the stack's database."""
        task = next(t for t in self.engine.tasks(f"{self.name}_db") if t["Status"]["State"] == "running")
        return self.lab.tool("enter", "docker", "exec", task["Status"]["ContainerStatus"]["ContainerID"],
                             "psql", "-h", "127.0.0.1", "-U", "app", "-d", "app", "-v", "ON_ERROR_STOP=1", "-Atc", sql).strip()

    def is_old(self):
        """The newest commit is deployed: it is what the next one replaces."""
        self.old, self.old_tag = self.new, self.new_tag

    def note(self, text):
        self.notes.append(str(text))

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

    def start(self, *words, faults=None):
        if faults:
            self.world.hit.update(part.split(":")[0] for part in faults.split(","))
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
        return answer["deployment"]

    def to_end(self, deployment, faults=(), limit=24):
        """Runs workers until it has ended; each entry of faults is for one of them. Returns their exit codes."""
        codes = []
        pending = list(faults)
        while self.state(deployment) not in ENDED:
            check(len(codes) < limit, f"not ended after {limit} workers: {codes}")
            fault = pending.pop(0) if pending else None
            code, _ = self.run("run", deployment, faults=fault)
            codes.append(code)
            if fault and ":kill" in fault:
                same(code, KILLED, f"exit code of a worker with {fault}")
            elif not fault:
                check(code in (0, STOPPED), f"exit code {code} of agent-worker run {deployment}")
        check(not pending, f"the deployment ended as {self.state(deployment)} before {pending}")
        return codes

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

    # ---- the record ----

    @contextlib.contextmanager
    def journal(self, write=False):
        path = self.state_dir / "journal.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode={'rw' if write else 'ro'}", uri=True, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            yield db
            if write:
                db.commit()

    def rows(self, sql, *values):
        with self.journal() as db:
            return [dict(row) for row in db.execute(sql, values)]

    def state(self, deployment):
        return self.rows("SELECT state FROM deployment WHERE id = ?", deployment)[0]["state"]

    def reason(self, deployment):
        return self.rows("SELECT reason FROM deployment WHERE id = ?", deployment)[0]["reason"]

    def waiting(self):
        return (self.rows("SELECT waiting FROM stack WHERE stack = ?", self.name) or [{"waiting": None}])[0]["waiting"]

    def cancel(self, deployment):
        with self.journal(write=True) as db:
            db.execute("UPDATE deployment SET cancel_requested = 1 WHERE id = ?", (deployment,))

    def retry(self, deployment):
        """As agentctl retry asks for it. Returns the ID."""
        with self.journal(write=True) as db:
            return db.execute("INSERT INTO deployment (stack, state, commit_id, branch, subject, author, trigger_name, requested_us)"
                              " SELECT stack, 'requested', commit_id, branch, subject, author, 'retry', requested_us"
                              " FROM deployment WHERE id = ?", (deployment,)).lastrowid

    def step(self, deployment, kind, name=None):
        for row in self.rows("SELECT * FROM step WHERE deployment = ? AND kind = ?", deployment, kind):
            if name in (None, row["name"]):
                return row
        return None

    def service_state(self, deployment, service):
        rows = self.rows("SELECT state FROM service WHERE deployment = ? AND service = ?", deployment, service)
        return rows[0]["state"] if rows else None

    # ---- comparing ----

    def neutral(self, text):
        """Without what differs between two runs of the same: names, generations, IDs, counts and times."""
        if text is None:
            return None
        text = text.replace(self.name, "STACK")
        for version, word in ((self.new, "NEW"), (self.old, "OLD")):
            if version:
                text = re.sub(rf"\b{version}\b", word, text)
        text = text.replace(f"/web:{self.new_tag}", "/web:NEW").replace(f"/web:{self.old_tag}", "/web:OLD")
        text = re.sub(r"\bg\d+\b", "OLDER", text)
        text = re.sub(r"#\d+", "#N", text)
        text = re.sub(r"\b\d{3}([0-4])(?=\b|_)", r"GEN\1", text)  # versions of SQL files
        text = re.sub(r"\b[0-9a-z]{12,25}\b(?=[ :…])", "TASK", text)
        text = re.sub(r"_[0-9a-f]{12}\b", "_HASH", text)
        text = re.sub(r"\b[0-9a-f]{7,64}\b", "HEX", text)
        text = re.sub(r"\(\d+ of \d+\)", "(M of N)", text)
        text = re.sub(r" \(\d+ tasks failed\)", "", text)
        return text

    def record(self, deployment):
        d = self.rows("SELECT * FROM deployment WHERE id = ?", deployment)[0]
        output = {}
        for row in self.rows("SELECT s.kind, s.name, o.data FROM step s JOIN step_output o USING (deployment, seq)"
                             " WHERE deployment = ? ORDER BY seq, part", deployment):
            key = f"{row['kind']} {self.neutral(row['name'])}"
            output[key] = output.get(key, "") + row["data"].decode()
        return {
            "state": d["state"],
            "reason": self.neutral(d["reason"]),
            "steps": [(s["kind"], self.neutral(s["name"]), s["state"], self.neutral(s["error"]))
                      for s in self.rows("SELECT * FROM step WHERE deployment = ? ORDER BY seq", deployment)],
            "services": {self.neutral(s["service"]): (s["action"], s["state"], self.neutral(s["note"]))
                         for s in self.rows("SELECT * FROM service WHERE deployment = ?", deployment)},
            "migrations": [(m["step"], m["state"])
                           for m in self.rows("SELECT * FROM migration WHERE deployment = ? ORDER BY position", deployment)],
            # what migrations printed, line by line; logs of services depend on the moment they are read
            "output": {k: v for k, v in output.items() if k.startswith("run ")},
        }

    def live(self):
        """The stack's services as they are, in the neutral form."""
        services = {}
        networks = {n["Id"]: n["Name"] for n in self.engine.get("/networks")}
        for live in self.engine.labelled("services", f"com.docker.stack.namespace={self.name}"):
            spec = live["Spec"]
            task = spec["TaskTemplate"]
            for network in task.get("Networks", []):
                network["Target"] = networks.get(network["Target"], "?")
            for kind in ("Secret", "Config"):
                for reference in task["ContainerSpec"].get(f"{kind}s", []):
                    reference.pop(f"{kind}ID")
            spec["Labels"] = {k: v for k, v in spec["Labels"].items() if not k.startswith("deploy-agent.")}
            text = json.dumps(spec, sort_keys=True)
            services[self.neutral(spec["Name"])] = self.neutral(text)
        return services

    def effects(self, since):
        """
        What changed the swarm, in counts: {"update service STACK_one": 1}. Which old secrets and configs are pruned
        depends on how many deployments the stack has seen; how often checks are asked, on the time that others take.
        """
        counts = {}
        for effect in self.tap.effects[since:]:
            if effect.status < 300 and effect.words not in ("remove secret", "remove config") and "_hlt_" not in effect.name:
                key = f"{effect.words} {self.neutral(effect.name)}"
                counts[key] = counts.get(key, 0) + 1
        return counts

    def version(self, service):
        live = self.engine.service(f"{self.name}_{service}")
        if not live:
            return None
        env = live["Spec"]["TaskTemplate"]["ContainerSpec"].get("Env") or []
        return next((e.split("=", 1)[1] for e in env if e.startswith("VERSION=")), None)

    # ---- invariants ----

    def jobs(self):
        return [s["Spec"]["Name"] for s in self.engine.labelled("services", f"deploy-agent.stack={self.name}")]

    def processes(self):
        """Processes of this lane's workers: by their configuration file, or, for a relay's process, by where it came from."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                environment = (entry / "environ").read_bytes().split(b"\0")
                if words[0] == str(self.world.worker).encode() and (str(self.conf).encode() in words
                                                                   or f"HOME={self.dir}".encode() in environment):
                    found.append((int(entry.name), b" ".join(words).decode()))
        return found

    def check_leftovers(self):
        same(self.jobs(), [], "migration jobs that are left")
        with contextlib.suppress(Failure):
            wait_for(lambda: not self.processes(), 5, "processes to end")
        same(self.processes(), [], "processes that are left")
        same(self.waiting(), None, "what the record says is waited for")

    def close(self):
        for worker in self.workers:
            worker.signal(signal.SIGKILL)
        self.tap.close()
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
