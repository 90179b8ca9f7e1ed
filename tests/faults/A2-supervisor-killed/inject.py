# SPDX-License-Identifier: Apache-2.0
"""kill -9 of agentd while its worker lives: no twin is started, and the deployment counts once."""

import os


def killed(row, point):
    row.running()
    row.agent.stop()
    row.change()
    row.start(FAULTS=f"{point}:sleep=5")
    row.reaches(point)
    worker = row.run_worker()
    row.assertIsNotNone(worker)
    row.agent.kill()
    row.assertTrue(os.path.exists(f"/proc/{worker}"), "the worker died with agentd")
    row.start_ready()


def inject_after_the_plan(row):
    killed(row, "plan.saved")


def inject_before_a_pull(row):
    killed(row, "pull.before")


def inject_during_the_migration(row):
    killed(row, "job.created")


def inject_before_sending(row):
    killed(row, "roll.intent")


def inject_before_the_gate(row):
    killed(row, "roll.sent")
