# SPDX-License-Identifier: Apache-2.0
"""Messages and commit statuses, by a real receiver: what is told, in which order, how often, and what a receiver that is away costs."""

import fcntl
import os
import signal
import subprocess
import time

from harness import PATIENCE, Case, long, wait_for
from receiver import Receiver

TOKEN = "t0ken-canary-1f7a"
PATH = "/hooks/T0/path-canary-9c2e"


class Notify(Case):
    limit = 180

    def secret(self, name, text):
        path = self.dir / name
        path.touch(mode=0o600)
        path.write_text(text + "\n")
        return path

    def tell(self, *sections, stack=None):
        """agent.conf with [notify] sections, each a dict; url goes into a file."""
        self.configure(stack=stack)
        with open(self.conf, "a") as conf:
            for section in sections:
                name, url = section.pop("name", "chat"), section.pop("url")
                section["url_file"] = self.secret(f"{name}-url", url)
                conf.write(f"\n[notify {name}]\n" + "".join(f"{k} = {v}\n" for k, v in section.items()))

    def statuses(self, receiver):
        """stack setting for commit statuses at the receiver"""
        return {"status_token_file": self.secret("token", TOKEN), "status_forge": "github", "status_url": receiver.url}

    def no_secrets(self):
        """What nobody may see is in no log, no record and no answer."""
        texts = {path: path.read_bytes() for path in [self.dir / "agentd.log", *self.dir.glob("state/journal.db*")]}
        texts["the receivers' errors"] = str([r["error"] for r in self.json("status")["receivers"]]).encode()
        texts |= {words: self.agentctl(*words).stdout.encode() for words in (("status",), ("status", "--json"), ("log", "--json"))}
        for where, text in texts.items():
            for secret in (TOKEN, TOKEN[:12], PATH, "path-canary"):
                self.assertNotIn(secret.encode(), text, f"{secret} in {where}")

    def receiver_state(self, name):
        """Its entry in `agentctl status --json`."""
        return next((r for r in self.json("status")["receivers"] if r["name"] == name), {})

    def failing(self):
        """A commit that ends `failed`: quick, nothing is rolled."""
        return self.stack({"steps": [self.job(command=("exit", "3"))]})


