# SPDX-License-Identifier: Apache-2.0
"""--deployments: many commits, good and bad, while things break."""

import collections
import signal
import statistics
import time

from check import GROWTH_LIMIT_KIB, RESUME_SECONDS, Checker, curves
from faults import Injector
from harness import wait_for
from model import Model, acted, of
from prober import Prober
from world import STACK, World

BAD_SHARE = 0.2
BURST_SHARE = 0.1
# A death of the agent, or of what it asks, is not to be noticed by who uses what runs.
HARMLESS = ("kill worker", "stop worker", "kill agent", "kill agentd", "no registry", "no git")


class Soak:
    def __init__(self, arguments, say):
        self.wanted = arguments.deployments
        self.tell = say
        self.world = World(f"{arguments.dir}/soak", arguments.programs, arguments.nodes, arguments.seed)
        self.model = Model(self.world, BAD_SHARE)
        # node 1 has the database and the client; its agentd is the one that is left alone where there are others
        spared = self.world.managers[max(self.world.managers)] if arguments.nodes > 1 else None
        self.injector = Injector(self.world, spared, arguments.minutes_between_faults * 60, arguments.seed, arguments.faults)
        self.took = []
        self.probers = []
        self.trouble = []
        self.stopped = False

    # ---- the client ----

    def probe(self):
        """A client that sits on a node whose engine was restarted is a new one."""
        live = self.probers[-1] if self.probers else None
        tasks = self.world.home.engine.running(f"{STACK}_client")
        if tasks and (not live or live.task != tasks[0]["ID"]):
            if live:
                live.stop()
            prober = Prober(self.world.lab, self.world.home.engine, f"{STACK}_client", f"{STACK}_web", node=self.world.home.n, interval=0.1)
            prober.task = tasks[0]["ID"]
            self.probers.append(prober)

    def try_to_probe(self):
        try:
            self.probe()
        except (AssertionError, OSError, IndexError, TypeError):
            pass  # the next commit tries again

    # ---- one commit ----

    def settled(self, commit):
        mine = of(self.world.records(), commit)
        ends = [r for r in mine if acted(r)]
        if ends:
            return ends[0]["state"]
        return "superseded" if commit.burst and any(r["state"] == "superseded" for r in mine) else None

    def one(self, kind=None):
        burst = kind is None and self.model.commits and self.world.random.random() < BURST_SHARE
        commits = [self.model.push(time.monotonic(), burst=True)] if burst else []
        commits.append(self.model.push(time.monotonic(), kind=kind))
        commit = commits[-1]
        try:
            state = wait_for(lambda: self.settled(commit), 180, lambda: f"the end of {commit}: {Checker.told(of(self.world.records(), commit))}")
        except AssertionError as e:
            self.trouble.append(str(e))
            self.world.say(f"NOT SETTLED: {e}")
            state = None
        ended = time.monotonic()
        for c in commits:
            c.disturbed = any(f.overlaps(c.pushed, ended) for f in self.injector.faults)
        self.took.append(ended - commit.pushed)
        self.world.say(f"{commit}: {state} after {ended - commit.pushed:.0f} s{', disturbed' if commit.disturbed else ''}"
                       f"{', after one that it took the place of' if burst else ''}")
        self.try_to_probe()

    # ---- all of them ----

    def go(self):
        self.world.start_agents()
        self.one("good")
        self.injector.start()
        # the last one is pushed when all is whole again
        while len(self.model.commits) < self.wanted - 1 and not self.stopped and not self.injector.error:
            self.one()
        self.injector.stop()
        if self.injector.error:
            self.trouble.append(self.injector.error)
        try:
            self.world.wait_until_healthy(180)
            self.one("good")
            last = self.model.commits[-1]
            wait_for(lambda: self.nothing_under_way(last), 120, "all to come to rest")
        except AssertionError as e:
            self.trouble.append(str(e))
        if len(self.model.commits) < self.wanted:
            self.trouble.append(f"ended after {len(self.model.commits)} commits of {self.wanted}{', by hand' if self.stopped else ''}")

    def stop(self, *_):
        self.stopped = True
        self.world.say("no more commits; what there is will be judged")

    def nothing_under_way(self, last):
        running = [r for r in self.world.records() if r["state"] in ("planned", "running")]
        return not running and self.settled(last)

    # ---- the verdict ----

    def report(self, began):
        wrong = self.trouble + Checker(self.world, self.model).all()
        commits, records = self.model.commits, self.world.records()
        ends = collections.Counter(self.settled(c) or "superseded" for c in commits)
        kinds = collections.Counter(c.kind for c in commits)
        self.tell(f"{len(commits)} commits ({', '.join(f'{n} {k}' for k, n in kinds.most_common())}) on {len(self.world.managers)} managers in "
                  f"{(time.monotonic() - began) / 60:.0f} min; ends: {', '.join(f'{n} {k}' for k, n in ends.most_common())}")
        given_up = [c for c in commits if c.good and (self.settled(c) or "superseded") not in ("succeeded", "superseded")]
        self.tell(f"good commits that a fault had given up: {len(given_up)}; from push to end: median {statistics.median(self.took):.0f} s, "
                  f"longest {max(self.took):.0f} s")
        for c in given_up:
            self.tell(f"  {c}: {[r['reason'] for r in of(records, c) if acted(r)]}")
        self.tell(f"faults: {', '.join(f'{n} {k}' for k, n in collections.Counter(f.kind for f in self.injector.faults).most_common()) or 'none'}")
        self.tell(f"records: {len(records)} in {len(self.world.managers)} journals, {sum(1 for r in records if r['resumes'])} taken up again")
        wrong += self.of_agents() + self.of_client()
        self.tell(f"CPU: {self.world.cpu():.0f} s of engines and agents")
        for text in wrong:
            self.tell(f"WRONG: {text}")
        return not wrong

    def of_agents(self):
        wrong = []
        resumes = self.injector.resumes
        if resumes:
            self.tell(f"taken up again after the agent was started: {len(resumes)} times, within {max(resumes):.1f} s")
            if max(resumes) > RESUME_SECONDS:
                wrong.append(f"it took {max(resumes):.1f} s to take a deployment up again")
        for name, c in curves(self.world):
            self.tell(f"agentd of {name}: {c['seconds']:.0f} s, {c['samples']} samples: over its last four fifths RSS {c['rss']:+d} KiB to "
                      f"{c['rss_last']} KiB, PSS {c['pss']:+d} KiB, descriptors {c['fds'][0]} to {c['fds'][1]} (last {c['fds_last']}), "
                      f"at most {c['children']} children")
            if c["rss"] > GROWTH_LIMIT_KIB:
                wrong.append(f"agentd of {name} has grown by {c['rss']} KiB")
        return wrong

    def of_client(self):
        wrong = []
        for prober in self.probers:
            prober.stop()
        requests = sum(len(p.requests) for p in self.probers)
        failures = [f for p in self.probers for f in p.failures()]
        blamed, said = collections.Counter(), collections.defaultdict(collections.Counter)
        for at, error in failures:
            around = {f.kind for f in self.injector.faults if f.overlaps(at, at + 6)}
            harmful = around - set(HARMLESS)
            beside = ", ".join(sorted(harmful)) or "nothing that may be noticed"
            blamed[beside] += 1
            said[beside][f"at {at // 10 * 10:.0f}: {error}"] += 1
            if not harmful:
                wrong.append(f"a client has noticed at {at:.3f}: {error}; around it: {', '.join(sorted(around)) or 'nothing'}")
        self.tell(f"client: {requests} requests, {len(failures)} failed; beside which fault: {dict(blamed)}")
        for beside, errors in said.items():
            for error, times in errors.most_common(5):
                self.tell(f"  {beside}: {times} times {error}")
        return wrong[:20]


def run(arguments, say):
    began = time.monotonic()
    say(f"deployments: seed {arguments.seed}, a fault about each {arguments.minutes_between_faults:g} min")
    soak = Soak(arguments, say)
    signal.signal(signal.SIGUSR1, soak.stop)
    try:
        soak.go()
        return soak.report(began)
    finally:
        for prober in soak.probers:
            prober.stop()
        soak.injector.over.set()
        soak.world.close()
