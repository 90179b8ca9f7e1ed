# SPDX-License-Identifier: Apache-2.0
"""The numbers of docs/performance.md. Runs inside the lab's network (tests/bench/run).

Every timing is a ratio against something else in the same run, as a median over alternating samples.
"""
import contextlib
import json
import os
import re
import resource
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from http import client

BUILD, LAB = sys.argv[1], sys.argv[2]
HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
ENV = os.environ
GIT = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org"]
DOCKER = ENV["LAB_DOCKER"]
rows = []


def run(*command, check=True, **options):
    return subprocess.run([str(c) for c in command], check=check, text=True, capture_output=True, **options)


def cost(command, **options):
    """(wall seconds, cpu seconds) of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    result = subprocess.run([str(c) for c in command], text=True, **options)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result


def paired(ours, theirs, samples, ok=(0,), **options):
    """Medians of (wall, cpu) of two commands run in turn."""
    a, b = [], []
    for command in (ours, theirs):
        cost(command, **options)  # warm up
    for _ in range(samples):
        for command, list_ in ((ours, a), (theirs, b)):
            wall, cpu, result = cost(command, **options)
            if command is ours and result.returncode not in ok:
                raise SystemExit(f"{command}: {result.returncode}: {result.stderr}")
            list_.append((wall, cpu))
    middle = lambda list_, i: statistics.median(x[i] for x in list_)
    return (middle(a, 0), middle(a, 1)), (middle(b, 0), middle(b, 1))


def report(what, value, bar, unit=""):
    good = value <= bar
    rows.append((what, value, bar, unit, good))
    print(f"{'ok  ' if good else 'MISS'}  {what:<62} {value:8.2f} {unit:<4} (bar {bar:g}{unit and ' ' + unit})", flush=True)


class Stack:
    """A repository, a configuration, and an agentd when started."""

    def __init__(self, name, text, stacks=1, interval="30s"):
        self.name = name
        self.dir = tempfile.mkdtemp(prefix="bench-", dir=LAB)
        run(f"{TESTS}/lab/repo", "--dir", LAB, name)
        self.work = self.dir + "/work"
        run("git", "init", "-q", "-b", "main", self.work)
        self.conf = self.dir + "/agent.conf"
        os.mkdir(self.dir + "/run")
        with open(self.conf, "w") as f:
            f.write(f"[agent]\nstate_dir = {self.dir}/state\nrun_dir = {self.dir}/run\ndocker = {ENV['DOCKER_HOST']}\n[http]\nlisten =\n")
            for i in range(stacks):
                f.write(f"[stack {name if i == 0 else name + str(i)}]\nrepository = {ENV['GIT_HTTP_URL']}/{name}.git\n"
                        f"branch = main\nfile = stack.yml\npoll_interval = {interval}\n")
        self.daemon = None
        self.commit(text)

    def commit(self, text):
        with open(self.work + "/stack.yml", "w") as f:
            f.write(text)
        run(*GIT, "-C", self.work, "add", "-A")
        run(*GIT, "-C", self.work, "commit", "-qm", "change", "--allow-empty")
        run("git", "-C", self.work, "push", "-q", f"{ENV['GIT_ROOT']}/{self.name}.git", "main")

    def program(self, program, *arguments):
        return [f"{BUILD}/{program}", "--config", self.conf, *arguments]

    def start(self):
        self.log = open(self.dir + "/agentd.log", "w")
        self.daemon = subprocess.Popen(self.program("agentd"), stdout=self.log, stderr=self.log)
        wait(lambda: os.path.exists(self.dir + "/run/control.sock"), 10, "agentd's control socket")

    def stop(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(120)
        run(DOCKER, "stack", "rm", self.name, check=False)
        run(DOCKER, "service", "rm", "deploy-agent-relay_" + self.name, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


def wait(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise SystemExit(f"no {what} within {seconds} s")


def pss_mib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1]) / 1024


def children(pid):
    return run("pgrep", "-P", pid, check=False).stdout.split()


GATE = "x-release: {gate: {min_healthy_time: 0s, soak: 0s, probe_interval: 200ms, healthy_deadline: 60s}}\n"


def service(name, version, replicas=1):
    return (f"  {name}:\n    image: {ENV['REGISTRY']}/web:1\n    environment: {{VERSION: '{version}'}}\n"
            f"    deploy: {{endpoint_mode: dnsrr, replicas: {replicas}}}\n")


def idle():
    stack = Stack("benchidle", "version: '3.8'\nservices:\n" + service("web", 1, 0) + GATE, stacks=10, interval="2s")
    stack.start()
    states = lambda: [s for s in json.loads(run(*stack.program("agentctl", "log", "--json")).stdout)]
    wait(lambda: len([d for d in states() if d["state"] == "succeeded"]) == 10, 120, "ten first deployments")
    files = lambda: {f: os.stat(f"{stack.dir}/state/{f}").st_mtime_ns for f in os.listdir(stack.dir + "/state")}
    wait(lambda: not children(stack.daemon.pid), 10, "quiet")
    before, seen = files(), []
    for _ in range(100):  # ten seconds: five polls of each stack
        if not children(stack.daemon.pid):
            seen.append(pss_mib(stack.daemon.pid))
        time.sleep(0.1)
    report("agentd idle, ten stacks: PSS", statistics.median(seen), 8, "MiB")
    report("files in state_dir written by polls without news", len([f for f, t in files().items() if before.get(f) != t]), 0)
    stack.stop()


def poll():
    stack = Stack("benchpoll", "version: '3.8'\nservices:\n" + service("web", 1, 0) + GATE)
    tip = run("git", "-C", stack.work, "rev-parse", "HEAD").stdout.strip()
    url = f"{ENV['GIT_HTTP_URL']}/benchpoll.git"
    ours, theirs = paired(stack.program("agent-worker", "poll", "benchpoll", "--known", tip),
                          ["git", "ls-remote", url, "refs/heads/main"], 30)
    report("poll without news / git ls-remote: wall", ours[0] / theirs[0], 1.3)
    report("poll without news / git ls-remote: CPU", ours[1] / theirs[1], 1.3)
    stack.stop()


def plan():
    text = lambda: "version: '3.8'\nservices:\n" + "".join(service(f"s{i:03}", 1, 0) for i in range(100)) + GATE
    stack = Stack("benchplan", text())
    stack.start()
    result = run(*stack.program("agentctl", "sync", "--wait"), check=False)
    if result.returncode:
        raise SystemExit(f"deploying 100 services: {result.stdout}{result.stderr}")
    stack.daemon.terminate()
    stack.daemon.wait(60)
    stack.daemon = None
    indices = lambda: sorted(run(DOCKER, "service", "inspect", "--format", "{{.ID}} {{.Version.Index}}",
                                 *run(DOCKER, "service", "ls", "-q", "--filter", "label=com.docker.stack.namespace=benchplan")
                                 .stdout.split()).stdout.split("\n"))
    before = indices()
    # agentctl execs the worker when agentd is down: all of the work is seen in one process tree
    ours = [cost(stack.program("agentctl", "plan"))[1:] for _ in range(5)]
    bad = [r for _, r in ours if r.returncode != 0]
    if bad:
        raise SystemExit(f"plan of an unchanged stack: {bad[0].returncode}: {bad[0].stdout}{bad[0].stderr}")
    report("services written by `agentctl plan` of an unchanged stack", len(set(indices()) ^ set(before)) / 2, 0)
    theirs = [cost([DOCKER, "stack", "deploy", "-c", stack.work + "/stack.yml", "benchplan"])[1] for _ in range(3)]
    report("plan, 100 unchanged services / docker stack deploy: CPU", statistics.median(c for c, _ in ours) / statistics.median(theirs), 0.5)
    stack.stop()


def cli_with(text, *command):
    """A docker CLI whose help of a command says so; Debian 12's cannot do all that is compared here."""
    for docker in filter(None, (shutil.which("docker", path="/usr/local/bin:/usr/bin"), DOCKER)):
        if text in run(docker, *command, "--help", check=False).stdout:
            return docker
    return None


