"""S10: no two readers of the same bytes may disagree about where a request ends.

Each case is a request whose body, or whose end, two servers could see in different places. It is refused, the connection is
closed, and the second request that is hidden in it is never carried out.
"""

from __future__ import annotations

import re

import pytest

from tests.contract.wire import Api, Wire
from tests.server import Server

HIDDEN = (
    b"POST /api/0/buckets/%s HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 43\r\n\r\n"
)
HIDDEN_BODY = b'{"type":"t","client":"c","hostname":"hhh"} '
CHUNKED = b"0\r\n\r\n"

# The headers that say how long the body is, and what comes before the hidden request.
CASES: dict[str, tuple[bytes, bytes]] = {
    "two lengths": (b"Content-Length: 2\r\nContent-Length: 7", b"[]"),
    "two equal lengths": (b"Content-Length: 2\r\nContent-Length: 2", b"[]"),
    "a list of lengths": (b"Content-Length: 2, 2", b"[]"),
    "a list of different lengths": (b"Content-Length: 2, 7", b"[]"),
    "length, then chunked": (b"Content-Length: 2\r\nTransfer-Encoding: chunked", CHUNKED),
    "chunked, then length": (b"Transfer-Encoding: chunked\r\nContent-Length: 5", CHUNKED),
    "a plus": (b"Content-Length: +2", b"[]"),
    "a minus": (b"Content-Length: -2", b"[]"),
    "hexadecimal": (b"Content-Length: 0x2", b"[]"),
    "an underscore": (b"Content-Length: 0_2", b"[]"),
    "a fraction": (b"Content-Length: 2.0", b"[]"),
    "other digits": ("Content-Length: ٢".encode(), b"[]"),
    "an empty length": (b"Content-Length:", b""),
    "a length with words": (b"Content-Length: 2 bytes", b"[]"),
    "a space before the colon": (b"Content-Length : 2", b"[]"),
    "a folded length": (b"Content-Length:\r\n 2", b"[]"),
    "an unknown coding": (b"Transfer-Encoding: xchunked", CHUNKED),
    "identity": (b"Transfer-Encoding: identity", CHUNKED),
    "chunked is not last": (b"Transfer-Encoding: chunked, gzip", CHUNKED),
    "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CHUNKED),
    "chunked and identity": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", CHUNKED),
    "a space before its colon": (b"Transfer-Encoding : chunked", CHUNKED),
    "a folded coding": (b"Transfer-Encoding:\r\n chunked", CHUNKED),
    "a quoted coding": (b'Transfer-Encoding: "chunked"', CHUNKED),
    "a control character": (b"Transfer-Encoding: \x0bchunked", CHUNKED),
    "no name": (b": x\r\nTransfer-Encoding: chunked\r\nContent-Length: 2", CHUNKED),
    "a bare line feed": (b"X: y\nContent-Length: 2\nContent-Length: 3", b"[]"),
    "a chunk of a negative size": (b"Transfer-Encoding: chunked", b"-1\r\n\r\n"),
    "a chunk with a plus": (b"Transfer-Encoding: chunked", b"+0\r\n\r\n"),
    "a chunk with 0x": (b"Transfer-Encoding: chunked", b"0x0\r\n\r\n"),
    "a chunk longer than any": (b"Transfer-Encoding: chunked", b"10000000000000000\r\n"),
    "a chunk that ends elsewhere": (b"Transfer-Encoding: chunked", b"2\r\n[]]\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("path", ["/api/0/buckets/b/events", "/api/0/buckets/b/heartbeat?pulsetime=1"])
@pytest.mark.parametrize("case", CASES)
def test_what_two_readers_could_read_in_two_ways_is_refused(server: Server, name: str, case: str, path: str) -> None:
    """With a 4xx, unless the end of the connection overtakes it; the hidden request is not answered and makes no bucket."""
    headers, before = CASES[case]
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    hidden = HIDDEN % name.encode() + HIDDEN_BODY
    with Wire(server) as wire:
        wire.send(head + headers + b"\r\n\r\n" + before + hidden)
        received = wire.finish()
    assert re.findall(rb"HTTP/1\.[01] (\d)", received) in ([b"4"], []), received[:500]
    assert name not in Api(server).get("/buckets/")


def test_the_hidden_request_would_have_made_a_bucket(server: Server, name: str) -> None:
    """Behind a request whose end nobody can doubt it is carried out: the cases above prove something."""
    with Wire(server) as wire:
        wire.send(b"GET /api/0/info HTTP/1.1\r\nHost: localhost\r\n\r\n", HIDDEN % name.encode() + HIDDEN_BODY)
        assert wire.answer().status == 200
        assert wire.answer().status == 200
    assert name in Api(server).get("/buckets/")
