# SPDX-License-Identifier: Apache-2.0
"""Who cannot record does not deploy; that is said, and ends by itself."""

import re
import subprocess


def inject(row):
    state = row.dir / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "faults", state], check=True)
    row.addCleanup(subprocess.run, ["umount", "-l", state])
    row.running()
    row.agent.stop()
    row.watch.stop()
    row.tap.requests.clear()
    subprocess.run(["mount", "-o", "remount,ro", state], check=True)
    row.change()
    row.start_ready()
    row.wait(lambda: re.search("read-?only", row.agent.log.read_text(), re.I), 40, "it to be noticed")
    row.agentctl("sync", row.name, code=1)
    row.assertEqual(row.tap.effects(), [])
    row.serves("web", "one")
    subprocess.run(["mount", "-o", "remount,rw", state], check=True)
