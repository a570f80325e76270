"""Proves every invariant of a data directory, read-only, from one snapshot; also the digest and the sizes of what it holds.

Each event lives in one place; seqs are below the bucket's next; the tail record is the youngest; an index entry says what
its segment holds; everything matches its checksum; nothing belongs to a bucket that is not there; each change number stands
at one place; what has a tombstone is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final

import lmdb
from msgspec import Struct, field

from awlog.log.invariants import BucketCheck, ChangesCheck, Digest
from awlog.log.state import BucketState, State
from awlog.log.write_set import Tombstone, WriteSet
from awlog.model.errors import AwlogError, DataDamaged
from awlog.model.event import UNNUMBERED, Change
from awlog.storage import layout
from awlog.storage.environment import Environment
from awlog.storage.identity import read_identity
from awlog.storage.pages import PageDamaged, PageFile
from awlog.storage.recovery import read_all
from awlog.storage.sizes import record_bytes, segment_bytes
from awlog.storage.snapshot import Snapshot

Progress = Callable[[int, int], None]
"""Told how many segments are done, of how many."""

_DIGEST_BYTES: Final = 32


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
            _check_producers(state, report)
            _check_tokens(state, report)
            _check_identity(txn, environment, report)
            snapshot = Snapshot(txn, environment)
            tombstones = dict(snapshot.tombstones(after=UNNUMBERED))
            changes = ChangesCheck(recovered, tombstones, snapshot.oldest_change())
        except (AwlogError, KeyError, AssertionError, ValueError) as error:
            report.problems.append(str(error) or type(error).__name__)
            return report
        segments_all = sum(len(bucket.index) for bucket in state.buckets())
        segments_done = 0
        digest = _digest_apart_from_buckets(recovered, tombstones)
        for bucket in state.buckets():
            prefix = layout.bucket_key(bucket.number)
            digest.add(prefix + layout.encode_bucket(bucket.meta) + bucket.next_seq.to_bytes(8, "big"))
            checked = BucketCheck(bucket)
            digest.add_events(prefix, checked.recent)
            for entry in bucket.index:
                try:
                    columns = snapshot.segment(bucket.number, entry)
                except DataDamaged as damage:
                    report.problems.append(str(damage))
                else:
                    checked.add_segment(entry.first_seq, columns)
                    digest.add_events(prefix, columns)
                segments_done += 1
                progress(segments_done, segments_all)
            report.problems += checked.problems()
            changes.add_bucket(bucket, checked)
            report.buckets.append(_size(txn, environment, bucket))
        report.problems += changes.problems()
        if not (_has_free_list(environment) or _has_free_list(environment)):  # a server may write it at this moment
            report.problems.append("The list of free pages is damaged: nothing can be written")
        report.digest = digest.text()
        _measure(txn, environment, report)
    return report


def _has_free_list(environment: Environment) -> bool:
    """Can it be read? The pages of the newest one are not used again while a transaction is open. 0.2 µs a free page."""
    try:
        with closing(PageFile(environment.data_file)) as pages:
            return pages.free_pages() is not None
    except (PageDamaged, OSError):
        return False


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


def _check_producers(state: State, report: Report) -> None:
    turns = [known.turn for known in state.producers.values()]
    if len(set(turns)) != len(turns):
        report.problems.append("Two producers of streams have the same turn")
    report.problems += [
        f"The producer {producer_id!r} has the sequence {known.last_sequence} or the turn {known.turn}, which begin at 1"
        for producer_id, known in state.producers.items()
        if known.last_sequence < 1 or known.turn < 1
    ]


def _check_tokens(state: State, report: Report) -> None:
    if len({token.digest for token in state.tokens.values()}) != len(state.tokens):
        report.problems.append("Two tokens have the same secret")
    report.problems += [
        f"The token {token.id!r} has no SHA-256, or no scope"
        for token in state.tokens.values()
        if len(token.digest) != _DIGEST_BYTES or not token.grants
    ]


def _check_identity(txn: lmdb.Transaction, environment: Environment, report: Report) -> None:
    stored = bytes(txn.get(layout.DEVICE_KEY, b"", db=environment.databases[layout.META]))
    device_id = layout.without_checksum(layout.DEVICE_KEY, stored, "The device's id").decode()
    identity = read_identity(environment.data_dir)
    if identity is None or identity.device_id != device_id:
        report.problems.append("identity.json is missing, or names another device than the store")


def _digest_apart_from_buckets(writes: WriteSet, tombstones: dict[Change, Tombstone]) -> Digest:
    digest = Digest()
    digest.add(f"next bucket {writes.next_bucket_number}".encode())
    for key, value in writes.settings.items():
        if value is not None:
            digest.add(b"setting" + layout.encode_setting(key.encode(), value) + key.encode())
    for change, tombstone in tombstones.items():
        digest.add(b"gone" + layout.change_key(change) + layout.encode_tombstone(change, tombstone))
    for producer_id, known in writes.producers.items():
        if known is not None:
            digest.add(b"producer" + layout.encode_producer(producer_id.encode(), known) + producer_id.encode())
    for token_id, token in writes.tokens.items():
        if token is not None:
            digest.add(b"token" + layout.encode_token(token_id.encode(), token) + token_id.encode())
    if writes.tokens_required:
        digest.add(b"tokens required")
    return digest


def _size(txn: lmdb.Transaction, environment: Environment, bucket: BucketState) -> BucketSize:
    segments = environment.databases[layout.SEGMENTS]
    disk_bytes = record_bytes(bucket)
    for entry in bucket.index:
        sealed = txn.get(layout.seq_key(bucket.number, entry.first_seq), db=segments)
        disk_bytes += segment_bytes(bucket, entry, 0 if sealed is None else len(sealed), environment.page_bytes)
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


def _measure(txn: lmdb.Transaction, environment: Environment, report: Report) -> None:
    report.file_bytes = (environment.data_dir / "data.mdb").stat().st_size
    for database in environment.databases.values():
        stat = txn.stat(database)
        report.live_bytes += stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
