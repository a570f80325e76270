"""A damaged store to be read from, and not written to: all of it that is whole, in the place of an environment.

It answers the few calls by which snapshots and views read LMDB, out of what `Salvage` found. LMDB itself is not asked, so no
damage ends the process. What is not whole is never served: a bucket that is incomplete says so instead of answering.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from awlog.log.state import Damage
from awlog.log.write_set import SegmentWrite, TailRow, WriteSet
from awlog.model.errors import Unavailable
from awlog.model.event import UNNUMBERED, BucketNumber, Seq
from awlog.storage import layout
from awlog.storage.environment import Environment
from awlog.storage.recovery import Recovered
from awlog.storage.reserve import Reserve
from awlog.storage.salvage import Salvage, SalvagedBucket

_PAGE_BYTES: Final = 4096


class DamagedEnvironment(Environment):
    """Owned as an environment is. `damage` says what cannot be answered."""

    def __init__(self, data_dir: Path) -> None:
        """O(pages) of the file. Raises CannotStart if too little is left to serve anything, FormatTooNew."""
        self.data_dir = data_dir
        self.reader_count = 0
        self.page_bytes = _PAGE_BYTES
        self.databases: dict[bytes, Any] = {name: name for name in layout.SUB_DATABASES}
        self.reserve = Reserve(self, 0)
        # Heartbeats too, which stock clients do not send again: in a damaged file a write may land on what is still whole,
        # and what was recorded is worth more than what is being recorded.
        self.why_read_only = Unavailable(
            "The store is damaged and served read-only. Stop the server, run `awlog repair`, and start it on what that "
            "makes; or restore a backup."
        )
        self._salvage = Salvage(data_dir)
        self._txn = _SalvagedTransaction(self._salvage)
        self.recovered = self._recovered()

    def begin_writing(self) -> bool:
        return False

    def close(self) -> None:
        self._salvage.close()

    @contextmanager
    def reading(self) -> Iterator[Any]:
        self.reader_count += 1
        try:
            yield self._txn
        finally:
            self.reader_count -= 1

    def start_over(self) -> None:
        """Nothing was written."""

    def reap_readers(self) -> None:
        """Nobody reads by LMDB."""

    def last_txn_id(self) -> int:
        return self._salvage.txn_id()

    def wants_growth(self) -> bool:
        return False

    def _recovered(self) -> Recovered:
        """What a state needs: of a bucket that is not complete the name only."""
        damage = Damage()
        writes = WriteSet(next_bucket_number=BucketNumber(1), next_change=UNNUMBERED)
        salvage = self._salvage
        for bucket in salvage.buckets():
            incomplete = bucket.incompleteness()
            if bucket.meta is None:
                damage.bucket_table = f"The metadata of bucket number {bucket.number}"
                continue
            writes.buckets[bucket.number] = bucket.meta
            if incomplete is None:
                _put_whole(writes, bucket)
            else:
                damage.buckets[bucket.number] = incomplete
                writes.tails[bucket.number] = TailRow(Seq(1), 1, None)
        if salvage.is_damaged(layout.BUCKETS) and damage.bucket_table is None:
            damage.bucket_table = "The table of buckets"
        if salvage.is_damaged(layout.SETTINGS):
            damage.settings = "The table of settings"
        for key, value in salvage.rows[layout.SETTINGS].items():
            writes.settings[key.decode()] = layout.decode_setting(key, value)
        for key, value in salvage.rows[layout.PRODUCERS].items():
            writes.producers[key.decode()] = layout.decode_producer(key, value)
        for key, value in salvage.rows[layout.TOKENS].items():
            token = layout.decode_token(key, value)
            writes.tokens[token.id] = token
        required = salvage.rows[layout.META].get(layout.TOKENS_REQUIRED_KEY)
        if required is not None:
            writes.tokens_required = layout.decode_tokens_required(required)
        elif salvage.is_damaged(layout.META):
            # Where nobody can say whether tokens are required, they are: else a damaged page would open the door. That there
            # are no tokens says nothing: the last one may have been revoked.
            writes.tokens_required = True
        return Recovered(writes, salvage.txn_id(), clean=False, damage=damage)


def _put_whole(writes: WriteSet, bucket: SalvagedBucket) -> None:
    assert bucket.row is not None, "a complete bucket has its row"
    writes.tails[bucket.number] = bucket.row
    for event in bucket.records.values():
        writes.put_record(bucket.number, event)
    for entry in bucket.entries.values():
        writes.put_segment(bucket.number, SegmentWrite(entry))


class _SalvagedTransaction:
    """As much of `lmdb.Transaction` as reading needs; databases are the names of the tables."""

    def __init__(self, salvage: Salvage) -> None:
        self._salvage = salvage
        self._keys: dict[bytes, list[bytes]] = {}

    def id(self) -> int:
        return self._salvage.txn_id()

    def get(self, key: bytes, default: bytes | None = None, *, db: bytes) -> bytes | None:
        if db == layout.SEGMENTS:
            sealed = self._salvage.sealed(bytes(key))
            return default if sealed is None else sealed
        return self._salvage.rows[db].get(bytes(key), default)

    def cursor(self, db: bytes) -> _SalvagedCursor:
        if db not in self._keys:
            self._keys[db] = self._salvage.segment_keys() if db == layout.SEGMENTS else sorted(self._salvage.rows[db])
        return _SalvagedCursor(self, self._keys[db], db)


class _SalvagedCursor:
    """As much of `lmdb.Cursor` as reading needs."""

    def __init__(self, txn: _SalvagedTransaction, keys: list[bytes], db: bytes) -> None:
        self._txn = txn
        self._keys = keys
        self._db = db
        self._at = 0

    def __enter__(self) -> _SalvagedCursor:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def set_range(self, key: bytes) -> bool:
        self._at = bisect_left(self._keys, key)
        return self._at < len(self._keys)

    def last(self) -> bool:
        self._at = max(len(self._keys) - 1, 0)
        return bool(self._keys)

    def key(self) -> bytes:
        return self._keys[self._at]

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        for key in self._keys[self._at :]:
            value = self._txn.get(key, db=self._db)
            assert value is not None, "its key was found"
            yield key, value
