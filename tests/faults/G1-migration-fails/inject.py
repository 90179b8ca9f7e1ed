# SPDX-License-Identifier: Apache-2.0
"""The migration's container cannot be started at all."""


def inject_no_such_entrypoint(row):
    row.running()
    row.change(entrypoint=["/no/such/program"])
