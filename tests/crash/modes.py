# SPDX-License-Identifier: Apache-2.0
"""
Cases that are made from what the undisturbed runs have passed: at each fault point the worker dies, is halted, or the call
there fails. In the short version several in one deployment, and a few alone, others in each run; with --long each alone, too.
"""

import base64
import os
import random
import re
import signal

from cases import Case, attempt, fault, killed_at, needs, written_by_another
from checker import ENDED
from expect import check, same, wait_for
from points import MODES, errors_of, moments
from prober import asked_all_the_time
from scenarios import SCENARIOS, push
from world import KILLED, LOCKED

# Where a point is looked for: what is over sooner comes first.
ORDER = ("good", "migration-fails", "rejected", "first-fails", "first", "checks", "pull", "full", "sql", "sql-fails", "sql-invalid", "serving", "serving-fails")
# Elsewhere only who comes first has to pull: the node keeps the image.
ONLY_IN = {"engine POST /images/create": "pull"}
# Of these many points are disturbed in one deployment; in the short version of the first, and of another one in each run.
TOGETHER = ("full", "sql", "serving-fails")
TOGETHER_TOO = ("rejected", "checks", "migration-fails", "first-fails", "serving")
# While somebody asks the service from outside.
SERVING = ("serving", "serving-fails")
# An error that is not waited out: it ends the worker, or the deployment, and is named. So they stay alone.
FINAL = {"fs.read", "fs.lock", "fs.mkdir", "journal.open", "journal.statement"}
# In the short version so many alone.
ALONE = {"kill": 2, "error": 3, "stall": 1}
RESUMES_MAX = 2  # of the three that a deployment may have without a step that ends


def fallible(points):
    return [point for point in points if point not in moments()]


def armed_error(point, rng, nth=1):
    return f"{point}:errno={rng.choice(errors_of(point))}:nth={nth}"


# ---- errors ----


def all_fail(scenario, seed, points):
    """Each call fails once; what was to happen happens nevertheless."""
    def run(lane):
        rng = random.Random(seed)
        a = attempt(lane, scenario)
        lane.to_end(a.id, [",".join(armed_error(p, rng) for p in points)])
        a.judge()
    return run


def one_fails(scenario, point, seed):
    """At its first passage, or a later one. Either nothing comes of it, or it is named, nothing has changed, and the next try is good."""
    def run(lane):
        rng = random.Random(f"{seed} {scenario} {point}")
        nth = rng.choice((1, rng.randint(1, len(lane.world.baselines.trace(scenario)[point]))))
        armed = armed_error(point, rng, nth)
        a = attempt(lane, scenario)
        before = lane.live()
        lane.note(armed)
        lane.to_end(a.id, [armed])
        if lane.state(a.id) == a.end:
            a.judge()
        else:
            ends_named(lane, a, before, armed)
    return run


def ends_named(lane, a, before, armed):
    code = int(re.search(r"errno=(\d+)", armed)[1])
    words = (os.strerror(code), "the connection to PostgreSQL was lost", "the disk reports an error", "it cannot be written")
    state, reason = lane.state(a.id), lane.reason(a.id)
    check(state in ("failed", "rolled_back"), f"state {state} ({reason})")
    check(any(word in reason for word in words), f"the reason does not name the error: {reason}")
    same(lane.live(), before, "services")
    lane.invariants(a.id, a.mark)
    again = lane.retry(a.id)
    lane.to_end(again)
    same(lane.state(again), a.end, f"state of the next try ({lane.reason(again)})")


# ---- halts ----


def all_halt(scenario, seed, points):
    """
    The worker is stopped at each point, once, and something happens meanwhile: what Swarm had to do is done, or another
    worker asks for the deployment. Then it goes on; or, twice, is killed there.
    """
    def run(lane):
        rng = random.Random(seed)
        todo = list(points)
        deaths = set(rng.sample(todo, min(2, len(todo) - 1)))
        a = attempt(lane, scenario)
        worker = None
        while worker is None or worker.wait() == KILLED:
            worker = lane.start("run", a.id, faults=",".join(f"{p}:stop:nth=1" for p in todo))
            for point in worker.halts():
                todo.remove(point)
                meanwhile(lane, a, point, rng)
                if point in deaths:
                    worker.signal(signal.SIGKILL)
                worker.signal(signal.SIGCONT)
        lane.to_end(a.id)
        a.judge()
    return run


def meanwhile(lane, a, point, rng):
    if point == "job.created":
        wait_for(lambda: any(t["Status"]["State"] in ("complete", "failed") for j in lane.jobs() for t in lane.engine.tasks(j)), 60, "the job to end")
    elif point in ("roll.sent", "putback.sent"):
        wait_for(lambda: not any(update_runs(lane, name) for name in ("one", "two")), 60, "Swarm to come to an end of the update")
    elif point.startswith(("engine ", "persist ")) and rng.random() < 0.1:  # it has the stack's lock by then
        same(lane.run("run", a.id)[0], LOCKED, f"exit code of another worker while the first is halted at {point}")


