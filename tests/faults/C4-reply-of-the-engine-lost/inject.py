# SPDX-License-Identifier: Apache-2.0
"""The connection to the engine breaks after a request was sent and before its answer came: done, but not known."""


def stack(row, version):
    stack = row.version(version, configs=["motd"])
    stack["configs"] = {"motd": {"file": "./motd"}}
    return stack


def lost(row, pattern):
    row.running(commit=row.commit(stack(row, "one"), motd="one\n"))
    dropped = row.tap.fault(pattern.replace("WEB", row.engine.service(row.full("web"))["ID"]), drop_reply=True, times=1)
    row.tested = row.commit(stack(row, "two"), motd="two\n")
    row.wait(lambda: dropped.hits, 60, "the request")


def inject_update_of_a_service(row):
    lost(row, "^POST /services/WEB/update")


def inject_creation_of_the_job(row):
    lost(row, "^POST /services/create")


def inject_creation_of_a_config(row):
    lost(row, "^POST /configs/create")


def inject_removal_of_the_job(row):
    lost(row, "^DELETE /services/")


def inject_reading(row):
    lost(row, "^GET /tasks")
