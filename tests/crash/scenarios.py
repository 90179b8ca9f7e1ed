# SPDX-License-Identifier: Apache-2.0
"""What is deployed: stack files made for the crash tests, and what a deployment of each has to come to."""

import json
import threading
import time

from world import KILLED, PATIENCE, Lane, check, same


def seconds(n):
    return f"{n * PATIENCE:.0f}s"


GATE = {"probe_interval": "500ms", "success_threshold": 2, "failure_threshold": 3, "min_healthy_time": "1s",
        "healthy_deadline": seconds(120), "total_deadline": seconds(600), "soak": "1s"}
# for versions whose failure only the deadline tells
SHORT = {"healthy_deadline": seconds(15)}


def service(lane, generation, **environment):
    return {
        "image": f"{lane.lab.registry}/web:{lane.new_tag}",
        "environment": {"VERSION": generation, **{k: str(v) for k, v in environment.items()}},
        "networks": ["net"],
        "volumes": ["data:/data"],
        "stop_grace_period": "1s",
        # Swarm looks at each new task for `monitor` before it goes on
        "deploy": {"endpoint_mode": "dnsrr", "update_config": {"monitor": "300ms"}},
    }


def append(lane, **more):
    """A migration that leaves a line each time it runs, and a check."""
    return {"run": {"name": "schema", "service": "one", "command": ["append", "/data/runs", lane.new], "timeout": "180s",
                    "check": ["exit", "0"], **more}}


def stack(lane, one=None, two=None, steps=None, gate=None):
    """Two services and a migration; `one` and `two` are more environment of theirs."""
    return {
        "services": {"one": service(lane, lane.new, **(one or {})), "two": service(lane, lane.new, **(two or {}))},
        "networks": {"net": {}},
        "volumes": {"data": {}},
        "x-release": {
            "steps": [append(lane)] if steps is None else steps,
            "rollout": {"order": ["one", "two"]},
            "health": {name: [{"http": f"http://{name}:8000/health", "timeout": "2s"}] for name in ("one", "two")},
            "gate": {**GATE, **(gate or {})},
        },
    }


def good(lane):
    return stack(lane), {}


def full(lane):
    """Objects of every kind: config and secret with new content, a new network, a service that comes and one that goes."""
    s = stack(lane, steps=[append(lane), {"run": {"name": "talk", "service": "one", "command": ["say", "hello", "world"]}}])
    s["configs"] = {"conf": {"file": "./conf"}}
    s["secrets"] = {"word": {"file": "./word"}}
    s["networks"][f"net-{lane.new}"] = {}
    s["services"]["one"].update(configs=["conf"], secrets=["word"], networks=["net", f"net-{lane.new}"])
    s["services"][f"extra-{lane.new}"] = service(lane, lane.new)
    return s, {"conf": lane.new, "word": f"secret of {lane.new}"}


def migration_fails(lane):
    return stack(lane, steps=[append(lane, name="first"), {"run": {"name": "schema", "service": "one", "command": ["exit", "3"]}}]), {}


def health_fails(lane):
    return stack(lane, two={"HEALTH_STATUS": 500}, gate=SHORT), {}


def rejected(lane):
    """The node refuses the new task at once: the way back is reached without waiting for a deadline."""
    s = stack(lane)
    s["services"]["two"]["volumes"].append("/nonexistent/folder:/x")
    s["services"]["two"]["deploy"]["update_config"].update(failure_action="continue")
    return s, {}


def crash_loop(lane):
    s = stack(lane, two={"REFUSE": 1})
    s["services"]["two"]["deploy"].update(restart_policy={"delay": "500ms"}, update_config={"failure_action": "continue", "monitor": "300ms"})
    return s, {}


SCENARIOS = {
    # name: (stack file, is it the stack's first deployment, lines of the migration, what the record says)
    "good": (good, False, 1, "succeeded"),
    "full": (full, False, 1, "succeeded"),
    "migration-fails": (migration_fails, False, 1, "failed"),
    "health-fails": (health_fails, False, 1, "rolled_back"),
    "rejected": (rejected, False, 1, "rolled_back"),
    "crash-loop": (crash_loop, False, 1, "rolled_back"),
    "first": (good, True, 1, "succeeded"),
    "first-fails": (rejected, True, 1, "rolled_back"),
}