class Told(Notify):
    def test_a_good_and_a_failed_deployment(self):
        """Each receiver gets what it asked for, in order, once; two that are away cost nobody anything, and get it afterwards."""
        good, broken, hanging = Receiver(self, "good"), Receiver(self, "broken", mode="500"), Receiver(self, "hanging", mode="hang")
        self.tell({"name": "all", "url": good.url + PATH, "on": "succeeded failed"}, {"name": "broken", "url": broken.url + PATH, "shape": "slack"},
                  {"name": "hanging", "url": hanging.url + PATH, "on": "succeeded failed"}, stack=self.statuses(good))
        first = self.commit(self.stack(), message="First <!channel> one")
        self.start_ready()
        self.expect(first, "succeeded")
        began = time.monotonic()
        second = self.commit(self.failing(), message="Second one")
        record = self.expect(second, "failed")
        self.assertLess(time.monotonic() - began, 60 * PATIENCE)

        def told():
            return len(good.requests("/hooks")) == 2 and "failure" in [s["state"] for s in good.bodies("/repos")]

        self.wait(told, 30, lambda: f"messages and statuses: {good.requests()}")
        messages = good.bodies("/hooks")
        self.assertEqual([(m["commit"], m["state"], m["stack"], m["deployment"]) for m in messages],
                         [(first, "succeeded", self.name, 1), (second, "failed", self.name, 2)])
        self.assertEqual([m["subject"] for m in messages], ["First <!channel> one", "Second one"])
        self.assertEqual(messages[1]["reason"], record["reason"])
        self.assertIn("No application service was touched", messages[1]["affected"])
        self.assertEqual(good.requests("/hooks")[0]["headers"]["Idempotency-Key"], messages[0]["id"])
        project = "/".join(str(self.bare).removesuffix(".git").split("/")[-2:])
        states = [(r["path"], s["state"], s["context"]) for r, s in zip(good.requests("/repos"), good.bodies("/repos"))]
        every = [(f"/repos/{project}/statuses/{c}", s, f"deploy-agent/{self.name}")
                 for c, s in ((first, "pending"), (first, "success"), (second, "pending"), (second, "failure"))]
        # one that is overtaken before it could be sent is left out
        self.assertEqual(states, [one for one in every if one in states])
        self.assertEqual([one for one in states if one[1] != "pending"], [every[1], every[3]])
        self.assertTrue(all(r["headers"]["Authorization"] == f"Bearer {TOKEN}" for r in good.requests("/repos")))
        self.assertIn(record["reason"][:60], good.bodies("/repos")[-1]["description"])

        # the ones that are away: seen by people, and told as soon as they are back
        self.wait(lambda: self.receiver_state("notify broken").get("attempts"), 20, "the receiver that answers 500 to be shown")
        state = self.receiver_state("notify broken")
        self.assertIn("500", state["error"])
        self.assertEqual(state["waiting"], 1)
        self.assertRegex(self.agentctl("status", code=0).stdout, r"notify broken fails since .*500.*1 waiting")
        self.no_secrets()
        self.wait(lambda: self.receiver_state("notify hanging").get("attempts"), 30, "the receiver that hangs to be given up")
        self.assertLessEqual(len(hanging.requests()), self.receiver_state("notify hanging")["attempts"] + 1)  # never two at once
        broken.answer("200")
        hanging.answer("200")
        self.wait(lambda: [r for r in broken.requests() if r["mode"] == "200"], 40, "the message to come after all")
        self.assertIn(f"{self.name}: failed ({second[:7]})\n", broken.bodies()[-1]["text"])
        self.wait(lambda: len([r for r in hanging.requests() if r["mode"] == "200"]) == 2, 40, "both messages to come after all")
        self.assertEqual([m["commit"] for m in hanging.bodies()[-2:]], [first, second])
        self.wait(lambda: all(not r["waiting"] and not r["attempts"] for r in self.json("status")["receivers"]), 10, "the outbox to be empty")
        self.assertEqual(len(good.requests()), 2 + len(states))
        log = self.agent.log.read_text()
        self.assertEqual([log.count(f"notify {name} cannot be told") for name in ("all", "broken", "hanging")], [0, 1, 1])
        self.assertRegex(log, r"notify broken is told again, after \d+ that failed")
        self.no_secrets()

    def test_agentd_dies_between_telling_and_writing_it_down(self):
        """At least once: told again, with the same id, and what came later behind it."""
        chat = Receiver(self, "chat")
        self.tell({"url": chat.url + PATH, "on": "succeeded failed"})
        first = self.commit(self.stack())
        agent = self.start(FAULTS="notify.sent:stop")
        self.expect(first, "succeeded")
        self.wait(chat.requests, 20, "the first message")
        agent.kill()
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self.workers(), 20, "the worker to be gone")
        self.start_ready()
        self.deploy(self.failing(), "failed")
        self.wait(lambda: len(chat.requests()) == 3, 20, "the message again, and the next one")
        ids = [m["id"] for m in chat.bodies()]
        self.assertEqual([m["state"] for m in chat.bodies()], ["succeeded", "succeeded", "failed"])
        self.assertEqual(ids[0], ids[1])
        self.assertNotEqual(ids[1], ids[2])


class Alarms(Notify):
    def test_what_is_told_of_a_stack(self):
        """That polls do not succeed any more, that they do again, and that a person is asked for."""
        chat = Receiver(self, "chat")
        self.tell({"url": chat.url + PATH, "on": "polls_stalled polls_recovered approval_needed"}, stack={"approve": "yes"})
        subject = "a" + "ы" * 150  # of which the alarm has no room for all
        commit = self.commit(self.stack(), message=subject)
        hidden = self.bare.rename(f"{self.bare}.hidden")
        self.start_ready(FAULTS="poll.stalled:errno=1")  # as if 15 minutes had passed
        self.wait(lambda: len(chat.requests()) == 1, 30, "the alarm")
        hidden.rename(self.bare)
        self.wait(lambda: len(chat.requests()) >= 3, 30, "the end of it, and what waits for a person")
        messages = chat.bodies()
        told = {m["state"]: m for m in messages}
        self.assertEqual(messages[0]["state"], "polls_stalled")
        self.assertEqual(set(told), {"polls_stalled", "polls_recovered", "approval_needed"})
        self.assertTrue(all(m["stack"] == self.name and m["deployment"] is None for m in messages))
        self.assertIn("could not be polled for", messages[0]["reason"])
        self.assertIn(f"agentctl check {self.name}", messages[0]["next"])
        self.assertIn(f"{commit[:12]} ({subject[:50]}, by ", told["approval_needed"]["reason"])
        polled = self.wait(lambda: self.status()["last_poll"], 20, "a poll")
        self.wait(lambda: self.status()["last_poll"] > polled, 20, "another poll")
        self.assertEqual(len(chat.requests()), 3)


    def test_what_agentd_did_not_live_to_tell(self):
        """Alarms are told with the change of the record, and their end to whoever heard of them: whichever agentd finds it out."""
        chat = Receiver(self, "chat")
        self.tell({"url": chat.url + PATH, "on": "polls_stalled polls_recovered approval_needed"}, stack={"approve": "yes"})
        self.commit(self.stack())
        hidden = self.bare.rename(f"{self.bare}.hidden")
        self.start_ready(FAULTS="poll.stalled:errno=1")
        self.wait(lambda: len(chat.requests()) == 1, 30, "the alarm")
        self.agent.kill()
        hidden.rename(self.bare)
        self.start_ready()
        self.wait(lambda: len(chat.requests()) == 3, 30, "its end, and what waits for a person")
        # short trouble, of which nobody was told
        hidden = self.bare.rename(f"{self.bare}.hidden")
        self.wait(lambda: self.status()["poll_error"], 20, "a poll that fails")
        self.agent.stop()
        hidden.rename(self.bare)
        second = self.commit(self.stack(web=self.web(VERSION="two")))
        # the worker has asked for a person, and agentd was gone before it heard of it
        subprocess.run([self.program("agent-worker"), "--config", self.conf, "poll", self.name], check=True, stdout=subprocess.DEVNULL, timeout=60)
        self.assertIn(f"{second[:12]} (a change, by alice) waits for approval", self.status()["alarm"])
        self.start_ready(FAULTS="poll.stalled:errno=1")
        self.wait(lambda: len(chat.requests()) == 4, 30, "what waits for a person")
        polled = self.wait(lambda: self.status()["last_poll"], 20, "a poll")
        self.wait(lambda: self.status()["last_poll"] > polled, 20, "another poll")
        messages = chat.bodies()
        self.assertEqual(sorted(m["state"] for m in messages[1:3]), ["approval_needed", "polls_recovered"])
        self.assertEqual([m["state"] for m in messages if m not in messages[1:3]], ["polls_stalled", "approval_needed"])
        self.assertIn(second[:12], messages[3]["reason"])


