# SPDX-License-Identifier: Apache-2.0
"""A page_server over a journal of its own, filled by story.py."""

import http.client
import pathlib
import re
import socket
import subprocess
import tempfile

import story

CONFIG = """[agent]
state_dir = {dir}
run_dir = {dir}/run
[http]
listen = 127.0.0.1:{port}
link = https://deploy.example.org
"""
STACK = "[stack {name}]\nrepository = file:///nowhere/{name}.git\nbranch = main\nfile = stack.yml\n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Site:
    def __init__(self, program, stacks=("shop", "blog", "wiki"), fill=story.days, journal=None):
        self.folder = tempfile.TemporaryDirectory(prefix="pages-")
        self.dir, self.port = pathlib.Path(self.folder.name), free_port()
        config = self.dir / "agent.conf"
        config.write_text(CONFIG.format(dir=self.dir, port=self.port) + "".join(STACK.format(name=name) for name in stacks))
        config.chmod(0o640)
        if journal:
            (self.dir / "journal.db").write_bytes(pathlib.Path(journal).read_bytes())
        self.process = subprocess.Popen([program, config], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "page_server does not start"
        if fill:
            self.fill(fill)

    def fill(self, fill):
        book = story.Story(self.dir / "journal.db")
        result = fill(book)
        book.close()
        return result

    def get(self, path, method="GET", **headers):
        """(status, headers, text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, body

    def page(self, path):
        status, _, body = self.get(path)
        assert status == 200, f"{path}: {status} {body[:300]}"
        return body

    def every_page(self):
        """All that can be reached from / by links."""
        seen, ahead = {}, ["/"]
        while ahead:
            path = ahead.pop()
            if path in seen:
                continue
            seen[path] = self.page(path)
            ahead += [link for link in re.findall(r'href="(/[^"#]*)"', seen[path]) if not link.startswith("/assets/")]
        return seen

    def close(self):
        self.process.terminate()
        code = self.process.wait(30)
        self.process.stdout.close()
        self.folder.cleanup()
        assert code == 0, f"page_server ended with {code}"
