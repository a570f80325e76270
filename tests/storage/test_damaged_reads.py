"""R3: damage is found, said and contained. What is damaged is never served; other reads and all other writes go on."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from awlog.model.commands import Command, DeleteBucket, DeleteEvent, InsertEvents
from awlog.model.errors import DataDamaged
from awlog.model.event import BucketNumber
from awlog.model.times import TIME_MAX_US, TIME_MIN_US
from awlog.storage import layout
from awlog.storage.check import check
from awlog.storage.damaged import DamagedEnvironment
from awlog.storage.environment import DATA_FILE, Environment
from awlog.storage.pages import PageFile
from awlog.storage.repair import repair
from awlog.storage.salvage import require_usable_pages
from awlog.storage.snapshot import open_snapshot
from tests.engine.harness import Store, WatchedEngine, beat, create, decoded, event, insert, starts_s
from tests.faults.pages import PAGE_BYTES, pages_by_class
from tests.storage.raw import MAIN, Tables, flipped, main_key, tables

SECOND = main_key(5)
"""The segment that these tests damage: events 5 to 8, which begin at 400, 500, 600 and 700 s."""


def _flip(rows: Tables) -> None:
    rows.change(layout.SEGMENTS, SECOND, lambda value: flipped(value, -1))


def _cut(rows: Tables) -> None:
    rows.change(layout.SEGMENTS, SECOND, lambda value: value[: len(value) // 2])


def _cut_in_its_header(rows: Tables) -> None:
    rows.change(layout.SEGMENTS, SECOND, lambda value: value[:7])


def _zero(rows: Tables) -> None:
    rows.change(layout.SEGMENTS, SECOND, lambda value: bytes(len(value)))


def _remove(rows: Tables) -> None:
    rows.delete(layout.SEGMENTS, SECOND)


def _put_another_in_its_place(rows: Tables) -> None:
    rows.put(layout.SEGMENTS, SECOND, rows.get(layout.SEGMENTS, main_key(9)))


DAMAGES: list[Callable[[Tables], None]] = [
    _flip,
    _cut,
    _cut_in_its_header,
    _zero,
    _remove,
    _put_another_in_its_place,
]


@pytest.fixture(params=DAMAGES, ids=lambda damage: damage.__name__.strip("_").replace("_", " "))
async def engine(store: Store, request: pytest.FixtureRequest) -> AsyncIterator[WatchedEngine]:
    """On a store with a damaged segment in the middle of bucket `main`."""
    with tables(store.data_dir) as rows:
        request.param(rows)
    yield await store.open()
    await store.close(whole=False)


def main_id(seq: int) -> int:
    return MAIN << 32 | seq


async def test_a_read_that_meets_it_is_refused_and_told_where(engine: WatchedEngine):
    """Each way to it: the range, its edge, the count at its edge, the event by id, the export."""
    for start_s, end_s in ((0, 2000), (710, 710), (405, 450)):
        with pytest.raises(DataDamaged, match=r"Segment 5 of bucket number 1.*awlog verify"):
            await engine.events("main", start_s * 1_000_000, end_s * 1_000_000)
    with pytest.raises(DataDamaged):
        await engine.reads.count("main", TIME_MIN_US, 650_000_000)  # type: ignore[arg-type]
    with pytest.raises(DataDamaged):
        await engine.reads.event_json("main", main_id(6))
    with pytest.raises(DataDamaged):
        async with engine.reads.export("main") as (bucket,):
            async for _ in bucket.events:
                pass


async def test_what_comes_before_it_in_a_stream_is_given(engine: WatchedEngine):
    """Newest first: the events that began later have been read already, and none of the damaged ones."""
    read: list[bytes] = []
    with pytest.raises(DataDamaged):
        async for chunk in engine.reads.range_json("main", TIME_MIN_US, TIME_MAX_US, count_max=None):
            read.append(chunk)  # noqa: PERF401 - what was read before the error is what counts
    assert starts_s(decoded(read)) == [100.0 * n for n in range(15, 7, -1)]


async def test_other_reads_go_on(engine: WatchedEngine):
    """Ranges beside it, other segments' events, other buckets, metadata, the count that need not open it."""
    assert starts_s(await engine.events("main", 711_000_000, 1_000_000_000)) == [1000.0, 900.0, 800.0]
    assert starts_s(await engine.events("main", 0, 399_000_000)) == [300.0, 200.0, 100.0, 0.0]
    assert starts_s(await engine.events("main", count_max=8)) == [100.0 * n for n in range(15, 7, -1)]
    assert await engine.reads.count("main", TIME_MIN_US, TIME_MAX_US) == 16
    assert await engine.reads.event_json("main", main_id(4))
    assert await engine.reads.event_json("main", main_id(9))
    assert len(await engine.events("quiet")) == 1
    assert await engine.events("empty") == []
    main = engine.reads.bucket("main")
    assert (main.start_us, main.end_us) == (0, 1510_000_000)


