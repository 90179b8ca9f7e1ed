# SPDX-License-Identifier: Apache-2.0
"""The registry, or what stands before it, says no: what may pass is waited out within image_wait, and nothing is touched meanwhile. Denied counts
as not there yet: some registries deny what does not exist."""

DENIED = '{"errors":[{"code":"DENIED","message":"denied"}]}'


def new_image(row, **fault):
    """A version whose image is new, behind a registry in trouble."""
    registry = row.registry_proxy()
    image = row.pushed("two")
    row.running()
    before = row.specs(), row.task_ids("web")
    fault = registry.fault(**fault)
    row.change(image=f"127.0.0.1:{registry.port}/{image}")
    return registry, fault, before


def until_mended(row, *words, **fault):
    registry, fault, before = new_image(row, **fault)
    row.wait(lambda: all(word in row.waiting() for word in (*words, str(registry.port))), 40, lambda: f"the wait to show: {row.waiting()!r}")
    row.assertEqual((row.specs(), row.task_ids("web")), before)
    row.serves("web", "one")
    fault.over()


def for_good(row, **fault):
    registry, fault, before = new_image(row, **fault)
    row.ended(row.tested)
    row.assertEqual((row.specs(), row.task_ids("web")), before)
    # no storm: pauses between the tries, of which each is a few requests
    row.assertLess(registry.connections, 60, registry.requests)


def inject_refused(row):
    until_mended(row, refuse=True)


def inject_denied(row):
    until_mended(row, "denied", "not there yet", match="^(GET|HEAD) /v2/e2e", status=403, body=DENIED, headers={"Content-Type": "application/json"})


def inject_too_many(row):
    for_good(row, match="^(GET|HEAD) /v2/", status=429, body='{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}',
             headers={"Retry-After": "30", "Content-Type": "application/json"})


def inject_internal_error(row):
    for_good(row, match="^(GET|HEAD) /v2/", status=500, body="<html>oops</html>")
