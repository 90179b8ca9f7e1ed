# SPDX-License-Identifier: Apache-2.0
"""Steps of SQL files on a real PostgreSQL in the Swarm: what is in the database, in the record and in what agentctl says.
What the runner does with single files is tested in tests/pg."""

import json
import os
import re
import signal

from harness import PostgresCase, long

ENV = {"DB_PASSWORD": "pass-1234-word", "DATABASE_URL": "postgres://app:pass-1234-word@db:5432/app",
       "ADMIN_URL": "postgres://app:pass-1234-word@db:5432/postgres"}


# What `agentctl show` says to somebody who was woken by it, with all that is another in each run masked.
REGRESSION = """\
deployment 2 of STACK: rolled back
  commit      COMMIT on main
  subject     version two
  author      alice
  trigger     poll
  requested   TIME
  started     TIME
  finished    TIME, took TOOK
  started on  #1, the last success
  why         web /health: 3 of 3 before, 0 of 3 now (200 before, 500 now); back on #1, database stays at 002

steps
  ├─  1  TIME   TOOK  done    pull REGISTRY/web:1
  ├─  2  TIME   TOOK  done    relay STACK
  ├─  3  TIME   TOOK  done    baseline stack STACK
  ├─  4  TIME   TOOK  done    ready db
  ├─  5  TIME   TOOK  done    sql schema
  │      002 more: applied, SECONDS s, 0 rows
  │      version 001 → 002
  ├─  6  TIME   TOOK  done    compare stack STACK
  └─  7  TIME   TOOK  failed  roll web
         web /health: 3 of 3 before, 0 of 3 now (200 before, 500 now)
         REGISTRY/web:1@sha256:DIGEST, other settings changed
         update: rolled back
         │ task ID, running:
         │ web: version two listens on 8000

images
  db: REGISTRY/postgres:15 sha256:DIGEST
  web: REGISTRY/web:1 sha256:DIGEST

other services
  db: unchanged

what happened
  check       web /health
  before      3 of 3 samples passed, the last: 200
  now         0 of the newest 3 samples passed, the last: 500
  failed      step 7, roll web
  put back    web: exactly as before, REGISTRY/web:1@sha256:DIGEST, and it passed its gate
  not touched db
  database    schema at 002 (001 before): migrations are not undone

what next
  The services were put back to what ran before. Users may have met the new version for a short time. 1 migration was applied and stays.
  This commit is held. Push one that mends it, or, when the cause lay elsewhere, try this one again: agentctl retry 2
"""


class Sql(PostgresCase):
    limit = 300

    def setUp(self):
        super().setUp()
        self.configure(stack={"env_file": self.env_file(**ENV)})

    # ---- stack files ----

    @staticmethod
    def sql(name="schema", folder="db", **more):
        return {"sql": {"name": name, "dir": folder, **more}}

    def version(self, number, *steps, database=None, web=None):
        release = {"database": {"service": "db", "url_from": "DATABASE_URL", "admin_url_from": "ADMIN_URL", "ready_timeout": "60s",
                                **(database or {})},
                   "steps": list(steps) or [self.sql()], "health": self.health()}
        return self.stack(release, db=self.postgres(), web=self.web(VERSION=number, **(web or {})), volumes={"pg": {}})

    def put(self, number, *steps, state="succeeded", remove=(), files=None, **more):
        """Deploys a version with files; the record."""
        for path in remove:
            (self.clone / path).unlink()
        commit = self.commit(self.version(number, *steps, **more), f"version {number}", **(files or {}))
        if not self.agents:
            self.start()
        return self.expect(commit, state, 120)

    def first(self, **files):
        return self.put("one", files={"db/000_versions.sql": "CREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, "
                                      "name varchar(255) NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());\n",
                                      "db/001_users.sql": "CREATE TABLE users (id int);\nINSERT INTO users SELECT generate_series(1, 5);\n",
                                      "db/README.md": "read me\n", "db/rollback/001_down.sql": "DROP TABLE users;\n", **files})

    # ---- what there is ----

    def query(self, sql, database="app"):
        task = self.engine.running(self.full("db"))[0]
        return self.lab.docker("exec", task["Status"]["ContainerStatus"]["ContainerID"], "psql", "-h", "127.0.0.1", "-U", "app", "-d", database,
                               "-Atc", sql)

    def versions(self):
        return self.query("SELECT version FROM schema_migrations ORDER BY version").split()

    @staticmethod
    def states(record):
        return [(m["version"], m["state"]) for m in record["migrations"]]

    def kinds(self, record):
        return [f'{s["kind"]} {s["name"]}' for s in self.show(record["id"])["steps"]]

    def plan(self, code=2):
        return json.loads(self.agentctl("plan", self.name, "--json", code=code).stdout)


