# SPDX-License-Identifier: Apache-2.0
"""What the registry has, or says, cannot be an image for this swarm: nothing of it runs, and nobody else gets the password."""

import base64
import io
import json
import tarfile

MANIFEST = "^(GET|HEAD) /v2/.*/manifests/"


def put(tar, name, text):
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    tar.addfile(entry, io.BytesIO(text.encode()))


def inject_another_platform(row):
    """It exists, for another processor."""
    reference = row.lab.image(f"{row.name}:two", {"etc/which": "two"})
    saved, changed = row.dir / "saved.tar", row.dir / "changed.tar"
    row.lab.docker("save", "-o", saved, reference)
    row.lab.docker("rmi", "-f", reference)
    with tarfile.open(saved) as old, tarfile.open(changed, "w") as new:
        manifest, = json.load(old.extractfile("manifest.json"))
        config = json.load(old.extractfile(manifest["Config"]))
        config["architecture"] = "s390x"
        put(new, "changed.json", json.dumps(config))
        put(new, "manifest.json", json.dumps([{**manifest, "Config": "changed.json"}]))
        for layer in manifest["Layers"]:
            new.addfile(old.getmember(layer), old.extractfile(layer))
    row.lab.docker("load", "-i", changed)
    row.lab.docker("push", reference)
    row.lab.docker("rmi", "-f", reference)
    row.running()
    row.within("healthy_deadline", 8)
    row.change(image=reference)


def inject_huge_manifest(row):
    registry = row.registry_proxy()
    image = row.pushed("two")
    row.running()
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": f"sha256:{'0' * 64}"}
    text = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [], "annotations": {"x": "y" * (50 << 20)}})
    registry.fault(MANIFEST, status=200, body=text, headers={"Content-Type": kind})
    row.change(image=f"127.0.0.1:{registry.port}/{image}")


def inject_sent_to_another_host(row):
    """The password is for the registry alone, also where that one answers with a redirect."""
    password = row.canary("registry-7c1f0e93-word")
    registry, other = row.registry_proxy(), row.registry_proxy()
    heard = []
    other.fault(lambda data: heard.append(data) or False)
    auth = row.dir / "docker-config.json"
    auth.touch(mode=0o600)
    auth.write_text(json.dumps({"auths": {f"127.0.0.1:{registry.port}": {"auth": base64.b64encode(f"user:{password}".encode()).decode()}}}))
    image = row.pushed("two")
    text = row.conf.read_text()
    row.conf.write_text(f"{text}\n[registry]\nauth_file = {auth}\n")
    row.running()
    registry.fault("^(GET|HEAD) /v2/", redirect=f"http://127.0.0.1:{other.port}/v2/")
    row.change(image=f"127.0.0.1:{registry.port}/{image}")
    row.ended(row.tested, 60)
    for word in (password, base64.b64encode(f"user:{password}".encode()).decode()):
        row.assertNotIn(word.encode(), b"".join(heard))
