# SPDX-License-Identifier: Apache-2.0
"""Swarm's verdict on an update before ours still stands in the service: it is not taken for one on ours."""


def spoilt(row, action, state):
    """Somebody updates the service so that it cannot run, and what Swarm makes of it stays."""
    stack = row.version("one")
    stack["services"]["web"]["deploy"]["update_config"].update(failure_action=action)
    row.running(commit=row.commit(stack))
    row.agentctl("pause", row.name, code=0)

    def refuse(spec):
        spec["TaskTemplate"]["ContainerSpec"].setdefault("Env", []).append("REFUSE=1")
        spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "any", "Delay": 200000000}

    kept = row.spec("web")
    row.engine.update(row.full("web"), refuse)
    row.wait(lambda: (row.engine.service(row.full("web")).get("UpdateStatus") or {}).get("State") == state, 60, f"Swarm's {state}")
    return kept


def go_on(row, state):
    stack = row.version("two")
    row.agentctl("resume", row.name, code=0)
    row.tested = row.commit(stack)
    return state


def inject_rollback_completed(row):
    spoilt(row, "rollback", "rollback_completed")
    go_on(row, "rollback_completed")


def inject_paused(row):
    kept = spoilt(row, "pause", "paused")
    go_on(row, "paused")
    del kept
