"""Request and response bodies: Structs, decoders and encoders made once, and wire values -> inner values.

Input is decoded once, here. Unknown keys are ignored, null counts as missing.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from awlog.engine.engine import BucketView
from awlog.model.bucket import EMPTY_PAYLOAD
from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest
from awlog.model.event import Payload
from awlog.model.payload import canonical_object, mend_lone_surrogates
from awlog.model.times import duration_from_seconds, format_timestamp, parse_timestamp

_T = TypeVar("_T")


# What a Raw field holds when its key is not there; null counts as that too.
_MISSING: Final = Raw()
_NULLS: Final = (b"", b"null")


class EventBody(Struct, gc=False):
    """An event to write."""

    timestamp: str
    duration: float | int | None = None
    data: Raw = _MISSING
    id: int | None = None


class UnnumberedEventBody(Struct, gc=False):
    """A heartbeat, or an event of an import: an `id` is ignored, whatever it is."""

    timestamp: str
    duration: float | int | None = None
    data: Raw = _MISSING


class BatchedHeartbeatBody(UnnumberedEventBody, gc=False):
    """A heartbeat among many to one bucket, perhaps with a pulsetime of its own."""

    pulsetime: float | None = None


class HeartbeatLine(Struct, gc=False):
    """A line of a stream: a heartbeat and where it goes."""

    bucket: str
    event: UnnumberedEventBody
    pulsetime: float | None = None


class StreamHello(Struct):
    """The first message of a producer that numbers what it sends."""

    producer: str
    sequence: int | None = None
    bucket: Raw | UnsetType = UNSET


class RefusedBody(Struct):
    """Why a line, or an element of a list, was not taken."""

    line: int | UnsetType
    index: int | UnsetType
    type: str
    message: str


class TakenBody(Struct):
    """What became of many heartbeats. `durable`: all lines up to this one are; `sequence`: the producer's number of it."""

    durable: int
    merged: int
    inserted: int
    duplicates: int
    refused_count: int
    refused: list[RefusedBody]
    sequence: int | UnsetType = UNSET


class CreateBucketBody(Struct):
    type: str
    client: str
    hostname: str
    name: str | None = None
    data: Raw = _MISSING
    created: str | None = None


class UpdateBucketBody(Struct):
    type: str | None = None
    client: str | None = None
    hostname: str | None = None
    name: str | None = None
    data: Raw = _MISSING


class ImportedBucketBody(Struct):
    type: str
    client: str
    hostname: str
    id: str | None = None
    name: str | None = None
    data: Raw = _MISSING
    created: str | None = None
    events: list[UnnumberedEventBody] | None = None


class ImportBody(Struct):
    """Each bucket is decoded on its own, so that an error can name it."""

    buckets: dict[str, Raw]


class QueryBody(Struct):
    query: list[str]
    timeperiods: list[str]


EVENTS: Final = msgspec.json.Decoder(EventBody | list[EventBody])
HEARTBEAT: Final = msgspec.json.Decoder(UnnumberedEventBody)
HEARTBEAT_LIST: Final = msgspec.json.Decoder(list[BatchedHeartbeatBody])
BATCHED_HEARTBEAT: Final = msgspec.json.Decoder(BatchedHeartbeatBody)
RAW_LIST: Final = msgspec.json.Decoder(list[Raw])
HEARTBEAT_LINE: Final = msgspec.json.Decoder(HeartbeatLine)
STREAM_HELLO: Final = msgspec.json.Decoder(StreamHello)
CREATE_BUCKET: Final = msgspec.json.Decoder(CreateBucketBody)
UPDATE_BUCKET: Final = msgspec.json.Decoder(UpdateBucketBody)
IMPORT: Final = msgspec.json.Decoder(ImportBody)
IMPORTED_BUCKET: Final = msgspec.json.Decoder(ImportedBucketBody)
QUERY: Final = msgspec.json.Decoder(QueryBody)
ANY_VALUE: Final = msgspec.json.Decoder(Raw)


def decode(decoder: msgspec.json.Decoder[_T], raw: bytes) -> _T:
    """A request body. Raises BadRequest, which names the field; half surrogate pairs become U+FFFD."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return decoder.decode(mend_lone_surrogates(raw))
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8") from None
    except RecursionError:
        raise BadRequest("The JSON is nested too deep") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"The body is no valid JSON: {error}") from None


class PayloadCache:
    """Raw `data` -> payload, remembered for data that come again and again. One bytes object for equal payloads."""

    # Watchers repeat themselves: a few thousand titles are a day's. Long payloads are not worth the memory.
    _ENTRIES_MAX: Final = 4096
    _RAW_BYTES_MAX: Final = 1024

    def __init__(self) -> None:
        self._payloads: dict[bytes, Payload] = {}

    def payload(self, raw: Raw) -> Payload:
        """0.1 µs for data seen lately, else as `canonical_object`; missing is `{}`. Raises BadRequest."""
        key = bytes(raw)
        if not key:
            return EMPTY_PAYLOAD
        known = self._payloads.get(key)
        if known is not None:
            return known
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


def new_events(bodies: list[EventBody] | list[UnnumberedEventBody], where: str) -> list[NewEvent]:
    """Raises BadRequest, which says `where` and which event. About 1.3 µs an event."""
    payloads = PayloadCache()
    events: list[NewEvent] = []
    try:
        for body in bodies:
            events.append(new_event(body, payloads))  # noqa: PERF401 - their count says which one is bad
    except BadRequest as error:
        raise BadRequest(f"{where}[{len(events)}]: {error}") from None
    return events


def payload_or_none(raw: Raw) -> Payload | None:
    """None if `data` is missing or null. Raises BadRequest."""
    return None if bytes(raw) in _NULLS else canonical_object(bytes(raw))


class _Span(Struct):
    start: str | None
    end: str | None


class BucketBody(Struct):
    """A bucket as it is shown."""

    id: str
    name: str | None
    type: str
    client: str
    hostname: str
    created: str
    data: Raw
    metadata: _Span
    last_updated: str | UnsetType = UNSET


def bucket_body(view: BucketView) -> BucketBody:
    meta = view.meta
    start = None if view.start_us is None else format_timestamp(view.start_us)
    end = None if view.end_us is None else format_timestamp(view.end_us)
    return BucketBody(
        meta.id,
        meta.name,
        meta.type,
        meta.client,
        meta.hostname,
        format_timestamp(meta.created_us),
        Raw(meta.data),
        _Span(start, end),
        UNSET if end is None else end,
    )


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)
