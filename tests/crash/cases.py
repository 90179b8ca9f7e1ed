# SPDX-License-Identifier: Apache-2.0
"""The cases. Each is a function of a lane; what it needs is said by the decorator."""

import base64
import random
import re
import signal
import time

from checker import ENDED
from expect import check, same, wait_for
from scenarios import SCENARIOS, SHORT, Attempt, push, seconds, shape_of, stack
from world import KILLED, LOCKED, STOPPED

CASES = []
SEED = ""


class Case:
    def __init__(self, name, run, first, long, spoils, shape):
        self.name = name
        self.run = run
        self.first = first  # wants a stack that was never deployed
        self.long = long    # only with --long
        self.shape = shape  # of the stack it starts from
        self.spoils = spoils  # leaves the stack in a state that the next case cannot start from


def add(name, run, first=False, long=False, spoils=False, shape="plain"):
    CASES.append(Case(name, run, first, long, spoils, shape))


def case(name, **needs):
    def register(run):
        add(name, run, **needs)
        return run
    return register


def needs(scenario):
    # files that were never come to are pending for the next case, too
    return {"first": SCENARIOS[scenario][1], "shape": shape_of(scenario), "spoils": scenario == "sql-fails"}


def attempt(lane, scenario, **more):
    return Attempt(lane, scenario, lane.world.baselines, **more)


# ---- killed at each fault point, and taken up again ----

# Where each point is passed; what is passed often is also killed at later passages.
POINTS = {
    "good": ["image.resolve", "plan.save", "plan.saved", "step.begin", "step.ran", "pull.before", "job.create", "job.created",
             "job.succeeded", "job.recorded", "roll.intent", "service.updated", "roll.sent", "gate.look", "soak.look", "end.record", "end.state",
             "end.said", "journal.begin", "journal.commit", "journal.committed",
             "lease.take", "lease.taken", "lease.renewed", "lease.noted", "lease.given"],
    "full": ["network.create", "blob.create", "service.created", "prune.remove"],
    "sql": ["sql.locked", "sql.begun", "sql.statement", "sql.statement:nth=3", "sql.statement:nth=5", "sql.statement:nth=8", "sql.before_commit",
            "sql.before_commit:nth=2", "sql.before_commit:nth=3", "sql.commit_sent", "sql.commit_sent:nth=2", "sql.commit_sent:nth=3",
            "sql.committed", "sql.committed:nth=2", "sql.committed:nth=3", "sql.intent", "sql.intent:nth=2", "sql.alone", "sql.alone:nth=2",
            "sql.recorded", "sql.recorded:nth=4", "sql.schema_done", "step.ran", "journal.committed:nth=20"],
    "sql-invalid": ["sql.drop_invalid"],
    "sql-fails": ["sql.statement:nth=9", "sql.recorded:nth=4", "putback.begin", "end.state"],
    # two before anything, two after the migration, two in the gate
    "checks": ["check.created", "check.ended", "check.created:nth=3", "check.created:nth=5", "check.ended:nth=6", "check.created:nth=7"],
    "first": ["service.created", "roll.sent", "job.create"],
    "migration-fails": ["job.created", "job.succeeded", "job.failed", "putback.begin", "end.state"],
    "health-fails": ["gate.look", "putback.begin", "putback.sent"],
    "rejected": ["putback.begin", "putback.intent", "putback.sent", "end.state"],
    "crash-loop": ["gate.look", "putback.sent"],
    "first-fails": ["putback.begin", "putback.remove", "service.remove"],
}
# In the short version each point is passed at least once, most of them in a chain; of these some also alone.
ALONE = {"good job.created", "good job.recorded", "good service.updated", "good end.said", "good journal.begin", "good journal.commit",
         "good journal.committed", "good lease.take", "good lease.taken", "good lease.renewed", "good lease.noted", "good lease.given",
         "good gate.look", "good step.begin", "full service.created", "first service.created",
         "sql sql.begun", "sql sql.intent", "sql sql.commit_sent:nth=2", "sql sql.committed", "sql sql.alone", "sql sql.recorded", "sql-invalid sql.drop_invalid", "sql-fails sql.recorded:nth=4",
         "migration-fails job.failed", "migration-fails putback.begin", "health-fails putback.sent", "crash-loop gate.look"}
