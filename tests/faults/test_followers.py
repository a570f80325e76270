"""A follower of `/changes` that is disconnected again and again, by a server that is killed again and again.

AWLOG_TEST_DISCONNECTIONS: how often; the server is killed at each hundredth of them, at least twice.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.server import Server

DISCONNECTIONS: Final = int(os.environ.get("AWLOG_TEST_DISCONNECTIONS", "40"))
KILLS: Final = max(2, DISCONNECTIONS // 100)
BUCKETS: Final = ("watcher-a", "watcher-b", "notes", "fleeting")
JSON: Final = {"Content-Type": "application/json"}
FIELDS: Final = {"type": "t", "client": "c", "hostname": "h"}


class Writer(threading.Thread):
    """Writes of every kind, one after the other, until it is told to stop; an undecided one may have happened."""

    def __init__(self, server: Server, seed: int) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.random = Random(seed)
        self.stopping = threading.Event()
        self.ids: dict[str, list[int]] = {name: [] for name in BUCKETS}
        self.acknowledged: set[int] = set()
        self._time_s = 1_700_000_000

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self._write()
            except (OSError, json.JSONDecodeError):
                self.stopping.wait(0.01)  # the server is down

    def _write(self) -> None:
        random, ask = self.random, self.server.request
        name = random.choice(BUCKETS)
        path = f"/api/0/buckets/{name}"
        self._time_s += random.choice([1, 1, 1, 20])
        event = {"timestamp": _iso(self._time_s), "duration": random.choice([0, 1]), "data": {"n": random.randrange(3)}}
        match random.randrange(12):
            case 0:
                ask("POST", path, FIELDS)
            case 1:
                ask("PUT", path, {"name": str(random.random())})
            case 2:
                value = random.choice([b"null", b"1", b"[2]"])
                ask("POST", f"/api/0/settings/key{random.randrange(3)}", raw=value, headers=JSON)
            case 3 if name == "fleeting":
                ask("DELETE", f"{path}?force=1")
            case 4 | 5:
                self._took(name, ask("POST", f"{path}/events", [event] * random.choice([1, 3])))
            case 6 if self.ids[name]:
                self._took(name, ask("POST", f"{path}/events", [{**event, "id": random.choice(self.ids[name])}]))
            case 7 if self.ids[name]:
                ask("DELETE", f"{path}/events/{self.ids[name].pop(random.randrange(len(self.ids[name])))}")
            case _:
                self._took(name, ask("POST", f"{path}/heartbeat?pulsetime=5", event))

    def _took(self, name: str, reply: Any) -> None:
        if reply.status == 200:
            stored = reply.json()
            new = [one["id"] for one in (stored if isinstance(stored, list) else [stored])]
            self.acknowledged.update(new)
            self.ids[name] = [*{*self.ids[name][-50:], *new}]


class Follower:
    """What a client knows that only listens."""

    def __init__(self) -> None:
        self.known = 0
        self.seen_ids: set[int] = set()
        self.buckets: dict[str, dict[str, Any]] = {}
        self.events: dict[str, dict[int, Any]] = {}
        self.settings: dict[str, Any] = {}

    def follow(self, server: Server) -> Iterator[None]:
        """Connects and takes change by change, until whoever iterates has enough or the connection ends."""
        try:
            connection = socket.create_connection((server.host, server.port), timeout=20)
        except OSError:
            return
        with connection:
            try:
                head = f"GET /api/0/changes HTTP/1.1\r\nHost: {server.host}\r\nAccept: text/event-stream\r\n"
                connection.sendall(f"{head}Last-Event-ID: {self.known}\r\n\r\n".encode())
                lines = connection.makefile("rb")
                assert b" 200 " in (lines.readline() or b" 200 ")
                for line in lines:
                    if line.startswith(b"data: ") and line.endswith(b"\n"):
                        self._take(json.loads(line[6:]))
                        yield
            except (ConnectionError, TimeoutError):
                return

    def _take(self, told: dict[str, Any]) -> None:
        assert told["change"] > self.known, "in order, and nothing twice"
        self.known = told["change"]
        match told["kind"]:
            case "bucket":
                self.buckets[told["bucket"]] = told["metadata"]
            case "bucket_deleted":
                self.buckets.pop(told["bucket"], None)
                self.seen_ids |= set(self.events.pop(told["bucket"], {}))
            case "event":
                self.events.setdefault(told["bucket"], {})[told["event"]["id"]] = told["event"]
                self.seen_ids.add(told["event"]["id"])
            case "event_deleted":
                self.events.get(told["bucket"], {}).pop(told["id"], None)
                self.seen_ids.add(told["id"])
            case "setting":
                self.settings[told["key"]] = told["value"]


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def test_a_follower_sees_every_change_once_and_in_order_whatever_ends(tmp_path: Path):
    """Disconnections at random moments, SIGKILLs among them: what it was told adds up to what is stored."""
    random = Random(6)
    with Server(tmp_path / "data") as server:
        for name in BUCKETS:
            server.request("POST", f"/api/0/buckets/{name}", FIELDS)
        writer = Writer(server, seed=7)
        writer.start()
        follower = Follower()
        kills = set(random.sample(range(DISCONNECTIONS), KILLS))
        for turn in range(DISCONNECTIONS):
            wanted = 1000 if turn in kills else random.choice([0, 1, 2, 3, 10])
            killer = threading.Timer(random.random() / 5, server.kill)
            if turn in kills:
                killer.start()
            for _ in zip(range(wanted), follower.follow(server), strict=False):
                pass
            if turn in kills:
                killer.join()
                server.start()
        writer.stopping.set()
        writer.join(30)
        head = int(server.request("GET", "/api/0/changes").body.splitlines()[-1].split(b":")[-1].rstrip(b"}"))
        for _ in follower.follow(server):
            if follower.known >= head:
                break
        buckets = server.request("GET", "/api/0/buckets/").json()
        stored = {
            name: {one["id"]: one for one in server.request("GET", f"/api/0/buckets/{name}/events").json()}
            for name in buckets
        }
        settings = server.request("GET", "/api/0/settings").json()
    assert follower.known == head > DISCONNECTIONS
    assert {name: follower.events.get(name, {}) for name in follower.buckets} == stored
    assert all(buckets[name][field] == value for name, one in follower.buckets.items() for field, value in one.items())
    assert {key: value for key, value in follower.settings.items() if value is not None} == settings
    of_living = {
        number
        for number in writer.acknowledged
        if any(number >> 32 == one >> 32 for events in stored.values() for one in events)
    }
    assert of_living <= follower.seen_ids, "every event was told, or that it is gone"
