# SPDX-License-Identifier: Apache-2.0
"""The checker is shown worlds in which something is wrong, one thing in each, and a good one."""

import pathlib
import sqlite3
import tempfile
import unittest

from checker import Witness
from expect import Failure
from prober import unanswered
from tap import Effect

SCHEMA = """
CREATE TABLE deployment (id INTEGER PRIMARY KEY, commit_id, state, trigger_name, reason);
CREATE TABLE step (deployment, seq, kind, name, state, error, finished_us);
CREATE TABLE service (deployment, service, name, action, state, note, after_hash);
CREATE TABLE spec (hash, body);
CREATE TABLE image (deployment, service, digest);
CREATE TABLE stack (stack, waiting);
INSERT INTO deployment VALUES (1, 'c1', 'succeeded', 'poll', 'done');
INSERT INTO step VALUES (1, 1, 'run', 'schema', 'done', NULL, 2000000), (1, 2, 'roll', 'one', 'done', NULL, 4000000);
INSERT INTO spec VALUES ('h', '{"TaskTemplate": {"ContainerSpec": {"Image": "web@sha256:1"}}}');
INSERT INTO service VALUES (1, 'one', 'S_one', 'update', 'healthy', NULL, 'h');
INSERT INTO image VALUES (1, 'one', 'sha256:1');
INSERT INTO stack VALUES ('S', NULL);
"""


class Engine:
    def __init__(self):
        self.services = {"S_one": {"Spec": {"TaskTemplate": {"ContainerSpec": {"Image": "web@sha256:1"}}}}}
        self.jobs = []

    def service(self, name):
        return self.services.get(name)

    def labelled(self, kind, label):
        return [{"Spec": {"Name": name}} for name in self.jobs]


class Lab:
    runs = ["new"]

    def volume_lines(self, volume, file):
        return self.runs


class Tap:
    def __init__(self, *effects):
        self.effects = []
        for at, words, name in effects:
            effect = Effect(words, name)
            effect.at, effect.status = at, 200
            self.effects.append(effect)


class World(Witness):
    """A good one; the tests spoil it."""

    def __init__(self, folder):
        self.dir = self.state_dir = pathlib.Path(folder)
        self.log, self.conf, self.program = self.dir / "log", self.dir / "conf", self.dir / "agent-worker"
        self.log.write_text("all is well\n")
        self.name, self.password, self.shape, self.new, self.old, self.new_tag, self.old_tag = "S", "pass-of-S", "plain", "new", "old", 1, 2
        self.engine, self.lab, self.acknowledged = Engine(), Lab(), {1: "c1"}
        self.tap = Tap((1.0, "create service", "S_mig_schema"), (3.0, "update service", "S_one"))
        with sqlite3.connect(self.state_dir / "journal.db") as db:
            db.executescript(SCHEMA)

    def commits(self):
        return ["c1"]

    def say(self, sql):
        with sqlite3.connect(self.state_dir / "journal.db") as db:
            db.execute(sql)


class Checker(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.world = World(folder.name)

    def wrong(self, words, look=lambda world: world.invariants(1, 0)):
        self.assertRaisesRegex(Failure, words, look, self.world)

    def test_good(self):
        self.world.invariants(1, 0)
        self.world.applied_once(1)

    def test_v1_acknowledged_and_gone(self):
        self.world.say("UPDATE deployment SET commit_id = 'c2'")
        self.wrong("which a poll has acknowledged")

    def test_v1_twice(self):
        self.world.say("INSERT INTO deployment VALUES (2, 'c1', 'succeeded', 'poll', '')")
        self.wrong("deployments of commit")

    def test_v1_no_such_state(self):
        self.world.say("INSERT INTO deployment VALUES (2, 'c0', 'lost', 'retry', '')")
        self.wrong("in no state that there is")

    def test_v2_ran_twice(self):
        self.world.lab.runs = ["new", "new"]
        self.wrong("times the migration ran", lambda world: world.applied_once(1))

    def test_v2_never_ran(self):
        self.world.lab.runs = ["older"]
        self.wrong("times the migration ran", lambda world: world.applied_once(1))

    def test_v3_touched_before_it_was_recorded(self):
        self.world.tap.effects[1].at = 1.5
        self.wrong("touched before schema was recorded")

    def test_v3_touched_after_a_failure(self):
        self.world.say("UPDATE step SET state = 'failed' WHERE kind = 'run'")
        self.wrong("was touched, and schema is failed")

    def test_v4_nobody_answered(self):
        self.assertEqual(unanswered(["0"] * 10), 0)
        self.assertEqual(unanswered(["0"] * 10 + ["1"]), 1)
        self.assertRaises(Failure, unanswered, ["0"] * 9)

    def test_v6_other_spec(self):
        self.world.engine.services["S_one"]["Spec"]["Labels"] = {"changed": "by hand"}
        self.wrong("record and engine")

    def test_v6_not_there(self):
        self.world.engine.services.clear()
        self.wrong("is there False")

    def test_v6_other_digest(self):
        self.world.say("UPDATE image SET digest = 'sha256:2'")
        self.wrong("digest of S_one")

    def test_v6_removed_and_there(self):
        self.world.say("UPDATE service SET action = 'remove'")
        self.wrong("which was removed")

    def test_v7_in_the_log(self):
        self.world.log.write_text("connecting as app:pass-of-S\n")
        self.wrong("pass-of-S is in")

    def test_v7_in_the_journal(self):
        self.world.say("INSERT INTO spec VALUES ('x', 'secret of new')")
        self.wrong("secret of new is in")

    def test_v8_a_job_is_left(self):
        self.world.engine.jobs = ["S_mig_schema"]
        self.wrong("migration jobs that are left")

    def test_v8_it_still_says_that_it_waits(self):
        self.world.say("UPDATE stack SET waiting = 'the engine does not answer'")
        self.wrong("what the record says is waited for")


if __name__ == "__main__":
    unittest.main()
