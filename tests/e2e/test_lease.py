# SPDX-License-Identifier: Apache-2.0
"""Two agents that both may act deploy the same stack: the lease in Swarm's own store lets one at a time."""

import os
import pathlib
import signal

from harness import Case, ENDED, Host, deadline, faultproxy, long


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
        stack = self.version("one")
        stack["x-release"]["gate"] = {**self.gate, "soak": "12s"}  # time for the other one to find it under way
        commit = self.commit(stack)
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

    def test_migration_runs_at_one_of_them(self):
        """The other one finds the commit deployed, its migration included."""
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", self.full("data"), check=False)
        step = self.job(command=["append", "/data/runs", "one"])
        commit = self.commit(self.stack({"steps": [step]}, web=self.web(volumes=["data:/data"]), volumes={"data": {}}))
        for host in (self.one, self.two):
            host.start()
        for host in (self.one, self.two):
            self.assertEqual(host.ended(commit)["state"], "succeeded")
        self.assertEqual(self.volume_lines(), ["one"])

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

    @long
    def test_holder_stops_answering_before_a_failure(self):
        """It is frozen while its migration fails; another one has said so by the time it sees that."""
        self.needs_faults()
        first = self.commit(self.version("one"))
        for host in (self.one, self.two):
            host.start()
        for host in (self.one, self.two):
            self.assertEqual(host.ended(first)["state"], "succeeded")
            host.stop()
        second = self.commit(self.stack({"steps": [self.job(command=["exit", "3"])]}, web=self.web(VERSION="two"), other=self.web(VERSION="two")))
        self.one.start(FAULTS="job.created:stop")
        self.wait(lambda: "fault point job.created" in self.one.log_text(), 60, "the first to come to the migration")
        worker = self.one.run_worker()
        self.two.start()
        self.assertEqual(self.two.ended(second, 90)["state"], "failed")
        os.kill(worker, signal.SIGCONT)
        self.wait(lambda: (self.one.record(second) or {}).get("state") in ENDED, 40, "the first to come to an end")
        self.wait(lambda: [d["state"] for d in self.one.deployments() if d["commit"] == second] == ["failed", "superseded"], 40,
                  lambda: f"the first to leave the word to the second: {self.one.deployments()}")
        self.assertIn("is held since", self.one.record(second)["reason"])

    def test_bad_commit_is_tried_once(self):
        """What one agent has put back the other does not try on its own; a person may ask for it."""
        first = self.commit(self.version("one"))
        for host in (self.one, self.two):
            host.start()
        for host in (self.one, self.two):
            self.assertEqual(host.ended(first)["state"], "succeeded")
        stack = self.stack({"health": self.health(), "gate": {**self.gate, "healthy_deadline": deadline(10)}},
                           web=self.web(VERSION="two", HEALTH_STATUS=500), other=self.web(VERSION="one"))
        second = self.commit(stack)
        records = [host.ended(second) for host in (self.one, self.two)]
        self.assertEqual(sorted(r["state"] for r in records), ["failed", "rolled_back"])
        held = next(i for i, r in enumerate(records) if r["state"] == "failed")
        self.assertRegex(records[held]["reason"], r"^commit \w+ is held since the agent on \S+ \(its deployment #2\) has deployed the stack: rolled_back; "
                                                  r"agentctl retry .*; no service was touched$")
        host = (self.one, self.two)[held]
        host.agentctl("retry", self.name, code=0)
        self.assertEqual(host.ended(second, 60, at_least=2)["state"], "rolled_back")
        # a new commit is nobody's past
        third = self.commit(self.version("three"))
        self.assertEqual([h.ended(third)["state"] for h in (self.one, self.two)], ["succeeded"] * 2)
        self.assertEqual(self.lease()["Spec"]["Labels"]["deploy-agent.lease-held-commit"], "")

    @long
    def test_bad_commit_of_a_dead_agent(self):
        """It died when it had sent the only update: that nothing differs any more is no success."""
        self.needs_faults()
        first = self.commit(self.stack(web=self.web(VERSION="one")))
        self.one.start()
        self.assertEqual(self.one.ended(first)["state"], "succeeded")
        self.one.stop()
        second = self.commit(self.stack({"health": self.health(), "gate": {**self.gate, "healthy_deadline": deadline(10)}},
                                        web=self.web(VERSION="two", HEALTH_STATUS=500)))
        self.one.start(FAULTS="roll.sent:stop")
        self.wait(lambda: "fault point roll.sent" in self.one.log_text(), 60, "the first to come to the rollout")
        self.one.kill()
        self.two.start()
        record = self.two.ended(second, 90)
        self.assertEqual(record["state"], "rolled_back", record["reason"])
        self.assertIn("/health", record["reason"])
        self.assertIn("VERSION=one", self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"])

    def left_by_a_dead_worker(self, **stack):
        """It fails, says so on record, and dies before it has given the lease back."""
        self.needs_faults()
        one = Host(self, "left", agent={"act": "always"}, stack=stack)
        commit = self.commit(self.stack({"steps": [self.job(command=["exit", "3"])]}, web=self.web()))
        one.start(FAULTS="end.said:kill")
        self.assertEqual(one.ended(commit)["state"], "failed")
        labels = self.wait(lambda: (x := self.lease()["Spec"]["Labels"])["deploy-agent.lease"] == "free" and x, 12, "the lease to be given back")
        self.assertEqual((labels["deploy-agent.lease-held-commit"], labels["deploy-agent.lease-held-why"]), (commit, "failed"))
        self.assertTrue(labels["deploy-agent.deployment"].endswith(f"/{one.record(commit)['id']}"))

    def test_given_back_for_a_dead_worker(self):
        self.left_by_a_dead_worker(drift="ignore")

    @long
    def test_given_back_for_a_dead_worker_beside_drift(self):
        self.left_by_a_dead_worker()

    @long
    def test_engine_goes_just_as_it_fails(self):
        """The lease is given back when the engine is there again: nobody waits for its expiry, and the next agent knows what is held."""
        self.needs_faults()
        tap = faultproxy.Proxy(self.lab.socket, self.dir / "engine.sock")
        self.addCleanup(tap.close)
        one = Host(self, "cut off", agent={"act": "always", "docker": f"unix://{tap.listen}"})
        commit = self.commit(self.stack({"steps": [self.job(command=["exit", "3"])]}, web=self.web()))
        one.start(FAULTS="end.said:sleep=2")
        self.wait(lambda: "fault point end.said" in one.log_text(), 60, "the end")
        away = tap.fault(lambda data: True, unsent=True)
        began = self.lease()
        self.assertEqual(began["Spec"]["Labels"]["deploy-agent.lease"], "held")
        self.wait(lambda: away.hits > 2, 30, "it to be tried")
        self.assertEqual(self.lease()["Version"], began["Version"])
        away.over()
        self.wait(lambda: self.lease()["Spec"]["Labels"]["deploy-agent.lease"] == "free", 12, "the lease to be given back")
        self.two.start()
        self.assertIn("is held since the agent on", self.two.ended(commit)["reason"])

    def test_migration_of_a_dead_agent(self):
        """It ends while nobody is there; who takes over reads its outcome, and does not run it again."""
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", self.full("data"), check=False)

        def version(number):
            return self.stack({"steps": [self.job("first", command=["append", "/data/runs", f"{number} first"]),
                                         self.job("second", command=["append", "/data/runs", f"{number} second"])]},
                              web=self.web(VERSION=number, volumes=["data:/data"]), volumes={"data": {}})

        self.needs_faults()
        commit = self.commit(version("one"))
        # it and its worker die with the job of the second step on its way
        self.one.start(FAULTS="job.created:stop:nth=2")
        self.wait(lambda: "fault point job.created" in self.one.log_text(), 60, "the second job")
        self.one.kill()
        self.assertEqual([s["Spec"]["Labels"]["deploy-agent.step"] for s in self.job_services()], ["second"])
        self.two.start()
        record = self.two.ended(commit, 90)
        self.assertEqual(record["state"], "succeeded", record["reason"])
        self.assertEqual(self.volume_lines(), ["one first", "one second"])
        self.assertEqual(self.job_services(), [])
        shown = self.two.agentctl("show", str(record["id"]), "--logs", code=0).stdout
        self.assertIn("it ended well in the deployment that was taken over", shown)
        self.assertIn("first", self.lease()["Spec"]["Labels"]["deploy-agent.lease-done"])
