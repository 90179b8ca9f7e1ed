# SPDX-License-Identifier: Apache-2.0
"""Every command in the documentation is typed, in the order in which a person meets them, on a machine that has the package.

What type() is given must stand on a page, and at the end nothing may be left that was neither typed nor named below with the reason.
STACK and its like are filled in; the examples' stacks are called shop here.
"""

import json
import os
import re
import subprocess
import sys

from harness import HERE, PostgresCase, lab, long, wait_for
from machine import Machine

sys.path.insert(0, str(HERE.parent))

import docs_code  # noqa: E402

PROGRAMS = set("""agentctl agentd agent-worker alembic apt chown chmod curl docker dpkg dpkg-buildpackage git install ip journalctl jq kill man meson ninja
    openssl pg_dump psql sha256sum ssh sudo sudoedit systemctl timedatectl""".split())
SQL = r"(ALTER|CREATE|DELETE|DROP|GRANT|INSERT|SELECT|UPDATE)( \S+){3,}"

# Names of commands in a sentence: what is to follow them is left out.
NAMES = """
agent-worker render; agentctl approve; agentctl cancel; agentctl migrate resolve; agentctl rollback; agentctl show; agentctl retry; alembic current; alembic current --check-heads; alembic upgrade head; apt install; apt purge; apt remove
chmod 0640; chown root:deploy-agent; docker node demote; docker node promote; docker run --network app_main; docker service inspect
docker service rm; docker service rollback; docker service scale; docker service update; docker service update --force; docker stack config
docker stack deploy; docker stack deploy --detach=false; docker stack deploy -c a.yml -c b.yml; docker stack ps; docker stack rm; git ls-remote
CREATE UNIQUE INDEX CONCURRENTLY; git revert; INSERT … ON CONFLICT DO NOTHING; kill -9; pg_dump -Fc; systemctl reload; systemctl stop
"""

# Not typed here.
ELSEWHERE = {
    "sudo apt install dpkg-dev && sudo apt build-dep .": "tests/package/build does it, in a root of its own for another Debian",
    "dpkg-buildpackage -b -us -uc": "tests/package/build",
    "sudo apt install ../deploy-agent_*.deb": "the machine has no way out to a mirror: it was installed by dpkg",
    "meson setup build --prefix=/usr --buildtype=release -Dtests=false && sudo ninja -C build install": "debian/rules does it",
    "sudo tests/packages install build": "tests/run begins with it",
    "sudoedit /etc/deploy-agent/agent.conf": "an editor: what is to be written is written",
    "ssh -N -L 9180:127.0.0.1:9180 HOST": "the machine is not reached by ssh",
    "ip link delete vx-…": "no interface is left over",
    "docker secret create projectmeats_app_password -": "test_examples.ProjectMeats does it",
    "sudo adduser NAME deploy-agent": "the machine is without adduser: useradd -G",
    "man agentctl": "the pages are read by tests/lint/man-pages",
    "man agentd": "the same",
    "man agent.conf": "the same",
    "man deploy-agent-stack": "the same",
}
OF_THE_TESTS = r"(sudo )?tests/|RECORD=1 meson test"  # how the tests are called
OF_DEVELOPERS = ("architecture.md",)  # and what stands under decisions/: no user's commands


def without_comment(line):
    return re.split(r"\s+#\s", line)[0].removeprefix("$ ")


def general(line):
    """Other stacks, numbers and commits of examples are the STACK, ID and C of the manual."""
    for pattern, word in ((r"\b(shop|projectmeats|wheel-analyzer|st44|autodeploy)\b(?!-|_app|/|\.)", "STACK"),
                          (r"\b(show |DEPLOYMENT=)\d+", r"\1ID"), (r"--commit [0-9a-f]{7,}", "--commit C")):
        line = re.sub(pattern, word, line)
    return line


