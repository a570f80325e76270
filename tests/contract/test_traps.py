"""Section 15: what the stock clients really send, and what trips them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.contract.wire import Api, Wire, at, event, exchange, request_bytes, strict_json
from tests.server import Server

JSON = "Content-Type: application/json"


def test_a_watcher_on_the_python_client_creates_its_bucket_at_each_start(server: Server, name: str) -> None:
    """It sends `Content-type` in its own spelling and a header called `charset`, and takes 304 for success."""
    headers = ("Content-type: application/json", "charset: utf-8", "User-Agent: python-requests/2.32", "Accept: */*")
    body = json.dumps({"client": "aw-watcher-afk", "hostname": "desk", "type": "afkstatus"}).encode()
    target = f"/api/0/buckets/{name}"
    assert [exchange(server, "POST", target, *headers, body=body).status for _ in range(3)] == [200, 304, 304]
    beat = {"id": None, "timestamp": at("10:00:00"), "duration": 0.0, "data": {"status": "not-afk"}}
    answer = exchange(server, "POST", f"{target}/heartbeat?pulsetime=65.0", *headers, body=json.dumps(beat).encode())
    assert answer.status == 200
    assert exchange(server, "DELETE", f"{target}?force=1", *headers, body=b"{}").status == 200


def test_the_python_client_does_not_percent_encode_bucket_ids(server: Server, api: Api, name: str) -> None:
    """What its HTTP library leaves as it is arrives as it is."""
    odd = f"{name}_desk.local:1,2;x=y@z!$&'()*+~"
    api.create(odd)
    assert strict_json(exchange(server, "GET", f"/api/0/buckets/{odd}").body)["id"] == odd
    answer = exchange(
        server,
        "POST",
        f"/api/0/buckets/{odd}/heartbeat?pulsetime=10",
        JSON,
        body=json.dumps(event("10:00:00")).encode(),
    )
    assert answer.status == 200
    assert api.count(odd) == 1


def test_the_rust_client_creates_a_bucket_with_nulls(api: Api, name: str) -> None:
    """`created`, `events`, `last_updated`, `metadata`; and `"id": null` in a heartbeat. It needs `data` as an object."""
    made = {
        "bid": None,
        "id": name,
        "type": "currentwindow",
        "client": "aw-watcher-window-wayland",
        "hostname": "desk",
        "created": None,
        "data": {},
        "metadata": {"start": None, "end": None},
        "events": None,
        "last_updated": None,
    }
    assert api.post(f"/buckets/{name}", made) == {}
    assert isinstance(api.bucket(name)["data"], dict)
    answer = api.beat(
        name, {"id": None, "timestamp": "2024-05-01T10:00:00.123456789Z", "duration": 0.0, "data": {"app": "vim"}}
    )
    assert answer["timestamp"] == at("10:00:00.123456")
    assert 0 < answer["id"] < 2**63


def test_a_web_extension_makes_its_bucket_with_the_local_host_name(api: Api, name: str) -> None:
    """A heartbeat answer is an object with `timestamp`: the npm client converts it."""
    made = {"client": "aw-client-web", "type": "web.tab.current", "hostname": "!local"}
    assert api.post(f"/buckets/{name}", made) == {}
    assert api.call("POST", f"/buckets/{name}", made).status == 304
    data = {
        "url": "https://example.org/?q=ä",
        "title": "\U0001f600",
        "audible": False,
        "incognito": False,
        "tabCount": 3,
    }
    answer = api.beat(name, {"timestamp": "2024-05-01T10:00:00.123Z", "duration": 0.0, "data": data}, pulsetime=60.0)
    assert answer["timestamp"] == at("10:00:00.123000")
    assert answer["data"] == data


def test_the_npm_client_counts_with_names_of_its_own(api: Api, bucket: str) -> None:
    """`starttime` and `endtime`; the answer stays a bare integer, 0 included."""
    api.insert(bucket, event("10:00:00"), event("12:00:00"))
    path = f"/api/0/buckets/{bucket}/events/count?starttime=2024-05-01T11:00:00.000Z&endtime=2024-05-01T13:00:00.000Z"
    assert exchange(api.server, "GET", path).body.strip() == b"1"
    path = f"/api/0/buckets/{bucket}/events/count?starttime=2024-05-02T11:00:00.000Z"
    assert exchange(api.server, "GET", path).body.strip() == b"0"


def test_the_web_ui_reads_without_a_limit_and_deletes_by_force(api: Api, bucket: str) -> None:
    """`limit=-1` with every read, `force=1` with every delete, offsets as `%2B01:00`."""
    (stored,) = api.insert(bucket, event("10:00:00", 60))
    query = "start=2024-05-01T00:00:00%2B02:00&end=2024-05-02T00:00:00%2B02:00&limit=-1"
    assert api.get(f"/buckets/{bucket}/events?{query}") == [stored]
    edited = {**stored, "data": {"s": "edited"}}
    assert api.post(f"/buckets/{bucket}/events", [edited]) == [edited]
    assert api.ok("DELETE", f"/buckets/{bucket}?force=1") == {}


def test_events_with_equal_milliseconds_come_back_in_order_of_arrival(api: Api, bucket: str) -> None:
    """The Python client cuts timestamps to milliseconds, and its own test compares a list with what it sent."""
    sent = [event("10:00:00.123000", 0, {"n": n}) for n in range(10)]
    stored = api.insert(bucket, *sent[:5]) + [api.insert(bucket, one)[0] for one in sent[5:]]
    assert api.events(bucket) == stored
    assert api.events(bucket, limit=4) == stored[:4]


def test_an_event_that_starts_exactly_at_the_end_is_found(api: Api, bucket: str) -> None:
    """A client's test asks for it: ranges are inclusive at both ends."""
    (stored,) = api.insert(bucket, event("10:00:00.001000"))
    assert api.events(bucket, start=at("09:00:00"), end=at("10:00:00.001000")) == [stored]
    assert api.events(bucket, start=at("10:00:00.001000"), end=at("11:00:00")) == [stored]


