"""What a token lets its owner do with data, and that it ends: on connections that are kept, in streams, in queries."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from tests.contract.test_stream import PROTOCOL, Socket
from tests.contract.wire import WATCHER, Wire, check_error, request_bytes, strict_json
from tests.server import Reply, Server

JSON = "Content-Type: application/json"
BEAT = {"timestamp": "2024-05-01T10:00:00Z", "duration": 1, "data": {"secret": "canary-of-the-data"}}
PERIODS = ["2024-05-01T00:00Z/2024-05-02T00:00Z"]


class Office:
    """A server that demands tokens, and its admin."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.secrets: list[str] = []
        made = server.request("POST", "/api/0/tokens", {"scopes": ["admin"]}).json()
        self.owner = made["secret"]
        self.secrets.append(self.owner)

    def make(self, *scopes: str, **fields: Any) -> tuple[str, str]:
        """A secret, and the id of its token."""
        made = self.ask(self.owner, "POST", "/tokens", {"scopes": list(scopes), **fields}).json()
        self.secrets.append(made["secret"])
        return made["secret"], made["token"]["id"]

    def ask(
        self, secret: str, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str
    ) -> Reply:
        sent = {"Authorization": f"Bearer {secret}", **{name.replace("_", "-"): text for name, text in headers.items()}}
        return self.server.request(method, f"/api/0{path}", body, headers=sent, raw=raw)

    def stream(self, secret: str, *lines: Any, **headers: str) -> Any:
        raw = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        answer = self.ask(secret, "POST", "/heartbeats", raw=raw, Content_Type="application/x-ndjson", **headers)
        assert answer.status == 200, answer.body
        return answer.json()