def shape_of(scenario):
    return "full" if scenario == "full" else "plain"


def push(lane, make, message):
    """A commit with a new generation of the stack."""
    lane.generation += 1
    lane.new_tag = 3 - lane.old_tag
    lane.new = f"g{lane.generation}n{lane.number}"
    text, files = make(lane)
    lane.commit({"stack.yml": json.dumps(text, indent=1), **files}, message)
    return lane.new


def establish(lane):
    """The stack's first success, as fast as can be: what the deployments under test start from."""

    def quick(lane):
        s, files = (full if lane.shape == "full" else good)(lane)
        s["x-release"].update(steps=[], health={}, gate={**GATE, "min_healthy_time": "0s", "soak": "0s"})
        return s, files

    push(lane, quick, "the version before")
    deployment = lane.request()
    lane.to_end(deployment)
    same(lane.state(deployment), "succeeded", f"the first deployment ({lane.reason(deployment)})")
    lane.is_old()


class Attempt:
    """One deployment of a scenario in a lane: pushed and requested, then driven by the case, then judged."""

    def __init__(self, lane, scenario, baselines=None, make=None, poll_faults=None):
        self.lane = lane
        self.scenario = scenario
        self.baselines = baselines
        scenario_make, first, self.lines, self.end = SCENARIOS[scenario]
        check(first == (lane.old is None) and lane.shape == shape_of(scenario), f"lane {lane.name} does not fit scenario {scenario}")
        self.mark = len(lane.tap.effects)
        push(lane, make or scenario_make, scenario)
        if poll_faults:
            same(lane.run("poll", lane.name, faults=poll_faults)[0], KILLED, "exit code of the poll")
        self.id = lane.request()

    def result(self):
        return {**self.lane.record(self.id), "live": self.lane.live(), "effects": self.lane.effects(self.mark)}

    def judge(self):
        """The end of a run without any fault has to be the end of this one."""
        lane = self.lane
        want = self.baselines.get(self.scenario)
        have = self.result()
        for key in want:
            same(have[key], want[key], key)
        self.invariants()

    def invariants(self):
        lane = self.lane
        runs = [line for line in lane.lab.volume_lines(f"{lane.name}_data", "runs") if line == lane.new]
        same(len(runs), self.lines, "times the migration ran")
        lane.check_leftovers()
        same(lane.poll()["result"], "nothing" if self.end == "succeeded" else "held", "the poll afterwards")
        if self.end == "succeeded":
            lane.is_old()


class Baselines:
    """What each scenario comes to without any fault; found out by the first case that asks."""

    def __init__(self, world, report):
        self.world = world
        self.report = report
        self.items = {name: {"lock": threading.Lock()} for name in SCENARIOS}

    def get(self, scenario):
        item = self.items[scenario]
        with item["lock"]:
            if "result" not in item:
                check("error" not in item, f"the clean run of {scenario} failed")
                self.make(scenario, item)
            return item["result"]

    def took(self, scenario):
        self.get(scenario)
        return self.items[scenario]["took"]

    def make(self, scenario, item):
        name = f"clean {scenario}"
        lane = Lane(self.world, shape_of(scenario))
        try:
            if not SCENARIOS[scenario][1]:
                establish(lane)
            a = Attempt(lane, scenario)
            began = time.monotonic()
            same(lane.to_end(a.id), [0], "exit codes")
            item["took"] = time.monotonic() - began
            result = a.result()
            same(result["state"], a.end, f"state ({result['reason']})")
            a.invariants()
            item["result"] = result
            self.report.ok(name, item["took"])
            for key in ("reason", "effects"):
                self.report.note(f"{scenario}: {key} {result[key]}")
        except Exception as error:
            item["error"] = error
            self.report.not_ok(name, f"{error}\n{lane.log_tail()}")
            raise
        finally:
            lane.close()
