# SPDX-License-Identifier: Apache-2.0
"""state_dir on a small file system that fills up: no deployment starts, one that runs stands still, and goes on without a restart."""

import os
import subprocess


def small_disk(row):
    state = row.dir / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "faults", state], check=True)
    row.addCleanup(subprocess.run, ["umount", "-l", state])
    return state / "filler"


def fill(filler):
    out = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while os.write(out, b"\0" * 4096) == 4096:
            pass
    except OSError:
        pass
    os.close(out)


def inject_before_a_deployment(row):
    filler = small_disk(row)
    row.running()
    before = row.specs()
    fill(filler)
    row.change()
    row.wait(lambda: "full" in row.agent.log.read_text() or "written" in row.agent.log.read_text(), 40, "it to be noticed")
    row.assertEqual(row.specs(), before)
    row.assertTrue(row.answers())
    filler.unlink()


def inject_in_the_middle(row):
    filler = small_disk(row)
    row.running()
    stack = row.version("two")
    stack["x-release"]["steps"].append(row.job("slow", command=["sleep", "6"]))
    row.tested = row.commit(stack)
    slow = lambda: next((s["ID"] for s in row.job_services() if "slow" in s["Spec"]["Name"]), None)
    job = row.wait(slow, 40, "the slow job")
    fill(filler)
    row.wait(lambda: any(t["Status"]["State"] == "complete" for t in row.engine.tasks(job)), 40, "the job's end")
    # the migration's success cannot be recorded, so the service is not touched
    row.wait(lambda: "the journal cannot be used" in row.agent.log.read_text(), 30, "it to be noticed")
    row.serves("web", "one")
    filler.unlink()