@pytest.fixture(scope="module", params=[(), ("--no-fast-lane",)], ids=["fast lane", "aiohttp alone"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with Server(tmp_path_factory.mktemp("tokens") / "data", *request.param) as server:
        office = Office(server)
        for bucket in ("web-1", "desk-1"):
            assert office.ask(office.owner, "POST", f"/buckets/{bucket}", WATCHER).status == 200
        yield office
        written = [server.log_text(), json.dumps(office.ask(office.owner, "GET", "/log").json())]
        written += [office.ask(office.owner, "GET", path).body.decode() for path in ("/export", "/tokens", "/settings")]
        assert not any(secret in text for secret in office.secrets for text in written)
        assert "canary-of-the-data" not in server.log_text()
        files = b"".join(path.read_bytes() for path in server.data_dir.glob("*.mdb"))
        assert not any(secret.encode() in files for secret in office.secrets), "only hashes are kept"


def line(bucket: str, second: int = 0) -> dict[str, Any]:
    return {"bucket": bucket, "pulsetime": 1, "event": {**BEAT, "timestamp": f"2024-05-01T11:00:{second:02}Z"}}


def test_an_append_only_token_sends_and_reads_nothing_back(office: Office) -> None:
    """It makes its buckets, and gets its own acknowledgements."""
    secret, _ = office.make("append:phone-*")
    assert office.ask(secret, "POST", "/buckets/phone-1", WATCHER).status == 200
    assert office.ask(secret, "POST", "/buckets/phone-1", WATCHER).status == 304
    beat = office.ask(secret, "POST", "/buckets/phone-1/heartbeat?pulsetime=5", BEAT)
    assert (beat.status, beat.json()["duration"]) == (200, 1.0)
    assert office.ask(secret, "POST", "/buckets/phone-1/events", [BEAT]).status == 200
    assert office.stream(secret, line("phone-1"))["inserted"] == 1
    for method, path in [
        ("GET", "/buckets"),
        ("GET", "/buckets/phone-1"),
        ("GET", "/buckets/phone-1/events"),
        ("GET", "/buckets/phone-1/events/count"),
        ("GET", f"/buckets/phone-1/events/{beat.json()['id']}"),
        ("GET", "/buckets/phone-1/export"),
        ("GET", "/export"),
        ("DELETE", "/buckets/phone-1?force=1"),
        ("DELETE", f"/buckets/phone-1/events/{beat.json()['id']}"),
    ]:
        check_error(office.ask(secret, method, path), 403, "Forbidden")
    query = {"query": ["RETURN = 1;"], "timeperiods": PERIODS}
    check_error(office.ask(secret, "POST", "/query", query), 403, "Forbidden")
    check_error(office.ask(secret, "POST", "/buckets/phone-1/heartbeat?pulsetime=x", BEAT), 400, "BadRequest")


def test_a_stored_event_is_replaced_only_by_who_may_write(office: Office) -> None:
    """Also when there is no such event: the answer would tell. One id among many is enough."""
    office.ask(office.owner, "POST", "/buckets/edit-1", WATCHER)
    stored = office.ask(office.owner, "POST", "/buckets/edit-1/events", BEAT).json()
    appends, _ = office.make("append:edit-*")
    writes, _ = office.make("write:edit-*")
    changed = {**BEAT, "id": stored["id"], "duration": 9}
    for body in (changed, [BEAT, changed], {**BEAT, "id": 1}):
        check_error(office.ask(appends, "POST", "/buckets/edit-1/events", body), 403, "Forbidden")
    assert office.ask(office.owner, "GET", "/buckets/edit-1/events").json() == [stored]
    assert office.ask(appends, "POST", "/buckets/edit-1/events", {**BEAT, "id": None}).status == 200
    assert office.ask(writes, "POST", "/buckets/edit-1/events", changed).json()["duration"] == 9.0


def test_a_list_of_buckets_and_a_query_show_what_may_be_read(office: Office) -> None:
    """A bucket that may not be read is not there; what one token was answered is not what another one is."""
    web, _ = office.make("read:web-*")
    both, _ = office.make("read:web-*", "read:desk-*")
    assert list(office.ask(web, "GET", "/buckets").json()) == ["web-1"]
    assert list(office.ask(both, "GET", "/buckets").json()) == ["web-1", "desk-1"]
    find = {"query": ['RETURN = find_bucket("desk");'], "timeperiods": PERIODS}
    read = {"query": ['RETURN = query_bucket("desk-1");'], "timeperiods": PERIODS}
    for body in (find, read):
        assert office.ask(both, "POST", "/query", body).status == 200
        missing = {"query": [body["query"][0].replace("desk", "nowhere")], "timeperiods": PERIODS}
        unknown = check_error(office.ask(web, "POST", "/query", missing), 400)["message"]
        hidden = check_error(office.ask(web, "POST", "/query", body), 400)["message"]
        assert hidden.replace("desk", "nowhere") == unknown
        assert office.ask(both, "POST", "/query", body).status == 200


def test_each_line_of_a_stream_needs_its_bucket(office: Office) -> None:
    """A line that may not be sent is named, and stops no other; nothing is told of a bucket that is not there."""
    secret, _ = office.make("append:web-*")
    taken = office.stream(secret, line("web-1"), line("desk-1"), line("nowhere"), line("web-1", 10))
    assert (taken["inserted"], taken["refused_count"]) == (2, 2)
    assert [(refused["line"], refused["type"]) for refused in taken["refused"]] == [(2, "Forbidden"), (3, "Forbidden")]
    assert office.ask(office.owner, "GET", "/buckets/desk-1/events/count").body == b"0"


def test_a_producers_number_is_moved_by_its_own_token_only(office: Office) -> None:
    """Else a stranger could make a phone believe that its lines are here."""
    mine, _ = office.make("append:web-*")
    other, _ = office.make("append:web-*")
    numbered = {"Awlog_Producer": "phone", "Awlog_Sequence": "1"}
    assert office.stream(other, line("web-1", 20), **numbered)["duplicates"] == 0
    assert office.stream(mine, line("web-1", 30), **numbered)["duplicates"] == 0
    assert office.stream(mine, line("web-1", 30), **numbered)["duplicates"] == 1


def beat_bytes(bucket: str, secret: str) -> bytes:
    body = json.dumps(BEAT).encode()
    headers = (JSON, f"Authorization: Bearer {secret}")
    return request_bytes("POST", f"/api/0/buckets/{bucket}/heartbeat?pulsetime=5", *headers, body=body)


def test_a_kept_connection_is_good_for_its_tokens_buckets_and_until_it_is_revoked(office: Office) -> None:
    """The fast lane knows the headers by sight; another bucket, another token and a revocation are not in them."""
    secret, token_id = office.make("append:web-*")
    with Wire(office.server) as wire:
        for bucket, status in [("web-1", 200), ("web-1", 200), ("desk-1", 403), ("web-1", 200), ("nowhere", 403)]:
            wire.send(beat_bytes(bucket, secret))
            assert wire.answer().status == status
        wire.send(beat_bytes("web-1", secret + "x"))
        assert wire.answer().status == 401
        wire.send(beat_bytes("web-1", secret))
        assert wire.answer().status == 200
        assert office.ask(office.owner, "DELETE", f"/tokens/{token_id}").status == 200
        wire.send(beat_bytes("web-1", secret))
        check_error(wire.answer(), 401, "Unauthorized")


async def test_a_stream_ends_with_its_token(office: Office):
    """What was sent before is acknowledged; what comes after the revocation is not taken, and the error says why."""
    secret, token_id = office.make("append:web-*")
    url, headers = f"{office.server.url}/api/0/stream", {"Authorization": f"Bearer {secret}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(url, protocols=[PROTOCOL]) as opened,
    ):
        socket = Socket(opened)
        await socket.send(line("web-1", 40))
        await socket.acknowledged(1)
        await asyncio.to_thread(office.ask, office.owner, "DELETE", f"/tokens/{token_id}")
        await socket.send(line("web-1", 50))
        assert (await socket.receive())["type"] == "Unauthorized"
        assert await socket.close_code() == 1008
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url, protocols=[PROTOCOL], headers=headers)


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/tokens", "application/json", b'{"name": "made too late", "scopes": ["admin"]}'),
        ("/settings/late", "application/json", b'["a longer value"]'),
        ("/import", "application/json", b'{"buckets": {"late": {"type": "t", "client": "c", "hostname": "h"}}}'),
        (
            "/import",
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n'
            b'{"buckets": {"late": {"type": "t", "client": "c", "hostname": "h"}}}\r\n--b--\r\n',
        ),
    ],
    ids=["a token", "a setting", "an import", "an import by form"],
)
def test_a_body_that_ends_after_its_token_does_nothing(office: Office, path: str, kind: str, body: bytes) -> None:
    """Whoever has begun a request with a token that is revoked then gets nothing for the rest: no other token either."""
    secret, token_id = office.make("admin")
    request = request_bytes(
        "POST", f"/api/0{path}", f"Authorization: Bearer {secret}", f"Content-Type: {kind}", body=body
    )
    with Wire(office.server) as wire:
        wire.send(request[:-5])
        time.sleep(0.1)  # so that it is let in: what comes later is not read at all
        assert office.ask(office.owner, "DELETE", f"/tokens/{token_id}").status == 200
        wire.send(request[-5:])
        check_error(wire.answer(), 401, "Unauthorized")
    names = [each["name"] for each in office.ask(office.owner, "GET", "/tokens").json()["tokens"]]
    assert "made too late" not in names
    assert "late" not in office.ask(office.owner, "GET", "/settings").json()
    assert "late" not in office.ask(office.owner, "GET", "/buckets/").json()


