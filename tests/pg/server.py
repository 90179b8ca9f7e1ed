# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL in a temporary folder, sessions of psql on it, and the driver of src/pg.

PG_BIN names the folder of another version's programs; without it the newest one installed is taken.
"""

import ctypes
import glob
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import faultproxy  # noqa: E402

SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
port = {port}
max_connections = 60
shared_buffers = 32MB
max_wal_size = 4GB
autovacuum = off
logging_collector = off
lc_messages = 'C'
"""

# Roles named pw_… have to prove who they are.
ACCESS = """
host all /^pw_ 127.0.0.1/32 scram-sha-256
host all pw_user 127.0.0.1/32 scram-sha-256
local all all trust
host all all 127.0.0.1/32 trust
local replication all trust
"""


def programs():
    named = os.environ.get("PG_BIN")
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
    return pathlib.Path(named) if named else pathlib.Path(found[-1]) if found else None


def account():
    """Who runs a server: PostgreSQL refuses root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("neither an account postgres nor nobody")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def as_account():
    """Before exec in the child: ends with its parent, and is no root."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.geteuid() == 0:
        who = account()
        os.setgroups([])
        os.setgid(who.pw_gid)
        os.setuid(who.pw_uid)


def wait(condition, seconds, what):
    end = time.monotonic() + 2 * seconds  # what a test names is for a machine that has time
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {2 * seconds} s: {what}")


class Server:
    def __init__(self, settings="", base=None, safe=False):
        """base: a folder made by pg_basebackup; safe: with fsync, for what is measured."""
        self.bin = programs()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="deploy-agent-pg.", dir="/var/tmp"))
        self.port = free_port()
        self.data = self.folder / "data"
        self.process = None
        if os.geteuid() == 0:
            os.chown(self.folder, account().pw_uid, account().pw_gid)
        self.settings = SETTINGS.format(folder=self.folder, port=self.port) + settings
        if not safe:
            self.settings += "fsync = off\nfull_page_writes = off\n"
        if base:
            base(self)
        else:
            self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        (self.data / "postgresql.auto.conf").write_text(self.settings)
        lines = ACCESS.splitlines()
        major = int((self.data / "PG_VERSION").read_text())
        (self.data / "pg_hba.conf").write_text("\n".join(l for l in lines if major >= 16 or "/^" not in l) + "\n")
        self.start()

    def run(self, program, *args):
        subprocess.run([self.bin / program, *map(str, args)], check=True, capture_output=True, preexec_fn=as_account, cwd="/")

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([self.bin / "postgres", "-D", self.data], stdout=log, stderr=log, preexec_fn=as_account, cwd="/")
        wait(lambda: self.ready() or self.process.poll() is not None, 30, "the server starts")
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def ready(self):
        return subprocess.run([self.bin / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)]).returncode == 0

    def stop(self, how=signal.SIGINT):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def close(self):
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, database, user="postgres", port=None):
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def psql(self, database, *args, user="postgres", text=None, check=True):
        done = subprocess.run(
            [self.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port), "-U", user, "-d", database, *args],
            input=text, capture_output=True, text=True)
        if check and done.returncode:
            raise AssertionError(f"psql: {done.stderr}")
        return done.stdout.rstrip("\n")

    def sql(self, database, text, **options):
        """Rows as lists of texts."""
        out = self.psql(database, "-F", "\t", "-c", text, **options)
        return [line.split("\t") for line in out.splitlines()]

    def value(self, database, text, **options):
        rows = self.sql(database, text, **options)
        return rows[0][0] if rows else None


class Session:
    """One session of psql that stays: it holds locks and transactions until it is closed."""

    def __init__(self, server, database, name="somebody", user="postgres"):
        env = dict(os.environ, PGAPPNAME=name)
        self.process = subprocess.Popen(
            [server.bin / "psql", "-XAtq", "-h", server.folder, "-p", str(server.port), "-U", user, "-d", database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)

    def send(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def do(self, text):
        """Sends, waits for the end, returns what was printed."""
        self.send(text + ";\n\\echo --end--")
        lines = []
        for line in self.process.stdout:
            if line.rstrip() == "--end--":
                return "".join(lines)
            lines.append(line)
        raise AssertionError("psql ended: " + "".join(lines))

    def close(self):
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Run:
    """pg_drive at work; its lines on stderr are read as they come."""

    def __init__(self, drive, arguments, faults=None, wrapper=()):
        env = dict(os.environ)
        env.pop("FAULTS", None)
        if faults:
            env["FAULTS"] = faults
        self.process = subprocess.Popen([*wrapper, drive], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        self.lines, self.out = [], ""
        self.readers = [threading.Thread(target=self.read, daemon=True), threading.Thread(target=self.read_answer, daemon=True)]
        for reader in self.readers:
            reader.start()
        self.process.stdin.write(json.dumps(arguments))
        self.process.stdin.close()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def read_answer(self):
        self.out = self.process.stdout.read()

    def saw(self, part):
        return next((line for line in self.lines if part in line), None)

    def wait_for(self, part, seconds=15):
        return wait(lambda: self.saw(part) or (self.process.poll() is not None and "it ended"), seconds, part)

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, seconds=180):
        """The answer; None when it was killed."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("pg_drive hangs; " + "\n".join(self.lines[-20:])) from None
        finally:
            for reader in self.readers:
                reader.join(5)
            self.process.stdout.close()
            self.process.stderr.close()
        if self.process.returncode < 0:
            return None
        if self.process.returncode:
            raise AssertionError(f"pg_drive ended with {self.process.returncode}:\n" + "\n".join(self.lines[-60:]))
        return Answer(json.loads(self.out))


class Answer:
    def __init__(self, answer):
        self.value = answer["value"]
        self.error = answer.get("error", {}).get("text")
        self.kind = answer.get("error", {}).get("kind")
        self.events = answer["events"]
        self.waited = answer["waited"]
        self.us = answer["us"]
        self.alive = answer.get("alive")  # pg_drive alone
        self.rss_kib = answer["rss_kib"]

    def __repr__(self):
        return f"value {self.value}, error {self.kind}: {self.error}, waited {self.waited}"

    @property
    def applied(self):
        return [e["file"] for e in self.events if e["event"] == "applied"]


class Cut(faultproxy.Proxy):
    """Before a server: cuts when `when(bytes)` says so of what a client sends. That arrives, the answer never does."""

    def __init__(self, port, when):
        super().__init__(port)
        self.address = self.port
        self.rule = self.fault(when, drop_reply=True)

    @property
    def cuts(self):
        return self.rule.hits
