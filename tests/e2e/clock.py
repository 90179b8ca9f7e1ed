# SPDX-License-Identifier: Apache-2.0
"""Another time of day for one agent, and the right time for everything else."""

import time


def zone_at(shown):
    """A value of TZ: a time zone in which it is that time now, "11:59:50"."""
    hours, minutes, seconds = map(int, shown.split(":"))
    ahead = (hours * 60 + minutes) * 60 + seconds - int(time.time()) % 86400
    return f"XXX{'-' if ahead >= 0 else '+'}{abs(ahead) // 3600:02}:{abs(ahead) // 60 % 60:02}:{abs(ahead) % 60:02}"
