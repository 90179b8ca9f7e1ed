# SPDX-License-Identifier: Apache-2.0
"""Afterwards: is everything accounted for? Reads engines, database, Git, the journals' files and the lines that migrations left."""

import contextlib
import sqlite3

from harness import wait_for
from model import acted, of
from world import ENDED, STACK

MIB = 1024  # of KiB
RESUME_SECONDS = 10
GROWTH_LIMIT_KIB = 1 * MIB


class Checker:
    def __init__(self, world, model):
        self.world = world
        self.model = model
        self.records = world.records()
        self.wrong = []

    def expect(self, condition, text):
        if not condition:
            self.wrong.append(text)

    def all(self):
        for check in (self.every_commit, self.lines_of_jobs, self.lines_of_files, self.what_runs, self.nothing_left, self.journals, self.repository):
            check()
        return self.wrong

    # ---- records ----

    def every_commit(self):
        """Exactly one manager has brought each commit to an end of its own; or a newer one took its place."""
        for commit in self.model.commits:
            mine = of(self.records, commit)
            ends = [r for r in mine if acted(r)]
            if len(ends) > 1:  # with steps a plan is not empty, and who leads next finds them done
                ends = [r for r in ends if not r["reason"].startswith("no service had to change")] or ends[:1]
            told = f"{commit}: {self.told(mine)}"
            self.expect(len(ends) <= 1, f"more than one end: {told}")
            if not ends:
                self.expect(commit.burst, f"lost: {told}")
            for r in ends:
                self.expect(r["state"] in commit.may_end(), f"an end that it may not have: {told}")
            if not commit.good:
                self.expect(not any(r["state"] == "succeeded" for r in mine), f"a bad commit is called a success: {told}")
            self.expect(not any(r["state"] == "stuck" for r in mine), f"stuck: {told}")
        newest = self.model.commits[-1].id
        for r in self.records:
            # who does not lead waits for its turn, with the newest commit or with what it was interrupted in
            waits = (r["state"] == "requested" and r["commit_id"] == newest) or r["state"] == "interrupted"
            waits = waits and self.world.managers[r["manager"]] is not self.world.leader()
            self.expect(r["state"] in ENDED or waits, f"not at an end: {self.told([r])}")

    @staticmethod
    def told(records):
        return "; ".join(f"node{r['manager']} #{r['id']} {r['state']} ({r['reason']})" for r in records) or "on no record"

    # ---- migrations ----

    def lines_of_jobs(self):
        lines = self.world.lines()
        for line in sorted(set(lines), key=int):
            self.expect(lines.count(line) == 1, f"the job of commit {line} ran {lines.count(line)} times")
        for commit in self.model.commits:
            if any(r["state"] == "succeeded" and acted(r) for r in of(self.records, commit)):
                self.expect(str(commit.number) in lines, f"{commit} succeeded, and its job has not run")

    def lines_of_files(self):
        rows = self.world.query("SELECT number FROM lines ORDER BY number")
        wanted = [str(n) for n in self.model.commits[-1].files]
        self.expect(rows == wanted, f"files in the database: {rows}, in the tree: {wanted}")

    # ---- the swarm ----

    def what_runs(self):
        last = self.model.commits[-1]
        service = self.world.ask(f"/services/{STACK}_web")
        environment = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
        self.expect(f"VERSION={last.number}" in environment, f"the last commit is {last}, and {environment} runs")
        try:
            wait_for(lambda: len(self.tasks()) == 2, 30, lambda: f"two tasks of web: {len(self.tasks())} run")
        except AssertionError as e:
            self.wrong.append(str(e))

    def tasks(self):
        return [t for t in self.world.ask("/tasks", filters={"service": [f"{STACK}_web"]}) if t["Status"]["State"] == "running"]

    def nothing_left(self):
        names = [s["Spec"]["Name"] for s in self.world.ask("/services")]
        left = [n for n in names if n.startswith(tuple(f"{STACK}_{kind}_" for kind in ("mig", "chk", "bak", "hlt")))]
        self.expect(not left, f"jobs are left: {left}")
        configs = [c for c in self.world.ask("/configs") if c["Spec"]["Name"] == f"{STACK}.deploy-agent"]
        held = [c["Spec"]["Labels"] for c in configs if c["Spec"]["Labels"].get("deploy-agent.lease") != "free"]
        self.expect(len(configs) == 1 and not held, f"the lease is held: {held}")

    # ---- files ----

    def journals(self):
        for manager in self.world.managers.values():
            broken = list((manager.dir / "state").glob("journal.db.broken-*"))
            self.expect(not broken, f"{manager.name}: {broken}")
            with contextlib.closing(sqlite3.connect(f"file:{manager.dir}/state/journal.db?mode=ro", uri=True)) as db:
                said = db.execute("PRAGMA integrity_check").fetchone()[0]
            self.expect(said == "ok", f"{manager.name}: the journal: {said}")

    def repository(self):
        pushed = self.world.git("rev-list", "--reverse", "origin/main").split()
        self.expect(pushed == [c.id for c in self.model.commits], "the repository has other commits than were pushed")


# ---- agents ----

def curve(life):
    """Of one agentd: growth in KiB over the last four fifths of its life, and the most descriptors and children."""
    began, ended = life[0][0], life[-1][0]
    early = [s for s in life if s[0] < began + (ended - began) / 5]
    late = [s for s in life if s[0] >= began + (ended - began) / 5]
    # by thirds of what is left: a single sample is no growth
    third = max(1, len(late) // 3)
    return {"seconds": ended - began, "samples": len(life),
            "rss": max(s[1] for s in late[-third:]) - max(s[1] for s in late[:third]),
            "pss": max(s[2] for s in late[-third:]) - max(s[2] for s in late[:third]),
            "fds_early": min(s[3] for s in early), "rss_last": life[-1][1], "fds": (min(s[3] for s in late), max(s[3] for s in late)), "fds_last": life[-1][3],
            "children": max(s[4] for s in late)}


def curves(world):
    """Of those that lived long enough to tell."""
    return [(m.name, curve(life)) for m in world.managers.values() for life in m.lives if len(life) >= 20]
