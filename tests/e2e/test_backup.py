# SPDX-License-Identifier: Apache-2.0
"""The backup before migrations, of a real PostgreSQL in the Swarm: what is on the volume is read back, and restored with the
command that the record shows. Case 69 of the specification's list, and what goes with it."""

import datetime
import json
import os
import re
import signal
import subprocess

from harness import PostgresCase, long, wait_for

PASSWORD = "pass 'word\\ $(1234) \"x"
QUOTED = "pass%20%27word%5C%20%24%281234%29%20%22x"
DUMP = re.compile(r"[a-z0-9_-]+\.app_\d{8}T\d{6}Z_[0-9a-f]{8}\.dump")


class Backup(PostgresCase):
    tapped = True
    limit = 300

    def setUp(self):
        super().setUp()
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", self.full("backups"), check=False)
        self.configure(stack={"env_file": self.env_file(DB_PASSWORD=PASSWORD, DATABASE_URL=f"postgres://app:{QUOTED}@db:5432/app")})

    # ---- stack files ----

    @staticmethod
    def sql(text, name="schema"):
        """A migration by psql, over the socket-less way that all of them go."""
        return {"run": {"name": name, "service": "db", "command": ["psql", "-v", "ON_ERROR_STOP=1", "-h", "tasks.db", "-U", "app", "-c", text],
                        "timeout": "60s"}}

    def version(self, number, *steps, database=None, **backup):
        release = {"database": {"service": "db", "url_from": "DATABASE_URL", "ready_timeout": "60s", "backup": {"volume": "backups", **backup}},
                   "steps": list(steps)}
        return self.stack(release, db=database or self.postgres(), web=self.web(VERSION=number), volumes={"pg": {}, "backups": {}})

    def first(self, rows=1000, **more):
        """A first deployment, with a table in the end."""
        text = f"CREATE TABLE t AS SELECT i, md5(i::text) AS word FROM generate_series(1, {rows}) i"
        commit = self.commit(self.version("one", self.sql(text), **more))
        if not self.agents:
            self.start()
        return self.expect(commit, "succeeded", 120)

    def second(self, state="succeeded", step=None, **more):
        step = step or self.sql("CREATE TABLE u (i int)", "second")
        commit = self.commit(self.version("two", step, **more))
        return self.expect(commit, state, 120)

    # ---- what there is ----

    def in_volume(self, *command, volume="backups", image="postgres:15"):
        """A command in a container that has the volume as its current folder."""
        return self.lab.docker("run", "--rm", "--user", "0:0", "--entrypoint", command[0], "-w", "/v", "-v", f"{self.full(volume)}:/v",
                               f"{self.registry}/{image}", *command[1:])

    def files(self):
        return sorted(self.in_volume("ls", "-A", ".").split())

    def dumps(self):
        return [f for f in self.files() if f.endswith(".dump")]

    def container(self):
        return self.engine.running(self.full("db"))[0]["Status"]["ContainerStatus"]["ContainerID"]

    def query(self, sql, database="app"):
        return self.lab.docker("exec", self.container(), "psql", "-h", "127.0.0.1", "-U", "app", "-d", database, "-Atc", sql)

    def backup_step(self, record):
        steps = [s for s in self.show(record["id"])["steps"] if s["kind"] == "backup"]
        self.assertEqual(len(steps), 1)
        return steps[0]

    def leftovers(self):
        jobs = [s["Spec"]["Name"] for s in self.engine.get("/services") if s["Spec"]["Name"].startswith(f"{self.name}_bak_")]
        secrets = [s["Spec"]["Name"] for s in self.engine.get("/secrets") if s["Spec"]["Name"].startswith(f"{self.name}_bak_")]
        return jobs + secrets

    def backup_containers(self, *ended):
        return self.lab.docker("ps", "-q", *ended, "--filter", f"name=^/{self.name}_bak_").split()

    def untouched(self, record):
        """Nothing was migrated, no service rolled."""
        self.assertIn("no application service was touched" if "no application" in record["reason"] else "no service was touched", record["reason"])
        self.assertEqual(self.query("SELECT count(*) FROM pg_tables WHERE tablename = 'u'"), "0")
        self.serves("web", "one")
        self.assertEqual([m["state"] for m in record["migrations"]], ["not run"])


