"""Engines on real files, with what a test needs to hold of them: when a commit may go on, which one fails, what was staged.

`Store` is a data directory and one engine after another on it; closing one proves its files with `storage.check`.
`Disk` stands in front of the writer's commits. Nothing here sleeps: whoever waits, waits for a sign.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import pytest

from awlog.engine import engine as engine_module
from awlog.engine import reading as reading_module
from awlog.engine.engine import Engine
from awlog.engine.store import CACHE_BYTES
from awlog.log import decide as decide_module
from awlog.log import sealing as sealing_module
from awlog.log.decision import Stored
from awlog.log.state import State
from awlog.log.write_set import WriteSet
from awlog.model.commands import CreateBucket, InsertEvents, NewEvent, SendHeartbeat
from awlog.model.errors import AwlogError, Busy
from awlog.model.event import Event, Payload
from awlog.model.facts import Fact
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros
from awlog.storage.check import check
from awlog.storage.environment import DATA_FILE, MAP_BYTES, Environment, create_if_new, prepare_directory
from awlog.storage.identity import IDENTITY_FILE
from awlog.storage.recovery import recover
from awlog.storage.writer import Writer

SEGMENT_EVENTS: Final = 4
"""How many events a segment has under `small_segments`."""
NOW_US: Final = Micros(1_700_000_000_000_000)
# A test that waits this long for a sign waits for one that never comes.
PATIENCE_S: Final = 20.0

T = TypeVar("T")
P = ParamSpec("P")


@contextmanager
def small_segments() -> Iterator[None]:
    """Segments of four events instead of 4,096, made once more than eight records are not sealed.

    The sizes are patched where they are read, in the modules that were given them by name.
    """
    sizes = {"SEGMENT_EVENTS": SEGMENT_EVENTS, "SEAL_ABOVE_EVENTS": 2 * SEGMENT_EVENTS}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sizes.items():
            patch.setattr(sealing_module, name, value)
        patch.setattr(decide_module, "BULK_EVENTS", 2 * SEGMENT_EVENTS)
        patch.setattr(engine_module, "BULK_EVENTS", 2 * SEGMENT_EVENTS)
        patch.setattr(reading_module, "_STEP_EVENTS", 2)
        yield


async def within_patience(awaitable: Awaitable[T]) -> T:
    """What `awaitable` gives. Raises TimeoutError if it hangs."""
    async with asyncio.timeout(PATIENCE_S):
        return await awaitable


class Gate:
    """Where the committer's thread waits until a test lets it pass."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = False
        self._passes = 0
        self._waiting = 0

    def hold(self) -> None:
        with self._changed:
            self._held, self._passes = True, 0

    def release(self) -> None:
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def let_one_pass(self) -> None:
        """The commit that waits here, or the next one."""
        with self._changed:
            self._passes += 1
            self._changed.notify_all()

    async def reached(self) -> None:
        """Returns when a commit waits here."""
        assert await asyncio.to_thread(self._wait_until, lambda: self._waiting > self._passes), "no commit came"

    def pass_through(self) -> None:
        """In the committer's thread."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: not self._held or self._passes, PATIENCE_S), "a gate stayed shut"
            self._waiting -= 1
            self._passes = max(0, self._passes - 1)

    def _wait_until(self, reached: Callable[[], bool]) -> bool:
        with self._changed:
            return self._changed.wait_for(reached, PATIENCE_S)


class Disk:
    """Stands around the commits of a store: counts them, holds them before or after the disk has them, fails some."""

    def __init__(self) -> None:
        self.before_commit = Gate()
        self.after_commit = Gate()
        self.committed: list[WriteSet] = []
        self._to_fail: list[Busy | None] = []
        self._to_fail_late: Busy | None = None

    def release(self) -> None:
        self.before_commit.release()
        self.after_commit.release()

    def fail_next(self, error: Busy, *, after: int = 0) -> None:
        """The next commit but `after` raises `error`."""
        self._to_fail = [None] * after + [error]

    def fail_next_when_written(self, error: Busy) -> None:
        """The next commit is on the disk, and raises `error`."""
        self._to_fail_late = error

    def heal(self) -> None:
        """No commit fails any more."""
        self._to_fail = []

    def commit(self, write: Callable[[WriteSet], int], writes: WriteSet) -> int:
        """In the committer's thread."""
        self.before_commit.pass_through()
        error = self._to_fail.pop(0) if self._to_fail else None
        if error is not None:
            raise error
        txn_id = write(writes)
        late, self._to_fail_late = self._to_fail_late, None
        if late is not None:
            raise late
        self.committed.append(writes)
        self.after_commit.pass_through()
        return txn_id


