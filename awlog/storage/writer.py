"""A write set -> one LMDB transaction with one sync. Runs in the committer's thread; nothing else writes.

A merged heartbeat writes one row of `tails`, a tree of one page for dozens of buckets, whatever the history: that is why
the tail record has a table of its own and is not in `log`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import lmdb

from awlog.log.record import encode_record
from awlog.log.segment import encode_segment
from awlog.log.write_set import SegmentWrite, Tombstone, WriteSet
from awlog.model.errors import Busy, Unavailable
from awlog.model.event import BucketNumber, Change, Event, Seq
from awlog.storage import layout
from awlog.storage.environment import DATA_FILE, Environment
from awlog.storage.room import is_full, is_read_only, no_room, read_only

# Tombstones kept: some 40 MB. A follower that was away for more deletions than these begins with a snapshot.
TOMBSTONES_MAX: Final = 1_000_000
# Commits of so few rows, which are most of them where few write, are not counted page by page if there is ample room.
_FEW_ROWS: Final = 16
# What a row adds at the most: a page on each level of its tree, and the last one of a long value.
_SPLIT_PAGES: Final = 8

_R = TypeVar("_R")


# What LMDB says of pages that are not what they must be, where it does not end the process.
_DAMAGED: Final = (lmdb.CorruptedError, lmdb.PageNotFoundError)


class MapFull(Exception):
    """The map is too small for this commit, which left nothing behind: grow the environment and commit again."""


class Writer:
    """Commits write sets. Committer thread only."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._marked_unclean = False

    def commit(self, writes: WriteSet) -> int:
        """Makes the write set durable: when this returns it has been synced. Gives the number of the newest transaction.

        About 0.3 ms for one record, 1.2 µs for each of a thousand. Raises MapFull, InsufficientStorage or Unavailable;
        then nothing of it is kept, and after the latter two the environment must be opened anew.
        """
        return self.commit_all([writes])

    def commit_all(self, writes: Sequence[WriteSet]) -> int:
        """As `commit`, for write sets that follow each other, in one transaction."""
        environment = self._environment
        reserve = environment.reserve
        tables = _tables(writes[0]) if len(writes) == 1 else set().union(*map(_tables, writes))
        grown_pages = _grown_pages_at_most(writes[0], environment.page_bytes) if len(writes) == 1 else None
        try:
            if not reserve.size_bytes or (grown_pages is not None and reserve.is_ample(grown_pages)):
                tables = set()  # nothing to count
            with reserve.writing, environment.lmdb.begin(write=True) as txn:
                pages_before = reserve.page_count(txn, tables)
                if not self._marked_unclean:
                    txn.put(layout.CLEAN_KEY, b"0", db=environment.databases[layout.META])
                for each in writes:
                    _put_all(txn, environment, each)
                if tables and not all(each.may_use_reserve for each in writes):
                    reserve.require(txn, reserve.page_count(txn, tables) - pages_before)
        except lmdb.MapFullError:
            raise MapFull from None
        except lmdb.Error as error:
            raise _busy(error, environment.data_dir) from error
        self._marked_unclean = True
        # Not the number of `txn`: LMDB does not count a transaction that changed nothing.
        return environment.last_txn_id()

    def mark_clean(self) -> None:
        """The last commit before a clean stop. A store that cannot take it is simply not marked."""
        try:
            with self._environment.lmdb.begin(write=True) as txn:
                txn.put(layout.CLEAN_KEY, b"1", db=self._environment.databases[layout.META])
        except lmdb.Error:
            pass


def _busy(error: lmdb.Error, data_dir: Path) -> Busy:
    if is_read_only(data_dir / DATA_FILE):
        return read_only()
    if is_full(error, data_dir):
        return no_room()
    if isinstance(error, _DAMAGED):
        return Unavailable(
            "A damaged page keeps this from being written: nothing of it was kept, reads go on. Start the server again: it "
            "says what is damaged and what to do."
        )
    return Unavailable("The disk refused this write: nothing of it was kept, reads go on. See the server's log; retry.")