async def test_a_token_that_may_read_follows_by_websocket_and_sends_nothing(office: Office):
    """It is told the changes of its buckets. Lines and a hello are refused, whatever they say; one that may append only
    does not follow.
    """
    url = f"{office.server.url}/api/0/stream"
    reader, sender = office.make("read:web-*")[0], office.make("append:web-*")[0]
    count = office.ask(office.owner, "GET", "/buckets/web-1/events/count").body
    for secret, message in (
        (reader, line("web-1", 30)),
        (reader, {"producer": "p"}),
        (reader, {"producer": "p", "sequence": 1}),
        (sender, {"follow": {"since": 0}}),
    ):
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}"}) as session,
            session.ws_connect(url, protocols=[PROTOCOL]) as opened,
        ):
            socket = Socket(opened)
            await socket.send(message)
            assert (await socket.receive())["type"] == "Forbidden"
            assert await socket.close_code() == 1008
    assert office.ask(office.owner, "GET", "/buckets/web-1/events/count").body == count
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {reader}"}) as session,
        session.ws_connect(url, protocols=[PROTOCOL]) as opened,
    ):
        socket = Socket(opened)
        await socket.send({"follow": {}})
        assert (await socket.receive())["kind"] == "position"
        for bucket in ("desk-1", "web-1"):
            await asyncio.to_thread(office.stream, office.owner, line(bucket, 57))
        await socket.send(line("web-1", 59))
        while (told := await socket.receive())["kind"] == "position":
            pass
        assert (told["kind"], told["bucket"]) == ("event", "web-1")
    last = office.ask(office.owner, "GET", "/buckets/web-1/events?limit=1").json()[0]
    assert last["timestamp"] == "2024-05-01T11:00:57+00:00"


