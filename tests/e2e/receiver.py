# SPDX-License-Identifier: Apache-2.0
"""A receiver of messages and commit statuses: receiver.py FOLDER [CERTIFICATE], started by Receiver where the lab's 127.0.0.1 is.

FOLDER/port is where it listens, FOLDER/got has a line of JSON for each request, FOLDER/mode says what it answers: a status (with
`302` it leads elsewhere, with `429` it wants two seconds), `hang`, `slow` for 200 after two seconds, or `trickle` for a 200
whose body never ends."""

import contextlib
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import sys
import threading
import time


class Receiver:
    """One of them, for a test; `url` is where it is."""

    def __init__(self, case, name, certificate=None, mode="200"):
        from harness import wait_for  # not there for the program
        self.folder = case.dir / name
        self.folder.mkdir()
        self.answer(mode)
        words = [str(self.folder), *([str(certificate)] if certificate else [])]
        self.process = subprocess.Popen(case.lab.enter(sys.executable, __file__, *words), stdin=subprocess.DEVNULL)
        case.addCleanup(self.close)
        port = wait_for(lambda: (self.folder / "port").exists() and (self.folder / "port").read_text(), 20, f"{name} to listen")
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{port}"

    def close(self):
        self.process.kill()
        self.process.wait()

    def answer(self, mode):
        (self.folder / "new").write_text(mode)
        os.replace(self.folder / "new", self.folder / "mode")

    def requests(self, path=""):
        """What came for paths that begin so, the oldest first."""
        file = self.folder / "got"
        lines = file.read_text().splitlines() if file.exists() else []
        return [r for r in map(json.loads, lines) if r["path"].startswith(path)]

    def bodies(self, path=""):
        return [json.loads(r["body"]) for r in self.requests(path)]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        folder = self.server.folder
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        mode = (folder / "mode").read_text()
        with open(folder / "got", "a") as got:
            got.write(json.dumps({"path": self.path, "headers": dict(self.headers), "body": body, "at": time.time(), "mode": mode}) + "\n")
        if mode == "hang":
            threading.Event().wait()
        if mode == "slow":
            time.sleep(2)
        code = int(mode) if mode.isdigit() else 200
        self.send_response(code)
        if code == 302:
            self.send_header("Location", f"/elsewhere{self.path}")
        if code == 429:
            self.send_header("Retry-After", "2")
        # it repeats what it got: in the middle, and so that a text that is cut ends within it
        got = f"{self.headers.get('Authorization')} {self.path}"
        text = b"ok" if code < 300 else f"no: {got} {'x' * (166 - len(got))} {got}".encode()
        self.send_header("Content-Length", str(10**9 if mode == "trickle" else len(text)))
        self.end_headers()
        with contextlib.suppress(OSError):
            while mode == "trickle":
                self.wfile.write(b" ")
                time.sleep(0.2)
            self.wfile.write(text)

    do_GET = do_POST

    def log_message(self, *_):
        pass


def main(folder, certificate=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.folder = pathlib.Path(folder)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.removesuffix(".pem") + ".key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    (server.folder / "port.new").write_text(str(server.server_address[1]))
    os.replace(server.folder / "port.new", server.folder / "port")
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
