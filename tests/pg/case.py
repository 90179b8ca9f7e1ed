# SPDX-License-Identifier: Apache-2.0
"""What the tests of src/pg share: one server for a module, a database and a folder for each test."""

import itertools
import os
import pathlib
import shutil
import tempfile
import unittest

from server import Run, Server, Session

DRIVE = os.environ.get("PG_DRIVE", "pg_drive")
numbers = itertools.count(1)
server = None


def open_server():
    global server
    if server is None:
        server = Server()
    return server


def close_server():
    global server
    if server:
        server.close()
    server = None


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.server = open_server()
        self.db = f"t{os.getpid()}_{next(numbers)}"
        self.server.psql("postgres", "-c", f"CREATE DATABASE {self.db} TEMPLATE template0")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="deploy-agent-files."))
        self.addCleanup(shutil.rmtree, self.dir)
        self.addCleanup(self.drop)

    def drop(self):
        if self.server.process and self.server.process.poll() is None:
            self.server.psql("postgres", "-c", f"DROP DATABASE IF EXISTS {self.db} WITH (FORCE)", check=False)

    # ---- files and statements ----

    def files(self, **contents):
        """files(_001_a="…"): NNN_name.sql; bytes are written as they are. The folder holds only these."""
        for old in self.dir.iterdir():
            if old.is_file():
                old.unlink()
        self.add(**contents)

    def add(self, **contents):
        for name, content in contents.items():
            self.write(f"{name.lstrip('_')}.sql", content)

    def write(self, name, content):
        data = content if isinstance(content, bytes) else content.encode()
        path = self.dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    def sql(self, text, **options):
        return self.server.sql(self.db, text, **options)

    def value(self, text, **options):
        return self.server.value(self.db, text, **options)

    def session(self, name="somebody", user="postgres"):
        session = Session(self.server, self.db, name, user)
        self.addCleanup(session.close)
        return session

    # ---- the driver ----

    def arguments(self, op, user="postgres", port=None, **options):
        given = {"op": op, "url": self.server.url(self.db, user, port), "dir": str(self.dir)}
        return {**given, **options}

    def start(self, op, faults=None, wrapper=(), **options):
        return Run(DRIVE, self.arguments(op, **options), faults, wrapper)

    def drive(self, op, **options):
        return self.start(op, **options).end()

    def run_ok(self, **options):
        answer = self.drive("run", **options)
        self.assertIsNone(answer.error, answer)
        return answer

    def run_fails(self, kind="failed", **options):
        answer = self.drive("run", **options)
        self.assertEqual(answer.kind, kind, answer)
        return answer

    def plan_ok(self, **options):
        answer = self.drive("plan", **options)
        self.assertIsNone(answer.error, answer)
        return answer.value

    def plan_refused(self, **options):
        answer = self.drive("plan", **options)
        self.assertEqual(answer.kind, "invalid", answer)
        again = self.drive("run", **options)
        self.assertEqual((again.kind, again.error), ("invalid", answer.error))
        self.assertEqual(again.events, [])
        return answer.error

    # ---- what is in the database ----

    def tables(self):
        return [r[0] for r in self.sql("SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname = 'public' ORDER BY 1")]

    def exists(self, table):
        return self.value(f"SELECT to_regclass('{table}') IS NOT NULL") == "t"

    def versions(self, table="schema_migrations"):
        return [r[0] for r in self.sql(f"SELECT version FROM {table} ORDER BY 1")] if self.exists(table) else []

    def log(self, columns="version, state", where="true", order="id"):
        if not self.exists("deploy_agent.migration_log"):
            return []
        return [tuple(r) for r in self.sql(f"SELECT {columns} FROM deploy_agent.migration_log WHERE {where} ORDER BY {order}")]
