# SPDX-License-Identifier: Apache-2.0
"""Migrations: run once, before any application service rolls; a failed one stops everything."""

import json

from harness import Case, PostgresCase, deadline, long


class Migrations(Case):
    tapped = True

    def once(self, text):
        return ["append", "/data/runs", text]

    def with_volume(self, **settings):
        return self.web(volumes=["data:/data"], **settings)

    def stack_with(self, *steps, **services):
        return self.stack({"steps": list(steps), "health": self.health()}, volumes={"data": {}},
                          **(services or {"web": self.with_volume()}))

    def setUp(self):
        super().setUp()
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", f"{self.name}_data", check=False)

    def test_runs_once_before_the_services(self):
        commit = self.commit(self.stack_with(self.job(command=self.once("one"))))
        self.start()
        record = self.expect(commit, "succeeded")
        self.assertEqual(self.volume_lines(), ["one"])
        self.assertEqual([(m["step"], m["state"]) for m in record["migrations"]], [("migrate", "applied")])
        kinds = [s["kind"] for s in self.show(record["id"])["steps"]]
        self.assertLess(kinds.index("run"), kinds.index("roll"))
        self.assertEqual(self.job_services(), [])

    def test_runs_in_the_new_image_with_the_services_environment(self):
        self.lab.image(f"{self.name}:v1")
        web = self.with_volume(image=f"{self.registry}/{self.name}:v1", MARK="from the service")
        commit = self.commit(self.stack_with(self.job("env", ["env", "MARK"]), self.job("file", ["cat", "/etc/built-for-a-test"]), web=web))
        self.start()
        record = self.expect(commit, "succeeded")
        steps = {s["name"]: s for s in json.loads(self.agentctl("show", str(record["id"]), "--logs", "--json").stdout)["steps"]
                 if s["kind"] == "run"}
        self.assertIn("from the service", steps["env"]["output"])
        self.assertIn(f"{self.name}:v1", steps["file"]["output"])

    def test_exit_1_touches_no_service(self):
        commit = self.commit(self.stack_with(web=self.with_volume(VERSION="one")))
        self.start()
        self.expect(commit, "succeeded")
        before = self.specs(), self.task_ids("web")
        self.tap.requests.clear()
        record = self.deploy(self.stack_with(self.job(command=["exit", "1"]), web=self.with_volume(VERSION="two")), "failed")
        self.assertIn("exit 1", record["reason"])
        self.assertIn("no service was touched", record["reason"])
        self.assertEqual([(m["step"], m["state"]) for m in record["migrations"]], [("migrate", "failed")])
        self.assertEqual((self.specs(), self.task_ids("web")), before)
        self.assertEqual(self.updates("web"), 0)
        self.serves("web", "one")
        self.assertIn("FAILED", self.agentctl("log").stdout)
        # held: not tried again by itself
        self.agentctl("sync", self.name, "--wait", code=1)
        self.assertEqual(len(self.log()), 2)

    def test_output_is_kept(self):
        commit = self.commit(self.stack_with(self.job(command=["say", "line one", "line two"])))
        self.start()
        record = self.expect(commit, "succeeded")
        self.assertIn("line two", self.agentctl("show", str(record["id"]), "--logs").stdout)

    def test_output_of_both_streams_is_whole(self):
        """The engine stamps the two streams apart, so that lines come a little out of order."""
        talk = "say() { i=0; while [ $$i -lt 10000 ]; do i=$$((i+1)); echo $$1 $$i; done; }; say err >&2 & say out; wait; exit 3"
        tool = self.web(entrypoint=["/bin/busybox"], command=["sleep", "3600"])
        commit = self.commit(self.stack({"steps": [self.job(command=["sh", "-c", talk], service="tool")]}, tool=tool))
        self.start()
        record = self.expect(commit, "failed")
        lines = self.agentctl("show", str(record["id"]), "--logs").stdout.splitlines()
        for stream in ("out", "err"):
            numbers = sorted(int(line.split()[-1]) for line in lines if f" │ {stream} " in line)
            self.assertEqual(numbers, list(range(1, 10001)))

    def test_several_steps_in_order_stop_at_the_first_failure(self):
        steps = [self.job("a", self.once("a")), self.job("b", ["exit", "3"]), self.job("c", self.once("c"))]
        commit = self.commit(self.stack_with(*steps))
        self.start()
        record = self.expect(commit, "failed")
        self.assertEqual(self.volume_lines(), ["a"])
        self.assertEqual([m["state"] for m in record["migrations"]], ["applied", "failed", "not run"])
        self.assertIsNone(self.spec("web"))

    def test_allowed_failure(self):
        commit = self.commit(self.stack_with(self.job("seed", ["exit", "3"], allow_failure=True)))
        self.start()
        record = self.expect(commit, "succeeded")
        self.assertEqual([m["state"] for m in record["migrations"]], ["failed (allowed)"])

    def test_check_decides(self):
        commit = self.commit(self.stack_with(self.job(command=["exit", "0"], check=["exit", "1"])))
        self.start()
        record = self.expect(commit, "failed")
        self.assertIn("check", record["reason"])
        self.assertIsNone(self.spec("web"))

    def test_first_deploy_only(self):
        step = self.job("seed", self.once("seed"), when="first_deploy")
        commit = self.commit(self.stack_with(step))
        self.start()
        self.expect(commit, "succeeded")
        self.deploy(self.stack_with(step, web=self.with_volume(VERSION="two")))
        self.assertEqual(self.volume_lines(), ["seed"])

    @long
    def test_when_changed(self):
        step = self.job("schema", self.once("schema"), when={"changed": ["migrations"]})
        commit = self.commit(self.stack_with(step), migrations__one="1")
        self.start()
        self.expect(commit, "succeeded")
        self.deploy(self.stack_with(step, web=self.with_volume(VERSION="two")))
        self.assertEqual(len(self.volume_lines()), 1)
        self.deploy(self.stack_with(step, web=self.with_volume(VERSION="three")), migrations__two="2")
        self.assertEqual(len(self.volume_lines()), 2)

    def test_changed_step_alone_deploys(self):
        commit = self.commit(self.stack_with(self.job(command=self.once("one"))))
        self.start()
        self.expect(commit, "succeeded")
        before = self.task_ids("web")
        self.deploy(self.stack_with(self.job(command=self.once("two"))))
        self.assertEqual(self.volume_lines(), ["one", "two"])
        self.assertEqual(self.task_ids("web"), before)

    def test_retry_runs_it_again(self):
        # a service that fails for as long as a file says so
        commit = self.commit(self.stack_with(self.job(command=["cat", "/data/ready"])))
        self.start()
        self.expect(commit, "failed")
        self.lab.docker("run", "--rm", "-v", f"{self.name}_data:/data", f"{self.registry}/web:1", "append", "/data/ready", "yes")
        self.agentctl("retry", self.name, code=0)
        record = self.expect(commit, "succeeded", at_least=2)
        self.assertEqual(record["trigger"], "retry")

    def test_services_image_with_a_healthcheck(self):
        """An image whose HEALTHCHECK fails while it migrates must not get the job killed."""
        self.lab.image(f"{self.name}:sick", health='["CMD", "/web", "exit", "1"]')
        web = self.with_volume(image=f"{self.registry}/{self.name}:sick", healthcheck={"disable": True})
        commit = self.commit(self.stack_with(self.job(command=["sleep", "6"]), web=web))
        self.start()
        self.expect(commit, "succeeded")


