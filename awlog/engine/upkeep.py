"""When to seal, one task for all buckets: the oldest records of a head that has grown past two segments' worth, and the
largest heads when all of them together take more memory than they may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from operator import itemgetter
from typing import Final

import structlog

from awlog.log.head import Head
from awlog.log.sealing import wants_sealing
from awlog.log.state import BucketState
from awlog.model.errors import AwlogError
from awlog.model.event import BucketNumber

_log: Final = structlog.get_logger(part="upkeep")

# What the records of all heads may take in memory: 20 buckets of 5,000 window titles each, which is as many as two segments
# hold on the average, 500 of 200, or 10,000 of ten. Beyond it the largest are sealed, which are at least as large as the
# average: the fewer buckets, the fuller the segments.
HEADS_BYTES_MAX: Final = 64 << 20
# And so much is left of them: a quarter is sealed at a time, so that a sort of all buckets serves for many records.
_LEFT: Final = 3 / 4
# As much again may come while that is done. What comes in bulk waits then; heartbeats never do.
_FULL: Final = 2


class Upkeep:
    """Runs `seal` for each bucket that needs it, one at a time, and `empty` for the largest heads. Loop only.

    `seal`: the oldest records of a bucket. `empty`: those of all these buckets, a segment each; `soon` if somebody waits.
    """

    def __init__(
        self,
        seal: Callable[[BucketNumber], Awaitable[None]],
        empty: Callable[[list[BucketNumber], bool], Awaitable[None]],
        heads_bytes_max: int = HEADS_BYTES_MAX,
    ) -> None:
        self._seal = seal
        self._empty = empty
        self._heads_bytes_max = heads_bytes_max
        self._sizes_bytes: dict[BucketNumber, int] = {}
        self._heads_bytes = 0
        self._due: dict[BucketNumber, None] = {}
        self._wake = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_full(self) -> bool:
        """Should what comes in bulk wait?"""
        return self._heads_bytes > _FULL * self._heads_bytes_max

    def note(self, bucket_number: BucketNumber, head: Head) -> None:
        """Tells that a head may have grown. O(1)."""
        size_bytes = head.size_bytes
        self._heads_bytes += size_bytes - self._sizes_bytes.get(bucket_number, 0)
        self._sizes_bytes[bucket_number] = size_bytes
        if wants_sealing(head):
            self._due[bucket_number] = None
        if self._due or self._is_over():
            self._wake.set()

    def recount(self, buckets: list[BucketState]) -> None:
        """After a failed commit the state was read anew. Nothing is tried at once: it would fail again. O(buckets)."""
        self._sizes_bytes = {bucket.number: bucket.head.size_bytes for bucket in buckets}
        self._heads_bytes = sum(self._sizes_bytes.values())

    def forget(self, bucket_number: BucketNumber) -> None:
        """The bucket is gone."""
        self._heads_bytes -= self._sizes_bytes.pop(bucket_number, 0)

    async def room(self) -> None:
        """Returns at once, or, when heads are full, after one more attempt to empty some."""
        if self.is_full:
            self._has_room.clear()
            self._wake.set()
            await self._has_room.wait()

    async def close(self) -> None:
        """Ends at once: a segment that was not committed yet is made again after the next start."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._has_room.set()

    def _is_over(self) -> bool:
        return self._heads_bytes > self._heads_bytes_max

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                bucket_number = next(iter(self._due))
                del self._due[bucket_number]
                await self._attempt(self._seal(bucket_number))
                if self._is_over():
                    break
            before_bytes = self._heads_bytes
            if self._is_over():
                await self._attempt(self._empty(self._largest(), self.is_full))
            self._has_room.set()
            # Without any progress it is tried again when something else has been written.
            if self._due or (self._is_over() and self._heads_bytes < before_bytes):
                self._wake.set()

    def _largest(self) -> list[BucketNumber]:
        """The largest heads, as many as are too many. O(buckets), 2 ms for 10,000."""
        excess_bytes = self._heads_bytes - int(_LEFT * self._heads_bytes_max)
        chosen = []
        for bucket_number, size_bytes in sorted(self._sizes_bytes.items(), key=itemgetter(1), reverse=True):
            if excess_bytes <= 0:
                break
            chosen.append(bucket_number)
            excess_bytes -= size_bytes
        return chosen

    async def _attempt(self, sealing: Awaitable[None]) -> None:
        try:
            await sealing
        except AwlogError as error:
            _log.warning("sealing was put off", error=str(error))
        except Exception:  # noqa: BLE001 - one bucket's trouble must not end the upkeep of all
            _log.exception("sealing failed")
