# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL lets nobody in any more: the error is its own, and no service is rolled."""


def with_postgres(row, text, *steps):
    row.password = row.canary("rotated-5e8d1a77-word")
    row.configure(stack={"env_file": row.env_file(DB_PASSWORD=row.password, DATABASE_URL=f"postgres://app:{row.password}@db:5432/app")})
    release = {"database": {"service": "db", "url_from": "DATABASE_URL", "ready_timeout": "60s"}}
    stack = row.version(text, release=release, migration=None)
    stack["x-release"]["steps"] = list(steps)
    stack["services"]["db"] = row.postgres()
    stack["volumes"]["pg"] = {}
    return stack


def schema(name):
    return {"sql": {"name": name, "dir": name}}


def inject_password_rotated(row):
    """While a migration in a container runs, before the files of the next step."""
    row.running(commit=row.commit(with_postgres(row, "one")))
    row.tested = row.commit(with_postgres(row, "two", row.job(command=["sleep", "8"]), schema("later")), **{"later/001_a.sql": "CREATE TABLE a (i int);\n"})
    row.wait(row.job_services, 60, "the migration")
    database = row.engine.running(row.full("db"))[0]["Status"]["ContainerStatus"]["ContainerID"]
    row.lab.docker("exec", database, "psql", "-h", "127.0.0.1", "-U", "app", "-c", "ALTER ROLE app PASSWORD 'another-one'")

