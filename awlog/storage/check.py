"""Proves every invariant of a data directory, read-only, from one snapshot; also the digest and the sizes of what it holds.

Each event lives in one place; seqs are below the bucket's next; the tail record is the youngest; an index entry says what
its segment holds; everything matches its checksum; nothing belongs to a bucket that is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import lmdb
import numpy as np
from msgspec import Struct, field

from awlog.log.columns import Columns, columns_of
from awlog.log.head import Head
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState, State
from awlog.log.write_set import WriteSet
from awlog.model.errors import AwlogError, DataDamaged
from awlog.model.event import BucketNumber
from awlog.storage import layout
from awlog.storage.environment import Environment
from awlog.storage.recovery import read_all
from awlog.storage.snapshot import read_segment

Progress = Callable[[int, int], None]
"""Told how many segments are done, of how many."""

_DIGEST_BYTES: Final = 16
_DIGEST_MODULUS: Final = 1 << (8 * _DIGEST_BYTES)
_PAGE_HEADER_BYTES: Final = 16


class BucketSize(Struct):
    """What a bucket holds and what that takes on the disk, whole pages for segments."""

    number: int
    id: str
    events: int = 0
    segments: int = 0
    unsealed_records: int = 0
    disk_bytes: int = 0
    bytes_per_event: float = 0.0


class Report(Struct):
    """`problems` is empty for a whole store; each names a place."""

    problems: list[str] = field(default_factory=list)
    buckets: list[BucketSize] = field(default_factory=list)
    digest: str = ""
    file_bytes: int = 0
    live_bytes: int = 0


def check(environment: Environment, progress: Progress = lambda _done, _all: None) -> Report:
    """Reads everything once. About 3 µs an event. Damage is reported, never raised."""
    report = Report()
    with environment.lmdb.begin(buffers=True) as txn:
        try:
            recovered = read_all(txn, environment).writes
            state = State()
            state.absorb(recovered)
            _check_segment_keys(txn, environment, state, report)
        except (AwlogError, KeyError, AssertionError, ValueError) as error:
            report.problems.append(str(error) or type(error).__name__)
            return report
        segments_all = sum(len(bucket.index) for bucket in state.buckets())
        segments_done = 0
        digest = _settings_digest(recovered) % _DIGEST_MODULUS
        for bucket in state.buckets():
            parts: list[Columns] = []
            for entry in bucket.index:
                columns = _check_segment(txn, environment, bucket, entry, report)
                if columns is not None:
                    parts.append(columns)
                segments_done += 1
                progress(segments_done, segments_all)
            digest = (digest + _check_bucket(bucket, parts, report)) % _DIGEST_MODULUS
            report.buckets.append(_size(txn, environment, bucket))
        report.digest = digest.to_bytes(_DIGEST_BYTES, "big").hex()
        _measure(txn, environment, report)
    return report


def sizes(environment: Environment) -> Report:
    """Only the sizes: reads the index and the unsealed records, no segment's content."""
    report = Report()
    with environment.lmdb.begin(buffers=True) as txn:
        state = State()
        state.absorb(read_all(txn, environment).writes)
        report.buckets = [_size(txn, environment, bucket) for bucket in state.buckets()]
        _measure(txn, environment, report)
    return report


def _check_segment_keys(txn: lmdb.Transaction, environment: Environment, state: State, report: Report) -> None:
    indexed = {(bucket.number, entry.first_seq) for bucket in state.buckets() for entry in bucket.index}
    stored = {
        layout.split_seq_key(bytes(key))
        for key in txn.cursor(environment.databases[layout.SEGMENTS]).iternext(keys=True, values=False)
    }
    report.problems += [f"Segment {seq} of bucket number {number} is not indexed" for number, seq in stored - indexed]


