"""S13: what was recorded, and how it was asked for, stays out of the log: with every format, at the highest level."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any
from urllib.parse import quote

import pytest

from tests.server import Server

FIELDS = {"type": "t", "client": "c", "hostname": "h"}


class Canaries:
    """Texts that occur nowhere else: each one names the place into which it was put."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def __call__(self, place: str) -> str:
        text = f"canary{len(self.sent)}in{place.replace(' ', '')}"
        self.sent.append(text)
        return text


def event(text: str, **more: Any) -> dict[str, Any]:
    return {"timestamp": "2024-05-01T10:00:00Z", "duration": 1, "data": {text: {"title": text}}, **more}


def post_everywhere(server: Server, canary: Canaries) -> set[int]:
    """Sends a canary to every place a client can write or ask, in requests that are served and that are refused."""
    bucket, statuses = "/api/0/buckets/b", set()
    query = {"query": [f'RETURN = "{canary("query text")}";'], "timeperiods": ["2024-05-01/2024-05-02"]}
    broken_query = {
        "query": [f'RETURN = nothing("{canary("broken query")}";'],
        "timeperiods": ["2024-05-01/2024-05-02"],
    }
    imported = {"buckets": {"c": {**FIELDS, "id": "c", "events": [event(canary("import"))]}}}
    half_import = {"buckets": {"d": {**FIELDS, "id": "d", "events": [event(canary("bad import"), duration="x")]}}}
    filters = [{"enabled": True, "pattern": canary("pattern") + "(", "action": "drop", "field": "title"}]
    requests: list[tuple[str, str, Any]] = [
        ("POST", bucket, {**FIELDS, "data": {"note": canary("bucket data")}}),
        ("PUT", bucket, {"data": {"note": canary("changed bucket data")}}),
        ("POST", f"{bucket}/events", [event(canary("events"))]),
        ("POST", f"{bucket}/events", event(canary("one event"))),
        ("POST", f"{bucket}/heartbeat?pulsetime=1&x={canary('heartbeat query')}", event(canary("heartbeat"))),
        ("POST", f"{bucket}/heartbeat?pulsetime={canary('pulsetime')}", event(canary("bad heartbeat"))),
        ("POST", f"{bucket}/events", event(canary("bad time"), timestamp=canary("timestamp"))),
        ("POST", f"{bucket}/events", event(canary("bad id"), id=canary("id"))),
        ("POST", "/api/0/buckets/absent/events", event(canary("no bucket"))),
        ("POST", "/api/0/import", imported),
        ("POST", "/api/0/import", half_import),
        ("POST", "/api/0/settings/key", {"value": canary("setting")}),
        ("POST", "/api/0/settings/privacy_filters", filters),
        ("POST", "/api/0/query/", query),
        ("POST", "/api/0/query/?name=" + canary("query name"), broken_query),
        ("GET", f"{bucket}/events?start={canary('start')}", None),
        ("GET", f"{bucket}/events?limit=1&token={canary('token in a query string')}", None),
        ("GET", f"{bucket}/events/{canary('event id')}", None),
        ("GET", f"/?token={canary('token for the page')}", None),
        ("GET", f"/api/0/nothing?{canary('unknown path query')}", None),
        ("PATCH", f"{bucket}?{canary('wrong method query')}", None),
    ]
    for method, path, body in requests:
        headers = {"Authorization": f"Bearer {canary('key')}", "Cookie": canary("cookie"), "Referer": canary("referer")}
        statuses.add(server.request(method, path, body, headers=headers).status)
    json_type = {"Content-Type": "application/json"}
    for raw in (
        b'[{"timestamp": "2024-05-01T10:00:00Z", "data": {"a": "%s"' % canary("broken JSON").encode(),
        b'{"timestamp": "2024-05-01T10:00:00Z", "data": {"%s": "\xff"}}' % canary("bad UTF-8").encode(),
        b'{"a":' * 2000 + b'"%s"' % canary("deep JSON").encode() + b"}" * 2000,
    ):
        statuses.add(server.request("POST", f"{bucket}/events", raw=raw, headers=json_type).status)
        statuses.add(server.request("POST", "/api/0/import", raw=raw, headers=json_type).status)
    statuses.add(server.request("GET", f"{bucket}/events", headers={"Host": canary("host")}).status)
    statuses.add(server.request("POST", f"{bucket}/events", event(canary("origin")), headers={"Origin": "null"}).status)
    for text in (
        f"GET /{quote(canary('garbage'))} HTTP/9.9\r\n\r\n",
        f"{canary('no method')}\r\n\r\n",
        f"POST {bucket}/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: 500\r\n\r\n[{json.dumps(canary('half a body'))}",
        f"GET /?{canary('long line')}{'x' * 20_000} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {canary('long header')}{'x' * 90_000}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {canary('length')}\r\n\r\n",
    ):
        with socket.create_connection((server.host, server.port), timeout=30) as client:
            client.sendall(text.encode())
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while client.recv(65536):
                    pass
    return statuses


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nothing_recorded_or_asked_is_in_the_log(tmp_path, log_format):
    canary = Canaries()
    server = Server(tmp_path / "data", "--log-format", log_format, "--log-level", "debug")
    with server:
        statuses = post_everywhere(server, canary)
        assert statuses >= {200, 400, 404, 405}, statuses
        assert max(statuses) < 500, statuses
        shown = server.request("GET", "/api/0/log")
        assert shown.status == 200
        assert shown.json(), "the log is empty: it proves nothing"
        server.kill()
        server.start()
        assert server.stop() == 0
    said = server.log_text()
    assert "serving" in said
    assert ('"event"' in said) == (log_format == "json"), "the log is not of the format that was asked for"
    for place, text in {"the log": said, "GET /log": shown.body.decode()}.items():
        found = [word for word in canary.sent if word in text]
        assert not found, f"{place} holds {found}:\n{text}"


def test_a_failing_disk_is_told_without_what_was_to_be_written(tmp_path):
    """The errors of the store go to the log; the file size limit makes every commit fail."""
    canary = Canaries()
    limited = ("sh", "-c", 'ulimit -f 200; exec "$@"', "sh")
    with Server(tmp_path / "data", "--log-level", "debug", "--reserve-bytes", "0", wrapper=limited) as server:
        server.request("POST", "/api/0/buckets/b", FIELDS)
        before = server.log_text()
        refused = 0
        for number in range(40):
            events = [event(f"{canary('refused')} {number} {n}") for n in range(50)]
            reply = server.request("POST", "/api/0/buckets/b/events", events)
            refused += reply.status in (503, 507)
        assert refused, "the limit was never met"
        assert server.log_text() != before
    assert not [word for word in canary.sent if word in server.log_text()]
