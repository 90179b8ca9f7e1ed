# SPDX-License-Identifier: Apache-2.0
"""The engine takes connections and does not answer: a request whose effect is not known is looked after, not sent again."""


def inject_silent_for_a_while(row):
    """The update arrives and its reply does not; then nobody answers for a while."""
    row.running()
    web = row.engine.service(row.full("web"))["ID"]
    commit = row.change()
    update = row.tap.fault(f"^POST /services/{web}/update", drop_reply=True, times=1)
    row.wait(lambda: update.hits, 60, "the update")
    row.tap.fault(r"^\w+ /", silent=True)
    row.wait(lambda: "engine" in row.waiting() or "nothing came" in row.waiting() or "no complete answer" in row.waiting(), 90, "the wait to show")
    row.assertEqual(row.record(commit)["state"], "running")
    row.assertTrue(row.answers(), "agentd does not answer")
    row.tap.clear()


def inject_frozen(row):
    """Swarm may take the silence of its own node for the death of the task, and pause the update: then that is a failure."""
    row.running()
    commit = row.change(HEALTH_AFTER_S=4)
    row.sent()
    row.addCleanup(row.lab_again, "thaw-engine")
    row.lab.ctl("freeze-engine")
    row.works_without_engine(commit, 60)
    row.lab.ctl("thaw-engine")
