# SPDX-License-Identifier: Apache-2.0
"""What has to hold whatever happens, V1 to V12, and who finds out: a watch that looks twice a second while the fault is in, and one
function per invariant for the time afterwards. They read the engine, the journal's file, Git, the requests that went to the engine and a
prober in the stack's network; nothing of the agent's code, and nothing that the agent says about itself.
"""

import base64
import contextlib
import json
import pathlib
import re
import sqlite3
import subprocess
import threading
import time
import urllib.parse

from harness import ENDED

STATES = ENDED | {"requested", "planned", "running", "interrupted"}
# What an agent may use, whatever happens to it.
MAX_RSS = {"agentd": 64 << 20, "agent-worker": 512 << 20}
MAX_FDS = 128
MAX_STATE = 32 << 20


def journal(row, query, *arguments):
    """Rows of the journal as dicts."""
    path = row.dir / "state/journal.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
        db.row_factory = sqlite3.Row
        return [dict(r) for r in db.execute(query, arguments)]


def deployments(row):
    return journal(row, "SELECT * FROM deployment WHERE stack = ? ORDER BY id", row.name)


class Watch:
    """Looks while the fault is in: what was on record, how many migrations ran, what the agent's processes used."""

    def __init__(self, row):
        self.row = row
        self.seen = {}      # ID → (commit, state), as last seen
        self.broken = []    # what was seen and may not be
        self.jobs = 0       # most migrations that ran at once
        self.used = {}      # program → [most bytes of memory, most file descriptors]
        self.leaks = set()  # command lines with a planted secret
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over.wait(0.5):
            for look in (self.look_at_journal, self.look_at_jobs, self.look_at_processes):
                # the fault may be in what is looked at
                with contextlib.suppress(OSError, sqlite3.Error, AssertionError, ValueError, KeyError):
                    look()

    def stop(self):
        self.over.set()
        self.thread.join()

    def look_at_journal(self):
        for d in deployments(self.row):
            before = self.seen.get(d["id"])
            if before and before[0] != d["commit_id"]:
                self.broken.append(f"#{d['id']} was {before[0][:7]} and is {d['commit_id'][:7]}")
            if before and before[1] in ENDED and d["state"] != before[1]:
                self.broken.append(f"#{d['id']} had ended {before[1]} and is {d['state']}")
            self.seen[d["id"]] = d["commit_id"], d["state"]

    def look_at_jobs(self):
        tasks = self.row.engine.get("/tasks", filters={"label": [f"deploy-agent.stack={self.row.name}"], "desired-state": ["running"]}) or []
        # jobs of `run` steps; a check's job may run beside
        running = [t for t in tasks if t["Status"]["State"] == "running" and "deploy-agent.job" in str(t["Spec"]) and "_chk_" not in str(t)]
        self.jobs = max(self.jobs, len(running))

    def look_at_processes(self):
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError, IndexError, StopIteration):
                words = path.read_bytes()
                self.leaks |= {words for text in self.row.canaries if text.encode() in words and bytes(self.row.dir) in words}
                if bytes(self.row.dir) not in words:
                    continue
                program = words.split(b"\0")[0].rsplit(b"/", 1)[-1].decode()
                if program not in MAX_RSS:
                    continue
                used = self.used.setdefault(program, [0, 0])
                status = (path.parent / "status").read_text()
                used[0] = max(used[0], int(re.search(r"VmRSS:\s+(\d+)", status)[1]) << 10)
                used[1] = max(used[1], len(list((path.parent / "fd").iterdir())))


class Prober:
    """A container in the stack's network, started by hand, that asks the service for its version four times a second."""

    SCRIPT = ('while :; do a=$(/bin/busybox timeout 10 /bin/busybox wget -q -O - http://$WHO:8000/ 2>/dev/null) || a=FAILED; '
              'echo "${a:-FAILED}"; /bin/busybox usleep 250000; done')

    def __init__(self, row, service="web"):
        self.row, self.name = row, f"{row.name}-prober"
        row.addCleanup(row.lab.docker, "rm", "-f", self.name, check=False)
        row.lab.docker("run", "-d", "--name", self.name, "--network", f"{row.name}_default", "-e", f"WHO={row.full(service)}",
                       "--entrypoint", "/bin/sh", f"{row.registry}/web:1", "-c", self.SCRIPT)
        row.wait(lambda: len([a for _, a in self.answers() if a != "FAILED"]) > 1, 20, "the prober's first answers")
        self.began = time.time()

    def answers(self):
        """(seconds since 1970, answer)"""
        out = subprocess.run(self.row.lab.enter("docker", "logs", "--timestamps", self.name), capture_output=True, text=True).stdout
        found = []
        for line in out.splitlines():
            when, _, what = line.partition(" ")
            seconds, _, fraction = when.rstrip("Z").partition(".")
            found.append((float(f"0.{fraction or 0}") + _epoch(seconds), what))
        return found

    def since(self):
        return [a for a in self.answers() if a[0] >= self.began]


