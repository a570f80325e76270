"""What the fast lane knows by sight, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from awlog.api.guard import Guard
from awlog.api.recognise import BODY_BYTES_MAX, KNOWN_MAX, KNOWN_S, HeaderBlocks, Lines
from awlog.engine.access import Admission
from awlog.engine.clock import system_clock
from awlog.model.access import FULL_ACCESS, Access, Grant, Scope
from awlog.model.errors import Unauthorized
from awlog.model.times import Micros
from tests.api.settings import api_settings

LINE = b"POST /api/0/buckets/b/heartbeat?pulsetime=1 HTTP/1.1"


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class WatchedGuard(Guard):
    """Counts its judgements, and can change its mind."""

    def __init__(self) -> None:
        super().__init__(api_settings())
        self.judged_count = 0

    def admit(self, method: str, origin: str | None, hosts: Sequence[str]) -> dict[str, str]:
        self.judged_count += 1
        return super().admit(method, origin, hosts)


class Open:
    """An engine that admits everybody."""

    clock = staticmethod(system_clock)

    def admit(self, authorization: Sequence[str]) -> Admission:
        return Admission(FULL_ACCESS)


def block(length: int = 2, *headers: str) -> bytes:
    lines = ["", "Host: localhost", "Content-Type: application/json", f"Content-Length: {length}", *headers, "", ""]
    return "\r\n".join(lines).encode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard() -> WatchedGuard:
    return WatchedGuard()


@pytest.fixture
def blocks(guard: WatchedGuard, clock: Clock) -> HeaderBlocks:
    return HeaderBlocks(guard, Open(), body_bytes_max=1 << 20, headers_max=128, now_s=clock)


@pytest.mark.parametrize(
    ("line", "bucket_id", "pulsetime_us"),
    [
        (LINE, "b", 1_000_000),
        (
            LINE.replace(b"/b/", b"/aw-watcher-window_desk.local~1:x@y/"),
            "aw-watcher-window_desk.local~1:x@y",
            1_000_000,
        ),
        (LINE.replace(b"=1", b"=60.25"), "b", 60_250_000),
        (LINE.replace(b"=1", b"=0"), "b", 0),
        (LINE.replace(b"=1", b"=5."), "b", 5_000_000),
        (LINE.replace(b"/b/", b"/../"), "..", 1_000_000),
    ],
)
async def test_the_line_of_a_heartbeat_says_where_it_goes(line: bytes, bucket_id: str, pulsetime_us: int):
    """The second time from memory."""
    lines = Lines()
    assert lines.find(line) == lines.find(line) == (bucket_id, pulsetime_us)


@pytest.mark.parametrize(
    "line",
    [
        LINE + b" ",
        LINE + b"\r",
        LINE + b"\n",
        LINE.replace(b"POST", b"PUT"),
        LINE.replace(b" /", b"  /"),
        LINE.replace(b"/b/", b"/%62/"),
        LINE.replace(b"/b/", b"/b/c/"),
        LINE.replace(b"/b/", b"//"),
        LINE.replace(b"/b/", b"/b c/"),
        LINE.replace(b"/b/", b"/b?/"),
        LINE.replace(b"/b/", b"/b#/"),
        LINE.replace(b"/b/", b"/\xc3\xbc/"),
        LINE.replace(b"/b/", b"/" + b"b" * 1025 + b"/"),
        LINE.replace(b"=1", b"="),
        LINE.replace(b"=1", b"=+1"),
        LINE.replace(b"=1", b"=-1"),
        LINE.replace(b"=1", b"=1e3"),
        LINE.replace(b"=1", b"=inf"),
        LINE.replace(b"=1", b"=1_0"),
        LINE.replace(b"=1", b"=\xd9\xa3"),
        LINE.replace(b"=1", b"=1&a=b"),
        LINE.replace(b"pulsetime", b"Pulsetime"),
        LINE.replace(b"api/0", b"api/1"),
        LINE.replace(b"1.1", b"1.0"),
    ],
)
async def test_any_other_line_is_none_of_the_lane(line: bytes):
    assert Lines().find(line) is None


async def test_a_block_is_judged_once_and_then_known_by_its_bytes(blocks: HeaderBlocks, guard: WatchedGuard):
    """One byte of difference is another block."""
    first = blocks.find(LINE, block(7))
    assert first is not None
    assert first.body_bytes == 7
    assert blocks.find(LINE, block(7)) is first
    assert guard.judged_count == 1
    other = blocks.find(LINE, block(8))
    assert other is not None
    assert other.body_bytes == 8
    assert guard.judged_count == 2


async def test_a_block_is_judged_again_after_a_minute(blocks: HeaderBlocks, guard: WatchedGuard, clock: Clock):
    """However often it came meanwhile; and the sweep forgets it."""
    for _ in range(10):
        blocks.find(LINE, block())
        clock.now_s += KNOWN_S / 11
    assert guard.judged_count == 1
    clock.now_s += KNOWN_S / 11
    blocks.find(LINE, block())
    assert guard.judged_count == 2
    blocks.forget_old()
    assert len(blocks) == 1
    clock.now_s += KNOWN_S
    blocks.forget_old()
    assert len(blocks) == 0


async def test_all_blocks_can_be_forgotten(blocks: HeaderBlocks, guard: WatchedGuard):
    """When the rules change the next request is judged by the new ones."""
    assert blocks.find(LINE, block()) is not None
    blocks.forget_all()
    guard._hosts = frozenset({"elsewhere"})
    assert blocks.find(LINE, block()) is None


async def test_the_block_that_was_not_used_for_the_longest_time_is_forgotten_first(
    blocks: HeaderBlocks, guard: WatchedGuard
):
    for length in range(KNOWN_MAX):
        blocks.find(LINE, block(length))
    blocks.find(LINE, block(0))
    blocks.find(LINE, block(KNOWN_MAX))
    assert (len(blocks), guard.judged_count) == (KNOWN_MAX, KNOWN_MAX + 1)
    blocks.find(LINE, block(0))
    assert guard.judged_count == KNOWN_MAX + 1, "it was used lately"
    blocks.find(LINE, block(1))
    assert guard.judged_count == KNOWN_MAX + 2


@pytest.mark.parametrize("length", [BODY_BYTES_MAX, BODY_BYTES_MAX + 1, 50, 51])
async def test_longer_bodies_are_none_of_the_lane(guard: WatchedGuard, clock: Clock, length: int):
    """The lane's own bound, or the setting if that is less."""
    bytes_max = 50 if length <= 51 else 1 << 20
    found = HeaderBlocks(guard, Open(), body_bytes_max=bytes_max, headers_max=128, now_s=clock).find(
        LINE, block(length)
    )
    assert (found is not None) == (length in (BODY_BYTES_MAX, 50))


