#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The relay against a real engine: services on an overlay network that is neither attachable nor published, reached from
outside through unix sockets. See test_docker.py for the settings.
"""

import http.client
import os
import pathlib
import shutil
import signal
import socket
import statistics
import tempfile
import threading
import time
import unittest

from lab import TOP, Drive, Failure, Lab, wait

PROGRAM = os.environ.get("DOCKER_DRIVE", str(TOP / "build/tests/docker/docker_drive"))
RELAY = "deploy-agent-relay_dt"
# Answers one connection with DATA once it has seen the end of what it was sent; then says how much that was.
COUNTER = 'busybox nc -ll -p 9000 -e busybox sh -c "busybox wc -c"'


def setUpModule():
    global lab, root, program
    lab = Lab()
    lab.remove_all()
    root = pathlib.Path(tempfile.mkdtemp(prefix="relay-test-", dir="/var/tmp"))
    # The program behind the sockets is the agent-worker beside the running one.
    program = root / "agent-worker"
    shutil.copy(PROGRAM, program)
    folder = root / "tools/bin"
    folder.mkdir(parents=True)
    shutil.copy("/bin/busybox", folder)
    (folder / "sh").symlink_to("busybox")
    (root / "tools/tmp").mkdir(mode=0o777)
    lab.image(lab.env["REGISTRY"] + "/tools:1", root / "tools", "--env", "PATH=/bin", "--push")


def tearDownModule():
    lab.remove_all()
    lab.close()
    shutil.rmtree(root)


def state_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def own_children():
    """PIDs of the splicing processes of ours."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(path / "exe") == str(program) and b"relay-serve" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            pass
    return found


class Case(unittest.TestCase):
    def setUp(self):
        lab.remove_all()
        self.run_dir = root / "run"
        self.d = self.drive()
        for name in "dt_net", "dt_other":
            self.d.create(kind="network", body={"Name": name, "Driver": "overlay", "CheckDuplicate": True})

    def drive(self):
        d = Drive([program])
        d.open(url="unix://" + lab.socket)
        self.addCleanup(d.process.wait)
        self.addCleanup(d.process.stdin.close)
        self.addCleanup(d.process.stdout.close)
        return d

    def shell(self, name, script, network="dt_net", **more):
        container = {"Image": lab.env["REGISTRY"] + "/tools:1", "Command": ["sh", "-c", script], "StopGracePeriod": 1}
        task = {"ContainerSpec": container, "Networks": [{"Target": network}]}
        body = {"Name": name, "TaskTemplate": task, "EndpointSpec": {"Mode": "dnsrr"}} | more
        self.d.create(kind="service", body=body)
        return self.address(name)

    def web(self, name="dt_web", **more):
        env = [f"{k}={v}" for k, v in more.pop("env", {}).items()]
        container = {"Image": lab.env["REGISTRY"] + "/web:1", "Env": env, "StopGracePeriod": 1}
        task = {"ContainerSpec": container, "Networks": [{"Target": "dt_net"}]}
        body = {"Name": name, "TaskTemplate": task, "EndpointSpec": {"Mode": "dnsrr"}} | more
        self.d.create(kind="service", body=body)
        return self.address(name)

    def address(self, name):
        task = lab.running(name)
        return task["NetworksAttachments"][0]["Addresses"][0].split("/")[0]

    def ensure(self, networks=("dt_net",), timeout_ms=60000, d=None):
        return (d or self.d).ensure(stack="dt", networks=networks, timeout_ms=timeout_ms, run_dir=str(self.run_dir))

    def get(self, path, host, url_path="/", **more):
        arguments = {"timeout_ms": 20000, "max_body": 100000} | more
        return self.d.http(url=f"http://{host}{url_path}", socket=path, **arguments)

    def status(self, path, host):
        """None while nothing answers, as right after an engine's start."""
        try:
            return self.get(path, host, timeout_ms=30000)["status"]
        except Failure as failure:
            print(f"not yet: {failure}; {self.d.failure(socket=path)}")
            return None

    def fails(self, kind, words, op, /, **arguments):
        with self.assertRaises(Failure) as caught:
            op(**arguments)
        self.assertEqual((caught.exception.kind, words in caught.exception.text), (kind, True), str(caught.exception))
        return caught.exception.text

    def relay_task(self):
        return lab.running(RELAY)


