"""Sealing: a head stays bounded, the tail record is never sealed, and a seal that came too late changes nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from awlog.engine import sealing as engine_sealing
from awlog.log import sealing as sealing_module
from awlog.log.head import Head
from awlog.log.sealing import oldest_records, seal_together
from awlog.log.segment_index import SegmentEntry
from awlog.model.commands import DeleteBucket, DeleteEvent
from awlog.model.errors import InsufficientStorage, Unavailable
from awlog.model.event import Event, Seq
from awlog.model.facts import SealedRun
from tests.engine.harness import (
    PATIENCE_S,
    SEGMENT_EVENTS,
    Disk,
    Store,
    WatchedEngine,
    beat,
    create,
    event,
    insert,
    within_patience,
)


@pytest.mark.parametrize("count", [8, 9, 10, 13, 40, 101])
async def test_sealing_leaves_at_most_two_segments_worth_of_records(engine: WatchedEngine, count: int):
    """One at a time: the head holds at most eight records besides the tail record, the rest is in segments of four."""
    await engine.submit(create("b"))
    for n in range(count):
        await engine.submit(insert("b", event(n, data=str(n % 7))))
    await engine.upkept()
    bucket = engine.durable_state.bucket("b")
    assert len(bucket.head) <= 2 * SEGMENT_EVENTS
    assert all(entry.count == SEGMENT_EVENTS for entry in bucket.index)
    assert len(bucket.index) == max(0, -(-(count - 1 - 2 * SEGMENT_EVENTS) // SEGMENT_EVENTS))
    assert bucket.tail is not None
    assert bucket.tail.seq == count
    events = await engine.events("b")
    assert [e["data"]["d"] for e in reversed(events)] == [str(n % 7) for n in range(count)]


async def test_one_commit_of_many_records_is_sealed_to_the_end(engine: WatchedEngine):
    """Fifty heartbeats in one turn: upkeep goes on until the head is short, without another write."""
    await engine.submit(create("b"))
    await asyncio.gather(*(engine.submit(beat("b", 100 * n)) for n in range(50)))
    await engine.upkept()
    assert len(engine.durable_state.bucket("b").head) <= 2 * SEGMENT_EVENTS
    assert len(await engine.events("b")) == 50


async def test_a_tail_record_stays_in_the_log_however_old_its_seq_is(engine: WatchedEngine, disk: Disk):
    """After a backfill the youngest event has the least seq; heartbeats extend it and touch no segment."""
    await engine.submit(create("b"))
    first = engine.answer(await engine.submit(beat("b", 100_000, data="tail")))[0]
    for n in range(30):
        await engine.submit(insert("b", event(n)))
    await engine.upkept()
    assert len(engine.durable_state.bucket("b").index) >= 5
    before = len(disk.committed)
    for n in range(20):
        longer = engine.answer(await engine.submit(beat("b", 100_000 + n, data="tail")))[0]
        assert longer == {**first, "duration": float(n)}
    assert not any(writes.segments or writes.records for writes in disk.committed[before:])


async def test_a_late_heartbeat_finds_what_covers_it_in_a_segment(engine: WatchedEngine, disk: Disk):
    """C6: sent again after its event was sealed it still changes nothing."""
    await engine.submit(create("b"))
    sent = [beat("b", 100 * n, 10, str(n)) for n in range(30)]
    first = [engine.answer(await engine.submit(each)) for each in sent]
    await engine.upkept()
    before = len(disk.committed)
    assert [engine.answer(await engine.submit(each)) for each in sent] == first
    assert len(disk.committed) == before


class _SlowSeal:
    """The encoding of a segment, held until the test lets it go; counts how often it was asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self._begun = threading.Event()
        self._may_end = threading.Event()

    def __call__(
        self, records: Sequence[Event], small: Sequence[tuple[SegmentEntry, bytes]], level: int
    ) -> tuple[SealedRun, list[Seq]]:
        self.asked += 1
        self._begun.set()
        assert self._may_end.wait(PATIENCE_S), "the seal was never let go"
        return seal_together(records, small, level)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, PATIENCE_S), "nothing was sealed"

    def let_go(self) -> None:
        self._may_end.set()


