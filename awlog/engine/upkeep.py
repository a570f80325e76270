"""When to seal: a bucket whose head has grown past two segments' worth gets its oldest records sealed, one task for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from awlog.log.head import Head
from awlog.log.segment import SEAL_ABOVE_EVENTS
from awlog.model.errors import AwlogError
from awlog.model.event import BucketNumber

_log: Final = structlog.get_logger(part="upkeep")


class Upkeep:
    """Runs `seal` for each bucket that needs it, one at a time. Loop only."""

    def __init__(self, seal: Callable[[BucketNumber], Awaitable[None]]) -> None:
        self._seal = seal
        self._due: asyncio.Queue[BucketNumber] = asyncio.Queue()
        self._noted: set[BucketNumber] = set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def note(self, bucket_number: BucketNumber, head: Head) -> None:
        """Tells that a head may have grown. O(1)."""
        if len(head) > SEAL_ABOVE_EVENTS and bucket_number not in self._noted:
            self._noted.add(bucket_number)
            self._due.put_nowait(bucket_number)

    async def close(self) -> None:
        """Ends at once: a segment that was not committed yet is made again after the next start."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            bucket_number = await self._due.get()
            self._noted.discard(bucket_number)
            try:
                await self._seal(bucket_number)
            except AwlogError as error:
                _log.warning("sealing was put off", bucket_number=bucket_number, error=str(error))
            except Exception:  # noqa: BLE001 - one bucket's trouble must not end the upkeep of all
                _log.exception("sealing failed", bucket_number=bucket_number)
