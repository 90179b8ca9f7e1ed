# SPDX-License-Identifier: Apache-2.0
"""The engine's socket is not there, or nobody behind it: that is waited for, and said."""

import os
import re


def away(row):
    os.rename(row.tap.path, f"{row.tap.path}.away")


def back(row):
    os.rename(f"{row.tap.path}.away", row.tap.path)


def waits(row, commit, *states):
    row.wait(lambda: row.record(commit) and re.search("tap.sock|does not answer", row.waiting()), 40, "the wait to show in status")
    row.assertIn(row.record(commit)["state"], states)
    row.assertTrue(row.answers(), "agentd does not answer")


def inject_missing_at_the_start(row):
    row.running()
    row.agent.stop()
    away(row)
    row.start_ready()
    waits(row, row.change(), "requested", "planned", "running")
    row.serves("web", "one")
    back(row)


def inject_vanishes_in_the_middle(row):
    row.running()
    commit = row.change(HEALTH_AFTER_S=6)
    row.sent()
    away(row)
    waits(row, commit, "running", "interrupted")
    back(row)


def inject_vanishes_between_deployments(row):
    row.running()
    away(row)
    waits(row, row.change(), "requested", "planned", "running")
    row.serves("web", "one")
    back(row)


def inject_engine_starts_after_the_agent(row):
    row.running()
    row.agent.stop()
    row.addCleanup(row.lab_again, "start-engine")
    row.lab.ctl("stop-engine")
    commit = row.change()
    row.start_ready()
    row.wait(lambda: row.record(commit) and row.waiting(), 40, "the wait to show")
    row.lab.ctl("start-engine")


def inject_engine_stopped_for_30_s(row):
    row.running()
    commit = row.change(HEALTH_AFTER_S=4)
    row.sent()
    row.addCleanup(row.lab_again, "start-engine")
    row.lab.ctl("stop-engine")
    row.works_without_engine(commit, 30)
    row.lab.ctl("start-engine")
