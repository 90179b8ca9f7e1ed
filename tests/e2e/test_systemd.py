# SPDX-License-Identifier: Apache-2.0
"""The Debian package under a real systemd: installed in a container that systemd boots, on the lab's network.

The sandbox must let through what agent-worker does (git over file, https and ssh, SQLite, the engine's socket), and
nothing that it does not need.
"""

import json
import os
import pathlib
import shutil
import subprocess
import time

from harness import PATIENCE, Case, deadline, lab, long, wait_for
from machine import TOP, UNIT, Machine, newer, package

MESSAGES = {}
for line in (TOP / "include/agent/events.h").read_text().splitlines():
    if line.startswith("#define MESSAGE_"):
        _, name, value = line.split()
        MESSAGES[name.removeprefix("MESSAGE_")] = value.strip('"')


class Unit(Case):
    limit = 400

    def setUp(self):
        super().setUp()
        self.machine = Machine(self)

    def doCleanups(self):
        if self._outcome and not self._outcome.success and hasattr(self, "machine"):
            print(self.machine.run("journalctl", "--no-pager", "-u", UNIT, "-n", "80").stdout)
        return super().doCleanups()

    def configure_unit(self, agent="", stacks="", stack=None, **settings):
        values = {"repository": f"file:///srv/git/{self.name}.git", "file": "stack.yml", "poll_interval": "1s", **settings}
        text = f"[agent]\ndocker = unix:///engine/docker.sock\n{agent}\n[http]\nlisten =\n[stack {stack or self.name}]\n"
        text += "".join(f"{k} = {v}\n" for k, v in values.items()) + stacks
        self.machine.put("/etc/deploy-agent/agent.conf", text, "0640", "root:deploy-agent")

    def start_unit(self):
        self.machine.run("systemctl", "start", UNIT, check=True)

    def record_of(self, commit, state):
        def look():
            run = self.machine.agentctl("log", self.name, "--json")
            found = [d for d in json.loads(run.stdout or "[]") if d["commit"] == commit] if run.returncode == 0 else []
            return found[0] if found and found[0]["state"] == state else None

        return wait_for(look, 60, lambda: f"{commit[:7]} {state}: " + self.machine.agentctl("log", self.name).stdout)

    @long
    def test_quickstart(self):
        """The five commits of tests/quickstart in the sandbox. Verdicts, tables and what runs are looked at there; here, what is systemd's."""
        m, stack = self.machine, "wheel-analyzer"
        self.addCleanup(self.remove_volumes, "wheel.analyzer")
        self.addCleanup(self.remove_stack, stack)
        self.addCleanup(shutil.rmtree, pathlib.Path(lab().env["GIT_ROOT"], f"{stack}.git"), ignore_errors=True)
        lab().tool("repo", stack)
        m.put("/etc/deploy-agent/wheel-analyzer.env", f"REGISTRY={self.registry}\nSECRET_KEY=of-the-test\nPOSTGRES_PASSWORD=of-the-test\n"
              "DATABASE_URL=postgres://wheel_analyzer:of-the-test@wheel_analyzer_db:5432/wheel_analyzer\n", "0640", "root:deploy-agent")
        self.configure_unit(stack=stack, repository=f"{lab().env['GIT_HTTP_URL']}/{stack}.git", file="deploy/stack.yml",
                            env_file="/etc/deploy-agent/wheel-analyzer.env")
        self.start_unit()
        gate = json.dumps({**self.gate, "healthy_deadline": deadline(15)})
        run = subprocess.run([TOP / "tests/quickstart.d/story", lab().dir, self.dir, *lab().enter("docker", "exec", m.name, "agentctl")],
                             env={**os.environ, "GATE": gate, "DEADLINE": str(round(90 * PATIENCE))}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(run.returncode, 0, run.stdout)
        p = m.properties("ActiveState", "Type", "NRestarts", "User")
        self.assertEqual(p, {"ActiveState": "active", "Type": "notify", "NRestarts": "0", "User": "deploy-agent"})
        wait_for(lambda: m.properties("StatusText")["StatusText"] == "1 stack", 10, "the status line")
        # events carry their fields and their explanation
        ends = {MESSAGES[f"DEPLOYMENT_{state}"]: state for state in ("SUCCEEDED", "FAILED", "ROLLED_BACK")}
        events = [e for e in m.journal() if e.get("MESSAGE_ID") in ends]
        self.assertEqual([(e["DEPLOYMENT"], ends[e["MESSAGE_ID"]]) for e in events],
                         [("1", "SUCCEEDED"), ("2", "SUCCEEDED"), ("3", "FAILED"), ("4", "ROLLED_BACK"), ("5", "SUCCEEDED")])
        self.assertEqual([(e["STACK"], e["COMMIT"]) for e in events],
                         [(stack, d["commit"]) for d in reversed(json.loads((self.dir / "log.json").read_text()))])
        self.assertIn("Nothing has to be done", m.run("journalctl", "-x", "--no-pager", "-u", UNIT).stdout)
        # who may read, who may act, who may do nothing
        self.assertEqual(m.agentctl("status").returncode, 0)
        run = m.agentctl("pause", stack)
        self.assertEqual(run.returncode, 1)
        self.assertIn("control_uids", run.stderr)
        self.assertNotEqual(m.agentctl("log", user="stranger").returncode, 0)
        self.assertNotEqual(m.agentctl("status", user="stranger").returncode, 0)
        self.assertEqual(m.run("agentctl", "pause", stack).returncode, 0)
        modes = m.sh("stat -c '%a %U %G %n' /run/deploy-agent/control.sock /run/deploy-agent /var/lib/deploy-agent /var/lib/deploy-agent/journal.db")
        self.assertEqual(modes.splitlines(), ["660 deploy-agent deploy-agent /run/deploy-agent/control.sock",
                                              "750 deploy-agent deploy-agent /run/deploy-agent",
                                              "750 deploy-agent deploy-agent /var/lib/deploy-agent",
                                              "640 deploy-agent deploy-agent /var/lib/deploy-agent/journal.db"])

    def test_all_transports_in_the_sandbox(self):
        m, env = self.machine, lab().env
        commit = self.commit(self.stack())
        name = self.name
        for file, path in (("ca.pem", env["GIT_CA_FILE"]), ("known_hosts", env["GIT_SSH_KNOWN_HOSTS"])):
            m.put(f"/etc/deploy-agent/{file}", pathlib.Path(path).read_text())
        m.put("/etc/deploy-agent/key", pathlib.Path(env["GIT_SSH_KEY"]).read_text(), "0640", "root:deploy-agent")
        m.put("/etc/deploy-agent/token", env["GIT_PASSWORD"] + "\n", "0640", "root:deploy-agent")
        more = (f"[stack {name}-https]\nrepository = {env['GIT_HTTPS_AUTH_URL']}/{name}.git\nusername = {env['GIT_USER']}\n"
                f"token_file = /etc/deploy-agent/token\nca_file = /etc/deploy-agent/ca.pem\nfile = stack.yml\n"
                f"[stack {name}-ssh]\nrepository = {env['GIT_SSH_URL']}/{name}.git\nssh_key = /etc/deploy-agent/key\nfile = stack.yml\n")
        self.addCleanup(self.remove_stack, f"{name}-https")
        self.addCleanup(self.remove_stack, f"{name}-ssh")
        self.configure_unit(stacks=more)
        self.start_unit()

        def done():
            run = m.agentctl("log", "--json")
            records = json.loads(run.stdout or "[]") if run.returncode == 0 else []
            return {d["stack"] for d in records if d["state"] == "succeeded" and d["commit"] == commit} == {name, f"{name}-https", f"{name}-ssh"}

        wait_for(done, 90, lambda: "three deployments: " + m.agentctl("log").stdout + m.agentctl("status").stdout)
        run = m.agentctl("check", name)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_the_sandbox_is_closed(self):
        m = self.machine
        self.configure_unit()
        self.start_unit()
        # who the processes are, as the kernel sees them
        status = dict(line.split(":\t", 1) for line in m.sh(f"cat /proc/{m.pid()}/status").splitlines() if ":\t" in line)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2")
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[kind], 16), 0, kind)
        self.assertNotEqual(status["Uid"].split()[0], "0")
        mounts = m.sh(f"cat /proc/{m.pid()}/mountinfo").splitlines()
        root = [f for f in (line.split() for line in mounts) if f[4] == "/"][-1]
        self.assertIn("ro", root[5].split(","))
        # by the lab's systemd: the machine that runs the tests may have none
        m.sh("systemd-analyze verify --man=no deploy-agent.service 2>&1 | { ! grep . ; }")
        m.sh("systemd-analyze security --offline=true --threshold=15 \"$(systemctl show --value -p FragmentPath deploy-agent.service)\"")

    def test_a_hanging_agentd_is_restarted(self):
        m = self.machine
        m.sh("mkdir -p /etc/systemd/system/deploy-agent.service.d")
        m.put("/etc/systemd/system/deploy-agent.service.d/watchdog.conf", "[Service]\nWatchdogSec=5\nRestartSec=1\n")
        m.sh("systemctl daemon-reload")
        self.configure_unit()
        self.start_unit()
        time.sleep(12)
        self.assertEqual(m.properties("NRestarts")["NRestarts"], "0")  # it is fed
        first = m.pid()
        m.sh(f"kill -STOP {first}")
        wait_for(lambda: m.active() and m.pid() not in (0, first), 30, "a new agentd")
        self.assertEqual(m.properties("NRestarts")["NRestarts"], "1")

    def in_a_step(self, stack=None):
        """A deployment that is in the middle of a job."""
        commit = self.commit(stack or self.stack({"steps": [self.job(command=["sleep", "20"])]}))
        self.record_of(commit, "running")
        wait_for(lambda: "run migrate" in self.machine.properties("StatusText")["StatusText"], 30,
                 lambda: "the step in the status line: " + self.machine.properties("StatusText")["StatusText"])
        return commit

    def test_killed_in_a_step(self):
        """KillMode=mixed: with agentd its workers die; the next one takes the deployment up again, and no job runs twice."""
        m = self.machine
        if not m.sees_each_process_end():
            self.skipTest("cgroups v1, which this systemd does not support: it may not see that a unit's processes are gone")
        self.commit(self.stack())
        self.configure_unit()
        self.start_unit()
        commit = self.in_a_step()
        worker = m.sh("pgrep -f 'agent-worker .* run'")
        m.sh(f"kill -KILL {m.pid()}")
        wait_for(lambda: m.run("kill", "-0", worker).returncode != 0, 10, "the worker to die as well")
        self.record_of(commit, "succeeded")
        self.assertEqual(m.properties("NRestarts")["NRestarts"], "1")

    def test_stopped_in_a_step(self):
        m = self.machine
        self.commit(self.stack())
        self.configure_unit()
        self.start_unit()
        commit = self.in_a_step()
        m.run("systemctl", "stop", UNIT, check=True)
        self.assertEqual(m.properties("Result", "ExecMainStatus"), {"Result": "success", "ExecMainStatus": "0"})
        self.assertEqual(m.run("pgrep", "agent-worker").stdout, "")
        self.assertFalse(m.said("did not stop within"))
        self.assertEqual(m.sh("test -e /run/deploy-agent && echo there || echo gone"), "gone")
        self.record_of(commit, "interrupted")  # agentctl reads the record without agentd
        self.start_unit()
        self.record_of(commit, "succeeded")

    def test_a_newcomer(self):
        """Installed, and nothing else done: `agentctl check` names what is missing, and the command that it shows mends it."""
        m = self.machine
        self.assertEqual(m.run("systemctl", "is-enabled", UNIT).stdout.strip(), "enabled")
        start = m.run("systemctl", "start", UNIT)
        self.assertNotEqual(start.returncode, 0)  # a person is told
        self.assertEqual(m.properties("ActiveState")["ActiveState"], "inactive")  # a boot is not spoiled
        m.sh("""
            printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo && printf '#!/bin/sh\ntest -w "$1"\n' >/usr/local/bin/sudoedit
            chmod 755 /usr/local/bin/sudo /usr/local/bin/sudoedit""")

        def lines(word):
            run = m.run("agentctl", "check")
            self.assertEqual(run.returncode, 1 if "\nFAIL" in "\n" + run.stdout else 0, run.stdout + run.stderr)
            return [line for line in run.stdout.splitlines() if line.startswith(word)]

        def mend(*words):
            """One line fails, with these words; what it shows is typed, and it fails no more."""
            failed = lines("FAIL")
            self.assertEqual(len([f for f in failed if all(word in f for word in words)]), 1, failed)
            failed, = [f for f in failed if all(word in f for word in words)]
            m.sh(failed.split("mend it with: ")[1])
            self.assertNotIn(failed, lines("FAIL"))

        mend("configuration", "No such file")
        self.assertEqual(m.sh("stat -c '%a %U %G' /etc/deploy-agent/agent.conf"), "640 root deploy-agent")
        failed = lines("FAIL")
        self.assertTrue(any("no stack is configured" in f for f in failed), failed)
        self.commit(self.stack())
        self.configure_unit(env_file="/etc/deploy-agent/env")
        mend("env_file", "No such file")
        m.sh("chmod 0644 /etc/deploy-agent/env")
        mend("env_file", "every user")
        m.sh("chown root:root /etc/deploy-agent/env && chmod 0600 /etc/deploy-agent/env")
        mend("env_file", "Permission denied")
        m.sh("chown root:root /etc/deploy-agent/agent.conf && chmod 0600 /etc/deploy-agent/agent.conf")
        mend("configuration", "for user deploy-agent")
        m.sh("gpasswd -d deploy-agent docker")
        mend("engine", "Permission denied")
        m.sh("mv /var/lib/deploy-agent /var/lib/moved")
        mend("state_dir")
        self.assertEqual(lines("FAIL"), [])
        note, = [n for n in lines("note") if "agentd is not running" in n]
        m.sh(note.split("start it with: ")[1])
        self.assertTrue(m.active())
        self.assertEqual(lines("note"), [])

    def test_the_package_on_its_way(self):
        """Upgraded in the middle of a step and of a rollout, and stopped, removed, purged: no job runs twice, services run on, what people wrote stays."""
        m = self.machine
        self.commit(self.stack())
        self.configure_unit()
        self.start_unit()
        later = newer(package(), m.state)
        steps = [self.job("mark", ["append", "/data/runs", "ran"]), self.job(command=["sleep", "20"])]
        commit = self.in_a_step(self.stack({"steps": steps}, volumes={"data": {}}, web=self.web(volumes=["data:/data"])))
        conf, before = m.sh("cat /etc/deploy-agent/agent.conf"), m.pid()
        m.dpkg_install(later)
        self.assertTrue(m.active())
        self.assertNotIn(m.pid(), (0, before))
        self.assertTrue(m.sh("dpkg-query -W -f '${Version}' deploy-agent").endswith("+later"))
        record = self.record_of(commit, "succeeded")
        self.assertTrue(m.said("up again"), "the upgrade did not come in the middle of the deployment")
        self.assertEqual([x["state"] for x in record["migrations"]], ["applied", "applied"])
        self.assertEqual(self.volume_lines(), ["ran"])
        # in the middle of the rollout: the update was sent, its gate is open
        rolled = self.stack({"gate": {**self.gate, "min_healthy_time": "15s"}}, web=self.web(VERSION="two"))
        commit = self.commit(rolled)
        self.record_of(commit, "running")
        wait_for(lambda: "VERSION=two" in self.spec("web")["TaskTemplate"]["ContainerSpec"].get("Env", []), 60, "the update")
        before = m.pid()
        m.dpkg_install(package())
        self.assertNotIn(m.pid(), (0, before))
        record = self.record_of(commit, "succeeded")
        self.assertTrue(m.said(f"taking deployment #{record['id']} up again"), "the upgrade did not come in the middle of the rollout")
        self.serves("web", "two")
        # who has stopped it, meant it
        m.sh(f"systemctl stop {UNIT}")
        m.dpkg_install(later)
        self.assertFalse(m.active())
        self.start_unit()
        m.sh("dpkg -r deploy-agent")
        self.assertEqual(m.run("systemctl", "is-active", UNIT).stdout.strip(), "inactive")
        self.assertEqual(m.sh("pgrep agentd || pgrep agent-worker || echo none"), "none")
        m.sh("test -e /var/lib/deploy-agent/journal.db")
        said = m.sh("dpkg -P deploy-agent 2>&1")
        self.assertIn("removing /var/lib/deploy-agent", said)
        self.assertIn("/etc/deploy-agent is kept", said)
        m.sh("test ! -e /var/lib/deploy-agent")
        self.assertEqual(m.sh("cat /etc/deploy-agent/agent.conf"), conf)
        self.assertIsNotNone(self.engine.service(f"{self.name}_web"))

    def test_reload_and_bad_configuration(self):
        m = self.machine
        self.configure_unit()
        self.start_unit()
        self.configure_unit(agent="colour = red")
        m.run("systemctl", "reload", UNIT)
        wait_for(lambda: m.journal(f"MESSAGE_ID={MESSAGES['RELOAD_REFUSED']}"), 10, "the refusal")
        self.assertTrue(m.active())
        self.assertIn("agent.conf:3: [agent] colour: unknown key", m.journal(f"MESSAGE_ID={MESSAGES['RELOAD_REFUSED']}")[0]["MESSAGE"])
        # workers do not see the refused file
        commit = self.commit(self.stack())
        self.record_of(commit, "succeeded")
        # but a start does, once, with the code for it
        m.run("systemctl", "restart", UNIT)
        wait_for(lambda: m.properties("ActiveState")["ActiveState"] == "failed", 10, "the refusal to start")
        time.sleep(6)
        self.assertEqual(m.properties("ExecMainStatus", "NRestarts", "ActiveState"),
                         {"ExecMainStatus": "78", "NRestarts": "0", "ActiveState": "failed"})