ALONE_SHORT = 4  # others in each run
# When all is on record.
AFTER_THE_END = ("end.said", "lease.given")
# Whoever takes it up does not come there again: the plan is on record, or that the job failed; the deployment has ended.
PASSED_ONCE = ("plan.saved", "job.failed", *AFTER_THE_END)
# In one deployment one after the other. Three workers may die without a step coming to its end.
CHAINS = {
    "full": ["image.resolve", "plan.save", "plan.saved", "pull.before", "step.ran", "network.create", "blob.create", "job.create",
             "job.created", "job.succeeded", "roll.intent", "service.updated", "roll.sent", "soak.look",
             "prune.remove", "end.record", "end.state"],
    "rejected": ["plan.saved", "job.created", "job.succeeded", "roll.sent", "putback.begin", "putback.intent", "putback.sent", "end.state"],
    "first-fails": ["putback.begin", "putback.remove", "service.remove"],
    "checks": ["check.created", "check.ended", "job.created", "check.created", "roll.sent", "check.ended", "soak.look"],
    # no more than three in a step
    "sql": ["sql.locked", "sql.statement", "sql.before_commit", "sql.schema_done", "step.ran"],
}


def fault(point, action="kill"):
    name, _, nth = point.partition(":")
    return f"{name}:{action}" + (f":{nth}" if nth else "")


def killed_at(scenario, *points):
    def run(lane):
        a = attempt(lane, scenario)
        codes = lane.to_end(a.id, [fault(p) for p in points])
        check(codes[-1] == 0 or points[-1] in AFTER_THE_END, f"exit codes {codes}")
        a.judge()
    return run


def register_kills():
    alone = set(random.Random(SEED).sample(sorted(ALONE), ALONE_SHORT))
    for scenario, points in CHAINS.items():
        add(f"kill {scenario} chain", killed_at(scenario, *points), **needs(scenario))
    for scenario, points in POINTS.items():
        for point in points:
            add(f"kill {scenario} {point}", killed_at(scenario, point), long=f"{scenario} {point}" not in alone, **needs(scenario))
            # at the same place again: what the second worker finds is what the first left
            if ":nth" not in point and point not in PASSED_ONCE:  # what is done by then is not done again
                add(f"kill {scenario} {point} twice", killed_at(scenario, point, point), **needs(scenario), long=True)
    for nth in range(2, 15):
        add(f"kill full step.begin {nth}", killed_at("full", f"step.begin:nth={nth}"), long=True, shape="full")
        add(f"kill full step.ran {nth}", killed_at("full", f"step.ran:nth={nth}"), long=True, shape="full")


# ---- killed at any moment ----


def random_kills(seed, kills):
    def run(lane):
        rng = random.Random(seed)
        a = attempt(lane, "full")
        took = lane.world.baselines.took("full")
        for _ in range(kills):
            worker = lane.start("run", a.id)
            time.sleep(rng.uniform(0, took * 0.6))
            worker.signal(signal.SIGKILL)
            worker.wait()
            if lane.state(a.id) in ENDED:
                break
        lane.to_end(a.id)
        a.judge()
    return run


def random_commits(seed):
    """After a random commit to the journal: between any two things the record says."""
    def run(lane):
        rng = random.Random(seed)
        a = attempt(lane, "good")
        for _ in range(3):
            nth = rng.randint(1, 40)
            code, _ = lane.run("run", a.id, faults=f"journal.committed:kill:nth={nth}")
            lane.note(f"killed after commit {nth}: exit {code}")
            if code != KILLED:
                break
        lane.to_end(a.id)
        a.judge()
    return run


def register_random():
    for i in range(60):
        add(f"kill at random {i + 1}", random_kills(f"{SEED}-{i}", 3), long=i >= 1, shape="full")
        add(f"kill after a random commit {i + 1}", random_commits(f"{SEED}-{i}"), long=i >= 1)


@case("stuck after four deaths", spoils=True)
def stuck(lane):
    a = attempt(lane, "good")
    codes = lane.to_end(a.id, [fault("roll.sent")] * 4)
    same(codes, [KILLED] * 4 + [0], "exit codes")
    same(lane.state(a.id), "stuck", "state")
    same(lane.poll()["result"], "held", "the poll afterwards")
    same(lane.effects(a.mark).get("update service STACK_one"), 1, "updates of one")


