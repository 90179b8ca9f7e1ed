# SPDX-License-Identifier: Apache-2.0
"""agentctl on a terminal, and where there is none: live progress, width, colour, Ctrl-C, a reader that goes away. A program
writes the journal while agentctl reads it (ctl_drive), and a few lines here answer for agentd.

CTL_DRIVE and AGENTCTL are the programs.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unicodedata
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

PATIENCE = float(os.environ.get("E2E_PATIENCE", "2"))
COMMIT = "9f3c1ab0c4d5e6f708192a3b4c5d6e7f80912a3b"
SGR = re.compile(r"\x1b\[[0-9;]*m")
CLEAR = "\r\x1b[K"


def columns(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class Terminal:
    """A process whose terminal this is."""

    def __init__(self, words, rows=24, width=80, env=None):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, width, 0, 0))
                for number in (signal.SIGINT, signal.SIGHUP):  # as a shell at a terminal has them; a background job ignores them
                    signal.signal(number, signal.SIG_DFL)
                os.execve(words[0], words, env)
            os._exit(127)

    def read_until(self, what, seconds=10):
        deadline = time.monotonic() + seconds * PATIENCE
        while not re.search(what, self.seen):
            if not self.read(deadline - time.monotonic()):
                raise AssertionError(f"{what!r} did not come; there was {self.seen!r}")

    def read(self, seconds):
        if seconds <= 0 or not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += piece.decode(errors="replace")
        return bool(piece)

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def end(self, seconds=10):
        """Exit code, or minus the signal's number."""
        deadline = time.monotonic() + seconds * PATIENCE
        while self.read(deadline - time.monotonic()):
            pass
        if time.monotonic() >= deadline:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ctl-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        (self.dir / "run").mkdir()
        self.conf = self.dir / "agent.conf"
        self.conf.write_text(f"[agent]\nstate_dir = {self.dir}\nrun_dir = {self.dir}/run\n"
                             "[stack shop]\nrepository = file:///srv/shop.git\nfile = stack.yml\n")
        self.env = {"PATH": "/usr/bin:/bin", "TERM": "xterm", "TZ": "UTC", "LANG": "C.UTF-8"}
        self.driver = None

    # ---- the journal, and agentd ----

    def drive(self, *words):
        if not self.driver:
            self.driver = subprocess.Popen([os.environ["CTL_DRIVE"], str(self.dir / "journal.db")], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, text=True, bufsize=1)
            self.addCleanup(self.close_driver)
        self.driver.stdin.write("\t".join(map(str, words)) + "\n")
        answer = self.driver.stdout.readline().split(maxsplit=1)
        self.assertEqual(answer[0], "ok", answer)
        return int(answer[1])

    def close_driver(self):
        self.driver.stdin.close()
        self.driver.wait()
        self.driver.stdout.close()

    def request(self, subject="Mend it", author="alice"):
        return self.drive("request", COMMIT, subject, author)

    def begun(self, **texts):
        """A deployment whose first step has ended, and whose second one runs."""
        id = self.request(**texts)
        self.drive("plan", id, "pull", "web:2", "roll", "web")
        self.drive("state", id, "running")
        self.drive("begin", id, 1)
        self.drive("end", id, 1, "done")
        self.drive("begin", id, 2)
        self.live(id, 0)
        return id

    def live(self, id, up, note="starting"):
        deadline = int((time.time() + 300) * 1e6)
        self.drive("live", id, 2, json.dumps({"of": "replicas", "done": up, "total": 2, "deadline_us": deadline, "note": note}))

    def ended(self, state="succeeded", reason="1 service rolled, 5s stable", **texts):
        id = self.begun(**texts)
        self.drive("end", id, 2, "done")
        self.drive("state", id, state, reason)
        return id

    def fails(self, id):
        self.drive("end", id, 2, "failed", "web /health: 200 before, 500 now")
        self.drive("state", id, "rolled_back", "web /health: 200 before, 500 now; back on #1")

    def answer(self, **reply):
        """Answers like an agentd to which all is well."""
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(self.dir / "run/control.sock"))
        server.listen()
        self.addCleanup(server.close)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        client.recv(65536)
                        client.sendall(json.dumps({"ok": True, "exit": 0, **reply}).encode() + b"\n")

        threading.Thread(target=serve, daemon=True).start()

    # ---- agentctl ----

    def words(self, *words):
        return [os.environ["AGENTCTL"], "--config", str(self.conf), *words]

    def terminal(self, *words, width=80, **env):
        return Terminal(self.words(*words), width=width, env={**self.env, **env})

    def piped(self, *words):
        return subprocess.run(self.words(*words), env=self.env, capture_output=True, text=True, timeout=60 * PATIENCE)

    def follow(self, *words):
        process = subprocess.Popen(self.words(*words), env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        watch = threading.Timer(60 * PATIENCE, process.kill)  # lines are waited for without a limit
        watch.start()
        self.addCleanup(watch.cancel)
        return process


class Wait(Case):
    def test_on_a_terminal(self):
        id = self.begun()
        self.answer(deployment=id)
        t = self.terminal("sync", "--wait")
        t.read_until(r"0 of 2 replicas up: starting")
        self.live(id, 1)
        t.read_until(r"1 of 2 replicas up")
        self.fails(id)
        self.assertEqual(t.end(), 1, t.seen)
        text = SGR.sub("", t.seen)
        self.assertIn(f"#{id} 9f3c1ab Mend it (alice)\r\n", text)
        self.assertIn("  done pull web:2, 0m00s\r\n", text)
        self.assertRegex(text, r"step 2 of 2: roll web, 0m0\ds of at most [45]m\d\ds, 1 of 2 replicas up")
        self.assertIn(CLEAR, text)
        # the verdict has a line of its own
        self.assertRegex(text, rf"\n#{id} rolled back, took 0m0\ds: web /health: 200 before, 500 now; back on #1\r\n")
        self.assertIn("\x1b[33mrolled back\x1b[0m", t.seen)
        for line in self.drawn(t):
            if "step 2 of 2" in line:
                self.assertLess(columns(line), 80)

    @staticmethod
    def drawn(terminal):
        return re.split(r"\r\n|" + re.escape(CLEAR), SGR.sub("", terminal.seen))

    def test_no_color_and_narrow(self):
        id = self.begun(subject="漢字 " * 30)
        self.answer(deployment=id)
        t = self.terminal("sync", "--wait", width=40, NO_COLOR="1")
        t.read_until(r"step 2 of 2")
        self.ended_now(id)
        self.assertEqual(t.end(), 0, t.seen)
        self.assertNotRegex(t.seen, SGR)
        drawn = [line for line in self.drawn(t) if "step 2 of 2" in line]
        self.assertTrue(drawn)
        for line in drawn:
            self.assertLess(columns(line), 40)

    def ended_now(self, id):
        self.drive("end", id, 2, "done")
        self.drive("state", id, "succeeded", "1 service rolled")

    def test_piped(self):
        id = self.request()
        self.answer(deployment=id)
        process = self.follow("sync", "--wait")
        told = [process.stderr.readline(), process.stderr.readline()]
        self.drive("plan", id, "pull", "web:2", "roll", "web")
        self.drive("state", id, "running")
        self.drive("begin", id, 1)
        self.drive("end", id, 1, "done")
        self.drive("begin", id, 2)
        self.live(id, 1)
        while "1 of 2" not in told[-1]:
            told.append(process.stderr.readline())
            self.assertTrue(told[-1], told)
        time_of_looks = time.monotonic() + 1.5  # more looks than one, and nothing new
        while time.monotonic() < time_of_looks:
            self.assertFalse(select.select([process.stderr], [], [], 0.2)[0], "a line without a change")
        self.fails(id)
        out, err = process.communicate(timeout=20 * PATIENCE)
        told = "".join(told) + err
        self.assertEqual(process.returncode, 1)
        self.assertNotIn("\x1b", told + out)
        self.assertNotIn("\r", told + out)
        self.assertEqual(told.count("roll web, 1 of 2 replicas up: starting"), 1, told)
        self.assertIn(f"#{id} done pull web:2, 0m00s\n", told)
        self.assertIn(f"#{id} failed roll web, 0m0", told)
        self.assertIn(f"agentctl show {id}\n", told)
        self.assertRegex(out, rf"^#{id} rolled back, took 0m\d\ds: web /health: 200 before, 500 now; back on #1\n$")

    def test_dumb_terminal(self):
        id = self.begun()
        self.answer(deployment=id)
        t = self.terminal("sync", "--wait", TERM="dumb")
        t.read_until(r"0 of 2 replicas up")
        self.ended_now(id)
        self.assertEqual(t.end(), 0, t.seen)
        self.assertNotIn("\x1b", t.seen)

    def test_interrupted(self):
        id = self.begun()
        self.answer(deployment=id)
        t = self.terminal("sync", "--wait")
        t.read_until(r"0 of 2 replicas up")
        t.press("\x03")
        self.assertEqual(t.end(), -signal.SIGINT, t.seen)
        self.assertRegex(t.seen, re.escape(CLEAR) + rf"agentctl: not watching any more; #{id} goes on")

    def test_agentd_is_down(self):
        run = self.piped("sync", "--wait")
        self.assertEqual(run.returncode, 4, run.stderr)
        self.assertEqual(run.stdout, "")

    def test_retry(self):
        id = self.ended("failed", "no")
        new = self.request()
        self.drive("plan", new, "pull", "web:2", "roll", "web")
        self.drive("state", new, "running")
        self.drive("state", new, "succeeded", "fine")
        self.answer(deployment=new)
        run = self.piped("retry", str(id), "--wait")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout, rf"^#{new} succeeded, took 0m\d\ds: fine\n$")


