# SPDX-License-Identifier: Apache-2.0
"""
Fault points: which there are, what can happen at each, and the table of what did.

Their names are in the sources. `fault_point("x")` is a moment between two things: the process can die or hang there.
`fault_errno("x")` is a call that can fail, too. Three names are put together: of each request to the engine ("engine POST
/services/create", and "... lost" when it was carried out and its answer lost), and of each call that waits for the journal
("persist journal_set_state").
"""

import errno
import pathlib
import re
import threading

SRC = pathlib.Path(__file__).resolve().parent.parent.parent / "src"
MODES = ("kill", "error", "stall")

# Requests that no deployment makes, or that are not the worker's own.
ELSEWHERE = {
    "engine HEAD /_ping": "asks for the version before a request; a failure is that request's",
    "engine GET /nodes": "only for services with placement constraints, among the questions of which a plan is made",
    "engine GET /tasks/{}/logs": "only for tasks whose service is gone",
    "engine DELETE /images/{}": "only with remove_images, and behind the verdict; what fails is left for the next time",
    "engine POST /containers/{}/exec": "made by the relay's process, which the worker starts anew",
    "engine POST /exec/{}/start": "made by the relay's process, which the worker starts anew",
    "poll.stalled": "agentd's: tests/e2e/test_notify.py",
    "notify.sent": "passed by agent-worker notify: tests/e2e/test_notify.py",
}

REASON = "between two calls that can fail, each with a point of its own"

# What the real thing fails with: a connection, a disk, a table of the kernel.
ERRORS = (("engine ", (errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT)), ("sql.", (errno.ECONNRESET,)), ("repo.replaced", (errno.EIO,)),
          ("repo.", (errno.ECONNRESET,)), ("proc.", (errno.EAGAIN,)), ("relay.", (errno.EMFILE,)), ("fs.", (errno.EIO,)),
          ("", (errno.ENOSPC, errno.EIO)))


def errors_of(point):
    return next(codes for prefix, codes in ERRORS if point.startswith(prefix))


def texts():
    return [path.read_text() for path in sorted(SRC.rglob("*.c"))]


def engine_points():
    points = set()
    rows = re.findall(r'\[EP_\w+\] = \{"(\w+)", "([^"]+)", "[^"]*", \w+, \w+,\s*([\w| ]+)\}', (SRC / "docker/endpoint.c").read_text())
    for method, path, flags in rows:
        points.add(f"engine {method} {path}")
        if "EPF_EFFECT" in flags:
            points.add(f"engine {method} {path} lost")
    return points


def moments():
    """At which nothing can fail."""
    return {name for text in texts() for name in re.findall(r'fault_point\("([^"]+)"', text)}


def every():
    """All of the worker's points that a deployment may pass."""
    points = engine_points() | moments()
    for text in texts():
        points.update(re.findall(r'fault_errno\("([^"]+)"', text))
        calls = re.findall(r"\bPERSIST\(\s*(\w+)\(", text) + re.findall(r"\bREAD\(request, (\w+)\(", text)
        points.update(f"persist {call}" for call in calls)
    return points - ELSEWHERE.keys()


class Table:
    """What was seen to happen at which point, by the logs of the workers it happened to."""

    fired = re.compile(rb"^fault point (.+): (kill|stop|errno)", re.M)
    modes = {b"kill": "kill", b"stop": "stall", b"errno": "error"}

    def __init__(self):
        self.lock = threading.Lock()
        self.cells = {}  # (point, mode): were all cases that had it good?

    def note(self, log, good):
        """log: what workers said during one case."""
        with self.lock:
            for point, action in self.fired.findall(log):
                cell = (point.decode(), self.modes[action])
                self.cells[cell] = self.cells.get(cell, True) and good

    def cell(self, point, mode):
        if mode == "error" and point in moments():
            return "–"
        return {None: "", True: "ok", False: "not ok"}[self.cells.get((point, mode))]

    def lines(self):
        width = max(map(len, every())) + 1
        yield f"{'point':{width}} " + "".join(f"{mode:8}" for mode in MODES).rstrip()
        for point in sorted(every()):
            yield f"{point:{width}} " + "".join(f"{self.cell(point, mode):8}" for mode in MODES).rstrip()
        counts = (f"{mode} {sum(self.cell(p, mode) == 'ok' for p in every())}" for mode in MODES)
        yield f"{len(every())} points; seen to end well: {', '.join(counts)}. –: {REASON}. Empty: not in this run (--long has all)"

    def missing(self):
        return [f"{point} ({mode})" for point in sorted(every()) for mode in MODES if self.cell(point, mode) == ""]