@case("a crash after an orderly stop counts", spoils=True)
def stop_then_crashes(lane):
    a = attempt(lane, "good")
    worker = lane.start("run", a.id, faults="job.created:sleep=3")
    wait_for(lane.jobs, 30, "the job")
    worker.signal(signal.SIGTERM)
    same(worker.wait(), STOPPED, "exit code after SIGTERM")
    codes = lane.to_end(a.id, ["job.created:kill"] * 4)
    same(codes, [KILLED] * 4 + [0], "exit codes")
    same(lane.state(a.id), "stuck", "state")


# ---- asked to stop ----


def random_stops(seed, scenario):
    def run(lane):
        rng = random.Random(seed)
        a = attempt(lane, scenario)
        took = lane.world.baselines.took(scenario)
        for _ in range(6):
            worker = lane.start("run", a.id)
            worker.wait_for_its_handlers()
            time.sleep(rng.uniform(0, took * 0.35))
            worker.signal(signal.SIGTERM)
            code = worker.wait(20)
            check(code in (0, STOPPED), f"exit code {code} after SIGTERM")
            if code == 0:
                break
        lane.to_end(a.id)
        a.judge()
    return run


def stopped_at(scenario, point):
    def run(lane):
        a = attempt(lane, scenario)
        worker = lane.start("run", a.id, faults=f"{point}:sleep=2")
        lane.at(worker, point)
        worker.signal(signal.SIGTERM)
        same(worker.wait(20), STOPPED, "exit code after SIGTERM")
        lane.to_end(a.id)
        a.judge()
    return run


def register_stops():
    for i in range(12):
        scenario = "full" if i % 3 else "rejected"
        add(f"stop at random {i + 1}", random_stops(f"{SEED}-{i}", scenario), long=i >= 1, **needs(scenario))
    for scenario, point in (("good", "plan.save"), ("good", "job.created"), ("good", "roll.sent"), ("rejected", "putback.sent")):
        add(f"stop {scenario} {point}", stopped_at(scenario, point))


@case("two workers at once")
def twice(lane):
    a = attempt(lane, "good")
    pair = [lane.start("run", a.id), lane.start("run", a.id)]
    same(sorted(worker.wait() for worker in pair), [0, LOCKED], "exit codes")
    a.judge()


# ---- cancelled ----


