"""Streams of heartbeats on their way into the engine: lines decoded, submitted in order, acknowledged when durable.

Decoding is ahead of the disk by a few blocks at most: who sends faster than that waits, and memory stays flat.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Final

from msgspec import UNSET, DecodeError, UnsetType

from awlog.api import wire
from awlog.api.answer_bodies import RefusedBody, TakenBody
from awlog.api.event_bodies import HEARTBEAT_LINE, HeartbeatLine, PayloadCache
from awlog.engine.engine import Engine
from awlog.model.access import Access, Scope
from awlog.model.commands import Producer, SendHeartbeat, SendHeartbeats, Taken
from awlog.model.errors import AwlogError, BadRequest, Forbidden, PayloadTooLarge, Refused
from awlog.model.event import Payload
from awlog.model.times import Micros, duration_from_seconds, parse_timestamp, span_from_seconds

# Blocks that are submitted and not durable: half a megabyte of lines.
_UNDURABLE_BLOCKS_MAX: Final = 8
# Lines decoded one by one in one turn of the loop: about 2 ms.
_SLOW_LINES: Final = 512
# Refused lines named in the answer at the end; all of them are counted.
REFUSED_NAMED_MAX: Final = 100
# Refused lines that wait to be told: a client that does not read must not make us remember all it sends.
_UNTOLD_REFUSALS_MAX: Final = 4 * REFUSED_NAMED_MAX

PRODUCER_ID_BYTES_MAX: Final = 128
SEQUENCE_MAX: Final = (1 << 53) - 1

Lines = list[SendHeartbeat | Refused | None]


def checked_producer(producer_id: str, sequence: int, access: Access) -> Producer:
    """Raises BadRequest."""
    encoded = producer_id.encode("utf-8", "replace")
    if not 1 <= len(encoded) <= PRODUCER_ID_BYTES_MAX or not producer_id.isprintable():
        raise BadRequest(f"A producer's id is a printable text of 1 to {PRODUCER_ID_BYTES_MAX} bytes")
    if not 1 <= sequence <= SEQUENCE_MAX:
        raise BadRequest(f"A sequence number is an integer from 1 to {SEQUENCE_MAX}")
    return Producer(own_id(producer_id, access), sequence)


def own_id(producer_id: str, access: Access) -> str:
    """Each token has producers of its own, so that nobody moves another's numbers. No id that is sent holds a line end."""
    return producer_id if access.token_id is None else f"{access.token_id}\n{producer_id}"


def decode_lines(block: bytes, payloads: PayloadCache) -> Iterator[Lines]:
    """Whole lines -> one entry for each, in parts that take about 2 ms. About 2.5 µs a line."""
    ended = block.endswith(b"\n")
    # A line break between two objects, as often as there are lines, and as many objects: so each line is one.
    line_count = block.count(b"}\n{") + 1
    if line_count == block.count(b"\n") + (not ended):
        try:
            bodies = HEARTBEAT_LINE.decode_lines(block)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            bodies = []
        if len(bodies) == line_count:
            yield _beats(bodies, payloads)
            return
    lines = block.split(b"\n")
    if ended:
        lines.pop()
    for at in range(0, len(lines), _SLOW_LINES):
        yield [_decode_line(line, payloads) for line in lines[at : at + _SLOW_LINES]]


def _decode_line(line: bytes, payloads: PayloadCache) -> SendHeartbeat | Refused | None:
    if not line.strip():
        return None
    try:
        return _beats([wire.decode(HEARTBEAT_LINE, line)], payloads)[0]
    except BadRequest as refusal:
        return refusal.with_traceback(None)


def _beats(bodies: list[HeartbeatLine], payloads: PayloadCache) -> Lines:
    beats: Lines = []
    pulsetime, pulsetime_us = 0.0, Micros(0)
    for body in bodies:
        event = body.event
        try:
            if body.pulsetime != pulsetime:
                pulsetime_us = _pulsetime_us(body.pulsetime)
                pulsetime = body.pulsetime  # type: ignore[assignment]  # None was refused
            start_us = parse_timestamp(event.timestamp)
            duration_us = duration_from_seconds(event.duration, start_us) if event.duration else Micros(0)
            payload: Payload = payloads.payload(event.data)
            beats.append(SendHeartbeat(body.bucket, start_us, duration_us, payload, pulsetime_us))
        except BadRequest as refusal:
            beats.append(refusal.with_traceback(None))
    return beats


def _pulsetime_us(seconds: float | None) -> Micros:
    if seconds is None:
        raise BadRequest("`pulsetime` is missing: the longest gap, in seconds, that still merges")
    return span_from_seconds(seconds)


def refused_body(refusal: AwlogError, *, line: int | UnsetType = UNSET, index: int | UnsetType = UNSET) -> RefusedBody:
    message = str(refusal).encode("utf-8", "replace").decode()
    return RefusedBody(type(refusal).__name__, message, line, index)


