# SPDX-License-Identifier: Apache-2.0
"""What comes back from the engine is an error, or no answer at all. Reading is done again, an effect never; what is too long is cut."""

NO_LEADER = '{"message":"rpc error: code = Unknown desc = The swarm does not have a leader. It\'s possible that too few managers are online."}'


def inject_for_a_while(row):
    """Of everything that is read, the first answers are bad, in all ways there are."""
    row.running()
    row.tap.fault(r"^GET /services\?", status=500, body='{"message":"rpc error: code = DeadlineExceeded desc = context deadline exceeded"}', times=1)
    row.tap.fault(r"^GET /services/[^/]+$", status=503, body=NO_LEADER, times=2)
    row.tap.fault(r"^GET /tasks", cut_after=60, skip_head=True, times=2)
    row.tap.fault("^GET /containers/[0-9a-f]+/json", status=500, body='{"message":"layer does not exist"}', times=2)
    row.tap.fault(r"^GET /networks", status=502, body="<html><body>Bad Gateway</body></html>", times=1)
    row.tap.fault(r"^GET /info", status=200, body='{"ID":"x","Swarm":', times=1)
    row.change()


def inject_update_refused(row):
    """500 for an effect: whether it was done is looked up before it is sent again, and the engine's words are what status waits for."""
    row.running()
    web = row.engine.service(row.full("web"))["ID"]
    row.change()
    refused = row.tap.fault(f"^POST /services/{web}/update", status=500, body='{"message":"rpc error: code = Internal desc = request is odd"}')
    row.wait(lambda: "request is odd" in row.waiting(), 60, "the wait to show in status")
    row.wait(lambda: refused.hits > 1, 60, "another try")
    row.serves("web", "one")
    lines = [line for line in row.tap.requests if line.startswith(f"POST /services/{web}/update") or line == f"GET /services/{web}" or line.startswith("GET /services/")]
    sent = [i for i, line in enumerate(lines) if line.startswith("POST")]
    row.assertTrue(all(b - a > 1 for a, b in zip(sent, sent[1:])), f"sent again without a look: {lines[sent[0]:]}")
    refused.over()


def inject_update_refused_for_ever(row):
    """The rollout has an end, also where the engine has an answer and no good one."""
    row.running()
    row.within("total_deadline", 12)
    web = row.engine.service(row.full("web"))["ID"]
    row.change()
    row.tap.fault(f"^POST /services/{web}/update", status=500, body='{"message":"rpc error: code = Internal desc = request is odd"}')


def containers(row, status, message):
    """Nobody is told of containers, once the update has gone: before that the way into the networks needs its own."""
    row.running()
    row.within("healthy_deadline", 8)
    row.change()
    row.sent()
    return row.tap.fault("^GET /containers/[0-9a-f]+/json", status=status, body=f'{{"message":"{message}"}}')


def inject_containers_refused(row):
    """By something before the engine's socket: what Swarm says of them has to do."""
    refused = containers(row, 403, "authorization denied by plugin")
    row.wait(lambda: refused.hits > 0, 60, "the gate to ask for a container")


def inject_containers_not_told(row):
    """A trouble that may pass: they are asked for until the deadline, and no longer."""
    failed = containers(row, 500, "layer does not exist")
    row.wait(lambda: failed.hits > 3, 60, "the gate to ask again")


def inject_error_in_a_200(row):
    """As images are pulled: the status is 200, the error comes later."""
    row.lab.docker("rmi", "-f", row.lab.image(f"{row.name}:new"))
    row.running()
    row.tap.fault("^POST /images/create", status=200, body='{"status":"Pulling fs layer","id":"x"}\r\n'
                  '{"errorDetail":{"message":"write /var/lib/docker/tmp: no space left on device"},"error":"no space left on device"}\r\n')
    row.change(image=f"{row.registry}/{row.name}:new")


def endless():
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n"
    piece = b'{"ID":"' + b"x" * 65536 + b'"},'
    while True:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)


def inject_endless(row):
    row.running()
    row.change()
    row.tap.fault(r"^GET /tasks", answer=endless)
