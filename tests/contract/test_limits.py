"""L: every limit has a setting; beyond it the error names the setting, and nothing has changed.

Each case meets its limit exactly, and is taken; then exceeds it by one, and is not.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from tests.contract.wire import Api, Wire, at, event, request_bytes
from tests.server import Reply, Server

JSON = "Content-Type: application/json"
EVENTS = "/api/0/buckets/b/events"
LIMITS = {
    "max_body_bytes": 200_000,
    "max_import_bytes": 300_000,
    "max_request_line_bytes": 2_000,
    "max_header_bytes": 3_000,
    "max_headers": 20,
    "max_header_s": 2,
    "max_silence_s": 2,
    "max_unread_s": 2,
    "max_json_nesting": 20,
    "max_rules": 3,
    "max_pattern_bytes": 40,
    "max_form_parts": 3,
    "max_form_header_bytes": 400,
    "max_query_bytes": 300,
    "max_query_nesting": 10,
    "max_query_periods": 4,
    "max_connections_per_address": 40,
}


@pytest.fixture(scope="module", params=[(), ("--no-fast-lane",)], ids=["fast lane", "aiohttp alone"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose limits are small enough to be met."""
    flags = [word for name, value in LIMITS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    with Server(tmp_path_factory.mktemp("limits") / "data", *flags, *request.param) as server:
        Api(server).create("b")
        Api(server).insert("b", event("10:00:00"))
        yield server


class Case(NamedTuple):
    """`request(size)` is a request of a size; at `LIMITS[setting]` it is taken, one beyond it is refused with `status`."""

    setting: str
    request: Any
    status: int
    type: str


def post(path: str, body: bytes, *headers: str) -> bytes:
    return request_bytes("POST", path, *(headers or (JSON,)), body=body)


def padded(path: str, body: bytes) -> Any:
    """A request whose body has the size that is asked for."""
    return lambda size: post(path, body + b" " * (size - len(body)))


def in_chunks(size: int) -> bytes:
    body = b"[]" + b" " * (size - 2)
    head = f"POST {EVENTS} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def with_line(size: int) -> bytes:
    start, end = b"GET /api/0/info?x=", b" HTTP/1.1\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end + b"Host: localhost\r\n\r\n"


def with_headers(size: int) -> bytes:
    start, end = b"Host: localhost\r\nX-Long: ", b"\r\n\r\n"
    return b"GET /api/0/info HTTP/1.1\r\n" + start + b"x" * (size - len(start) - len(end)) + end


def many_headers(count: int) -> bytes:
    """The heartbeat of a watcher, with so many."""
    extra = [f"X-{number}: 1" for number in range(count - 3)]
    body = b'{"timestamp":"2024-05-01T10:00:00Z","duration":0,"data":{}}'
    request = post("/api/0/buckets/b/heartbeat?pulsetime=1", body, JSON, *extra)
    assert request.partition(b"\r\n\r\n")[0].count(b"\r\n") == count
    return request


def rules(count: int, pattern: str = "x") -> bytes:
    rule = {"enabled": True, "field": "title", "pattern": pattern, "action": "drop"}
    return post("/api/0/settings/privacy_filters", json.dumps([rule] * count).encode())


def retention(count: int) -> bytes:
    return post("/api/0/settings/retention", json.dumps([{"bucket_prefix": "x", "max_events": 5}] * count).encode())


def searched(size: int) -> bytes:
    """What is to be deleted, by a pattern."""
    asked_for = {"filter": {"field": "title", "pattern": "x" * size}, "dry_run": True}
    return post("/api/0/buckets/b/delete", json.dumps(asked_for).encode())


def nested(depth: int) -> bytes:
    """Data that are `depth` levels deep."""
    data = b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    return post(EVENTS, b'{"timestamp":"2024-05-01T10:00:00Z","data":%b}' % data)


def form(parts: int, header: str = "") -> bytes:
    part = f'--x\r\nContent-Disposition: form-data; name="a"\r\n{header}\r\n{{"buckets":{{}}}}\r\n'
    return post("/api/0/import", (part * parts + "--x--\r\n").encode(), "Content-Type: multipart/form-data; boundary=x")


def form_with_header(size: int) -> bytes:
    return form(1, f"X-Long: {'x' * (size - len('X-Long: '))}\r\n")


def asked(*lines: str, periods: int = 1) -> bytes:
    body = {"query": list(lines), "timeperiods": ["2024-05-01/2024-05-02"] * periods}
    return post("/api/0/query", json.dumps(body).encode())


CASES = {
    "body": Case("max_body_bytes", padded(EVENTS, b"[]"), 413, "PayloadTooLarge"),
    "body in chunks": Case("max_body_bytes", in_chunks, 413, "PayloadTooLarge"),
    "import": Case("max_import_bytes", padded("/api/0/import", b'{"buckets":{}}'), 413, "PayloadTooLarge"),
    "request line": Case("max_request_line_bytes", with_line, 414, "URITooLong"),
    "headers": Case("max_header_bytes", with_headers, 431, "HeadersTooLarge"),
    "number of headers": Case("max_headers", many_headers, 431, "HeadersTooLarge"),
    "filters": Case("max_rules", rules, 400, "BadRequest"),
    "retention": Case("max_rules", retention, 400, "BadRequest"),
    "pattern": Case("max_pattern_bytes", lambda size: rules(1, "x" * size), 400, "BadRequest"),
    "pattern of a deletion": Case("max_pattern_bytes", searched, 400, "BadRequest"),
    "nesting": Case("max_json_nesting", nested, 400, "BadRequest"),
    "form parts": Case("max_form_parts", form, 400, "BadRequest"),
    "form header": Case("max_form_header_bytes", form_with_header, 400, "BadRequest"),
    "query text": Case(
        "max_query_bytes", lambda size: asked("RETURN = 1;" + " " * (size - 11)), 400, "QueryLimitExceeded"
    ),
    "query nesting": Case(
        "max_query_nesting", lambda size: asked(f"RETURN = {'[' * size}{']' * size};"), 400, "QueryLimitExceeded"
    ),
    "query periods": Case(
        "max_query_periods", lambda size: asked("RETURN = 1;", periods=size), 400, "QueryLimitExceeded"
    ),
}


def ask(server: Server, request: bytes) -> Reply:
    with Wire(server) as wire:
        wire.send(request)
        return wire.answer()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_limit_is_met_and_one_more_is_refused_by_the_name_of_its_setting(small: Server, case: Case) -> None:
    """What is refused changes nothing."""
    limit = LIMITS[case.setting]
    good = ask(small, case.request(limit))
    assert good.status == 200, f"{case.setting} at its limit: {good.status} {good.body!r}"
    before = Api(small).everything()
    bad = ask(small, case.request(limit + 1))
    assert (bad.status, bad.json()["type"]) == (case.status, case.type), bad.body
    assert case.setting in bad.json()["message"]
    assert Api(small).everything() == before


@pytest.mark.parametrize("request_of", [with_line, with_headers], ids=["line", "headers"])
def test_a_head_that_never_ends_is_refused_before_it_does(small: Server, request_of: Any) -> None:
    """And the connection is closed: nothing of it is kept."""
    with Wire(small) as wire:
        wire.send(request_of(10_000_000)[:-4])
        assert wire.answer().status in (414, 431)
        assert wire.finish() == b""


@pytest.mark.parametrize(
    "request_of",
    [lambda: with_line(9_000), lambda: with_headers(9_000), lambda: many_headers(60)],
    ids=["line", "headers", "number"],
)
def test_limits_of_the_head_hold_on_a_connection_that_stays_with_aiohttp(small: Server, request_of: Any) -> None:
    """Behind a body in chunks, whose end only aiohttp knows: the words are ours."""
    with Wire(small) as wire:
        wire.send(in_chunks(10))
        assert wire.answer().status == 200
        wire.send(request_of())
        refused = wire.answer()
        assert (refused.status, refused.json()["type"]) == (431, "HeadersTooLarge")
        assert "max_headers" in refused.json()["message"]


def test_headers_that_trickle_end_with_the_connection(small: Server) -> None:
    """However steadily they come. In the first request of a connection, and in one behind another."""
    starts = [b"G", b"POST /api/0/buckets/b/heartbeat?pulsetime=1 HTTP/1.1\r\nHost: lo", b"\x16\x03\x01"]
    with contextlib.ExitStack() as stack:
        trickling = []
        for start, is_second in itertools.product(starts, (False, True)):
            wire = stack.enter_context(Wire(small))
            if is_second:
                wire.send(request_bytes("GET", "/api/0/info"))
                assert wire.answer().status == 200
            wire.socket.sendall(start)
            trickling.append(wire)
        began_s = time.monotonic()
        while trickling:
            assert time.monotonic() - began_s < 20, "it waits for ever"
            time.sleep(0.2)
            for wire in list(trickling):
                try:
                    wire.socket.sendall(b"x")
                except OSError:
                    trickling.remove(wire)


def test_an_idle_connection_is_not_one_that_trickles(small: Server) -> None:
    """Kept for longer than headers may take: with nothing sent yet, after a heartbeat, and after a body in chunks."""
    beat = post("/api/0/buckets/b/heartbeat?pulsetime=1", json.dumps(event("10:00:00")).encode())
    firsts = [b"", beat, in_chunks(50), b"GET /api/0/info HTTP/1.1\r\nHost: localhost\r\n\r\n"]
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(small)) for _ in firsts]
        for wire, first in zip(wires, firsts, strict=True):
            if first:
                wire.send(first)
                assert wire.answer().status == 200
        time.sleep(LIMITS["max_header_s"] + 2.5)
        for wire in wires:
            wire.send(beat)
            assert wire.answer().status == 200