class Database(PostgresCase):
    """With a real PostgreSQL and the Django application of the quickstart's shape."""

    limit = 300

    def setUp(self):
        super().setUp()
        self.configure(stack={"env_file": self.env_file(DB_PASSWORD="pass-1234-word", DATABASE_URL="postgres://app:pass-1234-word@db:5432/app")})

    def stack_with_database(self, *steps, wait="60s", **more):
        release = {"database": {"service": "db", "url_from": "DATABASE_URL", "ready_timeout": wait}, "steps": list(steps)}
        return self.stack(release, db=self.postgres(**more), web=self.web(VERSION="one"), volumes={"pg": {}})

    def query(self, sql):
        task = self.engine.running(self.full("db"))[0]
        return self.lab.docker("exec", task["Status"]["ContainerStatus"]["ContainerID"], "psql", "-h", "127.0.0.1", "-U", "app", "-Atc", sql)

    def test_database_first_then_steps_then_services(self):
        psql = {"run": {"name": "schema", "service": "db", "command": ["psql", "${DATABASE_URL}", "-c", "CREATE TABLE t (i int)"]}}
        commit = self.commit(self.stack_with_database(psql))
        self.start()
        record = self.expect(commit, "succeeded", 90)
        self.assertEqual(self.query("SELECT count(*) FROM pg_tables WHERE tablename = 't'"), "1")
        kinds = [s["kind"] for s in self.show(record["id"])["steps"]]
        self.assertLess(kinds.index("before"), kinds.index("ready"))
        self.assertLess(kinds.index("ready"), kinds.index("run"))
        self.assertNotIn("pass-1234-word", self.agentctl("show", str(record["id"]), "--logs", "--json").stdout + self.agent.log.read_text())

    def psql(self, name, sql):
        return {"run": {"name": name, "service": "db", "command": ["psql", "${DATABASE_URL}", "-v", "ON_ERROR_STOP=1", "-c", sql]}}

    def checked(self, version, *steps, command=("exit", "0"), **services):
        stack = self.stack_with_database(*steps)
        stack["x-release"]["health"] = {"web": [{"tcp": "web:8000", "timeout": "10s"}, {"sql": "SELECT count(*) >= 0 FROM t", "timeout": "10s"},
                                                {"command": list(command), "timeout": "40s"}]}
        stack["x-release"]["gate"] = {**self.gate, "healthy_deadline": deadline(35), "baseline_samples": 2}
        stack["services"]["web"] = self.web(VERSION=version)
        stack["services"].update(services)
        return stack

    def test_checks_by_tcp_sql_and_command(self):
        table = self.psql("schema", "CREATE TABLE IF NOT EXISTS t (i int)")
        commit = self.commit(self.checked("one", table))
        self.start()
        record = self.expect(commit, "succeeded", 90)
        self.assertEqual({s["name"]: s["state"] for s in record["services"]}, {"db": "healthy", "web": "healthy"})
        self.assertNotIn("unverified: web", record["reason"])
        self.assertEqual(self.job_services(), [])
        record = self.expect(self.commit(self.checked("two", table, command=("exit", "3"))), "rolled_back", 150)
        self.assertIn("web command 'exit 3': 0 of", record["reason"])
        self.assertIn("exit 3 now", record["reason"])
        self.assertEqual(self.job_services(), [])

    def test_migration_that_breaks_the_old_code_of_what_is_rolled(self):
        """The new code is what the schema was made for: it is said, and goes on."""
        commit = self.commit(self.checked("one", self.psql("schema", "CREATE TABLE IF NOT EXISTS t (i int)")))
        self.start()
        self.expect(commit, "succeeded", 90)
        stack = self.checked("two", self.psql("schema", "ALTER TABLE t RENAME TO u"))
        stack["x-release"]["health"]["web"] = [{"sql": "SELECT count(*) >= 0 FROM t", "timeout": "10s"}]
        record = self.expect(self.commit(stack), "rolled_back", 150)
        self.assertIn("web sql 'SELECT count(*) >= 0 FROM t': 2 of 2 before, 0 of 2 now", record["reason"])
        self.assertIn("the migration broke the old code", record["reason"])

    @long
    def test_migration_that_breaks_what_is_not_rolled(self):
        """Rolling back would not help, and nothing that is rolled mends it."""
        commit = self.commit(self.checked("one", self.psql("schema", "CREATE TABLE IF NOT EXISTS t (i int)"), other=self.web(VERSION="one")))
        self.start()
        self.expect(commit, "succeeded", 90)
        record = self.expect(self.commit(self.checked("one", self.psql("schema", "ALTER TABLE t RENAME TO u"), other=self.web(VERSION="two"))), "halted", 90)
        self.assertIn("web sql", record["reason"])
        self.assertIn("schema is ahead, needs a forward fix", record["reason"])
        self.serves("other", "one")

    @long
    def test_failed_migration_leaves_the_database_service(self):
        psql = {"run": {"name": "schema", "service": "db", "command": ["psql", "${DATABASE_URL}", "-c", "SELECT 1 / 0"]}}
        commit = self.commit(self.stack_with_database(psql))
        self.start()
        record = self.expect(commit, "failed", 90)
        self.assertIn("division by zero", record["reason"])
        self.assertIsNone(self.spec("web"))
        self.assertEqual(self.query("SELECT 1"), "1")

    def test_two_agents_never_migrate_at_once(self):
        """Containers cannot hold our lock: a login of ours holds it beside them, as another agent's would."""
        append = {"run": {"name": "schema", "service": "db", "command": ["psql", "${DATABASE_URL}", "-c", "CREATE TABLE IF NOT EXISTS t (i int)"]}}
        first = self.commit(self.stack_with_database(append))
        self.start()
        self.expect(first, "succeeded", 90)
        database = self.engine.running(self.full("db"))[0]["Status"]["ContainerStatus"]["ContainerID"]
        self.lab.docker("exec", "-d", "-e", "PGAPPNAME=another", database, "psql", "-h", "127.0.0.1", "-U", "app", "-c",
                        "SELECT pg_advisory_lock(hashtextextended('deploy-agent:migrate:containers', 0))", "-c", "SELECT pg_sleep(600)")
        self.wait(lambda: self.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == "1", 20, "the other's lock")
        slow = {"run": {**append["run"], "command": ["psql", "${DATABASE_URL}", "-c", "SELECT pg_sleep(20)"]}}
        commit = self.commit(self.stack_with_database(slow))
        self.wait(lambda: "held by another" in self.waiting(), 60, "the other to be named")
        self.assertEqual(self.job_services(), [])
        self.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'another'")
        ours = "FROM pg_stat_activity WHERE application_name LIKE 'deploy-agent/%' AND state = 'idle' AND query LIKE '%advisory%'"
        self.wait(lambda: self.query("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)'") == "1", 60, "the migration to run")
        self.assertEqual(self.query(f"SELECT pg_terminate_backend(pid) {ours}"), "t")
        record = self.expect(commit, "failed")
        self.assertIn("it ended well, but the connection whose lock keeps other agents out of the database was lost", record["reason"])

    @long
    def test_wrong_password_is_said_at_once(self):
        self.configure(stack={"env_file": self.env_file(DB_PASSWORD="pass-1234-word", DATABASE_URL="postgres://app:wrong-9876@db:5432/app")})
        commit = self.commit(self.stack_with_database(self.job(), wait="120s"))
        self.start()
        record = self.expect(commit, "failed", 60)
        self.assertIn("password", record["reason"])
        self.assertNotIn("wrong-9876", record["reason"])
        self.assertIsNone(self.spec("web"))
