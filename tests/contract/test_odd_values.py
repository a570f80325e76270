"""C7: what was accepted can be read. Odd values into every write route, then strict JSON from every read route."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.wire import Api, at, q, strict_json
from tests.server import Server

# Fragments of JSON, or of what pretends to be JSON. Some are refused, some are taken; none may do harm.
ODD = [
    b"null",
    b"true",
    b"0",
    b"-0",
    b"-0.0",
    b"1e-400",
    b"5e-324",
    b"1e308",
    b"1e400",
    b"-1e999",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"9007199254740991",
    b"9007199254740992",
    b"9007199254740993",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"1" * 400,
    b"7" * 4300,
    b"7" * 4301,
    b"7" * 5000,
    b"0." + b"3" * 5000,
    b"1" * 300 + b".5e-10",
    b'""',
    b'" "',
    b'"0001-01-01T00:00:00Z"',
    b'"0001-01-01T00:00:00+14:00"',
    b'"0001-01-01T00:00:00-14:00"',
    b'"9999-12-31T23:59:59.999999Z"',
    b'"9999-12-31T23:59:59.9999999Z"',
    b'"9999-12-31T23:59:59+14:00"',
    b'"9999-12-31T23:59:59-14:00"',
    b'"2024-05-01T10:00:00.999999999999Z"',
    rb'"\ud83d"',
    rb'"\ude00\ud83d"',
    rb'"\u0000"',
    rb'"a\u0000b\u001f\u007f"',
    rb'"\u2028\u2029\ufeff\ufffe\uffff"',
    b'"\xff"',
    b'"\xed\xa0\xbd"',
    '"\U0001f600 ä \u202e \U0010ffff"'.encode(),
    b'"</script><script>"',
    b'"' + b"x" * 70_000 + b'"',
    b"[]",
    b"[[[[[[]]]]]]",
    b"[" * 450 + b"]" * 450,
    b"[" * 600 + b"]" * 600,
    b"[" * 100_000 + b"]" * 100_000,
    b"{}",
    b'{"": {"": {"": null}}}',
    b'{"a": 1, "a": 2, "a": {"a": 3, "a": 4}}',
    rb'{"\ud83d": 1, "\ude00": 2, "\u0000": 3}',
    b'{"a":' * 450 + b"1" + b"}" * 450,
    b'{"a":' * 600 + b"1" + b"}" * 600,
    b'{"$ref": "#", "__proto__": {"a": 1}, "constructor": null}',
]
STAMP = b'"2024-05-01T10:00:00Z"'
WATCHER = b'"type": "t", "client": "c", "hostname": "h"'


def bodies(odd: bytes, event_id: bytes) -> Iterator[tuple[str, str, bytes]]:
    """The odd value in each place of each write: method, path below /api/0 for bucket `b`, body."""
    events = [
        b'{"timestamp": %s, "data": {}}' % odd,
        b'{"timestamp": %s, "duration": %s}' % (STAMP, odd),
        b'{"timestamp": %s, "data": %s}' % (STAMP, odd),
        b'{"timestamp": %s, "data": {"v": %s}}' % (STAMP, odd),
        b'{"timestamp": %s, "data": {"v": [{"w": %s}]}}' % (STAMP, odd),
        b'{"timestamp": %s, "id": %s, "data": {"v": 1}}' % (STAMP, odd),
        b'{"timestamp": %s, "id": %s, "data": {"v": %s}}' % (STAMP, event_id, odd),
        b'{"timestamp": %s, "unknown": %s}' % (STAMP, odd),
        odd,
    ]
    for number, body in enumerate(events):
        yield "POST", "/buckets/b/events", body
        yield "POST", "/buckets/b/events", b"[%s]" % body
        yield "POST", "/buckets/b/heartbeat?pulsetime=60", body
        yield "POST", "/import", b'{"buckets": {"in%d": {%s, "events": [%s]}}}' % (number, WATCHER, body)
    for field in (b"type", b"client", b"hostname", b"name", b"data", b"created", b"unknown", b"id"):
        fields = b'{%s, "%s": %s}' % (WATCHER, field, odd)
        yield "POST", f"/buckets/new-{field.decode()}", fields
        yield "PUT", "/buckets/b", b'{"%s": %s}' % (field, odd)
        yield "POST", "/import", b'{"buckets": {"key-%s": %s}}' % (field, fields)
    yield "POST", "/buckets/new", odd
    yield "PUT", "/buckets/b", odd
    yield "POST", "/settings/odd", odd
    yield "POST", "/settings/odd2", b'{"v": [%s]}' % odd
    yield "POST", "/import", odd
    yield "POST", "/import", b'{"buckets": %s}' % odd


def read_all(api: Api) -> None:
    """Every read route, for every bucket and every event, is a 200 in strict JSON."""
    for path in ("/info", "/log", "/settings", "/settings/odd", "/settings/odd2", "/export"):
        api.get(path)
    buckets = api.get("/buckets/")
    for bucket in buckets:
        path = f"/buckets/{q(bucket)}"
        assert api.get(path) == buckets[bucket]
        events = api.events(bucket)
        assert api.count(bucket) == len(events)
        assert len(api.get(f"{path}/export")["buckets"][bucket]["events"]) == len(events)
        assert len(api.events(bucket, start="0001-01-01", end="9999-12-31T23:59:59.999999Z", limit=-1)) == len(events)
        api.events(bucket, start=at("10:00:00"), end=at("10:00:00"))
        for one in events[:3]:
            assert api.get(f"{path}/events/{one['id']}") == one


@pytest.fixture(scope="module")
def odd_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Server(tmp_path_factory.mktemp("odd") / "data") as server:
        yield Api(server)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd[:24].decode("latin-1")))
def test_what_was_accepted_can_be_read(odd_api: Api, odd: bytes) -> None:
    """Each write is a 2xx, a 304 or a 4xx; whatever it was, all reads go on. What was accepted is not changed by a read."""
    odd_api.call("POST", "/buckets/b", b"{%s}" % WATCHER)
    stored = odd_api.post("/buckets/b/events", b'{"timestamp": %s}' % STAMP)
    for method, path, body in bodies(odd, str(stored["id"]).encode()):
        answer = odd_api.call(method, path, body)
        assert answer.status in {200, 304, 400}, (method, path, body[:100], answer.body[:100])
        if answer.status != 304:
            strict_json(answer.body)
    read_all(odd_api)
    for bucket in odd_api.get("/buckets/"):
        odd_api.ok("DELETE", f"/buckets/{q(bucket)}")


def test_what_was_accepted_can_be_read_after_a_restart(tmp_path: Path) -> None:
    """Everything is as it was. Every seventh of the requests above, of all kinds."""
    with Server(tmp_path / "data") as server:
        api = Api(server)
        api.post("/buckets/b", b"{%s}" % WATCHER)
        stored = api.post("/buckets/b/events", b'{"timestamp": %s}' % STAMP)
        requests = [made for odd in ODD if len(odd) < 50_000 for made in bodies(odd, str(stored["id"]).encode())]
        for method, path, body in requests[::7]:
            api.call(method, path, body)
        before = api.everything()
        server.kill()
        server.start()
        read_all(api)
        assert api.everything() == before


@pytest.mark.parametrize(
    "odd", ["%00", "%0a", "%ff", "%ed%a0%bd", "%f0%9f%98%80", "%2e%2e", "%25", "a" * 3000, "%22%7b%7d", "%e2%80%ae"]
)
def test_odd_names_in_a_path_do_no_harm(odd_api: Api, odd: str) -> None:
    """As a bucket, a setting, an event; in a query string as well."""
    made = b"{%s}" % WATCHER
    event = b'{"timestamp": %s}' % STAMP
    requests = [
        ("POST", f"/buckets/{odd}", made),
        ("PUT", f"/buckets/{odd}", made),
        ("POST", f"/buckets/{odd}/events", event),
        ("POST", f"/buckets/{odd}/heartbeat?pulsetime={odd}", event),
        ("POST", f"/buckets/{odd}/heartbeat?pulsetime=1&x={odd}", event),
        ("POST", f"/settings/{odd}", b"1"),
    ]
    for method, path, body in requests:
        assert odd_api.call(method, path, body).status in {200, 304, 400, 404}
    for path in (
        f"/buckets/{odd}",
        f"/buckets/{odd}/events?limit={odd}",
        f"/buckets/{odd}/events?start={odd}&end={odd}",
        f"/buckets/{odd}/events/{odd}",
        f"/buckets/{odd}/events/count?starttime={odd}",
        f"/buckets/{odd}/export",
        f"/settings/{odd}",
        f"/{odd}",
    ):
        assert odd_api.call("GET", path).status in {200, 400, 404}
    read_all(odd_api)
    assert json.loads(odd_api.call("DELETE", f"/buckets/{odd}/events/{odd}").body) is not None
    odd_api.call("DELETE", f"/settings/{odd}")
    odd_api.call("DELETE", f"/buckets/{odd}?force={odd}")
