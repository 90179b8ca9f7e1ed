#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What a poll costs: repo_tip() in a process of its own against `git ls-remote URL refs/heads/main`, over HTTP and
HTTPS on loopback. Runs alternate; medians of CPU (user + system, children included) and of wall time.
Usage: bench_tip.py [RUNS]; exits 1 when a ratio is above 1.3 (README of the bar: 0.7 to 1.3).
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import remotes

DRIVE = os.environ.get("REPO_DRIVE", str(pathlib.Path(__file__).resolve().parents[2] / "build/tests/repo/repo_drive"))


def measure(argv, env):
    start = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=env)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{argv} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000, wall * 1000


def compare(name, ours, git, env, runs):
    samples = {"ours": [], "git": []}
    for i in range(runs + 2):
        for side, argv in (("ours", ours), ("git", git)):
            sample = measure(argv, env)
            if i >= 2:  # the first ones warm the caches
                samples[side].append(sample)
    medians = {side: [statistics.median(s[k] for s in values) for k in (0, 1)] for side, values in samples.items()}
    ratios = [medians["ours"][k] / medians["git"][k] for k in (0, 1)]
    print(f"{name}: cpu {medians['ours'][0]:.2f} / {medians['git'][0]:.2f} ms = {ratios[0]:.2f}, "
          f"wall {medians['ours'][1]:.2f} / {medians['git'][1]:.2f} ms = {ratios[1]:.2f}  ({runs} runs)")
    return ratios


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    root = pathlib.Path(tempfile.mkdtemp(prefix="repo-bench-", dir="/var/tmp"))
    servers = remotes.Servers(root)
    try:
        repo = remotes.Repository(servers.repositories, "bench")
        repo.commit("one", {"stack.yml": "services: {}\n"})
        for i in range(50):
            repo.push(f"HEAD:refs/heads/topic-{i}")
        env = dict(remotes.GIT_ENV, GIT_SSL_CAINFO=f"{root}/ca.pem")
        worst = 0.0
        for name, url, more in (
            ("http", f"http://127.0.0.1:{servers.http_port}/git/bench.git", []),
            ("https", f"https://127.0.0.1:{servers.https_port}/git/bench.git", [f"ca_file={root}/ca.pem"]),
        ):
            ours = [DRIVE, f"repository={url}", *more, "tip"]
            worst = max(worst, *compare(name, ours, ["git", "ls-remote", url, "refs/heads/main"], env, runs))
    finally:
        servers.stop()
        shutil.rmtree(root)
    return 1 if worst > 1.3 else 0


if __name__ == "__main__":
    sys.exit(main())
