# SPDX-License-Identifier: Apache-2.0
"""What a row of the fault catalogue starts from, and how it is judged: README.md."""

import contextlib
import importlib.util
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import time

import faultproxy
import invariants
from harness import Case, PostgresCase, deadline, wait_for

HERE = pathlib.Path(__file__).resolve().parent

# All that expect.json may say of a fault.
KEYS = {"settings", "database", "exclusive", "limit", "full", "proved_by", "faults",  # how it is run
        "state", "reason", "within", "attempts", "serves", "ran", "updates", "jobs", "records", "log", "never", "alarm", "poll_error",
        "forgets", "budget", "checks", "unchecked", "why"}


def catalogue():
    return {r["id"]: r for r in json.loads((HERE / "rows.json").read_text())}


def directories():
    """ID → folder."""
    found = {}
    for path in sorted(HERE.glob("*/expect.json")):
        number = path.parent.name.split("-")[0]
        if number in found:
            raise SystemExit(f"faults: {number} has two folders")
        found[number] = path.parent
    return found


def faults_of(folder):
    """Name → what is expected: what is said for all faults of the row, and what is said of the one. A row of one fault has the name ''."""
    common = json.loads((folder / "expect.json").read_text())
    each = common.pop("faults", {"": {}})
    merged = {name: {**common, **own} for name, own in each.items()}
    for name, expects in merged.items():
        if strange := set(expects) - KEYS:
            raise SystemExit(f"faults: {folder.name} {name}: expect.json has the unknown {', '.join(sorted(strange))}")
    return merged


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


