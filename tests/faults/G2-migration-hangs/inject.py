# SPDX-License-Identifier: Apache-2.0
"""A migration does not come to its end within its time: it is stopped, by force if need be, and nothing of it goes on."""

ENV = {"DB_PASSWORD": "pass-1234-word", "DATABASE_URL": "postgres://app:pass-1234-word@db:5432/app"}


def inject_ignores_sigterm(row):
    row.running()
    stack = row.version("two")
    stack["x-release"]["steps"] = [row.job(command=["ignore-term", "600"], timeout="15s")]
    row.tested = row.commit(stack)
    row.ended(row.tested, 90)
    row.assertEqual(row.job_containers(), [])
    row.assertEqual(row.job_services(), [])


def inject_leaves_a_session_behind(row):
    """Killed, it says no goodbye: its statement would go on in the server, and be in the database later on, though the record says that it
    failed."""
    row.configure(stack={"env_file": row.env_file(**ENV)})

    def version(text, command, timeout):
        stack = row.version(text, migration=None)
        stack["services"]["db"] = row.postgres()
        stack["volumes"]["pg"] = {}
        stack["x-release"]["database"] = {"service": "db", "url_from": "DATABASE_URL", "ready_timeout": "60s"}
        stack["x-release"]["steps"] = [row.job(service="db", command=["sh", "-c", f"trap '' INT TERM; psql ${{DATABASE_URL}} -c '{command}'; exit $$?"], timeout=timeout)]
        return row.commit(stack)

    row.running(commit=version("one", "CREATE TABLE t (i int)", "60s"))
    row.tested = version("two", "INSERT INTO t SELECT 1 FROM pg_sleep(120)", "25s")
    task = row.engine.running(row.full("db"))[0]["Status"]["ContainerStatus"]["ContainerID"]

    def query(sql):
        return row.lab.docker("exec", task, "psql", "-h", "127.0.0.1", "-U", "app", "-Atc", sql)

    def sessions():
        return query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO t%' AND state = 'active'")

    row.wait(lambda: sessions() == "1", 60, "the migration to run")
    row.ended(row.tested, 120)
    row.wait(lambda: sessions() == "0", 5, "its session to end")
    row.assertEqual(query("SELECT count(*) FROM t"), "0", "rows of a migration that is on record as failed")
