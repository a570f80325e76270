"""Events as clients send them, one or many -> new events. Data that come again and again are parsed once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

import msgspec
from msgspec import Raw, Struct, field

from awlog.api.wire import DataObject, Seconds, Timestamp, decode
from awlog.engine import bulk
from awlog.model.bucket import EMPTY_PAYLOAD
from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest
from awlog.model.event import Payload
from awlog.model.payload import canonical_object
from awlog.model.times import duration_from_seconds, parse_timestamp

# A long list is decoded in pieces of about this length, 0.3 ms each: a decoder does not let others work meanwhile.
_PIECE_BYTES: Final = 256 << 10
_BETWEEN_OBJECTS: Final = re.compile(rb"\}[ \t\r\n]*(,)[ \t\r\n]*\{")
_PART_EVENTS: Final = 4096


class EventBody(Struct, gc=False):
    """An event to write."""

    timestamp: Timestamp
    duration: Seconds = None
    data: DataObject = field(default_factory=Raw)
    id: int | None = None


class UnnumberedEventBody(Struct, gc=False):
    """A heartbeat, or an event of an import: an `id` is ignored, whatever it is."""

    timestamp: Timestamp
    duration: Seconds = None
    data: DataObject = field(default_factory=Raw)


class BatchedHeartbeatBody(UnnumberedEventBody, gc=False):
    """A heartbeat among many to one bucket, perhaps with a pulsetime of its own."""

    pulsetime: float | None = None


class HeartbeatLine(Struct, gc=False):
    """A line of a stream: a heartbeat and where it goes."""

    bucket: str
    event: UnnumberedEventBody
    pulsetime: float | None = None


class ImportedBucketBody(Struct):
    type: str
    client: str
    hostname: str
    id: str | None = None
    name: str | None = None
    data: DataObject = field(default_factory=Raw)
    created: Timestamp | None = None
    events: list[UnnumberedEventBody] | None = None


class ImportBody(Struct):
    """Each bucket is decoded on its own, so that an error can name it."""

    buckets: dict[str, Raw]


class DescribedImportBody(Struct):
    """What an import is made of, each bucket under its id; as one document."""

    buckets: dict[str, ImportedBucketBody]


EVENTS: Final = msgspec.json.Decoder(EventBody | list[EventBody])
_EVENT_LIST: Final = msgspec.json.Decoder(list[EventBody])
HEARTBEAT: Final = msgspec.json.Decoder(UnnumberedEventBody)
HEARTBEAT_LIST: Final = msgspec.json.Decoder(list[BatchedHeartbeatBody])
BATCHED_HEARTBEAT: Final = msgspec.json.Decoder(BatchedHeartbeatBody)
HEARTBEAT_LINE: Final = msgspec.json.Decoder(HeartbeatLine)
IMPORT: Final = msgspec.json.Decoder(ImportBody)
IMPORTED_BUCKET: Final = msgspec.json.Decoder(ImportedBucketBody)


def decode_events(raw: bytes, piece_bytes: int = _PIECE_BYTES) -> EventBody | list[EventBody]:
    """As `decode(EVENTS, raw)`; a long list in pieces, so that a thread that does it gives way to others."""
    if len(raw) > piece_bytes and raw[:1] == b"[":
        try:
            return [body for piece in _pieces(raw, piece_bytes) for body in _EVENT_LIST.decode(piece)]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # as a whole it says what is wrong, if anything is
    body: EventBody | list[EventBody] = decode(EVENTS, raw)
    return body


def _pieces(raw: bytes, piece_bytes: int) -> Iterator[bytes]:
    """A JSON list as several, cut between two objects.

    If such a place is inside a text or an inner list, the piece before it ends inside too, and is no JSON.
    """
    begin = 1
    while found := _BETWEEN_OBJECTS.search(raw, begin + piece_bytes):
        yield b"[%b]" % raw[begin : found.start(1)]
        begin = found.end(1)
    yield b"[%b" % raw[begin:]


class PayloadCache:
    """Raw `data` -> payload, remembered for data that come again and again. One bytes object for equal payloads."""

    _lasting: ClassVar[list[PayloadCache]] = []

    @classmethod
    def lasting(cls) -> PayloadCache:
        """One for the life of the process, which `forget_all` empties."""
        made = cls()
        cls._lasting.append(made)
        return made

    @classmethod
    def forget_all(cls) -> None:
        """Lets go of what all lasting ones remember: stored events were erased."""
        for each in cls._lasting:
            each._payloads.clear()

    # Watchers repeat themselves: a few thousand titles are a day's. Long payloads are not worth the memory.
    _ENTRIES_MAX: Final = 4096
    _RAW_BYTES_MAX: Final = 1024

    def __init__(self) -> None:
        self._payloads: dict[bytes, Payload] = {}

    def payload(self, raw: Raw) -> Payload:
        """0.1 µs for data seen lately, else as `canonical_object`; missing is `{}`. Raises BadRequest."""
        key = bytes(raw)
        return self._payloads.get(key) or self._add(key)

    def payloads(self, raws: list[Raw]) -> list[Payload]:
        """As `payload`, for each."""
        known = self._payloads.get
        return [known(key) or self._add(key) for key in map(bytes, raws)]

    def _add(self, key: bytes) -> Payload:
        if not key:
            return EMPTY_PAYLOAD
        payload = canonical_object(key)
        if len(key) <= self._RAW_BYTES_MAX:
            if len(self._payloads) >= self._ENTRIES_MAX:
                self._payloads.clear()
            self._payloads[key] = payload
        return payload


def new_event(body: EventBody | UnnumberedEventBody, payloads: PayloadCache) -> NewEvent:
    """Raises BadRequest."""
    start_us = parse_timestamp(body.timestamp)
    duration_us = duration_from_seconds(body.duration, start_us)
    wire_id = body.id if isinstance(body, EventBody) else None
    return NewEvent(start_us, duration_us, payloads.payload(body.data), wire_id)


def new_events(
    bodies: Sequence[EventBody | UnnumberedEventBody], where: str, payloads: PayloadCache | None = None
) -> list[NewEvent]:
    """Raises BadRequest, which says `where` and which event. About 0.5 µs an event; 1.3 µs in a short list."""
    payloads = payloads or PayloadCache()
    if len(bodies) >= bulk.MANY_EVENTS:
        try:
            return [event for part in _in_parts(bodies) for event in _new_events_at_once(part, payloads)]
        except BadRequest:
            pass  # one by one they say which of them it is
    events: list[NewEvent] = []
    try:
        for body in bodies:
            events.append(new_event(body, payloads))  # noqa: PERF401 - their count says which one is bad
    except BadRequest as error:
        raise BadRequest(f"{where}[{len(events)}]: {error}") from None
    return events


def _in_parts(
    bodies: Sequence[EventBody | UnnumberedEventBody],
) -> Iterator[Sequence[EventBody | UnnumberedEventBody]]:
    """So few that no step of a thread that works on them holds the others up."""
    for at in range(0, len(bodies), _PART_EVENTS):
        yield bodies[at : at + _PART_EVENTS]


def _new_events_at_once(bodies: Sequence[EventBody | UnnumberedEventBody], payloads: PayloadCache) -> list[NewEvent]:
    return bulk.new_events(
        [body.timestamp for body in bodies],
        [body.duration for body in bodies],
        payloads.payloads([body.data for body in bodies]),
        [body.id if isinstance(body, EventBody) else None for body in bodies],
    )