class Judged:
    """A row's one fault. Beside harness.Case: a stack of one service with a migration, that is watched and probed."""

    tapped = True
    shimmed = None
    beginning = None
    # what breaks here takes its time, and the deadline of the gate is not what is tested
    gate = {**Case.gate, "healthy_deadline": "60s"}

    def __init__(self, folder, fault):
        super().__init__("run_fault")
        self.folder, self.fault = folder, fault
        self.expects = faults_of(folder)[fault]
        settings = self.expects.get("settings", {})
        self.agent_settings, self.stack_settings = settings.get("agent", {}), settings.get("stack", {})
        self.checks = self.expects.get("checks", [])

    def id(self):
        return f"faults.{self.folder.name}.{self.fault}"

    def setUp(self):
        super().setUp()
        self.tested = None       # the commit whose deployment is judged
        self.canaries = []       # secrets that may show nowhere
        self.foreign = []        # (kind, ID, version) of what is not ours
        self.excused = []        # (from, to): the prober's failures are not the agent's
        self.versions = set()
        self.migrates = False
        self.prober = self.watch = None
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", f"{self.name}_data", check=False)
        self.addCleanup(lambda: self.watch and self.watch.stop())

    # ---- for inject.py ----

    def start(self, **env):
        if "FAULTS" in env and b"fault point %s" not in super().program("agent-worker").read_bytes():
            self.skipTest("the programs were built without -Dfaults=true")
        return super().start(**{**(self.shimmed or {}), **env})

    def version(self, text, release=None, migration=("append", "/data/runs"), **web):
        """A stack file: `web` answers `text`, and its migration leaves a line of that text. migration=None: none."""
        self.versions.add(text)
        steps = []
        if migration:
            self.migrates = True
            words = [*migration, text] if migration == ("append", "/data/runs") else list(migration)
            steps = [self.job(command=words)]
        release = {"health": self.health(), "steps": steps, **(release or {})}
        deploy = {"update_config": {"monitor": "1s", "order": "start-first"}, **web.pop("deploy", {})}
        return self.stack(release, web=self.web(VERSION=text, volumes=["data:/data"], deploy=deploy, **web),
                          volumes={"data": {}}, networks={"default": {"attachable": True}})

    def works_without_engine(self, commit, seconds):
        """For that long agentd answers, and the deployment waits."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            self.assertTrue(self.answers(), "agentd does not answer")
            self.assertIn(self.record(commit)["state"], ("running", "interrupted"))
            time.sleep(1)

    def within(self, which, seconds):
        """One of the gate's deadlines."""
        self.gate = {**self.gate, which: deadline(seconds)}

    def running(self, text="one", commit=None, **more):
        """Deploys a first version; from here on it is watched, and probed where V4 is to hold."""
        commit = commit or self.commit(self.version(text, **more))
        if not self.agents or not self.agent.alive():
            self.start()
        record = self.expect(commit, "succeeded", 90)
        self.observe()
        return record

    def observe(self):
        if "V9" in self.checks:
            self.plant_foreign()
        if "V4" in self.checks:
            self.prober = invariants.Prober(self)
        self.watch = invariants.Watch(self)
        self.tap.requests.clear()
        self.tap.timed.clear()

    def plant_foreign(self):
        """A service and a config of somebody else, in the stack's namespace."""
        labels = {"com.docker.stack.namespace": self.name}
        service = self.engine.call("POST", "/services/create", {
            "Name": self.full("stranger"), "Labels": labels, "Mode": {"Replicated": {"Replicas": 0}},
            "TaskTemplate": {"ContainerSpec": {"Image": f"{self.registry}/web:1"}}})["ID"]
        config = self.engine.call("POST", "/configs/create", {"Name": self.full("strange"), "Labels": labels, "Data": "eA=="})["ID"]
        self.addCleanup(self.engine.call, "DELETE", f"/configs/{config}")
        self.foreign = [(kind, n, self.engine.get(f"/{kind}/{n}")["Version"]["Index"]) for kind, n in (("services", service), ("configs", config))]

    def change(self, text="two", **more):
        """Pushes the next version; its deployment is what is judged."""
        self.tested = self.commit(self.version(text, **more))
        return self.tested

    def volume(self, name="data"):
        """Where a volume of the stack is."""
        return pathlib.Path(self.lab.dir, "node1/data/volumes", f"{self.name}_{name}", "_data")

    def lab_again(self, verb):
        """For the end: what was stopped is started, unless it was already."""
        with contextlib.suppress(AssertionError):
            self.lab.ctl(verb)

    def proxy(self, upstream):
        """A faultproxy before a server on the lab's 127.0.0.1; it listens there, too."""
        pid = pathlib.Path(self.lab.dir, "node1/init.pid").read_text().strip()
        host, port = upstream.split(":")
        proxy = faultproxy.Proxy((host, int(port)), namespace=f"/proc/{pid}/ns/net")
        self.addCleanup(proxy.close)
        return proxy

    def registry_proxy(self):
        return self.proxy(self.registry)

    def pushed(self, tag, files=None):
        """An image that the registry has, and no node: its path behind REGISTRY/."""
        reference = self.lab.image(f"{self.name}:{tag}", files)
        self.lab.docker("rmi", "-f", reference)
        return f"{self.name}:{tag}"

    def shim(self, **settings):
        """agentd and its workers run under shim.c from the next start on. agentd hands no environment on, so a worker gets it from a script."""
        folder = self.dir / "shimmed"
        folder.mkdir()
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", folder / "shim.so", HERE / "shim.c", "-ldl"], check=True)
        self.shimmed = {"LD_PRELOAD": str(folder / "shim.so"), **{name: str(value) for name, value in settings.items()}}
        worker, real = folder / "agent-worker", super().program("agent-worker")
        exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.shimmed.items())
        worker.write_text(f'#!/bin/sh\nexec env {exports} {real} "$@"\n')
        worker.chmod(0o755)
        shutil.copy(super().program("agentd"), folder)  # it looks for the worker beside itself
        (folder / "agentctl").symlink_to(super().program("agentctl"))

    def program(self, name):
        if name == "agentd" and self.beginning:
            return self.beginning
        return self.dir / "shimmed" / name if self.shimmed else super().program(name)

    def agentd_in_its_own(self, namespaces, *commands):
        """From the next start on it is in such namespaces (--net, --mount), where the shell's commands come first; None: where it was."""
        real, self.beginning = self.program("agentd"), None
        if namespaces:
            self.beginning = self.dir / "begin"
            words = "; ".join((*commands, f'exec {shlex.quote(str(real))} "$@"'))
            self.beginning.write_text(f'#!/bin/sh\nexec unshare {namespaces} sh -ec {shlex.quote(words)} agentd "$@"\n')
            self.beginning.chmod(0o755)

    def group(self, controller, **values):
        """A control group: a function that puts processes in, and one that sets values."""
        folder = pathlib.Path("/sys/fs/cgroup", controller, f"deploy-agent-{self.name}")
        if not folder.parent.is_dir():
            self.skipTest(f"this machine has no control groups of version 1 for {controller}")
        folder.mkdir()

        def leave():
            for pid in (folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    (folder.parent / "cgroup.procs").write_text(pid)
            wait_for(lambda: not (folder / "cgroup.procs").read_text(), 10, "the group to be empty")
            folder.rmdir()

        self.addCleanup(leave)

        def write(**values):
            for name, value in values.items():
                (folder / name.replace("__", ".")).write_text(str(value))

        def put(*pids):
            for pid in pids:
                (folder / "cgroup.procs").write_text(str(pid))

        write(**values)
        return put, write

    def canary(self, text):
        """A secret that may be found nowhere afterwards."""
        self.canaries.append(text)
        return text

    @contextlib.contextmanager
    def excuse(self, seconds_after=3):
        """What the prober cannot reach now is not the agent's doing."""
        began = time.time()
        try:
            yield
        finally:
            self.excused.append((began - 1, time.time() + seconds_after))

    def reaches(self, point, seconds=60):
        """A worker that was started with FAULTS=point:… comes there."""
        self.wait(lambda: f"fault point {point}" in self.agent.log.read_text(errors="replace"), seconds, f"a worker to come to {point}")

    def sent(self, version="two", service="web", seconds=60):
        """The update has gone to the engine."""
        self.wait(lambda: f"VERSION={version}" in self.spec(service)["TaskTemplate"]["ContainerSpec"]["Env"], seconds, "the update")

    # ---- how it is run and judged ----

    def run_fault(self):
        function = getattr(module(self.folder / "inject.py"), f"inject_{self.fault}".replace("-", "_") if self.fault else "inject")
        function(self)
        self.judge()
        check = self.folder / "check.py"
        if check.exists():
            module(check).check(self)
        for name in self.checks:
            with self.subTest(name):
                invariants.ALL[name](self)

    def judge(self):
        x = self.expects
        if x.get("state"):
            record = self.ended(self.tested, x.get("within", 60), x.get("attempts", 1))
            self.assertIn(record["state"], x["state"].split("|"), record["reason"])
            self.assertRegex(record["reason"] or "", x.get("reason", "^"))
        elif "state" in x:
            self.assertIsNone(self.record(self.tested), "there is a deployment of it")
        for key in ("alarm", "poll_error"):
            if key in x:
                wait_for(lambda key=key: re.search(x[key], self.status()[key] or ""), 20, lambda key=key: f"{key} to be {x[key]!r}: {self.status()[key]!r}")
        for service, version in x.get("serves", {}).items():
            self.serves(service, version)
        if "ran" in x:
            self.assertEqual(self.volume_lines(), x["ran"])
        for service, times in x.get("updates", {}).items():
            self.assertEqual(self.updates(service), times, f"updates of {service}")
        if "jobs" in x:
            self.assertEqual(self.tap.count("^POST /services/create"), x["jobs"], "migration jobs that were made")
        if "records" in x:
            self.assertEqual([d["state"] for d in reversed(self.log())], x["records"])
        logged = "".join(p.read_text(errors="replace") for p in sorted(self.dir.rglob("*.log")))
        for pattern in x.get("log", []):
            self.assertRegex(logged, pattern)
        for pattern in x.get("never", []):
            self.assertNotRegex(logged, pattern)


class Row(Judged, Case):
    pass


class DatabaseRow(Judged, PostgresCase):
    pass


def row(folder, fault):
    expects = faults_of(folder)[fault]
    return (DatabaseRow if expects.get("database") else Row)(folder, fault)
