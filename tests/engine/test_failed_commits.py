"""D5, D7: a failed commit refuses all that waits, memory goes back to the disk, and the next write works."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from awlog.engine import store as store_module
from awlog.model.commands import ChangeSetting, DeleteBucket, DeleteEvent
from awlog.model.errors import Busy, DataDamaged, InsufficientStorage, Unavailable
from awlog.model.times import TIME_MAX_US, TIME_MIN_US
from awlog.storage import layout
from awlog.storage.environment import DATA_FILE, Environment
from tests.engine.harness import (
    Disk,
    Store,
    WatchedEngine,
    beat,
    create,
    decoded,
    event,
    everything,
    insert,
    picture,
    within_patience,
)

ERRORS = [Unavailable("The disk refused this write"), InsufficientStorage("The disk is full")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("after", [0, 1, 5])
async def test_all_that_waits_for_a_failed_commit_is_refused_and_nothing_of_it_is_kept(
    store: Store, error: Busy, after: int
):
    """The nth commit fails: its commands are refused with its error, earlier ones stay, a restart shows the same."""
    engine = await store.open()
    await engine.submit(create("b"))
    store.disk.fail_next(error, after=after)
    for n in range(after):
        await engine.submit(insert("b", event(1000 * n)))
    before, memory, digest = await everything(engine), picture(engine.durable_state), engine.digest()
    refused = [
        engine.submit(beat("b", 1000 * after)),
        engine.submit(insert("b", event(7), event(8))),
        engine.submit(create("c")),
        engine.submit(insert("c", event(1))),
        engine.submit(ChangeSetting("key", b"1")),
        engine.submit(DeleteBucket("b")),
    ]
    for answer in await asyncio.gather(*refused, return_exceptions=True):
        assert type(answer) is type(error)
        assert str(answer) == str(error)
    assert await everything(engine) == before
    assert picture(engine.durable_state) == picture(engine.staged_state) == memory
    engine = await store.restart()
    assert await everything(engine) == before
    assert engine.digest() == digest


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_the_next_write_after_a_failed_commit_works(engine: WatchedEngine, disk: Disk, error: Busy):
    """A watcher's beat that was refused is sent again and gets what it would have got."""
    await engine.submit(create("b"))
    tail = engine.answer(await engine.submit(beat("b", 0)))[0]
    disk.fail_next(error)
    with pytest.raises(type(error)):
        await engine.submit(beat("b", 5))
    longer = engine.answer(await engine.submit(beat("b", 5)))[0]
    assert longer == {**tail, "duration": 5.0}


async def test_what_was_decided_on_a_failed_commit_is_refused_with_it(engine: WatchedEngine, disk: Disk):
    """A second batch, staged while the failing one was in flight, holds its consequences: it goes too."""
    await engine.submit(create("b"))
    disk.before_commit.hold()
    disk.fail_next(InsufficientStorage("full"))
    failing = engine.submit(insert("b", event(0, 1)))
    await disk.before_commit.reached()
    consequence = engine.submit(beat("b", 1, 5))
    no_op = engine.submit(beat("b", 0.5))
    disk.release()
    for refused in (failing, consequence, no_op):
        with pytest.raises(InsufficientStorage):
            await within_patience(refused)
    assert await engine.events("b") == []
    assert len(engine.answer(await engine.submit(beat("b", 1, 5)))) == 1


async def test_ids_told_before_and_after_a_failed_commit_differ(engine: WatchedEngine, disk: Disk):
    """D6: what a refused write would have got may be given again, what anyone was told may not."""
    await engine.submit(create("b"))
    told = []
    for n in range(10):
        if n % 3 == 2:
            disk.fail_next(ERRORS[0])
            with pytest.raises(Unavailable):
                await engine.submit(insert("b", event(n)))
        told.append(engine.answer(await engine.submit(insert("b", event(n))))[0]["id"])
    assert len(set(told)) == len(told)
    assert await engine.ids("b") == sorted(told)


async def test_every_commit_may_fail_once(store: Store):
    """Writes, edits and sealing with each second commit refused: what was acknowledged is there, and nothing else."""
    engine = await store.open()
    await engine.submit(create("b"))
    kept = {}
    for n in range(30):
        store.disk.fail_next(ERRORS[n % 2])
        try:
            stored = engine.answer(await engine.submit(insert("b", event(n, data=str(n)))))[0]
        except Busy:
            stored = engine.answer(await engine.submit(insert("b", event(n, data=str(n)))))[0]
        kept[stored["id"]] = stored
    store.disk.heal()
    await engine.submit(beat("b", -1))
    await engine.upkept()
    assert len(engine.durable_state.bucket("b").index), "sealing that was refused came again"
    events = await engine.events("b")
    assert {e["id"]: e for e in events if e["id"] in kept} == kept
    assert len(events) == len(kept) + 1


