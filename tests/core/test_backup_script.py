# SPDX-License-Identifier: Apache-2.0
"""src/core/backup.sh under every shell that a PostgreSQL image may have, with stand-ins for PostgreSQL's programs. What it does
with real ones is in tests/e2e/test_backup.py."""

import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "src/core/backup.sh"
SHELLS = [["dash"], ["bash", "--posix"], ["busybox", "sh"], ["ksh"], ["mksh"]]
FILE = "shop.app_20260823T140211Z_01234567.dump"
CUTOFF = "20260816T140211Z"


def each_shell(test):
    def run(self):
        found = [shell for shell in SHELLS if shutil.which(shell[0])]
        self.assertGreaterEqual(len(found), 2)
        for shell in found:
            with self.subTest(shell=" ".join(shell)):
                for name in self.files():
                    (self.volume / name).unlink()
                self.programs()
                test(self, shell)
    return run


class Script(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)
        self.bin = self.dir / "bin"
        self.volume = self.dir / "a volume"
        self.bin.mkdir()
        self.volume.mkdir()
        self.password = self.dir / "password"

    def programs(self):
        self.program("pg_dump", 'for word; do case $word in --file=*) f=${word#*=};; esac; done; printf "%s|%s" "$PGPASSWORD" "$PGUSER" >"$f"; exec sleep "${SLEEP:-0}"')
        self.program("pg_restore", '[ "$1" = --list ] && [ -s "$2" ]')

    def program(self, name, text):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def command(self, shell, file=FILE, prefix="shop.app", keep=2, needed=1):
        # as the job does: the text is an argument, and so is everything else
        return [*shell, "-c", SCRIPT.read_text(), "backup.sh", self.volume, self.password, file, prefix, str(keep), CUTOFF, str(needed)]

    def environment(self, **more):
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "PGUSER": "app", **more}

    def run_script(self, shell, env=None, **arguments):
        return subprocess.run(self.command(shell, **arguments), env=self.environment(**(env or {})), capture_output=True, text=True)

    def files(self):
        return sorted(os.listdir(self.volume))

    @each_shell
    def test_good(self, shell):
        for password in ("plain", "a 'b\" $c\\ `d`", "ends in newlines\n\n", "*", "-n", "x"):
            self.password.write_text(password)
            run = self.run_script(shell)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            data = (self.volume / FILE).read_bytes()
            self.assertEqual(data.decode(), f"{password}|app")
            digest = hashlib.sha256(data).hexdigest()
            self.assertEqual(run.stdout, f"backup: {FILE}, {len(data)} bytes, sha256 {digest}\n")
            self.assertEqual((self.volume / f"{FILE}.sha256").read_text(), f"{digest}  {FILE}\n")
            self.assertEqual(self.files(), [FILE, f"{FILE}.sha256"])
            self.assertEqual((self.volume / FILE).stat().st_mode & 0o777, 0o600)

    @each_shell
    def test_no_password(self, shell):
        self.password.unlink(missing_ok=True)
        self.assertEqual(self.run_script(shell, env={"PGPASSWORD": ""}).returncode, 0)

    @each_shell
    def test_rotation(self, shell):
        old = [f"shop.app_202601{d:02}T000000Z_0000000{d}.dump" for d in range(1, 5)]
        foreign = ["shop.app.dump", "shop.app_2026.dump", "shop.other_20260101T000000Z_00000001.dump", "shop.app_20260101T000000Z_0000000g.dump",
                   "shop.app_20260101T000000Z_00000001.dump.gz", "shop.app b_20260101T000000Z_00000001.dump", "-rf", "a\nb",
                   # another stack's of the same name, one of them just being made
                   "app_20260101T000000Z_00000001.dump", *(f"test.app_202601{d:02}T000000Z_00000001.dump" for d in range(1, 5)),
                   "test.app_20260823T140211Z_01234567.dump.partial", "shopXapp_20260101T000000Z_00000001.dump"]
        for name in [*old, *(f"{n}.sha256" for n in old), *foreign, "shop.app_20260101T000000Z_00000001.dump.partial"]:
            (self.volume / name).touch()
        run = self.run_script(shell, keep=3)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(self.files(), sorted([*foreign, *old[2:], *(f"{n}.sha256" for n in old[2:]), FILE, f"{FILE}.sha256"]))
        self.assertEqual([line for line in run.stdout.splitlines() if line.startswith("removed")], [f"removed {n}" for n in old[:2]])

    @each_shell
    def test_younger_than_the_cutoff_stays(self, shell):
        young = [f"shop.app_{CUTOFF}_0000000{d}.dump" for d in range(3)]
        for name in young:
            (self.volume / name).touch()
        self.assertEqual(self.run_script(shell, keep=1).returncode, 0)
        self.assertEqual([n for n in self.files() if n.endswith(".dump")], [*young, FILE])

    def failure(self, shell, words, code=1, **arguments):
        old = "shop.app_20260101T000000Z_00000001.dump"
        (self.volume / old).write_text("old")
        run = self.run_script(shell, **arguments)
        self.assertEqual(run.returncode, code, run.stderr)
        self.assertIn(words, run.stderr.splitlines()[-1])
        self.assertEqual(self.files(), [old])

    @each_shell
    def test_pg_dump_fails(self, shell):
        self.program("pg_dump", 'for word; do case $word in --file=*) echo half >"${word#*=}";; esac; done; echo "pg_dump: error: no" >&2; exit 3')
        self.failure(shell, "pg_dump: error: no", 3)

    @each_shell
    def test_empty_dump(self, shell):
        self.program("pg_dump", 'for word; do case $word in --file=*) : >"${word#*=}";; esac; done')
        self.failure(shell, "error: pg_dump wrote an empty file")

    @each_shell
    def test_unreadable_dump(self, shell):
        self.program("pg_restore", 'echo "pg_restore: error: did not find magic string" >&2; exit 1')
        self.failure(shell, "magic string")

    @each_shell
    def test_no_program(self, shell):
        (self.bin / "pg_restore").unlink()
        # nothing else of PostgreSQL's may be found
        tools = self.dir / "tools"
        if not tools.exists():
            tools.mkdir()
            for name in ("sha256sum", "df", "rm", "ls", "tail", "cat", "mv", "sync", "expr", "sleep", "busybox", "dash", "bash"):
                if shutil.which(name):
                    (tools / name).symlink_to(shutil.which(name))
        self.failure(shell, "has no pg_restore", env={"PATH": f"{self.bin}:{tools}"})

    @each_shell
    def test_no_room(self, shell):
        old = self.volume / "shop.app_20260101T000000Z_00000001.dump"
        run = self.run_script(shell, needed=1 << 50)
        self.assertIn("not enough room", run.stderr)
        self.assertEqual((run.returncode, self.files()), (1, []))
        # a file with a hole is large without filling the disk
        with open(old, "wb") as f:
            f.truncate(1 << 42)
        run = self.run_script(shell, needed=0)
        self.assertIn(f"{(1 << 42) * 12 // 10240 + 1} KiB are needed", run.stderr)
        self.assertEqual((run.returncode, self.files()), (1, [old.name]))

    @each_shell
    def test_terminated(self, shell):
        process = subprocess.Popen(self.command(shell), env=self.environment(SLEEP="600"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end = time.monotonic() + 20
        while not any(n.endswith(".partial") for n in self.files()):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        self.assertEqual((process.returncode, self.files()), (143, []))


if __name__ == "__main__":
    unittest.main()
