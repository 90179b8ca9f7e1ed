# SPDX-License-Identifier: Apache-2.0
"""The bad day: parts break while the agent works. After each: the record is true, the old version serves, nothing ran twice."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

from harness import HERE, PATIENCE, Case, deadline, long, wait_for


class Migration(Case):
    """Jobs that misbehave."""

    slow = True
    tapped = True

    def setUp(self):
        super().setUp()
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", f"{self.name}_data", check=False)
        commit = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.expect(commit, "succeeded")
        self.before = self.specs(), self.task_ids("web")
        self.tap.requests.clear()

    def failed(self, command, *words, seconds=60, **more):
        record = self.expect(self.commit(self.stack({"steps": [self.job(command=command, **more)]}, web=self.web(VERSION="two"))),
                             "failed", seconds)
        for word in words:
            self.assertIn(word, record["reason"])
        self.assertIn("no service was touched", record["reason"])
        self.assertEqual((self.specs(), self.task_ids("web")), self.before)
        self.serves("web", "one")
        self.assertEqual(self.tap.count("^POST /services/create"), 1)  # the job, once
        self.assertEqual(self.updates("web"), 0)
        return record

    def test_exits_1(self):
        self.failed(["exit", "1"], "exit 1")

    def test_is_no_program(self):
        self.failed(["no-such-command"], "exit 64")

    def test_needs_more_memory_than_its_limit(self):
        limited = {"deploy": {"resources": {"limits": {"memory": "64M"}}}}
        record = self.expect(self.commit(self.stack({"steps": [self.job(command=["eat", "200"])]}, web=self.web(VERSION="two", **limited))),
                             "failed", 60)
        self.assertIn("exit 137 (killed: by the kernel when it needed more memory than its limit", record["reason"])
        self.assertIn("no service was touched", record["reason"])
        self.assertEqual(self.specs(), self.before[0])

    def test_image_is_missing(self):
        gone = {**self.web(VERSION="two"), "image": f"{self.registry}/nosuch:1"}
        record = self.expect(self.commit(self.stack({"steps": [self.job(command=["exit", "0"])]}, web=gone)), "failed", 60)
        self.assertIn("nosuch", record["reason"])
        self.assertIn("no service was touched", record["reason"])
        self.assertEqual(self.specs(), self.before[0])
        self.assertEqual(self.tap.count("^POST /services/create"), 0)

    def with_many_configs(self, version, **more):
        """They take the engine a while to write: long enough to be met at it."""
        names = [f"c{i}" for i in range(60)]
        return {"stack": self.stack({"steps": [self.job(command=["append", "/data/runs", version], **more)]},
                                    web=self.web(VERSION=version, configs=names, volumes=["data:/data"]), volumes={"data": {}},
                                    configs={name: {"file": f"./{name}"} for name in names}),
                **{name: f"{name}\n" * 1000 for name in names}}

    @contextlib.contextmanager
    def busy_secrets(self, times):
        """The engine cannot start so many containers of the job, by its own bug."""
        words = [sys.executable, HERE / "busy_secrets.py", pathlib.Path(self.lab.dir, "node1"), f"{self.name}_mig_", str(times)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
            try:
                self.assertEqual(holder.stdout.readline(), "ready\n")
                yield
                self.assertEqual([holder.stdout.readline() for _ in range(times)], ["held\n"] * times)
            finally:
                holder.terminate()

    def test_engine_cannot_start_it(self):
        """moby#48783: nothing ran, so that it may run; once, all in all, and a worker that died meanwhile knows that, too."""
        with self.busy_secrets(3):
            record = self.expect(self.commit(**self.with_many_configs("two")), "failed", 90)
        self.assertIn("unable to remount dir as readonly", record["reason"])
        self.assertIn("no service was touched", record["reason"])
        self.assertEqual((self.specs(), self.task_ids("web")), self.before)
        self.assertEqual(self.tap.count("^POST /services/create"), 3)
        self.agent.stop()
        self.tap.requests.clear()
        self.start(FAULTS="job.create:kill:nth=2")
        with self.busy_secrets(2):
            self.expect(self.commit(**self.with_many_configs("three")), "succeeded", 90)
        self.assertEqual(self.volume_lines(), ["three"])
        self.assertEqual(self.tap.count("^POST /services/create"), 3)
        self.serves("web", "three")
        self.assertEqual(self.job_containers(), [])
        log = self.agent.log.read_text()
        self.assertIn("fault point job.create", log)
        self.assertIn("nothing ran; once more (3 of 3)", log)

    def discarded(self, point, action, **more):
        """A commit whose migration never ran, and the worker has come to that point on the way to another one."""
        self.agent.stop()
        self.start(FAULTS=f"{point}:{action}")
        with self.busy_secrets(1):
            commit = self.commit(**self.with_many_configs("two", **more))
            self.wait(lambda: f"fault point {point}" in self.agent.log.read_text(), 60, "the job to be discarded")
        return commit

    def another_worker(self):
        worker = self.run_worker()
        self.agent.kill()
        os.kill(worker, signal.SIGKILL)
        self.start()

    def ran_once(self, commit, created):
        self.expect(commit, "succeeded", 90)
        self.assertEqual(self.volume_lines(), ["two"])
        self.assertEqual(self.tap.count("^POST /services/create"), created)
        self.assertEqual(self.job_services(), [])
        self.serves("web", "two")

    def test_worker_dies_while_it_discards(self):
        """What never ran has lost its replica and is still there: it is no outcome for the worker that comes after."""
        commit = self.discarded("engine DELETE /services/{}", "stop")
        self.assertEqual([s["Spec"]["Mode"]["Replicated"] for s in self.job_services()], [{"Replicas": 0}])
        self.another_worker()
        self.ran_once(commit, 2)

    @long
    def test_somebody_runs_what_is_to_be_discarded(self):
        """By hand, while no worker is there: then it has run, and not once more."""
        commit = self.discarded("engine POST /services/{}/update", "stop")
        self.agent.kill()
        os.kill(self.run_worker(), signal.SIGKILL)
        self.lab.docker("service", "update", "-d", "--force", self.job_services()[0]["ID"])
        wait_for(self.volume_lines, 60, "the migration to run")
        self.start()
        self.ran_once(commit, 1)

    @long
    def test_discarding_takes_longer_than_its_timeout(self):
        """That is no time of the job's."""
        commit = self.discarded("engine DELETE /services/{}", f"sleep={round(12 * PATIENCE)}", timeout=deadline(10))
        self.ran_once(commit, 2)

    def test_hangs(self):
        self.failed(["sleep", "600"], "timed out after", timeout="20s")  # its start is part of it
        self.assertEqual(self.job_containers(), [])

    def push_job(self, *command, timeout, **service):
        """A commit whose migration runs by now."""
        commit = self.commit(self.stack({"steps": [self.job(command=list(command), timeout=timeout)]}, web=self.web(VERSION="two", **service)))
        self.wait(self.job_containers, 60, "the migration to run")
        return commit

    def remove_job_by_hand(self):
        for service in self.job_services():
            self.lab.docker("service", "rm", service["ID"])

    @long
    def test_removed_by_hand(self):
        """The engine stops its task, and forgets it: nobody knows what it has done."""
        commit = self.push_job("sleep", "600", timeout="60s")
        self.remove_job_by_hand()
        record = self.expect(commit, "failed", 60)
        self.assertRegex(record["reason"], "was removed by someone else(; whether it ended well is not known|, and its task ended)")
        self.assertIn("no service was touched", record["reason"])
        self.assertEqual(self.tap.count("^POST /services/create"), 1)
        self.serves("web", "one")

    @long
    def test_removed_by_hand_runs_on(self):
        """It takes its time to stop, and nothing may start beside it."""
        commit = self.push_job("ignore-term", "600", timeout="20s", stop_grace_period="60s")
        self.remove_job_by_hand()
        record = self.expect(commit, "failed", 60)
        self.assertIn("still runs", record["reason"])
        self.agentctl("retry", self.name, code=0)
        record = self.expect(commit, "failed", 60, at_least=2)
        self.assertIn("an earlier job of this stack still runs", record["reason"])
        self.assertEqual(self.tap.count("^POST /services/create"), 1)
        self.lab.docker("rm", "-f", *self.job_containers(), check=False)

    def ended_unread(self):
        """A commit whose migration has printed something and ended, while its log cannot be read."""
        self.tap.fault("^GET /services/[^/]+/logs", unsent=True)
        commit = self.commit(self.stack({"steps": [self.job(command=["say", "what it did"])]}, web=self.web(VERSION="two")))
        jobs = {"label": [f"deploy-agent.stack={self.name}"]}
        self.wait(lambda: any(t["Status"]["State"] == "complete" for t in self.engine.get("/tasks", filters=jobs)), 60, "the migration to end")
        return commit

    @long
    def test_ends_while_its_log_cannot_be_read(self):
        """The job is the only witness: it stays until its output is on record."""
        commit = self.ended_unread()
        cuts = self.tap.count("^GET .*logs")
        self.wait(lambda: self.tap.count("^GET .*logs") > cuts + 4, 30, "more tries")
        self.assertTrue(self.job_services())
        self.tap.clear()
        record = self.expect(commit, "succeeded")
        self.assertIn("what it did", self.agentctl("show", str(record["id"]), "--logs").stdout)

    @long
    def test_its_log_can_never_be_read(self):
        commit = self.ended_unread()
        record = self.expect(commit, "succeeded", 90)
        self.assertIn("could not be read", self.agentctl("show", str(record["id"]), "--logs").stdout)
        self.assertEqual(self.job_services(), [])