def test_silence_inside_a_body_is_408(small: Server) -> None:
    with Wire(small) as wire:
        wire.send(post(EVENTS, b"[" + b" " * 1_000)[:-900])
        answer = wire.answer()
        assert (answer.status, answer.json()["type"]) == (408, "RequestTimeout")
        assert "max_silence_s" in answer.json()["message"]


def test_a_client_that_does_not_read_its_answers_is_given_up(small: Server) -> None:
    """Also if an answer is small, and however many it asks for. One that reads slowly is not."""
    fat = {"label": "x" * 150_000}
    Api(small).create("fat")
    Api(small).insert("fat", {"timestamp": at("10:00:00"), "data": fat})
    asked_bytes = request_bytes("GET", "/api/0/buckets/fat/events?limit=1")
    with socket.socket() as slow, socket.socket() as one, socket.socket() as many:
        for client, count in ((slow, 1), (one, 1), (many, 400)):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_000)
            client.connect((small.host, small.port))
            client.sendall(asked_bytes * count)
        received = b""
        for _ in range(20):
            time.sleep(0.2)
            received += slow.recv(8_000)
        assert b"HTTP/1.1 200" in received
        for client in (one, many):
            with pytest.raises(OSError, match=r"reset|Broken"):
                for _ in range(100):
                    time.sleep(0.05)
                    client.sendall(b"x")


