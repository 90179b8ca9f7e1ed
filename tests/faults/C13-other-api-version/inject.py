# SPDX-License-Identifier: Apache-2.0
"""An engine that is older than the agent can use is refused, and that is said; one that is newer is spoken to in the version that both know."""


def engine_of(row, version):
    row.tap.fault("^HEAD /_ping", answer=f"HTTP/1.1 200 OK\r\nApi-Version: {version}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


def inject_too_old(row):
    row.running()
    engine_of(row, "1.30")
    commit = row.change()
    row.wait(lambda: row.record(commit) and "speaks API 1.30" in row.waiting() + (row.record(commit)["reason"] or ""), 40, "the refusal")


def inject_newer(row):
    engine_of(row, "1.99")
    row.running()
    row.change()
