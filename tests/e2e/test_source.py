# SPDX-License-Identifier: Apache-2.0
"""Where commits come from: transports, trust, force pushes, files that are not what they should be."""

import os
import shutil

from harness import Case


class Transports(Case):
    def over(self, base, **settings):
        self.configure(stack={"repository": f"{base}/{self.name}.git", **settings})
        commit = self.commit(self.stack())
        self.start()
        self.expect(commit, "succeeded")
        second = self.commit(self.stack(web=self.web(VERSION="two")))
        self.expect(second, "succeeded")

    def secret(self, name, text):
        path = self.dir / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def test_file(self):
        self.over(self.lab.env["GIT_FILE_URL"])

    def test_http(self):
        self.over(self.lab.env["GIT_HTTP_URL"])

    def test_https_with_password(self):
        self.over(self.lab.env["GIT_HTTPS_AUTH_URL"], ca_file=self.lab.env["GIT_CA_FILE"], username=self.lab.env["GIT_USER"],
                  token_file=self.secret("token", self.lab.env["GIT_PASSWORD"] + "\n"))

    def test_ssh(self):
        key = self.secret("key", open(self.lab.env["GIT_SSH_KEY"]).read())
        self.over(self.lab.env["GIT_SSH_URL"], ssh_key=key, known_hosts=self.lab.env["GIT_SSH_KNOWN_HOSTS"])

    def failing(self, *words):
        """Polling fails, says why, and reveals nothing; the agent lives."""
        self.start_ready()
        def said():
            text = self.status()["poll_error"] or ""
            return text if all(word.lower() in text.lower() for word in words) else None

        text = self.wait(lambda: self.status()["poll_error"] and said(), 40, lambda: f"{words} to show: {self.status()['poll_error']}")
        self.assertNotIn("wrong-password", text + self.agent.log.read_text())
        self.assertEqual(self.log(), [])

    def test_https_unknown_ca(self):
        self.configure(stack={"repository": f"{self.lab.env['GIT_HTTPS_URL']}/{self.name}.git"})
        self.commit(self.stack())
        self.failing("certificate")

    def test_https_wrong_password(self):
        self.configure(stack={"repository": f"{self.lab.env['GIT_HTTPS_AUTH_URL']}/{self.name}.git", "ca_file": self.lab.env["GIT_CA_FILE"],
                              "username": "lab", "token_file": self.secret("token", "wrong-password\n")})
        self.commit(self.stack())
        self.failing()

    def test_ssh_unknown_host(self):
        key = self.secret("key", open(self.lab.env["GIT_SSH_KEY"]).read())
        empty = self.dir / "known_hosts"
        empty.write_text("")
        self.configure(stack={"repository": f"{self.lab.env['GIT_SSH_URL']}/{self.name}.git", "ssh_key": key, "known_hosts": empty})
        self.commit(self.stack())
        self.failing("known_hosts")

    def test_no_such_repository_and_branch(self):
        self.configure(stack={"repository": f"file://{self.dir}/nowhere.git"})
        self.failing("nowhere")
        self.agent.stop()
        self.configure(stack={"branch": "nothing"})
        self.commit(self.stack())
        self.failing("nothing")

    def test_other_branch(self):
        self.configure(stack={"branch": "production"})
        main = self.commit(self.stack(web=self.web(VERSION="main")))
        self.git("checkout", "-q", "-b", "production")
        (self.clone / "note").write_text("x")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "for production")
        self.git("push", "-q", "origin", "production")
        self.start()
        record = self.expect(self.git("rev-parse", "HEAD"), "succeeded")
        self.assertEqual(record["branch"], "production")
        self.assertIsNone(self.record(main))