class Reaching(Case):
    def test_reach(self):
        address = self.web(env={"VERSION": "seven"})
        self.ensure()
        first = self.d.us
        self.ensure()
        again = self.d.us
        by_name = self.d.target(host="dt_web", port=8000)
        by_address = self.d.target(host=address, port=8000)
        self.assertEqual(self.d.target(host="dt_web", port=8000), by_name)
        self.assertNotEqual(by_name, by_address)
        self.assertTrue(by_name.endswith("/.s.PGSQL.8000"))
        self.assertEqual(os.stat(self.run_dir / "relay/dt").st_mode & 0o777, 0o700)
        opening = []
        for path in (by_name, by_address) * 10:
            self.assertIn("seven", self.get(path, "dt_web:8000")["body"])
            opening.append(self.d.us / 1000)
        print(f"\nensure {first / 1e6:.2f} s, again {again / 1e3:.0f} ms; open and GET: "
              f"median {statistics.median(opening):.0f} ms, worst {max(opening):.0f} ms")
        networks = {n["Name"]: n["Id"] for n in lab.engine("GET", "/networks")[1]}
        self.assertTrue(self.d.on_network(id=networks["dt_net"]))
        self.assertFalse(self.d.on_network(id=networks["dt_other"]))

    def test_shape_of_the_service(self):
        self.ensure()
        spec = lab.engine("GET", "/services/" + RELAY)[1]["Spec"]
        self.assertEqual(spec["Labels"]["deploy-agent.relay"], "dt")
        self.assertNotIn("com.docker.stack.namespace", spec["Labels"])
        container = spec["TaskTemplate"]["ContainerSpec"]
        self.assertRegex(container["Image"], "^sha256:[0-9a-f]{64}$")
        self.assertNotIn("Labels", container)
        image = lab.engine("GET", f"/images/{container['Image']}/json")[1]
        self.assertEqual((image["Config"]["Entrypoint"], image["RepoTags"] or []), (["/relay"], []))
        inside = lab.engine("GET", f"/containers/{self.relay_task()['Status']['ContainerStatus']['ContainerID']}/json")[1]
        self.assertEqual(inside["HostConfig"]["CapDrop"], ["CAP_ALL"] if "CAP_ALL" in inside["HostConfig"]["CapDrop"] else ["ALL"])
        self.assertEqual(inside["HostConfig"]["Memory"], 32 << 20)
        self.assertTrue(inside["HostConfig"]["ReadonlyRootfs"])

    def test_failures_have_words(self):
        address = self.web()
        self.ensure()
        for host, port, words in ((address, 8001, f"{address}:8001: Connection refused"),
                                  ("nosuch", 80, "nosuch"), ("203.0.113.7", 80, "")):
            path = self.d.target(host=host, port=port)
            self.fails("unavailable", "", self.get, path=path, host=host)
            text = self.d.failure(socket=path)
            print(f"\n{host}:{port}: {text} ({self.d.us / 1e6:.1f} s)")
            self.assertIn(words, text)
            self.assertIsNone(self.d.failure(socket=path))
        for host, port in (("a b", 80), ("", 80), ("x", 0), ("x", 65536), ("a\nb", 1), ("$(id)", 80), ("x" * 300, 80)):
            self.fails("invalid", "host and port", self.d.target, host=host, port=port)

    def test_a_lot(self):
        size = 1 << 30 if os.environ.get("TESTS_FULL") else 200 << 20
        self.shell("dt_big", f"busybox dd if=/dev/zero of=/tmp/big bs=1 count=0 seek={size}; "
                             "echo small >/tmp/small; exec busybox httpd -f -p 9000 -h /tmp")
        self.ensure()
        path = self.d.target(host="dt_big", port=9000)
        before = self.d.memory()
        self.fails("invalid", "larger than 65536", self.get, path=path, host="dt_big", url_path="/big", max_body=65536)
        self.assertEqual(self.get(path, "dt_big", "/small")["body"], "small\n")
        got = self.get(path, "dt_big", "/big", stream=True, timeout_ms=300000, max_body=0)
        print(f"\n{size >> 20} MiB in {self.d.us / 1e6:.1f} s")
        self.assertEqual(got["streamed"], size)
        self.assertLess(self.d.memory() - before, 2048)
        server = own_children()
        peak = [int(line.split()[1]) for line in pathlib.Path(f"/proc/{server[0]}/status").read_text().splitlines()
                if line.startswith("VmHWM")]
        self.assertLess(peak[0], 65536)

    def test_both_ways_and_half_close(self):
        self.shell("dt_count", COUNTER)
        self.shell("dt_echo", "busybox nc -ll -p 9000 -e busybox cat")
        self.ensure()
        data = os.urandom(1 << 20) * 20

        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(self.d.target(host="dt_count", port=9000))
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(s.makefile("rb").read().strip(), str(len(data)).encode())

        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(self.d.target(host="dt_echo", port=9000))

            def send():
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send)
            sender.start()
            started = time.monotonic()
            back = s.makefile("rb").read()
            sender.join()
            print(f"\n{len(data) >> 20} MiB there and back in {time.monotonic() - started:.1f} s")
            self.assertTrue(back == data)

    def test_many_at_once(self):
        self.web()
        self.ensure()
        path = self.d.target(host="dt_web", port=8000)
        results = []

        def one():
            connection = http.client.HTTPConnection("dt_web", timeout=100)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(100)
            try:
                connection.sock.connect(path)
                connection.request("GET", "/")
                results.append(connection.getresponse().status)
            except (OSError, http.client.HTTPException) as error:
                results.append(repr(error))
            time.sleep(1)
            connection.close()

        started = time.monotonic()
        threads = [threading.Thread(target=one) for _ in range(80)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"\n80 connections in {time.monotonic() - started:.1f} s: {dict((r, results.count(r)) for r in results)}"
              f" {self.d.failure(socket=path)}")
        self.assertEqual(results, [200] * 80)
        self.assertEqual(self.get(path, "dt_web")["status"], 200)

    def test_more_targets_than_places(self):
        """The one not asked for the longest makes room, and nobody who still has its path reaches another's task."""
        first, second = self.web("dt_web", env={"VERSION": "first"}), self.web("dt_web2", env={"VERSION": "second"})
        echo = self.shell("dt_echo", "busybox nc -ll -p 9000 -e busybox cat")
        self.ensure()
        old = self.d.target(host=first, port=8000)
        self.assertIn("first", self.get(old, "dt_web")["body"])
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(self.d.target(host=echo, port=9000))
            s.sendall(b"before\n")
            self.assertEqual(s.recv(100), b"before\n")
            paths = {self.d.target(host=f"10.1.{i // 200}.{i % 200}", port=8000) for i in range(299)}
            paths.add(self.d.target(host=second, port=8000))
            self.assertEqual(len(paths), 300)
            # connections that were made go on, though their target was forgotten
            s.sendall(b"after\n")
            self.assertEqual(s.recv(100), b"after\n")
        self.assertEqual(sum(os.path.exists(path) for path in paths), 256)
        self.assertNotIn(old, paths)
        self.fails("unavailable", "", self.get, path=old, host="dt_web")
        self.assertIsNone(self.d.failure(socket=old))
        again = self.d.target(host=first, port=8000)
        self.assertNotEqual(again, old)
        for path, version in ((again, "first"), (self.d.target(host=second, port=8000), "second")):
            self.assertIn(version, self.get(path, "dt_web")["body"])
        # why one cannot be reached is said of that one
        nobody = self.d.target(host=first, port=8001)
        self.fails("unavailable", "", self.get, path=nobody, host="dt_web")
        self.assertIn(f"{first}:8001: Connection refused", self.d.failure(socket=nobody))
        self.assertIn("first", self.get(again, "dt_web")["body"])
        # another process behind the sockets gets all of them
        server = wait(own_children, 10, "the splicing process")[0]
        os.kill(server, signal.SIGKILL)
        wait(lambda: state_of(server) in ("Z", None), 5, "it to die")
        self.assertEqual(self.d.target(host=first, port=8000), again)
        self.assertIn("first", self.get(again, "dt_web")["body"])

    def test_clients_that_leave(self):
        """Programs in the relay must not pile up behind clients that went away."""
        self.shell("dt_hung", "busybox nc -ll -p 9000 -e busybox sleep 1000")
        self.ensure()
        path = self.d.target(host="dt_hung", port=9000)
        for _ in range(5):
            self.fails("timeout", "", self.get, path=path, host="dt_hung", timeout_ms=1000)
        container = self.relay_task()["Status"]["ContainerStatus"]["ContainerID"]

        def programs():
            return lab.engine("GET", f"/containers/{container}/top")[1]["Processes"]

        self.assertLessEqual(len(programs()), 7)
        wait(lambda: len(programs()) <= 2, 60, "the relay's programs to end")


