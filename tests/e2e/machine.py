# SPDX-License-Identifier: Apache-2.0
"""A machine with the Debian package on it: a container that systemd boots, on the lab's network, with the lab's engine."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from harness import HERE, lab, wait_for

TOP = HERE.parent.parent
UNIT = "deploy-agent"


def package():
    """The .deb, which tests/package/build keeps while the tree stays as it is."""
    folder = os.environ.get("E2E_PACKAGE", TOP / "build-test-package")
    suite = [os.environ["E2E_SUITE"]] if "E2E_SUITE" in os.environ else []
    return subprocess.run([TOP / "tests/package/build", folder, *suite], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def newer(deb, folder):
    """The same package, with a version after it."""
    tree = pathlib.Path(folder, "newer")
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)", r"\1+later", control.read_text(), flags=re.M))
    subprocess.run(["dpkg-deb", "-b", tree, f"{folder}/newer.deb"], check=True, stdout=subprocess.DEVNULL)
    return f"{folder}/newer.deb"


def may_exceed_limits():
    """Has this machine CAP_SYS_RESOURCE to give?"""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"CapBnd:\s*(\w+)", status)[1], 16) >> 24 & 1


class Machine:
    """A container with systemd as PID 1, the agent installed, and users inside and outside of the agent's group."""

    def __init__(self, case):
        self.case = case
        self.name = case.name
        self.state = tempfile.mkdtemp(prefix="deploy-agent-unit.", dir="/var/tmp")
        case.addCleanup(self.remove)
        image = lab().tool("systemd-image", "--suite", os.environ.get("E2E_SUITE", "bookworm")).strip()
        # of a capability that the machine does not have, old engines must be told, and newer ones refuse to hear
        old = int(lab().docker("version", "--format", "{{.Server.Version}}").split(".")[0]) < 23
        drop = ["--cap-drop", "SYS_RESOURCE"] if old or may_exceed_limits() else []
        lab().docker("run", "-d", "--name", self.name, "--network", "host", "--cap-add", "ALL", *drop,
                     "--security-opt", "seccomp=unconfined", "--tmpfs", "/run", "--tmpfs", "/tmp", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
                     "-v", f"{os.path.dirname(lab().socket)}:/engine", "-v", f"{lab().env['GIT_ROOT']}:/srv/git:ro",
                     "-v", f"{self.state}:/exchange", image)
        wait_for(lambda: self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 30, "systemd")
        self.install()

    def run(self, *command, check=False):
        run = subprocess.run(lab().enter("docker", "exec", self.name, *command), capture_output=True, text=True, errors="replace")
        if check and run.returncode != 0:
            raise AssertionError(f"{command}: {run.stdout}{run.stderr}")
        return run

    def sh(self, script):
        return self.run("sh", "-euc", script, check=True).stdout.strip()

    def put(self, path, text, mode="0644", owner="root:root"):
        name = f"{self.state}/file"
        pathlib.Path(name).write_text(text)
        self.sh(f"cp /exchange/file {path} && chown {owner} {path} && chmod {mode} {path}")

    def install(self):
        self.dpkg_install(package())
        self.sh("""
            useradd -G deploy-agent reader && useradd stranger
            chgrp docker /engine/docker.sock # the lab's own: root reaches it in any case""")

    def dpkg_install(self, deb):
        """The image is without documents, but for ours."""
        shutil.copy(deb, f"{self.state}/package.deb")
        return self.sh("dpkg --path-include='/usr/share/doc/deploy-agent/*' -i /exchange/package.deb 2>&1")

    def properties(self, *names):
        out = self.run("systemctl", "show", UNIT, *(f"--property={n}" for n in names), check=True).stdout
        return dict(line.split("=", 1) for line in out.splitlines())

    def sees_each_process_end(self):
        """On cgroups v1 no event tells systemd that a unit's last process is gone. 252 looks by itself; 256 and later, which support v1
        no more, wait for all of TimeoutStopSec where the last one died with the first: seen with 257, and a worker beside its agentd."""
        version = int(self.sh("systemctl --version").split()[1])
        return version < 256 or self.sh("stat -f -c %T /sys/fs/cgroup") == "cgroup2fs"

    def pid(self):
        return int(self.properties("MainPID")["MainPID"])

    def active(self):
        return self.properties("ActiveState")["ActiveState"] == "active"

    def journal(self, *matches):
        out = self.run("journalctl", "-o", "json", "--no-pager", "-u", UNIT, *matches).stdout
        return [json.loads(line) for line in out.splitlines()]

    def said(self, text):
        return [e for e in self.journal() if isinstance(e.get("MESSAGE"), str) and text in e["MESSAGE"]]

    def agentctl(self, *words, user="reader"):
        return self.run("setpriv", f"--reuid={user}", "--init-groups", f"--regid={user}", "agentctl", *words)

    def remove(self):
        lab().docker("rm", "-f", "-v", self.name, check=False)
        shutil.rmtree(self.state, ignore_errors=True)
