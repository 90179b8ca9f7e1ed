#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
src/docker against a real engine: objects, registries, logs. The relay is in test_relay.py.
The driving program is build/tests/docker/docker_drive, or what DOCKER_DRIVE names; the lab is LAB_DIR's, or one of
our own (LAB_ENGINE=26.1 for the newer engine).
"""

import base64
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

from lab import TOP, Drive, Failure, Lab, wait

PROGRAM = os.environ.get("DOCKER_DRIVE", str(TOP / "build/tests/docker/docker_drive"))


def setUpModule():
    global lab
    lab = Lab()
    lab.remove_all()


def tearDownModule():
    lab.remove_all()
    lab.close()


class Case(unittest.TestCase):
    def setUp(self):
        self.d = Drive([PROGRAM])
        self.d.open(url="unix://" + lab.socket)
        self.addCleanup(self.close)

    def close(self):
        self.assertEqual(self.d.close(), 0)
        lab.remove_all()

    def fails(self, kind, words, op, /, **arguments):
        with self.assertRaises(Failure) as caught:
            getattr(self.d, op)(**arguments)
        self.assertEqual((caught.exception.kind, words in caught.exception.text), (kind, True), str(caught.exception))
        return caught.exception

    def service(self, name, command, **more):
        container = {"Image": lab.env["REGISTRY"] + "/web:1", "Args": command} | more.pop("container", {})
        task = {"ContainerSpec": container, "RestartPolicy": {"Condition": "none"}} | more.pop("task", {})
        return self.d.create(kind="service", body={"Name": name, "TaskTemplate": task} | more)["id"]


class Objects(Case):
    def test_swarm(self):
        self.assertIsNone(self.d.version())
        info = self.d.swarm()
        self.assertEqual((info["active"], info["manager"], info["leader"]), (True, True, True))
        self.assertEqual(info["availability"], "active")
        self.assertEqual(info["node_id"], lab.engine("GET", "/info")[1]["Swarm"]["NodeID"])
        self.assertTrue(info["engine_version"].startswith(lab.env["LAB_ENGINE"]))
        self.assertEqual(self.d.version(), {"20.10": "1.41", "26.1": "1.45"}[lab.env["LAB_ENGINE"]])
        self.assertEqual(len(self.d.nodes()), 1)

    def test_no_engine(self):
        self.d.open(url="unix:///nowhere/docker.sock")
        self.fails("unavailable", "/nowhere/docker.sock: No such file", "swarm")
        self.fails("invalid", "unix:///", "open", url="tcp://127.0.0.1:2375")

    def test_reading(self):
        for kind in "service", "network", "secret", "config", "container":
            self.fails("not_found", "nope", "get", kind=kind, id="nope")
            self.fails("invalid", "no such name", "get", kind=kind, id="")
            self.fails("invalid", "no such name", "get", kind=kind, id="..")
            self.fails("not_found", "", "get", kind=kind, id="a/json?x=1#%2f")
        self.fails("not_found", "", "get", kind="image", id="nope:1")
        self.fails("invalid", "", "get", kind="image", id="../info")

    def test_labels(self):
        self.service("dt_a", ["sleep", "1"], Labels={"dt": "ä {1}"})
        self.service("dt_b", ["sleep", "1"])
        self.assertEqual([s["Spec"]["Name"] for s in self.d.list(kind="service", label="dt=ä {1}")], ["dt_a"])
        self.assertEqual(self.d.list(kind="service", label="dt=ä"), [])
        self.assertEqual(len(self.d.list(kind="service")), 2)

    def test_service_updates(self):
        identifier = self.service("dt_a", ["sleep", "100"])
        found = self.d.get(kind="service", id="dt_a")
        self.assertEqual(found["ID"], identifier)
        spec, version = found["Spec"], found["Version"]["Index"]
        self.fails("conflict", "creating service dt_a", "create", kind="service", body=spec)
        self.fails("conflict", "update out of sequence", "update", kind="service", id=identifier, version=1, body=spec)
        changed = spec | {"Mode": {"Global": {}}}
        self.fails("invalid", "mode change", "update", kind="service", id=identifier, version=version, body=changed)
        self.d.update(kind="service", id=identifier, version=version, body=spec | {"Labels": {"x": "1"}})
        self.assertEqual(self.d.get(kind="service", id=identifier)["Spec"]["Labels"], {"x": "1"})
        # a prefix of an ID finds it for the engine, not for us
        self.fails("not_found", "begins so", "get", kind="service", id=identifier[:12])
        self.d.remove(kind="service", id=identifier)
        self.fails("not_found", identifier, "remove", kind="service", id=identifier)

    def test_unsigned_attempts(self):
        policy = {"Condition": "on-failure", "MaxAttempts": -1}
        self.service("dt_a", ["exit", "0"], task={"RestartPolicy": policy})
        stored = lab.engine("GET", "/services/dt_a")[1]["Spec"]["TaskTemplate"]["RestartPolicy"]
        self.assertEqual(stored["MaxAttempts"], 2**64 - 1)
        found = self.d.get(kind="service", id="dt_a")
        self.assertEqual(found["Spec"]["TaskTemplate"]["RestartPolicy"], policy)
        self.d.update(kind="service", id=found["ID"], version=found["Version"]["Index"], body=found["Spec"])
        stored = lab.engine("GET", "/services/dt_a")[1]["Spec"]["TaskTemplate"]["RestartPolicy"]
        self.assertEqual(stored["MaxAttempts"], 2**64 - 1)

    def test_refusals(self):
        def create(**more):
            task = {"ContainerSpec": {"Image": "x"}} | more.pop("task", {})
            return {"kind": "service", "body": {"Name": "dt_a", "TaskTemplate": task} | more}

        self.fails("invalid", "DNS name component", "create", **create(Name="a.b"))
        self.fails("invalid", "constraint expected", "create", **create(task={"Placement": {"Constraints": ["a"]}}))
        self.fails("invalid", "always", "create", **create(task={"RestartPolicy": {"Condition": "always"}}))
        self.fails("not_found", "dt_none", "create", **create(task={"Networks": [{"Target": "dt_none"}]}))

    def test_networks(self):
        body = {"Name": "dt_net", "Driver": "overlay", "CheckDuplicate": True, "Labels": {"dt": "1"}}
        identifier = self.d.create(kind="network", body=body)["id"]
        self.fails("conflict", "dt_net", "create", kind="network", body=body)
        self.assertEqual(self.d.get(kind="network", id="dt_net")["Id"], identifier)
        self.assertEqual([n["Id"] for n in self.d.list(kind="network", label="dt=1")], [identifier])

    def test_secrets_and_configs(self):
        for kind, key in ("secret", "Secrets"), ("config", "Configs"):
            with self.subTest(kind):
                data = base64.b64encode(os.urandom(1000)).decode()
                body = {"Name": "dt_s", "Data": data, "Labels": {"a": "1"}}
                identifier = self.d.create(kind=kind, body=body)["id"]
                self.fails("conflict", "already exists", "create", kind=kind, body=body)
                self.fails("invalid", "larger than 0", "create", kind=kind, body={"Name": "dt_t"})
                version = self.d.get(kind=kind, id="dt_s")["Version"]["Index"]
                body["Labels"] = {"a": "2"}
                self.d.update(kind=kind, id=identifier, version=version, body=body)
                self.fails("conflict", "out of sequence", "update", kind=kind, id=identifier, version=version, body=body)
                self.assertEqual(self.d.list(kind=kind, label="a=2")[0]["ID"], identifier)
                body["Data"] = "AAAA"
                now = self.d.get(kind=kind, id="dt_s")["Version"]["Index"]
                self.fails("invalid", "only updates to Labels", "update", kind=kind, id=identifier, version=now, body=body)
                use = {"File": {"Name": "s", "UID": "0", "GID": "0", "Mode": 292}, kind.title() + "ID": identifier,
                       kind.title() + "Name": "dt_s"}
                self.service("dt_" + kind, ["sleep", "100"], container={key: [use]})
                self.fails("conflict", "in use by", "remove", kind=kind, id=identifier)
                self.d.remove(kind="service", id="dt_" + kind)
                self.d.remove(kind=kind, id=identifier)

    def test_tasks(self):
        identifier = self.service("dt_a", ["sleep", "100"])
        task = lab.running("dt_a")
        self.assertEqual([t["ID"] for t in self.d.tasks(service=identifier, up_to_date=True)], [task["ID"]])
        container = task["Status"]["ContainerStatus"]["ContainerID"]
        self.assertTrue(self.d.get(kind="container", id=container)["State"]["Running"])
        found = self.d.get(kind="service", id="dt_a")
        found["Spec"]["TaskTemplate"]["ForceUpdate"] = 1
        self.d.update(kind="service", id=identifier, version=found["Version"]["Index"], body=found["Spec"])
        wait(lambda: len(self.d.tasks(service=identifier, up_to_date=False)) == 2, 30, "a second task")
        self.assertNotIn(task["ID"], [t["ID"] for t in self.d.tasks(service=identifier, up_to_date=True)])

    def test_engine_away_and_back(self):
        self.d.swarm()
        lab.ctl("stop-engine")
        try:
            self.fails("unavailable", "", "swarm")
        finally:
            lab.ctl("start-engine")
        self.assertTrue(self.d.swarm()["active"])

    def test_not_in_a_swarm(self):
        lab.engine("POST", "/swarm/leave?force=1")
        try:
            self.assertEqual(self.d.swarm()["active"], False)
            self.fails("unavailable", "not a swarm manager", "list", kind="service")
        finally:
            status, text = lab.engine("POST", "/swarm/init", {
                "ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": lab.env["NODE_ADDRESS_1"],
                "DefaultAddrPool": ["10.20.0.0/16"], "SubnetSize": 24})
            self.assertEqual(status, 200, text)


class Registries(Case):
    def setUp(self):
        super().setUp()
        self.open, self.auth = lab.env["REGISTRY"], lab.env["REGISTRY_AUTH"]
        self.config = json.loads(pathlib.Path(lab.env["REGISTRY_CONFIG"]).read_text())
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def use(self, config, mode=0o600):
        path = pathlib.Path(self.folder.name, "config.json")
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        path.chmod(mode)
        self.d.open(url="unix://" + lab.socket, auth=str(path))

    def both(self, kind, words, image):
        for op, more in ("distribution", {}), ("pull", {"timeout_ms": 60000}):
            with self.subTest(op):
                failure = self.fails(kind, words, op, image=image, **more)
                if "-v" in sys.argv:
                    print(f"\n{failure.code} {failure.text}")

    def test_open(self):
        found = self.d.distribution(image=self.open + "/web:1")
        self.assertEqual(found["platforms"], [{"Architecture": "amd64", "OS": "linux"}])
        self.d.pull(image=self.open + "/web:1", timeout_ms=60000)
        digests = self.d.get(kind="image", id=self.open + "/web:1")["RepoDigests"]
        by_digest = f"{self.open}/web@{found['digest']}"
        self.assertIn(by_digest, digests)
        self.assertEqual(self.d.distribution(image=by_digest)["digest"], found["digest"])
        self.d.pull(image=by_digest, timeout_ms=60000)
        both = f"{self.open}/web:1@{found['digest']}"
        self.assertEqual(self.d.distribution(image=both)["digest"], found["digest"])
        self.d.pull(image=both, timeout_ms=60000)

    def test_absent(self):
        self.both("not_found", "manifest unknown", self.open + "/web:nope")
        self.both("not_found", "manifest unknown", self.open + "/web")
        self.both("not_found", "unknown", self.open + "/no/such/repository:1")
        self.both("not_found", "", f"{self.open}/web@sha256:{'1' * 64}")
        self.both("invalid", "", "127.0.0.1:5000/Case:1")
        self.both("invalid", "", "a b")

    def test_password(self):
        image = self.auth + "/web:1"
        self.both("refused", "no basic auth credentials", image)
        self.assertFalse(self.d.has_auth(image=image))
        self.use(self.config)
        self.assertTrue(self.d.has_auth(image=image))
        self.assertFalse(self.d.has_auth(image=self.open + "/web:1"))
        self.d.distribution(image=image)
        self.d.pull(image=image, timeout_ms=60000)
        self.both("not_found", "manifest unknown", self.auth + "/web:nope")
        wrong = base64.b64encode(b"lab:wrong").decode()
        self.use({"auths": {self.auth: {"auth": wrong}}})
        self.both("refused", "unauthorized", image)
        # by URL, as older clients wrote it
        self.use({"auths": {f"https://{self.auth}/v2/": self.config["auths"][self.auth]}})
        self.d.distribution(image=image)

    def test_service_with_password(self):
        """The credentials that go with a service are what its nodes pull with."""
        image = self.auth + "/web:1"
        body = {"Name": "dt_a", "TaskTemplate": {"ContainerSpec": {"Image": image, "StopGracePeriod": 1}}}
        for config, state in ({}, "rejected"), (self.config, "running"):
            lab.engine("DELETE", "/images/" + image + "?force=1")
            self.use(config)
            identifier = self.d.create(kind="service", image=image, body=body)["id"]
            wait(lambda: any(t["Status"]["State"] == state for t in lab.tasks("dt_a")), 60, "a task to be " + state)
            if state == "rejected":
                self.d.remove(kind="service", id=identifier)
        # an update by somebody who knows no password keeps the one that is stored
        self.use({})
        found = self.d.get(kind="service", id=identifier)
        found["Spec"]["TaskTemplate"]["ForceUpdate"] = 1
        self.d.update(kind="service", id=identifier, version=found["Version"]["Index"], body=found["Spec"], image=image)
        wait(lambda: sum(t["Status"]["State"] == "running" == t["DesiredState"] for t in lab.tasks("dt_a")) == 1
             and len(lab.tasks("dt_a")) == 2, 60, "the second task")

    def test_broken_auth_file(self):
        for config, words in ("{", "config.json:1"), ([], "not a JSON object"), ({"auths": []}, "auths"):
            self.use(config)
            self.fails("invalid", words, "distribution", image=self.auth + "/web:1")
        self.use({"auths": {self.auth: {"auth": "%%%"}}})
        self.fails("invalid", "base64", "distribution", image=self.auth + "/web:1")
        self.use({"credHelpers": {self.auth: "../../x"}})
        self.fails("invalid", "not installed", "distribution", image=self.auth + "/web:1")
        self.use(self.config, mode=0o644)
        self.fails("invalid", "lets every user read it", "distribution", image=self.auth + "/web:1")
        self.d.open(url="unix://" + lab.socket, auth="/nowhere/config.json")
        self.fails("invalid", "/nowhere/config.json", "distribution", image=self.auth + "/web:1")

    def helper(self, script):
        path = pathlib.Path(f"/usr/local/bin/docker-credential-dt{os.getpid()}")
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
        self.addCleanup(lambda: path.unlink(missing_ok=True))
        return path.name.removeprefix("docker-credential-")

    def test_helpers(self):
        image = self.auth + "/web:1"
        user, password = lab.env["REGISTRY_USER"], lab.env["REGISTRY_PASSWORD"]
        good = f'read -r key; [ "$1 $key" = "get {self.auth}" ] || exit 9\n' + (
            f'printf \'{{"ServerURL":"%s","Username":"{user}","Secret":"{password}"}}\' "$key"\n')
        for key in "credHelpers", "credsStore":
            name = self.helper(good)
            self.use({key: {self.auth: name} if key == "credHelpers" else name})
            self.d.distribution(image=image)
        name = self.helper("echo 'credentials not found in native keychain'; exit 1\n")
        self.use({"credsStore": name})
        self.both("refused", "no basic auth", image)
        self.use({"credsStore": name} | self.config)
        self.d.distribution(image=image)
        self.use({"credsStore": self.helper("echo locked; exit 1\n")})
        self.fails("unavailable", "failed: locked", "distribution", image=image)
        self.use({"credsStore": self.helper("echo '{}'\n")})
        self.fails("invalid", "Username", "distribution", image=image)
        self.use({"credsStore": self.helper("yes\n")})
        self.fails("unavailable", "no complete answer", "distribution", image=image)

    def test_taken_while_the_helper_is_asked(self):
        """The guard is asked last of all: what a helper takes its time for is no more confirmed than what came before it."""
        taken = pathlib.Path(self.folder.name, "taken")
        self.use({"credsStore": self.helper(f"touch {taken}; echo 'credentials not found in native keychain'; exit 1\n")})
        self.d.guard(taken=str(taken))
        image = self.auth + "/web:1"
        body = {"Name": "dt_a", "TaskTemplate": {"ContainerSpec": {"Image": image}}, "Mode": {"Replicated": {"Replicas": 0}}}
        self.fails("cancelled", "taken", "create", kind="service", body=body, image=image)
        self.assertEqual(lab.engine("GET", "/services")[1], [])

    def test_helper_that_stays(self):
        """It has answered and closed its output, and does not end: neither does it hold up a stop, nor wait for ever."""
        asked = pathlib.Path(self.folder.name, "asked")
        self.use({"credsStore": self.helper(f"exec >&-; touch {asked}; exec sleep 60\n")})
        if os.environ.get("TESTS_FULL"):
            self.fails("unavailable", "did not end, in 30 s", "distribution", image=self.auth + "/web:1")
            asked.unlink()
        self.d.heed_stop()
        self.d.start("distribution", image=self.auth + "/web:1")
        wait(asked.exists, 20, "the helper to be asked")
        self.d.process.send_signal(signal.SIGTERM)
        with self.assertRaises(Failure) as caught:
            self.d.finish()
        self.assertEqual(caught.exception.kind, "cancelled", caught.exception.text)
        self.assertLess(self.d.us, 20_000_000)

    def test_stopped(self):
        lab.ctl("stop-registry")
        try:
            self.both("unavailable", "connection refused", self.open + "/web:1")
        finally:
            lab.ctl("start-registry")

    def test_unknown_host(self):
        self.both("unavailable", "", "no.such.host.invalid/web:1")

    def run_registry(self, port, text):
        path = pathlib.Path(self.folder.name, "registry.yml")
        path.write_text(text)
        with open(pathlib.Path(self.folder.name, "registry.log"), "w") as log:
            process = lab.enter("env", "-i", "docker-registry", "serve", path, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        probe = "bash", "-c", f": </dev/tcp/127.0.0.1/{port}"
        wait(lambda: lab.enter(*probe, stderr=subprocess.DEVNULL).wait() == 0, 10, "the registry")

    def test_unwell(self):
        """A registry whose own health check fails answers everything with 503."""
        sick = pathlib.Path(self.folder.name, "sick")
        sick.touch()
        self.run_registry(5011, f"""
