"""The store of a running engine: the durable state, in memory and on the disk, as one.

read        loop     the durable state, and a snapshot that shows the same moment      about 20 µs
commit      thread   a write set in one transaction                                    O(batch)
take        loop     what was committed is in the durable state now                    O(batch)
start over  loop     after a failed commit only the disk says what is durable          as a start
grow        loop     a larger map, at a moment in which no snapshot is open            waits for those who read

Everything here is for the loop's thread, but for `commit`, which sees only the write set handed to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from awlog.engine.clock import Clock
from awlog.engine.full_disk import FullDisk
from awlog.log.columns import Columns
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import LoadSegment, State
from awlog.log.write_set import WriteSet
from awlog.model.errors import Busy, Damaged, InsufficientStorage, Unavailable
from awlog.model.event import BucketNumber, Change
from awlog.storage.damaged import DamagedEnvironment
from awlog.storage.environment import READERS_MAX, Environment
from awlog.storage.newest import NewestChange, count_on_from
from awlog.storage.recovery import recover
from awlog.storage.segment_cache import SegmentCache
from awlog.storage.snapshot import Snapshot, open_snapshot
from awlog.storage.writer import Writer

_log: Final = structlog.get_logger(part="engine")

# Decoded segments kept: about 300 of them, more than a million events.
CACHE_BYTES: Final = 64 << 20
# A store that could not be read again after a failed write is tried at most this often.
_RETRY_S: Final = 1.0
# Streams that are open at one time. The other slots of LMDB's reader table are for writes that look into history, and
# for reader processes: those never wait for a client that does not read.
_SNAPSHOTS_MAX: Final = READERS_MAX - 64
_GROW_POLL_S: Final = 0.005
# How old the note of the newest change may be while something changes.
_NOTE_NEWEST_S: Final = 60.0

OpenWriter = Callable[[Environment], Writer]


class Store:
    """Owns the writer, the durable state and the decoded segments of an environment, which stays the caller's."""

    def __init__(
        self,
        environment: Environment,
        *,
        clock: Clock,
        cache_bytes: int,
        open_writer: OpenWriter,
        settled: Callable[[], Awaitable[None]],
        on_started_over: Callable[[], None],
    ) -> None:
        """Recovers the state. Raises DataDamaged. O(records that are not sealed).

        `settled` returns when the commit in flight is taken; `on_started_over` is told when the state was read anew.
        """
        self.environment = environment
        self.durable = State()
        """What is on the disk. Another object after a failed commit: ask for it each time, and change nothing in it."""
        self.full_disk = FullDisk(environment.reserve)
        self.cache = SegmentCache(cache_bytes)
        self._open_writer = open_writer
        self._settled = settled
        self._on_started_over = on_started_over
        self._writer = open_writer(environment)
        self._txn_id = 0
        self._broken: Busy | None = None
        self._tried_at_s = 0.0
        self.on_writable: Callable[[], None] = lambda: None
        """Called when a file system that was read-only is so no more: processes that read without a lock must end."""
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._turns_without_snapshots = 0
        self._snapshot_turns = asyncio.Semaphore(_SNAPSHOTS_MAX)
        self._newest = NewestChange(environment.data_dir)
        self._noted_s = asyncio.get_running_loop().time()
        self._recover()
        if self.read_only is None:
            self._notice_older_file(clock)

    # May it be written, and read?

    @property
    def read_only(self) -> Busy | None:
        """Why nothing is written; None in a store that is whole, on a file system that is writable."""
        return self.environment.why_read_only

    def refusal(self) -> Busy | None:
        """Why nothing can be written now. O(1)."""
        if self.read_only is not None:
            self._try_to_write()
        return self.read_only or self.unreadable()

    def _try_to_write(self) -> None:
        """Is the file system writable now? It is asked at most once a second, and while nobody reads."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._tried_at_s < _RETRY_S or self.environment.reader_count:
            return
        self._tried_at_s = now_s
        with suppress(Busy):
            if self.environment.begin_writing():
                self.on_writable()
                self.start_over()
                _log.info("the file system is writable again: recording")

    def unreadable(self) -> Busy | None:
        """Why nothing can be read since a failed write. Then it is tried again, at most once a second."""
        if self._broken is not None and asyncio.get_running_loop().time() - self._tried_at_s >= _RETRY_S:
            with suppress(Busy):
                self.start_over()
        return self._broken

    def why_not_written(self) -> str | None:
        """As `refusal`, for those who watch: nothing is tried."""
        reason = self.read_only or self._broken
        return None if reason is None else str(reason)

    # Commits

    def commit(self, writes: WriteSet) -> int:
        """For the committer's thread: the number of the transaction. Raises MapFull, Busy."""
        return self._writer.commit(writes)

    def take(self, writes: WriteSet, txn_id: int) -> None:
        """What was committed is durable."""
        self.durable.absorb(writes)
        self._txn_id = txn_id
        loop = asyncio.get_running_loop()
        if loop.time() - self._noted_s >= _NOTE_NEWEST_S:
            self._noted_s = loop.time()
            loop.run_in_executor(None, self._newest.note, self.durable.head_change)

    def _notice_older_file(self, clock: Clock) -> None:
        """At the start: was the store's file replaced by an older one?"""
        if self.durable.head_change < self._newest.noted:
            _log.warning(
                "the store is older than what was here: it is taken for a restored one, followers begin anew",
                newest_change=self.durable.head_change,
                was_here=self._newest.noted,
            )
            try:
                count_on_from(self.environment, clock(), Change(self._newest.noted + 1))
            except Unavailable as error:
                _log.error("the next start tries again", error=str(error))
                return
            self._recover()
        self._newest.note(self.durable.head_change)

    def start_over(self, failure: Busy | None = None) -> None:
        """After a failed commit: only the disk says what is durable. Raises Unavailable, and tries again later."""
        self.full_disk.note(failure)
        self._broken = Unavailable("The store cannot be read after a failed write; it is tried again. See the log.")
        self._tried_at_s = asyncio.get_running_loop().time()
        try:
            self.environment.start_over()
            self._writer = self._open_writer(self.environment)
            self._recover()
        except (Busy, Damaged) as error:
            _log.error("the store cannot be read again", error=str(error))
            raise self._broken from error
        self._broken = None
        self._on_started_over()

    def _recover(self) -> None:
        environment = self.environment
        recovered = environment.recovered if isinstance(environment, DamagedEnvironment) else recover(environment)
        self.durable = State()
        self.durable.absorb(recovered.writes)
        self.durable.damage = recovered.damage
        self._txn_id = recovered.txn_id
        self.cache.clear()

    def take_new_file(self) -> None:
        """The environment's file was replaced by another one with the same contents."""
        self.environment.reserve.is_there()
        self._txn_id = self.environment.last_txn_id()
        self._writer = self._open_writer(self.environment)

    def mark_clean(self) -> None:
        """At the end, when all is durable: the next start need not look for what a crash may have left."""
        if self._broken is None and self.read_only is None:
            self._writer.mark_clean()
            self._newest.note(self.durable.head_change)

    # Snapshots

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """A snapshot of the durable state at this moment; what is needed of the state is taken before the next await.

        Raises Unavailable.
        """
        unreadable = self.unreadable()
        if unreadable is not None:
            raise unreadable
        async with self._snapshot_turns:
            await self._may_read.wait()
            with open_snapshot(self.environment) as snapshot:
                # A commit is visible to new snapshots shortly before it settles in memory.
                while snapshot.txn_id() != self._txn_id:
                    await self._settled()
                yield snapshot

    @asynccontextmanager
    async def segments(self) -> AsyncIterator[LoadSegment]:
        """As `snapshot`: a loader of decoded segments."""
        async with self.snapshot() as snapshot:
            yield lambda number, entry: self._load(number, entry, snapshot)

    def segment_now(self, number: BucketNumber, entry: SegmentEntry) -> Columns:
        """A segment that the disk has now, without waiting for a turn. Raises DataDamaged, Unavailable."""
        with open_snapshot(self.environment) as snapshot:
            return self._load(number, entry, snapshot)

    def _load(self, number: BucketNumber, entry: SegmentEntry, snapshot: Snapshot) -> Columns:
        columns = self.cache.get(number, entry)
        if columns is None:
            columns = snapshot.segment(number, entry)
            self.cache.put(number, entry, columns)
        return columns

    # Moments without snapshots

    def grow_in_time(self) -> None:
        """Doubles the map when it is half full and nobody is reading, so that nobody has to wait for it later."""
        if self.environment.reader_count == 0 and self.environment.wants_growth():
            with suppress(InsufficientStorage):  # there is room yet; when there is none, the commit says so
                self.environment.grow()

    async def grow(self) -> None:
        """Doubles LMDB's map when no snapshot is open; new ones wait. Raises InsufficientStorage."""
        async with self.without_snapshots():
            self.environment.grow()

    @asynccontextmanager
    async def without_snapshots(self) -> AsyncIterator[None]:
        """A time in which no snapshot is open and none is opened. Rare: once for every doubling of the data."""
        self._turns_without_snapshots += 1
        self._may_read.clear()
        try:
            while self.environment.reader_count:  # noqa: ASYNC110
                await asyncio.sleep(_GROW_POLL_S)
            yield
        finally:
            self._turns_without_snapshots -= 1
            if not self._turns_without_snapshots:
                self._may_read.set()
