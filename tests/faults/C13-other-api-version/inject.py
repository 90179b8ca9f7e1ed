# SPDX-License-Identifier: Apache-2.0
"""An engine that is older than the agent can use is refused, and that is said. A newer one is what the lab's engine 26.1 is (tests/run lab --full)."""


def inject(row):
    row.running()
    row.tap.fault("^HEAD /_ping", answer=b"HTTP/1.1 200 OK\r\nApi-Version: 1.30\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    row.change()