def test_one_address_has_so_many_connections_and_no_more(small: Server) -> None:
    """The one beyond is told why, and closed; when another has gone there is room again."""
    with contextlib.ExitStack() as stack:
        kept: list[Wire] = []
        refused = None
        while refused is None:
            wire = stack.enter_context(Wire(small))
            wire.send(request_bytes("GET", "/api/0/info"))
            answer = wire.answer()
            if answer.status == 200:
                kept.append(wire)
            else:
                refused = answer
        assert (refused.status, refused.json()["type"]) == (429, "TooManyConnections")
        assert "max_connections_per_address" in refused.json()["message"]
        assert len(kept) <= LIMITS["max_connections_per_address"]
        kept[0].socket.close()
        deadline_s = time.monotonic() + 10
        while ask(small, request_bytes("GET", "/api/0/info")).status != 200:
            assert time.monotonic() < deadline_s


def test_behind_a_trusted_proxy_are_many_clients(tmp_path) -> None:
    """Its connections are not one client's, and those of a Unix socket are not either."""
    path = str(tmp_path / "s")
    flags = ("--max-connections-per-address", "2", "--trusted-proxy", "127.0.0.1", "--insecure", "--unix-socket", path)
    with Server(tmp_path / "data", *flags) as server, contextlib.ExitStack() as stack:
        for _ in range(5):
            wire = stack.enter_context(Wire(server))
            wire.send(request_bytes("GET", "/api/0/info"))
            assert wire.answer().status == 200
        for _ in range(5):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(path)
            client.sendall(request_bytes("GET", "/api/0/info"))
            assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip", "identity, gzip"])
