"""D8: a clean stop answers what it has taken, marks the store clean and exits 0; a second signal ends at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from awlog.storage.environment import Environment
from awlog.storage.recovery import recover
from tests.faults.conftest import verify
from tests.faults.load import BROKEN, Load
from tests.faults.straced import Attached, recorded, wait_for_end
from tests.faults.trace import all_seen, read_record
from tests.server import Server

FIELDS = {"type": "t", "client": "c", "hostname": "h"}
EVENTS = "/api/0/buckets/b/events"
IN_FLIGHT = 20


def event(number: int) -> dict[str, Any]:
    return {"timestamp": f"2024-05-01T10:00:{number:02}Z", "data": {"number": number}}


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path / "data") as running:
        assert running.request("POST", "/api/0/buckets/b", FIELDS).status == 200
        yield running


def is_marked_clean(data_dir: Path) -> bool:
    environment = Environment(data_dir, read_only=True)
    try:
        return recover(environment).clean
    finally:
        environment.close()


def numbers(server: Server) -> list[int]:
    return sorted(found["data"]["number"] for found in server.request("GET", EVENTS).json())


@pytest.mark.needs("strace")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_taken_is_answered_before_the_end(server, tmp_path, number):
    """A held commit keeps twenty writes waiting; the signal comes; all are answered with 200, then the exit status is 0."""
    held = Attached(server.pid, tmp_path / "record", server.data_dir / "data.mdb", "fdatasync:delay_enter=700000")
    with ThreadPoolExecutor(IN_FLIGHT) as pool, held:
        sent = [pool.submit(server.request, "POST", EVENTS, event(n)) for n in range(IN_FLIGHT)]
        held.wait_until_held()
        wait_for_established(server.port, IN_FLIGHT)
        os.kill(server.pid, number)
        assert {reply.result().status for reply in sent} == {200}
        assert server.process.wait(30) == 0
    assert is_marked_clean(server.data_dir)
    verify(server.data_dir)
    server.start()
    assert numbers(server) == list(range(IN_FLIGHT))


def wait_for_established(port: int, count: int) -> None:
    """Returns when the server has taken that many connections and read what they sent: nothing waits in a queue."""
    deadline = time.monotonic() + 20
    taken: list[bool] = []
    while taken != [True] * count:
        assert time.monotonic() < deadline, f"connections, each read to its end or not: {taken}"
        time.sleep(0.01)
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ours = [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]
        taken = [row[4].endswith(":00000000") and row[9] != "0" for row in ours]


@pytest.mark.needs("strace")
def test_a_stopping_server_takes_no_connections(server, tmp_path):
    held = Attached(server.pid, tmp_path / "record", server.data_dir / "data.mdb", "fdatasync:delay_enter=1500000")
    with ThreadPoolExecutor(1) as pool, held:
        sent = pool.submit(server.request, "POST", EVENTS, event(1))
        held.wait_until_held()
        os.kill(server.pid, signal.SIGTERM)
        while True:
            try:
                with socket.create_connection((server.host, server.port), timeout=5):
                    assert not sent.done(), "it took connections until the last answer"
                    time.sleep(0.01)
            except ConnectionRefusedError:
                break
        assert sent.result().status == 200
        assert server.process.wait(30) == 0


def test_connections_that_say_nothing_do_not_keep_it_from_stopping(server):
    """Idle after an answer, in the middle of the headers, in the middle of a body: within the ten seconds it ends."""
    half_requests = [
        b"",
        b"GET /api/0/info HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/0/buckets/b/events HTTP/1.1\r\nHost: local",
        b"POST /api/0/buckets/b/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n[",
    ]
    clients = [socket.create_connection((server.host, server.port)) for _ in half_requests]
    for client, half in zip(clients, half_requests, strict=True):
        client.sendall(half)
    wait_for_established(server.port, len(clients))
    assert server.stop(timeout_s=40) == 0
    assert is_marked_clean(server.data_dir)
    for client in clients:
        client.close()
    server.start()
    assert numbers(server) == []


@pytest.mark.needs("strace")
def test_a_second_signal_ends_at_once_and_is_only_a_crash(server, tmp_path):
    """The commit is held: the first signal waits for it and would answer 200; the second does not."""
    assert server.request("POST", EVENTS, event(0)).status == 200
    held = Attached(server.pid, tmp_path / "record", server.data_dir / "data.mdb", "fdatasync:delay_enter=3000000")
    with ThreadPoolExecutor(1) as pool, held:
        sent = pool.submit(server.request, "POST", EVENTS, event(1))
        held.wait_until_held()
        os.kill(server.pid, signal.SIGTERM)
        wait_for_refusal(server)
        os.kill(server.pid, signal.SIGTERM)
        assert server.process.wait(30) != 0
        assert isinstance(sent.exception(30), BROKEN)
    assert not is_marked_clean(server.data_dir)
    verify(server.data_dir)
    server.start()
    assert numbers(server) in ([0], [0, 1])


def wait_for_refusal(server: Server) -> None:
    """Returns when the server no longer listens: it has seen the signal."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection((server.host, server.port), timeout=5).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise AssertionError("it still takes connections")


def test_a_running_store_is_not_marked_clean(server):
    assert server.request("POST", EVENTS, event(0)).status == 200
    server.kill()
    assert not is_marked_clean(server.data_dir)


def test_a_stop_under_load_loses_nothing(tmp_path, seed, note):
    """Each connection ends between an answer and the next request, or with the answer to the last one."""
    load = Load(seed, writers=6, big=1)
    with Server(tmp_path / "data") as server:
        load.prepare(server)
        for _ in range(2):
            load.start(server)
            load.wait_for(60)
            load.expect_crash()
            assert server.stop() == 0
            load.join()
            assert is_marked_clean(server.data_dir)
            verify(server.data_dir)
            server.start()
            outcomes = load.check(server)
            note(f"{load.acknowledged} acknowledged, the last requests: {dict(outcomes)}")


@pytest.mark.needs("strace")
def test_every_request_that_a_stopping_server_has_read_is_answered(server, tmp_path):
    """A watcher drops for good what is not answered. The body comes after the signal, the headers had come before."""
    record = tmp_path / "record"
    assert server.stop() == 0
    server.wrapper = recorded(record, "fdatasync:delay_enter=200000", payload_bytes=20_000)
    server.start()
    body = json.dumps(event(2)).encode()
    head = f"POST {EVENTS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with ThreadPoolExecutor(1) as pool, socket.create_connection((server.host, server.port), timeout=40) as client:
        client.sendall(f"{head}\r\n\r\n".encode())
        wait_for_established(server.port, 1)
        sent = pool.submit(server.request, "POST", EVENTS, event(1))  # held, so that the stop takes its time
        wait_for_established(server.port, 2)
        os.kill(server.pid, signal.SIGTERM)
        wait_for_refusal(server)
        client.sendall(body)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        assert sent.result().status == 200
        process = server.pid
        assert server.process.wait(30) == 0
    wait_for_end(record, process)
    read = [one for one in all_seen(read_record(record), server.port) if one.is_whole_request()]
    assert len(read) >= 2
    assert all(one.answer for one in read), "read, and never answered"
    server.start()
    assert numbers(server) == [1, 2]
