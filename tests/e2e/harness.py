# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end test starts from: one lab for all of them, and for each test a Git repository, a stack name, a
configuration, a state directory and an agentd of its own. Results are read from the engine, the database, the
record (agentctl --json) and the requests that went to the engine, never from the agent's memory or log.

Settings come from the environment: E2E_LAB is the directory of a lab that is up (tests/lab/up --dir DIR), PROGRAMS
the folder of agentd, agent-worker and agentctl.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import faultproxy  # noqa: E402
from labs import Engine, settings  # noqa: E402

LAB_TOOLS = HERE.parent / "lab"
ENDED = {"succeeded", "failed", "rolled_back", "halted", "cancelled", "superseded", "stuck"}

# A busy machine may take longer than the numbers in the tests, which are meant for an idle one; nothing may take forever.
PATIENCE = float(os.environ.get("E2E_PATIENCE", "2"))


def deadline(seconds):
    """A deadline of the gate, for agent.conf and x-release: those of a busy machine are later, too, on the way back above all."""
    return f"{round(seconds * PATIENCE)}s"


def wait_for(condition, seconds, what):
    """Polls until condition() is true and returns it. A failure of the engine to answer counts as not yet."""
    began = time.monotonic()
    end = began + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds * PATIENCE:.0f} s for {what() if callable(what) else what}")
        # who waits long asks less often: each question is a process or two
        time.sleep(min(0.1 + (time.monotonic() - began) / 50, 0.5))


class Lab:
    """The lab of the run: its settings, its tools, its engine."""

    def __init__(self):
        directory = os.environ.get("E2E_LAB")
        if not directory or not os.path.exists(f"{directory}/env"):
            raise SystemExit("e2e: E2E_LAB must name the directory of a lab that is up: tests/lab/up --dir DIR")
        self.dir = directory
        self.env = settings(directory)
        self.registry = self.env["REGISTRY"]
        self.socket = self.env["DOCKER_HOST_1"].removeprefix("unix://")
        self.engine = Engine(self.socket)

    def tool(self, name, *arguments, **options):
        run = subprocess.run([LAB_TOOLS / name, "--dir", self.dir, *map(str, arguments)], capture_output=True, text=True, **options)
        if run.returncode != 0:
            raise AssertionError(f"tests/lab/{name} {arguments}: {run.stdout}{run.stderr}")
        return run.stdout

    def enter(self, *command):
        """The words of a command line that runs a command where the lab's 127.0.0.1 is: tests/lab/enter without its ten processes."""
        pid = pathlib.Path(self.dir, "node1", "init.pid").read_text().strip()
        settings = {**self.env, "PATH": f"{self.dir}/bin:{os.environ['PATH']}"}
        return ["env", *(f"{name}={value}" for name, value in settings.items()), "nsenter", "-t", pid, "-n", "--", *map(str, command)]

    def docker(self, *arguments, check=True, cwd=None, environment=None):
        run = subprocess.run(self.enter("docker", *arguments), capture_output=True, text=True, cwd=cwd,
                             env={**os.environ, **(environment or {})})
        if check and run.returncode != 0:
            raise AssertionError(f"docker {' '.join(map(str, arguments))}: {run.stderr}")
        return run.stdout.strip()

    def ctl(self, *arguments):
        return self.tool("ctl", *arguments)

    def image(self, tag, files=None, base=None, **options):
        """Makes and pushes REGISTRY/tag; with a base and without files, the base under another name."""
        reference = f"{self.registry}/{tag}"
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (files or {"etc/built-for-a-test": tag}).items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                path.chmod(0o755 if text.startswith("#!") else 0o644)
            words = ["--base", base or f"{self.registry}/web:1", "--push"]
            for name, value in options.items():
                words += [f"--{name}", value]
            self.tool("image", reference, folder, *words)
        return reference


def lab():
    if not hasattr(lab, "the_one"):
        lab.the_one = Lab()
    return lab.the_one


