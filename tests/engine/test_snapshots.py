"""C3: a read is the state of one moment, however long it takes and whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from awlog.model.commands import DeleteBucket, DeleteEvent
from awlog.model.errors import NoSuchBucket
from awlog.model.times import TIME_MAX_US, TIME_MIN_US
from tests.engine.harness import Store, WatchedEngine, beat, create, decoded, event, insert


@pytest.fixture(params=[0, 1 << 20], ids=["no cache", "cache"])
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Once without a segment cache, so that every segment comes from the snapshot when its turn has come."""
    created = Store(tmp_path / "data", cache_bytes=request.param)
    yield created
    await created.close()


@pytest.fixture
async def ids(engine: WatchedEngine) -> list[int]:
    """A bucket of thirty events with several segments, a head and a tail record; gives the ids, oldest first."""
    await engine.submit(create("b"))
    await engine.insert(insert("b", *(event(10 * n, 5, f"{n % 3}") for n in range(23))))
    for n in range(23, 30):
        await engine.submit(insert("b", event(10 * n, 5, f"{n % 3}")))
    bucket = engine.durable_state.bucket("b")
    assert len(bucket.index) >= 5
    assert len(bucket.head) >= 2
    return await engine.ids("b")


async def _edit_segments(engine: WatchedEngine, ids: list[int]) -> None:
    await engine.submit(insert("b", *(event(10 * n, 1, "new", ids[n]) for n in range(0, 20, 2))))


async def _delete_sealed(engine: WatchedEngine, ids: list[int]) -> None:
    for wire_id in ids[:20]:
        assert await engine.submit(DeleteEvent("b", wire_id))


async def _delete_the_youngest(engine: WatchedEngine, ids: list[int]) -> None:
    for wire_id in reversed(ids[3:]):
        assert await engine.submit(DeleteEvent("b", wire_id))


async def _move_all_into_the_future(engine: WatchedEngine, ids: list[int]) -> None:
    await engine.submit(insert("b", *(event(9000 + n, 1, "moved", wire_id) for n, wire_id in enumerate(ids))))


async def _append_and_seal(engine: WatchedEngine, ids: list[int]) -> None:
    for n in range(40):
        await engine.submit(beat("b", 5000 + 100 * n))
    await engine.upkept()


async def _backfill(engine: WatchedEngine, ids: list[int]) -> None:
    await engine.insert(insert("b", *(event(10 * n + 1, 2, "backfilled") for n in range(30))))


async def _extend_the_tail(engine: WatchedEngine, ids: list[int]) -> None:
    assert (await engine.submit(beat("b", 299, 100, "2"))).events


async def _delete_the_bucket(engine: WatchedEngine, ids: list[int]) -> None:
    await engine.submit(DeleteBucket("b"))


async def _make_it_anew(engine: WatchedEngine, ids: list[int]) -> None:
    await engine.submit(DeleteBucket("b"))
    await engine.submit(create("b"))
    await engine.insert(insert("b", *(event(10 * n, 5, "another life") for n in range(30))))
    await engine.upkept()