def damage_mirror(case, path="stack.yml"):
    """The stack file's newest content cannot be read any more, though the commit can."""
    mirror = case.dir / "state/repo" / case.name
    blob = case.git("rev-parse", f"HEAD:{path}")
    for index in mirror.glob("objects/pack/*.idx"):
        listing = subprocess.run(["git", "verify-pack", "-v", index], check=True, capture_output=True, text=True).stdout
        for line in listing.splitlines():
            if line.startswith(blob):
                pack = index.with_suffix(".pack")
                pack.chmod(0o600)
                with open(pack, "r+b") as f:
                    f.seek(int(line.split()[4]) + 2)
                    f.write(b"\xff" * 8)
                return
    case.fail(f"{blob} is in no pack")


class Mirror(Case):
    """The local copy of the repository is no more than a copy: its damage is no verdict about a commit."""

    def test_damage_is_met_by_a_deployment(self):
        first = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.expect(first, "succeeded")
        self.agentctl("pause", self.name, code=0)
        commit = self.commit(self.stack(web=self.web(VERSION="two")))
        self.in_state(commit, "requested")
        damage_mirror(self)
        self.agentctl("resume", self.name, code=0)
        self.expect(commit, "succeeded")
        self.serves("web", "two")


class TwoAgents(Case):
    def test_second_agentd_on_the_same_state(self):
        commit = self.commit(self.stack({"health": self.health()}, web=self.web(HEALTH_AFTER_S=3)))
        first = self.start_ready()
        second = self.start()
        wait_for(lambda: not second.alive(), 20, "the second to end")
        self.assertNotEqual(second.process.returncode, 0)
        self.assertIn("another agentd runs", second.log.read_text())
        self.agent = first
        self.agents.remove(second)
        self.expect(commit, "succeeded")
        self.assertEqual(len(self.log()), 1)


