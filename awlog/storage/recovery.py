"""The disk -> the state, at the start and after a failed commit.

Reads the metadata, the tail rows, the records of the heads and the segment index; never a segment. So a start takes as
long with ten million events as with the few thousand that are not sealed yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import lmdb

from awlog.log.state import NO_DAMAGE, Damage
from awlog.log.write_set import SegmentWrite, TailRow, WriteSet
from awlog.model.errors import DataDamaged
from awlog.model.event import UNNUMBERED, BucketNumber, Change, Event, Payload
from awlog.storage import layout
from awlog.storage.environment import Environment


class Recovered(NamedTuple):
    """Everything that a state needs, as one write set, and the number of the transaction that it is the state after."""

    writes: WriteSet
    txn_id: int
    clean: bool
    damage: Damage = NO_DAMAGE


def recover(environment: Environment) -> Recovered:
    """All of it in one snapshot. About 2 µs a record and a segment. Raises DataDamaged."""
    with environment.lmdb.begin() as txn:
        return read_all(txn, environment)


def read_all(txn: lmdb.Transaction, environment: Environment) -> Recovered:
    """As `recover`, in a transaction of the caller's."""
    databases = environment.databases
    writes = WriteSet()
    stored = bytes(txn.get(layout.NEXT_BUCKET_KEY, b"", db=databases[layout.META]))
    next_number = layout.without_checksum(layout.NEXT_BUCKET_KEY, stored, "The next bucket number")
    writes.next_bucket_number = BucketNumber(int(next_number))
    for key, value in _rows(txn, databases[layout.BUCKETS]):
        meta = layout.decode_bucket(key, value)
        writes.buckets[meta.number] = meta
    for key, value in _rows(txn, databases[layout.TAILS]):
        number = layout.bucket_number_of(key)
        _must_be_known(writes, number, "tail record")
        writes.tails[number] = layout.decode_tail_row(number, value)
    # Titles repeat: one bytes object for each distinct payload.
    payloads: dict[Payload, Payload] = {}
    for key, value in _rows(txn, databases[layout.LOG]):
        number, seq = layout.split_seq_key(key)
        _must_be_known(writes, number, "record")
        event = layout.decode_record_at(number, seq, value)
        payload = payloads.setdefault(event.payload, event.payload)
        writes.put_record(number, Event(seq, event.start_us, event.duration_us, payload, event.change))
    for key, value in _rows(txn, databases[layout.SEGMENT_INDEX]):
        number = layout.split_seq_key(key)[0]
        _must_be_known(writes, number, "segment")
        writes.put_segment(number, SegmentWrite(layout.decode_entry(key, value)))
    for key, value in _rows(txn, databases[layout.SETTINGS]):
        writes.settings[key.decode()] = layout.decode_setting(key, value)
    for key, value in _rows(txn, databases[layout.PRODUCERS]):
        writes.producers[key.decode()] = layout.decode_producer(key, value)
    writes.next_change = Change(max(_changes(txn, environment, writes)) + 1)
    for key, value in _rows(txn, databases[layout.TOKENS]):
        token = layout.decode_token(key, value)
        writes.tokens[token.id] = token
    required = txn.get(layout.TOKENS_REQUIRED_KEY, db=databases[layout.META])
    if required is not None:
        writes.tokens_required = layout.decode_tokens_required(bytes(required))
    missing = [number for number in writes.buckets if number not in writes.tails]
    if any(number >= writes.next_bucket_number for number in writes.buckets):
        raise DataDamaged("The next bucket number, which was given out already,")
    if missing:
        raise DataDamaged(f"The tail record of bucket number {missing[0]}")
    for number, row in writes.tails.items():
        require_all(number, row, _event_count(writes, number))
    clean = txn.get(layout.CLEAN_KEY, db=databases[layout.META]) == b"1"
    return Recovered(writes, int(txn.id()), clean)


def _event_count(writes: WriteSet, number: BucketNumber) -> int:
    sealed = sum(segment.entry.count for segment in writes.segments.get(number, {}).values() if segment is not None)
    return (writes.tails[number].tail is not None) + len(writes.records.get(number, ())) + sealed


def require_all(number: BucketNumber, row: TailRow, found_count: int) -> None:
    """Raises DataDamaged unless a bucket has as many events as its row in `tails` says: a page may have lost some."""
    if found_count != row.event_count:
        raise DataDamaged(f"Bucket number {number}, which has {found_count} of its {row.event_count} events,")


def _changes(txn: lmdb.Transaction, environment: Environment, writes: WriteSet) -> Iterator[int]:
    """Numbers of changes, the greatest that was ever given among them."""
    yield _oldest_change(txn, environment)
    yield _restored_change(txn, environment)
    with txn.cursor(environment.databases[layout.CHANGES]) as cursor:
        if cursor.last():
            yield layout.change_of(bytes(cursor.key()))
    yield from (meta.change for meta in writes.buckets.values() if meta is not None)
    yield from (row.tail.change for row in writes.tails.values() if row.tail is not None)
    yield from (record.change for records in writes.records.values() for record in records.values() if record)
    yield from (
        sealed.entry.max_change for sealeds in writes.segments.values() for sealed in sealeds.values() if sealed
    )
    yield from (row.change for row in writes.settings.values() if row is not None)


def _oldest_change(txn: lmdb.Transaction, environment: Environment) -> Change:
    """The newest change whose tombstone was dropped; 0 if all are kept. Raises DataDamaged."""
    stored = txn.get(layout.OLDEST_CHANGE_KEY, db=environment.databases[layout.META])
    return UNNUMBERED if stored is None else layout.decode_oldest_change(bytes(stored))


def _restored_change(txn: lmdb.Transaction, environment: Environment) -> Change:
    """Where a restore began to count; 0 if there was none. Raises DataDamaged."""
    stored = txn.get(layout.RESTORED_CHANGE_KEY, db=environment.databases[layout.META])
    return UNNUMBERED if stored is None else layout.decode_restored_change(bytes(stored))


def _rows(txn: lmdb.Transaction, database: lmdb._Database) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a sub-database, in the order of the keys."""
    for key, value in txn.cursor(database):
        yield bytes(key), bytes(value)


def _must_be_known(writes: WriteSet, number: BucketNumber, what: str) -> None:
    if number not in writes.buckets:
        raise DataDamaged(f"The bucket table: a {what} of bucket number {number}, which is not in it,")