def cancelled_at(scenario, point, state, touched, runs):
    def run(lane):
        a = attempt(lane, scenario)
        before = lane.live()
        worker = lane.start("run", a.id, faults=f"{point}:sleep=8")
        lane.at(worker, point)
        lane.cancel(a.id)
        same(worker.wait(), 0, "exit code")
        same(lane.state(a.id), state, f"state ({lane.reason(a.id)})")
        same(lane.live(), before, "services")
        same(bool(lane.effects(a.mark).get("update service STACK_one")), touched, "was a service touched")
        same(len([x for x in lane.lab.volume_lines(f"{lane.name}_data", "runs") if x == lane.new]), runs, "times the migration ran")
        lane.check_leftovers()
        same(lane.poll()["result"], "held", "the poll afterwards")
        if state == "cancelled":
            check("cancelled on request" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")
    return run


def register_cancels():
    for point, touched, runs in (("image.resolve", False, 0), ("plan.saved", False, 0), ("pull.before", False, 0), ("job.create", False, 0),
                                 ("job.created", False, 1), ("roll.intent", False, 1), ("roll.sent", True, 1)):
        add(f"cancel good {point}", cancelled_at("good", point, "cancelled", touched, runs))
    add("cancel rejected putback.sent", cancelled_at("rejected", "putback.sent", "rolled_back", True, 1))


@case("cancel while the worker is dead, before the migration")
def cancel_dead(lane):
    a = attempt(lane, "good")
    lane.to_end_of_worker(a.id, "job.create:kill")
    lane.cancel(a.id)
    lane.to_end(a.id)
    same(lane.state(a.id), "cancelled", "state")
    a.lines, a.end = 0, "cancelled"
    a.invariants()
    same(lane.record(a.id)["migrations"], [("schema", "not run")], "migrations")


@case("cancel, and death while putting back")
def cancel_putback(lane):
    a = attempt(lane, "good")
    before = lane.live()
    worker = lane.start("run", a.id, faults="roll.sent:sleep=2,putback.sent:kill")
    lane.at(worker, "roll.sent")
    lane.cancel(a.id)
    same(worker.wait(), KILLED, "exit code")
    lane.to_end(a.id)
    same(lane.state(a.id), "cancelled", "state")
    same(lane.live(), before, "services")
    check("cancelled on request" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")
    a.end = "cancelled"
    a.invariants()


# ---- the journal's disk ----


def commit_fails(seed):
    """One commit meets a full disk: it is written again, and nothing else changes."""
    def run(lane):
        rng = random.Random(seed)
        a = attempt(lane, "good")
        nth = rng.randint(1, 40)
        lane.note(f"commit {nth} fails")
        lane.to_end(a.id, [f"journal.commit:errno=28:nth={nth}"])
        a.judge()
    return run


def register_commit_failures():
    for i in range(40):
        add(f"disk full at a random commit {i + 1}", commit_fails(f"{SEED}-{i}"), long=i >= 1)


@case("disk full for a while", long=True)
def disk_full(lane, scenario="good", point="job.created"):
    a = attempt(lane, scenario)
    worker = lane.start("run", a.id, faults=f"{point}:sleep=2")
    lane.at(worker, point)
    lane.fill_disk()
    time.sleep(6)
    check(worker.alive(), f"with a full disk the worker ended: exit {worker.process.returncode}, {lane.reason(a.id)}")
    lane.empty_disk()
    same(worker.wait(), 0, "exit code")
    a.judge()


@case("disk full for a while, while putting back", long=True)
def disk_full_putback(lane):
    disk_full(lane, "rejected", "putback.begin")


disk_full.small_disk = disk_full_putback.small_disk = True


@case("stop while the disk is full")
def disk_full_stop(lane):
    a = attempt(lane, "good")
    worker = lane.start("run", a.id, faults="job.created:sleep=2")
    lane.at(worker, "job.created")
    lane.fill_disk()
    time.sleep(3)
    worker.signal(signal.SIGTERM)
    same(worker.wait(20), STOPPED, "exit code")
    lane.empty_disk()
    lane.to_end(a.id)
    a.judge()


disk_full_stop.small_disk = True


# ---- somebody else changes what is deployed ----


def env(value):
    def change(spec):
        spec["TaskTemplate"]["ContainerSpec"].setdefault("Env", []).append(f"FOREIGN={value}")
    return change


def has_foreign(lane, service):
    live = lane.engine.service(f"{lane.name}_{service}")
    return any(e.startswith("FOREIGN=") for e in live["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"])


@case("foreign update between plan and roll", spoils=True)
def foreign_before_roll(lane):
    a = attempt(lane, "good")
    worker = lane.start("run", a.id, faults="job.created:sleep=2")
    lane.at(worker, "job.created")
    lane.engine.update(f"{lane.name}_two", env(1))
    same(worker.wait(), 0, "exit code")
    check(has_foreign(lane, "two"), "the foreign change was overwritten")
    same(lane.version("two"), lane.old, "VERSION of two")
    same(lane.version("one"), lane.old, "VERSION of one")
    same(lane.state(a.id), "rolled_back", f"state ({lane.reason(a.id)})")
    same(lane.service_state(a.id, "two"), "untouched", "state of two")
    check("two was changed by someone else" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")
    same(lane.effects(a.mark).get("update service STACK_two"), None, "updates of two")


@case("foreign update during the gate", spoils=True)
def foreign_in_gate(lane):
    a = attempt(lane, "good")
    worker = lane.start("run", a.id, faults="roll.sent:sleep=2:nth=2")
    lane.at(worker, "roll.sent")
    lane.engine.update(f"{lane.name}_two", env(1))
    same(worker.wait(), 0, "exit code")
    check(has_foreign(lane, "two"), "the foreign change was overwritten")
    same(lane.version("two"), lane.new, "VERSION of two")
    same(lane.version("one"), lane.old, "VERSION of one")
    same(lane.state(a.id), "halted", f"state ({lane.reason(a.id)})")
    check("someone else" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")


@case("foreign update while the worker is dead", spoils=True)
def foreign_while_dead(lane):
    a = attempt(lane, "good")
    lane.to_end_of_worker(a.id, "service.updated:kill")
    lane.engine.update(f"{lane.name}_one", env(1))
    lane.to_end(a.id)
    check(has_foreign(lane, "one"), "the foreign change was overwritten")
    same(lane.state(a.id), "halted", f"state ({lane.reason(a.id)})")
    check("someone else" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")


@case("service removed before its turn", spoils=True)
def removed_before_roll(lane):
    a = attempt(lane, "good")
    worker = lane.start("run", a.id, faults="job.created:sleep=2")
    lane.at(worker, "job.created")
    lane.engine.call("DELETE", f"/services/{lane.name}_two")
    same(worker.wait(), 0, "exit code")
    same(lane.version("one"), lane.old, "VERSION of one")
    same(lane.state(a.id), "rolled_back", f"state ({lane.reason(a.id)})")
    check("two" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")


@case("service removed during its gate", spoils=True)
def removed_in_gate(lane):
    a = attempt(lane, "good")
    worker = lane.start("run", a.id, faults="roll.sent:sleep=2:nth=2")
    lane.at(worker, "roll.sent")
    lane.engine.call("DELETE", f"/services/{lane.name}_two")
    same(worker.wait(), 0, "exit code")
    same(lane.version("one"), lane.old, "VERSION of one")
    same(lane.state(a.id), "halted", f"state ({lane.reason(a.id)})")
    check("two: the service was removed by someone else" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")


@case("job removed by hand while it runs")
def job_removed(lane):
    a = attempt(lane, "good", make=long_migration)
    worker = lane.start("run", a.id)
    wait_for(lambda: any(t["Status"]["State"] == "running" for j in lane.jobs() for t in lane.engine.tasks(j)), 30, "the job to run")
    for job in lane.jobs():
        lane.engine.call("DELETE", f"/services/{job}")
    # engine 20.10 lets its task run on, 26.1 stops it: the task's end counts
    same(worker.wait(), 0, "exit code")
    a.lines, a.end = 0, lane.state(a.id)
    if a.end != "succeeded":
        same(a.end, "failed", f"state ({lane.reason(a.id)})")
        check("removed by someone else" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")
    a.invariants()


@case("job removed by hand with its container while the worker is dead")
def job_removed_whole(lane):
    a = attempt(lane, "good", make=long_migration)
    lane.to_end_of_worker(a.id, "job.created:kill")
    wait_for(lambda: any(t["Status"]["State"] == "running" for j in lane.jobs() for t in lane.engine.tasks(j)), 30, "the job to run")
    containers = [t["Status"]["ContainerStatus"]["ContainerID"] for j in lane.jobs() for t in lane.engine.tasks(j)]
    for job in lane.jobs():
        lane.engine.call("DELETE", f"/services/{job}")
    for container in containers:
        lane.engine.call("DELETE", f"/containers/{container}?force=1")
    lane.to_end(a.id)
    same(lane.state(a.id), "failed", f"state ({lane.reason(a.id)})")
    a.lines, a.end = 0, "failed"
    a.invariants()


def long_migration(lane):
    return stack(lane, steps=[{"run": {"name": "schema", "service": "one", "command": ["sleep", "8"]}}]), {}


@case("job removed by hand while the worker is dead")
def job_removed_dead(lane):
    a = attempt(lane, "good")
    lane.to_end_of_worker(a.id, "job.created:kill")
    wait_for(lambda: any(t["Status"]["State"] == "complete" for j in lane.jobs() for t in lane.engine.tasks(j)), 30, "the job to end")
    for job in lane.jobs():
        lane.engine.call("DELETE", f"/services/{job}")
    lane.to_end(a.id)
    # its end counts for as long as the engine remembers the task
    a.end = lane.state(a.id)
    if a.end != "succeeded":
        same(a.end, "failed", f"state ({lane.reason(a.id)})")
        check("whether it ended well is not known" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")
    a.invariants()


@case("a check's job that a dead deployment left", long=True)
def check_left(lane):
    """It runs still when the same commit is tried again, under the same name."""
    def make(lane):
        s = stack(lane, gate={"baseline_samples": 1, "success_threshold": 1, "soak": "0s"})
        s["x-release"]["health"]["one"] = [{"command": ["sleep", "8"], "timeout": "60s"}]
        return s, {}

    a = attempt(lane, "good", make=make)
    lane.to_end(a.id, [fault("service.created")] * 4)
    same(lane.state(a.id), "stuck", f"state ({lane.reason(a.id)})")
    check(lane.jobs(), "the job is gone before the second try")
    a.id = lane.retry(a.id)
    lane.to_end(a.id)
    same(lane.state(a.id), "succeeded", f"state ({lane.reason(a.id)})")
    a.invariants()


def drift_seen(lane):
    # an earlier case may have ended badly, and then nothing is corrected
    a = attempt(lane, "good")
    lane.to_end(a.id)
    a.judge()
    lane.configure(drift="correct")
    lane.engine.update(f"{lane.name}_one", env(1))


def drift_corrected(lane, worker):
    same((worker.wait(), worker.lines()[-1]["result"]), (0, "requested"), "the look")
    deployment = worker.lines()[-1]["deployment"]
    lane.to_end(deployment)
    same(lane.state(deployment), "succeeded", f"state ({lane.reason(deployment)})")
    check(not has_foreign(lane, "one"), "the change is still there")
    same(lane.rows("SELECT drift FROM stack WHERE stack = ?", lane.name)[0]["drift"], None, "drift")
    lane.configure()


@case("killed between the drift that was seen and its correction")
def drift_killed(lane):
    drift_seen(lane)
    same(lane.run("observe", lane.name, faults="drift.recorded:kill")[0], KILLED, "exit code")
    check("one" in lane.rows("SELECT drift FROM stack WHERE stack = ?", lane.name)[0]["drift"], "nothing was recorded")
    drift_corrected(lane, lane.start("observe", lane.name))


@case("halted between the drift that was seen and its correction", long=True)
def drift_halted(lane):
    drift_seen(lane)
    worker = lane.start("observe", lane.name, faults="drift.recorded:stop")
    for _ in worker.halts():
        worker.signal(signal.SIGCONT)
    drift_corrected(lane, worker)


def written_by_another(lane, state, **more):
    """The agent of another host has the lease of the stack, or had it."""
    lease = lane.engine.get(f"/configs/{lane.name}.deploy-agent")
    lease["Spec"]["Labels"].update({"deploy-agent.lease": state, "deploy-agent.deployment": "elsewhere/9", "deploy-agent.lease-node": "elsewhere",
                                    "deploy-agent.lease-node-name": "node9", **{f"deploy-agent.lease-{k}": v for k, v in more.items()}})
    lane.engine.call("POST", f"/configs/{lease['ID']}/update", lease["Spec"], version=lease["Version"]["Index"])


@case("killed while taking over from another agent, which had migrated")
def takes_over(lane):
    a = attempt(lane, "good")
    written_by_another(lane, "held", done=f"{lane.name}_mig_schema_{lane.git('rev-parse', 'HEAD')[:12]}")
    lane.to_end(a.id, [fault("lease.taken")])
    same(lane.state(a.id), "succeeded", f"state ({lane.reason(a.id)})")
    said = lane.log.read_text()
    check(f"taking stack {lane.name} over from the agent on node9 (its deployment #9)" in said, "the takeover was not said")
    a.lines = 0
    a.invariants()
    check("not run again" in said, "the migration that was left out was not said")


@case("taken over by another agent in the middle", spoils=True)
def taken_over(lane):
    a = attempt(lane, "good")
    worker = lane.start("run", a.id, faults="roll.sent:sleep=2")
    lane.at(worker, "roll.sent")
    written_by_another(lane, "held")
    same(worker.wait(), STOPPED, "exit code")
    same(lane.state(a.id), "interrupted", "state")
    check("was taken over by the agent on node9 (its deployment #9); nothing was put back" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")
    same((lane.version("one"), lane.version("two")), (lane.new, lane.old), "versions")
    written_by_another(lane, "free")
    same(lane.run("run", a.id)[0], 0, "exit code")
    same(lane.state(a.id), "superseded", "state")
    same((lane.version("one"), lane.version("two")), (lane.new, lane.old), "versions")
    same(lane.effects(a.mark).get("update service STACK_two"), None, "updates of two")
    again = lane.request()
    lane.to_end(again)
    same(lane.state(again), "succeeded", f"state of the next ({lane.reason(again)})")
    same((lane.version("one"), lane.version("two")), (lane.new, lane.new), "versions")


@case("a migration that hangs")
def migration_hangs(lane):
    def make(lane):
        step = {"run": {"name": "schema", "service": "one", "command": ["ignore-term", "600"], "timeout": seconds(15)}}
        return stack(lane, steps=[step]), {}
    for faults in ([], ["job.created:kill"]):
        a = attempt(lane, "good", make=make)
        lane.to_end(a.id, faults)
        same(lane.state(a.id), "failed", f"state ({lane.reason(a.id)})")
        check("timed out after" in lane.reason(a.id), f"reason: {lane.reason(a.id)}")
        a.lines, a.end = 0, "failed"
        a.invariants()


@case("relay removed by hand during the gate")
def relay_removed(lane):
    a = attempt(lane, "good")
    worker = lane.start("run", a.id, faults="roll.sent:sleep=1:nth=2")
    lane.at(worker, "roll.sent")
    for relay in lane.engine.labelled("services", f"deploy-agent.relay={lane.name}"):
        lane.engine.call("DELETE", f"/services/{relay['ID']}")
    same(worker.wait(), 0, "exit code")
    a.judge()


@case("errors on the way to the relay", first=True)
def relay_errors(lane):
    """The engine takes too long to make it; its process does not get to know of a target, and each is asked for once only."""
    a = attempt(lane, "first")
    same(lane.to_end(a.id, ["engine POST /services/create:errno=110:nth=1,relay.order:errno=24:nth=1"]), [0], "exit codes")
    a.judge()


# ---- what Swarm makes of a bad version ----


def crashing(action, monitor="10s"):
    def make(lane):
        s = stack(lane, two={"REFUSE": 1})
        s["services"]["two"]["deploy"]["update_config"] = {"failure_action": action, "monitor": monitor}
        s["services"]["two"]["deploy"]["restart_policy"] = {"delay": "500ms"}
        return s, {}
    return make


def swarm_acts(action, words, faults=()):
    def run(lane):
        a = attempt(lane, "rejected", make=crashing(action))
        before = lane.live()
        for one in faults:
            same(lane.run("run", a.id, faults=one)[0], KILLED, "exit code")
            wait_for(lambda: (lane.engine.service(f"{lane.name}_two").get("UpdateStatus") or {}).get("State") in
                     ("paused", "rollback_completed"), 60, "Swarm's own verdict")
        lane.to_end(a.id)
        same(lane.state(a.id), "rolled_back", f"state ({lane.reason(a.id)})")
        check(re.search(words, lane.reason(a.id)), f"reason: {lane.reason(a.id)}")
        same(lane.live(), before, "services")
        effects = lane.effects(a.mark)
        same(effects.get("update service STACK_two"), 1 if action == "rollback" else 2, "updates of two")
        a.invariants()
    return run


def register_swarm():
    add("Swarm rolls back", swarm_acts("rollback", "Swarm (rolled|began to roll) the update back"))
    add("Swarm rolls back while the worker is dead", swarm_acts("rollback", "Swarm rolled the update back", ["service.updated:kill:nth=2"]))
    add("Swarm rolls back after a death in the gate", swarm_acts("rollback", "Swarm rolled the update back", ["roll.sent:kill:nth=2"]), long=True)
    add("Swarm pauses", swarm_acts("pause", "Swarm paused the update"))
    add("Swarm pauses while the worker is dead", swarm_acts("pause", "Swarm paused the update", ["service.updated:kill:nth=2"]), long=True)


def hopeless(change, words, faults=(), gate=None):
    def run(lane):
        def make(lane):
            s = stack(lane, gate=gate)
            change(s["services"]["two"])
            return s, {}
        a = attempt(lane, "rejected", make=make)
        before = lane.live()
        lane.to_end(a.id, faults)
        same(lane.state(a.id), "rolled_back", f"state ({lane.reason(a.id)})")
        check(re.search(words, lane.reason(a.id)), f"reason: {lane.reason(a.id)}")
        same(lane.live(), before, "services")
        a.invariants()
    return run


add("a task that no node may run", hopeless(lambda s: s["deploy"].update(resources={"reservations": {"memory": "64T"}}),
                                             "no suitable node|insufficient resources", gate=SHORT))
add("a task that the node rejects", hopeless(lambda s: s["volumes"].append("/nonexistent/folder:/x"), "(?i)rejected.*does not exist"), long=True)
add("a rejected task, and a death", hopeless(lambda s: s["volumes"].append("/nonexistent/folder:/x"), "(?i)rejected.*does not exist|Swarm paused",
                                             ["roll.sent:kill:nth=2"]))


# ---- the connection to the engine breaks after a request was sent ----


def cut_after(*words):
    def run(lane):
        a = attempt(lane, "full")
        lane.tap.cut = list(words)
        same(lane.to_end(a.id), [0], "exit codes")
        same(lane.tap.cut, [], "requests that are still to be cut")
        a.judge()
    return run


# the first update of a service is that which empties the job
CUTS = ("create network *", "create secret *", "create config *", "create service *", "update service *", "remove service *",
        "update service *_one")
add("connection cut after each kind of request", cut_after(*CUTS), shape="full")
for _words in CUTS:
    add(f"connection cut after {_words.removesuffix(' *')}", cut_after(_words), shape="full", long=True)


# ---- before there is a plan ----


@case("superseded while it waits for its image")
def superseded(lane):
    def missing(lane):
        s = stack(lane)
        s["services"]["two"]["image"] = f"{lane.lab.registry}/web:not-there-yet"
        return s, {}
    a = attempt(lane, "good", make=missing)
    worker = lane.start("run", a.id)
    wait_for(lambda: "not in the registry yet" in (lane.waiting() or ""), 30, "the wait for the image")
    b = attempt(lane, "good")
    same(worker.wait(30), 0, "exit code of the first")
    same(lane.state(a.id), "superseded", "state of the first")
    same(lane.reason(a.id), f"by #{b.id}", "reason of the first")
    lane.to_end(b.id)
    b.judge()


@case("cancelled while it waits for its image")
def cancelled_waiting(lane):
    def missing(lane):
        s = stack(lane)
        s["services"]["two"]["image"] = f"{lane.lab.registry}/web:not-there-yet"
        return s, {}
    a = attempt(lane, "good", make=missing)
    worker = lane.start("run", a.id)
    wait_for(lambda: "not in the registry yet" in (lane.waiting() or ""), 30, "the wait for the image")
    lane.cancel(a.id)
    same(worker.wait(30), 0, "exit code")
    same(lane.state(a.id), "cancelled", "state")
    a.lines, a.end = 0, "cancelled"
    a.invariants()


@case("killed while the journal is made", first=True)
def journal_migrate(lane):
    push(lane, SCENARIOS["good"][0], "first")
    same(lane.run("poll", lane.name, faults="journal.migrate:kill")[0], KILLED, "exit code")
    same(lane.run("poll", lane.name, faults="repo.downloaded:kill")[0], KILLED, "exit code")
    deployment = lane.request()
    lane.to_end(deployment)
    same(lane.state(deployment), "succeeded", "state")


@case("killed while a damaged mirror is replaced")
def mirror_replaced(lane):
    lane.damage_mirror()
    a = attempt(lane, "good", poll_faults="repo.replaced:kill")
    lane.to_end(a.id)
    a.judge()


@case("the mirror is lost while the worker is dead", long=True)
def mirror_lost(lane):
    a = attempt(lane, "good")
    lane.to_end_of_worker(a.id, "roll.sent:kill")
    lane.lose_mirror()
    lane.to_end(a.id)
    a.judge()


@case("the mirror is damaged before the run")
def mirror_damaged(lane):
    a = attempt(lane, "good")
    lane.damage_mirror()
    lane.to_end(a.id)
    a.judge()


class Bystander:
    """A stack next door, made by another hand, and objects as the agent makes them for another stack: nobody touches them."""

    name = "bystander"

    def __init__(self, world):
        self.engine = world.engine
        self.remove()
        labels = {"com.docker.stack.namespace": self.name, "deploy-agent.content": "0" * 64}
        data = base64.b64encode(b"of the neighbour").decode()
        for kind in ("secrets", "configs"):
            self.engine.call("POST", f"/{kind}/create", {"Name": f"{self.name}_{kind}", "Labels": labels, "Data": data})
        container = {"Image": f"{world.lab.registry}/web:1"}
        self.engine.call("POST", "/services/create",
                         {"Name": f"{self.name}_web", "Labels": {**labels, "deploy-agent.deployment": "other/1"},
                          "TaskTemplate": {"ContainerSpec": container}, "EndpointSpec": {"Mode": "dnsrr"}})
        self.before = self.objects()

    def objects(self):
        label = f"com.docker.stack.namespace={self.name}"
        return {f"{kind} {item['Spec']['Name']}": item["Version"]["Index"]
                for kind in ("services", "secrets", "configs") for item in self.engine.labelled(kind, label)}

    def check(self):
        same(self.objects(), self.before, "versions of the neighbour's objects")
        same(len(self.engine.tasks(f"{self.name}_web")), 1, "tasks of the neighbour's service")

    def remove(self):
        for kind in ("services", "secrets", "configs"):
            for item in self.engine.labelled(kind, f"com.docker.stack.namespace={self.name}"):
                self.engine.call("DELETE", f"/{kind}/{item['ID']}")


def register(seed):
    global SEED
    SEED = seed
    register_kills()
    register_random()
    register_stops()
    register_cancels()
    register_commit_failures()
    register_swarm()
