# SPDX-License-Identifier: Apache-2.0
"""The records in PostgreSQL: what hosts deliver to a real server, and what `agentctl log --records` says of it."""

import json
import pathlib
import shutil
import socket
import sys
import time
import urllib.parse

from harness import Case, long

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "pg"))

from server import Server  # noqa: E402

SECRET = "canary-of-the-records"


class Records(Case):
    limit = 300

    def setUp(self):
        super().setUp()
        self.server = Server()
        self.addCleanup(self.server.close)
        # a socket: the lab's 127.0.0.1 is not the server's
        self.url = f"postgresql://postgres:{SECRET}@{urllib.parse.quote(str(self.server.folder), safe='')}:{self.server.port}/postgres"
        file = self.dir / "records"
        file.touch(mode=0o600)
        file.write_text(self.url + "\n")
        self.conf.write_text(self.conf.read_text() + f"\n[records]\npostgres_file = {file}\n")

    def version(self, value):
        return self.commit(self.stack(web=self.web(VERSION=value)))

    def delivered(self):
        """(id, states that it went through), in the order in which the last of them came."""
        return [(int(i), states.split()) for i, states in self.server.sql(
            "postgres", "SELECT id, string_agg(state, ' ' ORDER BY change) FROM deploy_agent.state_change GROUP BY host_id, id ORDER BY max(change)")]

    def test_server_stopped_during_three_deployments(self):
        self.stopped_during_three_deployments()

    @long
    def test_server_stopped_for_a_minute(self):
        self.stopped_during_three_deployments(60)

    def stopped_during_three_deployments(self, seconds=0):
        first = self.version("one")
        self.start_ready()
        first = self.expect(first, "succeeded")
        self.wait(lambda: self.schema_is_there() and self.delivered(), 30, "the first delivery")
        self.server.stop()
        until = time.monotonic() + seconds
        ends = [first, self.expect(self.version("two"), "succeeded")]
        self.agent.kill()
        self.start_ready()
        ends.append(self.expect(self.commit(self.stack({"steps": [self.job(command=["exit", "3"])]}, web=self.web(VERSION="three"))), "failed"))
        ends.append(self.expect(self.version("four"), "succeeded"))
        self.assertIn("PostgreSQL is not ready", self.agentctl("log", "--records", code=1).stderr)
        self.assertRegex(self.agentctl("status").stdout, r"records fails since .*: PostgreSQL is not ready.*; \d+ waiting")
        self.wait(lambda: time.monotonic() >= until, seconds + 1, "the minute to pass")
        self.server.start()
        self.wait(lambda: len(self.delivered()) == 4 and self.delivered()[-1][1][-1] == "succeeded", 60 + seconds, lambda: f"all of it to be delivered: {self.delivered()}")
        self.assertEqual(self.delivered(), [(d["id"], ["requested", "planned", "running", d["state"]]) for d in ends])
        self.same_as_the_journal()
        self.assertNotIn(SECRET, self.agent.log.read_text(errors="replace"))
        self.assertNotIn(SECRET.encode(), (self.dir / "state/journal.db").read_bytes())

    @long
    def test_journal_restored_from_an_older_copy(self):
        """Its numbers are taken: delivery stops, nothing is overwritten, and the error says what mends it."""
        first = self.version("one")
        self.start_ready()
        self.expect(first, "succeeded")
        self.wait(lambda: self.schema_is_there() and self.delivered()[-1:] and self.delivered()[-1][1][-1] == "succeeded", 30, "the first delivery")
        self.agent.stop()
        shutil.copytree(self.dir / "state", self.dir / "copy")
        self.start_ready()
        second = self.version("two")
        self.expect(second, "succeeded")
        self.wait(lambda: len(self.delivered()) == 2 and self.delivered()[-1][1][-1] == "succeeded", 30, "the second delivery")
        before = self.json("log", "--records")
        self.agent.stop()
        shutil.rmtree(self.dir / "state")
        (self.dir / "copy").rename(self.dir / "state")
        self.start_ready()
        self.expect(second, "succeeded")
        error = self.wait(lambda: next((r["error"] for r in self.json("status")["receivers"] if r["name"] == "records"), None), 30, "the delivery to be refused")
        self.assertIn("restored from an older copy", error)
        self.assertEqual(self.json("log", "--records"), before)
        self.server.sql("postgres", error[error.index("UPDATE "):])
        self.wait(lambda: len(self.json("log", "--records")) == 3, 60, "the delivery to go on")
        self.assertEqual({(d["id"], d["host_id"].endswith("-before")) for d in self.json("log", "--records")}, {(1, True), (2, True), (2, False)})

    def schema_is_there(self):
        return self.server.value("postgres", "SELECT to_regclass('deploy_agent.log') IS NOT NULL") == "t"

    def same_as_the_journal(self):
        fleet, here = self.json("log", "--records"), self.json("log")
        hosts = {(d.pop("host"), len(d.pop("host_id"))) for d in fleet}
        self.assertEqual(fleet, here)
        self.assertEqual([length for _, length in hosts], [16])
        table = self.agentctl("log", "--records", "--wide", code=0).stdout.splitlines()
        plain = self.agentctl("log", "--wide", code=0).stdout.splitlines()
        host = hosts.pop()[0]
        self.assertEqual([line.split()[0] for line in table], ["HOST"] + [host[:16]] * 4)
        self.assertEqual([line.split()[1:] for line in table], [line.split() for line in plain])
        one = self.agentctl("log", self.name, "--records", "--state", "failed", "--json", code=0).stdout
        self.assertEqual([d["state"] for d in json.loads(one)], ["failed"])
        # who may not read the configuration is told by agentd
        reply = self.ask({"verb": "records", "args": {"stack": self.name, "limit": 1}})
        self.assertEqual([json.loads(line)["id"] for line in reply["output"].splitlines()], [here[0]["id"]])
        self.assertIn("ok    records: ", self.agentctl("check").stdout)

    def ask(self, request):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.dir / "run/control.sock"))
            s.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(s.makefile().readline())
