"""What must be true of a bucket, and its digest. Fed segment by segment, so that memory holds one segment and the seqs."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from awlog.log.columns import Columns, columns_of
from awlog.log.state import BucketState

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
        rows = np.stack([columns.seq, columns.start_us, columns.duration_us], axis=1).astype(">i8").tobytes()
        for at, code in enumerate(columns.payload_code.tolist()):
            self.add(prefix + rows[24 * at : 24 * at + 24] + columns.payloads[code])

    def text(self) -> str:
        return self._sum.to_bytes(_DIGEST_BYTES, "big").hex()


class BucketCheck:
    """Takes the segments of a bucket one by one, then says what is wrong."""

    def __init__(self, bucket: BucketState) -> None:
        self._bucket = bucket
        self._seqs: list[NDArray[np.int64]] = []
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
        tail = self._bucket.tail
        if tail is not None:
            same_start = columns.start_us == tail.start_us
            if ((columns.start_us > tail.start_us) | (same_start & (columns.seq > tail.seq))).any():
                self._problems.append("the tail record is not the youngest event")

    def problems(self) -> list[str]:
        """Each names the bucket. O(n log n)."""
        found = list(self._problems)
        seqs = np.concatenate(self._seqs)
        if len(np.unique(seqs)) != len(seqs):
            found.append("an event lives in two places")
        if len(seqs) and not (seqs.min() >= 1 and seqs.max() < self._bucket.next_seq):
            found.append("a sequence number that was not given out is in use")
        return [f"Bucket number {self._bucket.number}: {problem}" for problem in found]