version: 0.1
storage: {{filesystem: {{rootdirectory: {lab.dir}/registry/store}}}}
http: {{addr: "127.0.0.1:5011"}}
health: {{file: [{{file: {sick}, interval: 100ms}}]}}
""")
        import time
        time.sleep(1)
        self.both("unavailable", "", "127.0.0.1:5011/web:1")

    def test_damaged_store(self):
        """A layer is gone from the registry: the pull fails within its stream, under status 200."""
        store = pathlib.Path(self.folder.name, "store")
        subprocess.run(["cp", "-a", f"{lab.dir}/registry/store", store], check=True)
        self.run_registry(5012, f"""
version: 0.1
storage: {{filesystem: {{rootdirectory: {store}}}}}
http: {{addr: "127.0.0.1:5012"}}
""")
        image = "127.0.0.1:5012/postgres:15"
        for blob in store.glob("docker/registry/v2/blobs/sha256/*/*/data"):
            if blob.stat().st_size > 1000000:
                blob.write_bytes(b"\0" * 1000)
        lab.engine("DELETE", "/images/" + image + "?force=1")
        with self.assertRaises(Failure) as caught:
            self.d.pull(image=image, timeout_ms=60000)
        self.assertIn(caught.exception.kind, ("unavailable", "not_found", "invalid"))
        if "-v" in sys.argv:
            print(f"\n{caught.exception}")

    def test_silent(self):
        silent = lab.enter("/usr/bin/python3", "-c", "import socket,time\ns=socket.socket()\n"
                           "s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\n"
                           "s.bind(('127.0.0.1',5013))\ns.listen()\ntime.sleep(300)")
        self.addCleanup(silent.wait)
        self.addCleanup(silent.terminate)
        wait(lambda: "refused" not in self.pull_text("127.0.0.1:5013/web:1"), 10, "the silent server")
        self.fails("timeout", "", "pull", image="127.0.0.1:5013/web:1", timeout_ms=3000)

    def pull_text(self, image):
        with self.assertRaises(Failure) as caught:
            self.d.pull(image=image, timeout_ms=1000)
        return caught.exception.text


class Logs(Case):
    def test_job(self):
        job = {"Mode": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}}
        identifier = self.service("dt_a", ["say", "one", "zwei ü", "", "four"], **job)
        wait(lambda: any(t["Status"]["State"] == "complete" for t in lab.tasks("dt_a")), 30, "the job")
        log = wait(lambda: (lambda l: l["lines"] == 4 and l)(self.d.logs(id=identifier, keep=10)), 10, "its log")
        self.assertEqual(log["kept"], ["one", "zwei ü", "", "four"])
        self.assertEqual(self.d.logs(id=identifier, since_ns=log["last_ns"])["lines"], 0)
        self.assertEqual(self.d.logs(id=identifier, since_ns=log["last_ns"] - 1)["lines"], 1)
        self.assertEqual(self.d.logs(id=identifier, tail=2, keep=9)["kept"], ["", "four"])
        self.assertEqual(self.d.logs(id=identifier, stop_after=2)["lines"], 2)
        self.fails("not_found", "nope", "logs", id="nope")

    def shell(self, name, script, **container):
        return self.service(name, ["-c", script], container={"Command": ["/bin/sh"], **container})

    def ended(self, name):
        wait(lambda: any(t["Status"]["State"] == "complete" for t in lab.tasks(name)), 60, name)

    def test_streams_and_long_lines(self):
        identifier = self.shell("dt_a", "echo out; echo err >&2; busybox head -c 20000 /dev/zero | busybox tr '\\0' x; "
                                "echo; busybox head -c 200000 /dev/zero | busybox tr '\\0' y; echo; echo -n last")
        self.ended("dt_a")
        log = wait(lambda: (lambda l: l["lines"] == 5 and l)(self.d.logs(id=identifier, keep=10)), 10, "the log")
        self.assertEqual(log["errors"], 1)
        self.assertEqual(sorted(len(line) for line in log["kept"]), [3, 3, 4, 20000, 65536])
        self.assertIn("x" * 20000, log["kept"])

    def test_line_behind_its_time(self):
        """The reading before came to the line of stderr, and the one of stdout was written only then."""
        identifier = self.shell("dt_a", "echo late; sleep 0.2; echo seen >&2")
        self.ended("dt_a")
        log = wait(lambda: (lambda l: l["lines"] == 2 and l)(self.d.logs(id=identifier, keep=10)), 10, "the log")
        self.assertEqual(self.d.logs(id=identifier, since_ns=1, since_err_ns=log["last_ns"], keep=10)["kept"], ["late"])

    def test_tty(self):
        identifier = self.shell("dt_a", "echo one; echo two; echo -n 3", TTY=True)
        self.ended("dt_a")
        log = wait(lambda: (lambda l: l["lines"] == 3 and l)(self.d.logs(id=identifier, keep=10)), 10, "the log")
        self.assertEqual(log["kept"], ["one", "two", "3"])
        self.assertGreater(log["last_ns"], 1700000000 * 10**9)

    def test_much(self):
        size = 100_000_000 if os.environ.get("TESTS_FULL") else 20_000_000
        identifier = self.service("dt_a", ["spam", str(size)])
        wait(lambda: any(t["Status"]["State"] == "complete" for t in lab.tasks("dt_a")), 180, "the end of it")
        self.d.logs(id=identifier, tail=1)
        before = self.d.memory()
        log = self.d.logs(id=identifier)
        print(f"\n{log['bytes']} bytes in {log['lines']} lines in {self.d.us / 1e6:.1f} s")
        self.assertGreater(log["bytes"] + log["lines"], size * 0.99)
        self.assertLess(self.d.memory() - before, 4096)

    def test_not_scheduled(self):
        identifier = self.service("dt_a", ["say", "x"], task={"Placement": {"Constraints": ["node.id==nowhere"]}})
        wait(lambda: lab.tasks("dt_a"), 10, "a task")
        try:
            self.assertEqual(self.d.logs(id=identifier)["lines"], 0)
        except Failure as failure:
            self.assertEqual(failure.kind, "unavailable")
            print(f"\n{failure}")


class Http(Case):
    """src/net where the lab's web server and registry are."""

    def setUp(self):
        self.d = Drive([TOP / "tests/lab/enter", "--dir", lab.dir, PROGRAM])
        self.addCleanup(lambda: self.assertEqual(self.d.close(), 0))
        self.registry = f"http://{lab.env['REGISTRY']}/v2/"
        self.protected = f"http://{lab.env['REGISTRY_AUTH']}/v2/"
        self.https = lab.env["GIT_HTTPS_URL"] + "/"

    def test_basics(self):
        got = self.d.http(url=self.registry, timeout_ms=5000, max_body=100)
        self.assertEqual((got["status"], got["body"].strip()), (200, "{}"))
        self.assertTrue(got["content_type"].startswith("application/json"))
        self.assertEqual(self.d.http(url=self.registry, method="HEAD", timeout_ms=5000)["status"], 200)
        self.assertEqual(self.d.http(url=self.protected, timeout_ms=5000, max_body=999)["status"], 401)
        user, password = lab.env["REGISTRY_USER"], lab.env["REGISTRY_PASSWORD"]
        got = self.d.http(url=self.protected, timeout_ms=5000, max_body=999, username=user, password=password)
        self.assertEqual(got["status"], 200)

    def test_cap(self):
        self.fails("invalid", "larger than 1 bytes", "http", url=self.registry, timeout_ms=5000, max_body=1)
        streamed = self.d.http(url=self.registry, timeout_ms=5000, stream=True)
        self.assertEqual((streamed["len"], streamed["streamed"]), (0, 2))
        # what is not 2xx is collected, so that its words are there
        missing = self.d.http(url=self.registry + "web/manifests/nope", timeout_ms=5000, stream=True)
        self.assertEqual((missing["status"], missing["streamed"], "manifest unknown" in missing["body"]), (404, 0, True))

    def test_errors(self):
        self.fails("unavailable", "127.0.0.1:1: Connection refused", "http", url="http://127.0.0.1:1/secret", timeout_ms=5000)
        self.fails("unavailable", "nope.invalid: the name does not resolve", "http", url="http://u:p@nope.invalid/s", timeout_ms=30000)
        self.fails("invalid", "", "http", url="file:///etc/passwd", timeout_ms=5000)
        self.fails("invalid", "", "http", url="http://", timeout_ms=5000)
        self.fails("refused", "link-local", "http", url="http://169.254.169.254/latest/", timeout_ms=5000)
        self.fails("refused", "link-local", "http", url="http://[::ffff:169.254.169.254]/latest/", timeout_ms=5000)
        self.fails("timeout", "no time left", "http", url=self.registry, timeout_ms=0)

    def test_redirect_is_a_result(self):
        got = self.d.http(url=self.registry + "web/blobs/uploads", method="GET", timeout_ms=5000, max_body=99999)
        self.assertIn(got["status"], (301, 307, 308, 404, 405))

    def test_tls(self):
        self.fails("refused", "certificate", "http", url=self.https, timeout_ms=5000, max_body=99999)
        got = self.d.http(url=self.https, timeout_ms=5000, max_body=99999, ca_file=lab.env["GIT_CA_FILE"])
        self.assertIn(got["status"], (403, 404, 500))
        self.fails("invalid", "/nowhere", "http", url=self.https, timeout_ms=5000, ca_file="/nowhere")

    def test_silence(self):
        lab.ctl("silent-git")
        try:
            url = lab.env["GIT_HTTP_URL"]
            self.fails("timeout", "no complete answer", "http", url=url, timeout_ms=1000)
            self.assertLess(self.d.us, 3e6)
            self.fails("timeout", "nothing came for 1 s", "http", url=url, timeout_ms=60000, stall_ms=1000)
            self.assertLess(self.d.us, 5e6)
        finally:
            lab.ctl("silent-git-off")


if __name__ == "__main__":
    unittest.main()