@pytest.fixture
async def sealing(engine: WatchedEngine, monkeypatch: pytest.MonkeyPatch) -> _SlowSeal:
    """A bucket whose oldest four of ten events are being encoded at this moment."""
    slow = _SlowSeal()
    monkeypatch.setattr(engine_sealing, "seal_together", slow)
    await engine.submit(create("b"))
    for n in range(10):
        await engine.submit(insert("b", event(n, data=str(n))))
    await slow.begun()
    return slow


async def test_writes_go_on_while_a_segment_is_encoded(engine: WatchedEngine, sealing: _SlowSeal):
    """O1: a heartbeat waits for other heartbeats and the disk, for nothing else."""
    await within_patience(engine.submit(beat("b", 20)))
    assert len(await engine.events("b")) == 11
    sealing.let_go()
    await engine.upkept()
    assert [entry.count for entry in engine.durable_state.bucket("b").index] == [SEGMENT_EVENTS]


async def test_an_edit_that_overtakes_the_seal_wins(engine: WatchedEngine, sealing: _SlowSeal):
    """A record was replaced and another deleted while they were encoded: that segment is dropped, and made again."""
    ids = await engine.ids("b")
    await engine.submit(insert("b", event(1, 1, "edited", ids[1])))
    await engine.submit(DeleteEvent("b", ids[2]))
    await engine.submit(insert("b", event(50), event(51)))
    sealing.let_go()
    await engine.upkept()
    assert sealing.asked >= 2, "it was asked for again"
    data = {e["id"]: e["data"]["d"] for e in await engine.events("b")}
    assert data[ids[1]] == "edited"
    assert ids[2] not in data
    assert len(data) == 11
    assert len(engine.durable_state.bucket("b").index) == 1


async def test_an_edit_that_is_staged_but_not_durable_overtakes_the_seal_too(
    engine: WatchedEngine, disk: Disk, sealing: _SlowSeal
):
    """The seal is compared with the staged state: what waits at the gate would otherwise be undone by it."""
    ids = await engine.ids("b")
    disk.before_commit.hold()
    deleted = engine.submit(DeleteEvent("b", ids[0]))
    await disk.before_commit.reached()
    dealt_with = engine.next_upkeep_turn()
    sealing.let_go()
    await dealt_with
    assert not deleted.done()
    disk.release()
    assert await within_patience(deleted) is True
    await engine.submit(insert("b", event(50), event(51)))
    await engine.upkept()
    assert ids[0] not in await engine.ids("b")


async def test_a_bucket_deleted_while_it_is_sealed_stays_deleted(engine: WatchedEngine, sealing: _SlowSeal):
    """And one that was made anew under its id gets nothing of the old one."""
    await engine.submit(DeleteBucket("b"))
    await engine.submit(create("b"))
    await engine.submit(insert("b", event(0, data="anew")))
    sealing.let_go()
    await engine.upkept()
    assert [e["data"]["d"] for e in await engine.events("b")] == ["anew"]
    assert not len(engine.durable_state.bucket("b").index)


async def test_a_stop_does_not_wait_for_a_segment_and_loses_nothing(
    store: Store, engine: WatchedEngine, sealing: _SlowSeal
):
    """What was not sealed is sealed after the next start, without a write."""
    events = await engine.events("b")
    await store.close()
    sealing.let_go()
    engine = await store.open()
    await engine.upkept()
    assert len(engine.durable_state.bucket("b").index) == 1
    assert await engine.events("b") == events


async def test_a_seal_that_the_disk_refused_is_made_again(engine: WatchedEngine, disk: Disk, sealing: _SlowSeal):
    """The failed commit of a seal harms nothing; the next write of the bucket asks for it again."""
    disk.fail_next(Unavailable("no"))
    sealing.let_go()
    disk.before_commit.hold()
    await disk.before_commit.reached()
    disk.release()
    await engine.quiet()
    assert not len(engine.durable_state.bucket("b").index)
    await engine.submit(insert("b", event(50)))
    await engine.upkept()
    assert len(engine.durable_state.bucket("b").index) == 1
    assert len(await engine.events("b")) == 11


