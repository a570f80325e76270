"""What the fast lane knows by sight: request lines of heartbeats and insertions, and header blocks that were judged before.

Nothing here interprets a header. A block of headers is judged once, by aiohttp's own parser and by the guard of the
ordinary way; from then on it is known by its bytes, all of them, so what was judged is what comes.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from aiohttp import HttpVersion11
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser, RawRequestMessage
from msgspec import Struct

from awlog.api.guard import Guard
from awlog.api.heartbeat import span_of_pulsetime
from awlog.api.request_ids import REQUEST_ID
from awlog.engine.access import Admission
from awlog.engine.clock import Clock
from awlog.model.access import Scope
from awlog.model.errors import Refused
from awlog.model.times import Micros

# Characters that need no decoding in a path, digits that need none in a query. Other spellings go the ordinary way.
_LINE: Final = (
    rb"([A-Za-z0-9._~!$&'()*+,;=:@-]{1,1024})/(?:heartbeat\?pulsetime=(\d{1,15}(?:\.\d{0,15})?)|events) HTTP/1\.1"
)
_JSON: Final = re.compile(r'application/json(?:; ?charset="?utf-8"?)?', re.IGNORECASE)
# With one of these a request is more than its headers and a body of known length, or its answer is another each time.
_NEVER_KNOWN: Final = ("Transfer-Encoding", "Content-Encoding", "Expect", "Upgrade", "Trailer", "TE", REQUEST_ID)

HEAD_BYTES_MAX: Final = 8 << 10
"""Request line and headers of a request in the lane: as long as any aiohttp takes by default."""
BODY_BYTES_MAX: Final = 32 << 10
"""A longer body is no hot path: aiohttp reads it. Bounds what a connection in the lane can hold."""
KNOWN_MAX: Final = 4096
KNOWN_S: Final = 60.0
_LINES_MAX: Final = 4096

HEADERS_END: Final = b"\r\n\r\n"


class Target(NamedTuple):
    """Where it goes: what the request line says. `pulsetime_us` is None for an insertion."""

    bucket_id: str
    pulsetime_us: Micros | None


class Lines:
    """Request lines -> targets. A watcher sends the same line for years."""

    def __init__(self, base_path: str = "") -> None:
        self.beginning = f"POST {base_path}/api/0/buckets/".encode()
        """What each of them begins with."""
        self._line = re.compile(re.escape(self.beginning) + _LINE)
        self._targets: dict[bytes, Target] = {}

    def find(self, line: bytes) -> Target | None:
        """None if it is not exactly such a line. 0.1 µs for one seen lately, else about 3 µs."""
        target = self._targets.get(line)
        if target is None:
            found = self._line.fullmatch(line)
            if found is None:
                return None
            pulsetime_us = None if found[2] is None else span_of_pulsetime(found[2].decode())
            target = Target(found[1].decode(), pulsetime_us)
            if len(self._targets) >= _LINES_MAX:
                self._targets.clear()
            self._targets[line] = target
        return target


class Known(Struct, frozen=True):
    """What was judged of a header block."""

    body_bytes: int
    prefixes: tuple[str, ...]  # of the ids of buckets that it may append to
    reads: bool  # may it read every bucket?
    answer_headers: bytes  # of every answer: from the end of the status line to the value of Content-Length
    until_s: float  # on the loop's clock; the judgement holds no longer
    expires_us: Micros | None  # nor after this, by the wall clock, which may jump


class Admitting(Protocol):
    """The part of the engine that says who may do what."""

    clock: Clock

    def admit(self, authorization: Sequence[str]) -> Admission:
        """Raises Unauthorized."""


class HeaderBlocks:
    """Header blocks that are allowed to write, by their bytes: least recently used out, and none older than KNOWN_S.

    A block begins with the line end after the request line and ends with the empty line.
    """

    def __init__(
        self,
        guard: Guard,
        tokens: Admitting,
        *,
        body_bytes_max: int,
        headers_max: int,
        now_s: Callable[[], float],
        heeds_proxies: bool = False,
    ) -> None:
        """`now_s`: the loop's clock. Tell `tokens` to call `forget_all` when they change."""
        self._guard = guard
        self._heeds_proxies = heeds_proxies
        self._tokens = tokens
        self._body_bytes_max = min(body_bytes_max, BODY_BYTES_MAX)
        self._headers_max = headers_max
        self._now_s = now_s
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, line: bytes, block: bytes) -> Known | None:
        """0.2 µs for a known block; else it is judged behind this request line, about 40 µs. None: not for the lane."""
        known = self._known.get(block)
        if (
            known is not None
            and self._now_s() < known.until_s
            and (known.expires_us is None or self._tokens.clock() < known.expires_us)
        ):
            self._known.move_to_end(block)
            return known
        known = self._judge(line, block)
        if known is not None:
            self._known[block] = known
            self._known.move_to_end(block)
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        return known

    def forget_all(self) -> None:
        """Call it when the rules change: a token is revoked, a setting is another."""
        self._known.clear()

    def forget_old(self) -> None:
        """O(known)."""
        now_s = self._now_s()
        for block in [block for block, known in self._known.items() if known.until_s <= now_s]:
            del self._known[block]

    def _judge(self, line: bytes, block: bytes) -> Known | None:
        message = _parsed(line + block)
        if message is None:
            return None
        headers = message.headers
        if len(headers) > self._headers_max:
            return None
        if message.version != HttpVersion11 or message.should_close or message.upgrade or message.chunked:
            return None
        if any(name in headers for name in _NEVER_KNOWN):
            return None
        if any(value.lower() != "keep-alive" for value in headers.getall("Connection", [])):
            return None
        lengths, types = headers.getall("Content-Length", []), headers.getall("Content-Type", [])
        if len(lengths) != 1 or not (lengths[0].isascii() and lengths[0].isdigit() and len(lengths[0]) < 20):
            return None
        if len(types) != 1 or _JSON.fullmatch(types[0]) is None:
            return None
        body_bytes = int(lengths[0])
        if body_bytes > self._body_bytes_max:
            return None
        hosts = headers.getall("Host", [])
        forwarded = headers.getall("X-Forwarded-Host", []) if self._heeds_proxies else []
        if forwarded and "Origin" in headers:
            return None  # whether the peer may say what it was asked for is no matter of the headers
        try:
            self._guard.check_host(hosts, message.path, forwarded)
            cors = self._guard.admit("POST", headers.get("Origin"), hosts)
            admission = self._tokens.admit(headers.getall("Authorization", []))
        except Refused:
            return None
        lines = {**cors, "Content-Type": "application/json", "Content-Length": ""}
        answer_headers = "".join(f"\r\n{name}: {value}" for name, value in lines.items())
        if not answer_headers.isascii():
            return None
        access = admission.access
        return Known(
            body_bytes,
            access.prefixes(Scope.APPEND),
            access.may(Scope.READ),
            answer_headers.encode(),
            self._now_s() + KNOWN_S,
            admission.expires_us,
        )


def _parsed(head: bytes) -> RawRequestMessage | None:
    """What aiohttp understands by these headers, None if they are anything but one request's, whole."""
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, BODY_BYTES_MAX, auto_decompress=False)
    try:
        messages, upgraded, rest = parser.feed_data(head)
    except HttpProcessingError:
        return None
    return messages[0][0] if len(messages) == 1 and not upgraded and not rest else None