class Good(Backup):
    @long
    def test_an_empty_database_has_no_backup(self):
        record = self.first()
        step = self.backup_step(record)
        self.assertEqual(step["state"], "done")
        self.assertIn("nothing to back up", step["output"])
        self.assertEqual(self.tap.count("^POST /secrets/create"), 0)
        self.assertIn("nothing to back up", self.agentctl("show", str(record["id"])).stdout)

    def test_dump_is_made_before_the_migration_and_can_be_restored(self):
        self.first(rows=5000)
        before = self.query("SELECT md5(string_agg(t::text, ',' ORDER BY i)) FROM t")
        self.agent.stop()
        commit = self.commit(self.version("two", self.sql("DROP TABLE t", "second")))
        self.start(FAULTS="job.created:sleep=12:nth=1")  # it stays to be looked at
        containers = self.wait(lambda: self.backup_containers("-a"), 60, "the backup to run")
        job = [s for s in self.engine.get("/services") if s["Spec"]["Name"].startswith(f"{self.name}_bak_")][0]
        watched = [json.dumps(job), self.lab.docker("inspect", *containers)]
        watched.append(self.lab.docker("secret", "inspect", *[n for n in self.leftovers() if n.startswith(f"{self.name}_bak_") and n != job["Spec"]["Name"]]))
        mounted = [m["Name"] for c in json.loads(watched[1]) for m in c["Mounts"] if m["Type"] == "volume"]
        self.assertEqual(mounted, [self.full("backups")])  # and no anonymous one, which would stay
        container = job["Spec"]["TaskTemplate"]["ContainerSpec"]
        self.assertRegex(container["Image"], f"^{re.escape(self.registry)}/postgres:15@sha256:")
        node = self.engine.running(self.full("db"))[0]["NodeID"]
        self.assertEqual(job["Spec"]["TaskTemplate"]["Placement"]["Constraints"], [f"node.id=={node}"])

        record = self.expect(commit, "succeeded", 120)
        kinds = [s["kind"] for s in self.show(record["id"])["steps"]]
        self.assertEqual([k for k in kinds if k in ("ready", "backup", "run", "roll")], ["ready", "backup", "run", "roll"])
        (dump,) = self.dumps()
        self.assertRegex(dump, DUMP)
        self.assertIn(f"_{commit[:8]}.dump", dump)
        self.assertEqual(self.files(), [dump, f"{dump}.sha256"])
        self.assertIn("OK", self.in_volume("sha256sum", "-c", f"{dump}.sha256"))
        self.assertEqual(self.leftovers(), [])

        page = self.agentctl("show", str(record["id"])).stdout
        self.assertIn(dump, page)
        command = next(line.strip() for line in page.splitlines() if "pg_restore" in line)
        self.assertEqual(self.show(record["id"])["backup"]["restore"], command)
        self.assertIn(command, self.backup_step(record)["output"])
        run = subprocess.run(self.lab.enter("sh", "-c", command), capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(self.query("SELECT md5(string_agg(t::text, ',' ORDER BY i)) FROM t", "app_restored"), before)
        self.assertEqual(self.query("SELECT count(*) FROM pg_tables WHERE tablename = 't'"), "0")

        watched += [self.agentctl("show", str(record["id"]), "--logs", "--json").stdout, self.agent.log.read_text()]
        for text in watched:
            for secret in (PASSWORD, json.dumps(PASSWORD)[1:-1], QUOTED):
                self.assertNotIn(secret, text)

    @long
    def test_when(self):
        self.first()
        self.deploy(self.version("two"))  # no step: nothing is pending
        self.assertEqual(self.dumps(), [])
        self.agentctl("pause", self.name, code=0)
        commit = self.commit(self.version("three", when="always"))
        self.assertIn("backup of db, before the migrations", self.agentctl("plan", self.name, code=2).stdout)
        self.agentctl("resume", self.name, code=0)
        self.expect(commit, "succeeded")
        self.assertEqual(len(self.dumps()), 1)
        self.deploy(self.version("four", self.sql("CREATE TABLE v (i int)", "third"), when="never"))
        self.assertEqual(len(self.dumps()), 1)

    @long
    def test_rotation_takes_only_our_own_old_dumps(self):
        self.first()

        def stamp(days):
            return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ")

        old = [f"{self.name}.app_{stamp(d)}_{d:08x}.dump" for d in (30, 20, 10, 9)]
        young = [f"{self.name}.app_{stamp(d)}_{d:08x}.dump" for d in (6, 5, 4)]
        foreign = ["notes", *[f"{self.name}.{name}" for name in (
            "app.dump", "app_before_upgrade.dump", f"other_{stamp(40)}_00000001.dump", f"app_{stamp(40)}_nothex!!.dump",
            f"app_{stamp(40)}_00000001.dump.gz", f"app_x_{stamp(40)}_00000001.dump")]]
        # of other stacks that share the volume, one of them just being made
        foreign += [f"app_{stamp(40)}_00000001.dump", f"test.app_{stamp(40)}_00000001.dump", f"test.app_{stamp(1)}_00000001.dump.partial"]
        self.in_volume("touch", *old, *[f"{f}.sha256" for f in old], *young, *foreign, f"{self.name}.app_{stamp(1)}_00000001.dump.partial")
        record = self.second(keep=5)
        new = [f for f in self.dumps() if f.endswith(f"_{record['commit'][:8]}.dump")]
        self.assertEqual(len(new), 1)
        # five stay: the new one, three young ones, and the youngest of the old
        kept = [old[3], *young, *new]
        self.assertEqual(self.files(), sorted([*kept, f"{old[3]}.sha256", f"{new[0]}.sha256", *foreign]))

    @long
    def test_all_younger_than_a_week_stay(self):
        self.first()
        names = []
        for n in range(3):
            record = self.deploy(self.version(f"v{n}", self.sql(f"CREATE TABLE v{n} (i int)", f"s{n}"), keep=1))
            names.append(f"_{record['commit'][:8]}.dump")
        self.assertEqual(len(self.dumps()), 3)


class Bad(Backup):
    def small_volume(self, size):
        """A tmpfs: what is in it lasts as long as something has it mounted."""
        self.lab.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", f"o=size={size}", self.full("backups"))
        keeper = self.lab.docker("run", "-d", "--rm", "-v", f"{self.full('backups')}:/v", f"{self.registry}/web:1", "sleep", "600")
        self.addCleanup(self.lab.docker, "kill", keeper, check=False)

    @long
    def test_no_room(self):
        """Smaller than a quarter of the database: found before anything is written."""
        self.small_volume("1m")
        self.first()
        record = self.second("failed")
        self.assertIn("not enough room in the volume of backups", record["reason"])
        self.untouched(record)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.leftovers(), [])

    def test_disk_full_in_the_middle(self):
        """A dump that does not fit after all: the old ones stay, nothing has a final name."""
        self.small_volume("9m")
        self.first()
        self.second()
        before = self.files()
        self.assertEqual(len(before), 2)
        # does not compress: hash values, 64 hex digits each
        self.query("CREATE TABLE big AS SELECT sha512(i::text::bytea) AS h FROM generate_series(1, 400000) i")
        self.query("DROP TABLE u")
        commit = self.commit(self.version("three", self.sql("CREATE TABLE u (i int)", "third")))
        record = self.expect(commit, "failed", 120)
        self.assertRegex(record["reason"], "pg_dump: error: .*No space left on device")
        self.assertEqual(self.files(), before)
        self.assertEqual(self.query("SELECT count(*) FROM pg_tables WHERE tablename = 'u'"), "0")
        self.serves("web", "two")
        self.assertEqual(self.leftovers(), [])

    def image_with(self, pg_dump):
        """PostgreSQL with another pg_dump; without a first line that says what runs it, it is no program at all."""
        return self.lab.image(f"{self.name}:pg", {f"{folder}/pg_dump": pg_dump for folder in ("usr/bin", "usr/lib/postgresql/15/bin")},
                              base=f"{self.registry}/postgres:15")

    @long
    def test_image_without_pg_dump(self):
        base = self.image_with("")
        self.first(database=self.postgres(image=base))
        record = self.second("failed", database=self.postgres(image=base))
        self.assertIn("has no pg_dump", record["reason"])
        self.untouched(record)
        self.assertEqual(self.files(), [])

    def test_pg_dump_of_another_version(self):
        base = self.image_with("#!/bin/sh\necho 'pg_dump: error: aborting because of server version mismatch' >&2\nexit 1\n")
        self.first(database=self.postgres(image=base))
        record = self.second("failed", database=self.postgres(image=base))
        self.assertIn("server version mismatch", record["reason"])
        self.untouched(record)

    @long
    def test_not_required(self):
        base = self.image_with("")
        self.first(database=self.postgres(image=base))
        record = self.second(database=self.postgres(image=base), required=False)
        self.assertEqual(self.backup_step(record)["state"], "failed (allowed)")
        self.assertIn("no backup", record["reason"])
        self.assertIn("no backup", self.agentctl("log", self.name, "--wide").stdout)
        self.assertEqual(self.query("SELECT count(*) FROM pg_tables WHERE tablename = 'u'"), "1")
        self.serves("web", "two")

    @long
    def test_timeout(self):
        self.first()
        self.lock()
        record = self.second("failed", timeout="20s")
        self.assertIn("timed out after", record["reason"])
        self.untouched(record)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.backup_containers(), [])
        self.assertEqual(self.leftovers(), [])

    def lock(self):
        """Somebody holds a lock that no dump gets past."""
        holder = subprocess.Popen(self.lab.enter("docker", "exec", self.container(), "psql", "-h", "127.0.0.1", "-U", "app", "-c",
                                                 "BEGIN; LOCK TABLE t; SELECT pg_sleep(600)"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        wait_for(lambda: self.query("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 't'::regclass") == "1", 20, "the lock")

    def unlock(self):
        self.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 't'::regclass")

    @long
    def test_a_lock_that_does_not_go_away(self):
        self.first()
        self.lock()
        record = self.second("failed")
        self.assertIn("pg_dump: error", record["reason"])
        self.untouched(record)
        self.assertEqual(self.files(), [])

    @long
    def test_cancel_stops_it(self):
        self.first()
        self.lock()
        commit = self.commit(self.version("two", self.sql("CREATE TABLE u (i int)", "second")))
        self.wait(self.backup_containers, 60, "the backup to run")
        self.agentctl("cancel", self.name, code=0)
        record = self.expect(commit, "cancelled", 60)
        self.untouched(record)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.backup_containers(), [])
        self.assertEqual(self.leftovers(), [])


class Killed(Backup):
    slow = True

    def setUp(self):
        super().setUp()
        if b"fault point %s" not in self.program("agent-worker").read_bytes():
            self.skipTest("the programs were built without -Dfaults=true")

    def killed(self, point):
        """The worker dies there; the next one ends as if nothing had happened, with one dump."""
        self.first()
        self.agent.stop()
        self.tap.requests.clear()
        commit = self.commit(self.version("two", self.sql("CREATE TABLE u (i int)", "second")))
        self.start(FAULTS=f"{point}:sleep=30")
        self.wait(lambda: f"fault point {point}" in self.agent.log.read_text(), 60, f"the worker to come to {point}")
        worker = self.run_worker()
        self.agent.kill()
        os.kill(worker, signal.SIGKILL)
        self.start()
        self.expect(commit, "succeeded", 120)
        self.assertEqual(len(self.dumps()), 1)
        self.assertEqual(self.files(), [self.dumps()[0], f"{self.dumps()[0]}.sha256"])
        self.assertEqual(self.leftovers(), [])
        # two jobs: the backup and the migration
        self.assertEqual(self.tap.count("^POST /services/create"), 2)

    @long
    def test_before_the_job(self):
        self.killed("job.create")

    def test_while_it_runs(self):
        self.killed("job.created")

    @long
    def test_when_it_has_succeeded(self):
        self.killed("job.succeeded")

    @long
    def test_when_that_is_on_record(self):
        self.killed("job.recorded")

    @long
    def test_job_dies_with_its_node(self):
        """The container is killed in the middle: no final name, the old dumps stay, and the next one clears up."""
        self.first()
        old = f"{self.name}.app_20200101T000000Z_00000001.dump"
        self.in_volume("touch", old)
        Bad.lock(self)
        commit = self.commit(self.version("two", self.sql("CREATE TABLE u (i int)", "second")))
        self.wait(self.backup_containers, 60, "the backup to run")
        self.wait(lambda: any(f.endswith(".partial") for f in self.files()), 20, "the dump to be begun")
        self.lab.docker("kill", *self.backup_containers())
        record = self.expect(commit, "failed", 60)
        self.untouched(record)
        self.assertEqual(self.dumps(), [old])
        Bad.unlock(self)
        self.agentctl("retry", self.name, code=0)
        self.expect(commit, "succeeded", 120, at_least=2)
        self.assertEqual([f for f in self.files() if "partial" in f], [])
        self.assertEqual(len(self.dumps()), 2)
