# SPDX-License-Identifier: Apache-2.0
"""
The checker: says what a deployment has really come to. It shares no code with the agent and asks none of its programs; it
reads the engine, the database (by psql in its container), the Git repository, the journal's file, /proc, the requests that a wire
tap before the engine has seen, and what an outside prober has written down.

V1   each commit of the branch that was acknowledged has one deployment, in a state that is an end or can be resumed
V2   each migration ran once, each file is applied once, and no job and no lock is left
V3   no service was touched before its migrations were recorded as done, and none after one failed
V4   the version before kept serving: the prober met nobody who did not answer (a service of two replicas, start-first)
V5   there is an end, and its reason (the suite's own deadlines see to "in time")
V6   what the record says of services and digests is what the engine has
V7   secrets are in no log, in no command line, and the contents of secrets not in the journal either
V8   no process and no job is left behind
V9   what belongs to others is as it was
V10  services that were put back have exactly the specs from before
V11  asked again, nothing happens
V12  what is refused changes nothing: of the cases here, a poll that fails
Some need more than one look: Attempt (scenarios.py) compares the whole with the undisturbed run, which is V2, V5 and V10.
"""

import contextlib
import json
import pathlib
import re
import sqlite3
import subprocess

from expect import Failure, check, same, wait_for

ENDED = {"succeeded", "failed", "rolled_back", "halted", "cancelled", "superseded", "stuck"}
RESUMABLE = {"requested", "planned", "running", "interrupted"}


