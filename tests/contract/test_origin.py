"""Section 12: CORS and the Origin header (S3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_import import BOUNDARY, form, part
from tests.contract.wire import WATCHER, Api, check_error, event, exchange
from tests.server import Reply, Server

STORE_ID = "chrome-extension://nglaklhklhcoonedhgnpgddginnjdadi"
MOZ = "moz-extension://d8f2ad4c-0000-4000-8000-3a5b6c7d8e9f"
# `{port}` is the port of the server.
ALWAYS_ALLOWED = ["http://localhost:{port}", "http://127.0.0.1:{port}", MOZ, STORE_ID]
ALLOWED_IN_TESTING = [
    "http://localhost:27180",
    "http://127.0.0.1:27180",
    "chrome-extension://aaaabbbbccccddddeeeeffffgggghhhh",
]
OTHER_EXTENSIONS = ["safari-web-extension://D8F2AD4C-0000-4000-8000-3A5B6C7D8E9F"]
FOREIGN = [
    "null",
    "file://",
    "https://evil.example",
    "http://evil.example:{port}",
    "http://localhost",
    "http://localhost:1",
    "http://127.0.0.1:1",
    "http://127.0.0.2:{port}",
    "http://localhost.evil.example:{port}",
    "http://localhost:{port}.evil.example",
    "http://localhost:{port}@evil.example",
    "http://127.0.0.1.evil.example:{port}",
    "http://evil.example/http://localhost:{port}",
    "http://xlocalhost:{port}",
    "http://moz-extension.example",
    "https://moz-extension://x",
    "https://chrome-extension",
    "http://nglaklhklhcoonedhgnpgddginnjdadi",
    "xchrome-extension://nglaklhklhcoonedhgnpgddginnjdadi",
]
FOREIGN_OUTSIDE_TESTING = ["http://localhost:27180", "http://127.0.0.1:27180"]
HOST = "127.0.0.1:{port}"


def ask(server: Server, method: str, path: str, origin: str, *headers: str, body: bytes | None = None) -> Reply:
    """A request as a browser sends it: with the server's address as host."""
    sent = f"Origin: {origin.format(port=server.port)}"
    return exchange(server, method, path, sent, *headers, body=body, host=HOST.format(port=server.port))


def cors(answer: Reply) -> dict[str, str]:
    return {key.lower(): value for key, value in answer.headers.items() if key.lower().startswith("access-control-")}


def vary(answer: Reply) -> set[str]:
    return {word.strip().lower() for line in answer.headers.get_all("Vary", []) for word in line.split(",")}


def writes(bucket: str) -> list[tuple[str, str, str | None, bytes]]:
    """Method, path, content type and body: what a page may send, with and without a preflight."""
    document = json.dumps({"buckets": {f"{bucket}-in": WATCHER}}).encode()
    line = json.dumps({"bucket": bucket, "pulsetime": 1, "event": event("10:00:00")})
    beat, js = json.dumps(event("10:00:00")).encode(), "application/json"
    return [
        ("POST", f"/api/0/buckets/{bucket}-new", js, json.dumps(WATCHER).encode()),
        ("PUT", f"/api/0/buckets/{bucket}", js, b'{"type": "changed"}'),
        ("DELETE", f"/api/0/buckets/{bucket}?force=1", js, b"{}"),
        ("POST", f"/api/0/buckets/{bucket}/events", js, beat),
        ("POST", f"/api/0/buckets/{bucket}/heartbeat?pulsetime=1", js, beat),
        ("POST", f"/api/0/buckets/{bucket}/heartbeat?pulsetime=1", "text/plain", beat),
        ("POST", f"/api/0/buckets/{bucket}/heartbeats?pulsetime=1", js, b"[%b]" % beat),
        ("POST", "/api/0/heartbeats", "application/x-ndjson", line.encode()),
        ("POST", f"/api/0/settings/{bucket}", js, b"1"),
        ("DELETE", f"/api/0/settings/{bucket}", js, b""),
        ("POST", "/api/0/import", js, document),
        ("POST", "/api/0/import", "text/plain", document),
        ("POST", "/api/0/import", None, document),
        ("POST", "/api/0/import", "application/x-www-form-urlencoded", document),
        ("POST", "/api/0/import", f"multipart/form-data; boundary={BOUNDARY}", form((part(), document))),
        ("POST", "/api/0/query/", js, b'{"query": ["RETURN = 1;"], "timeperiods": []}'),
        ("POST", "/api/0/nowhere", js, b"{}"),
    ]


# --- allowed origins


