# SPDX-License-Identifier: Apache-2.0
"""A client of a stack's service, outside of it: asks all the time, and writes down whether it was answered."""

import contextlib

from expect import check, wait_for

# One more try, as any client would: Swarm takes a task out of the DNS and then ends it, and an address may have been asked for before.
SCRIPT = ("while :; do web probe http://{0}:8000/health 2>/dev/null || {{ usleep 100000; web probe http://{0}:8000/health 2>/dev/null; }};"
          " echo $? >>/data/answers; usleep 200000; done")


def unanswered(answers):
    """How many of them; somebody has to have asked."""
    check(len(answers) >= 10, f"the prober has asked {len(answers)} times only")
    return sum(answer != "0" for answer in answers)


class Prober:
    def __init__(self, lane, service):
        self.lane = lane
        self.name = f"prober-{lane.name}"
        self.volume = f"{self.name}-{lane.generation}"
        container = {"Image": f"{lane.lab.registry}/web:1", "Command": ["busybox", "sh", "-c", SCRIPT.format(f"{lane.name}_{service}")],
                     "Mounts": [{"Type": "volume", "Source": self.volume, "Target": "/data"}], "StopGracePeriod": 10 ** 9}
        lane.engine.call("POST", "/services/create", {
            "Name": self.name, "EndpointSpec": {"Mode": "dnsrr"},
            "TaskTemplate": {"ContainerSpec": container, "Networks": [{"Target": f"{lane.name}_net"}]}})
        wait_for(lambda: len(self.answers()) >= 3, 60, "the prober to ask")

    def answers(self):
        return self.lane.lab.volume_lines(self.volume, "answers")

    def close(self):
        with contextlib.suppress(Exception):
            self.lane.engine.call("DELETE", f"/services/{self.name}")
        with contextlib.suppress(AssertionError):  # it holds the stack's network
            wait_for(lambda: not self.lane.engine.tasks(self.name), 20, "the prober to go")


@contextlib.contextmanager
def asked_all_the_time(lane, service):  # V4
    prober = Prober(lane, service)
    try:
        yield
        answers = prober.answers()
        lane.note(f"the prober has asked {len(answers)} times")
        check(unanswered(answers) == 0, f"{unanswered(answers)} of {len(answers)} clients of {service} were not answered")
    finally:
        prober.close()
