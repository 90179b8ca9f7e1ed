# SPDX-License-Identifier: Apache-2.0
"""No worker can be started, or the kernel ends it: that is said, and tried again."""

import pathlib


def change_with_a_secret(row, word):
    """For an agentd that is yet to be started."""
    secret = row.canary(word)
    row.configure(stack={"env_file": row.env_file(APP_PASSWORD=secret)})
    row.running()
    row.agent.stop()
    row.change()


def inject_fork_refused(row):
    """agentd answers, says why nothing happens, and goes on when there is room for processes again."""
    row.running()
    put, write = row.group("pids")
    put(row.agent.pid)
    write(pids__max=1)
    row.change()
    row.wait(lambda: "Resource temporarily unavailable" in (row.status()["poll_error"] or ""), 40, lambda: f"it to be said: {row.status()['poll_error']!r}")
    row.assertTrue(row.answers(), "agentd does not answer")
    row.assertEqual(row.get("web"), "one")
    write(pids__max="max")


def inject_out_of_memory(row):
    """The kernel ends the worker in a migration, whose job runs on."""
    change_with_a_secret(row, "memory-0f7a4c1e-word")
    row.start(FAULTS="job.created:sleep=4")
    row.reaches("job.created")
    put, write = row.group("memory")
    worker = row.run_worker()
    put(worker)
    write(memory__limit_in_bytes=64 << 10)
    row.wait(lambda: not pathlib.Path(f"/proc/{worker}").exists(), 40, "the kernel to end it")


def inject_abort(row):
    """As after an allocation that failed. Cores would have secrets in them: the unit allows none."""
    change_with_a_secret(row, "aborted-3b9d2e55-word")
    row.agentd_in_its_own("--uts", "ulimit -c 0", f"cd {row.dir}")
    row.start(FAULTS="roll.intent:abort")
    row.reaches("roll.intent")
    row.wait(lambda: "ended by signal 6" in row.agent.log.read_text(errors="replace"), 30, "agentd to see it")
    row.agent.kill()
    row.agentd_in_its_own(None)
    row.start_ready()
    row.assertEqual([p for p in row.dir.rglob("core*") if p.is_file() and ".git" not in str(p)], [])
