# SPDX-License-Identifier: Apache-2.0
"""prober.py HOST PORT PATH INTERVAL: a client of a service on a Swarm network, run where a container's network is; knows nothing of
the agent. It asks for one page again and again, each time as a program does that starts anew: the name is resolved by the
container's name server, the first address is connected to, and the answer is read to its end. Nothing is tried twice (but the
lost datagram to the name server, as every resolver does), no other address is tried. One line per request:

    TIME MILLISECONDS ok VERSION
    TIME MILLISECONDS failed STAGE: ERROR

Prober starts it beside a test and counts; TIME is that of the machine's monotonic clock.
"""

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

NAME_SERVER = ("127.0.0.11", 53)
NAME_SECONDS = 5  # for each of two datagrams
ANSWER_SECONDS = 15  # for connecting, and for each part of the answer


# ---- the client ----

class Failed(Exception):
    pass


def skip_name(data, at):
    while data[at]:
        if data[at] & 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1


def addresses_in(reply):
    code, questions, answers = reply[3] & 15, *struct.unpack(">HH", reply[4:8])
    at, found = 12, []
    for _ in range(questions):
        at = skip_name(reply, at) + 4
    for _ in range(answers):
        at = skip_name(reply, at)
        kind, _, _, size = struct.unpack(">HHIH", reply[at:at + 10])
        if kind == 1 and size == 4:
            found.append(socket.inet_ntoa(reply[at + 10:at + 14]))
        at += 10 + size
    if not found:
        raise Failed(f"name: no address (code {code})")
    return found


def resolve(host):
    number = random.getrandbits(16)
    name = b"".join(bytes([len(part)]) + part.encode() for part in host.split("."))
    question = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(NAME_SECONDS)
        for last in (False, True):
            try:
                s.sendto(question, NAME_SERVER)
                reply = s.recv(4096)
                if struct.unpack(">H", reply[:2])[0] == number:
                    return addresses_in(reply)
            except OSError as e:
                if last:
                    raise Failed(f"name: {e}") from e
    raise Failed("name: not answered")


def fetch(host, port, path):
    """What the page says."""
    address = resolve(host)[0]
    try:
        s = socket.create_connection((address, port), ANSWER_SECONDS)
    except OSError as e:
        raise Failed(f"connect {address}: {e}") from e
    with s:
        try:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while part := s.recv(65536):
                data += part
        except OSError as e:
            raise Failed(f"answer of {address}: {e}") from e
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode(errors="replace").split("\r\n")
    length = [int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")]
    if not lines[0].startswith("HTTP/1.1 200 "):
        raise Failed(f"answer of {address}: {lines[0]!r}")
    if length != [len(body)]:
        raise Failed(f"answer of {address}: cut off after {len(body)} bytes")
    return body.decode(errors="replace").strip()


def main(host, port, path, interval):
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.is_set():
        began = time.monotonic()
        try:
            outcome = "ok " + fetch(host, int(port), path)
        except Failed as e:
            outcome = f"failed {e}"
        ended = time.monotonic()
        print(f"{began:.4f} {(ended - began) * 1000:.1f} {outcome}", flush=True)
        stop.wait(max(0.0, began + float(interval) - ended))


# ---- for tests ----

class Prober:
    """Asks `host` from within the running task of another service; that task has to be on the node with this number."""

    def __init__(self, lab, engine, client, host, node=1, port=8000, path="/", interval=0.02):
        task = engine.running(client)[0]
        container = engine.get(f"/containers/{task['Status']['ContainerStatus']['ContainerID']}/json")
        init = open(f"{lab.dir}/node{node}/init.pid", encoding="ascii").read().strip()
        sandbox = container["NetworkSettings"]["SandboxKey"].replace("/var/run/", "/run/")
        self.requests = []  # (time, milliseconds, version or None, error or None)
        self.process = subprocess.Popen(["nsenter", f"--net=/proc/{init}/root{sandbox}", "--", sys.executable, "-I", __file__, host, str(port),
                                         path, str(interval)], stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            began, took, verdict, rest = line.rstrip("\n").split(" ", 3)
            good = verdict == "ok"
            self.requests.append((float(began), float(took), rest if good else None, None if good else rest))

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)
        self.process.wait(30)
        self.reader.join(10)
        return self

    def failures(self, since=0.0, until=float("inf")):
        """Those that overlap the time."""
        return [(began, error) for began, took, _, error in list(self.requests) if error and began + took / 1000 >= since and began <= until]

    def versions(self, since=0.0):
        """Those seen, in the order of their first answer."""
        return list(dict.fromkeys(version for began, _, version, _ in list(self.requests) if version is not None and began >= since))

    def longest_gap(self):
        """Seconds between the ends of two good answers that came one after the other."""
        ends = [began + took / 1000 for began, took, version, _ in list(self.requests) if version is not None]
        return max((b - a for a, b in zip(ends, ends[1:])), default=0.0)

    def slowest(self):
        return max((took for _, took, _, _ in list(self.requests)), default=0.0)

    def summary(self):
        failed = self.failures()
        text = f"{len(self.requests)} requests, {len(failed)} failed, longest gap between answers {self.longest_gap():.2f} s, slowest {self.slowest():.0f} ms"
        return text + "".join(f"\n    at {began:.3f}: {error}" for began, error in failed[:20])


if __name__ == "__main__":
    main(*sys.argv[1:])