class Pages:
    """Commands, SQL, configurations and stack files: what it is → where it stands."""

    def __init__(self):
        self.commands, self.sql, self.settings, self.yaml = {}, {}, {}, {}
        for page in docs_code.pages():
            if page.name in OF_DEVELOPERS or page.parent.name == "decisions":
                continue
            for number, kind, code in docs_code.blocks(page.read_text()):
                self.add(f"{page.relative_to(docs_code.TOP)}:{number}", kind, code)
        for page in sorted((docs_code.TOP / "docs/man").iterdir()):
            text = page.read_text()
            for line in re.findall(r"^\.Dl (.*)", text, re.M) + "".join(re.findall(r"^\.EX\n(.*?)^\.EE", text, re.M | re.S)).splitlines():
                if line.split()[:1] and line.split()[0] in PROGRAMS:
                    self.commands.setdefault(general(line), f"docs/man/{page.name}")
        for number, kind, code in docs_code.blocks((docs_code.TOP / "debian/README.Debian").read_text()):
            self.add(f"debian/README.Debian:{number}", kind, re.sub(r" *\\\n *", " ", code))

    def add(self, place, kind, code):
        if kind == "inline":
            if " " in code and (code.split()[0] in PROGRAMS or re.match(OF_THE_TESTS, code)):
                self.commands.setdefault(general(code), place)
            elif re.match(SQL, code):
                self.sql.setdefault(code, place)
        elif kind == "python":
            pass
        elif kind in ("sql", "yaml"):
            getattr(self, kind)[code] = place
        elif re.match(SQL, code):
            self.sql[code] = place
        elif code.startswith("["):
            settings = re.match(r"(\[.*?(\n\n(?!\[)|\Z))", code, re.S)[0]
            self.settings[settings.strip()] = place
            if settings != code:
                self.add(place, kind, code[len(settings):].strip())
        elif code.startswith("x-release:"):
            self.yaml[code] = place
        elif re.match(r"\$ ", code):  # what follows is its output
            self.commands.setdefault(general(without_comment(code.splitlines()[0])), place)
        elif not re.match(r"ID  |\d+ +\d{4}-|deploy/stack.yml:\d", code):  # output
            for line in code.splitlines():
                if not line.lstrip().startswith("#"):
                    self.commands.setdefault(general(without_comment(line)), place)