async def test_sealing_keeps_the_digest(tmp_path: Path):
    """C5: where an event lives is no part of what the store says."""
    store = Store(tmp_path / "data")
    engine = await store.open()
    await engine.submit(create("b"))
    await asyncio.gather(*(engine.submit(insert("b", event(n, data=str(n)))) for n in range(40)))
    unsealed = engine.digest()
    await engine.upkept()
    assert len(engine.durable_state.bucket("b").index)
    assert engine.digest() == unsealed
    await store.close()


async def test_heads_of_many_buckets_are_bounded_together(engine: WatchedEngine):
    """Thirty buckets with seven records each, none of which is due by itself: the largest are sealed, nothing is lost."""
    engine.limit_heads(40_000)
    for number in range(30):
        await engine.submit(create(f"b{number}"))
    for n in range(8):
        for number in range(30):
            await engine.insert(insert(f"b{number}", event(n, data="x" * (10 * number) + str(n))))
    await engine.upkept()
    assert 0 < engine.heads_bytes() <= 40_000
    assert any(len(bucket.index) for bucket in engine.durable_state.buckets())
    for number in range(30):
        data = [e["data"]["d"] for e in await engine.events(f"b{number}")]
        assert data == ["x" * (10 * number) + str(n) for n in range(7, -1, -1)]


async def test_small_segments_become_part_of_the_next_one(engine: WatchedEngine, monkeypatch: pytest.MonkeyPatch):
    """Sealed two by two, two hundred events are in few segments, each twice as large as the next; all as they were sent."""
    monkeypatch.setattr(sealing_module, "SEGMENT_EVENTS", 128)
    monkeypatch.setattr(sealing_module, "SEAL_ABOVE_EVENTS", 256)
    engine.limit_heads(1000)
    await engine.submit(create("b"))
    for n in range(201):
        await engine.submit(insert("b", event(n, data=str(n % 7))))
        await engine.upkept()
    counts = [entry.count for entry in engine.durable_state.bucket("b").index.by_descending_seq()]
    assert sum(counts) in (198, 199, 200)
    assert len(counts) <= 8
    assert max(counts) <= 128
    assert [e["data"]["d"] for e in reversed(await engine.events("b"))] == [str(n % 7) for n in range(201)]


async def test_a_small_segment_that_is_edited_meanwhile_is_not_put_together(
    engine: WatchedEngine, monkeypatch: pytest.MonkeyPatch
):
    """The edit wins, and is there when they are put together, after the next write."""
    monkeypatch.setattr(sealing_module, "SEGMENT_EVENTS", 128)
    engine.limit_heads(1000)
    await engine.submit(create("b"))
    await engine.submit(insert("b", *(event(n, data=str(n)) for n in range(4))))
    await engine.upkept()
    ids = await engine.ids("b")
    slow = _SlowSeal()
    monkeypatch.setattr(engine_sealing, "seal_together", slow)
    await engine.submit(insert("b", *(event(n, data=str(n)) for n in range(4, 8))))
    await slow.begun()
    await engine.submit(DeleteEvent("b", ids[0]))
    slow.let_go()
    await engine.submit(insert("b", event(8, data="8")))
    await engine.upkept()
    assert [e["data"]["d"] for e in reversed(await engine.events("b"))] == [str(n) for n in range(1, 9)]
    assert len(engine.durable_state.bucket("b").index) == 1


async def test_one_long_event_is_sealed_for_its_bytes(engine: WatchedEngine):
    """Two records in a head of one bucket: one of them is as long as all heads may be."""
    engine.limit_heads(40_000)
    await engine.submit(create("b"))
    for n in range(3):
        await engine.submit(insert("b", event(n, data="x" * 50_000)))
    await engine.upkept()
    assert len(engine.durable_state.bucket("b").index)
    assert len(await engine.events("b")) == 3


