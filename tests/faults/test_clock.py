"""The wall clock of a running server jumps by a year and back, under load: libfaketime, which the server's processes obey.

Nothing that was acknowledged is lost, ids and changes go on in their order, tokens end when their time has come, retention
does not take a year for past, and nobody is kept busy by it.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import verify
from tests.server import Reply, Server

YEAR_S = 366 * 86_400
FIELDS = {"type": "t", "client": "c", "hostname": "h"}
# The server has no work to do then; a loop that spins takes all of it.
IDLE_S = 0.5
BUSY_S = 0.8 * IDLE_S


class FakedClock:
    """What the server and its processes take for the wall clock: the real one, and so much more."""

    def __init__(self, file: Path) -> None:
        self._file = file
        preload = subprocess.run(
            ["faketime", "-m", "-f", "+0", "env"], capture_output=True, text=True, check=True
        ).stdout
        self.env = {
            "LD_PRELOAD": next(line for line in preload.splitlines() if line.startswith("LD_PRELOAD=")).partition("=")[
                2
            ],
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else every wait with a time-out, Python's for its lock among them, ends at once and begins anew.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "FAKETIME_CACHE_DURATION": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set(0)

    def set(self, ahead_s: int) -> None:
        aside = self._file.with_suffix(".new")
        aside.write_text(f"{ahead_s:+d}\n")
        aside.replace(self._file)


@dataclass
class Load:
    """Heartbeats on one connection, insertions on others, and a follower: until `stop`."""

    server: Server
    owner: dict[str, str]
    beats: int = 0
    inserted: list[int] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def start(self) -> None:
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._beat, self._insert, self._follow)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        beating, inserting, following = self._threads
        beating.join()
        inserting.join()
        self._insert_one()  # which the follower waits for
        following.join()

    def wait_for_more(self) -> None:
        """Returns when each has done something since."""
        beats, inserted, changes = self.beats, len(self.inserted), len(self.changes)
        deadline = time.monotonic() + 30
        while not (self.beats > beats + 20 and len(self.inserted) > inserted + 5 and len(self.changes) > changes + 5):
            assert time.monotonic() < deadline, f"{self.refused}: nothing is acknowledged any more"
            time.sleep(0.01)

    def _beat(self) -> None:
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=30)
        while not self._stopping.is_set():
            body = json.dumps({"timestamp": at(self.beats), "duration": 0, "data": {"app": "vim"}})
            headers = {"Content-Type": "application/json", **self.owner}
            connection.request("POST", "/api/0/buckets/beats/heartbeat?pulsetime=5", body, headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                self.refused.append(answer.decode())
            elif json.loads(answer)["duration"] != self.beats:
                self.refused.append(f"after {self.beats} s: {answer.decode()}")
            self.beats += 1

    def _insert(self) -> None:
        while not self._stopping.is_set():
            self._insert_one()

    def _insert_one(self) -> None:
        event = {"timestamp": at(len(self.inserted)), "duration": 0.5, "data": {"n": len(self.inserted)}}
        reply = self.server.request("POST", "/api/0/buckets/events/events", event, headers=self.owner)
        if reply.status == 200:
            self.inserted.append(reply.json()["id"])
        else:
            self.refused.append(reply.body.decode())

    def _follow(self) -> None:
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=30)
        headers = {"Accept": "text/event-stream", **self.owner}
        connection.request("GET", "/api/0/changes?since=0&bucket_prefix=events", headers=headers)
        lines = connection.getresponse()
        while not self._stopping.is_set():
            line = lines.readline()
            if line.startswith(b"data: "):
                told = json.loads(line.removeprefix(b"data: "))
                self.changes.append(told["change"])
            elif not line:
                self.refused.append("the feed has ended")
                return
        connection.close()


def at(second: int) -> str:
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).isoformat()


def cpu_s(server: Server) -> float:
    """What the server's process has used."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def held(server: Server, bucket: str, owner: dict[str, str]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = server.request("GET", f"/api/0/buckets/{bucket}/events", headers=owner).json()
    return events[::-1]


