# SPDX-License-Identifier: Apache-2.0
"""The page for people, of a real agentd: what it says of a good deployment and of one that failed. More of it is in tests/page."""

import pathlib
import socket
import subprocess
import sys

from harness import Case, lab

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "page"))

import markup  # noqa: E402


class Page(Case):
    limit = 120

    def setUp(self):
        super().setUp()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.conf.write_text(self.conf.read_text().replace("listen =\n", f"listen = 127.0.0.1:{self.port}\n"))

    def page(self, path):
        run = subprocess.run(lab().enter("curl", "-sSf", "-m", "20", f"http://127.0.0.1:{self.port}{path}"), capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        page = markup.Page(run.stdout)
        self.assertEqual(page.wrong, [], path)
        return page.text

    def test_good_and_failed(self):
        self.start_ready()
        good = self.deploy(self.stack(web=self.web(VERSION="one", PASSWORD="hunter22")), message="Greet <b>everybody</b>")
        self.wait(lambda: f"{self.name} in step" in self.page("/"), 20, "the page to say that the stack is in step")
        text = self.page("/")
        for word in (good["commit"][:7], "Greet <b>everybody</b> by alice", "succeeded", good["reason"]):
            self.assertIn(word, text)
        tool = self.web(entrypoint=["/bin/busybox"], command=["sleep", "3600"])
        job = self.job(command=["sh", "-c", "echo this is why; exit 3"], service="tool")
        bad = self.deploy(self.stack({"steps": [job]}, web=self.web(VERSION="two", PASSWORD="hunter22"), tool=tool), "failed", message="Break it")
        self.wait(lambda: f"{self.name} held" in self.page("/"), 20, "the page to say that the commit is held")
        for word in (f"agentctl retry {bad['id']}", good["commit"][:7], bad["commit"][:7], bad["reason"]):
            self.assertIn(word, self.page("/"))
        text = self.page(f"/deployments/{bad['id']}")
        for word in ("failed", bad["commit"], "this is why", "No application service was touched", "not run"):
            self.assertIn(word, text)
        text += self.page(f"/deployments/{good['id']}") + self.page(f"/stacks/{self.name}")
        self.assertIn(f"{self.registry}/web:1@sha256:", text)
        self.assertNotIn("hunter22", text)
