# SPDX-License-Identifier: Apache-2.0
"""SIGTERM, as at an upgrade, in one phase after the other of one deployment: agentd ends with 0 and leaves no worker behind, and the next
one takes the deployment up where it was."""

FETCH = "repo.downloaded"
FORWARD = (FETCH, "plan.save", "pull.before", "job.created", "roll.intent", "gate.look", "end.record")
BACK = ("putback.sent", "end.state")


def stop(row, point, commit):
    """Starts, lets a worker come to the point, stops."""
    row.start(FAULTS=f"{point}:sleep=3")
    log = row.agent.log
    before = log.read_text(errors="replace").count(f"fault point {point}:")
    row.wait(lambda: log.read_text(errors="replace").count(f"fault point {point}:") > before, 60, f"a worker to come to {point}")
    row.assertEqual(row.agent.stop(60), 0, f"exit code of agentd, stopped at {point}")
    row.assertEqual(row.workers(), [], f"a worker lives on after the stop at {point}")
    record = row.record(commit)
    if point != FETCH:
        # who was asked to stop when all was done may end it
        states = ("requested", "planned", "running", "interrupted") + (("succeeded", "rolled_back") if point.startswith("end.") else ())
        row.assertIn(record["state"], states, f"after the stop at {point}")


def inject_forward(row):
    row.running()
    row.assertEqual(row.agent.stop(), 0, "exit code of agentd, stopped when idle")
    commit = row.change()
    for point in FORWARD:
        stop(row, point, commit)
    row.start_ready()


def inject_back(row):
    row.running()
    row.agent.stop()
    commit = row.change(HEALTH_STATUS=500)
    for point in BACK:
        stop(row, point, commit)
    row.start_ready()