class Answers(Notify):
    @long
    def test_the_same_verdict_is_told_once(self):
        """A retry that fails as before is no news; what another commit does is. A forge that was away gets what is true then."""
        chat = Receiver(self, "chat", mode="slow")
        forge = Receiver(self, "forge", mode="503")
        self.tell({"url": chat.url + PATH}, stack=self.statuses(forge))
        self.start_ready()
        first = self.commit(self.failing())
        self.expect(first, "failed")
        self.agentctl("retry", self.name, code=0)
        self.expect(first, "failed", at_least=2)
        second = self.commit(self.failing(), message="Another one")
        self.expect(second, "failed")
        self.wait(lambda: len(chat.requests()) == 2 and not self.receiver_state("notify chat")["waiting"], 30, "two messages")
        self.assertEqual([(m["commit"], m["deployment"]) for m in chat.bodies()], [(first, 1), (second, 3)])
        tried = len(forge.requests())
        self.assertGreater(tried, 0)
        forge.answer("200")
        self.wait(lambda: not self.receiver_state(f"status {self.name}")["waiting"], 60, "the forge to be told")
        told = [(r["path"].rsplit("/", 1)[1], s["state"]) for r, s in zip(forge.requests(), forge.bodies()) if r["mode"] == "200"]
        self.assertEqual(told, [(first, "failure"), (second, "failure")])

    @long
    def test_what_waits_is_bounded_by_the_configuration(self):
        """A receiver that is taken out of agent.conf is forgotten; one that is new begins with what comes."""
        self.tell({"name": "old", "url": "http://127.0.0.1:1/x", "on": "succeeded"})
        self.start_ready()
        self.deploy(self.stack())
        self.wait(lambda: self.receiver_state("notify old").get("attempts"), 20, "the first try")
        new = Receiver(self, "new")
        self.tell({"name": "new", "url": new.url + PATH, "on": "succeeded"})
        os.kill(self.agent.pid, signal.SIGHUP)
        self.wait(lambda: [r["name"] for r in self.json("status")["receivers"]] == ["notify new"], 20, "the reload")
        again = self.commit(self.stack(web=self.web(VERSION="two")))
        self.expect(again, "succeeded")
        self.wait(new.requests, 20, "the message")
        self.assertEqual([m["commit"] for m in new.bodies()], [again])

    @long
    def test_answers_that_are_no_yes(self):
        """No redirect is followed; Retry-After is kept; what is refused for what it says does not hold up the rest."""
        chat = Receiver(self, "chat", mode="302")
        self.tell({"url": chat.url + PATH, "on": "succeeded failed"})
        self.start_ready()
        self.deploy(self.stack())
        self.wait(lambda: "redirects are not followed" in (self.receiver_state("notify chat").get("error") or ""), 20, "the redirect to be told")
        self.assertEqual(chat.requests("/elsewhere"), [])
        chat.answer("429")
        self.wait(lambda: [r for r in chat.requests() if r["mode"] == "429"], 30, "the next try")
        told = [r["at"] for r in chat.requests() if r["mode"] == "429"][0]
        chat.answer("400")
        self.wait(lambda: [r for r in chat.requests() if r["mode"] == "400"], 30, "the try after the pause")
        self.assertGreater([r["at"] for r in chat.requests() if r["mode"] == "400"][0] - told, 1.9)
        self.wait(lambda: not self.receiver_state("notify chat")["waiting"], 10, "the message to be left out")
        self.assertIn("does not take the message on #1, which is left out", self.agent.log.read_text())
        chat.answer("200")
        self.deploy(self.failing(), "failed")
        self.wait(lambda: chat.bodies() and chat.bodies()[-1]["state"] == "failed", 20, "the next message")
        chat.answer("trickle")  # it has answered: how it goes on is of no interest
        self.deploy(self.stack(web=self.web(VERSION="two")))
        self.wait(lambda: chat.requests()[-1]["mode"] == "trickle" and not self.receiver_state("notify chat")["waiting"], 30, "that to be enough")
        self.assertEqual((len([r for r in chat.requests() if r["mode"] == "trickle"]), self.receiver_state("notify chat")["attempts"]), (1, 0))
        self.no_secrets()

    @long
    def test_never_two_at_once(self):
        """A worker that an agentd before this one has started may still be at it: it is waited for, and that is no failure."""
        chat = Receiver(self, "chat")
        self.tell({"url": chat.url + PATH, "on": "succeeded"})
        self.start_ready()
        with open(self.dir / "state/receiver-notify-chat.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.deploy(self.stack())
            polled = self.status()["last_poll"]
            self.wait(lambda: self.status()["last_poll"] > polled, 20, "another poll")
            self.assertEqual((chat.requests(), self.receiver_state("notify chat")["attempts"]), ([], 0))
        self.wait(chat.requests, 20, "the message")

    @long
    def test_a_stop_waits_for_nobody(self):
        """A receiver that hangs does not hold up the end of agentd; the try that was cut short is no failure. An idle agent writes nothing."""
        chat = Receiver(self, "chat", mode="hang")
        self.tell({"url": chat.url + PATH, "on": "succeeded"})
        agent = self.start_ready()
        self.deploy(self.stack())
        self.wait(chat.requests, 20, "the first try")
        began = time.monotonic()
        self.assertEqual(agent.stop(), 0)
        self.assertLess(time.monotonic() - began, 4)
        self.assertEqual(self.receiver_state("notify chat")["attempts"], 0)
        chat.answer("200")
        self.start_ready()
        self.wait(lambda: len(chat.requests()) == 2 and not self.receiver_state("notify chat")["waiting"], 20, "the message")

        def written():
            return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(self.dir.glob("state/journal.db*")) if not p.name.endswith("-shm")]

        polled = self.wait(lambda: self.status()["last_poll"], 20, "a poll")
        before = written()
        self.wait(lambda: self.status()["last_poll"] > polled, 20, "another poll")
        self.assertEqual(written(), before)

    @long
    def test_tls(self):
        """A private authority is believed when it is named, and only then."""
        folder = f"{self.lab.dir}/git-http"
        chat = Receiver(self, "chat", certificate=f"{folder}/server.pem")
        self.tell({"name": "named", "url": chat.url + "/named", "on": "succeeded", "ca_file": f"{folder}/ca.pem"},
                  {"name": "unnamed", "url": chat.url + "/unnamed", "on": "succeeded"})
        self.start_ready()
        self.deploy(self.stack())
        self.wait(lambda: chat.requests("/named"), 20, "the message")
        self.wait(lambda: self.receiver_state("notify unnamed").get("attempts"), 20, "the other to be refused")
        self.assertIn("certificate", self.receiver_state("notify unnamed")["error"])
        self.assertEqual(chat.requests("/unnamed"), [])

    @long
    def test_a_url_that_is_wrong_is_mended(self):
        """url_file is read at each try: what waited comes, without a reload."""
        chat = Receiver(self, "chat")
        self.tell({"url": "http://127.0.0.1:1" + PATH, "on": "succeeded"})
        self.start_ready()
        self.deploy(self.stack())
        self.wait(lambda: self.receiver_state("notify chat").get("attempts"), 20, "the first try")
        (self.dir / "chat-url").chmod(0o644)
        self.wait(lambda: "chat-url" in self.receiver_state("notify chat")["error"], 40, "the file to be refused for its rights")
        self.assertRegex(self.agentctl("check", code=1).stdout, r"FAIL +.*url_file: .*chat-url.*chmod")
        self.secret("chat-url", chat.url + PATH).chmod(0o600)
        os.kill(self.agent.pid, signal.SIGHUP)  # else it comes, too, but a pause of this length later
        self.wait(chat.requests, 20, "the message")
        self.no_secrets()
