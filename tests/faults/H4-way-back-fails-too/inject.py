# SPDX-License-Identifier: Apache-2.0
"""The new version does not work, and what ran before does not come up either: a person is needed, and told of both."""


def inject(row):
    """From its node and from its registry; the one old task is gone already, since the new one needs its place."""
    registry = row.registry_proxy()
    row.lab.image(f"{row.name}:one", {"etc/which": "1"})
    old = f"127.0.0.1:{registry.port}/{row.name}:one"
    order = {"update_config": {"monitor": "1s", "order": "stop-first"}}
    row.running(image=old, deploy=order)
    row.within("healthy_deadline", 20)
    row.change(HEALTH_STATUS=500, deploy=order)
    row.sent()
    row.wait(lambda: [t for t in row.engine.running(row.full("web")) if old not in t["Spec"]["ContainerSpec"]["Image"]], 40, "the new task")
    registry.fault(refuse=True)
    containers = row.lab.docker("ps", "-aq", "--filter", f"ancestor={old}").split()
    if containers:
        row.lab.docker("rm", "-f", *containers, check=False)
    for reference in row.lab.docker("images", "--digests", "--format", "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}").split():
        if f"{row.name}" in reference and "<none>:" not in reference:
            row.lab.docker("rmi", "-f", reference, check=False)
