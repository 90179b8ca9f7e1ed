# SPDX-License-Identifier: Apache-2.0
"""agentd or its worker dies by kill -9, and who takes the deployment up knows what it has to.

Needs programs built with -Dfaults=true. Other deaths of agentd are rows A2 to A4 of tests/faults; the worker's own, at every fault point, are
in tests/crash.
"""

import os
import signal
import time

from harness import Case, long, wait_for


class Supervisor(Case):
    slow = True
    tapped = True

    def setUp(self):
        super().setUp()
        if b"fault point %s" not in self.program("agent-worker").read_bytes():
            self.skipTest("the programs were built without -Dfaults=true")
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", f"{self.name}_data", check=False)

    def version(self, number):
        return self.stack({"steps": [self.job(command=["append", "/data/runs", number])], "health": self.health()},
                          web=self.web(VERSION=number, volumes=["data:/data"]), volumes={"data": {}})

    def test_the_timeout_of_a_migration_goes_on(self):
        """A worker that takes it up does not give it all of its time again."""
        commit = self.commit(self.stack({"steps": [self.job(command=["sleep", "600"], timeout="40s")]}))
        self.start()
        self.wait(self.job_containers, 60, "the migration to run")
        began = time.monotonic()
        time.sleep(20)
        os.kill(self.run_worker(), signal.SIGKILL)
        record = self.expect(commit, "failed", 60)
        self.assertIn("timed out after", record["reason"])
        self.assertLess(time.monotonic() - began, 58)  # 60 with all of its time again
        self.assertEqual(self.job_containers(), [])

    def test_the_worker_of_a_dead_agentd_comes_to_its_end(self):
        """Nobody reads its hints any more, and it gives several with each step."""
        commit = self.commit(self.version("one"))
        self.start(FAULTS="job.created:sleep=1")
        self.wait(lambda: "fault point job.created" in self.agent.log.read_text(), 60, "the migration to be started")
        worker = self.run_worker()
        self.agent.kill()
        wait_for(lambda: worker not in self.workers(), 60, "the worker's end")
        self.assertEqual(self.record(commit)["state"], "succeeded")
        self.assertEqual(self.volume_lines(), ["one"])
        self.serves("web", "one")

    @long
    def test_compares_with_the_baseline_of_before_the_crash(self):
        """Who takes it up finds the new version failing: that is not taken for how it was before."""
        first = self.commit(self.stack({"health": self.health()}, web=self.web(VERSION="one")))
        self.start()
        self.expect(first, "succeeded")
        self.agent.stop()
        commit = self.commit(self.stack({"health": self.health()}, web=self.web(VERSION="two", HEALTH_STATUS=500)))
        self.start(FAULTS="roll.sent:sleep=30")
        self.wait(lambda: "fault point roll.sent" in self.agent.log.read_text(), 60, "the update to be sent")
        worker = self.run_worker()
        self.agent.kill()
        os.kill(worker, signal.SIGKILL)
        self.start_ready()
        record = self.expect(commit, "rolled_back", 90)
        self.assertIn("web /health: 3 of 3 before, 0 of 3 now (200 before, 500 now)", record["reason"])
        self.serves("web", "one")

    @long
    def test_worker_dies_again_and_again_over_a_migration(self):
        """The job that has failed is not left behind, and what it did is said."""
        commit = self.commit(self.stack({"steps": [self.job(command=["append", "/nowhere/file", "text"])]}))
        self.start(FAULTS="job.created:kill")
        record = self.expect(commit, "stuck", 120)
        self.assertEqual(self.job_services(), [])
        self.assertIn("had failed with exit 1 and was removed: a retry runs it again", record["reason"])
        self.assertIn("/nowhere/file", self.agentctl("show", str(record["id"]), "--logs").stdout)

    @long
    def test_killed_while_fetching(self):
        commit = self.commit(self.version("one"))
        self.start(FAULTS="repo.downloaded:sleep=5")
        self.wait(self.workers, 20, "a worker")
        self.agent.kill()
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)
        self.start()
        self.expect(commit, "succeeded")
        self.assertEqual(self.volume_lines(), ["one"])

    def test_first_start_dies_while_the_journal_is_made(self):
        agent = self.start(FAULTS="journal.migrate:kill")
        wait_for(lambda: not agent.alive(), 20, "agentd to die")
        commit = self.commit(self.version("one"))
        self.start()
        self.expect(commit, "succeeded")