def _check_segment(
    txn: lmdb.Transaction, environment: Environment, bucket: BucketState, entry: SegmentEntry, report: Report
) -> Columns | None:
    where = f"Segment {entry.first_seq} of bucket number {bucket.number}"
    try:
        columns = read_segment(txn, environment, bucket.number, entry)
    except DataDamaged as damage:
        report.problems.append(str(damage))
        return None
    holds = (
        int(columns.seq[0]),
        int(columns.start_us.min()),
        int(columns.start_us.max()),
        int(columns.end_us.max()),
    )
    if holds != (entry.first_seq, entry.min_start_us, entry.max_start_us, entry.max_end_us):
        report.problems.append(f"{where}: its index entry says something else than the segment")
    if not (np.diff(columns.seq) > 0).all() or (columns.duration_us < 0).any():
        report.problems.append(f"{where}: its seqs do not ascend, or a duration is negative")
    return columns


def _check_bucket(bucket: BucketState, parts: list[Columns], report: Report) -> int:
    """Checks what concerns the bucket as a whole; gives its part of the digest."""
    name = f"Bucket number {bucket.number}"
    recent = list(bucket.head)
    if bucket.tail is None and (recent or parts):
        report.problems.append(f"{name}: it has events, but no tail record")
    if bucket.tail is not None:
        tail = bucket.tail
        if any(event.younger_than(tail) for event in recent) or any(
            ((part.start_us > tail.start_us) | ((part.start_us == tail.start_us) & (part.seq > tail.seq))).any()
            for part in parts
        ):
            report.problems.append(f"{name}: the tail record is not the youngest event")
        recent.append(bucket.tail)
    seqs = [np.array([event.seq for event in recent], np.int64), *(part.seq for part in parts)]
    joined = np.concatenate(seqs)
    if len(np.unique(joined)) != len(joined):
        report.problems.append(f"{name}: an event lives in two places")
    if len(joined) and not (joined.min() >= 1 and joined.max() < bucket.next_seq):
        report.problems.append(f"{name}: a sequence number that was not given out is in use")
    head = layout.encode_bucket(bucket.meta) + bucket.next_seq.to_bytes(8, "big")
    digest = _hashed(layout.bucket_key(bucket.number) + head)
    for part in [*parts, columns_of(recent)]:
        digest += _events_digest(bucket.number, part)
    return digest


def _events_digest(number: BucketNumber, columns: Columns) -> int:
    """A sum over the events, so that it does not matter where each of them lives."""
    prefix = layout.bucket_key(number)
    rows = np.stack([columns.seq, columns.start_us, columns.duration_us], axis=1).astype(">i8").tobytes()
    codes = columns.payload_code.tolist()
    return sum(_hashed(prefix + rows[24 * i : 24 * i + 24] + columns.payloads[code]) for i, code in enumerate(codes))


def _settings_digest(writes: WriteSet) -> int:
    numbers = _hashed(f"next bucket {writes.next_bucket_number}".encode())
    return numbers + sum(
        _hashed(b"setting" + key.encode() + b"\0" + (value or b"")) for key, value in writes.settings.items()
    )


def _hashed(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=_DIGEST_BYTES).digest(), "big")


def _size(txn: lmdb.Transaction, environment: Environment, bucket: BucketState) -> BucketSize:
    page_bytes = int(environment.lmdb.stat()["psize"])
    segments = environment.databases[layout.SEGMENTS]
    disk_bytes = 0
    for entry in bucket.index:
        sealed = txn.get(layout.seq_key(bucket.number, entry.first_seq), db=segments)
        length = 0 if sealed is None else len(sealed)
        disk_bytes += -(-(length + _PAGE_HEADER_BYTES) // page_bytes) * page_bytes + len(
            layout.encode_entry(bucket.number, entry)
        )
    disk_bytes += _record_bytes(bucket.head)
    events = bucket.event_count()
    return BucketSize(
        bucket.number,
        bucket.meta.id,
        events,
        len(bucket.index),
        len(bucket.head) + (bucket.tail is not None),
        disk_bytes,
        round(disk_bytes / events, 2) if events else 0.0,
    )


def _record_bytes(head: Head) -> int:
    """Records with their keys and LMDB's eight bytes for each."""
    return sum(len(event.payload) + 28 + 12 + 8 for event in head)


def _measure(txn: lmdb.Transaction, environment: Environment, report: Report) -> None:
    report.file_bytes = (environment.data_dir / "data.mdb").stat().st_size
    for database in environment.databases.values():
        stat = txn.stat(database)
        report.live_bytes += stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
