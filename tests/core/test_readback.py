#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Is what the engine gives back the same as what was sent? If src/core/spec_compare.c says no, a service is sent again at
every deployment. Each service of tests/stack/cases is created on a real engine, read back and compared, and then
updated with what was read back, and compared again.

The comparing program is build/tests/unit/test_spec, or what TEST_SPEC names; the lab is LAB_DIR's, or one of our own
(LAB_ENGINE=26.1 for the newer engine).
"""

import base64
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "docker"))
from lab import TOP, Lab, wait  # noqa: E402

PROGRAM = os.environ.get("TEST_SPEC", str(TOP / "build/tests/unit/test_spec"))
CASES = sorted((TOP / "tests/stack/cases").iterdir())

PREDEFINED = ("host", "bridge", "none")


def setUpModule():
    global lab, compare, minor
    lab = Lab()
    lab.remove_all()
    minor = int(lab.engine("GET", "/version")[1]["ApiVersion"].split(".")[1])
    compare = subprocess.Popen([PROGRAM, "--compare"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    set_availability("drain")


def tearDownModule():
    set_availability("active")
    compare.stdin.close()
    compare.wait()
    compare.stdout.close()
    lab.remove_all()
    lab.close()


def engine(method, path, body=None):
    """(status, JSON) in the engine's own version of the API: an older one would leave newer members out."""
    connection = http.client.HTTPConnection("docker", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(lab.socket)
    data = json.dumps(body) if body is not None else None
    try:
        connection.request(method, f"/v1.{minor}{path}", data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    except http.client.HTTPException as problem:  # a handler of engine 20.10 that panicked
        return 500, {"message": str(problem)}
    finally:
        connection.close()
    return response.status, json.loads(text) if text else None


def set_availability(word):
    """Nothing has to run here: a drained node keeps tasks pending, and what is removed is gone at once."""
    node = engine("GET", "/nodes")[1][0]
    status, answer = engine("POST", f"/nodes/{node['ID']}/update?version={node['Version']['Index']}", {**node["Spec"], "Availability": word})
    if status != 200:
        raise AssertionError(answer)


def differences(desired, live, networks):
    compare.stdin.write(json.dumps({"desired": desired, "live": live, "networks": networks}) + "\n")
    compare.stdin.flush()
    return compare.stdout.readline().strip()


def unlimited(value):
    """Jansson holds 64 signed bits; the engine's answers have them all."""
    if isinstance(value, dict):
        return {k: unlimited(v) for k, v in value.items()}
    if isinstance(value, list):
        return [unlimited(v) for v in value]
    return -1 if value == 2**64 - 1 and not isinstance(value, bool) else value


def container(spec):
    return spec["TaskTemplate"]["ContainerSpec"]


def references(spec):
    for kind, name, number in ("Secrets", "SecretName", "SecretID"), ("Configs", "ConfigName", "ConfigID"):
        for reference in container(spec).get(kind, []):
            yield kind.lower(), reference, reference[name], number


def sendable(spec):
    """What src/steps/send.c makes of it: with IDs, and all bits."""
    body = json.loads(json.dumps(spec))
    for kind, reference, name, number in references(body):
        reference[number] = engine("GET", f"/{kind}/{name}")[1]["ID"]
        credentials = (container(body).get("Privileges") or {}).get("CredentialSpec") or {}
        if kind == "configs" and credentials.get("Config") == name:
            credentials["Config"] = reference[number]
    restart = body["TaskTemplate"].get("RestartPolicy", {})
    if restart.get("MaxAttempts") == -1:
        restart["MaxAttempts"] = 2**64 - 1
    return body


def without_unsupported(spec):
    """What a plan leaves out for an older engine (drop_unsupported() in src/core/plan_services.c)."""
    if minor < 44:
        container(spec).get("Healthcheck", {}).pop("StartInterval", None)
    for mount in container(spec).get("Mounts", []):
        if minor < 45:
            mount.get("VolumeOptions", {}).pop("Subpath", None)
    # one case has as many replicas as fit into a number: the engine would begin to make them
    for mode in spec.get("Mode", {}).values():
        for count in ("Replicas", "MaxConcurrent", "TotalCompletions"):
            if mode.get(count, 0) > 10:
                mode[count] = 10
    return spec


class Readback(unittest.TestCase):
    def setUp(self):
        self.addCleanup(self.remove)

    def remove(self):
        lab.remove_all()
        for network in engine("GET", "/networks")[1]:
            if network["Scope"] == "swarm" and not network.get("Ingress"):
                wait(lambda n=network: engine("DELETE", "/networks/" + n["Id"])[0] in (204, 404), 60, "networks to go")

    def prepare(self, bodies):
        """Networks, secrets and configs, those that are external too; returns the engine's networks."""
        for body in bodies["networks"]:
            body.pop("IPAM", None)  # subnets of the lab's machine
            body.pop("Driver", None)
            body.pop("Options", None)
            status, answer = engine("POST", "/networks/create", {**body, "Driver": "overlay"})
            if status != 201:
                print(f"\n  network {body['Name']} refused: {answer['message']}", file=sys.stderr)
        names = {n["Name"] for n in engine("GET", "/networks")[1]}
        for service in bodies["services"]:
            for attachment in service["TaskTemplate"].get("Networks", []):
                if attachment["Target"] not in names and attachment["Target"] not in PREDEFINED:
                    engine("POST", "/networks/create", {"Name": attachment["Target"], "Driver": "overlay"})
                    names.add(attachment["Target"])
            for kind, _, name, _ in references(service):
                data = base64.b64encode(b"x").decode()
                engine("POST", f"/{kind}/create", {"Name": name, "Labels": {}, "Data": data})
        return engine("GET", "/networks")[1]

    def one(self, spec, networks):
        desired = without_unsupported(spec)
        status, answer = engine("POST", "/services/create", sendable(desired))
        if status != 201:
            return f"refused: {answer.get('message', answer) if isinstance(answer, dict) else answer}"
        path = "/services/" + answer["ID"]
        status, live = engine("GET", path)
        self.assertEqual(status, 200, live)
        first = differences(desired, unlimited(live["Spec"]), networks)
        # the engine's own form, sent again, stays what it is
        status, answer = engine("POST", f"{path}/update?version={live['Version']['Index']}", live["Spec"])
        second = first
        if status == 200:
            second = differences(desired, unlimited(engine("GET", path)[1]["Spec"]), networks)
        engine("DELETE", path)
        self.assertEqual((first, second), ("same", "same"), json.dumps(live["Spec"]))
        return None


def case_test(folder):
    def test(self):
        bodies = json.loads((folder / "expected.json").read_text())
        networks = self.prepare(bodies)
        for spec in bodies["services"]:
            with self.subTest(service=spec["Name"]):
                why = self.one(spec, networks)
                if why:
                    print(f"\n  {folder.name}: {spec['Name']} {why}", file=sys.stderr)

    return test


for case in CASES:
    setattr(Readback, "test_" + case.name.replace("-", "_").replace(".", "_"), case_test(case))

if __name__ == "__main__":
    unittest.main()
