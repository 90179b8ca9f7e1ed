# SPDX-License-Identifier: Apache-2.0
"""Swarm's verdict on an update before ours still stands in the service: it is not taken for one on ours."""


def spoilt(row, action, state):
    """Somebody updates the service so that it cannot run, and what Swarm makes of it stays; then our update comes."""
    stack = row.version("one")
    stack["services"]["web"]["deploy"]["update_config"].update(failure_action=action)
    row.running(commit=row.commit(stack))
    row.agentctl("pause", row.name, code=0)

    def refuse(spec):
        spec["TaskTemplate"]["ContainerSpec"].setdefault("Env", []).append("REFUSE=1")
        spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "any", "Delay": 200_000_000}
        spec["UpdateConfig"]["Monitor"] = 10_000_000_000

    row.engine.update(row.full("web"), refuse)
    row.wait(lambda: (row.engine.service(row.full("web")).get("UpdateStatus") or {}).get("State") == state, 60, f"Swarm's {state}")
    row.change()
    row.agentctl("resume", row.name, code=0)


def inject_rollback_completed(row):
    spoilt(row, "rollback", "rollback_completed")


def inject_paused(row):
    spoilt(row, "pause", "paused")