def test_an_unset_setting_stays_a_bare_null_and_no_setting_is_null(api: Api, name: str) -> None:
    """The web UI copies every key of `GET /settings` over its defaults."""
    api.post(f"/settings/{name}", None)
    assert api.call("GET", f"/settings/{name}").body.strip() == b"null"
    assert None not in api.get("/settings").values()


@pytest.mark.parametrize(
    "path", ["//api/0/info", "/api//0/info", "/api/0//info", "/./api/0/info", "/api/./0/info", "/x/../api/0/info"]
)
def test_other_spellings_of_a_path_lead_to_the_same_answer_or_to_none(server: Server, path: str) -> None:
    """A router may take them or not; what it must not do is fail."""
    assert exchange(server, "GET", path).status in {200, 400, 404}


@pytest.mark.parametrize("gone", ["before", "inside", "after"])
def test_a_client_that_goes_away_disturbs_nobody(server: Server, api: Api, bucket: str, gone: str) -> None:
    """Before its body, in the middle of it, or before the answer: the next heartbeat is served."""
    body = json.dumps(event("10:00:00")).encode()
    whole = request_bytes("POST", f"/api/0/buckets/{bucket}/heartbeat?pulsetime=60", JSON, body=body)
    for _ in range(20):
        with Wire(server) as wire:
            wire.send({"before": whole[: -len(body)], "inside": whole[:-5], "after": whole}[gone])
    assert api.beat(bucket, event("10:00:00"), pulsetime=60)["duration"] == 0.0
    assert api.count(bucket) == 1


def test_answers_to_clients_of_http_1_0_end_the_connection(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(b"GET /api/0/info HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = wire.answer()
        assert answer.status == 200
        assert strict_json(answer.body)["testing"] is True
        assert wire.finish() == b""


def test_whoever_is_let_in_during_the_start_is_answered(tmp_path: Path) -> None:
    """A refused heartbeat is lost for good: from the first connection on it waits, and is not told to come again."""
    with Server(tmp_path / "data") as server:
        api = Api(server)
        api.create("b")
        for second in range(3):
            server.kill()
            server.start(wait=False)
            while True:
                try:
                    wire = Wire(server)
                    break
                except ConnectionRefusedError:
                    time.sleep(0.001)
            with wire:
                body = json.dumps(event(f"10:00:0{second}")).encode()
                wire.send(request_bytes("POST", "/api/0/buckets/b/heartbeat?pulsetime=5", JSON, body=body))
                assert strict_json(wire.answer().body)["duration"] == float(second)
