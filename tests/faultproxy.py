#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""faultproxy.py LISTEN UPSTREAM [FAULT=VALUE...]: stands between two parts, and is the trouble between them.

LISTEN and UPSTREAM are HOST:PORT, a port of 127.0.0.1, or the path of a unix socket. As a module: Proxy(upstream).fault(...).
The bytes pass unchanged until a fault is there:

    refuse=1         the connection is reset as soon as it is there
    silent=1         accepted, and never answered
    unsent=1         cut before anything of the request arrives
    drop_reply=1     the request arrives and is carried out, the reply never comes
    status=N         answered by the proxy: an HTTP status, with body=TEXT
    redirect=URL     answered by the proxy: a redirect
    delay=S          each piece of the reply comes so much later
    throttle=N       the reply comes at N bytes a second
    cut_after=N      the connection is cut after N bytes of the reply
    flip=N           byte N of the reply is another one
    match=REGEX      only for HTTP requests whose line (`GET /path`, without the version of the Engine API) it is found in
    skip_head=1      cut_after and flip count from behind the reply's header
    times=N          so often, then never again
"""

import contextlib
import ctypes
import os
import re
import socket
import struct
import sys
import threading
import time

REQUEST = re.compile(rb"(?:^|\n)(GET|HEAD|POST|PUT|PATCH|DELETE) (/\S*) HTTP/1\.[01]\r\n")
CLONE_NEWNET = 0x40000000


def http_answer(status, body=b"", **headers):
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Fault", f"Content-Length: {len(body)}", "Connection: close",
             *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Fault:
    """One trouble. match: a regular expression for the line of an HTTP request, or a function of the bytes that a client sent; without it
    each connection has the trouble from its start. answer: bytes, or a function that yields pieces for as long as they are taken."""

    def __init__(self, match=None, times=None, *, refuse=False, silent=False, unsent=False, drop_reply=False, answer=None, status=None, body="",
                 headers=None, redirect=None, delay=0.0, throttle=0, cut_after=None, flip=None, skip_head=False):
        self.match, self.times, self.hits = match, times, 0
        self.refuse, self.silent, self.unsent, self.drop_reply = refuse, silent, unsent, drop_reply
        self.answer = answer
        if status:
            self.answer = http_answer(status, body, **(headers or {}))
        if redirect:
            self.answer = http_answer(302, Location=redirect)
        self.delay, self.throttle, self.cut_after, self.flip, self.skip_head = delay, throttle, cut_after, flip, skip_head

    def fits(self, data, lines):
        if self.times is not None and self.hits >= self.times:
            return False
        if callable(self.match):
            fits = self.match(data)
        else:
            fits = any(re.search(self.match, line) for line in lines) if self.match else False
        self.hits += bool(fits)
        return fits

    def over(self):
        self.times = self.hits


class Connection:
    def __init__(self, client):
        self.client, self.server = client, None
        self.trouble = None  # of the reply that is on its way
        self.passed = 0      # bytes of it
        self.head = b""      # of it, until its end was seen
        self.muted = False   # what the server says now must not arrive
        self.relayed = False  # carries something else than HTTP by now

    def cut(self, reset=False):
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                if reset and end:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.close()
                elif end:
                    end.shutdown(socket.SHUT_RDWR)

    def begin(self, trouble):
        self.trouble, self.passed, self.head = trouble, 0, b""


def address(text):
    if isinstance(text, int) or str(text).isdigit():
        return socket.AF_INET, ("127.0.0.1", int(text))
    if isinstance(text, tuple):
        return socket.AF_INET, text
    text = str(text)
    if "/" in text:
        return socket.AF_UNIX, text
    host, _, port = text.rpartition(":")
    return socket.AF_INET, (host, int(port))


class Proxy:
    def __init__(self, upstream, listen=0, namespace=None):
        """namespace: a file of /proc/PID/ns/net, where it listens and connects; the caller stays where it is."""
        self.upstream, self.listen, self.namespace = upstream, listen, namespace
        self.faults, self.connections, self.requests = [], 0, []
        self.troubles, self.open = [], []
        self.failure, self.ready = None, threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()
        self.ready.wait()
        if self.failure:
            raise self.failure

    def fault(self, match=None, times=None, **what):
        """Brings a fault in; fault.over() ends it, clear() all of them."""
        fault = Fault(match, times, **what)
        self.faults.insert(0, fault)
        return fault

    def clear(self):
        self.faults = []

    def seen(self, data, lines, connection):
        """For who listens: what a client sent. Returns the lines that faults may fit."""
        self.requests += lines
        return lines

    # ---- connections ----

    def enter(self):
        if self.namespace:
            with open(self.namespace) as f:
                if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {self.namespace}")

    def serve(self):
        try:
            self.enter()
            family, where = address(self.listen)
            self.listener = socket.socket(family)
            if family == socket.AF_INET:
                self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(where)
            self.listener.listen(64)
            self.port = self.listener.getsockname()[1] if family == socket.AF_INET else None
            self.path = self.listen
        except OSError as error:
            self.failure = error
        self.ready.set()
        while not self.failure:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(client)
            threading.Thread(target=self.connect, args=(Connection(client),), daemon=True).start()

    def at_the_start(self):
        for fault in self.faults:
            if fault.match is None and (fault.times is None or fault.hits < fault.times):
                fault.hits += 1
                return fault
        return None

    def connect(self, connection):
        fault = self.at_the_start()
        if fault and (fault.refuse or fault.unsent):
            return connection.cut(reset=True)
        if fault and (fault.silent or fault.answer is not None):
            with contextlib.suppress(OSError):
                connection.client.recv(65536)
                self.reply(connection, fault)
            return None
        try:
            self.enter()
            family, where = address(self.upstream)
            connection.server = socket.socket(family)
            self.open.append(connection.server)
            connection.server.connect(where)
        except OSError as error:
            self.troubles.append(str(error))
            return connection.cut(reset=True)
        connection.begin(fault)
        back = threading.Thread(target=self.to_client, args=(connection,), daemon=True)
        back.start()
        self.to_server(connection)
        back.join()
        connection.client.close()
        return connection.server.close()

    def reply(self, connection, fault):
        """Instead of the server."""
        if fault.silent:
            while connection.client.recv(65536):
                pass
        else:
            for piece in [fault.answer] if isinstance(fault.answer, bytes) else fault.answer():
                connection.client.sendall(piece)
        connection.cut()

    def to_server(self, connection):
        try:
            while data := connection.client.recv(65536):
                lines = [] if connection.relayed else [
                    f"{method.decode()} {re.sub('^/v1[.][0-9]+', '', path.decode())}" for method, path in REQUEST.findall(data)]
                theirs = self.seen(data, lines, connection)
                fault = None if connection.relayed else next((f for f in self.faults if f.match and f.fits(data, theirs)), None)
                if lines and connection.trouble and connection.trouble.match:
                    connection.begin(None)  # that was for the request before
                if fault and fault.unsent:
                    return connection.cut()
                if fault and (fault.silent or fault.answer is not None):
                    return self.reply(connection, fault)
                if fault:
                    connection.muted = fault.drop_reply  # before the server can answer
                    connection.begin(fault)
                connection.server.sendall(data)
            connection.server.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.troubles.append(str(error))
            connection.cut()
        return None

    def to_client(self, connection):
        try:
            while True:
                trouble = connection.trouble
                data = connection.server.recv(max(1, trouble.throttle // 20) if trouble and trouble.throttle else 65536)
                if connection.muted:
                    return connection.cut()
                if not data:
                    break
                if connection.trouble:
                    data = self.disturb(connection, connection.trouble, data)
                    if data is None:
                        return connection.cut()
                connection.client.sendall(data)
            # The end of one direction is not the end of the other: a side that still writes would be answered with a reset.
            connection.client.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.troubles.append(f"after {connection.passed} bytes: {error}")
            connection.cut()
        return None

    @staticmethod
    def disturb(connection, fault, data):
        """What arrives of a piece of the reply; None: nothing more, ever."""
        time.sleep(fault.delay + (len(data) / fault.throttle if fault.throttle else 0))
        skipped = 0
        if fault.skip_head and b"\r\n\r\n" not in connection.head:
            known = len(connection.head)
            connection.head += data
            end = connection.head.find(b"\r\n\r\n")
            if end < 0:
                return data
            connection.head, skipped = connection.head[:end + 4], end + 4 - known
        if fault.flip is not None and connection.passed <= fault.flip < connection.passed + len(data) - skipped:
            at = fault.flip - connection.passed + skipped
            data = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:]
        if fault.cut_after is not None and connection.passed + len(data) - skipped >= fault.cut_after:
            with contextlib.suppress(OSError):
                connection.client.sendall(data[:fault.cut_after - connection.passed + skipped])
            return None
        connection.passed += len(data) - skipped
        return data

    def close(self):
        for one in (self.listener, *self.open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        if address(self.listen)[0] == socket.AF_UNIX:
            with contextlib.suppress(OSError):
                os.unlink(self.listen)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    proxy = Proxy(sys.argv[2], sys.argv[1])
    what = dict(word.split("=", 1) for word in sys.argv[3:])
    if what:
        numbers = {"delay": float, "throttle": int, "cut_after": int, "flip": int, "status": int, "times": int}
        proxy.fault(**{name: numbers.get(name, str)(value) for name, value in what.items()})
    print(proxy.port or proxy.path, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
