"""Sealed history as of one moment: one LMDB read transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lmdb

from awlog.log.columns import Columns
from awlog.log.segment import decode_segment
from awlog.log.segment_index import SegmentEntry, describes
from awlog.log.state import BucketState
from awlog.log.write_set import SettingRow, Tombstone
from awlog.model.bucket import BucketMeta
from awlog.model.errors import DataDamaged, Unavailable
from awlog.model.event import UNNUMBERED, BucketNumber, Change, Event, Seq
from awlog.model.times import format_timestamp
from awlog.storage import layout
from awlog.storage.environment import Environment
from awlog.storage.sizes import segment_bytes


class Snapshot:
    """Reads from one transaction; valid while the `open_snapshot` that made it is open."""

    def __init__(self, txn: lmdb.Transaction, environment: Environment) -> None:
        self._txn = txn
        self._databases = environment.databases
        self._page_bytes = environment.page_bytes

    def close(self) -> None:
        """Lets go of the transaction: LMDB's slot for it is free when nobody holds the object any more."""
        del self._txn

    def txn_id(self) -> int:
        """The number of the newest transaction that this snapshot shows."""
        return int(self._txn.id())

    def segment(self, number: BucketNumber, entry: SegmentEntry, *, with_changes: bool = True) -> Columns:
        """The events of a segment, in the order of their seqs. About 0.5 ms; without their changes a little less.

        Raises DataDamaged if the segment is missing, fails its checksum, or is not the one that `entry` describes.
        """
        sealed = self._txn.get(layout.seq_key(number, entry.first_seq), db=self._databases[layout.SEGMENTS])
        if sealed is None:
            raise DataDamaged(_place(number, entry))
        try:
            columns = decode_segment(sealed, entry.first_seq, entry.min_change if with_changes else None, "")
        except DataDamaged:
            raise DataDamaged(_place(number, entry)) from None
        if not describes(entry, columns):  # a segment in another's place
            raise DataDamaged(_place(number, entry))
        return columns

    def sealed(self, number: BucketNumber, entry: SegmentEntry) -> bytes:
        """The bytes of a segment as they are on the disk, nothing if it is missing."""
        return bytes(self._txn.get(layout.seq_key(number, entry.first_seq), b"", db=self._databases[layout.SEGMENTS]))

    def segment_bytes(self, bucket: BucketState, entry: SegmentEntry) -> int:
        """What a segment takes on the disk. 2 µs."""
        key = layout.seq_key(bucket.number, entry.first_seq)
        sealed = self._txn.get(key, db=self._databases[layout.SEGMENTS])
        return segment_bytes(bucket, entry, 0 if sealed is None else len(sealed), self._page_bytes)

    def buckets(self) -> list[BucketMeta]:
        """All buckets, oldest first. About 3 µs each."""
        cursor = self._txn.cursor(self._databases[layout.BUCKETS])
        return [layout.decode_bucket(bytes(key), bytes(value)) for key, value in cursor]

    def settings(self) -> dict[str, bytes]:
        """JSON texts by key. Raises DataDamaged."""
        return {key: row.value for key, row in self.setting_rows()}

    def tail_row(self, number: BucketNumber) -> bytes:
        """The encoded row of `tails`: what changes with everything that happens to a bucket. Raises DataDamaged."""
        row = self._txn.get(layout.bucket_key(number), db=self._databases[layout.TAILS])
        if row is None:
            raise DataDamaged(f"The tail record of bucket number {number}")
        return bytes(row)

    def record(self, number: BucketNumber, seq: Seq) -> Event | None:
        """A record of the head. Raises DataDamaged."""
        stored = self._txn.get(layout.seq_key(number, seq), db=self._databases[layout.LOG])
        return None if stored is None else layout.decode_record_at(number, seq, bytes(stored))

    def records(self, number: BucketNumber, first_seq: Seq) -> Iterator[Event]:
        """The records of the head from this seq on, in their order. About 2 µs each. Raises DataDamaged."""
        for key, value in self._below(layout.LOG, number, first_seq):
            yield layout.decode_record_at(number, layout.split_seq_key(key)[1], value)

    def entries(self, number: BucketNumber) -> Iterator[SegmentEntry]:
        """The index entries of a bucket. Raises DataDamaged."""
        for key, value in self._below(layout.SEGMENT_INDEX, number, Seq(0)):
            yield layout.decode_entry(key, value)

    def tombstones(self, *, after: Change) -> Iterator[tuple[Change, Tombstone]]:
        """Of what was removed by later changes than this, in their order. About 2 µs each. Raises DataDamaged."""
        with self._txn.cursor(self._databases[layout.CHANGES]) as cursor:
            if cursor.set_range(layout.change_key(Change(after + 1))):
                for key, value in cursor:
                    yield layout.change_of(bytes(key)), layout.decode_tombstone(bytes(key), bytes(value))

    def last_tombstone(self) -> Change | None:
        """The change of the newest tombstone. Raises DataDamaged."""
        with self._txn.cursor(self._databases[layout.CHANGES]) as cursor:
            return layout.change_of(bytes(cursor.key())) if cursor.last() else None

    def oldest_change(self) -> Change:
        """The newest change whose tombstone was dropped, 0 if all are kept. Raises DataDamaged."""
        stored = self._txn.get(layout.OLDEST_CHANGE_KEY, db=self._databases[layout.META])
        return UNNUMBERED if stored is None else layout.decode_oldest_change(bytes(stored))

    def restored_change(self) -> Change:
        """The number at which a restore began to count; 0 in a store that never was restored. Raises DataDamaged."""
        stored = self._txn.get(layout.RESTORED_CHANGE_KEY, db=self._databases[layout.META])
        return UNNUMBERED if stored is None else layout.decode_restored_change(bytes(stored))

    def followed_from(self) -> Change:
        """Who is before this change cannot go on from where it is: it begins anew. Raises DataDamaged."""
        return max(self.oldest_change(), self.restored_change())

    def setting_rows(self) -> Iterator[tuple[str, SettingRow]]:
        """All settings, by key, each with its change. Raises DataDamaged."""
        for key, value in self._txn.cursor(self._databases[layout.SETTINGS]):
            yield bytes(key).decode(), layout.decode_setting(bytes(key), bytes(value))

    def _below(self, name: bytes, number: BucketNumber, first_seq: Seq) -> Iterator[tuple[bytes, bytes]]:
        prefix = layout.bucket_key(number)
        with self._txn.cursor(self._databases[name]) as cursor:
            if cursor.set_range(layout.seq_key(number, first_seq)):
                for key, value in cursor:
                    if bytes(key[: len(prefix)]) != prefix:
                        return
                    yield bytes(key), bytes(value)


def _place(number: BucketNumber, entry: SegmentEntry) -> str:
    """Of a segment, for messages: with its seqs and times."""
    start, end = format_timestamp(entry.min_start_us), format_timestamp(entry.max_end_us)
    return f"Segment {entry.first_seq} of bucket number {number}, seqs up to {entry.last_seq}, from {start} to {end},"


@contextmanager
def open_snapshot(environment: Environment) -> Iterator[Snapshot]:
    """A snapshot of the store as it is on the disk now. Raises Unavailable if the store is opened anew meanwhile."""
    try:
        with environment.reading() as txn:
            snapshot = Snapshot(txn, environment)
            del txn
            try:
                yield snapshot
            finally:
                snapshot.close()
    except lmdb.MapResizedError:
        raise
    except lmdb.Error as error:
        raise Unavailable("The store was opened anew in the middle of this read; retry.") from error
