# SPDX-License-Identifier: Apache-2.0
"""What is pushed, and what may become of it."""

GATE = {"probe_interval": "500ms", "success_threshold": 2, "failure_threshold": 4, "min_healthy_time": "1s", "baseline_samples": 2,
        "healthy_deadline": "60s", "total_deadline": "180s", "soak": "1s"}

# Kinds of bad commits: what their end may be where nothing else goes wrong.
BAD = {
    "failing SQL": ("failed",),
    "failing job": ("failed",),
    "failing health": ("rolled_back",),
    "crash loop": ("rolled_back",),
    "missing image": ("failed",),
    "bad YAML": ("failed",),
}
# A good commit may be given up because of a fault; a bad one may end in another bad way. Neither may be lost, stuck, or a success
# that is none.
GIVEN_UP = ("failed", "rolled_back", "halted")


class Commit:
    def __init__(self, number, kind, commit, pushed, files, burst):
        self.number = number
        self.kind = kind  # "good", or one of BAD
        self.id = commit
        self.pushed = pushed
        self.files = files  # numbers of the SQL files in its tree
        self.burst = burst  # another one was pushed right after it
        self.disturbed = False  # a fault overlapped it

    @property
    def good(self):
        return self.kind == "good"

    def may_end(self):
        if self.good:
            return ("succeeded",) + (GIVEN_UP if self.disturbed else ())
        return BAD[self.kind] + (GIVEN_UP if self.disturbed else ())

    def __str__(self):
        return f"commit {self.number} ({self.id[:7]}, {self.kind})"


class Model:
    """Makes commits; knows which SQL files are in the tree."""

    def __init__(self, world, bad_share):
        self.world = world
        self.bad_share = bad_share
        self.commits = []
        self.files = []
        self.last_bad_file = None
        self.bag = []

    def kind(self):
        """Each kind of bad commit comes as often as the others."""
        if self.world.random.random() >= self.bad_share:
            return "good"
        if not self.bag:
            self.bag = list(BAD)
            self.world.random.shuffle(self.bag)
        return self.bag.pop()

    def stack(self, number, kind):
        environment = {"VERSION": str(number)}
        if kind == "failing health":
            environment["HEALTH_STATUS"] = "500"
        if kind == "crash loop":
            environment.update(EXIT_AFTER_S="0", EXIT_CODE="3")
        image = f"{self.world.registry}/" + (f"nosuch:{number}" if kind == "missing image" else "web:1")
        update = {"order": "start-first", "monitor": "1s"}
        home = {"constraints": [f"node.hostname == {self.world.home.name}"]}
        job = ["exit", "3"] if kind == "failing job" else ["append", "/lines/runs", str(number)]
        return {
            "version": "3.8",
            "services": {
                "db": {"image": f"{self.world.registry}/postgres:15",
                       "environment": {"POSTGRES_DB": "app", "POSTGRES_USER": "app", "POSTGRES_PASSWORD": "${DB_PASSWORD}"},
                       "volumes": ["pg:/var/lib/postgresql/data"],
                       "healthcheck": {"test": ["CMD", "pg_isready", "-h", "127.0.0.1"], "interval": "2s", "retries": 30},
                       "deploy": {"endpoint_mode": "dnsrr", "placement": home, "update_config": {"monitor": "1s"}}},
                "client": {"image": f"{self.world.registry}/web:1", "deploy": {"endpoint_mode": "dnsrr", "placement": home, "update_config": {"monitor": "1s"}}},
                "web": {"image": image, "environment": environment, "volumes": [f"{self.world.lines_dir}:/lines"],
                        "healthcheck": {"test": ["CMD", "/web", "probe", "http://127.0.0.1:8000/"], "interval": "1s", "timeout": "10s", "retries": 3},
                        "deploy": {"replicas": 2, "endpoint_mode": "dnsrr", "update_config": update, "rollback_config": update}},
            },
            "volumes": {"pg": {}},
            "x-release": {
                "database": {"service": "db", "url_from": "DATABASE_URL", "ready_timeout": "60s"},
                "steps": [{"sql": {"name": "schema", "dir": "db"}},
                          {"run": {"name": "line", "service": "web", "command": job, "timeout": "60s"}}],
                "health": {"web": [{"http": "http://web:8000/health", "timeout": "10s"}]},
                "gate": GATE,
            },
        }

    def push(self, pushed, burst=False, kind=None):
        number = len(self.commits) + 1
        kind = kind or self.kind()
        files, remove = {}, []
        if number == 1:
            kind = "good"
            files["db/0000_start.sql"] = "CREATE TABLE lines (number int NOT NULL);\n"
        if self.last_bad_file:  # mended by the next commit, whatever else it breaks
            remove.append(self.last_bad_file)
            self.last_bad_file = None
        name = f"db/{number:04}_line.sql"
        if kind == "failing SQL":
            files[name] = f"INSERT INTO lines VALUES ({number});\nSELECT 1 / 0;\n"
            self.last_bad_file = name
        else:
            files[name] = f"INSERT INTO lines VALUES ({number});\n"
            self.files.append(number)
        stack = f"services: [{number}\n" if kind == "bad YAML" else self.stack(number, kind)
        commit = self.world.commit(stack, f"{number}: {kind}", files, remove)
        self.commits.append(Commit(number, kind, commit, pushed, list(self.files), burst))
        return self.commits[-1]


def acted(record):
    """Terminal, and a deployment of its own: not what an agent finds done, taken over or given up by another one."""
    reason = record["reason"] or ""
    return (record["state"] in ("succeeded", "failed", "rolled_back", "halted", "cancelled", "stuck")
            and reason != "no change" and "is held since" not in reason)


def of(records, commit):
    return [r for r in records if r["commit_id"] == commit.id]
