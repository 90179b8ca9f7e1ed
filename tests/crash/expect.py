# SPDX-License-Identifier: Apache-2.0
"""What is said when something does not hold, and how long is waited for it."""

import os
import time

# Everything may take longer on a busy machine, nothing may take forever.
PATIENCE = float(os.environ.get("CRASH_PATIENCE", "2"))


class Failure(AssertionError):
    """An invariant does not hold."""


def check(condition, message):
    if not condition:
        raise Failure(message() if callable(message) else message)


def same(have, want, what):
    if have != want:
        raise Failure(f"{what}:\n  is        {have!r}\n  should be {want!r}")


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {seconds * PATIENCE:.0f} s for {what}")
        time.sleep(0.1)
