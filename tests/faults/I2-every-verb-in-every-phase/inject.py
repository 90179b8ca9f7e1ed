# SPDX-License-Identifier: Apache-2.0
"""People say everything at any time: each verb has its answer in each phase of a deployment, and none of them disturbs it. (`cancel`, which
does, has tests of its own.)"""

BUSY = r"^agentctl: #\d+ is (requested|planned|running); wait for its end, or agentctl cancel"


def say(row, verb, code, answer, *words):
    run = row.agentctl(verb, row.name, *words)
    row.assertEqual(run.returncode, code, f"{verb}: {run.stdout}{run.stderr}")
    row.assertRegex(run.stdout + run.stderr, answer, verb)


def say_all(row):
    """While something runs."""
    say(row, "pause", 0, r"is paused; #\d+ goes on to its end")
    say(row, "retry", 1, BUSY)
    say(row, "rollback", 1, BUSY)
    say(row, "rollback", 1, BUSY, "1")
    say(row, "approve", 1, "no commit of .* waits for approval")
    say(row, "sync", 0, "^")
    say(row, "resume", 0, "^")
    row.agentctl("plan", row.name, code=2)


def soaks(row):
    return any(s["kind"] == "soak" and s["state"] == "running" for s in row.show(row.record(row.tested)["id"])["steps"])


def inject_those_that_wait_their_turn(row):
    row.gate = {**row.gate, "soak": "25s"}
    row.running()
    say(row, "cancel", 1, "nothing of .* is under way")
    say(row, "retry", 1, "is not held: there is nothing to retry")
    say(row, "approve", 1, "no commit of .* waits for approval")
    row.agent.stop()
    row.start_ready(FAULTS="putback.sent:sleep=15")
    stack = row.version("two", image=f"{row.registry}/{row.name}:two", HEALTH_AFTER_S=12)
    stack["x-release"]["steps"].append(row.job("wait", ["sleep", "15"]))
    row.tested = row.commit(stack)
    phases = (lambda: row.name in row.waiting(), row.job_containers, lambda: "VERSION=two" in str(row.spec("web")), lambda: soaks(row))
    for n, phase in enumerate(phases):
        row.wait(phase, 60, f"phase {n}")
        say_all(row)
        row.assertNotIn(row.record(row.tested)["state"], ("succeeded", "failed", "rolled_back"), f"phase {n} was over too early")
        if n == 0:
            row.lab.image(f"{row.name}:two")
    row.expect(row.tested, "succeeded")
    row.change("three", migration=None, HEALTH_STATUS=500)
    row.reaches("putback.sent")
    say_all(row)
    row.expect(row.tested, "rolled_back", 90)
    say(row, "cancel", 1, "nothing of .* is under way")
