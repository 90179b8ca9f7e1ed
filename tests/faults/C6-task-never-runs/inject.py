# SPDX-License-Identifier: Apache-2.0
"""Swarm accepts the update, and no task of it ever runs: Swarm would wait for ever, the gate does not."""


def hopeless(row, **deploy):
    row.gate = {**row.gate, "healthy_deadline": "8s"}
    row.running()
    row.change(migration=None, deploy=deploy)  # a migration would not find a node either


def inject_no_node_fits(row):
    hopeless(row, placement={"constraints": ["node.labels.gpu==yes"]})


def inject_more_memory_than_there_is(row):
    hopeless(row, resources={"reservations": {"memory": "64T"}})


def inject_node_cannot_fetch_the_image(row):
    """It is gone between the pull and the task."""
    row.gate = {**row.gate, "healthy_deadline": "8s"}
    image = row.lab.image(f"{row.name}:two")
    row.running()
    row.agent.stop()
    row.change(migration=None, image=image)
    row.start(FAULTS="roll.intent:sleep=6")
    row.reaches("roll.intent")
    row.lab.docker("rmi", "-f", image, check=False)
    for reference in row.lab.docker("images", "--digests", "--format", "{{.Repository}}@{{.Digest}}", check=False).splitlines():
        if row.name in reference:
            row.lab.docker("rmi", "-f", reference, check=False)
    row.tap.clear()
