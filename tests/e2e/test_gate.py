# SPDX-License-Identifier: Apache-2.0
"""A rollout goes on only over services that work; what does not is put back as it was."""

import datetime
import json
import os
import pathlib
import shutil
import signal
import time

from harness import Case, deadline, long, wait_for


class Gate(Case):
    slow = True
    tapped = True

    def two(self, **web):
        return self.stack({"health": self.health()}, web=self.web(**web), other=self.web(depends_on=["web"], VERSION=web.get("VERSION", "")))

    def running(self, service):
        return {t["ID"] for t in self.engine.running(self.full(service))}

    def setUp(self):
        super().setUp()
        first = self.commit(self.two(VERSION="one"))
        self.start()
        self.first = self.expect(first, "succeeded")
        self.before = self.specs()
        self.others = self.task_ids("other")
        self.tap.requests.clear()

    def rolled_back(self, stack, *words, seconds=90):
        """Deploys it; everything is put back: the specs are those before, byte for byte, and `other` was left alone."""
        record = self.expect(self.commit(stack), "rolled_back", seconds)
        for word in words:
            self.assertIn(word, record["reason"])
        self.assertIn(f"#{self.first['id']}", record["reason"])
        self.assertEqual(self.specs(), self.before)
        self.assertEqual(self.task_ids("other"), self.others)
        self.serves("web", "one")
        self.assertEqual({s["name"]: s["state"] for s in record["services"]}, {"web": "rolled_back", "other": "untouched"})
        self.assertEqual(self.updates("web"), 2)  # there and back
        return record

    def test_health_500(self):
        record = self.rolled_back(self.two(VERSION="two", HEALTH_STATUS=500), "/health", "200 before", "500 now")
        # held: a look at the same commit does nothing
        self.tap.requests.clear()
        self.agentctl("sync", self.name, "--wait", code=1)
        self.assertEqual(self.tap.effects(), [])
        # a new commit goes
        self.deploy(self.two(VERSION="three"))
        self.serves("web", "three")
        self.assertTrue(record["images"][0]["digest"])

    @long
    def test_health_answers_slower_than_its_timeout(self):
        self.rolled_back(self.two(VERSION="two", SLOW_MS=15000), "/health")

    @long
    def test_health_slow_but_in_time(self):
        self.deploy(self.two(VERSION="two", SLOW_MS=700))

    @long
    def test_unhealthy_at_first(self):
        self.deploy(self.two(VERSION="two", HEALTH_AFTER_S=5))

    @long
    def test_refuses_to_start(self):
        self.rolled_back(self.two(VERSION="two", REFUSE=1), "exit")
        output = self.agentctl("show", str(self.log()[0]["id"]), "--logs").stdout
        self.assertIn("REFUSE is set", output)

    @long
    def test_container_cannot_start(self):
        stack = self.two(VERSION="two")
        stack["services"]["web"]["entrypoint"] = ["/no/such/program"]
        self.rolled_back(stack)

    @long
    def test_body_decides(self):
        stack = self.two(VERSION="two")
        stack["x-release"]["health"] = self.health(path="/", body="^three$$")
        stack["x-release"]["gate"] = {**self.gate, "healthy_deadline": deadline(8)}
        self.rolled_back(stack, "body")
        stack["x-release"]["health"] = self.health(path="/", body="^two$$")
        self.deploy(stack)

    @long
    def test_host_and_headers_reach_the_service(self):
        stack = self.two(VERSION="two")
        stack["x-release"]["health"] = self.health(status=404, path="/nothing", host="www.example.org", header={"X-One": "1"})
        self.deploy(stack)

    def test_healthcheck_of_the_container(self):
        stack = self.two(VERSION="two", healthcheck={"test": ["CMD", "/web", "exit", "1"], "interval": "1s", "retries": 2})
        self.rolled_back(stack)

    def test_unhealthy_before_it_is_stopped(self):
        """Stopped, it would exit with 0, which Swarm may take for a task that runs, and stop the one that serves."""
        served = self.running("web")
        healthcheck = {"test": ["CMD", "/web", "probe", "http://127.0.0.1:8000/health"], "interval": "1s", "retries": 2}
        stack = self.two(VERSION="two", HEALTH_STATUS=500, healthcheck=healthcheck,
                         deploy={"update_config": {"order": "start-first", "monitor": "1s"}})
        self.rolled_back(stack, "is unhealthy: web: http://127.0.0.1:8000/health answered 500")
        self.assertEqual(self.running("web"), served)

    def replicas(self, seconds, update=None, **web):
        """Two of them, healthy after so many seconds."""
        healthcheck = {"test": ["CMD", "/web", "probe", "http://127.0.0.1:8000/"], "interval": f"{seconds}s", "timeout": "5s", "retries": 9}
        deploy = {"replicas": 2, "update_config": {"order": "start-first", "monitor": "1s", **(update or {})}}
        return self.two(deploy=deploy, healthcheck=healthcheck, **web)

    def test_ends_with_0_before_it_was_healthy(self):
        """Swarm does not see it while the other one starts, and then it is too long ago for `monitor`."""
        self.gate = {**self.gate, "healthy_deadline": deadline(60)}
        self.deploy(self.replicas(1, VERSION="two"))
        second = {t["ID"] for t in self.engine.running(self.full("web")) if t["Slot"] == 2}
        ends = {"EXIT_AFTER_S": "0.3e{{.Task.Slot}}", "EXIT_CODE": 0}  # 3 s and 30 s
        record = self.expect(self.commit(self.replicas(20, update={"parallelism": 2}, VERSION="three", **ends)), "rolled_back", 120)
        self.assertRegex(record["reason"], r"web: task \w+ ended with exit 0")
        self.assertNotIn("tasks failed", record["reason"])
        self.assertLessEqual(second, self.running("web"), "what served beside it serves on")
        self.serves("web", "two")

    def test_ends_with_0_once_after_it_was_well(self):
        """A worker that recycles itself is no verdict, however long the rollout takes."""
        self.deploy(self.replicas(1, VERSION="two"))
        served = self.running("web")
        commit = self.commit(self.replicas(1, update={"delay": "5s"}, VERSION="three"))
        first = self.wait(lambda: self.running("web") - served, 60, "the first new task")
        looks = self.tap.count("/tasks")
        self.wait(lambda: self.tap.count("/tasks") >= looks + 12, 30, "the gate to have seen it run")
        task = next(t for t in self.engine.running(self.full("web")) if t["ID"] in first)
        self.lab.docker("kill", "--signal", "TERM", task["Status"]["ContainerStatus"]["ContainerID"])
        self.expect(commit, "succeeded", 120)
        state = next(t["Status"]["State"] for t in self.engine.tasks(self.full("web")) if t["ID"] in first)
        self.assertEqual(state, "complete", "the test has not done what it is about")

    @long
    def test_crashes_before_it_was_healthy(self):
        """The engine calls such a container unhealthy, too; what happened is that it crashed."""
        healthcheck = {"test": ["CMD", "/web", "probe", "http://127.0.0.1:8000/"], "interval": "20s", "retries": 2}
        for exit_after in (1, 1.3, 1.6, 1.9):
            stack = self.two(VERSION=str(exit_after), EXIT_AFTER_S=exit_after, EXIT_CODE=7, healthcheck=healthcheck,
                             deploy={"update_config": {"order": "start-first", "monitor": "1s"}})
            record = self.expect(self.commit(stack), "rolled_back", 90)
            self.assertIn("exit 7", record["reason"])
            self.assertNotIn("unhealthy", record["reason"])

    def test_ended_and_still_reported_as_running(self):
        """What Swarm last heard of a task can be a second old, and min_healthy_time be over by then. Its container knows better."""
        self.gate = {**self.gate, "min_healthy_time": "8s"}
        stack = self.two(VERSION="one")
        stack["services"]["extra"] = self.web(EXIT_AFTER_S=5, EXIT_CODE=7)
        commit = self.commit(stack)
        self.wait(lambda: self.running("extra"), 60, "the new service to run")
        service, tasks = self.engine.service(self.full("extra"))["ID"], self.engine.tasks(self.full("extra"))
        self.assertEqual([t["Status"]["State"] for t in tasks], ["running"])
        old = self.tap.fault(f"^GET /tasks.*{service}", status=200, body=json.dumps(tasks))
        self.wait(lambda: "its container has ended" in json.dumps(self.status()), 60, "the end to be told")
        old.over()
        self.assertIn("exit 7", self.expect(commit, "rolled_back", 90)["reason"])
        self.assertEqual(self.specs(), self.before)

    @long
    def test_ends_well_before_it_was_asked(self):
        """Exit 0 is an end that on-failure allows, but a check that nobody could be asked has not passed."""
        self.gate = {**self.gate, "healthy_deadline": deadline(8)}
        ends = {"restart_policy": {"condition": "on-failure"}, "update_config": {"failure_action": "continue", "monitor": "1s"}}
        stack = self.two(VERSION="two", EXIT_AFTER_S=0, EXIT_CODE=0, deploy=ends)
        self.rolled_back(stack, "/health", "200 before", "no task runs that could be asked")

    def test_no_replicas_are_not_called_healthy(self):
        """Turned off on purpose: nothing is there to be asked, and nobody says that it was."""
        record = self.deploy(self.two(VERSION="two", deploy={"replicas": 0}))
        self.assertIn("unverified: web", record["reason"])
        web = next(s for s in self.show(record["id"])["services"] if s["name"] == "web")
        self.assertEqual(web["state"], "unverified")
        self.assertIn("replicas", web["note"])

    @long
    def test_swarm_pauses_the_update(self):
        """Swarm's own verdict counts: update_config is the user's, and failure_action pause is a failure."""
        stack = self.two(VERSION="two", EXIT_AFTER_S=0, EXIT_CODE=1,
                         deploy={"update_config": {"failure_action": "pause", "monitor": "10s"}})
        self.rolled_back(stack)

    @long
    def test_swarm_rolls_back_by_itself(self):
        stack = self.two(VERSION="two", EXIT_AFTER_S=0, EXIT_CODE=1,
                         deploy={"update_config": {"failure_action": "rollback", "monitor": "10s"}})
        record = self.expect(self.commit(stack), "rolled_back", 90)
        self.assertEqual(self.task_ids("other"), self.others)
        self.serves("web", "one")
        self.assertEqual(self.specs()[self.full("other")], self.before[self.full("other")])
        self.assertEqual(self.spec("web")["TaskTemplate"], self.before[self.full("web")]["TaskTemplate"], record["reason"])
        # its verdict stays on the service, and is none on the next update
        self.deploy(self.two(VERSION="three"))
        self.serves("web", "three")

    @long
    def test_third_of_three_fails(self):
        def stack(version, **more):
            return self.stack({"health": {**self.health(), **self.health("third")}, "rollout": {"order": ["web", "other", "third", "fourth"]}},
                              web=self.web(VERSION=version), other=self.web(VERSION=version), third=self.web(VERSION=version, **more),
                              fourth=self.web(VERSION=version))

        self.deploy(stack("two"))
        before, fourth = self.specs(), self.task_ids("fourth")
        record = self.expect(self.commit(stack("three", HEALTH_STATUS=503)), "rolled_back", 120)
        self.assertEqual(self.specs(), before)
        self.assertEqual(self.task_ids("fourth"), fourth)
        self.assertEqual({s["name"]: s["state"] for s in record["services"]},
                         {"web": "rolled_back", "other": "rolled_back", "third": "rolled_back", "fourth": "untouched"})
        for service in ("web", "other", "third"):
            self.serves(service, "two")
        self.serves("fourth", "two")
        # in reverse order
        ids = {self.engine.service(self.full(s))["ID"]: s for s in ("web", "other", "third")}
        updates = [r for r in self.tap.requests if r.startswith("POST /services/") and any(f"{i}/update" in r for i in ids)]
        last = [next(name for i, name in ids.items() if i in r) for r in updates[-3:]]
        self.assertEqual(last, ["third", "other", "web"])

    def test_soak_finds_what_shows_later(self):
        stack = self.two(VERSION="two", HEALTH_FILE="/data/status", volumes=["data:/data"])
        stack["volumes"] = {"data": {}}
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", f"{self.name}_data", check=False)
        stack["x-release"]["gate"] = {**self.gate, "soak": "60s"}
        commit = self.commit(stack)
        self.wait_for_soak(commit)
        self.lab.docker("run", "--rm", "-v", f"{self.name}_data:/data", f"{self.registry}/web:1", "append", "/data/status", "500")
        record = self.expect(commit, "rolled_back", 60)
        self.assertIn("soak", record["reason"])
        self.assertIn("500", record["reason"])
        self.assertEqual(self.specs(), self.before)

    def test_new_service_that_fails_is_removed(self):
        """It is emptied first: engines panic when a service is removed just as Swarm forgets one of its tasks."""
        left = []

        def looked(data):
            if data.startswith(b"DELETE ") and b"/services/" in data:
                left.append([t["Status"]["State"] for t in self.engine.tasks(self.full("extra")) if t["DesiredState"] != "shutdown"])
            return False

        self.tap.fault(looked)
        stack = self.two(VERSION="one")
        stack["services"]["extra"] = self.web(REFUSE=1)
        record = self.expect(self.commit(stack), "rolled_back", 90)
        self.assertEqual(left, [[]], "tasks of it when it was removed, beside history")
        self.assertIsNone(self.spec("extra"))
        self.assertEqual(self.specs(), self.before)
        self.assertEqual({s["name"]: s["state"] for s in record["services"]}["extra"], "removed")
        self.assertIn("REFUSE is set", self.agentctl("show", str(record["id"]), "--logs").stdout)

    @long
    def test_new_service_is_half_removed(self):
        """Its worker dies between the two; the next one knows the empty service as its own."""
        self.agent.stop()
        stack = self.two(VERSION="one")
        stack["services"]["extra"] = self.web(REFUSE=1)
        commit = self.commit(stack)
        self.start(FAULTS="service.remove:kill")
        self.wait(lambda: "fault point service.remove" in self.agent.log.read_text(errors="replace"), 90, "the removal")
        self.agent.kill()
        self.assertEqual(self.spec("extra")["Mode"], {"Replicated": {"Replicas": 0}})
        self.start_ready()
        self.assertEqual(self.expect(commit, "rolled_back", 90)["reason"].count("someone else"), 0)
        self.assertEqual(self.specs(), self.before)

    @long
    def test_on_failure_halt(self):
        self.configure(stack={"on_failure": "halt"})
        self.agent.stop()
        self.start_ready()
        stack = self.two(VERSION="two", HEALTH_STATUS=500)
        stack["x-release"]["gate"] = {**self.gate, "healthy_deadline": deadline(8)}
        record = self.expect(self.commit(stack), "halted", 90)
        self.assertIn("on_failure", record["reason"])
        self.serves("web", "two")
        self.assertEqual({s["name"]: s["state"] for s in record["services"]}, {"web": "failed", "other": "untouched"})
        self.assertIn("update: failed; runs the new version", self.agentctl("show", str(record["id"])).stdout)
        # that what is wanted runs by now is no success
        self.agentctl("retry", self.name, code=0)
        self.assertIn("/health", self.expect(record["commit"], "halted", 90, at_least=2)["reason"])
        # nor is it what a third try goes back to: the engine has kept the first one's
        self.configure()
        self.agent.stop()
        self.start_ready()
        self.agentctl("retry", self.name, code=0)
        record = self.expect(record["commit"], "rolled_back", 90, at_least=3)
        self.assertIn(f"back on #{self.first['id']}", record["reason"])
        self.assertEqual(self.specs(), self.before)
        self.serves("web", "one")

    @long
    def test_on_failure_halt_before_anything_was_sent(self):
        """Somebody was faster: nothing of this deployment is left anywhere."""
        self.configure(stack={"on_failure": "halt"})
        self.agent.stop()
        self.start_ready(FAULTS="roll.intent:stop")
        commit = self.commit(self.two(VERSION="two"))
        self.wait(lambda: "fault point roll.intent" in self.agent.log.read_text(errors="replace"), 60, "the update to be about to be sent")

        def mine(spec):
            spec["TaskTemplate"]["ContainerSpec"]["Env"] = ["VERSION=by hand"]

        self.engine.update(self.full("web"), mine)
        os.kill(self.run_worker(), signal.SIGCONT)
        record = self.expect(commit, "failed", 60)
        self.assertIn("changed by someone else since the plan was made; that change was left alone; no service was touched", record["reason"])
        self.assertEqual({s["name"]: s["state"] for s in record["services"]}, {"web": "untouched", "other": "untouched"})
        self.assertNotIn("new version", self.agentctl("show", str(record["id"])).stdout)

    @long
    def test_put_back_to_what_was_broken(self):
        """What ran before is half of a deployment that halted: nobody says that it is the last success."""
        self.configure(stack={"on_failure": "halt"})
        self.agent.stop()
        self.start_ready()
        self.expect(self.commit(self.two(VERSION="two", HEALTH_STATUS=500)), "halted", 90)
        broken = self.specs()
        self.configure()
        self.agent.stop()
        self.start_ready()
        record = self.expect(self.commit(self.two(VERSION="three", REFUSE=1)), "rolled_back", 90)
        self.assertEqual(self.specs(), broken)
        self.assertIn(f"back to what ran before, which was not #{self.first['id']}", record["reason"])
        self.assertNotIn(f"#{self.first['id']} again", self.agentctl("show", str(record["id"])).stdout)

    def breakable(self):
        """A success whose check fails once it is told to."""
        stack = self.two(VERSION="two", HEALTH_FILE="/data/status", volumes=["data:/data"])
        stack["volumes"] = {"data": {}}
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", f"{self.name}_data", check=False)
        self.deploy(stack)
        return stack

    def breaks(self):
        self.lab.docker("run", "--rm", "-v", f"{self.name}_data:/data", f"{self.registry}/web:1", "append", "/data/status", "500")

    @long
    def test_what_failed_before_is_not_held_against_the_new_version(self):
        stack = self.breakable()
        self.breaks()
        stack["services"]["web"]["environment"]["VERSION"] = "three"
        record = self.deploy(stack)
        self.assertIn("degraded as before: web /health: 0 of 3 before, 0 of", record["reason"])
        self.assertEqual({s["name"]: s["state"] for s in record["services"]}, {"web": "degraded", "other": "unchanged"})
        # mended, and held to it again
        stack["services"]["web"]["environment"] = self.web(VERSION="four")["environment"]
        record = self.deploy(stack)
        self.assertNotIn("degraded", record["reason"])
        stack["services"]["web"]["environment"] = self.web(VERSION="five", HEALTH_STATUS=500)["environment"]
        record = self.expect(self.commit(stack), "rolled_back", 90)
        self.assertIn("/health: 3 of 3 before, 0 of", record["reason"])

    @long
    def test_baseline_failing_block(self):
        stack = self.breakable()
        self.breaks()
        stack["services"]["web"]["environment"]["VERSION"] = "three"
        stack["x-release"]["gate"] = {**self.gate, "baseline_failing": "block"}
        before = self.specs()
        record = self.expect(self.commit(stack), "failed")
        self.assertIn("web /health: 0 of 3 before this deployment (500)", record["reason"])
        self.assertIn("no service was touched", record["reason"])
        self.assertEqual(self.specs(), before)

    def test_untouched_service_breaks_in_the_soak(self):
        stack = self.breakable()
        stack["x-release"]["gate"] = {**self.gate, "soak": "90s"}
        stack["services"]["other"]["environment"]["VERSION"] = "three"
        before, web = self.specs(), self.task_ids("web")
        commit = self.commit(stack)
        self.wait_for_soak(commit)
        self.breaks()
        record = self.expect(commit, "rolled_back", 60)
        self.assertIn("web, which was not touched: web /health: 3 of 3 before", record["reason"])
        self.assertEqual(self.specs(), before)
        self.assertEqual(self.task_ids("web"), web)

    def outage_in_the_soak(self, commit):
        """The engine cannot be asked, and the deployment has seen that; over() ends it."""
        self.wait_for_soak(commit)
        outage = self.tap.fault(match=".", unsent=True)
        self.wait(lambda: ": the engine " in self.waiting(), 30, "the outage to be seen")
        return outage

    def test_soak_stands_still_while_the_engine_is_away(self):
        """60 s stable are 60 s in which somebody looked."""
        stack = self.two(VERSION="two")
        stack["x-release"]["gate"] = {**self.gate, "soak": "6s"}
        commit = self.commit(stack)
        outage, began = self.outage_in_the_soak(commit), time.monotonic()

        def ends_at():
            return datetime.datetime.fromisoformat(self.status()["step"]["live"]["deadline_at"].replace("Z", "+00:00"))

        first = ends_at()
        self.wait(lambda: ends_at() - first > datetime.timedelta(seconds=3), 30, "the end of the soak to move")
        away = time.monotonic() - began
        outage.over()
        record = self.expect(commit, "succeeded", 60)
        self.assertIn("6s stable", record["reason"])
        soak = next(s for s in self.show(record["id"])["steps"] if s["kind"] == "soak")
        self.assertGreaterEqual(soak["duration_s"], 6 + away - 1)  # times on record are whole seconds

    @long
    def test_untouched_service_breaks_while_the_engine_is_away(self):
        """What an outage ended is given more time than the soak has: it is judged before the end all the same."""
        stack = self.breakable()
        stack["x-release"]["gate"] = {**self.gate, "soak": "8s", "healthy_deadline": deadline(8)}
        stack["services"]["other"]["environment"]["VERSION"] = "three"
        before, commit = self.specs(), self.commit(stack)
        outage = self.outage_in_the_soak(commit)
        self.breaks()
        outage.over()
        record = self.expect(commit, "rolled_back", 60)
        self.assertIn("web, which was not touched: web /health: 3 of 3 before", record["reason"])
        self.assertEqual(self.specs(), before)

    @long
    def test_untouched_service_that_cannot_be_asked_any_more(self):
        """Nobody knows how it is: that is not called well, and nothing speaks against what was rolled."""
        stack = self.stack({"health": {"web": [{"http": "http://third:8000/health", "timeout": "8s"}]}, "gate": {**self.gate, "soak": "90s"}},
                           web=self.web(VERSION="one"), other=self.web(VERSION="one"), third=self.web())
        self.deploy(stack)
        stack["services"]["other"]["environment"]["VERSION"] = "two"
        commit = self.commit(stack)
        self.wait_for_soak(commit)
        self.lab.docker("service", "scale", "--detach", f"{self.full('third')}=0")
        record = self.expect(commit, "halted", 60)
        self.assertIn("web, which was not touched: third /health could not be asked 5 times in a row", record["reason"])
        self.assertIn("inconclusive", record["reason"])
        self.serves("other", "two")

    def test_name_that_does_not_resolve_is_no_verdict(self):
        stack = self.two(VERSION="two")
        stack["x-release"]["health"] = {"web": [{"http": "http://nobody.invalid:8000/health", "timeout": "8s"}]}
        record = self.expect(self.commit(stack), "halted", 90)
        self.assertIn("could not be asked 5 times in a row", record["reason"])
        self.assertIn("inconclusive", record["reason"])
        self.serves("web", "two")

    @long
    def test_services_before_the_steps_stay(self):
        """What was rolled before the steps, and was healthy, is not put back with the others: the reason says so."""
        def stack(version, **more):
            return self.stack({"health": self.health(), "rollout": {"before": ["other"]}}, web=self.web(VERSION=version, **more),
                              other=self.web(VERSION=version))

        record = self.expect(self.commit(stack("two", HEALTH_STATUS=500)), "rolled_back", 90)
        self.assertIn(f"back on #{self.first['id']}, other stays as rolled", record["reason"])
        self.serves("other", "two")
        self.serves("web", "one")

    @long
    def test_slower_is_a_warning(self):
        """Twice as slow and more, over enough samples: it is said, and nothing goes back."""
        def timed(version, soak, **more):
            stack = self.two(VERSION=version, **more)
            stack["x-release"]["gate"] = {**self.gate, "probe_interval": "100ms", "soak": soak}
            return stack

        first = self.deploy(timed("two", "12s"))
        self.assertNotIn("slower", first["reason"])
        self.assertFalse(self.show(first["id"])["latency"][0]["slower"])
        record = self.expect(self.commit(timed("three", "25s", SLOW_MS=700)), "succeeded", 90)
        self.assertRegex(record["reason"], r"; web /health answers slower: median \d+ ms, was \d+ ms \(\d+ and \d+ samples\)$")
        latency = self.show(record["id"])["latency"][0]
        self.assertTrue(latency["slower"], latency)
        self.assertGreaterEqual(latency["median_ms"], 700)
        self.assertGreaterEqual(min(latency["samples"], latency["before_samples"]), 20)
        self.assertRegex(self.agentctl("show", str(record["id"])).stdout, r"web /health: median \d+ ms of \d+ samples, was \d+ ms of \d+: slower")
        self.assertIn("web /health answers slower", self.agent.log.read_text())
        self.serves("web", "three")

    @long
    def test_unstable_before_is_said(self):
        """Tasks that failed before: in the plan, on the record and beside a verdict; the new version is not blamed for them."""
        restart = {"deploy": {"restart_policy": {"delay": "500ms"}}}
        self.deploy(self.two(VERSION="two", **restart))
        for _ in range(2):
            container = self.wait(lambda: self.engine.running(self.full("web")), 30, "web")[0]["Status"]["ContainerStatus"]["ContainerID"]
            self.lab.docker("kill", container)
            self.wait(lambda: container not in str(self.engine.running(self.full("web"))), 30, "the task to be known as failed")
        self.wait(lambda: self.engine.running(self.full("web")), 30, "web")
        words = "2 task failures in the 10 minutes before"
        self.agent.stop()
        commit = self.commit(self.two(VERSION="three", **restart))
        self.assertIn(f"  web: {words}\n", self.agentctl("plan", self.name, code=2).stdout)
        self.start()
        record = self.expect(commit, "succeeded")
        self.assertIn(words, self.agentctl("show", str(record["id"])).stdout)
        self.assertEqual({s["name"]: s["failures_before"] for s in self.show(record["id"])["services"]}, {"web": 2, "other": 0})
        record = self.expect(self.commit(self.two(VERSION="four", HEALTH_STATUS=500, **restart)), "rolled_back", 90)
        self.assertRegex(record["reason"], r"500 now\); web had 2 task failures in the 10 minutes before; back on #")

    @long
    def test_engine_that_is_always_slow(self):
        """What it tells late is no verdict, as if it had been away; but not for ever."""
        self.gate = {**self.gate, "healthy_deadline": deadline(10)}
        commit = self.commit(self.two(VERSION="two", HEALTH_STATUS=500))
        self.wait(lambda: "VERSION=two" in self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"], 60, "the update")
        self.tap.fault(match="^GET /services/[^/]+$", delay=3.5)
        record = self.expect(commit, "rolled_back", 120)
        self.assertIn("500 now", record["reason"])
        roll = next(s for s in self.show(record["id"])["steps"] if s["kind"] == "roll" and s["name"] == "web")
        # its deadline, once more for what came late, and the looks at both ends
        self.assertLess(roll["duration_s"], 3 * int(self.gate["healthy_deadline"].rstrip("s")))
        self.serves("web", "one")

    @long
    def test_passes_for_a_while_then_dies(self):
        """Seen well by the gate; the soak counts its tasks."""
        stack = self.two(VERSION="two", EXIT_AFTER_S=12, EXIT_CODE=1, deploy={"restart_policy": {"delay": "500ms"}})
        stack["x-release"]["gate"] = {**self.gate, "soak": "60s"}
        record = self.expect(self.commit(stack), "rolled_back", 120)
        for word in ("while soaking: web: task ", "exit 1", "2 tasks failed"):
            self.assertIn(word, record["reason"])
        self.assertEqual(self.specs(), self.before)
        self.serves("web", "one")

    def forget_image(self, reference, digest):
        """From the registry, and from the node."""
        repository = reference.split("/", 1)[1].split(":")[0]
        shutil.rmtree(pathlib.Path(self.lab.dir, "registry/store/docker/registry/v2/repositories", repository))
        ids = self.lab.docker("image", "inspect", "-f", "{{.Id}}", f"{reference}@{digest}")
        self.lab.docker("rmi", "-f", ids)

    @long
    def test_image_of_the_version_before_is_gone(self):
        """From the node and from the registry: it cannot be put back, and that is said."""
        mine = self.lab.image(f"{self.name}:1")
        stack = self.two(VERSION="two")
        stack["services"]["web"]["image"] = mine
        self.deploy(stack)
        others = self.task_ids("other")
        digest = self.spec("web")["TaskTemplate"]["ContainerSpec"]["Image"].split("@")[1]
        stack = self.two(VERSION="three", HEALTH_STATUS=500)
        stack["x-release"]["gate"] = {**self.gate, "healthy_deadline": deadline(8)}
        commit = self.commit(stack)
        self.wait(lambda: "VERSION=three" in self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"] and
                  any("three" in str(t["Spec"]) for t in self.engine.running(self.full("web"))), 60, "the new task")
        self.forget_image(mine, digest)
        record = self.expect(commit, "halted", 120)
        self.assertIn("putting back failed", record["reason"])
        page = self.agentctl("show", str(record["id"])).stdout
        self.assertRegex(page, r"what happened\n(.*\n)*  NOT back    web \(.*No such image")
        self.assertIn("A rollback does not help before it is back there", page)
        self.assertEqual(self.task_ids("other"), others)

    @long
    def test_version_before_does_not_start_again(self):
        """Swarm takes the way back for a failed update, and rolls that back, to the new version: nobody says that the old one is back."""
        def stack(version, web, **other):
            stack = self.two(VERSION=version, volumes=["data:/data"], **web)
            stack["services"]["other"]["environment"].update(other)
            stack["volumes"] = {"data": {}}
            return stack

        self.addCleanup(self.lab.docker, "volume", "rm", "-f", f"{self.name}_data", check=False)
        update = {"failure_action": "rollback", "monitor": "5s"}
        once = "test ! -e /data/once && : > /data/once && exec /web"
        self.deploy(stack("two", {"entrypoint": ["/bin/busybox", "sh", "-c", once], "deploy": {"update_config": update}}))
        record = self.expect(self.commit(stack("three", {}, REFUSE="1")), "halted", 90)
        self.assertRegex(record["reason"], r"putting back failed: .*web: after putting it back: web: Swarm .*; the new version runs again")
        self.assertEqual({s["name"]: s["state"] for s in record["services"]}["web"], "halted")
        self.wait(lambda: self.get("web") == "three", 30, "the new version to run again")
        page = self.agentctl("show", str(record["id"])).stdout
        self.assertRegex(page, r"NOT back +web \(.*the new version runs again")
        self.assertNotRegex(page, r"put back +web: exactly as before")

    @long
    def test_changed_by_hand_on_the_way_back(self):
        """While the old version comes up again: what runs then is not called put back."""
        self.deploy(self.two(VERSION="two", HEALTH_AFTER_S=8))
        commit = self.commit(self.two(VERSION="three", HEALTH_STATUS=500))
        for version in ("three", "two"):
            self.wait(lambda: f"VERSION={version}" in self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"], 60, f"version {version} to be sent")

        def mine(spec):
            spec["TaskTemplate"]["ContainerSpec"]["Env"] = ["VERSION=by hand"]

        self.engine.update(self.full("web"), mine)
        record = self.expect(commit, "halted", 90)
        self.assertIn("putting back failed: web: after putting it back: web: the service was changed by someone else while it was put back", record["reason"])
        self.assertIn("VERSION=by hand", self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"])

    @long
    def test_cannot_be_asked_on_the_way_back(self):
        """The old spec is back then, and nobody says that anything was left as it was."""
        def stack(**web):
            stack = self.two(**web)
            stack["x-release"]["health"]["web"].append({"http": "http://third:8000/health", "timeout": "8s"})
            stack["services"]["web"]["depends_on"] = ["third"]
            stack["services"]["third"] = self.web()
            return stack

        self.deploy(stack(VERSION="two"))
        update = f"/services/{self.engine.service(self.full('web'))['ID']}/update".encode()
        sent = []

        def nobody_is_third(data):
            if data.startswith(b"POST ") and update in data.split(b"\r\n")[0]:
                sent.append(1)
                if len(sent) == 2:
                    self.engine.update(self.full("third"), lambda spec: spec.update(Mode={"Replicated": {"Replicas": 0}}))
                    wait_for(lambda: not self.engine.running(self.full("third")), 30, "third to go")
            return False

        self.tap.fault(nobody_is_third)
        record = self.expect(self.commit(stack(VERSION="three", HEALTH_STATUS=500)), "halted", 120)
        self.assertRegex(record["reason"], r"/health: .*500 now.*; putting back failed: web: after putting it back: third /health could not be asked")
        self.assertIn("inconclusive; its old spec is back; whether it works is not known", record["reason"])
        self.assertNotIn("left as they are", record["reason"])
        self.serves("web", "two")

    @long
    def test_two_commits_ten_seconds_apart(self):
        """The second comes in the soak of the first: that is brought to its end, and the baselines are not mixed."""
        stack = self.two(VERSION="two")
        stack["x-release"]["gate"] = {**self.gate, "soak": "15s"}
        first = self.commit(stack)
        time.sleep(10)
        stack["services"]["web"]["environment"]["VERSION"] = "three"
        second = self.commit(stack)
        one, two = self.expect(first, "succeeded", 90), self.expect(second, "succeeded", 90)
        self.assertGreaterEqual(two["started_at"], one["finished_at"])
        self.assertIn(f"#{one['id']}", self.agentctl("show", str(two["id"])).stdout)
        self.serves("web", "three")

    def test_changed_by_hand_during_the_rollout(self):
        """Somebody else's update in the middle of ours: it is left alone, and a person is called."""
        commit = self.commit(self.two(VERSION="two", HEALTH_AFTER_S=8))
        self.wait(lambda: "VERSION=two" in self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"], 30, "the update to be sent")

        def mine(spec):
            spec["TaskTemplate"]["ContainerSpec"]["Env"] = ["VERSION=by hand"]

        time.sleep(1)
        self.engine.update(self.full("web"), mine)
        record = self.ended(commit, 90)
        self.assertEqual(record["state"], "halted", record["reason"])
        self.assertIn("someone else", record["reason"])
        self.assertIn("VERSION=by hand", self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"])
        self.assertEqual(self.task_ids("other"), self.others)


class FirstDeployment(Case):
    @long
    def test_failing_service_is_removed(self):
        commit = self.commit(self.stack({"health": self.health()}, web=self.web(HEALTH_STATUS=500)))
        self.start()
        record = self.expect(commit, "rolled_back", 90)
        self.assertEqual(self.specs(), {})
        self.assertTrue(record["reason"])

    def test_bad_baseline_may_be_mended(self):
        """What failed before does not stand in the way of its fix."""
        commit = self.commit(self.stack(web=self.web(VERSION="one", HEALTH_STATUS=500)))
        self.start()
        self.expect(commit, "succeeded")  # nobody asked /health
        self.deploy(self.stack({"health": self.health()}, web=self.web(VERSION="two")))

    def test_unverified_is_said(self):
        commit = self.commit(self.stack())
        self.start()
        record = self.expect(commit, "succeeded")
        self.assertIn("unverified", record["reason"])
        self.assertEqual(record["services"][0]["state"], "unverified")