METADATA = {"type": "t", "client": "c", "hostname": "h", "created": "2026-01-01T00:00:00+00:00"}


def test_a_token_pushes_for_one_device_and_a_device_has_one_token(office: Office) -> None:
    """The first push binds it; another token cannot take the device's place, nor learn where it is."""

    def pushed(secret: str, device: str, after: int, to: int) -> tuple[int, int]:
        hello = office.server.request(
            "POST", "/api/1/push/hello", {"device": device}, headers={"Authorization": f"Bearer {secret}"}
        )
        body = {"device": device, "epoch": 1, "from": after, "to": to, "metadata": METADATA, "items": []}
        push = office.server.request(
            "POST", f"/api/1/push/{device}-notes", body, headers={"Authorization": f"Bearer {secret}"}
        )
        return hello.status, push.status

    (laptop, laptop_id), (phone, _) = office.make("write"), office.make("write")
    assert pushed(laptop, "laptop", 0, 5) == (200, 200)
    assert pushed(phone, "laptop", 5, 9) == (403, 403)
    assert pushed(laptop, "phone", 0, 5) == (403, 403)
    assert pushed(phone, "phone", 0, 5) == (200, 200)
    assert pushed(phone, "laptop", 5, 9) == (403, 403)
    assert pushed(laptop, "laptop", 5, 6) == (200, 200), "nothing was moved"
    assert pushed(office.make("write", device="laptop")[0], "laptop", 6, 7) == (200, 200), "an admin says so"
    assert pushed(office.make("write", device="tablet")[0], "laptop", 7, 8) == (403, 403)
    assert pushed(office.owner, "laptop", 7, 8) == (200, 200)
    shown = {each["id"]: each["device"] for each in office.ask(office.owner, "GET", "/tokens").json()["tokens"]}
    assert shown[laptop_id] == "laptop"
    lost, lost_id = office.make("write")
    assert pushed(lost, "tablet-2", 0, 1) == (200, 200)
    office.ask(office.owner, "DELETE", f"/tokens/{lost_id}")
    assert pushed(office.make("write")[0], "tablet-2", 1, 2) == (200, 200), "a device gets a new one"


def test_admins_see_tokens_without_their_secrets(office: Office) -> None:
    """By the API as by the command."""
    _, token_id = office.make("read:web-*", "append", name="web", expires="2999-01-01T00:00:00Z")
    known = office.ask(office.owner, "GET", "/tokens").json()
    assert known["required"] is True
    (token,) = [each for each in known["tokens"] if each["id"] == token_id]
    assert token.pop("created")
    assert token == {
        "id": token_id,
        "name": "web",
        "scopes": ["read:web-*", "append"],
        "expires": "2999-01-01T00:00:00+00:00",
        "last_used": None,
        "device": None,
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scopes": []},
        {"scopes": "read"},
        {"scopes": ["reed"]},
        {"scopes": ["read:web"]},
        {"scopes": ["read"], "expires": "yesterday"},
        {"scopes": ["read"], "expires": "2020-01-01T00:00:00Z"},
        {"scopes": ["read"], "name": "a\nb"},
    ],
)
def test_a_token_that_means_nothing_is_refused(office: Office, body: Any) -> None:
    before = office.ask(office.owner, "GET", "/tokens").json()
    check_error(office.ask(office.owner, "POST", "/tokens", body), 400, "BadRequest")
    assert len(office.ask(office.owner, "GET", "/tokens").json()["tokens"]) == len(before["tokens"])


