# SPDX-License-Identifier: Apache-2.0
"""Somebody pushes over the tag: what it meant when the plan was made is what runs everywhere, and what ran before is what is put back."""


def push(row, text):
    """The tag `prod` is another image now; its digest."""
    row.lab.image(f"{row.name}:prod", {"etc/which": text})
    return row.engine.get(f"/distribution/{row.registry}/{row.name}:prod/json")["Descriptor"]["digest"]


def image(row, service="web"):
    return row.spec(service)["TaskTemplate"]["ContainerSpec"]["Image"].partition("@")[2]


def inject_in_a_run(row):
    """Between the migration, whose image it is, too, and the services."""
    tag = f"{row.registry}/{row.name}:prod"
    push(row, "1")
    row.running(image=tag)
    digest = push(row, "2")
    stack = row.version("two", image=tag)
    stack["x-release"]["steps"].insert(0, row.job("wait", ["sleep", "5"]))
    row.migrates = False  # that one leaves no line
    stack["services"]["other"] = row.web(image=tag)
    row.tested = row.commit(stack)
    row.wait(row.job_services, 60, "the migration")
    job, = row.job_services()
    row.assertNotEqual(push(row, "3"), digest)
    row.assertTrue(job["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].endswith(digest), job["Spec"])
    row.ended(row.tested)
    row.assertEqual((image(row), image(row, "other")), (digest, digest))


def inject_before_the_way_back(row):
    tag = f"{row.registry}/{row.name}:prod"
    digest = push(row, "1")
    row.running(image=tag)
    push(row, "2")
    row.change(image=tag, HEALTH_STATUS=500)
    row.sent()
    row.assertNotEqual(image(row), digest)
    push(row, "3")
    row.ended(row.tested, 90)
    row.assertEqual(image(row), digest)