async def test_all_writes_that_do_not_need_it_go_on(engine: WatchedEngine):
    """Heartbeats, inserts also into its range, edits and deletes of other events, new buckets."""
    await engine.submit(beat("main", 1505, 30, "title 3"))
    await engine.submit(beat("main", 1600, data="other"))
    await engine.submit(insert("main", event(450, 1), event(0, 1, "edited", main_id(1))))
    assert await engine.submit(DeleteEvent("main", main_id(9))) is True
    assert await engine.submit(DeleteEvent("main", main_id(16))) is True
    await engine.submit(create("new"))
    await engine.submit(beat("quiet", 52, 30))
    for n in range(20):
        await engine.submit(insert("main", event(2000 + n)))
    await engine.upkept()
    assert starts_s(await engine.events("main", 1_500_000_000)) == [
        *(2000.0 + n for n in range(19, -1, -1)),
        1600.0,
    ]


async def test_a_write_that_needs_it_is_refused_and_changes_nothing(engine: WatchedEngine):
    """An edit, a delete, a late heartbeat in its range, an import that must look for equal events."""
    refused: list[Command] = [
        insert("main", event(3000), event(600, 1, "edited", main_id(7))),
        DeleteEvent("main", main_id(6)),
        beat("main", 505, 1, "title 1"),
    ]
    before = [engine.reads.bucket("main"), await engine.reads.count("main", TIME_MIN_US, TIME_MAX_US)]
    for command in refused:
        with pytest.raises(DataDamaged):
            await engine.submit(command)
    with pytest.raises(DataDamaged):
        await engine.import_buckets([(create("in"), [event(1)]), (create("main"), [event(100 * n) for n in range(9)])])
    assert [engine.reads.bucket("main"), await engine.reads.count("main", TIME_MIN_US, TIME_MAX_US)] == before
    assert [bucket.meta.id for bucket in engine.reads.buckets()] == ["main", "quiet", "empty"]


async def test_the_bucket_can_be_deleted_and_made_anew(store: Store, engine: WatchedEngine):
    """That is how a client gets rid of it; then the store is whole again."""
    await engine.submit(DeleteBucket("main"))
    await engine.submit(create("main"))
    await engine.submit(InsertEvents("main", [event(1)]))
    assert len(await engine.events("main")) == 1
    await store.close(whole=True)


async def test_a_damaged_segment_is_not_found_whole_by_asking_again(engine: WatchedEngine):
    """Nothing half decoded stays in the cache."""
    for _ in range(3):
        with pytest.raises(DataDamaged):
            await engine.events("main")


