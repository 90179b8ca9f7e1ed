# SPDX-License-Identifier: Apache-2.0
"""The new version does not work, and the registry does not answer any more: what ran before is on the node, and needs none."""


def inject(row):
    registry = row.registry_proxy()
    image = row.pushed("two")
    row.running(image=f"127.0.0.1:{registry.port}/web:1")
    row.change(image=f"127.0.0.1:{registry.port}/{image}", HEALTH_STATUS=500)
    row.sent()
    row.wait(lambda: row.engine.running(row.full("web")), 40, "a task")
    registry.fault(refuse=True)
