# SPDX-License-Identifier: Apache-2.0
"""The layer of a new image comes slowly, not to its end, or not at all. Slow is no fault; what stands still is given up, and the version before
serves all the while."""

import random

LAYER = "^GET /v2/.*/blobs/"


def behind_a_slow_line(row, size, **fault):
    registry = row.registry_proxy()
    text = random.Random(row.name).randbytes(size).hex()
    image = row.pushed("two", {"etc/large": text})
    row.running()
    fault = registry.fault(LAYER, skip_head=True, **fault)
    row.change(image=f"127.0.0.1:{registry.port}/{image}")
    row.wait(lambda: fault.hits, 60, "the layer to be asked for")
    return fault


def tells(row):
    """Whoever looks on sees how far it is."""
    live = row.wait(lambda: (row.status()["step"] or {}).get("live"), 60, "the pull to tell how far it is")
    row.assertEqual(live["of"], "layers")
    row.assertLess(live["done"], live["total"])


def inject_slow(row):
    behind_a_slow_line(row, 24 << 10, throttle=6 << 10)
    row.serves("web", "one")
    tells(row)


def inject_cut_for_good(row):
    """The engine itself tries five more times, later and later."""
    behind_a_slow_line(row, 64 << 10, cut_after=0)
    tells(row)


def inject_cut_twice(row):
    behind_a_slow_line(row, 64 << 10, cut_after=40000, times=2)


def inject_stands_still(row):
    """Nothing comes any more, and nothing breaks."""
    behind_a_slow_line(row, 64 << 10, throttle=1)