class Follow(Case):
    def test_piped(self):
        self.ended()
        process = self.follow("log", "--follow")
        self.assertIn("VERDICT", process.stdout.readline())
        self.assertIn("succeeded", process.stdout.readline())
        second = self.begun()
        self.fails(second)
        self.assertRegex(process.stdout.readline(), rf"^{second} .*rolled back")

    def test_reader_goes_away(self):
        """Without anything new to print: who reads has gone, and nobody is to wait for the next deployment."""
        self.ended()
        process = self.follow("log", "--follow")
        process.stdout.readline()
        process.stdout.close()
        self.assertIn(process.wait(timeout=10 * PATIENCE), (0, -signal.SIGPIPE))

    def test_full_disk(self):
        """What cannot be written from the first line on is not followed."""
        self.ended()
        with open("/dev/full", "w") as full:
            run = subprocess.run(self.words("log", "--follow"), env=self.env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=10 * PATIENCE)
        self.assertEqual((run.returncode, "No space left on device" in run.stderr), (1, True), run.stderr)

    def test_on_a_terminal(self):
        self.ended()
        t = self.terminal("log", "--follow", width=120)
        t.read_until(r"succeeded")
        id = self.begun()
        t.read_until(rf"#{id} 9f3c1ab: roll web, .*0 of 2 replicas up")
        self.fails(id)
        t.read_until(rf"(?s)\r\x1b\[K(\x1b\[0?m)?{id} .*rolled back")
        t.press("\x03")
        self.assertEqual(t.end(), -signal.SIGINT, t.seen)


