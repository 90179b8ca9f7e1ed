# SPDX-License-Identifier: Apache-2.0
"""Swarm accepts the update, and no task of it ever runs: Swarm would wait for ever, the gate does not."""


def hopeless(row, **deploy):
    row.running()
    row.gate = {**row.gate, "healthy_deadline": "20s"}
    row.change(migration=None, deploy=deploy)  # a migration would not find a node either


def inject_no_node_fits(row):
    hopeless(row, placement={"constraints": ["node.labels.gpu==yes"]})


def inject_more_memory_than_there_is(row):
    hopeless(row, resources={"reservations": {"memory": "64T"}})
