"""What the disk must be told: the last state of each thing that some facts touched.

Many facts about one record leave one entry, so that a commit writes a record once however many heartbeats it carries.
The same set, read back as a whole, is what recovery finds on the disk.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from awlog.log.columns import Columns
from awlog.log.segment_index import SegmentEntry
from awlog.model.access import Token
from awlog.model.bucket import BucketMeta
from awlog.model.event import UNNUMBERED, BucketNumber, Change, Event, Seq


class TailRow(Struct, frozen=True, gc=False):
    """What a heartbeat changes: the tail record; and the numbers that the next new event and the next change get.

    As long as `next_revision` is the same, a bucket has only grown: new events, and a longer or newer tail record.
    `event_count` is that of the whole bucket: by it an event is missed that a damaged page has lost.
    """

    next_seq: Seq
    next_revision: int
    tail: Event | None
    event_count: int = 0


class SegmentWrite(Struct, frozen=True):
    """A segment to write: encoded beforehand, or as columns that the writer encodes, once however often they changed.

    Recovery leaves both empty: it reads index entries, not segments.
    """

    entry: SegmentEntry
    sealed: bytes | None = None
    columns: Columns | None = None


class SettingRow(Struct, frozen=True):
    """JSON text, and when it was set."""

    value: bytes
    change: Change


class BucketGone(Struct, frozen=True, array_like=True, tag=1):
    """A tombstone: the bucket is gone with all that it held. Events that were deleted in it before have theirs still."""

    number: BucketNumber
    bucket_id: str


class EventGone(Struct, frozen=True, array_like=True, tag=2):
    """A tombstone: the event is gone."""

    bucket_number: BucketNumber
    seq: Seq


class SettingGone(Struct, frozen=True, array_like=True, tag=3):
    """A tombstone: the key is set no more."""

    key: str


class EventsGone(Struct, frozen=True, array_like=True, tag=4):
    """A tombstone of many: all events from the first to the last seq are gone."""

    bucket_number: BucketNumber
    first_seq: Seq
    last_seq: Seq


Tombstone = BucketGone | EventGone | SettingGone | EventsGone


class ProducerRow(Struct, frozen=True, gc=False):
    """How far a producer's stream was taken. Turns count up: the producer with the least has been silent longest."""

    turn: int
    last_sequence: int


class WriteSet(Struct):
    """By key, the value to put, or None to remove. Removing a bucket removes all that is below it."""

    next_bucket_number: BucketNumber | None = None
    # Not written: it is one more than the greatest number that anything on the disk has.
    next_change: Change = UNNUMBERED
    buckets: dict[BucketNumber, BucketMeta | None] = field(default_factory=dict)
    tails: dict[BucketNumber, TailRow] = field(default_factory=dict)
    records: dict[BucketNumber, dict[Seq, Event | None]] = field(default_factory=dict)
    segments: dict[BucketNumber, dict[Seq, SegmentWrite | None]] = field(default_factory=dict)
    settings: dict[str, SettingRow | None] = field(default_factory=dict)
    tombstones: dict[Change, Tombstone] = field(default_factory=dict)
    producers: dict[str, ProducerRow | None] = field(default_factory=dict)
    tokens: dict[str, Token | None] = field(default_factory=dict)
    tokens_required: bool | None = None
    # Not written: these writes give room back, so they may take what is kept for them.
    may_use_reserve: bool = False

    def __bool__(self) -> bool:
        if self.tails or self.buckets or self.records or self.segments:
            return True
        return bool(self.settings or self.producers or self.tokens or self.tokens_required is not None)

    def put_record(self, bucket_number: BucketNumber, event: Event) -> None:
        self.records.setdefault(bucket_number, {})[event.seq] = event

    def put_records(self, bucket_number: BucketNumber, events: Iterable[Event]) -> None:
        self.records.setdefault(bucket_number, {}).update([(event.seq, event) for event in events])

    def drop_record(self, bucket_number: BucketNumber, seq: Seq) -> None:
        self.records.setdefault(bucket_number, {})[seq] = None

    def put_segment(self, bucket_number: BucketNumber, segment: SegmentWrite) -> None:
        self.segments.setdefault(bucket_number, {})[segment.entry.first_seq] = segment

    def drop_segment(self, bucket_number: BucketNumber, first_seq: Seq) -> None:
        self.segments.setdefault(bucket_number, {})[first_seq] = None

    def drop_bucket(self, bucket_number: BucketNumber) -> None:
        """Removes the bucket and forgets all that was to be written below it."""
        self.buckets[bucket_number] = None
        self.tails.pop(bucket_number, None)
        self.records.pop(bucket_number, None)
        self.segments.pop(bucket_number, None)