class Parts(Case):
    """Engine, registry and Git server stop for a while: these need the lab for themselves."""

    exclusive = True
    limit = 300

    def mend(self, verb, *arguments):
        try:
            self.lab.ctl(verb, *arguments)
        except AssertionError as error:
            print(error)

    def first(self, **more):
        commit = self.commit(self.stack({"health": self.health()}, web=self.web(VERSION="one"), **more))
        self.start()
        return self.expect(commit, "succeeded")

    def next(self, **settings):
        return self.commit(self.stack({"health": self.health(), "gate": {**self.gate, "healthy_deadline": deadline(35)}},
                                      web=self.web(VERSION="two", **settings)))

    @long
    def test_engine_stopped_during_a_migration(self):
        """The engine takes the job down with it. It is not run again, and the record says how it ended."""
        self.first(volumes={"data": {}})
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", f"{self.name}_data", check=False)
        stack = self.stack({"steps": [self.job("mark", ["append", "/data/runs", "ran"]), self.job("long", ["sleep", "20"])]},
                           web=self.web(VERSION="two", volumes=["data:/data"]), volumes={"data": {}})
        commit = self.commit(stack)
        self.wait(lambda: any(t["Status"]["State"] == "running" for s in self.job_services() if "long" in s["Spec"]["Name"]
                              for t in self.engine.tasks(s["ID"])), 60, "the long job")
        self.addCleanup(self.mend, "start-engine")
        self.lab.ctl("stop-engine")
        time.sleep(5)
        self.lab.ctl("start-engine")
        record = self.ended(commit, 120)
        self.assertEqual(record["state"], "failed", record["reason"])
        self.assertEqual([m["state"] for m in record["migrations"]], ["applied", "failed"])
        self.assertEqual(self.volume_lines(), ["ran"])
        wait_for(lambda: self.engine.running(self.full("web")), 60, "the service to be back")
        self.serves("web", "one")

    @long
    def test_engine_killed_during_a_migration(self):
        """The job outlives its engine: it is waited for, and counts once."""
        self.first()
        self.addCleanup(self.lab.docker, "volume", "rm", "-f", f"{self.name}_data", check=False)
        stack = self.stack({"steps": [self.job("mark", ["append", "/data/runs", "ran"]), self.job("long", ["sleep", "12"])]},
                           web=self.web(VERSION="two", volumes=["data:/data"]), volumes={"data": {}})
        commit = self.commit(stack)
        self.wait(lambda: any(t["Status"]["State"] == "running" for s in self.job_services() if "long" in s["Spec"]["Name"]
                              for t in self.engine.tasks(s["ID"])), 60, "the long job")
        self.addCleanup(self.mend, "start-engine")
        self.lab.ctl("kill-engine")
        self.lab.ctl("start-engine")
        record = self.ended(commit, 120)
        self.assertEqual(self.volume_lines(), ["ran"])
        states = [m["state"] for m in record["migrations"]]
        # an engine that was killed may lose the task; then that is what the record says
        self.assertIn((record["state"], states), [("succeeded", ["applied", "applied"]), ("failed", ["applied", "failed"])], record["reason"])
        wait_for(lambda: self.engine.running(self.full("web")), 60, "the service")
        self.serves("web", "two" if record["state"] == "succeeded" else "one")

    def git_away(self, stop, start, seconds):
        self.configure(stack={"repository": f"{self.lab.env['GIT_HTTP_URL']}/{self.name}.git"})
        self.first()
        self.addCleanup(self.mend, start)
        self.lab.ctl(stop)
        commit = self.next()
        self.wait(lambda: self.status()["poll_error"], seconds, "the failure to show in status")
        self.assertIsNone(self.record(commit))
        self.assertTrue(self.answers())
        self.serves("web", "one")
        said = self.agent.log.read_text().count(self.status()["poll_error"])
        self.assertLess(said, 5, "the same failure is logged again and again")
        self.lab.ctl(start)
        self.agentctl("sync", self.name, "--wait", code=0)
        self.expect(commit, "succeeded", 60)
        self.assertIsNone(self.status()["poll_error"])

    @long
    def test_git_down_when_it_is_needed_again(self):
        """The mirror is damaged when the deployment is taken up: it waits, and neither fails nor is put back."""
        self.configure(stack={"repository": f"{self.lab.env['GIT_HTTP_URL']}/{self.name}.git"})
        self.first()
        commit = self.next(START_DELAY_S=5)
        self.wait(lambda: "VERSION=two" in self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"], 40, "the update")
        damage_mirror(self)
        self.addCleanup(self.mend, "start-git")
        self.lab.ctl("stop-git")
        self.agent.kill()
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)
        self.start_ready()
        self.wait(lambda: self.lab.env["GIT_HTTP_URL"] in self.waiting(), 40, "the wait to show")
        self.lab.ctl("start-git")
        self.expect(commit, "succeeded", 60)
        self.serves("web", "two")

    def test_git_down(self):
        self.git_away("stop-git", "start-git", 40)

    @long
    def test_git_silent(self):
        self.git_away("silent-git", "silent-git-off", 150)
