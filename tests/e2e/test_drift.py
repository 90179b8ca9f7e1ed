# SPDX-License-Identifier: Apache-2.0
"""Services that somebody else changes: said, put back where that is wanted, and left alone where it is not."""

import time

from harness import Case, long


class Drift(Case):
    tapped = True
    wanted = "report"

    def setUp(self):
        super().setUp()
        self.configure(stack={"drift": self.wanted})
        self.head = self.commit(self.two())
        self.start()
        self.first = self.expect(self.head, "succeeded")
        self.tap.requests.clear()

    def two(self, **web):
        return self.stack(web=self.web(VERSION="one", **web), other=self.web())

    def drift(self):
        return self.status()["drift"]

    def texts(self):
        return sorted(e["text"] for e in (self.drift() or {}).get("services", []))

    def sees(self, *texts):
        self.wait(lambda: self.texts() == sorted(texts), 20, lambda: f"status to say {texts}: it says {self.texts()}")

    def environment(self):
        return self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"]

    def scale(self, n, service="web"):
        self.lab.docker("service", "scale", "--detach", f"{self.full(service)}={n}")

    def by_hand(self, value="by hand"):
        def change(spec):
            spec["TaskTemplate"]["ContainerSpec"]["Env"] = [f"VERSION={value}"]

        self.engine.update(self.full("web"), change)

    def restart(self):
        self.agent.stop()
        self.start_ready()

    def corrections(self):
        return [d for d in self.log() if d["trigger"] == "drift"]

    def polls(self, n=4):
        """Lets the agent look so many times more."""
        before = self.tap.count("^GET /services[?]")
        self.wait(lambda: self.tap.count("^GET /services[?]") >= before + n, 30, "polls")


