# SPDX-License-Identifier: Apache-2.0
"""The systems of docs/examples, deployed as a user would who copied the folder: the first deployment, a commit that changes
nothing, an upgrade, and the bad day that each is known for.
"""

import configparser
import json
import re
import shutil
import socket
import subprocess
import tempfile

from harness import Case, HERE, LAB_TOOLS, deadline, long, wait_for

EXAMPLES = HERE.parents[1] / "docs/examples"
PATCHES = HERE.parent / "quickstart.d"


class Example(Case):
    """A repository that holds an example's folder, and a configuration of its agent.conf and env.example."""

    slow = True
    tapped = True
    limit = 300
    example = None
    database = "db"
    user = None  # of the database
    # nothing here is about a deadline, and several databases are made at once
    gate = {**Case.gate, "healthy_deadline": deadline(50)}

    def setUp(self):
        self.addCleanup(lambda: self.remove_volumes(self.name))
        super().setUp()
        shutil.copytree(EXAMPLES / self.example, self.clone, dirs_exist_ok=True)
        self.stack_file = self.clone / "deploy/stack.yml"
        self.settings = configparser.ConfigParser(interpolation=None)
        self.settings.read(self.clone / "agent.conf")
        self.variables = {}
        for line in (self.clone / "env.example").read_text().splitlines():
            if line and not line.startswith("#"):
                name, value = line.split("=", 1)
                self.variables[name] = re.sub("<([^>]*)>", self.filled_in, value)
        self.variables["REGISTRY"] = self.images = f"{self.registry}/{self.name}"
        self.agentctl("render", self.stack_file, "--stack", self.example, "--env-file", self.env_file(**self.variables), code=0)
        self.edit("deploy/stack.yml", *self.for_the_lab())
        self.configure_as_it_says()

    @staticmethod
    def filled_in(match):
        return "word-" + re.sub("[^a-z]", "-", match[1])

    def for_the_lab(self):
        """Its images, and nothing that a test would wait for."""
        return [("(?m)^  gate: .*$", f"  gate: {json.dumps(self.gate)}"), ("image: postgres:15", f"image: {self.registry}/postgres:15"),
                ("interval: 5s", "interval: 2s"), ("update_config: {", "update_config: {monitor: 1s, ")]

    def configure_as_it_says(self, **more):
        stack = dict(self.settings[f"stack {self.example}"], repository=f"file://{self.bare}", poll_interval="1s",
                     env_file=self.env_file(**self.variables))
        if "image_of_commit" in stack:
            stack["image_of_commit"] = f"{self.images}/{self.example}"
        self.configure(stack={**stack, **more})

    def edit(self, path, *replacements):
        file = self.clone / path
        text = file.read_text()
        for pattern, new in replacements:
            text, n = re.subn(pattern, lambda _: new, text)
            self.assertGreater(n, 0, f"{path} has no {pattern}")
        file.write_text(text)

    def write(self, path, text):
        (self.clone / path).write_text(text)

    # ---- what CI would do ----

    def application(self, reference, base, command, commit=None):
        """The image of what is committed."""
        with tempfile.TemporaryDirectory() as folder:
            archive = subprocess.run(["git", "-C", self.clone, "archive", "HEAD"], check=True, capture_output=True)
            subprocess.run(["tar", "-x", "-C", folder, "--exclude=deploy"], input=archive.stdout, check=True)
            words = ["--base", f"{self.registry}/{base}", "--to", "/app", "--workdir", "/app", "--cmd", json.dumps(command), "--push"]
            if commit:
                words += ["--label", f"org.opencontainers.image.revision={commit}"]
            self.lab.tool("image", f"{self.images}/{reference}", folder, *words)

    # ---- what is there ----

    def container(self, service):
        def look():
            return [t["Status"]["ContainerStatus"]["ContainerID"] for t in self.engine.running(self.full(service))]
        return wait_for(look, 20, f"a task of {service}")[-1]

    def query(self, sql):
        """Lines of psql -At."""
        return self.lab.docker("exec", self.container(self.database), "psql", "-h", "127.0.0.1", "-U", self.user, "-d", self.example.replace("-", "_"),
                               "-v", "ON_ERROR_STOP=1", "-qAtc", sql).splitlines()

    def logged(self, *columns):
        """The runner's own record in the database, oldest first."""
        words = " || ' ' || ".join(f"coalesce({c}::text, '')" for c in columns or ("target_schema", "version", "state"))
        return self.query(f"SELECT {words} FROM deploy_agent.migration_log ORDER BY id")

    def backups(self, volume):
        out = self.lab.docker("run", "--rm", "-v", f"{self.name}_{volume}:/backups:ro", f"{self.registry}/postgres:15", "ls", "/backups")
        return [name for name in out.split() if name.endswith(".dump")]

    def states(self, record):
        return [(m["step"], m["state"]) for m in record["migrations"]]

    def changes_nothing(self, evidence):
        """One more commit of the same: recorded, and nothing else happens. evidence() is what must be the same afterwards."""
        before = evidence(), self.specs(), {s: self.task_ids(s) for s in (self.database, "web")}
        self.tap.requests.clear()
        record = self.deploy(NOTES="words only", message="Words only")
        self.assertEqual(record["reason"], "no change")
        self.assertEqual(self.tap.effects(), [])
        self.assertEqual((evidence(), self.specs(), {s: self.task_ids(s) for s in (self.database, "web")}), before)
        self.agentctl("plan", self.name, code=0)

    def fails(self, commit, *words, **more):
        """The deployment fails for a reason that has these words, and no service was touched by it."""
        before = self.specs(), self.task_ids("web")
        record = self.expect(commit, "failed", 90, **more)
        for word in words:
            self.assertIn(word, record["reason"])
        self.assertEqual((self.specs(), self.task_ids("web")), before)
        return record

    def no_secret_is_shown(self):
        shown = self.agent.log.read_text() + self.agentctl("log", self.name, "--json").stdout
        for record in self.log():
            shown += self.agentctl("show", str(record["id"]), "--logs", "--json").stdout
        self.assertNotIn("word-", shown)