def update():
    docker = cli_with("--detach", "stack", "deploy")
    text = lambda version: "version: '3.8'\nservices:\n" + service("web", version) + GATE
    stack = Stack("benchroll", text(0), interval="1h")
    stack.start()
    ours, theirs = [], []
    run(*stack.program("agentctl", "sync", "--wait"))
    for version in range(1, 6 if os.environ.get("TESTS_FULL") else 4):
        stack.commit(text(f"ours{version}"))
        wall, _, result = cost(stack.program("agentctl", "sync", "--wait"))
        if result.returncode:
            raise SystemExit(f"update: {result.stdout}{result.stderr}")
        ours.append(wall)
        changed = stack.work + "/../theirs.yml"
        with open(changed, "w") as f:
            f.write(text(f"theirs{version}"))
        if docker:
            command = [docker, "stack", "deploy", "--detach=false", "--quiet", "-c", changed, "benchroll"]
        else:  # the same waiting, for the one service
            command = [DOCKER, "service", "update", "--quiet", "--detach=false", "--env-add", f"VERSION=theirs{version}", "benchroll_web"]
        theirs.append(cost(command)[0])
    name = "docker stack deploy --detach=false" if docker else "docker service update"
    report(f"one-service update, commit to verdict / {name}: wall", statistics.median(ours) / statistics.median(theirs), 1.15)
    stack.stop()


