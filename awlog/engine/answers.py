"""Answers of queries, kept for when the same is asked again of the same events.

A program's answer follows from its text, its period, the list of buckets, and the events of the ranges that it read. The
store gives each range a *stamp* that is another one when the range may hold other events, so an answer whose stamps are all
the same is the answer. Yesterday's stays good while today grows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Protocol

from msgspec import Struct

from awlog.log.columns import Columns
from awlog.model.bucket import BucketMeta
from awlog.model.event import BucketNumber
from awlog.model.times import Micros
from awlog.query.functions import Store

# All answers together, with what is kept about them; one that is larger than a part of that is not kept.
_BYTES_MAX: Final = 32 << 20
_PART_OF_ALL: Final = 8
# In memory, about: a question, which is a digest, and its places; a range with its stamp.
_ANSWER_BYTES: Final = 500
_READ_BYTES: Final = 350


class StampedStore(Store, Protocol):
    """A snapshot that knows what changed between it and others."""

    def buckets_stamp(self) -> Hashable:
        """Another one when a bucket was made, changed or deleted."""

    def stamp(self, bucket_number: BucketNumber, end_us: Micros) -> Hashable:
        """Another one when what starts in the bucket up to `end_us` may be other events."""


class _Kept(Struct, frozen=True):
    answer: bytes
    buckets_stamp: Hashable
    reads: dict[tuple[BucketNumber, Micros], Hashable]  # stamps by bucket and end of range

    @property
    def size_bytes(self) -> int:
        return _ANSWER_BYTES + len(self.answer) + _READ_BYTES * len(self.reads)


class Answers:
    """Owned by one process that reads. Bounded: what was asked longest ago goes first."""

    def __init__(self, bytes_max: int = _BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    def get(self, question: Hashable, store: StampedStore) -> bytes | None:
        """The answer, if it still holds in this snapshot. Some ten microseconds."""
        kept = self._kept.get(question)
        if kept is None:
            return None
        holds = kept.buckets_stamp == store.buckets_stamp() and all(
            store.stamp(number, end_us) == stamp for (number, end_us), stamp in kept.reads.items()
        )
        if not holds:
            self._drop(question)
            return None
        self._kept.move_to_end(question)
        return kept.answer

    def put(self, question: Hashable, answer: bytes, read: Watched) -> None:
        """`question` is small, whatever was asked.

        `read`: the store that was read for the answer, and for nothing else since `begin`.
        """
        if question in self._kept:
            self._drop(question)
        kept = _Kept(answer, read.buckets_stamp(), read.stamps())
        if kept.size_bytes > self._bytes_max // _PART_OF_ALL:
            return
        self._kept[question] = kept
        self._bytes += kept.size_bytes
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def _drop(self, question: Hashable) -> None:
        self._bytes -= self._kept.pop(question).size_bytes


class Watched:
    """A store as far as it may be seen, and what was read of it."""

    def __init__(self, store: StampedStore, prefixes: tuple[str, ...] = ("",)) -> None:
        """`prefixes`: of the ids of the buckets that there are for whoever asks. They are a part of the question."""
        self._store = store
        self._prefixes = prefixes
        self._reads: set[tuple[BucketNumber, Micros]] = set()

    def begin(self) -> None:
        self._reads.clear()

    def buckets_stamp(self) -> Hashable:
        return self._store.buckets_stamp()

    def stamps(self) -> dict[tuple[BucketNumber, Micros], Hashable]:
        return {(number, end_us): self._store.stamp(number, end_us) for number, end_us in self._reads}

    def buckets(self) -> list[BucketMeta]:
        return [bucket for bucket in self._store.buckets() if bucket.id.startswith(self._prefixes)]

    def events(self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros) -> Columns:
        self._reads.add((bucket_number, end_us))
        return self._store.events(bucket_number, start_us, end_us)

    def count(self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros) -> int:
        self._reads.add((bucket_number, end_us))
        return self._store.count(bucket_number, start_us, end_us)
