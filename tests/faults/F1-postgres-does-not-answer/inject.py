# SPDX-License-Identifier: Apache-2.0
"""Nothing answers as PostgreSQL where the URL points: that is waited for until ready_timeout, and no migration runs and no service is rolled."""


def without_postgres(row, **db):
    row.configure(stack={"env_file": row.env_file(DATABASE_URL="postgres://app:pass-1234-word@db:5432/app")})

    def version(text, release):
        stack = row.version(text, release=release)
        stack["services"]["db"] = row.web(**db)
        return row.commit(stack)

    row.running(commit=version("one", None))
    row.tested = version("two", {"database": {"service": "db", "url_from": "DATABASE_URL", "ready_timeout": "12s"}})


def inject_refused(row):
    without_postgres(row)


def inject_silent(row):
    listen = "exec /bin/busybox nc -ll -p 5432 -e /bin/busybox sleep 600"
    without_postgres(row, entrypoint=["/bin/sh", "-c", listen], stop_grace_period="1s")