async def test_what_comes_in_bulk_waits_while_heads_are_full_and_a_heartbeat_does_not(
    engine: WatchedEngine, disk: Disk
):
    """O2 and O4: with the seal held at the disk, an insertion is not even decided; a heartbeat waits for the disk only."""
    await engine.submit(create("b"))
    await engine.submit(insert("b", *(event(n, data="x" * 1000) for n in range(6))))
    engine.limit_heads(2_000)
    disk.before_commit.hold()
    waiting = asyncio.ensure_future(engine.insert(insert("b", event(50))))
    await disk.before_commit.reached()
    assert engine.is_full
    beaten = engine.submit(beat("b", 100))
    staged = engine.staged_state.bucket("b")
    assert staged.tail is not None
    assert staged.tail.start_us == 100_000_000
    assert not waiting.done()
    disk.release()
    await within_patience(beaten)
    await within_patience(waiting)
    assert len(await engine.events("b")) == 8


async def test_nobody_waits_for_a_seal_that_the_disk_refuses(engine: WatchedEngine, disk: Disk):
    """The insertion is decided, and meets the disk itself."""
    await engine.submit(create("b"))
    await engine.submit(insert("b", *(event(n, data="x" * 1000) for n in range(6))))
    engine.limit_heads(2_000)
    disk.fail_next(Unavailable("no"))
    await within_patience(engine.insert(insert("b", event(50))))
    assert len(await engine.events("b")) == 7


async def test_a_full_disk_is_not_asked_for_each_bucket_again(
    engine: WatchedEngine, disk: Disk, monkeypatch: pytest.MonkeyPatch
):
    """Each write that waits for room would otherwise have thousands of buckets looked at, to no end."""
    for number in range(20):
        await engine.submit(create(f"b{number}"))
        await engine.submit(insert(f"b{number}", *(event(n) for n in range(4))))
    looked: list[Head] = []

    def looked_at(head: Head) -> list[Event]:
        looked.append(head)
        return oldest_records(head)

    monkeypatch.setattr(engine_sealing, "oldest_records", looked_at)
    engine.limit_heads(1)
    disk.fail_next(InsufficientStorage("full"))
    with pytest.raises(InsufficientStorage):
        await engine.submit(insert("b0", event(50)))
    for _ in range(3):
        await within_patience(engine.room())
    assert looked == []


async def test_what_long_events_take_is_sealed_in_commits_of_one_segment(engine: WatchedEngine, disk: Disk):
    """O1: the oldest of twelve buckets, a megabyte each, are no commit of twelve, for which every heartbeat would wait."""
    for number in range(12):
        await engine.submit(create(f"b{number}"))
        await engine.submit(insert(f"b{number}", *(event(n, data="x" * 1_000_000) for n in range(4))))
    before = len(disk.committed)
    engine.limit_heads(1)
    await engine.submit(insert("b0", event(50)))
    await engine.upkept()
    sealed = [len(writes.segments) for writes in disk.committed[before:] if writes.segments]
    assert sum(sealed) >= 12
    assert max(sealed) <= 5, "as soon as there are 4 MiB"


async def test_a_commit_that_was_durable_though_it_failed_does_not_stay_in_the_sum(engine: WatchedEngine, disk: Disk):
    """The disk has deleted a bucket and said that it could not: what the heads take is counted anew."""
    await engine.submit(create("b"))
    await engine.submit(insert("b", *(event(n, data="x" * 1000) for n in range(6))))
    disk.fail_next_when_written(Unavailable("no"))
    with pytest.raises(Unavailable):
        await engine.submit(DeleteBucket("b"))
    assert engine.durable_state.buckets() == []
    assert engine.noted_bytes() == 0


async def test_the_records_of_a_deleted_bucket_count_no_more(engine: WatchedEngine):
    """Else every deletion would make the heads smaller for ever."""
    engine.limit_heads(20_000)
    for _ in range(10):
        await engine.submit(create("b"))
        await engine.submit(insert("b", *(event(n, data="x" * 1000) for n in range(6))))
        await engine.submit(DeleteBucket("b"))
    await engine.submit(create("b"))
    await engine.submit(insert("b", *(event(n) for n in range(6))))
    await engine.quiet()
    assert not len(engine.durable_state.bucket("b").index)
