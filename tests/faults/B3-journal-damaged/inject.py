# SPDX-License-Identifier: Apache-2.0
"""A record that was damaged is kept beside, and a person is asked; what runs is found as it runs."""

import sqlite3

from harness import wait_for


def damage(row):
    row.watch.stop()
    for name in ("journal.db-wal", "journal.db-shm"):
        (row.dir / "state" / name).unlink(missing_ok=True)
    with open(row.dir / "state/journal.db", "r+b") as f:
        f.seek(0)
        f.write(b"\xff" * 8192)


def broken(row):
    return list((row.dir / "state").glob("journal.db.broken-*"))


def inject_page_1(row):
    """Nothing restarts, and what was for the first deployment is not done again."""
    stack = row.version("one")
    stack["x-release"]["steps"][0]["run"]["when"] = "first_deploy"
    row.tested = row.commit(stack)
    row.running(commit=row.tested)
    tasks = row.task_ids("web")
    row.agent.stop()
    damage(row)
    row.start_ready()
    row.assertTrue(broken(row))
    row.assertIn("the journal was damaged", row.status()["paused"]["reason"])
    row.agentctl("resume", row.name, code=0)
    row.expect(row.tested, "succeeded")
    row.assertEqual(row.task_ids("web"), tasks)
    row.migrates = False  # on record are those of the new journal: none


def inject_newer_schema(row):
    """Of a newer program: it is left as it is, and nothing is done."""
    row.running()
    row.agent.stop()
    path = row.dir / "state/journal.db"
    with sqlite3.connect(path) as db:
        version, = db.execute("PRAGMA user_version").fetchone()
        db.execute("PRAGMA user_version = 999")
    row.change()
    row.start()
    wait_for(lambda: "newer" in row.agent.log.read_text(), 20, "the refusal")
    run = row.agentctl("log", row.name, "--json")
    row.assertIn("newer", run.stderr)
    row.assertNotEqual(run.returncode, 0)
    row.agent.stop()
    row.assertEqual(row.tap.effects(), [])
    row.assertEqual(broken(row), [])
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {version}")


def inject_while_a_commit_is_held(row):
    """The hold is lost with the record: nothing is deployed until a person has looked, also over the next start."""
    row.running()
    held = row.commit(row.version("two", HEALTH_STATUS=500))
    row.expect(held, "rolled_back")
    tasks = row.task_ids("web")
    row.agent.stop()
    damage(row)
    # somebody looks while agentd is down: that worker begins the new journal
    row.agentctl("plan", row.name)
    row.assertTrue(broken(row))
    row.start_ready()
    row.in_state(held, "requested")
    row.agent.kill()
    row.start_ready()
    row.agentctl("sync", row.name)
    row.assertIn("the journal was damaged", row.status()["paused"]["reason"])
    row.assertEqual(row.record(held)["state"], "requested")
    row.assertEqual(row.task_ids("web"), tasks)
