# SPDX-License-Identifier: Apache-2.0
"""Something breaks about once a minute, and is whole again a little later. What, where and when come from the seed; when it
began and ended is on record, for whoever judges what it may have disturbed."""

import os
import random
import signal
import subprocess
import threading
import time

from harness import wait_for

# After it is over: a lease expires in 30 s, tasks are started anew, a lost leader is followed by another.
AFTERMATH = 60


class Fault:
    def __init__(self, kind, node, began):
        self.kind = kind
        self.node = node
        self.began = began
        self.ended = None

    def overlaps(self, since, until):
        return self.began <= until and (self.ended is None or self.ended + AFTERMATH >= since)

    def __str__(self):
        return f"{self.kind} (node{self.node})"


class Injector:
    """spared: the manager whose agentd lives from the beginning to the end, for the sake of its memory's curve. only: these kinds."""

    def __init__(self, world, spared, pause, seed, only=None):
        self.world = world
        self.random = random.Random(f"faults {seed}")  # its own: what is pushed does not depend on when it breaks
        self.spared = spared
        self.pause = pause
        self.faults = []
        self.resumes = []  # seconds from the start of an agentd to the worker that goes on
        self.over = threading.Event()
        self.error = None
        self.kinds = [self.kill_worker, self.stop_worker, self.restart_engine, self.kill_engine, self.no_registry, self.no_git,
                      self.demote_leader, self.drain, self.cut, self.kill_agent, self.kill_agentd, self.freeze_and_demote]
        if len(world.managers) == 1:
            self.kinds = [self.kill_worker, self.stop_worker, self.no_registry, self.no_git, self.kill_agent, self.kill_agentd, self.kill_engine]
        if only:
            self.kinds = [kind for kind in self.kinds if kind.__name__.replace("_", " ") in only]
        self.bag = []
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        """The one that is going on is mended first."""
        self.over.set()
        self.thread.join(300)

    def run(self):
        try:
            while not self.over.wait(self.pause * self.random.uniform(0.7, 1.3)):
                self.one()
        except Exception as e:  # the soak ends with it
            self.error = f"the injector gave up: {e!r}"
            self.world.say(self.error)

    def one(self):
        if not self.bag:
            self.bag = self.kinds[:]
            self.random.shuffle(self.bag)
        inject = self.bag.pop()
        node = self.random.choice(sorted(self.world.managers))
        fault = Fault(inject.__name__.replace("_", " "), node, time.monotonic())
        self.faults.append(fault)
        inject(fault, self.world.managers[node])
        fault.ended = time.monotonic()
        self.world.say(f"fault: {fault}, {fault.ended - fault.began:.0f} s")
        self.world.wait_until_healthy(120)

    # ---- helpers ----

    def ctl(self, *words):
        self.world.lab.ctl(*words)

    def worker(self):
        """The manager whose worker deploys by now, and the worker; None, None where nothing is deployed for a while."""
        end = time.monotonic() + 20
        while time.monotonic() < end and not self.over.is_set():
            leader = self.world.leader()
            for manager in [leader, *self.world.managers.values()] if leader else []:
                pid = manager.run_worker()
                # the others wait for their turn
                if pid and (manager is leader or len(self.world.managers) == 1):
                    return manager, pid
            time.sleep(0.2)
        return None, None

    def node(self, by, *words):
        """Again, while the swarm chooses a leader or has just changed the node: then it takes no change."""
        said = ""

        def done():
            nonlocal said
            run = subprocess.run(["docker", "node", *words], env={**os.environ, "DOCKER_HOST": by.docker}, capture_output=True, text=True,
                                 check=False, timeout=60)
            said = run.stderr.strip()
            return run.returncode == 0

        wait_for(done, 60, lambda: f"docker node {' '.join(words)}: {said}")

    def someone_else(self, manager):
        return next(m for m in self.world.managers.values() if m is not manager)

    def rest(self, seconds):
        self.over.wait(seconds)

    # ---- kinds ----

    def kill_worker(self, fault, _):
        manager, pid = self.worker()
        if pid:
            fault.node = manager.n
            self.signal(pid, signal.SIGKILL)

    @staticmethod
    def signal(pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def stop_worker(self, fault, _):
        manager, pid = self.worker()
        if pid:
            fault.node = manager.n
            self.signal(pid, signal.SIGSTOP)
            self.rest(10)
            self.signal(pid, signal.SIGCONT)

    def kill_agentd(self, fault, _):
        """Its worker lives on."""
        self.end_agent(fault, False)

    def kill_agent(self, fault, _):
        self.end_agent(fault, True)

    def end_agent(self, fault, workers):
        manager, pid = self.worker()
        if not manager or manager is self.spared:
            manager = self.random.choice([m for m in self.world.managers.values() if m is not self.spared])
            pid = None
        fault.node = manager.n
        manager.kill(workers)
        time.sleep(1)
        began = time.monotonic()
        manager.start()
        if pid and workers:
            wait_for(lambda: manager.run_worker() or not self.unfinished(manager), 30, "the deployment to be taken up")
            self.resumes.append(time.monotonic() - began)

    @staticmethod
    def unfinished(manager):
        return any(r["state"] in ("requested", "planned", "running", "interrupted") for r in manager.records())

    def kill_engine(self, _, manager):
        self.ctl("kill-engine", manager.n)
        self.rest(3)
        self.ctl("start-engine", manager.n)

    def restart_engine(self, _, manager):
        self.ctl("stop-engine", manager.n)
        self.ctl("start-engine", manager.n)

    def no_registry(self, fault, _):
        fault.node = "s"
        self.ctl("stop-registry")
        self.rest(15)
        self.ctl("start-registry")

    def no_git(self, fault, _):
        fault.node = "s"
        self.ctl("stop-git")
        self.rest(20)
        self.ctl("start-git")

    def demote_leader(self, fault, _):
        leader = wait_for(self.world.leader, 30, "a leader")
        fault.node = leader.n
        self.demote(leader, 10)

    def demote(self, manager, seconds):
        other = self.someone_else(manager)
        self.node(other, "demote", manager.name)
        self.rest(seconds)
        self.node(other, "promote", manager.name)

    def freeze_and_demote(self, fault, _):
        """The worker is silent for longer than the others wait for it, and another manager leads meanwhile."""
        manager, pid = self.worker()
        if not pid:
            return
        fault.node = manager.n
        self.signal(pid, signal.SIGSTOP)
        try:
            self.demote(manager, 1)
            self.rest(45)
        finally:
            self.signal(pid, signal.SIGCONT)

    def drain(self, fault, manager):
        if manager is self.world.home:  # the database has nowhere else to go
            manager = self.someone_else(manager)
        fault.node = manager.n
        self.node(manager, "update", "--availability", "drain", manager.name)
        self.rest(20)
        wait_for(lambda: self.world.leader() is not None, 30, "a leader")
        self.node(manager, "update", "--availability", "active", manager.name)

    def cut(self, _, manager):
        self.ctl("cut-node", manager.n)
        self.rest(15)
        self.ctl("mend-node", manager.n)
