# SPDX-License-Identifier: Apache-2.0
"""A new version that is well now and then, or in part."""


def inject_flapping(row):
    """Healthy for a second, unhealthy for the next three: never for as long as it has to be, however seldom a busy machine asks."""
    row.gate = {**row.gate, "success_threshold": 6}
    row.running()
    row.within("healthy_deadline", 20)
    flaps = "while :; do echo 200 >/tmp/s; /bin/busybox sleep 1; echo 500 >/tmp/s; /bin/busybox sleep 3; done & exec /web"
    row.change(migration=None, HEALTH_FILE="/tmp/s", entrypoint=["/bin/sh", "-c", flaps])


def inject_one_of_three(row):
    """The check by name would pass two times of three: each new task is asked."""
    three = {"replicas": 3, "update_config": {"monitor": "1s", "order": "start-first", "parallelism": 0}}
    row.running(deploy=three)
    row.within("healthy_deadline", 25)
    for slot, status in ((1, 200), (2, 200), (3, 500)):
        (row.volume() / f"status-{slot}").write_text(f"{status}\n")
    row.change(deploy=three, HEALTH_FILE="/data/status-{{.Task.Slot}}")
