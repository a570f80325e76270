"""Section 1: what holds for every request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.wire import WATCHER, Api, Wire, at, check_error, event, exchange, q, request_bytes, strict_json
from tests.server import Server

JSON = "Content-Type: application/json"
EVENT = json.dumps(event("10:00:00")).encode()


def write_routes(bucket: str) -> list[tuple[str, str, Any]]:
    """Every route that reads a JSON body, with one it takes."""
    return [
        ("POST", f"/buckets/{bucket}-new", WATCHER),
        ("PUT", f"/buckets/{bucket}", {"type": "changed"}),
        ("POST", f"/buckets/{bucket}/events", [event("10:00:00")]),
        ("POST", f"/buckets/{bucket}/heartbeat?pulsetime=1", event("10:00:00")),
        ("POST", "/import", {"buckets": {f"{bucket}-in": WATCHER}}),
        ("POST", f"/settings/{bucket}", {"a": 1}),
    ]


def read_routes(bucket: str, event_id: int) -> list[str]:
    return [
        "/info",
        "/buckets",
        f"/buckets/{bucket}",
        f"/buckets/{bucket}/events",
        f"/buckets/{bucket}/events/count",
        f"/buckets/{bucket}/events/{event_id}",
        f"/buckets/{bucket}/export",
        "/export",
        "/settings",
        f"/settings/{bucket}",
        "/log",
    ]


# --- content types


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "APPLICATION/JSON",
        "Application/Json ; charset=utf-8",
        'application/json; a="b;c"',
        "application/ld+json",
        "application/vnd.api+json; profile=x",
    ],
)
def test_a_json_content_type_is_taken_with_any_parameters(api: Api, bucket: str, content_type: str) -> None:
    for method, path, body in write_routes(bucket):
        api.ok(method, path, body, content_type=content_type)
    assert api.bucket(bucket)["type"] == "changed"


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "text/json",
        "application/jsonp",
        "json",
        "text/x+json",
    ],
)
def test_any_other_content_type_is_refused(api: Api, bucket: str, content_type: str | None) -> None:
    """None at all as well. Nothing is stored."""
    for method, path, body in write_routes(bucket):
        api.refused(method, path, body, content_type=content_type, status=415, word="UnsupportedMediaType")
    assert api.events(bucket) == []
    assert api.bucket(bucket)["type"] == WATCHER["type"]
    assert api.get(f"/settings/{bucket}") is None


def test_only_import_takes_a_form(api: Api, bucket: str) -> None:
    for method, path, body in write_routes(bucket):
        if path != "/import":
            api.refused(method, path, body, content_type="multipart/form-data; boundary=x", status=415)


def test_a_write_without_a_body_is_refused(api: Api, bucket: str) -> None:
    """With the right type it is no JSON; without one it is a wrong type."""
    for method, path, _ in write_routes(bucket):
        api.refused(method, path, b"", word="BadRequest")
        api.refused(method, path, status=415, word="UnsupportedMediaType")


# --- bodies


@pytest.mark.parametrize("body", [b"{}", b"{", b"\xff\xfe", b"x" * 100_000])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
def test_the_body_of_get_and_delete_is_read_and_ignored(
    api: Api, bucket: str, body: bytes, content_type: str | None
) -> None:
    """The Python client sends `{}` with DELETE; the next request on the connection is not disturbed by it."""
    (stored,) = api.insert(bucket, event("10:00:00"))
    with Wire(api.server) as wire:
        headers = () if content_type is None else (f"Content-Type: {content_type}",)
        wire.send(request_bytes("GET", f"/api/0/buckets/{bucket}/events", *headers, body=body))
        assert strict_json(wire.answer().body) == [stored]
        wire.send(request_bytes("DELETE", f"/api/0/buckets/{bucket}/events/{stored['id']}", *headers, body=body))
        assert strict_json(wire.answer().body) == {"success": True}
        wire.send(request_bytes("DELETE", f"/api/0/settings/{bucket}", *headers, body=body))
        assert strict_json(wire.answer().body) == {}
        wire.send(request_bytes("DELETE", f"/api/0/buckets/{bucket}", *headers, body=body))
        assert strict_json(wire.answer().body) == {}
        wire.send(request_bytes("GET", "/api/0/info"))
        assert wire.answer().status == 200


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_a_chunked_body_is_put_together(server: Server, api: Api, bucket: str, piece: int) -> None:
    pieces = [EVENT[start : start + piece] for start in range(0, len(EVENT), piece)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in pieces) + b"0\r\n\r\n"
    with Wire(server) as wire:
        head = request_bytes("POST", f"/api/0/buckets/{bucket}/events", JSON, "Transfer-Encoding: chunked")
        wire.send(head, chunks)
        stored = strict_json(wire.answer().body)
        wire.send(request_bytes("GET", "/api/0/info"))
        assert wire.answer().status == 200
    assert api.events(bucket) == [stored]


def test_a_client_may_wait_to_be_asked_for_its_body(server: Server, api: Api, bucket: str) -> None:
    """`Expect: 100-continue` is answered before the body is there."""
    with Wire(server) as wire:
        head = request_bytes("POST", f"/api/0/buckets/{bucket}/events", JSON, "Expect: 100-continue", body=EVENT)
        wire.send(head[: -len(EVENT)])
        assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        wire.send(EVENT)
        stored = strict_json(wire.answer().body)
    assert api.events(bucket) == [stored]


def test_a_body_may_come_in_many_packets(server: Server, api: Api, bucket: str) -> None:
    whole = request_bytes("POST", f"/api/0/buckets/{bucket}/events", JSON, body=EVENT)
    with Wire(server) as wire:
        for offset in range(0, len(whole), 17):
            wire.send(whole[offset : offset + 17])
        stored = strict_json(wire.answer().body)
    assert api.events(bucket) == [stored]


def test_requests_sent_ahead_are_answered_in_order(server: Server, bucket: str) -> None:
    """Ten heartbeats and a read in one packet: each sees what came before it."""
    beats = [json.dumps(event(f"10:00:{second:02}")).encode() for second in range(10)]
    target = f"/api/0/buckets/{bucket}/heartbeat?pulsetime=10"
    with Wire(server) as wire:
        sent = [request_bytes("POST", target, JSON, body=beat) for beat in beats]
        wire.send(*sent, request_bytes("GET", f"/api/0/buckets/{bucket}/events"))
        answers = [strict_json(wire.answer().body) for _ in range(11)]
    assert [answer["duration"] for answer in answers[:10]] == [float(second) for second in range(10)]
    assert answers[10] == [answers[9]]


def test_a_body_of_several_megabytes_is_taken(api: Api, bucket: str) -> None:
    """Far more than the megabyte at which the HTTP library would stop."""
    body = {"timestamp": at("10:00:00"), "data": {"text": "x" * 8_000_000}}
    stored = api.post(f"/buckets/{bucket}/events", body)
    assert len(stored["data"]["text"]) == 8_000_000
    assert api.get(f"/buckets/{bucket}/events/{stored['id']}") == stored
    api.ok("DELETE", f"/buckets/{bucket}")


# --- paths and queries


def test_one_trailing_slash_is_ignored_on_every_path(server: Server, api: Api, bucket: str) -> None:
    """Answered directly and alike, by no redirect."""
    (stored,) = api.insert(bucket, event("10:00:00"))
    for path in read_routes(bucket, stored["id"]):
        plain, slashed = (exchange(server, "GET", f"/api/0{form}") for form in (path, f"{path}/"))
        assert (plain.status, slashed.status) == (200, 200), path
        if path != "/log":
            assert strict_json(plain.body) == strict_json(slashed.body)
    for path in ("/api", "/api/"):
        assert exchange(server, "GET", path).status == 200


def test_one_trailing_slash_is_ignored_on_every_write(api: Api, bucket: str) -> None:
    """Also when a query string follows it."""
    for method, path, body in write_routes(bucket):
        route, mark, query = path.partition("?")
        api.ok(method, f"{route}/{mark}{query}", body)
    assert api.count(bucket) == 1
    assert api.bucket(bucket)["type"] == "changed"
    assert api.get(f"/settings/{bucket}") == {"a": 1}
    assert api.ok("DELETE", f"/settings/{bucket}/") == {}
    assert api.get(f"/settings/{bucket}") is None
    (stored,) = api.events(bucket)
    assert api.ok("DELETE", f"/buckets/{bucket}/events/{stored['id']}/") == {"success": True}
    assert api.ok("DELETE", f"/buckets/{bucket}/") == {}


def test_two_trailing_slashes_are_one_too_many(api: Api, bucket: str) -> None:
    for path in ("/info//", f"/buckets/{bucket}//", f"/buckets/{bucket}/events//"):
        api.refused("GET", path, status=404)


def test_an_encoded_slash_belongs_to_the_name(api: Api, name: str) -> None:
    """In a bucket id and in the key of a setting."""
    assert api.post(f"/buckets/{name}%2Fevents", WATCHER) == {}
    assert api.bucket(f"{name}/events")["id"] == f"{name}/events"
    api.post(f"/settings/{name}%2Fkey%2F", [1])
    assert api.get("/settings")[f"{name}/key/"] == [1]
    assert api.get(f"/settings/{name}%2Fkey%2f") == [1]


def test_unknown_query_parameters_are_ignored(api: Api, bucket: str) -> None:
    (stored,) = api.insert(bucket, event("10:00:00"))
    for path in read_routes(bucket, stored["id"]):
        assert api.call("GET", f"{path}?_=1714557600&utm=%FF&limits=x&&=&a").status == 200
    for method, path, body in write_routes(bucket):
        api.ok(method, path + ("&" if "?" in path else "?") + "cache=0&x=%00&name=y", body)


def test_unknown_keys_in_objects_are_ignored(api: Api, bucket: str, name: str) -> None:
    """In events, buckets, heartbeats, imports."""
    extra = {"$schema": "x", "extra": {"deep": [1]}, "": None}
    (stored,) = api.insert(bucket, {**event("10:00:00"), **extra})
    assert stored.keys() == {"id", "timestamp", "duration", "data"}
    assert api.beat(bucket, {**event("10:00:00"), **extra}) == stored
    api.create(f"{name}-new", **extra)
    assert not {"extra", "", "$schema"} & api.bucket(f"{name}-new").keys()
    assert api.ok("PUT", f"/buckets/{bucket}", extra) == {}
    made = {**WATCHER, **extra, "events": [{**event("10:00:00"), **extra}]}
    assert api.post("/import", {"buckets": {f"{name}-in": made}, **extra}) is None
    assert api.count(f"{name}-in") == 1


def test_null_is_the_same_as_leaving_an_optional_field_out(api: Api, bucket: str, name: str) -> None:
    (stored,) = api.insert(bucket, {"id": None, "timestamp": at("10:00:00"), "duration": None, "data": None})
    assert (stored["duration"], stored["data"]) == (0.0, {})
    api.create(
        f"{name}-new", name=None, data=None, created=None, events=None, metadata=None, last_updated=None, id=None
    )
    value = api.bucket(f"{name}-new")
    assert (value["name"], value["data"]) == (None, {})
    before = api.bucket(bucket)
    nothing = {"type": None, "client": None, "hostname": None, "name": None, "data": None}
    assert api.ok("PUT", f"/buckets/{bucket}", nothing) == {}
    assert api.bucket(bucket) == before
    made = {**WATCHER, "id": None, "created": None, "name": None, "data": None, "events": None}
    assert api.post("/import", {"buckets": {f"{name}-in": made}}) is None
    assert api.events(f"{name}-in") == []


# --- methods


def test_head_is_get_without_the_body(server: Server, api: Api, bucket: str) -> None:
    """Not one byte of it: the next answer on the connection follows at once."""
    (stored,) = api.insert(bucket, event("10:00:00"))
    paths = [f"/api/0{path}" for path in read_routes(bucket, stored["id"])]
    with Wire(server) as wire:
        for path in ["/", "/pages/", "/api/", *paths, "/api/0/buckets/no-such-bucket", "/api/0/nowhere"]:
            wire.send(request_bytes("HEAD", path))
            head = wire.answer(to="HEAD")
            wire.send(request_bytes("GET", path))
            full = wire.answer()
            assert head.status == full.status, path
            assert head.headers.get_content_type() == full.headers.get_content_type()


# --- sizes


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that takes 1,000 bytes of JSON and 3,000 of an import."""
    args = ("--max-body-bytes", "1000", "--max-import-bytes", "3000")
    with Server(tmp_path_factory.mktemp("small") / "data", *args) as running:
        api = Api(running)
        api.create("b")
        yield api