@pytest.mark.parametrize("token_id", ["0" * 12, "x", "a%2Fb", "%00", "é"])
def test_a_token_that_is_not_there_cannot_be_revoked(office: Office, token_id: str) -> None:
    path = token_id if token_id.isascii() else "%C3%A9"
    answer = office.ask(office.owner, "DELETE", f"/tokens/{path}")
    assert answer.status == 404
    assert strict_json(answer.body)["type"] == "NoSuchToken"


def test_a_dropped_heartbeat_shows_no_record_of_others_to_who_may_not_read(office: Office) -> None:
    """It is answered with the tail record only where that may be read; else as it was sent, without an id."""
    office.ask(office.owner, "POST", "/buckets/drop-1", WATCHER)
    appends, _ = office.make("append:drop-*")
    both, _ = office.make("append:drop-*", "read:drop-*")
    tail = office.ask(office.owner, "POST", "/buckets/drop-1/heartbeat?pulsetime=5", BEAT).json()
    rule = {"enabled": True, "field": "title", "pattern": "bank", "action": "drop", "bucket_prefix": "drop-"}
    assert office.ask(office.owner, "POST", "/settings/privacy_filters", [rule]).status == 200
    sent = {"timestamp": "2024-05-01T10:00:09+00:00", "duration": 1.0, "data": {"title": "bank"}}
    for secret, told in ((appends, sent), (both, tail), (office.owner, tail)):
        for _ in range(2):
            assert office.ask(secret, "POST", "/buckets/drop-1/heartbeat?pulsetime=5", sent).json() == told
    office.ask(office.owner, "DELETE", "/settings/privacy_filters")


def test_stored_privacy_filters_are_shown_to_who_may_read_settings(office: Office) -> None:
    """A preview of rules that are given needs no more than buckets that may be read."""
    rule = {"enabled": True, "field": "title", "pattern": "canary-of-a-rule", "action": "drop"}
    assert office.ask(office.owner, "POST", "/settings/privacy_filters", [rule]).status == 200
    limited, _ = office.make("read:web-*")
    reads, _ = office.make("read")
    assert office.ask(limited, "POST", "/privacy/preview", {"rules": [rule]}).status == 200
    for body in ({}, {"rules": None}):
        check_error(office.ask(limited, "POST", "/privacy/preview", body), 403, "Forbidden")
    assert b"canary-of-a-rule" in office.ask(reads, "POST", "/privacy/preview", {}).body
    office.ask(office.owner, "DELETE", "/settings/privacy_filters")


def test_server_sent_events_are_broken_off_when_their_token_is_revoked(office: Office) -> None:
    """Nothing more is told, and no second answer lies in the middle of the first."""
    secret, token_id = office.make("read:web-*")
    with Wire(office.server) as wire:
        wire.send(
            b"GET /api/0/changes HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            b"Authorization: Bearer %b\r\n\r\n" % secret.encode()
        )
        told = wire.until(b"still here\n\n\r\n")
        assert told.startswith(b"HTTP/1.1 200 ")
        office.ask(office.owner, "DELETE", f"/tokens/{token_id}")
        beat = {**BEAT, "timestamp": "2024-05-01T12:00:00Z"}
        assert office.ask(office.owner, "POST", "/buckets/web-1/heartbeat?pulsetime=0", beat).status == 200
        with suppress(ConnectionResetError):
            assert wire.received + wire.socket.recv(65536) == b""
