"""O: whatever clients do, watchers beside them are served, memory stays in bounds, and the server lives.

Two watchers beat all the while, one on a kept connection, one with a new connection for each heartbeat, as ActivityWatch's
client does. Longer attacks: AWLOG_ATTACK_SECONDS=60.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.wire import Api, at
from tests.faults.attacks import ATTACKS
from tests.server import Server

SECONDS = float(os.environ.get("AWLOG_ATTACK_SECONDS", "1"))
# More than the quiet server: buffers of two thousand connections, bodies that come in, queries. Far less than was sent.
MEMORY_BYTES_MAX = 250 << 20
LIMITS = ("--max-header-s", "2", "--max-silence-s", "2", "--max-unread-s", "2", "--max-bodies-bytes", str(64 << 20))
FAT = 400


class Watcher(threading.Thread):
    """Beats until it is told to stop; remembers each heartbeat that was not answered with 200."""

    def __init__(self, server: Server, bucket: str, *, keeps: bool) -> None:
        super().__init__()
        self.api = Api(server)
        self.bucket = bucket
        self.keeps = keeps
        self.beats = 0
        self.failures: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.02):
            try:
                self.api.beat(self.bucket, {"timestamp": at("10:00:00"), "duration": self.beats, "data": {}})
                self.beats += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a heartbeat that was not answered
                self.failures.append(repr(error))
            if not self.keeps:
                self.api._connection().close()
                self.api._kept = threading.local()


def private_bytes(pid: int) -> int:
    """Memory that is the process's own, in pages that belong to no file."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss_Anon:"))


def begin(folder: Path, *flags: str) -> Iterator[Server]:
    """A server with a bucket whose events are a long answer."""
    with Server(folder / "data", *LIMITS, *flags) as server:
        api = Api(server)
        for bucket in ("attacked", "kept", "anew"):
            api.create(bucket)
        events = [{"timestamp": at(f"10:{n // 60:02}:{n % 60:02}"), "data": {"label": "x" * 2_000}} for n in range(FAT)]
        api.post("/buckets/attacked/events", events)
        yield server
        assert server.stop() == 0
        assert "InternalError" not in server.log_text()
        assert len(server.log_text()) < 100_000


@pytest.fixture(scope="module")
def with_lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from begin(tmp_path_factory.mktemp("overload"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from begin(tmp_path_factory.mktemp("overload"), "--no-fast-lane")


# Without the lane: the attacks that meet what stands in its place.
WITHOUT_LANE = ("trickled_headers", "never_reading", "pipelines")


@pytest.mark.parametrize(
    ("server_name", "name"),
    [*(("with_lane", name) for name in ATTACKS), *(("alone", name) for name in WITHOUT_LANE)],
)
def test_no_attack_reaches_a_watcher(request: pytest.FixtureRequest, server_name: str, name: str) -> None:
    """O1, O2, O3, O4, O5."""
    attacked: Server = request.getfixturevalue(server_name)
    quiet_bytes = private_bytes(attacked.pid)
    watchers = [Watcher(attacked, "kept", keeps=True), Watcher(attacked, "anew", keeps=False)]
    for watcher in watchers:
        watcher.start()
    words = [sys.executable, "-m", "tests.faults.attacks", name, str(attacked.port), str(SECONDS)]
    with subprocess.Popen(words) as attack:
        most_bytes = 0
        while attack.poll() is None:
            most_bytes = max(most_bytes, private_bytes(attacked.pid))
            time.sleep(0.1)
    for watcher in watchers:
        watcher.stopping.set()
        watcher.join()
    assert attack.returncode == 0
    assert [failure for watcher in watchers for failure in watcher.failures] == []
    assert min(watcher.beats for watcher in watchers) > 0
    assert most_bytes - quiet_bytes < MEMORY_BYTES_MAX, f"{most_bytes >> 20} MiB, quiet {quiet_bytes >> 20} MiB"
    assert Api(attacked).get("/info")["testing"] is True


def figure(server: Server, name: str) -> float:
    text = server.request("GET", "/metrics").body.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def test_a_client_that_goes_away_ends_its_query(tmp_path: Path) -> None:
    """O6: one that would never end, and its reader process with it; others are answered meanwhile and after."""
    endless = r"(?=a)(a+)+\1$"  # only Python's `re` takes it, and it goes back and forth for ever
    program = [f"RETURN = filter_keyvals_regex(query_bucket('b'), 'title', '{endless}');"]
    body = json.dumps({"query": program, "timeperiods": ["2024-05-01/2024-05-02"]}).encode()
    head = f"POST /api/0/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with Server(tmp_path / "data", "--max-query-s", "600") as server:
        api = Api(server)
        api.create("b")
        api.insert("b", {"timestamp": at("10:00:00"), "data": {"title": "a" * 60 + "b"}})
        client = socket.create_connection((server.host, server.port))
        client.sendall(f"{head}\r\n\r\n".encode() + body)
        wait_until(lambda: figure(server, "awlog_queries_running") == 1)
        client.close()
        wait_until(lambda: figure(server, "awlog_queries_running") == 0)
        assert figure(server, "awlog_snapshots") == 0
        answer: Any = api.post("/query", {"query": ["RETURN = 1;"], "timeperiods": ["2024-05-01/2024-05-02"]})
        assert answer == [1]


def test_a_client_that_goes_away_lets_its_snapshot_go(tmp_path: Path) -> None:
    """O6: in the middle of an answer that it did not read to its end."""
    with Server(tmp_path / "data") as server:
        api = Api(server)
        api.create("b")
        api.insert("b", *({"timestamp": at(f"10:00:{n:02}"), "data": {"label": "x" * 1_000_000}} for n in range(12)))
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_000)
        client.connect((server.host, server.port))
        client.sendall(b"GET /api/0/buckets/b/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(10)
        wait_until(lambda: figure(server, "awlog_snapshots") == 1)
        client.close()
        wait_until(lambda: figure(server, "awlog_snapshots") == 0)


def wait_until(holds: Any, patience_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_stop_does_not_wait_for_those_who_never_read(tmp_path: Path) -> None:
    """D8: what a stop gives to all together is ten seconds, also if answers are on their way that nobody takes."""
    with Server(tmp_path / "data") as server:
        api = Api(server)
        api.create("b")
        api.insert("b", {"timestamp": at("10:00:00"), "data": {"label": "x" * 8_000_000}})
        clients = []
        for _ in range(5):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_000)
            client.connect((server.host, server.port))
            client.sendall(b"GET /api/0/buckets/b/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            clients.append(client)
        for client in clients:
            assert client.recv(10).startswith(b"HTTP/1.1")
        os.kill(server.pid, signal.SIGTERM)
        assert server.process is not None
        assert server.process.wait(10) == 0
        for client in clients:
            client.close()
