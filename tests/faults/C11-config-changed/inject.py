# SPDX-License-Identifier: Apache-2.0
"""A config and a secret change their content under the same name, while they are in use: Swarm lets nobody edit them, so the new content has
a name of its own, and the old one goes after a success only."""


def stack(row, version, **web):
    stack = row.version(version, configs=["motd"], secrets=["word"], **web)
    stack["configs"], stack["secrets"] = {"motd": {"file": "./motd"}}, {"word": {"file": "./word"}}
    return stack


def objects(row, kind):
    return sorted(o["Spec"]["Name"] for o in row.engine.get(f"/{kind}", filters={"label": [f"com.docker.stack.namespace={row.name}"]}))


def used(row, kind):
    return [o[f"{kind[:-1].capitalize()}Name"] for o in row.spec("web")["TaskTemplate"]["ContainerSpec"][kind.capitalize()]]


def inject_new_content_that_fails(row):
    row.running(commit=row.commit(stack(row, "one"), motd="one\n", word="first\n"))
    before = {kind: used(row, kind) for kind in ("configs", "secrets")}
    row.tested = row.commit(stack(row, "two", HEALTH_STATUS=500), motd="two\n", word="second\n")
    row.sent()
    for kind, names in before.items():
        row.assertNotEqual(used(row, kind), names, f"{kind}: the old name has new content")
    row.ended(row.tested, 90)
    for kind, names in before.items():
        row.assertEqual(used(row, kind), names, f"{kind} after the services were put back")
        row.assertTrue(set(names) <= set(objects(row, kind)), f"{kind} in use were removed")
