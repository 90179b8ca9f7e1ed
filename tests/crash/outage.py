# SPDX-License-Identifier: Apache-2.0
"""
The engine goes away while deployments are under way, one in each phase, and comes back. What an outage ends is not held
against the new version; a migration that it ended has failed, and is not run again, neither by the agent nor by Swarm.
"""

import concurrent.futures
import signal
import time

from scenarios import establish, push, rejected, stack
from expect import check, same, wait_for
from world import Lane


class Phase:
    def __init__(self, name, make, reached, ends, faults=None):
        self.name = name
        self.make = make
        self.reached = reached  # (lane, deployment, worker): is the deployment in this phase?
        self.ends = ends        # states that are right
        self.faults = faults


def in_gate(lane):
    return stack(lane, two={"HEALTH_AFTER_S": 6}, steps=[]), {}


def in_migration(lane):
    s = stack(lane, steps=[{"run": {"name": "schema", "service": "tool", "command": [f"echo {lane.new} >> /data/runs; sleep 12"]}}])
    s["services"]["tool"] = {**s["services"]["one"], "entrypoint": ["/bin/busybox", "sh", "-c"], "command": ["exit"],
                             "deploy": {"replicas": 0, "endpoint_mode": "dnsrr"}}
    return s, {}


SOAK_S = 20


def in_soak(lane):
    return stack(lane, steps=[], gate={"soak": f"{SOAK_S}s"}), {}


def quick(lane):
    return stack(lane, steps=[]), {}


def bad(lane):
    s, files = rejected(lane)
    s["x-release"]["steps"] = []
    return s, files


def replicas(lane):
    s, files = in_soak(lane)
    s["services"]["one"]["deploy"]["replicas"] = 3
    return s, files


PHASES = [
    Phase("planning", quick, lambda lane, d, w: lane.at(w, "image.resolve") or True, ("succeeded",), "image.resolve:sleep=4"),
    Phase("a migration", in_migration, lambda lane, d, w: any(t["Status"]["State"] == "running" for j in lane.jobs() for t in lane.engine.tasks(j)),
          ("failed", "succeeded")),
    Phase("a gate", in_gate, lambda lane, d, w: lane.version("two") == lane.new, ("succeeded",)),
    Phase("the soak", replicas, lambda lane, d, w: (lane.step(d, "soak") or {}).get("state") == "running", ("succeeded",)),
    Phase("putting back", bad, lambda lane, d, w: lane.at(w, "putback.begin", 180) or True, ("rolled_back",), "putback.begin:sleep=4"),
]


class Outage:
    def __init__(self, name, begin, end, worker=None):
        self.name = name
        self.begin, self.end = begin, end
        self.worker = worker  # signal that the workers get, too


CASES = [
    Outage("the engine is stopped", "stop-engine", "start-engine"),
    Outage("the engine is frozen", "freeze-engine", "thaw-engine"),
    Outage("the engine is killed", "kill-engine", "start-engine"),
    Outage("the machine restarts", "kill-engine", "start-engine", signal.SIGKILL),
]


class Run:
    """One phase in one outage."""

    def __init__(self, lane, phase):
        self.lane, self.phase = lane, phase
        self.mark = len(lane.tap.effects)
        push(lane, phase.make, phase.name)
        self.before = lane.old
        self.id = lane.request()
        self.worker = lane.start("run", self.id, faults=phase.faults)

    def reach(self):
        wait_for(lambda: self.phase.reached(self.lane, self.id, self.worker), 180, f"the phase {self.phase.name}")
        check(self.worker.alive(), f"the worker ended before the outage: {self.lane.reason(self.id)}")

    def hit(self, number):
        if number:
            self.worker.signal(number)
            self.worker.wait()
            self.worker = self.lane.start("run", self.id)

    def check_soak(self, began, seconds_away):
        """Where it was far from its end when the outage began: what nobody saw is no part of it."""
        soak = self.lane.step(self.id, "soak")
        first, last = soak["started_us"] / 1e6, soak["finished_us"] / 1e6
        # the last look before the outage may be a pause and a look old
        check(began > first + SOAK_S - 5 or last - first >= SOAK_S + seconds_away - 3,
              f"the soak took {last - first:.1f} s, and {seconds_away} s of that nobody could look")

    def finish(self, began, seconds_away):
        """Since 1970, and for how long the engine was away at least while this worker looked on."""
        lane = self.lane
        same(self.worker.wait(240), 0, "exit code")
        state = lane.state(self.id)
        check(state in self.phase.ends, f"state is {state}: {lane.reason(self.id)}")
        if self.phase.make is replicas:
            self.check_soak(began, seconds_away)
        if self.phase.make is in_migration:
            runs = lane.lab.volume_lines(f"{lane.name}_data", "runs")
            same(runs.count(lane.new), 1, "times the migration was started")
            same(sorted(set(runs)), sorted(runs), "migrations, each once")
        for name in ("one", "two"):
            same(lane.version(name), lane.new if state == "succeeded" else self.before, f"VERSION of {name}")
            updates = lane.effects(self.mark).get(f"update service STACK_{name}", 0)
            check(updates <= (1 if state == "succeeded" else 2), f"{name} was updated {updates} times")
        lane.check_leftovers()
        if state == "succeeded":
            lane.is_old()


def run_outage(world, lanes, outage, seconds_away, report):
    began = time.monotonic()
    runs = {}
    with concurrent.futures.ThreadPoolExecutor(len(PHASES)) as pool:
        def prepare(phase):
            run = Run(lanes[phase.name], phase)
            run.reach()
            return run

        waiting = {phase.name: pool.submit(prepare, phase) for phase in PHASES}
        for name, future in waiting.items():
            try:
                runs[name] = future.result()
            except Exception as error:
                report.not_ok(f"{outage.name} in {name}", f"{error}\n{lanes[name].log_tail()}")
        away_since = time.time()
        world.lab.ctl(outage.begin)
        for run in runs.values():
            run.hit(outage.worker)
        time.sleep(seconds_away)
        world.lab.ctl(outage.end)
        # of a frozen engine a check may have waited for the answer, and got it: somebody looked
        unseen = 0 if outage.worker or outage.begin == "freeze-engine" else seconds_away
        ends = {name: pool.submit(run.finish, away_since, unseen) for name, run in runs.items()}
        for name, future in ends.items():
            try:
                future.result()
                report.ok(f"{outage.name} in {name}", time.monotonic() - began)
            except Exception as error:
                report.not_ok(f"{outage.name} in {name}", f"{error!r}\n{lanes[name].log_tail()}")
                lanes[name].close()
                lanes[name] = None
    for phase in PHASES:
        if lanes[phase.name] is None:
            lanes[phase.name] = new_lane(world)


def new_lane(world):
    lane = Lane(world)
    establish(lane)
    return lane


def run_all(world, outages, long, report, stop):
    lanes = {}
    try:
        world.lab.image("web:2")
        with concurrent.futures.ThreadPoolExecutor(len(PHASES)) as pool:
            made = {phase.name: pool.submit(new_lane, world) for phase in PHASES}
            lanes.update({name: future.result() for name, future in made.items()})
        for outage in outages:
            if stop.is_set():
                return
            run_outage(world, lanes, outage, 30 if long else 8, report)
    except Exception as error:
        report.not_ok("outages of the engine", repr(error))
    finally:
        for lane in lanes.values():
            if lane:
                lane.close()