class _WatchedWriter(Writer):
    def __init__(self, environment: Environment, disk: Disk) -> None:
        super().__init__(environment)
        self._disk = disk

    def commit(self, writes: WriteSet) -> int:
        return self._disk.commit(super().commit, writes)


class WatchedEngine(Engine):
    """An engine that writes through a `Disk`, remembers its durable facts, and tells when upkeep has done something."""

    def __init__(self, environment: Environment, disk: Disk, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._facts_staged: list[tuple[WriteSet, list[Fact]]] = []
        self._upkeep_turn = asyncio.Event()
        self.durable_facts: list[Fact] = []
        super().__init__(
            environment,
            clock=lambda: NOW_US,
            cache_bytes=cache_bytes,
            open_writer=lambda opened: _WatchedWriter(opened, disk),
        )
        self._upkeep._seal = self._with_sign(self._upkeep._seal)
        self._upkeep._empty = self._with_sign(self._upkeep._empty)

    def _apply(self, facts: list[Fact]) -> AwlogError | None:
        self._facts_staged.append((self._committer.writes, facts))
        return super()._apply(facts)

    def _take_durable(self, writes: WriteSet, txn_id: int) -> None:
        super()._take_durable(writes, txn_id)
        self.durable_facts += [fact for held, facts in self._facts_staged if held is writes for fact in facts]
        self._facts_staged = [staged for staged in self._facts_staged if staged[0] is not writes]

    def _with_sign(self, step: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        async def watched(*arguments: P.args, **words: P.kwargs) -> None:
            try:
                await step(*arguments, **words)
            finally:
                self._upkeep_turn.set()

        return watched

    @property
    def environment(self) -> Environment:
        return self._store.environment

    @property
    def staged_state(self) -> State:
        return self._staged

    @property
    def durable_state(self) -> State:
        return self._store.durable

    async def quiet(self) -> None:
        """Returns when nothing is staged that is not durable."""
        while any(self._committer.pending_writes()):
            await within_patience(self._committer.settled())

    def next_upkeep_turn(self) -> Awaitable[object]:
        """To be awaited: upkeep has dealt with one more bucket, whether there was anything to do or not."""
        self._upkeep_turn.clear()
        return within_patience(self._upkeep_turn.wait())

    async def upkept(self) -> None:
        """Returns when no head is longer than upkeep leaves it."""
        while (
            any(len(bucket.head) > 2 * SEGMENT_EVENTS for bucket in self._store.durable.buckets())
            or self.heads_are_over()
        ):
            await self.next_upkeep_turn()
        await self.quiet()

    def heads_bytes(self) -> int:
        """What the records of all heads take."""
        return sum(bucket.head.size_bytes for bucket in self._store.durable.buckets())

    def heads_are_over(self) -> bool:
        """Do they take more than they may?"""
        return self.heads_bytes() > self._upkeep._heads_bytes_max

    def noted_bytes(self) -> int:
        """What upkeep takes that for."""
        return self._upkeep._heads_bytes

    def limit_heads(self, size_bytes: int) -> None:
        self._upkeep._heads_bytes_max = size_bytes

    async def growing(self) -> None:
        """Returns when the engine waits for readers, so that it can make the map larger."""
        async with asyncio.timeout(PATIENCE_S):
            while self._store._may_read.is_set():
                await asyncio.sleep(0)

    def forget_decoded_segments(self) -> None:
        """The next read of a segment reads the disk."""
        self._store.cache.clear()

    def remembered(self) -> tuple[int, set[int]]:
        """How many decoded segments and looks at buckets are held, and which reader processes may hold more."""
        held = len(self._store.cache._kept) + len(self.status._looked) + len(self._answer_starts._ready)
        return held, {reader.pid for reader in self.readers._all if reader.returncode is None}

    def digest(self) -> str:
        """What `awlog verify --digest` prints. Raises AssertionError if anything is wrong with the files."""
        report = check(self._store.environment)
        assert report.problems == []
        return report.digest

    # What tests read

    async def events(
        self, bucket_id: str, start_us: int = TIME_MIN_US, end_us: int = TIME_MAX_US, *, count_max: int | None = None
    ) -> list[dict[str, Any]]:
        """A range read as a client sees it."""
        chunks = [
            c async for c in self.reads.range_json(bucket_id, Micros(start_us), Micros(end_us), count_max=count_max)
        ]
        return decoded(chunks)

    async def ids(self, bucket_id: str) -> list[int]:
        """The ids of all events of a bucket, ascending."""
        return sorted(event["id"] for event in await self.events(bucket_id))

    def answer(self, stored: Stored) -> list[dict[str, Any]]:
        """The answer to a write as a client sees it."""
        return decoded([self.render(stored)])


def decoded(chunks: Sequence[bytes]) -> list[dict[str, Any]]:
    """Chunks of JSON events as a list."""
    events: list[dict[str, Any]] = json.loads(b"[" + b",".join(chunk for chunk in chunks if chunk) + b"]")
    return events


async def everything(engine: WatchedEngine) -> dict[str, Any]:
    """All that any read shows, by the ways a client has to ask for it."""
    buckets = {}
    for bucket in engine.reads.buckets():
        bucket_id = bucket.meta.id
        assert engine.reads.bucket(bucket_id) == bucket
        events = await engine.events(bucket_id)
        assert await engine.reads.count(bucket_id, TIME_MIN_US, TIME_MAX_US) == len(events)
        by_id = [json.loads(await engine.reads.event_json(bucket_id, event["id"])) for event in events]
        assert by_id == events
        buckets[bucket_id] = (bucket, events)
    async with engine.reads.export(None) as exported:
        exports = {bucket.meta.id: decoded([chunk async for chunk in bucket.events]) for bucket in exported}
    for bucket_id, (_, events) in buckets.items():
        assert exports[bucket_id] == [{k: v for k, v in event.items() if k != "id"} for event in events]
    assert {key: engine.reads.setting(key) for key in engine.reads.settings()} == engine.reads.settings()
    return {"buckets": buckets, "settings": engine.reads.settings()}


class Store:
    """A data directory, and one engine after another on it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        map_bytes: int = MAP_BYTES,
        cache_bytes: int = CACHE_BYTES,
        environment_class: type[Environment] = Environment,
    ) -> None:
        self.data_dir = data_dir
        self.disk = Disk()
        self.facts: list[Fact] = []
        self._environment_class = environment_class
        self._map_bytes = map_bytes
        self._cache_bytes = cache_bytes
        self._crash_count = 0
        self._engine: WatchedEngine | None = None

    async def open(self) -> WatchedEngine:
        prepare_directory(self.data_dir)
        create_if_new(self.data_dir, map_bytes=self._map_bytes)
        environment = self.environment()
        try:
            self._engine = WatchedEngine(environment, self.disk, cache_bytes=self._cache_bytes)
        except BaseException:
            environment.close()
            raise
        return self._engine

    def environment(self) -> Environment:
        """The bare files, to be closed by the caller."""
        return self._environment_class(self.data_dir, map_bytes=self._map_bytes)

    async def close(self, *, whole: bool = True) -> None:
        """Stops the engine as a server does, and proves what it left, unless the test damaged it."""
        if self._engine is None:
            return
        engine, self._engine = self._engine, None
        self.disk.release()
        try:
            await within_patience(engine.close())
            self.facts += engine.durable_facts
            if whole:
                self.prove(engine)
        finally:
            engine.environment.close()

    @staticmethod
    def prove(engine: WatchedEngine) -> None:
        """No invariant of the files is broken, and memory is what a start would read from them."""
        assert check(engine.environment).problems == []
        recovered = State()
        recovered.absorb(recover(engine.environment).writes)
        assert picture(engine.durable_state) == picture(recovered)
        assert picture(engine.staged_state) == picture(recovered)

    async def restart(self) -> WatchedEngine:
        await self.close()
        return await self.open()

    async def crash(self) -> WatchedEngine:
        """Goes on with what is on the disk now, as after SIGKILL: nothing was finished, nothing was marked clean.

        The engine must be quiet, or its commits held at the gate: a file that is being written cannot be copied.
        """
        engine, self._engine = self._engine, None
        assert engine is not None
        self._crash_count += 1
        copy = self.data_dir.with_name(f"after-crash-{self._crash_count}")
        copy.mkdir()
        for name in (DATA_FILE, IDENTITY_FILE):
            shutil.copy(self.data_dir / name, copy / name)
        self.facts += engine.durable_facts
        self.disk.release()
        await within_patience(engine.close())
        engine.environment.close()
        self.data_dir, self.disk = copy, Disk()
        return await self.open()


def picture(state: State) -> dict[str, Any]:
    """All that a state holds, to be compared with another one's."""
    return {
        "next bucket number": state.next_bucket_number,
        "next change": state.next_change,
        "settings": state.settings,
        "producers": list(state.producers.items()),
        "tokens": state.tokens,
        "tokens required": state.tokens_required,
        "next turn": state.next_turn,
        "buckets": [
            (
                bucket.meta,
                bucket.next_seq,
                bucket.next_revision,
                _numbered(bucket.tail),
                [_numbered(event) for event in sorted(bucket.head, key=lambda event: event.seq)],
                sorted(bucket.index, key=lambda entry: entry.first_seq),
            )
            for bucket in state.buckets()
        ],
    }


def _numbered(event: Event | None) -> tuple[Event, int] | None:
    """An event and its change number, which the comparison of events leaves out."""
    return None if event is None else (event, event.change)


# Commands in few words. Times are whole seconds from the epoch.


def create(bucket_id: str) -> CreateBucket:
    return CreateBucket(bucket_id, "test.type", "test client", "test host", NOW_US, None, Payload(b"{}"))


def event(start_s: float, duration_s: float = 0, data: str = "x", wire_id: int | None = None) -> NewEvent:
    return NewEvent(_us(start_s), _us(duration_s), payload(data), wire_id)


def insert(bucket_id: str, *events: NewEvent) -> InsertEvents:
    return InsertEvents(bucket_id, list(events))


def beat(
    bucket_id: str, start_s: float, duration_s: float = 0, data: str = "x", *, pulsetime_s: float = 10
) -> SendHeartbeat:
    return SendHeartbeat(bucket_id, _us(start_s), _us(duration_s), payload(data), _us(pulsetime_s))


def payload(data: str) -> Payload:
    return Payload(json.dumps({"d": data}, separators=(",", ":")).encode())


def _us(seconds: float) -> Micros:
    return Micros(round(seconds * 1_000_000))


def starts_s(events: Sequence[dict[str, Any]] | Sequence[Event]) -> list[float]:
    """The starts of events in seconds from the epoch, in their order."""
    return [
        e.start_us / 1e6 if isinstance(e, Event) else datetime.fromisoformat(e["timestamp"]).timestamp() for e in events
    ]
