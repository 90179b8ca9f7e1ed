# SPDX-License-Identifier: Apache-2.0
"""One byte of what the registry sends is another: the digest does not fit, and nothing else is taken instead."""


def flipped(row, match, flip):
    registry = row.registry_proxy()
    image = row.pushed("two")
    row.running()
    fault = registry.fault(match, flip=flip, skip_head=True)
    row.change(image=f"127.0.0.1:{registry.port}/{image}")
    row.wait(lambda: fault.hits, 60, "it to be asked for")


def inject_in_the_layer(row):
    flipped(row, "^GET /v2/.*/blobs/", 60)


def inject_in_the_manifest(row):
    """Within a digest, so that it is still a manifest."""
    flipped(row, "^GET /v2/.*/manifests/", 260)
