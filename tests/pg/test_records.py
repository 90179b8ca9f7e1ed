# SPDX-License-Identifier: Apache-2.0
"""The schema of our own records (migrations/records), applied by the same runner."""

import unittest

from case import Case, close_server


def tearDownModule():
    close_server()


class Records(Case):
    def records(self, **options):
        answer = self.drive("records", **options)
        self.assertIsNone(answer.error, answer)
        return answer.value

    def test_made_once(self):
        self.assertEqual(self.records(), {"applied": 1, "after": "0001"})
        self.assertEqual(self.records(), {"applied": 0, "after": "0001"})
        self.assertEqual(self.versions("deploy_agent.records_version"), ["0001"])
        self.assertEqual(self.log("stage, file, state"), [("records", "0001_init.sql", "applied")])
        self.sql("INSERT INTO deploy_agent.host VALUES ('a1', 'uss-web1', now()); INSERT INTO deploy_agent.deployment (host_id, id, change, stack, "
                 "state, commit_id, trigger_name, requested_at) VALUES ('a1', 7, 1, 'shop', 'succeeded', 'abc', 'poll', now())")
        self.assertEqual(self.sql("SELECT host, id, state, migrations FROM deploy_agent.log"), [["uss-web1", "7", "succeeded", "0"]])

    def test_two_hosts_at_once(self):
        runs = [self.start("records") for _ in range(4)]
        values = [run.end() for run in runs]
        self.assertEqual([a.error for a in values], [None] * 4)
        self.assertEqual(sum(a.value["applied"] for a in values), 1)

    def test_newer_than_the_program(self):
        self.records()
        self.sql("INSERT INTO deploy_agent.records_version (version, name) VALUES ('0002', 'later')")
        answer = self.drive("records")
        self.assertEqual(answer.kind, "conflict", answer)
        self.assertIn("the records are of a newer deploy-agent", answer.error)

    def test_role_that_may_not(self):
        self.sql("CREATE ROLE records_reader LOGIN; REVOKE ALL ON DATABASE " + self.db + " FROM records_reader, PUBLIC; GRANT CONNECT ON DATABASE " + self.db + " TO records_reader")
        self.addCleanup(lambda: self.server.psql("postgres", "-c", "DROP ROLE records_reader", check=False))
        answer = self.drive("records", user="records_reader")
        self.assertIsNotNone(answer.error)
        self.assertIn("GRANT CREATE ON DATABASE", answer.error)


if __name__ == "__main__":
    unittest.main()
