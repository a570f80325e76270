"""Section 3: refusals, their bodies, and the order in which a request is checked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.wire import LEAKS, WATCHER, Api, Wire, at, check_error, event, exchange, request_bytes
from tests.server import Server

JSON = "Content-Type: application/json"
EVIL = "Origin: https://evil.example"
READ = {"GET", "HEAD"}
# Every path of the API below /api/0, and the methods it knows. `{b}` is a bucket, `{e}` one of its events.
ROUTES: dict[str, set[str]] = {
    "/info": READ,
    "/buckets": READ,
    "/buckets/": READ,
    "/buckets/{b}": READ | {"POST", "PUT", "DELETE"},
    "/buckets/{b}/events": READ | {"POST"},
    "/buckets/{b}/events/count": READ,
    "/buckets/{b}/events/{e}": READ | {"DELETE"},
    "/buckets/{b}/heartbeat": {"POST"},
    "/buckets/{b}/heartbeats": {"POST"},
    "/heartbeats": {"POST"},
    "/stream": READ,
    "/buckets/{b}/export": READ,
    "/export": READ,
    "/import": {"POST"},
    "/settings/{b}": READ | {"POST", "DELETE"},
    "/log": READ,
    "/openapi.json": READ,
    "/buckets/{b}/delete": {"POST"},
    "/forget": {"POST"},
    "/privacy/preview": {"POST"},
    "/privacy/apply": {"POST"},
    "/retention": READ,
    "/retention/preview": {"POST"},
    "/retention/run": {"POST"},
    "/jobs": READ,
    "/admin/backup": {"POST"},
    "/admin/compact": {"POST"},
}
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("route", ROUTES)
def test_a_method_that_a_path_does_not_know_is_405_with_the_ones_it_does(
    api: Api, bucket: str, route: str, method: str
) -> None:
    """`Allow` names them all, `OPTIONS` besides at most."""
    (stored,) = api.insert(bucket, event("10:00:00"))
    path = "/api/0" + route.format(b=bucket, e=stored["id"])
    answer = exchange(api.server, method, path, JSON, body=b"{}")
    if method in ROUTES[route]:
        assert answer.status not in {404, 405}
        return
    assert answer.status == 405
    assert {word.strip() for word in answer.headers["Allow"].split(",")} - {"OPTIONS"} == ROUTES[route]
    if method != "HEAD":
        check_error(answer, 405, "MethodNotAllowed")
    assert api.events(bucket) == [stored]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/1/info",
        "/api/00/info",
        "/api/info",
        "/api/0/nowhere",
        "/api/0/Info",
        "/api/0/infox",
        "/api/0/info/x",
        "/api/0/buckets/x/nowhere",
        "/api/0/buckets/x/events/1/2",
        "/api/0/buckets/x/events/count/x",
        "/api/0/buckets/x/heartbeat/x",
        "/api/0/buckets/x/export/x",
        "/api/0/settings/a/b",
        "/api/0/export/x",
        "/api/0/import/x",
        "/api/0/log/x",
        "/api/0/index.html",
        "/api/index.html",
    ],
)
def test_an_unknown_path_below_api_is_404_whatever_the_method(api: Api, path: str, method: str) -> None:
    """With a JSON body, not with a page."""
    check_error(exchange(api.server, method, path, JSON, body=b"{}"), 404, "NotFound")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", ()),
        ("PUT", "", ({"type": "x"},)),
        ("DELETE", "", ()),
        ("DELETE", "?force=1", ()),
        ("GET", "/events", ()),
        ("GET", "/events?limit=5", ()),
        ("GET", "/events/count", ()),
        ("GET", "/events/1", ()),
        ("DELETE", "/events/1", ()),
        ("POST", "/events", ([],)),
        ("POST", "/events", (event("10:00:00"),)),
        ("POST", "/events", ([event("10:00:00")],)),
        ("POST", "/heartbeat?pulsetime=1", (event("10:00:00"),)),
        ("GET", "/export", ()),
    ],
)
def test_an_unknown_bucket_is_404_and_is_not_made_on_the_way(
    api: Api, name: str, method: str, path: str, body: tuple[Any, ...]
) -> None:
    error = api.refused(method, f"/buckets/{name}{path}", *body, status=404, word="NoSuchBucket")
    assert name in error["message"]
    assert name not in api.get("/buckets/")


# What is checked first is what is answered: each request below is wrong in the way named and in all ways further down.
ORDER: list[tuple[str, str, str, tuple[str, ...], bytes, str, int, str]] = [
    ("host", "POST", "/api/0/nowhere", (EVIL,), b"{", "evil.example", 400, "HostNotAllowed"),
    ("origin", "POST", "/api/0/nowhere", (EVIL,), b"{", "localhost", 403, "OriginNotAllowed"),
    ("route", "PATCH", "/api/0/nowhere", (), b"{", "localhost", 404, "NotFound"),
    ("method", "PATCH", "/api/0/buckets/unknown/events", (), b"{", "localhost", 405, "MethodNotAllowed"),
    ("type", "POST", "/api/0/buckets/unknown/events", (), b"{", "localhost", 415, "UnsupportedMediaType"),
    ("body", "POST", "/api/0/buckets/unknown/events", (JSON,), b"{", "localhost", 400, "BadRequest"),
    ("body", "POST", "/api/0/buckets/unknown/events", (JSON,), b'[{"timestamp": 1}]', "localhost", 400, "BadRequest"),
    ("body", "POST", "/api/0/buckets/unknown/heartbeat?pulsetime=1", (JSON,), b"[]", "localhost", 400, "BadRequest"),
    ("body", "PUT", "/api/0/buckets/unknown", (JSON,), b'{"type": 1}', "localhost", 400, "BadRequest"),
    ("bucket", "POST", "/api/0/buckets/unknown/events", (JSON,), b"[]", "localhost", 404, "NoSuchBucket"),
    ("bucket", "PUT", "/api/0/buckets/unknown", (JSON,), b"{}", "localhost", 404, "NoSuchBucket"),
]


@pytest.mark.parametrize(("what", "method", "path", "headers", "body", "host", "status", "word"), ORDER)
def test_the_checks_run_in_one_order(
    server: Server,
    what: str,
    method: str,
    path: str,
    headers: tuple[str, ...],
    body: bytes,
    host: str,
    status: int,
    word: str,
) -> None:
    """Host, preflight, key, origin, route, method, content type, body, bucket."""
    check_error(exchange(server, method, path, *headers, body=body, host=host), status, word)


def test_the_host_is_checked_before_a_preflight(server: Server) -> None:
    asked = ("Origin: http://localhost:27180", "Access-Control-Request-Method: POST")
    answer = exchange(server, "OPTIONS", "/api/0/info", *asked, host="evil.example")
    check_error(answer, 400, "HostNotAllowed")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_bad_body_for_a_bucket_that_is_there_is_a_400_and_no_304(api: Api, bucket: str) -> None:
    api.refused("POST", f"/buckets/{bucket}", {"type": 1}, word="BadRequest")
    api.refused("POST", f"/buckets/{bucket}", b"{", word="BadRequest")


@pytest.mark.parametrize(
    "body", [b"null", b"true", b"0", b"1.5", b'""', b'"text"', b"[null]", b"[1]", b'["x"]', b"[[]]", b"[[{}]]"]
)
def test_a_body_of_the_wrong_type_is_refused(api: Api, bucket: str, body: bytes) -> None:
    """By every write but that of a setting, which may be any value."""
    for method, path in [
        ("POST", f"/buckets/{bucket}-new"),
        ("PUT", f"/buckets/{bucket}"),
        ("POST", f"/buckets/{bucket}/events"),
        ("POST", f"/buckets/{bucket}/heartbeat?pulsetime=1"),
        ("POST", "/import"),
    ]:
        api.refused(method, path, body, word="BadRequest")
    assert api.events(bucket) == []


def test_a_refusal_leaves_the_connection_in_order(server: Server, api: Api, bucket: str) -> None:
    """One after the other on one connection: refused, refused, served."""
    target = f"/api/0/buckets/{bucket}/events"
    with Wire(server) as wire:
        wire.send(request_bytes("POST", target, JSON, body=b"{"))
        check_error(wire.answer(), 400)
        wire.send(request_bytes("POST", target, "Content-Type: text/plain", body=b"x" * 50_000))
        check_error(wire.answer(), 415)
        wire.send(request_bytes("GET", "/api/0/nowhere"))
        check_error(wire.answer(), 404)
        wire.send(request_bytes("POST", target, JSON, body=json.dumps([event("10:00:00")]).encode()))
        assert wire.answer().status == 200
    assert api.count(bucket) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\xff\xfe random bytes \r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /api/0/info\r\n\r\n",
        b"GET /api/0/info HTTP/9.9\r\n\r\n",
        b"GET /api/0/info HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /api/0/info HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /api/0/info HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /api/0/import HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
    ids=lambda raw: ascii(raw[:40]),
)
def test_what_is_no_http_is_refused_and_the_server_goes_on(server: Server, api: Api, raw: bytes) -> None:
    """With some 4xx or a closed connection, and without telling anything of the inside."""
    with Wire(server) as wire:
        wire.send(raw)
        received = wire.finish()
    assert received == b"" or received.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert not LEAKS.search(received.decode("latin-1"))
    assert api.get("/info")["testing"] is True


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /api/0/info?canary-7f3a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer canary-7f3a\x01\r\n\r\n",
        b"canary-7f3a / HTTP/9.9\r\n\r\n",
        b"POST /api/0/import HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\ncanary-7f3a\r\n",
    ],
    ids=["a header", "the first line", "the body"],
)
def test_what_is_no_http_is_not_quoted(server: Server, raw: bytes) -> None:
    """S5, S13: it may hold a token or recorded data. The answer has the form of every other error."""
    with Wire(server) as wire:
        wire.send(raw)
        answer = wire.answer()
    check_error(answer, 400, "BadRequest")
    assert b"canary" not in answer.body


@pytest.mark.parametrize("secret", ["canary-7f3a", "<script>alert(1)</script>"])
def test_errors_do_not_repeat_recorded_data(api: Api, bucket: str, secret: str) -> None:
    """S13: a refused event is described by its place, not by its contents. A page made of an error runs nothing."""
    bad = {"timestamp": "never", "data": {"title": secret}}
    assert secret not in json.dumps(api.refused("POST", f"/buckets/{bucket}/events", [bad]))
    bad = {"timestamp": at("10:00:00"), "duration": "x", "data": {"title": secret}}
    assert secret not in json.dumps(api.refused("POST", f"/buckets/{bucket}/heartbeat?pulsetime=1", bad))
    made = {**WATCHER, "events": [{"data": {"title": secret}}]}
    assert secret not in json.dumps(api.refused("POST", "/import", {"buckets": {"x": made}}))
    answer = api.call("GET", "/buckets/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    check_error(answer, 404, "NoSuchBucket")