@pytest.fixture
def clock(tmp_path: Path) -> FakedClock:
    return FakedClock(tmp_path / "clock")


@pytest.fixture
def server(tmp_path: Path, clock: FakedClock) -> Iterator[Server]:
    with Server(tmp_path / "data", "--retention-interval-s", "0.2", env=clock.env) as server:
        yield server


@pytest.mark.needs("faketime")
def test_a_clock_that_jumps_by_a_year_loses_nothing(server: Server, clock: FakedClock):
    """Ahead, back to before it all, and right again; then the server dies and starts with a clock that is ahead."""

    def ask(method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return server.request(method, f"/api/0{path}", body, headers={**owner, **headers})

    owner: dict[str, str] = {}
    secret = ask("POST", "/tokens", {"scopes": ["admin"]}).json()["secret"]
    owner = {"Authorization": f"Bearer {secret}"}
    in_a_month = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    guest_secret = ask("POST", "/tokens", {"scopes": ["write"], "expires": in_a_month}).json()["secret"]
    for bucket in ("beats", "events", "old", "guest"):
        assert ask("POST", f"/buckets/{bucket}", FIELDS).status == 200
    recent = [(datetime.now(UTC) - timedelta(hours=n)).strftime("%Y-%m-%dT%H:%M:%SZ") for n in range(1, 4)]
    assert ask("POST", "/buckets/old/events", [{"timestamp": start} for start in recent]).status == 200
    assert ask("POST", "/settings/retention", [{"bucket_prefix": "old", "max_age_days": 30}]).status == 200
    past = f"/buckets/old/events?start={recent[2]}&end={recent[1]}"
    tag = ask("GET", past).headers["ETag"]
    guest = http.client.HTTPConnection(server.host, server.port)

    def beat_of_the_guest() -> int:
        """On one connection, which the fast lane knows."""
        body = json.dumps({"timestamp": at(0), "duration": 0, "data": {}})
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {guest_secret}"}
        guest.request("POST", "/api/0/buckets/guest/heartbeat?pulsetime=0", body, headers)
        response = guest.getresponse()
        response.read()
        return response.status

    def wait_for_jump(ahead_s: int) -> None:
        """The library looks at its file once a second."""
        deadline = time.monotonic() + 30
        while True:
            shown = datetime.fromisoformat(ask("GET", "/status").json()["now"])
            if abs((shown - datetime.now(UTC)).total_seconds() - ahead_s) < 60:
                return
            assert time.monotonic() < deadline, shown
            time.sleep(0.05)

    load = Load(server, owner)
    load.start()
    try:
        for ahead_s, admitted in ((0, 200), (YEAR_S, 401), (-YEAR_S, 200), (YEAR_S, 401), (0, 200)):
            clock.set(ahead_s)
            wait_for_jump(ahead_s)
            load.wait_for_more()
            assert beat_of_the_guest() == admitted, ahead_s
            assert ask("GET", past, **{"If-None-Match": tag}).status == 304
            assert ask("GET", "/retention").json()["last_run"] is not None
    finally:
        load.stop()
    assert load.refused == []
    assert load.inserted == sorted(set(load.inserted))
    assert load.changes == sorted(set(load.changes))
    assert [event["data"]["n"] for event in held(server, "events", owner)] == list(range(len(load.inserted)))
    assert len(held(server, "beats", owner)) == 1
    assert len(held(server, "old", owner)) == 3
    clock.set(YEAR_S)
    wait_for_jump(YEAR_S)
    before_s = cpu_s(server)
    time.sleep(IDLE_S)
    assert cpu_s(server) - before_s < BUSY_S
    server.kill()
    verify(server.data_dir)
    server.start()
    assert [event["id"] for event in held(server, "events", owner)] == load.inserted
    assert len(held(server, "old", owner)) == 3
    load.start()
    load.wait_for_more()
    load.stop()
    assert load.refused == []
    assert [event["id"] for event in held(server, "events", owner)] == load.inserted == sorted(load.inserted)
    assert "Traceback" not in server.log_text()
    assert '"level": "error"' not in server.log_text()