class Witness:
    """One stack, as it is seen from outside. Whoever drives it fills in what it is called and where it is."""

    # engine, lab, tap, name, password, shape, dir, bare, state_dir, log, conf, program, old, new, old_tag, new_tag, generation

    # ---- the record ----

    @contextlib.contextmanager
    def journal(self, mode="ro"):
        path = self.state_dir / "journal.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode={mode}", uri=True, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            yield db
            db.commit()

    def rows(self, sql, *values):
        with self.journal() as db:
            return [dict(row) for row in db.execute(sql, values)]

    def state(self, deployment):
        return self.rows("SELECT state FROM deployment WHERE id = ?", deployment)[0]["state"]

    def reason(self, deployment):
        return self.rows("SELECT reason FROM deployment WHERE id = ?", deployment)[0]["reason"]

    def waiting(self):
        return (self.rows("SELECT waiting FROM stack WHERE stack = ?", self.name) or [{"waiting": None}])[0]["waiting"]

    def step(self, deployment, kind, name=None):
        for row in self.rows("SELECT * FROM step WHERE deployment = ? AND kind = ?", deployment, kind):
            if name in (None, row["name"]):
                return row
        return None

    def service_state(self, deployment, service):
        rows = self.rows("SELECT state FROM service WHERE deployment = ? AND service = ?", deployment, service)
        return rows[0]["state"] if rows else None

    # ---- the database ----

    def query(self, sql):
        """By psql in the container of the stack's database."""
        task = next(t for t in self.engine.tasks(f"{self.name}_db") if t["Status"]["State"] == "running")
        return self.lab.tool("enter", "docker", "exec", task["Status"]["ContainerStatus"]["ContainerID"],
                             "psql", "-h", "127.0.0.1", "-U", "app", "-d", "app", "-v", "ON_ERROR_STOP=1", "-Atc", sql).strip()

    # ---- comparing ----

    def neutral(self, text):
        """Without what differs between two runs of the same: names, generations, IDs, counts and times."""
        if text is None:
            return None
        text = text.replace(self.name, "STACK")
        for version, word in ((self.new, "NEW"), (self.old, "OLD")):
            if version:
                text = re.sub(rf"\b{version}\b", word, text)
        text = text.replace(f"/web:{self.new_tag}", "/web:NEW").replace(f"/web:{self.old_tag}", "/web:OLD")
        text = re.sub(r"\bg\d+\b", "OLDER", text)
        text = re.sub(r"#\d+", "#N", text)
        text = re.sub(r"\b\d{3}([0-4])(?=\b|_)", r"GEN\1", text)  # versions of SQL files
        text = re.sub(r"\b[0-9a-z]{12,25}\b(?=[ :…])", "TASK", text)
        text = re.sub(r"_[0-9a-f]{12}\b", "_HASH", text)
        text = re.sub(r"\b[0-9a-f]{7,64}\b", "HEX", text)
        text = re.sub(r"\(\d+ of \d+\)", "(M of N)", text)
        text = re.sub(r" \(\d+ tasks failed\)", "", text)
        text = re.sub(r"; \w+ had \d+ task failures? in the 10 minutes before", "", text)  # of the case before in the same lane
        return text

    def record(self, deployment):
        d = self.rows("SELECT * FROM deployment WHERE id = ?", deployment)[0]
        output = {}
        for row in self.rows("SELECT s.kind, s.name, o.data FROM step s JOIN step_output o USING (deployment, seq)"
                             " WHERE deployment = ? ORDER BY seq, part", deployment):
            key = f"{row['kind']} {self.neutral(row['name'])}"
            output[key] = output.get(key, "") + row["data"].decode()
        return {
            "state": d["state"],
            "reason": self.neutral(d["reason"]),
            "steps": [(s["kind"], self.neutral(s["name"]), s["state"], self.neutral(s["error"]))
                      for s in self.rows("SELECT * FROM step WHERE deployment = ? ORDER BY seq", deployment)],
            "services": {self.neutral(s["service"]): (s["action"], s["state"], self.neutral(s["note"]))
                         for s in self.rows("SELECT * FROM service WHERE deployment = ?", deployment)},
            "migrations": [(m["step"], m["state"])
                           for m in self.rows("SELECT * FROM migration WHERE deployment = ? ORDER BY position", deployment)],
            # what migrations printed, line by line; logs of services depend on the moment they are read
            "output": {k: v for k, v in output.items() if k.startswith("run ")},
        }

    def live(self):
        """The stack's services as they are, in the neutral form."""
        services = {}
        networks = {n["Id"]: n["Name"] for n in self.engine.get("/networks")}
        for live in self.engine.labelled("services", f"com.docker.stack.namespace={self.name}"):
            spec = live["Spec"]
            task = spec["TaskTemplate"]
            for network in task.get("Networks", []):
                network["Target"] = networks.get(network["Target"], "?")
            for kind in ("Secret", "Config"):
                for reference in task["ContainerSpec"].get(f"{kind}s", []):
                    reference.pop(f"{kind}ID")
            spec["Labels"] = {k: v for k, v in spec["Labels"].items() if not k.startswith("deploy-agent.")}
            text = json.dumps(spec, sort_keys=True)
            services[self.neutral(spec["Name"])] = self.neutral(text)
        return services

    def effects(self, since):
        """
        What changed the swarm, in counts: {"update service STACK_one": 1}. Which old secrets and configs are pruned
        depends on how many deployments the stack has seen; how often checks are asked, on the time that others take.
        """
        counts = {}
        for effect in self.tap.effects[since:]:
            if effect.status < 300 and effect.words not in ("remove secret", "remove config") and "_hlt_" not in effect.name:
                key = f"{effect.words} {self.neutral(effect.name)}"
                counts[key] = counts.get(key, 0) + 1
        return counts

    def version(self, service):
        live = self.engine.service(f"{self.name}_{service}")
        if not live:
            return None
        env = live["Spec"]["TaskTemplate"]["ContainerSpec"].get("Env") or []
        return next((e.split("=", 1)[1] for e in env if e.startswith("VERSION=")), None)

    # ---- what is left ----

    def jobs(self):
        return [s["Spec"]["Name"] for s in self.engine.labelled("services", f"deploy-agent.stack={self.name}")]

    def processes(self):
        """Processes of this lane's workers: by their configuration file, or, for a relay's process, by where it came from."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                environment = (entry / "environ").read_bytes().split(b"\0")
                if words[0] == str(self.program).encode() and (str(self.conf).encode() in words
                                                                   or f"HOME={self.dir}".encode() in environment):
                    found.append((int(entry.name), b" ".join(words).decode()))
        return found

    def check_leftovers(self):
        same(self.jobs(), [], "migration jobs that are left")
        with contextlib.suppress(Failure):
            wait_for(lambda: not self.processes(), 5, "processes to end")
        same(self.processes(), [], "processes that are left")
        same(self.waiting(), None, "what the record says is waited for")

    # ---- the invariants ----

    def no_commit_is_lost(self):  # V1
        rows = self.rows("SELECT id, commit_id, state, trigger_name FROM deployment ORDER BY id")
        for row in rows:
            check(row["state"] in ENDED | RESUMABLE, f"#{row['id']} is in no state that there is: {row['state']}")
        by_id = {row["id"]: row["commit_id"] for row in rows}
        for deployment, commit in self.acknowledged.items():
            same(by_id.get(deployment), commit, f"commit of deployment #{deployment}, which a poll has acknowledged")
        for commit in self.commits():
            polled = [row["id"] for row in rows if row["commit_id"] == commit and row["trigger_name"] in ("poll", "webhook", "sync")]
            want = 1 if commit in self.acknowledged.values() else len(polled[:1])
            same(len(polled), want, f"deployments of commit {commit[:12]} ({polled})")

    def commits(self):
        run = subprocess.run(["git", "--git-dir", str(self.bare), "rev-list", "main"], capture_output=True, text=True, check=True)
        return run.stdout.split()

    def services_follow_migrations(self, deployment, since):  # V3
        steps = self.rows("SELECT kind, name, state, finished_us FROM step WHERE deployment = ?", deployment)
        early = {step["name"] for step in steps if step["kind"] == "before"}
        services = {row["name"] for row in self.rows("SELECT service, name FROM service WHERE deployment = ?", deployment) if row["service"] not in early}
        touched = [e for e in self.tap.effects[since:] if e.name in services and e.words in ("create service", "update service", "remove service")]
        for step in steps if touched else []:
            if step["kind"] in ("run", "sql", "expect"):
                first = touched[0]
                check(step["state"] in ("done", "failed_allowed", "skipped"), f"{first.name} was touched, and {step['name']} is {step['state']}")
                check((step["finished_us"] or 0) / 1e6 <= first.at, f"{first.name} was touched before {step['name']} was recorded as done")

    def record_is_real(self, deployment):  # V6
        """Of a success: the specs and the digests."""
        digests = {row["service"]: row["digest"] for row in self.rows("SELECT service, digest FROM image WHERE deployment = ?", deployment)}
        for row in self.rows("SELECT s.service, s.name, s.action, p.body FROM service s LEFT JOIN spec p ON p.hash = s.after_hash"
                             " WHERE deployment = ?", deployment):
            live = self.engine.service(row["name"])
            if row["action"] == "remove":
                same(live, None, f"service {row['name']}, which was removed")
                continue
            check(live and row["body"], f"service {row['name']}: is there {bool(live)}, on record {bool(row['body'])}")
            same(json.loads(row["body"]), live["Spec"], f"spec of {row['name']}, record and engine")
            if digests.get(row["service"]):
                check(live["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].endswith(digests[row["service"]]), f"digest of {row['name']}")

    def secrets_are_nowhere(self):  # V7
        """What the stack's secret holds, and the database's password; specs, and with them environments, are in the journal on purpose."""
        hidden = {self.password.encode(): False, f"secret of {self.new}".encode(): True}
        files = {self.log: True, **{path: False for path in self.state_dir.glob("journal.db*")}}
        for path, is_log in files.items():
            data = path.read_bytes()
            for secret, nowhere in hidden.items():
                check(not (is_log or nowhere) or secret not in data, f"{secret.decode()} is in {path}")
        for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = entry.read_bytes()
                check(not any(secret in words for secret in hidden), f"a secret is in {entry}: {words!r}")

    def applied_once(self, lines):  # V2
        runs = [line for line in self.lab.volume_lines(f"{self.name}_data", "runs") if line == self.new]
        same(len(runs), lines, "times the migration ran")

    def files_applied_once(self, tenants, end):  # V2
        """Everything ran once, and nothing of a file that failed is there."""
        said = self.query(f"SELECT word FROM runs WHERE generation = '{self.new}' ORDER BY 1").splitlines()
        want = ["one 1", "one 2", "two 1", "two 2"]
        same(said, sorted(want + (list(tenants) if end == "succeeded" else [])), "what the files wrote")
        numbers = [f"{self.generation:03d}{i}" for i in range(4)]
        same(self.query(f"SELECT version FROM schema_migrations WHERE version LIKE '{self.generation:03d}%' ORDER BY 1").splitlines(), numbers, "versions")
        same(self.query("SELECT version, state FROM deploy_agent.migration_log l WHERE id = (SELECT max(id) FROM deploy_agent.migration_log m"
                        " WHERE m.version = l.version AND m.target_schema = l.target_schema AND m.stage = l.stage)"
                        " AND state <> 'applied' AND version NOT LIKE '%4'"), "", "attempts that did not end")
        same(self.query("SELECT count(*) FROM pg_index WHERE NOT indisvalid"), "0", "invalid indexes")
        same(self.query("SELECT count(*) FROM pg_class WHERE relname = 'half'"), "0", "tables of the file that failed")
        same(self.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0", "locks that are held")

    def invariants(self, deployment, since):
        """Those that hold at any end."""
        self.no_commit_is_lost()
        self.services_follow_migrations(deployment, since)
        if self.state(deployment) == "succeeded":
            self.record_is_real(deployment)
        self.secrets_are_nowhere()
        self.check_leftovers()
