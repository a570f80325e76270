"""A second process's view of the store: buckets as they are in a snapshot, kept between snapshots and brought up to date.

A bucket whose row in `tails` is the same has not changed. One whose row has the same `next_revision` has only grown: the
new records are read, and the tail record of before, which may be a record now. Otherwise the bucket is read anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from itertools import count
from operator import attrgetter

import lmdb
from msgspec import Struct

from awlog.log.columns import Columns, columns_of, joined
from awlog.log.history import count_events, events_newest_first, recent_newest_first
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState
from awlog.model.bucket import BucketMeta
from awlog.model.event import BucketNumber, Event, Seq
from awlog.model.times import Micros
from awlog.storage import layout
from awlog.storage.environment import Environment
from awlog.storage.recovery import require_all
from awlog.storage.segment_cache import SegmentCache
from awlog.storage.snapshot import Snapshot, open_snapshot


class _Known(Struct):
    """A bucket as it was in the last snapshot that was asked for it.

    epoch   another one whenever it changed otherwise than by growing in the order of starts
    """

    row: bytes
    bucket: BucketState
    epoch: int


class LiveView:
    """Owned by one process that only reads. Memory: the heads and indexes of the buckets it was asked about."""

    def __init__(
        self, environment: Environment, cache_bytes: int, take: Callable[[Columns], Columns] | None = None
    ) -> None:
        """`take`: what is done to decoded columns before they are kept; their payloads are then kept elsewhere."""
        self._environment = environment
        self.data_dir = environment.data_dir
        self.take = take or (lambda columns: columns)
        self._cache = SegmentCache(cache_bytes, owns_payloads=take is None)
        self._known: dict[BucketNumber, _Known] = {}
        self._epochs = count()
        self._buckets: list[BucketMeta] = []
        self._buckets_epoch = next(self._epochs)

    @contextmanager
    def now(self) -> Iterator[ViewAtOnce]:
        """The store as it is at this moment, for as long as the context is open."""
        try:
            opened = open_snapshot(self._environment)
            snapshot = opened.__enter__()
        except lmdb.MapResizedError:  # the server doubled its map
            self._environment.follow_growth()
            opened = open_snapshot(self._environment)
            snapshot = opened.__enter__()
        try:
            yield ViewAtOnce(self, snapshot)
        finally:
            opened.__exit__(None, None, None)

    def buckets_stamp(self, buckets: list[BucketMeta]) -> Hashable:
        """Another one when these are not the buckets that it was asked about last. O(buckets)."""
        if buckets != self._buckets:
            self._buckets, self._buckets_epoch = buckets, next(self._epochs)
        return self._buckets_epoch

    def bucket(self, snapshot: Snapshot, meta: BucketMeta) -> BucketState:
        """The bucket in this snapshot. Costs what was added since it was asked for last."""
        return self._current(snapshot, meta).bucket

    def stamp(self, snapshot: Snapshot, meta: BucketMeta, end_us: Micros) -> Hashable:
        """Another one when what starts in the bucket up to `end_us` may be other events."""
        known = self._current(snapshot, meta)
        tail = known.bucket.tail
        # What starts before the tail record stays as it is while the bucket grows in order.
        return known.epoch if tail is not None and end_us < tail.start_us else (known.epoch, known.row)

    def _current(self, snapshot: Snapshot, meta: BucketMeta) -> _Known:
        row = snapshot.tail_row(meta.number)
        known = self._known.get(meta.number)
        if known is not None and known.row == row:
            known.bucket.meta = meta
            return known
        decoded = layout.decode_tail_row(meta.number, row)
        self._known.pop(meta.number, None)  # if reading fails half way, it is read anew
        if known is not None and known.bucket.next_revision == decoded.next_revision:
            bucket = known.bucket
            bucket.meta = meta
            if _read_growth(snapshot, bucket):
                known.epoch = next(self._epochs)
            known.row = row
        else:
            bucket = BucketState(meta)
            bucket.head.put_all(snapshot.records(meta.number, Seq(0)))
            for entry in snapshot.entries(meta.number):
                bucket.index.put(entry)
            known = _Known(row, bucket, next(self._epochs))
        bucket.next_seq, bucket.next_revision, bucket.tail = decoded.next_seq, decoded.next_revision, decoded.tail
        require_all(meta.number, decoded, bucket.event_count())
        self._known[meta.number] = known
        return known

    def load(
        self, snapshot: Snapshot, number: BucketNumber, entry: SegmentEntry, take: Callable[[Columns], Columns]
    ) -> Columns:
        """`take`: as for the constructor; what is kept is kept for each of them."""
        columns = self._cache.get(number, entry, take)
        if columns is None:
            columns = take(snapshot.segment(number, entry, with_changes=False))
            self._cache.put(number, entry, columns, take)
        return columns

    def forget_decoded(self) -> None:
        self._cache.clear()

    def forget_all_but(self, numbers: set[BucketNumber]) -> None:
        """Lets go of buckets that were deleted."""
        for number in self._known.keys() - numbers:
            del self._known[number]


class ViewAtOnce:
    """One moment of the store; what a query reads from."""

    def __init__(self, view: LiveView, snapshot: Snapshot) -> None:
        self._view = view
        self._snapshot = self.snapshot = snapshot
        self._metas = {meta.number: meta for meta in snapshot.buckets()}
        self._buckets_stamp = view.buckets_stamp(self.buckets())
        view.forget_all_but(set(self._metas))
        self.loaded_count = 0

    def buckets(self) -> list[BucketMeta]:
        """All buckets, oldest first."""
        return list(self._metas.values())

    def forget(self) -> None:
        """Lets go of what is kept of the buckets; it is read anew when it is asked for."""
        self._view.forget_all_but(set())

    def next_seq(self, bucket_number: BucketNumber) -> Seq:
        """All events that the bucket ever held have a lower seq."""
        return self._view.bucket(self._snapshot, self._metas[bucket_number]).next_seq

    def settings(self) -> dict[str, bytes]:
        """JSON texts by key."""
        return self._snapshot.settings()

    def events(self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros) -> Columns:
        """The events that meet [start_us, end_us], uncut, by descending start and ascending seq."""
        bucket = self._view.bucket(self._snapshot, self._metas[bucket_number])
        parts = events_newest_first(bucket, start_us, end_us, None, self._load)
        return joined([self._view.take(part) for part in parts])

    def parts(
        self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros, take: Callable[[Columns], Columns]
    ) -> Iterator[Columns]:
        """The events that meet [start_us, end_us], uncut, in no order: as `take` makes them of columns whose payloads are
        sorted. What is decoded is kept so.
        """
        bucket = self._view.bucket(self._snapshot, self._metas[bucket_number])
        yield take(columns_of(sorted(recent_newest_first(bucket, start_us, end_us), key=attrgetter("payload"))))
        for entry in bucket.index.meeting(start_us, end_us):
            yield self._view.load(self._snapshot, bucket_number, entry, take).meeting(start_us, end_us)

    def chunks(
        self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros, count_max: int | None
    ) -> Iterator[Columns]:
        """As `events`, at most `count_max` of them, in parts; nothing of it is kept."""
        bucket = self._view.bucket(self._snapshot, self._metas[bucket_number])
        return events_newest_first(bucket, start_us, end_us, count_max, self._read)

    def _read(self, number: BucketNumber, entry: SegmentEntry) -> Columns:
        return self._snapshot.segment(number, entry, with_changes=False)

    def count(self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros) -> int:
        """How many events meet [start_us, end_us]."""
        bucket = self._view.bucket(self._snapshot, self._metas[bucket_number])
        return count_events(bucket, start_us, end_us, self._load)

    def bucket(self, bucket_number: BucketNumber) -> BucketState:
        """Its state, to be read only. Good until the next moment."""
        return self._view.bucket(self._snapshot, self._metas[bucket_number])

    def segment(self, bucket_number: BucketNumber, entry: SegmentEntry) -> Columns:
        """As it is on the disk; nothing of it is kept."""
        return self._snapshot.segment(bucket_number, entry)

    def segment_bytes(self, bucket: BucketState, entry: SegmentEntry) -> int:
        """What it takes on the disk."""
        return self._snapshot.segment_bytes(bucket, entry)

    def buckets_stamp(self) -> Hashable:
        """Another one when a bucket was made, changed or deleted."""
        return self._buckets_stamp

    def stamp(self, bucket_number: BucketNumber, end_us: Micros) -> Hashable:
        """Another one when what starts in the bucket up to `end_us` may be other events."""
        return self._view.stamp(self._snapshot, self._metas[bucket_number], end_us)

    def _load(self, number: BucketNumber, entry: SegmentEntry) -> Columns:
        self.loaded_count += 1
        return self._view.load(self._snapshot, number, entry, self._view.take)


def _read_growth(snapshot: Snapshot, bucket: BucketState) -> bool:
    """Adds the records that came since, among them perhaps the tail record of before. True if some came out of order."""
    added: list[Event] = list(snapshot.records(bucket.number, bucket.next_seq))
    late = bucket.tail is None or any(event.start_us < bucket.tail.start_us for event in added)
    if bucket.tail is not None:
        demoted = snapshot.record(bucket.number, bucket.tail.seq)
        if demoted is not None:
            added.append(demoted)
    bucket.head.put_all(added)
    return late
