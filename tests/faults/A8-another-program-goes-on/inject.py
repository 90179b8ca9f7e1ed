# SPDX-License-Identifier: Apache-2.0
"""The programs are replaced in the middle of a deployment."""

import os
import shutil
import sqlite3

from harness import wait_for


def in_a_migration(row):
    row.running()
    row.agent.stop()
    row.change()
    row.start(FAULTS="job.created:sleep=4")
    row.reaches("job.created")


def inject_files_alone(row):
    """As a package manager does it: new files under the old names. agentd runs on with its old one, starts new workers, and is started anew later."""
    folder = row.dir / "installed"
    folder.mkdir()
    names = ("agentd", "agent-worker", "agentctl")
    found = {name: row.program(name) for name in names}

    def install():
        for name in names:
            shutil.copy(found[name], folder / f"{name}.new")
            os.rename(folder / f"{name}.new", folder / name)

    install()
    row.program = lambda name: folder / name
    in_a_migration(row)
    install()
    worker = row.run_worker()
    os.kill(worker, 9)
    row.sent()
    row.agent.stop()
    row.start_ready()


def inject_back_to_an_older_one(row):
    """It does not know the record's schema: it says so, and touches neither record nor services; the newer one goes on."""
    in_a_migration(row)
    row.agent.stop()
    path = row.dir / "state/journal.db"
    with sqlite3.connect(path) as db:
        version, = db.execute("PRAGMA user_version").fetchone()
        db.execute("PRAGMA user_version = 999")
    before = row.tap.effects()
    row.start()
    wait_for(lambda: "newer" in row.agent.log.read_text(errors="replace"), 20, "the refusal")
    row.agent.stop()
    row.assertEqual(row.tap.effects(), before)
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {version}")
    row.start_ready()
