# SPDX-License-Identifier: Apache-2.0
"""`agentctl check`: what is missing is named, one line each, with what mends it. A fresh installation's way through it: test_systemd.py."""

import os
import subprocess

from harness import Case, PostgresCase, lab


class Checks:
    def check(self, *prefix):
        """The lines of agent-worker check, where the lab's servers are, and its exit code."""
        run = subprocess.run(lab().enter(*prefix, self.program("agent-worker"), "--config", self.conf, "check"),
                             capture_output=True, text=True, timeout=120)
        return run.stdout.splitlines(), run.returncode

    def expect_line(self, word, *parts, prefix=()):
        lines, code = self.check(*prefix)
        self.assertEqual(code, 1 if any(line.startswith("FAIL") for line in lines) else 0, lines)
        found = [line for line in lines if line.startswith(word) and all(part in line for part in parts)]
        self.assertEqual(len(found), 1, f"{word} {parts}: {lines}")
        return lines


class Missing(Checks, Case):
    def private_file(self, name, text):
        path = self.dir / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def test_each_thing_that_may_be_missing(self):
        env = lab().env
        private = f"{env['REGISTRY_AUTH']}/web:1"
        database = {"database": {"url_from": "DATABASE_URL"}}
        nobody = self.env_file(DATABASE_URL="postgresql://shop:very-secret@127.0.0.1:1/shop")
        hook = self.private_file("hook", "0" * 40)
        records = self.private_file("records", "postgresql://records:very-secret@127.0.0.1:1/records")
        self.commit(self.stack())
        self.configure()
        lines = self.expect_line("ok", "availability active")
        self.assertFalse([line for line in lines if line.startswith("FAIL")], lines)
        cases = [
            ({"agent": {"docker": "unix:///nonexistent.sock"}}, None, ["FAIL", "engine", "No such file", "mend it with: sudo "]),
            ({"stack": {"env_file": "/nonexistent/env"}}, None, ["FAIL", "env_file", "mend it with: sudo install", "sudoedit /nonexistent/env"]),
            ({"stack": {"repository": f"file://{self.dir}/nowhere.git"}}, None, ["FAIL", "repository", "look with: git ls-remote"]),
            ({"stack": {"branch": "other"}}, None, ["FAIL", "no branch other", "look with: git ls-remote"]),
            ({"stack": {"file": "deploy/stack.yml"}}, None, ["FAIL", "no deploy in commit", "path from the repository's root"]),
            ({}, self.stack(web={**self.web(), "image": private}), ["FAIL", private, "no credentials", f"login {env['REGISTRY_AUTH']} &&"]),
            ({}, self.stack(web={**self.web(), "image": f"{self.registry}/web:none"}), ["FAIL", "web:none", f"docker push {self.registry}/web:none"]),
            ({}, self.stack(database), ["FAIL", "DATABASE_URL", "env_file does not set"]),
            ({"stack": {"env_file": nobody}}, self.stack(database), ["FAIL", "DATABASE_URL", "127.0.0.1"]),
            ({"stack": {"env_file": nobody}}, self.stack({"database": {"service": "web", "url_from": "DATABASE_URL"}}),
             ["note", "not asked, the first deployment makes a way to service web"]),
            ({"more": f"[records]\npostgres_file = {records}\n"}, None, ["FAIL", "records", "look with: pg_isready -h 127.0.0.1 -p 1"]),
            ({"stack": {"webhook_secret_file": hook}}, None,  # the harness lets nobody listen
             ["FAIL", "[http] listen is empty: no webhook can arrive", f"mend it with: sudoedit {self.conf}"]),
            ({}, "services: [", ["FAIL", "stack.yml", "mend it in the repository"]),
            ({}, None, ["note", "agentd is not running", "sudo systemctl enable --now deploy-agent"]),
        ]
        for settings, stack, want in cases:
            with self.subTest(want):
                more = settings.pop("more", "")
                self.configure(**settings)
                with open(self.conf, "a") as conf:
                    conf.write(more)
                self.commit(stack or self.stack())
                self.assertNotIn("very-secret", str(self.expect_line(*want)))

    def test_as_another_user(self):
        """Root is no witness of what the agent may: it takes the rights of the owner of state_dir."""
        self.commit(self.stack())
        self.configure()
        state = self.dir / "state"
        state.mkdir()
        os.chown(state, 65534, 65534)
        path = self.env_file()
        self.configure(stack={"env_file": path})
        self.expect_line("ok", "tried as user nobody")
        self.expect_line("FAIL", "env_file", "Permission denied", f"sudo chgrp deploy-agent {path}")
        self.expect_line("FAIL", "engine", "Permission denied", "sudo ")


class Database(Checks, PostgresCase):
    def test_inside_the_networks_of_the_stack(self):
        url = "postgresql://app:{}@db:5432/app"
        values = {"DB_PASSWORD": "right-password"}
        self.configure(stack={"env_file": self.env_file(**values, DATABASE_URL=url.format("right-password"))})
        commit = self.commit(self.stack({"database": {"service": "db", "url_from": "DATABASE_URL"}}, db=self.postgres(), volumes={"pg": {}}))
        agent = self.start()
        self.expect(commit, "succeeded", 90)
        self.expect_line("ok", "DATABASE_URL", "PostgreSQL 15 answers")
        self.expect_line("ok", "agentd is running")
        agent.stop()
        path = self.env_file(**values, DATABASE_URL=url.format("wrong-password"))
        lines = self.expect_line("FAIL", "variable DATABASE_URL", f"mend it with: sudoedit {path}")
        self.assertNotIn("wrong-password", str(lines))