def _epoch(text):
    import calendar
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


def commits_of_the_branch(row):
    return subprocess.run(["git", "-C", row.bare, "rev-list", "main"], capture_output=True, text=True, check=True,
                          env={"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}).stdout.split()


def images_of(row, deployment):
    return {i["service"]: i["digest"] for i in journal(row, "SELECT service, digest FROM image WHERE deployment = ?", deployment)}


def live_services(row):
    """Name in the stack → service, those that the agent made."""
    return {s["Spec"]["Name"].removeprefix(f"{row.name}_"): s for s in row.engine.services(row.name)
            if "deploy-agent.deployment" in s["Spec"]["Labels"] and "_mig_" not in s["Spec"]["Name"]}


# ---- the invariants ----


def v1(row):
    """No lost record: what was on record is, each commit is there once, and the tip of the branch is."""
    row.assertEqual(row.watch.broken, [])
    have = deployments(row)
    by_id = {d["id"]: d for d in have}
    if not row.expects.get("forgets"):
        for number, (commit, state) in row.watch.seen.items():
            row.assertIn(number, by_id, f"#{number} ({commit[:7]}, {state}) is on record no more")
    for d in have:
        row.assertIn(d["state"], STATES)
    polled = [d["commit_id"] for d in have if d["trigger_name"] == "poll"]
    row.assertEqual(sorted(polled), sorted(set(polled)), "a commit was taken twice")
    if row.tested and row.expects.get("state"):
        row.assertIn(row.tested, [d["commit_id"] for d in have])
        row.assertIn(row.tested, commits_of_the_branch(row))


def v2(row):
    """Never two migrations at once, and each once."""
    row.assertLessEqual(row.watch.jobs, 1, "migrations ran at once")
    lines = row.volume_lines()
    row.assertEqual(sorted(lines), sorted(set(lines)), "a migration ran twice")


def v3(row):
    """No service is touched before the migrations are on record as done, none after a failed one."""
    for d in deployments(row):
        steps = journal(row, "SELECT * FROM step WHERE deployment = ? ORDER BY seq", d["id"])
        migrations = [s for s in steps if s["kind"] in ("run", "sql", "backup")]
        for roll in (s for s in steps if s["kind"] == "roll" and s["started_us"] and migrations and s["seq"] > migrations[0]["seq"]):
            for m in migrations:
                row.assertIn(m["state"], ("done", "skipped", "failed (allowed)"), f"#{d['id']}: {roll['name']} was rolled over {m['name']}")
                row.assertLessEqual(m["finished_us"] or 0, roll["started_us"], f"#{d['id']}: {roll['name']} before {m['name']}")


def v4(row):
    """The version before serves, or the new one; the prober was not turned away more often than it may be."""
    # a row may be over within a second
    answers = row.wait(lambda: len(row.prober.since()) > 1 and row.prober.since(), 20, "answers of the prober")
    failed = [a for a in answers if a[1] == "FAILED" and not any(begin <= a[0] <= end for begin, end in row.excused)]
    if failed:
        for t in row.engine.tasks(row.full("web")):
            print(t["CreatedAt"], t["UpdatedAt"], t["DesiredState"], t["Status"]["State"], t["Status"].get("Err", ""), t["Spec"]["ContainerSpec"].get("Env"))
        print(f"turned away from {time.strftime('%H:%M:%S', time.gmtime(failed[0][0]))} to {time.strftime('%H:%M:%S', time.gmtime(failed[-1][0]))}")
    row.assertLessEqual(len(failed), row.expects.get("budget", 0), f"the prober was turned away: {[a for a in answers if a[1] == 'FAILED']}, excused {row.excused}")
    wrong = {a for _, a in answers} - {"FAILED"} - {str(v) for v in row.versions}
    row.assertEqual(wrong, set(), "what never was deployed answers")


def v5(row):
    """An end, or `stuck` with a reason that says what to do; that it came in time was waited for."""
    d = next(d for d in reversed(deployments(row)) if d["commit_id"] == row.tested)
    row.assertIn(d["state"], ENDED)
    row.assertTrue(d["reason"], "there is no reason")
    if d["state"] == "stuck":
        row.assertIn("agentctl", d["reason"])


def v6(row):
    """What is reported runs: images by digest, migrations by the lines they left."""
    newest = [d for d in deployments(row) if d["state"] == "succeeded"]
    row.assertTrue(newest, "nothing has succeeded")
    digests = images_of(row, newest[-1]["id"])
    for name, service in live_services(row).items():
        image = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
        row.assertTrue(image.endswith(f"@{digests[name]}"), f"{name} is {image}, on record is {digests[name]}")
        for task in row.engine.running(service["Spec"]["Name"]):
            row.assertEqual(task["Spec"]["ContainerSpec"]["Image"], image, f"a task of {name}")
    if row.migrates:
        applied = journal(row, "SELECT count(*) AS n FROM migration m JOIN deployment d ON d.id = m.deployment WHERE m.state = 'applied' AND d.stack = ?", row.name)
        if not row.expects.get("forgets"):
            row.assertEqual(applied[0]["n"], len(row.volume_lines()), "migrations on record and those that ran")


# Whole specs, with the variables that are in them, and what is made of them: docs/decisions/0003.
SPECS = {("spec", "body"), ("step", "params")}


def journal_texts(row):
    """Column → all that it holds."""
    found = {}
    for table in journal(row, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        for line in journal(row, f"SELECT * FROM {table['name']}"):
            for column, value in line.items():
                if (table["name"], column) not in SPECS:
                    found.setdefault(f"column {column} of the journal's {table['name']}", []).append(value if isinstance(value, bytes) else str(value).encode())
    return {where: b"\n".join(values) for where, values in found.items()}


def v7(row):
    """Planted secrets are in no log, no answer, no command line, no core, and not in the record beside the specs."""
    row.assertTrue(row.canaries, "no secret was planted")
    forms = [f for text in row.canaries for f in (text, base64.b64encode(text.encode()).decode(), urllib.parse.quote(text, safe=""))]
    said = {str(p.relative_to(row.dir)): p.read_bytes() for p in row.dir.rglob("*")
            if p.is_file() and (p.suffix == ".log" or p.name.startswith("core"))} | journal_texts(row)
    for words in (("log", "--wide"), ("status", row.name), ("log", row.name, "--json"), ("status", row.name, "--json")):
        said[f"agentctl {' '.join(words)}"] = row.agentctl(*words).stdout.encode()
    for d in deployments(row):
        said[f"agentctl show {d['id']}"] = row.agentctl("show", str(d["id"]), "--logs").stdout.encode()
    for where, text in said.items():
        for form in forms:
            row.assertFalse(form.encode() in text, f"a planted secret is in {where}")
    row.assertEqual(row.watch.leaks, set(), "a planted secret is in a command line")


def v8(row):
    """Memory, descriptors, children and disk are bounded."""
    for program, (rss, fds) in row.watch.used.items():
        row.assertLess(rss, MAX_RSS[program], f"memory of {program}")
        row.assertLess(fds, MAX_FDS, f"file descriptors of {program}")
    row.assertLess(sum(p.stat().st_size for p in (row.dir / "state").rglob("*") if p.is_file()), MAX_STATE, "state_dir")
    if row.agents and row.agent.alive():
        children = pathlib.Path(f"/proc/{row.agent.pid}/task/{row.agent.pid}/children")
        row.wait(lambda: not row.run_worker() and len(children.read_text().split()) <= 1, 20, "the children to end")


def v9(row):
    """What is not ours was not touched."""
    row.assertTrue(row.foreign, "there is nothing foreign")
    for kind, number, index in row.foreign:
        item = row.engine.get(f"/{kind}/{number}")
        row.assertIsNotNone(item, f"a foreign object of {kind} is gone")
        row.assertEqual(item["Version"]["Index"], index, f"a foreign object of {kind} was changed")


def v10(row):
    """Put back by digest, to the spec of before."""
    backs = [d for d in deployments(row) if d["state"] == "rolled_back"]
    row.assertTrue(backs, "nothing was put back")
    for s in journal(row, "SELECT s.*, p.body FROM service s JOIN spec p ON p.hash = s.before_hash WHERE s.deployment = ? AND s.state = 'rolled_back'", backs[-1]["id"]):
        image = json.loads(s["body"])["TaskTemplate"]["ContainerSpec"]["Image"]
        row.assertIn("@sha256:", image)
        if backs[-1] is deployments(row)[-1] or backs[-1]["id"] == deployments(row)[-1]["id"]:
            row.assertEqual(row.spec(s["service"])["TaskTemplate"]["ContainerSpec"]["Image"], image, f"{s['service']} after it was put back")


def v11(row):
    """A second run after a success changes nothing."""
    effects, records, tasks = len(row.tap.effects()), len(deployments(row)), row.task_ids("web")
    row.agentctl("sync", row.name, "--wait", code=0)
    row.assertEqual((row.tap.effects()[effects:], len(deployments(row)), row.task_ids("web")), ([], records, tasks))


def v12(row):
    """What is refused has no effect, and is on record at most once."""
    row.assertEqual(row.tap.effects(), [], "there were effects")
    row.assertLessEqual(len([d for d in deployments(row) if d["commit_id"] == row.tested]), 1)


ALL = {name.upper(): function for name, function in list(globals().items()) if re.fullmatch(r"v\d+", name)}
