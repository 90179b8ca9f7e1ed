# SPDX-License-Identifier: Apache-2.0
"""Wrong configuration of every kind names file, line and key, and has no effect."""

import os
import signal
import subprocess

from harness import Case, lab


class Configuration(Case):
    def refuse(self, text, *words, line=None):
        """agentd and agent-worker refuse it with a message that has all the words."""
        self.conf.write_bytes(text if isinstance(text, bytes) else text.encode())
        run = subprocess.run(lab().enter(self.program("agentd"), "--config", self.conf), capture_output=True, text=True, timeout=20)
        self.assertEqual(run.returncode, 78, run.stderr)
        message = run.stdout + run.stderr
        if line:
            self.assertIn(f"{self.conf}:{line}: ", message)
        for word in words:
            self.assertIn(word, message)
        check = subprocess.run(lab().enter(self.program("agent-worker"), "--config", self.conf, "check"), capture_output=True, text=True)
        self.assertEqual(check.returncode, 1)
        self.assertFalse((self.dir / "state").exists())

    def with_lines(self, agent="", stack=""):
        return (f"[agent]\nstate_dir = {self.dir}/state\nrun_dir = {self.dir}/run\n{agent}\n"
                f"[stack {self.name}]\nrepository = file://{self.bare}\nfile = stack.yml\n{stack}\n")

    def test_each_kind(self):
        cases = [
            (self.with_lines(agent="colour = red"), 4, ["colour"]),
            (self.with_lines(agent="parallel = many"), 4, ["parallel", "many"]),
            (self.with_lines(agent="parallel = -1"), 4, ["parallel"]),
            (self.with_lines(agent="act = sometimes"), 4, ["act", "sometimes"]),
            (self.with_lines(agent="log_level = loud"), 4, ["log_level"]),
            (self.with_lines(agent="docker = tcp://example.org:2375"), 4, ["docker"]),
            (self.with_lines(agent="control_uids = root"), 4, ["control_uids"]),
            (self.with_lines(agent="no equals sign"), 4, []),
            (self.with_lines(agent="[unknown]"), 4, ["unknown"]),
            (self.with_lines(agent="state_dir = /elsewhere"), 4, ["state_dir"]),
            (self.with_lines(stack="poll_interval = 30"), 8, ["poll_interval", "30"]),
            (self.with_lines(stack="poll_interval = 0s"), 8, ["poll_interval"]),
            (self.with_lines(stack="poll_interval = 99999999999999999999h"), 8, ["poll_interval"]),
            (self.with_lines(stack="image_wait = 5 minutes"), 8, ["image_wait"]),
            (self.with_lines(stack="prune = maybe"), 8, ["prune", "maybe"]),
            (self.with_lines(stack="on_failure = shrug"), 8, ["on_failure", "shrug"]),
            (self.with_lines(stack="branch = -x"), 8, ["branch"]),
            (self.with_lines(stack="branch = a..b"), 8, ["branch"]),
            (self.with_lines(stack=f"env_file = relative/path"), 8, ["env_file"]),
            (self.with_lines(stack="prune = yes\nprune = no"), 9, ["prune"]),
            (self.with_lines(stack=f"[stack {self.name}]\nrepository = file:///x\nfile = y"), 8, [self.name]),
            (self.with_lines(stack="[stack Not/Allowed]\nrepository = file:///x\nfile = y"), 8, ["Not/Allowed"]),
            (self.with_lines().replace("file = stack.yml\n", ""), 5, ["file"]),
            (self.with_lines().replace("file = stack.yml", "file = ../stack.yml"), 7, ["file"]),
            (self.with_lines().replace(f"file://{self.bare}", "http://example.org/x.git"), 6, ["repository", "http"]),
            (self.with_lines().replace(f"file://{self.bare}", "https://user:secret-word@example.org/x.git"), 6, ["repository"]),
            (self.with_lines().replace(f"file://{self.bare}", "gopher://example.org/x.git"), 6, ["repository"]),
            (self.with_lines(stack="prune = yes\0"), 8, []),
            (self.with_lines(stack="prune = y\xe9s").encode("latin-1"), 8, ["UTF-8"]),
            (self.with_lines(stack="prune = y\xe9s"), 8, ["prune", "y\xe9s"]),
        ]
        for text, line, words in cases:
            with self.subTest(text=text.splitlines()[line - 1]):
                self.refuse(text, *words, line=line)

    def test_credentials_in_the_url_are_not_repeated(self):
        self.conf.write_text(self.with_lines().replace(f"file://{self.bare}", "https://user:secret-word@example.org/x.git"))
        run = subprocess.run([self.program("agentd"), "--config", self.conf], capture_output=True, text=True, timeout=20)
        self.assertNotIn("secret-word", run.stdout + run.stderr)

    def test_missing_file(self):
        run = subprocess.run([self.program("agentd"), "--config", self.dir / "nothing.conf"], capture_output=True, text=True, timeout=20)
        self.assertEqual(run.returncode, 78)
        self.assertIn("nothing.conf", run.stdout + run.stderr)

    def test_all_errors_at_once(self):
        self.refuse(self.with_lines(agent="colour = red", stack="prune = maybe"), "colour", "prune", ":4:", ":8:")

    def test_secrets_open_to_others(self):
        path = self.dir / "open"
        path.write_text("A=1\n")
        path.chmod(0o644)
        self.configure(stack={"env_file": path})
        commit = self.commit(self.stack())
        self.start()
        record = self.expect(commit, "failed", 30)
        self.assertIn(str(path), record["reason"])
        self.assertEqual(self.specs(), {})
        self.assertIn(str(path), self.agentctl("check").stdout)
        path.chmod(0o600)
        self.agentctl("retry", self.name, code=0)
        self.expect(commit, "succeeded", at_least=2)

    def test_bad_env_files(self):
        for text in ("A B=1\n", "no equals\n" * 1 + "=x\n", "A=\0\n"):
            with self.subTest(text=text):
                path = self.env_file()
                path.write_text(text)
                self.configure(stack={"env_file": path})
                self.commit(self.stack(), message=repr(text))
                run = self.agentctl("plan", self.name)
                self.assertEqual(run.returncode, 1, run.stdout)
                self.assertIn(str(path), run.stderr)


