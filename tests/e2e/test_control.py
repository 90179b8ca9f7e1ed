# SPDX-License-Identifier: Apache-2.0
"""The verbs of agentctl, their exit codes, and what they mean while something runs."""

import json
import os
import signal
import socket
import subprocess

from harness import Case, long


class Control(Case):
    tapped = True

    def two_versions(self):
        one = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.first = self.expect(one, "succeeded")
        self.second = self.deploy(self.stack(web=self.web(VERSION="two")))

    def test_plan(self):
        commit = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.expect(commit, "succeeded")
        self.agentctl("plan", self.name, code=0)
        self.agentctl("pause", self.name, code=0)
        self.tap.requests.clear()
        self.commit(self.stack(web=self.web(VERSION="two"), new=self.web()))
        text = self.agentctl("plan", self.name, code=2).stdout
        self.assertIn("web", text)
        self.assertIn("new", text)
        plan = json.loads(self.agentctl("plan", self.name, "--json", code=2).stdout)
        self.assertFalse(plan["empty"])
        self.assertEqual(self.tap.effects(), [])
        # and with agentd down
        self.agent.stop()
        self.assertIn("new", self.agentctl("plan", self.name, code=2).stdout)
        self.agentctl("plan", self.name, "--commit", commit, code=0)
        self.commit("version: '3.8'\nservices: {web: {image: }}\n")
        self.agentctl("plan", self.name, code=1)

    def test_sync_wait(self):
        self.configure(stack={"poll_interval": "1h"})
        self.start_ready()
        self.wait(lambda: self.status()["last_poll"], 20, "the first poll")
        commit = self.commit(self.stack())
        self.agentctl("sync", self.name, "--wait", code=0)
        self.assertEqual(self.record(commit)["state"], "succeeded")
        self.assertEqual(self.record(commit)["trigger"], "sync")
        self.agentctl("sync", self.name, "--wait", code=0)
        bad = self.commit(self.stack({"steps": [self.job(command=["exit", "1"])]}))
        self.agentctl("sync", self.name, "--wait", code=1)
        self.assertEqual(self.record(bad)["state"], "failed")
        self.agentctl("sync", self.name, "--wait", code=1)
        self.assertEqual(len([d for d in self.log() if d["commit"] == bad]), 1)

    def test_progress(self):
        """What each step is at: in status, and line by line where sync waits."""
        self.configure(stack={"poll_interval": "1h"})
        self.start_ready()
        self.wait(lambda: self.status()["last_poll"], 20, "the first poll")
        commit = self.commit(self.stack({"steps": [self.job(command=["sleep", "4"])], "health": self.health()}, web=self.web(HEALTH_AFTER_S=12)))
        waiting = subprocess.Popen([self.program("agentctl"), "--config", self.conf, "sync", self.name, "--wait"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(waiting.kill)
        told = {}

        def ended():
            step = self.status()["step"]
            if step and step["live"]:
                told.setdefault(step["kind"], []).append(step["live"])
            return waiting.poll() is not None

        self.wait(ended, 90, "the end of sync --wait")
        out, err = waiting.communicate()
        self.assertEqual(waiting.returncode, 0, err)
        record = self.show(self.record(commit)["id"])
        begun = {s["kind"]: s["started_at"] for s in record["steps"]}
        for live in told["run"] + told["roll"]:
            self.assertGreater(live["deadline_at"], begun["run"])
        self.assertEqual({(live["of"], live["total"]) for live in told["roll"] if live["of"]}, {("replicas", 1)})
        self.assertRegex(err, r"(?m)^#\d+ roll web, 1 of 1 replica up: web /health: ")
        self.assertRegex(err, r"(?m)^#\d+ done run migrate, 0m0[4-9]s$|^#\d+ done run migrate, 0m[1-5]\ds$")
        self.assertRegex(out, rf"^#{record['id']} succeeded, took ")
        # what has ended tells nothing any more
        self.assertEqual([s["live"] for s in record["steps"]], [None] * len(record["steps"]))

    def test_retry(self):
        commit = self.commit(self.stack({"steps": [self.job(command=["exit", "1"])]}))
        self.start()
        first = self.expect(commit, "failed")
        self.agentctl("retry", str(first["id"]), code=0)
        second = self.expect(commit, "failed", at_least=2)
        self.assertEqual(second["trigger"], "retry")
        self.assertGreater(second["id"], first["id"])
        good = self.deploy(self.stack())
        self.assertEqual(self.agentctl("retry", self.name).returncode, 1, good)

    def test_pause_and_resume(self):
        commit = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.expect(commit, "succeeded")
        self.agentctl("pause", self.name, "--reason", "stocktaking", code=0)
        self.assertIn("stocktaking", self.agentctl("status", self.name).stdout)
        self.assertEqual(self.status()["paused"]["reason"], "stocktaking")
        later = self.commit(self.stack(web=self.web(VERSION="two")))
        self.wait(lambda: self.status()["tip"] == later, 20, "the new commit to be seen")
        self.assertNotIn((self.record(later) or {}).get("state"), ("running", "succeeded"))
        self.wait(lambda: self.waiting() == f"the end of the pause, or: agentctl resume {self.name}", 10, "the reason on record")
        # a pause outlives a restart
        self.agent.stop()
        self.start_ready()
        self.assertEqual(self.status()["paused"]["reason"], "stocktaking")
        self.serves("web", "one")
        self.agentctl("resume", self.name, code=0)
        self.expect(later, "succeeded")

    def test_pause_lets_the_running_one_finish(self):
        commit = self.commit(self.stack({"health": self.health()}, web=self.web(HEALTH_AFTER_S=4)))
        self.start()
        self.in_state(commit, "running")
        self.agentctl("pause", self.name, code=0)
        self.expect(commit, "succeeded")

    def test_cancel_puts_back(self):
        commit = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.expect(commit, "succeeded")
        before = self.specs()
        later = self.commit(self.stack({"health": self.health()}, web=self.web(VERSION="two", HEALTH_AFTER_S=300)))
        self.wait(lambda: self.specs() != before, 30, "the update to be sent")
        self.assertIn(" cancelled, took ", self.agentctl("cancel", self.name, "--wait", code=0).stdout)
        record = self.expect(later, "cancelled")
        self.assertEqual(self.specs(), before)
        self.serves("web", "one")
        self.assertIn("cancel", record["reason"])
        # held
        self.agentctl("sync", self.name, "--wait", code=1)
        self.assertEqual(self.agentctl("cancel", self.name).returncode, 1)

    def test_cancel_comes_too_late(self):
        """Nothing is left that could be stopped: nobody may believe that it was."""
        commit = self.commit(self.stack(web=self.web(VERSION="one")))
        agent = self.start(FAULTS="end.record:stop")
        self.wait(lambda: "fault point end.record: stop" in agent.log.read_text(), 60, "the last step")
        worker = self.run_worker()
        cancel = subprocess.Popen([self.program("agentctl"), "--config", self.conf, "cancel", self.name, "--wait"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(cancel.kill)
        self.wait(lambda: self.show(self.record(commit)["id"])["cancel_requested"], 20, "the cancel to be on record")
        os.kill(worker, signal.SIGCONT)
        self.assertIn(" succeeded, took ", cancel.communicate(timeout=60)[0])
        self.assertEqual(cancel.returncode, 1)
        record = self.expect(commit, "succeeded")
        self.assertIn("; the cancel came too late", record["reason"])
        self.serves("web", "one")

    def test_cancel_while_waiting_for_an_image(self):
        self.configure(stack={"image_wait": "120s"})
        commit = self.commit(self.stack(web=self.web(image=f"{self.registry}/{self.name}:never")))
        self.start()
        self.wait(lambda: self.record(commit) and "never" in self.waiting(), 30, "the wait for the image")
        self.agentctl("cancel", self.name, code=0)
        self.expect(commit, "cancelled", 20)

    def test_cancel_lets_the_migration_end(self):
        stack = self.stack({"steps": [self.job(command=["sleep", "6"])]}, web=self.web())
        commit = self.commit(stack)
        self.start()
        self.wait(self.job_services, 30, "the job")
        self.agentctl("cancel", self.name, code=0)
        record = self.expect(commit, "cancelled", 40)
        self.assertEqual([m["state"] for m in record["migrations"]], ["applied"])
        self.assertIsNone(self.spec("web"))

    def test_rollback(self):
        self.two_versions()
        one, two = self.first["commit"], self.second["commit"]
        first_images = self.first["images"]
        self.agentctl("rollback", self.name, "--wait", code=0)
        record = self.expect(one, "succeeded", at_least=2)
        self.assertEqual(record["trigger"], "rollback")
        self.assertEqual([i["digest"] for i in record["images"]], [i["digest"] for i in first_images])
        self.serves("web", "one")
        # the newer commit does not come back by itself
        self.agentctl("sync", self.name, "--wait", code=1)
        self.serves("web", "one")
        self.assertTrue(self.status()["held"]["absolute"])
        self.agent.stop()
        self.start_ready()
        self.agentctl("sync", self.name, "--wait", code=1)
        self.assertEqual(len([d for d in self.log() if d["commit"] == two]), 1)
        # until resume
        self.agentctl("resume", self.name, code=0)
        self.expect(two, "succeeded", at_least=2)
        self.serves("web", "two")

    @long
    def test_rollback_ends_with_a_new_commit(self):
        self.two_versions()
        self.agentctl("rollback", self.name, str(self.first["id"]), "--wait", code=0)
        self.deploy(self.stack(web=self.web(VERSION="three")))
        self.serves("web", "three")

    @long
    def test_rollback_does_not_migrate(self):
        step = [self.job(command=["exit", "0"])]
        one = self.commit(self.stack({"steps": step}, web=self.web(VERSION="one")))
        self.start()
        self.expect(one, "succeeded")
        self.deploy(self.stack({"steps": step}, web=self.web(VERSION="two")))
        self.tap.requests.clear()
        self.agentctl("rollback", self.name, "--wait", code=0)
        self.serves("web", "one")
        self.assertEqual(self.tap.count("^POST /services/create"), 0)

    def test_rollback_without_an_earlier_success(self):
        commit = self.commit(self.stack())
        self.start()
        self.expect(commit, "succeeded")
        self.assertEqual(self.agentctl("rollback", self.name).returncode, 1)

    def test_commits_while_one_is_deployed(self):
        """Only the newest tip is taken afterwards; those in between end superseded, or were never seen."""
        slow = self.commit(self.stack({"health": self.health()}, web=self.web(VERSION="one", HEALTH_AFTER_S=6)))
        self.start()
        self.in_state(slow, "running")
        between = []
        for n in range(3):
            between.append(self.commit(self.stack(web=self.web(VERSION=f"between {n}"))))
            self.wait(lambda: self.status()["tip"] == between[-1] or self.record(slow)["state"] != "running", 20, "the poll")
        last = self.commit(self.stack(web=self.web(VERSION="last")))
        self.expect(slow, "succeeded")
        self.expect(last, "succeeded")
        for commit in between:
            self.assertIn((self.record(commit) or {}).get("state", "superseded"), ("superseded",))
        self.serves("web", "last")

    def test_revert_is_a_deployment(self):
        self.two_versions()
        self.git("revert", "--no-edit", "HEAD")
        self.git("push", "-q", "origin", "main")
        self.expect(self.git("rev-parse", "HEAD"), "succeeded")
        self.serves("web", "one")


class ExitCodes(Case):
    def test_without_agentd(self):
        self.agentctl("sync", self.name, code=4)
        self.agentctl("pause", self.name, code=4)
        self.agentctl("cancel", self.name, code=4)

    def test_usage(self):
        for words in (["no-such-verb"], ["log", "--no-such-flag"], ["show"], ["plan", "a", "b", "c"], []):
            self.agentctl(*words, code=64)

    def test_not_found(self):
        commit = self.commit(self.stack())
        self.start()
        self.expect(commit, "succeeded")
        self.agentctl("show", "4711", code=3)
        self.agentctl("status", "no-such-stack", code=3)
        self.agentctl("sync", "no-such-stack", code=3)

    def test_version(self):
        for program in ("agentd", "agent-worker", "agentctl"):
            run = subprocess.run([self.program(program), "--version"], capture_output=True, text=True)
            self.assertEqual(run.returncode, 0)
            self.assertRegex(run.stdout, r"\d+\.\d+")

    def test_log_reads_without_agentd(self):
        commit = self.commit(self.stack())
        agent = self.start()
        self.expect(commit, "succeeded")
        agent.stop()
        self.assertEqual(self.log()[0]["commit"], commit)
        self.assertIn(commit[:7], self.agentctl("show", "1", code=0).stdout)
        self.assertIn("succeeded", self.agentctl("log", code=0).stdout)
        self.assertEqual(json.loads(self.agentctl("log", "--state", "failed", "--json", code=0).stdout), [])
        self.assertEqual(len(json.loads(self.agentctl("log", "-n", "1", "--since", "2h", "--json", code=0).stdout)), 1)

    def test_render_needs_no_engine(self):
        file = self.dir / "one.yml"
        file.write_text(json.dumps(self.stack()))
        run = subprocess.run([self.program("agentctl"), "--config", self.conf, "render", file, "--stack", "shop"],
                             capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
        self.assertEqual(run.returncode, 0, run.stderr)
        bodies = json.loads(run.stdout)
        self.assertEqual([s["Name"] for s in bodies["services"]], ["shop_web"])
        self.assertEqual(set(bodies), {"networks", "secrets", "configs", "services"})
        with open("/dev/full", "w") as full:
            for arguments in (["render", file, "--stack", "shop"], ["--help"], ["--version"]):
                run = subprocess.run([self.program("agentctl"), "--config", self.conf, *arguments], stdout=full,
                                     stderr=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"})
                self.assertEqual(run.returncode, 1, arguments)
                self.assertIn("No space left on device", run.stderr)

    def test_check(self):
        self.commit(self.stack())
        self.start_ready()
        text = self.agentctl("check", code=0).stdout
        for word in (self.name, "engine", "image"):
            self.assertIn(word, text)
        self.configure(stack={"repository": f"file://{self.dir}/nowhere.git"})
        self.agent.stop()
        run = self.agentctl("check", self.name, code=1)
        self.assertIn("nowhere", run.stdout)


class Rights(Case):
    """Who may say what over the control socket."""

    def as_user(self, uid, *words):
        return subprocess.run(["setpriv", f"--reuid={uid}", "--regid=65534", "--clear-groups", self.program("agentctl"),
                               "--config", self.conf, *words], capture_output=True, text=True)

    def test_others_may_not_act(self):
        commit = self.commit(self.stack())
        self.start()
        self.expect(commit, "succeeded")
        run = self.as_user(12345, "pause", self.name)
        self.assertNotEqual(run.returncode, 0)
        self.assertIsNone(self.status()["paused"])

    def test_hostile_requests(self):
        commit = self.commit(self.stack())
        self.start_ready()
        path = str(self.dir / "run/control.sock")
        long = b'{"verb":"' + b"x" * 200000 + b'"}\n'
        for text in (b"", b"\n", b"[]\n", b"{\n", b'{"verb":1}\n', b'{"verb":"sync","verb":"sync"}\n', b"\0\xff\xfe\n", long,
                     b'{"verb":"sync","args":' + b"[" * 5000 + b"]" * 5000 + b"}\n", b'{"verb":"sync","stack":"../../etc"}\n'):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(20)
                s.connect(path)
                try:
                    s.sendall(text)
                    s.shutdown(socket.SHUT_WR)
                    answer = s.recv(65536)
                except OSError:
                    answer = b""
                if answer:
                    self.assertFalse(json.loads(answer)["ok"], text[:60])
        idle = [socket.socket(socket.AF_UNIX) for _ in range(40)]
        for s in idle:
            s.setblocking(False)
            try:
                s.connect(path)
            except OSError:
                pass
        self.expect(commit, "succeeded")
        for s in idle:
            s.close()

        def taken():
            run = self.agentctl("sync", self.name, "--wait")
            return None if "too many connections" in run.stderr else run

        run = self.wait(taken, 10, "agentd to see that they are gone")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
