# SPDX-License-Identifier: Apache-2.0
"""What is deployed: stack files made for the crash tests, and what a deployment of each has to come to."""

import contextlib
import json
import threading
import time

from expect import PATIENCE, check, same
from labs import ONCE_MORE, EngineLogs
from world import KILLED, Lane


def seconds(n):
    return f"{n * PATIENCE:.0f}s"


GATE = {"probe_interval": "500ms", "success_threshold": 2, "failure_threshold": 3, "min_healthy_time": "1s", "baseline_samples": 2,
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


def pull(lane):
    """An image that this node does not have."""
    s = stack(lane)
    s["services"]["two"]["image"] = lane.lab.image(f"web:{lane.new}")
    lane.engine.call("DELETE", f"/images/{s['services']['two']['image']}", force=1)
    return s, {}


def crash_loop(lane):
    s = stack(lane, two={"REFUSE": 1})
    s["services"]["two"]["deploy"].update(restart_policy={"delay": "500ms"}, update_config={"failure_action": "continue", "monitor": "300ms"})
    return s, {}


def checks(lane):
    """Each question by a command is a job."""
    s = stack(lane, gate={"baseline_samples": 1, "success_threshold": 1})
    s["x-release"]["health"]["one"] += [{"tcp": "one:8000"}, {"command": ["exit", "0"], "timeout": "60s"}]
    return s, {}


def serving(lane):
    """Two replicas of which one is always there, for a client outside."""
    s = stack(lane)
    s["services"]["one"]["deploy"].update(replicas=2, update_config={"monitor": "300ms", "order": "start-first"})
    return s, {}


def serving_fails(lane):
    s, files = serving(lane)
    s["services"]["two"]["volumes"].append("/nonexistent/folder:/x")
    s["services"]["two"]["deploy"]["update_config"].update(failure_action="continue")
    return s, files


# ---- SQL files ----

TENANTS = ("tenant_a", "tenant_b")


def sql_files(lane):
    """Of one generation: a file in one transaction, one with two of its own, one whose statements refuse any, one for each schema."""
    g, n = lane.new, f"{lane.generation:03d}"
    say = f"INSERT INTO public.runs VALUES ('{g}', '%s');\n"
    return {
        f"db/{n}0_base.sql": "CREATE TABLE IF NOT EXISTS runs (generation text, word text);\n"
                             + "".join(f"CREATE SCHEMA IF NOT EXISTS {t};\n" for t in TENANTS),
        f"db/{n}1_one.sql": f"CREATE TABLE t_{g} (i int);\n" + say % "one 1" + say % "one 2",
        f"db/{n}2_two.sql": "BEGIN;\n" + say % "two 1" + "COMMIT;\nBEGIN;\n" + say % "two 2" + "COMMIT;\n",
        f"db/{n}3_alone.sql": f"CREATE INDEX CONCURRENTLY a_{g} ON runs (word);\nCREATE UNIQUE INDEX CONCURRENTLY b_{g} ON t_{g} (i);\n",
        f"tenant/{n}1_t.sql": f"CREATE TABLE t_{g} (i int);\nINSERT INTO public.runs SELECT '{g}', current_schema();\n",
    }


def sql(lane):
    s = stack(lane, steps=[
        {"sql": {"name": "schema", "dir": "db"}},
        {"sql": {"name": "tenants", "dir": "tenant", "for_each_schema": "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tenant%'"}},
        {"expect": {"tables": [f"t_{lane.new}", *(f"{t}.t_{lane.new}" for t in TENANTS)], "indexes": [f"a_{lane.new}", f"b_{lane.new}"]}}])
    del s["services"]["two"], s["x-release"]["health"]["two"]
    s["x-release"]["rollout"]["order"] = ["one"]
    s["x-release"]["database"] = {"service": "db", "url_from": "DATABASE_URL"}
    s["services"]["db"] = {
        "image": f"{lane.lab.registry}/postgres:15",
        "environment": {"POSTGRES_DB": "app", "POSTGRES_USER": "app", "POSTGRES_PASSWORD": lane.password},
        "networks": ["net"], "volumes": ["pg:/var/lib/postgresql/data"], "deploy": {"endpoint_mode": "dnsrr"},
        "healthcheck": {"test": ["CMD", "pg_isready", "-h", "127.0.0.1"], "interval": "5s", "retries": 60}}
    s["volumes"]["pg"] = {}
    return s, sql_files(lane)


def sql_invalid(lane):
    """With an index that an earlier attempt has left invalid: it is dropped first."""
    g = lane.new
    s, files = sql(lane)
    lane.query(f"CREATE TABLE bad_{g} (i int)")
    lane.query(f"INSERT INTO bad_{g} VALUES (1), (1)")
    with contextlib.suppress(AssertionError):
        lane.query(f"CREATE UNIQUE INDEX CONCURRENTLY c_{g} ON bad_{g} (i)")
    lane.query(f"DELETE FROM bad_{g}")
    files[f"db/{lane.generation:03d}3_alone.sql"] += f"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS c_{g} ON bad_{g} (i);\n"
    return s, files


def sql_fails(lane):
    """Behind files that are applied, and stay so."""
    s, files = sql(lane)
    return s, {**files, f"db/{lane.generation:03d}4_fails.sql": "CREATE TABLE half (i int);\nSELECT 1 / 0;\n"}


SCENARIOS = {
    # name: (stack file, is it the stack's first deployment, lines of the migration, what the record says)
    "good": (good, False, 1, "succeeded"),
    "full": (full, False, 1, "succeeded"),
    "migration-fails": (migration_fails, False, 1, "failed"),
    "health-fails": (health_fails, False, 1, "rolled_back"),
    "rejected": (rejected, False, 1, "rolled_back"),
    "crash-loop": (crash_loop, False, 1, "rolled_back"),
    "pull": (pull, False, 1, "succeeded"),
    "checks": (checks, False, 1, "succeeded"),
    "sql": (sql, False, 0, "succeeded"),
    "sql-invalid": (sql_invalid, False, 0, "succeeded"),
    "sql-fails": (sql_fails, False, 0, "failed"),
    "serving": (serving, False, 1, "succeeded"),
    "serving-fails": (serving_fails, False, 1, "rolled_back"),
    "first": (good, True, 1, "succeeded"),
    "first-fails": (rejected, True, 1, "rolled_back"),
}


def shape_of(scenario):
    return next((shape for shape in ("full", "sql", "serving") if scenario.startswith(shape)), "plain")


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
        s, files = {"full": full, "sql": sql, "serving": serving, "plain": good}[lane.shape](lane)
        if lane.shape != "sql":
            s["x-release"].update(steps=[])
        s["x-release"].update(health={}, gate={**GATE, "min_healthy_time": "0s", "soak": "0s"})
        return s, files

    # of secrets and configs the first, which has the plain name, and those that a rollback may need stay: only an eighth deployment removes
    # any
    for _ in range(7 if lane.shape == "full" else 1):
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
        before = len(lane.trace(0))
        self.id = lane.request()
        self.polled = lane.trace(before)
        self.began = before + len(self.polled)

    def result(self):
        return {**self.lane.record(self.id), "live": self.lane.live(), "effects": self.lane.effects(self.mark)}

    def judge(self):
        """The end of a run without any fault has to be the end of this one."""
        lane = self.lane
        want = self.baselines.get(self.scenario)
        have = self.result()
        for key in want:
            same(have[key], want[key], f"state ({have['reason']})" if key == "state" else key)
        self.invariants()

    def invariants(self):
        lane = self.lane
        lane.applied_once(self.lines)
        if lane.shape == "sql":
            lane.files_applied_once(TENANTS, self.end)
        lane.invariants(self.id, self.mark)
        self.again()
        if self.end == "succeeded":
            lane.is_old()

    def again(self):
        """Whoever asks for it once more gets nothing."""
        lane = self.lane
        mark, record = len(lane.tap.effects), lane.record(self.id)
        same(lane.run("run", self.id)[0], 0, "exit code of agent-worker run after the end")
        same(lane.poll()["result"], "nothing" if self.end == "succeeded" else "held", "the poll afterwards")
        same([e.words for e in lane.tap.effects[mark:]], [], "what was done after the end")
        same(lane.record(self.id), record, "the record, after it was asked for again")


def places(trace):
    found = {}
    for i, point in enumerate(trace):
        found.setdefault(point, []).append(i)
    return found


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

    def trace(self, scenario):
        """Fault points that the run passes: when, by number; in the order of their first passages."""
        self.get(scenario)
        return self.items[scenario]["trace"]

    def poll_trace(self, scenario):
        self.get(scenario)
        return self.items[scenario]["polled"]

    def took(self, scenario):
        self.get(scenario)
        return self.items[scenario]["took"]

    def make(self, scenario, item):
        name = f"clean {scenario}"
        logs = EngineLogs(self.world.lab.dir)
        for last in False, False, True:
            try:
                result = self.run(scenario, item)
                # its effects are those of more jobs than another run will make
                check(not item["job_made_anew"], "a job was made anew")
                break
            except Exception as error:
                if last or not logs.tell_of_engine_bug():
                    item["error"] = error
                    self.report.not_ok(name, f"{error}\n{item['log']}")
                    raise
                why = str(error).partition("\n")[0]
                self.report.note(f"{name}: {ONCE_MORE}: {why}")
        item["result"] = result
        self.report.ok(name, item["took"])
        for key in ("reason", "effects"):
            self.report.note(f"{scenario}: {key} {result[key]}")

    def run(self, scenario, item):
        lane = Lane(self.world, shape_of(scenario))
        try:
            if not SCENARIOS[scenario][1]:
                establish(lane)
            a = Attempt(lane, scenario)
            began = time.monotonic()
            same(lane.to_end(a.id), [0], "exit codes")
            item["took"] = time.monotonic() - began
            item["polled"] = places(a.polled)
            item["trace"] = places(lane.trace(a.began))
            result = a.result()
            same(result["state"], a.end, f"state ({result['reason']})")
            a.invariants()
            return result
        finally:
            item["log"] = lane.log_tail()
            item["job_made_anew"] = lane.log.exists() and b"the engine could not start its container" in lane.log.read_bytes()
            lane.close()
