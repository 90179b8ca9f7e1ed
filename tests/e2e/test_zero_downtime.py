# SPDX-License-Identifier: Apache-2.0
"""A client in the Swarm's network never notices a rollout: two replicas, `order: start-first`, a healthcheck. Nor one that is rolled
back, nor that the agent is killed in the middle of it. Two replicas are no part of that: one is taken down, and then it shows.

ROLLOUTS=N makes N of them (tests/soak --rollouts N); docs/reliability.md has what was measured.
"""

import os
import signal
import time

from harness import Case, deadline, long, wait_for
from prober import Prober

ROLLOUTS = int(os.environ.get("ROLLOUTS", "4"))


class ZeroDowntime(Case):
    slow = True
    limit = 240 + 60 * ROLLOUTS
    gate = {**Case.gate, "baseline_samples": 1, "success_threshold": 1, "failure_threshold": 2,
            "healthy_deadline": deadline(20)}

    def version(self, number, **settings):
        healthcheck = {"test": ["CMD", "/web", "probe", "http://127.0.0.1:8000" + settings.pop("asks", "/")], "interval": "1s",
                       "timeout": "10s", "retries": 2}
        deploy = {"replicas": 2, "update_config": {"order": "start-first", "monitor": "1s"},
                  "rollback_config": {"order": "start-first", "monitor": "1s"}}
        return self.stack({"health": self.health()}, client=self.web(),
                          web=self.web(VERSION=number, healthcheck=healthcheck, deploy=deploy, **settings))

    def setUp(self):
        super().setUp()
        first = self.commit(self.version("0"))
        self.start()
        self.expect(first, "succeeded")
        self.running = "0"
        self.records = 1
        self.prober = Prober(self.lab, self.engine, self.full("client"), self.full("web"))
        self.addCleanup(self.prober.stop)
        self.serves_alone("0")

    def serves_alone(self, version):
        """For a second every request has been answered, by this version alone."""
        began = time.monotonic()

        def look():
            since = time.monotonic() - 1
            return since > began and self.prober.versions(since) == [version] and not self.prober.failures(since)

        return wait_for(look, 30, f"version {version} to answer alone")

    # ---- one rollout each ----

    def good(self, number):
        self.deploy(self.version(number))
        self.running = number

    def unwell(self, number):
        """It starts, and what the agent asks fails: both tasks are replaced, and put back."""
        self.deploy(self.version(number, HEALTH_STATUS=500), "rolled_back")

    def never_healthy(self, number):
        """The healthcheck of the image fails: the first task never serves."""
        self.deploy(self.version(number, HEALTH_STATUS=500, asks="/health"), "rolled_back")

    def back(self, _):
        before = self.running
        self.agentctl("rollback", self.name, "--wait", code=0)
        self.running = next(e.split("=")[1] for e in self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"] if e.startswith("VERSION="))
        self.assertNotEqual(self.running, before)

    def test_rollouts(self):
        kinds = [self.good, self.unwell, self.back, self.never_healthy]
        if ROLLOUTS > len(kinds):
            kinds = [self.good, self.unwell, self.good, self.back, self.good, self.never_healthy, self.good, self.back]
        done = dict.fromkeys((kind.__name__ for kind in kinds), 0)
        began = time.monotonic()
        for n in range(ROLLOUTS):
            kind = kinds[n % len(kinds)]
            kind(str(n + 1))
            done[kind.__name__] += 1
            if self.prober.failures():
                print(f"after rollout {n + 1} ({kind.__name__}), {time.monotonic():.3f}: {self.prober.summary()}", flush=True)
        self.serves_alone(self.running)
        self.prober.stop()
        print(f"zero downtime: {ROLLOUTS} rollouts in {time.monotonic() - began:.0f} s ({', '.join(f'{k} {v}' for k, v in done.items())}); "
              f"{self.prober.summary()}", flush=True)
        self.assertEqual(self.prober.failures(), [])
        self.assertGreater(len(self.prober.requests), 50 * ROLLOUTS)

    # ---- while the agent dies ----

    def in_the_middle(self, number):
        commit = self.commit(self.version(number))
        self.wait(lambda: f"VERSION={number}" in self.spec("web")["TaskTemplate"]["ContainerSpec"]["Env"], 60, "the rollout")
        return commit

    @long
    def test_agent_dies(self):
        commit = self.in_the_middle("1")
        os.kill(self.run_worker(), signal.SIGKILL)
        self.expect(commit, "succeeded")
        commit = self.in_the_middle("2")
        self.agent.kill()
        os.kill(self.run_worker(), signal.SIGKILL)
        self.start_ready()
        self.expect(commit, "succeeded")
        self.serves_alone("2")
        self.prober.stop()
        self.assertEqual(self.prober.failures(), [], self.prober.summary())

    # ---- the prober can see a gap ----

    def test_a_gap_is_seen(self):
        """Else a prober that is blind would pass for zero downtime."""
        began = time.monotonic()
        self.engine.update(self.full("web"), lambda spec: spec["Mode"]["Replicated"].update(Replicas=0))
        wait_for(lambda: self.prober.failures(began), 30, "a failed request")
        self.engine.update(self.full("web"), lambda spec: spec["Mode"]["Replicated"].update(Replicas=2))
        self.serves_alone("0")
        self.prober.stop()
        self.assertGreater(self.prober.longest_gap(), 0.5)
