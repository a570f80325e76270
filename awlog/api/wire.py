"""Request and response bodies: Structs, decoders and encoders made once, and wire values -> inner values.

Input is decoded once, here. Unknown keys are ignored, null counts as missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from awlog.engine import bulk
from awlog.engine.reading import BucketView
from awlog.model.access import Token
from awlog.model.bucket import EMPTY_PAYLOAD
from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest
from awlog.model.event import Payload
from awlog.model.payload import canonical_object, canonical_value, mend_lone_surrogates
from awlog.model.times import duration_from_seconds, format_timestamp, parse_timestamp

_T = TypeVar("_T")


# What a `data` field holds when its key is not there; null counts as that too.
_NULLS: Final = (b"", b"null")

# A long list is decoded in pieces of about this length, 0.3 ms each: a decoder does not let others work meanwhile.
_PIECE_BYTES: Final = 256 << 10
_BETWEEN_OBJECTS: Final = re.compile(rb"\}[ \t\r\n]*(,)[ \t\r\n]*\{")
_PART_EVENTS: Final = 4096

# What the API description says of a type that msgspec does not see; decoding takes no notice of it.
Timestamp = Annotated[
    str,
    Meta(
        description="ISO 8601, to the microsecond; without an offset it is UTC",
        extra_json_schema={"format": "date-time"},
    ),
]
Seconds = Annotated[float | int | None, Meta(description="A negative one counts as 0")]
DataObject = Annotated[Raw, Meta(description="Any JSON object", extra_json_schema={"type": ["object", "null"]})]
ShownObject = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
EventId = Annotated[int, Meta(description="Unique in the server, never given twice", ge=1, le=(1 << 53) - 1)]


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


class StreamHello(Struct):
    """The first message of a producer that numbers what it sends."""

    producer: str
    sequence: int | None = None
    bucket: Raw | UnsetType = UNSET


class FollowBody(Struct):
    """Which changes a follower on a WebSocket is told."""

    since: int | None = None
    bucket_prefix: str = ""


class StreamFollow(Struct):
    """The first message of a follower."""

    follow: FollowBody


class StreamFollowing(Struct):
    """Is this such a message, whatever it asks for?"""

    follow: Raw | UnsetType = UNSET


class RefusedBody(Struct):
    """Why a line, or an element of a list, was not taken."""

    type: str
    message: str
    line: int | UnsetType = UNSET
    index: int | UnsetType = UNSET


class TakenBody(Struct, omit_defaults=True):
    """What became of many heartbeats. `durable`: all lines up to this one are; `sequence`: the producer's number of it;
    `dropped`: how many met a privacy filter, left out if none did.
    """

    durable: int
    merged: int
    inserted: int
    duplicates: int
    refused_count: int
    refused: list[RefusedBody]
    sequence: int | UnsetType = UNSET
    dropped: int = 0


class CreateBucketBody(Struct):
    type: str
    client: str
    hostname: str
    name: str | None = None
    data: DataObject = field(default_factory=Raw)
    created: Timestamp | None = None


class UpdateBucketBody(Struct):
    type: str | None = None
    client: str | None = None
    hostname: str | None = None
    name: str | None = None
    data: DataObject = field(default_factory=Raw)


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


class CreateTokenBody(Struct):
    """`scopes`: read, append, write or admin, each perhaps with a prefix of bucket ids, `append:my-bucket*`. `device`: the
    id of the only device as which it pushes; by itself the one that it pushes as first.
    """

    scopes: list[str]
    name: str = ""
    expires: str | None = None
    device: str | None = None


class RequiredBody(Struct):
    """Do requests need a token?"""

    required: bool


class QueryBody(Struct):
    query: list[str]
    timeperiods: list[str]


EVENTS: Final = msgspec.json.Decoder(EventBody | list[EventBody])
_EVENT_LIST: Final = msgspec.json.Decoder(list[EventBody])
HEARTBEAT: Final = msgspec.json.Decoder(UnnumberedEventBody)
HEARTBEAT_LIST: Final = msgspec.json.Decoder(list[BatchedHeartbeatBody])
BATCHED_HEARTBEAT: Final = msgspec.json.Decoder(BatchedHeartbeatBody)
RAW_LIST: Final = msgspec.json.Decoder(list[Raw])
HEARTBEAT_LINE: Final = msgspec.json.Decoder(HeartbeatLine)
STREAM_HELLO: Final = msgspec.json.Decoder(StreamHello)
STREAM_FOLLOW: Final = msgspec.json.Decoder(StreamFollow)
STREAM_FOLLOWING: Final = msgspec.json.Decoder(StreamFollowing)
CREATE_BUCKET: Final = msgspec.json.Decoder(CreateBucketBody)
UPDATE_BUCKET: Final = msgspec.json.Decoder(UpdateBucketBody)
IMPORT: Final = msgspec.json.Decoder(ImportBody)
IMPORTED_BUCKET: Final = msgspec.json.Decoder(ImportedBucketBody)
QUERY: Final = msgspec.json.Decoder(QueryBody)
CREATE_TOKEN: Final = msgspec.json.Decoder(CreateTokenBody)
REQUIRED: Final = msgspec.json.Decoder(RequiredBody)
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


def payload_or_none(raw: Raw) -> Payload | None:
    """None if `data` is missing or null. Raises BadRequest."""
    return None if bytes(raw) in _NULLS else canonical_object(bytes(raw))


def value_or_none(raw: Raw) -> bytes | None:
    """Canonical JSON; None if it is missing or null. Raises BadRequest."""
    return None if bytes(raw) in _NULLS else canonical_value(bytes(raw))


class Span(Struct):
    """The least start and the greatest end of the events that a bucket holds now."""

    start: Timestamp | None
    end: Timestamp | None


class BucketFields(Struct):
    """What a bucket was given when it was made."""

    id: str
    name: str | None
    type: str
    client: str
    hostname: str
    created: Timestamp
    data: ShownObject


class BucketBody(BucketFields):
    """A bucket as it is shown."""

    metadata: Span
    last_updated: Timestamp | UnsetType = UNSET


# The list of buckets is asked for again and again, and most of its instants are those of the last time.
_shown: Final = lru_cache(maxsize=4096)(format_timestamp)


def bucket_body(view: BucketView) -> BucketBody:
    meta = view.meta
    start = None if view.start_us is None else _shown(view.start_us)
    end = None if view.end_us is None else _shown(view.end_us)
    return BucketBody(
        meta.id,
        meta.name,
        meta.type,
        meta.client,
        meta.hostname,
        _shown(meta.created_us),
        Raw(meta.data),
        Span(start, end),
        UNSET if end is None else end,
    )


# Answers that are not made of Structs, described for those who read them.


class RefusalBody(Struct):
    """Every 4xx and 5xx: a stable word for programs, a text for people; of a query, where in its text it failed."""

    type: str
    message: str
    line: int | UnsetType = UNSET
    column: int | UnsetType = UNSET


class InfoBody(Struct):
    """Who this server is."""

    hostname: str
    version: str
    testing: bool
    device_id: str


class StoredEvent(Struct):
    """An event as it is shown; in a range it is cut to that."""

    id: EventId
    timestamp: Timestamp
    duration: Annotated[float, Meta(ge=0)]
    data: ShownObject


class PageBody(Struct):
    """A part of a range; `next` is the `cursor` of the part behind it."""

    events: list[StoredEvent]
    next: str | None


class ChangeBody(Struct, omit_defaults=True):
    """A line of `/changes`: a change, or with the kind `position` where to go on.

    The kinds: bucket (with `metadata`), bucket_deleted, event, event_deleted (with `id`), events_deleted (all from
    `first_id` to `last_id`), setting (with `key` and `value`,
    null if it is not set any more), position.
    """

    change: int
    kind: str
    bucket: str | UnsetType = UNSET
    event: StoredEvent | UnsetType = UNSET
    id: int | UnsetType = UNSET
    first_id: int | UnsetType = UNSET
    last_id: int | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET
    key: str | UnsetType = UNSET
    value: Any | UnsetType = UNSET


class DeletedBody(Struct):
    """Was there an event to delete?"""

    success: bool


class ExportedEvent(Struct):
    timestamp: Timestamp
    duration: Annotated[float, Meta(ge=0)]
    data: ShownObject


class ExportedBucketBody(BucketFields):
    events: list[ExportedEvent]


class ExportBody(Struct):
    """What `/import` takes."""

    buckets: dict[str, ExportedBucketBody]


class LogRecordBody(Struct):
    """A program message; it may have more fields."""

    timestamp: Timestamp
    level: str
    message: str


class ExplainedBody(Struct):
    """The results of a query with `explain=1`."""

    results: list[Any]
    explanation: dict[str, Any]


class EmptyBody(Struct):
    """`{}`: it is done."""


class TokenBody(Struct):
    """A token as it is shown: all but its secret, which nobody has."""

    id: str
    name: str
    scopes: list[str]
    created: str
    expires: str | None
    last_used: str | None
    device: str | None


class TokensBody(Struct):
    required: bool
    tokens: list[TokenBody]


class NewTokenBody(Struct):
    """The one answer that holds a secret."""

    secret: str
    token: TokenBody


def token_body(token: Token) -> TokenBody:
    return TokenBody(
        token.id,
        token.name,
        [str(grant) for grant in token.grants],
        format_timestamp(token.created_us),
        None if token.expires_us is None else format_timestamp(token.expires_us),
        None if token.last_used_us is None else format_timestamp(token.last_used_us),
        token.device_id,
    )


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)