class Reload(Case):
    def reload(self):
        os.kill(self.agent.pid, signal.SIGHUP)

    def test_broken_configuration_keeps_the_old_one(self):
        first = self.commit(self.stack(web=self.web(VERSION="one")))
        self.start()
        self.expect(first, "succeeded")
        good = self.conf.read_text()
        self.conf.write_text(good + "nonsense\n")
        self.reload()
        self.wait(lambda: f"{self.conf}:" in self.agent.log.read_text(), 20, "the refusal")
        second = self.commit(self.stack(web=self.web(VERSION="two")))
        self.wait(lambda: "VERSION=two" in self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"], 40, "the second deployment")
        self.conf.write_text(good)  # agentctl reads it, too
        self.expect(second, "succeeded")

    def test_stack_added_and_removed(self):
        self.start_ready()
        other = f"{self.name}-b"
        self.addCleanup(self.remove_stack, other)
        text = self.conf.read_text()
        section = text[text.index("[stack"):]
        self.conf.write_text(text + "\n" + section.replace(f"[stack {self.name}]", f"[stack {other}]"))
        self.reload()
        self.commit(self.stack())
        self.wait(lambda: self.engine.service(f"{other}_web"), 40, "the second stack")
        self.conf.write_text(text)
        self.reload()
        self.wait(lambda: other not in self.agentctl("status", "--json").stdout, 30, "the second stack to be forgotten")
        # its services run on
        self.assertIsNotNone(self.engine.service(f"{other}_web"))

    def test_poll_interval(self):
        self.configure(stack={"poll_interval": "1h"})
        self.start_ready()
        self.wait(lambda: self.status()["last_poll"], 20, "the first poll")
        commit = self.commit(self.stack())
        self.configure()
        self.reload()
        self.expect(commit, "succeeded")
