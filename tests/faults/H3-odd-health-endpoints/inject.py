# SPDX-License-Identifier: Apache-2.0
"""What the health check gets is no good answer: it counts as failed, takes no more than its time, and no more of the answer than is needed."""


def odd(row, health=None, **web):
    release = {"release": {"health": health}} if health else {}
    row.running(**release)
    row.within("healthy_deadline", 20)
    row.change(migration=None, **release, **web)


def answering(script):
    """Instead of the program: what the script prints, whatever is asked."""
    listen = f"cat >/tmp/answer <<'END'\n{script}\nEND\nexec /bin/busybox nc -ll -p 8000 -e /bin/sh /tmp/answer".replace("$", "$$")
    return {"entrypoint": ["/bin/sh", "-c", f"cat() {{ /bin/busybox cat \"$$@\"; }}; {listen}"], "stop_grace_period": "1s"}


READ = 'while read -r line && [ "${#line}" -gt 1 ]; do :; done\n'


def inject_hangs(row):
    odd(row, row.health(timeout="2s"), HANG=1)


def inject_redirects(row):
    """To a service that is well."""
    stack = row.version("one")
    stack["services"]["other"] = row.web()
    row.running(commit=row.commit(stack))
    row.within("healthy_deadline", 20)
    stack = row.version("two", migration=None, **answering(READ + r"printf 'HTTP/1.1 302 Found\r\nLocation: http://other:8000/health\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'"))
    stack["services"]["other"] = row.web()
    row.tested = row.commit(stack)


def inject_endless_body(row):
    odd(row, row.health(body="^healthy"), **answering(READ + r"printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n'; exec /bin/busybox yes healthily"))


def inject_wrong_version(row):
    """Another version than the one that was rolled answers."""
    row.running(release={"health": row.health(path="/", body="^one$$")})
    row.within("healthy_deadline", 20)
    row.change(release={"health": row.health(path="/", body="^three$$")})