def update_runs(lane, name):
    live = lane.engine.service(f"{lane.name}_{name}") or {}
    return (live.get("UpdateStatus") or {}).get("State") in ("updating", "rollback_started")


# ---- deaths ----


def all_kill(scenario, prefixes):
    """At each of the requests, say, one after the other; what is not passed any more later comes first."""
    def run(lane):
        trace = lane.world.baselines.trace(scenario)
        points = sorted((p for p in trace if p.startswith(prefixes)), key=lambda p: trace[p][-1])
        a = attempt(lane, scenario)
        for point in points:
            if lane.resumes(a.id) >= RESUMES_MAX:
                lane.one_step_further(a.id)
            if lane.state(a.id) in ENDED or lane.run("run", a.id, faults=fault(point))[0] != KILLED:
                break  # it was not passed any more on what was left of the way
        lane.to_end(a.id)
        a.judge()
    return run


# ---- while a client asks ----


def served(run):
    def served_run(lane):
        with asked_all_the_time(lane, "one"):
            run(lane)
    return served_run


# ---- while polling ----


def poll_disturbed(mode, seed):
    """At each point of a poll; the commit is requested once, and deployed."""
    def run(lane):
        rng = random.Random(seed)
        push(lane, SCENARIOS["first"][0], "first")
        # what is fetched is passed once: an error elsewhere that is waited out would come before it
        for point in sorted(lane.world.baselines.poll_trace("first"), key=lambda p: not p.startswith("repo.download")):
            if mode == "kill":
                code = lane.run("poll", lane.name, faults=f"{point}:kill")[0]
                check(code in (0, KILLED), f"exit code {code} of the poll, killed at {point}")
            elif point not in moments():
                code = lane.run("poll", lane.name, faults=armed_error(point, rng))[0]
                check(code in (0, 1), f"exit code {code} of the poll, with an error at {point}")
        deployment = lane.request()
        lane.to_end(deployment)
        same(lane.state(deployment), "succeeded", f"state ({lane.reason(deployment)})")
        lane.invariants(deployment, 0)
    return run


def poll_halted(lane):
    push(lane, SCENARIOS["first"][0], "first")
    points = lane.world.baselines.poll_trace("first")
    worker = lane.start("poll", lane.name, faults=",".join(f"{p}:stop:nth=1" for p in points))
    for _ in worker.halts():
        worker.signal(signal.SIGCONT)
    same(worker.wait(), 0, "exit code of the poll")
    deployment = lane.request()
    lane.to_end(deployment)
    same(lane.state(deployment), "succeeded", f"state ({lane.reason(deployment)})")
    lane.invariants(deployment, 0)


# ---- points that only some deployments pass ----


def disturb(lane, words, point, mode, rng):
    """One worker that comes to the point; whether it dies of it."""
    if mode == "stall":
        worker = lane.start(*words, faults=f"{point}:stop:nth=1")
        for _ in worker.halts():
            worker.signal(signal.SIGCONT)
        return worker.wait()
    return lane.run(*words, faults=armed_error(point, rng) if mode == "error" else f"{point}:kill")[0]


def go_back(mode, seed):
    """A rollback by request, and one forward again."""
    def run(lane):
        rng = random.Random(seed)
        a = attempt(lane, "good")
        before = lane.rows("SELECT max(id) AS id FROM deployment WHERE state = 'succeeded'")[0]["id"]
        versions = {before: lane.old, a.id: lane.new}
        lane.to_end(a.id)
        a.judge()
        for target, point in ((before, "persist journal_images"), (a.id, "persist journal_last")):
            deployment = lane.roll_back(target)
            disturb(lane, ("run", deployment), point, mode, rng)
            lane.to_end(deployment)
            same(lane.state(deployment), "succeeded", f"state ({lane.reason(deployment)})")
            same((lane.version("one"), lane.version("two")), (versions[target],) * 2, "versions")
            lane.invariants(deployment, len(lane.tap.effects))
        lane.applied_once(1)
    return run


def adopt(mode, seed):
    """A secret with its very name and content, made by hand: its labels become ours."""
    def run(lane):
        rng = random.Random(seed)
        for point in ("engine POST /secrets/{}/update", "engine POST /secrets/{}/update lost"):
            a = attempt(lane, "full")
            lane.to_end_of_worker(a.id, "blob.create:kill")
            name = lane.step(a.id, "secret")["name"]
            content = base64.b64encode(f"secret of {lane.new}".encode()).decode()
            lane.engine.call("POST", "/secrets/create", {"Name": name, "Data": content})
            disturb(lane, ("run", a.id), point, mode, rng)
            lane.to_end(a.id)
            same(lane.state(a.id), "succeeded", f"state ({lane.reason(a.id)})")
            a.invariants()
    return run