def _grown_pages_at_most(writes: WriteSet, page_bytes: int) -> int | None:
    """What a commit of a few rows, a heartbeat's or a small insertion's, adds at the most; None of any other. 1 µs a row."""
    others = (
        writes.buckets or writes.segments or writes.settings or writes.tombstones or writes.producers or writes.tokens
    )
    if others or len(writes.tails) + len(writes.records) > _FEW_ROWS:
        return None
    pages = 0
    for row in writes.tails.values():
        pages += _SPLIT_PAGES + (0 if row.tail is None else len(row.tail.payload) // page_bytes)
    for records in writes.records.values():
        if len(records) > _FEW_ROWS:
            return None
        for event in records.values():
            pages += _SPLIT_PAGES + (0 if event is None else len(event.payload) // page_bytes)
    return pages


def _tables(writes: WriteSet) -> set[bytes]:
    """The tables that this makes larger or smaller."""
    tables = {layout.TAILS}
    if writes.records:
        tables.add(layout.LOG)
    if writes.segments:
        tables |= {layout.SEGMENTS, layout.SEGMENT_INDEX}
    if None in writes.buckets.values():
        tables |= {layout.LOG, layout.SEGMENTS, layout.SEGMENT_INDEX}
    if writes.buckets or writes.settings or writes.tombstones or writes.producers or writes.tokens:
        tables |= {layout.BUCKETS, layout.SETTINGS, layout.CHANGES, layout.PRODUCERS, layout.TOKENS}
    return tables


def _put_all(txn: lmdb.Transaction, environment: Environment, writes: WriteSet) -> None:
    databases = environment.databases
    if writes.next_bucket_number is not None:
        next_number = layout.with_checksum(layout.NEXT_BUCKET_KEY, str(writes.next_bucket_number).encode())
        txn.put(layout.NEXT_BUCKET_KEY, next_number, db=databases[layout.META])
    for number, meta in writes.buckets.items():
        if meta is None:
            _drop_bucket(txn, environment, number)
        else:
            txn.put(layout.bucket_key(number), layout.encode_bucket(meta), db=databases[layout.BUCKETS])
    tails = databases[layout.TAILS]
    for number, row in writes.tails.items():
        txn.put(layout.bucket_key(number), layout.encode_tail_row(number, row), db=tails)
    log = databases[layout.LOG]
    for number, records in writes.records.items():
        _put_records(txn, log, number, records)
    for number, segments in writes.segments.items():
        for first_seq, segment in segments.items():
            _put_segment(txn, environment, number, first_seq, segment)
    _put_rows(txn, databases[layout.SETTINGS], writes.settings, layout.encode_setting)
    if writes.tombstones:
        _put_tombstones(txn, environment, writes.tombstones)
    _put_rows(txn, databases[layout.PRODUCERS], writes.producers, layout.encode_producer)
    _put_rows(txn, databases[layout.TOKENS], writes.tokens, layout.encode_token)
    if writes.tokens_required is not None:
        required = layout.encode_tokens_required(required=writes.tokens_required)
        txn.put(layout.TOKENS_REQUIRED_KEY, required, db=databases[layout.META])


def _put_rows(
    txn: lmdb.Transaction, database: lmdb._Database, rows: dict[str, _R | None], encode: Callable[[bytes, _R], bytes]
) -> None:
    """By their keys as text; None is gone."""
    for key, row in rows.items():
        encoded = key.encode()
        if row is None:
            txn.delete(encoded, db=database)
        else:
            txn.put(encoded, encode(encoded, row), db=database)


def _put_tombstones(txn: lmdb.Transaction, environment: Environment, tombstones: dict[Change, Tombstone]) -> None:
    """Adds them, and drops the oldest ones if there are too many: whoever has not read them yet has been away long."""
    changes, meta = environment.databases[layout.CHANGES], environment.databases[layout.META]
    for change, tombstone in tombstones.items():
        txn.put(layout.change_key(change), layout.encode_tombstone(change, tombstone), db=changes, append=True)
    too_many = txn.stat(changes)["entries"] - TOMBSTONES_MAX
    if too_many <= 0:
        return
    with txn.cursor(changes) as cursor:
        cursor.first()
        for _ in range(too_many):
            dropped = layout.change_of(bytes(cursor.key()))
            cursor.delete()
    txn.put(layout.OLDEST_CHANGE_KEY, layout.encode_oldest_change(dropped), db=meta)


def _put_records(
    txn: lmdb.Transaction, log: lmdb._Database, number: BucketNumber, records: dict[Seq, Event | None]
) -> None:
    for seq, event in records.items():
        key = layout.seq_key(number, seq)
        if event is None:
            txn.delete(key, db=log)
        else:
            txn.put(key, encode_record(number, event), db=log)


def _put_segment(
    txn: lmdb.Transaction, environment: Environment, number: BucketNumber, first_seq: Seq, segment: SegmentWrite | None
) -> None:
    key = layout.seq_key(number, first_seq)
    segments, index = environment.databases[layout.SEGMENTS], environment.databases[layout.SEGMENT_INDEX]
    if segment is None:
        txn.delete(key, db=segments)
        txn.delete(key, db=index)
        return
    sealed = segment.sealed
    if sealed is None:
        assert segment.columns is not None, "a segment to write has its bytes or its columns"
        sealed = encode_segment(segment.columns, first_seq)
    txn.put(key, sealed, db=segments)
    txn.put(key, layout.encode_entry(number, segment.entry), db=index)


def _drop_bucket(txn: lmdb.Transaction, environment: Environment, number: BucketNumber) -> None:
    prefix = layout.bucket_key(number)
    txn.delete(prefix, db=environment.databases[layout.BUCKETS])
    txn.delete(prefix, db=environment.databases[layout.TAILS])
    for name in (layout.LOG, layout.SEGMENTS, layout.SEGMENT_INDEX):
        with txn.cursor(db=environment.databases[name]) as cursor:
            found = cursor.set_range(prefix)
            while found and cursor.key()[: len(prefix)] == prefix:
                found = cursor.delete() and bool(cursor.key())