async def test_a_read_that_is_open_when_a_commit_fails_goes_on(engine: WatchedEngine, disk: Disk):
    """F2: reads go on. The snapshot of a long read or export outlives a refused write."""
    await engine.submit(create("b"))
    await engine.insert(insert("b", *(event(n) for n in range(40))))
    before = await engine.events("b")
    engine.forget_decoded_segments()
    chunks = engine.reads.range_json("b", TIME_MIN_US, TIME_MAX_US, count_max=None)
    read = [await anext(chunks)]
    disk.fail_next(InsufficientStorage("full"))
    with pytest.raises(InsufficientStorage):
        await engine.submit(create("c"))
    read += [chunk async for chunk in chunks]
    assert decoded(read) == before


class _OpenedAnew(Environment):
    """A store that LMDB gives up after each failed commit, as it does when the meta page could not be written."""

    def start_over(self) -> None:
        self._reopen()


async def test_a_read_whose_snapshot_is_lost_is_told_to_come_again(tmp_path: Path):
    """After a failed meta page LMDB must be opened anew: an open read ends with `Unavailable`, the next one works."""
    store = Store(tmp_path / "data", environment_class=_OpenedAnew)
    engine = await store.open()
    await engine.submit(create("b"))
    await engine.insert(insert("b", *(event(n) for n in range(40))))
    before = await engine.events("b")
    engine.forget_decoded_segments()
    chunks = engine.reads.range_json("b", TIME_MIN_US, TIME_MAX_US, count_max=None)
    await anext(chunks)
    store.disk.fail_next(Unavailable("no"))
    with pytest.raises(Unavailable):
        await engine.submit(create("c"))
    with pytest.raises(Unavailable):
        async for _ in chunks:
            pass
    assert await engine.events("b") == before
    await engine.submit(create("c"))
    await store.close()


async def test_a_count_begun_while_a_failing_commit_is_in_flight_is_answered(engine: WatchedEngine, disk: Disk):
    await engine.submit(create("b"))
    await engine.submit(insert("b", event(0)))
    disk.before_commit.hold()
    disk.fail_next(Unavailable("no"))
    refused = engine.submit(insert("b", event(1)))
    await disk.before_commit.reached()
    count = asyncio.ensure_future(engine.reads.count("b", TIME_MIN_US, TIME_MAX_US))
    disk.release()
    with pytest.raises(Unavailable):
        await refused
    assert await within_patience(count) == 1


class _CannotBeOpenedAgain(Environment):
    """A store whose disk is away for a while: the next `times` attempts to make it usable again fail."""

    times = 0

    def start_over(self) -> None:
        if self.times:
            self.times -= 1
            self.lmdb.close()
            raise Unavailable("The store cannot be opened again")
        super().start_over()