class Good(Sql):
    def test_fresh_database_then_nothing_to_do_then_one_more(self):
        record = self.first()
        self.assertEqual(self.versions(), ["000", "001"])
        self.assertEqual(self.query("SELECT count(*) FROM users"), "5")
        self.assertEqual(self.states(record), [("000", "applied"), ("001", "applied")])
        self.assertEqual(record["migrations"][1]["rows"], 5)
        self.assertGreater(record["migrations"][1]["duration_s"], 0)
        self.assertEqual(record["schemas"], [{"step": "schema", "schema": None, "before": "", "after": "001"}])
        self.assertIn("2 applied", self.agentctl("log").stdout)
        kinds = self.kinds(record)
        self.assertLess(kinds.index("ready db"), kinds.index("sql schema"))
        self.assertLess(kinds.index("sql schema"), kinds.index("roll web"))
        self.assertIn("001_users.sql: applied in", self.agentctl("show", str(record["id"]), "--logs").stdout)
        self.assertEqual(self.query("SELECT string_agg(version || ' ' || state, ',' ORDER BY version) FROM deploy_agent.migration_log"),
                         "000 applied,001 applied")

        self.assertTrue(self.plan(code=0)["empty"])
        again = self.deploy(None, **{"notes.md": "nothing of the stack"})
        self.assertEqual(again["reason"], "no change")
        self.assertEqual(again["migrations"], [])

        (self.clone / "db/002_more.sql").write_text("ALTER TABLE users ADD COLUMN name text;\nDROP TABLE IF EXISTS nothing;\n")
        commit = self.commit(message="one more", push=False)
        self.git("push", "-q", "origin", "HEAD:refs/heads/main")
        record = self.expect(commit, "succeeded", 60)
        self.assertEqual(self.states(record), [("002", "applied")])
        self.assertIn("schema 001 → 002", record["reason"])
        self.assertEqual(self.versions(), ["000", "001", "002"])

    def test_plan_says_what_is_pending_and_what_is_dangerous(self):
        commit = self.commit(self.version("one"), **{"db/001_users.sql": "CREATE TABLE users (id int);\n"})
        text = self.agentctl("plan", self.name, code=2).stdout
        self.assertIn("migrations schema, db: 1 pending, → 001", text)
        self.assertIn("the database was not asked", text)
        self.start()
        self.expect(commit, "succeeded", 120)
        self.agent.stop()
        self.commit(self.version("one"), **{"db/002_index.sql": "CREATE INDEX users_id ON users (id);\nCREATE TABLE t (i int);\n"
                                            "CREATE INDEX t_i ON t (i);\n"})
        plan = self.plan()
        self.assertEqual([(m["version"], m["state"]) for m in plan["migrations"]], [("002", "pending")])
        self.assertEqual([(s["asked"], s["before"], s["after"]) for s in plan["sql"]], [(True, "001", "002")])
        warnings = [w for w in plan["warnings"] if "index-without-concurrently" in w]
        self.assertEqual(len(warnings), 1, plan["warnings"])
        self.assertTrue(warnings[0].startswith("schema: 002_index.sql:1: "), warnings)
        self.assertEqual(self.versions(), ["001"])  # nothing was done

    def test_admin_steps_come_before_the_login(self):
        """The application's role is made by the first step; it can log in only after that."""
        roles = """DO $$ BEGIN
  CREATE ROLE shop LOGIN PASSWORD 'shop-7777-word';
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
"""
        files = {"init/roles.sql": roles, "db/001_t.sql": "CREATE TABLE t (i int);\n",
                 "init/schema.sql": "CREATE SCHEMA IF NOT EXISTS shop AUTHORIZATION shop;\nGRANT CREATE ON DATABASE app TO shop;\n"}
        self.configure(stack={"env_file": self.env_file(**{**ENV, "DATABASE_URL": "postgres://shop:shop-7777-word@db:5432/app",
                                                           "ADMIN_URL": "postgres://app:pass-1234-word@db:5432/app"})})
        steps = [{"sql": {"name": "init", "dir": "init", "as": "admin", "versioned": False}}, self.sql()]
        record = self.put("one", *steps, files=files)
        kinds = [k for k in self.kinds(record) if k.split()[0] in ("ready", "sql")]
        self.assertEqual(kinds, ["ready admin", "sql init", "ready db", "sql schema"])
        self.assertEqual(self.query("SELECT tableowner || ' ' || schemaname FROM pg_tables WHERE tablename = 't'"), "shop shop")
        self.assertNotIn("shop-7777-word", self.agentctl("show", str(record["id"]), "--logs", "--json").stdout + self.agent.log.read_text())
        # idempotent files are no reason to deploy, and run again with what is one
        self.assertTrue(self.plan(code=0)["empty"])
        record = self.put("two", *steps)
        self.assertEqual([(m["step"], m["state"]) for m in record["migrations"]], [("init", "applied"), ("init", "applied")])

    @long
    def test_admin_step_makes_schema_and_role_for_later_steps(self):
        """The database can be asked when the plan is made, and does not have yet what the first step makes."""
        self.configure(stack={"env_file": self.env_file(**{**ENV, "ADMIN_URL": ENV["DATABASE_URL"]})})
        self.first()
        self.query("ALTER ROLE app SET search_path = later")
        steps = [self.sql("init", "init", versioned=False, **{"as": "admin"}), self.sql("later", "later", lint={"owner-to": "error"})]
        self.put("two", *steps, files={
            "init/a.sql": "CREATE SCHEMA IF NOT EXISTS later;\nDO $$ BEGIN IF to_regrole('own') IS NULL THEN CREATE ROLE own; END IF; END $$;\n",
            "later/001_t.sql": "CREATE TABLE t (id int);\nALTER TABLE t OWNER TO own;\n"})
        self.assertEqual(self.query("SELECT relowner::regrole FROM pg_class WHERE oid = 'later.t'::regclass"), "own")
        # now it is asked, and a role is missing
        self.put("three", *steps, files={
            "init/b.sql": "DO $$ BEGIN IF to_regrole('second') IS NULL THEN CREATE ROLE second; END IF; END $$;\n",
            "later/002_t.sql": "ALTER TABLE t OWNER TO second;\n"})
        self.assertEqual(self.query("SELECT relowner::regrole FROM pg_class WHERE oid = 'later.t'::regclass"), "second")
        record = self.put("four", *steps, state="failed", files={"later/003_t.sql": "ALTER TABLE t OWNER TO nobodys;\n"})
        self.assertIn("003_t.sql:1: owner-to", record["reason"])

    def test_each_schema(self):
        files = {"db/001_tenants.sql": "CREATE TABLE tenants (name text);\nINSERT INTO tenants VALUES ('zoo'), ('acme'), ('gone');\n"
                                       "CREATE SCHEMA acme;\nCREATE SCHEMA zoo;\n",
                 "tenant/1_t.sql": "CREATE TABLE t (i int);\n"}
        tenants = self.sql("tenants", "tenant", for_each_schema="SELECT name FROM tenants", on_error="continue")
        record = self.put("one", self.sql(), tenants, {"expect": {"tables": ["acme.t", "zoo.t", "tenants"]}}, files=files)
        self.assertEqual([(m["step"], m["schema"], m["version"], m["state"]) for m in record["migrations"]],
                         [("schema", None, "001", "applied"), ("tenants", "acme", "1", "applied"), ("tenants", "zoo", "1", "applied")])
        output = self.agentctl("show", str(record["id"]), "--logs").stdout
        self.assertIn("schema gone does not exist any more: skipped", output)
        # one of two fails: the other is tried all the same, and the next run does only the rest
        self.query("CREATE TABLE acme.u (i int)")
        record = self.put("two", self.sql(), tenants, state="failed", files={"tenant/2_u.sql": "CREATE TABLE u (i int);\n"})
        self.assertEqual([(m["schema"], m["version"], m["state"]) for m in record["migrations"]], [("acme", "2", "failed"), ("zoo", "2", "applied")])
        self.assertIn("tenants: 1 of ", record["reason"])
        self.assertIn("acme: 2_u.sql:1:", record["reason"])
        self.query("DROP TABLE acme.u")
        record = self.put("three", self.sql(), tenants)
        self.assertEqual([(m["schema"], m["version"], m["state"]) for m in record["migrations"]], [("acme", "2", "applied")])

    def test_expectation_that_is_not_met(self):
        record = self.put("one", self.sql(), {"expect": {"tables": ["users", "orders"], "query": "SELECT true"}}, state="failed",
                          files={"db/001_users.sql": "CREATE TABLE users (id int);\n"})
        self.assertIn("expect: ", record["reason"])
        self.assertIn("orders", record["reason"])
        self.assertIn("database stays at 001", record["reason"])
        self.assertIsNone(self.spec("web"))

    @long
    def test_files_applied_by_hand_are_not_run(self):
        self.first()
        self.agent.stop()
        self.query("CREATE TABLE late (i int); INSERT INTO schema_migrations (version, name) VALUES ('002', 'late')")
        self.start()
        record = self.put("two", files={"db/002_late.sql": "CREATE TABLE late (i int);\n", "db/003_x.sql": "CREATE TABLE x (i int);\n"})
        self.assertEqual(self.states(record), [("003", "applied")])

    @long
    def test_restored_database_gets_its_files_again(self):
        """Nothing changed in the repository: the database's word counts."""
        self.first()
        self.query("DROP TABLE users; DELETE FROM schema_migrations WHERE version = '001'; DELETE FROM deploy_agent.migration_log WHERE version = '001'")
        plan = self.plan()
        self.assertFalse(plan["empty"])
        self.assertEqual([m["version"] for m in plan["migrations"]], ["001"])