def padded(value: dict[str, Any], size: int) -> bytes:
    body = json.dumps(value).encode()
    return body + b" " * (size - len(body))


@pytest.mark.parametrize(
    ("method", "path", "value"),
    [
        ("POST", "/buckets/b", WATCHER),
        ("PUT", "/buckets/b", {"type": "x"}),
        ("POST", "/buckets/b/events", event("10:00:00")),
        ("POST", "/buckets/b/heartbeat?pulsetime=1", event("10:00:00")),
        ("POST", "/settings/b", {"a": 1}),
    ],
)
def test_a_body_up_to_the_limit_is_taken_and_one_byte_more_is_not(
    small: Api, method: str, path: str, value: dict[str, Any]
) -> None:
    """The refusal names the setting, and nothing is changed by it."""
    assert small.call(method, path, padded(value, 1000)).status in {200, 304}
    before = small.everything()
    error = small.refused(method, path, padded(value, 1001), status=413, word="PayloadTooLarge")
    assert "max-body-bytes" in error["message"].replace("_", "-")
    assert small.everything() == before


def test_an_import_has_a_limit_of_its_own(small: Api) -> None:
    document = {"buckets": {"imported": {**WATCHER, "events": [event("10:00:00")]}}}
    assert small.post("/import", padded(document, 3000)) is None
    before = small.everything()
    error = small.refused("POST", "/import", padded(document, 3001), status=413, word="PayloadTooLarge")
    assert "max-import-bytes" in error["message"].replace("_", "-")
    assert small.everything() == before


