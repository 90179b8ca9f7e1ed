#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the docker CLI makes of a stack file: its own request bodies, without an engine.

    oracle.py DIR...          prints, for each case folder, the JSON of the bodies or the error text

A case folder holds stack.yml (or `files`, the names of several, in order) and, if the case needs a
process environment, variables.env with KEY=VALUE lines. `docker stack deploy` runs against a stub that
answers on a unix socket, knows every external object, and records what is posted.

The bodies are printed as {"networks":[],"secrets":[],"configs":[],"services":[]}, each sorted by name, in
the form that tests compare: nulls and empty lists dropped; object IDs of the stub left out; all 64 bits set
as -1, because that is how jansson holds it.
"""
import http.server
import json
import os
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import urllib.parse

DOCKER = shutil.which(os.environ.get("ORACLE", "docker")) or "docker"
API = os.environ.get("ORACLE_API", "1.50")
STACK = "st"


class Stub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "stub"

    def answer(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Api-Version", API)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def parts(self):
        url = urllib.parse.urlsplit(self.path)
        path = [urllib.parse.unquote(p) for p in url.path.split("/") if p]
        if path and path[0].startswith("v1."):
            path = path[1:]
        return path, urllib.parse.parse_qs(url.query)

    def do_HEAD(self):
        self.answer(200)

    def do_GET(self):
        path, query = self.parts()
        if path == ["_ping"]:
            self.answer(200)
        elif path == ["info"]:
            self.answer(200, {"Swarm": {"ControlAvailable": True, "LocalNodeState": "active"}})
        elif path[0] == "networks" and len(path) == 2:
            self.answer(200, {"Name": path[1], "Id": path[1], "Scope": "swarm"})
        elif path[0] in ("secrets", "configs") and len(path) == 1:
            names = json.loads(query.get("filters", ["{}"])[0]).get("name", {})
            self.answer(200, [{"ID": "id-" + n, "Spec": {"Name": n}} for n in names])
        elif len(path) == 1:
            self.answer(200, [])
        else:
            self.answer(404, {"message": "not found"})

    def do_POST(self):
        path, _ = self.parts()
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        self.server.recorded.append((path[0], body))
        self.answer(201, {"ID": "x", "Id": "x"})


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def normal(value, key=None):
    if isinstance(value, dict):
        kept = {}
        for k, v in value.items():
            v = normal(v, k)
            if v is None or v == [] or k in ("SecretID", "ConfigID"):
                continue
            kept[k] = v
        return kept
    if isinstance(value, list):
        items = [normal(v) for v in value]
        if key in ("Secrets", "Configs"):
            items.sort(key=lambda r: (r.get("SecretName", r.get("ConfigName")), r.get("File", {}).get("Name", "")))
        return items
    if value == 18446744073709551615:
        return -1
    if key == "Config" and isinstance(value, str) and value.startswith("id-"):
        return value[3:]
    return value


def files_of(case):
    path = os.path.join(case, "files")
    if os.path.exists(path):
        with open(path) as f:
            return f.read().split()
    return ["stack.yml"]


def environment_of(case):
    env = {"DOCKER_CONFIG": "/nonexistent"}
    path = os.path.join(case, "variables.env")
    if os.path.exists(path):
        with open(path) as f:
            env.update(line.rstrip("\n").split("=", 1) for line in f if "=" in line)
    return env


class Oracle:
    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory()
        self.socket = os.path.join(self.dir.name, "s")
        self.server = Server(self.socket, Stub)
        self.server.recorded = []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()
        self.dir.cleanup()

    def deploy(self, case):
        """(bodies, None, warnings) or (None, error text, warnings)"""
        self.server.recorded = []
        command = [DOCKER, "-H", "unix://" + self.socket, "stack", "deploy", "--resolve-image", "never",
                   "--detach=true"]
        for name in files_of(case):
            command += ["-c", name]
        run = subprocess.run(command + [STACK], cwd=case, env=environment_of(case), capture_output=True, text=True)
        if run.returncode != 0:
            return None, run.stderr.strip(), ""
        bodies = {"networks": [], "secrets": [], "configs": [], "services": []}
        for kind, body in self.server.recorded:
            if kind == "networks":
                body["CheckDuplicate"] = True  # sent below API 1.44 only
            bodies[kind].append(normal(body))
        for kind in bodies:
            bodies[kind].sort(key=lambda b: b["Name"])
        return bodies, None, run.stderr.strip()


def text_of(bodies):
    return json.dumps(bodies, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main():
    with Oracle() as oracle:
        for case in sys.argv[1:]:
            bodies, error, _ = oracle.deploy(case)
            sys.stdout.write(text_of(bodies) if bodies else error + "\n")


if __name__ == "__main__":
    main()
