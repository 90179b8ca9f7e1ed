# SPDX-License-Identifier: Apache-2.0
"""The engine goes on by itself; whoever comes back finds out what has happened, and gives up when that does not help."""

import contextlib
import os
import signal


def inject_at_any_moment(row):
    row.running()
    commit = row.change()
    row.wait(lambda: row.record(commit), 20, "the request")
    for _ in range(3):
        row.wait(lambda: row.run_worker() or (row.record(commit) or {}).get("state") == "succeeded", 20, "a worker")
        worker = row.run_worker()
        row.agent.kill()
        if worker:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        row.start_ready()


def inject_without_progress(row):
    """Taken up three times: stuck, and a person is called; the old version serves meanwhile."""
    row.running()
    row.agent.stop()
    commit = row.change()
    row.start(FAULTS="roll.intent:kill")
    record = row.expect(commit, "stuck", 120)
    row.agent.stop()
    row.assertIn("agentctl retry", record["reason"])
    row.serves("web", "one")
    row.assertEqual(row.volume_lines(), ["one", "two"])  # a retry is another deployment, and runs its migration
    row.start_ready()
    row.agentctl("retry", row.name, code=0)
