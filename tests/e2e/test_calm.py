# SPDX-License-Identifier: Apache-2.0
"""Freezes and approvals, from push to running service."""

import signal

from clock import zone_at
from harness import Case, long

ALWAYS = "2020-01-01 00:00..2100-01-01 00:00"


class Calm(Case):
    def reconfigure(self, **stack):
        self.configure(stack=stack)
        self.agent.process.send_signal(signal.SIGHUP)

    def version(self, word, **more):
        return self.commit(self.stack(web=self.web(VERSION=word)), **more)

    def seen(self, commit):
        self.wait(lambda: self.status()["tip"] == commit, 20, "the commit to be seen")

    def first(self):
        one = self.version("one")
        self.start()
        self.expect(one, "succeeded")

    def test_freeze(self):
        self.first()
        self.reconfigure(freeze=ALWAYS)
        self.wait(lambda: self.status()["frozen"], 20, "the freeze")
        two, three = self.version("two"), self.version("three", message="the fix")
        self.seen(three)
        self.assertEqual(self.status()["frozen"]["until"], self.json("status")["stacks"][0]["frozen"]["until"])
        self.assertIn(f"approve {self.name} --commit {three[:12]}", self.agentctl("status", self.name).stdout)
        sync = self.agentctl("sync", self.name, "--wait", code=1)
        self.assertIn("frozen until", sync.stdout + sync.stderr)
        self.serves("web", "one")
        self.assertRegex(self.agentctl("check", self.name).stdout, f"ok    stack {self.name}: freeze .* frozen until 2100-01-01 00:00")
        # a person may, for what they have looked at
        self.assertIn(f"waits for approval is {three[:12]}", self.agentctl("approve", self.name, "--commit", two[:12], code=1).stderr)
        self.agentctl("approve", self.name, "--commit", three[:12], code=0)
        record = self.expect(three, "succeeded")
        self.serves("web", "three")
        self.assertTrue(self.show(record["id"])["requested_by"].startswith("uid "))
        # afterwards the newest alone
        four, five = self.version("four"), self.version("five")
        self.seen(five)
        self.reconfigure()
        self.expect(five, "succeeded")
        self.assertEqual([self.record(c) for c in (two, four)], [None, None])
        self.assertIsNone(self.status()["frozen"])

    @long
    def test_freeze_begins_while_an_image_is_waited_for(self):
        """What has not touched anything is before its beginning: it does not start at night because CI was slow."""
        self.configure(stack={"freeze": "12:00..13:00", "image_wait": "10m"})
        image = f"{self.registry}/{self.name}:late"
        commit = self.commit(self.stack(web=self.web(image=image)))
        self.start(TZ=zone_at("11:59:40"))
        self.wait(lambda: "late" in self.waiting(), 15, "the wait for the image")
        self.wait(lambda: "the end of the freeze" in self.waiting(), 40, "the freeze")
        self.lab.image(f"{self.name}:late")
        self.agentctl("sync", self.name, code=0)
        self.assertEqual((self.record(commit)["state"], self.specs()), ("requested", {}))
        self.agentctl("approve", self.name, "--commit", commit[:12], code=0)
        self.expect(commit, "succeeded")

    @long
    def test_freeze_and_drift(self):
        self.configure(stack={"drift": "correct"})
        self.first()
        self.reconfigure(drift="correct", freeze=ALWAYS)
        self.wait(lambda: self.status()["frozen"], 20, "the freeze")
        self.engine.update(self.full("web"), lambda spec: spec["TaskTemplate"]["ContainerSpec"]["Env"].append("BY_HAND=1"))
        self.wait(lambda: "before the freeze is over" in ((self.status()["drift"] or {}).get("note") or ""), 20, "the note")
        self.reconfigure(drift="correct")
        self.wait(lambda: not self.status()["drift"], 40, "the correction")
        self.assertNotIn("BY_HAND=1", self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"])

    @long
    def test_approval_after_a_rollback(self):
        """The hold after a rollback is until a new commit, also where that one waits for a person first."""
        self.first()
        self.expect(self.version("two"), "succeeded")
        self.agentctl("rollback", self.name, "--wait", code=0)
        self.reconfigure(approve="yes")
        three = self.version("three", message="Mend it")
        alarm = self.wait(lambda: self.status()["alarm"], 20, "the alarm")
        self.assertIn(f"commit {three[:12]} (Mend it, by alice) waits for approval", alarm)
        self.agentctl("sync", self.name)
        self.assertEqual(self.status()["alarm"], alarm)
        self.agentctl("approve", self.name, code=0)
        self.expect(three, "succeeded")
        self.serves("web", "three")

    @long
    def test_remove_images(self):
        """What no rollback needs goes from this node; what somebody has tagged stays."""
        self.configure(agent={"remove_images": "yes"})
        images = [self.lab.image(f"{self.name}:{n}") for n in range(8)]
        digests = []
        for n, image in enumerate(images):
            commit = self.commit(self.stack(web=self.web(image=image)))
            if n == 0:
                self.start()
            digests.append(self.expect(commit, "succeeded")["images"][0]["digest"])
            if n == 1:
                self.lab.docker("tag", f"{self.registry}/{self.name}@{digests[1]}", f"{self.name}:keep")
        self.addCleanup(self.lab.docker, "image", "rm", "-f", f"{self.name}:keep", check=False)

        def here():
            names = {name for image in self.engine.get("/images/json") for name in image.get("RepoDigests") or []}
            return [n for n, digest in enumerate(digests) if f"{self.registry}/{self.name}@{digest}" in names]

        self.wait(lambda: 0 not in here(), 20, "the first image to go")
        self.wait(lambda: here() == [1, 3, 4, 5, 6, 7], 20, lambda: f"the others to stay: {here()}")
        self.agentctl("rollback", self.name, "--wait", code=0)
