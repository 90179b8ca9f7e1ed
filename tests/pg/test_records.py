# SPDX-License-Identifier: Apache-2.0
"""The records of the fleet: their schema (migrations/records), applied by the same runner, what hosts deliver to it, what is read."""

import datetime
import pathlib
import re
import signal
import unittest

import case
from case import Case, close_server
from server import Run, wait

DRIVE = str(pathlib.Path(case.DRIVE).with_name("records_drive"))
NOON = 1_800_000_000_000_000  # µs
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def tearDownModule():
    close_server()


def time(us):
    return (EPOCH + datetime.timedelta(microseconds=NOON + us)).isoformat()


def change(number, deployment, state, at=None, reason=None):
    return {"change": number, "id": deployment, "state": state, "reason": reason, "changed_at": time(number if at is None else at)}


def deployment(number, newest, state, **more):
    return {"id": number, "change": newest, "stack": "shop", "state": state, "commit_id": f"{number:040x}", "branch": "main", "subject": "Größe: 日本",
            "author": "alice", "trigger_name": "poll", "requested_by": None, "reason": None, "failed_with": None, "requested_at": time(number), "started_at": None,
            "finished_at": None, "base_id": None, "target_id": None, "images": [], "services": [], "schemas": [], "steps": [], "migrations": [], **more}


def migration(number, **more):
    return {"id": number, "position": 1, "step": "s", "schema": None, "version": "002", "name": "b", "state": "applied", "took": "1500001 microseconds", "rows_changed": 3, **more}


class Fleet(Case):
    def records(self, **options):
        answer = self.drive("records", **options)
        self.assertIsNone(answer.error, answer)
        return answer.value

    def begin(self, op, faults=None, user="postgres", port=None, **options):
        return Run(DRIVE, {"op": op, "url": self.server.url(self.db, user, port), **options}, faults)

    def ask(self, op, **options):
        return self.begin(op, **options).end()

    def batch(self, changes, deployments, host="a1"):
        def of_host(rows):
            return [{**row, "host_id": host, **({"migrations": of_host(row["migrations"])} if "migrations" in row else {})} for row in rows]

        return {"host_id": host, "host": f"host-{host}", "changes": of_host(changes), "deployments": of_host(deployments)}

    def write(self, changes, deployments, host="a1", **options):
        answer = self.ask("write", **self.batch(changes, deployments, host), **options)
        self.assertIsNone(answer.error, answer)

    def read(self, **options):
        answer = self.ask("read", **options)
        self.assertIsNone(answer.error, answer)
        return answer.value

    def states(self):
        """What is there of each deployment, and which states it went through."""
        now = {(h, int(i)): (int(c), s) for h, i, c, s in self.sql("SELECT host_id, id, change, state FROM deploy_agent.deployment")}
        for h, i, all_ in self.sql("SELECT host_id, id, string_agg(state, ' ' ORDER BY change) FROM deploy_agent.state_change GROUP BY 1, 2"):
            now[h, int(i)] += (all_,)
        return now


class Records(Fleet):
    def test_made_once(self):
        self.assertEqual(self.records(), {"applied": 1, "after": "0001"})
        self.assertEqual(self.records(), {"applied": 0, "after": "0001"})
        self.assertEqual(self.versions("deploy_agent.records_version"), ["0001"])
        self.assertEqual(self.log("stage, file, state"), [("records", "0001_init.sql", "applied")])

    def test_two_hosts_at_once(self):
        runs = [self.start("records") for _ in range(4)]
        values = [run.end() for run in runs]
        self.assertEqual([a.error for a in values], [None] * 4)
        self.assertEqual(sum(a.value["applied"] for a in values), 1)

    def test_newer_than_the_program(self):
        self.write([change(1, 7, "requested")], [deployment(7, 1, "requested")])
        self.sql("INSERT INTO deploy_agent.records_version (version, name) VALUES ('0002', 'later')")
        for answer in (self.drive("records"), self.ask("write", **self.batch([change(2, 7, "running")], [deployment(7, 2, "running")])), self.ask("read"), self.ask("look")):
            self.assertEqual(answer.kind, "conflict", answer)
            self.assertIn("the records are of a newer deploy-agent", answer.error)
        self.assertEqual(self.states(), {("a1", 7): (1, "requested", "requested")})

    def test_role_that_may_not(self):
        self.sql("CREATE ROLE records_reader LOGIN; REVOKE ALL ON DATABASE " + self.db + " FROM records_reader, PUBLIC; GRANT CONNECT ON DATABASE " + self.db + " TO records_reader")
        self.addCleanup(lambda: self.server.psql("postgres", "-c", "DROP ROLE records_reader", check=False))
        answer = self.drive("records", user="records_reader")
        self.assertIsNotNone(answer.error)
        self.assertIn("GRANT CREATE ON DATABASE", answer.error)
        self.assertIn("permission denied", self.ask("look", user="records_reader").error)


