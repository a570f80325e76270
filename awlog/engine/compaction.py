"""Compaction beside a running server: copy, catch up, swap.

copy       process   everything as of one moment, into a new file               as long as a backup takes
catch up   thread    what was committed meanwhile, until little is left          a part of that, again and again
swap       loop      no commit begins; the rest is applied, the file renamed     some 20 ms, in which writes wait

Nothing is refused: requests join the open batch as ever, and are committed to the new file. Reads wait while no snapshot
may be open, for the same moment. A crash at any point leaves the old file or the new one, each with all that was answered.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final

import structlog

from awlog.engine.committer import Committer
from awlog.log.write_set import WriteSet
from awlog.model.errors import DataDamaged, InsufficientStorage, Unavailable
from awlog.storage.compaction import Compacted as Compacted
from awlog.storage.compaction import HalfSwappedError, Successor
from awlog.storage.copying import aside
from awlog.storage.environment import DATA_FILE, Environment
from awlog.storage.room import is_full
from awlog.storage.writer import MapFull

_log: Final = structlog.get_logger(part="compaction")

# So few commits are left over to the moment of the swap.
_LEFT_OVER_MAX: Final = 32
# Commits that may be kept in memory until they are applied to the copy: half a minute of full load.
_KEPT_MAX: Final = 50_000


class Compaction:
    """Replaces the file of an open environment. Loop only; one at a time."""

    def __init__(
        self,
        environment: Environment,
        committer: Committer,
        *,
        without_snapshots: Callable[[], AbstractAsyncContextManager[None]],
        on_swapped: Callable[[], None],
    ) -> None:
        """`without_snapshots`: a context in which none is open; `on_swapped` is told when the file is another one."""
        self._environment = environment
        self._committer = committer
        self._without_snapshots = without_snapshots
        self._on_swapped = on_swapped
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._missed: list[WriteSet] | None = None
        self._closing = False

    def note(self, writes: WriteSet) -> None:
        """Tells what was committed."""
        if self._missed is not None:
            self._missed.append(writes)

    async def run(self) -> Compacted:
        """Raises DataDamaged, InsufficientStorage, Unavailable; then everything is as it was."""
        async with self._turn:
            self._missed = []
            try:
                return await self._run()
            except OSError as error:
                kind = InsufficientStorage if is_full(error, self._environment.data_dir) else Unavailable
                raise kind(f"The store was not compacted: {error.strerror or type(error).__name__}") from error
            except MapFull:
                raise Unavailable("The store was not compacted: too much was written meanwhile; try again") from None
            finally:
                self._missed = None

    async def close(self) -> None:
        """Ends what is under way, unless it is at its last step, and waits for that."""
        self._closing = True
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
        async with self._turn:
            pass

    async def _run(self) -> Compacted:
        data_dir = self._environment.data_dir
        before_bytes = (data_dir / DATA_FILE).stat().st_size
        with aside(data_dir / DATA_FILE) as made:
            await self._copy(data_dir, made)
            successor = await asyncio.to_thread(Successor, made)
            try:
                await self._catch_up(successor)
                async with self._without_snapshots():
                    await self._catch_up(successor)
                    await self._swap(successor, data_dir)
            except BaseException:
                successor.environment.close()
                raise
        after_bytes = (data_dir / DATA_FILE).stat().st_size
        _log.info("compacted", before_bytes=before_bytes, after_bytes=after_bytes)
        return Compacted(before_bytes, after_bytes)

    async def _catch_up(self, successor: Successor) -> None:
        while len(self._some_missed()) > _LEFT_OVER_MAX:
            await asyncio.to_thread(successor.catch_up, self._take_missed())

    async def _copy(self, data_dir: Path, made: Path) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "awlog.engine.compact_process", str(data_dir), str(made),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            said, _ = await self._process.communicate()
            status = self._process.returncode
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                self._process.kill()
            raise
        finally:
            self._process = None
        if self._closing:
            raise Unavailable("The store was not compacted: the server is stopping")
        if said:
            kind, _, reason = said.decode(errors="replace").partition("\n")
            # It may name the directory, which is nothing for whoever asks from elsewhere.
            _log.error("the store was not compacted", error=reason)
            if kind == InsufficientStorage.__name__:
                raise InsufficientStorage("The store was not compacted: there is no room for a copy beside it")
            raise Unavailable("The store was not compacted; the log says why")
        if status != 0:
            raise DataDamaged(f"The store ended the process that was to copy it (status {status}): something in it")

    async def _swap(self, successor: Successor, data_dir: Path) -> None:
        await self._committer.hold()
        try:
            await asyncio.to_thread(successor.catch_up, self._take_missed())
            try:
                await asyncio.to_thread(successor.take_place, data_dir)
            except HalfSwappedError as error:
                # What is written from now on might be in a file that nobody finds again.
                _log.error("the new file cannot take its name for sure: stopping", error=str(error))
                os._exit(1)
            self._environment.adopt(successor.environment)
            self._on_swapped()
        finally:
            self._committer.release()

    def _some_missed(self) -> list[WriteSet]:
        missed = self._missed or []
        if len(missed) > _KEPT_MAX:
            raise Unavailable("The store was not compacted: too much was written meanwhile; try again")
        return missed

    def _take_missed(self) -> list[WriteSet]:
        missed, self._missed = self._some_missed(), []
        return missed
