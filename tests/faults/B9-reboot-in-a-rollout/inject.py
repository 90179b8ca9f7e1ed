# SPDX-License-Identifier: Apache-2.0
"""Agent, engine, registry and Git end in the middle of a rollout, and come back in the wrong order: the agent first."""

import os
import signal


def inject_with_all_servers(row):
    row.running()
    row.change(HEALTH_AFTER_S=4)
    row.sent()
    for verb in ("start-engine", "start-registry", "start-git"):
        row.addCleanup(row.lab_again, verb)
    row.agent.kill()
    for pid in row.workers():
        os.kill(pid, signal.SIGKILL)
    for verb in ("stop-git", "stop-registry", "kill-engine"):
        row.lab.ctl(verb)
    row.start_ready()
    row.wait(lambda: row.waiting(), 40, "the wait to show")
    for verb in ("start-engine", "start-git", "start-registry"):
        row.lab.ctl(verb)
