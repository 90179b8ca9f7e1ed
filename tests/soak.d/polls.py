# SPDX-License-Identifier: Apache-2.0
"""--polls: an agent with ten stacks has nothing to do, many times. Real polls, each followed by a look for drift."""

import json
import os
import socket
import time

from check import GROWTH_LIMIT_KIB, curve
from harness import wait_for
from world import World

STACKS = 10


class Idle:
    def __init__(self, arguments):
        self.wanted = arguments.polls
        self.world = World(f"{arguments.dir}/polls", arguments.programs, 1, arguments.seed)
        self.agent = self.world.home
        self.stacks = [f"idle{n}" for n in range(STACKS)]

    def status(self):
        """Asked at the control socket: agentctl would be a process each time."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(f"{self.agent.dir}/run/control.sock")
            s.sendall(b'{"verb": "status"}\n')
            text = b""
            while not text.endswith(b"\n") and (part := s.recv(65536)):
                text += part
        return {w["stack"]: w for w in json.loads(text)["stacks"]}

    def deploy(self):
        web = {"image": f"{self.world.registry}/web:1", "deploy": {"endpoint_mode": "dnsrr", "update_config": {"monitor": "1s"}}}
        gate = {"min_healthy_time": "1s", "soak": "0s"}
        self.world.commit({"version": "3.8", "services": {"web": web}, "x-release": {"gate": gate}}, "one")
        url = f"{self.world.lab.env['GIT_HTTP_URL']}/soak.git"
        self.agent.configure("".join(f"[stack {s}]\nrepository = {url}\nfile = stack.yml\npoll_interval = 1s\n\n" for s in self.stacks))
        self.agent.start()
        wait_for(lambda: [r["state"] for r in self.agent.records()] == ["succeeded"] * STACKS, 120, "ten stacks to be deployed")
        time.sleep(5)  # the first look for drift after it is on record

    def files(self):
        """All of state_dir, with size and time. The journal's index of readers is memory, and has nothing that lasts."""
        found = {}
        for folder, _, names in os.walk(self.agent.dir / "state"):
            for name in names:
                if not name.endswith("-shm"):
                    status = os.stat(os.path.join(folder, name))
                    found[os.path.join(folder, name)] = status.st_mtime_ns, status.st_size
        return found

    def written(self):
        pid = self.agent.process.pid
        with open(f"/proc/{pid}/task/{pid}/io", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("write_bytes"))

    def watch(self):
        """How many polls there were."""
        done, seen = 0, {s: w["last_poll"] for s, w in self.status().items()}
        while done < self.wanted:
            time.sleep(0.4)  # a stack's polls are a second apart: none is missed
            for stack, w in self.status().items():
                done += w["last_poll"] != seen[stack]
                seen[stack] = w["last_poll"]
            self.agent.sample()
        return done

    def close(self):
        self.world.close()


def run(arguments, say):
    idle = Idle(arguments)
    try:
        idle.deploy()
        before, written, began = idle.files(), idle.written(), time.monotonic()
        idle.agent.lives[-1].clear()
        done = idle.watch()
        after, now = idle.files(), idle.written()
        c = curve(idle.agent.lives[-1])
        say(f"idle: {done} polls of {STACKS} stacks in {time.monotonic() - began:.0f} s; files of state_dir changed: {sum(before.get(f) != s for f, s in after.items())} "
            f"of {len(after)}; bytes written by agentd: {now - written}; RSS {c['rss']:+d} KiB to {c['rss_last']} KiB; descriptors {c['fds'][0]} to {c['fds'][1]} "
            f"(at first {c['fds_early']} at least), at most {c['children']} children")
        # each child has two pipes, and who asks here a connection; in a quiet moment there is what there was at first
        constant = c["fds"][0] <= c["fds_early"] and c["fds"][1] <= c["fds"][0] + 2 * c["children"] + 1 and c["children"] <= STACKS + 1
        return before == after and now == written and c["rss"] <= GROWTH_LIMIT_KIB and constant
    finally:
        idle.close()
