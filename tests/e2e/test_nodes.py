# SPDX-License-Identifier: Apache-2.0
"""Agents on all managers of one Swarm, act = leader: the leader's deploys; what happens when it goes away in the middle of it.

Each test has a lab of three managers (with --full and two workers) of its own, since it breaks it; E2E_LAB_NODES names one that is up already, for all of
them: who leaves it broken mends it.
"""

import os
import subprocess

from harness import LAB_TOOLS, Case, Engine, Host, PostgresCase, deadline, lab, long, wait_for

OF_NODES = ["--nodes", "5", "--workers", "2"] if os.environ.get("TESTS_FULL") else ["--nodes", "3"]


class Nodes(Case):
    exclusive = True
    limit = 400
    gate = {**Case.gate, "healthy_deadline": deadline(35), "soak": "1s"}

    @classmethod
    def setUpClass(cls):
        directory = os.environ.get("E2E_LAB_NODES")
        if not directory:
            directory = f"/var/tmp/deploy-agent-nodes.{os.getpid()}"
            cls.addClassCleanup(subprocess.run, [LAB_TOOLS / "down", "--dir", directory], stdout=subprocess.DEVNULL)
            subprocess.run([LAB_TOOLS / "up", *OF_NODES, "--dir", directory], check=True, stdout=subprocess.DEVNULL)
        os.environ["E2E_LAB"] = directory

    def setUp(self):
        super().setUp()
        self.addCleanup(self.mend)
        self.engines = {n: Engine(lab().env[f"DOCKER_HOST_{n}"].removeprefix("unix://")) for n in (1, 2, 3)}
        self.hosts = {n: Host(self, f"host{n}", agent={"docker": lab().env[f"DOCKER_HOST_{n}"]}) for n in self.engines}
        self.leader = wait_for(lambda: self.leader_now(1), 30, "a leader")
        others = [n for n in self.engines if n != self.leader]
        self.heir, self.home = others
        self.use(self.home)

    def mend(self):
        """All engines run, and all nodes are managers that take tasks: the next test may have the same lab."""
        for n, engine in self.engines.items():
            try:
                engine.get("/info")
            except OSError:
                self.lab.ctl("start-engine", n)
        by = wait_for(lambda: next((n for n in self.engines if self.leader_now(n)), None), 60, "a leader")
        for n in self.engines:
            self.node("update", "--availability", "active", "--role", "manager", f"node{n}", by=by)

        def whole():
            nodes = self.engines[by].get("/nodes")
            names = {f"node{n}" for n in self.engines}
            return all(n["Status"]["State"] == "ready" for n in nodes) and all(
                n.get("ManagerStatus", {}).get("Reachability") == "reachable" for n in nodes if n["Description"]["Hostname"] in names)

        wait_for(whole, 60, "all nodes to be managers again")

    def use(self, n):
        """The engine that tests ask."""
        self.engine = self.engines[n]

    def leader_now(self, ask):
        """Number of the node that leads, by what another says; None while there is none."""
        try:
            nodes = self.engines[ask].get("/nodes")
        except (AssertionError, OSError):
            return None
        led = [n["Description"]["Hostname"] for n in nodes if n.get("ManagerStatus", {}).get("Leader")]
        return int(led[0].removeprefix("node")) if led else None

    def node(self, *words, by):
        subprocess.run(["docker", "node", *words], check=True, env={**os.environ, "DOCKER_HOST": lab().env[f"DOCKER_HOST_{by}"]},
                       stdout=subprocess.DEVNULL)

    def version(self, number, *steps):
        """Everything runs on the node that no test breaks."""
        placed = {"deploy": {"placement": {"constraints": [f"node.hostname == node{self.home}"]}}}
        return self.stack({"steps": list(steps)}, web=self.web(VERSION=number, volumes=["data:/data"], **placed),
                          other=self.web(VERSION=number, **placed), volumes={"data": {}})

    def lines(self):
        run = subprocess.run(["docker", "run", "--rm", "-v", f"{self.full('data')}:/data", f"{self.registry}/web:1", "cat", "/data/runs"],
                             capture_output=True, text=True, env={**os.environ, "DOCKER_HOST": lab().env[f"DOCKER_HOST_{self.home}"]})
        return run.stdout.splitlines()

    def start_all(self, **env):
        for host in self.hosts.values():
            host.start(**env)

    def waits(self, n, text, seconds=60):
        return wait_for(lambda: text in self.hosts[n].waiting(), seconds, lambda: f"host{n} to wait for {text!r}: {self.hosts[n].waiting()!r}")

    def env_of(self, service):
        return self.spec(service)["TaskTemplate"]["ContainerSpec"]["Env"]

    @long
    def test_leader_alone_deploys(self):
        commit = self.commit(self.version("one", self.job(command=["append", "/data/runs", "one"])))
        self.start_all()
        self.assertEqual(self.hosts[self.leader].ended(commit)["state"], "succeeded")
        for n in (self.heir, self.home):
            self.waits(n, "this node is not the leader of the swarm (act = leader)")
            self.assertIn("not the leader", self.hosts[n].agentctl("status", self.name).stdout)
            self.assertEqual(self.hosts[n].record(commit)["state"], "requested")
        self.assertEqual(self.lines(), ["one"])

    def test_leader_dies_in_the_middle(self):
        """One migration has ended, one runs: both are found, neither runs again, and the rollout is brought to its end."""
        first = self.commit(self.version("one"))
        self.start_all()
        self.assertEqual(self.hosts[self.leader].ended(first)["state"], "succeeded")
        second = self.commit(self.version("two", self.job("done", command=["append", "/data/runs", "done"]),
                                          self.job("long", command=["sleep", "20"])))
        job = wait_for(lambda: next((s for s in self.job_services() if f"{self.name}_mig_long" in s["Spec"]["Name"]), None), 60, "the long job")
        self.hosts[self.leader].kill()
        self.lab.ctl("kill-engine", self.leader)
        new = wait_for(lambda: self.leader_now(self.home) not in (None, self.leader) and self.leader_now(self.home), 60, "another leader")
        heir = self.hosts[new]
        record = heir.ended(second, 150)
        self.assertEqual(record["state"], "succeeded", record["reason"])
        self.assertIn(f"taking stack {self.name} over from the agent on", heir.log_text())
        self.assertEqual(self.lines(), ["done"])
        runs = [t for t in self.engine.get("/tasks") if t["ServiceID"] == job["ID"]]
        self.assertLessEqual(len(runs), 1)
        self.assertEqual(self.job_services(), [])
        self.assertIn("VERSION=two", self.env_of("web"))
        self.assertIn("VERSION=two", self.env_of("other"))
        # the former leader comes back, and leaves it alone
        self.lab.ctl("start-engine", self.leader)
        self.hosts[self.leader].start()
        self.waits(self.leader, "this node is not the leader")
        self.assertEqual(self.hosts[self.leader].record(second)["state"], "interrupted")
        self.hosts[self.leader].polls(3)
        self.assertEqual(self.lines(), ["done"])

    @long
    def test_leader_is_demoted_in_the_middle(self):
        first = self.commit(self.version("one"))
        self.start_all()
        self.assertEqual(self.hosts[self.leader].ended(first)["state"], "succeeded")
        stack = self.version("two")
        stack["services"]["web"]["environment"]["HEALTH_AFTER_S"] = "20"
        stack["x-release"]["health"] = self.health()
        second = self.commit(stack)
        self.wait(lambda: "VERSION=two" in self.env_of("web"), 60, "web to be rolled")
        self.node("demote", f"node{self.leader}", by=self.home)
        self.waits(self.leader, "not a swarm manager")
        self.assertIn("not a swarm manager", self.hosts[self.leader].agentctl("status", self.name).stdout)
        new = wait_for(lambda: self.leader_now(self.home), 60, "another leader")
        record = self.hosts[new].ended(second, 150)
        self.assertEqual(record["state"], "succeeded", record["reason"])
        self.assertIn("VERSION=two", self.env_of("other"))
        self.node("promote", f"node{self.leader}", by=self.home)
        wait_for(lambda: self.hosts[self.leader].record(second)["state"] == "interrupted", 60, "the former leader to see it")
        self.waits(self.leader, "this node is not the leader")
        self.assertIn("was taken over by the agent on", self.hosts[self.leader].record(second)["reason"])

    # ---- nodes that are not the agent's ----

    def spread(self, number, **more):
        """Replicas on all nodes: those of the one that goes away have to come back elsewhere. For Swarm a task that it stops itself is a
        failed update, too."""
        stack = self.version(number)
        managers = ["node.hostname != node4", "node.hostname != node5"]
        deploy = {"replicas": 3, "placement": {"max_replicas_per_node": 2, "constraints": managers}, "update_config": {"monitor": "1s", "failure_action": "continue"}}
        stack["services"]["web"] = self.web(VERSION=number, deploy=deploy, **more)
        stack["x-release"]["health"] = self.health()
        return stack

    def hosts_of(self, service):
        """Hostnames of the nodes that its running tasks are on."""
        names = {n["ID"]: n["Description"]["Hostname"] for n in self.engine.get("/nodes")}
        return sorted(names[t["NodeID"]] for t in self.engine.running(self.full(service)))

    def rolls_slowly(self, number, then):
        """Deploys it; `then` happens while its first task comes up. The record."""
        first = self.commit(self.spread("one"))
        self.start_all()
        self.assertEqual(self.hosts[self.leader].ended(first, 90)["state"], "succeeded")
        self.assertIn(f"node{self.heir}", self.hosts_of("web"))
        second = self.commit(self.spread(number, HEALTH_AFTER_S=12))
        self.wait(lambda: f"VERSION={number}" in self.env_of("web"), 60, "web to be rolled")
        then()
        return self.hosts[self.leader].ended(second, 150)

    @long
    def test_node_is_drained_during_the_rollout(self):
        """Its tasks are told to go and come back elsewhere: no failures of the new version."""
        record = self.rolls_slowly("two", lambda: self.node("update", "--availability", "drain", f"node{self.heir}", by=self.home))
        self.assertEqual(record["state"], "succeeded", record["reason"])
        self.assertEqual(len(self.hosts_of("web")), 3)
        self.assertNotIn(f"node{self.heir}", self.hosts_of("web"))
        self.assertIn("VERSION=two", self.env_of("other"))

    @long
    def test_node_dies_during_the_rollout(self):
        """Swarm takes 15 s to see it, waits a minute for the old task there, and may wait for ever for a new one that it had given to
        that node: then the deadline decides, with Swarm's words. Either way one version runs, as often as it should, and the record says which."""
        record = self.rolls_slowly("two", lambda: self.lab.ctl("kill-engine", self.heir))
        number = {"succeeded": "two", "rolled_back": "one"}.get(record["state"])
        self.assertIsNotNone(number, record["reason"])
        if number == "one":
            seconds = int(self.gate["healthy_deadline"].rstrip("s"))
            self.assertRegex(record["reason"], rf"^web: not healthy after {seconds // 60}m{seconds % 60:02}s: (\d of 3 tasks running|Swarm is still updating it).*; back on #1")
        for service in ("web", "other"):
            self.assertIn(f"VERSION={number}", self.env_of(service))
        wait_for(lambda: f"node{self.heir}" not in self.hosts_of("web") and len(self.hosts_of("web")) == 3, 90, "three tasks on what is left")

    @long
    def test_node_dies_during_a_migration(self):
        """Nobody knows whether it has ended: it is not started again, neither by Swarm elsewhere nor when the node is back, and a person is told where to look."""
        def version(number, *steps):
            stack = self.version(number, *steps)
            stack["services"]["web"]["deploy"]["placement"] = {"constraints": [f"node.hostname == node{self.heir}"]}
            return stack

        first = self.commit(version("one"))
        self.start_all()
        self.assertEqual(self.hosts[self.leader].ended(first)["state"], "succeeded")
        step = self.job(command=["sleep", "600"])
        step["run"]["timeout"] = "45s"
        second = self.commit(version("two", step))
        job = wait_for(lambda: next(iter(self.job_services()), None), 60, "the job")
        runs = wait_for(lambda: [t for t in self.engine.tasks(job["ID"]) if t["Status"]["State"] == "running"], 60, "its task")
        self.assertEqual(len(runs), 1)
        self.lab.ctl("kill-engine", self.heir)
        record = self.hosts[self.leader].ended(second, 200)
        self.assertEqual(record["state"], "failed", record["reason"])
        self.assertIn("no service was touched", record["reason"])
        seen = {t["ID"] for t in self.engine.get("/tasks") if t["ServiceID"] == job["ID"]}
        self.assertLessEqual(seen, {runs[0]["ID"]})
        self.lab.ctl("start-engine", self.heir)
        wait_for(lambda: all(n["Status"]["State"] == "ready" for n in self.engine.get("/nodes")), 60, "the node")
        self.hosts[self.leader].polls(3)
        seen = {t["ID"] for t in self.engine.get("/tasks") if t["ServiceID"] == job["ID"]}
        self.assertLessEqual(seen, {runs[0]["ID"]})
        self.assertIn("VERSION=one", self.env_of("web"))

    @long
    def test_database_on_a_worker_node(self):
        """The agent has nothing of it but the overlay network: login, SQL files and checks go through the relay."""
        workers = ["node4", "node5"]
        if "DOCKER_HOST_5" not in lab().env: # a lab without workers gets one
            workers = [f"node{self.heir}"]
            self.node("demote", workers[0], by=self.home)
        variables = self.env_file(DB_PASSWORD="pass-1234-word", DATABASE_URL="postgres://app:pass-1234-word@db:5432/app")
        host = self.hosts[self.leader] = Host(self, "with-variables", agent={"docker": lab().env[f"DOCKER_HOST_{self.leader}"]},
                                              stack={"env_file": variables})

        def version(number):
            stack = self.version(number, {"sql": {"name": "schema", "dir": "db"}})
            stack["x-release"]["database"] = {"service": "db", "url_from": "DATABASE_URL", "ready_timeout": "60s"}
            stack["x-release"]["health"] = {"web": [{"sql": "SELECT count(*) > 0 FROM users", "timeout": "5s"}]}
            stack["services"]["db"] = PostgresCase.postgres(self)
            stack["services"]["db"]["deploy"]["placement"] = {"constraints": [f"node.hostname == {workers[0]}"]}
            stack["services"]["web"]["deploy"]["placement"] = {"constraints": [f"node.hostname == {workers[-1]}"]}
            stack["volumes"]["pg"] = {}
            return stack

        first = self.commit(version("one"), **{"db/001_users.sql": "CREATE TABLE users (id int);\nINSERT INTO users VALUES (1);\n"})
        host.start()
        record = host.ended(first, 150)
        self.assertEqual(record["state"], "succeeded", record["reason"])
        self.assertEqual([(m["version"], m["state"]) for m in record["migrations"]], [("001", "applied")])
        self.assertEqual(self.hosts_of("db"), [workers[0]])
        self.assertEqual(self.hosts_of("web"), [workers[-1]])
        # a file that fails, by its line
        second = self.commit(version("two"), **{"db/002_bad.sql": "ALTER TABLE nosuch ADD x int;\n"})
        record = host.ended(second, 90)
        self.assertEqual(record["state"], "failed", record["reason"])
        self.assertIn("schema: 002_bad.sql:1:", record["reason"])
        self.assertIn("VERSION=one", self.env_of("web"))

    @long
    def test_no_quorum(self):
        # tasks run where no engine is stopped: one that starts may reject what it is given first ("swarm is not active")
        others, self.home = (self.heir, self.home), self.leader
        first = self.commit(self.version("one"))
        self.start_all()
        self.assertEqual(self.hosts[self.leader].ended(first)["state"], "succeeded")
        for n in others:
            self.lab.ctl("stop-engine", n)
        second = self.commit(self.version("two"))
        self.use(self.leader)
        self.waits(self.leader, "does not have a leader", 90)
        # a leader that has not yet noticed may still answer what a plan asks
        self.assertIn(self.hosts[self.leader].record(second)["state"], ("requested", "planned"))
        self.assertEqual(self.hosts[self.leader].deployments()[1]["state"], "succeeded")
        for n in others:
            self.lab.ctl("start-engine", n)
        new = wait_for(lambda: self.leader_now(self.leader), 60, "a leader")
        self.assertEqual(self.hosts[new].ended(second, 120)["state"], "succeeded")