class Report(Drift):
    def test_changed_services(self):
        self.assertIsNone(self.drift())
        self.scale(2)
        self.sees("web: changed by someone else: replicas 1 → 2")
        drift = self.drift()
        self.assertEqual([(e["service"], e["name"], e["kind"], e["by"], e["changes"]) for e in drift["services"]],
                         [("web", self.full("web"), "changed", None, ["replicas 1 → 2"])])
        self.assertIsNone(drift["note"])
        self.lab.docker("service", "update", "--detach", "--image", f"{self.registry}/postgres:15", "--env-add", "PASSWORD=hunter2", self.full("web"))
        self.lab.docker("service", "rm", self.full("other"))
        self.lab.docker("service", "create", "--detach", "--name", f"{self.name}_extra", "--label", f"com.docker.stack.namespace={self.name}",
                        f"{self.registry}/web:1")
        self.sees("web: changed by someone else: image, env PASSWORD, replicas 1 → 2", "other: removed by someone else",
                  "extra: is in the stack's namespace, and was made by someone else")
        self.assertEqual(self.drift()["since"], drift["since"])
        text = self.agentctl("status", self.name, code=0).stdout
        self.assertIn("in step, but changed by others", text)
        self.assertIn("env PASSWORD", text)
        self.assertNotIn("hunter2", text)
        # told once; and only told
        self.polls()
        log = self.agent.log.read_text()
        self.assertEqual(log.count("is not what was deployed: web: changed by someone else: replicas 1"), 1)
        self.assertEqual(len(self.log()), 1)
        self.assertEqual([e for e in self.tap.effects() if "update" in e or "create" in e], [])
        # a new commit puts back what is its own
        self.deploy(self.two(), README="a new commit")
        self.sees("extra: is in the stack's namespace, and was made by someone else")
        self.lab.docker("service", "rm", f"{self.name}_extra")
        self.wait(lambda: self.drift() is None, 20, "the drift to be gone")

    def test_what_is_no_drift(self):
        """A forced update changes nothing; looking again and again writes nothing."""
        self.lab.docker("service", "update", "--detach", "--force", self.full("web"))
        self.polls()
        self.assertIsNone(self.drift())
        files = [self.dir / "state" / name for name in ("journal.db", "journal.db-wal")]
        self.scale(2)
        self.sees("web: changed by someone else: replicas 1 → 2")
        before = [(f.stat().st_mtime_ns, f.stat().st_size) for f in files]
        self.polls(6)
        self.assertEqual([(f.stat().st_mtime_ns, f.stat().st_size) for f in files], before)
        self.scale(1)
        self.wait(lambda: self.drift() is None, 20, "the drift to be gone")

    @long
    def test_rolled_back_and_paused_by_swarm(self):
        self.deploy(self.stack(web=self.web(VERSION="two"), other=self.web()))
        self.lab.docker("service", "rollback", "--detach", self.full("web"))
        self.wait(lambda: any(t.startswith("web: Swarm rolled the update back") for t in self.texts()), 30, "the rollback to be seen")
        self.assertEqual((self.drift()["services"][0]["kind"], self.drift()["services"][0]["by"]), ("rolled_back", "swarm"))
        plan = self.agentctl("plan", self.name, code=2).stdout
        self.assertIn("Swarm rolled the update back", " ".join(plan.split()))
        # an update by hand that fails: Swarm stops half way
        self.deploy(self.stack(web=self.web(VERSION="three"), other=self.web()))
        self.lab.docker("service", "update", "--detach", "--update-failure-action", "pause", "--update-monitor", "5s", "--args", "exit 3", self.full("web"))
        self.wait(lambda: any("Swarm paused the update" in t for t in self.texts()), 60, "the pause to be seen")

    @long
    def test_change_beside_a_rollout(self):
        """What somebody does to a service that this deployment does not touch is not taken for what was deployed."""
        job = {"steps": [self.job(command=["sleep", "6"])]}
        commit = self.commit(self.stack(job, web=self.web(VERSION="two"), other=self.web()))
        self.wait(lambda: self.job_containers(), 30, "the migration to run")
        self.scale(2, "other")
        self.polls_during(commit)
        self.expect(commit, "succeeded")
        self.sees("other: changed by someone else: replicas 1 → 2")

    def polls_during(self, commit):
        """While a deployment is under way nothing is called drift."""
        while self.record(commit)["state"] not in ("succeeded", "rolled_back", "halted", "failed"):
            if self.record(commit)["state"] == "running":
                self.assertIsNone(self.drift())
            time.sleep(0.3)

    def test_image_by_hand_is_not_kept(self):
        """resolve_image = changed keeps the digest of the stack file's image, not that of another one put there by hand."""
        self.configure(stack={"resolve_image": "changed"})
        self.restart()
        digest = self.spec("web")["TaskTemplate"]["ContainerSpec"]["Image"]
        self.lab.docker("service", "update", "--detach", "--image", f"{self.registry}/postgres:15", self.full("web"))
        self.deploy(self.two(), README="a new commit")
        self.assertEqual(self.spec("web")["TaskTemplate"]["ContainerSpec"]["Image"], digest)


