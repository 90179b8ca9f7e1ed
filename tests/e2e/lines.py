# SPDX-License-Identifier: Apache-2.0
"""Turns what test programs say into the lines of tests/run: `ok GROUP NAME`, `not ok …` with the output, `skip … # why`.

    lines.py tap GROUP                      a TAP stream on stdin
    lines.py meson GROUP TESTLOG.json       the log of `meson test`, cases of TAP programs one by one
    lines.py unittest GROUP MODULE          runs a unittest module of the current folder
"""

import json
import re
import sys
import time
import unittest

POINT = re.compile(r"^(ok|not ok)(?: +\d+)?(?: - | +)?(.*?)(?: +# *(SKIP|TODO)\b[ :]*(.*))?$", re.I)


def say(group, verdict, name, output="", seconds=None):
    took = f" ({seconds:.1f} s)" if seconds is not None else ""
    print(f"{verdict} {group} {name}{took}", flush=True)
    for line in output.rstrip().splitlines()[-80:] if output else []:
        print(f"    {line}", flush=True)


def tap(group, lines, prefix=""):
    """True when there was at least one point and no trouble."""
    points, trouble, last = 0, [], None
    for line in lines:
        line = line.rstrip("\n")
        match = POINT.match(line)
        if match:
            points += 1
            verdict, name, mark, why = match.groups()
            last = verdict
            if mark and mark.upper() == "SKIP":
                print(f"skip {group} {prefix}{name} # {why}", flush=True)
            else:
                say(group, verdict, prefix + name)
        elif last == "not ok" and (line.startswith("#") or line.startswith(" ")):
            print("    " + line, flush=True)
        elif line.startswith("exit code ") or line.startswith("Bail out!"):
            trouble.append(line)
    return points, trouble


def meson(group, path):
    with open(path) as log:
        for text in log:
            test = json.loads(text)
            name = test["name"].removeprefix("deploy-agent / ").removeprefix("deploy-agent:")
            output = test.get("stdout", "") or ""
            points = sum(1 for line in output.splitlines() if POINT.match(line))
            good = test["result"] in ("OK", "EXPECTEDFAIL")
            if points:
                tap(group, output.splitlines(), f"{name}: ")
            for line in output.splitlines():
                if line.startswith("## "):  # a table for the reader
                    print(line[1:], flush=True)
            if test["result"] == "SKIP" and not points:
                print(f"skip {group} {name} # skipped", flush=True)
            elif not good or not points:
                say(group, "ok" if good else "not ok", name, "" if good else output + (test.get("stderr") or ""), test["duration"])
            print(f"# {group} {name}: {points} cases, {test['duration']:.1f} s", flush=True)


class Result(unittest.TestResult):
    def __init__(self, group):
        super().__init__()
        self.group = group

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.verdict = None

    def name(self, test):
        return ".".join(test.id().split(".")[-3:])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skip {self.group} {self.name(test)} # {reason}", flush=True)
        self.verdict = "skip"

    def bad(self, test, error):
        say(self.group, "not ok", self.name(test), self._exc_info_to_string(error, test), time.monotonic() - getattr(self, "began", time.monotonic()))
        self.verdict = "not ok"

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.bad(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self.bad(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            self.bad(subtest, error)

    def stopTest(self, test):
        super().stopTest(test)
        if not self.verdict:
            say(self.group, "ok", self.name(test), seconds=time.monotonic() - self.began)


def main():
    kind, group = sys.argv[1:3]
    if kind == "tap":
        points, trouble = tap(group, sys.stdin)
        if trouble or not points:
            say(group, "not ok", "the program as a whole: " + (" ".join(trouble) or "it reported nothing"))
    elif kind == "meson":
        meson(group, sys.argv[3])
    elif kind == "unittest":
        sys.path.insert(0, "")
        sys.argv = sys.argv[3:]
        unittest.defaultTestLoader.loadTestsFromName(sys.argv[0]).run(Result(group))


main()