class Intake:
    """One stream. Lines count from 1; those of a producer have a number of their own besides."""

    def __init__(
        self, engine: Engine, access: Access, payloads: PayloadCache, line_bytes_max: int, *, tells: bool
    ) -> None:
        """`tells`: somebody asks `since_last_time` whenever there are `news`."""
        self._tells = tells
        self._engine = engine
        self._access = access
        self._prefixes = access.prefixes(Scope.APPEND)
        self._payloads = payloads
        self._line_bytes_max = line_bytes_max
        self._producer: Producer | None = None
        self._submitted = 0
        self._pending: deque[tuple[int, asyncio.Future[Taken]]] = deque()
        self._failure: BaseException | None = None
        self._moved = asyncio.Event()
        self.news = asyncio.Event()
        """Set whenever more has become durable, or cannot any more."""
        self.totals = self._nothing()
        self._since = self._nothing()

    def _nothing(self) -> TakenBody:
        return TakenBody(0, 0, 0, 0, 0, [])

    def number(self, producer: Producer) -> None:
        """From here on the lines have numbers; the next one has `producer.first_sequence`."""
        self._producer = Producer(producer.id, producer.first_sequence - self._submitted)

    async def take(self, block: bytes | None) -> None:
        """A block of whole lines; None for a line that was too long. Waits while too much is not durable, or not told.

        Raises what a commit raised, and Unauthorized when the token is good no longer: what is behind it is not taken.
        """
        self._engine.tokens.check(self._access)
        if block is None:
            setting = "the setting `max_body_bytes` sets the limit"
            await self._submit([PayloadTooLarge(f"The line is longer than {self._line_bytes_max} bytes; {setting}")])
            return
        for lines in decode_lines(block, self._payloads):
            await self._submit(lines)

    async def _submit(self, lines: Lines) -> None:
        while (
            len(self._pending) >= _UNDURABLE_BLOCKS_MAX or len(self._since.refused) >= _UNTOLD_REFUSALS_MAX
        ) and not self._has_failed():
            self._moved.clear()
            await self._moved.wait()
        await self._engine.room()
        if self._has_failed():
            await self.finish()  # raises
        if "" not in self._prefixes:
            lines = [self._checked(line) for line in lines]
        producer = self._producer
        if producer is not None:
            producer = Producer(producer.id, producer.first_sequence + self._submitted)
        future = self._engine.submit_heartbeats(SendHeartbeats(lines, producer))
        self._submitted += len(lines)
        self._pending.append((self._submitted, future))
        future.add_done_callback(self._settle)
        await asyncio.sleep(0)  # others get their turn

    def _checked(self, line: SendHeartbeat | Refused | None) -> SendHeartbeat | Refused | None:
        if isinstance(line, SendHeartbeat) and not line.bucket_id.startswith(self._prefixes):
            return Forbidden(f"This needs the scope `{Scope.APPEND}` in this bucket")
        return line

    def _has_failed(self) -> bool:
        """Is a block lost, though perhaps nobody was told yet? Then none behind it may be taken: its producer's number
        would say that the lost one is there.
        """
        failed = (future for _, future in self._pending if future.done() and future.exception() is not None)
        return self._failure is not None or next(failed, None) is not None

    def _settle(self, _done: object) -> None:
        """Takes over what is durable, in the order of the lines."""
        while self._pending and self._pending[0][1].done():
            through, future = self._pending.popleft()
            self._failure = self._failure or future.exception()
            if self._failure is None:
                self._count(through, future.result())
        self._moved.set()
        self.news.set()

    def _count(self, through: int, taken: Taken) -> None:
        before = self.totals.durable
        refused = [refused_body(why, line=before + at + 1) for at, why in taken.refused]
        for body in (self.totals, self._since):
            body.durable = through
            body.merged += taken.merged
            body.inserted += taken.inserted
            body.duplicates += taken.duplicates
            body.dropped += taken.dropped
            body.refused_count += len(refused)
            if self._producer is not None:
                body.sequence = self._producer.first_sequence + through - 1
        self.totals.refused += refused[: REFUSED_NAMED_MAX - len(self.totals.refused)]
        if self._tells:
            self._since.refused += refused

    def since_last_time(self) -> TakenBody | None:
        """What became durable since this was asked last; None if nothing did. Raises what a commit raised."""
        if self._since.durable:
            since, self._since = self._since, self._nothing()
            self._moved.set()
            return since
        if self._failure is not None:
            raise self._failure
        return None

    async def finish(self) -> None:
        """Returns when everything is durable. Raises what a commit raised."""
        while self._pending:
            self._moved.clear()
            await self._moved.wait()
        if self._failure is not None:
            raise self._failure
