"""`/changes`: what a follower is told, in which forms, and what it can ask for."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType

from tests.contract.wire import Api
from tests.server import Server

EVENT = {"timestamp": "2026-01-01T12:00:00+00:00", "duration": 5, "data": {"app": "vim"}}


def changes(api: Api, **query: Any) -> tuple[list[dict[str, Any]], int]:
    """The changes, and where to go on."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    reply = api.server.request("GET", f"/api/0/changes?{text}")
    assert reply.status == 200, reply.body
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert reply.body.endswith(b"\n")
    *lines, position = map(json.loads, reply.body.splitlines())
    assert set(position) == {"kind", "change"}
    assert position["kind"] == "position"
    return lines, position["change"]


def head(api: Api) -> int:
    lines, position = changes(api)
    assert lines == []
    return position


def test_every_kind_of_change_is_told_in_order(api: Api, name: str):
    """Each has the next number; events and buckets look as they do elsewhere."""
    since = head(api)
    ask = api.server.request
    ask("POST", f"/api/0/buckets/{name}", {"type": "t", "client": "c", "hostname": "h", "data": {"k": 1}})
    one, two = ask("POST", f"/api/0/buckets/{name}/events", [EVENT, {**EVENT, "data": {}}]).json()
    ask("DELETE", f"/api/0/buckets/{name}/events/{one['id']}")
    ask("POST", f"/api/0/settings/{name}", [1])
    ask("POST", f"/api/0/settings/{name}", raw=b"null", headers={"Content-Type": "application/json"})
    bucket = ask("GET", f"/api/0/buckets/{name}").json()
    told, position = changes(api, since=since)
    del bucket["metadata"], bucket["last_updated"]
    assert told == [
        {"change": since + 1, "kind": "bucket", "bucket": name, "metadata": bucket},
        {"change": since + 3, "kind": "event", "bucket": name, "event": two},
        {"change": since + 4, "kind": "event_deleted", "bucket": name, "id": one["id"]},
        {"change": since + 6, "kind": "setting", "key": name, "value": None},
    ]
    assert position == told[-1]["change"]
    ask("DELETE", f"/api/0/buckets/{name}?force=1")
    told, position = changes(api, since=since)
    assert [(one["kind"], one.get("bucket")) for one in told] == [("setting", None), ("bucket_deleted", name)]
    assert changes(api, since=position) == ([], position)


def test_a_limit_cuts_and_the_position_says_where(api: Api, bucket: str):
    since = head(api)
    api.server.request("POST", f"/api/0/buckets/{bucket}/events", [EVENT] * 5)
    whole, end = changes(api, since=since)
    first, middle = changes(api, since=since, limit=2)
    assert (first, middle) == (whole[:2], whole[1]["change"])
    assert changes(api, since=middle, limit=3) == (whole[2:], end)


def test_a_prefix_of_bucket_ids_hides_the_others_and_settings(api: Api, bucket: str, other: str):
    since = head(api)
    for name in (bucket, other):
        api.server.request("POST", f"/api/0/buckets/{name}/events", EVENT)
    api.server.request("POST", f"/api/0/settings/{bucket}", 1)
    told, position = changes(api, since=since, bucket_prefix=other)
    assert [one["bucket"] for one in told] == [other]
    assert position == since + 3


def test_whoever_waits_is_answered_when_something_comes(api: Api, bucket: str):
    since = head(api)
    api.server.request("GET", "/api/0/changes?since=0&limit=1")
    later = threading.Timer(0.2, api.server.request, ("POST", f"/api/0/buckets/{bucket}/events", EVENT))
    later.start()
    told, _ = changes(api, since=since, wait_s=20, bucket_prefix=bucket)
    later.join()
    assert [one["kind"] for one in told] == ["event"]
    assert changes(api, since=head(api), wait_s=0.1)[0] == []


@pytest.mark.parametrize(
    "query",
    [
        "since=-1",
        "since=x",
        "since=",
        "since=1.5",
        "limit=0",
        "limit=x",
        "wait_s=-1",
        "wait_s=nan",
        "wait_s=301",
        "wait_s=",
        "wait_s=0_1",
    ],
)
def test_what_means_nothing_is_refused(api: Api, query: str):
    reply = api.server.request("GET", f"/api/0/changes?{query}")
    assert (reply.status, reply.json()["type"]) == (400, "BadRequest")


@pytest.mark.parametrize("accepted", ["text/event-stream", "application/x-ndjson"])
def test_a_look_at_the_headers_follows_nothing(api: Api, accepted: str):
    """HEAD is answered at once, also for what would last for ever."""
    reply = api.server.request("HEAD", "/api/0/changes?since=0", headers={"Accept": accepted})
    assert (reply.status, reply.headers["Content-Type"], reply.body) == (200, accepted, b"")


def test_a_change_that_was_never_made_is_gone(api: Api):
    """The store was restored from a backup, perhaps: the answer says what to do."""
    reply = api.server.request("GET", f"/api/0/changes?since={head(api) + 1}")
    assert (reply.status, reply.json()["type"]) == (410, "ChangesGone")
    assert "since=0" in reply.json()["message"]


