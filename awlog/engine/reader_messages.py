"""What a server and its reader processes say to each other: requests one way, frames the other, each behind its length.

A request is answered by some frames and then `Done` or `Failed`.
"""

from __future__ import annotations

from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from awlog.engine.feed_page import PageEnd
from awlog.engine.looking import FoundPart, Looked, LookRequest
from awlog.formats.encoders import Wanted
from awlog.model.bucket import BucketMeta
from awlog.model.event import BucketNumber
from awlog.model.feed import FeedEntry, FeedRequest
from awlog.model.times import Micros
from awlog.query.budget import Limits
from awlog.query.errors import QueryLimitExceeded
from awlog.query.explain import StatementCost

LENGTH_BYTES: Final = 8


class ReaderOptions(Struct, frozen=True):
    """What a reader process is started with, as JSON on its command line."""

    data_dir: str
    cache_bytes: int
    limits: Limits
    damaged: bool = False


class ReadRequest(Struct, frozen=True, tag="read"):
    """A range read of one bucket; or of all, oldest first, when there is no id. `text_chars_max`: longer texts are cut."""

    bucket_id: str | None
    start_us: Micros
    end_us: Micros
    count_max: int | None
    with_ids: bool
    text_chars_max: int | None = None


class TimelineRequest(Struct, frozen=True, tag="timeline"):
    """Pictures of these buckets over a range; of all, oldest first, when there are no ids."""

    bucket_ids: list[str] | None
    start_us: Micros
    end_us: Micros
    bin_count: int
    events_max: int


class DocumentRequest(Struct, frozen=True, tag="document"):
    """A range read of one bucket, or of all when there is no id, as one document."""

    bucket_id: str | None
    wanted: Wanted


class QueryRequest(Struct, frozen=True, tag="query"):
    """One query, as it came in; only buckets whose ids begin with one of `prefixes` are there for it. Texts in the answer
    that are longer than `text_chars_max` are cut.
    """

    lines: list[str]
    periods: list[str]
    name: str
    explain: bool
    prefixes: tuple[str, ...]
    run_s_max: float
    text_chars_max: int | None = None


class Explanation(Struct, frozen=True):
    """What a query did. Seconds of the whole: parsing, reading, computing, writing."""

    statements: list[StatementCost]
    segments_read: int
    seconds: float


class Answer(Struct, frozen=True, tag="answer"):
    """A part of the values of the periods, as JSON joined by commas."""

    part: bytes


class Opened(Struct, frozen=True, tag="opened"):
    """A range read has begun, on a snapshot that shows these buckets."""

    buckets: list[BucketMeta]


class Part(Struct, frozen=True, tag="part"):
    """Some events of a bucket as JSON, joined by commas."""

    bucket_number: BucketNumber
    value: bytes


class Fed(Struct, frozen=True, tag="fed"):
    """Some changes of a page, in their order."""

    entries: list[FeedEntry]


class Done(Struct, frozen=True, tag="done"):
    explanation: Explanation | None
    page_end: PageEnd | None = None


class Failed(Struct, frozen=True, tag="failed"):
    """An error, by the name of its class; `line` and `column` only for errors of the query's text.

    subject  the id of the bucket that there is not
    """

    error: str
    message: str
    line: int | None = None
    column: int | None = None
    subject: str | None = None


Frame = Answer | Opened | Part | Looked | FoundPart | Fed | Done | Failed
ENCODER: Final = msgspec.msgpack.Encoder()
FRAMES: Final = msgspec.msgpack.Decoder(Frame)
Request = QueryRequest | ReadRequest | TimelineRequest | DocumentRequest | LookRequest | FeedRequest
REQUESTS: Final = msgspec.msgpack.Decoder(Request)


def read_frame(source: BinaryIO) -> bytes | None:
    """The next frame's content, None at the end."""
    length = source.read(LENGTH_BYTES)
    return source.read(int.from_bytes(length, "little")) if len(length) == LENGTH_BYTES else None


def out_of_time(run_s_max: float) -> QueryLimitExceeded:
    """Told by the process that notices, or by the server when that had to be ended."""
    return QueryLimitExceeded(f"The query ran for more than {run_s_max:g} s; the setting `max_query_s` sets the limit")
