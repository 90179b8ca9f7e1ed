# SPDX-License-Identifier: Apache-2.0
"""The machine gives next to nothing: that is slow, and right."""

import contextlib
import socket
import threading


def inject_journald_is_stopped(row):
    """Nobody reads what agentd and its workers write there: they go on all the same, and say afterwards that lines are missing."""
    folder = row.dir / "journald"
    folder.mkdir()
    journald = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    row.addCleanup(journald.close)
    journald.bind(str(folder / "socket"))
    row.agentd_in_its_own("--mount", "mount -t tmpfs tmpfs /run", "mkdir -p /run/systemd/journal", f"mount --bind {folder} /run/systemd/journal",
                          "export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2)")
    row.running()
    row.assertTrue(row.answers(), "agentd does not answer")
    row.change(migration=("sleep", "3"))
    row.wait(row.job_services, 60, "the migration")
    read = []

    def reader():
        with contextlib.suppress(OSError):
            while data := journald.recv(1 << 16):
                read.append(data.decode(errors="replace"))

    threading.Thread(target=reader, daemon=True).start()
    row.wait(lambda: any("could not be written to the journal" in text for text in read), 40, lambda: f"the lost lines to be told of: {read[-3:]}")
    row.wait(lambda: any("succeeded after" in text and "MESSAGE_ID=" in text and f"STACK={row.name}\n" in text and "SYSLOG_IDENTIFIER=agentd\n" in text for text in read), 40, lambda: f"the end to be written: {read[-3:]}")


def inject_hardly_any_cpu(row):
    """A twentieth of one processor, for all of its processes."""
    row.running()
    put, _ = row.group("cpu", cpu__cfs_period_us=100000, cpu__cfs_quota_us=5000)
    put(row.agent.pid)
    row.change()
    row.ended(row.tested, 140)


def inject_memory_is_tight(row):
    """What they have read is thrown out of memory again and again."""
    row.running()
    put, _ = row.group("memory", memory__limit_in_bytes=24 << 20)
    put(row.agent.pid)
    row.change()
    row.ended(row.tested, 140)
