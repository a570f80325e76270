"""Group commit: many requests, one sync.

join     loop     a request's facts are staged, its reply waits in the open batch      O(1)
commit   thread   the whole batch in one transaction, one sync                          O(batch)
settle   loop     staged becomes durable; the answers are given                         O(batch)

What arrives while a commit is in flight is the next batch: thousands of requests under load, one when idle, and no timer
to tune. A reply is a plain callback: a request needs no future and no task here. The loop owns the batches; the thread
sees only the write set handed to it, which the loop then leaves alone: nothing is shared, so nothing is locked. Invariant:
an answer leaves only after its facts, and all facts that it was decided on, are durable.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from awlog.engine.figures import Counts
from awlog.log.write_set import WriteSet
from awlog.model.errors import AwlogError, Busy, Unavailable
from awlog.storage.writer import MapFull

_log: Final = structlog.get_logger(part="committer")

Commit = Callable[[WriteSet], int]
Outcome = Any  # an answer, or the AwlogError that refuses
Reply = Callable[[Outcome], None]
"""Called once, on the loop, when the outcome may be told; perhaps before `join` returns. May hand in the next command."""


class Batch:
    """Write set and waiting answers of one commit. `began_s`: when the first of them came, by `perf_counter`."""

    __slots__ = ("began_s", "waiting", "writes")

    def __init__(self) -> None:
        self.began_s = 0.0
        self.writes = WriteSet()
        self.waiting: list[tuple[Reply, Outcome]] = []

    def refuse(self, error: Busy) -> None:
        """Gives each that waits an error of its own."""
        for reply, _ in self.waiting:
            _give(reply, type(error)(str(error)))


class Committer:
    """Owns the batches and the committing thread. All methods are for the loop's thread.

    commit       runs in the thread; raises MapFull, Busy
    on_durable   takes a committed write set and its transaction number into the durable state
    on_failed    is told why; puts the state back to what is on the disk; raises Busy if that cannot be read
    on_map_full  makes room, and the same batch is committed again; raises Busy if there is none
    before_commit  is called while nothing is in flight, before something is
    """

    def __init__(
        self,
        commit: Commit,
        *,
        on_durable: Callable[[WriteSet, int], None],
        on_failed: Callable[[Busy], None],
        on_map_full: Callable[[], Awaitable[None]],
        before_commit: Callable[[], None],
        counts: Counts,
    ) -> None:
        self._commit = commit
        self._on_durable = on_durable
        self._on_failed = on_failed
        self._on_map_full = on_map_full
        self._before_commit = before_commit
        self._loop = asyncio.get_running_loop()
        self._open = Batch()
        self._in_flight: Batch | None = None
        self._begin_scheduled = False
        self._held = False
        self._settle_waiters: list[asyncio.Future[None]] = []
        self.counts = counts
        self.commit_count = 0
        self.answered_count = 0
        self.commit_s: float | None = None  # how long the newest commit took
        self._jobs: queue.SimpleQueue[WriteSet | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="awlog-committer", daemon=True)
        self._thread.start()

    @property
    def writes(self) -> WriteSet:
        """The write set of the open batch: facts that are applied now are noted here."""
        return self._open.writes

    def pending_writes(self) -> list[WriteSet]:
        """What is staged and not durable, newest first."""
        return [self._open.writes] if self._in_flight is None else [self._open.writes, self._in_flight.writes]

    def join(self, outcome: Outcome, reply: Reply) -> None:
        """`reply` is told `outcome` when everything staged until now is durable, at once if it is. O(1), 0.2 µs."""
        if self._open.writes:
            if not self._open.waiting:
                self._open.began_s = time.perf_counter()
            self._open.waiting.append((reply, outcome))
            if self._in_flight is None and not self._begin_scheduled:
                self._begin_scheduled = True
                # Not at once: what else arrived in this turn of the loop shares the commit.
                self._loop.call_soon(self._begin)
        elif self._in_flight is not None:
            self._in_flight.waiting.append((reply, outcome))
        else:
            _give(reply, outcome)

    async def settled(self) -> None:
        """Returns after the commit in flight has settled, and before the next one can settle."""
        waiter = self._loop.create_future()
        self._settle_waiters.append(waiter)
        await waiter

    async def hold(self) -> None:
        """No commit begins until `release`; none is in flight when it returns. What arrives waits in the open batch."""
        assert not self._held, "it is held once"
        self._held = True
        while self._in_flight is not None:
            await self.settled()

    def release(self) -> None:
        self._held = False
        self._begin()

    async def close(self) -> None:
        """Commits what is open, then ends the thread."""
        while self._open.writes or self._in_flight is not None:
            self._begin()
            if self._in_flight is not None:
                await self.settled()
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def fail_open(self, error: Busy) -> None:
        """Refuses the open batch: what it was decided on is not what the staged state holds now. O(batch)."""
        failed, self._open = self._open, Batch()
        failed.refuse(error)

    def in_flight_writes(self) -> WriteSet | None:
        return None if self._in_flight is None else self._in_flight.writes

    def _fail_all(self, error: Busy) -> None:
        """After a failed commit: refuses it and what was decided on it, and starts over from the disk."""
        failed = [self._open] if self._in_flight is None else [self._in_flight, self._open]
        self._open, self._in_flight = Batch(), None
        try:
            self._on_failed(error)
        except Busy as worse:
            error = worse
        for batch in failed:
            batch.refuse(error)
        self._wake_settled()

    def _begin(self) -> None:
        self._begin_scheduled = False
        if self._in_flight is None and self._open.writes and not self._held:
            try:
                self._before_commit()
            except Busy as error:
                self._fail_all(error)
                return
            self._in_flight, self._open = self._open, Batch()
            self._jobs.put(self._in_flight.writes)

    def _run(self) -> None:
        """The thread. Broad except: whatever a commit raises must refuse its batch and not end the thread."""
        while (writes := self._jobs.get()) is not None:
            txn_id, error = 0, None
            began_s = time.perf_counter()
            try:
                txn_id = self._commit(writes)
                self.commit_s = time.perf_counter() - began_s
            except BaseException as raised:  # noqa: BLE001
                error = raised
            try:
                self._loop.call_soon_threadsafe(self._finished, txn_id, error)
            except RuntimeError:  # the loop was closed by a second signal: there is nobody left to answer
                return

    def _finished(self, txn_id: int, error: BaseException | None) -> None:
        done = self._in_flight
        assert done is not None, "one commit is in flight at a time"
        if isinstance(error, MapFull):
            self._loop.create_task(self._grow_and_retry(done))
            return
        if error is not None:
            self.counts.failed_commits += 1
            _log.error("commit failed", error=str(error.__cause__ or error), refused=len(done.waiting))
            self._fail_all(error if isinstance(error, Busy) else Unavailable("The write could not be made durable."))
            return
        self._in_flight = None
        self._wake_settled()  # before the next commit begins: readers then run before it can settle
        self._begin()  # the disk works while the answers are written
        self._on_durable(done.writes, txn_id)
        self.commit_count += 1
        self.answered_count += len(done.waiting)
        self.counts.commit_s.observe(self.commit_s or 0.0)
        self.counts.batch_requests.observe(len(done.waiting))
        now_s = time.perf_counter()
        # As if all had come with the first: never less than it was, and one look at the clock for all of them.
        self.counts.waits.observe_all(now_s - done.began_s, len(done.waiting), now_s)
        self.counts.busiest.add(len(done.waiting), now_s)
        for reply, outcome in done.waiting:
            _give(reply, outcome)

    async def _grow_and_retry(self, done: Batch) -> None:
        try:
            await self._on_map_full()
        except Busy as error:
            _log.error("the store cannot grow", error=str(error))
            self._fail_all(error)
        else:
            self._jobs.put(done.writes)

    def _wake_settled(self) -> None:
        waiters, self._settle_waiters = self._settle_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def into_future(future: asyncio.Future[Any]) -> Reply:
    """A reply for those who await: the future gives the answer or raises the refusal."""

    def reply(outcome: Outcome) -> None:
        if future.done():  # the client went away
            return
        if isinstance(outcome, AwlogError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return reply


def _give(reply: Reply, outcome: Outcome) -> None:
    """Broad except: a mistake in one reply must not keep the others of its batch from their answers."""
    try:
        reply(outcome)
    except Exception:  # noqa: BLE001
        _log.exception("an answer could not be given")