class TestAStoreThatCannotBeReadAgain:
    """After a failed commit only the disk says what is durable; until it can be read, nothing may be promised."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> Store:
        return Store(tmp_path / "data", environment_class=_CannotBeOpenedAgain)

    @pytest.fixture
    async def broken(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> WatchedEngine:
        """A bucket `b` with a beat; then a refused beat, a refused bucket `c`, and a disk that stays away."""
        monkeypatch.setattr(store_module, "_RETRY_S", 0.0)
        engine = await store.open()
        await engine.submit(create("b"))
        await engine.submit(beat("b", 0))
        self._lose(engine, times=1000)
        store.disk.fail_next(Unavailable("no"))
        refused = [engine.submit(beat("b", 5)), engine.submit(create("c"))]
        for answer in await asyncio.gather(*refused, return_exceptions=True):
            assert isinstance(answer, Unavailable)
        return engine

    @staticmethod
    def _lose(engine: WatchedEngine, *, times: int) -> None:
        assert isinstance(engine.environment, _CannotBeOpenedAgain)
        engine.environment.times = times

    async def test_no_command_is_answered_from_what_was_refused(self, store: Store, broken: WatchedEngine):
        """The bucket that was refused does not exist, and the beat that was refused covers nothing."""
        for command in (create("c"), beat("b", 5), beat("b", 4), DeleteEvent("b", 77), create("d")):
            with pytest.raises(Unavailable):
                await within_patience(broken.submit(command))
        self._lose(broken, times=0)
        await within_patience(broken.submit(create("c")))
        await store.close()

    async def test_reads_that_need_the_disk_are_told_to_come_again(self, store: Store, broken: WatchedEngine):
        with pytest.raises(Unavailable):
            await broken.events("b")
        self._lose(broken, times=0)
        assert [e["duration"] for e in await broken.events("b")] == [0.0]
        await store.close()

    async def test_it_works_again_by_itself_when_the_disk_is_back(self, store: Store, broken: WatchedEngine):
        """Without a restart, with what was durable and nothing of what was refused."""
        self._lose(broken, times=3)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await within_patience(broken.submit(beat("b", 5)))
        assert (await within_patience(broken.submit(beat("b", 5)))).events
        assert [e["duration"] for e in await broken.events("b")] == [5.0]
        assert [bucket.meta.id for bucket in broken.reads.buckets()] == ["b"]
        await store.close()

    async def test_a_stop_while_the_disk_is_away_ends(self, store: Store, broken: WatchedEngine):
        await store.close(whole=False)
        store.environment().close()


async def test_nothing_is_written_over_a_store_that_was_found_damaged_after_a_failed_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """It opens, but a record fails its checksum: memory still holds the refused facts, so no commit may build on them."""
    monkeypatch.setattr(store_module, "_RETRY_S", 0.0)
    engine = await store.open()
    await engine.submit(create("b"))
    await engine.submit(insert("b", event(0), event(100)))
    key = layout.seq_key(engine.durable_state.bucket("b").number, 1)  # type: ignore[arg-type]
    good = _put_raw(engine, layout.LOG, key, None)
    store.disk.fail_next(Unavailable("no"))
    with pytest.raises(Unavailable):
        await engine.submit(insert("b", event(200, 5, "refused")))
    for command in (beat("b", 201, 30, "refused"), beat("b", 202, data="refused"), create("c")):
        with pytest.raises(Unavailable):
            await within_patience(engine.submit(command))
    _put_raw(engine, layout.LOG, key, good)
    assert (await within_patience(engine.submit(beat("b", 300)))).events
    assert [e["data"]["d"] for e in await engine.events("b")] == ["x", "x", "x"]
    await store.close()


def _put_raw(engine: WatchedEngine, database: bytes, key: bytes, value: bytes | None) -> bytes:
    """Puts a value behind the engine's back, the stored one with a flipped bit if None is given; gives the old one."""
    environment = engine.environment
    with environment.lmdb.begin(write=True, db=environment.databases[database]) as txn:
        old = bytes(txn.get(key, b""))
        txn.put(key, old[:-1] + bytes([old[-1] ^ 1]) if value is None else value)
    return old


class TestAWriteThatMeetsDamage:
    """R3: a write that needs a damaged segment is refused; all others go on, also those that are in flight."""

    @pytest.fixture
    async def damaged(self, store: Store) -> WatchedEngine:
        """A bucket whose events but the tail record are sealed, the segments damaged; and a whole bucket."""
        engine = await store.open()
        await engine.submit(create("b"))
        await engine.submit(create("whole"))
        await engine.insert(insert("b", *(event(n) for n in range(9))))
        assert len(engine.durable_state.bucket("b").head) == 0
        await store.close()
        environment = store.environment()
        for key in _keys(environment, layout.SEGMENTS):
            _flip_last_bit(environment, layout.SEGMENTS, key)
        environment.close()
        return await store.open()

    async def test_it_is_refused_and_changes_nothing(self, store: Store, damaged: WatchedEngine):
        """Deleting the tail record needs the next youngest event, which cannot be read."""
        memory = picture(damaged.durable_state)
        with pytest.raises(DataDamaged):
            await within_patience(damaged.submit(DeleteEvent("b", await _tail_id(damaged))))
        assert picture(damaged.durable_state) == picture(damaged.staged_state) == memory
        await within_patience(damaged.submit(beat("b", 8, 1)))
        await within_patience(damaged.submit(beat("whole", 0)))
        await store.close(whole=False)

    async def test_a_replacement_of_the_tail_record_that_needs_it_is_refused(
        self, store: Store, damaged: WatchedEngine
    ):
        """Also as a part of a list, whose other events are then not stored either."""
        memory = picture(damaged.durable_state)
        tail_id = await _tail_id(damaged)
        with pytest.raises(DataDamaged):
            await within_patience(damaged.submit(insert("b", event(50), event(-50, wire_id=tail_id), event(51))))
        assert picture(damaged.durable_state) == picture(damaged.staged_state) == memory
        await store.close(whole=False)

    @pytest.mark.parametrize("in_flight", [False, True])
    async def test_a_list_that_meets_it_half_way_leaves_no_half(
        self, store: Store, damaged: WatchedEngine, in_flight: bool
    ):
        """The first replacement was applied when the second needed the damaged segment: the staged state is made anew
        from what is durable or on its way to the disk, and what was decided on it comes again.
        """
        tail_id = await _tail_id(damaged)
        heir = damaged.answer(await damaged.submit(insert("b", event(7.5))))[0]
        before = await everything_whole(damaged)
        expected = picture(damaged.staged_state)
        futures = []
        if in_flight:
            store.disk.before_commit.hold()
            futures = [damaged.submit(ChangeSetting("first", b"1")), damaged.submit(beat("whole", 0, 3))]
            await store.disk.before_commit.reached()
            expected = picture(damaged.staged_state)
        taken_along = damaged.submit(beat("whole", 1, 30))
        refused = damaged.submit(insert("b", event(-50, wire_id=tail_id), event(-60, wire_id=heir["id"])))
        assert picture(damaged.staged_state) == expected
        afterwards = damaged.submit(beat("whole", 2, 2))
        store.disk.release()
        for answer, error in ((refused, DataDamaged), (taken_along, Unavailable)):
            with pytest.raises(error):
                await within_patience(answer)
        await within_patience(asyncio.gather(*futures, afterwards))
        assert picture(damaged.staged_state) == picture(damaged.durable_state)
        assert [e["duration"] for e in await damaged.events("whole")] == [4.0 if in_flight else 2.0]
        assert damaged.reads.setting("first") == (b"1" if in_flight else None)
        assert (await everything_whole(damaged))["b"] == before["b"]
        await store.close(whole=False)

    async def test_a_commit_in_flight_is_not_taken_down_with_it(self, store: Store, damaged: WatchedEngine):
        """What is at the disk already is answered as it ends there, and the next batch waits for its own commit."""
        store.disk.before_commit.hold()
        in_flight = damaged.submit(ChangeSetting("first", b"1"))
        await store.disk.before_commit.reached()
        refused = damaged.submit(DeleteEvent("b", await _tail_id(damaged)))
        later = damaged.submit(ChangeSetting("second", b"2"))
        store.disk.before_commit.let_one_pass()
        with pytest.raises(DataDamaged):
            await within_patience(refused)
        in_flight_answer = (await asyncio.gather(in_flight, return_exceptions=True))[0]
        kept = damaged.reads.setting("first") == b"1"
        assert kept == (in_flight_answer is None), "refused is refused, and acknowledged is kept"
        later_answer: object = Unavailable("not answered yet")
        if later.done():
            later_answer = (await asyncio.gather(later, return_exceptions=True))[0]
        assert later_answer is not None, "its commit is still held at the gate"
        store.disk.release()
        later_answer = (await within_patience(asyncio.gather(later, return_exceptions=True)))[0]
        await damaged.quiet()
        assert (damaged.reads.setting("second") == b"2") == (later_answer is None)
        settings = damaged.reads.settings()
        await store.close(whole=False)
        assert (await store.open()).reads.settings() == settings
        await store.close(whole=False)