class Documentation(PostgresCase):
    limit = 400
    port = 15432  # of the records, on the node

    def setUp(self):
        super().setUp()
        self.addCleanup(self.remove_volumes, "shop")
        self.addCleanup(self.remove_stack, "shop")
        self.pages, self.used = Pages(), set()
        self.machine = Machine(self)
        # as in Debian, but that nobody is asked for a password
        self.machine.put("/usr/local/bin/sudo", """#!/bin/sh
            [ "$1" = -u ] || exec "$@"
            user=$2
            shift 2
            exec setpriv --reuid="$user" --regid="$user" --init-groups "$@"
            """, "0755")

    def show_logs(self):
        print(self.machine.sh("journalctl --no-pager -u deploy-agent -n 60; agentctl log --wide; agentctl status 2>&1 || true"))

    # ---- typing ----

    def words(self, text, **names):
        """What is typed for a command of the pages."""
        self.assertIn(text, self.pages.commands, "no page says this (any more)")
        self.used.add(text)
        for name, value in {"STACK": "shop", **names}.items():
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![^\W_]|=)", str(value), text)
        return text

    def run_words(self, text, stdin="", lab_side=False, user="reader"):
        if lab_side:  # programs that the machine has not, where its network and its engine are
            words = lab().enter("bash", "-c", f'agentctl() {{ docker exec -i {self.machine.name} agentctl "$@"; }}\n{text}')
        else:
            who = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if text.startswith("agentctl ") else []
            words = lab().enter("docker", "exec", "-i", self.machine.name, *who, "sh", "-c", text)
        return subprocess.run(words, input=stdin, capture_output=True, text=True, errors="replace")

    def type(self, text, says="", code=0, stdin="", lab_side=None, **names):
        """Types a command of the pages. It has to end with this code, and to say this."""
        line = self.words(text, **names)
        side = re.search(r"^(docker|ip|curl)|\| jq", line) is not None if lab_side is None else lab_side
        run = self.run_words(line, stdin, side)
        self.assertEqual(run.returncode, code, f"{self.pages.commands[text]}: {line}\n{run.stdout}{run.stderr}")
        self.assertIn(says, run.stdout + run.stderr, f"{self.pages.commands[text]}: {line}")
        return run.stdout

    def follow(self, text, says, act):
        """Types a command that does not end by itself: once act() is done, it says this."""
        words = lab().enter("bash", "-c", f'agentctl() {{ docker exec -i {self.machine.name} agentctl "$@"; }}\n{self.words(text)}')
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
            act()
            for line in process.stdout:
                if says in line:
                    break
            else:
                self.fail(f"{self.pages.commands[text]}: {text} ended with {process.wait()}")
            os.killpg(process.pid, 15)

    def answer(self, text, prompt, *answers, **names):
        """Types a command of the pages on a terminal, and what it asks for."""
        words = lab().enter("script", "-qec", self.words(text, **names), "/dev/null")
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for answer in answers:
                seen = b""
                while not re.search(prompt, seen):
                    byte = process.stdout.read(1)
                    self.assertTrue(byte, f"{text} ended: {seen}")
                    seen += byte
                process.stdin.write(answer.encode() + b"\n")
                process.stdin.flush()
            self.assertEqual(process.wait(), 0, text)

    # ---- what is there ----

    def configure_with(self, settings, agent="", more=""):
        """agent.conf as a page has it: the repository is the test's own, and what is not the pages' is added."""
        text = self.pages_settings(settings).replace("https://git.example.org/shop.git", f"file:///srv/git/{self.name}.git")
        lines = f"[agent]\ndocker = unix:///engine/docker.sock\ncontrol_uids = {self.machine.sh('id -u reader')}\n{agent}\n"
        text = text.replace("[agent]\n", lines) if "[agent]\n" in text else lines + text
        self.machine.put("/etc/deploy-agent/agent.conf", text + f"\npoll_interval = 1s\n{more}", "0640", "root:deploy-agent")

    def pages_settings(self, place):
        found, = [code for code, where in self.pages.settings.items() if where.startswith(place)]
        self.used.add(found)
        return found

    def push(self, release=None, version="one", files=None):
        stack = self.stack(release, web=self.web(VERSION=version), db=self.database, volumes={"pg": {}, "backups": {}})
        if release is None:
            del stack["x-release"]
        return self.commit(**{"deploy__stack.yml": json.dumps(stack), **(files or {})})

    @property
    def database(self):
        return self.postgres(ports=[{"target": 5432, "published": self.port, "mode": "host"}], volumes=["pg:/var/lib/postgresql/data", "backups:/backups"])

    def container(self, service):
        return self.engine.running(f"shop_{service}")[-1]["Status"]["ContainerStatus"]["ContainerID"]

    def query(self, sql, database="app"):
        return self.lab.docker("exec", self.container("db"), "psql", "-h", "127.0.0.1", "-U", "app", "-d", database, "-v", "ON_ERROR_STOP=1", "-qAtc", sql)

    def sql(self, words, database="app"):
        """Runs what a page has as SQL, from these words on."""
        found, = [code for code in self.pages.sql if code.startswith(words)]
        self.used.add(found)
        # CREATE DATABASE wants to be alone
        return "\n".join(self.query(statement.replace("…", self.word), database) for statement in found.split(";\n"))

    def in_backups(self, line):
        return self.lab.docker("exec", self.container("db"), "sh", "-c", f"cd /backups && {line}")

    def records(self):
        return json.loads(self.machine.agentctl("log", "shop", "--json").stdout or "[]")

    def ends(self, commit, state, at_least=1):
        def look():
            records = [d for d in self.records() if d["commit"] == commit]
            return len(records) >= at_least and records[0]["state"] in (state, "failed", "rolled_back", "halted", "succeeded", "cancelled") and records[0]

        record = wait_for(look, 60, lambda: f"{commit[:7]} {state}: {self.machine.agentctl('status').stdout}")
        self.assertEqual(record["state"], state, record["reason"])
        return record

    def file_of(self, sql):
        """The migration that a page shows: (path, text)."""
        self.used.add(sql)
        return "db__" + re.match(r"-- (\S+\.sql)", sql)[1], sql + "\n"

    # ---- a person's days ----

    word = "of-the-test"

    @long
    def test_every_command(self):
        self.install()
        self.move_a_stack()
        self.look()
        self.migrate()
        self.wait_a_little()
        self.mend()
        self.go_back()
        self.watch()
        self.keep_records()
        self.read_stack_files()
        self.leave()
        names = {name.strip() for name in re.split("[;\n]", NAMES)}
        left = {text: place for text, place in {**self.pages.commands, **self.pages.sql, **self.pages.settings}.items()
                if text not in self.used and text not in names and text not in ELSEWHERE and not re.match(OF_THE_TESTS, text)}
        self.assertEqual(left, {}, "on the pages, and neither typed nor named here")
        self.assertEqual((names | set(ELSEWHERE)) - {"", *self.pages.commands, *self.pages.sql}, set(), "named here, and on no page")

    def install(self):
        """README.md, operations.md"""
        self.type("sudo systemd-sysusers && sudo systemd-tmpfiles --create && sudo journalctl --update-catalog && sudo systemctl daemon-reload")
        self.type("sudo install -o root -g deploy-agent -m 0640 /usr/share/doc/deploy-agent/examples/agent.conf.example /etc/deploy-agent/agent.conf")
        self.type("sudo agentctl check", "no stack is configured", code=1)

    def move_a_stack(self):
        """moving-from-stack-deploy.md: what somebody has deployed by hand"""
        commit = self.push()
        variables = {"DB_PASSWORD": self.word, "DATABASE_URL": f"postgres://app:{self.word}@db:5432/app"}
        self.lab.docker("stack", "deploy", "-c", self.clone / "deploy/stack.yml", "shop", environment=variables)
        self.type("sudo install -D -o root -g deploy-agent -m 0640 /dev/stdin /etc/shop/env", stdin="".join(f"{k}={v}\n" for k, v in variables.items()))
        self.configure_with("docs/moving")
        self.type("docker stack ls", "shop")
        self.type("docker service ls", "shop_web")
        self.type("sudo -u deploy-agent agentctl check STACK")
        self.type("sudo systemctl start deploy-agent")
        self.type("agentctl plan STACK", "nothing to do")
        before = self.specs_of("shop")
        self.configure_with("README.md")
        self.type("systemctl reload deploy-agent")
        self.type("agentctl sync --wait")
        self.type("agentctl sync STACK --wait")
        self.ends(commit, "succeeded")
        self.assertEqual(self.specs_of("shop"), before)

    def specs_of(self, stack):
        return {s["Spec"]["Name"]: s["Spec"] for s in self.engine.services(stack)}

    def look(self):
        """Every day: what each of these says is the matter of other tests."""
        number = self.records()[0]["id"]
        for text in "agentctl log", "agentctl log --wide", "agentctl log -n 5", "agentctl log -n 20", "agentctl log --json", "agentctl show ID", "agentctl show ID --json":
            self.type(text, "no change", ID=number)
        for text in "agentctl status", "agentctl status STACK", "agentctl status --json":
            self.type(text, "shop")
        self.type("agentctl plan", "nothing to do")
        self.type("agentctl plan --json", '"empty": true')
        for text in "agentctl check", "agentctl check STACK":
            self.type(text, "ok")
        self.type("agentctl status --json | jq -e 'all(.stacks[]; .in_step)'", "true")
        self.type("systemctl status deploy-agent", "active (running)")
        self.type("systemctl status systemd-journald", "active (running)")
        self.type("journalctl -u deploy-agent", "shop")
        self.type("journalctl -u deploy-agent STACK=STACK", "shop")
        self.type("journalctl -x -u deploy-agent", "Nothing has to be done")
        self.type("journalctl -x DEPLOYMENT=ID", "Nothing has to be done", ID=number)
        self.type("agentctl log STACK --state succeeded -n 1 --json | jq '.[0].images'", "sha256:")
        catalog = self.machine.sh("journalctl --list-catalog")
        for text in [t for t in self.pages.commands if t.startswith("journalctl MESSAGE_ID=")]:
            self.assertIn(text.split("=")[1], catalog)
            self.run_words(self.words(text))  # there may be none
        self.type("ip -o link show type vxlan")
        self.type('docker image prune -a --filter "until=720h"', stdin="n\n")

    def release(self, *steps, **more):
        return {"database": {"service": "db", "url_from": "DATABASE_URL", "backup": {"when": "pending", "volume": "backups"}},
                "gate": {**self.gate, "baseline_samples": 0}, "steps": [{"sql": {"name": "schema", "dir": "db"}}, *steps], **more}

    def migrate(self):
        """database.md: a file that stops half way, and what a person does then; then the files of migrations.md"""
        base = ("CREATE TABLE users (id int PRIMARY KEY, first text, last text);\nINSERT INTO users VALUES (1, 'Ada', 'L');\n"
                "CREATE TABLE orders (id int, user_id int);\n")
        half = "BEGIN;\nCREATE TABLE a (i int);\nCOMMIT;\nBEGIN;\nALTER TABLE nosuch ADD COLUMN i int;\nCOMMIT;\n"
        commit = self.push(self.release(), files={"db__0001_base.sql": base, "db__0119_half.sql": half})
        self.ends(commit, "failed")
        self.type("agentctl migrate status STACK", "3 of 6 statements are in the database")
        self.type("agentctl migrate resolve STACK 0119 --statement 3 done", code=1)
        self.type("agentctl migrate resolve STACK 0119 done", "counts as applied")
        self.query("DROP TABLE a; CREATE TABLE nosuch (); DELETE FROM schema_migrations WHERE version = '0119'")
        self.type("agentctl migrate resolve STACK 0119 again")
        self.type("agentctl retry STACK")
        self.ends(commit, "succeeded", 2)
        self.type("agentctl migrate status", "applied")
        self.type("agentctl migrate adopt STACK", "0 versions taken over")
        files = dict(self.file_of(code) for code, place in self.pages.sql.items() if place.startswith("docs/migrations.md") and code.startswith("--"))
        self.ends(self.push(self.release(), files=files), "succeeded")
        self.assertEqual(self.query("SELECT full_name FROM users"), "Ada L")

    def wait_a_little(self):
        """Paused, and with approvals"""
        for text in "agentctl pause", 'agentctl pause STACK --reason "…" --until 2h', 'agentctl pause STACK --reason "stocktaking" --until 2h':
            self.type(text)
            self.type("agentctl resume")
        self.configure_with("README.md", more="approve = yes\n")
        self.type("systemctl reload deploy-agent")
        for text in "agentctl approve STACK --commit C", "agentctl approve STACK":
            commit = self.push(self.release())
            wait_for(lambda: f"commit {commit[:12]}" in self.machine.agentctl("status").stdout, 30, "the alarm")
            self.type(text, C=commit[:12])
            self.ends(commit, "succeeded")
        self.configure_with("README.md")
        self.type("systemctl reload deploy-agent")

    def mend(self):
        """A commit that fails"""
        commit = self.push(self.release({"run": {"name": "bad", "service": "web", "command": ["exit", "1"]}}))
        self.ends(commit, "failed")
        self.type("agentctl log STACK --state failed -n 1 --json | jq -r '.[0].reason'", "bad: exit 1")
        self.type("agentctl show ID --logs", "bad", ID=self.records()[0]["id"])
        self.type("agentctl retry ID", ID=self.records()[0]["id"])
        self.ends(commit, "failed", 2)
        self.type("agentctl rollback STACK")
        wait_for(lambda: self.records()[0]["trigger"] == "rollback" and self.records()[0]["state"] == "succeeded", 60, "the rollback")

    def go_back(self):
        """A deployment that is stopped, and one that is taken back"""
        commit = self.push(self.release({"run": {"name": "long", "service": "web", "command": ["sleep", "6"]}}), version="stopped")
        wait_for(lambda: "run long" in self.machine.agentctl("status").stdout, 30, "the long step")
        self.type("agentctl cancel STACK --wait")
        self.ends(commit, "cancelled")
        commit = self.push(self.release(), version="two")
        self.ends(commit, "succeeded")
        self.type("agentctl rollback STACK --wait")
        self.type("agentctl resume STACK")
        self.ends(commit, "succeeded", 2)
        self.type("docker service ps STACK_web", "shop_web")
        self.type("docker service update --force STACK_web")
        self.type("docker config inspect --pretty STACK.deploy-agent", "deploy-agent")
        dump = self.in_backups("ls").split(".dump")[0] + ".dump"
        self.assertIn("OK", self.in_backups(self.words("sha256sum -c FILE.sha256", FILE=dump)))

    def watch(self):
        """HTTP"""
        # a busy database is asked again after five seconds
        health = "curl -s http://127.0.0.1:9180/health/database"
        wait_for(lambda: '"status":"healthy"' in self.run_words(health, lab_side=True).stdout, 30, "the database to answer")
        self.type(health, '"database":"connected"')
        self.type("sudo -u deploy-agent /usr/libexec/deploy-agent/agent-worker health STACK", '"database":"connected"')
        self.follow("curl -N http://127.0.0.1:9180/api/v1/events", "hello", lambda: None)
        self.type("install -m 0640 -g deploy-agent /dev/null /etc/deploy-agent/shop.hook")
        self.type("openssl rand -hex 32 >/etc/deploy-agent/shop.hook")
        self.configure_with("README.md", more="webhook_secret_file = /etc/deploy-agent/shop.hook\n")
        self.type("systemctl reload deploy-agent")
        self.type("sudo agentctl check")
        self.machine.put("/etc/deploy-agent/chat-url", "http://127.0.0.1:9/hook\n", "0640", "root:deploy-agent")
        self.machine.put("/etc/deploy-agent/status-token", self.word, "0640", "root:deploy-agent")
        chat, stack = self.pages_settings("docs/operations.md").split("[stack shop]\n")
        repository, settings = stack.split("\n", 1)
        self.assertIn("https://git.example.org/web/shop.git", repository)  # a forge's; the test's is none
        self.configure_with("README.md", more=f"{settings}\nstatus_url = http://127.0.0.1:9/api/v1\n{chat}")
        self.type("systemctl reload deploy-agent")
        self.assertEqual(self.machine.said("is refused"), [])
        commit = []
        self.follow("agentctl log --follow", "no change", lambda: commit.append(self.ends(self.push(self.release(), version="two"), "succeeded")))
        self.follow("""agentctl log --follow --json | jq --unbuffered -r '"\\(.stack) \\(.state): \\(.reason)"'""", "shop succeeded", lambda: None)
        self.type("agentctl sync STACK")
        self.answer("docker exec -it $(docker ps -q -f name=autodeploy_db) psql -h 127.0.0.1 -U STACK -c '\\password'", rb"(again|app\"): $",
                    self.word, self.word, autodeploy_db="shop_db", STACK="app")

    def keep_records(self):
        """operations.md: the fleet's records"""
        self.sql("CREATE ROLE deploy_agent")
        url = f"postgresql://deploy_agent:{self.word}@{self.lab.env['NODE_ADDRESS_1']}:{self.port}/fleet?sslmode=disable"
        self.configure_with("README.md", more=f"[records]\npostgres = {url}\n")
        self.type("systemctl reload deploy-agent")
        wait_for(lambda: "rolled" in self.machine.agentctl("log", "--records").stdout, 30, "the records")
        self.type("agentctl log --records", "HOST")
        self.sql("CREATE ROLE dashboards", "fleet")
        self.assertIn("shop", self.sql("SELECT host, stack", "fleet"))
        self.sql("DELETE FROM deploy_agent.deployment", "fleet")
        self.query("CREATE DATABASE another")
        self.sql("CREATE SCHEMA deploy_agent", "another")
        self.type("sudo systemctl start deploy-agent")
        self.machine.sh("systemctl stop deploy-agent")
        self.query("CREATE DATABASE app_restored", "postgres")
        self.sql("ALTER DATABASE app RENAME", "postgres")

    def read_stack_files(self):
        """Each x-release on the pages is one that the agent takes."""
        services = {"db": {"image": "postgres:15"}, "web": {"image": "web:1"}}
        for code, place in self.pages.yaml.items():
            if code.startswith("x-release:"):
                text = re.sub(r"<(\"[^\"]*\"|[^>\n]*)>", r"\1", code) + f"\nservices: {json.dumps(services)}\nvolumes: {{backups: {{}}}}\n"
                self.machine.put("/tmp/stack.yml", text)
                self.type("agentctl render FILE… --stack NAME", **{"FILE…": "/tmp/stack.yml", "NAME": "shop"})

    def leave(self):
        """operations.md: a stack that is to go"""
        self.configure_with("docs/moving")
        text = self.machine.sh("cat /etc/deploy-agent/agent.conf")
        self.machine.put("/etc/deploy-agent/agent.conf", text[:text.index("[stack ")], "0640", "root:deploy-agent")
        self.machine.sh("systemctl restart deploy-agent")
        self.type("systemctl reload deploy-agent")
        self.type("agentctl log STACK", "succeeded")
        for text in "docker service rm deploy-agent-relay_STACK", "docker config rm STACK.deploy-agent", "docker stack rm STACK":
            self.type(text, "shop", **{"deploy-agent-relay_STACK": "deploy-agent-relay_shop"})
        for kind in "services", "configs", "secrets", "networks":
            wait_for(lambda: not [o for o in self.engine.get(f"/{kind}") if "shop" in (o.get("Name") or o["Spec"]["Name"])], 60, f"{kind} to be gone")
        self.assertIn("shop_pg", self.lab.docker("volume", "ls", "-q"))