EDITS = {
    "segments edited": _edit_segments,
    "sealed events deleted": _delete_sealed,
    "the youngest deleted": _delete_the_youngest,
    "all moved into the future": _move_all_into_the_future,
    "appended and sealed": _append_and_seal,
    "backfilled": _backfill,
    "tail record extended": _extend_the_tail,
    "bucket deleted": _delete_the_bucket,
    "bucket made anew": _make_it_anew,
}
Edit = Callable[[WatchedEngine, list[int]], Awaitable[None]]


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
@pytest.mark.parametrize("chunks_before", [1, 4])
async def test_a_range_read_is_what_it_was_when_it_began(
    engine: WatchedEngine, ids: list[int], edit: Edit, chunks_before: int
):
    """Some of it read, then the store changed, then the rest read: the whole is the state at the beginning."""
    at_the_beginning = await engine.events("b", 15_000_000, 270_000_000)
    engine.forget_decoded_segments()
    chunks = engine.reads.range_json("b", *_micros(15, 270), count_max=None)
    read = [await anext(chunks) for _ in range(chunks_before)]
    await edit(engine, ids)
    read += [chunk async for chunk in chunks]
    assert decoded(read) == at_the_beginning
    if "b" in [bucket.meta.id for bucket in engine.reads.buckets()]:
        assert await engine.events("b") is not None


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
async def test_an_export_is_one_moment_of_all_buckets(engine: WatchedEngine, ids: list[int], edit: Edit):
    """The second bucket is read after the first was changed, and the first after it was changed itself."""
    await engine.submit(create("second"))
    await engine.insert(insert("second", *(event(n) for n in range(20))))
    first, second = await engine.events("b"), await engine.events("second")
    async with engine.reads.export(None) as (exported_first, exported_second):
        begun = [await anext(exported_second.events)]
        await edit(engine, ids)
        await engine.submit(DeleteEvent("second", (await engine.ids("second"))[0]))
        begun += [chunk async for chunk in exported_second.events]
        assert decoded(begun) == _without_ids(second)
        assert decoded([chunk async for chunk in exported_first.events]) == _without_ids(first)


async def test_a_bucket_deleted_before_the_first_step_of_a_read_is_not_there(engine: WatchedEngine, ids: list[int]):
    """The read begins with its first step; from then on nothing takes the bucket from it."""
    chunks = engine.reads.range_json("b", TIME_MIN_US, TIME_MAX_US, count_max=None)
    await engine.submit(DeleteBucket("b"))
    with pytest.raises(NoSuchBucket):
        await anext(chunks)


async def test_the_snapshot_of_a_read_that_is_given_up_is_released(engine: WatchedEngine, ids: list[int]):
    """Half read and closed, or never stepped: no reader stays behind."""
    chunks = engine.reads.range_json("b", TIME_MIN_US, TIME_MAX_US, count_max=None)
    await anext(chunks)
    assert engine.environment.reader_count == 1
    await chunks.aclose()
    assert engine.environment.reader_count == 0
    assert [slot for slot in engine.environment.lmdb.readers().splitlines() if slot.split()[-1:] != ["-"]][1:] == []


async def test_a_segment_that_looks_like_an_older_one_is_not_taken_for_it(engine: WatchedEngine):
    """Events leave their segment, get other data, and are sealed again with the seqs and times they had before.

    A cache that knows segments only by what their index entries say would give the old data.
    """
    await engine.submit(create("b"))
    await engine.submit(insert("b", *(event(10 * n, 0, "old") for n in range(1, 7))))
    for n in range(7, 11):
        await engine.submit(insert("b", event(10 * n, 0, "old")))
    await engine.upkept()
    ids = await engine.ids("b")
    assert [entry.count for entry in engine.durable_state.bucket("b").index] == [4]
    for wire_id in ids[4:]:
        await engine.submit(DeleteEvent("b", wire_id))
    await engine.submit(insert("b", event(5)))
    for n, wire_id in enumerate(ids[:4], start=1):
        await engine.submit(insert("b", event(1000 + n, 0, "new", wire_id)))
    assert not len(engine.durable_state.bucket("b").index), "all have left the segment"
    await engine.submit(insert("b", event(2000)))
    for n, wire_id in enumerate(ids[:4], start=1):
        await engine.submit(insert("b", event(10 * n, 0, "new", wire_id)))
    for n in range(10):
        await engine.submit(insert("b", event(3000 + n)))
    await engine.upkept()
    sealed_again = engine.durable_state.bucket("b").index.get(ids[0] & 0xFFFF_FFFF)  # type: ignore[arg-type]
    assert sealed_again is not None
    assert sealed_again.count == 4
    assert [e["data"]["d"] for e in await engine.events("b", *_micros(10, 40))] == ["new"] * 4


def _micros(start_s: int, end_s: int):
    return start_s * 1_000_000, end_s * 1_000_000


def _without_ids(events: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key: value for key, value in e.items() if key != "id"} for e in events]
