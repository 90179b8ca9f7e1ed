# SPDX-License-Identifier: Apache-2.0
"""The node has no place for the new image, or it is cleaned away between the pull and the rollout: the old version goes on serving."""

import pathlib
import random
import subprocess


def inject_pruned_before_the_rollout(row):
    registry = row.registry_proxy()
    image = row.pushed("two")
    row.running()
    row.within("healthy_deadline", 8)
    row.agent.stop()
    row.change(image=f"127.0.0.1:{registry.port}/{image}")
    row.start(FAULTS="roll.intent:sleep=4")
    row.reaches("roll.intent")
    registry.fault(refuse=True)
    names = row.lab.docker("images", "--digests", "--format", "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}").split()
    for name in names:
        if row.name in name and "<none>" not in name:
            row.lab.docker("rmi", "-f", name, check=False)


def inject_disk_full(row):
    """Where the engine puts what it downloads there is one MiB."""
    image = row.pushed("two", {"etc/large": random.Random(row.name).randbytes(4 << 20).hex()})
    row.running()
    init = pathlib.Path(row.lab.dir, "node1/init.pid").read_text().strip()
    place = f"{row.lab.dir}/node1/data/tmp"
    # umount(8) wants a /proc
    gone = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).umount2({place.encode()!r}, 2))"
    row.addCleanup(subprocess.run, ["nsenter", "-t", init, "-m", "python3", "-c", gone], check=True)
    subprocess.run(["nsenter", "-t", init, "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    row.change(image=f"{row.registry}/{image}")