class Width(Case):
    def lines(self, *words, **more):
        t = self.terminal(*words, **more)
        self.assertEqual(t.end(), 0, t.seen)
        return SGR.sub("", t.seen).split("\r\n")

    def test_log(self):
        self.ended(subject="x", author="Åse Ærø-Jørgensen")
        self.ended("failed", "日本語 " * 60)
        for width in (30, 40, 60, 80, 100, 200):
            lines = self.lines("log", width=width)
            for line in lines:
                self.assertLessEqual(columns(line), width, line)
            self.assertIn("VERDICT", lines[0])
            self.assertEqual("AUTHOR" in lines[0], width >= 80, lines[0])
            # where there is no room beside the others, WHY stands beneath them
            self.assertEqual("WHY" in lines[0], width >= 120, lines[0])
            self.assertEqual(len(lines), 4 if width >= 120 else 6, lines)
            self.assertRegex(lines[-2], "^ +1 service rolled" if width < 120 else "^1 +.*1 service rolled")
        # a pipe has no width: what scripts read does not depend on a window
        self.assertIn("AUTHOR", self.piped("log").stdout)

    def test_show_and_status(self):
        self.ended("failed", "a long reason " * 20)
        for words in (["show", "1"], ["status"]):
            for line in self.lines(*words, width=60):
                self.assertLessEqual(columns(line), 60, line)
        self.assertIn("a long reason " * 19, self.piped("show", "1").stdout)

    def test_colour(self):
        self.ended("failed", "no")
        self.assertIn("\x1b[31mfailed\x1b[0m", self.colour_of())
        self.assertNotIn("\x1b", self.colour_of(NO_COLOR="1"))
        self.assertNotIn("\x1b", self.colour_of(TERM="dumb"))
        self.assertNotIn("\x1b", self.piped("log").stdout)

    def colour_of(self, **env):
        t = self.terminal("log", **env)
        self.assertEqual(t.end(), 0)
        return t.seen


class BadDay(Case):
    def test_hostile_texts(self):
        """Whatever got into the file: nothing of it reaches the terminal as a control character."""
        id = self.begun()
        evil = "\x1b]0;evil\x07\x9b31m\r\n\u202e漢字"
        with contextlib.closing(sqlite3.connect(self.dir / "journal.db")) as db, db:
            db.execute("UPDATE deployment SET subject = ?, author = ?, branch = ?, reason = ?", (evil,) * 4)
            db.execute("UPDATE step SET name = ?, error = ?, live = ?", (evil, evil, json.dumps({"note": evil, "doing": evil, "of": evil})))
        for words in (["log"], ["log", "--json"], ["show", str(id)], ["show", str(id), "--json"], ["status"], ["status", "--json"]):
            run = self.piped(*words)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertIn("漢字", run.stdout)
            self.assertNotRegex(run.stdout, "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", words)

    def test_no_journal(self):
        run = self.piped("log")
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("there is no journal", run.stderr)
        run = self.piped("status")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("agentd: not running", run.stdout)
        self.assertIn("not deployed yet", run.stdout)

    def test_nonsense_as_progress(self):
        id = self.begun()
        for nonsense in ("", "[]", "{", '{"of": 7, "done": -1, "total": 1e30, "deadline_us": -5}', '{"of":"x","done":99999999999999}'):
            with contextlib.closing(sqlite3.connect(self.dir / "journal.db")) as db, db:
                db.execute("UPDATE step SET live = ? WHERE seq = 2", (nonsense,))
            for words in (["status"], ["status", "--json"], ["show", str(id)], ["show", str(id), "--json"]):
                run = self.piped(*words)
                self.assertEqual(run.returncode, 0, run.stderr)
                self.assertIn("roll", run.stdout)


if __name__ == "__main__":
    unittest.main()
