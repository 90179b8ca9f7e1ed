# SPDX-License-Identifier: Apache-2.0
"""Rows that are proved by tests elsewhere: named as tests/run prints them, `GROUP NAME`. Looked up in its results, or run now."""

import fnmatch
import os
import pathlib
import re
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
LINE = re.compile(r"(ok|not ok|skip) (\S+ .+?)(?: \(\d+\.\d s\)| \d+\.\d| # .*)?$")
SKIPPED = 77


class Proofs:
    def __init__(self, programs):
        self.programs = programs
        self.wanted = []
        self.known = {}  # GROUP NAME → verdict

    def read(self, lines):
        for line in lines:
            if match := LINE.match(line):
                self.known[match[2]] = match[1]

    def want(self, patterns):
        self.wanted += patterns

    def fitting(self, pattern):
        return {name: verdict for name, verdict in self.known.items() if fnmatch.fnmatchcase(name, pattern)}

    def verdict(self, patterns):
        """Exit code and output, as of a test that was run."""
        bad, skipped = [], []
        for pattern in patterns:
            found = self.fitting(pattern)
            bad += [f"there is no test {pattern}"] if not found else [f"{v} {n}" for n, v in found.items() if v == "not ok"]
            skipped += [n for n, v in found.items() if v == "skip"]
        if bad:
            return 1, "\n".join(bad), 0.0
        return (SKIPPED, f"SKIP {', '.join(skipped)}", 0.0) if skipped else (0, "", 0.0)

    def run_missing(self, jobs):
        groups = {}
        for pattern in self.wanted:
            if not self.fitting(pattern):
                group, _, name = pattern.partition(" ")
                groups.setdefault(group, []).append(name)
        for group, names in groups.items():
            for command, environment, folder in self.commands(group, names, jobs):
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", cwd=folder,
                                      env={**os.environ, **environment})
                lines = done.stdout.splitlines()
                if group == "crash":
                    lines = [re.sub(r"^(ok|not ok|skip) ", r"\1 crash ", line) for line in lines]
                elif group == "agentd":
                    lines = [re.sub(r"^(ok|not ok) \d+ - ", r"\1 agentd ", line) for line in lines]
                self.read(lines)
                for line in lines:
                    print(f"# {line}" if LINE.match(line) else f"#     {line}", flush=True)

    def commands(self, group, names, jobs):
        """(command, environment, folder) that run tests of a group."""
        lines, runner = str(TESTS / "e2e/lines.py"), str(TESTS / "e2e/runner.py")
        if group == "unit":
            programs = sorted({name.split(":")[0] for name in names})
            script = f'rm -f "$1/meson-logs/testlog.json"; meson test -C "$1" --no-rebuild {" ".join(programs)} >/dev/null; exec python3 "$2" meson unit "$1/meson-logs/testlog.json"'
            return [(["bash", "-c", script, "bash", self.programs, lines], {}, None)]
        if group in ("e2e", "systemd"):
            return [([sys.executable, runner, "--group", group, "--jobs", str(jobs), *names], {}, None)]
        if group == "agentd":
            return [([sys.executable, str(TESTS / "e2e/test_agentd.py"), self.programs], {}, None)]
        if group == "crash":
            patterns = [] if any(n.startswith("every ") for n in names) else names
            return [([str(TESTS / "crash/run"), "--lab", os.environ["E2E_LAB"], "--worker", f"{self.programs}/agent-worker", *patterns], {}, None)]
        drives = {"PG_DRIVE": "tests/pg/pg_drive", "REPO_DRIVE": "tests/repo/repo_drive", "DOCKER_DRIVE": "tests/docker/docker_drive",
                  "TEST_SPEC": "tests/unit/test_spec"}
        environment = {**{name: f"{self.programs}/{path}" for name, path in drives.items()}, "LAB_DIR": os.environ["E2E_LAB"]}
        found = []
        for name in names:
            for module in TESTS.glob(f"*/{name.split('.')[0]}.py"):
                found.append(([sys.executable, lines, "unittest", group, name], environment, module.parent))
        return found
