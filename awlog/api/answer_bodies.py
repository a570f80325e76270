"""Bodies of answers: what is made of Structs, and what is not, described here for those who read it."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from awlog.api.wire import EventId, ShownObject, Timestamp
from awlog.engine.reading import BucketView
from awlog.model.access import Token
from awlog.model.times import format_timestamp


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
