# SPDX-License-Identifier: Apache-2.0
"""What tests ask of a lab that is up: its settings, and its engine over the Engine API, by Python's own client."""

import http.client
import json
import pathlib
import socket
import subprocess
import urllib.parse


def settings(directory):
    """What DIR/env exports."""
    words = subprocess.run(["bash", "-c", f'set -a; . "{directory}/env"; env -0'], env={}, check=True, capture_output=True)
    pairs = (item.split("=", 1) for item in words.stdout.decode().split("\0") if "=" in item)
    return {name: value for name, value in pairs if name.isupper()}


# An engine that forks while it makes a secret or config readable cannot make it read-only, and starts no container (moby#48783, in every
# version until now): about one of a few thousand, when much is started at once. Whoever deploys is told so, and it is no fault of theirs.
ENGINE_BUG = b"starting container failed: unable to remount dir as readonly"
# What met it begins once more, and says so.
ONCE_MORE = "once more, since the engine could not start a container (moby#48783)"


class EngineLogs:
    """What the engines of a lab write from now on."""

    def __init__(self, directory):
        self.files = {path: path.stat().st_size for path in pathlib.Path(directory).glob("node*/dockerd.log")}

    def tell_of_engine_bug(self):
        for path, size in self.files.items():
            with open(path, "rb") as file:
                file.seek(size)
                if ENGINE_BUG in file.read():
                    return True
        return False


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    def __init__(self, path, failure=AssertionError):
        self.path = path
        self.failure = failure  # raised when the engine refuses

    def call(self, method, path, body=None, timeout=30, **query):
        """What it answers; None: there is no such thing."""
        if query:
            path += "?" + urllib.parse.urlencode({k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in query.items()})
        connection = Connection(self.path, timeout)
        try:
            text = json.dumps(body) if body is not None else None
            connection.request(method, "/v1.41" + path, body=text, headers={"Content-Type": "application/json"})
            response = connection.getresponse()
            data = response.read()
            if response.status == 404:
                return None
            if response.status >= 300:
                raise self.failure(f"{method} {path}: {response.status} {data.decode(errors='replace')}")
            return json.loads(data) if data.strip() else True
        finally:
            connection.close()

    def get(self, path, **query):
        return self.call("GET", path, **query)

    def labelled(self, kind, label):
        return self.get(f"/{kind}", filters={"label": [label]}) or []

    def services(self, stack):
        return self.labelled("services", f"com.docker.stack.namespace={stack}")

    def service(self, name):
        return self.get(f"/services/{name}")

    def tasks(self, service):
        """All tasks the engine still knows of a service, oldest first."""
        return sorted(self.get("/tasks", filters={"service": [service]}) or [], key=lambda task: task["CreatedAt"])

    def running(self, service):
        return [t for t in self.tasks(service) if t["DesiredState"] == "running" and t["Status"]["State"] == "running"]

    def update(self, name, change):
        """`docker service update` by somebody else: change(spec) edits the spec in place. Again, when Swarm has written to it meanwhile."""
        for left in reversed(range(20)):
            live = self.service(name)
            change(live["Spec"])
            try:
                self.call("POST", f"/services/{live['ID']}/update", live["Spec"], version=live["Version"]["Index"])
                return
            except self.failure as error:
                if left == 0 or "out of sequence" not in str(error):
                    raise