def render():
    docker = cli_with("docker stack config", "stack", "config")
    if not docker:
        print("skip  render of 1,000 services / docker stack config: no docker CLI here has `stack config`", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = folder + "/stack.yml"
        with open(file, "w") as f:
            f.write("version: '3.8'\nservices:\n" + "".join(
                service(f"s{i:04}", 1, 2) + "    ports: ['%d:80']\n    networks: [a, b]\n    volumes: ['v%d:/data']\n"
                "    healthcheck: {test: [CMD, /bin/true], interval: 5s}\n" % (10000 + i, i) for i in range(1000))
                + "networks: {a: {}, b: {}}\nvolumes: {" + ", ".join(f"v{i}: {{}}" for i in range(1000)) + "}\n")
        # into a file: a pipe would show how fast this program reads megabytes
        with open(folder + "/output", "w") as output:
            ours, theirs = paired([f"{BUILD}/agent-worker", "render", file, "--stack", "big"], [docker, "stack", "config", "-c", file], 11,
                                  stdout=output)
    report("render of 1,000 services / docker stack config: wall", ours[0] / theirs[0], 0.25)
    report("render of 1,000 services / docker stack config: CPU", ours[1] / theirs[1], 0.25)


def lengthen(path, times):
    """The same history again and again, with numbers that go on."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        n = db.execute("SELECT max(id) FROM deployment").fetchone()[0]
        for table, key in (("deployment", "id"), ("service", "deployment"), ("image", "deployment"), ("migration", "deployment")):
            others = ", ".join(name for _, name, *_ in db.execute(f"PRAGMA table_info({table})") if name != key)
            for turn in range(1, times):
                db.execute(f"INSERT INTO {table} ({key}, {others}) SELECT {key} + {turn * n}, {others} FROM {table} WHERE {key} <= {n}")
        db.commit()


def log():
    directory = tempfile.mkdtemp(prefix="bench-", dir=LAB)
    os.mkdir(directory + "/state")
    run(f"{BUILD}/tests/bench/fill_journal", directory + "/state/journal.db", "2000")
    lengthen(directory + "/state/journal.db", 50)
    with open(directory + "/agent.conf", "w") as f:
        f.write(f"[agent]\nstate_dir = {directory}/state\nrun_dir = {directory}\n[http]\nlisten =\n[stack shop]\nrepository = file:///tmp/x\nbranch = main\nfile = a.yml\n")
    command = [f"{BUILD}/agentctl", "--config", directory + "/agent.conf", "log", "-n", "20"]
    samples = [cost(command) for _ in range(21)]
    if samples[0][2].returncode or len(samples[0][2].stdout.splitlines()) != 21:
        raise SystemExit(f"log: {samples[0][2].stdout}{samples[0][2].stderr}")
    # the best of them: an absolute time, on a machine that may have other work
    report("agentctl log -n 20 over 100,000 deployments", min(s[0] for s in samples) * 1000, 20, "ms")
    served(directory)
    shutil.rmtree(directory)


def served(directory):
    """What requests cost agentd, which serves them between everything else that it does: CPU of each."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with open(directory + "/agent.conf") as f:
        text = f.read().replace("listen =", f"listen = 127.0.0.1:{port}").replace("[http]", "act = never\n[http]")
    with open(directory + "/agent.conf", "w") as f:
        f.write(text)
    daemon = subprocess.Popen([f"{BUILD}/agentd", "--config", directory + "/agent.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(path):
        with contextlib.closing(client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def cpu():
        with open(f"/proc/{daemon.pid}/stat") as f:
            return sum(int(word) for word in f.read().rsplit(") ", 1)[1].split()[11:13]) * 1000 / os.sysconf("SC_CLK_TCK")

    def serves():
        with contextlib.suppress(OSError):
            return ask("/healthz")[0] == 200

    try:
        wait(serves, 60, "agentd's answer")
        for what, path, times, bar in (("/metrics", "/metrics", 200, 3), ("50 deployments as JSON", "/api/v1/deployments?before=60000", 40, 15),
                                       ("one deployment as JSON", "/api/v1/deployments/1999", 200, 5), ("page of all stacks", "/", 100, 5),
                                       ("page of a stack", "/stacks/shop", 100, 5), ("page of a deployment", "/deployments/99999", 100, 5)):
            if ask(path)[0] != 200:
                raise SystemExit(f"{path}: {ask(path)}")
            before = cpu()
            for _ in range(times):
                ask(path)
            report(f"{what} over 100,000 deployments: CPU of agentd", (cpu() - before) / times, bar, "ms")
    finally:
        daemon.terminate()
        daemon.wait(60)


def sql():
    """A file of 64 MiB; 10 ns for a byte are 100 MB/s."""
    lexer, summary = re.search(r"lexer (\d+) MB/s, summary (\d+) MB/s", run(f"{BUILD}/tests/bench/sql_lexer").stdout).groups()
    report("statements of a SQL file of 64 MiB, for each byte", 1000 / int(lexer), 10, "ns")
    report("all that is to be known of it, for each byte", 1000 / int(summary), 50, "ns")


for part in (idle, poll, plan, update, render, log, sql):
    part()
missed = [row for row in rows if not row[4]]
print(f"{len(rows) - len(missed)} passed, {len(missed)} failed")
sys.exit(1 if missed else 0)
