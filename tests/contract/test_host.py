"""Section 12: the Host header, against DNS rebinding (S2). Bare sockets: a client library would mend these requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.contract.wire import WATCHER, Api, Wire, check_error, exchange, request_bytes
from tests.server import Server

JSON = "Content-Type: application/json"
PATHS = [
    "/api/0/info",
    "/api/0/buckets",
    "/api/",
    "/api/0/nowhere",
    "/",
    "/index.html",
    "/pages/",
    "/pages/x",
    "/nowhere",
]
STRANGERS = [
    "",
    " ",
    "evil.example",
    "evil.example:{port}",
    "localhost.evil.example",
    "localhost.evil.example:{port}",
    "127.0.0.1.evil.example",
    "evil.example#localhost",
    "evil.example/localhost",
    "localhost@evil.example",
    "localhost:{port}@evil.example",
    "evil.example, localhost",
    "localhost, evil.example",
    "localhost evil.example",
    "localhos",
    "xlocalhost",
    "127.0.0.2",
    "127.0.0.1x",
    "127.1",
    "2130706433",
    "0.0.0.0",
    "[::1].evil.example",
    "[::2]",
    "[::1",
    "[::1]evil",
    ":{port}",
    "http://localhost",
    "192.168.0.1",
]


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize("port", ["", ":{port}", ":80", ":1"])
def test_the_names_of_this_machine_are_served(server: Server, host: str, port: str) -> None:
    """With any port or none, in any case, whichever of them the server listens on."""
    for path in ("/api/0/info", "/", "/pages/"):
        assert exchange(server, "GET", path, host=host + port.format(port=server.port)).status == 200


@pytest.mark.parametrize("host", STRANGERS)
def test_any_other_name_is_refused_on_every_path(server: Server, host: str) -> None:
    """Those that only look alike as well; static and unknown paths included."""
    for path in PATHS:
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            answer = exchange(server, method, path, JSON, body=b"{}", host=host.format(port=server.port))
            assert answer.status == 400, (method, path)
            if path.startswith("/api/") and method != "HEAD":
                check_error(answer, 400, "HostNotAllowed")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_no_name_at_all_is_refused(server: Server, version: str) -> None:
    for path in PATHS:
        with Wire(server) as wire:
            wire.send(f"GET {path} HTTP/{version}\r\n\r\n".encode())
            assert wire.answer().status == 400, path


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("localhost", "evil.example"),
        ("evil.example", "localhost"),
        ("evil.example", "evil.example"),
        ("localhost", "127.0.0.1"),
    ],
)
def test_two_names_are_refused(server: Server, first: str, second: str) -> None:
    """S2: whichever of them comes first."""
    for path in PATHS:
        answer = exchange(server, "GET", path, f"Host: {second}", host=first)
        assert 400 <= answer.status < 500, path
        assert b"awlog 0" not in answer.body


@pytest.mark.parametrize(
    "target", ["http://evil.example/api/0/info", "http://evil.example:5600/", "https://evil.example/api/0/buckets"]
)
def test_an_absolute_uri_with_another_name_is_refused(server: Server, target: str) -> None:
    """S2: a good Host header beside it does not help."""
    assert 400 <= exchange(server, "GET", target).status < 500
    assert 400 <= exchange(server, "GET", target, host="evil.example").status < 500


@pytest.mark.parametrize("host", ["evil.example", "", "localhost.evil.example"])
def test_a_refused_write_changes_nothing(server: Server, api: Api, bucket: str, host: str) -> None:
    before = api.bucket(bucket), api.get("/buckets/").keys()
    for method, path, body in [
        ("POST", f"/api/0/buckets/{bucket}-new", WATCHER),
        ("PUT", f"/api/0/buckets/{bucket}", {"type": "x"}),
        ("DELETE", f"/api/0/buckets/{bucket}?force=1", {}),
        ("POST", f"/api/0/settings/{bucket}", {"a": 1}),
        ("POST", "/api/0/import", {"buckets": {f"{bucket}-in": WATCHER}}),
    ]:
        answer = exchange(server, method, path, JSON, body=json.dumps(body).encode(), host=host)
        check_error(answer, 400, "HostNotAllowed")
    assert (api.bucket(bucket), api.get("/buckets/").keys()) == before
    assert api.get(f"/settings/{bucket}") is None


def test_the_answer_does_not_depend_on_forwarding_headers(server: Server) -> None:
    """A page can send those at will."""
    forwarded = ("X-Forwarded-Host: localhost", "Forwarded: host=localhost", "X-Original-Host: localhost")
    check_error(exchange(server, "GET", "/api/0/info", *forwarded, host="evil.example"), 400, "HostNotAllowed")
    assert exchange(server, "GET", "/api/0/info", "X-Forwarded-Host: evil.example").status == 200


def test_the_check_holds_for_each_request_of_a_connection(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(request_bytes("GET", "/api/0/info"))
        assert wire.answer().status == 200
        wire.send(request_bytes("GET", "/api/0/info", host="evil.example"))
        check_error(wire.answer(), 400, "HostNotAllowed")


def test_a_configured_name_is_one_more(tmp_path: Path) -> None:
    """`--host localhost` listens on loopback, so the check is on."""
    with Server(tmp_path / "data", "--host", "localhost") as server:
        for host, status in [("localhost", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("evil.example", 400)]:
            assert exchange(server, "GET", "/api/0/info", host=host).status == status


def test_on_an_address_that_others_reach_the_check_is_on_too(tmp_path: Path) -> None:
    """For names; `--allow-host` adds some. Any address will do: nobody can point it elsewhere."""
    args = ("--host", "0.0.0.0", "--insecure", "--allow-host", "desk.example")
    with Server(tmp_path / "data", *args) as server:
        for host, status in [("desk.example:5600", 200), ("192.168.1.5:5600", 200), ("evil.example", 400)]:
            assert exchange(server, "GET", "/api/0/info", host=host).status == status
            assert exchange(server, "GET", "/", host=host).status == status
        assert '"level": "warning"' in server.log_text()
