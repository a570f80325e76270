"""Which clients take the fast lane: the server counts, and says so when it stops."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from aw_client import ActivityWatchClient
from aw_core.models import Event

from tests.contract.wire import Wire
from tests.server import Server

WHEN = datetime(2024, 5, 1, 10, tzinfo=UTC)
BODY = json.dumps({"timestamp": WHEN.isoformat(), "duration": 0, "data": {"app": "é"}})
PATH = "/api/0/buckets/b/heartbeat?pulsetime=60"
COUNT = 5


def counted(server: Server) -> tuple[int, int]:
    """Of a server that is stopped for it: heartbeats answered in the lane, requests handed over to aiohttp."""
    assert server.stop() == 0
    records = [json.loads(line) for line in server.log_text().splitlines() if line.startswith("{")]
    (found,) = [record for record in records if record["event"] == "fast lane"]
    return found["answered"], found["handed_over"]


def by_aw_client(server: Server) -> None:
    client = ActivityWatchClient("test", testing=True, host=server.host, port=server.port)
    for _ in range(COUNT):
        client.heartbeat("b", Event(timestamp=WHEN, data={"app": "é"}), pulsetime=60)


def by_requests(server: Server) -> None:
    for _ in range(COUNT):
        answer = requests.post(server.url + PATH, json=json.loads(BODY), timeout=30)
        assert answer.status_code == 200


def by_a_session_of_requests(server: Server) -> None:
    """One connection, also for what is no heartbeat."""
    with requests.Session() as session:
        for number in range(COUNT):
            if number % 2 == 0:
                assert session.get(server.url + "/api/0/info", timeout=30).status_code == 200
            assert session.post(server.url + PATH, json=json.loads(BODY), timeout=30).status_code == 200


def by_curl(server: Server) -> None:
    for _ in range(COUNT):
        sent = ["curl", "-sf", "-X", "POST", server.url + PATH, "-H", "Content-Type: application/json", "-d", BODY]
        assert json.loads(subprocess.run(sent, capture_output=True, check=True).stdout)["id"]


def by_fetch(server: Server) -> None:
    """The headers that Chromium sends for `fetch` in an extension."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\nConnection: keep-alive\r\n"
        f'Content-Length: {len(BODY)}\r\nsec-ch-ua-platform: "Linux"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) '
        "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\nsec-ch-ua: "
        '"Chromium";v="130", "Not?A_Brand";v="99"\r\nContent-Type: application/json\r\nsec-ch-ua-mobile: ?0\r\n'
        "Accept: */*\r\nOrigin: chrome-extension://nglaklhklhcoonedhgnpgddginnjdadi\r\nSec-Fetch-Site: none\r\n"
        "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
        "Accept-Language: en-US,en;q=0.9\r\n\r\n"
    )
    with Wire(server) as wire:
        for _ in range(COUNT):
            wire.send(head.encode() + BODY.encode())
            answer = wire.answer()
            assert answer.status == 200
            assert (
                answer.headers["Access-Control-Allow-Origin"] == "chrome-extension://nglaklhklhcoonedhgnpgddginnjdadi"
            )


@pytest.mark.parametrize(
    "send",
    [
        by_aw_client,
        by_requests,
        by_a_session_of_requests,
        pytest.param(by_curl, marks=pytest.mark.needs("curl")),
        by_fetch,
    ],
    ids=lambda send: send.__name__,
)
def test_clients_that_people_use_take_the_lane(home: Path, tmp_path: Path, send: Callable[[Server], None]) -> None:
    """Every heartbeat of theirs, from the first on."""
    with Server(tmp_path / "data") as server:
        server.request("POST", "/api/0/buckets/b", {"type": "t", "client": "c", "hostname": "h"})
        send(server)
        assert counted(server)[0] == COUNT
        server.start()
        assert len(server.request("GET", "/api/0/buckets/b/events").json()) == 1
