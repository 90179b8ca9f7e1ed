#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""busy_secrets.py NODE NAME N: makes an engine meet its own bug (moby#48783) with its next N containers whose names begin with NAME.

The bug: an engine that forks while it has a file of a container's configs and secrets open cannot make their file system read-only, and gives
the container up. Here it is another process that has a file open there when the engine comes to that; to be there in time it lets the engine
go on for a tenth of a millisecond at a time. NODE is the folder of a lab's node. One line for each on standard output; ends by SIGTERM.
"""

import contextlib
import os
import pathlib
import signal
import sys
import time


STEP_NS = 100_000


def hold(folder, engine):
    """A file in the file system that the engine mounts there, as soon as it does; None: it came too late, or not at all."""
    place = folder / "mounts/secrets"
    below = folder.stat().st_dev
    end = time.monotonic() + 60
    # made for another file system, just before
    while not place.parent.exists():
        if time.monotonic() > end:
            return None
        time.sleep(STEP_NS / 1e9)
    while time.monotonic() < end:
        os.kill(engine, signal.SIGSTOP)
        try:
            if place.stat().st_dev != below:
                return os.open(place / "held", os.O_WRONLY | os.O_CREAT, 0o600)
        except FileNotFoundError:
            pass
        except OSError:
            return None
        os.kill(engine, signal.SIGCONT)
        until = time.monotonic_ns() + STEP_NS
        while time.monotonic_ns() < until:
            pass
    return None


def is_named(folder, name):
    """Its settings are written when it is made, and it is started later; None: they are not there yet."""
    try:
        return f'"Name":"/{name}' in (folder / "config.v2.json").read_text()
    except FileNotFoundError:
        return None


def engine_of(node):
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode().split("\0")
            if words[0].endswith("dockerd") and f"{node}/daemon.json" in words:
                return int(process.name)
    raise SystemExit(f"no engine runs at {node}")


def main():
    node, name, wanted = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    engine = engine_of(node)
    containers = pathlib.Path(f"/proc/{engine}/root{node}/data/containers")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # what runs instead is the engine
    known, others, held = set(), set(os.listdir(containers)), []
    print("ready", flush=True)
    try:
        while True:
            for item in set(os.listdir(containers)) - known - others:
                if not (named := is_named(containers / item, name)):
                    if named is False:
                        others.add(item)
                    continue
                known.add(item)
                if len(known) <= wanted:
                    held.append(hold(containers / item, engine))
                    os.kill(engine, signal.SIGCONT)
                    print("came too late" if held[-1] is None else "held", flush=True)
            time.sleep(0.002)
    finally:
        os.kill(engine, signal.SIGCONT)


if __name__ == "__main__":
    main()
