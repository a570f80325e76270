"""All that `apply` may touch: the buckets, each with its tail record, head and segment index, and the settings.

Two of these live in a server. The *staged* state is ahead: commands are decided against it, `apply` moves it. The
*durable* one follows when a commit is on the disk, by `absorb`: reads are answered from it, so that no answer shows
what a crash could take back. They share the frozen events and entries, not the containers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from msgspec import Struct, field

from awlog.log.columns import Columns
from awlog.log.filters import SETTING as FILTERS_SETTING
from awlog.log.filters import Filters, filters_of
from awlog.log.head import Head
from awlog.log.segment_index import SegmentEntry, SegmentIndex
from awlog.log.write_set import ProducerRow, WriteSet
from awlog.model.access import Token
from awlog.model.bucket import BucketMeta
from awlog.model.errors import DataDamaged, NoSuchBucket
from awlog.model.event import BucketNumber, Change, Event, Seq
from awlog.model.times import Micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

LoadSegment = Callable[[BucketNumber, SegmentEntry], Columns]
"""Gives the events of a segment: state that is too large to be held in memory. Raises DataDamaged."""

_Value = TypeVar("_Value")

# From this many records on, rebuilding a head is cheaper than changing it record by record.
_BULK_RECORDS = 256


class BucketState:
    """One bucket. Invariants: `tail` is None only in an empty bucket, and is younger than every other event; each event
    lives in one place: it is the tail record, a record of the head, or in one segment.
    """

    __slots__ = ("head", "index", "meta", "next_revision", "next_seq", "tail")

    def __init__(self, meta: BucketMeta) -> None:
        self.meta = meta
        self.next_seq = Seq(1)
        # Moves with every change but growth. Each segment that is written gets the next one, so that two contents never
        # look alike to a cache.
        self.next_revision = 1
        self.tail: Event | None = None
        self.head = Head()
        self.index = SegmentIndex()

    @property
    def number(self) -> BucketNumber:
        return self.meta.number

    def copy(self) -> BucketState:
        """A bucket that can be changed apart from this one. O(records and segments); events and entries are shared."""
        copied = BucketState(self.meta)
        copied.next_seq, copied.next_revision, copied.tail = self.next_seq, self.next_revision, self.tail
        copied.head.put_all(self.head)
        for entry in self.index:
            copied.index.put(entry)
        return copied

    def recent(self, seq: Seq) -> Event | None:
        """The event with this seq if it is the tail record or a record of the head. O(1)."""
        return self.tail if self.tail is not None and self.tail.seq == seq else self.head.get(seq)

    def start_us(self) -> Micros | None:
        """The least start of the events held now. O(1)."""
        if self.tail is None:
            return None
        starts = (self.tail.start_us, self.head.min_start_us(), self.index.min_start_us())
        return min(start for start in starts if start is not None)

    def end_us(self) -> Micros | None:
        """The greatest end of the events held now."""
        if self.tail is None:
            return None
        ends = (self.tail.end_us, self.head.max_end_us(), self.index.max_end_us())
        return max(end for end in ends if end is not None)

    def event_count(self) -> int:
        return (self.tail is not None) + len(self.head) + self.index.event_count()

    def find(self, seq: Seq, load: LoadSegment) -> Event | None:
        """The event with this seq, wherever it lives. O(1) for recent ones, else a segment is looked into."""
        if self.tail is not None and self.tail.seq == seq:
            return self.tail
        recent = self.head.get(seq)
        if recent is not None:
            return recent
        found = self.find_sealed(seq, load)
        return None if found is None else found[1].event(found[2])

    def stored_of(self, seqs: set[Seq], load: LoadSegment) -> set[Seq]:
        """Which of these seqs are stored. Each segment that may hold some is looked into once."""
        recent = {seq for seq in seqs if self.head.get(seq) is not None or (self.tail and self.tail.seq == seq)}
        sealed = self.sealed_rows(seqs - recent, load)
        return recent.union(*([Seq(seq) for seq in columns.seq[rows].tolist()] for _, columns, rows in sealed))

    def sealed_rows(self, seqs: set[Seq], load: LoadSegment) -> list[tuple[SegmentEntry, Columns, NDArray[np.intp]]]:
        """The segments that hold some of these seqs, their columns, and the rows of these. O(segments + seqs)."""
        wanted = np.array(sorted(seqs), np.int64)
        found = []
        for entry in list(self.index) if len(wanted) else []:
            first, end = np.searchsorted(wanted, [entry.first_seq, entry.last_seq + 1]).tolist()
            if first == end:
                continue
            columns = load(self.number, entry)
            rows = np.flatnonzero(np.isin(columns.seq, wanted[first:end], assume_unique=True))
            if len(rows):
                found.append((entry, columns, rows))
        return found

    def find_sealed(self, seq: Seq, load: LoadSegment) -> tuple[SegmentEntry, Columns, int] | None:
        """The segment that holds this seq, its columns, and the row in them."""
        for entry in self.index.maybe_holding(seq):
            columns = load(self.number, entry)
            row = int(columns.seq.searchsorted(seq))
            if row < len(columns) and columns.seq[row] == seq:
                return entry, columns, row
        return None


class Damage(Struct):
    """What of a damaged store cannot be answered, each with its place in words: buckets that are not complete, the table
    of buckets if some are not known, the settings.
    """

    buckets: dict[BucketNumber, str] = field(default_factory=dict)
    bucket_table: str | None = None
    settings: str | None = None

    def require_all_buckets(self) -> None:
        """Raises DataDamaged if some bucket is not known, or not complete."""
        for where in (self.bucket_table, *self.buckets.values()):
            if where is not None:
                raise DataDamaged(where)

    def require_settings(self) -> None:
        """Raises DataDamaged if some may be missing."""
        if self.settings is not None:
            raise DataDamaged(self.settings)


NO_DAMAGE: Final = Damage()


class State:
    """The whole of a server's data, as far as it is held in memory."""

    __slots__ = (
        "_by_id",
        "_by_number",
        "_filters",
        "_filters_text",
        "damage",
        "next_bucket_number",
        "next_change",
        "next_turn",
        "producers",
        "settings",
        "tokens",
        "tokens_required",
    )

    def __init__(self) -> None:
        self._by_id: dict[str, BucketState] = {}
        self._by_number: dict[BucketNumber, BucketState] = {}
        self.next_bucket_number = BucketNumber(1)
        self.next_change = Change(1)
        self.settings: dict[str, bytes] = {}
        self.producers: dict[str, ProducerRow] = {}  # by turn: the one that has been silent longest is the first
        self.next_turn = 1
        self.damage = NO_DAMAGE
        self._filters: Filters | None = None
        self._filters_text: bytes | None = None
        self.tokens: dict[str, Token] = {}
        # True from the first token on, until somebody says otherwise: not a question of how many there are.
        self.tokens_required = False

    def filters(self) -> Filters | None:
        """The privacy filters that the settings name, None if nothing is filtered. Compiled when they have changed."""
        text = self.settings.get(FILTERS_SETTING)
        if text is not self._filters_text:
            self._filters, self._filters_text = filters_of(text), text
        return self._filters

    @property
    def head_change(self) -> Change:
        """The newest change number that was given; 0 if none was."""
        return Change(self.next_change - 1)

    def buckets(self) -> list[BucketState]:
        """Oldest first."""
        return sorted(self._by_id.values(), key=lambda bucket: bucket.number)

    def find_bucket(self, bucket_id: str) -> BucketState | None:
        return self._by_id.get(bucket_id)

    def bucket(self, bucket_id: str) -> BucketState:
        """Raises NoSuchBucket, and DataDamaged for a bucket that is not complete."""
        bucket = self._by_id.get(bucket_id)
        if bucket is None:
            if self.damage.bucket_table is not None:  # it may be one that is lost
                raise DataDamaged(self.damage.bucket_table)
            raise NoSuchBucket(bucket_id)
        if self.damage.buckets and bucket.number in self.damage.buckets:
            raise DataDamaged(self.damage.buckets[bucket.number])
        return bucket

    def numbered(self, bucket_number: BucketNumber) -> BucketState | None:
        return self._by_number.get(bucket_number)

    def copy(self) -> State:
        """A state that can be changed apart from this one."""
        copied = State()
        copied.damage = self.damage
        copied.next_bucket_number = self.next_bucket_number
        copied.next_change = self.next_change
        copied.settings = dict(self.settings)
        copied._filters, copied._filters_text = self._filters, self._filters_text
        copied.producers, copied.next_turn = dict(self.producers), self.next_turn
        copied.tokens, copied.tokens_required = dict(self.tokens), self.tokens_required
        for bucket in self._by_id.values():
            copied._by_id[bucket.meta.id] = copied._by_number[bucket.number] = bucket.copy()
        return copied

    def add_bucket(self, meta: BucketMeta) -> BucketState:
        assert meta.id not in self._by_id, "a bucket id names one bucket"
        assert meta.number not in self._by_number, "a bucket number is given once"
        bucket = self._by_id[meta.id] = self._by_number[meta.number] = BucketState(meta)
        return bucket

    def remove_bucket(self, bucket_number: BucketNumber) -> None:
        bucket = self._by_number.pop(bucket_number)
        del self._by_id[bucket.meta.id]

    def absorb(self, writes: WriteSet) -> None:
        """Takes over what is on the disk now: a commit, or at the start all of it. O(entries)."""
        if writes.next_bucket_number is not None:
            self.next_bucket_number = writes.next_bucket_number
        if writes.next_change:
            self.next_change = writes.next_change
        for number, meta in writes.buckets.items():
            if meta is None and number in self._by_number:
                self.remove_bucket(number)
        for number, meta in writes.buckets.items():
            if meta is not None:
                bucket = self._by_number.get(number) or self.add_bucket(meta)
                bucket.meta = meta
        for number, row in writes.tails.items():
            bucket = self._by_number[number]
            bucket.next_seq, bucket.next_revision, bucket.tail = row.next_seq, row.next_revision, row.tail
        for number, records in writes.records.items():
            _absorb_records(self._by_number[number].head, records)
        for number, segments in writes.segments.items():
            index = self._by_number[number].index
            index.remove_all([first_seq for first_seq in segments if index.get(first_seq) is not None])
            for segment in segments.values():
                if segment is not None:
                    index.put(segment.entry)
        for key, setting in writes.settings.items():
            if setting is None:
                self.settings.pop(key, None)
            else:
                self.settings[key] = setting.value
        _absorb(self.tokens, writes.tokens)
        if writes.tokens_required is not None:
            self.tokens_required = writes.tokens_required
        for producer_id in writes.producers:
            self.producers.pop(producer_id, None)
        heard = [
            (known.turn, producer_id, known) for producer_id, known in writes.producers.items() if known is not None
        ]
        for turn, producer_id, known in sorted(heard, key=lambda entry: entry[0]):
            self.producers[producer_id] = known
            self.next_turn = turn + 1


def _absorb(state: dict[str, _Value], written: dict[str, _Value | None]) -> None:
    for key, value in written.items():
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value


def _absorb_records(head: Head, records: dict[Seq, Event | None]) -> None:
    if len(records) < _BULK_RECORDS:
        for seq, event in records.items():
            if event is not None:
                head.put(event)
            elif head.get(seq) is not None:
                head.remove(seq)
        return
    gone = [seq for seq in records if head.get(seq) is not None]
    if gone:
        head.remove_all(gone)
    head.put_all(event for event in records.values() if event is not None)
