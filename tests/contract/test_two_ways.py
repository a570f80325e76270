"""Two servers, one with the fast lane and one without: the same bytes to both give the same bytes back."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given as given_cases
from hypothesis import settings
from hypothesis import strategies as st

from tests.contract.test_fuzz import FUZZ
from tests.contract.wire import WATCHER, Api, Wire
from tests.server import Server

# What may differ between two servers, and between two moments.
VARIES = re.compile(rb"\r\nDate: [^\r]+|(?<=device_id\":\")[^\"]+")
# aiohttp's own refusal of what is no HTTP quotes the packet it met that in, and packets are the network's affair.
QUOTED = re.compile(rb"\A(HTTP/1\.0 400 .*?)\r\nContent-Length: \d+(.*?\r\n\r\n.*?\n)\n  b['\"].*\Z", re.DOTALL)
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)")
# Ends whatever has begun. aiohttp forgets a whole request if no HTTP comes behind it in the same packet, and answers it if
# that comes later; the lane answers it in both cases. So what follows a request here is HTTP, behind some line ends that
# a body may swallow.
ENDING = b"\r\n" * 4 + b"GET /api/0/settings HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Group(NamedTuple):
    """Packets, and how many answers to wait for before the next ones."""

    packets: list[bytes]
    answers: int


class Twins(NamedTuple):
    lane: Server
    alone: Server


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    folder = tmp_path_factory.mktemp("twins")
    with Server(folder / "lane") as lane, Server(folder / "alone", "--no-fast-lane") as alone:
        for server in (lane, alone):
            for bucket in ("b", "c"):
                Api(server).create(bucket, created="2024-05-01T00:00:00Z")
        yield Twins(lane, alone)


def answers(server: Server, groups: list[Group]) -> list[bytes]:
    """Each answer, as it came, until the server closes the connection. A group is sent when the last is answered."""
    received: list[bytes] = []
    with Wire(server) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packets, answer_count in [*groups, Group([ENDING], 1_000)]:
            for packet in packets:
                wire.send(packet)
            for _ in range(answer_count):
                if (answer := next_answer(wire)) is None:
                    return received
                received.append(QUOTED.sub(rb"\1\2", VARIES.sub(b"", answer)))
    raise AssertionError("the connection goes on after the last request")


def next_answer(wire: Wire) -> bytes | None:
    try:
        head = wire.until(b"\r\n\r\n")
        found = LENGTH.search(head)
        return head + (wire._exactly(int(found[1])) if found else b"")
    except AssertionError:  # it ended
        return wire.received or None


def usual(second: int, title: str, bucket: str, query: str, headers: list[str], body: bytes | None) -> bytes:
    if body is None:
        body = b'{"timestamp":"2024-05-01T10:00:%02dZ","duration":%d,"data":{"t":"%b"}}' % (
            second % 60,
            second // 60,
            title.encode(),
        )
    lines = [f"POST /api/0/buckets/{bucket}/heartbeat?{query} HTTP/1.1", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def insertion(body: bytes, bucket: str, headers: list[str]) -> bytes:
    lines = [f"POST /api/0/buckets/{bucket}/events HTTP/1.1", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


HEADERS = ["Host: localhost", "Content-Type: application/json"]
odd_headers = st.sampled_from(
    [
        HEADERS[:1],
        [*HEADERS, "Origin: http://localhost:27180"],
        [*HEADERS, "Origin: http://evil.example"],
        [*HEADERS, "Connection: keep-alive"],
        [*HEADERS, "Content-Encoding: gzip"],
        [*HEADERS, "Accept: */*", "charset: utf-8"],
        [*HEADERS, "X:\ty "],
        ["Host: evil.example", HEADERS[1]],
        ["host: LOCALHOST:1", "content-type: Application/JSON;charset=UTF-8"],
    ]
)
closing_headers = st.sampled_from(
    [
        HEADERS[1:],
        [*HEADERS, "Connection: close"],
        [*HEADERS, "Connection: keep-alive, close"],
        [*HEADERS, "Transfer-Encoding: chunked"],
        [*HEADERS, "Content-Length: 2"],
        [*HEADERS, " folded: x"],
        [*HEADERS, "no colon"],
        [*HEADERS, "space : x"],
    ]
)
seconds = st.integers(0, 130)
good = st.builds(
    usual, seconds, st.sampled_from("ab"), st.sampled_from("bc"), st.just("pulsetime=60"), st.just(HEADERS), st.none()
)
good_events = st.builds(
    lambda second, title: (
        b'{"timestamp":"2024-05-01T10:%02d:00Z","duration":1.5,"data":{"t":"%b"}}' % (second % 60, title)
    ),
    seconds,
    st.sampled_from([b"a", b"b"]),
)
odd_events = st.sampled_from(
    [b"{}", b"null", b"[]", b"{", b'{"timestamp":"soon"}', b'{"timestamp":"2024-05-01","id":4294967297}']
)
good_insertion = st.builds(
    insertion,
    good_events | st.lists(good_events, max_size=4).map(lambda events: b"[%b]" % b", ".join(events)),
    st.sampled_from("bc"),
    st.just(HEADERS),
)
odd_insertion = st.builds(
    insertion,
    odd_events | st.lists(odd_events | good_events, max_size=3).map(lambda events: b"[%b]" % b",".join(events)),
    st.sampled_from(["b", "none", "%62", ""]),
    odd_headers | st.just(HEADERS),
)
odd = st.builds(
    usual,
    seconds,
    st.sampled_from(["a", "ü", '"', "\\ud83d"]),
    st.sampled_from(["b", "c", "none", "%62", "..", "b/c", ""]),
    st.sampled_from(["pulsetime=60", "pulsetime=0.5", "pulsetime=", "pulsetime=1e1", "x=1", "pulsetime=1&x=2", "%20"]),
    odd_headers | st.just(HEADERS),
    st.none() | st.sampled_from([b"", b"{}", b"[]", b"null", b"\xff"]) | st.binary(max_size=20),
)
other = st.sampled_from(
    [
        b"GET /api/0/buckets/b/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS /api/0/info HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/0/info HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"DELETE /api/0/buckets/b/events/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
        b"\r\n\r\nGET /api/0/info HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
)
# After these the connection ends.
closing = st.builds(
    usual, seconds, st.just("a"), st.just("b"), st.just("pulsetime=60"), closing_headers, st.none()
) | st.sampled_from(
    [
        b"GET /api/0/settings HTTP/1.0\r\nHost: localhost\r\n\r\n",
        b"GET /api/0/settings HTTP/1.1\nHost: localhost\n\n",
        b"\0",
        b"POST \r\n\r\n",
        b"a" * 100,
    ]
)


@st.composite
def pipelines(draw: st.DrawFn) -> Group:
    """Requests one behind the other, cut into packets anywhere."""
    requests = draw(st.lists(st.one_of(good, good, good_insertion, odd, odd_insertion, other), min_size=1, max_size=5))
    stream = b"".join(requests)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=3)))
    return Group([stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)], len(requests))


@st.composite
def spoilt(draw: st.DrawFn) -> Group:
    """A request with some bytes of its line or its first headers exchanged for others."""
    request, noise = draw(good | good_insertion), draw(st.binary(min_size=1, max_size=3))
    line = (len("POST "), request.index(b" HTTP/1.1"))
    headers = (request.index(b"\r\n") + 2, request.index(b"Content-Length") - 2)
    first, end = draw(st.sampled_from([line, headers]))
    at = draw(st.integers(first, end - len(noise)))
    return Group([request[:at] + noise + request[at + len(noise) :]], 0)


last: st.SearchStrategy[list[Group]] = st.one_of(
    st.just([]), spoilt().map(lambda group: [group]), closing.map(lambda sent: [Group([sent], 1)])
)


@settings(FUZZ, max_examples=600)
@given_cases(st.lists(pipelines(), max_size=3), last)
def test_the_same_bytes_are_answered_with_the_same_bytes(twins: Twins, groups: list[Group], end: list[Group]) -> None:
    assert answers(twins.lane, groups + end) == answers(twins.alone, groups + end)


def test_both_have_stored_the_same_in_the_end(twins: Twins) -> None:
    """Ids too."""
    stored = [Api(server).everything() for server in twins]
    assert stored[0] == stored[1]
    assert len(stored[0][1]["b"]) > 1


def test_both_lived_through_it(twins: Twins) -> None:
    for server in twins:
        assert Api(server).get("/info")["testing"] is True
        assert Api(server).call("POST", "/buckets/b", WATCHER).status == 304


def test_the_lane_was_taken(twins: Twins) -> None:
    """A fuzzer that never takes it proves nothing of it. The last test: the server says so when it stops."""
    assert twins.lane.stop() == 0
    taken = re.search(r'"answered": ?(\d+)', twins.lane.log_text())
    assert taken is not None
    assert int(taken[1]) > 200
