# SPDX-License-Identifier: Apache-2.0
"""Images: waited for, taken by digest, kept to what the commit means."""

import json
import os
import subprocess

from harness import Case, PATIENCE, long, wait_for


class Images(Case):
    tapped = True

    def app(self, tag):
        return self.stack(web=self.web(image=f"{self.registry}/{self.name}:{tag}", VERSION=tag))

    def test_missing_then_pushed(self):
        self.configure(stack={"image_wait": "180s"})
        self.start_ready()
        commit = self.commit(self.app("late"))
        self.wait(lambda: "late" in self.waiting() and "registry" in self.waiting(), 20, "the wait for the image to show in status")
        self.assertEqual(self.tap.effects(), [])
        self.lab.image(f"{self.name}:late")
        record = self.expect(commit, "succeeded")
        self.serves("web", "late")
        self.assertEqual(self.waiting(), "")
        self.assertIn(record["images"][0]["digest"], self.spec("web")["TaskTemplate"]["ContainerSpec"]["Image"])

    def test_never_pushed(self):
        self.configure(stack={"image_wait": "4s"})
        self.lab.image(f"{self.name}:one")
        commit = self.commit(self.app("one"))
        self.start()
        self.expect(commit, "succeeded")
        before = self.specs(), self.task_ids("web")
        record = self.deploy(self.app("never"), "failed")
        self.assertIn("never", record["reason"])
        self.assertIn("image_wait", record["reason"])
        self.assertEqual((self.specs(), self.task_ids("web")), before)
        self.serves("web", "one")

    def test_record_out_of_reach_while_waiting(self):
        """The disk fails a write, then the record cannot be opened: that is waited for, and is no verdict."""
        worker = self.lab.enter(self.program("agent-worker"), "--config", self.conf)
        self.configure(stack={"image_wait": "180s"})
        commit = self.commit(self.app("late"))
        subprocess.run([*worker, "poll", self.name], check=True, stdout=subprocess.DEVNULL)
        away = self.dir / "away"
        away.mkdir()
        with open(self.dir / "worker.log", "w") as log:
            run = subprocess.Popen([*worker, "run", "1"], stdout=log, stderr=log, env={**os.environ, "FAULTS": "journal.begin:errno=5:nth=1"})
        self.addCleanup(run.kill)

        def said(text):
            return text in (self.dir / "worker.log").read_text() or run.poll() is not None

        wait_for(lambda: said("errno=5"), 20, "the disk error")
        for path in (self.dir / "state").glob("journal.db*"):
            path.rename(away / path.name)
        wait_for(lambda: said("stands still"), 20, "the worker to say that it waits")
        for path in away.iterdir():
            path.rename(self.dir / "state" / path.name)
        self.lab.image(f"{self.name}:late")
        self.assertEqual(run.wait(60 * PATIENCE), 0)
        self.assertEqual(self.record(commit)["state"], "succeeded", self.record(commit)["reason"])

    def test_newer_commit_supersedes_one_that_waits(self):
        self.configure(stack={"image_wait": "180s"})
        self.start_ready()
        waits = self.commit(self.app("never"))
        self.wait(lambda: "never" in self.waiting(), 20, "the wait to show")
        good = self.commit(self.stack(web=self.web(VERSION="good")))
        self.expect(good, "succeeded")
        self.assertEqual(self.record(waits)["state"], "superseded")

    def test_moved_tag_with_a_new_commit(self):
        first = self.lab.image(f"{self.name}:prod", {"etc/which": "1"})
        commit = self.commit(self.app("prod"))
        self.start()
        one = self.expect(commit, "succeeded")
        self.assertIn(f"image {first}: its tag moves", "\n".join(self.show(one["id"])["warnings"]))
        self.lab.image(f"{self.name}:prod", {"etc/which": "2"})
        # the tag moved: without a commit nothing happens
        self.agentctl("sync", self.name, "--wait", code=0)
        self.assertEqual(len(self.log()), 1)
        two = self.deploy(self.app("prod"), README="a new commit")
        self.assertNotEqual(one["images"][0]["digest"], two["images"][0]["digest"])
        self.assertEqual(self.spec("web")["TaskTemplate"]["ContainerSpec"]["Image"], f"{first}@{two['images'][0]['digest']}")

    def observe(self):
        run = subprocess.run(self.lab.enter(self.program("agent-worker"), "--config", self.conf, "observe", self.name), capture_output=True, text=True)
        return json.loads(run.stdout.splitlines()[-1])

    @long
    def test_followed_tags_are_tried_together(self):
        """What failed is a set of images: when another of them moves, it is another set."""
        self.configure(stack={"follow_tags": "yes"})
        front, back = f"{self.registry}/{self.name}:front", f"{self.registry}/{self.name}:back"
        self.lab.image(f"{self.name}:front", {"etc/good": "1"})
        self.lab.image(f"{self.name}:back", {"etc/which": "1"})
        commit = self.commit(self.stack({"steps": [self.job(command=["cat", "/etc/good"])]}, web=self.web(image=front), db=self.web(image=back)))
        self.start()
        self.expect(commit, "succeeded")
        self.lab.image(f"{self.name}:front", {"etc/which": "2"})
        self.expect(commit, "failed", at_least=2)
        self.assertEqual(self.observe()["result"], "held")
        self.lab.image(f"{self.name}:back", {"etc/which": "3"})
        third = self.expect(commit, "failed", at_least=3)
        self.assertEqual(self.observe()["result"], "held")
        # one of them moves back: this pair was not tried either
        self.lab.image(f"{self.name}:front", {"etc/good": "1"})
        fourth = self.expect(commit, "succeeded", at_least=4)
        self.assertNotEqual(*({i["service"]: i["digest"] for i in d["images"]}["web"] for d in (third, fourth)))
        self.assertEqual(*({i["service"]: i["digest"] for i in d["images"]}["db"] for d in (third, fourth)))
        self.assertEqual(self.observe()["result"], "unchanged")

    def test_rollback_while_a_followed_tag_is_asked_for(self):
        """A person's word that comes while the registry is asked is not overtaken by what the registry says."""
        asked = []

        def meanwhile(data):
            if b"/distribution/" in data and not asked:
                asked.append(self.agentctl("rollback", self.name, code=0))
            return False

        for tag in "one", "prod":
            self.lab.image(f"{self.name}:{tag}", {"etc/which": tag})
        commit = self.commit(self.app("one"))
        self.start()
        self.expect(commit, "succeeded")
        self.deploy(self.app("prod"))
        self.lab.image(f"{self.name}:prod", {"etc/which": "2"})
        self.agentctl("pause", self.name, code=0)
        self.configure(stack={"follow_tags": "yes"})  # for the worker below; agentd does not look at the file again
        self.tap.fault(meanwhile)
        self.assertEqual(self.observe()["result"], "nothing")
        self.assertTrue(asked)
        self.assertEqual([(d["trigger"], d["state"]) for d in self.log()[:-2]], [("rollback", "requested")])
        self.tap.clear()

    def test_resolve_changed_keeps_the_digest(self):
        self.configure(stack={"resolve_image": "changed"})
        self.lab.image(f"{self.name}:prod", {"etc/which": "1"})
        commit = self.commit(self.app("prod"))
        self.start()
        one = self.expect(commit, "succeeded")
        self.lab.image(f"{self.name}:prod", {"etc/which": "2"})
        two = self.deploy(self.app("prod"), README="a new commit")
        self.assertEqual(two["reason"], "no change")
        self.assertEqual(one["images"][0]["digest"], two["images"][0]["digest"])

    def test_image_of_commit(self):
        """A tag that moves carries the image of an older commit until CI has built: it is waited for."""
        self.configure(stack={"image_of_commit": f"{self.registry}/{self.name}", "image_wait": "180s"})
        commit = self.commit(self.app("main"))
        self.lab.image(f"{self.name}:main", {"etc/which": "1"}, label=f"org.opencontainers.image.revision={commit}")
        self.start()
        one = self.expect(commit, "succeeded")
        second = self.commit(self.app("main"), code="2")
        self.wait(lambda: "not of" in self.waiting(), 20, "the wait for the image of the commit")
        self.lab.image(f"{self.name}:main", {"etc/which": "2"}, label=f"org.opencontainers.image.revision={second}")
        two = self.expect(second, "succeeded")
        self.assertNotEqual(one["images"][0]["digest"], two["images"][0]["digest"])

    def test_digest_in_the_stack_file(self):
        self.lab.image(f"{self.name}:one")
        repository = f"{self.registry}/{self.name}"
        digest = self.engine.get(f"/distribution/{repository}:one/json")["Descriptor"]["digest"]
        commit = self.commit(self.stack(web=self.web(image=f"{repository}@{digest}")))
        self.start()
        record = self.expect(commit, "succeeded")
        self.assertEqual(record["images"][0]["digest"], digest)
        self.assertTrue(self.spec("web")["TaskTemplate"]["ContainerSpec"]["Image"].endswith(digest))

    def test_private_registry(self):
        private = f"{self.lab.env['REGISTRY_AUTH']}/web:1"
        auth = self.dir / "config.json"
        auth.touch(mode=0o600)
        auth.write_text(open(self.lab.env["REGISTRY_CONFIG"]).read())
        self.conf.write_text(self.conf.read_text() + f"\n[registry]\nauth_file = {auth}\n")
        commit = self.commit(self.stack(web=self.web(image=private, VERSION="private")))
        self.start()
        self.expect(commit, "succeeded")
        self.serves("web", "private")

    def test_private_registry_without_a_password(self):
        private = f"{self.lab.env['REGISTRY_AUTH']}/web:1"
        self.configure(stack={"image_wait": "5s"})
        commit = self.commit(self.stack(web=self.web(image=private)))
        self.start()
        record = self.expect(commit, "failed", 90)
        self.assertIn("web:1", record["reason"])
        self.assertEqual(self.specs(), {})