def test_compressed_bodies_are_not_taken_so_no_bomb_goes_off(small: Server, encoding: str) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    answer = ask(small, post(EVENTS, bomb, JSON, f"Content-Encoding: {encoding}"))
    assert (answer.status, answer.json()["type"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("flags", [(), ("--no-fast-lane",)], ids=["fast lane", "aiohttp alone"])
def test_more_connections_than_there_may_be_wait_and_are_not_refused(tmp_path, flags) -> None:
    """In the backlog, in which a heartbeat waits too; they are answered when others have gone."""
    with Server(tmp_path / "data", "--max-connections", "5", *flags) as server:
        Api(server).create("b")
        with contextlib.ExitStack() as stack:
            kept = [stack.enter_context(Wire(server)) for _ in range(5)]
            for wire in kept[:4]:
                wire.send(request_bytes("GET", "/api/0/info"))
                assert wire.answer().status == 200
            waiting = [stack.enter_context(Wire(server, timeout_s=1.0)) for _ in range(3)]
            beat = post("/api/0/buckets/b/heartbeat?pulsetime=1", json.dumps(event("10:00:00")).encode())
            for wire in waiting:
                wire.send(beat)
            with pytest.raises(TimeoutError):
                waiting[0].answer()
            for wire in kept:
                wire.socket.close()
            for wire in waiting:
                wire.socket.settimeout(20)
                assert wire.answer().status == 200


def test_bodies_together_take_no_more_than_they_may_and_the_next_one_waits(tmp_path) -> None:
    """Half a body holds its room; a heartbeat beside it does not wait, a large one does, and is taken in the end."""
    body = json.dumps([{"timestamp": at("10:00:00"), "data": {"label": "x" * 200_000}}]).encode()
    with Server(tmp_path / "data", "--max-bodies-bytes", "250000") as server, ThreadPoolExecutor(1) as pool:
        Api(server).create("b")
        with Wire(server) as half:
            half.send(post(EVENTS, body)[:-1])
            time.sleep(0.3)
            second = pool.submit(ask, server, post(EVENTS, body))
            with pytest.raises(TimeoutError):
                second.result(1.5)
            assert Api(server).beat("b", event("10:00:01"))
            half.send(body[-1:])
            assert half.answer().status == 200
            assert second.result(20).status == 200


def test_too_many_queries_are_told_when_to_come_again(tmp_path) -> None:
    """One runs, one waits, the third is refused with `Retry-After`; heartbeats are not."""
    slow = asked(
        "n = 0;", *["RETURN = categorize(flood(query_bucket('b')), [[['x'], {'type': 'regex', 'regex': 'x'}]]);"] * 300
    )
    with Server(tmp_path / "data", "--max-queries", "1", "--max-queries-waiting", "1") as server:
        api = Api(server)
        api.create("b")
        api.insert("b", *[event(f"10:{n // 60 % 60:02}:{n % 60:02}", 1, {"n": n}) for n in range(3_000)])
        with ThreadPoolExecutor(12) as pool:
            sent = [pool.submit(ask, server, slow) for _ in range(12)]
            assert api.beat("b", event("11:00:00"))
            answers = [each.result(60) for each in sent]
        refused = [answer for answer in answers if answer.status != 200]
        assert 1 <= len(refused) <= 10
        for answer in refused:
            assert (answer.status, answer.json()["type"]) == (503, "Overloaded")
            assert answer.headers["Retry-After"] == "1"
            assert "max_queries_waiting" in answer.json()["message"]
