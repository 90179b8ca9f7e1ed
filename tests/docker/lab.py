# SPDX-License-Identifier: Apache-2.0
"""A lab to drive src/docker in, and the engine asked without any code of ours."""

import http.client
import json
import os
import pathlib
import shlex
import socket
import subprocess
import time
import urllib.parse

TOP = pathlib.Path(__file__).resolve().parents[2]


class Lab:
    """The lab in LAB_DIR when that is set, else one of our own that close() takes down."""

    def __init__(self):
        self.own = "LAB_DIR" not in os.environ
        self.dir = pathlib.Path(os.environ.get("LAB_DIR", f"/var/tmp/lab-docker-{os.getpid()}"))
        if self.own:
            engine = os.environ.get("LAB_ENGINE", "20.10")
            subprocess.run([TOP / "tests/lab/up", "--dir", self.dir, "--engine", engine], check=True)
        self.env = {}
        for line in (self.dir / "env").read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                name, value = line.split("=", 1)
                self.env[name] = "".join(shlex.split(value))
        self.socket = self.env["DOCKER_HOST"].removeprefix("unix://")

    def close(self):
        if self.own:
            subprocess.run([TOP / "tests/lab/down", "--dir", self.dir], check=True)

    def ctl(self, *words):
        subprocess.run([TOP / "tests/lab/ctl", "--dir", self.dir, *words], check=True, capture_output=True)

    def enter(self, *words, **options):
        """Starts a program where the registries' 127.0.0.1 is."""
        return subprocess.Popen([TOP / "tests/lab/enter", "--dir", self.dir, *words], **options)

    def image(self, ref, folder, *options):
        subprocess.run([TOP / "tests/lab/image", "--dir", self.dir, ref, folder, *options], check=True)

    def engine(self, method, path, body=None):
        """(status, JSON or text) of a request, by Python's own client."""
        connection = http.client.HTTPConnection("docker", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.socket)
        headers = {"Content-Type": "application/json"}
        connection.request(method, "/v1.41" + path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    def remove_all(self):
        for service in self.engine("GET", "/services")[1]:
            self.engine("DELETE", "/services/" + service["ID"])
        for kind in "secrets", "configs":
            for item in self.engine("GET", "/" + kind)[1]:
                self.engine("DELETE", f"/{kind}/{item['ID']}")

        def networks_gone():
            left = [n for n in self.engine("GET", "/networks")[1] if n["Name"].startswith("dt_")]
            for network in left:
                self.engine("DELETE", "/networks/" + network["Id"])
            return not left

        wait(networks_gone, 60, "networks to go")

    def tasks(self, service):
        filters = urllib.parse.quote(json.dumps({"service": [service]}))
        return self.engine("GET", "/tasks?filters=" + filters)[1]

    def running(self, service):
        """Its running task, waited for."""

        def look():
            up = [t for t in self.tasks(service) if t["Status"]["State"] == t["DesiredState"] == "running"]
            return up and up[0]

        return wait(look, 60, service + " to run")


def wait(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")


class Failure(Exception):
    def __init__(self, error):
        super().__init__(f"{error['kind']}: {error['text']}")
        self.kind, self.code, self.text = error["kind"], error["code"], error["text"]


class Drive:
    """docker_drive as a companion: an op is a method, an error of the product a Failure."""

    def __init__(self, words):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.us = 0

    def __getattr__(self, op):
        def call(**arguments):
            self.start(op, **arguments)
            return self.finish()

        return call

    def start(self, op, **arguments):
        self.process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self.process.stdin.flush()

    def finish(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"docker_drive ended with {self.process.wait()}")
        answer = json.loads(line)
        self.us = answer["us"]
        if "error" in answer:
            failure = Failure(answer["error"])
            failure.value = answer["value"]
            raise failure
        return answer["value"]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(30)
