# SPDX-License-Identifier: Apache-2.0
"""dockerd restarts in the middle of a rollout: what has become of it is found out, and nothing is sent a second time."""


def restarted(row, verb):
    row.running()
    commit = row.change(HEALTH_AFTER_S=4)
    row.sent()
    label = row.spec("web")["Labels"]["deploy-agent.deployment"]
    row.addCleanup(row.lab_again, "start-engine")
    row.lab.ctl(verb)
    row.wait(row.waiting, 40, "it to be noticed")
    row.assertIn(row.record(commit)["state"], ("running", "interrupted"))
    row.lab.ctl("start-engine")
    row.expect(commit, "succeeded", 120)
    row.assertEqual(row.spec("web")["Labels"]["deploy-agent.deployment"], label)


def inject_killed(row):
    restarted(row, "kill-engine")


def inject_stopped(row):
    restarted(row, "stop-engine")
