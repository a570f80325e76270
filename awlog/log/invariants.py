"""What must be true of a bucket and of the change numbers, and the digest.

Fed segment by segment, so that memory holds one segment, the seqs and the changes.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from awlog.log.columns import Columns, columns_of
from awlog.log.state import BucketState
from awlog.log.write_set import BucketGone, EventGone, EventsGone, SettingGone, Tombstone, WriteSet
from awlog.model.edits import SeqRange
from awlog.model.event import BucketNumber, Change

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIGEST_BYTES: Final = 16
_DIGEST_MODULUS: Final = 1 << (8 * _DIGEST_BYTES)


class Digest:
    """A sum of hashes, one for each thing that is there: neither order nor home of an event matters."""

    __slots__ = ("_sum",)

    def __init__(self) -> None:
        self._sum = 0

    def add(self, content: bytes) -> None:
        hashed = blake2b(content, digest_size=_DIGEST_BYTES).digest()
        self._sum = (self._sum + int.from_bytes(hashed, "big")) % _DIGEST_MODULUS

    def add_events(self, prefix: bytes, columns: Columns) -> None:
        """About 1.5 µs an event."""
        numbers = [columns.seq, columns.change, columns.start_us, columns.duration_us]
        rows = np.stack(numbers, axis=1).astype(">i8").tobytes()
        for at, code in enumerate(columns.payload_code.tolist()):
            self.add(prefix + rows[32 * at : 32 * at + 32] + columns.payloads[code])

    def text(self) -> str:
        return self._sum.to_bytes(_DIGEST_BYTES, "big").hex()


class BucketCheck:
    """Takes the segments of a bucket one by one, then says what is wrong."""

    def __init__(self, bucket: BucketState) -> None:
        self._bucket = bucket
        self._seqs: list[NDArray[np.int64]] = []
        self._changes: list[NDArray[np.int64]] = []
        self._problems: list[str] = []
        self.recent = columns_of([*bucket.head, *([] if bucket.tail is None else [bucket.tail])])
        self._take(self.recent)
        if bucket.tail is None and len(self.recent) + len(bucket.index):
            self._problems.append("it has events, but no tail record")

    def add_segment(self, first_seq: int, columns: Columns) -> None:
        if not (np.diff(columns.seq) > 0).all() or (columns.duration_us < 0).any():
            self._problems.append(f"segment {first_seq}: its seqs do not ascend, or a duration is negative")
        self._take(columns)

    def _take(self, columns: Columns) -> None:
        self._seqs.append(columns.seq)
        self._changes.append(columns.change)
        tail = self._bucket.tail
        if tail is not None:
            same_start = columns.start_us == tail.start_us
            if ((columns.start_us > tail.start_us) | (same_start & (columns.seq > tail.seq))).any():
                self._problems.append("the tail record is not the youngest event")

    def changes(self) -> NDArray[np.int64]:
        """Of all that was taken, and of the bucket's metadata."""
        return np.concatenate([*self._changes, np.array([self._bucket.meta.change], np.int64)])

    def holds(self, seqs: NDArray[np.int64]) -> bool:
        """Is any of these events there?"""
        return any(bool(np.isin(taken, seqs).any()) for taken in self._seqs)

    def problems(self) -> list[str]:
        """Each names the bucket. O(n log n)."""
        found = list(self._problems)
        seqs = np.concatenate(self._seqs)
        if len(np.unique(seqs)) != len(seqs):
            found.append("an event lives in two places")
        if len(seqs) and not (seqs.min() >= 1 and seqs.max() < self._bucket.next_seq):
            found.append("a sequence number that was not given out is in use")
        return [f"Bucket number {self._bucket.number}: {problem}" for problem in found]


class ChangesCheck:
    """All change numbers of a store, and its tombstones. Takes the buckets one by one, then says what is wrong.

    8 bytes an event.
    """

    def __init__(self, recovered: WriteSet, tombstones: dict[Change, Tombstone], oldest_change: Change) -> None:
        rows = [row.change for row in recovered.settings.values() if row is not None]
        self._numbers = [np.array([*tombstones, *rows], np.int64)]
        self._gone: dict[BucketNumber, list[SeqRange]] = {}
        self._problems: list[str] = []
        for change, tombstone in tombstones.items():
            match tombstone:
                case EventGone():
                    self._gone.setdefault(tombstone.bucket_number, []).append((tombstone.seq, tombstone.seq))
                    is_gone = tombstone.bucket_number < (recovered.next_bucket_number or 0)
                case EventsGone():
                    seqs = (tombstone.first_seq, tombstone.last_seq)
                    self._gone.setdefault(tombstone.bucket_number, []).append(seqs)
                    is_gone = tombstone.bucket_number < (recovered.next_bucket_number or 0)
                case BucketGone():
                    is_gone = tombstone.number not in recovered.buckets
                case SettingGone():
                    row = recovered.settings.get(tombstone.key)
                    is_gone = row is None or row.change > change
            if not is_gone:
                self._problems.append(f"The tombstone of change {change} speaks of what is there, or never was")
        if tombstones and min(tombstones) <= oldest_change:
            self._problems.append(f"A tombstone is kept that was dropped: the oldest change is {oldest_change}")

    def add_bucket(self, bucket: BucketState, checked: BucketCheck) -> None:
        self._numbers.append(checked.changes())
        gone = self._gone.get(bucket.number)
        if gone and checked.holds(np.concatenate([np.arange(first, last + 1) for first, last in gone])):
            self._problems.append(f"Bucket number {bucket.number}: an event is there that has a tombstone")

    def problems(self) -> list[str]:
        """O(n log n)."""
        found = list(self._problems)
        numbers = np.concatenate(self._numbers)
        if len(np.unique(numbers)) != len(numbers):
            found.append("A change number stands at two places")
        if len(numbers) and numbers.min() < 1:
            found.append("Something has no change number")
        return found