@pytest.mark.parametrize(
    "header",
    [
        "Origin: http://evil.example",
        "Connection: close",
        "Connection: x",
        "Connection: keep-alive, x",
        "TE: trailers",
        "Trailer: x",
        "Expect: 100-continue",
        "Transfer-Encoding: chunked",
        "Content-Encoding: identity",
        "Upgrade: h2c",
    ],
)
async def test_a_block_that_is_not_for_the_lane_is_not_kept(blocks: HeaderBlocks, header: str):
    assert blocks.find(LINE, block(2, header)) is None
    assert len(blocks) == 0


class Expiring(Open):
    """An engine that admits up to a moment, to some buckets."""

    def __init__(self) -> None:
        self.now_us = 7_000_000
        self.clock = lambda: Micros(self.now_us)

    def admit(self, authorization: Sequence[str]) -> Admission:
        return Admission(Access("x", (Grant(Scope.APPEND, "a-"), Grant(Scope.READ)), "id"), Micros(12_000_000))


async def test_what_a_token_allows_is_known_no_longer_than_the_token_lasts(guard: WatchedGuard, clock: Clock):
    """By the wall clock, which may jump; and for which buckets."""
    engine = Expiring()
    blocks = HeaderBlocks(guard, engine, body_bytes_max=1 << 20, headers_max=128, now_s=clock)
    known = blocks.find(LINE, block())
    assert known is not None
    assert known.prefixes == ("a-",)
    engine.now_us = 11_999_999
    assert blocks.find(LINE, block()) is known
    engine.now_us = 12_000_000
    assert blocks.find(LINE, block()) is not known
    assert guard.judged_count == 2


async def test_a_header_block_of_a_stranger_is_not_known(guard: WatchedGuard, clock: Clock):
    """aiohttp's way says why."""

    class Closed(Open):
        def admit(self, authorization: Sequence[str]) -> Admission:
            raise Unauthorized("no token")

    assert (
        HeaderBlocks(guard, Closed(), body_bytes_max=1 << 20, headers_max=128, now_s=clock).find(LINE, block()) is None
    )
