#!/usr/bin/python3 -I
# SPDX-License-Identifier: Apache-2.0
"""Stands in for agent-worker where test_agentd.py needs its endings on demand: dying, hanging, holding the lock.

What deployments do is tested with the real one. DIR is the folder of this file; DIR/VERB-STACK.json says what to do
(a list: one element per start, the last one stays). Every start leaves a line in DIR/log.
"""
import fcntl
import json
import os
import signal
import sqlite3
import sys
import time

here = os.path.dirname(os.path.abspath(sys.argv[0]))


def log(text):
    fd = os.open(here + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, (text + "\n").encode())
    os.close(fd)


def script(verb, stack, default):
    path = f"{here}/{verb}-{stack}.json"
    try:
        with open(path) as file:
            todo = json.load(file)
    except FileNotFoundError:
        return default
    if isinstance(todo, list):
        first, rest = todo[0], todo[1:]
        if rest:
            with open(path + ".new", "w") as file:
                json.dump(rest, file)
            os.rename(path + ".new", path)
        return first
    return todo


def setting(config, key):
    with open(config) as file:
        for line in file:
            if line.startswith(key):
                return line.split("=", 1)[1].strip()
    raise SystemExit(f"no {key} in {config}")


def journal(config):
    db = sqlite3.connect(setting(config, "state_dir") + "/journal.db", timeout=10, isolation_level=None)
    db.execute("PRAGMA synchronous = FULL")
    return db


def request(db, stack, commit):
    db.execute("UPDATE deployment SET state = 'superseded', finished_us = 1 WHERE stack = ? AND state = 'requested'", (stack,))
    return db.execute(
        "INSERT INTO deployment (stack, state, commit_id, branch, subject, author, trigger_name, requested_us)"
        " VALUES (?, 'requested', ?, 'main', 'a change', 'alice', 'poll', ?)",
        (stack, commit, int(time.time() * 1e6)),
    ).lastrowid


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    config, verb, rest = sys.argv[2], sys.argv[3], sys.argv[4:]
    log(" ".join([verb] + rest))
    if verb in ("poll", "observe"):
        stack = rest[0]
        todo = script(verb, stack, {"say": {"result": "unchanged", "tip": "a" * 40}})
        say = dict(todo.get("say", {}))
        time.sleep(todo.get("sleep", 0))
        if "request" in todo:
            say = {"result": "requested", "tip": todo["request"]}
            say["deployment"] = request(journal(config), stack, todo["request"])
        if "--lease" in rest and say:
            say["lease"] = True  # none was left
        sys.stdout.write(todo.get("noise", ""))
        if say:
            print(json.dumps(say), flush=True)
        if "kill" in todo:
            os.kill(os.getpid(), todo["kill"])
        sys.exit(todo.get("exit", 0))
    if verb in ("plan", "check"):
        todo = script(verb, rest[0] if rest else "all", {})
        time.sleep(todo.get("sleep", 0))
        sys.stdout.write(todo.get("out", "") * todo.get("times", 1))
        sys.stderr.write(todo.get("err", ""))
        sys.stderr.write("JOURNAL_STREAM is set\n" if "JOURNAL_STREAM" in os.environ else "")
        sys.exit(todo.get("exit", 0))
    if verb == "run":
        run(config, int(rest[0]))
    raise SystemExit(64)


def run(config, number):
    db = journal(config)
    stack = db.execute("SELECT stack FROM deployment WHERE id = ?", (number,)).fetchone()[0]
    lock = open(f"{setting(config, 'state_dir')}/stack-{stack}.lock", "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(76)
    got = []
    for number_of_signal in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number_of_signal, lambda s, _: got.append(s))
    todo = script("run", stack, {"states": ["planned", "running", "succeeded"]})
    for state in todo.get("states", []):
        ended = state not in ("planned", "running", "interrupted")
        db.execute(
            "UPDATE deployment SET state = ?, started_us = coalesce(started_us, ?), reason = ?, finished_us = ? WHERE id = ?",
            (state, int(time.time() * 1e6), todo.get("reason") if ended else None, int(time.time() * 1e6) if ended else None, number),
        )
    for step_state in todo.get("steps", []):
        db.execute("INSERT INTO step (deployment, seq, kind, name, state) VALUES (?, 1, 'roll', 'web', ?)", (number, step_state))
    for hint in todo.get("hints", []):
        print(json.dumps(hint), flush=True)
    if todo.get("freeze"):
        os.kill(os.getpid(), signal.SIGSTOP)
    began = time.monotonic()
    later = todo.get("later", [])
    while time.monotonic() < began + todo.get("sleep", 0) and not got:
        while later and time.monotonic() > began + later[0][0]:
            print(json.dumps(later.pop(0)[1]), flush=True)
        time.sleep(0.02)
    if got:
        log(f"signal {int(got[0])}")
    if signal.SIGTERM in got and not todo.get("deaf"):
        db.execute("UPDATE deployment SET state = 'interrupted', reason = coalesce(?, reason) WHERE id = ?", (todo.get("stopped"), number))
        sys.exit(75)
    if signal.SIGUSR1 in got:
        db.execute("UPDATE deployment SET state = 'cancelled', finished_us = 1 WHERE id = ?", (number,))
        sys.exit(0)
    if todo.get("deaf"):
        time.sleep(600)
    if "kill" in todo:
        os.kill(os.getpid(), todo["kill"])
    if "then" in todo:
        db.execute("UPDATE deployment SET state = ?, finished_us = 1 WHERE id = ?", (todo["then"], number))
    sys.exit(todo.get("exit", 0))


main()