async def everything_whole(engine: WatchedEngine) -> dict[str, object]:
    """What can be read without the damaged segments: of bucket `b` what is recent, and its metadata."""
    return {
        "b": (engine.reads.bucket("b"), await engine.reads.count("b", TIME_MIN_US, TIME_MAX_US)),
        "whole": await engine.events("whole"),
    }


def _keys(environment: Environment, database: bytes) -> list[bytes]:
    with environment.lmdb.begin(db=environment.databases[database]) as txn:
        return [bytes(key) for key in txn.cursor().iternext(values=False)]


def _flip_last_bit(environment: Environment, database: bytes, key: bytes) -> None:
    with environment.lmdb.begin(write=True, db=environment.databases[database]) as txn:
        value = bytes(txn.get(key, b""))
        txn.put(key, value[:-1] + bytes([value[-1] ^ 1]))


async def _tail_id(engine: WatchedEngine) -> int:
    bucket = engine.durable_state.bucket("b")
    assert bucket.tail is not None
    return (bucket.number << 32) + bucket.tail.seq


@contextmanager
def _no_file_longer_than(bytes_max: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_real_full_disk_refuses_writes_serves_reads_and_takes_writes_again(store: Store):
    """F1 to F4 with the kernel's own refusal: the data file may not grow for a while."""
    engine = await store.open()
    await engine.submit(create("b"))
    await engine.submit(insert("b", event(0)))
    before = await everything(engine)
    with _no_file_longer_than((store.data_dir / DATA_FILE).stat().st_size):
        for n in range(3):
            with pytest.raises(InsufficientStorage):
                await within_patience(
                    engine.submit(insert("b", *(event(i, data="x" * 1000 + str(n)) for i in range(100))))
                )
            assert await everything(engine) == before
    await within_patience(engine.submit(insert("b", event(1))))
    assert len(await engine.events("b")) == 2
    after = await everything(engine)
    assert await everything(await store.restart()) == after


async def test_after_a_failed_commit_the_thread_of_the_committer_goes_on(engine: WatchedEngine, disk: Disk):
    """Also when LMDB raises what nobody expected: the batch is refused, the next one is committed."""
    await engine.submit(create("b"))
    disk.fail_next(lmdb.PanicError("MDB_PANIC"))  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await within_patience(engine.submit(beat("b", 0)))
    assert (await within_patience(engine.submit(beat("b", 0)))).events
