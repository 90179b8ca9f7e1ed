# SPDX-License-Identifier: Apache-2.0
"""A migration prints more than anybody reads, with a secret and escape sequences in it."""

import os


def inject(row):
    word = row.canary("canary-4711-in-the-output")
    row.configure(stack={"env_file": row.env_file(DB_PASSWORD=word)})
    row.running()
    megabytes = 1000 if os.environ.get("TESTS_FULL") else 12
    stack = row.version("two")
    stack["x-release"]["steps"] += [row.job("spam", ["spam", str(megabytes << 20)], timeout="300s"), row.job("say", ["say", "\x1b[2Jcleared", "it is ${DB_PASSWORD}"])]
    row.tested = row.commit(stack)
    record = row.ended(row.tested, 200)
    shown = row.agentctl("show", str(record["id"]), "--logs").stdout
    row.assertIn("quick brown fox", shown)
    row.assertIn("cleared", shown)
    row.assertNotIn("\x1b", shown)
    row.assertLess(len(shown), 2 << 20)
    row.assertLess(sum(f.stat().st_size for f in (row.dir / "state").glob("journal.db*")), 16 << 20)