class Delivery(Fleet):
    def test_once_in_order_whatever_comes_again(self):
        first = [change(1, 7, "requested"), change(2, 7, "running")], [deployment(7, 2, "running")]
        last = [change(5, 7, "failed", reason="exit 1"), change(6, 8, "requested")], [
            deployment(7, 5, "failed", reason="exit 1", finished_at=time(9), migrations=[migration(7)]),
            deployment(8, 6, "requested")]
        for batch in (first, first, last, last, first):
            self.write(*batch)
        self.assertEqual(self.states(), {("a1", 7): (5, "failed", "requested running failed"), ("a1", 8): (6, "requested", "requested")})
        self.assertEqual(self.sql("SELECT step, version, state, took, rows_changed FROM deploy_agent.deployment_migration"), [["s", "002", "applied", "00:00:01.500001", "3"]])
        self.assertEqual(self.sql("SELECT name, version, change FROM deploy_agent.host"), [["host-a1", "1.0", "6"]])

    def test_history_that_is_told_anew(self):
        self.write([change(1, 7, "requested"), change(2, 7, "succeeded")], [deployment(7, 2, "succeeded")])
        self.write([change(9, 7, "succeeded", at=2)], [deployment(7, 9, "succeeded")])
        self.assertEqual(self.states(), {("a1", 7): (9, "succeeded", "requested succeeded")})

    def test_journal_of_an_older_copy(self):
        self.write([change(1, 7, "requested"), change(2, 7, "succeeded")], [deployment(7, 2, "succeeded")])
        other = self.batch([change(2, 8, "requested", at=50)], [deployment(8, 2, "requested")])
        answer = self.ask("write", **other)
        self.assertEqual(answer.kind, "conflict", answer)
        mend = answer.error[answer.error.index("UPDATE "):]
        self.assertEqual(self.states(), {("a1", 7): (2, "succeeded", "requested succeeded")})
        self.sql(mend)
        self.write(other["changes"], other["deployments"])
        self.assertEqual(self.states(), {("a1-before", 7): (2, "succeeded", "requested succeeded"), ("a1", 8): (2, "requested", "requested")})

    def test_hosts_at_once(self):
        """The schema, too, is made by one of them."""
        runs = [self.begin("write", **self.batch([change(1, 7, "succeeded")], [deployment(7, 1, "succeeded")], f"h{i}")) for i in range(4)]
        self.assertEqual([run.end().error for run in runs], [None] * 4)
        self.assertEqual(self.states(), {(f"h{i}", 7): (1, "succeeded", "succeeded") for i in range(4)})
        self.assertEqual(self.versions("deploy_agent.records_version"), ["0001"])

    def test_cut_off_at_every_message(self):
        """A delivery that is cut off is whole or not there, and the next one completes it."""
        self.write([change(1, 6, "requested")], [deployment(6, 1, "requested")])
        batch = self.batch([change(2, 7, "requested"), change(3, 7, "succeeded")], [deployment(7, 3, "succeeded")])
        for nth in range(1, 30):
            self.sql("DELETE FROM deploy_agent.deployment WHERE id = 7")
            answer = self.begin("write", faults=f"sql.answered:errno=104:nth={nth}", **batch).end()
            if answer.error is None:
                break
            self.assertEqual(answer.kind, "unavailable", answer)
            there = self.states().get(("a1", 7))
            self.assertIn(there, (None, (3, "succeeded", "requested succeeded")))
            self.write(batch["changes"], batch["deployments"])
            self.assertEqual(self.states()["a1", 7], (3, "succeeded", "requested succeeded"))
        self.assertGreater(nth, 8)

    def test_server_killed_in_the_transaction(self):
        self.write([change(1, 6, "requested")], [deployment(6, 1, "requested")])
        with self.session() as other:
            other.do("BEGIN; LOCK TABLE deploy_agent.deployment")
            run = self.begin("write", **self.batch([change(2, 7, "requested")], [deployment(7, 2, "requested")]))
            wait(lambda: self.value("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT granted AND application_name = 'deploy-agent/records'") == "1",
                 15, "the delivery to wait")
            self.server.stop(signal.SIGQUIT)
            answer = run.end()
        self.server.start()
        self.assertEqual(answer.kind, "unavailable", answer)
        self.assertEqual(self.states(), {("a1", 6): (1, "requested", "requested")})
        self.assertEqual(self.value("SELECT change FROM deploy_agent.host"), "1")
        self.write([change(2, 7, "requested")], [deployment(7, 2, "requested")])
        self.assertEqual(len(self.states()), 2)

    def test_server_that_hangs(self):
        self.write([change(1, 6, "requested")], [deployment(6, 1, "requested")])
        with self.session() as other:
            other.do("BEGIN; LOCK TABLE deploy_agent.deployment")
            answer = self.ask("write", timeout_ms=5000, **self.batch([change(2, 7, "requested")], [deployment(7, 2, "requested")]))
        self.assertEqual(answer.kind, "timeout", answer)
        self.assertIn("did not answer in time", answer.error)
        self.assertLess(answer.us, 30_000_000)

    def test_stopped_while_it_waits(self):
        """SIGTERM ends a delivery also where the schema is being made by somebody else."""
        with self.session() as other:
            other.do("BEGIN; CREATE SCHEMA deploy_agent")
            run = self.begin("write", timeout_ms=60000, **self.batch([change(1, 7, "requested")], [deployment(7, 1, "requested")]))
            wait(lambda: self.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'deploy-agent/records/schema' AND wait_event_type = 'Lock'") == "1",
                 15, "the runner to wait")
            run.signal(signal.SIGTERM)
            answer = run.end(20)
        self.assertEqual(answer.kind, "cancelled", answer)
        self.assertFalse(self.exists("deploy_agent.deployment"))

    def test_servers_that_do_not_take_it(self):
        batch = self.batch([change(2, 7, "requested")], [deployment(7, 2, "requested")])
        self.write([change(1, 6, "requested")], [deployment(6, 1, "requested")])
        self.sql(f"ALTER DATABASE {self.db} SET default_transaction_read_only = on")
        for op in ("write", "look"):
            self.assertIn("25006", self.ask(op, **batch).error)
        self.assertEqual(self.ask("write", port=1, **batch).kind, "unavailable")
        self.assertEqual(self.ask("write", user="nobody_at_all", **batch).kind, "refused")
        self.server.psql("postgres", "-c", f"CREATE DATABASE {self.db}_latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
        self.addCleanup(self.server.psql, "postgres", "-c", f"DROP DATABASE {self.db}_latin")
        answer = Run(DRIVE, {"op": "write", "url": self.server.url(f"{self.db}_latin"), **batch}).end()
        self.assertEqual(answer.kind, "refused")
        self.assertIn("LATIN1", answer.error)

    def test_server_that_does_not_prove_itself(self):
        """Any name but those of this host: without a word about sslmode nothing is sent to a server that shows no certificate."""
        url = self.server.url(self.db).replace("127.0.0.1", "0x7f000001")
        answer = Run(DRIVE, {"op": "look", "url": url}).end()
        self.assertEqual(answer.kind, "refused", answer)
        self.assertIn("SSL", answer.error)
        self.assertIsNone(Run(DRIVE, {"op": "look", "url": url + "?sslmode=disable"}).end().error)

    def test_rights(self):
        """A login that owns the schema and nothing else delivers and reads; one for dashboards sees the view alone."""
        self.server.psql("postgres", "-c", f"CREATE ROLE agents_{self.db} LOGIN; CREATE ROLE dashboards_{self.db} LOGIN; REVOKE ALL ON DATABASE {self.db} FROM PUBLIC; "
                         f"GRANT CONNECT ON DATABASE {self.db} TO agents_{self.db}, dashboards_{self.db}")
        self.addCleanup(self.server.psql, "postgres", "-c", f"DROP ROLE agents_{self.db}, dashboards_{self.db}")
        self.addCleanup(self.drop)
        agents, dashboards = f"agents_{self.db}", f"dashboards_{self.db}"
        self.sql(f"CREATE SCHEMA deploy_agent AUTHORIZATION {agents}")
        self.assertEqual(self.ask("look", user=agents).value, {"schema": 0, "needed": 1})
        self.assertEqual(self.ask("read", user=agents).kind, "not_found")
        self.write([change(1, 7, "requested")], [deployment(7, 1, "requested")], user=agents)
        self.assertEqual(self.ask("look", user=agents).value, {"schema": 1, "needed": 1})
        self.assertEqual(len(self.read(user=agents)), 1)
        self.assertEqual(self.value("SELECT count(*) FROM deploy_agent.host"), "1")
        self.sql(f"GRANT USAGE ON SCHEMA deploy_agent TO {dashboards}; GRANT SELECT ON deploy_agent.log TO {dashboards}", user=agents)
        self.assertEqual(self.sql("SELECT host, id, state, migrations FROM deploy_agent.log", user=dashboards), [["host-a1", "7", "requested", "0"]])
        for table in ("deployment", "host", "state_change", "deployment_migration"):
            self.assertEqual(self.sql(f"SELECT * FROM deploy_agent.{table}", user=dashboards, check=False), [])

    def test_url(self):
        def url(host, query=""):
            return Run(DRIVE, {"op": "url", "url": f"postgresql://u@{host}/d{query}"}).end().value

        for host in ("127.0.0.1:5433", "localhost", "%2Frun%2Fpostgresql"):
            self.assertEqual(url(host), {"sslmode": None, "sslrootcert": None})
        self.assertEqual(url("db.example.org"), {"sslmode": "verify-full", "sslrootcert": "/etc/ssl/certs/ca-certificates.crt"})
        self.assertEqual(url("db.example.org", "?sslmode=disable"), {"sslmode": "disable", "sslrootcert": None})
        self.assertEqual(url("db.example.org", "?sslrootcert=/etc/ca.pem"), {"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"})


class Manual(Fleet):
    def test_statements_of_the_manual(self):
        """As docs/operations.md has them: roles and a database, a delivery, what dashboards ask, what is deleted."""
        text = (pathlib.Path(__file__).parents[2] / "docs/operations.md").read_text()
        section = text[text.index("## The fleet's records"):].split("\n## ")[0]
        statements = re.findall(r"^    (.+;)$", section, re.M)
        deletion, schema = (re.search(f"`({word}[^`]*)`", section).group(1) for word in ("DELETE", "CREATE SCHEMA"))
        self.addCleanup(self.server.psql, "postgres", "-c", "DROP DATABASE IF EXISTS fleet", "-c", "DROP ROLE IF EXISTS dashboards", "-c", "DROP ROLE IF EXISTS deploy_agent")
        self.addCleanup(self.drop)
        for statement in statements[:2]:
            self.server.psql("postgres", "-c", statement)
        self.sql(schema)
        batch = self.batch([change(1, 7, "succeeded")], [deployment(7, 1, "succeeded", images=[{"service": "web", "reference": "r/web:1", "digest": "sha256:…"}],
                                                                    requested_at=datetime.datetime.now(datetime.timezone.utc).isoformat())])
        for url in self.server.url("fleet", "deploy_agent"), self.server.url(self.db, "deploy_agent"):
            self.assertIsNone(Run(DRIVE, {"op": "write", "url": url, **batch}).end().error)
        for statement in statements[2:5]:
            self.server.psql("fleet", "-c", statement)
        self.assertEqual(len(statements), 7)
        answers = [self.server.sql("fleet", statement, user="dashboards") for statement in statements[5:]]
        self.assertEqual(answers, [[["host-a1", "shop", "1", "1", ""]], [["host-a1", "shop"]]])
        self.server.psql("fleet", "-c", deletion.replace("2 years", "0 days"), user="deploy_agent")
        self.assertEqual(self.server.sql("fleet", "SELECT id FROM deploy_agent.log UNION ALL SELECT id FROM deploy_agent.state_change"), [])


class Reading(Fleet):
    def test_rows(self):
        lists = {"images": [{"service": "web", "reference": "r/web:2", "digest": "sha256:abc"}], "services": [{"name": "web", "action": "update", "state": "healthy", "note": None}],
                 "schemas": [{"step": "s", "schema": None, "before": "001", "after": "002"}], "steps": [{"kind": "run", "name": "django", "state": "failed", "error": "exit 17: no"}]}
        row = deployment(7, 1, "failed", reason="no\u2028", failed_with="exit 17", started_at=time(123457), finished_at=time(2_000_001), migrations=[migration(7)], **lists)
        self.write([change(1, 7, "failed")], [row])
        found = self.read()[0]
        self.assertEqual({k: found.pop(k) for k in ("requested_us", "started_us", "finished_us")},
                         {"requested_us": NOON + 7, "started_us": NOON + 123457, "finished_us": NOON + 2_000_001})
        self.assertEqual(found["migrations"][0].pop("took_us"), 1500001)
        for key in ("requested_at", "started_at", "finished_at"):
            del found[key], row[key]
        for one in found["migrations"], row["migrations"]:
            del one[0]["took"]
        row["migrations"][0]["host_id"] = "a1"
        self.assertEqual(found, {**row, "host": "host-a1", "host_id": "a1"})

    def test_filters_and_order(self):
        self.write([change(n, n, "succeeded") for n in range(1, 6)], [deployment(n, n, "failed" if n == 3 else "succeeded", stack="blog" if n % 2 else "shop") for n in range(1, 6)])
        self.write([change(1, 1, "succeeded")], [deployment(1, 1, "succeeded", requested_at=time(3))], "b2")

        def found(**options):
            return [(r["host_id"], r["id"]) for r in self.read(**options)]

        self.assertEqual(found(), [("a1", 5), ("a1", 4), ("a1", 3), ("b2", 1), ("a1", 2), ("a1", 1)])
        self.assertEqual(found(limit=2), [("a1", 5), ("a1", 4)])
        self.assertEqual(found(stack="shop"), [("a1", 4), ("b2", 1), ("a1", 2)])
        self.assertEqual(found(stack="blog", state="failed"), [("a1", 3)])
        self.assertEqual(found(since_us=NOON + 4), [("a1", 5), ("a1", 4)])
        self.assertEqual(found(stack="x' OR true --"), [])

    def test_more_than_a_page(self):
        self.write([change(1, 1, "succeeded")], [deployment(1, 1, "succeeded")])
        self.sql("INSERT INTO deploy_agent.deployment SELECT (d).* FROM (SELECT jsonb_populate_record(d, jsonb_build_object('id', i, 'requested_at', d.requested_at + i * interval '1 s')) AS d "
                 "FROM deploy_agent.deployment d, generate_series(2, 1200) i) x")
        self.assertEqual([r["id"] for r in self.read()], list(range(1200, 0, -1)))


if __name__ == "__main__":
    unittest.main()