def test_a_chunked_body_has_the_same_limit(small: Api) -> None:
    """Though it does not say its length before."""
    body = padded(event("10:00:00"), 1001)
    before = small.everything()
    with Wire(small.server) as wire:
        wire.send(request_bytes("POST", "/api/0/buckets/b/events", JSON, "Transfer-Encoding: chunked"))
        wire.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        check_error(wire.answer(), 413, "PayloadTooLarge")
    assert small.everything() == before


@pytest.mark.parametrize("length", [1001, 64 * 2**20 + 1, 10**15])
@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)])
def test_a_body_too_long_is_refused_before_it_is_sent(small: Api, length: int, expect: tuple[str, ...]) -> None:
    """The announced length is enough."""
    with Wire(small.server) as wire:
        head = request_bytes("POST", "/api/0/buckets/b/events", JSON, f"Content-Length: {length}", *expect)
        wire.send(head)
        check_error(wire.answer(), 413, "PayloadTooLarge")


def test_by_default_a_body_has_64_mebibytes(server: Server, bucket: str) -> None:
    with Wire(server) as wire:
        length = 64 * 2**20 + 1
        wire.send(request_bytes("POST", f"/api/0/buckets/{bucket}/events", JSON, f"Content-Length: {length}"))
        check_error(wire.answer(), 413, "PayloadTooLarge")