class WheelAnalyzer(Example):
    example = "wheel-analyzer"
    database = "wheel_analyzer_db"
    user = "wheel_analyzer"

    def build(self, commit):
        self.application("wheel-analyzer:main", "django-base:1", ["gunicorn", "--bind", "0.0.0.0:8000", "wheel_analyzer.wsgi"], commit)

    def patch(self, name):
        subprocess.run(["git", "-C", self.clone, "apply", PATCHES / name], check=True)
        commit = self.commit(message=name)
        self.build(commit)
        return commit

    def migrated(self):
        return self.query("SELECT app || '.' || name FROM django_migrations ORDER BY 1")

    def test_wheel_analyzer(self):
        shutil.copytree(LAB_TOOLS / "apps/django", self.clone, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        commit = self.commit(message="Wheel Analyzer on Docker Swarm")
        self.build(commit)
        self.start()
        record = self.expect(commit, "succeeded", 90)
        self.assertIn(("django", "applied"), self.states(record))
        self.assertEqual(self.migrated(), ["scanner.0001_initial", "tracker.0001_initial"])
        # there was nothing to back up
        self.assertEqual(self.backups("wheel_analyzer_pg_backups"), [])
        network = self.engine.get(f"/networks/{self.full('app_main')}")
        self.assertFalse(network["Attachable"])
        self.changes_nothing(self.migrated)

        commit = self.patch("2-good-migration.patch")
        self.expect(commit, "succeeded", 90)
        self.assertIn("tracker.0002_campaign_notes", self.migrated())
        self.assertEqual(len(self.backups("wheel_analyzer_pg_backups")), 1)

        # two users share the empty address
        commit = self.patch("3-failing-migration.patch")
        record = self.fails(commit, "exit 1", "no service was touched")
        self.assertIn(("django", "failed"), self.states(record))
        self.assertNotIn("tracker.0003_user_email_unique", self.migrated())
        self.assertIn("could not create unique index", self.agentctl("show", str(record["id"]), "--logs").stdout)
        # held until somebody mends the data and says so
        self.agentctl("sync", self.name, "--wait", code=1)
        self.query("UPDATE tracker_user SET email = name || '@example.org' WHERE email = ''")
        self.agentctl("retry", self.name, code=0)
        self.expect(commit, "succeeded", 90, at_least=2)
        self.assertIn("tracker.0003_user_email_unique", self.migrated())
        self.no_secret_is_shown()


class ProjectMeats(Example):
    example = "projectmeats"
    user = "postgres"
    tenants = ("acme", "bella", "cosima")

    def setUp(self):
        self.addCleanup(lambda: self.lab.docker("secret", "rm", self.secret, check=False))
        super().setUp()
        self.secret = f"{self.name}_app_password"
        password = re.search(":([^:@]*)@", self.variables["DATABASE_URL"])[1]
        subprocess.run(self.lab.enter("docker", "secret", "create", self.secret, "-"), input=password + "\n", text=True, check=True,
                       capture_output=True)

    def for_the_lab(self):
        return [*super().for_the_lab(), ("external: true", f"external: true\n    name: {self.name}_app_password")]

    def build(self):
        self.application("projectmeats:1.0", "django-base:1", ["gunicorn", "--bind", "0.0.0.0:8000", "projectmeats.wsgi"])

    def versions(self):
        """Of each tenant."""
        return {schema: self.query(f'SELECT version FROM "{schema}".schema_migrations ORDER BY 1')
                for schema in self.query("SELECT schema_name FROM clients_client ORDER BY 1")}

    def histories(self):
        """Of each tenant, with what failed. The schema deploy_agent is the superuser's, so they are beside the tables."""
        return {tenant: self.query(f"SELECT version || ' ' || state FROM {tenant}._deploy_migration_log ORDER BY id") for tenant in self.versions()}

    @long
    def test_projectmeats(self):
        # a URL that was written for another role
        good = self.variables["DATABASE_URL"]
        self.variables["DATABASE_URL"] = good.replace("projectmeats:", "root:", 1)
        self.env_file(**self.variables)
        commit = self.commit(message="ProjectMeats on Docker Swarm")
        self.build()
        self.start()
        record = self.expect(commit, "failed", 60)
        self.assertIn('login of role "root"', record["reason"])
        self.assertIn("variable DATABASE_URL", record["reason"])
        self.assertLess(record["duration_s"], 90)  # ready_timeout is two minutes
        self.assertIsNone(self.spec("web"))
        self.assertEqual({m["step"] for m in record["migrations"] if m["state"] != "not run"}, {"roles"})

        self.variables["DATABASE_URL"] = good
        self.env_file(**self.variables)
        self.agentctl("retry", self.name, code=0)
        record = self.expect(commit, "succeeded", 120, at_least=2)
        steps = [s["name"] for s in self.show(record["id"])["steps"] if s["kind"] in ("sql", "run")]
        self.assertEqual(steps, ["roles", "shared", "create-tenants", "tenants", "seed"])
        self.assertEqual(self.versions(), {tenant: ["001", "002"] for tenant in self.tenants})
        self.assertEqual(self.query("SELECT extname FROM pg_extension WHERE extname IN ('citext', 'pg_trgm') ORDER BY 1"), ["citext", "pg_trgm"])
        # nobody has asked for a tenant demo yet: exit 3, allowed, and not hidden
        self.assertIn(("seed", "failed (allowed)"), self.states(record))
        self.assertIn("exit 3", self.agentctl("show", str(record["id"])).stdout)
        self.changes_nothing(lambda: (self.histories(), self.logged()))

        self.write("deploy/tenant/003_order_notes.sql", "ALTER TABLE orders ADD COLUMN notes text NOT NULL DEFAULT '';\n")
        self.edit("deploy/stack.yml", ("TENANTS: acme bella cosima", "TENANTS: acme bella cosima demo"))
        record = self.expect(self.commit(message="Notes, and a tenant to show"), "succeeded", 90)
        self.assertEqual(self.versions(), {tenant: ["001", "002", "003"] for tenant in (*self.tenants, "demo")})
        self.assertIn(("seed", "applied"), self.states(record))
        self.assertEqual(self.query("SELECT count(*) FROM demo.suppliers"), ["2"])
        self.assertEqual(len(self.backups("projectmeats_backups")), 1)
        self.no_secret_is_shown()

    @long
    def test_one_tenant_fails(self):
        commit = self.commit(message="ProjectMeats on Docker Swarm")
        self.build()
        self.start()
        self.expect(commit, "succeeded", 120)
        self.query("INSERT INTO bella.suppliers (name) VALUES ('Hill Farm')")
        self.query("INSERT INTO bella.products (supplier_id, code, name) VALUES (1, 'P1', 'ribs'), (1, 'P1', 'rump')")
        self.write("deploy/tenant/003_unique_codes.sql", "ALTER TABLE products ADD CONSTRAINT products_code UNIQUE (code);\n")
        self.fails(self.commit(message="Codes are unique"), "schema bella: 003_unique_codes.sql:1:1:", "no service was touched")
        self.assertEqual({tenant: v[-1] for tenant, v in self.versions().items()}, {"acme": "003", "bella": "002", "cosima": "002"})
        # the others need not wait for it
        self.edit("deploy/stack.yml", ("on_error: stop", "on_error: continue"))
        commit = self.commit(message="Go on with the other tenants")
        self.fails(commit, "1 of 3 schemas failed: bella: 003_unique_codes.sql:1:1:", "no service was touched")
        self.assertEqual({tenant: v[-1] for tenant, v in self.versions().items()}, {"acme": "003", "bella": "002", "cosima": "003"})
        self.query("UPDATE bella.products SET code = 'P2' WHERE name = 'rump'")
        self.agentctl("retry", self.name, code=0)
        self.expect(commit, "succeeded", 90, at_least=2)
        through = ["001 applied", "002 applied"]
        self.assertEqual(self.histories(), {"acme": [*through, "003 applied"], "cosima": [*through, "003 applied"],
                                            "bella": [*through, "003 failed", "003 failed", "003 applied"]})


class St44(Example):
    example = "st44"
    user = "st44"
    folder = "docker/postgres/migrations"
    shipped = ["000", "001", "011", "012", "013", "014", "015", "016"]

    def setUp(self):
        super().setUp()
        self.lab.image(f"{self.name}/st44-web:1.0")

    def configure_as_it_says(self, **more):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        super().configure_as_it_says(**more)
        host = self.settings["http"]["listen"].split(":")[0]
        text = self.conf.read_text()
        self.assertIn("listen =\n", text)
        self.conf.write_text(text.replace("listen =\n", f"listen = {host}:{self.port}\n"))

    def versions(self):
        return self.query("SELECT version FROM schema_migrations ORDER BY 1")

    def health_of_database(self):
        """What /health/database answers: status, and the document."""
        run = subprocess.run(self.lab.enter("curl", "-sS", "-w", "\n%{http_code}", f"http://127.0.0.1:{self.port}/health/database"),
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        body, _, status = run.stdout.rpartition("\n")
        return int(status), json.loads(body)

    def healthy(self, versions):
        """It is so within a moment: the answer is kept for a few seconds."""
        def look():
            status, document = self.health_of_database()
            return status == 200 and document["migrations"]["applied"] == versions
        wait_for(look, 10, lambda: f"/health/database, which says {self.health_of_database()}")
        document = self.health_of_database()[1]
        self.assertEqual((document["status"], document["database"]), ("healthy", "connected"))
        self.assertEqual(document["migrations"], {"applied": versions, "latest": versions[-1], "pending": []})

    @long
    def test_st44(self):
        commit = self.commit(message="st44 on Docker Swarm")
        self.start()
        record = self.expect(commit, "succeeded", 90)
        self.assertEqual([(m["version"], m["state"]) for m in record["migrations"] if m["step"] == "schema"],
                         [(version, "applied") for version in self.shipped])
        self.assertEqual(self.versions(), self.shipped)
        self.assertEqual(self.logged("version", "mode", "state"),
                         [f"{v} {'no_tx' if v == '014' else 'multi_tx' if v == '015' else 'tx'} applied" for v in self.shipped])
        # neither of rollback/ was run
        self.assertEqual(self.query("SELECT to_regclass('task_assignments'), count(points) FROM tasks"), ["task_assignments|0"])
        self.healthy(self.shipped)
        self.changes_nothing(lambda: (self.versions(), self.logged("id", "state")))

        self.write(f"{self.folder}/017_add_rewards.sql", "CREATE TABLE rewards (id bigint PRIMARY KEY, points integer NOT NULL);\n")
        record = self.deploy(message="Rewards", state="succeeded")
        self.assertEqual([(m["version"], m["name"], m["state"]) for m in record["migrations"]], [("017", "add_rewards", "applied")])
        self.assertEqual(self.query("SELECT name FROM schema_migrations WHERE version = '017'"), ["add_rewards"])
        self.assertEqual(len(self.backups("st44_backups")), 1)
        shipped = [*self.shipped, "017"]
        self.healthy(shipped)

        # what two merged branches leave, and what a formatter of SQL must not do
        before = self.versions(), self.logged("id", "state")
        self.write(f"{self.folder}/018_add_levels.sql", "CREATE TABLE levels (id bigint PRIMARY KEY);\n")
        self.write(f"{self.folder}/018_add_badges.sql", "CREATE TABLE badges (id bigint PRIMARY KEY);\n")
        record = self.fails(self.commit(message="Two files of one number"), "018_add_badges.sql", "018_add_levels.sql", "no service was touched")
        self.assertIn("what ran before runs on", self.agentctl("show", str(record["id"])).stdout)
        self.assertEqual((self.versions(), self.logged("id", "state")), before)
        (self.clone / self.folder / "018_add_badges.sql").unlink()
        self.edit(f"{self.folder}/016_add_points.sql", ("points integer", "points smallint"))
        self.fails(self.commit(message="Points are small"), "016_add_points.sql", "no service was touched")
        self.assertEqual((self.versions(), self.logged("id", "state")), before)
        # /health/database speaks of the commit that is deployed
        self.healthy(shipped)
        # a comment is no change
        self.edit(f"{self.folder}/016_add_points.sql", ("points smallint", "points integer"), ("-- 016: points", "-- 016: Points"))
        self.deploy(message="Levels alone", state="succeeded")
        self.healthy([*shipped, "018"])
        self.no_secret_is_shown()

    @long
    def test_second_transaction_fails(self):
        commit = self.commit(message="st44 on Docker Swarm")
        self.start()
        self.expect(commit, "succeeded", 90)
        self.query("INSERT INTO households (name) VALUES ('one')")
        self.query("INSERT INTO tasks (household_id, title, rule_type) VALUES (1, 'dishes', 'daily')")
        first = "BEGIN;\nALTER TABLE tasks ADD COLUMN effort integer;\nCOMMIT;\n"
        self.write(f"{self.folder}/017_add_effort.sql", first + "BEGIN;\nALTER TABLE tasks ALTER COLUMN effort SET NOT NULL;\nCOMMIT;\n")
        record = self.fails(self.commit(message="How hard a task is"), "017_add_effort.sql:5")
        self.assertIn(("schema", "failed"), self.states(record))
        self.assertEqual(self.query("SELECT count(*) FROM information_schema.columns WHERE column_name = 'effort'"), ["1"])
        self.assertEqual(self.versions(), self.shipped)
        self.assertIn("017 failed 3", self.logged("version", "state", "stmts_done"))
        self.write(f"{self.folder}/017_add_effort.sql",
                   first + "BEGIN;\nUPDATE tasks SET effort = 1;\nALTER TABLE tasks ALTER COLUMN effort SET NOT NULL;\nCOMMIT;\n")
        self.deploy(message="Tasks that are there take one", state="succeeded")
        self.assertEqual(self.query("SELECT effort FROM tasks"), ["1"])
        self.assertEqual(self.versions(), [*self.shipped, "017"])


class Autodeploy(Example):
    example = "autodeploy"
    user = "autodeploy"

    def build(self, version):
        self.application(f"autodeploy:{version}", "flask-base:1", ["gunicorn", "--bind", "0.0.0.0:8000", "app:app"])

    def revision(self):
        return self.query("SELECT version_num FROM alembic_version")

    def targets(self):
        return self.query("SELECT name FROM targets ORDER BY 1")

    @long
    def test_autodeploy(self):
        commit = self.commit(message="Autodeploy on Docker Swarm")
        self.build("1.0")
        self.start()
        record = self.expect(commit, "succeeded", 90)
        self.assertIn(("alembic", "applied"), self.states(record))
        self.assertEqual(self.revision(), ["0001"])
        self.query("INSERT INTO targets (name) VALUES ('production')")
        self.changes_nothing(self.revision)

        # the data outlives the database's task
        old = self.container("db")
        self.lab.docker("rm", "-f", old)
        wait_for(lambda: self.engine.running(self.full("db")) and self.container("db") != old, 40, "another task of the database")
        self.assertEqual(self.targets(), ["production"])

        # and an upgrade
        self.write("migrations/versions/0002_release_notes.py", "import sqlalchemy as sa\nfrom alembic import op\n\nrevision = '0002'\ndown_revision = '0001'\n\n\n"
                   "def upgrade():\n    op.add_column('releases', sa.Column('notes', sa.Text, nullable=False, server_default=''))\n")
        self.edit("deploy/stack.yml", ("autodeploy:1.0", "autodeploy:1.1"))
        commit = self.commit(message="Notes of a release")
        self.build("1.1")
        self.expect(commit, "succeeded", 90)
        self.assertEqual((self.revision(), self.targets()), (["0002"], ["production"]))
        self.assertEqual(len(self.backups("autodeploy_backups")), 1)

        # somebody changes the password in the one place where it has no effect any more
        good = dict(self.variables)
        self.variables = {name: value.replace("word-password", "word-another") for name, value in good.items()}
        self.env_file(**self.variables)
        before = self.spec("web"), self.task_ids("web")
        self.agentctl("sync", self.name, "--wait", code=1)
        record = self.expect(commit, "failed", 90, at_least=2)
        self.assertEqual(record["trigger"], "env")
        self.assertIn("POSTGRES_PASSWORD are read only when the volume is empty", record["reason"])
        self.assertEqual((self.spec("web"), self.task_ids("web")), before)
        self.assertLess(record["duration_s"], 45)  # not waited for
        self.env_file(**good)
        self.agentctl("retry", self.name, code=0)
        self.expect(commit, "succeeded", 90, at_least=3)
        self.assertEqual(self.targets(), ["production"])
        self.no_secret_is_shown()
