# SPDX-License-Identifier: Apache-2.0
"""The same file, deployed by `docker stack deploy` and by the agent: what the engine has afterwards is the same, to the last field.

Here is what a node can run for real; what the CLI sends for odder files is compared without an engine in tests/stack.
"""

import json
import pathlib
import shutil
import zlib

from harness import Case, long, wait_for

FILES = pathlib.Path(__file__).resolve().parent / "conformance"


def stripped(value):
    """Without our own labels."""
    if isinstance(value, dict):
        return {k: stripped(v) for k, v in value.items() if not k.startswith("deploy-agent.")}
    return [stripped(v) for v in value] if isinstance(value, list) else value


class Conformance(Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.remove_outsiders)
        # tests run beside each other on one node
        port = 20000 + zlib.crc32(self.name.encode()) % 1000 * 10
        self.variables = {"REGISTRY": self.registry, "NAME": self.name, "PORT": str(port // 10)}

    def remove_outsiders(self):
        self.lab.docker("secret", "rm", f"{self.name}-outside", check=False)

    def state(self):
        """All that the engine has of the stack, IDs of other objects replaced by their names."""
        networks = {n["Id"]: n["Name"] for n in self.engine.get("/networks")}
        found = {}
        for service in self.engine.services(self.name):
            spec = stripped(service["Spec"])
            task = spec["TaskTemplate"]
            for attachment in task.get("Networks", []):
                attachment["Target"] = networks[attachment["Target"]]
            for kind, id_name in ("Secrets", "SecretID"), ("Configs", "ConfigID"):
                for reference in task["ContainerSpec"].get(kind, []):
                    reference.pop(id_name)
            found["service " + spec["Name"]] = spec
        label = {"label": [f"com.docker.stack.namespace={self.name}"]}
        for kind in "configs", "secrets":
            for item in self.engine.get(f"/{kind}", filters=label):
                found[f"{kind} " + item["Spec"]["Name"]] = stripped(item["Spec"])
        for item in self.engine.get("/networks", filters=label):
            body = {k: item[k] for k in ("Driver", "Scope", "Internal", "Attachable", "Ingress", "EnableIPv6", "Options", "Labels", "IPAM")}
            if "named" not in item["Name"] and "of-its-own" not in item["Name"]:
                body.pop("IPAM")  # a subnet of the engine's choice
            body["Options"].pop("com.docker.network.driver.overlay.vxlanid_list", None)
            found["network " + item["Name"]] = stripped(body)
        return found

    def deploy_with_the_cli(self, file):
        self.lab.docker("stack", "deploy", "--resolve-image", "always", "-c", file, self.name, cwd=self.clone, environment=self.variables)

    def compare(self, name):
        shutil.copytree(FILES / "files", self.clone / "files")
        self.lab.docker("secret", "create", f"{self.name}-outside", FILES / "files/password.txt")
        text = (FILES / name).read_text()
        plain = self.clone / "plain.yml"
        plain.write_text(text)
        self.deploy_with_the_cli(plain)
        theirs = self.state()

        # theirs, taken over: nothing differs
        release = "x-release: " + json.dumps({"gate": self.gate}) + "\n"
        commit = self.commit(text + release)
        self.configure(stack={"env_file": self.env_file(**self.variables)})
        wait_for(lambda: all(self.settled(s) for s in self.engine.services(self.name)), 60, "the CLI's stack to run")
        self.start()
        record = self.expect(commit, "succeeded")
        self.assertEqual([s["action"] for s in record["services"] if s["action"] != "none"], [], record)
        self.assertEqual(self.state(), theirs)

        # and ours from nothing
        self.agent.stop()
        self.remove_stack(self.name)
        again = self.commit(text + release, message="again")
        self.start()
        record = self.expect(again, "succeeded", 90)
        self.assertEqual({s["action"] for s in record["services"]}, {"create"})
        ours = self.state()
        self.assertEqual(sorted(ours), sorted(theirs))
        for key in theirs:
            self.assertEqual(ours[key], theirs[key], key)

        # which the CLI would not change
        versions = {s["Spec"]["Name"]: self.task_ids(s["Spec"]["Name"].removeprefix(self.name + "_")) for s in self.engine.services(self.name)}
        self.deploy_with_the_cli(plain)
        self.assertEqual(self.state(), theirs)
        for service, tasks in versions.items():
            self.assertEqual(self.task_ids(service.removeprefix(self.name + "_")), tasks, service)

    def settled(self, service):
        wanted = service["Spec"]["Mode"].get("Replicated", {"Replicas": 1})["Replicas"]
        return len(self.engine.running(service["Spec"]["Name"])) >= wanted


for file in sorted(FILES.glob("*.yml")):
    def test(self, name=file.name):
        self.compare(name)
    # the others as specs: tests/stack
    setattr(Conformance, "test_" + file.stem, test if file.stem in ("deploy", "ports") else long(test))
