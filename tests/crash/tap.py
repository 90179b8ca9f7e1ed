# SPDX-License-Identifier: Apache-2.0
"""A wire tap between the agent and the engine: what the agent really asked for, whatever it says."""

import contextlib
import fnmatch
import http.client
import re
import socket
import threading
import time

from expect import Failure


class Effect:
    """One request that changes something in the swarm."""

    def __init__(self, words, name):
        self.words = words
        self.name = name
        self.status = 0
        self.at = time.time()


class Tap:
    """
    A wire tap between the agent and the engine. All bytes pass unchanged; requests that change something are written
    down with the engine's verdict. `cut`, a list of patterns such as "create secret *" or "update service *_one": the next request
    like the first of them is carried out, and the connection closed before its reply.
    """

    request = re.compile(rb"(?:^|\n)(POST|DELETE) /v[0-9.]+/(services|networks|secrets|configs)/(\S*) HTTP/1\.1\r\n")
    named = re.compile(rb'"Name": ?"([a-z0-9][\w.-]*)"')

    def __init__(self, path, lab, own):
        self.lab = lab
        self.own = own  # a regular expression: names of objects that are written down
        self.effects = []
        self.cut = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        server = socket.socket(socket.AF_UNIX)
        with contextlib.closing(client), contextlib.closing(server):
            try:
                server.connect(self.lab.socket)
            except OSError:
                return
            state = {"effect": None, "body": b"", "cut": False}
            back = threading.Thread(target=self.copy, args=(server, client, state, self.on_reply), daemon=True)
            back.start()
            self.copy(client, server, state, self.on_request)
            back.join()

    @staticmethod
    def copy(source, sink, state, look):
        try:
            while data := source.recv(65536):
                if not look(data, state):
                    raise OSError
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def name_of(self, kind, object_id):
        """Asked more than once: what has no name that is known is not counted, and would pass for what was not done."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(Failure, OSError, http.client.HTTPException):
                item = self.lab.engine.get(f"/{kind}/{object_id}")
                return (item.get("Spec") or item)["Name"] if item else object_id
            time.sleep(0.2)
        return object_id

    def on_request(self, data, state):
        if state["effect"] and not state["effect"].name:
            state["body"] += data
            self.find_name(state)
        if b'"deploy-agent.lease"' in data:
            return True  # how often it is written depends on the time that things take
        for method, kind, rest in self.request.findall(data):
            method, kind, rest = method.decode(), kind.decode(), rest.decode()
            object_id, _, verb = rest.partition("?")[0].partition("/")
            create = object_id == "create"
            verb = "remove" if method == "DELETE" else "create" if create else verb or "?"
            effect = Effect(f"{verb} {kind.removesuffix('s')}", None if create else self.name_of(kind, object_id))
            like = fnmatch.fnmatch(f"{effect.words} {effect.name or ''}", self.cut[0]) if self.cut else False
            state.update(effect=effect, body=data, cut=like)
            if state["cut"]:
                self.cut.pop(0)
            if create:
                self.find_name(state)
        return True

    def find_name(self, state):
        for name in self.named.findall(state["body"]):
            if re.match(self.own, name.decode()):
                state["effect"].name = name.decode()
                return

    def on_reply(self, data, state):
        effect = state["effect"]
        match = re.match(rb"HTTP/1\.1 (\d+)", data)
        if effect and match:
            state["effect"] = None
            effect.status = int(match[1])
            if effect.name and re.match(self.own, effect.name):
                self.effects.append(effect)
            if state["cut"]:
                return False
        return True

    def close(self):
        self.listener.close()
