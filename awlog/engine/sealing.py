"""Records -> segments, encoded off the loop, many buckets in a commit. `upkeep.py` says when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from awlog.engine.store import Store
from awlog.log.sealing import oldest_records, records_to_seal, seal_together, small_segments, weight
from awlog.log.segment import EVENT_BYTES, SEGMENT_EVENTS, ZSTD_LEVEL, ZSTD_LEVEL_SOON
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState, State
from awlog.model.event import BucketNumber, Event
from awlog.model.facts import Fact, RecordsSealed

# What is encoded for one commit weighs as much as a full segment: about 4 ms, as much of the loop's time as that takes, and
# 4 MiB of texts, which are held three times: as records, as a segment, and as pages that the transaction has changed.
_COMMIT_WEIGHT: Final = SEGMENT_EVENTS * EVENT_BYTES
# Each bucket takes some 20 µs of the loop besides, as much as so many events of a full segment.
_BUCKET_WEIGHT: Final = 32 * EVENT_BYTES


class _ToSeal(Struct, frozen=True):
    """Records of one bucket that become a segment, and small segments that may become part of it."""

    bucket_number: BucketNumber
    records: list[Event]
    small: list[tuple[SegmentEntry, bytes]] = []

    def is_as_it_was(self, bucket: BucketState) -> bool:
        """Has no edit come in between?"""
        return all(bucket.head.get(event.seq) is event for event in self.records) and all(
            bucket.index.get(entry.first_seq) is entry for entry, _ in self.small
        )


class Sealing:
    """`staged`: the state that commands are decided on. `submit` applies facts to it; they are durable when it is done."""

    def __init__(
        self, store: Store, *, staged: Callable[[], State], submit: Callable[[list[Fact]], asyncio.Future[Any]]
    ) -> None:
        self._store = store
        self._staged = staged
        self._submit = submit

    async def oldest(self, bucket_number: BucketNumber) -> None:
        """Moves the oldest records of a bucket into a segment if it holds too many. Durable when it returns."""
        bucket = self._store.durable.numbered(bucket_number)
        if bucket is not None:
            await self._seal([_ToSeal(bucket_number, records_to_seal(bucket.head))], ZSTD_LEVEL)

    async def all_of(self, bucket_numbers: list[BucketNumber], soon: bool) -> None:
        """Moves the records of these buckets into a segment each, together with the small segments that they have.

        Durable when it returns. `soon`: somebody waits.
        """
        to_seal: list[_ToSeal] = []
        taken = 0
        for bucket_number in bucket_numbers:
            if self._is_put_off():
                return
            async with self._store.snapshot() as snapshot:
                bucket = self._store.durable.numbered(bucket_number)
                if bucket is not None:
                    records = oldest_records(bucket.head)
                    small = small_segments(len(records), bucket.index)
                    sealed = [(entry, snapshot.sealed(bucket_number, entry)) for entry in small]
                    to_seal.append(_ToSeal(bucket_number, records, sealed))
                    taken += _BUCKET_WEIGHT + weight(records) + EVENT_BYTES * sum(entry.count for entry in small)
            if taken >= _COMMIT_WEIGHT or bucket_number == bucket_numbers[-1]:
                await self._seal(to_seal, ZSTD_LEVEL_SOON if soon else ZSTD_LEVEL)
                to_seal, taken = [], 0
            await asyncio.sleep(0)

    async def _seal(self, to_seal: list[_ToSeal], level: int) -> None:
        """In one commit; what was edited meanwhile is left as it is."""
        to_seal = [each for each in to_seal if each.records]
        if not to_seal or self._is_put_off():
            return
        runs = await asyncio.to_thread(lambda: [seal_together(each.records, each.small, level) for each in to_seal])
        if self._store.refusal() is not None:
            return
        facts: list[Fact] = []
        for each, (run, merged) in zip(to_seal, runs, strict=True):
            staged = self._staged().numbered(each.bucket_number)
            if staged is not None and each.is_as_it_was(staged):  # else the next commit of this bucket asks again
                facts.append(RecordsSealed(each.bucket_number, [event.seq for event in each.records], run, merged))
        if facts:
            await self._submit(facts)

    def _is_put_off(self) -> bool:
        """Would the store refuse it?"""
        return self._store.full_disk.is_full or self._store.refusal() is not None