class Trouble(Case):
    def test_engine_stops_within_a_request(self):
        self.web(env={"SLOW_MS": "6000"})
        self.ensure()
        path = self.d.target(host="dt_web", port=8000)
        self.d.start("http", url="http://dt_web/", socket=path, timeout_ms=60000, max_body=1000)
        time.sleep(1)
        started = time.monotonic()
        lab.ctl("stop-engine")
        try:
            with self.assertRaises(Failure) as caught:
                self.d.finish()
            self.assertEqual(caught.exception.kind, "unavailable")
            self.fails("unavailable", "", self.get, path=path, host="dt_web")
            print(f"\n{caught.exception}; then: {self.d.failure(socket=path)}; {time.monotonic() - started:.1f} s")
        finally:
            lab.ctl("start-engine")
        # The relay's container is gone: who asks for the socket again gets a new one.
        self.fails("unavailable", "", self.get, path=path, host="dt_web")
        print(self.d.failure(socket=path))
        self.address("dt_web")
        self.assertEqual(self.d.target(host="dt_web", port=8000), path)
        print(f"new relay in {self.d.us / 1e6:.1f} s")
        wait(lambda: self.status(path, "dt_web") == 200, 60, "the service to answer through the new relay")

    def test_frozen_engine(self):
        self.web()
        self.ensure()
        path = self.d.target(host="dt_web", port=8000)
        self.assertEqual(self.get(path, "dt_web")["status"], 200)
        lab.ctl("freeze-engine")
        try:
            self.fails("timeout", "", self.get, path=path, host="dt_web", timeout_ms=2000)
        finally:
            lab.ctl("thaw-engine")
        self.assertEqual(self.get(path, "dt_web")["status"], 200)

    def test_relay_killed(self):
        self.web()
        self.ensure()
        container = self.relay_task()["Status"]["ContainerStatus"]["ContainerID"]
        path = self.d.target(host="dt_web", port=8000)
        lab.engine("POST", f"/containers/{container}/kill")
        self.fails("unavailable", "", self.get, path=path, host="dt_web")
        other = self.d.target(host="dt_web", port=8001)  # the first call after a failure finds a new relay
        print(f"\nnew relay in {self.d.us / 1e6:.1f} s")
        self.fails("unavailable", "", self.get, path=other, host="dt_web")
        self.assertIn("Connection refused", self.d.failure(socket=other))
        self.assertEqual(self.get(path, "dt_web")["status"], 200)
        container = self.relay_task()["Status"]["ContainerStatus"]["ContainerID"]
        lab.engine("POST", f"/containers/{container}/kill")
        wait(lambda: lab.engine("GET", f"/containers/{container}/json")[1]["State"]["Running"] is False, 10, "its end")
        self.ensure()
        self.assertEqual(self.get(self.d.target(host="dt_web", port=8000), "dt_web")["status"], 200)

    def test_image_removed(self):
        self.ensure()
        image = lab.engine("GET", "/services/" + RELAY)[1]["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
        self.d.relay_close()
        self.d.relay_remove(stack="dt")
        wait(lambda: lab.engine("DELETE", f"/images/{image}?force=1")[0] == 200, 30, "the image to go")
        self.web()
        self.ensure()
        self.assertEqual(self.get(self.d.target(host="dt_web", port=8000), "dt_web")["status"], 200)

    def test_networks_change(self):
        self.web()
        self.shell("dt_there", "echo other >/tmp/index.html; exec busybox httpd -f -p 80 -h /tmp", network="dt_other")
        self.ensure()
        self.ensure(networks=["dt_other", "dt_net"])
        version = lab.engine("GET", "/services/" + RELAY)[1]["Version"]["Index"]
        for host, port in ("dt_web", 8000), ("dt_there", 80):
            self.assertEqual(self.get(self.d.target(host=host, port=port), host)["status"], 200)
        self.ensure(networks=["dt_net", "dt_other"])
        self.assertEqual(lab.engine("GET", "/services/" + RELAY)[1]["Version"]["Index"], version)
        self.fails("not_found", "dt_none", self.ensure, networks=["dt_none"])

    def test_drained_node(self):
        node = lab.engine("GET", "/info")[1]["Swarm"]["NodeID"]

        def availability(value):
            found = lab.engine("GET", "/nodes/" + node)[1]
            spec = found["Spec"] | {"Availability": value}
            path = f"/nodes/{node}/update?version={found['Version']['Index']}"
            self.assertEqual(lab.engine("POST", path, spec)[0], 200)

        availability("drain")
        try:
            text = self.fails("failed", "no suitable node", self.ensure, timeout_ms=15000)
            print("\n" + text)
        finally:
            availability("active")
        self.ensure()

    def test_somebody_elses_service(self):
        self.shell(RELAY, "exec sleep 1000")
        self.fails("conflict", "not ours", self.ensure)
        self.d.relay_remove(stack="dt")
        self.assertEqual(lab.engine("GET", "/services/" + RELAY)[0], 200)

    def test_two_at_once(self):
        self.web()
        other = self.drive()
        for d in self.d, other:
            d.start("ensure", stack="dt", networks=["dt_net"], timeout_ms=60000, run_dir=str(self.run_dir))
        for d in self.d, other:
            d.finish()
        paths = [d.target(host="dt_web", port=8000) for d in (self.d, other)]
        self.assertNotEqual(*paths)
        for path in paths:
            self.assertEqual(self.get(path, "dt_web")["status"], 200)

    def test_worker_killed(self):
        self.web()
        self.ensure()
        path = self.d.target(host="dt_web", port=8000)
        wait(lambda: len(own_children()) == 1, 10, "the splicing process")  # an order may come before its exec
        self.d.process.kill()
        wait(lambda: not own_children(), 5, "the splicing process to end")
        self.assertTrue(os.path.exists(path))
        self.d = self.drive()
        self.ensure()
        self.assertFalse(os.path.exists(path))
        self.assertEqual(self.d.target(host="dt_web", port=8000), path)
        self.assertEqual(self.get(path, "dt_web")["status"], 200)
        self.d.relay_close()
        self.assertEqual((own_children(), os.path.exists(path)), ([], False))

    def test_splicing_process_killed(self):
        self.web()
        self.ensure()
        path = self.d.target(host="dt_web", port=8000)
        server = wait(own_children, 10, "the splicing process")[0]
        os.kill(server, signal.SIGKILL)
        wait(lambda: state_of(server) in ("Z", None), 5, "it to die")
        self.assertEqual(self.d.target(host="dt_web", port=8000), path)
        self.assertEqual(self.get(path, "dt_web")["status"], 200)

    def test_remove(self):
        self.ensure()
        self.d.relay_close()
        self.d.relay_remove(stack="dt")
        self.assertEqual(lab.engine("GET", "/services/" + RELAY)[0], 404)
        self.d.relay_remove(stack="dt")

    def test_long_stack_name(self):
        stack = "x" * 47 + "_"
        self.web()
        self.d.ensure(stack=stack, networks=["dt_net"], timeout_ms=60000, run_dir=str(self.run_dir))
        self.assertEqual(self.get(self.d.target(host="dt_web", port=8000), "dt_web")["status"], 200)
        self.d.relay_remove(stack=stack)


if __name__ == "__main__":
    unittest.main()
