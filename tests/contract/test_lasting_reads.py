"""A read that lasts ends within a second of its token: an export, a query, a feed. And who may follow a long job."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.test_query import ENDLESS
from tests.contract.test_stream import PROTOCOL, Socket
from tests.contract.test_tokens import Office
from tests.contract.wire import WATCHER, Wire, check_error
from tests.server import Reply, Server

# Some megabytes more than two sockets hold: an export of it waits for whoever does not read.
EVENTS = 40_000
LONG = "x" * 300
DAYS = ["2024-01-01T00:00Z/2025-01-01T00:00Z"]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with Server(tmp_path_factory.mktemp("lasting") / "data") as server:
        office = Office(server)
        for bucket in ("web-1", "desk-1", "hostile"):
            assert office.ask(office.owner, "POST", f"/buckets/{bucket}", WATCHER).status == 200
        events = [
            {"timestamp": f"2024-05-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z", "data": {"title": f"{LONG}{n}"}}
            for n in range(EVENTS)
        ]
        assert office.ask(office.owner, "POST", "/buckets/web-1/events", events).status == 200
        endless = {"timestamp": "2024-05-01T10:00:00Z", "data": {"title": "a" * 40 + "!"}}
        assert office.ask(office.owner, "POST", "/buckets/hostile/events", endless).status == 200
        yield office
        assert not any(secret in server.log_text() for secret in office.secrets)


def get(path: str, secret: str, *headers: str) -> bytes:
    lines = [f"GET /api/0{path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {secret}", *headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def revoke(office: Office, token_id: str) -> None:
    assert office.ask(office.owner, "DELETE", f"/tokens/{token_id}").status == 200


def rest(wire: Wire) -> bytes:
    """All that still comes until the server ends the connection."""
    received = [wire.received]
    with suppress(ConnectionResetError):
        while piece := wire.socket.recv(1 << 20):
            received.append(piece)
    return b"".join(received)


def test_an_export_ends_with_its_token(office: Office) -> None:
    """In the middle, and cut off: nobody takes the part for the whole. One by another token goes on."""
    secret, token_id = office.make("read:web-*")
    other, _ = office.make("read:web-*")
    with Wire(office.server) as ended, Wire(office.server) as whole:
        for wire, each in ((ended, secret), (whole, other)):
            wire.send(get("/buckets/web-1/export", each))
            assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        revoke(office, token_id)
        wait_until_ended(office, ended)
        assert b"0\r\n\r\n" not in rest(ended)[-10:]
        whole.socket.settimeout(30)
        last = b""
        while not last.endswith(b"0\r\n\r\n"):
            last = (last + whole.socket.recv(1 << 20))[-10:]


def wait_until_ended(office: Office, wire: Wire) -> None:
    """The server has let go of a connection that nobody reads from."""
    ours = wire.socket.getsockname()[1]
    deadline = time.monotonic() + 20
    while f":{ours:04X} 01 " in _connections(office.server.port):
        assert time.monotonic() < deadline, "the export goes on"
        time.sleep(0.05)


def _connections(port: int) -> str:
    """From the server's side: `:<its client's port> <state>`, 01 for one that is open."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return " ".join(f"{each[2][-5:]} {each[3]} " for each in lines if each[1].endswith(f":{port:04X}"))


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/changes?wait_s=300", ()), ("/changes", ("Accept: text/event-stream",))],
    ids=["asked", "told"],
)
def test_a_feed_that_has_nothing_to_tell_ends_with_its_token(
    office: Office, path: str, headers: tuple[str, ...]
) -> None:
    """Before it says anything: a feed speaks every fifteen seconds, if there is nothing else."""
    secret, token_id = office.make("read:web-*")
    with Wire(office.server) as wire:
        wire.send(get(path, secret, *headers))
        if headers:
            wire.until(b"still here\n\n\r\n")
        else:
            wait_until_in_progress(office)
        revoke(office, token_id)
        if headers:
            assert rest(wire) == b""
        else:
            check_error(wire.answer(), 401, "Unauthorized")


async def test_a_websocket_that_follows_ends_with_its_token(office: Office) -> None:
    """It is told why, long before it would be told that nothing happened."""
    secret, token_id = office.make("read:web-*")
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}"}) as session,
        session.ws_connect(f"{office.server.url}/api/0/stream", protocols=[PROTOCOL]) as opened,
    ):
        socket = Socket(opened)
        await socket.send({"follow": {}})
        assert (await socket.receive())["kind"] == "position"
        await asyncio.to_thread(revoke, office, token_id)
        async with asyncio.timeout(10):
            assert (await socket.receive())["type"] == "Unauthorized"
            assert await socket.close_code() == 1008


def wait_until_in_progress(office: Office) -> None:
    """The server has the request: it answers in the order in which it read."""
    for _ in range(3):
        assert office.ask(office.owner, "GET", "/buckets").status == 200


def test_a_query_ends_with_its_token(office: Office) -> None:
    """And frees its process: long before its time is over, which would be a 400."""
    secret, token_id = office.make("read")
    answers: list[Reply] = []
    body = {"query": ENDLESS.splitlines(), "timeperiods": DAYS}

    def ask() -> None:
        answers.append(office.ask(secret, "POST", "/query", body))

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: b"awlog_queries_running 1" in metrics(office))
    revoke(office, token_id)
    asking.join(20)
    check_error(answers[0], 401, "Unauthorized")
    assert office.ask(office.owner, "POST", "/query", {"query": ["RETURN = 1;"], "timeperiods": DAYS}).json() == [1]


def metrics(office: Office) -> bytes:
    return office.server.request("GET", "/metrics", headers={"Authorization": f"Bearer {office.owner}"}).body


def eventually(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never does"
        time.sleep(0.02)


def test_a_job_is_followed_by_the_token_that_started_it_and_by_admins(office: Office) -> None:
    """For others, with the same scopes too, there is no such job; to stop it takes an admin."""
    starter, _ = office.make("write:web-*", "read:web-*")
    same, _ = office.make("write:web-*", "read:web-*")
    reads, _ = office.make("read")
    some_of_every_segment = {"filter": {"field": "title", "pattern": "7$"}}
    begun = office.ask(starter, "POST", "/buckets/web-1/delete", some_of_every_segment)
    assert begun.status == 202, begun.body
    path = f"/jobs/{begun.json()['job']['id']}"
    for secret in (starter, office.owner):
        assert office.ask(secret, "GET", path).json()["kind"] == "delete"
    eventually(lambda: office.ask(starter, "GET", path).json()["state"] == "done")
    check_error(office.ask(same, "GET", path), 404, "NoSuchJob")
    check_error(office.ask(starter, "GET", "/jobs/999"), 404, "NoSuchJob")
    check_error(office.ask(reads, "GET", path), 403, "Forbidden")
    check_error(office.ask(starter, "DELETE", path), 403, "Forbidden")
    check_error(office.ask(starter, "GET", "/jobs"), 403, "Forbidden")


def test_who_may_read_some_buckets_learns_nothing_of_the_others(office: Office) -> None:
    """Neither how much is recorded in the whole server, nor what becomes of it, nor how much room it takes."""
    limited, _ = office.make("read:desk-*")
    whole, _ = office.make("read")
    of_the_server = ("acknowledged", "busiest_second", "waits", "heartbeats", "refused", "commits", "disk")
    seen = office.ask(limited, "GET", "/status").json()
    assert {name: seen[name] for name in of_the_server} == dict.fromkeys(of_the_server)
    assert (seen["events"], [bucket["id"] for bucket in seen["buckets"]]) == (0, ["desk-1"])
    assert list(office.ask(limited, "GET", "/sizes").json()) == ["desk-1"]
    assert not any(value is None for value in office.ask(whole, "GET", "/status").json().values())
    asked = office.server.request("GET", "/metrics", headers={"Authorization": f"Bearer {limited}"})
    check_error(asked, 403, "Forbidden")


def test_a_tokens_prefix_is_no_longer_than_a_bucket_id(office: Office) -> None:
    for prefix, status in (
        ("x" * 1024, 200),
        ("é" * 512, 200),
        ("x" * 1025, 400),
        ("é" * 513, 400),
        ("x" * 100_000, 400),
    ):
        made = office.ask(office.owner, "POST", "/tokens", {"scopes": [f"read:{prefix}*"]})
        assert made.status == status
        assert status == 200 or json.loads(made.body)["message"].count("1024") == 1
