# SPDX-License-Identifier: Apache-2.0
"""Two agents that both may act deploy the same stack: the lease in Swarm's own store lets one at a time."""

import os
import pathlib
import signal

from harness import Case, Host


class Lease(Case):
    slow = True
    gate = {**Case.gate, "soak": "1s"}

    def setUp(self):
        super().setUp()
        self.one, self.two = (Host(self, name, agent={"act": "always"}) for name in ("one", "two"))

    def version(self, number, **more):
        return self.stack(web=self.web(VERSION=number, **more), other=self.web(VERSION=number))

    def lease(self):
        found = self.engine.get("/configs", filters={"label": [f"deploy-agent.stack={self.name}"]})
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def deployed_by(self, service):
        return self.spec(service)["Labels"]["deploy-agent.deployment"]

    def needs_faults(self):
        if b"fault point %s" not in self.program("agent-worker").read_bytes():
            self.skipTest("the programs were built without -Dfaults=true")

    def test_one_deploys_the_other_waits(self):
        commit = self.commit(self.version("one", HEALTH_AFTER_S=6))
        for host in (self.one, self.two):
            host.start()
        waiting = self.wait(lambda: next((h for h in (self.one, self.two) if "is being deployed by" in h.waiting()), None), 20, "one to wait")
        acting = self.two if waiting is self.one else self.one
        self.assertRegex(waiting.waiting(), rf"^stack {self.name} is being deployed by the agent on \S+ \(its deployment #1\)$")
        self.assertIn("is being deployed by", waiting.agentctl("status", self.name).stdout)
        self.assertEqual(acting.ended(commit)["state"], "succeeded")
        record = waiting.ended(commit)
        self.assertEqual((record["state"], record["reason"]), ("succeeded", "no change"))
        self.assertEqual(len({self.deployed_by(s) for s in ("web", "other")}), 1)
        self.assertEqual([len(self.engine.tasks(self.full(s))) for s in ("web", "other")], [1, 1])
        # given back; and nothing is written when there is nothing to do
        lease = self.lease()
        self.assertEqual(lease["Spec"]["Labels"]["deploy-agent.lease"], "free")
        for host in (self.one, self.two):
            host.polls(4)
        self.assertEqual(self.lease()["Version"], lease["Version"])

    def test_holder_stops_answering(self):
        """Its worker is frozen in mid-rollout, longer than the others wait; what it wants to do afterwards is not done."""
        self.needs_faults()
        first = self.commit(self.version("one"))
        self.one.start()
        self.assertEqual(self.one.ended(first)["state"], "succeeded")
        self.one.stop()
        second = self.commit(self.version("two"))
        self.one.start(FAULTS="roll.sent:stop")
        self.wait(lambda: "fault point roll.sent" in self.one.log_text(), 60, "the first to come to the rollout")
        worker = self.one.run_worker()
        self.assertIsNotNone(worker)
        began = self.lease()["Version"]["Index"]
        self.two.start()
        self.wait(lambda: "is being deployed by" in self.two.waiting(), 20, "the second to wait")
        record = self.two.ended(second, 90)
        self.assertEqual(record["state"], "succeeded", record["reason"])
        self.assertIn(f"taking stack {self.name} over from the agent on", self.two.log_text())
        self.assertGreater(self.lease()["Version"]["Index"], began)
        specs = self.specs()
        os.kill(worker, signal.SIGCONT)
        self.wait(lambda: (self.one.record(second) or {}).get("state") in ("superseded", "interrupted"), 30, "the first to see it")
        self.wait(lambda: self.one.record(second, 2), 40, "the first to look again")
        self.assertEqual(self.one.ended(second, at_least=2)["reason"], "no change")
        old = [d for d in self.one.deployments() if d["commit"] == second][-1]
        self.assertEqual(old["state"], "superseded")
        self.assertIn("which has taken the stack over since", old["reason"])
        self.assertIn("was taken over by the agent on", self.one.log_text())
        self.assertEqual(self.specs(), specs)
        self.assertFalse(pathlib.Path(f"/proc/{worker}").exists())