@pytest.mark.parametrize("path", ["/info", "/buckets", "/settings"])
def test_answers_are_application_json(api: Api, path: str) -> None:
    answer = api.call("GET", path)
    assert answer.headers.get_content_type() == "application/json"
    assert answer.headers.get_content_charset() in {None, "utf-8"}


def test_a_query_string_may_name_a_bucket_of_any_text(api: Api, name: str) -> None:
    """The path is what counts; a query string is never part of it."""
    api.create(f"{name}?x")
    api.refused("GET", f"/buckets/{name}?x", status=404, word="NoSuchBucket")
    assert api.get(f"/buckets/{q(f'{name}?x')}")["id"] == f"{name}?x"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/settings/{b}-unset", None),
        ("POST", "/settings/{b}-unset", None),
        ("PUT", "/buckets/{b}", {}),
        ("PUT", "/buckets/{b}", {"type": WATCHER["type"]}),
        ("POST", "/buckets/{b}", WATCHER),
        ("POST", "/buckets/{b}/events", []),
        ("POST", "/buckets/{b}/events", [{**event("10:00:00"), "id": "own"}]),
        ("DELETE", "/buckets/{b}/events/1", None),
        ("POST", "/buckets/{b}/heartbeat?pulsetime=1", event("10:00:00")),
        ("POST", "/import", {"buckets": {}}),
        ("POST", "/import", {"buckets": {"{b}": {**WATCHER, "events": [event("10:00:00")]}}}),
        ("POST", "/buckets/{b}/events", [{}]),
    ],
)
def test_a_write_that_changes_nothing_holds_nobody_up(api: Api, bucket: str, method: str, path: str, body: Any) -> None:
    """There is nothing to wait for: the reads after it are answered, and show what was there."""
    (stored,) = api.insert(bucket, event("10:00:00"))
    before = api.bucket(bucket)
    sent = json.dumps(body).replace("{b}", bucket).replace('"own"', str(stored["id"])).encode()
    assert api.call(method, path.replace("{b}", bucket), sent).status in {200, 304, 400}
    assert api.events(bucket) == [stored]
    assert api.bucket(bucket) == before
    assert api.get(f"/buckets/{bucket}/export")["buckets"][bucket]["events"] == [event("10:00:00")]
    assert f"{bucket}-unset" not in api.get("/settings")