def test_no_last_id_is_none(api: Api):
    """A browser that has seen no id yet may send an empty one: it begins with what happens now."""
    reply = api.server.request("GET", "/api/0/changes?wait_s=0.1", headers={"Last-Event-ID": ""})
    assert (reply.status, [json.loads(line)["kind"] for line in reply.body.splitlines()]) == (200, ["position"])


def test_server_sent_events_go_on_with_the_last_id(api: Api, bucket: str):
    """An id for each, and for what a filter hides; a browser sends the last one when it connects again."""
    since = head(api)
    ids = [api.server.request("POST", f"/api/0/buckets/{bucket}/events", EVENT).json()["id"] for _ in range(3)]
    told: list[dict[str, Any]] = []
    for _ in range(2):
        connection = http.client.HTTPConnection(api.server.host, api.server.port, timeout=20)
        connection.request(
            "GET", "/api/0/changes", headers={"Accept": "text/event-stream", "Last-Event-ID": str(since)}
        )
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        last = since
        while len(told) < 2 or (len(told) < 3 and since == last):
            field, _, value = answer.readline().decode().strip().partition(": ")
            if field == "id":
                last = int(value)
            elif field == "data":
                told.append(json.loads(value))
                assert told[-1]["change"] == last
                since = last
                break
        connection.close()
    assert [one["event"]["id"] for one in told] == ids[:2]


async def test_a_websocket_may_follow(server: Server, bucket: str):
    """The same lines, with positions in between, for ever."""
    since = head(Api(server))
    async with (
        ClientSession() as session,
        session.ws_connect(f"{server.url}/api/0/stream", protocols=("awlog.v1",)) as socket,
    ):
        await socket.send_json({"follow": {"since": since, "bucket_prefix": bucket}})
        assert await socket.receive_json(timeout=20) == {"kind": "position", "change": since}
        server.request("POST", f"/api/0/buckets/{bucket}/events", EVENT)
        told = await socket.receive_json(timeout=20)
        assert (told["kind"], told["bucket"], told["change"]) == ("event", bucket, since + 1)
        assert await socket.receive_json(timeout=20) == {"kind": "position", "change": since + 1}
    async with (
        ClientSession() as session,
        session.ws_connect(f"{server.url}/api/0/stream", protocols=("awlog.v1",)) as socket,
    ):
        await socket.send_json({"follow": {"since": 1 << 50}})
        assert json.loads((await socket.receive(timeout=20)).data)["type"] == "ChangesGone"
        assert (await socket.receive(timeout=20)).type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)


@pytest.mark.parametrize(
    "follow", [{"since": -1}, {"since": "x"}, {"since": 1.5}, {"since": True}, {"bucket_prefix": 5}, [], None]
)
async def test_a_websocket_that_asks_to_follow_nothing_is_told_so(server: Server, follow: Any):
    """It is no heartbeat without a bucket, and does not get everything from the beginning."""
    async with (
        ClientSession() as session,
        session.ws_connect(f"{server.url}/api/0/stream", protocols=("awlog.v1",)) as socket,
    ):
        await socket.send_json({"follow": follow})
        told = json.loads((await socket.receive(timeout=20)).data)
        assert told["type"] == "BadRequest"
        assert "bucket`" not in told["message"]
        assert (await socket.receive(timeout=20)).type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "wait_s=nan", "wait_s=-1", "wait_s=x"])
@pytest.mark.parametrize("accepted", ["*/*", "text/event-stream"])
def test_what_is_no_limit_is_refused_in_every_form(server: Server, query: str, accepted: str):
    """Of a stream of events as well, which ends at no limit."""
    reply = server.request("GET", f"/api/0/changes?since=0&{query}", headers={"Accept": accepted})
    assert (reply.status, reply.json()["type"]) == (400, "BadRequest")


async def test_a_follower_may_leave_while_nothing_changes(server: Server, bucket: str):
    """Its close is answered at once, not with the next change."""
    since = head(Api(server))
    async with (
        ClientSession() as session,
        session.ws_connect(f"{server.url}/api/0/stream", protocols=("awlog.v1",), autoclose=False) as socket,
    ):
        await socket.send_json({"follow": {"since": since, "bucket_prefix": bucket}})
        assert await socket.receive_json(timeout=20) == {"kind": "position", "change": since}
        await socket.send_frame(b"\x03\xe8", WSMsgType.CLOSE)  # without waiting, to see what comes first
        assert (await socket.receive(timeout=20)).type is WSMsgType.CLOSE


def test_tail_shows_what_there_is(api: Api, bucket: str):
    """For people, or as lines of JSON; what could move a terminal's cursor does not reach it."""
    api.server.request("POST", f"/api/0/buckets/{bucket}/events", {**EVENT, "data": {"title": "tea\u202e"}})
    words = [sys.executable, "-m", "awlog", "tail", bucket, "--url", api.server.url, "--once"]
    shown = subprocess.run(words, capture_output=True, check=True, timeout=30).stdout.decode()
    assert f'2026-01-01T12:00:00        5.0 s  {bucket}  {{"title":"tea\ufffd"}}' in shown
    lines = subprocess.run([*words, "--json"], capture_output=True, check=True, timeout=30).stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["bucket", "event"]