class Correct(Drift):
    wanted = "correct"

    def test_put_back(self):
        before = self.specs()
        self.by_hand()
        record = self.expect(self.head, "succeeded", at_least=2)
        self.assertEqual((record["trigger"], record["commit"]), ("drift", self.head))
        self.assertIn("VERSION=one", self.environment())
        self.serves("web", "one")
        self.wait(lambda: self.drift() is None, 20, "the drift to be gone")
        self.lab.docker("service", "rm", self.full("other"))
        record = self.expect(self.head, "succeeded", at_least=3)
        self.assertEqual({s["name"]: s["action"] for s in record["services"]}, {"web": "none", "other": "create"})
        self.assertIn("Platforms", before[self.full("web")]["TaskTemplate"]["Placement"])
        after = self.specs()
        for name, spec in before.items():  # ForceUpdate counts what others forced
            self.assertEqual({**after[name]["TaskTemplate"], "ForceUpdate": 0}, {**spec["TaskTemplate"], "ForceUpdate": 0}, name)
        # a service of others is left alone, and nothing is tried
        self.lab.docker("service", "create", "--detach", "--name", f"{self.name}_extra", "--label", f"com.docker.stack.namespace={self.name}",
                        f"{self.registry}/web:1")
        self.sees("extra: is in the stack's namespace, and was made by someone else")
        self.polls()
        self.assertEqual(len(self.log()), 3)

    @long
    def test_something_else_keeps_changing_it(self):
        for n in range(1, 4):
            self.by_hand(f"hand {n}")
            self.expect(self.head, "succeeded", at_least=1 + n)
        self.by_hand("hand 4")
        self.wait(lambda: (self.drift() or {}).get("note"), 20, "the end of the corrections")
        self.assertIn("3 times within an hour", self.drift()["note"])
        self.polls()
        self.assertEqual(len(self.corrections()), 3)
        self.assertIn("VERSION=hand 4", self.environment())
        self.assertIn("3 times within an hour", self.agentctl("status", self.name, code=0).stdout)
        self.assertIn("3 times within an hour", self.agent.log.read_text())

    @long
    def test_paused(self):
        self.agentctl("pause", self.name, "--reason", "release day", code=0)
        self.by_hand()
        self.wait(lambda: "paused" in ((self.drift() or {}).get("note") or ""), 20, "the note")
        self.polls()
        self.assertEqual(len(self.log()), 1)
        self.assertIn("VERSION=by hand", self.environment())
        self.agentctl("resume", self.name, code=0)
        self.expect(self.head, "succeeded", at_least=2)
        self.assertIn("VERSION=one", self.environment())

    def test_in_the_middle_of_a_rollout(self):
        """It halts that deployment; held, nothing is put right over what the person did."""
        commit = self.commit(self.stack({"health": self.health()}, web=self.web(VERSION="two", HEALTH_AFTER_S=6), other=self.web()))
        self.wait(lambda: "VERSION=two" in self.environment(), 30, "the update to be sent")
        time.sleep(1)
        self.by_hand()
        self.expect(commit, "halted", 90)
        self.wait(lambda: "held" in ((self.drift() or {}).get("note") or ""), 20, "the note")
        self.polls()
        self.assertIn("VERSION=by hand", self.environment())
        self.assertEqual(self.corrections(), [])

    @long
    def test_left_half_way_is_no_drift(self):
        """on_failure = halt leaves the new spec on purpose."""
        self.configure(stack={"drift": "correct", "on_failure": "halt"})
        self.restart()
        self.deploy(self.stack({"health": self.health()}, web=self.web(VERSION="two", HEALTH_STATUS=500), other=self.web()), "halted")
        self.polls()
        self.assertIsNone(self.drift())
        self.scale(3)
        self.sees("web: changed by someone else: replicas 1 → 3")

    def test_correction_that_fails(self):
        """Gated as any other deployment: it is rolled back to what the person did, and then held."""
        self.lab.docker("service", "rm", self.full("other"))
        self.lab.docker("service", "create", "--detach", "--name", self.full("other"), f"{self.registry}/web:1")
        self.addCleanup(self.lab.docker, "service", "rm", self.full("other"), check=False)
        record = self.expect(self.head, "failed", at_least=2)
        self.assertEqual(record["trigger"], "drift")
        self.assertIn("does not belong to this stack", record["reason"])
        self.polls()
        self.assertEqual(len(self.corrections()), 1)
        self.assertIn("held", self.drift()["note"])

    @long
    def test_moved_tag_stays_out_of_it(self):
        """What is put back is the image that was deployed, though its tag points elsewhere by now."""
        self.lab.image(f"{self.name}:prod", {"etc/which": "1"})
        commit = self.commit(self.stack(web=self.web(image=f"{self.registry}/{self.name}:prod", VERSION="prod"), other=self.web()))
        self.expect(commit, "succeeded")
        image = self.spec("web")["TaskTemplate"]["ContainerSpec"]["Image"]
        self.lab.image(f"{self.name}:prod", {"etc/which": "2"})
        self.lab.docker("service", "update", "--detach", "--image", f"{self.registry}/web:1", self.full("web"))
        record = self.expect(commit, "succeeded", at_least=2)
        self.assertEqual(record["trigger"], "drift")
        self.assertEqual(self.spec("web")["TaskTemplate"]["ContainerSpec"]["Image"], image)
        self.assertTrue(image.endswith(record["images"][0]["digest"]) or image.endswith(record["images"][1]["digest"]))