def take_up(mode, seed):
    """While it is counted that a dead worker's deployment is taken up again."""
    def run(lane):
        a = attempt(lane, "good")
        lane.to_end_of_worker(a.id, "roll.sent:kill")
        disturb(lane, ("run", a.id), "persist journal_count_resume", mode, random.Random(seed))
        lane.to_end(a.id)
        a.judge()
    return run


def leave_out(mode, seed):
    """While it is written down that a migration ended well in the deployment that was taken over."""
    def run(lane):
        a = attempt(lane, "good")
        written_by_another(lane, "held", done=f"{lane.name}_mig_schema_{lane.git('rev-parse', 'HEAD')[:12]}")
        disturb(lane, ("run", a.id), "persist journal_step_append_output", mode, random.Random(seed))
        lane.to_end(a.id)
        same(lane.state(a.id), "succeeded", f"state ({lane.reason(a.id)})")
        a.lines = 0
        a.invariants()
    return run


def replace_mirror(mode, seed):
    def run(lane):
        rng = random.Random(seed)
        lane.damage_mirror()
        push(lane, SCENARIOS["good"][0], "good")
        disturb(lane, ("poll", lane.name), "repo.replaced", mode, rng)
        deployment = lane.request()
        lane.to_end(deployment)
        same(lane.state(deployment), "succeeded", f"state ({lane.reason(deployment)})")
        lane.is_old()
    return run


# ---- all of them ----


def first_scenario(baselines, point):
    return ONLY_IN.get(point) or next((name for name in ORDER if point in baselines.trace(name)), None)


def deal(baselines, rng, scenarios, long):
    """The points of each scenario; in the short version each point in one of those that pass it."""
    traces = {name: list(baselines.trace(name)) for name in scenarios}
    if long:
        return traces
    hands = {name: [] for name in scenarios}
    for point in sorted({p for trace in traces.values() for p in trace}):
        hands[rng.choice([name for name in scenarios if point in traces[name]])].append(point)
    return {name: [p for p in traces[name] if p in hands[name]] for name in scenarios}


def make(baselines, seed, long):
    rng = random.Random(seed)
    made = []

    def add(name, run, scenario, **more):
        made.append(Case(name, run, **{"first": False, "long": False, "spoils": False, "shape": "plain", **needs(scenario), **more}))

    together = (*TOGETHER, *(TOGETHER_TOO if long else [rng.choice(TOGETHER_TOO)]))
    error, stall = (deal(baselines, rng, together, long) for _ in range(2))
    for scenario in together:
        calls = [p for p in fallible(error[scenario]) if p not in FINAL]
        client, run = (", and a client asks", served) if scenario in SERVING else ("", lambda run: run)
        add(f"error {scenario} at several calls{client}", run(all_fail(scenario, seed, calls)), scenario)
        add(f"stall {scenario} at several points{client}", run(all_halt(scenario, seed, stall[scenario])), scenario)
    add("kill full at each request", all_kill("full", ("engine ",)), "full")
    add("kill good at each write", all_kill("good", ("persist ", "fs.", "proc.", "relay.", "journal.")), "good")
    for scenario in SERVING:
        points = ("roll.intent", "service.updated", "roll.sent") + (("putback.intent", "putback.sent") if scenario == "serving-fails" else ("end.record",))
        add(f"kill {scenario}, and a client asks", served(killed_at(scenario, *points)), scenario)
    for mode in ("kill", "error"):
        add(f"{mode} a poll at each point", poll_disturbed(mode, seed), "first")
    add("stall a poll at each point", poll_halted, "first")

    for i, mode in enumerate(MODES):
        later = i != random.Random(seed).randrange(len(MODES))
        add(f"{mode} a rollback by request", go_back(mode, seed), "good", long=later, first=False, spoils=True)
        add(f"{mode} at a secret that is there", adopt(mode, seed), "full", long=later)
        add(f"{mode} where a deployment is taken up", take_up(mode, seed), "good", long=later)
        add(f"{mode} where a migration is left out", leave_out(mode, seed), "good", long=True)
        add(f"{mode} where a damaged mirror is replaced", replace_mirror(mode, seed), "good", long=later)

    singles = {"kill": [], "error": [], "stall": []}
    for point in sorted({p for name in ORDER for p in baselines.trace(name)}):
        scenario = first_scenario(baselines, point)
        singles["kill"].append((scenario, point, killed_at(scenario, point)))
        singles["stall"].append((scenario, point, all_halt(scenario, seed, [point])))
        if point not in moments():
            singles["error"].append((scenario, point, one_fails(scenario, point, seed)))
    for mode, cases in singles.items():
        chosen = set(rng.sample(range(len(cases)), ALONE[mode]))
        for i, (scenario, point, run) in enumerate(cases):
            add(f"{mode} {scenario} {point} alone", run, scenario, long=i not in chosen, spoils=point in FINAL or needs(scenario)["spoils"])
    return made