@pytest.mark.parametrize("origin", ALWAYS_ALLOWED + ALLOWED_IN_TESTING)
def test_an_allowed_origin_reads_and_writes(server: Server, bucket: str, origin: str) -> None:
    """With its name in the answer, also in that of a refusal; never with credentials."""
    beat = json.dumps(event("10:00:00")).encode()
    answers = [
        ask(server, "GET", "/api/0/info", origin),
        ask(server, "HEAD", "/api/0/info", origin),
        ask(server, "GET", f"/api/0/buckets/{bucket}/export", origin),
        ask(server, "GET", "/api/0/nowhere", origin),
        ask(
            server,
            "POST",
            f"/api/0/buckets/{bucket}/heartbeat?pulsetime=1",
            origin,
            "Content-Type: application/json",
            body=beat,
        ),
        ask(server, "POST", f"/api/0/buckets/{bucket}/events", origin, "Content-Type: application/json", body=b"{"),
        ask(server, "DELETE", f"/api/0/buckets/{bucket}", origin),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200, 404, 200, 400, 200]
    for answer in answers:
        assert answer.headers.get_all("Access-Control-Allow-Origin") == [origin.format(port=server.port)]
        assert "origin" in vary(answer)
        assert "access-control-allow-credentials" not in cors(answer)


@pytest.mark.parametrize("origin", ALWAYS_ALLOWED)
def test_the_same_origins_are_allowed_outside_testing_mode(
    desk_server: Server, desk: Api, name: str, origin: str
) -> None:
    desk.create(name)
    answer = ask(desk_server, "GET", "/api/0/info", origin)
    assert (answer.status, cors(answer)["access-control-allow-origin"]) == (200, origin.format(port=desk_server.port))
    body = json.dumps(event("10:00:00")).encode()
    target = f"/api/0/buckets/{name}/heartbeat?pulsetime=1"
    answer = ask(desk_server, "POST", target, origin, "Content-Type: application/json", body=body)
    assert (answer.status, cors(answer)["access-control-allow-origin"]) == (200, origin.format(port=desk_server.port))


def test_a_program_needs_no_origin(server: Server, api: Api, bucket: str) -> None:
    answer = exchange(server, "GET", "/api/0/info")
    assert answer.status == 200
    assert "access-control-allow-origin" not in cors(answer)
    api.beat(bucket, event("10:00:00"))


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_a_page_of_the_server_itself_is_served(server: Server, bucket: str, host: str) -> None:
    """Its origin is the host it was asked by."""
    host = host.format(port=server.port)
    beat = json.dumps(event("10:00:00")).encode()
    target = f"/api/0/buckets/{bucket}/heartbeat?pulsetime=1"
    headers = (f"Origin: http://{host}", "Content-Type: application/json")
    assert exchange(server, "POST", target, *headers, body=beat, host=host).status == 200
    assert exchange(server, "GET", "/api/0/info", *headers, host=host).status == 200


# --- others