class History(Case):
    def test_force_push_waits_for_approval(self):
        first = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.expect(first, "succeeded")
        self.git("commit", "-q", "--amend", "-m", "history rewritten", "--allow-empty")
        (self.clone / "extra").write_text("x")
        rewritten = self.commit(self.stack(web=self.web(VERSION="two")), push=False)
        self.git("push", "-q", "--force", "origin", "main")
        self.wait(lambda: self.status()["alarm"], 30, "the alarm")
        self.assertIn("approve", self.status()["alarm"])
        self.assertIsNone(self.record(rewritten))
        self.serves("web", "one")
        self.agentctl("approve", self.name, code=0)
        self.expect(rewritten, "succeeded")
        self.serves("web", "two")
        self.assertIsNone(self.status()["alarm"])

    def test_reset_to_an_older_commit_waits_for_approval(self):
        first = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.expect(first, "succeeded")
        self.deploy(self.stack(web=self.web(VERSION="two")))
        self.git("reset", "-q", "--hard", first)
        self.git("push", "-q", "--force", "origin", "main")
        self.wait(lambda: self.status()["alarm"], 30, "the alarm")
        self.serves("web", "two")
        self.agentctl("approve", self.name, code=0)
        self.expect(first, "succeeded", at_least=2)
        self.serves("web", "one")

    def test_approve_each_commit(self):
        self.configure(stack={"approve": "yes"})
        first = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.wait(lambda: self.status()["alarm"], 30, "the alarm")
        self.assertIsNone(self.record(first))
        self.agentctl("approve", self.name, code=0)
        self.expect(first, "succeeded")
        second = self.commit(self.stack(web=self.web(VERSION="two")))
        self.wait(lambda: self.status()["alarm"], 30, "the alarm")
        self.assertIsNone(self.record(second))
        self.agentctl("approve", self.name, code=0)
        self.expect(second, "succeeded")

    def test_branch_deleted_and_back(self):
        first = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.expect(first, "succeeded")
        self.git("-C", str(self.bare), "update-ref", "-d", "refs/heads/main")
        self.wait(lambda: self.status()["poll_error"], 30, "the failure to show")
        self.serves("web", "one")
        self.deploy(self.stack(web=self.web(VERSION="two")))
        self.assertIsNone(self.status()["poll_error"])

    def test_repository_replaced_by_another(self):
        first = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.expect(first, "succeeded")
        shutil.rmtree(self.clone / ".git")
        shutil.rmtree(self.bare)
        self.lab.tool("repo", self.name)
        self.git("init", "-q", "--initial-branch=main")
        self.git("remote", "add", "origin", str(self.bare))
        self.commit(self.stack(web=self.web(VERSION="foreign")))
        self.wait(lambda: self.status()["alarm"], 30, "the alarm")
        self.serves("web", "one")


class Files(Case):
    def refused(self, commit, *words):
        record = self.expect(commit, "failed", 30)
        for word in words:
            self.assertIn(word, record["reason"])
        self.assertEqual(self.specs(), {})
        return record

    def setUp(self):
        super().setUp()
        self.start()

    def test_stack_file_missing(self):
        self.refused(self.commit(README="nothing here"), "stack.yml")

    def test_stack_file_is_a_symlink(self):
        os.symlink("/etc/passwd", self.clone / "stack.yml")
        self.refused(self.commit(), "stack.yml")

    def test_no_yaml(self):
        self.refused(self.commit("services:\n\tweb: {}\n"), "stack.yml:2")

    def test_unknown_key(self):
        self.refused(self.commit('version: "3.8"\nservices:\n  web:\n    image: x\n    privilegd: true\n'), "stack.yml", "privilegd")

    def test_unknown_release_key(self):
        self.refused(self.commit(self.stack({"helth": {}})), "stack.yml:", "helth")

    def test_check_of_unknown_service(self):
        self.refused(self.commit(self.stack({"health": self.health("wbe")})), "wbe")

    def test_missing_variable(self):
        self.refused(self.commit(self.stack(web=self.web(image="${IMAGE:?give an image}"))), "give an image")

    def test_config_file_outside(self):
        stack = self.stack(web=self.web(configs=["c"]), configs={"c": {"file": "../../etc/passwd"}})
        self.refused(self.commit(stack), "passwd")

    def test_mends_itself_with_the_next_commit(self):
        self.refused(self.commit("nonsense"))
        self.deploy(self.stack())