async def test_a_length_that_reaches_beyond_the_file_is_seen_before_lmdb_dies_of_it(store: Store, tmp_path: Path):
    """LMDB touches every page of what a node says is the length, and runs into the end of the file: SIGBUS. A start looks
    at the lengths first, and serves the rest read-only; `awlog verify` and `awlog repair` name the segment.
    """
    engine = await store.open()
    await engine.insert(insert("main", *(event(20_000 + n, 1, secrets.token_hex(3000)) for n in range(12))))
    await store.close()
    require_usable_pages(store.data_dir)
    file = PageFile(store.data_dir / DATA_FILE)
    roots = file.tables(lambda _page: None)
    nodes = [node for node in file.nodes(roots[layout.SEGMENTS], lambda _page: None) if node.value is None]
    file.close()
    assert nodes, "some segment is long enough for pages of its own"
    content = (store.data_dir / DATA_FILE).read_bytes()
    for number, node in enumerate(nodes):
        stands = node.length.to_bytes(4, "little") + b"\1\0\x0c\0" + node.key + node.first_page.to_bytes(8, "little")
        assert stands in content
        (store.data_dir / DATA_FILE).write_bytes(content.replace(stands, b"\xff\xff\xff\x7f" + stands[4:]))
        seq = layout.split_seq_key(node.key)[1]
        with pytest.raises(DataDamaged, match=f"Segment {seq} of bucket number 1"):
            require_usable_pages(store.data_dir)
        with open_snapshot(DamagedEnvironment(store.data_dir)) as snapshot:
            (entry,) = [entry for entry in snapshot.entries(BucketNumber(MAIN)) if entry.first_seq == seq]
            with pytest.raises(DataDamaged, match=f"Segment {seq} of bucket number 1"):
                snapshot.segment(BucketNumber(MAIN), entry)
        (loss,) = [loss for loss in repair(store.data_dir, tmp_path / f"new{number}").lost if loss.what == "a segment"]
        assert loss.first_seq == seq


@pytest.mark.parametrize("spoilt", [slice(0, 16), slice(16, None), slice(None)], ids=["its head", "its numbers", "all"])
def test_a_damaged_list_of_free_pages_is_found(store: Store, spoilt: slice):
    """LMDB would refuse every write for it, or write to pages that are in use: a start looks first, and verify says it."""
    require_usable_pages(store.data_dir)
    file = store.data_dir / DATA_FILE
    content = bytearray(file.read_bytes())
    for number in pages_by_class(content)["free list leaf"]:
        page = content[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]
        page[spoilt] = b"\xa5" * len(page[spoilt])
        content[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = page
    file.write_bytes(content)
    with pytest.raises(DataDamaged, match="The list of free pages"):
        require_usable_pages(store.data_dir)
    environment = Environment(store.data_dir, read_only=True)
    assert check(environment).problems == ["The list of free pages is damaged: nothing can be written"]
    environment.close()


@pytest.mark.parametrize("said", [True, False])
def test_where_it_cannot_be_told_whether_tokens_are_required_they_are(store: Store, tmp_path: Path, said: bool):
    """Also when no token is left: the last one may have been revoked, and the table that says so is whole. So it is after
    a repair, which tells it.
    """
    with tables(store.data_dir) as rows:
        for key in rows.keys(layout.TOKENS):
            rows.delete(layout.TOKENS, key)
        stored = layout.encode_tokens_required(required=said)
        rows.put(layout.META, layout.TOKENS_REQUIRED_KEY, flipped(stored, -1))
    environment = DamagedEnvironment(store.data_dir)
    assert not environment.recovered.writes.tokens
    assert environment.recovered.writes.tokens_required
    environment.close()
    report = repair(store.data_dir, tmp_path / "new")
    assert "whether tokens are required" in " ".join(loss.what for loss in report.lost)
    with tables(tmp_path / "new") as rows:
        assert layout.decode_tokens_required(rows.get(layout.META, layout.TOKENS_REQUIRED_KEY))


def test_a_whole_table_that_does_not_say_so_requires_no_tokens(store: Store):
    """Else every damaged segment would shut out those who never used any."""
    with tables(store.data_dir) as rows:
        _flip(rows)
        rows.delete(layout.META, layout.TOKENS_REQUIRED_KEY)
    environment = DamagedEnvironment(store.data_dir)
    assert not environment.recovered.writes.tokens_required
    environment.close()
