# SPDX-License-Identifier: Apache-2.0
"""The host has no network, or no names: the engine's socket is there, and polls fail. That is said once, agentd answers, and catches up."""

import subprocess

from harness import wait_for


def begin(row):
    row.configure(stack={"repository": f"{row.lab.env['GIT_HTTPS_URL']}/{row.name}.git", "ca_file": row.lab.env["GIT_CA_FILE"]})
    row.running()
    row.agent.stop()
    row.change()


def fails(row, pattern):
    """For several polls in a row."""
    row.start()
    row.wait(lambda: row.status()["poll_error"], 90, "the poll to fail")
    row.assertRegex(row.status()["poll_error"], pattern)
    for _ in range(2):
        failed = row.status()["last_poll"]
        row.wait(lambda failed=failed: row.status()["last_poll"] != failed, 90, "another poll")
        row.assertTrue(row.answers(), "agentd does not answer")
    lines = [line for line in row.agent.log.read_text(errors="replace").splitlines() if "poll" in line and not line.startswith("debug")]
    row.assertLessEqual(len(lines), 4, lines)
    row.assertIsNone(row.record(row.tested))
    row.assertEqual(row.get("web"), "one")
    row.agent.stop()


def again(row):
    row.agentd_in_its_own(None)
    row.configure(stack={"repository": f"{row.lab.env['GIT_HTTPS_URL']}/{row.name}.git", "ca_file": row.lab.env["GIT_CA_FILE"]})
    row.start_ready()


def inject_all_of_it(row):
    begin(row)
    row.agentd_in_its_own("--net")
    fails(row, "(?i)connect|unreachable|network")
    again(row)


def inject_no_names(row):
    begin(row)
    row.configure(stack={"repository": f"https://git.nowhere.test/{row.name}.git"})
    fails(row, "git.nowhere.test")
    again(row)


def inject_names_that_take_long(row):
    """Whoever is asked does not answer."""
    begin(row)
    silent = "import socket,time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.77', 53)); print('there', flush=True); time.sleep(600)"
    server = subprocess.Popen(row.lab.enter("python3", "-c", silent), stdout=subprocess.PIPE, text=True)
    row.addCleanup(server.wait)
    row.addCleanup(server.kill)
    wait_for(lambda: server.stdout.readline().strip() == "there", 20, "the server")
    (row.dir / "resolv.conf").write_text("nameserver 127.0.0.77\n")
    row.configure(stack={"repository": f"https://git.nowhere.test/{row.name}.git"})
    row.agentd_in_its_own("--mount", f"mount --bind {row.dir}/resolv.conf $(realpath /etc/resolv.conf)")
    fails(row, "git.nowhere.test")
    again(row)
