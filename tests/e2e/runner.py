# SPDX-License-Identifier: Apache-2.0
"""runner.py [--group NAME] [--jobs N] [--list] [PATTERN...]: runs the end-to-end tests, several at a time, each in a process of its own.

Tests marked `long` run when TESTS_FULL is set, or when a pattern is more than a module's name ("test_gate.").
One line per test: `ok NAME (SECONDS s)`, `not ok …` with the output, or `skip … # why`. Patterns are parts of names
(test_gate, test_crash.Supervisor). Tests of classes marked `exclusive` run one at a time: in the lab that E2E_LAB_EXCLUSIVE names
while the others run, or, without one, after them. Exit code 1 when one failed.
"""

import argparse
import concurrent.futures
import importlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from labs import ONCE_MORE, EngineLogs  # noqa: E402

SKIPPED = 77


def wanted(name, test, patterns):
    patterns = [p for p in patterns if p in name] if patterns else [""]
    by_name = any(not p.endswith(".") and p for p in patterns)
    return bool(patterns) and (by_name or "TESTS_FULL" in os.environ or not getattr(getattr(test, test._testMethodName), "long", False))


def discover(patterns):
    tests = []
    for path in sorted(HERE.glob("test_*.py")):
        if "from harness import" not in path.read_text():
            continue  # a program of its own
        module = importlib.import_module(path.stem)
        for suite in unittest.defaultTestLoader.loadTestsFromModule(module):
            for test in suite:
                name = ".".join(test.id().split(".")[-3:])
                if wanted(name, test, patterns):
                    tests.append((name, type(test)))
    return tests


def run_child(name):
    """The one test of this process."""
    suite = unittest.defaultTestLoader.loadTestsFromName(name)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=0, buffer=False).run(suite)
    if result.skipped:
        print("SKIP " + result.skipped[0][1])
        return SKIPPED
    return 0 if result.wasSuccessful() else 1


def run_one(name, needs, argv=None):
    """One that met the engine's own bug is run again, once, and that is said."""
    logs = EngineLogs(os.environ.get("E2E_LAB", "/nonexistent"))
    result = run_once(name, needs, argv)
    if result[1] in (0, SKIPPED) or not logs.tell_of_engine_bug():
        return result
    text = "\n".join("#     " + line for line in result[2].strip().splitlines()[-12:])
    print(f"# {name}: {ONCE_MORE}:\n{text}", flush=True)
    return run_once(name, needs, argv)


def run_once(name, needs, argv):
    """needs: has `exclusive`, `slow`, and it may have a `limit`; argv: how it is run, when not by this program."""
    began = time.monotonic()
    environment = dict(os.environ)
    if needs.exclusive and "E2E_LAB_EXCLUSIVE" in os.environ:
        environment["E2E_LAB"] = os.environ["E2E_LAB_EXCLUSIVE"]
    limit = getattr(needs, "limit", 240) * float(os.environ.get("E2E_PATIENCE", "2"))
    child = subprocess.Popen(argv or [sys.executable, str(HERE / "runner.py"), "--child", name], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True, env=environment)
    try:
        output, _ = child.communicate(timeout=limit)
        code = child.returncode
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)  # cleanups still run
        try:
            output, _ = child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
        output += f"\nthe test was given up after {limit:.0f} s"
        code = 1
    return name, code, output, time.monotonic() - began


def report(group, name, code, output, seconds):
    if code == SKIPPED:
        why = output.strip().splitlines()[-1].removeprefix("SKIP ")
        print(f"skip {group} {name} # {why}", flush=True)
    elif code == 0:
        print(f"ok {group} {name} ({seconds:.1f} s)", flush=True)
    else:
        text = "\n".join("    " + line for line in output.strip().splitlines())
        print(f"not ok {group} {name} ({seconds:.1f} s)\n{text}", flush=True)
    return code not in (0, SKIPPED)


def run_all(tests, jobs):
    """Yields what run_one() says of each (name, needs, argv…), in the order in which they end."""
    # what takes long begins early, so that nobody waits for it at the end
    together = sorted((t for t in tests if not t[1].exclusive), key=lambda t: not t[1].slow)
    alone = [t for t in tests if t[1].exclusive]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool, concurrent.futures.ThreadPoolExecutor(1) as one:
        futures = [pool.submit(run_one, *t) for t in together]
        if "E2E_LAB_EXCLUSIVE" in os.environ:
            futures += [one.submit(run_one, *t) for t in alone]
            alone = []
        for future in concurrent.futures.as_completed(futures):
            yield future.result()
    for test in alone:
        yield run_one(*test)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--group", default="e2e")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--child")
    parser.add_argument("patterns", nargs="*")
    options = parser.parse_args()
    if options.child:
        return run_child(options.child)
    tests = discover(options.patterns)
    if options.list:
        print("\n".join(name for name, _ in tests))
        return 0
    failed = 0
    for result in run_all(tests, options.jobs):
        failed += report(options.group, *result)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
