"""C2: answers show durable facts only. The committer is held at a gate; reads do not see what waits behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from awlog.model.commands import (
    ChangeSetting,
    Command,
    CreateBucket,
    DeleteBucket,
    DeleteEvent,
    ImportBuckets,
    UpdateBucket,
)
from awlog.model.event import Payload
from awlog.model.times import TIME_MAX_US, TIME_MIN_US
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
    within_patience,
)


async def filled(engine: WatchedEngine) -> list[int]:
    """A bucket `b` of twelve events, the oldest of them sealed, and a setting; gives the events' ids."""
    await engine.submit(create("b"))
    for n in range(12):
        await engine.submit(insert("b", event(100 * n, 10)))
    await engine.submit(ChangeSetting("key", b'"old"'))
    await engine.upkept()
    assert len(engine.durable_state.bucket("b").index)
    return await engine.ids("b")


WRITES: dict[str, Callable[[list[int]], Command]] = {
    "new heartbeat": lambda _: beat("b", 5000),
    "merged heartbeat": lambda _: beat("b", 1115),
    "late heartbeat": lambda _: beat("b", 50, data="late"),
    "insert": lambda _: insert("b", event(7, 1), event(9000, 1)),
    "replace the tail record": lambda ids: insert("b", event(-5, 1, "new", ids[-1])),
    "replace in the head": lambda ids: insert("b", event(1000, 1, "new", ids[-2])),
    "replace in a segment": lambda ids: insert("b", event(0, 1, "new", ids[0])),
    "delete the tail record": lambda ids: DeleteEvent("b", ids[-1]),
    "delete in a segment": lambda ids: DeleteEvent("b", ids[0]),
    "create": lambda _: create("new"),
    "update": lambda _: UpdateBucket("b", "other", None, None, "a name", Payload(b'{"n":1}')),
    "delete the bucket": lambda _: DeleteBucket("b"),
    "import": lambda _: ImportBuckets(
        [(CreateBucket("in", "t", "c", "h", 0, None, Payload(b"{}")), [event(n) for n in range(20)], None)]  # type: ignore[arg-type]
    ),
    "setting": lambda _: ChangeSetting("key", b'"new"'),
    "setting removed": lambda _: ChangeSetting("key", None),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_no_read_shows_a_write_that_is_not_durable(
    engine: WatchedEngine, disk: Disk, write: Callable[[list[int]], Command]
):
    """Held at the gate it is in no read and not answered; let go, it is answered, and in the next read."""
    ids = await filled(engine)
    before = await everything(engine)
    disk.before_commit.hold()
    answer = engine.submit(write(ids))
    await disk.before_commit.reached()
    assert await everything(engine) == before
    assert not answer.done()
    disk.release()
    await within_patience(answer)
    assert await everything(engine) != before


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_a_crash_before_the_commit_takes_back_all_of_a_write_and_after_it_nothing(
    store: Store, write: Callable[[list[int]], Command]
):
    """D1, D4, D6: what was not answered is gone as a whole; what was answered is there as a whole."""
    engine = await store.open()
    ids = await filled(engine)
    before, digest = await everything(engine), engine.digest()
    store.disk.before_commit.hold()
    undecided = engine.submit(write(ids))
    await store.disk.before_commit.reached()
    engine = await store.crash()
    assert await everything(engine) == before
    assert engine.digest() == digest
    undecided.cancel()
    await within_patience(engine.submit(write(ids)))
    after, digest = await everything(engine), engine.digest()
    engine = await store.crash()
    assert await everything(engine) == after
    assert engine.digest() == digest


async def test_the_next_write_is_decided_on_what_waits_and_still_not_shown(engine: WatchedEngine, disk: Disk):
    """Two heartbeats behind the gate: the second is merged into the first, readers see neither."""
    await engine.submit(create("b"))
    disk.before_commit.hold()
    first = engine.submit(beat("b", 0))
    await disk.before_commit.reached()
    second = engine.submit(beat("b", 5))
    assert await engine.events("b") == []
    disk.release()
    await asyncio.gather(first, second)
    assert [(e["duration"]) for e in await engine.events("b")] == [5.0]


def _range(engine: WatchedEngine) -> Awaitable[object]:
    return engine.events("b")


def _count(engine: WatchedEngine) -> Awaitable[object]:
    return engine.reads.count("b", TIME_MIN_US, TIME_MAX_US)


def _one(engine: WatchedEngine) -> Awaitable[object]:
    return engine.reads.event_json("b", (1 << 32) + 12)


async def _export(engine: WatchedEngine) -> object:
    async with engine.reads.export(None) as buckets:
        return [(bucket.meta, decoded([c async for c in bucket.events])) for bucket in buckets]


READS = {"range": _range, "count": _count, "one event": _one, "export": _export}


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
async def test_a_read_between_the_commit_and_its_settling_is_of_one_moment(
    engine: WatchedEngine, disk: Disk, read: Callable[[WatchedEngine], Awaitable[object]]
):
    """The disk is a step ahead of memory. The read waits for memory and shows the state after the commit."""
    ids = await filled(engine)
    engine.forget_decoded_segments()
    disk.after_commit.hold()
    written = engine.submit(insert("b", event(0, 1, "new", ids[0]), event(1100, 7, "new", ids[-1])))
    await disk.after_commit.reached()
    reading = asyncio.ensure_future(read(engine))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not reading.done(), "memory is a commit behind the snapshot"
    disk.release()
    answer = await within_patience(reading)
    assert written.done(), "the read ended after the commit had settled"
    assert answer == await read(engine)


async def test_a_read_that_waits_for_a_commit_to_settle_is_not_overtaken_by_the_next(engine: WatchedEngine, disk: Disk):
    """Commits follow one another at once; the read is answered from the one it began in."""
    await engine.submit(create("b"))
    for n in range(20):
        await engine.upkept()
        disk.after_commit.hold()
        first = engine.submit(insert("b", event(10 * n)))
        await disk.after_commit.reached()
        reading = asyncio.ensure_future(engine.events("b"))
        await asyncio.sleep(0)
        second = engine.submit(insert("b", event(10 * n + 5)))
        disk.release()
        assert len(await within_patience(reading)) == 2 * n + 1
        await asyncio.gather(first, second)


async def test_every_acknowledged_write_is_in_the_next_read(engine: WatchedEngine):
    """C1, with many writers whose commits overlap: each reads its own write as soon as it is answered."""
    await engine.submit(create("b"))

    async def write_and_read(n: int) -> None:
        stored = engine.answer(await engine.submit(insert("b", event(n))))
        assert stored[0] in await engine.events("b")
        assert stored[0]["id"] in await engine.ids("b")
        assert await engine.reads.count("b", TIME_MIN_US, TIME_MAX_US) >= 1

    await asyncio.gather(*(write_and_read(n) for n in range(40)))
    assert len(await engine.events("b")) == 40