@pytest.mark.parametrize("origin", OTHER_EXTENSIONS)
def test_another_extension_is_served_without_cors_headers(server: Server, bucket: str, origin: str) -> None:
    beat = json.dumps(event("10:00:00")).encode()
    answers = [
        ask(server, "GET", "/api/0/info", origin),
        ask(
            server,
            "POST",
            f"/api/0/buckets/{bucket}/heartbeat?pulsetime=1",
            origin,
            "Content-Type: application/json",
            body=beat,
        ),
        ask(server, "DELETE", f"/api/0/buckets/{bucket}", origin),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [cors(answer) for answer in answers] == [{}, {}, {}]


@pytest.mark.parametrize("origin", [*OTHER_EXTENSIONS, "chrome-extension://aaaabbbbccccddddeeeeffffgggghhhh"])
def test_outside_testing_mode_other_chrome_extensions_get_no_cors_headers(
    desk_server: Server, desk: Api, name: str, origin: str
) -> None:
    desk.create(name)
    body = json.dumps(event("10:00:00")).encode()
    target = f"/api/0/buckets/{name}/heartbeat?pulsetime=1"
    for answer in (
        ask(desk_server, "GET", "/api/0/info", origin),
        ask(desk_server, "POST", target, origin, "Content-Type: application/json", body=body),
    ):
        assert (answer.status, cors(answer)) == (200, {})


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_page_can_not_write(server: Server, api: Api, bucket: str, origin: str) -> None:
    """Look-alikes, other ports and `null` included; by no method, no path and no content type, asked for or not."""
    api.beat(bucket, event("09:00:00"))
    before = api.bucket(bucket), api.events(bucket), api.get("/buckets/").keys()
    for method, path, content_type, body in writes(bucket):
        headers = [] if content_type is None else [f"Content-Type: {content_type}"]
        answer = ask(server, method, path, origin, *headers, body=body)
        check_error(answer, 403, "OriginNotAllowed")
        assert cors(answer) == {}
    assert (api.bucket(bucket), api.events(bucket), api.get("/buckets/").keys()) == before
    assert api.get(f"/settings/{bucket}") is None


@pytest.mark.parametrize("origin", FOREIGN)
def test_what_a_foreign_page_reads_is_hidden_by_the_browser(server: Server, bucket: str, origin: str) -> None:
    """Served, without a word of CORS."""
    for path in (
        "/api/0/info",
        f"/api/0/buckets/{bucket}/events",
        f"/api/0/buckets/{bucket}/export",
        "/api/0/buckets/unknown",
    ):
        for method in ("GET", "HEAD"):
            answer = ask(server, method, path, origin)
            assert answer.status in {200, 404}
            assert cors(answer) == {}


@pytest.mark.parametrize("origin", FOREIGN_OUTSIDE_TESTING)
def test_the_dev_server_of_the_web_ui_is_foreign_outside_testing_mode(
    desk_server: Server, desk: Api, name: str, origin: str
) -> None:
    desk.create(name)
    for method, path, content_type, body in writes(name):
        headers = [] if content_type is None else [f"Content-Type: {content_type}"]
        answer = ask(desk_server, method, path, origin, *headers, body=body)
        check_error(answer, 403, "OriginNotAllowed")
    assert cors(ask(desk_server, "GET", "/api/0/info", origin)) == {}
    assert desk.events(name) == []


def test_a_list_of_origins_is_not_one_allowed_one(server: Server, bucket: str) -> None:
    """A foreign page beside a good name does not write."""
    good, evil = f"http://localhost:{server.port}", "https://evil.example"
    for origins in (f"{good}, {evil}", f"{evil}, {good}", f"{good} {evil}", f"{evil} {good}", f"{good},{good}"):
        answer = ask(server, "POST", f"/api/0/settings/{bucket}", origins, "Content-Type: application/json", body=b"1")
        check_error(answer, 403, "OriginNotAllowed")
        assert cors(answer) == {}
    assert exchange(server, "GET", f"/api/0/settings/{bucket}").body.strip() == b"null"


# --- configured origins


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    origins = ("--cors-origin", "https://dash.example", "--cors-origin", "https://*.lab.example:8443")
    with Server(tmp_path_factory.mktemp("origins") / "data", *origins, testing=False) as server:
        yield server


@pytest.mark.parametrize("origin", ["https://dash.example", "https://a.lab.example:8443", *ALWAYS_ALLOWED])
def test_a_configured_origin_is_allowed_beside_the_others(configured: Server, origin: str) -> None:
    """By its name or by a pattern; never with credentials."""
    for answer in (
        ask(configured, "GET", "/api/0/buckets", origin),
        ask(configured, "POST", "/api/0/settings/key", origin, "Content-Type: application/json", body=b"1"),
        preflight(configured, "/api/0/settings/key", origin, headers="content-type"),
    ):
        assert answer.status in {200, 204}
        assert cors(answer)["access-control-allow-origin"] == origin.format(port=configured.port)
        assert "access-control-allow-credentials" not in cors(answer)


@pytest.mark.parametrize(
    "origin",
    [
        "http://dash.example",
        "https://dash.example:8443",
        "https://dash.example.evil.example",
        "https://evil-dash.example",
        "https://dashxexample",
        "https://lab.example:8443",
        "https://a.lab.example",
        "https://a.lab.example:8443.evil.example",
        "https://alabxexample:8443",
        "http://a.lab.example:8443",
    ],
)
def test_what_looks_like_a_configured_origin_is_foreign(configured: Server, origin: str) -> None:
    answer = ask(configured, "POST", "/api/0/settings/key", origin, "Content-Type: application/json", body=b"2")
    check_error(answer, 403, "OriginNotAllowed")
    assert cors(answer) == cors(ask(configured, "GET", "/api/0/info", origin)) == {}


def test_a_star_allows_every_origin(tmp_path: Path) -> None:
    """Each by its own name, and still without credentials."""
    with Server(tmp_path / "data", "--cors-origin", "*", testing=False) as server:
        for origin in ("https://evil.example", "http://localhost:1", *OTHER_EXTENSIONS):
            answer = ask(server, "POST", "/api/0/settings/key", origin, "Content-Type: application/json", body=b"1")
            assert answer.status == 200
            assert cors(answer)["access-control-allow-origin"] in {origin, "*"}
            assert "access-control-allow-credentials" not in cors(answer)


# --- preflight


def preflight(server: Server, path: str, origin: str, method: str = "POST", headers: str | None = None) -> Reply:
    asked = [f"Access-Control-Request-Method: {method}"]
    if headers is not None:
        asked.append(f"Access-Control-Request-Headers: {headers}")
    return ask(server, "OPTIONS", path, origin, *asked)


@pytest.mark.parametrize("origin", ALWAYS_ALLOWED + ALLOWED_IN_TESTING)
@pytest.mark.parametrize(
    "path", ["/api/0/info", "/api/0/buckets/unknown", "/api/0/buckets/unknown/heartbeat?pulsetime=1", "/api/0/import"]
)
def test_the_preflight_of_an_allowed_origin_is_granted(server: Server, origin: str, path: str) -> None:
    """Whether the bucket is there or not; with the headers that were asked for."""
    answer = preflight(server, path, origin, headers="content-type, x-custom, authorization")
    assert answer.status in {200, 204}
    granted = cors(answer)
    assert granted["access-control-allow-origin"] == origin.format(port=server.port)
    assert {"GET", "POST", "PUT", "DELETE"} <= {
        word.strip() for word in granted["access-control-allow-methods"].split(",")
    }
    allowed = {word.strip().lower() for word in granted["access-control-allow-headers"].split(",")}
    assert {"content-type", "x-custom", "authorization"} <= allowed
    assert "access-control-allow-credentials" not in granted
    assert "origin" in vary(answer)


def test_a_preflight_may_ask_for_no_headers(server: Server) -> None:
    answer = preflight(server, "/api/0/buckets/x", MOZ, method="DELETE")
    assert answer.status in {200, 204}
    assert cors(answer)["access-control-allow-origin"] == MOZ


def test_headers_that_were_asked_for_forge_no_other_header(server: Server) -> None:
    """S7: what is echoed stays in its line."""
    answer = preflight(server, "/api/0/buckets/x", MOZ, headers='x"<script>, x-a;b=c')
    assert answer.status < 500
    assert all("\n" not in value and "\r" not in value for value in cors(answer).values())


@pytest.mark.parametrize("origin", [*FOREIGN, *OTHER_EXTENSIONS])
def test_no_other_preflight_is_granted(server: Server, origin: str) -> None:
    for path in ("/api/0/info", "/api/0/import", "/api/0/buckets/x"):
        answer = preflight(server, path, origin, headers="content-type")
        assert answer.status < 500
        assert (
            not {"access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"}
            & cors(answer).keys()
        )


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/0/info", {"GET", "HEAD"}),
        ("/api/0/buckets/x", {"GET", "HEAD", "POST", "PUT", "DELETE"}),
        ("/api/0/buckets/x/heartbeat", {"POST"}),
        ("/api/0/buckets/x/events/1", {"GET", "HEAD", "DELETE"}),
        ("/api/0/import/", {"POST"}),
    ],
)
@pytest.mark.parametrize(
    "headers", [(), ("Origin: https://evil.example",), (f"Origin: {MOZ}",), ("Access-Control-Request-Method: POST",)]
)
def test_any_other_options_request_names_the_methods(
    server: Server, path: str, methods: set[str], headers: tuple[str, ...]
) -> None:
    """200 with `Allow`: without an origin or without the method it is no preflight."""
    answer = exchange(server, "OPTIONS", path, *headers)
    assert answer.status == 200
    assert {word.strip() for word in answer.headers["Allow"].split(",")} - {"OPTIONS"} == methods


def test_the_404_of_an_unknown_path_is_the_same_for_options(server: Server) -> None:
    check_error(exchange(server, "OPTIONS", "/api/0/nowhere"), 404, "NotFound")


def test_writes_by_an_extension_are_as_durable_as_others(server: Server, api: Api, bucket: str) -> None:
    """What the extension for browsers does: create, then beat."""
    headers = ("Content-Type: application/json",)
    made: Any = {**WATCHER, "hostname": "!local"}
    assert (
        ask(server, "POST", f"/api/0/buckets/{bucket}-web", MOZ, *headers, body=json.dumps(made).encode()).status == 200
    )
    again = ask(server, "POST", f"/api/0/buckets/{bucket}-web", MOZ, *headers, body=json.dumps(made).encode())
    assert again.status == 304
    assert cors(again)["access-control-allow-origin"] == MOZ
    beat = json.dumps(event("10:00:00", 0, {"url": "https://example.org", "title": "t", "audible": False})).encode()
    answer = ask(server, "POST", f"/api/0/buckets/{bucket}-web/heartbeat?pulsetime=60", MOZ, *headers, body=beat)
    assert answer.status == 200
    assert api.count(f"{bucket}-web") == 1