# All that the agent may ever ask of an engine: the list of src/docker/endpoint.c, written down a second time on purpose. No
# attach, build, commit, plugins; no container is created or removed.
ALLOWED = re.compile(
    r"HEAD /_ping|GET /(info|nodes(/[^/]+)?|tasks|tasks/[^/]+/logs|images/json|images/.+/json|distribution/.+/json|containers/[^/]+/json)"
    r"|GET /(services|networks|secrets|configs)(/[^/]+)?|GET /services/[^/]+/logs"
    r"|POST /(services|networks|secrets|configs)/create|POST /(services|secrets|configs)/[^/]+/update"
    r"|DELETE /(services|secrets|configs)/[^/]+|DELETE /images/[^?]+|POST /images/create"
    r"|POST /containers/[^/]+/exec|POST /exec/[^/]+/start")


class Tap(faultproxy.Proxy):
    """A wire tap between the agent and the engine: all bytes pass unchanged, the request lines are written down. Troubles: see fault()."""

    def __init__(self, path, upstream):
        self.lease_writes = []  # apart: they are no part of what is deployed, and how many there are depends on the time
        self.strange = set()  # requests that no list has
        self.timed = []  # (seconds since 1970, request)
        super().__init__(upstream, path)

    def seen(self, data, lines, connection):
        if b'"deploy-agent.lease"' in data:
            self.lease_writes += lines
            return []
        for line in lines:
            self.requests.append(line)
            self.timed.append((time.time(), line))
            if not ALLOWED.fullmatch(line.split("?")[0]):
                self.strange.add(line)
            if line.startswith("POST /exec/"):
                connection.relayed = True
        return lines

    def count(self, pattern):
        return sum(1 for line in self.requests if re.search(pattern, line))

    def effects(self):
        """All requests that change something in the swarm, our own relay's aside."""
        return [r for r in self.requests
                if re.match(r"(POST|DELETE) /(services|networks|secrets|configs)", r)]