class Bad(Sql):
    def masked(self, page):
        for pattern, word in ((re.escape(self.name), "STACK"), (re.escape(self.registry), "REGISTRY"), (r"sha256:[0-9a-f]+", "sha256:DIGEST"),
                              (r"\b[0-9a-f]{40}\b", "COMMIT"), (r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d", "TIME"), (r"\b\d+m\d\ds", "TOOK"),
                              (r"\d+\.\d{3} s", "SECONDS s"), (r"task \w+,", "task ID,")):
            page = re.sub(pattern, word, page)
        return page

    def test_failing_file_touches_no_service(self):
        self.first()
        before = self.specs(), self.task_ids("web")
        record = self.put("two", state="failed", files={
            "db/002_fine.sql": "CREATE TABLE fine (i int);\n",
            "db/003_broken.sql": "CREATE TABLE half (i int);\n\n  ALTER TABLE nosuch ADD COLUMN x int;\n",
            "db/004_never.sql": "CREATE TABLE never (i int);\n"})
        self.assertTrue(record["reason"].startswith("schema: 003_broken.sql:3:"), record["reason"])
        self.assertIn("nosuch", record["reason"])
        self.assertNotIn("\n", record["reason"])
        self.assertIn("no service was touched, database stays at 002", record["reason"])
        self.assertEqual(self.states(record), [("002", "applied"), ("003", "failed"), ("004", "not run")])
        self.assertEqual((self.specs(), self.task_ids("web")), before)
        self.assertEqual(self.query("SELECT count(*) FROM pg_tables WHERE tablename IN ('half', 'never')"), "0")
        self.assertEqual(self.versions(), ["000", "001", "002"])
        self.assertIn("FAILED", self.agentctl("log").stdout)
        # mended, it goes on behind what was applied
        record = self.put("three", files={"db/003_broken.sql": "CREATE TABLE half (i int);\n"})
        self.assertEqual(self.states(record), [("003", "applied"), ("004", "applied")])

    def test_cancel_stops_a_statement(self):
        self.first()
        before = self.specs()
        commit = self.commit(self.version("two"), "version two", **{"db/002_long.sql": "CREATE TABLE half (i int);\nSELECT pg_sleep(120);\n"})
        self.wait(lambda: self.query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(120)%' AND state = 'active'") == "1",
                  60, "the statement")
        self.agentctl("cancel", self.name, code=0)
        record = self.expect(commit, "cancelled", 60)
        self.assertIn("002_long.sql:2:1: ", record["reason"])
        self.assertEqual(self.states(record), [("002", "not run")])
        self.assertEqual(self.query("SELECT count(*) FROM pg_tables WHERE tablename = 'half'"), "0")
        self.assertEqual(self.specs(), before)

    def refused(self, words, **files):
        self.agent.stop()
        commit = self.commit(self.version("two"), **files)
        plan = self.agentctl("plan", self.name, code=1)
        self.start()
        record = self.expect(commit, "failed", 60)
        for word in words:
            self.assertIn(word, record["reason"])
            self.assertIn(word, plan.stderr)
        self.assertIn("no service was touched", record["reason"])
        self.assertEqual(self.show(record["id"])["steps"], [])
        self.serves("web", "one")
        return record

    @long
    def test_edited_file_is_refused_at_plan(self):
        self.first()
        self.refused(["schema: 001_users.sql was applied as blob", "another file now"],
                     **{"db/001_users.sql": "CREATE TABLE users (id bigint);\nINSERT INTO users SELECT generate_series(1, 5);\n"})
        self.assertEqual(self.versions(), ["000", "001"])

    @long
    def test_cosmetic_edit_is_a_warning(self):
        self.first()
        record = self.put("two", files={"db/001_users.sql": "-- a licence\r\nCREATE TABLE users (id int);\r\n"
                                        "INSERT INTO users SELECT generate_series(1, 5);\r\n"})
        self.assertIn("only blanks or comments changed", self.agentctl("show", str(record["id"])).stdout)

    @long
    def test_what_is_wrong_with_files_is_said_at_once(self):
        self.first()
        self.refused(["17-x.sql", "018 y.sql"], **{"db/17-x.sql": "SELECT 1;\n", "db/018 y.sql": "SELECT 1;\n"})
        self.agent.stop()
        for name in ("db/17-x.sql", "db/018 y.sql"):
            (self.clone / name).unlink()
        self.start()
        self.refused(["019_z.sql:2:", "020_nul.sql:1:"], **{"db/019_z.sql": "SELECT 1;\nSELECT 'open\n", "db/020_nul.sql": "SELECT 1;\0\n"})

    @long
    def test_out_of_order_is_refused_unless_said(self):
        self.first(**{"db/005_five.sql": "CREATE TABLE five (i int);\n"})
        self.refused(["003_three.sql would run after 005"], **{"db/003_three.sql": "CREATE TABLE three (i int);\n"})
        record = self.put("three", files={"db/003_three.sql": "-- deploy: out-of-order\nCREATE TABLE three (i int);\n"})
        self.assertEqual(self.states(record), [("003", "applied")])

    def test_services_that_fail_go_back_and_the_database_stays(self):
        self.first()
        record = self.put("two", state="rolled_back", web={"HEALTH_STATUS": 500}, files={"db/002_more.sql": "CREATE TABLE more (i int);\n"})
        self.assertIn("database stays at 002", record["reason"])
        self.serves("web", "one")
        self.assertIn("database stays at 002", self.agentctl("log", "--wide").stdout)
        self.assertEqual(self.masked(self.agentctl("show", str(record["id"])).stdout), REGRESSION)

    def test_breaking_file_halts(self):
        self.first()
        record = self.put("two", state="halted", web={"HEALTH_STATUS": 500},
                          files={"db/002_rename.sql": "-- deploy: breaking\nALTER TABLE users RENAME TO people;\n"})
        self.assertIn("002_rename.sql of schema (-- deploy: breaking)", record["reason"])
        self.assertIn("database stays at 002", record["reason"])
        page = self.agentctl("show", str(record["id"])).stdout
        self.assertIn("the schema is ahead of the code", page)
        self.assertNotIn("agentctl rollback", page)
        # it was seen how the update ended
        self.assertEqual({s["name"]: s["state"] for s in record["services"]}, {"db": "unchanged", "web": "failed"})
        self.assertRegex(page, r"runs new +web\n")
        self.assertNotIn("in between", page)

    @long
    def test_breaking_file_that_was_rolled_back_does_not_halt(self):
        self.first()
        record = self.put("two", state="failed", files={"db/002_rename.sql": "-- deploy: breaking\nALTER TABLE nosuch RENAME TO people;\n"})
        self.assertIn("no service was touched", record["reason"])

    @long
    def test_breaking_file_that_a_crash_rolled_back_does_not_halt(self):
        """The worker dies within its transaction; the next runs it again, and it fails."""
        self.first()
        self.agent.stop()
        commit = self.commit(self.version("two"), "version two", **{"db/002_rename.sql": "-- deploy: breaking\n"
                             "ALTER TABLE users RENAME TO people;\nALTER TABLE nosuch RENAME TO people;\n"})
        self.start(FAULTS="sql.statement:sleep=60")
        self.wait(lambda: "fault point sql.statement" in self.agent.log.read_text(), 60, "the file to run")
        worker = self.run_worker()
        self.agent.kill()
        os.kill(worker, signal.SIGKILL)
        self.start_ready()
        record = self.expect(commit, "failed", 120)
        self.assertIn("no service was touched", record["reason"])
        self.assertEqual(self.versions(), ["000", "001"])


class Soak(Sql):
    """The database got worse behind the last gate."""

    def in_the_soak(self, happens):
        self.first()
        stack = self.version("two", self.sql(), {"expect": {"tables": ["users"]}})
        stack["x-release"]["gate"] = {**self.gate, "soak": "60s"}
        commit = self.commit(stack, "version two")
        self.wait_for_soak(commit)
        self.assertIn("users", self.query("SELECT tablename FROM pg_tables WHERE tablename = 'users'"))
        happens()
        record = self.expect(commit, "rolled_back", 60)
        self.assertIn("while soaking: database: 1 of 1 before, ", record["reason"])
        self.assertEqual(self.show(record["id"])["regressed"]["service"], "db")
        self.serves("web", "one")
        return record

    def test_table_goes(self):
        record = self.in_the_soak(lambda: self.query("DROP TABLE users"))
        self.assertIn("(ready before, table users is missing now)", record["reason"])

    @long
    def test_database_goes(self):
        record = self.in_the_soak(lambda: self.lab.docker("service", "scale", "--detach", f"{self.full('db')}=0"))
        self.assertIn(f"(ready before, no task of service {self.full('db')} runs", record["reason"])

    @long
    def test_database_that_was_rolled(self):
        """It has its time to come back, and is not held against anybody when it does."""
        self.first()
        stack = self.version("two", self.sql(), {"expect": {"tables": ["users"]}})
        stack["services"]["db"]["environment"]["ROLLED"] = "yes"
        stack["x-release"]["gate"] = {**self.gate, "soak": "6s"}
        record = self.expect(self.commit(stack, "version two"), "succeeded", 120)
        self.assertIn("2 services rolled", record["reason"])
        self.assertIn("6s stable", record["reason"])


class ByHand(Sql):
    """agentctl migrate"""

    def migrate(self, *words, code=0):
        return self.agentctl("migrate", *words, code=code)

    @long
    def test_status(self):
        self.first()
        text = self.migrate("status", self.name).stdout
        self.assertIn("2 applied, at 001, 0 pending", text)
        self.put("two", state="failed", files={"db/002_broken.sql": "SELECT 1;\nSELECT 1 / 0;\n"})
        text = self.migrate("status", self.name).stdout
        self.assertIn("2 applied, at 001, 1 pending", text)
        self.assertIn("002_broken.sql", text)
        self.assertIn("division by zero", text)
        found = json.loads(self.migrate("status", self.name, "--json").stdout)
        self.assertEqual([(f["step"], f["applied"], [p["file"] for p in f["pending"]]) for f in found],
                         [("schema", ["000", "001"], ["002_broken.sql"])])
        # the same without agentd
        self.agent.stop()
        self.assertEqual(json.loads(self.migrate("status", self.name, "--json").stdout), found)

    @long
    def test_existing_table_is_taken_over(self):
        """A database that lived before the agent: its versions count, and edits are noticed from then on."""
        self.put("one", {"run": {"name": "nothing", "service": "web", "command": ["exit", "0"]}}, files={
            "db/001_users.sql": "CREATE TABLE users (id int);\n", "db/002_x.sql": "CREATE TABLE x (i int);\n"})
        self.query("CREATE TABLE schema_migrations (version varchar(10) PRIMARY KEY, name varchar(255) NOT NULL); "
                   "CREATE TABLE users (id int); INSERT INTO schema_migrations VALUES ('001', 'users')")
        self.agent.stop()
        commit = self.commit(self.version("two"))
        found = json.loads(self.migrate("status", self.name, "--commit", commit, "--json").stdout)
        self.assertEqual((found[0]["applied"], found[0]["not_adopted"], [p["version"] for p in found[0]["pending"]]), (["001"], ["001"], ["002"]))
        self.assertIn("1 version taken over", self.migrate("adopt", self.name).stdout)
        self.assertEqual(self.query("SELECT version || mode FROM deploy_agent.migration_log"), "001adopted")
        self.start()
        record = self.expect(commit, "succeeded", 60)
        self.assertEqual(self.states(record), [("002", "applied")])

    def test_resolve(self):
        self.first()
        files = {"db/002_two.sql": "BEGIN;\nCREATE TABLE a (i int);\nCOMMIT;\nBEGIN;\nALTER TABLE nosuch ADD COLUMN i int;\nCOMMIT;\n"}
        record = self.put("two", state="failed", files=files)
        self.assertIn("schema: 002_two.sql:5:", record["reason"])
        self.assertIn("3 of 6", record["reason"])
        self.assertIn("3 of 6 statements are in the database", self.migrate("status", self.name).stdout)
        # a person did the rest
        self.query("CREATE TABLE nosuch (i int)")
        self.assertIn("002 counts as applied", self.migrate("resolve", self.name, "002", "done").stdout)
        self.assertEqual(self.versions(), ["000", "001", "002"])
        self.agentctl("retry", self.name)
        self.wait(lambda: self.log()[0]["state"] == "succeeded", 60, "the retry to succeed")
        self.migrate("resolve", self.name, "002", "perhaps", code=64)
        self.migrate("resolve", self.name, "099", "done", code=3)
        self.migrate("nonsense", self.name, code=64)
