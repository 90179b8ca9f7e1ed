# SPDX-License-Identifier: Apache-2.0
"""An allocation fails. By design nobody goes on without it: the process ends at once or reports an error, what it had done is on record,
and another takes the deployment up."""

import os
import random
import re
import signal
import subprocess

from harness import Case

SEED = os.environ.get("SEED") or os.urandom(4).hex()


def inject_in_a_deployment(row):
    """Of three workers one after the other, at three random places."""
    rng = random.Random(SEED)
    places = ",".join(str(round(10 ** rng.uniform(2.5, 4.6))) for _ in range(3))
    print(f"SEED={SEED}: allocations {places}")
    row.running()
    row.agent.stop()
    row.change()
    row.shim(SHIM_MALLOC=places, SHIM_MALLOC_SEEN=row.dir / "seen")
    row.start()
    row.ended(row.tested, 120)
    row.assertIn("shim: an allocation fails", row.agent.log.read_text(errors="replace"))


def render(row, k):
    environment = {**os.environ, **row.shimmed, "SHIM_MALLOC": str(k)}
    return subprocess.run([Case.program(row, "agent-worker"), "--config", row.conf, "render", row.clone / "stack.yml", "--stack", row.name], env=environment, capture_output=True, text=True)


def inject_in_pure_code(row):
    """Reading a stack file and making specs of it, with each allocation failing once (with --full; else with some): the result is the whole one, or none."""
    row.commit(row.version("one"))
    row.shim()
    good = render(row, 0)
    row.assertEqual(good.returncode, 0, good.stderr)
    last = 1 << 20
    while last > 1 and "allocation fails" not in render(row, last).stderr:
        last //= 2
    row.assertGreater(last, 100, "the shim does nothing")
    rng = random.Random(SEED)
    places = range(1, last * 2) if "TESTS_FULL" in os.environ else sorted(rng.sample(range(1, last * 2), 60))
    ends = {}
    for k in places:
        run = render(row, k)
        what = f"SEED={SEED}: allocation {k}: exit {run.returncode}, {run.stderr[-300:]}"
        row.assertIn(run.returncode, (0, 1, -signal.SIGABRT, *range(64, 79)), what)
        if run.returncode == 0:
            row.assertEqual(run.stdout, good.stdout, what)
        elif run.returncode > 0:
            row.assertTrue(re.sub("shim: .*\n", "", run.stderr).strip(), f"it failed without a word: {what}")
        ends[run.returncode] = ends.get(run.returncode, 0) + 1
    print(f"exit codes: {ends}")
