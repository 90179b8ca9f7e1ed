# SPDX-License-Identifier: Apache-2.0
"""Everything that was written and not synced is gone: what the journal has returned from is there all the same.

shim.c keeps a copy of each file as it was when a sync of it had succeeded. A worker is killed right after a random commit, agentd with it, and
the journal is replaced by those copies. Not simulated: writes that reach the disk in another order, and folders that lose a name."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3

from harness import wait_for

TABLES = ("deployment", "plan", "step", "service", "image", "migration", "stack", "audit")
SEED = os.environ.get("SEED") or os.urandom(4).hex()


def rows(folder, scratch):
    """All that is on record, read from a copy: reading makes a -shm."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for path in folder.glob("journal.db*"):
        if not path.name.endswith("-shm") and ".part" not in path.name:
            shutil.copy(path, scratch)
    with sqlite3.connect(scratch / "journal.db") as db:
        found = {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
        ok, = db.execute("PRAGMA integrity_check").fetchone()
    return found, ok


def lose_power(row, synced):
    """All end; then the journal is as the disk has it."""
    state = row.dir / "state"
    row.watch.stop()  # its reading is no part of the disk
    workers = row.workers()
    for pid in [row.agent.pid, *workers]:
        os.kill(pid, signal.SIGSTOP)  # what is in the air is no commit yet
    for pid in [row.agent.pid, *workers]:
        os.kill(pid, signal.SIGKILL)
    row.agent.kill()
    wait_for(lambda: not row.workers(), 20, "the workers to end")
    acknowledged, _ = rows(state, row.dir / "scratch")
    kept, ok = rows(synced, row.dir / "scratch")
    row.assertEqual(ok, "ok")
    lost = {table: [r for r in acknowledged[table] if r not in kept[table]] for table in TABLES if kept[table] != acknowledged[table]}
    row.assertEqual(lost, {}, "what was committed, and is not on the disk")
    for path in state.glob("journal.db*"):
        path.unlink()
    for path in synced.glob("journal.db*"):
        if ".part" not in path.name:
            shutil.copy(path, state)


def inject(row):
    rng = random.Random(SEED)
    synced = row.dir / "synced"
    synced.mkdir()
    row.shim(SHIM_SYNCED=synced)
    row.running()
    row.agent.stop()
    commit = row.change()
    for _ in range(3):
        nth = rng.randint(2, 14)
        print(f"SEED={SEED}: after commit {nth}")
        row.start(FAULTS=f"journal.committed:stop:nth={nth}")
        row.wait(lambda: stopped(row) or (row.record(commit) or {}).get("state") == "succeeded", 60, "a commit, or the end")
        lose_power(row, synced)
    row.start_ready()


def stopped(row):
    """Did one of the agent's processes come to the commit?"""
    for pid in [row.agent.pid, *row.workers()]:
        with contextlib.suppress(OSError):
            if open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T":
                return True
    return False