class Agentd:
    """One agentd process, started where the lab's network is."""

    def __init__(self, case, env=None):
        self.case = case
        self.log = case.dir / "agentd.log"
        words = dict(os.environ, **(env or {}))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(lab().enter(case.program("agentd"), "--config", case.conf),
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=words, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def stop(self, seconds=30):
        """SIGTERM, as systemd does."""
        if self.alive():
            self.process.terminate()
        return self.process.wait(seconds * PATIENCE)

    def kill(self):
        """SIGKILL to it alone; workers see it through their lock and their pipe."""
        if self.alive():
            self.process.kill()
        self.process.wait(10)


class Host:
    """One agent of several that deploy the same stack: a configuration, a state directory and an agentd of its own."""

    def __init__(self, case, name, agent=None, stack=None):
        self.case = case
        self.dir = case.dir / name
        self.dir.mkdir()
        self.log = self.dir / "agentd.log"
        self.conf = self.dir / "agent.conf"
        self.program = case.program
        kept = case.dir, case.conf
        case.dir, case.conf = self.dir, self.conf
        case.configure(agent, stack)
        case.dir, case.conf = kept
        self.agent = None

    def start(self, **env):
        self.agent = Agentd(self, env)
        self.case.agents.append(self.agent)
        self.case.agent = self.agent

    def stop(self):
        return self.agent.stop()

    def kill(self):
        """As when the host dies: agentd and its workers."""
        self.agent.kill()
        for pid in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def workers(self):
        """PIDs of workers that use this agent's configuration."""
        found = []
        for pid in self.case.workers():
            with contextlib.suppress(OSError):
                if bytes(self.dir) + b"/" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def run_worker(self):
        for pid in self.workers():
            with contextlib.suppress(OSError):
                if b"run" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return pid
        return None

    def log_text(self):
        return self.log.read_text(errors="replace")

    def agentctl(self, *words, code=None):
        run = subprocess.run([self.program("agentctl"), "--config", self.conf, *words], capture_output=True, text=True,
                             timeout=120 * PATIENCE, stdin=subprocess.DEVNULL)
        if code is not None:
            self.case.assertEqual(run.returncode, code, f"agentctl {words}: {run.stdout}{run.stderr}")
        return run

    def deployments(self):
        """Newest first."""
        run = self.agentctl("log", self.case.name, "--json")
        return json.loads(run.stdout) if run.returncode == 0 and run.stdout.strip() else []

    def status(self):
        run = self.agentctl("status", self.case.name, "--json")
        if run.returncode != 0:
            return {}
        document = json.loads(run.stdout)
        stacks = document["stacks"] if isinstance(document, dict) and "stacks" in document else document
        return stacks[0] if isinstance(stacks, list) else stacks

    def waiting(self):
        return self.status().get("waiting") or ""

    def record(self, commit, at_least=1):
        """The newest record of a commit, once there are so many of it."""
        records = [d for d in self.deployments() if d["commit"] == commit]
        return records[0] if len(records) >= at_least else None

    def ended(self, commit, seconds=60, at_least=1):
        def look():
            record = self.record(commit, at_least)
            return record if record and record["state"] in ENDED else None

        return wait_for(look, seconds, lambda: f"the end of {commit[:7]} at {self.dir.name}: {self.record(commit)}, waits for {self.waiting()!r}")

    def polls(self, n):
        """Lets it look so many times more."""
        for _ in range(n):
            self.agentctl("sync", self.case.name)


def long(test):
    """A variant of what a shorter test shows: only with --full, or when it is named."""
    test.long = True
    return test


class Case(unittest.TestCase):
    maxDiff = None
    # needs the lab for itself: stops engines, registries or remotes
    exclusive = False
    # begins before the others
    slow = False
    # a wire tap before the engine: see self.tap
    tapped = False
    # seconds after which the runner gives up on one test
    limit = 240
    # settings of [agent] and [stack], on top of the defaults below
    agent_settings = {}
    stack_settings = {}
    gate = {"probe_interval": "500ms", "success_threshold": 2, "failure_threshold": 3, "min_healthy_time": "1s",
            "baseline_samples": 3, "healthy_deadline": deadline(20), "total_deadline": deadline(60), "soak": "0s"}

    # ---- set-up ----

    def setUp(self):
        self.lab = lab()
        self.engine = self.lab.engine
        self.registry = self.lab.registry
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="deploy-agent-e2e."))
        self.dir.chmod(0o755)
        self.name = f"e2e-{os.getpid():x}{os.urandom(2).hex()}"
        self.agents = []
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.addCleanup(self.remove_stack, self.name)
        self.addCleanup(self.stop_agents)
        self.make_repository()
        self.tap = None
        if self.tapped:
            self.tap = Tap(self.dir / "tap.sock", self.lab.socket)
            self.addCleanup(self.tap.close)
            self.addCleanup(lambda: self.assertEqual(self.tap.strange, set()))
        self.conf = self.dir / "agent.conf"
        self.configure()

    def program(self, name):
        return pathlib.Path(os.environ["PROGRAMS"]).resolve() / name

    def doCleanups(self):
        if self._outcome and not self._outcome.success and hasattr(self, "conf"):
            self.show_logs()
        return super().doCleanups()

    def show_logs(self):
        for path in sorted(self.dir.rglob("*.log")):
            print(f"---- {path.relative_to(self.dir)}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-60:]))
        with contextlib.suppress(Exception):
            print("---- agentctl log\n" + self.agentctl("log", "--wide").stdout)

    def stop_agents(self):
        for agent in self.agents:
            with contextlib.suppress(subprocess.TimeoutExpired):
                agent.stop(20)
            if agent.alive():
                print("agentd did not stop on SIGTERM")
                agent.kill()
        for pid in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove_stack(self, name):
        def mine(kind):
            found = {f"deploy-agent-relay_{name}": None} if kind == "services" else {}
            for label in (f"com.docker.stack.namespace={name}", f"deploy-agent.stack={name}"):
                for item in self.engine.get(f"/{kind}", filters={"label": [label]}) or []:
                    found[item.get("ID") or item["Id"]] = item
            return found

        for service in mine("services"):
            self.engine.call("DELETE", f"/services/{service}")
        for kind in ("secrets", "configs"):
            for item in mine(kind):
                with contextlib.suppress(AssertionError):
                    self.engine.call("DELETE", f"/{kind}/{item}")

        def networks_gone():
            for network in mine("networks"):
                with contextlib.suppress(AssertionError):
                    self.engine.call("DELETE", f"/networks/{network}")
            return not mine("networks")

        wait_for(networks_gone, 30, "the stack's networks to go")

    def remove_volumes(self, names):
        """What begins with names, a regular expression, and the containers that hold it: engine 20.10 keeps those of jobs that were removed."""
        def gone():
            for kind, words in ("container", ["ls", "-a"]), ("volume", ["ls"]):
                found = self.lab.docker(kind, *words, "-q", "--filter", f"name=^/?{names}_").split()
                if found:
                    self.lab.docker(kind, "rm", "-f", *(["-v"] if kind == "container" else []), *found, check=False)
            return not found

        wait_for(gone, 30, "the stack's volumes to go")

    # ---- configuration ----

    def configure(self, agent=None, stack=None, text=None):
        """Writes agent.conf; a value of None takes a setting away."""
        if text is None:
            agent_values = {
                "state_dir": self.dir / "state",
                "run_dir": self.dir / "run",
                "docker": f"unix://{self.tap.path if self.tap else self.lab.socket}",
                "log_level": "debug",
                **self.agent_settings, **(agent or {}),
            }
            stack_values = {
                "repository": f"file://{self.bare}",
                "file": "stack.yml",
                "poll_interval": "1s",
                "image_wait": "20s",
                **self.stack_settings, **(stack or {}),
            }
            lines = ["[agent]", *(f"{k} = {v}" for k, v in agent_values.items() if v is not None), "", "[http]", "listen =", "",
                     f"[stack {self.name}]", *(f"{k} = {v}" for k, v in stack_values.items() if v is not None)]
            text = "\n".join(lines) + "\n"
        self.conf.write_text(text)

    def env_file(self, **values):
        """A file of variables, closed to others, for stack={"env_file": …}."""
        path = self.dir / "variables"
        path.touch(mode=0o600)
        path.write_text("".join(f"{k}={v}\n" for k, v in values.items()))
        return path

    # ---- the repository ----

    def make_repository(self):
        self.lab.tool("repo", self.name)
        self.bare = pathlib.Path(self.lab.env["GIT_ROOT"], f"{self.name}.git")
        self.addCleanup(shutil.rmtree, self.bare, ignore_errors=True)
        self.clone = self.dir / "clone"
        self.clone.mkdir()
        self.git("init", "-q", "--initial-branch=main")
        self.git("remote", "add", "origin", str(self.bare))

    def git(self, *words, check=True):
        run = subprocess.run(["git", "-C", self.clone, "-c", "user.name=alice", "-c", "user.email=alice@example.org",
                              "-c", "commit.gpgSign=false", "-c", "advice.detachedHead=false", *words], capture_output=True, text=True)
        if check and run.returncode != 0:
            raise AssertionError(f"git {words}: {run.stderr}")
        return run.stdout.strip()

    def commit(self, stack=None, message="a change", push=True, **files):
        """Commits stack.yml (a dict, or text) and other files (path with / written as __); the commit's ID."""
        if stack is not None:
            # JSON is YAML
            (self.clone / "stack.yml").write_text(stack if isinstance(stack, str) else json.dumps(stack, indent=1) + "\n")
        for name, text in files.items():
            path = self.clone / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        if push:
            self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    # ---- stack files ----

    def web(self, **settings):
        """A service of the image web:1; capital settings go to its environment, the others are Compose keys."""
        environment = {k: str(v) for k, v in settings.items() if k.isupper()}
        # Swarm watches each updated task for five seconds unless it is told otherwise
        deploy = {"endpoint_mode": "dnsrr", "update_config": {"monitor": "1s"}, "rollback_config": {"monitor": "1s"}}
        service = {"image": f"{self.registry}/web:1", "environment": environment, "deploy": deploy}
        for key, value in settings.items():
            if key == "deploy":
                service["deploy"] = {**service["deploy"], **value}
            elif not key.isupper():
                service[key] = value
        return service

    def stack(self, release=None, **services):
        """A stack file with short gates. Services without settings of their own: `web`."""
        top = {k: services.pop(k) for k in ("networks", "configs", "secrets", "volumes") if k in services}
        release = {"gate": self.gate, **(release or {})}
        return {"version": "3.8", "x-release": release, "services": services or {"web": self.web()}, **top}

    @staticmethod
    def health(service="web", path="/health", **more):
        # the way to the service is an exec, which takes seconds on a machine that is busy
        return {service: [{"http": f"http://{service}:8000{path}", "timeout": "10s", **more}]}

    @staticmethod
    def job(name="migrate", command=("exit", "0"), service="web", **more):
        return {"run": {"name": name, "service": service, "command": list(command), "timeout": "60s", **more}}

    # ---- agentd and agentctl ----

    def start(self, **env):
        agent = Agentd(self, env)
        self.agents.append(agent)
        self.agent = agent
        return agent

    def start_ready(self, **env):
        agent = self.start(**env)
        wait_for(lambda: self.answers() or not agent.alive(), 20, "agentd to answer")
        self.assertTrue(agent.alive(), "agentd ended at once")
        return agent

    def answers(self):
        """Is there somebody on the control socket?"""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.dir / "run/control.sock"))
            return True
        return False

    def workers(self):
        """PIDs of workers that use this test's configuration."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if words[0].endswith(b"agent-worker") and any(w.startswith(bytes(self.dir)) for w in words):
                    found.append(int(path.parent.name))
        return found

    def run_worker(self):
        """PID of the worker that runs a deployment, or None."""
        for pid in self.workers():
            with contextlib.suppress(OSError):
                if b"run" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return pid
        return None

    def agentctl(self, *words, code=None, timeout=120):
        run = subprocess.run([self.program("agentctl"), "--config", self.conf, *words],
                             capture_output=True, text=True, timeout=timeout * PATIENCE, stdin=subprocess.DEVNULL)
        if code is not None:
            self.assertEqual(run.returncode, code, f"agentctl {words}: {run.stdout}{run.stderr}")
        return run

    def json(self, *words):
        run = self.agentctl(*words, "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        return json.loads(run.stdout)

    def log(self):
        """`agentctl log --json`, newest first; empty while there is no journal."""
        run = self.agentctl("log", self.name, "--json")
        return json.loads(run.stdout) if run.returncode == 0 and run.stdout.strip() else []

    def show(self, deployment):
        return self.json("show", str(deployment))

    def status(self):
        """This stack's entry of `agentctl status --json`."""
        document = self.json("status", self.name)
        stacks = document["stacks"] if isinstance(document, dict) and "stacks" in document else document
        return stacks[0] if isinstance(stacks, list) else stacks

    def waiting(self):
        return self.status().get("waiting") or ""

    # ---- waiting ----

    def wait(self, condition, seconds, what):
        def look():
            if self.agents and not self.agent.alive():
                raise AssertionError(f"agentd ended with {self.agent.process.returncode} while waiting for {what}")
            return condition()

        return wait_for(look, seconds, what)

    def record(self, commit, at_least=1):
        """The newest record of a commit, once there are so many of it."""
        records = [d for d in self.log() if d["commit"] == commit]
        return records[0] if len(records) >= at_least else None

    def ended(self, commit, seconds=60, at_least=1):
        def look():
            record = self.record(commit, at_least)
            return record if record and record["state"] in ENDED else None

        return self.wait(look, seconds, lambda: f"the end of {commit[:7]}: it is {(self.record(commit) or {}).get('state')}")

    def expect(self, commit, state, seconds=60, at_least=1):
        """Waits for the end of the commit's deployment, which has to be `state`."""
        record = self.ended(commit, seconds, at_least)
        self.assertEqual(record["state"], state, record["reason"])
        return record

    def in_state(self, commit, state, seconds=30):
        return self.wait(lambda: (self.record(commit) or {}).get("state") == state, seconds, f"{commit[:7]} to be {state}")

    def wait_for_soak(self, commit):
        def soaks():
            record = self.record(commit)
            return record and any(s["kind"] == "soak" and s["state"] == "running" for s in self.show(record["id"])["steps"])

        self.wait(soaks, 60, "the soak")

    def deploy(self, stack=None, state="succeeded", **more):
        """Commit, push, and wait for the end."""
        return self.expect(self.commit(stack, **more), state)

    # ---- what runs ----

    def full(self, service):
        return f"{self.name}_{service}"

    def spec(self, service):
        live = self.engine.service(self.full(service))
        return live and live["Spec"]

    def specs(self):
        """Name → spec of all services of the stack."""
        return {s["Spec"]["Name"]: s["Spec"] for s in self.engine.services(self.name)}

    def updates(self, service):
        """How often an update of a service of the stack went to the engine, by the wire tap."""
        return self.tap.count(f"^POST /services/{self.engine.service(self.full(service))['ID']}/update")

    def task_ids(self, service):
        return [t["ID"] for t in self.engine.tasks(self.full(service))]

    def get(self, service, path="/"):
        """What a running task of a service answers, asked inside the stack's network: (status, body)."""
        for task in self.engine.running(self.full(service)):
            container = task["Status"]["ContainerStatus"]["ContainerID"]
            out = self.lab.docker("exec", container, "/bin/busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:8000{path}", check=False)
            return out
        return None

    def serves(self, service, version):
        self.assertEqual(self.get(service), version)

    def job_services(self):
        """Migration jobs of the stack that the engine still has."""
        names = (f"{self.name}_mig_", f"{self.name}_chk_")
        return [s for s in self.engine.get("/services") if s["Spec"]["Name"].startswith(names)]

    def job_containers(self):
        """Containers of migration jobs that run, whether the engine still has their service or not."""
        out = self.lab.docker("ps", "-q", "--filter", f"name=^/{self.name}_(mig|chk)_")
        return out.split()

    def volume_lines(self, volume="data", file="runs"):
        """Lines that jobs appended to a file on a volume of the stack: each run leaves one."""
        path = pathlib.Path(self.lab.dir, "node1/data/volumes", f"{self.name}_{volume}", "_data", file)
        return path.read_text().splitlines() if path.exists() else []


class PostgresCase(Case):
    """With a service `db` that makes its files at the first start; its volume goes with the test."""

    slow = True
    gate = {**Case.gate, "healthy_deadline": deadline(40)}

    def setUp(self):
        super().setUp()
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", self.full("pg"), check=False)

    def postgres(self, **more):
        return {
            "image": f"{self.registry}/postgres:15",
            "environment": {"POSTGRES_DB": "app", "POSTGRES_USER": "app", "POSTGRES_PASSWORD": "${DB_PASSWORD}", "PGPASSWORD": "${DB_PASSWORD}"},
            "volumes": ["pg:/var/lib/postgresql/data"],
            "healthcheck": {"test": ["CMD", "pg_isready", "-h", "127.0.0.1"], "interval": "3s", "retries": 30},
            "deploy": {"endpoint_mode": "dnsrr"},
            **more,
        }
